//! `semop` that need not wait: values, arrays, all or nothing.

use crate::scenarios::{Scenario, table};
use crate::sem::{Op, SEMVMX, op, zero};
use crate::stage::Stage;
use libc::{E2BIG, EAGAIN, EFBIG, EINVAL, ERANGE};

pub(super) const ALL: &[Scenario] = table![
    up_and_down_change_the_value,
    ops_of_any_size_change_the_value,
    wait_for_zero_at_zero_changes_nothing,
    down_below_zero_would_wait,
    nonzero_value_would_make_zero_wait,
    array_touches_several_semaphores,
    array_sees_its_own_earlier_ops,
    array_that_borrows_from_a_later_op_would_wait,
    array_is_applied_in_order_on_one_semaphore,
    array_may_wait_for_zero_after_its_own_down,
    array_waits_for_zero_before_its_own_up,
    array_cannot_wait_for_zero_after_its_own_up,
    array_that_would_wait_leaves_everything,
    array_that_fails_at_its_last_op_leaves_everything,
    array_passes_through_high_values_only_if_in_range,
    array_may_touch_one_semaphore_many_times,
    nowait_of_the_op_that_would_wait_counts,
    nowait_is_judged_at_each_ops_turn,
    highest_value_is_32767,
    value_above_32767_is_erange,
    lowest_op_never_succeeds,
    range_error_comes_before_a_later_wait,
    wait_comes_before_a_later_range_error,
    array_of_semopm_ops_works,
    array_above_semopm_is_e2big,
    empty_array_is_einval,
    semaphore_number_beyond_the_set_is_efbig,
    semaphore_number_far_beyond_is_efbig,
    number_beyond_is_efbig_wherever_it_stands,
    sixty_five_semaphores_apart_are_different,
    unknown_op_flags_are_ignored,
    op_on_the_last_of_32000_semaphores,
    one_op_array_may_hold_all_kinds,
];

fn up_and_down_change_the_value(t: &Stage) {
    let set = t.set_of(&[0]);
    t.semop(set, &[op(0, 1)]).must();
    t.semop(set, &[op(0, 1)]).must();
    t.holds(set, &[2]);
    t.semop(set, &[op(0, -1)]).must();
    t.holds(set, &[1]);
}

fn ops_of_any_size_change_the_value(t: &Stage) {
    let set = t.set_of(&[0]);
    for (change, value) in [(1000, 1000), (-999, 1), (32766, 32767), (-32767, 0)] {
        t.semop(set, &[op(0, change)]).must();
        assert_eq!(t.getval(set, 0).must(), value);
    }
}

fn wait_for_zero_at_zero_changes_nothing(t: &Stage) {
    let set = t.set_of(&[0, 3]);
    t.semop(set, &[zero(0)]).must();
    t.semop(set, &[zero(0).nowait()]).must();
    t.holds(set, &[0, 3]);
}

fn down_below_zero_would_wait(t: &Stage) {
    let set = t.set_of(&[2]);
    t.semop(set, &[op(0, -3).nowait()]).fails(EAGAIN);
    t.holds(set, &[2]);
    t.semop(set, &[op(0, -2).nowait()]).must();
    t.semop(set, &[op(0, -1).nowait()]).fails(EAGAIN);
    t.holds(set, &[0]);
}

fn nonzero_value_would_make_zero_wait(t: &Stage) {
    let set = t.set_of(&[1]);
    t.semop(set, &[zero(0).nowait()]).fails(EAGAIN);
    t.holds(set, &[1]);
}

fn array_touches_several_semaphores(t: &Stage) {
    let set = t.set_of(&[5, 0, 9, 0]);
    t.semop(set, &[op(2, -4), op(0, 1), zero(1), op(3, 7)])
        .must();
    t.holds(set, &[6, 0, 5, 7]);
}

fn array_sees_its_own_earlier_ops(t: &Stage) {
    let set = t.set_of(&[0]);
    t.semop(set, &[op(0, 5), op(0, -3).nowait()]).must();
    t.holds(set, &[2]);
}

fn array_that_borrows_from_a_later_op_would_wait(t: &Stage) {
    let set = t.set_of(&[0]);
    t.semop(set, &[op(0, -3).nowait(), op(0, 5)]).fails(EAGAIN);
    t.holds(set, &[0]);
}

fn array_is_applied_in_order_on_one_semaphore(t: &Stage) {
    let set = t.set_of(&[3]);
    t.semop(set, &[op(0, -3), zero(0).nowait(), op(0, 1), op(0, 1)])
        .must();
    t.holds(set, &[2]);
}

