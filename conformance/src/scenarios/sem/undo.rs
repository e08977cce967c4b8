//! `SEM_UNDO`: what an ending process takes back.

use super::blocking::sleeper;
use crate::players::{Child, Gate};
use crate::process::{Ending, become_user, exit_now, own_pid};
use crate::scenarios::{ANN, Scenario, table};
use crate::sem::{Op, Set, op, zero};
use crate::stage::Stage;
use libc::{EAGAIN, ERANGE, SIGABRT, SIGTERM, SIGUSR2};

pub(super) const ALL: &[Scenario] = table![
    down_is_undone_at_exit,
    up_is_undone_at_exit,
    op_without_undo_stays,
    undo_is_applied_by_exit_handlers_way_out,
    undo_is_applied_after_sigkill,
    undo_is_applied_after_a_deadly_signal,
    undo_accumulates,
    undo_that_sums_to_zero_changes_nothing,
    undo_of_part_of_an_array,
    undo_of_one_semaphore_several_times_in_an_array,
    undo_with_an_op_of_zero_undoes_nothing,
    undo_on_several_sets_is_applied_to_all,
    undo_on_many_semaphores_is_applied_to_all,
    undo_below_zero_stops_at_zero,
    undo_above_32767_stops_there,
    undo_stops_at_zero_once_for_the_sum,
    undo_of_failed_arrays_is_not_kept,
    undo_with_nowait_that_fails_keeps_what_was,
    undo_sum_above_32767_is_erange,
    undo_sum_of_minus_32768_is_the_lowest,
    undo_erange_leaves_the_value,
    undo_range_is_judged_after_the_value,
    undo_of_a_sleeper_counts_when_it_goes_on,
    undo_of_a_killed_sleeper_is_what_it_had_before,
    undo_wakes_a_growth_sleeper,
    undo_wakes_a_zero_sleeper,
    undo_wakes_a_complex_sleeper,
    undo_wakes_a_chain,
    undo_sets_the_operation_time_and_pid,
    undo_leaves_the_pid_where_nothing_is_left_to_undo,
    undo_needs_no_permission needs_root,
];

/// A child that makes these calls and ends.
pub(super) fn does(t: &Stage, calls: impl FnOnce(&Stage)) {
    let child = t.spawn("child", calls);
    t.join(child);
}

/// A child that makes this call and then waits to be killed.
pub(super) fn holder(t: &Stage, name: &'static str, set: Set, ops: &[Op]) -> Child {
    let child = t.spawn(name, |t| {
        t.semop(set, ops).must();
        t.tell(1);
        Gate::new().pass();
    });
    t.hear(&child, 1);
    child
}

fn down_is_undone_at_exit(t: &Stage) {
    let set = t.set_of(&[3]);
    does(t, |t| {
        t.semop(set, &[op(0, -2).undo()]).must();
        t.holds(set, &[1]);
    });
    t.holds(set, &[3]);
}

fn up_is_undone_at_exit(t: &Stage) {
    let set = t.set_of(&[3]);
    does(t, |t| t.semop(set, &[op(0, 2).undo()]).must());
    t.holds(set, &[3]);
}

fn op_without_undo_stays(t: &Stage) {
    let set = t.set_of(&[3]);
    does(t, |t| t.semop(set, &[op(0, -2)]).must());
    t.holds(set, &[1]);
}

fn undo_is_applied_by_exit_handlers_way_out(t: &Stage) {
    let set = t.set_of(&[3]);
    let child = t.spawn("child", |t| {
        t.semop(set, &[op(0, -2).undo()]).must();
        std::process::exit(7);
    });
    t.reap(child, Ending::Exited(7));
    t.holds(set, &[3]);
    let child = t.spawn("child", |t| {
        t.semop(set, &[op(0, -2).undo()]).must();
        exit_now(8);
    });
    t.reap(child, Ending::Exited(8));
    t.holds(set, &[3]);
}

fn undo_is_applied_after_sigkill(t: &Stage) {
    let set = t.set_of(&[1]);
    let child = holder(t, "holder", set, &[op(0, -1).undo()]);
    t.holds(set, &[0]);
    t.kill(child);
    t.holds(set, &[1]);
}

fn undo_is_applied_after_a_deadly_signal(t: &Stage) {
    let set = t.set_of(&[1]);
    for signal in [SIGTERM, SIGABRT, SIGUSR2] {
        let child = holder(t, "holder", set, &[op(0, -1).undo()]);
        t.holds(set, &[0]);
        t.signal(&child, signal);
        t.reap(child, Ending::Killed(signal));
        t.holds(set, &[1]);
    }
}

fn undo_accumulates(t: &Stage) {
    let set = t.set_of(&[10]);
    does(t, |t| {
        for _ in 0..3 {
            t.semop(set, &[op(0, -2).undo()]).must();
        }
        t.semop(set, &[op(0, 1).undo()]).must();
        t.holds(set, &[5]);
    });
    t.holds(set, &[10]);
}

