/*
 * What broke when a semop ended in an unusual way. Each case says which mistake it is there for, and
 * holds on the kernel, too.
 */
#include "check.h"
#include <sys/ipc.h>
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

int main(void) {
  CASE(no_sleeper_stays_when_a_handler_leaves);
  CASE(undo_outlives_an_exec_by_another_thread);
  return check_failed;
}
