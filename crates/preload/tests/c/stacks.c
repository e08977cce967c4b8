/*
 * Calls in a thread with the least stack that the libc gives, after the process's first call. All commands of a
 * call shared one frame, with room for the paths of those that open files, and semctl(GETVAL) died of SIGSEGV.
 * Only an optimised library keeps within it.
 */
#include "check.h"
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

static int q, set, id;
static struct { long mtype; char text[100]; } message = {1, ""};

static void *values(void *arg) {
  struct sembuf give = {0, 1, SEM_UNDO};
  struct timespec soon = {0, 1000000};
  struct sembuf wait = {1, -1, 0};
  CHECK(msgsnd(q, &message, 10, 0) == 0 && msgrcv(q, &message, 100, 0, 0) == 10);
  CHECK(semop(set, &give, 1) == 0 && semctl(set, 0, GETVAL) == 1 && semctl(set, 0, SETVAL, 3) == 0);
  CHECK(semtimedop(set, &wait, 1, &soon) == -1 && errno == EAGAIN);
  return arg;
}
static void *control(void *arg) {
  struct msqid_ds ms;
  struct semid_ds ss;
  struct shmid_ds hs;
  CHECK(msgctl(q, IPC_STAT, &ms) == 0 && msgctl(q, IPC_SET, &ms) == 0);
  CHECK(semctl(set, 0, IPC_STAT, &ss) == 0 && semctl(set, 0, IPC_SET, &ss) == 0);
  CHECK(shmctl(id, IPC_STAT, &hs) == 0);
  return arg;
}
static void *creation(void *arg) {
  int made = msgget(IPC_PRIVATE, 0600);
  CHECK(made >= 0 && msgctl(made, IPC_RMID, NULL) == 0);
  made = semget(IPC_PRIVATE, 2, 0600);
  CHECK(made >= 0 && semctl(made, 0, IPC_RMID) == 0);
  return arg;
}
static void *attachment(void *arg) {
  void *at = shmat(id, NULL, 0);
  CHECK(at != (void *)-1 && shmdt(at) == 0);
  return arg;
}

static void in_a_small_thread(void *(*f)(void *)) {
  pthread_attr_t attr;
  pthread_t thread;
  pthread_attr_init(&attr);
  CHECK(pthread_attr_setstacksize(&attr, 16384) == 0);
  CHECK(pthread_create(&thread, &attr, f, NULL) == 0 && pthread_join(thread, NULL) == 0);
}
static void values_and_messages(void) { in_a_small_thread(values); }
static void control_calls(void) { in_a_small_thread(control); }
static void queues_and_sets_are_made(void) { in_a_small_thread(creation); }
static void segments_are_attached(void) { in_a_small_thread(attachment); }

int main(void) {
  q = msgget(IPC_PRIVATE, 0600);
  set = semget(IPC_PRIVATE, 2, 0600);
  id = shmget(IPC_PRIVATE, 4096, 0600);
  CASE(values_and_messages);
  CASE(control_calls);
  CASE(queues_and_sets_are_made);
  CASE(segments_are_attached);
  msgctl(q, IPC_RMID, NULL);
  semctl(set, 0, IPC_RMID);
  shmctl(id, IPC_RMID, NULL);
  return check_failed;
}
