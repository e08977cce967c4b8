//! Receivers that wait: who wakes for what, in which order, and when a message becomes theirs.

use crate::memory::Area;
use crate::scenarios::{Scenario, table};
use crate::stage::Stage;
use libc::{E2BIG, EFAULT, EIDRM, ENOMSG, IPC_NOWAIT, MSG_EXCEPT, MSG_NOERROR};

pub(super) const ALL: &[Scenario] = table![
    receiver_waits_for_a_message,
    receiver_of_a_type_sleeps_through_others,
    receiver_with_a_bound_sleeps_through_higher_types,
    receiver_with_an_exception_sleeps_through_that_type,
    receiver_with_long_min_takes_any_type,
    receiver_is_waiting_though_other_messages_are_there,
    message_belongs_to_the_waiting_receiver_when_sent,
    handed_over_message_is_never_in_the_queue,
    receivers_of_one_type_are_served_in_turn,
    first_receiver_that_matches_wins,
    receiver_of_any_type_before_the_exact_one_wins,
    each_receiver_gets_its_own_type,
    small_buffer_of_a_waiting_receiver_is_e2big,
    receiver_behind_a_small_buffer_gets_the_message,
    waiting_receiver_with_noerror_gets_it_cut,
    waiting_receiver_with_a_bad_buffer_loses_the_message,
    removal_wakes_all_receivers_with_eidrm,
    killed_receiver_takes_nothing,
    killed_receivers_place_goes_to_the_next,
    receivers_keep_waiting_over_a_mode_change,
    receiver_waits_with_size_zero,
    one_process_waits_on_two_queues,
];

fn receiver_waits_for_a_message(t: &Stage) {
    let queue = t.private();
    let child = t.spawn("receiver", |t| {
        assert_eq!(t.recv(queue, 100, 0, 0).must().text, b"hello");
    });
    t.wait_blocked(&child);
    t.put(queue, 1, "hello");
    t.join(child);
    t.stat(queue).must();
}

/// A receiver that asks for `mtype` sleeps through all of `others` and takes `wanted`.
fn wakes_only_for(t: &Stage, mtype: i64, flags: i32, others: &[i64], wanted: i64) {
    let queue = t.private();
    let child = t.spawn("receiver", |t| {
        assert_eq!(t.recv(queue, 100, mtype, flags).must().mtype, wanted);
    });
    t.wait_blocked(&child);
    for &other in others {
        t.put(queue, other, "not this");
        t.wait_blocked(&child);
    }
    t.put(queue, wanted, "this");
    t.join(child);
    assert_eq!(t.drain(queue).len(), others.len());
}

fn receiver_of_a_type_sleeps_through_others(t: &Stage) {
    wakes_only_for(t, 5, 0, &[4, 6, (1 << 32) + 5], 5);
}

fn receiver_with_a_bound_sleeps_through_higher_types(t: &Stage) {
    wakes_only_for(t, -5, 0, &[6, i64::MAX], 5);
    wakes_only_for(t, -5, 0, &[7], 1);
}

fn receiver_with_an_exception_sleeps_through_that_type(t: &Stage) {
    wakes_only_for(t, 5, MSG_EXCEPT, &[5, 5, 5], 6);
    wakes_only_for(t, 5, MSG_EXCEPT, &[5], 1);
}

fn receiver_with_long_min_takes_any_type(t: &Stage) {
    wakes_only_for(t, i64::MIN, 0, &[], i64::MAX);
}

fn receiver_is_waiting_though_other_messages_are_there(t: &Stage) {
    let queue = t.private();
    t.put(queue, 1, "one");
    t.put(queue, 2, "two");
    let child = t.spawn("receiver", |t| {
        assert_eq!(t.recv(queue, 100, 3, 0).must().text, b"three");
    });
    t.wait_blocked(&child);
    assert_eq!(t.take(queue, 0), "one");
    t.wait_blocked(&child);
    t.put(queue, 3, "three");
    t.join(child);
}

