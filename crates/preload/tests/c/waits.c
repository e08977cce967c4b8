/*
 * What broke when a signal handler ran in a waiting call, or when a queue found no memory. Each case
 * says which mistake it is there for.
 */
#include "check.h"
#include <sys/ipc.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/ptrace.h>
#include <sys/sem.h>
#include <sys/user.h>
#include <sched.h>

struct message {
  long mtype;
  char text[8192];
};
static struct message message;

static int send_one(int q, long type, size_t len) {
  message.mtype = type;
  return msgsnd(q, &message, len, IPC_NOWAIT);
}

static void nap(void) { usleep(1000); }

static char state_of(pid_t pid) {
  char path[64], line[512] = "";
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  int fd = open(path, O_RDONLY);
  if (fd < 0) return '?';
  if (read(fd, line, sizeof line - 1) < 0) line[0] = 0;
  close(fd);
  char *end = strrchr(line, ')');
  return end ? end[2] : '?';
}

static void until_asleep(pid_t pid) {
  for (int seen = 0; seen < 3; nap()) seen = state_of(pid) == 'S' ? seen + 1 : 0;
}

/* Flags in memory that children share. */
static volatile int *flags;
enum { IN_HANDLER, DRAINED };

static void wait_until_drained(int sig) {
  (void)sig;
  flags[IN_HANDLER] = 1;
  while (!flags[DRAINED]) nap();
}

/*
 * The handler gave the waiter's slot back, the queue was emptied meanwhile and gave up all its slots:
 * the call looked at its slot and said EIO. A slot that is no more is a wait that is over.
 */
static void outlasts(int receiver) {
  int q = msgget(IPC_PRIVATE, 0600), count = 0;
  flags[IN_HANDLER] = flags[DRAINED] = 0;
  while (send_one(q, 1, 100) == 0) count++;
  pid_t pid = fork();
  if (pid == 0) {
    struct sigaction action = {.sa_handler = wait_until_drained};
    sigaction(SIGUSR1, &action, NULL);
    message.mtype = 1;
    long got = receiver ? msgrcv(q, &message, 100, 77, 0) : msgsnd(q, &message, 100, 0);
    _exit(got == -1 ? errno : 0);
  }
  until_asleep(pid);
  kill(pid, SIGUSR1);
  while (!flags[IN_HANDLER]) nap();
  sleep(2); /* an empty queue keeps what it added within the second */
  while (count > 0 && msgrcv(q, &message, 100, 0, IPC_NOWAIT) == 100) count--;
  CHECK(count == 0);
  flags[DRAINED] = 1;
  int status = 0;
  CHECK(waitpid(pid, &status, 0) == pid);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == EINTR);
  CHECK(msgctl(q, IPC_RMID, NULL) == 0);
}

static void a_receivers_handler_outlasts_a_shrink(void) { outlasts(1); }
static void a_senders_handler_outlasts_a_shrink(void) { outlasts(0); }

static int the_queue;

static void send_from_handler(int sig) {
  (void)sig;
  static struct message m = {.mtype = 2};
  memset(m.text, 0xaa, 64);
  msgsnd(the_queue, &m, 64, IPC_NOWAIT);
}

/* Waits for a message that nobody sends, then looks at the one that the handler sent. */
static void be_stepped(void) {
  struct sigaction action = {.sa_handler = send_from_handler};
  sigaction(SIGUSR1, &action, NULL);
  send_one(the_queue, 3, 64);
  msgrcv(the_queue, &message, 64, 3, 0);
  ptrace(PTRACE_TRACEME, 0, 0, 0);
  raise(SIGSTOP);
  long got = msgrcv(the_queue, &message, 64, 1, 0);
  if (got != -1 || errno != EINTR) _exit(1);
  memset(message.text, 0, 64);
  if (msgrcv(the_queue, &message, 64, 2, IPC_NOWAIT) != 64) _exit(2);
  for (int i = 0; i < 64; i++)
    if ((unsigned char)message.text[i] != 0xaa) _exit(3);
  _exit(0);
}

static sigjmp_buf home;

static void leave(int sig) {
  (void)sig;
  siglongjmp(home, 1);
}

