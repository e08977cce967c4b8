//! `IPC_STAT`, `MSG_STAT`, `MSG_STAT_ANY`: every field after every call.

use crate::msg::{IPCMNI, Queue};
use crate::process;
use crate::scenarios::{Scenario, table};
use crate::stage::{Stage, seconds_now};
use libc::{EACCES, EINVAL, ENOMSG, IPC_CREAT, IPC_NOWAIT, IPC_PRIVATE};

pub(super) const ALL: &[Scenario] = table![
    send_stamps_sender_and_counts,
    receive_stamps_receiver_and_counts,
    stamps_name_the_last_of_several,
    receive_keeps_the_senders_stamp,
    stamps_stay_when_the_process_is_gone,
    failed_calls_stamp_nothing,
    sending_and_receiving_leave_ctime_alone,
    later_sends_and_receives_move_their_stamps,
    stat_moves_no_stamp,
    counts_follow_sizes,
    stat_returns_zero,
    stat_needs_read_permission needs_root,
    stat_at_index_returns_the_id,
    stat_at_index_after_a_round_returns_the_newer_id,
    stat_at_index_takes_any_sequence,
    stat_at_an_empty_place_is_einval,
    stat_at_index_needs_read_permission needs_root,
    stat_any_at_index_needs_no_permission needs_root,
    all_queues_are_found_by_index,
    stat_shows_the_key_given,
    stat_by_another_process_shows_the_same,
];

fn send_stamps_sender_and_counts(t: &Stage) {
    let queue = t.private();
    t.put(queue, 1, "12345");
    let stat = t.stat(queue).must();
    assert_eq!((stat.qnum, stat.cbytes), (1, 5));
    assert_eq!(
        (stat.lspid, stat.lrpid, stat.rtime),
        (process::own_pid(), 0, 0)
    );
    assert!((stat.ctime..=seconds_now()).contains(&stat.stime));
}

fn receive_stamps_receiver_and_counts(t: &Stage) {
    let queue = t.private();
    t.put(queue, 1, "12345");
    t.put(queue, 1, "678");
    t.take(queue, 0);
    let stat = t.stat(queue).must();
    assert_eq!((stat.qnum, stat.cbytes), (1, 3));
    assert_eq!(stat.lrpid, process::own_pid());
    assert!((stat.stime..=seconds_now()).contains(&stat.rtime));
}

fn stamps_name_the_last_of_several(t: &Stage) {
    let queue = t.private();
    for name in ["one", "two", "three"] {
        let child = t.spawn(name, |t| {
            t.put(queue, 1, "x");
            t.put(queue, 1, "y");
            t.take(queue, 0);
        });
        let pid = child.pid;
        t.join(child);
        let stat = t.stat(queue).must();
        assert_eq!((stat.lspid, stat.lrpid), (pid, pid));
    }
    t.take(queue, 0);
    assert_eq!(t.stat(queue).must().lrpid, process::own_pid());
}

fn receive_keeps_the_senders_stamp(t: &Stage) {
    let queue = t.private();
    let child = t.spawn("sender", |t| t.put(queue, 1, "x"));
    let pid = child.pid;
    t.join(child);
    let before = t.stat(queue).must();
    t.take(queue, 0);
    let after = t.stat(queue).must();
    assert_eq!((after.lspid, after.stime), (pid, before.stime));
    assert_eq!(after.lrpid, process::own_pid());
}

fn stamps_stay_when_the_process_is_gone(t: &Stage) {
    let queue = t.private();
    let child = t.spawn("gone", |t| t.put(queue, 1, "x"));
    let pid = child.pid;
    t.join(child);
    assert_eq!(t.stat(queue).must().lspid, pid);
}

fn failed_calls_stamp_nothing(t: &Stage) {
    let queue = t.private();
    t.send(queue, -1, "x", 0).fails(EINVAL);
    t.recv(queue, 10, 0, IPC_NOWAIT).fails(ENOMSG);
    let stat = t.stat(queue).must();
    assert_eq!(
        (stat.lspid, stat.lrpid, stat.stime, stat.rtime),
        (0, 0, 0, 0)
    );
}

fn sending_and_receiving_leave_ctime_alone(t: &Stage) {
    let queue = t.private();
    let made = t.stat(queue).must().ctime;
    t.next_second();
    t.put(queue, 1, "x");
    t.take(queue, 0);
    let stat = t.stat(queue).must();
    assert_eq!(stat.ctime, made);
    assert!(stat.stime > made && stat.rtime > made);
}

fn later_sends_and_receives_move_their_stamps(t: &Stage) {
    let queue = t.private();
    t.put(queue, 1, "x");
    t.put(queue, 1, "y");
    t.take(queue, 0);
    let first = t.stat(queue).must();
    t.next_second();
    t.take(queue, 0);
    let second = t.stat(queue).must();
    assert!(second.rtime > first.rtime && second.stime == first.stime);
    t.put(queue, 1, "z");
    let third = t.stat(queue).must();
    assert!(third.rtime == second.rtime && third.stime > first.stime);
}

