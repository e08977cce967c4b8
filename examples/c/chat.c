/*
 * chat KEY first|second: two people take turns on one queue. The first speaks
 * first; QUIT (or the end of the input) ends the chat, and whoever hears it
 * removes the queue, as its last user.
 */
#include <err.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/msg.h>

#include "key.h"

enum { FIRST = 1, SECOND = 2 };

/* A message's type is the role that it is meant for. */
struct message {
	long to;
	char text[256];
};

/* Says one line of the input; false when that line was the last one. */
static bool speak(int queue, long peer)
{
	struct message m = { .to = peer };

	if (fgets(m.text, sizeof m.text, stdin) == NULL)
		strcpy(m.text, "QUIT");
	m.text[strcspn(m.text, "\n")] = '\0';
	if (msgsnd(queue, &m, strlen(m.text) + 1, 0) == -1)
		err(1, "msgsnd");
	printf("me:   %s\n", m.text);
	return strcmp(m.text, "QUIT") != 0;
}

/* Hears one line; false when the peer has left. */
static bool listen_once(int queue, long me)
{
	struct message m;

	if (msgrcv(queue, &m, sizeof m.text, me, 0) == -1)
		err(1, "msgrcv");
	m.text[sizeof m.text - 1] = '\0';
	printf("peer: %s\n", m.text);
	return strcmp(m.text, "QUIT") != 0;
}

int main(int argc, char **argv)
{
	if (argc != 3 || (strcmp(argv[2], "first") != 0 && strcmp(argv[2], "second") != 0))
		errx(2, "usage: chat KEY first|second");

	long me = strcmp(argv[2], "first") == 0 ? FIRST : SECOND;
	long peer = me == FIRST ? SECOND : FIRST;
	int queue = msgget(key_from(argv[1]), IPC_CREAT | 0600);
	if (queue == -1)
		err(1, "msgget");

	for (bool my_turn = me == FIRST;; my_turn = !my_turn) {
		if (my_turn) {
			if (!speak(queue, peer))
				return 0;
		} else if (!listen_once(queue, me)) {
			if (msgctl(queue, IPC_RMID, NULL) == -1)
				err(1, "msgctl IPC_RMID");
			return 0;
		}
	}
}
