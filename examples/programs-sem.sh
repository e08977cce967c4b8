#!/bin/sh
# What the demo shows of semaphores: the programs of examples/c (built into $PROGRAMS), as they are.
set -eu
PATH=$PROGRAMS:$PATH

title() {
	printf '\n--- %s\n' "$1"
}

# hold_and_kill MILLISECONDS [-n]: kills a holder while a waiter, that patient, is asleep.
hold_and_kill() {
	patience_ms=$1
	shift
	holder 0x2d "$@" &
	holder=$!
	trap 'kill -9 $holder' EXIT
	waiter 0x2d "$patience_ms" &
	waiter=$!
	# ncount, as ipcs prints it.
	tries=0
	until ipcs -s -i "$(ipcs -s | awk '/^0x/ { print $2 }')" 2>/dev/null |
		awk 'NF == 5 && $1 == 0 && $3 == 1 { found = 1 } END { exit !found }'; do
		tries=$((tries + 1))
		[ $tries -lt 500 ] || exit 1
		sleep 0.01
	done
	echo "(kill -9)"
	kill -9 $holder
	trap - EXIT
	wait $waiter
	wait $holder 2>/dev/null || echo "(the holder's exit status: $?)"
}

title "a parent and its child take turns inside of what a binary semaphore guards"
binsem 3

title "a process that holds a semaphore is killed with kill -9 while another one waits ..."
hold_and_kill 10000

title "... and the same without SEM_UNDO"
hold_and_kill 500 -n

title "nothing is left"
ipcs -s | grep .
