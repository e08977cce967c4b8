/* Truncated objects under the library: the program's own SIGBUS action stays what it set. */
#include "check.h"
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/shm.h>

struct text { long type; char bytes[1500]; };
static volatile sig_atomic_t hits, got_code;
static void *volatile got_addr;
static sigjmp_buf back;
static void plain(int sig) { (void)sig; hits++; siglongjmp(back, 1); }
static void info(int sig, siginfo_t *si, void *uc) {
  (void)sig, (void)uc;
  hits++;
  got_code = si->si_code;
  got_addr = si->si_addr;
  if (si->si_code > 0) siglongjmp(back, 1);
}

static void cut(const char *kind, int id, const char *rest) {
  char path[512];
  snprintf(path, sizeof path, "%s/%s/%d%s", getenv("USYSV_NS"), kind, id % 32768, rest);
  CHECK(truncate(path, 0) == 0);
}
/* A queue that is cut off: calls fail, and end. */
static void lose_a_queue(void) {
  struct text text = {1, {0}};
  int id = msgget(IPC_PRIVATE, 0600 | IPC_CREAT), ret = 0;
  CHECK(id >= 0);
  for (int i = 0; i < 4; i++) CHECK(msgsnd(id, &text, sizeof text.bytes, 0) == 0);
  cut("msg", id, "");
  for (int i = 0; i < 100 && ret >= 0; i++) ret = msgsnd(id, &text, sizeof text.bytes, IPC_NOWAIT);
  CHECK(ret == -1 && (errno == EIO || errno == EIDRM || errno == EINVAL));
}
/* A segment that is cut off: zeroes, and shared as before. */
static void lose_a_segment(void) {
  int id = shmget(IPC_PRIVATE, 8192, 0600 | IPC_CREAT);
  volatile char *at = shmat(id, NULL, 0), *again = shmat(id, NULL, 0);
  at[5000] = 7;
  cut("shm", id, ".data");
  CHECK(at[5000] == 0);
  at[5000] = 8;
  CHECK(again[5000] == 8);
  CHECK(shmdt((void *)at) == 0 && shmdt((void *)again) == 0 && shmctl(id, IPC_RMID, NULL) == 0);
}
static volatile char *foreign(void) {
  int fd = memfd_create("foreign", 0);
  volatile char *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  return at;
}
static struct sigaction now(void) {
  struct sigaction sa;
  CHECK(sigaction(SIGBUS, NULL, &sa) == 0);
  sa.sa_flags &= ~0x04000000; /* SA_RESTORER, the libc's own business */
  return sa;
}

static void an_action_from_before_is_shown_kept_and_run(void) {
  struct sigaction sa = {0};
  sa.sa_handler = plain;
  sa.sa_flags = SA_RESTART;
  sigaddset(&sa.sa_mask, SIGUSR2);
  CHECK(sigaction(SIGBUS, &sa, NULL) == 0);
  lose_a_queue(); /* installs the engine's */
  lose_a_segment();
  CHECK(hits == 0);
  CHECK(now().sa_handler == plain && now().sa_flags == SA_RESTART);
  sa = now();
  CHECK(sigismember(&sa.sa_mask, SIGUSR2) == 1 && sigismember(&sa.sa_mask, SIGUSR1) == 0);
  volatile char *at = foreign();
  if (!sigsetjmp(back, 1)) *at = 1;
  CHECK(hits == 1);
}
static void an_action_from_after_is_shown_kept_and_run(void) {
  struct sigaction sa = {0}, old;
  sa.sa_sigaction = info;
  sa.sa_flags = SA_SIGINFO | SA_NODEFER;
  CHECK(sigaction(SIGBUS, &sa, &old) == 0 && old.sa_handler == plain);
  hits = 0;
  lose_a_queue();
  lose_a_segment();
  CHECK(hits == 0 && now().sa_sigaction == info && now().sa_flags == (SA_SIGINFO | SA_NODEFER));
  volatile char *at = foreign();
  if (!sigsetjmp(back, 1)) at[9] = 1;
  CHECK(hits == 1 && got_code == BUS_ADRERR && got_addr == (void *)(at + 9));
  CHECK(kill(getpid(), SIGBUS) == 0 && hits == 2 && got_code == SI_USER);
}
static void a_one_shot_is_kept_for_its_signal(void) {
  CHECK(sysv_signal(SIGBUS, plain) != SIG_ERR);
  hits = 0;
  lose_a_queue();
  lose_a_segment();
  CHECK(hits == 0 && now().sa_handler == plain);
  if (!sigsetjmp(back, 1)) raise(SIGBUS);
  CHECK(hits == 1 && now().sa_handler == SIG_DFL);
}
/* How a child ends that sets this action, loses what it has, and then touches or sends. */
static int end_of(void (*action)(int), int touch) {
  int status;
  fflush(stdout);
  pid_t pid = fork();
  if (pid == 0) {
    signal(SIGBUS, action);
    lose_a_queue();
    lose_a_segment();
    CHECK(now().sa_handler == action && (now().sa_flags & (SA_SIGINFO | SA_ONSTACK)) == 0);
    if (touch) *foreign() = 1; else raise(SIGBUS);
    _exit(check_bad ? 99 : 3);
  }
  CHECK(waitpid(pid, &status, 0) == pid);
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}
static void the_default_and_ignoring_are_what_they_were(void) {
  CHECK(end_of(SIG_DFL, 1) == -SIGBUS);
  CHECK(end_of(SIG_DFL, 0) == -SIGBUS);
  CHECK(end_of(SIG_IGN, 1) == -SIGBUS); /* as the kernel has it for a fault */
  CHECK(end_of(SIG_IGN, 0) == 3);
}
static void *lose_in_a_thread(void *unused) {
  stack_t small = {.ss_sp = malloc(16384), .ss_size = 16384};
  CHECK(sigaltstack(&small, NULL) == 0);
  for (int i = 0; i < 50; i++) lose_a_queue(), lose_a_segment();
  return unused;
}
static void threads_lose_at_the_same_time(void) {
  pthread_t threads[4];
  signal(SIGBUS, SIG_DFL);
  for (int i = 0; i < 4; i++) CHECK(pthread_create(&threads[i], NULL, lose_in_a_thread, NULL) == 0);
  for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
}

int main(void) {
  CASE(an_action_from_before_is_shown_kept_and_run);
  CASE(an_action_from_after_is_shown_kept_and_run);
  CASE(a_one_shot_is_kept_for_its_signal);
  CASE(the_default_and_ignoring_are_what_they_were);
  CASE(threads_lose_at_the_same_time);
  return check_failed;
}
