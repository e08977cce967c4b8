#!/bin/bash
# util-linux: ipcmk, ipcs, lsipc and ipcrm make, list and remove queues.
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
	sed -n 's/^Message queue id: //p'
}

same() {
	diff <("$@") <(ours "$@") && echo "$*: the tool and ours agree"
}

first=$(ipcmk -Q | id_of)
second=$(ipcmk -Q -p 0600 | id_of)
[ "$first" != "$second" ] && echo "two queues"

ipcs -q | anonymous
lsipc -q --noheadings --output PERMS,USEDBYTES,MSGS
ipcs -q -l
ipcs -q -u
for option in '' -p -c -t -l -u; do
	# shellcheck disable=SC2086  # no option is no argument
	same ipcs -q $option
done
diff <(ipcs -q -i "$first") <(ours ipcs -q -i "$first") && echo "ipcs -q -i ID: the tool and ours agree"

ipcrm -q "$first" && echo "removed by id"
key=$(ipcs -q | sed -n 's/^\(0x[0-9a-f]*\) .*/\1/p')
ipcrm -Q "$key" && echo "removed by key"
ipcrm -q "$second" 2>&1 | sed 's/([0-9]*)/(ID)/'
for _ in 1 2 3; do
	ipcmk -Q >/dev/null
done
ipcrm --all=msg && echo "removed all"
ipcs -q
