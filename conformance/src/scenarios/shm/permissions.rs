//! Who may attach what: classes, modes, credentials that change, capabilities.

use crate::capabilities::{
    CAP_IPC_OWNER, CAP_SYS_ADMIN, drop_capability, keep_capabilities, raise_capability,
};
use crate::mapping::{Access, PAGE, access};
use crate::process::{become_user, set_effective_gid, set_effective_uid};
use crate::scenarios::{Scenario, table};
use crate::shm::{ANYWHERE, SHM_EXEC, SHM_RDONLY, Segment};
use crate::stage::Stage;
use libc::{EACCES, EINVAL, EPERM, IPC_CREAT, IPC_PRIVATE};

pub(super) const ALL: &[Scenario] = table![
    root_attaches_without_any_bits needs_root,
    owner_without_bits_attaches_nothing needs_root,
    owner_with_read_attaches_read_only needs_root,
    owner_with_write_alone_attaches_nothing needs_root,
    others_attach_by_the_last_bits needs_root,
    group_attaches_by_the_middle_bits needs_root,
    supplementary_group_attaches_by_the_middle_bits needs_root,
    owner_with_fewer_bits_than_others_attaches_nothing needs_root,
    creator_attaches_like_the_owner needs_root,
    creators_group_attaches_like_the_owners needs_root,
    former_owner_and_its_group_attach_like_others needs_root,
    executing_needs_the_execute_bit needs_root,
    permission_of_a_segment_is_checked_after_the_address needs_root,
    permission_asked_by_shmget needs_root,
    permission_is_checked_after_the_size_by_shmget needs_root,
    attachment_outlives_its_makers_rights needs_root,
    effective_user_counts_for_attaching needs_root,
    root_without_cap_ipc_owner_attaches_by_bits needs_root,
    root_without_cap_sys_admin_may_not_set_or_remove_segments needs_root,
    user_with_cap_ipc_owner_attaches_anything needs_root,
];

const ANN: u32 = 1000;
const BOB: u32 = 1001;
/// A group of which neither is a member by default.
const STAFF: u32 = 5000;

/// What the caller may do with a segment.
#[track_caller]
fn may(t: &Stage, segment: Segment, read: bool, write: bool) {
    let reader = t.shmat(segment, ANYWHERE, SHM_RDONLY);
    let writer = t.shmat(segment, ANYWHERE, 0);
    if read {
        assert_eq!(access(reader.must()), Access::Read);
        t.shm_stat(segment).must();
    } else {
        reader.fails(EACCES);
        t.shm_stat(segment).fails(EACCES);
    }
    if read && write {
        assert_eq!(access(writer.must()), Access::Write);
    } else {
        writer.fails(EACCES);
    }
}

/// A segment of root's, owned by `uid` and `gid`, created by root.
fn owned(t: &Stage, uid: u32, gid: u32, mode: u32) -> Segment {
    let segment = t.segment(PAGE);
    t.shm_change(segment, |stat| {
        (stat.uid, stat.gid, stat.mode) = (uid, gid, mode)
    })
    .must();
    segment
}

/// What `uid` with `gid` and `groups` may do with a segment of root's that Ann and staff own.
fn class(t: &Stage, who: (u32, u32, &[u32]), mode: u32, read: bool, write: bool) {
    let segment = owned(t, ANN, STAFF, mode);
    let child = t.spawn("user", |t| {
        become_user(who.0, who.1, who.2);
        may(t, segment, read, write);
    });
    t.join(child);
}

fn root_attaches_without_any_bits(t: &Stage) {
    let segment = owned(t, ANN, STAFF, 0);
    may(t, segment, true, true);
    t.shmat(segment, ANYWHERE, SHM_EXEC).must();
}

fn owner_without_bits_attaches_nothing(t: &Stage) {
    class(t, (ANN, ANN, &[]), 0, false, false);
}

fn owner_with_read_attaches_read_only(t: &Stage) {
    class(t, (ANN, ANN, &[]), 0o400, true, false);
}

