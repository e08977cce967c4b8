//! `/proc/sys/kernel/msg{max,mnb,mni}`: read, written, and obeyed.

use crate::files::{WAYS, Way};
use crate::process::become_user;
use crate::scenarios::{Scenario, table};
use crate::stage::Stage;
use libc::{EACCES, EAGAIN, EINVAL, ENOSPC, IPC_CREAT, IPC_NOWAIT, IPC_PRIVATE, MSG_COPY};

pub(super) const ALL: &[Scenario] = table![
    limits_read_as_numbers_with_a_newline,
    limits_read_in_small_pieces_end_after_the_first,
    limits_are_seen_by_other_programs,
    limits_written_in_any_way_are_read_back needs_root,
    limits_written_by_a_shell_are_obeyed needs_root,
    limits_may_be_written_without_a_newline needs_root,
    limits_refuse_nonsense needs_root,
    limits_have_bounds needs_root,
    limits_are_not_for_everybody_to_write needs_root,
    msgmax_lowered_refuses_larger_messages needs_root,
    msgmax_raised_allows_larger_messages needs_root,
    msgmax_zero_allows_only_empty_messages needs_root,
    msgmax_lowered_leaves_queued_messages needs_root,
    msgmax_lowered_cannot_copy_larger_messages needs_root,
    msgmnb_is_for_new_queues_only needs_root,
    msgmnb_zero_makes_queues_that_take_nothing needs_root,
    msgmni_reached_is_enospc needs_root,
    msgmni_reached_still_finds_existing_keys needs_root,
    msgmni_has_room_again_after_removal needs_root,
    msgmni_below_what_exists_takes_nothing_away needs_root,
    msgmni_zero_allows_no_queue needs_root,
    msgmni_raised_allows_more needs_root,
    many_queues_up_to_the_limit needs_root,
    changed_limits_are_seen_by_running_processes needs_root,
];

const MSGMAX: &str = "/proc/sys/kernel/msgmax";
const MSGMNB: &str = "/proc/sys/kernel/msgmnb";
const MSGMNI: &str = "/proc/sys/kernel/msgmni";

fn limits_read_as_numbers_with_a_newline(t: &Stage) {
    for (path, text) in [(MSGMAX, "8192\n"), (MSGMNB, "16384\n"), (MSGMNI, "32000\n")] {
        for way in WAYS {
            assert_eq!(t.read_file(way, path).must(), text);
        }
    }
}

fn limits_read_in_small_pieces_end_after_the_first(t: &Stage) {
    for way in [Way::Open, Way::Open64, Way::OpenAt] {
        assert_eq!(crate::files::read(way, MSGMNB, 2), Ok("16".to_owned()));
        t.say(format_args!("{way:?}: 16"));
    }
    // Streams ask for a whole block, whatever their reader asks for.
    for way in [Way::Fopen, Way::Fopen64] {
        assert_eq!(crate::files::read(way, MSGMNB, 2), Ok("16384\n".to_owned()));
        t.say(format_args!("{way:?}: 16384"));
    }
}

fn limits_are_seen_by_other_programs(t: &Stage) {
    assert_eq!(
        t.shell(&format!("cat {MSGMAX} {MSGMNB} {MSGMNI}")),
        "8192\n16384\n32000\n"
    );
    assert_eq!(t.shell(&format!("cat < {MSGMNI}")), "32000\n");
    assert_eq!(t.shell("head -c 3 /proc/sys/kernel/msgmni"), "320");
}

fn limits_written_in_any_way_are_read_back(t: &Stage) {
    for (number, way) in WAYS.into_iter().enumerate() {
        let text = format!("{}\n", 1000 + number);
        t.write_file(way, MSGMAX, &text).must();
        assert_eq!(t.read_file(way, MSGMAX).must(), text);
    }
}

fn limits_written_by_a_shell_are_obeyed(t: &Stage) {
    let queue = t.private();
    t.shell(&format!("echo 10 > {MSGMAX}"));
    t.send(queue, 1, "0123456789", IPC_NOWAIT).must();
    t.send(queue, 1, "0123456789a", IPC_NOWAIT).fails(EINVAL);
    t.shell(&format!("echo 1 > {MSGMNI}"));
    t.get(IPC_PRIVATE, 0o600).fails(ENOSPC);
    t.shell(&format!("echo 5 > {MSGMNB}; echo 2 > {MSGMNI}"));
    let queue = t.private();
    assert_eq!(t.stat(queue).must().qbytes, 5);
}

