#!/bin/sh
# What the demo shows of shared memory: the programs of examples/c (built into $PROGRAMS), as they are.
set -eu
PATH=$PROGRAMS:$PATH

title() {
	printf '\n--- %s\n' "$1"
}

title "a producer puts lines into shared memory, a consumer takes them out"
consumer 0x2e &
producer 0x2e <<'END'
four slots in a segment,
three semaphores beside it:
one to be alone,
one for the free slots,
one for the full ones.
No line was copied by the kernel.
END
wait

title "twenty thousand lines come through as they were"
consumer 0x2e | cksum &
seq 20000 | producer 0x2e
wait
seq 20000 | cksum

title "nothing is left"
ipcs -m | grep .
ipcs -s | grep .
