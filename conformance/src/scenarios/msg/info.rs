//! `IPC_INFO` and `MSG_INFO`: limits and usage.

use super::permissions::owned;
use crate::process;
use crate::scenarios::{ANN, Scenario, table};
use crate::stage::Stage;
use libc::{EINVAL, IPC_INFO, IPC_NOWAIT, MSG_INFO};

pub(super) const ALL: &[Scenario] = table![
    info_of_an_empty_world_is_index_zero,
    info_tells_the_default_limits,
    info_returns_the_highest_index,
    highest_index_falls_when_the_last_is_removed,
    highest_index_stays_when_a_gap_opens,
    info_ignores_a_positive_id,
    info_with_a_negative_id_is_einval,
    usage_counts_queues_messages_and_bytes,
    usage_falls_with_receives,
    usage_counts_what_other_users_have needs_root,
    usage_does_not_count_handed_over_messages,
    usage_tells_limits_too,
    info_follows_changed_limits needs_root,
    info_needs_no_permission needs_root,
    info_forgets_a_queue_that_an_owner_by_ipc_set_removed needs_root,
];

fn info_of_an_empty_world_is_index_zero(t: &Stage) {
    assert_eq!(t.info().must().0, 0);
    let (highest, usage) = t.usage().must();
    assert_eq!(
        (highest, usage.msgpool, usage.msgmap, usage.msgtql),
        (0, 0, 0, 0)
    );
}

fn info_tells_the_default_limits(t: &Stage) {
    let info = t.info().must().1;
    assert_eq!(
        (info.msgmax, info.msgmnb, info.msgmni),
        (8192, 16384, 32000)
    );
    assert_eq!(
        (info.msgpool, info.msgmap, info.msgtql),
        (512_000, 16384, 16384)
    );
    assert_eq!((info.msgssz, info.msgseg), (16, 0xffff));
}

fn info_returns_the_highest_index(t: &Stage) {
    for index in 0..5 {
        assert_eq!(t.private().index(), index);
        assert_eq!(t.info().must().0, index);
        assert_eq!(t.usage().must().0, index);
    }
}

fn highest_index_falls_when_the_last_is_removed(t: &Stage) {
    let queues = [t.private(), t.private(), t.private(), t.private()];
    t.remove(queues[2]).must();
    assert_eq!(t.info().must().0, 3);
    t.remove(queues[3]).must();
    assert_eq!(t.info().must().0, 1);
    t.remove(queues[0]).must();
    t.remove(queues[1]).must();
    assert_eq!(t.info().must().0, 0);
}

fn highest_index_stays_when_a_gap_opens(t: &Stage) {
    let queues = [t.private(), t.private(), t.private()];
    t.remove(queues[0]).must();
    t.remove(queues[1]).must();
    assert_eq!(t.info().must().0, 2);
    assert_eq!(t.usage().must().0, 2);
}

fn info_ignores_a_positive_id(t: &Stage) {
    t.private();
    for id in [0, 1, 77, i32::MAX] {
        assert_eq!(t.msginfo(id, IPC_INFO, "IPC_INFO").must().0, 0);
        assert_eq!(t.msginfo(id, MSG_INFO, "MSG_INFO").must().0, 0);
    }
}

fn info_with_a_negative_id_is_einval(t: &Stage) {
    t.msginfo(-1, IPC_INFO, "IPC_INFO").fails(EINVAL);
    t.msginfo(i32::MIN, MSG_INFO, "MSG_INFO").fails(EINVAL);
}

fn usage_counts_queues_messages_and_bytes(t: &Stage) {
    let queues = [t.private(), t.private(), t.private()];
    t.put(queues[0], 1, "12345");
    t.put(queues[0], 1, "");
    t.put(queues[2], 1, "123");
    let usage = t.usage().must().1;
    assert_eq!((usage.msgpool, usage.msgmap, usage.msgtql), (3, 3, 8));
}

fn usage_falls_with_receives(t: &Stage) {
    let queue = t.private();
    t.put(queue, 1, "12345");
    t.put(queue, 1, "123");
    t.recv(queue, 1, 0, libc::MSG_NOERROR | IPC_NOWAIT).must();
    let usage = t.usage().must().1;
    assert_eq!((usage.msgpool, usage.msgmap, usage.msgtql), (1, 1, 3));
}

fn usage_counts_what_other_users_have(t: &Stage) {
    let queue = t.private();
    t.put(queue, 1, "secret");
    process::become_user(1000, 1000, &[]);
    let mine = t.private();
    t.put(mine, 1, "mine");
    let usage = t.usage().must().1;
    assert_eq!((usage.msgpool, usage.msgmap, usage.msgtql), (2, 2, 10));
}

fn usage_does_not_count_handed_over_messages(t: &Stage) {
    let queue = t.private();
    let child = t.spawn("receiver", |t| {
        t.recv(queue, 100, 0, 0).must();
    });
    t.wait_blocked(&child);
    t.put(queue, 1, "12345");
    t.join(child);
    let usage = t.usage().must().1;
    assert_eq!((usage.msgmap, usage.msgtql), (0, 0));
}

fn usage_tells_limits_too(t: &Stage) {
    let usage = t.usage().must().1;
    assert_eq!(
        (usage.msgmax, usage.msgmnb, usage.msgmni),
        (8192, 16384, 32000)
    );
    assert_eq!((usage.msgssz, usage.msgseg), (16, 0xffff));
}

fn info_follows_changed_limits(t: &Stage) {
    t.set_limit("msgmax", 100);
    t.set_limit("msgmnb", 200);
    t.set_limit("msgmni", 3);
    let info = t.info().must().1;
    assert_eq!((info.msgmax, info.msgmnb, info.msgmni), (100, 200, 3));
    // These are constants of the kernel, whatever the limits are.
    assert_eq!(
        (info.msgpool, info.msgmap, info.msgtql),
        (512_000, 16384, 16384)
    );
}

fn info_needs_no_permission(t: &Stage) {
    t.private();
    t.private();
    process::become_user(1000, 1000, &[]);
    assert_eq!(t.info().must().0, 1);
    assert_eq!(t.usage().must().0, 1);
}

/// The file is its creator's: the owner cannot take its name away, which was counted.
fn info_forgets_a_queue_that_an_owner_by_ipc_set_removed(t: &Stage) {
    t.private();
    let queue = owned(t, ANN, ANN, 0o600);
    process::become_user(ANN, ANN, &[]);
    t.remove(queue).must();
    t.stat(queue).fails(EINVAL);
    t.remove(queue).fails(EINVAL);
    assert_eq!(t.info().must().0, 0);
    let (highest, usage) = t.usage().must();
    assert_eq!((highest, usage.msgpool, usage.msgmap), (0, 1, 0));
    assert_eq!(t.private().index(), 2);
    assert_eq!(t.usage().must().1.msgpool, 2);
}
