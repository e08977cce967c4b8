/* What producer and consumer share: lines in a ring, and the three semaphores that guard it. */
#ifndef EXAMPLE_RING_H
#define EXAMPLE_RING_H

enum { SLOTS = 4, LINE_SIZE = 128 };

struct slot {
	int length; /* without a 0 byte; END for the last one */
	char text[LINE_SIZE];
};

enum { END = -1 };

struct ring {
	struct slot slot[SLOTS];
};

/* The numbers of the semaphores in their set. */
enum { MUTEX, FREE_SLOTS, FULL_SLOTS, SEMAPHORES };

#endif
