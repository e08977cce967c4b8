#!/bin/bash
# Xvfb and an MIT-SHM client, x11perf: the server attaches the client's segments, and keeps its own
# frame buffer in one (-shmem).
# needs: shm
set -eu
trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT

Xvfb -displayfd 3 -screen 0 640x480x24 -nolisten tcp -shmem 3>display 2>xvfb.log &
server=$!
for _ in {1..200}; do
	[ -s display ] && break
	sleep 0.05
done
DISPLAY=:$(cat display)
export DISPLAY
segments() {
	ipcs -m | awk '/^0x/ { print $6 }' | sort | xargs
}
echo "attachments of the server's segments: $(segments)"
x11perf -repeat 1 -time 1 -shmput10 -shmput100 -shmget100 >perf 2>&1 &
client=$!
for _ in {1..400}; do
	[ "$(segments)" = "1 2" ] && break
	sleep 0.02
done
echo "attachments while the client draws: $(segments)"
wait $client
# Which tests ran, not how fast.
sed -n 's/^ *[0-9]* reps.*): *//p' perf
kill $server
wait $server || true
echo "attachments when both have gone: $(segments)"
