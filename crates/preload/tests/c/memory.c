/*
 * Calls that cut an attachment as mlock and madvise do were not seen by their other names, and a page that
 * was made to fault by advice was taken for readable: SIGSEGV where Linux says EFAULT.
 */
#include "check.h"
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/shm.h>

enum { PAGE = 4096 };

static int id;
static int count(void) {
  struct shmid_ds ds;
  return shmctl(id, IPC_STAT, &ds) == 0 ? (int)ds.shm_nattch : -1;
}
static char *attached(void) {
  id = shmget(IPC_PRIVATE, 4 * PAGE, 0600);
  char *at = shmat(id, NULL, 0);
  CHECK(shmctl(id, IPC_RMID, NULL) == 0 && count() == 1);
  return at;
}

static void mlock2_cuts(void) {
  char *at = attached();
  CHECK(mlock2(at, PAGE, 0) == 0 && count() == 2);
  CHECK(mlock2(at + PAGE, PAGE, MLOCK_ONFAULT) == 0 && count() == 3);
  CHECK(mlock(at + PAGE, PAGE) == 0 && count() == 3);
  CHECK(mlock2(at, 3 * PAGE, MLOCK_ONFAULT) == 0 && count() == 3);
  CHECK(munlock(at, 4 * PAGE) == 0 && count() == 3);
  CHECK(mlock2(at, PAGE, 64) == -1 && errno == EINVAL && count() == 3);
  CHECK(shmdt(at) == 0);
}
static void posix_madvise_cuts(void) {
  char *at = attached();
  errno = 0;
  CHECK(posix_madvise(at, PAGE, POSIX_MADV_SEQUENTIAL) == 0 && count() == 2);
  CHECK(posix_madvise(at + PAGE, PAGE, POSIX_MADV_RANDOM) == 0 && count() == 3);
  at[0] = 'x';
  CHECK(posix_madvise(at, 4 * PAGE, POSIX_MADV_DONTNEED) == 0 && count() == 3 && at[0] == 'x');
  CHECK(posix_madvise(at, 4 * PAGE, POSIX_MADV_NORMAL) == 0 && count() == 3);
  CHECK(posix_madvise(at, PAGE, 77) == EINVAL && posix_madvise(at + 1, PAGE, POSIX_MADV_NORMAL) == EINVAL);
  CHECK(errno == 0 && shmdt(at) == 0);
}
static void a_guard_page_is_not_readable(void) {
  int q = msgget(IPC_PRIVATE, 0600);
  long *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  *page = 1;
  CHECK(msgsnd(q, page, 1, 0) == 0);
  if (madvise(page, PAGE, 102 /* MADV_GUARD_INSTALL */) == 0)
    CHECK(msgsnd(q, page, 1, 0) == -1 && errno == EFAULT);
  else
    puts("    skipped: before Linux 6.13");
  CHECK(msgctl(q, IPC_RMID, NULL) == 0);
}

int main(void) {
  CASE(mlock2_cuts);
  CASE(posix_madvise_cuts);
  CASE(a_guard_page_is_not_readable);
  return check_failed;
}
