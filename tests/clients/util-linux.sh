#!/bin/bash
# util-linux: ipcmk, ipcs, lsipc and ipcrm make, list and remove queues, semaphore sets and segments.
# Under usysv its own tools must list the same, byte for byte.
set -eu

# Under usysv: what `usysv COMMAND...` prints; on the kernel: what COMMAND prints.
ours() {
	if [ -n "${USYSV_NS:-}" ]; then
		"$USYSV" "$@"
	else
		"$@"
	fi
}

# Ids and keys differ from run to run, and so do pids and times.
anonymous() {
	sed -E 's/0x[0-9a-f]{8}/KEY/g; s/^([A-Z]+ +)[0-9]+/\1ID/; s/^[0-9]+ /ID /'
}

id_of() {
	sed -n 's/^.* id: //p'
}

same() {
	diff <("$@") <(ours "$@") && echo "$*: the tool and ours agree"
}

# same_id KIND ID: the same about one object.
same_id() {
	diff <(ipcs "$1" -i "$2" 2>&1) <(ours ipcs "$1" -i "$2" 2>&1) && echo "ipcs $1 -i ID: the tool and ours agree"
}

# everything KIND: every table.
everything() {
	local option
	for option in '' -p -c -t -l -u; do
		# shellcheck disable=SC2086  # no option is no argument
		same ipcs "$1" $option
	done
}

# remove KIND ID-OPTION KEY-OPTION MAKE...: by id, by key, what is gone, all of its kind.
remove() {
	local kind=$1 by_id=$2 by_key=$3 first second key
	shift 3
	first=$(ipcmk "$@" | id_of)
	second=$(ipcmk "$@" | id_of)
	ipcrm "$by_id" "$first" && echo "removed by id"
	key=$(ipcs "$by_id" | sed -n "s/^\(0x[0-9a-f]*\) $second .*/\1/p")
	ipcrm "$by_key" "$key" && echo "removed by key"
	ipcrm "$by_id" "$second" 2>&1 | sed 's/([0-9]*)/(ID)/'
	ipcmk "$@" >/dev/null
	ipcmk "$@" >/dev/null
	ipcrm --all="$kind" && echo "removed all"
	ipcs "$by_id"
}

first=$(ipcmk -Q | id_of)
second=$(ipcmk -Q -p 0600 | id_of)
[ "$first" != "$second" ] && echo "two queues"
ipcs -q | anonymous
lsipc -q --noheadings --output PERMS,USEDBYTES,MSGS
ipcs -q -l
ipcs -q -u
everything -q
same_id -q "$first"

ipcmk -S 3 -M 5000 -p 0600 | sed 's/[0-9]*$/ID/'
# It has used a set and waits for it, has a segment attached, and one that is removed already.
perl -e '
use IPC::SysV qw(shmat IPC_CREAT IPC_PRIVATE IPC_RMID);
my $set = semget(42, 2, IPC_CREAT | 0640);
semop($set, pack("s6", 0, 1, 0, 1, 5, 0)) or die "semop: $!";
my $memory = shmget(42, 12345, IPC_CREAT | 0640);
shmwrite($memory, "x" x 12345, 0, 12345) or die "shmwrite: $!";
my $removed = shmget(IPC_PRIVATE, 1, 0600);
shmat($_, undef, 0) // die "shmat: $!" for $memory, $removed;
shmctl($removed, IPC_RMID, 0) or die "shmctl: $!";
semop($set, pack("s3", 0, -2, 0)) or print "woken: $!\n";
' &
user=$!
set_id() {
	ipcs -s | awk '$1 == "0x0000002a" { print $2 }'
}
tries=0
until [ -n "$(set_id)" ] && ipcs -s -i "$(set_id)" | awk '$1 == 0 && $3 == 1 { found = 1 } END { exit !found }'; do
	tries=$((tries + 1))
	[ $tries -lt 1000 ] || exit 1
	sleep 0.01
done
ipcs -s | anonymous
ipcs -s -i "$(set_id)" | awk '$2 ~ /^[0-9]+$/ { print $1, $2, $3, $4 }'
ipcs -m | anonymous
lsipc -s --noheadings --output PERMS,NSEMS
lsipc -m --noheadings --output PERMS,SIZE,NATTCH,STATUS
ipcs -s -l
ipcs -s -u
ipcs -m -l
ipcs -m -u
everything -s
everything -m
everything -a
for id in $(ipcs -s | awk '/^0x/ { print $2 }'); do
	same_id -s "$id"
done
for id in $(ipcs -m | awk '/^0x/ { print $2 }'); do
	same_id -m "$id"
done
same_id -s 77
ipcrm -S 0x2a
wait $user
lsipc -m --noheadings --output PERMS,SIZE,NATTCH,STATUS
ipcrm --all && ipcs

remove msg -q -Q -Q
remove sem -s -S -S 3
remove shm -m -M -M 100