fn array_may_wait_for_zero_after_its_own_down(t: &Stage) {
    let set = t.set_of(&[4, 0]);
    t.semop(set, &[op(0, -4), zero(0).nowait(), op(1, 1)])
        .must();
    t.holds(set, &[0, 1]);
}

fn array_waits_for_zero_before_its_own_up(t: &Stage) {
    let lock = [zero(0).nowait(), op(0, 1)];
    let set = t.set_of(&[0]);
    t.semop(set, &lock).must();
    t.semop(set, &lock).fails(EAGAIN);
    t.semop(set, &[op(0, -1)]).must();
    t.semop(set, &lock).must();
}

fn array_cannot_wait_for_zero_after_its_own_up(t: &Stage) {
    let set = t.set_of(&[0]);
    t.semop(set, &[op(0, 1), zero(0).nowait()]).fails(EAGAIN);
    t.holds(set, &[0]);
}

fn array_that_would_wait_leaves_everything(t: &Stage) {
    let set = t.set_of(&[1, 1, 0]);
    t.semop(set, &[op(0, -1), op(1, 8), op(2, -1).nowait()])
        .fails(EAGAIN);
    t.holds(set, &[1, 1, 0]);
}

fn array_that_fails_at_its_last_op_leaves_everything(t: &Stage) {
    let set = t.set_of(&[1, 32767]);
    let ops = [op(0, -1), op(0, 3), op(0, -2), op(1, 1)];
    t.semop(set, &ops).fails(ERANGE);
    t.holds(set, &[1, 32767]);
}

fn array_passes_through_high_values_only_if_in_range(t: &Stage) {
    let set = t.set_of(&[32767]);
    t.semop(set, &[op(0, 1), op(0, -1)]).fails(ERANGE);
    t.semop(set, &[op(0, -1), op(0, 1)]).must();
    t.holds(set, &[32767]);
}

fn array_may_touch_one_semaphore_many_times(t: &Stage) {
    let set = t.set_of(&[0, 0]);
    let ops: Vec<Op> = (0..400)
        .map(|i| op(1, if i % 2 == 0 { 3 } else { -2 }))
        .collect();
    t.semop(set, &ops).must();
    t.holds(set, &[0, 200]);
}

fn nowait_of_the_op_that_would_wait_counts(t: &Stage) {
    let set = t.set_of(&[1, 0]);
    // Of two ops, the second cannot go on: only its flag matters.
    t.semop(set, &[op(0, -1), op(1, -1).nowait()]).fails(EAGAIN);
    let child = t.spawn("patient", |t| {
        t.semop(set, &[op(0, -1).nowait(), op(1, -1)]).must()
    });
    t.wait_blocked(&child);
    t.semop(set, &[op(1, 1)]).must();
    t.join(child);
    t.holds(set, &[0, 0]);
}

fn nowait_is_judged_at_each_ops_turn(t: &Stage) {
    let set = t.set_of(&[0, 0]);
    let child = t.spawn("mixed", |t| {
        t.semop(set, &[op(0, -1), op(1, -1).nowait()]).fails(EAGAIN);
    });
    t.wait_blocked(&child);
    // The first op can go on now; the second cannot, and will not wait.
    t.semop(set, &[op(0, 1)]).must();
    t.join(child);
    t.holds(set, &[1, 0]);
}

fn highest_value_is_32767(t: &Stage) {
    let set = t.set_of(&[0]);
    t.semop(set, &[op(0, SEMVMX)]).must();
    t.holds(set, &[32767]);
    t.semop(set, &[op(0, -SEMVMX)]).must();
    t.holds(set, &[0]);
}

fn value_above_32767_is_erange(t: &Stage) {
    let set = t.set_of(&[32767, 1]);
    t.semop(set, &[op(0, 1)]).fails(ERANGE);
    t.semop(set, &[op(1, SEMVMX)]).fails(ERANGE);
    t.semop(set, &[op(0, SEMVMX).nowait()]).fails(ERANGE);
    t.holds(set, &[32767, 1]);
    t.semop(set, &[op(1, SEMVMX - 1)]).must();
}

fn lowest_op_never_succeeds(t: &Stage) {
    let set = t.set_of(&[32767]);
    t.semop(set, &[op(0, i16::MIN).nowait()]).fails(EAGAIN);
    t.semop(set, &[op(0, i16::MIN).nowait().undo()])
        .fails(EAGAIN);
    t.semop(set, &[op(0, i16::MIN + 1).nowait()]).must();
    t.holds(set, &[0]);
}

