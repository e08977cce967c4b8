//! Who may read a set and who may alter it.

use crate::process::{become_user, set_effective_gid, set_effective_uid, set_groups};
use crate::scenarios::{ANN, BOB, STAFF, Scenario, table};
use crate::sem::{Set, op, zero};
use crate::stage::Stage;
use libc::{EACCES, EIDRM, EPERM, IPC_CREAT, IPC_PRIVATE};

pub(super) const ALL: &[Scenario] = table![
    root_needs_no_bits_on_sets needs_root,
    owner_of_a_set_with_no_bits_may_nothing needs_root,
    owner_of_a_set_may_only_read_with_0400 needs_root,
    owner_of_a_set_may_only_alter_with_0200 needs_root,
    others_use_the_last_bits_of_a_set needs_root,
    group_uses_the_middle_bits_of_a_set needs_root,
    owner_of_a_set_with_fewer_bits_than_others_is_refused needs_root,
    creator_of_a_set_is_as_good_as_its_owner needs_root,
    execute_bits_of_a_set_grant_nothing needs_root,
    wait_for_zero_needs_only_read_permission needs_root,
    one_altering_op_makes_an_array_alter needs_root,
    sleeper_that_loses_permission_sleeps_on needs_root,
    sleeper_that_loses_permission_hears_of_removal needs_root,
    effective_ids_count_on_sets needs_root,
    supplementary_groups_count_on_sets needs_root,
    two_users_share_a_set needs_root,
];

/// What the caller may do with a set of one semaphore, whose value is one, and stays so.
#[track_caller]
fn may(t: &Stage, set: Set, read: bool, alter: bool) {
    if alter {
        t.semop(set, &[op(0, -1)]).must();
        t.semop(set, &[op(0, 1)]).must();
        t.semop(set, &[op(0, -1).undo(), op(0, 1).undo()]).must();
        t.setval(set, 0, 1).must();
        t.setall(set, &[1]).must();
    } else {
        t.semop(set, &[op(0, -1)]).fails(EACCES);
        t.semop(set, &[op(0, 1).undo()]).fails(EACCES);
        t.setval(set, 0, 1).fails(EACCES);
        t.setall(set, &[1]).fails(EACCES);
    }
    if read {
        t.semop(set, &[zero(0).nowait()]).fails(libc::EAGAIN);
        assert_eq!(t.getval(set, 0).must(), 1);
        t.getall(set, 1).must();
        t.getpid(set, 0).must();
        t.getncnt(set, 0).must();
        t.getzcnt(set, 0).must();
        t.semstat(set).must();
    } else {
        t.semop(set, &[zero(0).nowait()]).fails(EACCES);
        t.getval(set, 0).fails(EACCES);
        t.getall(set, 1).fails(EACCES);
        t.getpid(set, 0).fails(EACCES);
        t.getncnt(set, 0).fails(EACCES);
        t.getzcnt(set, 0).fails(EACCES);
        t.semstat(set).fails(EACCES);
    }
}

/// A set of root's, whose value is one, owned by `uid` and `gid`.
fn owned(t: &Stage, uid: u32, gid: u32, mode: u32) -> Set {
    let set = t.set_of(&[1]);
    t.semchange(set, |stat| {
        (stat.uid, stat.gid, stat.mode) = (uid, gid, mode)
    })
    .must();
    set
}

/// What `who` may do with a set of Ann's and staff's.
fn class(t: &Stage, who: (u32, u32, &[u32]), mode: u32, read: bool, alter: bool) {
    let set = owned(t, ANN, STAFF, mode);
    let child = t.spawn("user", |t| {
        become_user(who.0, who.1, who.2);
        may(t, set, read, alter);
    });
    t.join(child);
}

fn root_needs_no_bits_on_sets(t: &Stage) {
    let set = owned(t, ANN, STAFF, 0);
    may(t, set, true, true);
    t.semget(7, 1, IPC_CREAT).must();
    t.semget(7, 1, 0o666).must();
}

fn owner_of_a_set_with_no_bits_may_nothing(t: &Stage) {
    class(t, (ANN, ANN, &[]), 0o000, false, false);
}

fn owner_of_a_set_may_only_read_with_0400(t: &Stage) {
    class(t, (ANN, ANN, &[]), 0o400, true, false);
}

fn owner_of_a_set_may_only_alter_with_0200(t: &Stage) {
    class(t, (ANN, ANN, &[]), 0o200, false, true);
}

fn others_use_the_last_bits_of_a_set(t: &Stage) {
    class(t, (BOB, BOB, &[]), 0o006, true, true);
    class(t, (BOB, BOB, &[]), 0o004, true, false);
    class(t, (BOB, BOB, &[]), 0o002, false, true);
    class(t, (BOB, BOB, &[]), 0o660, false, false);
}

