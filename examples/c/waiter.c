/*
 * waiter KEY MILLISECONDS: waits that long for the semaphore with that key, says
 * how it got it or did not, and removes it.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include "key.h"
#include "semaphore.h"

static int ask(int set, int command)
{
	int answer = semctl(set, 0, command);

	if (answer == -1)
		err(1, "semctl");
	return answer;
}

/* The holder may still be on its way. */
static int set_of(key_t key)
{
	for (int tries = 0; tries < 10000; tries++, usleep(1000)) {
		struct semid_ds status;
		int set = semget(key, 0, 0);

		/* A set was in use when an operation was done on it: before that, it may not be initialised. */
		if (set != -1 && semctl(set, 0, IPC_STAT, (union semun){ .buf = &status }) == 0
		    && status.sem_otime != 0)
			return set;
	}
	errx(1, "nobody has made the semaphore");
}

int main(int argc, char **argv)
{
	if (argc != 3)
		errx(2, "usage: waiter KEY MILLISECONDS");

	int set = set_of(key_from(argv[1]));
	long wait_ms = strtol(argv[2], NULL, 10);
	struct timespec wait = { .tv_sec = wait_ms / 1000, .tv_nsec = wait_ms % 1000 * 1000000 };
	struct sembuf op = { .sem_op = -1, .sem_flg = SEM_UNDO };
	pid_t holder = ask(set, GETPID);

	printf("waiter: the semaphore is %d, another process holds it\n", ask(set, GETVAL));
	fflush(stdout);
	if (semtimedop(set, &op, 1, &wait) == 0)
		printf("waiter: got it, and am the last who operated on it: %s\n",
		       ask(set, GETPID) == getpid() ? "yes" : "no");
	else if (errno == EAGAIN)
		printf("waiter: EAGAIN after %ld ms; the last who operated on it is the holder: %s\n",
		       wait_ms, ask(set, GETPID) == holder ? "yes" : "no");
	else
		err(1, "semtimedop");
	printf("waiter: the semaphore is %d, %d in line\n", ask(set, GETVAL), ask(set, GETNCNT));
	if (semctl(set, 0, IPC_RMID) == -1)
		err(1, "semctl IPC_RMID");
	return 0;
}
