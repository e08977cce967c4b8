//! Sleepers that go on in one call: in which order, whom they wake in turn, and who overtakes.

use super::blocking::{dismiss, sleeper};
use crate::scenarios::{Scenario, table};
use crate::sem::{SEMVMX, op};
use crate::stage::Stage;

pub(super) const ALL: &[Scenario] = table![
    big_sleeper_is_overtaken_by_a_later_small_one,
    big_sleeper_is_overtaken_by_newcomers,
    big_sleeper_gets_what_small_ones_leave,
    sleeper_takes_before_a_newcomer_can,
    sleeper_in_front_is_not_passed_for_the_same_amount,
    sleeper_on_two_semaphores_takes_both_or_none,
    two_sleepers_wait_on_either_half,
    simple_sleeper_is_before_a_later_complex_one,
    complex_sleeper_is_before_a_later_simple_one,
    complex_sleeper_that_cannot_is_passed_by_simple_ones,
    simple_sleepers_keep_their_order_after_complex_ones_leave,
    sleeper_that_goes_on_wakes_another,
    chain_of_five_sleepers_wakes_in_one_call,
    chain_wakes_an_earlier_sleeper,
    sleeper_that_goes_on_leaves_nothing_for_the_next,
    sleeper_is_not_woken_within_an_array,
    array_that_takes_again_what_it_gave_wakes_nobody,
    array_gives_on_one_and_takes_on_another,
    more_than_32767_is_erange_whatever_a_sleeper_would_take,
];

fn big_sleeper_is_overtaken_by_a_later_small_one(t: &Stage) {
    let set = t.set_of(&[0]);
    let big = sleeper(t, "big", set, &[op(0, -5)]);
    let small = sleeper(t, "small", set, &[op(0, -1)]);
    t.semop(set, &[op(0, 1)]).must();
    t.join(small);
    t.holds(set, &[0]);
    dismiss(t, set, vec![big]);
}

fn big_sleeper_is_overtaken_by_newcomers(t: &Stage) {
    let set = t.set_of(&[0]);
    let big = sleeper(t, "big", set, &[op(0, -5)]);
    for _ in 0..3 {
        t.semop(set, &[op(0, 4)]).must();
        t.semop(set, &[op(0, -4)]).must();
    }
    t.semop(set, &[op(0, 5)]).must();
    t.join(big);
    t.holds(set, &[0]);
}

fn big_sleeper_gets_what_small_ones_leave(t: &Stage) {
    let set = t.set_of(&[0]);
    let small = sleeper(t, "small", set, &[op(0, -2)]);
    let big = sleeper(t, "big", set, &[op(0, -5)]);
    let tiny = sleeper(t, "tiny", set, &[op(0, -1)]);
    // In turn: two of six, five of four not, one of four.
    t.semop(set, &[op(0, 6)]).must();
    t.join(small);
    t.join(tiny);
    t.holds(set, &[3]);
    t.semop(set, &[op(0, 2)]).must();
    t.join(big);
    t.holds(set, &[0]);
}

fn sleeper_takes_before_a_newcomer_can(t: &Stage) {
    let set = t.set_of(&[0]);
    let child = sleeper(t, "sleeper", set, &[op(0, -1)]);
    // It is served within this call, whether it runs at once or not.
    t.semop(set, &[op(0, 1)]).must();
    t.holds(set, &[0]);
    t.semop(set, &[op(0, -1).nowait()]).fails(libc::EAGAIN);
    t.join(child);
}

fn sleeper_in_front_is_not_passed_for_the_same_amount(t: &Stage) {
    let set = t.set_of(&[1]);
    let first = sleeper(t, "first", set, &[op(0, -2)]);
    let second = sleeper(t, "second", set, &[op(0, -2)]);
    t.semop(set, &[op(0, 2)]).must();
    t.join(first);
    t.holds(set, &[1]);
    t.semop(set, &[op(0, 1)]).must();
    t.join(second);
}

fn sleeper_on_two_semaphores_takes_both_or_none(t: &Stage) {
    let set = t.set_of(&[0, 0]);
    let child = sleeper(t, "sleeper", set, &[op(0, -1), op(1, -1)]);
    t.semop(set, &[op(0, 1)]).must();
    t.wait_blocked(&child);
    t.holds(set, &[1, 0]);
    t.semop(set, &[op(1, 1)]).must();
    t.join(child);
    t.holds(set, &[0, 0]);
}

fn two_sleepers_wait_on_either_half(t: &Stage) {
    let set = t.set_of(&[0, 0]);
    let both = sleeper(t, "both", set, &[op(0, -1), op(1, -1)]);
    let swapped = sleeper(t, "swapped", set, &[op(1, -1), op(0, -1)]);
    t.semop(set, &[op(0, 1)]).must();
    t.holds(set, &[1, 0]);
    t.semop(set, &[op(1, 1)]).must();
    t.join(both);
    t.holds(set, &[0, 0]);
    t.semop(set, &[op(1, 1), op(0, 1)]).must();
    t.join(swapped);
}

fn simple_sleeper_is_before_a_later_complex_one(t: &Stage) {
    let set = t.set_of(&[0, 1]);
    let simple = sleeper(t, "simple", set, &[op(0, -1)]);
    let complex = sleeper(t, "complex", set, &[op(0, -1), op(1, -1)]);
    t.semop(set, &[op(0, 1)]).must();
    t.join(simple);
    t.holds(set, &[0, 1]);
    t.semop(set, &[op(0, 1)]).must();
    t.join(complex);
    t.holds(set, &[0, 0]);
}