fn owner_with_write_alone_attaches_nothing(t: &Stage) {
    class(t, (ANN, ANN, &[]), 0o200, false, true);
    class(t, (ANN, ANN, &[]), 0o300, false, true);
}

fn others_attach_by_the_last_bits(t: &Stage) {
    class(t, (BOB, BOB, &[]), 0o006, true, true);
    class(t, (BOB, BOB, &[]), 0o004, true, false);
    class(t, (BOB, BOB, &[]), 0o002, false, true);
    class(t, (BOB, BOB, &[]), 0o660, false, false);
}

fn group_attaches_by_the_middle_bits(t: &Stage) {
    class(t, (BOB, STAFF, &[]), 0o060, true, true);
    class(t, (BOB, STAFF, &[]), 0o040, true, false);
    class(t, (BOB, STAFF, &[]), 0o606, false, false);
}

fn supplementary_group_attaches_by_the_middle_bits(t: &Stage) {
    class(t, (BOB, BOB, &[7, STAFF, 9]), 0o060, true, true);
    class(t, (BOB, BOB, &[7, STAFF]), 0o040, true, false);
    class(t, (BOB, BOB, &[7, 9]), 0o060, false, false);
}

fn owner_with_fewer_bits_than_others_attaches_nothing(t: &Stage) {
    class(t, (ANN, STAFF, &[]), 0o066, false, false);
}

/// Ann makes a segment of this mode, as root she gives it to Bob and staff, and becomes `who`.
fn given_away(t: &Stage, who: (u32, u32, &[u32]), mode: u32) -> Segment {
    set_effective_gid(BOB + 5);
    set_effective_uid(ANN);
    let segment = t.shmget(IPC_PRIVATE, PAGE, 0o600).must();
    set_effective_uid(0);
    set_effective_gid(0);
    t.shm_change(segment, |stat| {
        (stat.uid, stat.gid, stat.mode) = (BOB, STAFF, mode)
    })
    .must();
    become_user(who.0, who.1, who.2);
    segment
}

fn creator_attaches_like_the_owner(t: &Stage) {
    let segment = given_away(t, (ANN, ANN, &[]), 0o600);
    may(t, segment, true, true);
}

fn creators_group_attaches_like_the_owners(t: &Stage) {
    let segment = given_away(t, (4000, BOB + 5, &[]), 0o060);
    may(t, segment, true, true);
    t.shm_remove(segment).fails(EPERM);
}

/// The file kept the access list that it had for the owner in between, and that shut out members of
/// the group whose entry gave less than the new mode.
fn former_owner_and_its_group_attach_like_others(t: &Stage) {
    for (mode, open) in [(0o666, true), (0o660, false)] {
        let segment = owned(t, ANN, STAFF, 0o440);
        t.shm_change(segment, |stat| {
            (stat.uid, stat.gid, stat.mode) = (0, 0, mode)
        })
        .must();
        for (uid, groups) in [(ANN, &[][..]), (BOB, &[STAFF][..])] {
            let child = t.spawn("user", move |t| {
                become_user(uid, uid, groups);
                may(t, segment, open, open);
            });
            t.join(child);
        }
    }
}

fn executing_needs_the_execute_bit(t: &Stage) {
    let without = owned(t, ANN, ANN, 0o600);
    let with = owned(t, ANN, ANN, 0o700);
    let only = owned(t, ANN, ANN, 0o100);
    become_user(ANN, ANN, &[]);
    t.shmat(without, ANYWHERE, SHM_EXEC).fails(EACCES);
    t.shmat(without, ANYWHERE, SHM_EXEC | SHM_RDONLY)
        .fails(EACCES);
    t.shmat(with, ANYWHERE, SHM_EXEC).must();
    t.shmat(with, ANYWHERE, SHM_EXEC | SHM_RDONLY).must();
    t.shmat(only, ANYWHERE, SHM_EXEC | SHM_RDONLY).fails(EACCES);
}

