/* showmsg [-v] KEY: prints a queue's status; -v adds what differs from run to run. */
#include <err.h>
#include <stdio.h>
#include <sys/msg.h>
#include <time.h>
#include <unistd.h>

#include "key.h"

static void print_time(const char *what, time_t when)
{
	char text[32] = "never";

	if (when != 0)
		strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", localtime(&when));
	printf("%-15s %s\n", what, text);
}

int main(int argc, char **argv)
{
	int verbose = 0;

	for (int option; (option = getopt(argc, argv, "v")) != -1;) {
		if (option != 'v')
			return 2;
		verbose = 1;
	}
	if (argc - optind != 1)
		errx(2, "usage: showmsg [-v] KEY");

	key_t key = key_from(argv[optind]);
	int queue = msgget(key, 0);
	if (queue == -1)
		err(1, "msgget");

	struct msqid_ds status;
	if (msgctl(queue, IPC_STAT, &status) == -1)
		err(1, "msgctl IPC_STAT");

	printf("%-15s %#010x\n", "key", (unsigned)key);
	printf("%-15s %#o\n", "mode", (unsigned)status.msg_perm.mode);
	printf("%-15s %u:%u\n", "owner", (unsigned)status.msg_perm.uid, (unsigned)status.msg_perm.gid);
	printf("%-15s %u:%u\n", "creator", (unsigned)status.msg_perm.cuid, (unsigned)status.msg_perm.cgid);
	printf("%-15s %lu\n", "messages", (unsigned long)status.msg_qnum);
	printf("%-15s %lu of %lu\n", "bytes", (unsigned long)status.__msg_cbytes,
	       (unsigned long)status.msg_qbytes);
	printf("%-15s %s\n", "ever sent to", status.msg_lspid != 0 ? "yes" : "no");
	printf("%-15s %s\n", "ever read", status.msg_lrpid != 0 ? "yes" : "no");
	if (verbose) {
		printf("%-15s %d\n", "id", queue);
		printf("%-15s %d\n", "last sender", (int)status.msg_lspid);
		printf("%-15s %d\n", "last receiver", (int)status.msg_lrpid);
		print_time("last sent", status.msg_stime);
		print_time("last received", status.msg_rtime);
		print_time("last changed", status.msg_ctime);
	}
	return 0;
}