fn limits_may_be_written_without_a_newline(t: &Stage) {
    for (text, value) in [
        ("123", 123),
        (" 124 ", 124),
        ("125\n\n", 125),
        ("0126", 0o126),
        ("0x7f", 127),
    ] {
        t.write_file(Way::Open, MSGMAX, text).must();
        assert_eq!(t.limit("msgmax"), value);
    }
}

fn limits_refuse_nonsense(t: &Stage) {
    for text in ["abc\n", "12abc\n", "-\n", "99999999999999999999\n"] {
        t.write_file(Way::Open, MSGMAX, text).fails(EINVAL);
    }
    assert_eq!(t.limit("msgmax"), 8192);
}

fn limits_have_bounds(t: &Stage) {
    let way = Way::Open;
    for (path, most) in [
        (MSGMAX, i64::from(i32::MAX)),
        (MSGMNB, i32::MAX.into()),
        (MSGMNI, 32768),
    ] {
        t.write_file(way, path, "-1\n").fails(EINVAL);
        t.write_file(way, path, &format!("{}\n", most + 1))
            .fails(EINVAL);
        t.write_file(way, path, &format!("{most}\n")).must();
        t.write_file(way, path, "0\n").must();
        assert_eq!(t.read_file(way, path).must(), "0\n");
    }
}

fn limits_are_not_for_everybody_to_write(t: &Stage) {
    become_user(1000, 1000, &[]);
    for way in WAYS {
        t.write_file(way, MSGMNI, "5\n").fails(EACCES);
        assert_eq!(t.read_file(way, MSGMNI).must(), "32000\n");
    }
}

fn msgmax_lowered_refuses_larger_messages(t: &Stage) {
    let queue = t.private();
    t.set_limit("msgmax", 4);
    t.put(queue, 1, "1234");
    t.send(queue, 1, "12345", IPC_NOWAIT).fails(EINVAL);
    t.send(queue, 1, "12345", 0).fails(EINVAL);
}

fn msgmax_raised_allows_larger_messages(t: &Stage) {
    t.set_limit("msgmax", 100_000);
    t.set_limit("msgmnb", 250_000);
    let queue = t.private();
    let text: Vec<u8> = (0..100_000_u32).map(|i| (i % 251) as u8).collect();
    t.send(queue, 1, &text, IPC_NOWAIT).must();
    t.send(queue, 2, &text[1..], IPC_NOWAIT).must();
    t.send(queue, 3, &text, IPC_NOWAIT).fails(EAGAIN);
    assert_eq!(t.recv(queue, 100_000, 0, IPC_NOWAIT).must().text, text);
    assert_eq!(t.recv(queue, 100_000, 0, IPC_NOWAIT).must().text, text[1..]);
}

fn msgmax_zero_allows_only_empty_messages(t: &Stage) {
    let queue = t.private();
    t.set_limit("msgmax", 0);
    t.put(queue, 1, "");
    t.send(queue, 1, "x", IPC_NOWAIT).fails(EINVAL);
}

fn msgmax_lowered_leaves_queued_messages(t: &Stage) {
    let queue = t.private();
    t.put(queue, 1, "0123456789");
    t.set_limit("msgmax", 4);
    assert_eq!(t.take(queue, 0), "0123456789");
}

fn msgmax_lowered_cannot_copy_larger_messages(t: &Stage) {
    let queue = t.private();
    t.put(queue, 1, "0123456789");
    t.set_limit("msgmax", 9);
    t.recv(queue, 100, 0, MSG_COPY | IPC_NOWAIT).fails(EINVAL);
    t.set_limit("msgmax", 10);
    t.recv(queue, 100, 0, MSG_COPY | IPC_NOWAIT).must();
}

