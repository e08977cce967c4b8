/* A key as the examples take it on their command lines. */
#ifndef EXAMPLE_KEY_H
#define EXAMPLE_KEY_H

#include <err.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/ipc.h>

/*
 * A number (0x2a, 42) is the key itself; anything else is a path for ftok().
 * ftok() fails with -1, which is a usable key: programs that do not check it
 * all end up sharing the queue 0xffffffff.
 */
static inline key_t key_from(const char *arg)
{
	char *end;

	errno = 0;
	unsigned long number = strtoul(arg, &end, 0);
	if (end != arg && *end == '\0') {
		if (errno != 0 || number > 0xffffffffUL)
			errx(2, "%s: a key has 32 bits", arg);
		return (key_t)number;
	}

	key_t key = ftok(arg, 'u');
	if (key == (key_t)-1)
		err(1, "ftok %s", arg);
	return key;
}

#endif
