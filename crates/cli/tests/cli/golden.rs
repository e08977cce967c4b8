//! `ipcs`, `ipcrm` and `ipcmk` against the installed util-linux 2.38, byte for byte, on the kernel:
//! command lines, and message queues.

use crate::program::{self, Scratch, USYSV, in_kernel};
use std::process::Command;

/// The reference, or a reason said out loud.
pub fn util_linux() -> bool {
    let version = Command::new("/usr/bin/ipcs").arg("-V").output();
    let version = version.map(|o| String::from_utf8_lossy(&o.stdout).into_owned());
    let right = version
        .as_ref()
        .is_ok_and(|v| v.contains("util-linux 2.38"));
    if !right {
        eprintln!("SKIPPED: /usr/bin/ipcs is not util-linux 2.38: {version:?}");
    }
    right
}

/// Four queues: with a message, with -1 for a key, unreadable, private and emptied.
const QUEUES: &str = "\
    k send --key 42 --create=666 hello\n\
    k send --key -1 --create x 2>/dev/null\n\
    k ipcmk -Q -p 0 >/dev/null\n\
    k send --key 77 --create=770 \"$(head -c 1500 /dev/zero | tr '\\0' x)\"\n\
    k send --key 78 --create=70 y; k recv --key 78 >/dev/null\n";

/// Looks at the same objects with both tools; every line of `calls` is an `ipcs` command line.
pub fn compare_ipcs(objects: &str, calls: &str) {
    compare_lookers(objects, "k ipcs", "ipcs", calls);
}

/// As [`compare_ipcs`], with the commands that are the two tools.
pub fn compare_lookers(objects: &str, ours: &str, theirs: &str, calls: &str) {
    if !util_linux() {
        return;
    }
    let each = |ipcs: &str| {
        let calls = calls.lines().map(|call| format!("show {ipcs} {call}\n"));
        calls.collect::<String>()
    };
    let script = format!(
        "{objects}ours() {{ {ours} \"$@\"; }}; theirs() {{ {theirs} \"$@\"; }}\n\
         {}echo ======\n{}{DONE}",
        each("ours"),
        each("theirs")
    );
    let Some(ran) = in_kernel(&script) else {
        return;
    };
    let (ours, theirs) = ran.out.split_once("======\n").expect("both parts");
    assert_eq!(ours.replace("--- ours", "--- theirs"), theirs);
    assert_eq!(theirs.matches("\nstatus ").count(), calls.lines().count());
}

/// The end of a script that left processes behind.
const DONE: &str = "[ -z \"$holder\" ] || kill -9 $holder\n";

#[test]
fn ipcs_tables_are_util_linux_s() {
    compare_ipcs(
        QUEUES,
        "\n-q\n-q -t\n-q -p\n-q -c\n-q -l\n-q -u\n-q -b\n-q --human\n-t\n-p\n-c\n-l\n-u\n-a\n-m\n-s\n\
         -mt\n-mp\n-mc\n-ml\n-mu\n-st\n-sp\n-sc\n-sl\n-su\n-qs\n-l --human\n-l -b\n-u --human\n-u -b\n\
         --human\n-t -c\n-p -l\n--human -b -l\n-b --human -l",
    );
}

#[test]
fn ipcs_details_are_util_linux_s() {
    compare_ipcs(
        QUEUES,
        "-q -i 0\n-q -i 3\n-q -i 3 --human\n-q -i 3 -b\n-q -i 2\n-q -i 4\n-q -i 0 -t\n-q -i 3 -i 0\n\
         -q -i 99\n-s -i 0\n-m -i 0\n-i 0\n-qm -i 0\n-a -i 0\n-q -i 0x0\n-q -i abc\n-q -i ''\n\
         -q -i 99999999999\n-q -i ' 0'\n-q -i '0 '\n-q -i +0\n-q -i 00",
    );
}

#[test]
fn ipcs_options_are_getopt_s() {
    compare_ipcs(
        QUEUES,
        "-qZ\n--qu --ti\n--s\n--sem\n--queues=3\n--id\n-i\n--id=0 -q\n-qi0\nfoo\nfoo -q\n-- -q\n--nope\n\
         --nope=3\n--h\n--hu\n--=x\n-:\n-\n-é\n-q -qq\n--sum -q\n--creat -q",
    );
}

#[test]
fn human_sizes_are_util_linux_s() {
    let sizes = [
        0,
        1,
        1023,
        1024,
        1025,
        1075,
        1076,
        1500,
        1587,
        1588,
        2047,
        9999,
        10239,
        10241,
        102400,
        1048575,
        1048577,
        1153433,
        1153434,
        1500000,
        1234567890,
        2147483647u32,
    ];
    let each = |ipcs: &str| {
        let line = |n| format!("k limits msgmax={n} msgmnb={n}; {ipcs} -ql --human\n");
        sizes.map(line).concat()
    };
    if !util_linux() {
        return;
    }
    let script = format!("{}echo ======\n{}", each("k ipcs"), each("ipcs"));
    let Some(ran) = in_kernel(&script) else {
        return;
    };
    let (ours, theirs) = ran.out.split_once("======\n").expect("both parts");
    assert_eq!(ours, theirs);
}

