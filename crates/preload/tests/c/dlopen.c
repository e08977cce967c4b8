/* A plugin found through this program's own run path, opened with RTLD_DEEPBIND, still calls us. */
#include "check.h"

static void *from_thread(void *arg) {
  (void)arg;
  return dlopen("edge_plugin.so", RTLD_LAZY | RTLD_DEEPBIND);
}
static void plugin_is_found_by_run_path_and_bound_to_us(void) {
  void *plugin = dlopen("edge_plugin.so", RTLD_NOW | RTLD_DEEPBIND);
  CHECK(plugin != NULL);
  if (!plugin) { puts(dlerror()); return; }
  const char *(*from)(void) = (const char *(*)(void))dlsym(plugin, "plugin_munmap_from");
  CHECK(from != NULL && strstr(from(), getenv("LD_PRELOAD") ? "libusysv" : "libc.so"));
  pthread_t t;
  void *again;
  pthread_create(&t, NULL, from_thread, NULL);
  pthread_join(t, &again);
  CHECK(again == plugin);
}
static void errors_are_the_libcs(void) {
  CHECK(dlopen("no_such_plugin.so", RTLD_NOW | RTLD_DEEPBIND) == NULL);
  CHECK(strstr(dlerror(), "no_such_plugin.so") != NULL);
  CHECK(dlopen(NULL, RTLD_NOW) != NULL);
}
static void a_new_namespace_still_opens(void) {
  CHECK(dlmopen(LM_ID_NEWLM, "edge_plugin.so", RTLD_NOW | RTLD_DEEPBIND) != NULL);
}
int main(void) {
  CASE(plugin_is_found_by_run_path_and_bound_to_us);
  CASE(errors_are_the_libcs);
  CASE(a_new_namespace_still_opens);
  return check_failed;
}
