/* A buffer that the library takes for readable goes away behind its back, and the program's handler runs in the midst
 * of a send, which holds a lock: the handler may take robust mutexes of its own, whose library writes the same word in
 * which the lock is known to the kernel. */
#include "check.h"
#include <sys/ipc.h>
#include <sys/msg.h>

enum { PAGE = 4096, TEXT = 64 };
static char *pages;
static pthread_mutex_t mutex, held;
static volatile sig_atomic_t faults, keep_one, die;
static int other = -1;

static void make_robust(pthread_mutex_t *m) {
  pthread_mutexattr_t a;
  pthread_mutexattr_init(&a);
  pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
  CHECK(pthread_mutex_init(m, &a) == 0);
}

static void handler(int sig, siginfo_t *si, void *uc) {
  (void)sig, (void)si, (void)uc;
  faults++;
  pthread_mutex_lock(&mutex);
  pthread_mutex_unlock(&mutex);
  if (keep_one) pthread_mutex_lock(&held);
  if (other >= 0) {
    struct msqid_ds ds;
    CHECK(msgctl(other, IPC_STAT, &ds) == 0 && ds.msg_qnum == 1);
    char back[sizeof(long) + TEXT];
    CHECK(msgrcv(other, back, TEXT, 7, 0) == 2 && back[sizeof(long)] == 'o');
  }
  if (die) kill(getpid(), SIGKILL);
  syscall(SYS_mmap, pages + PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0L);
  memset(pages + PAGE, 'y', PAGE);
}

/* The type lies before the page that goes, the text in it: so it is read with the lock held. */
static struct msgbuf *message(void) { return (struct msgbuf *)(pages + PAGE - sizeof(long)); }

static int send_over_a_hole(int q) {
  message()->mtype = 3;
  memset(pages + PAGE, 'x', PAGE);
  for (int i = 0; i < 3; i++) {
    char back[sizeof(long) + TEXT];
    CHECK(msgsnd(q, message(), TEXT, 0) == 0);
    CHECK(msgrcv(q, back, TEXT, 0, 0) == TEXT);
  }
  faults = 0;
  syscall(SYS_munmap, pages + PAGE, (long)PAGE);
  return msgsnd(q, message(), TEXT, IPC_NOWAIT);
}

static double seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static void set_up(void) {
  struct sigaction sa = {0};
  sa.sa_sigaction = handler;
  sa.sa_flags = SA_SIGINFO;
  CHECK(sigaction(SIGSEGV, &sa, NULL) == 0);
  pages = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(pages != MAP_FAILED);
  make_robust(&mutex);
  make_robust(&held);
}

static void goes_on(int keeps) {
  keep_one = keeps;
  int q = msgget(IPC_PRIVATE, 0600);
  CHECK(send_over_a_hole(q) == 0);
  CHECK(faults == 1);
  if (keeps) CHECK(pthread_mutex_unlock(&held) == 0);
  struct { long mtype; char text[TEXT]; } got = {0};
  CHECK(msgrcv(q, &got, TEXT, 0, IPC_NOWAIT) == TEXT && got.mtype == 3);
  for (int i = 0; i < TEXT; i++) CHECK(got.text[i] == 'y');
  /* The libc's list is in order, and so is the lock, for others too. */
  pthread_mutex_lock(&mutex);
  pthread_mutex_unlock(&mutex);
  pid_t child = fork();
  if (child == 0) _exit(msgsnd(q, &got, TEXT, IPC_NOWAIT) != 0);
  int status;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  CHECK(msgctl(q, IPC_RMID, NULL) == 0);
  keep_one = 0;
}

static void a_send_goes_on_behind_a_handler_with_a_robust_mutex(void) { goes_on(0); }
static void a_send_goes_on_behind_a_handler_that_keeps_one(void) { goes_on(1); }

/* A handler that uses other queues: nine, so that one of them has this one's ticket. */
static void a_send_goes_on_behind_a_handler_with_other_queues(void) {
  struct { long mtype; char text[2]; } m = {7, "o"};
  int all[9];
  for (int i = 0; i < 9; i++) all[i] = msgget(IPC_PRIVATE, 0600);
  for (int i = 0; i < 9; i++) {
    other = all[i];
    CHECK(msgsnd(other, &m, 2, 0) == 0);
    goes_on(i % 2);
  }
  for (int i = 0; i < 9; i++) CHECK(msgctl(all[i], IPC_RMID, NULL) == 0);
  other = -1;
}

/* Whoever comes next is told by the kernel, and need not doubt for 0.3 s. */
static void a_process_killed_in_the_handler_leaves_its_lock_at_once(void) {
  int q = msgget(IPC_PRIVATE, 0600);
  char warm[sizeof(long) + 1] = {1};
  CHECK(msgsnd(q, warm, 1, 0) == 0 && msgrcv(q, warm, 1, 0, 0) == 1);
  pid_t child = fork();
  if (child == 0) {
    die = 1;
    send_over_a_hole(q);
    _exit(1);
  }
  int status;
  CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  double began = seconds();
  CHECK(msgsnd(q, warm, 1, IPC_NOWAIT) == 0);
  CHECK(seconds() - began < 0.2);
  CHECK(msgrcv(q, warm, 1, 0, IPC_NOWAIT) == 1);
  CHECK(msgctl(q, IPC_RMID, NULL) == 0);
}

int main(void) {
  set_up();
  CASE(a_send_goes_on_behind_a_handler_with_a_robust_mutex);
  CASE(a_send_goes_on_behind_a_handler_that_keeps_one);
  CASE(a_send_goes_on_behind_a_handler_with_other_queues);
  CASE(a_process_killed_in_the_handler_leaves_its_lock_at_once);
  return check_failed;
}
