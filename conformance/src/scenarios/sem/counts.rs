//! `GETNCNT`, `GETZCNT`, `GETPID`: who waits for what, and who was last.

use super::blocking::sleeper;
use crate::process::own_pid;
use crate::scenarios::{Scenario, table};
use crate::sem::{op, zero};
use crate::stage::Stage;
use libc::{EAGAIN, ERANGE};

pub(super) const ALL: &[Scenario] = table![
    growth_sleepers_are_counted_on_their_semaphore,
    zero_sleepers_are_counted_apart,
    complex_sleeper_counts_where_it_is_blocked,
    complex_sleeper_is_counted_once_though_it_names_a_semaphore_twice,
    complex_sleepers_count_moves_as_it_gets_further,
    mixed_array_counts_as_what_it_waits_for,
    later_ops_of_a_blocked_array_do_not_count,
    count_moves_back_when_the_value_falls_again,
    who_waits_for_zero_judges_nobody_anew,
    counts_fall_when_sleepers_time_out,
    counts_of_many_mixed_sleepers,
    pid_is_nobodys_before_the_first_op,
    pid_is_set_by_ups_and_downs,
    pid_is_set_by_waiting_for_zero,
    pid_is_set_on_every_semaphore_of_an_array,
    pid_is_left_by_failed_arrays,
    pid_is_left_while_asleep_and_set_on_waking,
    pid_of_the_woken_covers_the_wakers,
    pid_of_a_chain_is_the_last_ones,
    pid_is_set_by_setval,
    pid_is_set_by_setall_everywhere,
    pid_is_left_by_other_commands,
    pid_of_the_dead_stays,
];

fn growth_sleepers_are_counted_on_their_semaphore(t: &Stage) {
    let set = t.set_of(&[0, 0]);
    let one = sleeper(t, "one", set, &[op(0, -1)]);
    let two = sleeper(t, "two", set, &[op(0, -2)]);
    t.awaited(set, 0, 2, 0);
    t.awaited(set, 1, 0, 0);
    t.kill(one);
    t.awaited(set, 0, 1, 0);
    t.kill(two);
    t.awaited(set, 0, 0, 0);
}

fn zero_sleepers_are_counted_apart(t: &Stage) {
    let set = t.set_of(&[1]);
    let zero = sleeper(t, "zero", set, &[zero(0)]);
    let growth = sleeper(t, "growth", set, &[op(0, -2)]);
    t.awaited(set, 0, 1, 1);
    t.kill(zero);
    t.kill(growth);
}

fn complex_sleeper_counts_where_it_is_blocked(t: &Stage) {
    let set = t.set_of(&[1, 0, 0]);
    let child = sleeper(t, "sleeper", set, &[op(0, -1), op(1, -1), op(2, -1)]);
    t.awaited(set, 0, 0, 0);
    t.awaited(set, 1, 1, 0);
    t.awaited(set, 2, 0, 0);
    t.kill(child);
}

fn complex_sleeper_is_counted_once_though_it_names_a_semaphore_twice(t: &Stage) {
    let set = t.set_of(&[1]);
    let child = sleeper(t, "sleeper", set, &[op(0, -1), op(0, -1), op(0, -1)]);
    t.awaited(set, 0, 1, 0);
    t.kill(child);
}

fn complex_sleepers_count_moves_as_it_gets_further(t: &Stage) {
    let set = t.set_of(&[0, 0]);
    let child = sleeper(t, "sleeper", set, &[op(0, -1), op(1, -1)]);
    t.awaited(set, 0, 1, 0);
    t.awaited(set, 1, 0, 0);
    t.semop(set, &[op(0, 1)]).must();
    t.awaited(set, 0, 0, 0);
    t.awaited(set, 1, 1, 0);
    t.kill(child);
}

fn mixed_array_counts_as_what_it_waits_for(t: &Stage) {
    let set = t.set_of(&[1, 0]);
    let child = sleeper(t, "sleeper", set, &[zero(0), op(1, -1)]);
    t.awaited(set, 0, 0, 1);
    t.awaited(set, 1, 0, 0);
    t.semop(set, &[op(0, -1)]).must();
    t.awaited(set, 0, 0, 0);
    t.awaited(set, 1, 1, 0);
    t.kill(child);
}

