//! `send`, `recv`, `peek` and `limits`, on the kernel's queues.

use crate::program::{in_kernel, ran};

/// What a script prints, on one kernel namespace.
fn prints(script: &str, want: &str) {
    if let Some(ran) = in_kernel(script) {
        assert_eq!(ran.out, want);
    }
}

#[test]
fn what_is_sent_is_received_in_order() {
    prints(
        "k send --key 42 --create hello; printf 'from stdin' | k send --key 0x2a\n\
         printf 'again' | k send --key 052 -; k recv --key 42 --count 3",
        "hello\nfrom stdin\nagain\n",
    );
}

#[test]
fn lines_become_messages() {
    prints(
        "printf 'a\\n\\nc' | k send --key 1 --create --lines; k peek --key 1 --json",
        "{\"number\":0,\"type\":1,\"length\":1,\"text\":\"a\"}\n\
         {\"number\":1,\"type\":1,\"length\":0,\"text\":\"\"}\n\
         {\"number\":2,\"type\":1,\"length\":1,\"text\":\"c\"}\n",
    );
}

#[test]
fn what_cannot_be_printed_goes_back() {
    prints(
        "k send --key 1 --create --type 3 a; k recv --key 1 >/dev/full; echo $?; k recv --key 1 >&-; echo $?\n\
         k recv --key 1 --type 3",
        "usysv: recv: standard output: No space left on device; the message is back in the queue, \
         now as its last\n1\nusysv: recv: standard output: Bad file descriptor\n1\na\n",
    );
    prints(
        "d=$(mktemp -d); mkfifo $d/pipe; (exec 3<$d/pipe) & exec 3>$d/pipe; wait; rm -r $d\n\
         k send --key 1 --create a; k recv --key 1 >&3; echo $?; k recv --key 1",
        "usysv: recv: standard output: Broken pipe; the message is back in the queue, now as its \
         last\n1\na\n",
    );
}

#[test]
fn types_choose() {
    prints(
        "for t in 5 3 9 3; do k send --key 1 --create --type $t type$t; done\n\
         k recv --key 1 --type 9; k recv --key 1 --type -5; k recv --key 1 --type 5 --except\n\
         k recv --key 1",
        "type9\ntype3\ntype3\ntype5\n",
    );
}

#[test]
fn formats_differ_in_nuls_and_newlines() {
    prints(
        "for n in 1 2 3; do printf 'hi\\n\\000\\000' | k send --key 1 --create; done\n\
         k recv --key 1; k recv --key 1 --format raw | od -An -tx1; k recv --key 1 --format json",
        "hi\n 68 69 0a 00 00\n{\"type\":1,\"length\":5,\"text\":\"hi\\n\\u0000\\u0000\"}\n",
    );
}

#[test]
fn peek_takes_nothing() {
    prints(
        "k send --key 1 --create hello; printf '\\377\\000' | k send --key 1 --type 7\n\
         k peek --key 1; k peek --key 1 --json | tail -1",
        "number   type                 length     text\n\
         0        1                    5          hello\n\
         1        7                    2          \\xff\\0\n\
         {\"number\":1,\"type\":7,\"length\":2,\"hex\":\"ff00\"}\n",
    );
}

#[test]
fn nowait_has_its_own_status() {
    prints(
        "k send --key 1 --create=666 x; k recv --key 1; k recv --key 1 --nowait; echo $?\n\
         k limits msgmnb=3; k send --key 2 --create xyz; k send --key 2 --nowait x; echo $?",
        "x\nusysv: recv: key 0x1: no such message in the queue\n3\n\
         usysv: send: key 0x2: the queue is full\n3\n",
    );
}

#[test]
fn messages_that_are_too_long_stay() {
    prints(
        "k send --key 1 --create hello; k recv --key 1 --max 4; echo $?\n\
         k recv --key 1 --max 4 --noerror\n\
         k limits msgmax=5; k send --key 1 123456; echo $?",
        "usysv: recv: key 0x1: the message is longer than --max and stays in the queue (--noerror \
         cuts it)\n1\nhell\n\
         usysv: send: key 0x1: 6 bytes are more than a message may have: msgmax is 5 in the kernel \
         ('usysv --kernel limits msgmax=6' changes it)\n1\n",
    );
}

/// The buffer starts at msgmax or a megabyte: a message may be longer than either.
/// It waited for ever, or was told that an empty queue was full.
#[test]
fn messages_that_never_fit_are_refused() {
    prints(
        "k limits msgmnb=4; k send --key 1 --create 12345; echo $?; k send --key 1 --nowait 12345; echo $?",
        &"usysv: send: key 0x1: 5 bytes never fit: the queue holds 4 at most, its msg_qbytes (one that is made \
          after 'usysv --kernel limits msgmnb=5' holds more)\n1\n"
            .repeat(2),
    );
}

