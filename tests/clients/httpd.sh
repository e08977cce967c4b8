#!/bin/bash
# Apache httpd 2.4, prefork, with `Mutex sysvsem`: its children accept in turns. The one that holds
# the semaphore is killed with kill -9, again and again, and it goes on serving.
# needs: sem
#
# As root its children run as nobody. Two sockets, as one alone needs no mutex.
set -eu
apache=/usr/sbin/apache2
server=
trap 'kill -9 $server $(pgrep -P "${server:-none}") 2>/dev/null || true' EXIT

read -r first second < <(perl -MIO::Socket::INET -e '
	my @s = map { IO::Socket::INET->new(LocalAddr => "127.0.0.1", Listen => 1) or die } 1, 2;
	print join(" ", map { $_->sockport } @s), "\n"')
mkdir htdocs
echo "it serves" >htdocs/page
chmod -R a+rX .
cat >httpd.conf <<END
ServerRoot $PWD
ServerName localhost
DefaultRuntimeDir $PWD
PidFile $PWD/pid
ErrorLog $PWD/error.log
DocumentRoot $PWD/htdocs
Listen 127.0.0.1:$first
Listen 127.0.0.1:$second
LoadModule mpm_prefork_module /usr/lib/apache2/modules/mod_mpm_prefork.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
Mutex sysvsem default
User nobody
Group nogroup
KeepAlive Off
StartServers 4
MinSpareServers 4
MaxSpareServers 8
MaxRequestWorkers 16
END
$apache -f "$PWD/httpd.conf" -t -D DUMP_RUN_CFG 2>/dev/null | sed -n 's/.*\(mechanism=[a-z]*\).*/\1/p' | sort -u
# It ends by a signal to its process group, which must not be ours.
setsid $apache -f "$PWD/httpd.conf" -D FOREGROUND &
server=$!

get() {
	curl --silent --show-error --max-time 10 "http://127.0.0.1:$1/page"
}
curl --silent --retry 50 --retry-delay 0 --retry-connrefused --retry-max-time 20 "http://127.0.0.1:$first/page"
get "$second"
echo "sets of semaphores: $(ipcs -s | grep -c '^0x' || true)"

# mutex: the accept mutex's value, its waiters, and the one who got it last (ipcs -s -i).
mutex() {
	ipcs -s -i "$(ipcs -s | awk '/^0x/ { print $2 }' | tail -n 1)" | awk 'NF == 5 && $1 == 0 { print $2, $3, $5 }'
}
held() {
	for _ in {1..500}; do
		read -r value waiters holder < <(mutex)
		[ "$value" = 0 ] && [ "$waiters" -gt 0 ] && return
		sleep 0.01
	done
	echo "nobody holds the accept mutex: $(mutex)"
	exit 1
}

# httpd is slow to replace children: not more than it has at once.
for round in 1 2 3 4 5 6; do
	held
	kill -9 "$holder"
	[ "$(get "$first") $(get "$second")" = "it serves it serves" ] || echo "round $round: it does NOT serve"
	held
done
echo "six holders of the mutex were killed"

ab -r -q -n 3000 -c 4 "http://127.0.0.1:$second/page" >/dev/null 2>&1 &
load=$!
while kill -0 $load 2>/dev/null; do
	read -r _ _ holder < <(mutex)
	grep -qx "$holder" <(pgrep -P $server) && kill -9 "$holder"
	sleep 0.3
done
wait $load || true
ab -q -n 500 -c 4 "http://127.0.0.1:$first/page" | grep -E '^(Complete|Failed) requests'
kill $server
wait $server || echo "httpd's exit status: $?"
server=
echo "sets of semaphores left: $(ipcs -s | grep -c '^0x' || true)"
