#!/bin/sh
# Tests of libusysv.so's C edge: what it exports and needs, C programs that must not notice it,
# and real programs. Usage: run.sh LIBUSYSV.SO. Tests that look inside need a debug build, and are
# skipped, with a line that says so, for a release build.
set -u
here=$(cd "$(dirname "$0")" && pwd)
lib=$(realpath -e "${1:?usage: run.sh LIBUSYSV.SO}") || exit 2
cc=${CC:-cc}
tmp=$(mktemp -d) || exit 2
# Not the user's own: another version may have made that.
export USYSV_NS="$tmp/ns"
trap 'rm -rf "$tmp"' EXIT
failed=0

fail() {
    echo "  FAIL $*"
    failed=$((failed + 1))
}

ok() {
    echo "  ok   $*"
}

echo "library:"
inside=no
nm -D --defined-only "$lib" | grep -q ' usysv_test_' && inside=yes
nm -D --defined-only "$lib" | awk '{ print $NF }' | grep -v '^usysv_test_' | sort > "$tmp/exports"
if diff "$here/exports" "$tmp/exports"; then
    ok exports_are_the_listed_ones
else
    fail exports_are_the_listed_ones
fi
needed=$(readelf -d "$lib" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
case $needed in
libc.so.6 | libc.musl-*) ok needs_only_the_libc ;;
*) fail "needs_only_the_libc: $needed" ;;
esac
if readelf -d "$lib" | grep -q 'NODELETE' && readelf -d "$lib" | grep -q 'BIND_NOW\|Flags:.*NOW'; then
    ok is_never_unloaded_nor_lazily_bound
else
    fail is_never_unloaded_nor_lazily_bound
fi
if nm -D --undefined-only "$lib" | grep -qw 'malloc\|calloc\|realloc\|free\|pthread_create\|__tls_get_addr\|setenv\|__cxa_thread_atexit_impl'; then
    fail uses_no_allocator_threads_or_dynamic_tls
else
    ok uses_no_allocator_threads_or_dynamic_tls
fi

# build NAME OPTIONS...
build() {
    name=$1
    shift
    "$cc" -O2 -Wall -Wno-deprecated-declarations -Wno-array-bounds -Wno-restrict \
        -o "$tmp/$name" "$here/c/$name.c" "$@" -pthread -ldl || fail "$name does not compile"
}

# check HOW COMMAND... : runs it with a time limit; it prints its own cases.
check() {
    echo "$1:"
    shift
    timeout 120 "$@" || fail "exit status $?: $*"
}

build signals
check "signals, without the library" "$tmp/signals"
check "signals" env LD_PRELOAD="$lib" "$tmp/signals"

mkdir "$tmp/plugins"
"$cc" -O2 -shared -fPIC -o "$tmp/plugins/edge_plugin.so" "$here/c/plugin.c" -ldl
build dlopen -Wl,-rpath,'$ORIGIN/plugins'
check "dlopen, without the library" "$tmp/dlopen"
check "dlopen" env LD_PRELOAD="$lib" "$tmp/dlopen"

"$cc" -O2 -shared -fPIC -DPLUGIN -o "$tmp/plugins/constructor_plugin.so" "$here/c/constructor.c"
build constructor -Wl,-rpath,'$ORIGIN/plugins'
check "constructor, without the library" "$tmp/constructor"
check "constructor" env USYSV_NS="$tmp/constructor.ns" LD_PRELOAD="$lib" "$tmp/constructor"

build procfs
check "procfs, without the library" "$tmp/procfs"
check "procfs" env LD_PRELOAD="$lib" "$tmp/procfs"

build creds
check "creds" env LD_PRELOAD="$lib" "$tmp/creds"

# Not looking before the sleep makes each run take the same way to it.
build waits
check "waits" env USYSV_SPIN=0 USYSV_NS="$tmp/waits.ns" LD_PRELOAD="$lib" "$tmp/waits"

build cancel
check "cancel, without the library" "$tmp/cancel"
check "cancel" env LD_PRELOAD="$lib" "$tmp/cancel"

build bus
check "bus" env USYSV_NS="$tmp/bus.ns" LD_PRELOAD="$lib" "$tmp/bus"

build faults
check "faults" env USYSV_NS="$tmp/faults.ns" LD_PRELOAD="$lib" "$tmp/faults"

build memory
check "memory, without the library" "$tmp/memory"
check "memory" env LD_PRELOAD="$lib" "$tmp/memory"

build environment
check "environment, without the library" "$tmp/environment"
check "environment" env USYSV_NS="$tmp/environment.ns" LD_PRELOAD="$lib" "$tmp/environment"

build clocks -rdynamic
check "clocks, without the library" "$tmp/clocks"
check "clocks" env USYSV_NS="$tmp/clocks.ns" LD_PRELOAD="$lib" "$tmp/clocks"

build semaphores
check "semaphores, without the library" "$tmp/semaphores"
check "semaphores" env LD_PRELOAD="$lib" "$tmp/semaphores"

if [ $inside = yes ]; then
    build efault
    check "efault" env LD_PRELOAD="$lib" "$tmp/efault"
    build sections
    check "sections" env LD_PRELOAD="$lib" "$tmp/sections"
else
    echo "efault, sections: skipped, they need a debug build of the library"
    build stacks
    check "stacks, without the library" env LD_BIND_NOW=1 "$tmp/stacks"
    check "stacks" env LD_BIND_NOW=1 USYSV_NS="$tmp/stacks.ns" LD_PRELOAD="$lib" "$tmp/stacks"
fi

# Real programs print the same with the library as without.
same() {
    printf '%s\n' "$1" > "$tmp/script"
    sh "$tmp/script" > "$tmp/want" 2>&1
    want=$?
    LD_PRELOAD="$lib" timeout 60 sh "$tmp/script" > "$tmp/got" 2>&1
    got=$?
    if [ $want = $got ] && cmp -s "$tmp/want" "$tmp/got"; then
        ok "$1"
    else
        fail "$1 (exit status $want, then $got)"
        diff "$tmp/want" "$tmp/got" | head -5
    fi
}
echo "real programs:"
same 'ls / | cat'
same 'bash -c "trap \"echo got\" USR1; kill -USR1 \$\$; sleep 0.1 & wait; echo done"'
for program in python3 perl git php gcc apt-get; do
    command -v $program > /dev/null || {
        echo "  skipped $program: not installed"
        continue
    }
    case $program in
    python3) same 'python3 -c "import subprocess; print(subprocess.check_output([\"echo\", \"hi\"]))"' ;;
    perl) same "perl -e '\$SIG{ALRM} = sub { die \"alarm\\n\" }; alarm 1; eval { sleep 5 }; print \$@'" ;;
    git) same 'git --version && git config --list --system; git init -q --bare '"$tmp/repo"' && echo ok' ;;
    php) same 'php -r "echo 1 + 1;"' ;;
    gcc) same 'echo "int main(void) { return 3; }" | gcc -x c - -o '"$tmp/a.out && $tmp/a.out" ;;
    apt-get) same 'apt-get --version | head -1; apt-cache policy bash | head -2' ;;
    esac
done

[ $failed = 0 ] || {
    echo "$failed FAILED"
    exit 1
}
echo "all passed"
