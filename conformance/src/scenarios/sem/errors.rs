//! `semop`, `semtimedop`: bad pointers, bad ids, and which error comes first.

use crate::memory::{Area, bad_pointers};
use crate::process::become_user;
use crate::scenarios::{ANN, Scenario, table};
use crate::sem::{Set, area_of, op, zero};
use crate::stage::Stage;
use libc::{E2BIG, EACCES, EAGAIN, EFAULT, EFBIG, EINVAL, ERANGE};

pub(super) const ALL: &[Scenario] = table![
    semop_from_a_bad_pointer_is_efault,
    semop_from_half_an_array_is_efault,
    semop_across_pages_works,
    semop_from_read_only_memory_works,
    semop_from_odd_addresses_works,
    semop_that_faults_leaves_no_trace,
    semop_checks_the_size_before_the_pointer,
    semop_checks_the_pointer_before_the_id,
    semop_on_negative_ids_is_einval,
    semop_on_ids_of_nobody_is_einval,
    semop_checks_the_id_before_the_numbers,
    semop_checks_the_numbers_before_permission needs_root,
    semop_checks_permission_before_values needs_root,
    undo_on_a_bad_id_is_einval,
    semtimedop_from_a_bad_timeout_is_efault,
    semtimedop_from_half_a_timeout_is_efault,
    semtimedop_checks_the_timeout_pointer_first_of_all,
    semtimedop_with_a_null_timeout_waits_as_semop,
    invalid_timeouts_are_einval,
    invalid_timeout_is_refused_though_nobody_waits,
    invalid_timeout_is_judged_after_the_ops_pointer,
    semop_memory_taken_away_after_use_is_efault,
];

fn semop_from_a_bad_pointer_is_efault(t: &Stage) {
    let set = t.set_of(&[0]);
    for area in bad_pointers() {
        t.semop_from(set, &area, 1).fails(EFAULT);
        t.semop_from(set, &area, 500).fails(EFAULT);
    }
}

fn semop_from_half_an_array_is_efault(t: &Stage) {
    let set = t.set_of(&[0]);
    for len in [1, 5] {
        t.semop_from(set, &Area::new(len), 1).fails(EFAULT);
    }
    let one = area_of(&[op(0, 1)]);
    t.semop_from(set, &one, 2).fails(EFAULT);
    t.semop_from(set, &one, 100).fails(EFAULT);
    t.holds(set, &[0]);
    t.semop_from(set, &one, 1).must();
    t.holds(set, &[1]);
}

fn semop_across_pages_works(t: &Stage) {
    let set = t.set_of(&[0]);
    // 3000 bytes of ops in an area of 5000: they begin in its first page and end in its second.
    let area = Area::new(5000);
    let ops: Vec<u8> = (0..500).flat_map(|_| op(0, 1).bytes()).collect();
    area.write(0, &ops);
    t.semop_from(set, &area, 500).must();
    t.holds(set, &[500]);
}

fn semop_from_read_only_memory_works(t: &Stage) {
    let set = t.set_of(&[0]);
    t.semop_from(set, &area_of(&[op(0, 2)]).read_only(), 1)
        .must();
    t.holds(set, &[2]);
}

fn semop_from_odd_addresses_works(t: &Stage) {
    let set = t.set_of(&[0]);
    for odd in 1..8 {
        let area = Area::new(6 + odd);
        area.write(0, &op(0, 1).bytes());
        t.semop_from(set, &area, 1).must();
    }
    t.holds(set, &[7]);
}

fn semop_that_faults_leaves_no_trace(t: &Stage) {
    let set = t.set_of(&[0]);
    t.semop_from(set, &area_of(&[op(0, 1)]), 2).fails(EFAULT);
    assert_eq!(t.semstat(set).must().otime, 0);
    assert_eq!(t.getpid(set, 0).must(), 0);
}

fn semop_checks_the_size_before_the_pointer(t: &Stage) {
    let set = t.set_of(&[0]);
    for area in bad_pointers() {
        t.semop_from(set, &area, 0).fails(EINVAL);
        t.semop_from(set, &area, 501).fails(E2BIG);
        t.semop_from(Set(77), &area, 501).fails(E2BIG);
        t.semop_from(Set(-1), &area, 501).fails(E2BIG);
        t.semop_from(set, &area, usize::from(u16::MAX) + 1)
            .fails(E2BIG);
    }
}

fn semop_checks_the_pointer_before_the_id(t: &Stage) {
    for area in bad_pointers() {
        t.semop_from(Set(77), &area, 1).fails(EFAULT);
        t.semop_from(Set(-1), &area, 1).fails(EFAULT);
    }
}

fn semop_on_negative_ids_is_einval(t: &Stage) {
    t.set_of(&[0]);
    for id in [-1, -2, -32768, i32::MIN] {
        t.semop(Set(id), &[op(0, 1)]).fails(EINVAL);
        t.semop(Set(id), &[op(0, 1).undo()]).fails(EINVAL);
    }
}

fn semop_on_ids_of_nobody_is_einval(t: &Stage) {
    let set = t.set_of(&[0]);
    for id in [1, 77, 32767, 32768, i32::MAX] {
        t.semop(Set(id), &[op(0, 1)]).fails(EINVAL);
    }
    t.semrm(set).must();
    t.semop(set, &[op(0, 1)]).fails(EINVAL);
}

fn semop_checks_the_id_before_the_numbers(t: &Stage) {
    t.semop(Set(77), &[op(5000, 1)]).fails(EINVAL);
    t.semop(Set(-1), &[op(5000, 1)]).fails(EINVAL);
}

