//! Credentials that change while a process, a wait or a queue lives on.

use super::permissions::{may, owned};
use crate::msg::Queue;
use crate::process::{become_user, own_pid, set_effective_gid, set_effective_uid, set_groups};
use crate::scenarios::{ANN, BOB, STAFF, Scenario, table};
use crate::stage::Stage;
use libc::{EACCES, EPERM, IPC_CREAT, IPC_PRIVATE};

pub(super) const ALL: &[Scenario] = table![
    old_owner_that_did_not_create_is_a_stranger needs_root,
    effective_uid_counts_not_the_real_one needs_root,
    effective_uid_back_and_forth needs_root,
    effective_gid_counts needs_root,
    groups_count_as_soon_as_they_change needs_root,
    queue_belongs_to_the_effective_ids needs_root,
    waiting_receiver_loses_permission needs_root,
    waiting_receiver_keeps_permission needs_root,
    waiting_sender_finds_permission_gone_when_it_wakes needs_root,
    two_users_talk_over_an_open_queue needs_root,
    users_do_not_see_each_others_private_modes needs_root,
];

fn may_own(t: &Stage, queue: Queue) {
    t.put(queue, 1, "mine");
    t.put(queue, 1, "mine too");
    may(t, queue, true, true);
}

fn old_owner_that_did_not_create_is_a_stranger(t: &Stage) {
    let queue = owned(t, ANN, ANN, 0o600);
    let ann = t.spawn("ann", |t| {
        become_user(ANN, ANN, &[]);
        t.change(queue, |stat| (stat.uid, stat.gid) = (BOB, BOB))
            .must();
        may(t, queue, false, false);
        t.remove(queue).fails(EPERM);
    });
    t.join(ann);
    let bob = t.spawn("bob", |t| {
        become_user(BOB, BOB, &[]);
        may(t, queue, true, true);
        t.remove(queue).must();
    });
    t.join(bob);
}

fn effective_uid_counts_not_the_real_one(t: &Stage) {
    let queue = owned(t, 0, 0, 0o600);
    set_groups(&[]);
    set_effective_gid(ANN);
    set_effective_uid(ANN);
    may(t, queue, false, false);
    t.remove(queue).fails(EPERM);
}

fn effective_uid_back_and_forth(t: &Stage) {
    let queue = owned(t, 0, 0, 0o600);
    for _ in 0..3 {
        set_effective_uid(ANN);
        may(t, queue, false, false);
        set_effective_uid(0);
        may(t, queue, true, true);
    }
}

fn effective_gid_counts(t: &Stage) {
    let queue = owned(t, ANN, STAFF, 0o060);
    set_groups(&[]);
    for _ in 0..2 {
        set_effective_gid(STAFF);
        set_effective_uid(BOB);
        may(t, queue, true, true);
        set_effective_uid(0);
        set_effective_gid(BOB);
        set_effective_uid(BOB);
        may(t, queue, false, false);
        set_effective_uid(0);
    }
}

fn groups_count_as_soon_as_they_change(t: &Stage) {
    let queue = owned(t, ANN, STAFF, 0o060);
    set_effective_gid(BOB);
    for _ in 0..2 {
        set_groups(&[STAFF]);
        set_effective_uid(BOB);
        may(t, queue, true, true);
        set_effective_uid(0);
        set_groups(&[]);
        set_effective_uid(BOB);
        may(t, queue, false, false);
        set_effective_uid(0);
    }
}

fn queue_belongs_to_the_effective_ids(t: &Stage) {
    set_effective_gid(STAFF);
    set_effective_uid(ANN);
    let queue = t.get(IPC_PRIVATE, 0o600).must();
    let stat = t.stat(queue).must();
    assert_eq!(
        (stat.uid, stat.gid, stat.cuid, stat.cgid),
        (ANN, STAFF, ANN, STAFF)
    );
    set_effective_uid(0);
    let queue = t.get(IPC_PRIVATE, 0o600).must();
    assert_eq!(t.stat(queue).must().uid, 0);
}

fn waiting_receiver_loses_permission(t: &Stage) {
    let queue = t.get(IPC_PRIVATE, 0o666).must();
    let child = t.spawn("bob", |t| {
        become_user(BOB, BOB, &[]);
        t.recv(queue, 100, 0, 0).fails(EACCES);
    });
    t.wait_blocked(&child);
    t.change(queue, |stat| stat.mode = 0o662).must();
    t.join(child);
}

fn waiting_receiver_keeps_permission(t: &Stage) {
    let queue = t.get(IPC_PRIVATE, 0o666).must();
    let child = t.spawn("bob", |t| {
        become_user(BOB, BOB, &[]);
        t.recv(queue, 100, 0, 0).must();
    });
    t.wait_blocked(&child);
    t.change(queue, |stat| (stat.uid, stat.mode) = (BOB, 0o400))
        .must();
    t.wait_blocked(&child);
    t.put(queue, 1, "for bob");
    t.join(child);
}

fn waiting_sender_finds_permission_gone_when_it_wakes(t: &Stage) {
    let queue = t.get(IPC_PRIVATE, 0o666).must();
    t.change(queue, |stat| stat.qbytes = 4).must();
    t.put(queue, 1, "full");
    let child = t.spawn("bob", |t| {
        become_user(BOB, BOB, &[]);
        t.send(queue, 2, "next", 0).fails(EACCES);
    });
    t.wait_blocked(&child);
    // A sender that still does not fit is not woken to be told.
    t.change(queue, |stat| stat.mode = 0o664).must();
    t.wait_blocked(&child);
    t.take(queue, 0);
    t.join(child);
    t.is_empty(queue);
}

fn two_users_talk_over_an_open_queue(t: &Stage) {
    let bob = t.spawn("bob", |t| {
        become_user(BOB, BOB, &[]);
        let queue = t.get(0x42, IPC_CREAT | 0o666).must();
        t.tell(1);
        let question = t.recv(queue, 100, 1, 0).must();
        t.send(queue, 2, question.text, 0).must();
    });
    t.hear(&bob, 1);
    let ann = t.spawn("ann", |t| {
        become_user(ANN, ANN, &[]);
        let queue = t.get(0x42, 0o666).must();
        t.send(queue, 1, "hello bob", 0).must();
        assert_eq!(t.recv(queue, 100, 2, 0).must().text, b"hello bob");
        let stat = t.stat(queue).must();
        assert_eq!((stat.uid, stat.lrpid), (BOB, own_pid()));
        t.remove(queue).fails(EPERM);
    });
    t.join(ann);
    t.join(bob);
}

fn users_do_not_see_each_others_private_modes(t: &Stage) {
    for (name, uid) in [("ann", ANN), ("bob", BOB)] {
        let child = t.spawn(name, |t| {
            become_user(uid, uid, &[]);
            let queue = t.get(uid as i32, IPC_CREAT | 0o600).must();
            may_own(t, queue);
        });
        t.join(child);
    }
    let queue = t.get(BOB as i32, 0).must();
    become_user(ANN, ANN, &[]);
    t.get(BOB as i32, 0o600).fails(EACCES);
    may(t, queue, false, false);
}