fn group_uses_the_middle_bits_of_a_set(t: &Stage) {
    class(t, (BOB, STAFF, &[]), 0o060, true, true);
    class(t, (BOB, STAFF, &[]), 0o040, true, false);
    class(t, (BOB, BOB, &[STAFF]), 0o020, false, true);
    class(t, (BOB, STAFF, &[]), 0o606, false, false);
}

fn owner_of_a_set_with_fewer_bits_than_others_is_refused(t: &Stage) {
    class(t, (ANN, STAFF, &[]), 0o066, false, false);
}

fn creator_of_a_set_is_as_good_as_its_owner(t: &Stage) {
    set_effective_uid(ANN);
    let set = t.semget(IPC_PRIVATE, 1, 0o600).must();
    t.setval(set, 0, 1).must();
    set_effective_uid(0);
    t.semchange(set, |stat| (stat.uid, stat.gid) = (BOB, STAFF))
        .must();
    become_user(ANN, ANN, &[]);
    may(t, set, true, true);
    t.semrm(set).must();
}

fn execute_bits_of_a_set_grant_nothing(t: &Stage) {
    class(t, (ANN, ANN, &[]), 0o100, false, false);
    class(t, (BOB, BOB, &[]), 0o001, false, false);
}

fn wait_for_zero_needs_only_read_permission(t: &Stage) {
    let set = owned(t, ANN, STAFF, 0o444);
    t.setval(set, 0, 0).must();
    let child = t.spawn("bob", |t| {
        become_user(BOB, BOB, &[]);
        t.semop(set, &[zero(0)]).must();
        t.semop(set, &[zero(0), zero(0).undo()]).must();
        assert_eq!(t.getpid(set, 0).must(), crate::process::own_pid());
    });
    t.join(child);
}

fn one_altering_op_makes_an_array_alter(t: &Stage) {
    let readable = owned(t, ANN, STAFF, 0o444);
    let alterable = owned(t, ANN, STAFF, 0o222);
    become_user(BOB, BOB, &[]);
    t.semop(readable, &[zero(0).nowait(), op(0, 1)])
        .fails(EACCES);
    // To alter is not to read as well, and an array that alters need not read.
    t.semop(alterable, &[op(0, -1), zero(0), op(0, 1)]).must();
    t.semop(alterable, &[zero(0).nowait()]).fails(EACCES);
}

fn sleeper_that_loses_permission_sleeps_on(t: &Stage) {
    let set = owned(t, ANN, STAFF, 0o666);
    let child = t.spawn("bob", |t| {
        become_user(BOB, BOB, &[]);
        t.semop(set, &[op(0, -2)]).must();
        t.semop(set, &[op(0, 1)]).fails(EACCES);
    });
    t.wait_blocked(&child);
    t.semchange(set, |stat| stat.mode = 0o600).must();
    t.wait_blocked(&child);
    t.semop(set, &[op(0, 1)]).must();
    t.join(child);
    t.holds(set, &[0]);
}

fn sleeper_that_loses_permission_hears_of_removal(t: &Stage) {
    let set = owned(t, ANN, STAFF, 0o666);
    let child = t.spawn("bob", |t| {
        become_user(BOB, BOB, &[]);
        t.semop(set, &[op(0, -2)]).fails(EIDRM);
    });
    t.wait_blocked(&child);
    t.semchange(set, |stat| stat.mode = 0o600).must();
    t.semrm(set).must();
    t.join(child);
}

fn effective_ids_count_on_sets(t: &Stage) {
    let set = owned(t, 0, 0, 0o600);
    set_groups(&[]);
    for _ in 0..3 {
        set_effective_gid(ANN);
        set_effective_uid(ANN);
        may(t, set, false, false);
        t.semrm(set).fails(EPERM);
        set_effective_uid(0);
        set_effective_gid(0);
        may(t, set, true, true);
    }
}

fn supplementary_groups_count_on_sets(t: &Stage) {
    let set = owned(t, ANN, STAFF, 0o060);
    set_effective_gid(BOB);
    for _ in 0..2 {
        set_groups(&[7, STAFF]);
        set_effective_uid(BOB);
        may(t, set, true, true);
        set_effective_uid(0);
        set_groups(&[]);
        set_effective_uid(BOB);
        may(t, set, false, false);
        set_effective_uid(0);
    }
}

fn two_users_share_a_set(t: &Stage) {
    let bob = t.spawn("bob", |t| {
        become_user(BOB, BOB, &[]);
        let set = t.semget(0x42, 2, IPC_CREAT | 0o666).must();
        t.tell(1);
        t.semop(set, &[op(0, -1)]).must();
        t.semop(set, &[op(1, 1)]).must();
    });
    t.hear(&bob, 1);
    let ann = t.spawn("ann", |t| {
        become_user(ANN, ANN, &[]);
        let set = t.semget(0x42, 2, 0o666).must();
        t.semop(set, &[op(0, 1)]).must();
        t.semop(set, &[op(1, -1)]).must();
        t.semrm(set).fails(EPERM);
    });
    t.join(ann);
    t.join(bob);
}
