//! Sleepers that wait for a semaphore to grow: who goes on, in which order, and with what.

use crate::players::{Child, Gate};
use crate::scenarios::{Scenario, table};
use crate::sem::{Op, Set, op, zero};
use crate::stage::Stage;
use libc::{EIDRM, EINVAL, ERANGE};

pub(super) const ALL: &[Scenario] = table![
    sleeper_goes_on_when_the_value_suffices,
    sleeper_stays_while_the_value_does_not_suffice,
    sleepers_are_served_in_turn,
    one_up_serves_as_many_as_it_can,
    one_up_of_two_serves_the_first_two,
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
    sleeper_meets_a_range_error_when_its_turn_comes,
    setval_wakes_sleepers,
    setall_wakes_sleepers,
    lowered_value_wakes_nobody,
    removal_wakes_all_sleepers_with_eidrm,
    removal_wakes_complex_sleepers_with_eidrm,
    killed_sleeper_takes_nothing,
    killed_sleepers_turn_goes_to_the_next,
    killed_sleeper_in_front_of_a_complex_one,
    sleepers_of_other_semaphores_stay_asleep,
    sleepers_of_other_sets_stay_asleep,
    sleeper_keeps_waiting_over_a_mode_change,
    mutex_by_two_children_excludes,
];

/// Starts a child that makes this call, and waits until it sleeps in it.
pub(super) fn sleeper(t: &Stage, name: &'static str, set: Set, ops: &[Op]) -> Child {
    let child = t.spawn(name, |t| t.semop(set, ops).must());
    t.wait_blocked(&child);
    child
}

/// Asserts that these sleep on, then removes the set under them.
fn dismiss(t: &Stage, set: Set, sleepers: Vec<Child>) {
    sleepers.iter().for_each(|child| t.wait_blocked(child));
    sleepers.into_iter().for_each(|child| t.kill(child));
    t.semrm(set).must();
}

fn sleeper_goes_on_when_the_value_suffices(t: &Stage) {
    let set = t.set_of(&[0]);
    let child = sleeper(t, "sleeper", set, &[op(0, -1)]);
    t.semop(set, &[op(0, 1)]).must();
    t.join(child);
    t.holds(set, &[0]);
}

fn sleeper_stays_while_the_value_does_not_suffice(t: &Stage) {
    let set = t.set_of(&[0]);
    let child = sleeper(t, "sleeper", set, &[op(0, -3)]);
    for value in 1..=2 {
        t.semop(set, &[op(0, 1)]).must();
        t.wait_blocked(&child);
        t.holds(set, &[value]);
    }
    t.semop(set, &[op(0, 1)]).must();
    t.join(child);
    t.holds(set, &[0]);
}

fn sleepers_are_served_in_turn(t: &Stage) {
    let set = t.set_of(&[0]);
    let children = ["first", "second", "third"].map(|name| sleeper(t, name, set, &[op(0, -1)]));
    for (served, child) in children.into_iter().enumerate() {
        t.semop(set, &[op(0, 1)]).must();
        t.join(child);
        t.awaited(set, 0, 2 - served as i32, 0);
    }
}

fn one_up_serves_as_many_as_it_can(t: &Stage) {
    let set = t.set_of(&[0]);
    let children = ["first", "second", "third"].map(|name| sleeper(t, name, set, &[op(0, -1)]));
    t.semop(set, &[op(0, 5)]).must();
    children.into_iter().for_each(|child| t.join(child));
    t.holds(set, &[2]);
}

fn one_up_of_two_serves_the_first_two(t: &Stage) {
    let set = t.set_of(&[0]);
    let [first, second, third] =
        ["first", "second", "third"].map(|name| sleeper(t, name, set, &[op(0, -1)]));
    t.semop(set, &[op(0, 2)]).must();
    t.join(first);
    t.join(second);
    t.holds(set, &[0]);
    dismiss(t, set, vec![third]);
}

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

fn sleeper_meets_a_range_error_when_its_turn_comes(t: &Stage) {
    let set = t.set_of(&[0, 32760]);
    let child = t.spawn("sleeper", |t| {
        t.semop(set, &[op(0, -1), op(1, 10)]).fails(ERANGE)
    });
    t.wait_blocked(&child);
    t.semop(set, &[op(0, 1)]).must();
    t.join(child);
    t.holds(set, &[1, 32760]);
}

fn setval_wakes_sleepers(t: &Stage) {
    let set = t.set_of(&[0]);
    let children = ["first", "second"].map(|name| sleeper(t, name, set, &[op(0, -2)]));
    t.setval(set, 0, 5).must();
    t.holds(set, &[1]);
    children.into_iter().for_each(|child| t.join(child));
}

fn setall_wakes_sleepers(t: &Stage) {
    let set = t.set_of(&[0, 0, 0]);
    let one = sleeper(t, "one", set, &[op(0, -2)]);
    let two = sleeper(t, "two", set, &[op(1, -1), op(2, -1)]);
    t.setall(set, &[3, 3, 3]).must();
    t.holds(set, &[1, 2, 2]);
    t.join(one);
    t.join(two);
}

