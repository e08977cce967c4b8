//! `semctl`: `GETVAL`, `SETVAL`, `GETALL`, `SETALL`, and who is refused what, in which order.

use crate::memory::{Area, bad_pointers};
use crate::process::become_user;
use crate::scenarios::{ANN, Scenario, table};
use crate::sem::{Set, op, zero};
use crate::semcall;
use crate::stage::Stage;
use libc::{
    EACCES, EFAULT, EINVAL, ERANGE, GETALL, GETNCNT, GETPID, GETVAL, GETZCNT, IPC_RMID, IPC_STAT,
    SETALL, SETVAL,
};

pub(super) const ALL: &[Scenario] = table![
    setval_sets_what_getval_gets,
    setval_out_of_range_is_erange,
    setval_range_is_checked_before_the_id,
    setval_of_a_bad_number_is_einval,
    setval_checks_the_number_before_permission needs_root,
    setval_looks_at_the_lower_half_of_its_argument,
    getval_of_a_bad_number_is_einval,
    counts_and_pids_of_a_bad_number_are_einval,
    get_commands_check_permission_before_the_number needs_root,
    setall_sets_what_getall_gets,
    setall_out_of_range_is_erange_and_sets_nothing,
    setall_ignores_the_semaphore_number,
    getall_ignores_the_semaphore_number,
    getall_of_one_semaphore,
    getall_of_a_thousand_semaphores,
    getall_of_32000_semaphores,
    getall_writes_no_more_than_the_set_has,
    getall_into_a_bad_pointer_is_efault,
    getall_into_too_little_is_efault,
    getall_into_read_only_memory_is_efault,
    setall_from_a_bad_pointer_is_efault_and_sets_nothing,
    setall_from_too_little_is_efault_and_sets_nothing,
    setall_from_read_only_memory_works,
    setall_checks_permission_before_the_pointer needs_root,
    setall_checks_the_pointer_before_the_range,
    values_of_bad_ids_are_einval,
    negative_ids_are_einval_before_the_range,
    setval_stamps_the_change_not_the_operation,
    setall_stamps_the_change_not_the_operation,
    setval_that_wakes_stamps_the_operation_too,
    setall_that_wakes_stamps_the_operation_too,
    semop_stamps_the_operation_not_the_change,
    failed_semop_stamps_nothing,
    wait_for_zero_stamps_the_operation,
    sleeper_stamps_when_it_goes_on,
    getters_stamp_nothing,
    command_argument_is_not_looked_at_by_getters,
];

fn setval_sets_what_getval_gets(t: &Stage) {
    let set = t.set_of(&[0, 0]);
    for value in [0, 1, 255, 256, 32766, 32767] {
        assert_eq!(t.setval(set, 1, value).must(), 0);
        assert_eq!(t.getval(set, 1).must(), value);
        assert_eq!(t.getval(set, 0).must(), 0);
    }
}

fn setval_out_of_range_is_erange(t: &Stage) {
    let set = t.set_of(&[7]);
    for value in [32768, 65535, 65536, i32::MAX, -1, i32::MIN] {
        t.setval(set, 0, value).fails(ERANGE);
    }
    t.holds(set, &[7]);
}

fn setval_range_is_checked_before_the_id(t: &Stage) {
    let set = t.set_of(&[7]);
    t.setval(Set(77), 0, 32768).fails(ERANGE);
    t.setval(set, 9, -1).fails(ERANGE);
    t.setval(Set(77), 0, 1).fails(EINVAL);
}

fn setval_of_a_bad_number_is_einval(t: &Stage) {
    let set = t.set_of(&[0, 0]);
    for num in [2, 3, 32000, 65536, i32::MAX, -1, i32::MIN] {
        t.setval(set, num, 1).fails(EINVAL);
    }
    t.holds(set, &[0, 0]);
}

fn setval_checks_the_number_before_permission(t: &Stage) {
    let set = t.set_of(&[0]);
    become_user(ANN, ANN, &[]);
    t.setval(set, 1, 1).fails(EINVAL);
    t.setval(set, 0, 1).fails(EACCES);
    t.setval(set, 0, 40000).fails(ERANGE);
}