/* Leaves its wait, and is not in line any more: what is sent then is anybody's at once. */
static void be_stepped_and_leave(void) {
  signal(SIGUSR1, leave);
  send_one(the_queue, 3, 64);
  msgrcv(the_queue, &message, 64, 3, 0);
  ptrace(PTRACE_TRACEME, 0, 0, 0);
  raise(SIGSTOP);
  if (sigsetjmp(home, 1) == 0) {
    msgrcv(the_queue, &message, 64, 1, 0);
    _exit(1);
  }
  if (send_one(the_queue, 1, 64) != 0) _exit(2);
  if (msgrcv(the_queue, &message, 64, 1, IPC_NOWAIT) != 64) _exit(3);
  _exit(0);
}

/* On a queue of its own, so that each takes the same way. */
static pid_t stepped(void (*body)(void)) {
  the_queue = msgget(IPC_PRIVATE, 0600);
  pid_t pid = fork();
  if (pid == 0) body();
  int status;
  waitpid(pid, &status, 0);
  return pid;
}

/* Executes one instruction. */
static void step(pid_t pid) {
  int status;
  ptrace(PTRACE_SINGLESTEP, pid, 0, 0);
  waitpid(pid, &status, 0);
}

/* A debug build takes many instructions for little: each fourth is enough there. */
enum { MOST = 400000, WINDOW = 2000, STRIDE = 4, LEAD = 40 };

/* Where each instruction was, from the stop to the futex call in which the receiver sleeps. */
static unsigned long trail[MOST];

static int steps_to_sleep(void (*body)(void)) {
  pid_t pid = stepped(body);
  int steps = 0;
  for (; steps < MOST; steps++) {
    struct user_regs_struct regs;
    ptrace(PTRACE_GETREGS, pid, 0, &regs);
    trail[steps] = regs.rip;
    if (regs.rax == SYS_futex && regs.rsi == 0 &&
        (ptrace(PTRACE_PEEKTEXT, pid, regs.rip, 0) & 0xffff) == 0x050f)
      break;
    step(pid);
  }
  kill(pid, SIGKILL);
  waitpid(pid, NULL, 0);
  CHECK(msgctl(the_queue, IPC_RMID, NULL) == 0);
  return steps;
}

/* How often the instruction at this place of the trail came before. */
static int visits_before(int place) {
  int visits = 0;
  for (int i = 0; i < place; i++) visits += trail[i] == trail[place];
  return visits;
}

/* Runs on to a place of the trail at full speed: stepping all the way would take minutes. */
static void run_to(pid_t pid, int place) {
  int visits = visits_before(place);
  long code = ptrace(PTRACE_PEEKTEXT, pid, trail[place], 0);
  for (; visits >= 0; visits--) {
    struct user_regs_struct regs;
    int status;
    ptrace(PTRACE_POKETEXT, pid, trail[place], (code & ~0xffL) | 0xcc);
    ptrace(PTRACE_CONT, pid, 0, 0);
    waitpid(pid, &status, 0);
    CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP);
    ptrace(PTRACE_POKETEXT, pid, trail[place], code);
    ptrace(PTRACE_GETREGS, pid, 0, &regs);
    regs.rip = trail[place];
    ptrace(PTRACE_SETREGS, pid, 0, &regs);
    if (visits > 0) step(pid);
  }
}

