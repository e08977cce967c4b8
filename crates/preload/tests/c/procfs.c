/* The files of /proc through every function that opens them: the same contents and errors as the
   kernel's. Passes on its own and under LD_PRELOAD, as long as both serve the same queues: run it
   where the process may create one. */
#include "check.h"
#include <sys/ipc.h>
#include <sys/msg.h>

#define MSG "/proc/sysvipc/msg"
#define MAX "/proc/sys/kernel/msgmax"
static int queue;

static char *slurp_fd(int fd) {
  static char text[1 << 16];
  ssize_t n, all = 0;
  while (fd >= 0 && (n = read(fd, text + all, sizeof text - 1 - all)) > 0) all += n;
  text[all] = 0;
  if (fd >= 0) close(fd);
  return text;
}
static char *slurp(FILE *f) {
  static char text[1 << 16];
  size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
  text[n] = 0;
  if (f) fclose(f);
  return text;
}

static void the_line_of_our_queue(void) {
  struct msqid_ds d;
  char line[512];
  struct { long type; char text[300]; } m = {1, ""};
  CHECK(msgsnd(queue, &m, 300, 0) == 0 && msgctl(queue, IPC_STAT, &d) == 0);
  snprintf(line, sizeof line,
           "\n%10d %10d  %4o  %10lu %10lu %5u %5u %5u %5u %5u %5u %10llu %10llu %10llu\n",
           d.msg_perm.__key, queue, d.msg_perm.mode, d.__msg_cbytes, d.msg_qnum, d.msg_lspid,
           d.msg_lrpid, d.msg_perm.uid, d.msg_perm.gid, d.msg_perm.cuid, d.msg_perm.cgid,
           (unsigned long long)d.msg_stime, (unsigned long long)d.msg_rtime,
           (unsigned long long)d.msg_ctime);
  char *text = slurp_fd(open(MSG, O_RDONLY));
  CHECK(strstr(text, line) != NULL);
  CHECK(!strncmp(text, "       key      msqid perms      cbytes       qnum lspid lrpid   uid   "
                       "gid  cuid  cgid      stime      rtime      ctime\n", 116));
}

extern int __open_2(const char *, int), __open64_2(const char *, int);
extern int __openat_2(int, const char *, int), __openat64_2(int, const char *, int);
static void every_way_to_open(void) {
  char first[1 << 16];
  strcpy(first, slurp_fd(open(MSG, O_RDONLY)));
  CHECK(strlen(first) > 200);
  CHECK(!strcmp(first, slurp_fd(open64(MSG, O_RDONLY | O_CLOEXEC))));
  CHECK(!strcmp(first, slurp_fd(openat(AT_FDCWD, MSG, O_RDONLY))));
  CHECK(!strcmp(first, slurp_fd(openat64(-1, MSG, O_RDONLY | O_NOFOLLOW))));
  CHECK(!strcmp(first, slurp_fd(__open_2(MSG, O_RDONLY))));
  CHECK(!strcmp(first, slurp_fd(__open64_2(MSG, O_RDONLY))));
  CHECK(!strcmp(first, slurp_fd(__openat_2(-1, MSG, O_RDONLY))));
  CHECK(!strcmp(first, slurp_fd(__openat64_2(-1, MSG, O_RDONLY))));
  CHECK(!strcmp(first, slurp(fopen(MSG, "r"))));
  CHECK(!strcmp(first, slurp(fopen64(MSG, "re"))));
  CHECK(!strcmp(first, slurp(freopen(MSG, "r", fopen("/dev/null", "r")))));
  CHECK(!strcmp(first, slurp(freopen64(MSG, "r", fopen("/dev/null", "w")))));
}

static void descriptors_are_as_asked_for(void) {
  int low = dup(1);
  close(low);
  int fd = open(MSG, O_RDONLY);
  struct stat st;
  CHECK(fd == low);
  CHECK((fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY && fcntl(fd, F_GETFD) == 0);
  CHECK(fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 0777) == 0444);
  errno = 0;
  CHECK(write(fd, "x", 1) == -1 && errno == EBADF);
  close(fd);
  fd = open(MSG, O_RDONLY | O_CLOEXEC);
  CHECK(fd == low && fcntl(fd, F_GETFD) == FD_CLOEXEC);
  close(fd);
  FILE *f = fopen(MSG, "re");
  CHECK(f && fcntl(fileno(f), F_GETFD) == FD_CLOEXEC);
  fclose(f);
}