fn setval_looks_at_the_lower_half_of_its_argument(t: &Stage) {
    let set = t.set_of(&[0]);
    // A pointer-sized argument whose lower half is zero: the address of the middle of nowhere.
    let area = Area::kernel_half();
    t.semctl_at(set.0, 0, SETVAL, &area).must();
    t.holds(set, &[0]);
}

fn getval_of_a_bad_number_is_einval(t: &Stage) {
    let set = t.set_of(&[0, 0]);
    for num in [2, 3, 32000, 65536, i32::MAX, -1, i32::MIN] {
        t.getval(set, num).fails(EINVAL);
    }
}

fn counts_and_pids_of_a_bad_number_are_einval(t: &Stage) {
    let set = t.set_of(&[0, 0]);
    for num in [2, 65536, -1] {
        t.getncnt(set, num).fails(EINVAL);
        t.getzcnt(set, num).fails(EINVAL);
        t.getpid(set, num).fails(EINVAL);
    }
}

fn get_commands_check_permission_before_the_number(t: &Stage) {
    let set = t.set_of(&[0]);
    become_user(ANN, ANN, &[]);
    for cmd in [GETVAL, GETPID, GETNCNT, GETZCNT] {
        t.semctl(set.0, 0, (cmd, "GET"), 0).fails(EACCES);
        t.semctl(set.0, 5, (cmd, "GET"), 0).fails(EACCES);
    }
    t.semctl_at(set.0, 0, GETALL, &Area::null()).fails(EACCES);
}

fn setall_sets_what_getall_gets(t: &Stage) {
    let set = t.set_of(&[0; 5]);
    for values in [[1, 2, 3, 4, 5], [0, 32767, 0, 32767, 1], [0; 5]] {
        assert_eq!(t.setall(set, &values).must(), 0);
        t.holds(set, &values);
    }
}

fn setall_out_of_range_is_erange_and_sets_nothing(t: &Stage) {
    let set = t.set_of(&[1, 2, 3]);
    t.setall(set, &[4, 5, 32768]).fails(ERANGE);
    t.setall(set, &[65535, 5, 6]).fails(ERANGE);
    t.holds(set, &[1, 2, 3]);
}

fn setall_ignores_the_semaphore_number(t: &Stage) {
    let set = t.set_of(&[0, 0]);
    for num in [1, 99, -1] {
        assert_eq!(semcall::setall(set.0, num, &[3, 4]), Ok(0));
    }
    t.holds(set, &[3, 4]);
}

fn getall_ignores_the_semaphore_number(t: &Stage) {
    let set = t.set_of(&[3, 4]);
    for num in [1, 99, -1] {
        assert_eq!(semcall::getall(set.0, num, 2), Ok(vec![3, 4]));
    }
    t.holds(set, &[3, 4]);
}

fn getall_of_one_semaphore(t: &Stage) {
    let set = t.set_of(&[4321]);
    t.holds(set, &[4321]);
}

fn getall_of_a_thousand_semaphores(t: &Stage) {
    for nsems in [256_u16, 257, 1000, 1025] {
        let values: Vec<u16> = (0..nsems).map(|num| num * 31 % 32768).collect();
        let set = t.set_of(&values);
        t.holds(set, &values);
    }
}

fn getall_of_32000_semaphores(t: &Stage) {
    let values: Vec<u16> = (0..32000).collect();
    let set = t.set_of(&values);
    t.holds(set, &values);
    assert_eq!(t.getval(set, 31999).must(), 31999);
    t.setval(set, 31999, 0).must();
    assert_eq!(t.getall(set, 32000).must()[31998..], [31998, 0]);
}

fn getall_writes_no_more_than_the_set_has(t: &Stage) {
    let set = t.set_of(&[1, 2, 3]);
    let area = Area::new(10);
    t.semctl_at(set.0, 0, GETALL, &area).must();
    assert_eq!(area.bytes(), [1, 0, 2, 0, 3, 0, 0, 0, 0, 0]);
    // Directly before inaccessible memory: there is room for three and no more.
    t.semctl_at(set.0, 0, GETALL, &Area::new(6)).must();
}

