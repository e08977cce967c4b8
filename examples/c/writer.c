/* writer KEY [TEXT...]: sends each TEXT, or each line of its input, to the queue. */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/msg.h>

#include "key.h"

struct message {
	long type;
	char text[1024];
};

static void send_text(int queue, const char *text)
{
	struct message m = { .type = 1 };
	size_t length = strlen(text);

	if (length > sizeof m.text)
		errx(1, "a message holds %zu bytes, this one has %zu", sizeof m.text, length);
	memcpy(m.text, text, length);
	if (msgsnd(queue, &m, length, 0) == -1)
		err(1, "msgsnd");
	printf("sent: %s\n", text);
}

int main(int argc, char **argv)
{
	if (argc < 2)
		errx(2, "usage: writer KEY [TEXT...]");

	int queue = msgget(key_from(argv[1]), IPC_CREAT | 0600);
	if (queue == -1)
		err(1, "msgget");

	for (int i = 2; i < argc; i++)
		send_text(queue, argv[i]);
	if (argc > 2)
		return 0;

	char line[1026];
	while (fgets(line, sizeof line, stdin) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		send_text(queue, line);
	}
	return 0;
}
