/* Threads are cancelled in and at calls as without the library: this passes on its own and under LD_PRELOAD. */
#include "check.h"
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>

struct message {
  long mtype;
  char text[4096];
};

enum call { RECEIVES, SENDS, TAKES };
static int q, set;
static volatile int cleaned, began, many;

static int post(int n) {
  struct sembuf op = {0, n, IPC_NOWAIT};
  return semop(set, &op, 1);
}

static int send_one(long type) {
  struct message m = {.mtype = type};
  return msgsnd(q, &m, sizeof m.text, IPC_NOWAIT);
}

static long receive_one(long type) {
  struct message m;
  return msgrcv(q, &m, sizeof m.text, type, IPC_NOWAIT);
}

static void handler(int sig) { (void)sig; }

/* What a cleanup handler may do: have signals handled, and use what the cancelled call used. */
static void clean(void *call) {
  char deep[8192];
  memset(deep, 0x5a, sizeof deep);
  __asm__ volatile("" : : "r"(deep) : "memory");
  pthread_kill(pthread_self(), SIGUSR1);
  if (many) return; /* another would take it */
  switch ((enum call)(long)call) {
  case RECEIVES: cleaned = send_one(7) == 0 && receive_one(7) >= 0; break;
  case SENDS: cleaned = receive_one(1) >= 0 && send_one(1) == 0; break;
  case TAKES: cleaned = semctl(set, 0, GETNCNT) == 0 && post(1) == 0 && post(-1) == 0; break;
  }
}

static void *makes(void *call) {
  struct message m = {.mtype = 1};
  struct sembuf take = {0, -1, 0};
  long got = -1;
  pthread_cleanup_push(clean, call);
  began = 1;
  switch ((enum call)(long)call) {
  case RECEIVES: got = msgrcv(q, &m, sizeof m.text, 7, 0); break;
  case SENDS: got = msgsnd(q, &m, sizeof m.text, 0); break;
  case TAKES:
    /* The libc may signal a thread to which nothing happens then. */
    while ((got = semop(set, &take, 1)) == -1 && errno == EINTR) continue;
    break;
  }
  pthread_cleanup_pop(0);
  return (void *)(got >= 0 ? 1L : 2L);
}

static void *at_any_instruction(void *call) {
  int old;
  pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &old);
  return makes(call);
}

static void *not_at_all(void *call) {
  int old;
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
  return makes(call);
}

static void make_objects(void) {
  signal(SIGUSR1, handler);
  q = msgget(IPC_PRIVATE, 0600);
  set = semget(IPC_PRIVATE, 1, 0600);
  cleaned = began = many = 0;
}

static void remove_objects(void) {
  CHECK(msgctl(q, IPC_RMID, NULL) == 0);
  CHECK(semctl(set, 0, IPC_RMID) == 0);
}

/* A thread that is about to sleep in a call, or sleeps. */
static pthread_t sleeper(void *(*how)(void *), enum call call) {
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, how, (void *)(long)call) == 0);
  while (!began) usleep(1000);
  usleep(20000);
  return thread;
}

static void *end_of(pthread_t thread) {
  struct timespec until;
  void *end = NULL;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec += 5;
  CHECK(pthread_timedjoin_np(thread, &end, &until) == 0);
  return end;
}

static void cancelled(void *(*how)(void *), enum call call) {
  make_objects();
  if (call == SENDS)
    while (send_one(1) == 0) continue;
  pthread_t thread = sleeper(how, call);
  CHECK(pthread_cancel(thread) == 0);
  CHECK(end_of(thread) == PTHREAD_CANCELED);
  CHECK(cleaned);
  remove_objects();
}

/* With the library they slept on: it makes its system calls itself, and asked nobody. */
static void a_receiver_is_cancelled(void) { cancelled(makes, RECEIVES); }
static void a_sender_is_cancelled(void) { cancelled(makes, SENDS); }

/*
 * What the cancelled call had on the stack was to end its wait at the next handler's start, also when
 * other frames lay there.
 */
static void a_receiver_is_cancelled_anywhere(void) { cancelled(at_any_instruction, RECEIVES); }
static void a_sender_is_cancelled_anywhere(void) { cancelled(at_any_instruction, SENDS); }
static void a_semop_is_cancelled_anywhere(void) { cancelled(at_any_instruction, TAKES); }

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec + now.tv_nsec / 1e9;
}

/* From the first cancellation on threads sleep with clocks: a semop noticed only at the next beat, 500 ms. */
static void a_later_semop_is_cancelled_before_its_beat(void) {
  double quickest = 10;
  for (int i = 0; i < 5; i++) {
    make_objects();
    pthread_t thread = sleeper(at_any_instruction, TAKES);
    usleep(80000);
    double began_at = seconds();
    CHECK(pthread_cancel(thread) == 0);
    CHECK(end_of(thread) == PTHREAD_CANCELED);
    double took = seconds() - began_at;
    quickest = took < quickest ? took : quickest;
    remove_objects();
  }
  CHECK(quickest < 0.2);
}

