/* What a plugin opened with RTLD_DEEPBIND gets for an interposed name. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/mman.h>
const char *plugin_munmap_from(void) {
  Dl_info where;
  return dladdr((void *)munmap, &where) ? where.dli_fname : "?";
}