fn lowered_value_wakes_nobody(t: &Stage) {
    let set = t.set_of(&[5]);
    let child = sleeper(t, "sleeper", set, &[op(0, -9)]);
    t.setval(set, 0, 3).must();
    t.semop(set, &[op(0, -3)]).must();
    dismiss(t, set, vec![child]);
}

fn removal_wakes_all_sleepers_with_eidrm(t: &Stage) {
    let set = t.set_of(&[0, 1]);
    let children = [
        ("down", op(0, -1)),
        ("zero", zero(1)),
        ("undo", op(0, -1).undo()),
    ]
    .map(|(name, op)| {
        let child = t.spawn(name, |t| {
            t.semop(set, &[op]).fails(EIDRM);
            t.semop(set, &[op]).fails(EINVAL);
        });
        t.wait_blocked(&child);
        child
    });
    t.semrm(set).must();
    children.into_iter().for_each(|child| t.join(child));
}

fn removal_wakes_complex_sleepers_with_eidrm(t: &Stage) {
    let set = t.set_of(&[0, 1]);
    let arrays = [
        ("downs", [op(0, -1), op(1, -1)]),
        ("zeros", [zero(0), zero(1)]),
        ("mixed", [zero(0), op(1, -5)]),
    ];
    let children = arrays.map(|(name, ops)| {
        let child = t.spawn(name, |t| t.semop(set, &ops).fails(EIDRM));
        t.wait_blocked(&child);
        child
    });
    t.semrm(set).must();
    children.into_iter().for_each(|child| t.join(child));
}

fn killed_sleeper_takes_nothing(t: &Stage) {
    let set = t.set_of(&[0]);
    let child = sleeper(t, "sleeper", set, &[op(0, -1)]);
    t.kill(child);
    t.awaited(set, 0, 0, 0);
    t.semop(set, &[op(0, 1)]).must();
    t.holds(set, &[1]);
}

fn killed_sleepers_turn_goes_to_the_next(t: &Stage) {
    let set = t.set_of(&[0]);
    let victim = sleeper(t, "victim", set, &[op(0, -1)]);
    let next = sleeper(t, "next", set, &[op(0, -1)]);
    t.kill(victim);
    t.semop(set, &[op(0, 1)]).must();
    t.join(next);
    t.holds(set, &[0]);
}

fn killed_sleeper_in_front_of_a_complex_one(t: &Stage) {
    let set = t.set_of(&[0, 0]);
    let victim = sleeper(t, "victim", set, &[op(0, -1), op(1, -1)]);
    let next = sleeper(t, "next", set, &[op(1, -1), op(0, -1)]);
    t.kill(victim);
    t.semop(set, &[op(0, 1), op(1, 1)]).must();
    t.join(next);
    t.holds(set, &[0, 0]);
}

fn sleepers_of_other_semaphores_stay_asleep(t: &Stage) {
    let set = t.set_of(&[0; 3]);
    let stays = sleeper(t, "stays", set, &[op(1, -1)]);
    let goes = sleeper(t, "goes", set, &[op(2, -1)]);
    t.semop(set, &[op(0, 1), op(2, 1)]).must();
    t.join(goes);
    t.awaited(set, 1, 1, 0);
    dismiss(t, set, vec![stays]);
}

fn sleepers_of_other_sets_stay_asleep(t: &Stage) {
    let (one, two) = (t.set_of(&[0]), t.set_of(&[0]));
    let stays = sleeper(t, "stays", one, &[op(0, -1)]);
    t.semop(two, &[op(0, 1)]).must();
    t.semrm(two).must();
    dismiss(t, one, vec![stays]);
}

fn sleeper_keeps_waiting_over_a_mode_change(t: &Stage) {
    let set = t.set_of(&[0]);
    let child = sleeper(t, "sleeper", set, &[op(0, -1)]);
    t.semchange(set, |stat| stat.mode = 0o640).must();
    t.wait_blocked(&child);
    t.semop(set, &[op(0, 1)]).must();
    t.join(child);
}

fn mutex_by_two_children_excludes(t: &Stage) {
    let set = t.set_of(&[1, 0]);
    let gate = Gate::new();
    // Whoever is inside raises semaphore 1, which must be zero for the next.
    let children = ["one", "two"].map(|name| {
        t.spawn(name, |_| {
            gate.pass();
            for _ in 0..500 {
                let enter = crate::semcall::semop(set.0, &[op(0, -1)]);
                let inside = crate::semcall::semop(set.0, &[zero(1).nowait(), op(1, 1)]);
                let outside = crate::semcall::semop(set.0, &[op(1, -1).nowait()]);
                let leave = crate::semcall::semop(set.0, &[op(0, 1)]);
                assert_eq!(
                    (enter, inside, outside, leave),
                    (Ok(()), Ok(()), Ok(()), Ok(()))
                );
            }
        })
    });
    gate.open();
    children.into_iter().for_each(|child| t.join(child));
    t.holds(set, &[1, 0]);
}
