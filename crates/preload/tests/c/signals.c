/* Signal handlers behave as without the library: this passes on its own and under LD_PRELOAD. */
#include "check.h"

static volatile sig_atomic_t hits, got_sig, got_code, got_value, got_pid, info_was_null;
static void plain(int sig) { hits++; got_sig = sig; }
static void plain2(int sig) { hits += 100; got_sig = sig; }
static void info(int sig, siginfo_t *si, void *uc) {
  hits++;
  got_sig = sig;
  info_was_null = !si || !uc || si->si_signo != sig;
  got_code = si->si_code;
  got_value = si->si_value.sival_int;
  got_pid = si->si_pid;
}
static struct sigaction act_of(int sig) {
  struct sigaction sa;
  memset(&sa, 0x5a, sizeof sa);
  CHECK(sigaction(sig, NULL, &sa) == 0);
  return sa;
}
#define VISIBLE (~0x04000000) /* SA_RESTORER, the libc's own business */

static void oldact_shows_the_programs_action(void) {
  struct sigaction sa = {0}, old;
  sa.sa_handler = plain;
  sa.sa_flags = SA_RESTART;
  sigaddset(&sa.sa_mask, SIGUSR2);
  CHECK(sigaction(SIGUSR1, &sa, &old) == 0);
  CHECK(old.sa_handler == SIG_DFL && (old.sa_flags & VISIBLE) == 0);
  old = act_of(SIGUSR1);
  CHECK(old.sa_handler == plain);
  CHECK((old.sa_flags & VISIBLE) == SA_RESTART);
  CHECK(sigismember(&old.sa_mask, SIGUSR2) == 1 && sigismember(&old.sa_mask, SIGUSR1) == 0);

  sa.sa_sigaction = info;
  sa.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;
  sigemptyset(&sa.sa_mask);
  struct sigaction *both = &sa;
  CHECK(sigaction(SIGUSR1, &sa, both) == 0); /* the same place for both */
  CHECK(sa.sa_handler == plain && (sa.sa_flags & VISIBLE) == SA_RESTART);
  old = act_of(SIGUSR1);
  CHECK(old.sa_sigaction == info);
  CHECK((old.sa_flags & VISIBLE) == (SA_SIGINFO | SA_NODEFER | SA_ONSTACK));

  /* the same function both ways */
  sa.sa_handler = (void (*)(int))(void *)info;
  sa.sa_flags = 0;
  CHECK(sigaction(SIGUSR1, &sa, NULL) == 0);
  CHECK(act_of(SIGUSR1).sa_sigaction == info && (act_of(SIGUSR1).sa_flags & SA_SIGINFO) == 0);

  sa.sa_handler = SIG_IGN;
  CHECK(sigaction(SIGUSR1, &sa, &old) == 0 && old.sa_sigaction == info);
  CHECK(act_of(SIGUSR1).sa_handler == SIG_IGN && (act_of(SIGUSR1).sa_flags & VISIBLE) == 0);
  sa.sa_handler = SIG_DFL;
  CHECK(sigaction(SIGUSR1, &sa, NULL) == 0 && act_of(SIGUSR1).sa_handler == SIG_DFL);
}

static void wrong_signals_are_einval(void) {
  struct sigaction sa = {0}, old;
  sa.sa_handler = plain;
  int wrong[] = {0, -1, 65, 32, 33, SIGKILL, SIGSTOP};
  for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    errno = 0;
    CHECK(sigaction(wrong[i], &sa, &old) == -1 && errno == EINVAL);
    errno = 0;
    CHECK(signal(wrong[i], plain) == SIG_ERR && errno == EINVAL);
  }
  errno = 0;
  CHECK(signal(SIGUSR1, SIG_ERR) == SIG_ERR && errno == EINVAL);
}

static void signal_returns_the_handler_before(void) {
  errno = 7;
  CHECK(signal(SIGUSR1, plain) == SIG_DFL);
  CHECK((act_of(SIGUSR1).sa_flags & VISIBLE) == SA_RESTART);
  struct sigaction now = act_of(SIGUSR1);
  CHECK(sigismember(&now.sa_mask, SIGUSR1) == 1);
  CHECK(signal(SIGUSR1, plain2) == plain);
  hits = 0;
  raise(SIGUSR1);
  raise(SIGUSR1);
  CHECK(hits == 200 && got_sig == SIGUSR1);
  CHECK(signal(SIGUSR1, SIG_IGN) == plain2);
  raise(SIGUSR1);
  CHECK(signal(SIGUSR1, SIG_DFL) == SIG_IGN);
  CHECK(errno == 7);
}

