#!/bin/bash
# `make demo`: plain System V programs on usysv, then the same ones on the kernel.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
target=$(cd "${CARGO_TARGET_DIR:-$here/../target}" && pwd)
usysv=$target/release/usysv
export PROGRAMS=$target/c
export LC_ALL=C

# engine_has_sem and engine_has_shm: said once, for the tests and the demo.
eval "$(grep '^engine_has_[a-z]*=[a-z]*$' "$here/../tests/clients/run")"

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

heading() {
	printf '\n\033[1m== %s\033[0m\n' "$1"
}
[ -t 1 ] || heading() { printf '\n== %s\n' "$1"; }

calls=msgget,msgsnd,msgrcv,msgctl,semget,semop,semtimedop,semctl,shmget,shmat,shmdt,shmctl
fresh=()
for try in 'unshare --ipc' 'unshare --user --map-current-user --ipc'; do
	if $try true 2>/dev/null; then
		read -ra fresh <<<"$try"
		break
	fi
done

# Ids are what may differ between two runs of the same programs.
without_ids() {
	awk '/^0x/ { $2 = "ID" } { print }' "$1"
}

# on_usysv SCRIPT: plays it there, and counts what the kernel sees of it.
on_usysv() {
	if ! strace -f -o /dev/null true 2>/dev/null; then
		"$usysv" run --private -- "$here/$1" | tee "$out/usysv"
		printf '\nskipped: counting the system calls (strace is missing or may not trace)\n'
		return
	fi
	strace -f -qq -o "$out/calls" -e signal=none -e "trace=$calls" \
		"$usysv" run --private -- "$here/$1" | tee "$out/usysv"
	seen=$(grep -cE '^[0-9]+ +(msg|sem|shm)[a-z]+\(' "$out/calls" || true)
	printf '\nSystem V calls that the kernel saw meanwhile: %d\n' "$seen"
	[ "$seen" -eq 0 ]
}

# as_on_the_kernel SCRIPT: plays it there, and compares.
as_on_the_kernel() {
	if [ ${#fresh[@]} -eq 0 ]; then
		echo "skipped: a clean IPC namespace takes root or user namespaces (unshare --ipc)"
		return
	fi
	"${fresh[@]}" "$here/$1" >"$out/kernel"
	if diff -u --label kernel --label usysv <(without_ids "$out/kernel") <(without_ids "$out/usysv"); then
		echo "the kernel: identical, all $(wc -l <"$out/kernel") lines that they printed"
	else
		echo "the kernel: they DIFFER"
		return 1
	fi
}

# show SCRIPT MECHANISM...: on both, if the engine has these mechanisms; else on the kernel only.
show() {
	local script=$1 mechanism
	shift
	for mechanism; do
		local has=engine_has_$mechanism
		[ "${!has}" = yes ] && continue
		echo "not on usysv yet (engine_has_$mechanism=no); this is the kernel:"
		[ ${#fresh[@]} -eq 0 ] || "${fresh[@]}" "$here/$script"
		return
	done
	on_usysv "$script"
	as_on_the_kernel "$script"
}

heading "Ordinary C programs under \`usysv run --private\`: their queues are files, not the kernel's"
echo "(the programs are examples/c/*.c; not a line in them knows of usysv)"
show programs.sh msg

heading "Semaphores, and who gets one when its holder is killed"
show programs-sem.sh sem

heading "Shared memory that semaphores guard"
show programs-shm.sh sem shm

heading "How long it takes"
"$target/release/usysv-bench" demo

cat <<END

Try it on a program of yours:
  $usysv run -- YOUR-PROGRAM
  $usysv ipcs
END
