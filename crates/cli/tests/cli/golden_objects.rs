//! The classic tools on semaphore sets and shared memory segments, against the installed
//! util-linux 2.38, byte for byte, on the kernel.

use crate::golden::{compare_defined, compare_ipcs, compare_lookers, compare_scripts};
use crate::program::{Scratch, USYSV, text};
use std::path::Path;

/// Sets: used and waited for, closed to all, with -1 for a key, private and given away, of an
/// owner without a name. Segments: the same, and attached, locked, removed while attached.
///
/// In a status, the second word is the owner's uid and the third the gid. Of the numbers, 1 is
/// `IPC_SET`, 2 `IPC_STAT`, 11 `SHM_LOCK`, 14 `GETNCNT` and 15 `GETZCNT`.
const OBJECTS: &str = r#"
perl -MIPC::SysV=shmat -e '
    sub give { my ($ctl, $id) = @_; $ctl->($id, 2, my $ds = "");
        substr($ds, 4, 8) = pack("L2", 1, 4712); $ctl->($id, 1, $ds) or die "IPC_SET: $!" }
    my $used = semget(43, 3, 01640); semget(44, 1, 01000); semget(-1, 2, 01007);
    give(sub { semctl($_[0], 0, $_[1], $_[2]) }, semget(0, 300, 01607));
    semop($used, pack("s3", 0, 3, 0)) or die "semop: $!";
    my $seen = shmget(43, 1500, 01640); shmget(44, 1, 01000); shmget(-1, 4096, 01007);
    give(sub { shmctl($_[0], $_[1], $_[2]) }, shmget(0, 123456789, 01607));
    shmwrite($seen, "x" x 1500, 0, 1500) or die "shmwrite: $!";
    my ($locked, $removed, $both) = map { shmget(50 + $_, 5000 * $_, 01600) } 1, 2, 3;
    shmctl($_, 11, 0) or die "SHM_LOCK: $!" for $locked, $both;
    $) = "4712 4712"; $> = 4711; semget(45, 5, 01660); shmget(45, 5, 01660); $> = 0; $) = 0;
    my @waiters = map {
        my $op = $_; my $pid = fork; if (!$pid) { semop($used, pack("s3", @$op, 0)); exit } $pid
    } [1, -1, 0], [1, -2, 0], [0, 0, 0];
    shmat($_, undef, 0) // die "shmat: $!" for $removed, $both, $both;
    shmctl($_, 0, 0) or die "IPC_RMID: $!" for $removed, $both;
    select undef, undef, undef, 0.01
        until semctl($used, 1, 14, 0) == 2 and semctl($used, 0, 15, 0) == 1;
    print STDERR "ready @waiters\n"; sleep 1000
' 2>ready & holder=$!
"#;

/// [`OBJECTS`], made in a directory of the script's own.
fn objects(scratch: &Scratch) -> String {
    let ready = "until grep -q . ready; do sleep 0.02; done\ngrep -v '^ready ' ready\n";
    let end = "holder=\"$holder $(sed -n 's/^ready //p' ready)\"\n";
    // The shell that makes it for the background may come later than the first look.
    format!(
        "cd {}\n: >ready\n{OBJECTS}{ready}{end}",
        text(&scratch.path(""))
    )
}

/// Every table of sets and segments.
const TABLES: &str = "\n-m\n-s\n-a\n-ms\n-mt\n-mp\n-mc\n-ml\n-mu\n-st\n-sp\n-sc\n-sl\n-su\n-t\n-p\n-c\n-l\n-u\n\
     -m --human\n-m -b\n-s --human\n-s -b\n-mt --human\n-mu --human\n-mu -b\n-ml --human\n-ml -b\n\
     -su --human\n-sl -b\n--human\n-b";

/// Every kind of object, one by one, and what is none.
const DETAILS: &str = "-s -i 0\n-s -i 1\n-s -i 2\n-s -i 3\n-s -i 4\n-s -i 5\n-s -i 0 --human\n-s -i 0 -t\n\
     -m -i 0\n-m -i 1\n-m -i 2\n-m -i 3\n-m -i 4\n-m -i 5\n-m -i 6\n-m -i 7\n-m -i 8\n\
     -m -i 0 --human\n-m -i 3 --human\n-m -i 3 -b\n-m -i 0 -l\n-ms -i 0\n-q -i 0\n-m -i 32768";

#[test]
fn ipcs_tables_of_sets_and_segments_are_util_linux_s() {
    compare_ipcs(&objects(&Scratch::new()), TABLES);
}

#[test]
fn ipcs_details_of_sets_and_segments_are_util_linux_s() {
    compare_ipcs(&objects(&Scratch::new()), DETAILS);
}

/// Runs a command as somebody else.
const NOBODY: &str = "setpriv --reuid 65534 --regid 65534 --clear-groups";

/// Whoever may not read a set sees that it is there, and that is all.
#[test]
fn a_stranger_sees_what_util_linux_shows_them() {
    let scratch = Scratch::new();
    let tool = scratch.copy("usysv", Path::new(USYSV));
    compare_lookers(
        &objects(&scratch),
        &format!("{NOBODY} {} --kernel ipcs", text(&tool)),
        &format!("{NOBODY} ipcs"),
        &format!("{TABLES}\n{DETAILS}"),
    );
}

