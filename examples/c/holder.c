/*
 * holder KEY [-n]: takes the semaphore with that key, and never gives it back.
 * With SEM_UNDO, unless -n: killed, it gives it back all the same.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "key.h"
#include "semaphore.h"

int main(int argc, char **argv)
{
	if (argc < 2 || argc > 3 || (argc == 3 && strcmp(argv[2], "-n") != 0))
		errx(2, "usage: holder KEY [-n]");

	union semun one = { .val = 1 };
	int undo = argc == 3 ? 0 : SEM_UNDO;
	int set = semget(key_from(argv[1]), 1, IPC_CREAT | IPC_EXCL | 0600);
	if (set == -1)
		err(1, "semget");
	if (semctl(set, 0, SETVAL, one) == -1)
		err(1, "semctl SETVAL");
	/* Said before: from the operation on, a waiter may speak. */
	printf("holder: takes it, %s SEM_UNDO\n", undo ? "with" : "without");
	fflush(stdout);
	semaphore_add(set, 0, -1, undo);
	for (;;)
		pause();
}
