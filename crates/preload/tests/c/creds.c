/* Changing identity works as ever. */
#include "check.h"
#include <grp.h>
#include <sys/fsuid.h>

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
int main(void) {
  CASE(root_drops_everything);
  CASE(changing_to_oneself);
  return check_failed;
}