extern __sighandler_t sysv_signal(int, __sighandler_t);
static void sysv_signal_is_one_shot(void) {
  CHECK(sysv_signal(SIGUSR1, plain) == SIG_DFL);
  struct sigaction old = act_of(SIGUSR1);
  CHECK(old.sa_handler == plain);
  CHECK((old.sa_flags & (SA_RESETHAND | SA_NODEFER | SA_RESTART | SA_SIGINFO)) ==
        (SA_RESETHAND | SA_NODEFER));
  hits = 0;
  raise(SIGUSR1);
  CHECK(hits == 1);
  old = act_of(SIGUSR1);
  CHECK(old.sa_handler == SIG_DFL && !(old.sa_flags & SA_SIGINFO));
  CHECK(sysv_signal(SIGUSR1, SIG_DFL) == SIG_DFL);
}

static void resethand_kills_the_second_time(void) {
  for (int with_info = 0; with_info < 2; with_info++) {
    pid_t pid = fork();
    if (pid == 0) {
      struct sigaction sa = {0};
      if (with_info) sa.sa_sigaction = info; else sa.sa_handler = plain;
      sa.sa_flags = SA_RESETHAND | (with_info ? SA_SIGINFO : 0);
      sigaction(SIGUSR1, &sa, NULL);
      hits = 0;
      raise(SIGUSR1);
      if (hits != 1) _exit(1);
      struct sigaction old = act_of(SIGUSR1);
      if (old.sa_handler != SIG_DFL) _exit(2);
      if (!!(old.sa_flags & SA_SIGINFO) != with_info) _exit(3);
      raise(SIGUSR1);
      _exit(4);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGUSR1);
  }
}

static void sigset_and_siginterrupt(void) {
  CHECK(sigset(SIGUSR1, plain) == SIG_DFL);
  CHECK(sigset(SIGUSR1, SIG_HOLD) == plain);
  hits = 0;
  raise(SIGUSR1);
  CHECK(hits == 0);
  CHECK(sigset(SIGUSR1, plain2) == SIG_HOLD);
  CHECK(hits == 100);
  CHECK(sigset(SIGUSR1, SIG_DFL) == plain2);
  errno = 0;
  CHECK(sigset(99, plain) == SIG_ERR && errno == EINVAL);

  CHECK(signal(SIGUSR1, plain) == SIG_DFL);
  CHECK(siginterrupt(SIGUSR1, 1) == 0);
  CHECK((act_of(SIGUSR1).sa_flags & VISIBLE) == 0 && act_of(SIGUSR1).sa_handler == plain);
  CHECK(signal(SIGUSR1, plain) == plain);
  CHECK((act_of(SIGUSR1).sa_flags & VISIBLE) == 0);
  CHECK(siginterrupt(SIGUSR1, 0) == 0);
  CHECK(signal(SIGUSR1, SIG_DFL) == plain);
  CHECK((act_of(SIGUSR1).sa_flags & SA_RESTART) == SA_RESTART);
}

static void install_info(int sig) {
  struct sigaction sa = {0};
  sa.sa_sigaction = info;
  sa.sa_flags = SA_SIGINFO;
  CHECK(sigaction(sig, &sa, NULL) == 0);
  hits = got_sig = got_code = got_value = got_pid = 0;
}

static void siginfo_of_every_source(void) {
  install_info(SIGUSR1);
  kill(getpid(), SIGUSR1);
  CHECK(hits == 1 && got_code == SI_USER && got_pid == getpid() && !info_was_null);

  install_info(SIGRTMIN + 1);
  sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = 4711});
  CHECK(hits == 1 && got_code == SI_QUEUE && got_value == 4711);

  install_info(SIGRTMIN + 2);
  timer_t timer;
  struct sigevent ev = {0};
  ev.sigev_notify = SIGEV_SIGNAL;
  ev.sigev_signo = SIGRTMIN + 2;
  ev.sigev_value.sival_int = 99;
  struct itimerspec in = {.it_value = {0, 1000000}};
  CHECK(timer_create(CLOCK_MONOTONIC, &ev, &timer) == 0);
  CHECK(timer_settime(timer, 0, &in, NULL) == 0);
  for (int i = 0; i < 1000 && !hits; i++) usleep(1000);
  CHECK(hits == 1 && got_code == SI_TIMER && got_value == 99);
  timer_delete(timer);

  install_info(SIGCHLD);
  pid_t pid = fork();
  if (pid == 0) _exit(3);
  for (int i = 0; i < 1000 && !hits; i++) usleep(1000);
  CHECK(hits == 1 && got_code == CLD_EXITED && got_pid == pid);
  int status;
  CHECK(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 3);
  signal(SIGCHLD, SIG_DFL);

  install_info(SIGALRM);
  struct itimerval it = {.it_value = {0, 1000}};
  setitimer(ITIMER_REAL, &it, NULL);
  for (int i = 0; i < 1000 && !hits; i++) usleep(1000);
  CHECK(hits == 1 && got_code == SI_KERNEL);
  signal(SIGALRM, SIG_DFL);
}

