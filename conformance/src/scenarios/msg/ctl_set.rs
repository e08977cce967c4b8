//! `IPC_SET`: what it changes, what it ignores, and to whom it is allowed.

use crate::capabilities::{CAP_SYS_RESOURCE, has_capability};
use crate::errno::Errno;
use crate::msg::Queue;
use crate::process::{become_user, own_pid, set_effective_uid};
use crate::scenarios::{Scenario, table};
use crate::stage::Stage;
use libc::{EAGAIN, EINVAL, EPERM, IPC_CREAT, IPC_NOWAIT, IPC_PRIVATE};

pub(super) const ALL: &[Scenario] = table![
    set_changes_mode_and_qbytes,
    set_changes_owner needs_root,
    set_ignores_every_other_field,
    set_keeps_nine_mode_bits,
    set_moves_ctime_only,
    set_that_changes_nothing_moves_ctime_too,
    set_keeps_the_messages,
    set_to_uid_minus_one_is_einval,
    set_to_gid_minus_one_is_einval,
    refused_set_changes_nothing,
    owner_may_set needs_root,
    others_may_not_set needs_root,
    owner_may_give_the_queue_away needs_root,
    new_owner_may_set_and_remove needs_root,
    creator_may_take_the_queue_back needs_root,
    owner_without_any_bit_may_set needs_root,
    qbytes_above_msgmnb_needs_cap_sys_resource needs_root,
    qbytes_above_msgmnb_is_eperm_for_others needs_root,
    qbytes_up_to_msgmnb_needs_no_privilege needs_root,
    qbytes_is_taken_as_an_int,
    qbytes_limit_is_checked_before_the_owner_fields needs_root,
    owner_is_checked_before_the_qbytes_limit needs_root,
    qbytes_below_what_is_queued_is_allowed,
    qbytes_zero_lets_nothing_in,
    raised_msgmnb_lets_qbytes_grow needs_root,
    effective_user_decides_who_sets needs_root,
    set_on_a_removed_queue_is_einval,
];

fn set_changes_mode_and_qbytes(t: &Stage) {
    let queue = t.private();
    t.change(queue, |stat| (stat.mode, stat.qbytes) = (0o640, 1000))
        .must();
    let stat = t.stat(queue).must();
    assert_eq!((stat.mode, stat.qbytes), (0o640, 1000));
}

fn set_changes_owner(t: &Stage) {
    let queue = t.private();
    t.change(queue, |stat| (stat.uid, stat.gid) = (1000, 65534))
        .must();
    let stat = t.stat(queue).must();
    assert_eq!(
        (stat.uid, stat.gid, stat.cuid, stat.cgid),
        (1000, 65534, 0, 0)
    );
}

fn set_ignores_every_other_field(t: &Stage) {
    let queue = t.get(0x77, IPC_CREAT | 0o600).must();
    t.put(queue, 1, "x");
    let before = t.stat(queue).must();
    let changed = t.change(queue, |stat| {
        (stat.key, stat.sequence) = (0x78, 99);
        (stat.cuid, stat.cgid) = (4242, 4242);
        (stat.stime, stat.rtime, stat.ctime) = (1, 2, 3);
        (stat.cbytes, stat.qnum, stat.lspid, stat.lrpid) = (7, 8, 9, 10);
    });
    changed.must();
    let mut after = t.stat(queue).must();
    after.ctime = before.ctime;
    assert_eq!(after, before);
    t.get(0x78, 0).fails(libc::ENOENT);
}

fn set_keeps_nine_mode_bits(t: &Stage) {
    let queue = t.private();
    t.change(queue, |stat| stat.mode = 0o177_651).must();
    assert_eq!(t.stat(queue).must().mode, 0o651);
    t.change(queue, |stat| stat.mode = 0o7000).must();
    assert_eq!(t.stat_any_at(queue.index()).must().1.mode, 0);
}

fn set_moves_ctime_only(t: &Stage) {
    let queue = t.private();
    t.put(queue, 1, "x");
    t.put(queue, 1, "y");
    t.take(queue, 0);
    let before = t.stat(queue).must();
    t.next_second();
    t.change(queue, |stat| stat.qbytes = 500).must();
    let after = t.stat(queue).must();
    assert!(after.ctime > before.ctime);
    assert_eq!((after.stime, after.rtime), (before.stime, before.rtime));
    assert_eq!((after.lspid, after.lrpid), (own_pid(), own_pid()));
}

