/*
 * What broke when a semop ended in an unusual way. Each case says which mistake it is there for, and
 * holds on the kernel, too.
 */
#include "check.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/ipc.h>
#include <sys/prctl.h>
#include <sys/sem.h>

static int set;
static sigjmp_buf out;

static void leave(int signal) {
  (void)signal;
  siglongjmp(out, 1);
}

static int op(short change, short flags) {
  struct sembuf one = {0, change, flags};
  return semop(set, &one, 1);
}

static void begin(void) {
  set = semget(IPC_PRIVATE, 1, 0600);
  CHECK(set >= 0);
}

static void end(void) { CHECK(semctl(set, 0, IPC_RMID) == 0); }

/* A signal that came under the lock was handled in the unlock, before the wait was known to its
 * thread: the sleeper stayed, and took what was given next. */
static void no_sleeper_stays_when_a_handler_leaves(void) {
  begin();
  struct sigaction action = {.sa_handler = leave}, old;
  sigaction(SIGALRM, &action, &old);
  for (volatile int i = 0; i < 4000 && !check_bad; i++) {
    if (!sigsetjmp(out, 1)) {
      struct itimerval soon = {{0, 0}, {0, 10 + i % 100}};
      setitimer(ITIMER_REAL, &soon, NULL);
      op(-1, i % 2 ? SEM_UNDO : 0);
      CHECK(!"semop came back");
    }
    CHECK(semctl(set, 0, GETNCNT) == 0);
    CHECK(op(1, 0) == 0);
    CHECK(semctl(set, 0, GETVAL) == 1);
    CHECK(semctl(set, 0, SETVAL, 0) == 0);
  }
  sigaction(SIGALRM, &old, NULL);
  end();
}

static void *give_and_exec(void *unused) {
  (void)unused;
  op(1, SEM_UNDO);
  execl("/bin/sleep", "sleep", "0.1", (char *)NULL);
  _exit(1);
}

/* A thread that is not the first takes the first one's number when it execs. Its bell was not marked,
 * and what it had to be undone never was. */
static void undo_outlives_an_exec_by_another_thread(void) {
  begin();
  pid_t child = fork();
  if (child == 0) {
    pthread_t thread;
    pthread_create(&thread, NULL, give_and_exec, NULL);
    for (;;) pause();
  }
  int status;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  struct sembuf zero = {0, 0, 0};
  struct timespec long_enough = {5, 0};
  CHECK(semtimedop(set, &zero, 1, &long_enough) == 0);
  CHECK(semctl(set, 0, GETVAL) == 0);
  end();
}

static void forbid_madvise(void) {
  struct sock_filter steps[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_madvise, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog filter = {sizeof steps / sizeof *steps, steps};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter))
    _exit(9);
}

/* A sandbox without madvise: it was taken for one without memory (ENOMEM). */
static void a_sandbox_without_madvise_can_sleep_and_undo(void) {
  begin();
  pid_t child = fork();
  if (child == 0) {
    forbid_madvise();
    struct sembuf take = {0, -1, 0};
    struct timespec moment = {0, 1000000};
    if (semtimedop(set, &take, 1, &moment) != -1 || errno != EAGAIN) _exit(1);
    _exit(op(1, SEM_UNDO) == 0 ? 0 : 2);
  }
  int status;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  CHECK(semctl(set, 0, GETVAL) == 0);
  end();
}

/* There, no page is wiped at a fork: a child passed for its parent, in the lock's word too. */
static void a_sandbox_without_madvise_knows_its_children(void) {
  begin();
  pid_t child = fork();
  if (child == 0) {
    forbid_madvise();
    execl("/proc/self/exe", "semaphores", "sandbox", NULL);
    _exit(9);
  }
  int status;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  end();
}

static int in_a_sandbox(void) {
  begin();
  if (op(1, 0) || semctl(set, 0, GETPID) != getpid()) return 1;
  pid_t child = fork();
  if (child == 0) _exit(op(1, 0) || semctl(set, 0, GETPID) != getpid());
  int status;
  if (waitpid(child, &status, 0) != child || status != 0) return 2;
  end();
  return check_bad;
}

int main(int argc, char **argv) {
  if (argc > 1 && !strcmp(argv[1], "sandbox")) return in_a_sandbox();
  CASE(no_sleeper_stays_when_a_handler_leaves);
  CASE(undo_outlives_an_exec_by_another_thread);
  CASE(a_sandbox_without_madvise_can_sleep_and_undo);
  CASE(a_sandbox_without_madvise_knows_its_children);
  return check_failed;
}