fn undo_that_sums_to_zero_changes_nothing(t: &Stage) {
    let set = t.set_of(&[1]);
    does(t, |t| {
        t.semop(set, &[op(0, -1).undo()]).must();
        t.semop(set, &[op(0, 1).undo()]).must();
        t.semop(set, &[op(0, 5)]).must();
    });
    t.holds(set, &[6]);
}

fn undo_of_part_of_an_array(t: &Stage) {
    let set = t.set_of(&[5, 5, 5]);
    does(t, |t| {
        t.semop(set, &[op(0, -1).undo(), op(1, -1), op(2, 2).undo()])
            .must();
    });
    t.holds(set, &[5, 4, 5]);
}

fn undo_of_one_semaphore_several_times_in_an_array(t: &Stage) {
    let set = t.set_of(&[5]);
    does(t, |t| {
        t.semop(set, &[op(0, -1).undo(), op(0, -1), op(0, -1).undo()])
            .must();
        t.holds(set, &[2]);
    });
    t.holds(set, &[4]);
}

fn undo_with_an_op_of_zero_undoes_nothing(t: &Stage) {
    let set = t.set_of(&[0, 1]);
    does(t, |t| {
        t.semop(set, &[zero(0).undo()]).must();
        t.semop(set, &[op(0, 4)]).must();
    });
    t.holds(set, &[4, 1]);
}

fn undo_on_several_sets_is_applied_to_all(t: &Stage) {
    let sets = [(); 10].map(|()| t.set_of(&[5, 5]));
    does(t, |t| {
        for set in sets {
            t.semop(set, &[op(0, -3).undo(), op(1, 2).undo()]).must();
        }
    });
    for set in sets {
        t.holds(set, &[5, 5]);
    }
}

fn undo_on_many_semaphores_is_applied_to_all(t: &Stage) {
    let set = t.set_of(&[7; 1000]);
    does(t, |t| {
        for first in [0, 500] {
            let ops: Vec<Op> = (first..first + 500).map(|num| op(num, -7).undo()).collect();
            t.semop(set, &ops).must();
        }
        t.holds(set, &[0; 1000]);
    });
    t.holds(set, &[7; 1000]);
}

fn undo_below_zero_stops_at_zero(t: &Stage) {
    let set = t.set_of(&[0, 1]);
    does(t, |t| {
        t.semop(set, &[op(0, 5).undo(), op(1, 1).undo()]).must();
        t.semop(set, &[op(0, -3)]).must();
    });
    t.holds(set, &[0, 1]);
}

fn undo_above_32767_stops_there(t: &Stage) {
    let set = t.set_of(&[100]);
    does(t, |t| {
        t.semop(set, &[op(0, -100).undo()]).must();
        t.semop(set, &[op(0, 32700)]).must();
    });
    t.holds(set, &[32767]);
}

fn undo_stops_at_zero_once_for_the_sum(t: &Stage) {
    let set = t.set_of(&[10]);
    does(t, |t| {
        t.semop(set, &[op(0, 5).undo()]).must();
        t.semop(set, &[op(0, -15)]).must();
        t.semop(set, &[op(0, 2)]).must();
        t.semop(set, &[op(0, -2).undo()]).must();
    });
    // Zero less three, not (zero less five) plus two.
    t.holds(set, &[0]);
}

fn undo_of_failed_arrays_is_not_kept(t: &Stage) {
    let set = t.set_of(&[5, 0, 32767]);
    does(t, |t| {
        t.semop(set, &[op(0, -1).undo(), op(1, -1).nowait()])
            .fails(EAGAIN);
        t.semop(set, &[op(0, -1).undo(), op(2, 1)]).fails(ERANGE);
        t.semop(set, &[op(0, -1).undo(), op(0, -1).undo(), zero(0).nowait()])
            .fails(EAGAIN);
    });
    t.holds(set, &[5, 0, 32767]);
}

fn undo_with_nowait_that_fails_keeps_what_was(t: &Stage) {
    let set = t.set_of(&[1]);
    does(t, |t| {
        t.semop(set, &[op(0, -1).undo().nowait()]).must();
        t.semop(set, &[op(0, -1).undo().nowait()]).fails(EAGAIN);
        t.semop(set, &[op(0, -1).undo().nowait()]).fails(EAGAIN);
    });
    t.holds(set, &[1]);
}

fn undo_sum_above_32767_is_erange(t: &Stage) {
    let set = t.set_of(&[32767]);
    does(t, |t| {
        t.semop(set, &[op(0, -32767).undo()]).must();
        t.semop(set, &[op(0, 1)]).must();
        t.semop(set, &[op(0, -1).undo()]).fails(ERANGE);
        t.semop(set, &[op(0, -1)]).must();
    });
    t.holds(set, &[32767]);
}

fn undo_sum_of_minus_32768_is_the_lowest(t: &Stage) {
    let set = t.set_of(&[0]);
    does(t, |t| {
        t.semop(set, &[op(0, 32767).undo()]).must();
        t.semop(set, &[op(0, -10)]).must();
        t.semop(set, &[op(0, 1).undo()]).must();
        t.semop(set, &[op(0, 1).undo()]).fails(ERANGE);
        t.holds(set, &[32758]);
    });
    t.holds(set, &[0]);
}

