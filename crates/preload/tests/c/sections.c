/* No handler runs inside a critical section, and none is lost. Needs the debug build's hooks. */
#include "check.h"

static void (*enter)(void), (*leave)(void);
static uint32_t (*depth)(void);

#define MAX 64
static volatile sig_atomic_t hits, inside;
static struct { int sig, code, value, pid; } seen[MAX];
static void note(int sig, siginfo_t *si, void *uc) {
  (void)uc;
  if (depth() != 0) inside++;
  if (hits < MAX) {
    seen[hits].sig = sig;
    seen[hits].code = si->si_code;
    seen[hits].value = si->si_value.sival_int;
    seen[hits].pid = si->si_pid;
  }
  hits++;
}
static void note_plain(int sig) {
  if (depth() != 0) inside++;
  if (hits < MAX) seen[hits].sig = sig;
  hits++;
}
static void install(int sig, int flags, int also_block) {
  struct sigaction sa = {0};
  sa.sa_sigaction = note;
  sa.sa_flags = SA_SIGINFO | flags;
  if (also_block) sigaddset(&sa.sa_mask, also_block);
  CHECK(sigaction(sig, &sa, NULL) == 0);
  hits = inside = 0;
}
static uint64_t mask_now(void) {
  uint64_t set = 0;
  syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &set, 8);
  return set;
}

static void deferred_with_its_siginfo(void) {
  install(SIGUSR1, 0, SIGUSR2);
  uint64_t before = mask_now();
  errno = 77;
  enter();
  kill(getpid(), SIGUSR1);
  CHECK(hits == 0);
  CHECK(mask_now() != before); /* everything is blocked for now */
  leave();
  CHECK(errno == 77);
  CHECK(hits == 1 && !inside && seen[0].sig == SIGUSR1);
  CHECK(seen[0].code == SI_USER && seen[0].pid == getpid());
  CHECK(mask_now() == before);
}

static void mask_of_the_program_comes_back(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGHUP);
  sigaddset(&set, SIGRTMIN + 5);
  sigprocmask(SIG_BLOCK, &set, NULL);
  uint64_t before = mask_now();
  install(SIGUSR1, 0, 0);
  enter();
  raise(SIGUSR1);
  leave();
  CHECK(hits == 1 && mask_now() == before);
  sigprocmask(SIG_UNBLOCK, &set, NULL);
}

static void nested_sections_wait_for_the_outermost(void) {
  install(SIGUSR1, 0, 0);
  enter();
  enter();
  raise(SIGUSR1);
  leave();
  CHECK(hits == 0);
  leave();
  CHECK(hits == 1 && !inside);
}

static void many_signals_in_one_section(void) {
  install(SIGUSR1, 0, 0);
  install(SIGUSR2, SA_NODEFER, 0);
  install(SIGTERM, SA_RESTART, 0);
  enter();
  raise(SIGUSR2);
  raise(SIGUSR1);
  raise(SIGTERM);
  raise(SIGUSR1); /* merges, as a pending one does */
  CHECK(hits == 0);
  leave();
  CHECK(hits == 3 && !inside);
}

static void realtime_values_keep_their_order(void) {
  install(SIGRTMIN, 0, 0);
  enter();
  for (int i = 0; i < 8; i++) sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 100 + i});
  CHECK(hits == 0);
  leave();
  CHECK(hits == 8);
  for (int i = 0; i < 8; i++) CHECK(seen[i].value == 100 + i && seen[i].code == SI_QUEUE);
}

static void one_shot_runs_once_after_the_section(void) {
  for (int with_info = 0; with_info < 2; with_info++) {
    struct sigaction sa = {0}, old;
    if (with_info) sa.sa_sigaction = note; else sa.sa_handler = note_plain;
    sa.sa_flags = SA_RESETHAND | SA_NODEFER | (with_info ? SA_SIGINFO : 0);
    sigaddset(&sa.sa_mask, SIGUSR2);
    sigaction(SIGUSR1, &sa, NULL);
    hits = inside = 0;
    enter();
    raise(SIGUSR1);
    sigaction(SIGUSR1, NULL, &old);
    CHECK(hits == 0);
    CHECK(old.sa_handler == sa.sa_handler && sigismember(&old.sa_mask, SIGUSR2));
    leave();
    CHECK(hits == 1 && !inside);
    sigaction(SIGUSR1, NULL, &old);
    CHECK(old.sa_handler == SIG_DFL && !!(old.sa_flags & SA_SIGINFO) == with_info);
  }
}

