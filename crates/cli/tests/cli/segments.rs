//! `shm cat`, `shm write` and `shm attachers`: the same scripts on the kernel and in a namespace.

use crate::program::{Ran, Scratch, USYSV, finish, in_kernel, ran, text, usysv};

/// Perl calls the C library, so its segments are where the script's programs have theirs.
const MAKE: &str = "perl -e 'defined shmget(42, 5000, 01600) or die $!'\n";

/// Runs a script whose `k` is `usysv`, in a namespace of its own, which is called `PLACE` in what
/// it prints.
fn in_namespace(script: &str) -> Ran {
    let scratch = Scratch::new();
    let path = scratch.path("ns");
    let script = format!("usysv={USYSV}\nk() {{ $usysv \"$@\"; }}\nexec 2>&1\n{MAKE}{script}");
    let ran = finish(&mut usysv(&[
        "run",
        "--ns",
        text(&path),
        "--",
        "sh",
        "-c",
        &script,
    ]));
    let out = ran
        .out
        .replace(&format!("namespace {}", text(&path)), "PLACE");
    Ran { out, ..ran }
}

/// What a script prints on either; `PLACE` and `USYSV` stand for where it ran, and how the user
/// calls `usysv` there.
fn prints(script: &str, want: &str) {
    let got = in_namespace(script).out;
    assert_eq!(got, want.replace("USYSV", "usysv"), "in a namespace");
    if let Some(ran) = in_kernel(&(MAKE.to_owned() + script)) {
        let want = want.replace("PLACE", "the kernel");
        let want = want.replace("USYSV", "usysv --kernel");
        assert_eq!(ran.out, want, "on the kernel");
    }
}

#[test]
fn bytes_are_written_and_printed() {
    prints(
        "printf 'hello\\000world' | k shm write --key 42; k shm cat --key 0x2a --length 11 | od -An -c\n\
         printf 'J' | k shm write --id 0 --offset 0x6; k shm cat --id 0 --offset 6 --length 5; echo\n\
         k shm cat --key 052 | wc -c; k shm cat --key 42 --offset 4096 | tr -d '\\000' | wc -c\n\
         perl -e 'shmread(0, $b, 0, 5) or die $!; print \"$b\\n\"'",
        "   h   e   l   l   o  \\0   w   o   r   l   d\nJorld\n5000\n0\nhello\n",
    );
}

/// More than is copied at once, through a segment whose last page is not full.
#[test]
fn long_contents_come_back_whole() {
    prints(
        "perl -e 'defined shmget(43, 1000001, 01600) or die $!'\n\
         t=$(mktemp) && seq 200000 | head -c 1000001 >$t && k shm write --key 43 <$t\n\
         k shm cat --key 43 | cmp - $t && wc -c <$t; rm $t",
        "1000001\n",
    );
}

/// The last byte can be written, the one after it cannot, and then nothing is.
#[test]
fn nothing_goes_beyond_the_end() {
    prints(
        "printf xy | k shm write --key 42 --offset 4998; echo $?\n\
         printf XYZ | k shm write --key 42 --offset 4998; echo $?\n\
         k shm cat --key 42 --offset 4998; echo\n\
         head -c 5001 /dev/zero | k shm write --key 42; head -c 5000 /dev/zero | k shm write --id 0\n\
         k shm write --key 42 --offset 5000 </dev/null; echo $?; k shm cat --key 42 --offset 5000\n\
         printf z | k shm write --key 42 --offset 5000\n\
         printf z | k shm write --key 42 --offset 5001; k shm cat --key 42 --offset 5001; echo $?\n\
         k shm cat --key 42 --offset 4990 --length 11; echo $?",
        "0\n\
         usysv: shm write: key 0x2a: standard input is longer than the 2 bytes that fit from byte \
         4998 to the segment's end; nothing was written\n1\nxy\n\
         usysv: shm write: key 0x2a: standard input is longer than the 5000 bytes that fit from \
         byte 0 to the segment's end; nothing was written\n0\n\
         usysv: shm write: key 0x2a: standard input is longer than the 0 bytes that fit from byte \
         5000 to the segment's end; nothing was written\n\
         usysv: shm write: key 0x2a: there is no byte 5001: the segment has 5000\n\
         usysv: shm cat: key 0x2a: there is no byte 5001: the segment has 5000\n1\n\
         usysv: shm cat: key 0x2a: there are no 11 bytes from byte 4990 on: the segment ends \
         after 10\n1\n",
    );
}