#[test]
fn limits_are_util_linux_s_whatever_they_are() {
    let sizes = ["0", "1", "1023", "4503599627370495", "4503599627370496"]
        .into_iter()
        .chain(["4611686018427387904", "18446744073709551615"]);
    for size in sizes {
        let limits = format!(
            "k limits shmmax={size} shmall={size} shmmni=7 semmsl=3 semmns=5 semopm=9 semmni=11\n"
        );
        compare_ipcs(&limits, "-ml\n-ml --human\n-ml -b\n-sl");
    }
}

#[test]
fn ipcrm_removes_sets_and_segments_as_util_linux_s() {
    for (id, key, old, make) in [("-s", "-S", "sem", "semget"), ("-m", "-M", "shm", "shmget")] {
        compare_scripts(&format!(
            "perl -e '{make}($_, 3, 01600) // die for 42 .. 52'\n\
             show ipcrm {key} 42; show ipcrm {key} 0x2b; show ipcrm {key} 054; show ipcrm -v {key} 45\n\
             show ipcrm {key} 45; show ipcrm {id} 77; show ipcrm {id} -1; show ipcrm {id} abc\n\
             show ipcrm {id} 99999999999; show ipcrm {id} ''; show ipcrm {id} ' 4'; show ipcrm {id} 5 {id} 5 -v\n\
             show ipcrm {key} abc; show ipcrm {key} 0; show ipcrm {key} 99999999999999999999999\n\
             show ipcrm {key} -1; show ipcrm {old}; show ipcrm {old} 77; show ipcrm {old} 6 7\n\
             show ipcrm {old} abc 8; show ipcrm --all={old} -v; ipcs -a"
        ));
    }
}

#[test]
fn ipcrm_is_refused_as_util_linux_s() {
    let scratch = Scratch::new();
    let tool = scratch.copy("usysv", Path::new(USYSV));
    let stranger = |ipcrm: &str| format!("stranger() {{ {NOBODY} {ipcrm} \"$@\"; }}");
    compare_defined(
        &stranger(&format!("{} --kernel ipcrm", text(&tool))),
        &stranger("ipcrm"),
        "perl -e 'semget(42, 3, 01600); semget(43, 3, 01644); shmget(42, 3, 01600); shmget(43, 3, 01644)'\n\
         show stranger -s 0; show stranger -S 42; show stranger -S 43; show stranger -m 0; show stranger -m 1\n\
         show stranger -M 42; show stranger -M 43; show stranger -a -v; show stranger sem 0 1\n\
         show stranger shm 0 1; ipcs -a",
    );
}

#[test]
fn ipcrm_all_removes_every_kind_as_util_linux_s() {
    compare_scripts(
        "make() { /usr/bin/ipcmk -S 2 -M 3 -Q >/dev/null; /usr/bin/ipcmk -S 2 -M 3 -Q >/dev/null; }\n\
         make; show ipcrm -v -a; make; show ipcrm -v -asem; ipcs -su; show ipcrm -v --all=shm; ipcs -mu\n\
         show ipcrm -v -amsg; ipcs -qu; make; show ipcrm --all=sem --all=shm; ipcs -u",
    );
}

#[test]
fn ipcmk_makes_sets_and_segments_as_util_linux_s() {
    compare_scripts(
        "show ipcmk -S 3; show ipcmk -M 10; show ipcmk -S 2 -M 5 -Q -p 600; show ipcmk -Q -S 2; show ipcmk -M 7 -S 1\n\
         show ipcmk -S 0; show ipcmk -S -1; show ipcmk -S abc; show ipcmk -S ''; show ipcmk -S 1x; show ipcmk -S 010\n\
         show ipcmk -S 40000; show ipcmk -S 99999999999; show ipcmk -S ' 2'; show ipcmk -S '2 '; show ipcmk -S 1 -S 2\n\
         show ipcmk -M 0; show ipcmk -M 1 -M 2; show ipcmk -M 5 -S 0 -Q; show ipcmk -M 0 -Q; show ipcmk -S; show ipcmk -M\n\
         show ipcmk --sh 12 --sem 4 --mode=604; show ipcmk -M 3 -p 0; show ipcmk -M 3 -p 77777; show ipcmk -S 3 -p 77777\n\
         ipcs -a | awk '{ $1 = \"\"; print }'\n\
         k limits shmmni=0 semmni=0; show ipcmk -M 1; show ipcmk -S 1\n\
         show ipcmk -M 1 >/dev/full",
    );
}

#[test]
fn sizes_are_read_as_util_linux_reads_them() {
    let sizes = "1k 1K 1KB 1kb 1Kb 1KiB 1kib 1KIB 1kIb 1iB 1i 1ki 1KBx 2KKB 1M 1mb 1MiB 1g 1t 15E 16E 1Z 0Z 1Q k B 1B \
         -1 +3 --3 0x10 0x 0x1k 010 08 1.5k 1.5 1. 1.k .5k 0.5k 1.05k 1.005m 1.25k 1.7k 1.9k 1.99k 1.10k 1.010k 1.0k \
         1.333m 1.75kB 1.50000k 1.00000000000000000000001m 1.99999999999999999999999k 0x1.8k 1,5k 1.-5k 1.5.5k 1.0x1k \
         1.090k 1.55555k 00.8k 16383P 99999999999999999999 18446744073709551615 18446744073709551616";
    compare_scripts(&format!(
        "for size in {sizes} '' ' 5' '5 ' '1 k'; do show ipcmk -M \"$size\"; done\n\
         ipcs -m | awk '{{ print $2, $5 }}'"
    ));
}
