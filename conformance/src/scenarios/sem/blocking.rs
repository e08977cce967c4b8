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

/// Asserts that these sleep on, then ends them and the set.
pub(super) fn dismiss(t: &Stage, set: Set, sleepers: Vec<Child>) {
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
