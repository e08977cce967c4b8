#!/bin/bash
# Xvfb and an MIT-SHM client, x11perf: the server attaches the client's segments, and keeps its own
# frame buffer in one (-shmem).
# needs: shm
set -eu
server=
client=
trap 'kill -9 $server $client 2>/dev/null || true' EXIT

Xvfb -displayfd 3 -screen 0 1024x768x24 -nolisten tcp -shmem 3>display 2>xvfb.log &
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
# A number of times, as x11perf would try for long how many take a second.
x11perf -repeat 2 -reps 4000000 -shmput10 >perf 2>&1 &
client=$!
while kill -0 $client 2>/dev/null; do
	seen=$(segments)
	[ "$seen" = "1 2" ] && break
	sleep 0.01
done
echo "attachments while the client draws: $seen"
wait $client
client=
x11perf -repeat 1 -reps 2000 -shmput100 -shmput500 -shmget100 >>perf 2>&1
# Which tests ran, not how fast.
sed -n 's/^ *[0-9]* reps.*): *//p' perf | uniq
kill $server
wait $server || true
server=
echo "attachments when both have gone: $(segments)"
