/*
 * Calls in a thread with the least stack that the libc gives. What broke: all commands of a call shared one frame,
 * with room for the paths of those that open files, and semctl(GETVAL) died of SIGSEGV; and each frame on the way of
 * a process's first call, which opens the namespace, had paths of its own, and the engine besides: that call took 59
 * KiB, a new segment 24, SEM_INFO 33. Only an optimised library keeps within it.
 */
#include "check.h"
#include <fcntl.h>
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
  CHECK(shmctl(id, IPC_STAT, &hs) == 0 && shmctl(id, IPC_SET, &hs) == 0);
  return arg;
}
static void *information(void *arg) {
  struct msginfo mi;
  struct seminfo si;
  struct shm_info hi;
  CHECK(msgctl(0, MSG_INFO, (struct msqid_ds *)&mi) >= 0 && mi.msgpool > 0);
  CHECK(semctl(0, 0, SEM_INFO, &si) >= 0 && si.semusz > 0);
  CHECK(shmctl(0, SHM_INFO, (struct shmid_ds *)&hi) >= 0 && hi.used_ids > 0);
  return arg;
}
static void *creation(void *arg) {
  int made = msgget(IPC_PRIVATE, 0600);
  CHECK(made >= 0 && msgctl(made, IPC_RMID, NULL) == 0);
  made = semget(IPC_PRIVATE, 2, 0600);
  CHECK(made >= 0 && semctl(made, 0, IPC_RMID) == 0);
  made = shmget(IPC_PRIVATE, 4096, 0600);
  CHECK(made >= 0 && shmctl(made, IPC_RMID, NULL) == 0);
  return arg;
}
static void *attachment(void *arg) {
  void *at = shmat(id, NULL, 0);
  CHECK(at != (void *)-1 && shmdt(at) == 0);
  return arg;
}

static void *first_queue(void *arg) {
  int made = msgget(0x57ac4, IPC_CREAT | 0600);
  CHECK(made >= 0 && msgctl(made, IPC_RMID, NULL) == 0);
  return arg;
}
static void *first_set(void *arg) {
  int made = semget(0x57ac4, 2, IPC_CREAT | 0600);
  CHECK(made >= 0 && semctl(made, 0, IPC_RMID) == 0);
  return arg;
}
static void *first_segment(void *arg) {
  int made = shmget(0x57ac4, 4096, IPC_CREAT | 0600);
  void *at = shmat(made, NULL, 0);
  CHECK(made >= 0 && at != (void *)-1 && shmdt(at) == 0 && shmctl(made, IPC_RMID, NULL) == 0);
  return arg;
}
static void *first_listing(void *arg) {
  int fd = open("/proc/sysvipc/shm", O_RDONLY);
  CHECK(fd >= 0 && close(fd) == 0);
  return arg;
}
static void *first_failure(void *arg) {
  CHECK(msgget(0x57ac5, 0600) == -1 && errno == ENOENT);
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
static void objects_are_counted(void) { in_a_small_thread(information); }
static void objects_are_made(void) { in_a_small_thread(creation); }
static void segments_are_attached(void) { in_a_small_thread(attachment); }

/* In a process of its own, once in a new namespace (if there are any) and once in the same. */
static void first_of_a_process(void *(*f)(void *)) {
  static int count;
  const char *base = getenv("USYSV_NS");
  char ns[400];
  snprintf(ns, sizeof ns, "%s.%d", base ? base : "", count++);
  for (int i = 0; i < 2; i++) {
    pid_t child = fork();
    int status = -1;
    if (child == 0) {
      if (base)
        setenv("USYSV_NS", ns, 1);
      in_a_small_thread(f);
      _exit(check_failed);
    }
    CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
  }
}
static void the_first_call_makes_a_queue(void) { first_of_a_process(first_queue); }
static void the_first_call_makes_a_set(void) { first_of_a_process(first_set); }
static void the_first_call_makes_a_segment(void) { first_of_a_process(first_segment); }
static void the_first_call_finds_nothing(void) { first_of_a_process(first_failure); }
static void the_first_call_lists_segments(void) { first_of_a_process(first_listing); }

int main(void) {
  CASE(the_first_call_makes_a_queue);
  CASE(the_first_call_makes_a_set);
  CASE(the_first_call_makes_a_segment);
  CASE(the_first_call_finds_nothing);
  CASE(the_first_call_lists_segments);
  q = msgget(IPC_PRIVATE, 0600);
  set = semget(IPC_PRIVATE, 2, 0600);
  id = shmget(IPC_PRIVATE, 4096, 0600);
  CASE(values_and_messages);
  CASE(control_calls);
  CASE(objects_are_counted);
  CASE(objects_are_made);
  CASE(segments_are_attached);
  msgctl(q, IPC_RMID, NULL);
  semctl(set, 0, IPC_RMID);
  shmctl(id, IPC_RMID, NULL);
  return check_failed;
}
