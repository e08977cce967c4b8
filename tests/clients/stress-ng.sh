#!/bin/bash
# stress-ng --msg: two writers and two readers, every message verified, also by types.
# Its operations are counted, so that every run does the same; how long they take is left out.
set -u

stress() {
	local report
	if ! report=$(stress-ng --msg 2 --msg-ops 20000 --verify --metrics-brief --timeout 60 "$@" 2>&1); then
		printf '%s\n' "$report" >&2
		echo "stress-ng $*: failed"
		return 1
	fi
	printf '%s\n' "$report" | sed -n \
		-e 's/.*\] \(msg  *[0-9]*\) .*/\1 operations/p' \
		-e 's/.*\(fail\|error\|warn\)/\1/p' \
		-e 's/.*\(successful run completed\).*/\1/p'
}

stress || exit
stress --msg-types 10
