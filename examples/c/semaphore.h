/* What every semaphore program writes for itself: the union that semctl() takes, P and V. */
#ifndef EXAMPLE_SEMAPHORE_H
#define EXAMPLE_SEMAPHORE_H

#include <err.h>
#include <errno.h>
#include <sys/sem.h>

/* The libc leaves it to the program. */
union semun {
	int val;
	struct semid_ds *buf;
	unsigned short *array;
};

/* Adds `change` to one semaphore; waits when that takes it below 0. */
static inline void semaphore_add(int set, int number, int change, int flags)
{
	struct sembuf op = { .sem_num = number, .sem_op = change, .sem_flg = flags };

	while (semop(set, &op, 1) == -1)
		if (errno != EINTR)
			err(1, "semop");
}

#endif