static volatile sig_atomic_t depth_seen, depth;
static void nesting(int sig) {
  depth++;
  if (depth > depth_seen) depth_seen = depth;
  if (depth < 5) raise(sig);
  depth--;
}
static void nodefer_nests_and_default_does_not(void) {
  struct sigaction sa = {0};
  sa.sa_handler = nesting;
  sigaction(SIGUSR1, &sa, NULL);
  depth = depth_seen = 4; /* one level more, no further */
  depth_seen = 0;
  raise(SIGUSR1);
  CHECK(depth_seen == 5);
  sa.sa_flags = SA_NODEFER;
  sigaction(SIGUSR1, &sa, NULL);
  depth = depth_seen = 0;
  raise(SIGUSR1);
  CHECK(depth_seen == 5);
  signal(SIGUSR1, SIG_DFL);
}

static volatile sig_atomic_t on_alt, mask_ok;
static char alt[65536];
static void on_stack(int sig) {
  char here;
  sigset_t now;
  on_alt = &here >= alt && &here < alt + sizeof alt;
  sigprocmask(SIG_BLOCK, NULL, &now);
  mask_ok = sigismember(&now, SIGUSR2) && sigismember(&now, sig) && !sigismember(&now, SIGHUP);
}
static void onstack_and_mask(void) {
  stack_t ss = {.ss_sp = alt, .ss_size = sizeof alt}, off = {.ss_flags = SS_DISABLE};
  struct sigaction sa = {0};
  sigset_t before, after;
  sigprocmask(SIG_BLOCK, NULL, &before);
  sigaltstack(&ss, NULL);
  sa.sa_handler = on_stack;
  sa.sa_flags = SA_ONSTACK;
  sigaddset(&sa.sa_mask, SIGUSR2);
  sigaction(SIGUSR1, &sa, NULL);
  raise(SIGUSR1);
  CHECK(on_alt && mask_ok);
  sigprocmask(SIG_BLOCK, NULL, &after);
  CHECK(memcmp(&before, &after, 8) == 0);
  sigaltstack(&off, NULL);
  signal(SIGUSR1, SIG_DFL);
}

static sigjmp_buf out;
static void jump(int sig) { siglongjmp(out, sig); }
static void siglongjmp_out_of_a_handler(void) {
  signal(SIGUSR1, jump);
  for (volatile int i = 0; i < 3; i++) {
    int sig = sigsetjmp(out, 1);
    if (sig == 0) {
      raise(SIGUSR1);
      CHECK(0);
    }
    CHECK(sig == SIGUSR1);
  }
  signal(SIGUSR1, SIG_DFL);
  /* a real fault */
  signal(SIGSEGV, jump);
  int sig = sigsetjmp(out, 1);
  if (sig == 0) *(volatile int *)8 = 1;
  CHECK(sig == SIGSEGV);
  signal(SIGSEGV, SIG_DFL);
}

/* The child runs in our memory, with its own table of actions. */
static void vfork_child_leaves_our_handlers_alone(void) {
  signal(SIGUSR1, plain);
  signal(SIGUSR2, SIG_IGN);
  pid_t pid = vfork();
  if (pid == 0) {
    struct sigaction old;
    signal(SIGUSR1, plain2);
    sigaction(SIGUSR1, NULL, &old);
    signal(SIGUSR2, plain2);
    raise(SIGUSR1); /* runs in the child */
    signal(SIGUSR1, SIG_DFL);
    _exit(old.sa_handler == plain2 ? 0 : 1);
  }
  int status;
  waitpid(pid, &status, 0);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  CHECK(act_of(SIGUSR1).sa_handler == plain && act_of(SIGUSR2).sa_handler == SIG_IGN);
  hits = 0;
  raise(SIGUSR1);
  raise(SIGUSR2);
  CHECK(hits == 1);
  signal(SIGUSR1, SIG_DFL);
  signal(SIGUSR2, SIG_DFL);
}

