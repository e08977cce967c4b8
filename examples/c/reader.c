/* reader [-r] KEY COUNT: receives COUNT messages; -r removes the queue at the end. */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/msg.h>
#include <unistd.h>

#include "key.h"

struct message {
	long type;
	char text[1024];
};

int main(int argc, char **argv)
{
	int remove = 0;

	for (int option; (option = getopt(argc, argv, "r")) != -1;) {
		if (option != 'r')
			return 2;
		remove = 1;
	}
	if (argc - optind != 2)
		errx(2, "usage: reader [-r] KEY COUNT");

	int queue = msgget(key_from(argv[optind]), IPC_CREAT | 0600);
	if (queue == -1)
		err(1, "msgget");

	for (long left = strtol(argv[optind + 1], NULL, 10); left > 0; left--) {
		struct message m;
		ssize_t length = msgrcv(queue, &m, sizeof m.text, 0, 0);
		if (length == -1)
			err(1, "msgrcv");
		printf("got %zd bytes: %.*s\n", length, (int)length, m.text);
	}

	if (remove && msgctl(queue, IPC_RMID, NULL) == -1)
		err(1, "msgctl IPC_RMID");
	return 0;
}