fn later_ops_of_a_blocked_array_do_not_count(t: &Stage) {
    let set = t.set_of(&[0, 5]);
    let child = sleeper(t, "sleeper", set, &[op(0, -1), zero(1), op(1, -9)]);
    t.awaited(set, 0, 1, 0);
    t.awaited(set, 1, 0, 0);
    t.kill(child);
}

fn count_moves_back_when_the_value_falls_again(t: &Stage) {
    let set = t.set_of(&[0, 0]);
    let child = sleeper(t, "sleeper", set, &[op(0, -1), op(1, -1)]);
    t.semop(set, &[op(0, 1)]).must();
    t.awaited(set, 1, 1, 0);
    t.semop(set, &[op(0, -1)]).must();
    // What it waits for is looked at again whenever the set has changed.
    t.awaited(set, 0, 1, 0);
    t.awaited(set, 1, 0, 0);
    t.kill(child);
}

fn who_waits_for_zero_judges_nobody_anew(t: &Stage) {
    let set = t.set_of(&[1, 1, 0]);
    let child = sleeper(t, "sleeper", set, &[zero(0), zero(1)]);
    t.awaited(set, 0, 0, 1);
    t.semop(set, &[op(0, -1)]).must();
    t.awaited(set, 1, 0, 1);
    t.semop(set, &[op(0, 1)]).must();
    // Nothing is zero that was changed, and then nothing was changed.
    t.awaited(set, 1, 0, 1);
    t.semop(set, &[zero(2)]).must();
    t.awaited(set, 1, 0, 1);
    t.semop(set, &[zero(2), op(1, 1)]).must();
    t.awaited(set, 0, 0, 1);
    t.awaited(set, 1, 0, 0);
    t.kill(child);
}

fn counts_fall_when_sleepers_time_out(t: &Stage) {
    let set = t.set_of(&[1]);
    let short = Some(std::time::Duration::from_millis(30));
    let child = t.spawn("sleeper", |t| {
        t.semtimedop(set, &[zero(0)], short).fails(EAGAIN);
        t.semtimedop(set, &[op(0, -2)], short).fails(EAGAIN);
    });
    t.join(child);
    t.awaited(set, 0, 0, 0);
}

fn counts_of_many_mixed_sleepers(t: &Stage) {
    let set = t.set_of(&[1, 2]);
    let children = [
        sleeper(t, "a", set, &[zero(0)]),
        sleeper(t, "b", set, &[op(0, -2)]),
        sleeper(t, "c", set, &[op(0, -1), zero(1)]),
        sleeper(t, "d", set, &[op(1, -1), op(1, -2)]),
        sleeper(t, "e", set, &[zero(1), zero(0)]),
        sleeper(t, "f", set, &[op(0, -1), op(1, -3)]),
        sleeper(t, "g", set, &[op(1, 1), zero(0)]),
    ];
    t.awaited(set, 0, 1, 2);
    t.awaited(set, 1, 2, 2);
    children.into_iter().for_each(|child| t.kill(child));
    t.awaited(set, 0, 0, 0);
    t.awaited(set, 1, 0, 0);
}

fn pid_is_nobodys_before_the_first_op(t: &Stage) {
    let set = t.set_of(&[0, 0]);
    assert_eq!(t.getpid(set, 0).must(), 0);
    assert_eq!(t.getpid(set, 1).must(), 0);
}

fn pid_is_set_by_ups_and_downs(t: &Stage) {
    let set = t.set_of(&[0, 0]);
    let child = t.spawn("child", |t| t.semop(set, &[op(0, 2)]).must());
    let pid = child.pid;
    t.join(child);
    assert_eq!(t.getpid(set, 0).must(), pid);
    assert_eq!(t.getpid(set, 1).must(), 0);
    t.semop(set, &[op(0, -1)]).must();
    assert_eq!(t.getpid(set, 0).must(), own_pid());
}

