//! Sleepers that wait for zero, alone and among those that wait for growth.

use super::blocking::sleeper;
use crate::scenarios::{Scenario, table};
use crate::sem::{op, zero};
use crate::stage::Stage;

pub(super) const ALL: &[Scenario] = table![
    zero_sleeper_goes_on_at_zero,
    all_zero_sleepers_go_on_at_once,
    zero_sleeper_stays_at_other_values,
    setval_to_zero_wakes_zero_sleepers,
    setall_to_zero_wakes_zero_sleepers,
    zero_within_an_array_wakes_nobody,
    zero_sleepers_are_served_before_older_growth_sleepers,
    zero_sleeper_that_raises_feeds_growth_sleepers,
    zero_locks_are_taken_one_at_a_time,
    growth_sleeper_that_empties_wakes_zero_sleepers,
    zero_sleeper_misses_a_zero_that_a_sleeper_takes_away,
    zero_sleeper_wakes_though_the_value_rises_at_once,
    zero_on_two_semaphores_waits_for_both_at_once,
    zero_and_down_in_one_array_wait_for_both,
    zero_sleepers_that_only_look_change_nothing,
    killed_zero_sleeper_leaves_the_others,
];

fn zero_sleeper_goes_on_at_zero(t: &Stage) {
    let set = t.set_of(&[1]);
    let child = sleeper(t, "sleeper", set, &[zero(0)]);
    t.semop(set, &[op(0, -1)]).must();
    t.join(child);
    t.holds(set, &[0]);
}

fn all_zero_sleepers_go_on_at_once(t: &Stage) {
    let set = t.set_of(&[2]);
    let children = ["one", "two", "three"].map(|name| sleeper(t, name, set, &[zero(0)]));
    t.awaited(set, 0, 0, 3);
    t.semop(set, &[op(0, -2)]).must();
    t.awaited(set, 0, 0, 0);
    children.into_iter().for_each(|child| t.join(child));
}

fn zero_sleeper_stays_at_other_values(t: &Stage) {
    let set = t.set_of(&[3]);
    let child = sleeper(t, "sleeper", set, &[zero(0)]);
    for change in [-1, -1, 5, -5] {
        t.semop(set, &[op(0, change)]).must();
        t.wait_blocked(&child);
    }
    t.semop(set, &[op(0, -1)]).must();
    t.join(child);
}

fn setval_to_zero_wakes_zero_sleepers(t: &Stage) {
    let set = t.set_of(&[3]);
    let child = sleeper(t, "sleeper", set, &[zero(0)]);
    t.setval(set, 0, 1).must();
    t.wait_blocked(&child);
    t.setval(set, 0, 0).must();
    t.join(child);
}

fn setall_to_zero_wakes_zero_sleepers(t: &Stage) {
    let set = t.set_of(&[3, 4]);
    let one = sleeper(t, "one", set, &[zero(1)]);
    let both = sleeper(t, "both", set, &[zero(0), zero(1)]);
    t.setall(set, &[1, 0]).must();
    t.join(one);
    t.wait_blocked(&both);
    t.setall(set, &[0, 0]).must();
    t.join(both);
}

fn zero_within_an_array_wakes_nobody(t: &Stage) {
    let set = t.set_of(&[1]);
    let child = sleeper(t, "sleeper", set, &[zero(0)]);
    t.semop(set, &[op(0, -1), zero(0), op(0, 1)]).must();
    t.wait_blocked(&child);
    t.semop(set, &[op(0, -1)]).must();
    t.join(child);
}

fn zero_sleepers_are_served_before_older_growth_sleepers(t: &Stage) {
    let set = t.set_of(&[1, 0]);
    let growth = sleeper(t, "growth", set, &[op(1, -1), op(0, 1)]);
    let zero = sleeper(t, "zero", set, &[zero(0)]);
    // Both may go on after this call; were the older first, the value would rise before the other
    // could see its zero.
    t.semop(set, &[op(0, -1), op(1, 1)]).must();
    t.join(zero);
    t.join(growth);
    t.holds(set, &[1, 0]);
}