fn msgmnb_is_for_new_queues_only(t: &Stage) {
    let old = t.private();
    t.set_limit("msgmnb", 100);
    let new = t.private();
    assert_eq!(t.stat(old).must().qbytes, 16384);
    assert_eq!(t.stat(new).must().qbytes, 100);
    t.send(new, 1, [b'x'; 101], IPC_NOWAIT).fails(EAGAIN);
    t.send(old, 1, [b'x'; 101], IPC_NOWAIT).must();
}

fn msgmnb_zero_makes_queues_that_take_nothing(t: &Stage) {
    t.set_limit("msgmnb", 0);
    let queue = t.private();
    t.send(queue, 1, "", IPC_NOWAIT).fails(EAGAIN);
}

fn msgmni_reached_is_enospc(t: &Stage) {
    t.set_limit("msgmni", 2);
    t.private();
    t.get(0x77, IPC_CREAT | 0o600).must();
    t.get(IPC_PRIVATE, 0o600).fails(ENOSPC);
    t.get(0x78, IPC_CREAT | 0o600).fails(ENOSPC);
    t.get(0x78, 0).fails(libc::ENOENT);
}

fn msgmni_reached_still_finds_existing_keys(t: &Stage) {
    t.set_limit("msgmni", 1);
    let queue = t.get(0x77, IPC_CREAT | 0o600).must();
    assert_eq!(t.get(0x77, IPC_CREAT | 0o600).must(), queue);
    t.get(0x77, IPC_CREAT | libc::IPC_EXCL | 0o600)
        .fails(libc::EEXIST);
}

fn msgmni_has_room_again_after_removal(t: &Stage) {
    t.set_limit("msgmni", 1);
    for _ in 0..3 {
        let queue = t.private();
        t.get(IPC_PRIVATE, 0o600).fails(ENOSPC);
        t.remove(queue).must();
    }
}

fn msgmni_below_what_exists_takes_nothing_away(t: &Stage) {
    let queues = [t.private(), t.private(), t.private()];
    t.set_limit("msgmni", 1);
    for queue in queues {
        t.put(queue, 1, "x");
    }
    t.remove(queues[0]).must();
    t.get(IPC_PRIVATE, 0o600).fails(ENOSPC);
    t.remove(queues[1]).must();
    t.get(IPC_PRIVATE, 0o600).fails(ENOSPC);
    t.remove(queues[2]).must();
    t.private();
}

fn msgmni_zero_allows_no_queue(t: &Stage) {
    t.set_limit("msgmni", 0);
    t.get(IPC_PRIVATE, 0o600).fails(ENOSPC);
    t.get(0x77, IPC_CREAT).fails(ENOSPC);
}

fn msgmni_raised_allows_more(t: &Stage) {
    t.set_limit("msgmni", 1);
    t.private();
    t.get(IPC_PRIVATE, 0o600).fails(ENOSPC);
    t.set_limit("msgmni", 2);
    t.private();
}

fn many_queues_up_to_the_limit(t: &Stage) {
    t.set_limit("msgmni", 1500);
    let ids: Vec<i32> =
        std::iter::from_fn(|| crate::call::msgget(IPC_PRIVATE, 0o600).ok()).collect();
    assert_eq!(ids, (0..1500).collect::<Vec<i32>>());
    t.get(IPC_PRIVATE, 0o600).fails(ENOSPC);
    assert_eq!(t.info().must().0, 1499);
    for id in ids {
        assert_eq!(
            crate::call::msgctl(id, libc::IPC_RMID, &mut crate::call::blank_ds()),
            Ok(0)
        );
    }
    assert_eq!(t.usage().must().1.msgpool, 0);
}

fn changed_limits_are_seen_by_running_processes(t: &Stage) {
    let queue = t.private();
    let gate = crate::players::Gate::new();
    let child = t.spawn("running", |t| {
        t.put(queue, 1, "12345");
        t.tell(1);
        gate.pass();
        t.send(queue, 1, "12345", IPC_NOWAIT).fails(EINVAL);
        t.get(IPC_PRIVATE, 0o600).fails(ENOSPC);
    });
    t.hear(&child, 1);
    t.set_limit("msgmax", 4);
    t.set_limit("msgmni", 1);
    gate.open();
    t.join(child);
}