static void not_cancelled(void *(*how)(void *), enum call call) {
  make_objects();
  pthread_t thread = sleeper(how, call);
  CHECK(pthread_cancel(thread) == 0);
  usleep(700000);
  CHECK(call == TAKES ? post(1) == 0 : send_one(7) == 0);
  CHECK(end_of(thread) == (void *)1);
  remove_objects();
}

static void a_semop_is_no_cancellation_point(void) { not_cancelled(makes, TAKES); }
static void who_is_not_to_be_cancelled_receives(void) { not_cancelled(not_at_all, RECEIVES); }

static void *is_cancelled_already(void *unused) {
  (void)unused;
  pthread_cancel(pthread_self());
  receive_one(7);
  return (void *)1;
}

static void who_is_cancelled_before_takes_nothing(void) {
  make_objects();
  CHECK(send_one(7) == 0);
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, is_cancelled_already, NULL) == 0);
  CHECK(end_of(thread) == PTHREAD_CANCELED);
  CHECK(receive_one(7) >= 0);
  remove_objects();
}

enum { TURNS = 100 };

static void *answers(void *unused) {
  struct message m;
  for (int i = 0; i < TURNS; i++) {
    if (msgrcv(q, &m, sizeof m.text, 1, 0) < 0) return NULL;
    usleep(1000);
    m.mtype = 2;
    if (msgsnd(q, &m, 1, 0) != 0) return NULL;
  }
  return unused;
}

/* After a cancellation threads sleep in another way, and are woken as promptly. */
static void hand_overs_after_a_cancellation(void) {
  make_objects();
  int here;
  pthread_t thread;
  time_t begun = time(NULL);
  CHECK(pthread_create(&thread, NULL, answers, &here) == 0);
  for (int i = 0; i < TURNS && !check_bad; i++) {
    struct message m = {.mtype = 1};
    usleep(1000);
    CHECK(msgsnd(q, &m, 1, 0) == 0);
    CHECK(msgrcv(q, &m, sizeof m.text, 2, 0) == 1);
  }
  CHECK(end_of(thread) == &here);
  CHECK(time(NULL) - begun < TURNS / 4);
  remove_objects();
}

enum { STORM = 100 };

/* While threads come and are cancelled, nothing is lost of what one process sends another. */
static void a_storm_of_cancellations(void) {
  make_objects();
  many = 1;
  pid_t pid = fork();
  if (pid == 0) {
    struct message m = {.mtype = 5};
    alarm(30);
    for (int i = 0; i < 2000; i++) {
      memcpy(m.text, &i, sizeof i);
      if (msgsnd(q, &m, sizeof i, 0) != 0) _exit(1);
    }
    _exit(0);
  }
  pthread_t threads[STORM];
  void *(*const hows[])(void *) = {makes, at_any_instruction};
  for (int i = 0; i < STORM; i++)
    CHECK(pthread_create(&threads[i], NULL, hows[i % 2], (void *)(long)(i % 4 < 2 ? RECEIVES : TAKES)) == 0);
  int next = 0, cancels = 0;
  for (; next < 2000 && !check_bad; next++) {
    struct message m;
    int number = -1;
    CHECK(msgrcv(q, &m, sizeof m.text, 5, 0) == sizeof number);
    memcpy(&number, m.text, sizeof number);
    CHECK(number == next);
    if (next % 20 == 0) pthread_cancel(threads[cancels++]);
  }
  for (int i = 0; i < STORM; i++) pthread_cancel(threads[i]);
  for (int i = 0; i < STORM; i++)
    if (i % 4 != 2) CHECK(end_of(threads[i]) == PTHREAD_CANCELED);
  CHECK(post(STORM / 4) == 0); /* semop is no cancellation point */
  for (int i = 2; i < STORM; i += 4) CHECK(end_of(threads[i]) == (void *)1);
  int status = 0;
  CHECK(waitpid(pid, &status, 0) == pid && status == 0);
  CHECK(send_one(7) == 0 && receive_one(7) >= 0);
  CHECK(semctl(set, 0, GETNCNT) == 0);
  remove_objects();
}

int main(void) {
  CASE(a_receiver_is_cancelled);
  CASE(a_sender_is_cancelled);
  CASE(a_receiver_is_cancelled_anywhere);
  CASE(a_sender_is_cancelled_anywhere);
  CASE(a_semop_is_cancelled_anywhere);
  CASE(a_later_semop_is_cancelled_before_its_beat);
  CASE(a_semop_is_no_cancellation_point);
  CASE(who_is_not_to_be_cancelled_receives);
  CASE(who_is_cancelled_before_takes_nothing);
  CASE(hand_overs_after_a_cancellation);
  CASE(a_storm_of_cancellations);
  return check_failed;
}
