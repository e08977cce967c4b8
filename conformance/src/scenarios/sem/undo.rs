//! `SEM_UNDO`: what an ending process takes back.

use super::blocking::sleeper;
use crate::players::{Child, Gate};
use crate::process::{Ending, become_user, exit_now, own_pid};
use crate::scenarios::{ANN, Scenario, table};
use crate::sem::{Op, Set, op, zero};
use crate::stage::Stage;
use libc::{EAGAIN, EINVAL, ERANGE, IPC_CREAT, SIGABRT, SIGKILL, SIGQUIT, SIGTERM};

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
    setval_forgets_everybodys_undo_on_one_semaphore,
    setval_of_the_same_value_forgets_too,
    setall_forgets_everybodys_undo_on_the_set,
    undo_counts_again_after_setval,
    removed_set_forgets_undo,
    undo_does_not_reach_a_set_of_the_same_key,
    undo_on_a_new_set_after_the_old_was_removed,
    two_holders_undo_their_own,
    undo_of_a_live_process_is_not_applied,
    killed_holder_of_a_mutex_gives_it_to_the_next,
    end_of_a_process_stamps_a_set_that_it_only_failed_on,
    undo_is_seen_as_soon_as_the_dead_is_reaped,
];

/// A child that makes these calls and ends.
fn does(t: &Stage, calls: impl FnOnce(&Stage)) {
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
    for signal in [SIGTERM, SIGABRT, SIGQUIT] {
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

fn setval_forgets_everybodys_undo_on_one_semaphore(t: &Stage) {
    let set = t.set_of(&[9, 9]);
    let children =
        ["one", "two"].map(|name| holder(t, name, set, &[op(0, -1).undo(), op(1, -1).undo()]));
    t.setval(set, 0, 5).must();
    children.into_iter().for_each(|child| t.kill(child));
    t.holds(set, &[5, 9]);
}

fn setval_of_the_same_value_forgets_too(t: &Stage) {
    let set = t.set_of(&[9]);
    let child = holder(t, "holder", set, &[op(0, -1).undo()]);
    t.setval(set, 0, 8).must();
    t.kill(child);
    t.holds(set, &[8]);
}

fn setall_forgets_everybodys_undo_on_the_set(t: &Stage) {
    let (set, other) = (t.set_of(&[9, 9]), t.set_of(&[9]));
    let child = t.spawn("holder", |t| {
        t.semop(set, &[op(0, -1).undo(), op(1, -1).undo()]).must();
        t.semop(other, &[op(0, -1).undo()]).must();
        t.tell(1);
        Gate::new().pass();
    });
    t.hear(&child, 1);
    t.setall(set, &[5, 6]).must();
    t.kill(child);
    t.holds(set, &[5, 6]);
    t.holds(other, &[9]);
}

fn undo_counts_again_after_setval(t: &Stage) {
    let set = t.set_of(&[9]);
    does(t, |t| {
        t.semop(set, &[op(0, -4).undo()]).must();
        t.setval(set, 0, 20).must();
        t.semop(set, &[op(0, -3).undo()]).must();
        t.holds(set, &[17]);
    });
    t.holds(set, &[20]);
}

fn removed_set_forgets_undo(t: &Stage) {
    let (set, other) = (t.set_of(&[9]), t.set_of(&[9]));
    let child = t.spawn("holder", |t| {
        t.semop(set, &[op(0, -4).undo()]).must();
        t.semop(other, &[op(0, -4).undo()]).must();
        t.tell(1);
        Gate::new().pass();
    });
    t.hear(&child, 1);
    t.semrm(set).must();
    t.kill(child);
    t.getval(set, 0).fails(EINVAL);
    t.holds(other, &[9]);
}

fn undo_does_not_reach_a_set_of_the_same_key(t: &Stage) {
    let old = t.semget(0x77, 1, IPC_CREAT | 0o600).must();
    let child = holder(t, "holder", old, &[op(0, 4).undo()]);
    t.semrm(old).must();
    let new = t.semget(0x77, 1, IPC_CREAT | 0o600).must();
    t.setval(new, 0, 9).must();
    t.kill(child);
    t.holds(new, &[9]);
}

fn undo_on_a_new_set_after_the_old_was_removed(t: &Stage) {
    let old = t.semget(0x77, 1, IPC_CREAT | 0o600).must();
    does(t, |t| {
        t.semop(old, &[op(0, 4).undo()]).must();
        t.semrm(old).must();
        let new = t.semget(0x77, 1, IPC_CREAT | 0o600).must();
        t.semop(new, &[op(0, 7)]).must();
        t.semop(new, &[op(0, -2).undo()]).must();
    });
    let new = t.semget(0x77, 1, 0).must();
    t.holds(new, &[7]);
}

fn two_holders_undo_their_own(t: &Stage) {
    let set = t.set_of(&[10]);
    let one = holder(t, "one", set, &[op(0, -3).undo()]);
    let two = holder(t, "two", set, &[op(0, -4).undo()]);
    t.holds(set, &[3]);
    t.kill(one);
    t.holds(set, &[6]);
    t.kill(two);
    t.holds(set, &[10]);
}

fn undo_of_a_live_process_is_not_applied(t: &Stage) {
    let set = t.set_of(&[2]);
    let child = holder(t, "holder", set, &[op(0, -2).undo()]);
    t.stop(&child);
    t.semop(set, &[op(0, -1).nowait()]).fails(EAGAIN);
    t.signal(&child, SIGKILL);
    t.reap(child, Ending::Killed(SIGKILL));
    t.holds(set, &[2]);
}

fn killed_holder_of_a_mutex_gives_it_to_the_next(t: &Stage) {
    let set = t.set_of(&[1]);
    let lock = [op(0, -1).undo()];
    let mut owner = holder(t, "first", set, &lock);
    for name in ["second", "third", "fourth"] {
        let next = t.spawn(name, |t| {
            t.semop(set, &lock).must();
            t.tell(1);
            Gate::new().pass();
        });
        t.wait_blocked(&next);
        t.kill(owner);
        t.hear(&next, 1);
        owner = next;
    }
    t.kill(owner);
    t.holds(set, &[1]);
}

fn undo_is_seen_as_soon_as_the_dead_is_reaped(t: &Stage) {
    let set = t.set_of(&[1]);
    for _ in 0..50 {
        let child = t.spawn("child", |_| {
            let taken = crate::semcall::semop(set.0, &[op(0, -1).undo()]);
            assert_eq!(taken, Ok(()));
        });
        t.join(child);
        assert_eq!(crate::semcall::semctl(set.0, 0, libc::GETVAL, 0), Ok(1));
    }
}

fn end_of_a_process_stamps_a_set_that_it_only_failed_on(t: &Stage) {
    let set = t.set_of(&[5, 0]);
    does(t, |t| {
        t.semop(set, &[op(0, -1).undo(), op(1, -1).nowait().undo()])
            .fails(EAGAIN);
        assert_eq!(t.semstat(set).must().otime, 0);
    });
    // There was nothing to undo, but a list to look through: that counts as an operation.
    assert_ne!(t.semstat(set).must().otime, 0);
    t.holds(set, &[5, 0]);
    assert_eq!(t.getpid(set, 0).must(), own_pid());
}