fn undo_erange_leaves_the_value(t: &Stage) {
    let set = t.set_of(&[32767, 0]);
    does(t, |t| {
        t.semop(set, &[op(0, -32767).undo()]).must();
        t.semop(set, &[op(0, 2)]).must();
        t.semop(set, &[op(1, 1), op(0, -1).undo()]).fails(ERANGE);
        t.holds(set, &[2, 0]);
    });
}

fn undo_range_is_judged_after_the_value(t: &Stage) {
    let set = t.set_of(&[32767]);
    does(t, |t| {
        t.semop(set, &[op(0, -32767).undo()]).must();
        t.semop(set, &[op(0, -1).undo().nowait()]).fails(EAGAIN);
    });
}

fn undo_of_a_sleeper_counts_when_it_goes_on(t: &Stage) {
    let set = t.set_of(&[0]);
    let gate = Gate::new();
    let child = t.spawn("sleeper", |t| {
        t.semop(set, &[op(0, -1).undo()]).must();
        gate.pass();
    });
    t.wait_blocked(&child);
    t.semop(set, &[op(0, 1)]).must();
    t.holds(set, &[0]);
    gate.open();
    t.join(child);
    t.holds(set, &[1]);
}

fn undo_of_a_killed_sleeper_is_what_it_had_before(t: &Stage) {
    let set = t.set_of(&[2]);
    let child = t.spawn("sleeper", |t| {
        t.semop(set, &[op(0, -2).undo()]).must();
        t.semop(set, &[op(0, -1).undo()]).must();
    });
    t.wait_returned(&child, 1);
    t.wait_blocked(&child);
    t.kill(child);
    t.holds(set, &[2]);
}

fn undo_wakes_a_growth_sleeper(t: &Stage) {
    let set = t.set_of(&[1]);
    let dying = holder(t, "holder", set, &[op(0, -1).undo()]);
    let next = sleeper(t, "next", set, &[op(0, -1)]);
    t.kill(dying);
    t.join(next);
    t.holds(set, &[0]);
}

fn undo_wakes_a_zero_sleeper(t: &Stage) {
    let set = t.set_of(&[0]);
    let dying = holder(t, "holder", set, &[op(0, 3).undo()]);
    let next = sleeper(t, "next", set, &[zero(0), op(0, 1)]);
    t.kill(dying);
    t.join(next);
    t.holds(set, &[1]);
}

fn undo_wakes_a_complex_sleeper(t: &Stage) {
    let set = t.set_of(&[1, 1]);
    let dying = holder(t, "holder", set, &[op(0, -1).undo(), op(1, -1).undo()]);
    let next = sleeper(t, "next", set, &[op(1, -1), op(0, -1)]);
    t.kill(dying);
    t.join(next);
    t.holds(set, &[0, 0]);
}

fn undo_wakes_a_chain(t: &Stage) {
    let set = t.set_of(&[1, 0]);
    let dying = holder(t, "holder", set, &[op(0, -1).undo()]);
    let second = sleeper(t, "second", set, &[op(1, -1)]);
    let first = sleeper(t, "first", set, &[op(0, -1), op(1, 1)]);
    t.kill(dying);
    t.join(first);
    t.join(second);
    t.holds(set, &[0, 0]);
}

fn undo_sets_the_operation_time_and_pid(t: &Stage) {
    let set = t.set_of(&[3]);
    let child = holder(t, "holder", set, &[op(0, -1).undo()]);
    let pid = child.pid;
    let before = t.semstat(set).must();
    t.semop(set, &[zero(0).nowait()]).fails(EAGAIN);
    t.next_second();
    t.kill(child);
    let after = t.semstat(set).must();
    assert!(after.otime > before.otime, "the undo is an operation");
    assert_eq!(after.ctime, before.ctime);
    assert_eq!(t.getpid(set, 0).must(), pid);
}

fn undo_leaves_the_pid_where_nothing_is_left_to_undo(t: &Stage) {
    let set = t.set_of(&[3, 3, 3]);
    let child = t.spawn("holder", |t| {
        t.semop(set, &[op(0, -1).undo(), op(1, -1).undo(), op(2, -1)])
            .must();
        t.semop(set, &[op(1, 1).undo()]).must();
        t.tell(1);
        Gate::new().pass();
    });
    let pid = child.pid;
    t.hear(&child, 1);
    for num in 0..3 {
        t.semop(set, &[op(num, 1)]).must();
    }
    t.kill(child);
    let pids = [0, 1, 2].map(|num| t.getpid(set, num).must());
    assert_eq!(pids, [pid, own_pid(), own_pid()]);
}

fn undo_needs_no_permission(t: &Stage) {
    let set = t.set_of(&[3]);
    t.semchange(set, |stat| stat.mode = 0o666).must();
    let child = t.spawn("ann", |t| {
        become_user(ANN, ANN, &[]);
        t.semop(set, &[op(0, -2).undo()]).must();
        t.tell(1);
        Gate::new().pass();
    });
    t.hear(&child, 1);
    t.semchange(set, |stat| stat.mode = 0o600).must();
    t.kill(child);
    t.holds(set, &[3]);
}