fn message_belongs_to_the_waiting_receiver_when_sent(t: &Stage) {
    for round in 0..20 {
        let queue = t.private();
        let child = t.spawn("receiver", |t| {
            t.recv(queue, 100, 0, 0).must();
        });
        t.wait_blocked(&child);
        // Whether the receiver has run since or not, nobody else may take it.
        let (sent, stolen) = (
            crate::call::msgsnd(queue.0, 1, b"x", 0),
            crate::call::msgrcv(queue.0, 10, 0, IPC_NOWAIT),
        );
        assert_eq!(sent, Ok(()), "round {round}");
        assert_eq!(stolen, Err(crate::errno::Errno(ENOMSG)), "round {round}");
        t.join(child);
    }
}

fn handed_over_message_is_never_in_the_queue(t: &Stage) {
    let queue = t.private();
    let child = t.spawn("receiver", |t| {
        t.recv(queue, 100, 0, 0).must();
    });
    t.wait_blocked(&child);
    t.put(queue, 1, "x");
    let stat = t.stat(queue).must();
    assert_eq!((stat.qnum, stat.cbytes, stat.lrpid), (0, 0, child.pid));
    assert_ne!(stat.rtime, 0);
    t.join(child);
}

fn receivers_of_one_type_are_served_in_turn(t: &Stage) {
    let queue = t.private();
    let children = ["first", "second", "third", "fourth"].map(|name| {
        let child = t.spawn(name, |t| {
            let text = t.recv(queue, 100, 1, 0).must().text;
            assert_eq!(text, name.as_bytes());
        });
        t.wait_blocked(&child);
        child
    });
    for name in ["first", "second", "third", "fourth"] {
        t.put(queue, 1, name);
    }
    children.into_iter().for_each(|child| t.join(child));
}

/// Two receivers wait, the first asking for `one`, the second for `two`: a message of type 3 is
/// the first's, the next the second's.
fn first_wins(t: &Stage, one: i64, two: i64) {
    let queue = t.private();
    let first = t.spawn("first", |t| {
        assert_eq!(t.recv(queue, 100, one, 0).must().text, b"a")
    });
    t.wait_blocked(&first);
    let second = t.spawn("second", |t| {
        assert_eq!(t.recv(queue, 100, two, 0).must().text, b"b")
    });
    t.wait_blocked(&second);
    t.put(queue, 3, "a");
    t.put(queue, 3, "b");
    t.join(first);
    t.join(second);
}

fn first_receiver_that_matches_wins(t: &Stage) {
    first_wins(t, 3, 0);
    first_wins(t, 3, -3);
}

fn receiver_of_any_type_before_the_exact_one_wins(t: &Stage) {
    first_wins(t, 0, 3);
    first_wins(t, -9, 3);
}

fn each_receiver_gets_its_own_type(t: &Stage) {
    let queue = t.private();
    let children = [("one", 1), ("two", 2), ("three", 3)].map(|(name, mtype)| {
        let child = t.spawn(name, |t| {
            assert_eq!(t.recv(queue, 100, mtype, 0).must().text, name.as_bytes());
        });
        t.wait_blocked(&child);
        child
    });
    t.put(queue, 3, "three");
    t.put(queue, 1, "one");
    t.put(queue, 2, "two");
    children.into_iter().for_each(|child| t.join(child));
}

fn small_buffer_of_a_waiting_receiver_is_e2big(t: &Stage) {
    let queue = t.private();
    let child = t.spawn("receiver", |t| t.recv(queue, 3, 0, 0).fails(E2BIG));
    t.wait_blocked(&child);
    t.put(queue, 1, "too long");
    t.join(child);
    assert_eq!(t.stat(queue).must().lrpid, 0);
    assert_eq!(t.take(queue, 0), "too long");
}