fn getall_into_a_bad_pointer_is_efault(t: &Stage) {
    let set = t.set_of(&[1, 2, 3]);
    for area in bad_pointers() {
        t.semctl_at(set.0, 0, GETALL, &area).fails(EFAULT);
        t.semctl_at(77, 0, GETALL, &area).fails(EINVAL);
    }
}

fn getall_into_too_little_is_efault(t: &Stage) {
    let set = t.set_of(&[1, 2, 3]);
    t.semctl_at(set.0, 0, GETALL, &Area::new(5)).fails(EFAULT);
    let large = t.set_of(&[1; 5000]);
    t.semctl_at(large.0, 0, GETALL, &Area::new(9999))
        .fails(EFAULT);
    t.semctl_at(large.0, 0, GETALL, &Area::new(10000)).must();
}

fn getall_into_read_only_memory_is_efault(t: &Stage) {
    let set = t.set_of(&[1, 2, 3]);
    t.semctl_at(set.0, 0, GETALL, &Area::new(6).read_only())
        .fails(EFAULT);
}

fn setall_from_a_bad_pointer_is_efault_and_sets_nothing(t: &Stage) {
    let set = t.set_of(&[1, 2, 3]);
    let before = t.semstat(set).must();
    for area in bad_pointers() {
        t.semctl_at(set.0, 0, SETALL, &area).fails(EFAULT);
        t.semctl_at(77, 0, SETALL, &area).fails(EINVAL);
    }
    t.holds(set, &[1, 2, 3]);
    assert_eq!(t.semstat(set).must(), before);
}

fn setall_from_too_little_is_efault_and_sets_nothing(t: &Stage) {
    let set = t.set_of(&[1, 2, 3]);
    t.semctl_at(set.0, 0, SETALL, &Area::new(5)).fails(EFAULT);
    t.holds(set, &[1, 2, 3]);
    t.semctl_at(set.0, 0, SETALL, &Area::new(6)).must();
    t.holds(set, &[0, 0, 0]);
}

fn setall_from_read_only_memory_works(t: &Stage) {
    let set = t.set_of(&[0, 0]);
    let area = Area::new(4);
    area.write(0, &[7, 0, 8, 0]);
    t.semctl_at(set.0, 0, SETALL, &area.read_only()).must();
    t.holds(set, &[7, 8]);
}

fn setall_checks_permission_before_the_pointer(t: &Stage) {
    let set = t.set_of(&[0]);
    t.semchange(set, |stat| stat.mode = 0o644).must();
    become_user(ANN, ANN, &[]);
    t.semctl_at(set.0, 0, SETALL, &Area::null()).fails(EACCES);
    t.setall(set, &[40000]).fails(EACCES);
    t.semctl_at(set.0, 0, GETALL, &Area::null()).fails(EFAULT);
}

fn setall_checks_the_pointer_before_the_range(t: &Stage) {
    let set = t.set_of(&[0; 4]);
    let area = Area::new(4);
    area.write(0, &[0xff; 4]);
    t.semctl_at(set.0, 0, SETALL, &area).fails(EFAULT);
}

fn values_of_bad_ids_are_einval(t: &Stage) {
    let set = t.set_of(&[0]);
    let removed = t.set_of(&[0]);
    t.semrm(removed).must();
    for id in [removed.0, 77, 32768 + set.0, -1, i32::MIN] {
        for cmd in [GETVAL, GETPID, GETNCNT, GETZCNT, SETVAL, IPC_RMID] {
            t.semctl(id, 0, (cmd, "any"), 0).fails(EINVAL);
        }
        for cmd in [GETALL, SETALL, IPC_STAT] {
            t.semctl_at(id, 0, cmd, &Area::new(200)).fails(EINVAL);
        }
    }
}

fn negative_ids_are_einval_before_the_range(t: &Stage) {
    t.setval(Set(-1), 0, 40000).fails(EINVAL);
    t.setval(Set(i32::MIN), 0, -1).fails(EINVAL);
    t.semctl_at(-1, 0, libc::IPC_SET, &Area::null())
        .fails(EINVAL);
}

