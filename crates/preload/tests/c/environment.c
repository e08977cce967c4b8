/*
 * Daemons empty their environment, or write a title over it, before they make their first call. The
 * namespace was looked up then, and they had the user's default one: their clients saw nothing of them.
 */
#include "check.h"
#include <sys/ipc.h>
#include <sys/msg.h>

extern char **environ;

static void write_over(void) {
  for (char **at = environ; *at; at++) memset(*at, 0, strlen(*at));
}
static void empty(void) { clearenv(); }
static void none(void) { environ = NULL; }

/* A child that has not used the library yet makes a queue; its parent finds it. */
static void finds_what_it_made_after(void (*change)(void), key_t key) {
  pid_t pid = fork();
  if (pid == 0) {
    change();
    _exit(msgget(key, IPC_CREAT | IPC_EXCL | 0600) < 0 ? errno : 0);
  }
  int status = -1;
  CHECK(waitpid(pid, &status, 0) == pid && status == 0);
  /* In a child as well: the next case's child is to make its first call after the change. */
  pid = fork();
  if (pid == 0) {
    int q = msgget(key, 0600);
    _exit(q < 0 ? errno : msgctl(q, IPC_RMID, NULL) ? errno : 0);
  }
  CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

static void an_emptied_environment_changes_nothing(void) { finds_what_it_made_after(empty, 0x65790001); }
static void no_environment_changes_nothing(void) { finds_what_it_made_after(none, 0x65790002); }
static void a_title_over_it_changes_nothing(void) { finds_what_it_made_after(write_over, 0x65790003); }

int main(void) {
  CASE(an_emptied_environment_changes_nothing);
  CASE(no_environment_changes_nothing);
  CASE(a_title_over_it_changes_nothing);
  return check_failed;
}
