//! The commands on namespaces of their own.

use crate::program::{Ran, Scratch, USYSV, finish, text, usysv};
use std::process::Command;

/// Runs a script whose `u` is `usysv`, in a private namespace.
fn private(script: &str) -> Ran {
    let script = format!("u() {{ {USYSV} \"$@\"; }}\n{script}");
    finish(&mut usysv(&["run", "--private", "--", "sh", "-c", &script]))
}

#[test]
fn what_is_left_behind_is_reported() {
    let ran = private(
        "u send --key 42 --create a; u send --key 42 b; u send --key 43 --create c\n\
         u recv --key 43",
    );
    assert_eq!(ran.out, "c\n");
    assert_eq!(
        ran.err,
        "usysv: left behind: 2 message queues (msqid 0 key 0x0000002a, 2 messages; msqid 1 key \
         0x0000002b, 0 messages)\n"
    );
}

#[test]
fn what_is_left_behind_of_any_kind_is_reported() {
    let ran = private(
        "u ipcmk -S 3 -M 1 -M 5000 >/dev/null; u ipcmk -S 1 >/dev/null\n\
         perl -e 'shmget(42, 1, 01600)'",
    );
    // The random keys.
    let mut words: Vec<_> = ran.err.split(' ').collect();
    for i in 1..words.len() {
        if words[i - 1] == "key" && words[i] != "0x0000002a," {
            words[i] = "KEY,";
        }
    }
    assert_eq!(
        words.join(" "),
        "usysv: left behind: 2 semaphore sets (semid 0 key KEY, 3 semaphores; semid 1 key KEY, 1 \
         semaphore)\n\
         usysv: left behind: 2 shared memory segments (shmid 0 key KEY, 5000 bytes; shmid 1 key \
         0x0000002a, 1 byte)\n"
    );
}

/// A program in the background outlives the run, and keeps what it has attached.
#[test]
fn a_segment_in_use_is_reported_as_such() {
    let ran = private(
        "perl -MIPC::SysV=shmat -e 'shmat(shmget(42, 100, 01600), undef, 0) // die; sleep 100' \\\n\
         >/dev/null 2>&1 & echo $!\n\
         until u ipcs -m | grep -q ' 100 *1 '; do sleep 0.02; done",
    );
    let killed = Command::new("kill").arg(ran.out.trim_end()).status();
    assert!(killed.is_ok_and(|status| status.success()), "{ran:?}");
    assert_eq!(
        ran.err,
        "usysv: left behind: 1 shared memory segment (shmid 0 key 0x0000002a, 100 bytes, still \
         attached 1 time)\n"
    );
}

#[test]
fn nothing_is_reported_when_nothing_is_left_or_wanted() {
    assert_eq!(
        private("u send --key 42 --create a; u ipcmk -S 1 -M 1 >/dev/null; u ipcrm -a").err,
        ""
    );
    let script = format!("{USYSV} send --key 42 --create a");
    let ran = finish(&mut usysv(&["run", "--private", "-q", "sh", "-c", &script]));
    assert_eq!(ran.err, "");
}

#[test]
fn the_classic_tools_work_on_it() {
    let ran = private(
        "u ipcmk -Q -p 600; u ipcs -q | awk 'NR == 4 { print $2, $4, $5, $6 }'; u ipcs -q -i 0 | grep qb\n\
         u ipcrm -v -q 0; u ipcs -s; u ipcrm -m 0",
    );
    assert_eq!(
        ran.out,
        "Message queue id: 0\n0 600 0 0\ncbytes=0\tqbytes=16384\tqnum=0\tlspid=0\tlrpid=0\n\
         removing message queue id `0'\n\n------ Semaphore Arrays --------\n\
         key        semid      owner      perms      nsems     \n\n"
    );
    assert_eq!(ran.err, "ipcrm: invalid id (0)\n");
}