fn zero_sleeper_that_raises_feeds_growth_sleepers(t: &Stage) {
    let set = t.set_of(&[1, 0]);
    let growth = sleeper(t, "growth", set, &[op(1, -1)]);
    let lock = sleeper(t, "lock", set, &[zero(0), op(1, 1)]);
    t.semop(set, &[op(0, -1)]).must();
    t.holds(set, &[0, 0]);
    t.join(lock);
    t.join(growth);
}

fn zero_locks_are_taken_one_at_a_time(t: &Stage) {
    let set = t.set_of(&[1]);
    let lock = [zero(0), op(0, 1)];
    let children = ["first", "second", "third"].map(|name| sleeper(t, name, set, &lock));
    for (taken, child) in children.into_iter().enumerate() {
        t.semop(set, &[op(0, -1)]).must();
        t.join(child);
        t.holds(set, &[1]);
        t.awaited(set, 0, 0, 2 - taken as i32);
    }
}

fn growth_sleeper_that_empties_wakes_zero_sleepers(t: &Stage) {
    let set = t.set_of(&[1]);
    let zero = sleeper(t, "zero", set, &[zero(0)]);
    let growth = sleeper(t, "growth", set, &[op(0, -2)]);
    t.semop(set, &[op(0, 1)]).must();
    t.holds(set, &[0]);
    t.join(growth);
    t.join(zero);
}

fn zero_sleeper_misses_a_zero_that_a_sleeper_takes_away(t: &Stage) {
    let set = t.set_of(&[1]);
    let lock = sleeper(t, "lock", set, &[zero(0), op(0, 1)]);
    let other = sleeper(t, "other", set, &[zero(0), op(0, 1)]);
    t.semop(set, &[op(0, -1)]).must();
    t.join(lock);
    t.wait_blocked(&other);
    t.setval(set, 0, 0).must();
    t.join(other);
    t.holds(set, &[1]);
}

fn zero_sleeper_wakes_though_the_value_rises_at_once(t: &Stage) {
    let set = t.set_of(&[1]);
    let child = sleeper(t, "sleeper", set, &[zero(0)]);
    t.semop(set, &[op(0, -1)]).must();
    t.semop(set, &[op(0, 1)]).must();
    t.awaited(set, 0, 0, 0);
    t.join(child);
    t.holds(set, &[1]);
}

fn zero_on_two_semaphores_waits_for_both_at_once(t: &Stage) {
    let set = t.set_of(&[1, 1]);
    let child = sleeper(t, "sleeper", set, &[zero(0), zero(1)]);
    t.semop(set, &[op(0, -1)]).must();
    t.wait_blocked(&child);
    t.semop(set, &[op(0, 1), op(1, -1)]).must();
    t.wait_blocked(&child);
    t.semop(set, &[op(0, -1)]).must();
    t.join(child);
}

fn zero_and_down_in_one_array_wait_for_both(t: &Stage) {
    let set = t.set_of(&[1, 0]);
    let child = sleeper(t, "sleeper", set, &[zero(0), op(1, -1)]);
    t.semop(set, &[op(1, 1)]).must();
    t.wait_blocked(&child);
    t.holds(set, &[1, 1]);
    t.semop(set, &[op(0, -1)]).must();
    t.join(child);
    t.holds(set, &[0, 0]);
}

fn zero_sleepers_that_only_look_change_nothing(t: &Stage) {
    let set = t.set_of(&[1, 7]);
    let child = sleeper(t, "sleeper", set, &[zero(0), zero(0), zero(0)]);
    t.semop(set, &[op(0, -1)]).must();
    t.join(child);
    t.holds(set, &[0, 7]);
}

fn killed_zero_sleeper_leaves_the_others(t: &Stage) {
    let set = t.set_of(&[1]);
    let victim = sleeper(t, "victim", set, &[zero(0)]);
    let other = sleeper(t, "other", set, &[zero(0)]);
    t.kill(victim);
    t.awaited(set, 0, 0, 1);
    t.semop(set, &[op(0, -1)]).must();
    t.join(other);
}