static void fork_child_keeps_and_changes_its_own(void) {
  signal(SIGUSR1, plain);
  pid_t pid = fork();
  if (pid == 0) {
    hits = 0;
    raise(SIGUSR1);
    if (hits != 1 || signal(SIGUSR1, plain2) != plain) _exit(1);
    raise(SIGUSR1);
    _exit(hits == 101 ? 0 : 2);
  }
  int status;
  waitpid(pid, &status, 0);
  CHECK(status == 0);
  CHECK(signal(SIGUSR1, SIG_DFL) == plain);
}

static void the_libc_saves_and_restores_actions(void) {
  signal(SIGINT, plain);
  signal(SIGQUIT, plain2);
  CHECK(system("exit 0") == 0);
  CHECK(act_of(SIGINT).sa_handler == plain && act_of(SIGQUIT).sa_handler == plain2);
  hits = 0;
  raise(SIGINT);
  CHECK(hits == 1);
  CHECK(signal(SIGINT, SIG_DFL) == plain && signal(SIGQUIT, SIG_DFL) == plain2);
}

static void exec_resets_handlers_and_keeps_ignored(void) {
  pid_t pid = fork();
  if (pid == 0) {
    signal(SIGUSR1, plain);
    signal(SIGUSR2, SIG_IGN);
    execl("/bin/sh", "sh", "-c", "kill -USR2 $$; kill -USR1 $$; exit 1", (char *)0);
    _exit(2);
  }
  int status;
  waitpid(pid, &status, 0);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGUSR1);
}

/* Two threads change an action while a third is hit by it: some handler of ours always runs. */
static volatile int stop;
static void *changer(void *arg) {
  struct sigaction sa = {0};
  (void)arg;
  while (!stop) {
    sa.sa_handler = plain;
    sa.sa_flags = 0;
    sigaction(SIGUSR1, &sa, NULL);
    sa.sa_sigaction = info;
    sa.sa_flags = SA_SIGINFO;
    sigaction(SIGUSR1, &sa, NULL);
  }
  return NULL;
}
static void changing_while_it_is_delivered(void) {
  pthread_t a, b;
  signal(SIGUSR1, plain);
  stop = 0;
  pthread_create(&a, NULL, changer, NULL);
  pthread_create(&b, NULL, changer, NULL);
  for (int i = 0; i < 50000; i++) {
    hits = 0;
    info_was_null = 0;
    pthread_kill(pthread_self(), SIGUSR1);
    if (hits != 1 || info_was_null) { CHECK(hits == 1 && !info_was_null); break; }
  }
  stop = 1;
  pthread_join(a, NULL);
  pthread_join(b, NULL);
  signal(SIGUSR1, SIG_DFL);
}

static void errno_survives_installing(void) {
  errno = 1234;
  signal(SIGUSR1, plain);
  act_of(SIGUSR1);
  signal(SIGUSR1, SIG_DFL);
  CHECK(errno == 1234);
}

/* More handlers than the library can tell apart: the rest are installed as they are. */
static void thousands_of_handlers(void) {
  for (uintptr_t i = 0; i < 2000; i++) {
    void (*h)(int) = (void (*)(int))(0x10000 + 16 * i);
    signal(SIGUSR1, h);
    CHECK(act_of(SIGUSR1).sa_handler == h && !(act_of(SIGUSR1).sa_flags & SA_SIGINFO));
  }
  signal(SIGUSR1, nesting); /* known before */
  install_info(SIGUSR2);
  signal(SIGUSR1, on_stack);
  depth = 9;
  raise(SIGUSR1);
  raise(SIGUSR2);
  CHECK(hits == 1 && got_sig == SIGUSR2 && !info_was_null);
  CHECK(signal(SIGUSR1, SIG_DFL) == on_stack);
  signal(SIGUSR2, SIG_DFL);
}

int main(void) {
  CASE(oldact_shows_the_programs_action);
  CASE(wrong_signals_are_einval);
  CASE(signal_returns_the_handler_before);
  CASE(sysv_signal_is_one_shot);
  CASE(resethand_kills_the_second_time);
  CASE(sigset_and_siginterrupt);
  CASE(siginfo_of_every_source);
  CASE(nodefer_nests_and_default_does_not);
  CASE(onstack_and_mask);
  CASE(siglongjmp_out_of_a_handler);
  CASE(vfork_child_leaves_our_handlers_alone);
  CASE(fork_child_keeps_and_changes_its_own);
  CASE(the_libc_saves_and_restores_actions);
  CASE(exec_resets_handlers_and_keeps_ignored);
  CASE(changing_while_it_is_delivered);
  CASE(errno_survives_installing);
  CASE(thousands_of_handlers);
  return check_failed;
}