fn receiver_behind_a_small_buffer_gets_the_message(t: &Stage) {
    let queue = t.private();
    let small = t.spawn("small", |t| t.recv(queue, 3, 0, 0).fails(E2BIG));
    t.wait_blocked(&small);
    let large = t.spawn("large", |t| {
        assert_eq!(t.recv(queue, 9, 0, 0).must().text, b"too long")
    });
    t.wait_blocked(&large);
    t.put(queue, 1, "too long");
    t.join(small);
    t.join(large);
    t.is_empty(queue);
}

fn waiting_receiver_with_noerror_gets_it_cut(t: &Stage) {
    let queue = t.private();
    let child = t.spawn("receiver", |t| {
        assert_eq!(t.recv(queue, 3, 0, MSG_NOERROR).must().text, b"too");
    });
    t.wait_blocked(&child);
    t.put(queue, 1, "too long");
    t.join(child);
    t.is_empty(queue);
}

fn waiting_receiver_with_a_bad_buffer_loses_the_message(t: &Stage) {
    let queue = t.private();
    let child = t.spawn("receiver", |t| {
        t.recv_into(queue, &Area::unmapped(), 100, 0, 0)
            .fails(EFAULT);
    });
    t.wait_blocked(&child);
    t.put(queue, 1, "lost");
    t.join(child);
    t.is_empty(queue);
    assert_ne!(t.stat(queue).must().lrpid, 0);
}

fn removal_wakes_all_receivers_with_eidrm(t: &Stage) {
    let queue = t.private();
    let children = [("any", 0), ("exact", 7), ("bound", -7)].map(|(name, mtype)| {
        let child = t.spawn(name, |t| t.recv(queue, 100, mtype, 0).fails(EIDRM));
        t.wait_blocked(&child);
        child
    });
    t.remove(queue).must();
    children.into_iter().for_each(|child| t.join(child));
}

fn killed_receiver_takes_nothing(t: &Stage) {
    let queue = t.private();
    let child = t.spawn("receiver", |t| {
        t.recv(queue, 100, 0, 0).must();
    });
    t.wait_blocked(&child);
    t.kill(child);
    t.put(queue, 1, "kept");
    assert_eq!(t.stat(queue).must().qnum, 1);
    assert_eq!(t.take(queue, 0), "kept");
}

fn killed_receivers_place_goes_to_the_next(t: &Stage) {
    let queue = t.private();
    let victim = t.spawn("victim", |t| {
        t.recv(queue, 100, 0, 0).must();
    });
    t.wait_blocked(&victim);
    let next = t.spawn("next", |t| {
        assert_eq!(t.recv(queue, 100, 0, 0).must().text, b"kept")
    });
    t.wait_blocked(&next);
    t.kill(victim);
    t.put(queue, 1, "kept");
    t.join(next);
    t.is_empty(queue);
}

fn receivers_keep_waiting_over_a_mode_change(t: &Stage) {
    let queue = t.private();
    let child = t.spawn("receiver", |t| {
        assert_eq!(t.recv(queue, 100, 0, 0).must().text, b"at last");
    });
    t.wait_blocked(&child);
    t.change(queue, |stat| stat.mode = 0o644).must();
    t.wait_blocked(&child);
    t.put(queue, 1, "at last");
    t.join(child);
}

fn receiver_waits_with_size_zero(t: &Stage) {
    let queue = t.private();
    let child = t.spawn("receiver", |t| {
        assert_eq!(t.recv(queue, 0, 0, 0).must().mtype, 42);
    });
    t.wait_blocked(&child);
    t.put(queue, 42, "");
    t.join(child);
}

fn one_process_waits_on_two_queues(t: &Stage) {
    let (left, right) = (t.private(), t.private());
    let one = t.thread("left", move |t| {
        assert_eq!(t.recv(left, 100, 0, 0).must().text, b"l")
    });
    let two = t.thread("right", move |t| {
        assert_eq!(t.recv(right, 100, 0, 0).must().text, b"r")
    });
    t.wait_blocked(&one);
    t.wait_blocked(&two);
    t.put(right, 1, "r");
    t.join_thread(two);
    t.wait_blocked(&one);
    t.put(left, 1, "l");
    t.join_thread(one);
}