fn set_that_changes_nothing_moves_ctime_too(t: &Stage) {
    let queue = t.private();
    let before = t.stat(queue).must();
    t.next_second();
    t.set(queue, &before).must();
    assert!(t.stat(queue).must().ctime > before.ctime);
}

fn set_keeps_the_messages(t: &Stage) {
    let queue = t.private();
    t.put(queue, 2, "two");
    t.put(queue, 1, "one");
    t.change(queue, |stat| (stat.mode, stat.qbytes) = (0o666, 3))
        .must();
    assert_eq!(t.take(queue, 0), "two");
    assert_eq!(t.take(queue, 0), "one");
}

fn set_to_uid_minus_one_is_einval(t: &Stage) {
    let queue = t.private();
    t.change(queue, |stat| stat.uid = u32::MAX).fails(EINVAL);
}

fn set_to_gid_minus_one_is_einval(t: &Stage) {
    let queue = t.private();
    t.change(queue, |stat| stat.gid = u32::MAX).fails(EINVAL);
}

fn refused_set_changes_nothing(t: &Stage) {
    let queue = t.private();
    let before = t.stat(queue).must();
    t.next_second();
    let refused = t.change(queue, |stat| {
        (stat.mode, stat.qbytes, stat.gid) = (0o666, 77, u32::MAX);
    });
    refused.fails(EINVAL);
    assert_eq!(t.stat(queue).must(), before);
}

/// A queue that this user made.
fn made_by(t: &Stage, uid: u32, mode: i32) -> Queue {
    set_effective_uid(uid);
    let queue = t.get(IPC_PRIVATE, mode).must();
    set_effective_uid(0);
    queue
}

fn owner_may_set(t: &Stage) {
    let queue = made_by(t, 1000, 0o600);
    become_user(1000, 1000, &[]);
    t.change(queue, |stat| (stat.mode, stat.qbytes) = (0o644, 10))
        .must();
    t.stat(queue).must();
}

fn others_may_not_set(t: &Stage) {
    let queue = made_by(t, 1000, 0o666);
    become_user(1001, 1001, &[]);
    t.change(queue, |_| {}).fails(EPERM);
    t.change(queue, |stat| stat.uid = 1001).fails(EPERM);
}

fn owner_may_give_the_queue_away(t: &Stage) {
    let queue = made_by(t, 1000, 0o600);
    become_user(1000, 1000, &[]);
    t.change(queue, |stat| (stat.uid, stat.gid) = (1001, 1001))
        .must();
    let stat = t.stat(queue).must();
    assert_eq!((stat.uid, stat.cuid), (1001, 1000));
}

fn new_owner_may_set_and_remove(t: &Stage) {
    let queue = made_by(t, 1000, 0o600);
    t.change(queue, |stat| stat.uid = 1001).must();
    become_user(1001, 1001, &[]);
    t.change(queue, |stat| stat.mode = 0o660).must();
    t.remove(queue).must();
}

fn creator_may_take_the_queue_back(t: &Stage) {
    let queue = made_by(t, 1000, 0o600);
    become_user(1000, 1000, &[]);
    t.change(queue, |stat| stat.uid = 1001).must();
    t.change(queue, |stat| stat.uid = 1000).must();
    assert_eq!(t.stat(queue).must().uid, 1000);
}

fn owner_without_any_bit_may_set(t: &Stage) {
    let queue = made_by(t, 1000, 0);
    let wanted = t.stat(queue).must();
    become_user(1000, 1000, &[]);
    t.stat(queue).fails(libc::EACCES);
    t.set(
        queue,
        &crate::msg::Stat {
            mode: 0o600,
            ..wanted
        },
    )
    .must();
    t.stat(queue).must();
}

fn qbytes_above_msgmnb_needs_cap_sys_resource(t: &Stage) {
    let queue = t.private();
    // Root in a container may lack it.
    let expected = if has_capability(CAP_SYS_RESOURCE) {
        10_000_000
    } else {
        16384
    };
    for qbytes in [16385, 10_000_000] {
        match t.change(queue, |stat| stat.qbytes = qbytes).result() {
            Ok(()) => assert_ne!(expected, 16384),
            Err(errno) => assert_eq!((errno, expected), (Errno(EPERM), 16384)),
        }
    }
    assert_eq!(t.stat(queue).must().qbytes, expected);
}

fn qbytes_above_msgmnb_is_eperm_for_others(t: &Stage) {
    let queue = made_by(t, 1000, 0o600);
    become_user(1000, 1000, &[]);
    t.change(queue, |stat| (stat.qbytes, stat.mode) = (16385, 0o666))
        .fails(EPERM);
    t.change(queue, |stat| stat.qbytes = u64::MAX).fails(EPERM);
    let stat = t.stat(queue).must();
    assert_eq!((stat.qbytes, stat.mode), (16384, 0o600));
}

