/*
 * binsem [ROUNDS]: a parent and its child share a private binary semaphore, and
 * print from inside of the region that it guards. Whoever is inside lets the
 * other one get in line before it leaves, so the two take turns: a semaphore
 * goes to those who wait for it, not to whom comes back first.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "semaphore.h"

/* SEM_UNDO: should one die inside, the kernel does V in its place. */
static void P(int set)
{
	semaphore_add(set, 0, -1, SEM_UNDO);
}

static void V(int set)
{
	semaphore_add(set, 0, 1, SEM_UNDO);
}

static int ask(int set, int command)
{
	int answer = semctl(set, 0, command);

	if (answer == -1)
		err(1, "semctl");
	return answer;
}

/* Returns when the other one sleeps in its P; gives up after ten seconds. */
static void let_the_other_get_in_line(int set)
{
	for (int tries = 0; ask(set, GETNCNT) == 0; tries++) {
		if (tries == 10000)
			errx(1, "nobody gets in line");
		usleep(1000);
	}
}

static void visit(int set, const char *who, int round)
{
	printf("%s: enters, round %d\n", who, round);
	let_the_other_get_in_line(set);
	printf("%s: leaves (%d in line, semaphore %d, last operation: %s)\n", who,
	       ask(set, GETNCNT), ask(set, GETVAL),
	       ask(set, GETPID) == getpid() ? "mine" : "the other's");
}

static int child(int set, int rounds)
{
	for (int round = 1; round <= rounds; round++) {
		P(set);
		visit(set, "child", round);
		V(set);
	}

	/* Nobody will do V for this one. */
	struct sembuf op = { .sem_op = -1, .sem_flg = SEM_UNDO };
	if (semop(set, &op, 1) == -1 && errno == EIDRM)
		printf("child: in line when the semaphore was removed: EIDRM\n");
	else
		printf("child: in, although the parent never left\n");
	return 0;
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 3;
	union semun one = { .val = 1 };

	setvbuf(stdout, NULL, _IOLBF, 0);
	int set = semget(IPC_PRIVATE, 1, 0600);
	if (set == -1)
		err(1, "semget");
	if (semctl(set, 0, SETVAL, one) == -1)
		err(1, "semctl SETVAL");

	P(set);
	pid_t pid = fork();
	if (pid == -1)
		err(1, "fork");
	if (pid == 0)
		return child(set, rounds);
	for (int round = 1; round <= rounds; round++) {
		visit(set, "parent", round);
		V(set);
		P(set);
	}
	let_the_other_get_in_line(set);
	printf("parent: removes the semaphore\n");
	if (semctl(set, 0, IPC_RMID) == -1)
		err(1, "semctl IPC_RMID");

	int status;
	if (waitpid(pid, &status, 0) == -1)
		err(1, "waitpid");
	return status == 0 ? 0 : 1;
}
