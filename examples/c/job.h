/* What prioclient enters and prioserver serves: a name, its priority as the message's type. */
#ifndef EXAMPLE_JOB_H
#define EXAMPLE_JOB_H

/* 1 is served first. */
enum { LAST_PRIORITY = 1000 };

struct job {
	long priority;
	char name[64];
};

#endif
