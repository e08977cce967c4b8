#!/bin/bash
# `make demo`: plain System V programs on usysv, then the same ones on the kernel.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
target=$(cd "${CARGO_TARGET_DIR:-$here/../target}" && pwd)
usysv=$target/release/usysv
export PROGRAMS=$target/c
export LC_ALL=C

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

heading() {
	printf '\n\033[1m== %s\033[0m\n' "$1"
}
[ -t 1 ] || heading() { printf '\n== %s\n' "$1"; }

# Ids are what may differ between two runs of the same programs.
without_ids() {
	awk '/^0x/ { $2 = "ID" } { print }' "$1"
}

heading "Ordinary C programs under \`usysv run --private\`: their queues are files, not the kernel's"
echo "(the programs are examples/c/*.c; not a line in them knows of usysv)"
if strace -f -o /dev/null true 2>/dev/null; then
	strace -f -qq -o "$out/calls" -e signal=none -e trace=msgget,msgsnd,msgrcv,msgctl \
		"$usysv" run --private -- "$here/programs.sh" | tee "$out/usysv"
	seen=$(grep -c msg "$out/calls" || true)
	printf '\nmessage-queue system calls that the kernel saw meanwhile: %d\n' "$seen"
	[ "$seen" -eq 0 ]
else
	"$usysv" run --private -- "$here/programs.sh" | tee "$out/usysv"
	printf '\nskipped: counting the system calls (strace is missing or may not trace)\n'
fi

heading "The same programs on the kernel's queues"
fresh=()
for try in 'unshare --ipc' 'unshare --user --map-current-user --ipc'; do
	if $try true 2>/dev/null; then
		read -ra fresh <<<"$try"
		break
	fi
done
if [ ${#fresh[@]} -eq 0 ]; then
	echo "skipped: a clean IPC namespace takes root or user namespaces (unshare --ipc)"
else
	"${fresh[@]}" "$here/programs.sh" >"$out/kernel"
	if diff -u --label kernel --label usysv <(without_ids "$out/kernel") <(without_ids "$out/usysv"); then
		echo "identical: all $(wc -l <"$out/kernel") lines that they printed"
	else
		echo "they DIFFER"
		exit 1
	fi
fi

heading "How long it takes"
"$target/release/usysv-bench" demo

cat <<END

Try it on a program of yours:
  $usysv run -- YOUR-PROGRAM
  $usysv ipcs -q
END