fn semop_checks_the_numbers_before_permission(t: &Stage) {
    let set = t.set_of(&[0]);
    become_user(ANN, ANN, &[]);
    t.semop(set, &[op(1, 1)]).fails(EFBIG);
    t.semop(set, &[op(0, 1)]).fails(EACCES);
}

fn semop_checks_permission_before_values(t: &Stage) {
    let set = t.set_of(&[32767]);
    become_user(ANN, ANN, &[]);
    t.semop(set, &[op(0, 1)]).fails(EACCES);
    t.semop(set, &[zero(0).nowait()]).fails(EACCES);
    t.semop(set, &[op(0, i16::MIN).nowait()]).fails(EACCES);
    t.semop(set, &[op(0, 1).undo()]).fails(EACCES);
}

fn undo_on_a_bad_id_is_einval(t: &Stage) {
    let set = t.set_of(&[0]);
    t.semop(Set(77), &[op(0, 1).undo()]).fails(EINVAL);
    t.semrm(set).must();
    t.semop(set, &[op(0, 1).undo()]).fails(EINVAL);
}

/// A `struct timespec`.
fn timeout(sec: i64, nsec: i64) -> Area {
    let area = Area::new(16);
    area.write(0, &sec.to_ne_bytes());
    area.write(8, &nsec.to_ne_bytes());
    area
}

fn semtimedop_from_a_bad_timeout_is_efault(t: &Stage) {
    let set = t.set_of(&[1]);
    let ops = area_of(&[op(0, -1)]);
    for area in [Area::unmapped(), Area::kernel_half()] {
        t.semtimedop_from(set, &ops, 1, &area).fails(EFAULT);
    }
    t.holds(set, &[1]);
}

fn semtimedop_from_half_a_timeout_is_efault(t: &Stage) {
    let set = t.set_of(&[1]);
    let ops = area_of(&[op(0, -1)]);
    for len in [1, 8, 15] {
        t.semtimedop_from(set, &ops, 1, &Area::new(len))
            .fails(EFAULT);
    }
    t.semtimedop_from(set, &ops, 1, &Area::new(16)).must();
}

fn semtimedop_checks_the_timeout_pointer_first_of_all(t: &Stage) {
    let (bad, ops) = (Area::unmapped(), area_of(&[op(0, 1)]));
    let set = t.set_of(&[0]);
    t.semtimedop_from(set, &ops, 501, &bad).fails(EFAULT);
    t.semtimedop_from(set, &ops, 0, &bad).fails(EFAULT);
    t.semtimedop_from(Set(77), &ops, 1, &bad).fails(EFAULT);
    t.semtimedop_from(Set(-1), &ops, 1, &bad).fails(EFAULT);
    t.holds(set, &[0]);
}

fn semtimedop_with_a_null_timeout_waits_as_semop(t: &Stage) {
    let set = t.set_of(&[0]);
    let ops = area_of(&[op(0, -1)]);
    let child = t.spawn("sleeper", |t| {
        t.semtimedop_from(set, &ops, 1, &Area::null()).must();
    });
    t.wait_blocked(&child);
    t.semop(set, &[op(0, 1)]).must();
    t.join(child);
}

fn invalid_timeouts_are_einval(t: &Stage) {
    let set = t.set_of(&[0]);
    let ops = area_of(&[op(0, -1)]);
    for (sec, nsec) in [
        (-1, 0),
        (i64::MIN, 0),
        (0, -1),
        (0, 1_000_000_000),
        (1, i64::MAX),
        (1, i64::MIN),
    ] {
        t.semtimedop_from(set, &ops, 1, &timeout(sec, nsec))
            .fails(EINVAL);
    }
    t.semtimedop_from(set, &ops, 1, &timeout(0, 999_999))
        .fails(EAGAIN);
}

fn invalid_timeout_is_refused_though_nobody_waits(t: &Stage) {
    let set = t.set_of(&[0]);
    let bad = timeout(0, 1_000_000_000);
    t.semtimedop_from(set, &area_of(&[op(0, 1)]), 1, &bad)
        .fails(EINVAL);
    t.semtimedop_from(set, &area_of(&[op(0, -1).nowait()]), 1, &bad)
        .fails(EINVAL);
    t.holds(set, &[0]);
}

fn invalid_timeout_is_judged_after_the_ops_pointer(t: &Stage) {
    let set = t.set_of(&[32767]);
    let bad = timeout(-1, 0);
    for area in bad_pointers() {
        t.semtimedop_from(set, &area, 1, &bad).fails(EFAULT);
        t.semtimedop_from(set, &area, 501, &bad).fails(E2BIG);
    }
    // What depends on the set comes later.
    t.semtimedop_from(set, &area_of(&[op(9, 1)]), 1, &bad)
        .fails(EINVAL);
    t.semtimedop_from(set, &area_of(&[op(9, 1)]), 1, &timeout(0, 0))
        .fails(EFBIG);
    t.semtimedop_from(set, &area_of(&[op(0, 1)]), 1, &timeout(0, 0))
        .fails(ERANGE);
}

fn semop_memory_taken_away_after_use_is_efault(t: &Stage) {
    let set = t.set_of(&[0]);
    let area = area_of(&[op(0, 1)]);
    for _ in 0..3 {
        t.semop_from(set, &area, 1).must();
    }
    area.withdraw();
    t.semop_from(set, &area, 1).fails(EFAULT);
    t.holds(set, &[3]);
}