/// Which stamps move within a call, a second or more after the last: operation, change.
fn stamps(t: &Stage, set: Set, call: impl FnOnce()) -> (bool, bool) {
    let before = t.semstat(set).must();
    t.next_second();
    call();
    let after = t.semstat(set).must();
    (after.otime > before.otime, after.ctime > before.ctime)
}

fn setval_stamps_the_change_not_the_operation(t: &Stage) {
    let set = t.set_of(&[0]);
    let call = || assert_eq!(t.setval(set, 0, 0).must(), 0);
    assert_eq!(stamps(t, set, call), (false, true));
    assert_eq!(t.semstat(set).must().otime, 0);
}

fn setall_stamps_the_change_not_the_operation(t: &Stage) {
    let set = t.set_of(&[0]);
    let call = || assert_eq!(t.setall(set, &[0]).must(), 0);
    assert_eq!(stamps(t, set, call), (false, true));
}

fn setval_that_wakes_stamps_the_operation_too(t: &Stage) {
    let set = t.set_of(&[0]);
    let child = super::blocking::sleeper(t, "sleeper", set, &[op(0, -1)]);
    let call = || assert_eq!(t.setval(set, 0, 1).must(), 0);
    assert_eq!(stamps(t, set, call), (true, true));
    t.join(child);
}

fn setall_that_wakes_stamps_the_operation_too(t: &Stage) {
    let set = t.set_of(&[1]);
    let child = super::blocking::sleeper(t, "sleeper", set, &[zero(0)]);
    let call = || assert_eq!(t.setall(set, &[0]).must(), 0);
    assert_eq!(stamps(t, set, call), (true, true));
    t.join(child);
}

fn semop_stamps_the_operation_not_the_change(t: &Stage) {
    let set = t.set_of(&[0]);
    let call = || t.semop(set, &[op(0, 1)]).must();
    assert_eq!(stamps(t, set, call), (true, false));
}

fn failed_semop_stamps_nothing(t: &Stage) {
    let set = t.set_of(&[0]);
    let call = || {
        t.semop(set, &[op(0, -1).nowait()]).fails(libc::EAGAIN);
        t.semop(set, &[op(0, 1), op(0, 32767)]).fails(ERANGE);
        t.semop(set, &[op(3, 1)]).fails(libc::EFBIG);
    };
    assert_eq!(stamps(t, set, call), (false, false));
}

fn wait_for_zero_stamps_the_operation(t: &Stage) {
    let set = t.set_of(&[0]);
    let call = || t.semop(set, &[zero(0)]).must();
    assert_eq!(stamps(t, set, call), (true, false));
}

fn sleeper_stamps_when_it_goes_on(t: &Stage) {
    let set = t.set_of(&[0]);
    let child = super::blocking::sleeper(t, "sleeper", set, &[op(0, -1)]);
    assert_eq!(t.semstat(set).must().otime, 0);
    let call = || t.semop(set, &[op(0, 1)]).must();
    assert_eq!(stamps(t, set, call), (true, false));
    t.join(child);
}

fn getters_stamp_nothing(t: &Stage) {
    let set = t.set_of(&[3]);
    let call = || {
        t.getval(set, 0).must();
        t.holds(set, &[3]);
        t.awaited(set, 0, 0, 0);
        t.getpid(set, 0).must();
        t.semstat_at(set.index()).must();
        t.setval(set, 0, -1).fails(ERANGE);
    };
    assert_eq!(stamps(t, set, call), (false, false));
}

fn command_argument_is_not_looked_at_by_getters(t: &Stage) {
    let set = t.set_of(&[3]);
    for area in bad_pointers() {
        for (cmd, answer) in [(GETVAL, 3), (GETNCNT, 0), (GETZCNT, 0)] {
            assert_eq!(t.semctl_at(set.0, 0, cmd, &area).must(), answer);
        }
    }
    t.semctl_at(set.0, 0, IPC_RMID, &Area::unmapped()).must();
}
