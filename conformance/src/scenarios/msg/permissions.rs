//! Who may do what: classes, modes, credentials that change.

use crate::msg::Queue;
use crate::process::{become_user, set_effective_gid, set_effective_uid};
use crate::scenarios::{ANN, BOB, STAFF, Scenario, table};
use crate::stage::Stage;
use libc::{EACCES, EPERM, IPC_CREAT, IPC_NOWAIT, IPC_PRIVATE};

pub(super) const ALL: &[Scenario] = table![
    root_needs_no_bits needs_root,
    owner_with_no_bits_may_neither_send_nor_receive needs_root,
    owner_may_only_read_with_0400 needs_root,
    owner_may_only_write_with_0200 needs_root,
    others_use_the_last_bits needs_root,
    group_uses_the_middle_bits needs_root,
    supplementary_group_uses_the_middle_bits needs_root,
    owner_with_fewer_bits_than_others_is_refused needs_root,
    group_with_fewer_bits_than_others_is_refused needs_root,
    creator_is_as_good_as_the_owner needs_root,
    creators_group_is_as_good_as_the_owners needs_root,
    get_asks_for_the_bits_it_names needs_root,
    get_asks_in_any_class needs_root,
    get_may_ask_for_execute_in_vain needs_root,
    get_by_others_asks_for_their_bits needs_root,
    copy_needs_read_permission needs_root,
    permission_is_checked_before_the_queue_is_looked_at needs_root,
    members_of_the_group_may_not_set_or_remove needs_root,
    execute_bits_grant_nothing needs_root,
];

/// What the caller may do with a queue that is not empty and not full.
#[track_caller]
pub(super) fn may(t: &Stage, queue: Queue, read: bool, write: bool) {
    if write {
        t.send(queue, 9, "may write", IPC_NOWAIT).must();
    } else {
        t.send(queue, 9, "may write", IPC_NOWAIT).fails(EACCES);
    }
    if read {
        t.stat(queue).must();
        t.recv(queue, 100, 0, IPC_NOWAIT).must();
    } else {
        t.stat(queue).fails(EACCES);
        t.recv(queue, 100, 0, IPC_NOWAIT).fails(EACCES);
    }
}

/// A queue of root's, owned by `uid` and `gid`, created by root, that holds some messages.
pub(super) fn owned(t: &Stage, uid: u32, gid: u32, mode: u32) -> Queue {
    let queue = t.private();
    (0..5).for_each(|_| t.put(queue, 1, "there"));
    t.change(queue, |stat| {
        (stat.uid, stat.gid, stat.mode) = (uid, gid, mode)
    })
    .must();
    queue
}

/// What `uid` with `gid` and `groups` may do with a queue of root's that Ann and staff own.
fn class(t: &Stage, who: (u32, u32, &[u32]), mode: u32, read: bool, write: bool) {
    let queue = owned(t, ANN, STAFF, mode);
    let child = t.spawn("user", |t| {
        become_user(who.0, who.1, who.2);
        may(t, queue, read, write);
    });
    t.join(child);
}

fn root_needs_no_bits(t: &Stage) {
    let queue = owned(t, ANN, STAFF, 0);
    may(t, queue, true, true);
    t.get(7, IPC_CREAT).must();
    t.get(7, 0o666).must();
}

fn owner_with_no_bits_may_neither_send_nor_receive(t: &Stage) {
    class(t, (ANN, ANN, &[]), 0o000, false, false);
}

fn owner_may_only_read_with_0400(t: &Stage) {
    class(t, (ANN, ANN, &[]), 0o400, true, false);
}

fn owner_may_only_write_with_0200(t: &Stage) {
    class(t, (ANN, ANN, &[]), 0o200, false, true);
}

fn others_use_the_last_bits(t: &Stage) {
    class(t, (BOB, BOB, &[]), 0o006, true, true);
    class(t, (BOB, BOB, &[]), 0o004, true, false);
    class(t, (BOB, BOB, &[]), 0o002, false, true);
    class(t, (BOB, BOB, &[]), 0o660, false, false);
}

fn group_uses_the_middle_bits(t: &Stage) {
    class(t, (BOB, STAFF, &[]), 0o060, true, true);
    class(t, (BOB, STAFF, &[]), 0o040, true, false);
    class(t, (BOB, STAFF, &[]), 0o020, false, true);
}

fn supplementary_group_uses_the_middle_bits(t: &Stage) {
    class(t, (BOB, BOB, &[7, STAFF, 9]), 0o060, true, true);
    class(t, (BOB, BOB, &[7, STAFF, 9]), 0o020, false, true);
    class(t, (BOB, BOB, &[7, 9]), 0o060, false, false);
}

fn owner_with_fewer_bits_than_others_is_refused(t: &Stage) {
    class(t, (ANN, STAFF, &[]), 0o066, false, false);
}

fn group_with_fewer_bits_than_others_is_refused(t: &Stage) {
    class(t, (BOB, STAFF, &[]), 0o606, false, false);
    class(t, (BOB, BOB, &[STAFF]), 0o606, false, false);
}

