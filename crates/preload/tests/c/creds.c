/* Changing identity works as ever. */
#include "check.h"
#include <grp.h>
#include <pthread.h>
#include <sys/fsuid.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>

static int in_child(int (*f)(void)) {
  pid_t pid = fork();
  if (pid == 0) _exit(f());
  int status = -1;
  waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
}
static int drop(void) {
  gid_t groups[] = {1, 2, 3};
  if (setgroups(3, groups) || initgroups("root", 0) || setgroups(0, NULL)) return 1;
  if (setfsuid(5) != 0 || setfsgid(5) != 0 || setfsuid(0) != 5) return 2;
  if (setegid(7) || getegid() != 7 || setegid(0) || setregid(-1, 8) || setresgid(9, 9, 9)) return 3;
  if (seteuid(7) || geteuid() != 7 || seteuid(0) || setreuid(-1, 8) || geteuid() != 8) return 4;
  if (seteuid(0) || setresuid(9, 9, 0) || setresuid(9, 9, 9)) return 5;
  errno = 0;
  if (setuid(0) != -1 || errno != EPERM) return 6;
  errno = 0;
  return setgid(0) == -1 && errno == EPERM ? 0 : 7;
}
static int nothing(void) {
  errno = 99;
  return setuid(getuid()) || setgid(getgid()) || seteuid(geteuid()) || errno != 99;
}
static void root_drops_everything(void) {
  if (geteuid() != 0) { puts("    skipped: not root"); return; }
  CHECK(in_child(drop) == 0);
}
static void changing_to_oneself(void) { CHECK(in_child(nothing) == 0); }

/*
 * glibc has all threads change, by a signal: it ends waits, and comes in the midst of calls. Two pairs of threads
 * hand a semaphore and a message to and fro meanwhile.
 */
enum { ROUNDS = 30000 };
static int set, queue;
static void operate(unsigned short sem, short by) {
  struct sembuf op = {sem, by, 0};
  while (semop(set, &op, 1) == -1) CHECK(errno == EINTR);
}
static void *semaphores(void *side) {
  unsigned short mine = side != NULL;
  for (int i = 0; i < ROUNDS; i++) {
    operate(mine, -1);
    operate(!mine, 1);
  }
  return NULL;
}
static void *messages(void *side) {
  long mine = side != NULL ? 1 : 2;
  struct { long type; int number; } m;
  for (int i = 0; i < ROUNDS; i++) {
    while (msgrcv(queue, &m, sizeof m.number, mine, 0) == -1) CHECK(errno == EINTR);
    CHECK(m.number == i);
    m.number += mine == 1;
    m.type = 3 - mine;
    while (msgsnd(queue, &m, sizeof m.number, 0) == -1) CHECK(errno == EINTR);
  }
  return NULL;
}
static volatile int done;
static void *watch(void *threads) {
  for (pthread_t *t = threads; t < (pthread_t *)threads + 4; t++) CHECK(pthread_join(*t, NULL) == 0);
  done = 1;
  return NULL;
}
static int changes_beside_threads(void) {
  pthread_t threads[5];
  struct { long type; int number; } first = {2, 0};
  set = semget(IPC_PRIVATE, 2, 0600);
  queue = msgget(IPC_PRIVATE, 0600);
  for (long i = 0; i < 4; i++)
    CHECK(pthread_create(&threads[i], NULL, i < 2 ? semaphores : messages, (void *)(i % 2)) == 0);
  CHECK(pthread_create(&threads[4], NULL, watch, threads) == 0);
  operate(0, 1);
  CHECK(msgsnd(queue, &first, sizeof first.number, 0) == 0);
  int changes = 0;
  while (!done && changes++ < 1000000) CHECK(seteuid(geteuid()) == 0);
  CHECK(pthread_join(threads[4], NULL) == 0);
  CHECK(semctl(set, 0, GETVAL) == 1 && semctl(set, 1, GETVAL) == 0 && semctl(set, 0, GETNCNT) == 0);
  CHECK(msgrcv(queue, &first, sizeof first.number, 0, IPC_NOWAIT) == sizeof first.number);
  CHECK(semctl(set, 0, IPC_RMID) == 0 && msgctl(queue, IPC_RMID, NULL) == 0);
  return check_bad;
}
static void changing_beside_threads(void) { CHECK(in_child(changes_beside_threads) == 0); }

int main(void) {
  CASE(root_drops_everything);
  CASE(changing_to_oneself);
  CASE(changing_beside_threads);
  return check_failed;
}
