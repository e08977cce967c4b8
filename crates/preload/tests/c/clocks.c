/*
 * A program whose libc's clocks stand still in 2001, as under libfaketime. What broke: the library asked the libc
 * for the time, so that objects got wrong stamps, and semtimedop never came to its end.
 */
#include "check.h"
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

time_t time(time_t *at) {
  if (at)
    *at = 978307200;
  return 978307200;
}
int clock_gettime(clockid_t clock, struct timespec *now) {
  (void)clock;
  *now = (struct timespec){978307200, 0};
  return 0;
}

static double now(clockid_t clock) {
  struct timespec now;
  syscall(SYS_clock_gettime, clock, &now);
  return now.tv_sec + now.tv_nsec / 1e9;
}
static int is_now(time_t stamp) { return now(CLOCK_REALTIME) - stamp < 5 && now(CLOCK_REALTIME) - stamp > -1; }

static void stamps_are_of_today(void) {
  struct { long mtype; char text[8]; } message = {1, "x"};
  struct sembuf give = {0, 1, 0};
  struct msqid_ds ms;
  struct semid_ds ss;
  struct shmid_ds hs;
  int q = msgget(IPC_PRIVATE, 0600), set = semget(IPC_PRIVATE, 1, 0600), id = shmget(IPC_PRIVATE, 4096, 0600);
  CHECK(time(NULL) == 978307200);
  CHECK(msgsnd(q, &message, 1, 0) == 0 && msgrcv(q, &message, 8, 0, 0) == 1 && msgctl(q, IPC_STAT, &ms) == 0);
  CHECK(is_now(ms.msg_ctime) && is_now(ms.msg_stime) && is_now(ms.msg_rtime));
  CHECK(semop(set, &give, 1) == 0 && semctl(set, 0, IPC_STAT, &ss) == 0);
  CHECK(is_now(ss.sem_ctime) && is_now(ss.sem_otime));
  CHECK(shmdt(shmat(id, NULL, 0)) == 0 && shmctl(id, IPC_STAT, &hs) == 0);
  CHECK(is_now(hs.shm_ctime) && is_now(hs.shm_atime) && is_now(hs.shm_dtime));
  CHECK(msgctl(q, IPC_RMID, NULL) == 0 && semctl(set, 0, IPC_RMID) == 0 && shmctl(id, IPC_RMID, NULL) == 0);
}

static void a_timeout_ends(void) {
  int set = semget(IPC_PRIVATE, 1, 0600);
  struct sembuf take = {0, -1, 0};
  struct timespec soon = {0, 200000000};
  double began = now(CLOCK_MONOTONIC);
  alarm(10);
  CHECK(semtimedop(set, &take, 1, &soon) == -1 && errno == EAGAIN);
  alarm(0);
  CHECK(now(CLOCK_MONOTONIC) - began >= 0.2 && now(CLOCK_MONOTONIC) - began < 5);
  CHECK(semctl(set, 0, IPC_RMID) == 0);
}

int main(void) {
  CASE(stamps_are_of_today);
  CASE(a_timeout_ends);
  return check_failed;
}
