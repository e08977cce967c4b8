/*
 * consumer KEY: prints the lines that a producer puts into shared memory, and
 * removes the segment and the semaphores at the end. It attaches the segment
 * read-only: how far it has read is its own affair.
 */
#define _GNU_SOURCE
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/shm.h>
#include <unistd.h>

#include "key.h"
#include "ring.h"
#include "semaphore.h"

/* The producer makes the set, initialises it, and then only operates on it. */
static int set_of(key_t key)
{
	for (int tries = 0; tries < 10000; tries++, usleep(1000)) {
		struct semid_ds status;
		int set = semget(key, SEMAPHORES, 0);

		if (set != -1 && semctl(set, 0, IPC_STAT, (union semun){ .buf = &status }) == 0
		    && status.sem_otime != 0)
			return set;
	}
	errx(1, "there is no producer");
}

/* Copies the next line out; false at the end. */
static bool take(const struct ring *ring, int set, unsigned number, char *line)
{
	const struct slot *slot = &ring->slot[number % SLOTS];

	semaphore_add(set, FULL_SLOTS, -1, 0);
	semaphore_add(set, MUTEX, -1, SEM_UNDO);
	int length = slot->length;
	if (length > 0)
		memcpy(line, slot->text, length);
	semaphore_add(set, MUTEX, 1, SEM_UNDO);
	semaphore_add(set, FREE_SLOTS, 1, 0);
	if (length >= 0)
		line[length] = '\0';
	return length != END;
}

int main(int argc, char **argv)
{
	if (argc != 2)
		errx(2, "usage: consumer KEY");

	key_t key = key_from(argv[1]);
	int set = set_of(key);
	int segment = shmget(key, sizeof(struct ring), 0);
	if (segment == -1)
		err(1, "shmget");
	const struct ring *ring = shmat(segment, NULL, SHM_RDONLY);
	if (ring == (void *)-1)
		err(1, "shmat");

	char line[LINE_SIZE];
	for (unsigned number = 0; take(ring, set, number, line); number++)
		puts(line);

	/* Still attached, the removed segment lives on: without a key, until we leave. */
	struct shmid_ds status;
	if (shmctl(segment, IPC_RMID, NULL) == -1 || semctl(set, 0, IPC_RMID) == -1)
		err(1, "IPC_RMID");
	if (shmctl(segment, IPC_STAT, &status) == -1)
		err(1, "shmctl IPC_STAT");
	if (!(status.shm_perm.mode & SHM_DEST) || shmget(key, 0, 0) != -1 || errno != ENOENT)
		errx(1, "the segment is not marked for its removal");
	return shmdt(ring) == 0 ? 0 : 1;
}