static void timer_and_child_keep_their_siginfo(void) {
  timer_t timer;
  struct sigevent ev = {0};
  ev.sigev_notify = SIGEV_SIGNAL;
  ev.sigev_signo = SIGRTMIN + 3;
  ev.sigev_value.sival_int = 31;
  struct itimerspec in = {.it_value = {0, 100000}, .it_interval = {0, 500000}};
  install(SIGRTMIN + 3, 0, 0);
  CHECK(timer_create(CLOCK_MONOTONIC, &ev, &timer) == 0);
  CHECK(timer_settime(timer, 0, &in, NULL) == 0);
  for (int round = 0; round < 20; round++) {
    int before = hits;
    struct timespec a, b;
    enter();
    clock_gettime(CLOCK_MONOTONIC, &a);
    do clock_gettime(CLOCK_MONOTONIC, &b);
    while ((b.tv_sec - a.tv_sec) * 1000000000L + b.tv_nsec - a.tv_nsec < 2000000);
    CHECK(hits == before);
    leave();
    CHECK(hits > before); /* and the interval timer goes on */
  }
  timer_delete(timer);
  CHECK(seen[0].code == SI_TIMER && seen[0].value == 31);

  install(SIGCHLD, 0, 0);
  int go[2];
  CHECK(pipe(go) == 0);
  pid_t pid = fork();
  if (pid == 0) {
    close(go[1]);
    _exit(read(go[0], go, 1) != 0); /* not before the section */
  }
  enter();
  close(go[1]);
  close(go[0]);
  siginfo_t si;
  waitid(P_PID, pid, &si, WEXITED | WNOWAIT);
  usleep(1000);
  CHECK(hits == 0);
  leave();
  CHECK(hits == 1 && seen[0].code == CLD_EXITED && seen[0].pid == pid);
  waitpid(pid, NULL, 0);
  signal(SIGCHLD, SIG_DFL);
}

/* The timer's siginfo was allocated with the timer; there is no room for another. */
static void no_signal_is_lost_when_none_can_be_queued(void) {
  timer_t timer;
  struct sigevent ev = {0};
  ev.sigev_notify = SIGEV_SIGNAL;
  ev.sigev_signo = SIGRTMIN + 4;
  struct itimerspec in = {.it_value = {0, 100000}};
  struct rlimit old, none;
  install(SIGRTMIN + 4, 0, 0);
  CHECK(timer_create(CLOCK_MONOTONIC, &ev, &timer) == 0);
  getrlimit(RLIMIT_SIGPENDING, &old);
  none = old;
  none.rlim_cur = 0;
  setrlimit(RLIMIT_SIGPENDING, &none);
  enter();
  CHECK(timer_settime(timer, 0, &in, NULL) == 0);
  usleep(2000);
  CHECK(hits == 0);
  leave();
  CHECK(hits == 1);
  setrlimit(RLIMIT_SIGPENDING, &old);
  timer_delete(timer);
}

static sigjmp_buf out;
static void jump(int sig) {
  if (depth() != 0) inside++;
  siglongjmp(out, sig);
}
static void siglongjmp_leaves_no_section_open(void) {
  inside = 0;
  signal(SIGUSR1, jump);
  uint64_t before = mask_now();
  for (volatile int i = 0; i < 1000; i++) {
    if (sigsetjmp(out, 1) == 0) {
      enter();
      raise(SIGUSR1);
      leave();
      CHECK(0);
    }
  }
  CHECK(!inside && depth() == 0 && mask_now() == before);
  signal(SIGUSR1, SIG_DFL);
}

static void faults_are_not_deferred_but_a_sent_sigsegv_is(void) {
  signal(SIGSEGV, jump);
  inside = 0;
  if (sigsetjmp(out, 1) == 0) {
    enter();
    *(volatile int *)8 = 1;
    CHECK(0);
  }
  CHECK(depth() == 0 && !inside); /* the handler sees no section: it may call us */

  install(SIGSEGV, 0, 0);
  uint64_t before = mask_now();
  enter();
  kill(getpid(), SIGSEGV);
  CHECK(hits == 0);
  leave();
  CHECK(hits == 1 && seen[0].code == SI_USER && mask_now() == before);
  signal(SIGSEGV, SIG_DFL);
}

static char *lazy;
static void map_it(int sig) {
  (void)sig;
  mprotect(lazy, 4096, PROT_READ | PROT_WRITE);
}
static void a_fault_handler_that_repairs_returns_into_the_section(void) {
  lazy = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  signal(SIGSEGV, map_it);
  enter();
  *(volatile char *)lazy = 1;
  CHECK(depth() == 1);
  leave();
  CHECK(depth() == 0);
  signal(SIGSEGV, SIG_DFL);
  munmap(lazy, 4096);
}

/* The storm: signals as fast as the timers give them, from threads too, while sections open and
   close. `held` is what a lock would be. */
