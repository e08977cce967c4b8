/*
 * producer KEY: puts the lines of its input into a ring in shared memory, from
 * which a consumer takes them. It makes both the segment and the semaphores;
 * the consumer removes them.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <sys/shm.h>

#include "key.h"
#include "ring.h"
#include "semaphore.h"

/* SEM_UNDO for the mutex only: the numbers of slots must stay what they are when we leave. */
static void put(struct ring *ring, int set, unsigned number, const char *line, int length)
{
	struct slot *slot = &ring->slot[number % SLOTS];

	semaphore_add(set, FREE_SLOTS, -1, 0);
	semaphore_add(set, MUTEX, -1, SEM_UNDO);
	slot->length = length;
	if (length > 0)
		memcpy(slot->text, line, length);
	semaphore_add(set, MUTEX, 1, SEM_UNDO);
	semaphore_add(set, FULL_SLOTS, 1, 0);
}

int main(int argc, char **argv)
{
	if (argc != 2)
		errx(2, "usage: producer KEY");

	key_t key = key_from(argv[1]);
	int segment = shmget(key, sizeof(struct ring), IPC_CREAT | IPC_EXCL | 0600);
	if (segment == -1)
		err(1, "shmget");
	struct ring *ring = shmat(segment, NULL, 0);
	if (ring == (void *)-1)
		err(1, "shmat");

	unsigned short values[SEMAPHORES] = { [MUTEX] = 0, [FREE_SLOTS] = SLOTS };
	int set = semget(key, SEMAPHORES, IPC_CREAT | IPC_EXCL | 0600);
	if (set == -1)
		err(1, "semget");
	if (semctl(set, 0, SETALL, (union semun){ .array = values }) == -1)
		err(1, "semctl SETALL");
	/* The first operation sets sem_otime, which tells the consumer that the set is ready. */
	semaphore_add(set, MUTEX, 1, 0);

	char line[LINE_SIZE];
	unsigned number = 0;
	while (fgets(line, sizeof line, stdin) != NULL)
		put(ring, set, number++, line, strcspn(line, "\n"));
	put(ring, set, number, NULL, END);
	if (shmdt(ring) == -1)
		err(1, "shmdt");
	return 0;
}