/// Runs the same script with each tool, each in a fresh IPC namespace, and compares.
pub fn compare_scripts(script: &str) {
    let ours = "ipcrm() { k ipcrm \"$@\"; }; ipcmk() { k ipcmk \"$@\"; }";
    compare_defined(ours, "", script);
}

/// As [`compare_scripts`], with the shell's definitions that make the difference.
pub fn compare_defined(ours: &str, theirs: &str, script: &str) {
    if !util_linux() {
        return;
    }
    let with = |definition: &str| in_kernel(&format!("{definition}\n{script}"));
    let (Some(ours), Some(theirs)) = (with(ours), with(theirs)) else {
        return;
    };
    assert_eq!(ours, theirs);
}

#[test]
fn ipcrm_removes_and_complains_as_util_linux_s() {
    compare_scripts(
        "for n in 42 43 44 45 46 47 48 49 50; do k send --create --key $n x; done\n\
         show ipcrm; show ipcrm -Q 42; show ipcrm -Q 0x2b; show ipcrm -Q 054; show ipcrm -v -Q 45\n\
         show ipcrm -Q 45; show ipcrm -q 77; show ipcrm -q -1; show ipcrm -q abc; show ipcrm -q 0x4\n\
         show ipcrm -q 99999999999; show ipcrm -q ''; show ipcrm -q ' 4'; show ipcrm -q '4 '\n\
         show ipcrm -Q abc; show ipcrm -Q 0; show ipcrm -Q 99999999999999999999999\n\
         show ipcrm -Q 4294967338; show ipcrm -Q -1; show ipcrm -Q 0xffffffff\n\
         show ipcrm msg; show ipcrm msg 77; show ipcrm msg 5; show ipcrm msg abc 6; show ipcrm msg ''\n\
         show ipcrm msg -v 7; show ipcrm msg 99999999999999999999999; show ipcrm -v msg 8\n\
         show ipcrm foo; show ipcrm foo -q 8; show ipcrm -q; show ipcrm --queue 3; show ipcrm --queue-k\n\
         show ipcrm --all=foo; show ipcrm -afoo; show ipcrm -a=msg; show ipcrm -Z; show ipcrm -av\n\
         /usr/bin/ipcs -q | awk '{ print $2 }'\n",
    );
}

#[test]
fn ipcrm_all_removes_as_util_linux_s() {
    compare_scripts(
        "make() { for n in 42 43; do k send --create --key $n x; done; }\n\
         make; show ipcrm -v -amsg; make; show ipcrm -a -v; make; show ipcrm --all=msg\n\
         make; show ipcrm --all=shm -v; show ipcrm -a foo; make; show ipcrm -Q 42 -Q 43 -v -a\n\
         /usr/bin/ipcs -q\n",
    );
}

#[test]
fn ipcmk_makes_as_util_linux_s() {
    compare_scripts(
        "show ipcmk; show ipcmk -Q; show ipcmk -Q -p 600; show ipcmk -Q -p 0600; show ipcmk -Q -p 888\n\
         show ipcmk -Q -p abc; show ipcmk -Q -p ''; show ipcmk -Q -p 77777; show ipcmk -Q extra\n\
         show ipcmk -QQ; show ipcmk -Z; show ipcmk -QZ; show ipcmk --q --m 600; show ipcmk -p 600\n\
         show ipcmk --mode; show ipcmk -Q -p -1; show ipcmk -Q -p 7777777777777777777777777777\n\
         /usr/bin/ipcs -q | awk '{ print $2, $3, $4, $5, $6 }'\n\
         k limits msgmni=0; show ipcmk -Q\n",
    );
}

/// util-linux says this of any failed write, also into a full disk.
#[test]
fn a_full_disk_is_an_error() {
    compare_scripts(
        "k send --create --key 1 x\n\
         show ipcmk -Q >/dev/full; ipcmk -Q >/dev/full; echo $?; ipcrm -v -Q 1 >/dev/full; echo $?",
    );
    let script = "k ipcs -q >/dev/full; echo $?; ipcs -q >/dev/full; echo $?";
    if let Some(ran) = in_kernel(script) {
        let line = "ipcs: write error: No space left on device\n1\n";
        assert_eq!(ran.out, line.repeat(2));
    }
}

#[test]
fn a_link_named_as_a_tool_is_that_tool() {
    let scratch = Scratch::new();
    for tool in ["ipcs", "ipcrm", "ipcmk"] {
        let link = scratch.path(tool);
        std::os::unix::fs::symlink(USYSV, &link).expect("symlink");
        let version = program::finish(Command::new(&link).arg("-V"));
        assert_eq!(
            version.out,
            format!("{tool} from usysv {}\n", env!("CARGO_PKG_VERSION"))
        );
        // getopt's messages call it as its caller did, the tool's own by its short name.
        let wrong = program::finish(Command::new(&link).arg("-Z"));
        let want = format!(
            "{}: invalid option -- 'Z'\nTry '{tool} --help' for more information.\n",
            program::text(&link)
        );
        assert_eq!((wrong.err, wrong.status), (want, 1));
    }
}
