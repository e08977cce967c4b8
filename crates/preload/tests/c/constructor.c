/*
 * Two threads' first calls, one of them in a plugin's constructor, which runs under the loader's lock. What broke: the
 * other one asked the loader for a symbol while the constructor waited for what it was making, and that got ENOMEM.
 * Built with -DPLUGIN, this is the plugin.
 */
#ifdef PLUGIN
#include <errno.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <time.h>

int constructor_errno = -1;

__attribute__((constructor)) static void begin(void) {
  struct timespec until_the_other_calls = {0, 20000000};
  nanosleep(&until_the_other_calls, 0);
  int q = msgget(IPC_PRIVATE, 0600);
  constructor_errno = q < 0 ? errno : 0;
  msgctl(q, IPC_RMID, 0);
}
#else
#include "check.h"
#include <dlfcn.h>
#include <sys/ipc.h>
#include <sys/msg.h>

static void *first(void *arg) {
  usleep(5000);
  int q = msgget(IPC_PRIVATE, 0600);
  CHECK(q >= 0 && msgctl(q, IPC_RMID, NULL) == 0);
  return arg;
}

static void a_constructor_makes_a_queue(void) {
  pthread_t other;
  CHECK(pthread_create(&other, NULL, first, NULL) == 0);
  void *plugin = dlopen("constructor_plugin.so", RTLD_NOW);
  CHECK(plugin != NULL);
  int *seen = dlsym(plugin, "constructor_errno");
  CHECK(seen != NULL && *seen == 0);
  CHECK(pthread_join(other, NULL) == 0);
}

int main(void) {
  CASE(a_constructor_makes_a_queue);
  return check_failed;
}
#endif