/* The handler comes at one after another of the last instructions before the sleep. */
static void handlers_before_the_sleep(void (*body)(void)) {
  int last = steps_to_sleep(body);
  CHECK(last > WINDOW + LEAD && last < MOST);
  if (check_bad) return;
  for (int at = last - WINDOW; at <= last && !check_bad; at += STRIDE) {
    /* The last steps one by one, from where execution seldom comes. */
    int from = at;
    for (int place = at - LEAD; place < at; place++)
      if (visits_before(place) < visits_before(from)) from = place;
    pid_t pid = stepped(body);
    run_to(pid, from);
    for (int i = from; i < at; i++) step(pid);
    ptrace(PTRACE_DETACH, pid, 0, SIGUSR1);
    int status = 0;
    waitpid(pid, &status, 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    if (check_bad) printf("    %d instructions before the sleep: status %#x\n", last - at, status);
    CHECK(msgctl(the_queue, IPC_RMID, NULL) == 0);
  }
}

/*
 * A receiver marks its slot as asleep. A handler that ran just before gave the slot back, and the
 * mark went into the text of whatever message was there by then. Here the handler sends a message
 * itself.
 */
static void a_handler_anywhere_before_the_sleep(void) { handlers_before_the_sleep(be_stepped); }

/*
 * A handler that came while the receiver lined up ran at the unlock, before the sleep was known to
 * its thread: one that left by siglongjmp stayed in line, and kept the next message for a second.
 */
static void leaves_anywhere_before_the_sleep(void) {
  handlers_before_the_sleep(be_stepped_and_leave);
}

/*
 * With more types than the heaps had room for and a full file system, a send failed after its
 * commit: the caller was told ENOMEM, but the message was there; or the heap's page without memory
 * was touched: SIGBUS.
 */
static void send_types_without_memory(void) {
  static const char zeroes[4096];
  int q = msgget(IPC_PRIVATE, 0600);
  CHECK(q >= 0);
  for (long type = 2; type <= 513; type++) CHECK(send_one(q, type, 0) == 0);
  CHECK(msgrcv(q, &message, 8192, -1, IPC_NOWAIT) == -1 && errno == ENOMSG);
  CHECK(send_one(q, 2, 0) == 0);
  char path[256];
  snprintf(path, sizeof path, "%s/../filler", getenv("USYSV_NS"));
  int fd = open(path, O_CREAT | O_WRONLY, 0600);
  while (write(fd, zeroes, sizeof zeroes) == sizeof zeroes) {}
  unsigned long expected = 513;
  for (long type = 1001; type <= 1005; type++) {
    int sent = send_one(q, type, 0);
    CHECK(sent == 0 || errno == ENOMEM);
    if (sent == 0) expected++;
    struct msqid_ds ds;
    CHECK(msgctl(q, IPC_STAT, &ds) == 0 && ds.msg_qnum == expected);
  }
  CHECK(expected == 518);
  CHECK(msgrcv(q, &message, 8192, -5, IPC_NOWAIT) == 0 && message.mtype == 2);
  CHECK(msgrcv(q, &message, 8192, 1003, IPC_NOWAIT) == 0 && message.mtype == 1003);
  unsigned long left = 0;
  while (msgrcv(q, &message, 8192, 0, IPC_NOWAIT) == 0) left++;
  CHECK(errno == ENOMSG && left == expected - 2);
  CHECK(msgctl(q, IPC_RMID, NULL) == 0);
}

static void more_types_on_a_full_file_system(void) {
  char dir[] = "/tmp/usysv-full-XXXXXX";
  CHECK(mkdtemp(dir) != NULL);
  pid_t pid = fork();
  if (pid == 0) {
    char path[64];
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", dir, "tmpfs", 0, "size=2m") != 0)
      _exit(77);
    snprintf(path, sizeof path, "%s/ns", dir);
    setenv("USYSV_NS", path, 1);
    send_types_without_memory();
    fflush(stdout);
    _exit(check_bad);
  }
  int status = 0;
  CHECK(waitpid(pid, &status, 0) == pid);
  rmdir(dir);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
    printf("  SKIP the next: mounting a small tmpfs takes root\n");
  else
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void count_nothing(int sig) { (void)sig; }

/*
 * The only sleeper of a set has no clock: a handler frees the word that it sleeps on. Who looks at the
 * set just then put the word back as it was, and with SA_RESTART the call slept on for ever.
 */
static void a_handler_beside_one_who_polls(void) {
  int set = semget(IPC_PRIVATE, 2, 0600);
  volatile int *ended = &flags[DRAINED + 1];
  pid_t sleeper = fork();
  if (sleeper == 0) {
    struct sigaction action = {.sa_handler = count_nothing, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &action, NULL);
    struct sembuf take = {0, -1, 0};
    while (semop(set, &take, 1) == -1 && errno == EINTR) ++*ended;
    _exit(1);
  }
  pid_t polls = fork();
  if (polls == 0) {
    struct sembuf look = {1, -1, IPC_NOWAIT};
    while (semop(set, &look, 1) == -1 && errno == EAGAIN) continue;
    _exit(1);
  }
  for (int round = 0; round < 100 && !check_bad; round++) {
    until_asleep(sleeper);
    int before = *ended, naps = 0;
    kill(sleeper, SIGUSR1);
    while (*ended == before && naps++ < 1000) nap();
    CHECK(*ended == before + 1);
  }
  kill(sleeper, SIGKILL);
  kill(polls, SIGKILL);
  CHECK(waitpid(sleeper, NULL, 0) == sleeper && waitpid(polls, NULL, 0) == polls);
  CHECK(semctl(set, 0, IPC_RMID) == 0);
}

enum { LEAVES = 300 };

/*
 * Leaves its waits by siglongjmp, many times, as a storm of signals has it; then it waits for nothing, and
 * what is sent is another's at once.
 */
static void leaves_in_a_storm(void) {
  int empty = msgget(IPC_PRIVATE, 0600), full = msgget(IPC_PRIVATE, 0600);
  unsigned long messages = 0;
  while (send_one(full, 1, 4000) == 0) messages++;
  volatile int *left = &flags[DRAINED + 2];
  *left = 0;
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigprocmask(SIG_BLOCK, &set, NULL);
  pid_t pid = fork();
  if (pid == 0) {
    signal(SIGUSR1, leave);
    while (*left < LEAVES) {
      if (sigsetjmp(home, 1) == 0) {
        sigprocmask(SIG_UNBLOCK, &set, NULL);
        if (*left % 2)
          msgsnd(full, &message, 4000, 0);
        else
          msgrcv(empty, &message, 64, 1, 0);
        _exit(1);
      }
      ++*left;
    }
    pause();
    _exit(2);
  }
  sigprocmask(SIG_UNBLOCK, &set, NULL);
  srand(1);
  while (*left < LEAVES && !check_bad) {
    kill(pid, SIGUSR1);
    if (rand() % 2) usleep(rand() % 300);
    CHECK(waitpid(pid, NULL, WNOHANG) == 0);
  }
  struct msqid_ds ds;
  CHECK(msgctl(empty, IPC_STAT, &ds) == 0 && ds.msg_qnum == 0);
  CHECK(msgctl(full, IPC_STAT, &ds) == 0 && ds.msg_qnum == messages);
  for (int i = 0; i < 10; i++) {
    CHECK(send_one(empty, 1, 8) == 0);
    CHECK(msgrcv(empty, &message, 64, 1, IPC_NOWAIT) == 8);
    CHECK(msgrcv(full, &message, 4000, 0, IPC_NOWAIT) == 4000);
    CHECK(send_one(full, 1, 4000) == 0);
  }
  kill(pid, SIGKILL);
  CHECK(waitpid(pid, NULL, 0) == pid);
  CHECK(msgctl(empty, IPC_RMID, NULL) == 0 && msgctl(full, IPC_RMID, NULL) == 0);
}

enum { MUTEXES = 4, KILLS = 40 };

struct shared {
  pthread_mutex_t mutexes[MUTEXES];
  volatile long sent, received;
};

/* Takes and gives back robust mutexes around and between hand-overs to who sleeps alone. */
static void hold_and_send(struct shared *s, int q) {
  struct message m = {.mtype = 1};
  for (unsigned i = 0;; i++) {
    for (int k = 0; k < MUTEXES; k++) {
      int locked = pthread_mutex_lock(&s->mutexes[k]);
      if (locked == EOWNERDEAD) locked = pthread_mutex_consistent(&s->mutexes[k]);
      if (locked != 0) _exit(2);
      if (k == MUTEXES / 2 && msgsnd(q, &m, 8, 0) != 0) _exit(3);
    }
    if (msgsnd(q, &m, 8, 0) != 0) _exit(4);
    s->sent++;
    for (int k = 0; k < MUTEXES; k++) {
      if (pthread_mutex_unlock(&s->mutexes[(k + i) % MUTEXES]) != 0) _exit(5);
      if (k == 1 && msgsnd(q, &m, 8, 0) != 0) _exit(6);
    }
  }
}

static void receive_on(struct shared *s, int q) {
  while (msgrcv(q, &message, sizeof message.text, 0, 0) == 8) s->received++;
  _exit(errno == EIDRM || errno == EINVAL ? 0 : 1);
}

/*
 * What a waker owes stands in the libc's own list of held mutexes, among the program's. Killed at whatever
 * moment, it leaves none of them held, and the sleeper awake.
 */
static void robust_mutexes_beside_a_debt(void) {
  struct shared *s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  for (int k = 0; k < MUTEXES; k++) {
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    if (k % 2) pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT);
    CHECK(pthread_mutex_init(&s->mutexes[k], &attr) == 0);
  }
  int q = msgget(IPC_PRIVATE, 0600);
  pid_t receiver = fork();
  if (receiver == 0) receive_on(s, q);
  for (int kills = 0; kills < KILLS && !check_bad; kills++) {
    long before = s->received, sent = s->sent;
    pid_t sender = fork();
    if (sender == 0) hold_and_send(s, q);
    int naps = 0;
    while ((s->received < before + 20 || s->sent < sent + 5) && naps++ < 5000) nap();
    CHECK(naps < 5000);
    usleep(rand() % 500);
    kill(sender, SIGKILL);
    int status = 0;
    CHECK(waitpid(sender, &status, 0) == sender && WIFSIGNALED(status));
    for (int k = 0; k < MUTEXES; k++) {
      struct timespec until;
      clock_gettime(CLOCK_REALTIME, &until);
      until.tv_sec += 2;
      int locked = pthread_mutex_timedlock(&s->mutexes[k], &until);
      CHECK(locked == 0 || locked == EOWNERDEAD);
      if (locked == EOWNERDEAD) pthread_mutex_consistent(&s->mutexes[k]);
      if (locked == 0 || locked == EOWNERDEAD) pthread_mutex_unlock(&s->mutexes[k]);
    }
  }
  int status = 0;
  CHECK(msgctl(q, IPC_RMID, NULL) == 0);
  CHECK(waitpid(receiver, &status, 0) == receiver && WIFEXITED(status) && WEXITSTATUS(status) == 0);
  munmap(s, sizeof *s);
}

static int the_set;

static void *sleeps_in_msgrcv(void *unused) {
  msgrcv(the_queue, &message, sizeof message.text, 1, 0);
  return unused;
}

static void *sleeps_in_semop(void *unused) {
  struct sembuf take = {0, -1, 0};
  semop(the_set, &take, 1);
  return unused;
}

static void *execs(void *unused) {
  usleep(20000);
  execlp("sleep", "sleep", "20", NULL);
  _exit(1);
  return unused;
}

/* Another thread's exec ends a wait, whichever of the two was the process's first. */
static void execs_beside(int first_sleeps, void *(*sleeps)(void *)) {
  the_queue = msgget(IPC_PRIVATE, 0600);
  the_set = semget(IPC_PRIVATE, 1, 0600);
  struct sembuf give = {0, 1, 0}, take = {0, -1, IPC_NOWAIT};
  pid_t pid = fork();
  if (pid == 0) {
    pthread_t thread;
    pthread_create(&thread, NULL, first_sleeps ? execs : sleeps, NULL);
    (first_sleeps ? sleeps : execs)(NULL);
    _exit(2);
  }
  char name[64] = "", path[64];
  snprintf(path, sizeof path, "/proc/%d/comm", pid);
  while (strncmp(name, "sleep", 5) != 0) {
    nap();
    int fd = open(path, O_RDONLY);
    ssize_t len = read(fd, name, sizeof name - 1);
    close(fd);
    CHECK(len > 0);
    if (check_bad) break;
  }
  usleep(50000);
  /* What is given now is anybody's; whoever sleeps next is woken. */
  CHECK(semctl(the_set, 0, GETNCNT) == 0);
  CHECK(semop(the_set, &give, 1) == 0 && semop(the_set, &take, 1) == 0);
  CHECK(send_one(the_queue, 1, 8) == 0);
  usleep(30000);
  CHECK(msgrcv(the_queue, &message, sizeof message.text, 1, IPC_NOWAIT) == 8);
  for (int i = 0; i < 3; i++) {
    pid_t next = fork();
    if (next == 0) {
      sleeps(NULL);
      _exit(0);
    }
    until_asleep(next);
    CHECK(semop(the_set, &give, 1) == 0 && send_one(the_queue, 1, 8) == 0);
    CHECK(waitpid(next, NULL, 0) == next);
    semop(the_set, &take, 1);
    msgrcv(the_queue, &message, sizeof message.text, 1, IPC_NOWAIT);
  }
  kill(pid, SIGKILL);
  CHECK(waitpid(pid, NULL, 0) == pid);
  CHECK(msgctl(the_queue, IPC_RMID, NULL) == 0 && semctl(the_set, 0, IPC_RMID) == 0);
}

static void an_exec_beside_a_sleeper(void) {
  for (int first = 0; first < 2; first++) {
    execs_beside(first, sleeps_in_msgrcv);
    execs_beside(first, sleeps_in_semop);
  }
}

int main(void) {
  setvbuf(stdout, NULL, _IONBF, 0);
  flags = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  /* First: this process has no namespace yet. */
  CASE(more_types_on_a_full_file_system);
  CASE(a_receivers_handler_outlasts_a_shrink);
  CASE(a_senders_handler_outlasts_a_shrink);
  CASE(a_handler_anywhere_before_the_sleep);
  CASE(leaves_anywhere_before_the_sleep);
  CASE(a_handler_beside_one_who_polls);
  CASE(leaves_in_a_storm);
  CASE(robust_mutexes_beside_a_debt);
  CASE(an_exec_beside_a_sleeper);
  return check_failed;
}
