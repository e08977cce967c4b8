//! `semctl`: `IPC_STAT`, `IPC_SET`, `IPC_RMID`, `SEM_STAT`, the info commands, and unknown ones.

use super::blocking::sleeper;
use crate::memory::{Area, bad_pointers};
use crate::process::{become_user, own_pid};
use crate::scenarios::{ANN, BOB, STAFF, Scenario, table};
use crate::sem::{IPCMNI, Set, op};
use crate::stage::Stage;
use libc::{
    EACCES, EFAULT, EINVAL, EPERM, GETALL, GETNCNT, GETPID, GETVAL, GETZCNT, IPC_CREAT, IPC_INFO,
    IPC_RMID, IPC_SET, IPC_STAT, SEM_INFO, SEM_STAT, SEM_STAT_ANY, SETALL, SETVAL,
};

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
    seminfo_of_an_empty_world,
    seminfo_tells_the_default_limits,
    seminfo_returns_the_highest_set_index,
    seminfo_ignores_id_and_number,
    seminfo_with_a_negative_id_is_einval,
    semusage_counts_sets_and_semaphores,
    semusage_falls_with_removal,
    seminfo_into_a_bad_pointer_is_efault,
    seminfo_needs_no_permission needs_root,
    unknown_semctl_commands_are_einval,
    queue_commands_are_no_set_commands,
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

fn seminfo_of_an_empty_world(t: &Stage) {
    assert_eq!(t.seminfo().must().0, 0);
    let (highest, usage) = t.semusage().must();
    assert_eq!((highest, usage.semusz, usage.semaem), (0, 0, 0));
}

fn seminfo_tells_the_default_limits(t: &Stage) {
    let info = t.seminfo().must().1;
    assert_eq!(
        (info.semmsl, info.semmns, info.semopm, info.semmni),
        (32000, 1_024_000_000, 500, 32000)
    );
    assert_eq!((info.semvmx, info.semaem), (32767, 32767));
    assert_eq!(
        (info.semmap, info.semmnu, info.semume, info.semusz),
        (1_024_000_000, 1_024_000_000, 500, 20)
    );
}

fn seminfo_returns_the_highest_set_index(t: &Stage) {
    let sets = [0, 1, 2].map(|index| {
        let set = t.set_of(&[0]);
        assert_eq!(t.seminfo().must().0, index);
        set
    });
    t.semrm(sets[0]).must();
    assert_eq!(t.semusage().must().0, 2);
    t.semrm(sets[2]).must();
    assert_eq!(t.seminfo().must().0, 1);
}

fn seminfo_ignores_id_and_number(t: &Stage) {
    t.set_of(&[0]);
    for id in [0, 1, 77, i32::MAX] {
        t.seminfo_of(id, 99, (IPC_INFO, "IPC_INFO")).must();
        t.seminfo_of(id, -1, (SEM_INFO, "SEM_INFO")).must();
    }
}

fn seminfo_with_a_negative_id_is_einval(t: &Stage) {
    t.seminfo_of(-1, 0, (IPC_INFO, "IPC_INFO")).fails(EINVAL);
    t.seminfo_of(i32::MIN, 0, (SEM_INFO, "SEM_INFO"))
        .fails(EINVAL);
}

fn semusage_counts_sets_and_semaphores(t: &Stage) {
    let sizes = [1, 10, 32000];
    for nsems in sizes {
        t.semget(libc::IPC_PRIVATE, nsems, 0o600).must();
    }
    let usage = t.semusage().must().1;
    assert_eq!((usage.semusz, usage.semaem), (3, 32011));
    assert_eq!(
        (usage.semmni, usage.semmns, usage.semvmx),
        (32000, 1_024_000_000, 32767)
    );
}

fn semusage_falls_with_removal(t: &Stage) {
    let sets = [t.set_of(&[0; 5]), t.set_of(&[0; 7])];
    t.semrm(sets[0]).must();
    let (highest, usage) = t.semusage().must();
    assert_eq!((highest, usage.semusz, usage.semaem), (1, 1, 7));
}

fn seminfo_into_a_bad_pointer_is_efault(t: &Stage) {
    for area in bad_pointers() {
        t.semctl_at(0, 0, IPC_INFO, &area).fails(EFAULT);
        t.semctl_at(0, 0, SEM_INFO, &area).fails(EFAULT);
    }
    let size = size_of::<libc::seminfo>();
    t.semctl_at(0, 0, IPC_INFO, &Area::new(size)).must();
    t.semctl_at(0, 0, IPC_INFO, &Area::new(size - 1))
        .fails(EFAULT);
    t.semctl_at(-1, 0, IPC_INFO, &Area::null()).fails(EINVAL);
}

fn seminfo_needs_no_permission(t: &Stage) {
    t.set_of(&[0; 3]);
    become_user(ANN, ANN, &[]);
    assert_eq!(t.seminfo().must().0, 0);
    assert_eq!(t.semusage().must().1.semaem, 3);
}

fn unknown_semctl_commands_are_einval(t: &Stage) {
    let set = t.set_of(&[0]);
    let known = [
        IPC_RMID,
        IPC_SET,
        IPC_STAT,
        IPC_INFO,
        SEM_STAT,
        SEM_INFO,
        SEM_STAT_ANY,
        GETVAL,
        GETALL,
        GETPID,
        GETNCNT,
        GETZCNT,
        SETVAL,
        SETALL,
    ];
    let commands = (0..40).chain([100, 1000, i32::MAX, -1, i32::MIN, IPC_STAT | 0x100]);
    for cmd in commands.filter(|cmd| !known.contains(cmd)) {
        t.semctl_at(set.0, 0, cmd, &Area::new(200)).fails(EINVAL);
        t.semctl_at(set.0, 0, cmd, &Area::null()).fails(EINVAL);
    }
    t.semstat(set).must();
}

fn queue_commands_are_no_set_commands(t: &Stage) {
    let queue = t.private();
    let set = t.set_of(&[0]);
    assert_eq!(queue.0, set.0);
    t.semctl_at(set.0, 0, libc::MSG_STAT, &Area::new(200))
        .must();
    // MSG_STAT is GETPID here: the id spaces and the commands are apart.
    t.semop(set, &[op(0, 1)]).must();
    assert_eq!(t.getpid(set, 0).must(), own_pid());
    t.remove(queue).must();
    let child = sleeper(t, "sleeper", Set(set.0), &[op(0, -2)]);
    t.semop(set, &[op(0, 1)]).must();
    t.join(child);
}