fn qbytes_up_to_msgmnb_needs_no_privilege(t: &Stage) {
    let queue = made_by(t, 1000, 0o600);
    become_user(1000, 1000, &[]);
    t.change(queue, |stat| stat.qbytes = 10).must();
    t.change(queue, |stat| stat.qbytes = 16384).must();
    assert_eq!(t.stat(queue).must().qbytes, 16384);
}

/// The engine took all 64 bits, and refused with EPERM what Linux takes for little.
fn qbytes_is_taken_as_an_int(t: &Stage) {
    let queue = t.private();
    t.change(queue, |stat| stat.qbytes = (1 << 32) + 500).must();
    assert_eq!(t.stat(queue).must().qbytes, 500);
    t.change(queue, |stat| stat.qbytes = 1 << 33).must();
    assert_eq!(t.stat(queue).must().qbytes, 0);
}

fn qbytes_limit_is_checked_before_the_owner_fields(t: &Stage) {
    let queue = made_by(t, 1000, 0o600);
    become_user(1000, 1000, &[]);
    t.change(queue, |stat| (stat.qbytes, stat.uid) = (16385, u32::MAX))
        .fails(EPERM);
    t.change(queue, |stat| stat.uid = u32::MAX).fails(EINVAL);
}

fn owner_is_checked_before_the_qbytes_limit(t: &Stage) {
    let queue = made_by(t, 1000, 0o666);
    become_user(1001, 1001, &[]);
    t.change(queue, |stat| stat.uid = u32::MAX).fails(EPERM);
}

fn qbytes_below_what_is_queued_is_allowed(t: &Stage) {
    let queue = t.private();
    t.put(queue, 1, "0123456789");
    t.put(queue, 1, "0123456789");
    t.change(queue, |stat| stat.qbytes = 12).must();
    t.send(queue, 1, "x", IPC_NOWAIT).fails(EAGAIN);
    t.send(queue, 1, "", IPC_NOWAIT).fails(EAGAIN);
    t.take(queue, 0);
    t.put(queue, 1, "12");
    t.send(queue, 1, "3", IPC_NOWAIT).fails(EAGAIN);
    assert_eq!(t.drain(queue).len(), 2);
}

fn qbytes_zero_lets_nothing_in(t: &Stage) {
    let queue = t.private();
    t.change(queue, |stat| stat.qbytes = 0).must();
    t.send(queue, 1, "", IPC_NOWAIT).fails(EAGAIN);
    t.send(queue, 1, "x", IPC_NOWAIT).fails(EAGAIN);
    t.is_empty(queue);
}

fn raised_msgmnb_lets_qbytes_grow(t: &Stage) {
    let queue = made_by(t, 1000, 0o600);
    t.set_limit("msgmnb", 1 << 20);
    become_user(1000, 1000, &[]);
    t.change(queue, |stat| stat.qbytes = (1 << 20) + 1)
        .fails(EPERM);
    t.change(queue, |stat| stat.qbytes = 1 << 20).must();
    let text = [b'x'; 8192];
    for _ in 0..40 {
        assert_eq!(crate::call::msgsnd(queue.0, 1, &text, IPC_NOWAIT), Ok(()));
    }
    assert_eq!(t.stat(queue).must().cbytes, 40 * 8192);
    t.change(queue, |stat| stat.qbytes = 16384).must();
    t.send(queue, 1, "", IPC_NOWAIT).fails(EAGAIN);
    for _ in 0..40 {
        assert_eq!(
            crate::call::msgrcv(queue.0, 8192, 0, IPC_NOWAIT).map(|m| m.text.len()),
            Ok(8192)
        );
    }
    t.is_empty(queue);
}

fn effective_user_decides_who_sets(t: &Stage) {
    let queue = made_by(t, 1000, 0o666);
    set_effective_uid(1001);
    t.change(queue, |_| {}).fails(EPERM);
    set_effective_uid(0);
    set_effective_uid(1000);
    t.change(queue, |stat| stat.mode = 0o660).must();
    set_effective_uid(0);
    t.change(queue, |stat| stat.mode = 0o600).must();
}

fn set_on_a_removed_queue_is_einval(t: &Stage) {
    let queue = t.private();
    let wanted = t.stat(queue).must();
    t.remove(queue).must();
    t.set(queue, &wanted).fails(EINVAL);
}
