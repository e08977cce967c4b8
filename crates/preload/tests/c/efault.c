/* The probe answers as the kernel's EFAULT would, and forgets what is unmapped. Debug build. */
#include "check.h"

static _Bool (*accessible)(uintptr_t, size_t, _Bool);
static _Bool readable(const void *p, size_t n) { return accessible((uintptr_t)p, n, 0); }
static _Bool writable(const void *p, size_t n) { return accessible((uintptr_t)p, n, 1); }
static char *map(size_t n, int prot) {
  return mmap(NULL, n, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}
static char zeros[3 * 4096];
static const char constant[] = "constant";

static void ordinary_memory(void) {
  char local[100];
  char *heap = malloc(100000);
  for (int i = 0; i < 3; i++) {
    CHECK(readable(local, sizeof local) && writable(local, sizeof local));
    CHECK(readable(zeros, sizeof zeros) && writable(zeros, sizeof zeros));
    CHECK(readable(heap, 100000) && writable(heap, 100000));
    CHECK(readable(constant, sizeof constant) && !writable(constant, sizeof constant));
  }
  free(heap);
}
static void no_memory(void) {
  CHECK(!readable(NULL, 1) && !writable(NULL, 1));
  CHECK(readable(NULL, 0) && writable(NULL, 0));
  CHECK(!readable((void *)8, 8) && !readable((void *)-1, 1) && !writable((void *)-8, 8));
  CHECK(!readable((void *)-8, 16) && !readable(zeros, SIZE_MAX) && !writable(zeros, SIZE_MAX / 2));
  CHECK(!readable((void *)0xffff800000000000, 8) && !readable((void *)0x800000000000, 8));
  CHECK(!writable((void *)0x1234567890abcdef, 8));
}
static void edges_of_a_mapping(void) {
  char *p = map(3 * 4096, PROT_READ | PROT_WRITE);
  mprotect(p + 4096, 4096, PROT_NONE);
  CHECK(readable(p, 4096) && !readable(p, 4097) && !readable(p + 4095, 2) && readable(p + 4095, 1));
  CHECK(!readable(p + 4096, 1) && !readable(p + 8191, 1) && readable(p + 8192, 4096));
  CHECK(writable(p + 4095, 1) && !writable(p + 4095, 2) && !readable(p, 3 * 4096));
  munmap(p, 3 * 4096);
}
static void read_only_and_none(void) {
  char *p = map(4096, PROT_READ);
  CHECK(readable(p, 10) && !writable(p, 10) && readable(p, 10));
  mprotect(p, 4096, PROT_NONE);
  CHECK(!readable(p, 10));
  mprotect(p, 4096, PROT_READ | PROT_WRITE);
  CHECK(writable(p, 10) && p[0] == 0 && p[4095] == 0);
  mprotect(p, 4096, PROT_READ);
  CHECK(!writable(p, 10) && readable(p, 10));
  munmap(p, 4096);
}
static void probing_changes_nothing(void) {
  char *p = map(4096, PROT_READ | PROT_WRITE);
  sigset_t a, b;
  memset(p, 0xa5, 4096);
  sigprocmask(SIG_BLOCK, NULL, &a);
  errno = 55;
  CHECK(writable(p, 4096) && readable(p, 4096) && !readable((void *)1, 1));
  CHECK(errno == 55);
  sigprocmask(SIG_BLOCK, NULL, &b);
  CHECK(!memcmp(&a, &b, 8));
  for (int i = 0; i < 4096; i++) CHECK((unsigned char)p[i] == 0xa5);
  munmap(p, 4096);
}
static void unmapped_in_every_way(void) {
  char *p = map(4096, PROT_READ | PROT_WRITE);
  CHECK(writable(p, 1));
  munmap(p, 4096);
  CHECK(!writable(p, 1) && !readable(p, 1));
  p = map(2 * 4096, PROT_READ | PROT_WRITE);
  CHECK(readable(p + 4096, 1));
  CHECK(mremap(p, 8192, 4096, 0) == p);
  CHECK(!readable(p + 4096, 1) && readable(p, 1));
  CHECK(mmap(p, 4096, PROT_NONE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == p);
  CHECK(!readable(p, 1));
  munmap(p, 4096);
}
static void *unmap(void *p) {
  munmap(p, 4096);
  return NULL;
}
static void unmapped_by_another_thread(void) {
  for (int i = 0; i < 100; i++) {
    char *p = map(4096, PROT_READ | PROT_WRITE);
    pthread_t t;
    CHECK(writable(p, 1));
    pthread_create(&t, NULL, unmap, p);
    pthread_join(t, NULL);
    CHECK(!writable(p, 1));
  }
}
static void a_fork_child_remembers_and_forgets(void) {
  char *p = map(4096, PROT_READ | PROT_WRITE);
  CHECK(writable(p, 1));
  pid_t pid = fork();
  if (pid == 0) {
    int bad = !writable(p, 1);
    munmap(p, 4096);
    _exit(bad || writable(p, 1));
  }
  int status;
  waitpid(pid, &status, 0);
  CHECK(status == 0 && writable(p, 1));
  munmap(p, 4096);
}

int main(void) {
  accessible = hook("usysv_test_accessible");
  CASE(ordinary_memory);
  CASE(no_memory);
  CASE(edges_of_a_mapping);
  CASE(read_only_and_none);
  CASE(probing_changes_nothing);
  CASE(unmapped_in_every_way);
  CASE(unmapped_by_another_thread);
  CASE(a_fork_child_remembers_and_forgets);
  return check_failed;
}
