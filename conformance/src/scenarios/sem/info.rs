//! `semctl`: `IPC_INFO`, `SEM_INFO`, and commands that do not exist.

use super::blocking::sleeper;
use crate::memory::{Area, bad_pointers};
use crate::process::{become_user, own_pid};
use crate::scenarios::{ANN, Scenario, table};
use crate::sem::{Set, op};
use crate::stage::Stage;
use libc::{
    EFAULT, EINVAL, GETALL, GETNCNT, GETPID, GETVAL, GETZCNT, IPC_INFO, IPC_RMID, IPC_SET,
    IPC_STAT, SEM_INFO, SEM_STAT, SEM_STAT_ANY, SETALL, SETVAL,
};

pub(super) const ALL: &[Scenario] = table![
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
