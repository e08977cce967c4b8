#!/bin/bash
# PostgreSQL 15 with all of its shared memory from System V, and the interlock that hangs on it:
# no second postmaster while a backend of a killed one is still attached.
# user: nobody
# needs: shm
set -eu
PATH=/usr/lib/postgresql/15/bin:$PATH
export PGHOST=$PWD PGPORT=5433 PGDATABASE=postgres PGUSER=postgres PGDATA=$PWD/data LC_ALL=C
postmaster=
backend=
trap 'kill -9 $backend $postmaster 2>/dev/null || true; wait' EXIT

sql() {
	psql --no-psqlrc --quiet --tuples-only --no-align --command "$1"
}
start() {
	postgres >>server.log 2>&1 &
	postmaster=$!
}
# Fails when the postmaster ends before it is ready.
ready() {
	for _ in {1..300}; do
		pg_isready --quiet && return
		kill -0 $postmaster 2>/dev/null || return
		sleep 0.1
	done
	return 1
}
segments() {
	ipcs -m | grep -c '^0x' || true
}

initdb --auth=trust --username=postgres --no-sync --locale=C >initdb.log 2>&1 || { cat initdb.log; exit 1; }
cat >>data/postgresql.conf <<END
listen_addresses = ''
unix_socket_directories = '$PWD'
shared_memory_type = sysv
dynamic_shared_memory_type = sysv
shared_buffers = 16MB
fsync = off
END
echo "segments after initdb: $(segments)"
start
ready
sql "show shared_memory_type"
sql "show dynamic_shared_memory_type"

pgbench --initialize --quiet --scale=1 2>/dev/null
pgbench --time=6 --client=4 --jobs=2 2>&1 | sed -n 's/ (.*//; /^number of failed/p'
sql "select case when
	(select sum(abalance) from pgbench_accounts) = (select sum(delta) from pgbench_history) and
	(select sum(bbalance) from pgbench_branches) = (select sum(tbalance) from pgbench_tellers)
	then 'the sums agree' else 'the sums DIFFER' end"
# Parallel workers share segments that are made for the query.
sql "set min_parallel_table_scan_size = 0; set parallel_setup_cost = 0; set parallel_tuple_cost = 0;
	explain (analyze, costs off, timing off, summary off) select sum(aid) from pgbench_accounts" |
	sed -n 's/^ *\(Workers Launched: .*\)/\1/p'

# A backend that is stopped cannot see that its postmaster dies.
PGAPPNAME=sleeper sql "select pg_sleep(60)" >/dev/null 2>&1 &
for _ in {1..100}; do
	backend=$(sql "select pid from pg_stat_activity where application_name = 'sleeper' and wait_event = 'PgSleep'")
	[ -z "$backend" ] || break
	sleep 0.1
done
kill -STOP "$backend"
kill -9 $postmaster
wait $postmaster 2>/dev/null || echo "the postmaster's exit status: $?"
start
if ready; then
	echo "a second postmaster has STARTED"
else
	echo "a second postmaster is refused:"
	grep -o 'pre-existing shared memory block' server.log | tail -n 1
fi
wait $postmaster 2>/dev/null || echo "its exit status: $?"
kill -9 "$backend"
for _ in {1..20}; do
	start
	ready && break
	sleep 0.2
done
echo "when the backend has gone, it starts: $(sql 'select count(*) from pgbench_accounts') accounts"
kill -INT $postmaster
wait $postmaster
postmaster=
echo "segments left: $(segments)"