#[test]
fn messages_longer_than_msgmax_come_whole() {
    prints(
        "k limits msgmax=3000000 msgmnb=3000000\n\
         head -c 2500000 /dev/zero | k send --key 1 --create\n\
         k peek --key 1 | awk 'NR == 2 { print $3 }'; k limits msgmax=10; k peek --key 1\n\
         k recv --key 1 --format raw | wc -c",
        "2500000\n\
         usysv: peek: key 0x1: message 0 cannot be copied: it is longer than msgmax ('usysv \
         --kernel limits' shows and raises it)\n2500000\n",
    );
}

#[test]
fn follow_ends_with_the_queue() {
    prints(
        "k send --key 1 --create one; k send --key 1 two\n\
         (until k ipcs -q | grep -q '  0  *$'; do sleep 0.05; done; k ipcrm -Q 1) &\n\
         k recv --key 1 --follow; echo $?; wait",
        "one\ntwo\n0\n",
    );
}

#[test]
fn a_missing_queue_is_explained() {
    prints(
        "k recv --key 42; echo $?; k peek --id 77; echo $?",
        "usysv: recv: key 0x2a: no such queue in the kernel (create it with 'usysv --kernel send \
         --create --key 0x2a' or start the program that does)\n1\n\
         usysv: peek: id 77: no such queue in the kernel ('usysv --kernel ipcs -q' lists them)\n1\n",
    );
}

#[test]
fn the_key_of_failed_ftoks_is_warned_about() {
    prints(
        "k send --key 0xffffffff --create x",
        "usysv: note: key 0xffffffff is what ftok returns when it fails (missing file?): programs \
         that don't check share that object\n",
    );
}

#[test]
fn limits_are_shown_and_set() {
    prints(
        "k limits msgmni=7 msgmax=100 msgmnb=200 semmni=3 semmsl=18 semmns=19 semopm=20\n\
         k limits shmmni=8 shmmax=18446744073709551615 shmall=18446744073692774399; k limits\n\
         cat /proc/sys/kernel/sem",
        "name                  value  unit     meaning\n\
         msgmni                    7  queues   most message queues\n\
         msgmax                  100  bytes    longest message\n\
         msgmnb                  200  bytes    most bytes, and most messages, in a new queue (its \
         msg_qbytes)\n\
         semmni                    3  sets     most semaphore sets\n\
         semmsl                   18  sems     most semaphores in a new set\n\
         semmns                   19  sems     most semaphores in all sets\n\
         semopm                   20  ops      most operations in a semop\n\
         shmmni                    8  segments most shared memory segments\n\
         shmmax 18446744073709551615  bytes    largest new segment\n\
         shmall 18446744073692774399  pages    most memory in all segments\n\
         18\t19\t20\t3\n",
    );
}

#[test]
fn limits_out_of_range_are_refused_before_any_is_set() {
    for (settings, why) in [
        (
            ["msgmax=1", "msgmni=32769"],
            "msgmni=32769: the value must be in 0..32768",
        ),
        (
            ["msgmax=1", "msgmnb=2147483648"],
            "msgmnb=2147483648: the value must be in 0..2147483647",
        ),
        (
            ["msgmax=1", "msgmax=-1"],
            "msgmax=-1: the value must be in 0..2147483647",
        ),
        (
            ["shmmax=1", "semmni=32769"],
            "semmni=32769: the value must be in 0..32768",
        ),
        (
            ["shmmax=1", "shmall=18446744073709551616"],
            "shmall=18446744073709551616: the value must be in 0..18446744073709551615",
        ),
        (["msgmax=1", "msgmax"], "msgmax: expected NAME=VALUE"),
        (
            ["msgmax=1", "x=1"],
            "x=1: no such limit; there are msgmni, msgmax, msgmnb, semmni, semmsl, semmns, semopm, \
             shmmni, shmmax, shmall",
        ),
    ] {
        let ran = ran(&["--kernel", "limits", settings[0], settings[1]]);
        assert_eq!(
            (ran.err, ran.status),
            (format!("usysv: limits: {why}\n"), 1)
        );
    }
}

#[test]
fn wrong_usage_is_status_2() {
    for args in [
        &["send", "x"][..],
        &["send", "--key", "0", "x"],
        &["send", "--key", "1", "--id", "1", "x"],
        &["send", "--key", "1", "--type", "0", "x"],
        &["recv", "--key", "1", "--follow", "--count", "2"],
        &["recv", "--key", "1", "--except"],
        &["--kernel", "--ns", "x", "ipcs"],
        &["bogus"],
        &[],
    ] {
        assert_eq!(ran(args).status, 2, "{args:?}");
    }
}
