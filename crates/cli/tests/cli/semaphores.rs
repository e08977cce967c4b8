//! `sem get`, `sem set` and `sem op`: the same scripts on the kernel and in a namespace.

use crate::program::{Ran, Scratch, USYSV, finish, in_kernel, ran, text, usysv};

/// Perl calls the C library, so its sets are where the script's programs have theirs.
const MAKE: &str = "perl -e 'defined semget(42, 3, 01600) or die $!'\n";

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

/// The table without the processes, and without the kernel's note.
const VALUES: &str =
    "values() { k sem get \"$@\" 2>/dev/null | awk '{ print $1, $2, $4, $5 }'; }\n";

#[test]
fn values_are_set_and_operated_on() {
    prints(
        &format!(
            "{VALUES}k sem set --key 42 0=1 2=7; k sem op --key 0x2a 0:-1 1:+3; values --id 0\n\
             k sem set --id 0 --all 4,5,6; values --key 052 2"
        ),
        "num value ncnt zcnt\n0 0 0 0\n1 3 0 0\n2 7 0 0\nnum value ncnt zcnt\n2 6 0 0\n",
    );
}

#[test]
fn a_wait_ends_as_it_was_told() {
    prints(
        "k sem op --key 42 0:-1 --nowait; echo $?\n\
         k sem op --key 42 1:+1 0:-1 --timeout 0.05; echo $?\n\
         k sem op --key 42 0:-1 & k sem op --key 42 0:+1; wait $!; echo $?\n\
         k sem op --id 0 2:-1 & sleep 0.2; perl -e 'semctl(0, 0, 0, 0) or die $!'; wait $!; echo $?",
        "usysv: sem op: key 0x2a: 0:-1 cannot be done without waiting, and nothing was done\n3\n\
         usysv: sem op: key 0x2a: 1:+1 0:-1 cannot be done within 0.05 s, and nothing was done\n3\n\
         0\n\
         usysv: sem op: id 0: the set was removed meanwhile\n1\n",
    );
}

#[test]
fn undone_operations_end_with_the_command() {
    prints(
        &format!(
            "{VALUES}k sem op --key 42 0:+5 1:+1 --undo; echo $?; k sem op --key 42 1:+2\n\
             values --key 42"
        ),
        "0\nnum value ncnt zcnt\n0 0 0 0\n1 2 0 0\n2 0 0 0\n",
    );
}

/// The holder's end adds nothing any more.
#[test]
fn setting_a_value_forgets_what_is_to_be_undone() {
    prints(
        &format!(
            "{VALUES}k sem set --key 42 --all 1,1,0\n\
             perl -e 'semop(0, pack(\"s6\", 0, -1, 010000, 1, -1, 010000)) or die; \
             sleep 100' & holder=$!\n\
             until values --key 42 | grep -q '^0 0 '; do sleep 0.02; done\n\
             k sem set --key 42 0=5; kill -9 $holder; wait $holder 2>/dev/null\n\
             values --key 42"
        ),
        "num value ncnt zcnt\n0 5 0 0\n1 1 0 0\n2 0 0 0\n",
    );
}

#[test]
fn refusals_are_explained() {
    prints(
        "k sem get --key 99; echo $?; k sem get --id 777; echo $?\n\
         k sem get --key 42 3; k sem op --key 42 9:+1; k sem set --key 42 0=1 3=1\n\
         k sem set --key 42 --all 1,2; k sem op --key 42 0:+1 0:+32767; echo $?\n\
         k limits semopm=1; k sem op --key 42 0:+1 0:-1",
        "usysv: sem get: key 0x63: no such semaphore set in PLACE ('USYSV ipcs -s' lists them)\n1\n\
         usysv: sem get: id 777: no such semaphore set in PLACE ('USYSV ipcs -s' lists them)\n1\n\
         usysv: sem get: key 0x2a: there is no semaphore 3: the set has 3 (0 to 2)\n\
         usysv: sem op: key 0x2a: there is no semaphore 9: the set has 3 (0 to 2)\n\
         usysv: sem set: key 0x2a: there is no semaphore 3: the set has 3 (0 to 2)\n\
         usysv: sem set: key 0x2a: --all needs a value for each semaphore: the set has 3, and 2 \
         were given\n\
         usysv: sem op: key 0x2a: a semaphore would grow beyond 32767, or what is to be undone \
         would; nothing was done\n1\n\
         usysv: sem op: key 0x2a: 2 operations are more than semopm in PLACE allows ('USYSV \
         limits semopm=2' changes it)\n",
    );
}