static void errors_are_the_kernels(void) {
  errno = 0;
  CHECK(open(MSG, O_RDONLY | O_DIRECTORY) == -1 && errno == ENOTDIR);
  errno = 0;
  CHECK(open(MSG, O_WRONLY | O_CREAT | O_EXCL, 0600) == -1 && errno == EEXIST);
  errno = 0;
  CHECK(fopen(MSG, "q") == NULL && errno == EINVAL);
  if (geteuid() != 0) {
    errno = 0;
    CHECK(open(MSG, O_RDWR) == -1 && errno == EACCES);
    errno = 0;
    CHECK(creat(MSG, 0600) == -1 && errno == EACCES);
    errno = 0;
    CHECK(fopen(MSG, "w") == NULL && errno == EACCES);
  }
  struct rlimit old, none;
  getrlimit(RLIMIT_NOFILE, &old);
  none = old;
  none.rlim_cur = 0;
  setrlimit(RLIMIT_NOFILE, &none);
  errno = 0;
  int fd = open(MSG, O_RDONLY);
  setrlimit(RLIMIT_NOFILE, &old);
  CHECK(fd == -1 && errno == EMFILE);
}

static void other_paths_are_untouched(void) {
  const char *paths[] = {"/proc/sysvipc/ms", "/proc/sysvipc/msgs", "/proc/sys/kernel/msg",
                         "/proc/sys/kernel/msgmaxx", "", "/", "/proc/sys"};
  for (unsigned i = 0; i < sizeof paths / sizeof *paths; i++) {
    int want = syscall(SYS_openat, AT_FDCWD, paths[i], O_RDONLY, 0), want_errno = errno;
    errno = 0;
    int got = open(paths[i], O_RDONLY);
    CHECK((got < 0) == (want < 0) && (got >= 0 || errno == want_errno));
    if (got >= 0) close(got);
    if (want >= 0) close(want);
  }
  errno = 0;
  CHECK(open((char *)8, O_RDONLY) == -1 && errno == EFAULT);
  errno = 0;
  char *volatile null = NULL;
  CHECK(open(null, O_RDONLY) == -1 && errno == EFAULT);
  errno = 0;
  CHECK(access((char *)-1, F_OK) == -1 && errno == EFAULT);
  /* a path that runs into an unreadable page, after a beginning like ours */
  char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  mprotect(p + 4096, 4096, PROT_NONE);
  for (size_t n = 1; n <= strlen(MSG); n++) {
    memcpy(p + 4096 - n, MSG, n);
    errno = 0;
    CHECK(open(p + 4096 - n, O_RDONLY) == -1 && errno == EFAULT);
  }
  /* ours, across two pages */
  mprotect(p + 4096, 4096, PROT_READ | PROT_WRITE);
  for (size_t n = 0; n <= strlen(MSG); n++) {
    strcpy(p + 4096 - n, MSG);
    CHECK(strlen(slurp_fd(open(p + 4096 - n, O_RDONLY))) > 200);
  }
  munmap(p, 8192);
}

static void limits_are_numbers(void) {
  const char *paths[] = {MAX, "/proc/sys/kernel/msgmnb", "/proc/sys/kernel/msgmni"};
  struct msginfo info;
  CHECK(msgctl(0, IPC_INFO, (struct msqid_ds *)&info) >= 0);
  int values[] = {info.msgmax, info.msgmnb, info.msgmni};
  for (int i = 0; i < 3; i++) {
    char want[32];
    snprintf(want, sizeof want, "%d\n", values[i]);
    CHECK(!strcmp(slurp_fd(open(paths[i], O_RDONLY)), want));
    CHECK(!strcmp(slurp(fopen(paths[i], "r")), want));
    CHECK(access(paths[i], R_OK) == 0 && faccessat(AT_FDCWD, paths[i], F_OK, 0) == 0);
  }
  CHECK(access(MSG, F_OK) == 0 && access(MSG, R_OK) == 0 && access(MSG, X_OK) == -1);
}

static void errno_survives(void) {
  errno = 4321;
  close(open(MSG, O_RDONLY));
  CHECK(access(MSG, R_OK) == 0);
  close(open("/dev/null", O_RDONLY));
  CHECK(errno == 4321);
}

int main(void) {
  queue = msgget(IPC_PRIVATE, 0640);
  if (queue < 0) { perror("msgget"); return 99; }
  CASE(the_line_of_our_queue);
  CASE(every_way_to_open);
  CASE(descriptors_are_as_asked_for);
  CASE(errors_are_the_kernels);
  CASE(other_paths_are_untouched);
  CASE(limits_are_numbers);
  CASE(errno_survives);
  msgctl(queue, IPC_RMID, NULL);
  return check_failed;
}
