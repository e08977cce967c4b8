#!/bin/bash
# Python: the message-queue tests out of the sdist of sysv_ipc.
# The names and the verdict remain; how long it took does not.
set -u
cd "$CLIENTS_DATA/sysv_ipc" || exit
results=$("$CLIENTS_DATA/venv/bin/python" -m unittest -v tests.test_message_queues 2>&1)
status=$?
[ $status -eq 0 ] || printf '%s\n' "$results" >&2
printf '%s\n' "$results" | sed -n 's/^test_[^ ]* (\([^)]*\)).*/\1/p' | sort
printf '%s\n' "$results" | sed -n 's/^Ran \([0-9]* tests\) in .*/\1/p; /^OK\|^FAILED/p'
exit $status
