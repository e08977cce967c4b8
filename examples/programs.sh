#!/bin/sh
# What the demo shows: the programs of examples/c (built into $PROGRAMS), one after another.
# It knows nothing of usysv: run as it is, it uses the kernel's queues.
set -eu
PATH=$PROGRAMS:$PATH

title() {
	printf '\n--- %s\n' "$1"
}

title "a writer sends three messages to the queue with key 0x2a ..."
writer 0x2a "hello" "is this System V IPC?" "in user space?"

title "... ipcs lists it (the one of util-linux) ..."
ipcs -q | grep .

title "... showmsg asks for its status ..."
showmsg 0x2a

title "... and a reader takes the messages and removes it"
reader -r 0x2a 3

title "two people chat, each in a process, until one says QUIT"
heard=$(mktemp)
trap 'rm -f "$heard"' EXIT
printf '%s\n' "hi, are you there?" "in shared memory, I think" "QUIT" | chat 0x2b first >"$heard" &
printf '%s\n' "yes. where are our messages?" "then no kernel copies them" | chat 0x2b second
wait
echo "(what the other one saw)"
cat "$heard"

title "jobs enter in any order, the lowest priority number is served first"
prioclient 0x2c "sweep the floor" 7
prioclient 0x2c "put out the fire" 1
prioclient 0x2c "answer the phone" 4
prioclient 0x2c "answer the door" 4
prioclient 0x2c QUIT 1000
prioserver 0x2c

title "what msgget and msgctl answer"
msgcases

title "nothing is left"
ipcs -q | grep .
