//! `semctl`: `IPC_SET` and `IPC_RMID`: who may change a set, and what changes.

use crate::memory::{Area, bad_pointers};
use crate::process::become_user;
use crate::scenarios::{ANN, BOB, STAFF, Scenario, table};
use crate::sem::{IPCMNI, op};
use crate::stage::Stage;
use libc::{EACCES, EFAULT, EINVAL, EPERM, IPC_RMID, IPC_SET};

const DS: usize = size_of::<libc::semid_ds>();

pub(super) const ALL: &[Scenario] = table![
    ipc_set_changes_owner_and_mode needs_root,
    ipc_set_changes_nothing_else,
    ipc_set_keeps_nine_bits_of_the_mode,
    ipc_set_stamps_the_change_only,
    ipc_set_to_an_invalid_owner_is_einval needs_root,
    ipc_set_by_strangers_is_eperm needs_root,
    ipc_set_needs_no_permission_bits needs_root,
    ipc_set_by_owner_and_creator needs_root,
    ipc_set_from_a_bad_pointer_is_efault_before_permission needs_root,
    ipc_set_of_a_bad_id_is_einval,
    removal_makes_the_id_einval,
    removal_by_strangers_is_eperm needs_root,
    removal_ignores_the_semaphore_number,
    removal_frees_the_place_in_time,
];

fn ipc_set_changes_owner_and_mode(t: &Stage) {
    let set = t.set_of(&[0]);
    t.semchange(set, |stat| {
        (stat.uid, stat.gid, stat.mode) = (ANN, STAFF, 0o604)
    })
    .must();
    let stat = t.semstat(set).must();
    assert_eq!((stat.uid, stat.gid, stat.mode), (ANN, STAFF, 0o604));
    assert_eq!((stat.cuid, stat.cgid), (0, 0));
}

fn ipc_set_changes_nothing_else(t: &Stage) {
    let set = t.set_of(&[3, 4]);
    let before = t.semstat(set).must();
    let mut wanted = before.clone();
    (wanted.key, wanted.cuid, wanted.cgid, wanted.sequence) = (9, 9, 9, 9);
    (wanted.otime, wanted.ctime, wanted.nsems) = (9, 9, 9);
    t.semset(set, &wanted).must();
    let after = t.semstat(set).must();
    assert!(after.ctime >= before.ctime);
    wanted = before;
    wanted.ctime = after.ctime;
    assert_eq!(after, wanted);
    t.holds(set, &[3, 4]);
}

fn ipc_set_keeps_nine_bits_of_the_mode(t: &Stage) {
    let set = t.set_of(&[0]);
    t.semchange(set, |stat| stat.mode = 0o7_7751).must();
    assert_eq!(t.semstat(set).must().mode, 0o751);
}

fn ipc_set_stamps_the_change_only(t: &Stage) {
    let set = t.set_of(&[0]);
    let before = t.semstat(set).must();
    t.next_second();
    t.semset(set, &before).must();
    let after = t.semstat(set).must();
    assert!(after.ctime > before.ctime);
    assert_eq!(after.otime, 0);
    assert_eq!(t.getpid(set, 0).must(), 0);
}

fn ipc_set_to_an_invalid_owner_is_einval(t: &Stage) {
    let set = t.set_of(&[0]);
    t.semchange(set, |stat| stat.uid = u32::MAX).fails(EINVAL);
    t.semchange(set, |stat| stat.gid = u32::MAX).fails(EINVAL);
}

fn ipc_set_by_strangers_is_eperm(t: &Stage) {
    let set = t.set_of(&[0]);
    t.semchange(set, |stat| (stat.gid, stat.mode) = (STAFF, 0o666))
        .must();
    become_user(ANN, STAFF, &[]);
    t.semchange(set, |stat| stat.mode = 0o600).fails(EPERM);
    assert_eq!(t.semstat(set).must().mode, 0o666);
}

fn ipc_set_needs_no_permission_bits(t: &Stage) {
    let set = t.set_of(&[0]);
    let mut wanted = t.semstat(set).must();
    (wanted.uid, wanted.mode) = (ANN, 0);
    t.semset(set, &wanted).must();
    become_user(ANN, ANN, &[]);
    t.semstat(set).fails(EACCES);
    wanted.mode = 0o600;
    t.semset(set, &wanted).must();
    t.semstat(set).must();
}

fn ipc_set_by_owner_and_creator(t: &Stage) {
    crate::process::set_effective_uid(ANN);
    let set = t.set_of(&[0]);
    t.semchange(set, |stat| (stat.uid, stat.mode) = (BOB, 0o600))
        .must();
    // Ann is its creator still.
    t.semchange(set, |stat| stat.mode = 0o640).must();
    crate::process::set_effective_uid(0);
    crate::process::set_effective_uid(BOB);
    t.semchange(set, |stat| stat.mode = 0o600).must();
    t.semrm(set).must();
}

fn ipc_set_from_a_bad_pointer_is_efault_before_permission(t: &Stage) {
    let set = t.set_of(&[0]);
    for area in bad_pointers() {
        t.semctl_at(set.0, 0, IPC_SET, &area).fails(EFAULT);
        t.semctl_at(77, 0, IPC_SET, &area).fails(EFAULT);
        t.semctl_at(-1, 0, IPC_SET, &area).fails(EINVAL);
    }
    t.semctl_at(set.0, 0, IPC_SET, &Area::new(DS - 1))
        .fails(EFAULT);
    become_user(ANN, ANN, &[]);
    t.semctl_at(set.0, 0, IPC_SET, &Area::null()).fails(EFAULT);
    t.semctl_at(set.0, 0, IPC_SET, &Area::new(DS)).fails(EPERM);
}

fn ipc_set_of_a_bad_id_is_einval(t: &Stage) {
    let set = t.set_of(&[0]);
    t.semctl_at(set.0 + IPCMNI, 0, IPC_SET, &Area::new(DS))
        .fails(EINVAL);
    t.semctl_at(77, 0, IPC_SET, &Area::new(DS)).fails(EINVAL);
}

fn removal_makes_the_id_einval(t: &Stage) {
    let set = t.set_of(&[1]);
    assert_eq!(t.semrm(set).must(), 0);
    t.semop(set, &[op(0, 1)]).fails(EINVAL);
    t.semop(set, &[op(0, 1).undo()]).fails(EINVAL);
    t.getval(set, 0).fails(EINVAL);
    t.semstat(set).fails(EINVAL);
    t.semrm(set).fails(EINVAL);
}

fn removal_by_strangers_is_eperm(t: &Stage) {
    let set = t.set_of(&[1]);
    t.semchange(set, |stat| (stat.gid, stat.mode) = (STAFF, 0o666))
        .must();
    let child = t.spawn("ann", |t| {
        become_user(ANN, STAFF, &[]);
        t.semrm(set).fails(EPERM);
        t.semop(set, &[op(0, 1)]).must();
    });
    t.join(child);
    t.holds(set, &[2]);
}

fn removal_ignores_the_semaphore_number(t: &Stage) {
    for num in [99, -1] {
        let set = t.set_of(&[1]);
        t.semctl(set.0, num, (IPC_RMID, "IPC_RMID"), 0).must();
        t.semstat(set).fails(EINVAL);
    }
}

fn removal_frees_the_place_in_time(t: &Stage) {
    let ids: Vec<i32> = (0..66)
        .map(|_| {
            let set = t.set_of(&[0]);
            t.semrm(set).must();
            set.0
        })
        .collect();
    let expected: Vec<i32> = (0..64).chain([IPCMNI, IPCMNI + 1]).collect();
    assert_eq!(ids, expected);
}