fn stat_moves_no_stamp(t: &Stage) {
    let queue = t.private();
    t.put(queue, 1, "x");
    let before = t.stat(queue).must();
    t.next_second();
    assert_eq!(t.stat(queue).must(), before);
    assert_eq!(t.stat_at(queue.index()).must().1, before);
}

fn counts_follow_sizes(t: &Stage) {
    let queue = t.private();
    let mut bytes = 0;
    for size in [0, 1, 100, 4000, 8192] {
        t.send(queue, 1, vec![b'x'; size], IPC_NOWAIT).must();
        bytes += size as u64;
        assert_eq!(t.stat(queue).must().cbytes, bytes);
    }
    for size in [0, 1, 100, 4000, 8192] {
        t.take(queue, 0);
        bytes -= size;
        assert_eq!(t.stat(queue).must().cbytes, bytes);
    }
}

fn stat_returns_zero(t: &Stage) {
    let queues = [t.private(), t.private(), t.private()];
    for queue in queues {
        let area = crate::memory::Area::new(size_of::<libc::msqid_ds>());
        assert_eq!(t.ctl(queue.0, libc::IPC_STAT, &area).must(), 0);
    }
}

fn stat_needs_read_permission(t: &Stage) {
    let queue = t.get(IPC_PRIVATE, 0o622).must();
    process::become_user(1000, 1000, &[]);
    t.stat(queue).fails(EACCES);
    t.put(queue, 1, "x");
}

fn stat_at_index_returns_the_id(t: &Stage) {
    let (one, two) = (t.private(), t.get(0x77, IPC_CREAT | 0o640).must());
    assert_eq!(t.stat_at(one.index()).must().0, one);
    let (id, stat) = t.stat_at(two.index()).must();
    assert_eq!(id, two);
    assert_eq!((stat.key, stat.mode), (0x77, 0o640));
    assert_eq!(t.stat_any_at(two.index()).must(), (two, stat));
}

/// A queue at a place that has been used before.
fn second_round(t: &Stage) -> Queue {
    for _ in 0..64 {
        let queue = t.private();
        t.remove(queue).must();
    }
    t.private()
}

fn stat_at_index_after_a_round_returns_the_newer_id(t: &Stage) {
    let queue = second_round(t);
    assert_eq!(queue.0, IPCMNI);
    assert_eq!(t.stat_at(0).must().0, queue);
    assert_eq!(t.stat_any_at(0).must().0, queue);
}

fn stat_at_index_takes_any_sequence(t: &Stage) {
    let queue = second_round(t);
    for sequence in [0, 1, 2, 100] {
        assert_eq!(t.stat_at(sequence * IPCMNI).must().0, queue);
        assert_eq!(t.stat_any_at(sequence * IPCMNI).must().0, queue);
    }
}

fn stat_at_an_empty_place_is_einval(t: &Stage) {
    t.stat_at(0).fails(EINVAL);
    let queue = t.private();
    t.stat_at(1).fails(EINVAL);
    t.stat_any_at(1).fails(EINVAL);
    t.stat_any_at(IPCMNI - 1).fails(EINVAL);
    t.stat_any_at(i32::MAX).fails(EINVAL);
    t.stat_any_at(-1).fails(EINVAL);
    t.remove(queue).must();
    t.stat_at(0).fails(EINVAL);
    t.stat_any_at(0).fails(EINVAL);
}

fn stat_at_index_needs_read_permission(t: &Stage) {
    let queue = t.get(IPC_PRIVATE, 0o622).must();
    process::become_user(1000, 1000, &[]);
    t.stat_at(queue.index()).fails(EACCES);
}

fn stat_any_at_index_needs_no_permission(t: &Stage) {
    let queue = t.get(0x77, IPC_CREAT | 0o600).must();
    t.put(queue, 1, "x");
    process::become_user(1000, 1000, &[]);
    t.stat(queue).fails(EACCES);
    let (id, stat) = t.stat_any_at(queue.index()).must();
    assert_eq!(
        (id, stat.key, stat.mode, stat.qnum),
        (queue, 0x77, 0o600, 1)
    );
}

fn all_queues_are_found_by_index(t: &Stage) {
    let mut queues: Vec<Queue> = (0..20).map(|_| t.private()).collect();
    for place in [19, 10, 3, 0] {
        t.remove(queues.remove(place)).must();
    }
    let (highest, _) = t.info().must();
    let found: Vec<Queue> = (0..=highest)
        .filter_map(|index| t.stat_at(index).result().ok())
        .map(|(queue, _)| queue)
        .collect();
    assert_eq!(found, queues);
}

fn stat_shows_the_key_given(t: &Stage) {
    for key in [1, 0x7fff_ffff, -1, i32::MIN] {
        let queue = t.get(key, IPC_CREAT | 0o600).must();
        assert_eq!(t.stat(queue).must().key, key);
    }
}

fn stat_by_another_process_shows_the_same(t: &Stage) {
    let queue = t.private();
    t.put(queue, 1, "x");
    let seen = t.stat(queue).must();
    let child = t.spawn("other", |t| assert_eq!(t.stat(queue).must(), seen));
    t.join(child);
}