#[test]
fn the_classic_tools_work_on_its_sets_and_segments() {
    let ran = private(
        "u ipcmk -S 2 -M 9K -p 640; perl -e 'semop(0, pack(\"s3\", 1, 7, 0)) or die $!'\n\
         u ipcs -s | awk 'NR == 4 { print $2, $4, $5 }'; u ipcs -s -i 0 | awk 'NF == 5 { print $1, $2 }'\n\
         u ipcs -m | awk 'NR == 4 { print $2, $4, $5, $6 }'; u ipcs -m -i 0 | grep mode\n\
         u ipcs -su; u ipcs -mu; u limits semmsl=5 shmmax=10000 shmall=100\n\
         u ipcs -sl | grep 'per array'; u ipcs -ml; u ipcrm -v -s 0 -m 0; u ipcs -u | grep -c ' 0$'\n\
         u ipcmk -S 6; u ipcmk -M 10001; u ipcrm -s 0 -m 0",
    );
    assert_eq!(
        ran.out,
        "Shared memory id: 0\nSemaphore id: 0\n0 640 2\nsemnum value\n0 0\n1 7\n\
         0 640 9216 0\nmode=0640\taccess_perms=0640\n\
         \n------ Semaphore Status --------\nused arrays = 1\nallocated semaphores = 2\n\
         \n\n------ Shared Memory Status --------\nsegments allocated 1\npages allocated 3\n\
         pages resident  0\npages swapped   0\nSwap performance: 0 attempts\t 0 successes\n\
         \nmax semaphores per array = 5\n\
         \n------ Shared Memory Limits --------\nmax number of segments = 4096\n\
         max seg size (kbytes) = 9\nmax total shared memory (kbytes) = 400\n\
         min seg size (bytes) = 1\n\nremoving semaphore id `0'\n\
         removing shared memory segment id `0'\n8\n"
    );
    assert_eq!(
        ran.err,
        "ipcmk: create semaphore failed: Invalid argument\n\
         ipcmk: create share memory failed: Invalid argument\n\
         ipcrm: invalid id (0)\nipcrm: invalid id (0)\n"
    );
}

#[test]
fn its_owner_sets_its_limits() {
    let ran = private(
        "u limits msgmax=5 msgmnb=10 msgmni=1 semmsl=20 semmns=30 semopm=4 semmni=2 \
         shmmax=18446744073709551615 shmall=9 shmmni=3\n\
         u limits; cat /proc/sys/kernel/sem; u send --key 1 --create 123456",
    );
    let values: Vec<_> = ran
        .out
        .lines()
        .skip(1)
        .map(|line| {
            let words: Vec<_> = line.split_whitespace().take(2).collect();
            words.join(" ")
        })
        .collect();
    assert_eq!(
        values,
        [
            "msgmni 1",
            "msgmax 5",
            "msgmnb 10",
            "semmni 2",
            "semmsl 20",
            "semmns 30",
            "semopm 4",
            "shmmni 3",
            "shmmax 18446744073709551615",
            "shmall 9",
            "20 30",
        ]
    );
    assert!(
        ran.err
            .contains("6 bytes are more than a message may have: msgmax is 5"),
        "{ran:?}"
    );
}

#[test]
fn ns_and_the_variable_choose_the_same() {
    let scratch = Scratch::new();
    let path = scratch.path("ns");
    let sent = finish(&mut usysv(&[
        "--ns",
        text(&path),
        "send",
        "--key",
        "1",
        "--create",
        "x",
    ]));
    assert_eq!((sent.err.as_str(), sent.status), ("", 0));
    let received = finish(usysv(&["recv", "--key", "1"]).env("USYSV_NS", &path));
    assert_eq!((received.out.as_str(), received.err.as_str()), ("x\n", ""));
}

#[test]
fn a_namespace_that_cannot_be_is_explained_in_a_line() {
    for command in [
        &["ipcs", "-q"][..],
        &["recv", "--key", "1"],
        &["run", "true"],
    ] {
        let ran = finish(&mut usysv(
            &[&["--ns", "/proc/no/namespace"], command].concat(),
        ));
        assert_eq!(ran.err.lines().count(), 1, "{ran:?}");
        assert!(
            ran.err.contains("namespace /proc/no/namespace: "),
            "{ran:?}"
        );
    }
}

/// `--ns "$UNSET"` made a namespace whose name ended with the dot before the missing name.
#[test]
fn an_empty_name_is_refused() {
    let ran = finish(&mut usysv(&["--ns", "", "recv", "--key", "1"]));
    assert_eq!((ran.out.as_str(), ran.status), ("", 1), "{ran:?}");
    assert!(ran.err.contains("1 to 64 letters"), "{ran:?}");
}
