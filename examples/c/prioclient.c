/* prioclient KEY NAME PRIORITY: enters one job for prioserver. */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/msg.h>

#include "job.h"
#include "key.h"

int main(int argc, char **argv)
{
	if (argc != 4)
		errx(2, "usage: prioclient KEY NAME PRIORITY");

	struct job job = { .priority = strtol(argv[3], NULL, 10) };
	if (job.priority < 1 || job.priority > LAST_PRIORITY)
		errx(2, "a priority is a number from 1 to %d", LAST_PRIORITY);
	if (strlen(argv[2]) >= sizeof job.name)
		errx(2, "a name has at most %zu bytes", sizeof job.name - 1);
	strcpy(job.name, argv[2]);

	int queue = msgget(key_from(argv[1]), IPC_CREAT | 0600);
	if (queue == -1)
		err(1, "msgget");
	if (msgsnd(queue, &job, strlen(job.name) + 1, 0) == -1)
		err(1, "msgsnd");
	printf("entered %s (priority %ld)\n", job.name, job.priority);
	return 0;
}