/// A holder with SEM_UNDO, and two that wait behind it.
#[test]
fn a_namespace_tells_who_waits_and_who_is_undone() {
    let ran = in_namespace(
        "k sem set --key 42 0=1 1=1\n\
         perl -e 'semop(0, pack(\"s3\", 0, -1, 010000)) or die; sleep 100' & holder=$!\n\
         until k sem get --key 42 0 | grep -q '^0:+1 '; do sleep 0.02; done\n\
         $usysv sem op --key 42 2:+1 0:-1 & taker=$!\n\
         $usysv sem op --key 42 1:0 & other=$!\n\
         until [ \"$(k sem get --key 42 | grep -c ' 20[0-9][0-9] ')\" = 2 ]; do sleep 0.02; done\n\
         k sem get --key 42 | sed \"s/ $holder / HOLDER /; s/ $holder\\$/ HOLDER/\n\
         s/ $taker / TAKER /g; s/ $other / OTHER /g\" | sed 's/  */ /g' | sort\n\
         k sem get --key 42 2 | tail -n +2 | cut -c1-6\n\
         kill -9 $holder; wait $taker; echo $?; k sem op --key 42 1:-1; wait $other; echo $?\n\
         k sem get --key 42 | awk '{ print $1, $2, $4, $5 }'",
    );
    let lines: Vec<_> = ran.out.lines().collect();
    let starting = |start: &str| lines.iter().filter(|l| l.starts_with(start)).count();
    for start in [
        "waits for pid tid since operations",
        "at exit pid",
        "0:+1 HOLDER",
        "0:-1 TAKER TAKER ",
        "1:0 OTHER OTHER ",
        "0 0 HOLDER 1 0",
        "1 1 ",
    ] {
        assert_eq!(starting(start), 1, "{start}: {ran:?}");
    }
    let blocked = lines.iter().find(|l| l.starts_with("0:-1 TAKER"));
    assert!(blocked.is_some_and(|l| l.ends_with(" 2")), "{ran:?}");
    let end = "2     \n0\n0\nnum value ncnt zcnt\n0 0 0 0\n1 0 0 0\n2 1 0 0\n";
    assert!(ran.out.ends_with(end), "{ran:?}");
}

#[test]
fn the_kernel_does_not_tell_and_that_is_said() {
    if let Some(ran) = in_kernel(&format!("{MAKE}k sem get --key 42 1")) {
        assert_eq!(
            ran.out,
            "usysv: note: the kernel does not tell who waits and whose operations are to be \
             undone\n\
             num    value  pid        ncnt   zcnt\n\
             1      0      0          0      0\n"
        );
    }
}

#[test]
fn wrong_usage_is_status_2() {
    for args in [
        &["sem"][..],
        &["sem", "get"],
        &["sem", "get", "--key", "1", "--id", "1"],
        &["sem", "set", "--id", "0"],
        &["sem", "set", "--id", "0", "0=32768"],
        &["sem", "set", "--id", "0", "--all", "1,x"],
        &["sem", "set", "--id", "0", "--all", "1", "0=1"],
        &["sem", "op", "--id", "0"],
        &["sem", "op", "--id", "0", "0"],
        &["sem", "op", "--id", "0", "0:-1", "--timeout", "-1"],
    ] {
        assert_eq!(ran(args).status, 2, "{args:?}");
    }
}
