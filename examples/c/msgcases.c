/* msgcases [KEY]: what msgget() and msgctl() answer, case by case. */
#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/msg.h>
#include <sys/wait.h>
#include <unistd.h>

#include "key.h"

enum { NOBODY = 65534 };

static const char *outcome(int result)
{
	if (result != -1)
		return "ok";
	switch (errno) {
	case EACCES: return "EACCES";
	case EEXIST: return "EEXIST";
	case EIDRM: return "EIDRM";
	case EINVAL: return "EINVAL";
	case ENOENT: return "ENOENT";
	case EPERM: return "EPERM";
	default: return strerror(errno);
	}
}

/* Prints what one call answered, and hands its result on. */
static int report(const char *what, int result)
{
	printf("%-52s %s\n", what, outcome(result));
	return result;
}

static void show_mode(int queue)
{
	struct msqid_ds status;

	if (report("IPC_STAT", msgctl(queue, IPC_STAT, &status)) == 0)
		printf("    mode %#o, %lu messages, room for %lu bytes\n",
		       (unsigned)status.msg_perm.mode, (unsigned long)status.msg_qnum,
		       (unsigned long)status.msg_qbytes);
}

static void set_mode(int queue, unsigned short mode)
{
	struct msqid_ds status;

	if (msgctl(queue, IPC_STAT, &status) == -1)
		err(1, "msgctl IPC_STAT");
	status.msg_perm.mode = mode;

	char what[32];
	snprintf(what, sizeof what, "IPC_SET, mode %#o", (unsigned)mode);
	report(what, msgctl(queue, IPC_SET, &status));
}

/* One queue's life under its key. */
static void by_key(key_t key)
{
	report("open before anyone has created it", msgget(key, 0));
	int queue = report("create (IPC_CREAT | 0640)", msgget(key, IPC_CREAT | 0640));
	if (queue == -1)
		exit(1);
	report("create again, exclusively (IPC_CREAT | IPC_EXCL)", msgget(key, IPC_CREAT | IPC_EXCL | 0640));
	int again = report("create again, not exclusively (IPC_CREAT)", msgget(key, IPC_CREAT | 0640));
	printf("    %s queue\n", again == queue ? "the same" : "ANOTHER");
	again = report("open with flags 0", msgget(key, 0));
	printf("    %s queue\n", again == queue ? "the same" : "ANOTHER");
	show_mode(queue);
	set_mode(queue, 0600);
	show_mode(queue);
	report("remove (IPC_RMID)", msgctl(queue, IPC_RMID, NULL));
	report("remove it once more", msgctl(queue, IPC_RMID, NULL));
	report("open after the removal", msgget(key, 0));
}

static void private_ones(void)
{
	int one = report("a private queue (IPC_PRIVATE)", msgget(IPC_PRIVATE, 0600));
	int two = report("another private queue", msgget(IPC_PRIVATE, 0600));

	printf("    %s\n", one != two ? "two queues" : "THE SAME queue");
	report("remove the first", msgctl(one, IPC_RMID, NULL));
	report("remove the second", msgctl(two, IPC_RMID, NULL));
}

/* Root may do anything, so this is for an ordinary user. */
static void as_ordinary_user(key_t key)
{
	int queue = report("create with low permission (0400)", msgget(key, IPC_CREAT | IPC_EXCL | 0400));
	report("open for reading (0400)", msgget(key, 0400));
	report("open for reading and writing (0600)", msgget(key, 0600));
	report("open with flags 0", msgget(key, 0));
	report("send to it", msgsnd(queue, &(struct { long type; char text[1]; }){ .type = 1 }, 1, IPC_NOWAIT));
	set_mode(queue, 0600);
	report("open for reading and writing (0600)", msgget(key, 0600));
	report("remove", msgctl(queue, IPC_RMID, NULL));
}

int main(int argc, char **argv)
{
	if (argc > 2)
		errx(2, "usage: msgcases [KEY]");
	key_t key = key_from(argc == 2 ? argv[1] : "0x75737976");

	/* The child below shares our output: no line may sit in both buffers. */
	setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
	by_key(key);
	private_ones();

	int secret = -1;
	key_t other = (key_t)((unsigned)key + 1);
	if (geteuid() == 0)
		secret = report("root creates a queue for itself (0600)", msgget(other, IPC_CREAT | IPC_EXCL | 0600));

	pid_t child = fork();
	if (child == -1)
		err(1, "fork");
	if (child == 0) {
		if (geteuid() == 0 && (setgid(NOBODY) == -1 || setuid(NOBODY) == -1))
			err(1, "becoming nobody");
		if (secret != -1) {
			report("nobody opens it with flags 0", msgget(other, 0));
			report("nobody opens it for reading (0444)", msgget(other, 0444));
			report("nobody removes it", msgctl(secret, IPC_RMID, NULL));
		}
		as_ordinary_user(key);
		exit(0);
	}

	int status;
	if (waitpid(child, &status, 0) == -1)
		err(1, "waitpid");
	if (secret != -1)
		report("root removes it", msgctl(secret, IPC_RMID, NULL));
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
