//! `semctl`: `IPC_STAT`, `SEM_STAT`, `SEM_STAT_ANY`: what is told, and to whom.

use crate::memory::{Area, bad_pointers};
use crate::process::become_user;
use crate::scenarios::{ANN, Scenario, table};
use crate::sem::{IPCMNI, op};
use crate::stage::Stage;
use libc::{EACCES, EFAULT, EINVAL, IPC_CREAT, IPC_STAT, SEM_STAT, SEM_STAT_ANY};

pub(super) const ALL: &[Scenario] = table![
    semstat_tells_owner_mode_size_and_key,
    semstat_needs_read_permission needs_root,
    semstat_writes_no_more_than_its_structure,
    semstat_into_a_bad_pointer_is_efault,
    semstat_of_a_bad_id_ignores_the_pointer,
    semstat_without_permission_ignores_the_pointer needs_root,
    semstat_ignores_the_semaphore_number,
    semstat_by_index_gives_the_id,
    semstat_by_index_ignores_the_sequence,
    semstat_by_index_of_nobody_is_einval,
    semstat_by_index_needs_read_permission needs_root,
    semstat_any_needs_no_permission needs_root,
];

const DS: usize = size_of::<libc::semid_ds>();

fn semstat_tells_owner_mode_size_and_key(t: &Stage) {
    let set = t.semget(0x1234, 7, IPC_CREAT | 0o640).must();
    let stat = t.semstat(set).must();
    assert_eq!(
        (stat.key, stat.mode, stat.nsems, stat.otime),
        (0x1234, 0o640, 7, 0)
    );
    assert_eq!(
        (stat.uid, stat.cuid),
        (stat.cuid, crate::process::effective_uid())
    );
    assert_eq!(
        (stat.gid, stat.cgid),
        (stat.cgid, crate::process::effective_gid())
    );
    assert_eq!(stat.sequence, set.sequence() as u32);
    t.semop(set, &[op(0, 1)]).must();
    assert!(t.semstat(set).must().otime >= stat.ctime);
}

fn semstat_needs_read_permission(t: &Stage) {
    let set = t.set_of(&[0]);
    t.semchange(set, |stat| (stat.uid, stat.mode) = (ANN, 0o200))
        .must();
    become_user(ANN, ANN, &[]);
    t.semstat(set).fails(EACCES);
    t.semop(set, &[op(0, 1)]).must();
}

fn semstat_writes_no_more_than_its_structure(t: &Stage) {
    let set = t.set_of(&[0]);
    t.semctl_at(set.0, 0, IPC_STAT, &Area::new(DS)).must();
    t.semctl_at(set.0, 0, IPC_STAT, &Area::new(DS - 1))
        .fails(EFAULT);
    let area = Area::new(DS + 8);
    area.write(DS, &[0x5a; 8]);
    t.semctl_at(set.0, 0, IPC_STAT, &area).must();
    assert_eq!(area.bytes()[DS..], [0x5a; 8]);
}

fn semstat_into_a_bad_pointer_is_efault(t: &Stage) {
    let set = t.set_of(&[0]);
    for area in bad_pointers() {
        t.semctl_at(set.0, 0, IPC_STAT, &area).fails(EFAULT);
        t.semctl_at(set.index(), 0, SEM_STAT, &area).fails(EFAULT);
        t.semctl_at(set.index(), 0, SEM_STAT_ANY, &area)
            .fails(EFAULT);
    }
    t.semctl_at(set.0, 0, IPC_STAT, &Area::new(DS).read_only())
        .fails(EFAULT);
}

fn semstat_of_a_bad_id_ignores_the_pointer(t: &Stage) {
    for area in bad_pointers() {
        for cmd in [IPC_STAT, SEM_STAT, SEM_STAT_ANY] {
            t.semctl_at(77, 0, cmd, &area).fails(EINVAL);
            t.semctl_at(-1, 0, cmd, &area).fails(EINVAL);
        }
    }
}

fn semstat_without_permission_ignores_the_pointer(t: &Stage) {
    let set = t.set_of(&[0]);
    become_user(ANN, ANN, &[]);
    t.semctl_at(set.0, 0, IPC_STAT, &Area::null()).fails(EACCES);
    t.semctl_at(set.index(), 0, SEM_STAT, &Area::null())
        .fails(EACCES);
    t.semctl_at(set.index(), 0, SEM_STAT_ANY, &Area::null())
        .fails(EFAULT);
}

fn semstat_ignores_the_semaphore_number(t: &Stage) {
    let set = t.set_of(&[0]);
    for num in [1, 99, -1] {
        t.semctl_at(set.0, num, IPC_STAT, &Area::new(DS)).must();
        t.semctl_at(set.0, num, SEM_STAT, &Area::new(DS)).must();
    }
}

fn semstat_by_index_gives_the_id(t: &Stage) {
    for _ in 0..64 {
        let set = t.set_of(&[0]);
        t.semrm(set).must();
    }
    let set = t.set_of(&[0, 0]);
    assert_eq!(set.0, IPCMNI);
    let (id, stat) = t.semstat_at(0).must();
    assert_eq!((id, stat), (set, t.semstat(set).must()));
    assert_eq!(t.semstat_any_at(0).must().0, set);
}

fn semstat_by_index_ignores_the_sequence(t: &Stage) {
    let set = t.set_of(&[0]);
    for sequence in [1, 2, 1000] {
        assert_eq!(t.semstat_at(sequence * IPCMNI).must().0, set);
    }
}

fn semstat_by_index_of_nobody_is_einval(t: &Stage) {
    t.set_of(&[0]);
    for index in [1, 2, 1000, IPCMNI - 1, -1, i32::MIN] {
        t.semstat_at(index).fails(EINVAL);
        t.semstat_any_at(index).fails(EINVAL);
    }
}

fn semstat_by_index_needs_read_permission(t: &Stage) {
    let set = t.set_of(&[0]);
    become_user(ANN, ANN, &[]);
    t.semstat_at(set.index()).fails(EACCES);
}

fn semstat_any_needs_no_permission(t: &Stage) {
    let set = t.set_of(&[0, 0]);
    become_user(ANN, ANN, &[]);
    let (id, stat) = t.semstat_any_at(set.index()).must();
    assert_eq!((id, stat.nsems, stat.uid), (set, 2, 0));
}