fn pid_is_set_by_waiting_for_zero(t: &Stage) {
    let set = t.set_of(&[0]);
    t.semop(set, &[zero(0)]).must();
    assert_eq!(t.getpid(set, 0).must(), own_pid());
}

fn pid_is_set_on_every_semaphore_of_an_array(t: &Stage) {
    let set = t.set_of(&[0; 4]);
    t.semop(set, &[op(0, 1), zero(1), op(3, 1)]).must();
    let pids = [0, 1, 2, 3].map(|num| t.getpid(set, num).must());
    assert_eq!(pids, [own_pid(), own_pid(), 0, own_pid()]);
}

fn pid_is_left_by_failed_arrays(t: &Stage) {
    let set = t.set_of(&[0; 2]);
    t.semop(set, &[op(0, 1), op(1, -1).nowait()]).fails(EAGAIN);
    t.semop(set, &[op(0, 1), zero(0).nowait()]).fails(EAGAIN);
    t.semop(set, &[op(0, 32767), op(0, 1)]).fails(ERANGE);
    assert_eq!(t.getpid(set, 0).must(), 0);
    assert_eq!(t.getpid(set, 1).must(), 0);
}

fn pid_is_left_while_asleep_and_set_on_waking(t: &Stage) {
    let set = t.set_of(&[0, 0]);
    let child = sleeper(t, "sleeper", set, &[op(1, 1), op(0, -1)]);
    let pid = child.pid;
    assert_eq!(t.getpid(set, 0).must(), 0);
    assert_eq!(t.getpid(set, 1).must(), 0);
    t.semop(set, &[op(0, 1)]).must();
    assert_eq!(t.getpid(set, 0).must(), pid);
    assert_eq!(t.getpid(set, 1).must(), pid);
    t.join(child);
}

fn pid_of_the_woken_covers_the_wakers(t: &Stage) {
    let set = t.set_of(&[1]);
    let child = sleeper(t, "sleeper", set, &[zero(0)]);
    let pid = child.pid;
    t.semop(set, &[op(0, -1)]).must();
    assert_eq!(t.getpid(set, 0).must(), pid);
    t.join(child);
}

fn pid_of_a_chain_is_the_last_ones(t: &Stage) {
    let set = t.set_of(&[0, 0]);
    let last = sleeper(t, "last", set, &[op(1, -1), zero(0)]);
    let first = sleeper(t, "first", set, &[op(0, -1), op(1, 1)]);
    let pid = last.pid;
    t.semop(set, &[op(0, 1)]).must();
    assert_eq!(t.getpid(set, 0).must(), pid);
    assert_eq!(t.getpid(set, 1).must(), pid);
    t.join(first);
    t.join(last);
}

fn pid_is_set_by_setval(t: &Stage) {
    let set = t.set_of(&[0, 0]);
    t.setval(set, 1, 0).must();
    assert_eq!(t.getpid(set, 0).must(), 0);
    assert_eq!(t.getpid(set, 1).must(), own_pid());
}

fn pid_is_set_by_setall_everywhere(t: &Stage) {
    let set = t.set_of(&[0; 3]);
    let child = t.spawn("child", |t| {
        t.setall(set, &[0, 1, 0]).must();
    });
    let pid = child.pid;
    t.join(child);
    for num in 0..3 {
        assert_eq!(t.getpid(set, num).must(), pid);
    }
}

fn pid_is_left_by_other_commands(t: &Stage) {
    let set = t.set_of(&[0]);
    t.getval(set, 0).must();
    t.holds(set, &[0]);
    t.awaited(set, 0, 0, 0);
    t.semchange(set, |stat| stat.mode = 0o640).must();
    t.setval(set, 0, 40000).fails(ERANGE);
    assert_eq!(t.getpid(set, 0).must(), 0);
}

fn pid_of_the_dead_stays(t: &Stage) {
    let set = t.set_of(&[0]);
    let child = t.spawn("child", |t| {
        t.semop(set, &[op(0, 1)]).must();
        t.tell(1);
        crate::players::Gate::new().pass();
    });
    let pid = child.pid;
    t.hear(&child, 1);
    t.kill(child);
    assert_eq!(t.getpid(set, 0).must(), pid);
}
