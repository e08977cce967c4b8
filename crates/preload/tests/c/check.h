/* One line per named case; a program's exit status is the number of cases that failed. */
#ifndef CHECK_H
#define CHECK_H
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int check_failed, check_bad;

#define CHECK(cond)                                                          \
  do {                                                                       \
    if (!(cond)) {                                                           \
      printf("    %s:%d: not so: %s (errno %d)\n", __FILE__, __LINE__,       \
             #cond, errno);                                                  \
      check_bad = 1;                                                         \
    }                                                                        \
  } while (0)

#define CASE(name)                                                           \
  do {                                                                       \
    check_bad = 0;                                                           \
    name();                                                                  \
    printf("  %s %s\n", check_bad ? "FAIL" : "ok  ", #name);                 \
    fflush(stdout);                                                          \
    check_failed += check_bad;                                               \
  } while (0)

/* A hook of the library's debug build. */
__attribute__((unused)) static void *hook(const char *name) {
  void *f = dlsym(RTLD_DEFAULT, name);
  if (!f) {
    printf("  FAIL %s is not there: no debug build of the library?\n", name);
    exit(99);
  }
  return f;
}
#endif