fn permission_of_a_segment_is_checked_after_the_address(t: &Stage) {
    let segment = owned(t, 0, 0, 0o600);
    become_user(ANN, ANN, &[]);
    t.shmat(segment, 1, 0).fails(EINVAL);
    t.shmat(segment, ANYWHERE, crate::shm::SHM_REMAP)
        .fails(EINVAL);
    // What is mapped there is looked at last.
    let taken = crate::mapping::anonymous(PAGE);
    t.shmat(segment, taken, 0).fails(EACCES);
    t.shmat(Segment(77), ANYWHERE, 0).fails(EINVAL);
}

fn permission_asked_by_shmget(t: &Stage) {
    t.shmget(1, PAGE, IPC_CREAT | 0o640).must();
    t.shmget(2, PAGE, IPC_CREAT | 0o604).must();
    become_user(BOB, BOB, &[]);
    for (key, flags, granted) in [
        (1, 0, true),
        (1, 0o400, false),
        (1, 0o004, false),
        (2, 0o400, true),
        (2, 0o444, true),
        (2, 0o200, false),
        (2, 0o600, false),
        (2, 0o100, false),
    ] {
        for create in [0, IPC_CREAT] {
            let got = t.shmget(key, PAGE, create | flags);
            if granted {
                got.must();
            } else {
                got.fails(EACCES);
            }
        }
    }
}

fn permission_is_checked_after_the_size_by_shmget(t: &Stage) {
    t.shmget(1, PAGE, IPC_CREAT | 0o600).must();
    become_user(BOB, BOB, &[]);
    t.shmget(1, 2 * PAGE, 0o600).fails(EINVAL);
    t.shmget(1, PAGE, 0o600).fails(EACCES);
    t.shmget(1, PAGE, IPC_CREAT | libc::IPC_EXCL | 0o600)
        .fails(libc::EEXIST);
}

fn attachment_outlives_its_makers_rights(t: &Stage) {
    let segment = owned(t, 0, 0, 0o600);
    let at = t.attach(segment);
    become_user(ANN, ANN, &[]);
    assert_eq!(access(at), Access::Write);
    t.shmat(segment, ANYWHERE, SHM_RDONLY).fails(EACCES);
    t.detach(at);
    t.shmat(segment, ANYWHERE, 0).fails(EACCES);
}

fn effective_user_counts_for_attaching(t: &Stage) {
    let segment = owned(t, ANN, ANN, 0o600);
    set_effective_uid(BOB);
    may(t, segment, false, false);
    set_effective_uid(0);
    set_effective_uid(ANN);
    may(t, segment, true, true);
}

fn root_without_cap_ipc_owner_attaches_by_bits(t: &Stage) {
    let segment = owned(t, ANN, ANN, 0o600);
    // Root is the creator, and in its class.
    drop_capability(CAP_IPC_OWNER);
    may(t, segment, true, true);
    t.shm_change(segment, |stat| stat.mode = 0o400).must();
    may(t, segment, true, false);
    t.shm_change(segment, |stat| stat.mode = 0o006).must();
    t.shmat(segment, ANYWHERE, 0).fails(EACCES);
}

fn root_without_cap_sys_admin_may_not_set_or_remove_segments(t: &Stage) {
    let child = t.spawn("ann", |t| {
        become_user(ANN, ANN, &[]);
        t.tell(t.segment(PAGE).0.into());
    });
    let segment = Segment(t.hear(&child, 1) as i32);
    t.join(child);
    drop_capability(CAP_SYS_ADMIN);
    t.shm_change(segment, |stat| stat.mode = 0o666).fails(EPERM);
    t.shm_remove(segment).fails(EPERM);
    raise_capability(CAP_SYS_ADMIN);
    t.shm_remove(segment).must();
}

fn user_with_cap_ipc_owner_attaches_anything(t: &Stage) {
    let segment = owned(t, 0, 0, 0);
    keep_capabilities();
    become_user(ANN, ANN, &[]);
    may(t, segment, false, false);
    raise_capability(CAP_IPC_OWNER);
    may(t, segment, true, true);
    t.shm_remove(segment).fails(EPERM);
}