fn complex_sleeper_is_before_a_later_simple_one(t: &Stage) {
    let set = t.set_of(&[0, 1]);
    let complex = sleeper(t, "complex", set, &[op(0, -1), op(1, -1)]);
    let simple = sleeper(t, "simple", set, &[op(0, -1)]);
    t.semop(set, &[op(0, 1)]).must();
    t.join(complex);
    t.holds(set, &[0, 0]);
    t.semop(set, &[op(0, 1)]).must();
    t.join(simple);
}

fn complex_sleeper_that_cannot_is_passed_by_simple_ones(t: &Stage) {
    let set = t.set_of(&[0, 0]);
    let complex = sleeper(t, "complex", set, &[op(0, -1), op(1, -1)]);
    let simple = sleeper(t, "simple", set, &[op(0, -1)]);
    t.semop(set, &[op(0, 1)]).must();
    t.join(simple);
    t.holds(set, &[0, 0]);
    dismiss(t, set, vec![complex]);
}

fn simple_sleepers_keep_their_order_after_complex_ones_leave(t: &Stage) {
    let set = t.set_of(&[0, 0]);
    let first = sleeper(t, "first", set, &[op(0, -1)]);
    let complex = sleeper(t, "complex", set, &[op(0, -9), op(1, -9)]);
    let second = sleeper(t, "second", set, &[op(0, -1)]);
    let other = sleeper(t, "other", set, &[op(1, -1)]);
    t.kill(complex);
    let third = sleeper(t, "third", set, &[op(0, -1)]);
    for child in [first, second, third] {
        t.semop(set, &[op(0, 1)]).must();
        t.join(child);
    }
    t.semop(set, &[op(1, 1)]).must();
    t.join(other);
}

fn sleeper_that_goes_on_wakes_another(t: &Stage) {
    let set = t.set_of(&[0, 0]);
    let second = sleeper(t, "second", set, &[op(1, -1)]);
    let first = sleeper(t, "first", set, &[op(0, -1), op(1, 1)]);
    t.semop(set, &[op(0, 1)]).must();
    t.holds(set, &[0, 0]);
    t.join(first);
    t.join(second);
}

fn chain_of_five_sleepers_wakes_in_one_call(t: &Stage) {
    let set = t.set_of(&[0; 6]);
    let names = ["one", "two", "three", "four", "five"];
    let children = [0_u16, 1, 2, 3, 4].map(|num| {
        let name = names[usize::from(num)];
        sleeper(t, name, set, &[op(num, -1), op(num + 1, 1)])
    });
    t.semop(set, &[op(0, 1)]).must();
    t.holds(set, &[0, 0, 0, 0, 0, 1]);
    children.into_iter().for_each(|child| t.join(child));
}

fn chain_wakes_an_earlier_sleeper(t: &Stage) {
    let set = t.set_of(&[0, 0]);
    let early = sleeper(t, "early", set, &[op(1, -3)]);
    let middle = sleeper(t, "middle", set, &[op(1, -2)]);
    let late = sleeper(t, "late", set, &[op(0, -1), op(1, 3)]);
    t.semop(set, &[op(0, 1)]).must();
    // What the late one gave goes to the earliest.
    t.join(late);
    t.join(early);
    t.holds(set, &[0, 0]);
    dismiss(t, set, vec![middle]);
}

fn sleeper_that_goes_on_leaves_nothing_for_the_next(t: &Stage) {
    let set = t.set_of(&[0]);
    let all = sleeper(t, "all", set, &[op(0, -2)]);
    let one = sleeper(t, "one", set, &[op(0, -1)]);
    t.semop(set, &[op(0, 2)]).must();
    t.join(all);
    t.holds(set, &[0]);
    dismiss(t, set, vec![one]);
}

fn sleeper_is_not_woken_within_an_array(t: &Stage) {
    let set = t.set_of(&[0, 0]);
    let child = sleeper(t, "sleeper", set, &[op(0, -5)]);
    t.semop(set, &[op(0, 5), op(0, -4), op(1, 1)]).must();
    t.holds(set, &[1, 1]);
    t.semop(set, &[op(0, 4)]).must();
    t.join(child);
}

fn array_that_takes_again_what_it_gave_wakes_nobody(t: &Stage) {
    let set = t.set_of(&[0]);
    let child = sleeper(t, "sleeper", set, &[op(0, -1)]);
    t.semop(set, &[op(0, 1), op(0, -1)]).must();
    t.holds(set, &[0]);
    dismiss(t, set, vec![child]);
}

fn array_gives_on_one_and_takes_on_another(t: &Stage) {
    let set = t.set_of(&[0, 1]);
    let left = sleeper(t, "left", set, &[op(0, -1)]);
    let right = sleeper(t, "right", set, &[op(1, -2)]);
    t.semop(set, &[op(0, 1), op(1, -1)]).must();
    t.join(left);
    t.holds(set, &[0, 0]);
    t.semop(set, &[op(1, 2)]).must();
    t.join(right);
}

fn more_than_32767_is_erange_whatever_a_sleeper_would_take(t: &Stage) {
    let set = t.set_of(&[5]);
    let child = sleeper(t, "sleeper", set, &[op(0, -9)]);
    t.semop(set, &[op(0, SEMVMX)]).fails(libc::ERANGE);
    t.awaited(set, 0, 1, 0);
    t.holds(set, &[5]);
    t.semop(set, &[op(0, SEMVMX - 5)]).must();
    t.join(child);
    t.holds(set, &[32758]);
}
