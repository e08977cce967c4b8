//! `msgctl`: bad pointers and unknown commands.

use crate::memory::{Area, bad_pointers};
use crate::msg::MSG_STAT_ANY;
use crate::process::become_user;
use crate::scenarios::{Scenario, table};
use crate::stage::Stage;
use libc::{
    EACCES, EFAULT, EINVAL, EPERM, IPC_INFO, IPC_PRIVATE, IPC_RMID, IPC_SET, IPC_STAT, MSG_INFO,
    MSG_STAT,
};

pub(super) const ALL: &[Scenario] = table![
    stat_into_a_bad_pointer_is_efault,
    stat_into_one_byte_too_few_is_efault,
    stat_of_a_bad_id_ignores_the_pointer,
    stat_without_permission_ignores_the_pointer needs_root,
    set_from_a_bad_pointer_is_efault_before_all_else needs_root,
    set_from_read_only_memory_works,
    info_into_a_bad_pointer_is_efault,
    unknown_commands_are_einval,
    negative_commands_are_einval,
    ipc_64_is_no_command_flag,
];

fn stat_into_a_bad_pointer_is_efault(t: &Stage) {
    let queue = t.private();
    for area in bad_pointers() {
        t.ctl(queue.0, IPC_STAT, &area).fails(EFAULT);
        t.ctl(queue.index(), MSG_STAT, &area).fails(EFAULT);
        t.ctl(queue.index(), MSG_STAT_ANY, &area).fails(EFAULT);
    }
    t.ctl(queue.0, IPC_STAT, &Area::new(200).read_only())
        .fails(EFAULT);
}

fn stat_into_one_byte_too_few_is_efault(t: &Stage) {
    let queue = t.private();
    let size = size_of::<libc::msqid_ds>();
    t.ctl(queue.0, IPC_STAT, &Area::new(size)).must();
    t.ctl(queue.0, IPC_STAT, &Area::new(size - 1)).fails(EFAULT);
    t.ctl(queue.0, IPC_SET, &Area::new(size - 1)).fails(EFAULT);
}

fn stat_of_a_bad_id_ignores_the_pointer(t: &Stage) {
    for area in bad_pointers() {
        t.ctl(77, IPC_STAT, &area).fails(EINVAL);
        t.ctl(-1, IPC_STAT, &area).fails(EINVAL);
        t.ctl(77, MSG_STAT, &area).fails(EINVAL);
    }
}

fn stat_without_permission_ignores_the_pointer(t: &Stage) {
    let queue = t.private();
    become_user(1000, 1000, &[]);
    t.ctl(queue.0, IPC_STAT, &Area::null()).fails(EACCES);
    t.ctl(queue.index(), MSG_STAT, &Area::null()).fails(EACCES);
    t.ctl(queue.index(), MSG_STAT_ANY, &Area::null())
        .fails(EFAULT);
}

fn set_from_a_bad_pointer_is_efault_before_all_else(t: &Stage) {
    let queue = t.get(IPC_PRIVATE, 0o666).must();
    for area in bad_pointers() {
        t.ctl(queue.0, IPC_SET, &area).fails(EFAULT);
        t.ctl(77, IPC_SET, &area).fails(EFAULT);
        t.ctl(-1, IPC_SET, &area).fails(EINVAL);
    }
    become_user(1000, 1000, &[]);
    t.ctl(queue.0, IPC_SET, &Area::null()).fails(EFAULT);
    t.ctl(queue.0, IPC_SET, &Area::new(size_of::<libc::msqid_ds>()))
        .fails(EPERM);
}

fn set_from_read_only_memory_works(t: &Stage) {
    let queue = t.private();
    let area = Area::new(size_of::<libc::msqid_ds>());
    t.ctl(queue.0, IPC_STAT, &area).must();
    t.ctl(queue.0, IPC_SET, &area.read_only()).must();
}

fn info_into_a_bad_pointer_is_efault(t: &Stage) {
    for area in bad_pointers() {
        t.ctl(0, IPC_INFO, &area).fails(EFAULT);
        t.ctl(0, MSG_INFO, &area).fails(EFAULT);
    }
    let size = size_of::<libc::msginfo>();
    t.ctl(0, IPC_INFO, &Area::new(size)).must();
    t.ctl(0, IPC_INFO, &Area::new(size - 1)).fails(EFAULT);
    t.ctl(-1, IPC_INFO, &Area::null()).fails(EINVAL);
}

fn unknown_commands_are_einval(t: &Stage) {
    let queue = t.private();
    let known = [
        IPC_RMID,
        IPC_SET,
        IPC_STAT,
        IPC_INFO,
        MSG_STAT,
        MSG_INFO,
        MSG_STAT_ANY,
    ];
    for cmd in (0..40)
        .chain([100, 1000, 0x7fff_ffff])
        .filter(|cmd| !known.contains(cmd))
    {
        t.ctl(queue.0, cmd, &Area::new(200)).fails(EINVAL);
        t.ctl(queue.0, cmd, &Area::null()).fails(EINVAL);
    }
    t.stat(queue).must();
}

fn negative_commands_are_einval(t: &Stage) {
    let queue = t.private();
    for cmd in [-1, i32::MIN, IPC_STAT | i32::MIN] {
        t.ctl(queue.0, cmd, &Area::new(200)).fails(EINVAL);
    }
}

fn ipc_64_is_no_command_flag(t: &Stage) {
    let queue = t.private();
    for cmd in [IPC_STAT, IPC_SET, IPC_RMID, IPC_INFO] {
        t.ctl(queue.0, cmd | 0x100, &Area::new(200)).fails(EINVAL);
    }
    t.stat(queue).must();
}