#[test]
fn nothing_stays_attached() {
    prints(
        "k shm cat --key 42 >/dev/null; printf x | k shm write --key 42\n\
         k ipcs -m | awk '$1 ~ /^0x/ { print $1, $5, $6 }'",
        "0x0000002a 5000 0\n",
    );
}

#[test]
fn refusals_are_explained() {
    prints(
        "k shm cat --key 99; echo $?; k shm write --id 777 </dev/null; echo $?\n\
         k shm cat --key -1",
        "usysv: shm cat: key 0x63: no such segment in PLACE ('USYSV ipcs -m' lists them)\n1\n\
         usysv: shm write: id 777: no such segment in PLACE ('USYSV ipcs -m' lists them)\n1\n\
         usysv: note: key 0xffffffff is what ftok returns when it fails (missing file?): programs \
         that don't check share that object\n\
         usysv: shm cat: key 0xffffffff: no such segment in PLACE ('USYSV ipcs -m' lists them)\n",
    );
}

/// A writer that is killed, and a reader that goes by exec.
#[test]
fn a_namespace_tells_who_has_it_attached() {
    let ran = in_namespace(
        "hold() { exec perl -MIPC::SysV=shmat -e '$SIG{USR1} = sub { exec \"sleep\", 100 }; \
         defined shmat(0, undef, oct shift) or die $!; sleep 100 while 1' $1; }\n\
         hold 0 & writer=$!; hold 010000 & reader=$!\n\
         told() { k shm attachers --key 42; }\n\
         short() { told | sed \"s/^$writer /WRITER /; s/^$reader /READER /\" |\n\
         awk '{ print $1, $3, $4, $5 }' | sort; }\n\
         until [ \"$(told | grep -c ' perl$')\" = 2 ]; do sleep 0.02; done\n\
         short; at=$(told | awk \"/^$reader /\"'{ print $2 }')\n\
         grep -c \"^${at#0x}-.* r--s \" /proc/$reader/maps\n\
         kill -9 $writer; wait $writer 2>/dev/null; short\n\
         kill -USR1 $reader; until grep -q sleep /proc/$reader/comm; do sleep 0.02; done\n\
         short; kill $reader",
    );
    let header = "pid bytes access command\n";
    let reader = "READER 8192 ro perl\n";
    assert_eq!(
        ran.out,
        format!("{reader}WRITER 8192 rw perl\n{header}1\n{reader}{header}{header}"),
        "{ran:?}"
    );
}

/// And where to look instead is right.
#[test]
fn the_kernel_has_no_list_and_that_is_said() {
    let script = "perl -e 'defined shmget($_, 1, 01600) or die $! for 43..45'\n\
                  k shm attachers --key 44; echo $?\n\
                  perl -MIPC::SysV=shmat -e 'shmat(2, undef, 0) or die $!; system \"cat /proc/$$/maps\"' |\n\
                  awk '/SYSV/ { print $5, $6 }'";
    if let Some(ran) = in_kernel(&format!("{MAKE}{script}")) {
        assert_eq!(
            ran.out,
            "usysv: shm attachers: key 0x2c: the kernel has no list of a segment's attachers: each \
             has a line with /SYSV and inode 2 in its /proc/PID/maps ('usysv --kernel ipcs -m' \
             tells how many there are)\n1\n2 /SYSV0000002c\n"
        );
    }
}

#[test]
fn wrong_usage_is_status_2() {
    for args in [
        &["shm"][..],
        &["shm", "cat"],
        &["shm", "cat", "--key", "1", "--id", "1"],
        &["shm", "cat", "--id", "0", "--offset", "-1"],
        &["shm", "cat", "--id", "0", "--length", "x"],
        &["shm", "write", "--id", "0", "text"],
        &["shm", "write", "--id", "0", "--length", "1"],
        &["shm", "attachers"],
    ] {
        assert_eq!(ran(args).status, 2, "{args:?}");
    }
}
