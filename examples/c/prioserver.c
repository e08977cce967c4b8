/* prioserver KEY: serves the lowest priority number first, until it meets QUIT; then removes the queue. */
#include <err.h>
#include <stdio.h>
#include <string.h>
#include <sys/msg.h>

#include "job.h"
#include "key.h"

int main(int argc, char **argv)
{
	if (argc != 2)
		errx(2, "usage: prioserver KEY");

	int queue = msgget(key_from(argv[1]), IPC_CREAT | 0600);
	if (queue == -1)
		err(1, "msgget");

	for (;;) {
		struct job job;

		/* A negative type asks for the lowest one up to its absolute value. */
		if (msgrcv(queue, &job, sizeof job.name, -LAST_PRIORITY, 0) == -1)
			err(1, "msgrcv");
		job.name[sizeof job.name - 1] = '\0';
		if (strcmp(job.name, "QUIT") == 0)
			break;
		printf("serving %s (priority %ld)\n", job.name, job.priority);
	}

	if (msgctl(queue, IPC_RMID, NULL) == -1)
		err(1, "msgctl IPC_RMID");
	return 0;
}