static _Thread_local volatile int held;
static volatile int broken, stormed;
static void storm_plain(int sig) {
  (void)sig;
  if (held || depth()) broken++;
  enter(); /* a handler may use queues as well */
  held = 1;
  held = 0;
  leave();
  __atomic_add_fetch(&stormed, 1, __ATOMIC_RELAXED);
}
static void storm_info(int sig, siginfo_t *si, void *uc) {
  if (!si || !uc || si->si_signo != sig) broken++;
  storm_plain(sig);
}
static volatile int stop;
static void *sections(void *count) {
  uint64_t before = mask_now();
  while (!stop) {
    for (int i = 0; i < 1000; i++) {
      enter();
      if (held) broken++;
      held = 1;
      for (volatile int spin = 0; spin < 20; spin++) ;
      held = 0;
      leave();
    }
    ++*(long *)count;
  }
  if (mask_now() != before) broken++;
  return NULL;
}
static void storm_of_signals(void) {
  struct sigaction sa = {0};
  sa.sa_handler = storm_plain;
  sigaction(SIGALRM, &sa, NULL);
  sa.sa_flags = SA_NODEFER;
  sigaction(SIGUSR1, &sa, NULL);
  sa.sa_sigaction = storm_info;
  sa.sa_flags = SA_SIGINFO | SA_RESTART;
  sigaddset(&sa.sa_mask, SIGUSR1);
  sigaction(SIGUSR2, &sa, NULL);
  sigaction(SIGPROF, &sa, NULL);
  struct itimerval it = {{0, 100}, {0, 100}};
  setitimer(ITIMER_REAL, &it, NULL);
  setitimer(ITIMER_PROF, &it, NULL);
  pthread_t thread[2];
  long count[2] = {0, 0};
  stop = broken = stormed = 0;
  for (int i = 0; i < 2; i++) pthread_create(&thread[i], NULL, sections, &count[i]);
  time_t end = time(NULL) + 3;
  while (time(NULL) < end) {
    for (int i = 0; i < 200; i++) pthread_kill(thread[i & 1], i % 3 ? SIGUSR1 : SIGUSR2);
    enter();
    raise(SIGUSR1);
    leave();
  }
  stop = 1;
  for (int i = 0; i < 2; i++) pthread_join(thread[i], NULL);
  memset(&it, 0, sizeof it);
  setitimer(ITIMER_REAL, &it, NULL);
  setitimer(ITIMER_PROF, &it, NULL);
  CHECK(!broken && count[0] && count[1] && stormed > 1000);
  printf("    %d handlers, %ldk sections\n", stormed, count[0] + count[1]);
}

/* The same with handlers that jump away. */
static void storm_jump(int sig) {
  if (held || depth()) broken++;
  siglongjmp(out, sig);
}
static void storm_of_jumps(void) {
  struct sigaction sa = {0};
  sa.sa_handler = storm_jump;
  sigaction(SIGALRM, &sa, NULL);
  sigaction(SIGVTALRM, &sa, NULL);
  struct itimerval it = {{0, 73}, {0, 73}};
  uint64_t before = mask_now();
  volatile long jumps = 0, rounds = 0;
  broken = 0;
  volatile time_t end = time(NULL) + 2;
  if (sigsetjmp(out, 1)) jumps++;
  else {
    setitimer(ITIMER_REAL, &it, NULL);
    setitimer(ITIMER_VIRTUAL, &it, NULL);
  }
  while (time(NULL) < end) {
    enter();
    held = 1;
    for (volatile int spin = 0; spin < 100; spin++) ;
    held = 0;
    leave();
    rounds++;
  }
  memset(&it, 0, sizeof it);
  sigset_t both;
  sigemptyset(&both);
  sigaddset(&both, SIGALRM);
  sigaddset(&both, SIGVTALRM);
  signal(SIGALRM, SIG_IGN);
  signal(SIGVTALRM, SIG_IGN);
  setitimer(ITIMER_REAL, &it, NULL);
  setitimer(ITIMER_VIRTUAL, &it, NULL);
  CHECK(!broken && jumps > 100 && rounds && mask_now() == before && depth() == 0);
  printf("    %ld jumps\n", jumps);
}

int main(void) {
  enter = hook("usysv_test_enter");
  leave = hook("usysv_test_leave");
  depth = hook("usysv_test_depth");
  CASE(deferred_with_its_siginfo);
  CASE(mask_of_the_program_comes_back);
  CASE(nested_sections_wait_for_the_outermost);
  CASE(many_signals_in_one_section);
  CASE(realtime_values_keep_their_order);
  CASE(one_shot_runs_once_after_the_section);
  CASE(timer_and_child_keep_their_siginfo);
  CASE(no_signal_is_lost_when_none_can_be_queued);
  CASE(siglongjmp_leaves_no_section_open);
  CASE(faults_are_not_deferred_but_a_sent_sigsegv_is);
  CASE(a_fault_handler_that_repairs_returns_into_the_section);
  CASE(storm_of_signals);
  CASE(storm_of_jumps);
  return check_failed;
}