fn range_error_comes_before_a_later_wait(t: &Stage) {
    let set = t.set_of(&[32767, 0]);
    t.semop(set, &[op(0, 1), op(1, -1).nowait()]).fails(ERANGE);
    t.semop(set, &[op(0, 1), op(1, -1)]).fails(ERANGE);
}

fn wait_comes_before_a_later_range_error(t: &Stage) {
    let set = t.set_of(&[32767, 0]);
    t.semop(set, &[op(1, -1).nowait(), op(0, 1)]).fails(EAGAIN);
    let child = t.spawn("sleeper", |t| {
        t.semop(set, &[op(1, -1), op(0, 1)]).fails(ERANGE);
    });
    t.wait_blocked(&child);
    t.semop(set, &[op(1, 1)]).must();
    t.join(child);
    t.holds(set, &[32767, 1]);
}

fn array_of_semopm_ops_works(t: &Stage) {
    let set = t.set_of(&[0; 500]);
    let ops: Vec<Op> = (0..500).map(|num| op(num, num as i16 + 1)).collect();
    t.semop(set, &ops).must();
    let values: Vec<u16> = (1..=500).collect();
    t.holds(set, &values);
}

fn array_above_semopm_is_e2big(t: &Stage) {
    let set = t.set_of(&[0]);
    t.semop(set, &[op(0, 1); 501]).fails(E2BIG);
    t.semop(set, &[op(0, 1); 5000]).fails(E2BIG);
    t.holds(set, &[0]);
}

fn empty_array_is_einval(t: &Stage) {
    let set = t.set_of(&[0]);
    t.semop(set, &[]).fails(EINVAL);
    t.semtimedop(set, &[], None).fails(EINVAL);
}

fn semaphore_number_beyond_the_set_is_efbig(t: &Stage) {
    let set = t.set_of(&[0, 0]);
    t.semop(set, &[op(2, 1)]).fails(EFBIG);
    t.semop(set, &[op(1, 1)]).must();
    t.semop(set, &[zero(2)]).fails(EFBIG);
}

fn semaphore_number_far_beyond_is_efbig(t: &Stage) {
    let set = t.set_of(&[0, 0]);
    for num in [3, 100, 32000, 32768, 65535] {
        t.semop(set, &[op(num, 1)]).fails(EFBIG);
    }
}

fn number_beyond_is_efbig_wherever_it_stands(t: &Stage) {
    let set = t.set_of(&[0, 32767]);
    t.semop(set, &[op(0, 1), op(7, 1)]).fails(EFBIG);
    t.semop(set, &[op(0, -1), op(7, 1)]).fails(EFBIG);
    t.semop(set, &[op(1, 1), op(7, 1)]).fails(EFBIG);
    t.holds(set, &[0, 32767]);
}

fn sixty_five_semaphores_apart_are_different(t: &Stage) {
    let set = t.set_of(&[0; 200]);
    // An implementation that marks touched semaphores in one word must not mix these up.
    let ops = [
        op(1, 1),
        op(65, 2),
        op(129, 3),
        zero(193).nowait(),
        op(1, -1),
        zero(1).nowait(),
    ];
    t.semop(set, &ops).must();
    let values = t.getall(set, 200).must();
    assert_eq!(
        (values[1], values[65], values[129], values[193]),
        (0, 2, 3, 0)
    );
}

fn unknown_op_flags_are_ignored(t: &Stage) {
    let set = t.set_of(&[0]);
    let odd = Op {
        num: 0,
        op: 1,
        flags: 0x6555,
    };
    t.semop(set, &[odd]).must();
    t.holds(set, &[1]);
}

fn op_on_the_last_of_32000_semaphores(t: &Stage) {
    let set = t.set_of(&[0; 32000]);
    t.semop(set, &[op(31999, 5), op(0, 1)]).must();
    t.semop(set, &[op(32000, 5)]).fails(EFBIG);
    let values = t.getall(set, 32000).must();
    assert_eq!((values[0], values[31998], values[31999]), (1, 0, 5));
}

fn one_op_array_may_hold_all_kinds(t: &Stage) {
    let set = t.set_of(&[2, 0, 1]);
    let ops = [
        op(0, -2).undo(),
        zero(1).undo(),
        zero(1).nowait(),
        op(1, 4).undo(),
        op(2, -1).nowait().undo(),
    ];
    let child = t.spawn("child", |t| {
        t.semop(set, &ops).must();
        t.holds(set, &[0, 4, 0]);
    });
    t.join(child);
    t.holds(set, &[2, 0, 1]);
}