/// Ann makes a queue of this mode, as root she gives it to Bob and staff, and Ann looks again.
fn given_away(t: &Stage, who: (u32, u32, &[u32]), mode: u32) -> Queue {
    set_effective_gid(BOB + 5);
    set_effective_uid(ANN);
    let queue = t.get(IPC_PRIVATE, 0o600).must();
    t.put(queue, 1, "there");
    set_effective_uid(0);
    set_effective_gid(0);
    t.change(queue, |stat| {
        (stat.uid, stat.gid, stat.mode) = (BOB, STAFF, mode)
    })
    .must();
    become_user(who.0, who.1, who.2);
    queue
}

fn creator_is_as_good_as_the_owner(t: &Stage) {
    let queue = given_away(t, (ANN, ANN, &[]), 0o600);
    may(t, queue, true, true);
    let stat = t.stat(queue).must();
    assert_eq!((stat.uid, stat.cuid), (BOB, ANN));
    t.change(queue, |stat| stat.mode = 0o640).must();
    t.remove(queue).must();
}

fn creators_group_is_as_good_as_the_owners(t: &Stage) {
    let queue = given_away(t, (4000, BOB + 5, &[]), 0o060);
    may(t, queue, true, true);
    t.remove(queue).fails(EPERM);
}

/// What becomes of `msgget` with each of these flags, for somebody who is not root.
fn gets(t: &Stage, key: i32, granted: &[i32], refused: &[i32]) {
    for &flags in granted {
        t.get(key, flags).must();
        t.get(key, flags | IPC_CREAT).must();
    }
    for &flags in refused {
        t.get(key, flags).fails(EACCES);
        t.get(key, flags | IPC_CREAT).fails(EACCES);
    }
}

fn get_asks_for_the_bits_it_names(t: &Stage) {
    become_user(ANN, ANN, &[]);
    t.get(1, IPC_CREAT | 0o400).must();
    gets(t, 1, &[0, 0o400], &[0o200, 0o600]);
    t.get(2, IPC_CREAT | 0o200).must();
    gets(t, 2, &[0, 0o200], &[0o400, 0o600]);
    t.get(3, IPC_CREAT | 0o600).must();
    gets(t, 3, &[0, 0o200, 0o400, 0o600], &[]);
    t.get(4, IPC_CREAT).must();
    gets(t, 4, &[0], &[0o200, 0o400]);
}

fn get_asks_in_any_class(t: &Stage) {
    become_user(ANN, ANN, &[]);
    t.get(1, IPC_CREAT | 0o400).must();
    // Whatever class a bit is named in, it is asked of the caller's own.
    gets(
        t,
        1,
        &[0o040, 0o004, 0o444],
        &[0o020, 0o002, 0o006, 0o420, 0o402, 0o666],
    );
}

fn get_may_ask_for_execute_in_vain(t: &Stage) {
    become_user(ANN, ANN, &[]);
    t.get(1, IPC_CREAT | 0o600).must();
    gets(t, 1, &[], &[0o100, 0o010, 0o001, 0o700, 0o755]);
    t.get(2, IPC_CREAT | 0o700).must();
    gets(t, 2, &[0o100, 0o700, 0o755, 0o777], &[]);
}

fn get_by_others_asks_for_their_bits(t: &Stage) {
    t.get(1, IPC_CREAT | 0o604).must();
    t.get(2, IPC_CREAT | 0o660).must();
    become_user(BOB, BOB, &[]);
    gets(
        t,
        1,
        &[0, 0o400, 0o444],
        &[0o200, 0o600, 0o666, 0o604 | 0o002],
    );
    gets(t, 2, &[0], &[0o400, 0o004, 0o040]);
}

fn copy_needs_read_permission(t: &Stage) {
    let queue = owned(t, ANN, ANN, 0o200);
    become_user(ANN, ANN, &[]);
    t.recv(queue, 100, 0, libc::MSG_COPY | IPC_NOWAIT)
        .fails(EACCES);
    t.send(queue, 1, "x", IPC_NOWAIT).must();
}

fn permission_is_checked_before_the_queue_is_looked_at(t: &Stage) {
    let queue = owned(t, 0, 0, 0o600);
    t.change(queue, |stat| stat.qbytes = 1).must();
    become_user(ANN, ANN, &[]);
    t.send(queue, 1, "no room", IPC_NOWAIT).fails(EACCES);
    t.send(queue, 1, "no room", 0).fails(EACCES);
    t.recv(queue, 1, 0, IPC_NOWAIT).fails(EACCES);
    t.recv(queue, 1, 77, 0).fails(EACCES);
}

fn members_of_the_group_may_not_set_or_remove(t: &Stage) {
    let queue = owned(t, ANN, STAFF, 0o666);
    become_user(BOB, STAFF, &[]);
    t.change(queue, |stat| stat.mode = 0o600).fails(EPERM);
    t.remove(queue).fails(EPERM);
    may(t, queue, true, true);
}

fn execute_bits_grant_nothing(t: &Stage) {
    class(t, (ANN, ANN, &[]), 0o100, false, false);
    class(t, (BOB, STAFF, &[]), 0o010, false, false);
    class(t, (BOB, BOB, &[]), 0o001, false, false);
}
