//! Signals: what ends a wait, and what does not.

use crate::msg::Queue;
use crate::process::{self, Ending};
use crate::scenarios::{Scenario, table};
use crate::signals;
use crate::stage::Stage;
use libc::{
    EINTR, ENOMSG, IPC_NOWAIT, SA_RESTART, SIG_BLOCK, SIG_UNBLOCK, SIGALRM, SIGCHLD, SIGCONT,
    SIGTERM, SIGUSR1, SIGWINCH,
};

pub(super) const ALL: &[Scenario] = table![
    handler_interrupts_a_waiting_receiver,
    handler_interrupts_a_waiting_sender,
    sa_restart_does_not_restart_a_receive,
    sa_restart_does_not_restart_a_send,
    interrupted_receiver_can_wait_again,
    interrupted_sender_can_wait_again,
    interrupted_receiver_gave_up_its_place,
    alarm_interrupts_a_receive,
    ignored_signal_does_not_interrupt,
    signals_ignored_by_default_do_not_interrupt,
    blocked_signal_does_not_interrupt,
    blocked_signal_is_delivered_after_the_call,
    handler_in_another_thread_does_not_interrupt,
    change_of_user_by_another_thread_interrupts_a_receiver,
    deadly_signal_ends_a_waiting_receiver,
    stop_and_continue_do_not_interrupt_a_receiver,
    stop_and_continue_do_not_interrupt_a_sender,
    continue_with_a_handler_interrupts,
    stopped_and_continued_receiver_goes_to_the_end_of_the_line,
    stopped_receiver_holds_nothing_back,
    receive_that_need_not_wait_ignores_pending_signals,
];

/// A queue without room.
pub(super) fn full(t: &Stage) -> Queue {
    let queue = t.private();
    t.change(queue, |stat| stat.qbytes = 4).must();
    t.put(queue, 1, "full");
    queue
}

fn receive_is_interrupted(t: &Stage, flags: i32) {
    let queue = t.private();
    let child = t.spawn("receiver", |t| {
        signals::count(SIGUSR1, flags);
        t.recv(queue, 100, 0, 0).fails(EINTR);
        assert_eq!(signals::seen(), 1);
    });
    t.wait_blocked(&child);
    t.signal(&child, SIGUSR1);
    t.join(child);
    t.put(queue, 1, "kept");
    assert_eq!(t.take(queue, 0), "kept");
}

fn send_is_interrupted(t: &Stage, flags: i32) {
    let queue = full(t);
    let child = t.spawn("sender", |t| {
        signals::count(SIGUSR1, flags);
        t.send(queue, 2, "lost", 0).fails(EINTR);
        assert_eq!(signals::seen(), 1);
    });
    t.wait_blocked(&child);
    t.signal(&child, SIGUSR1);
    t.join(child);
    assert_eq!(t.take(queue, 0), "full");
    t.is_empty(queue);
}

fn handler_interrupts_a_waiting_receiver(t: &Stage) {
    receive_is_interrupted(t, 0);
}

fn handler_interrupts_a_waiting_sender(t: &Stage) {
    send_is_interrupted(t, 0);
}

fn sa_restart_does_not_restart_a_receive(t: &Stage) {
    receive_is_interrupted(t, SA_RESTART);
}

fn sa_restart_does_not_restart_a_send(t: &Stage) {
    send_is_interrupted(t, SA_RESTART);
}

fn interrupted_receiver_can_wait_again(t: &Stage) {
    let queue = t.private();
    let child = t.spawn("receiver", |t| {
        signals::count(SIGUSR1, SA_RESTART);
        for _ in 0..3 {
            t.recv(queue, 100, 0, 0).fails(EINTR);
        }
        assert_eq!(t.recv(queue, 100, 0, 0).must().text, b"hello");
    });
    for interrupted in 1..=3 {
        t.wait_blocked(&child);
        t.signal(&child, SIGUSR1);
        t.wait_returned(&child, interrupted);
    }
    t.wait_blocked(&child);
    t.put(queue, 1, "hello");
    t.join(child);
}

fn interrupted_sender_can_wait_again(t: &Stage) {
    let queue = full(t);
    let child = t.spawn("sender", |t| {
        signals::count(SIGUSR1, 0);
        t.send(queue, 2, "next", 0).fails(EINTR);
        t.send(queue, 2, "next", 0).must();
    });
    t.wait_blocked(&child);
    t.signal(&child, SIGUSR1);
    t.wait_returned(&child, 1);
    t.wait_blocked(&child);
    t.take(queue, 0);
    t.join(child);
    assert_eq!(t.take(queue, 2), "next");
}

fn interrupted_receiver_gave_up_its_place(t: &Stage) {
    let queue = t.private();
    let first = t.spawn("first", |t| {
        signals::count(SIGUSR1, 0);
        t.recv(queue, 100, 0, 0).fails(EINTR);
        assert_eq!(t.recv(queue, 100, 0, 0).must().text, b"two");
    });
    t.wait_blocked(&first);
    let second = t.spawn("second", |t| {
        assert_eq!(t.recv(queue, 100, 0, 0).must().text, b"one")
    });
    t.wait_blocked(&second);
    t.signal(&first, SIGUSR1);
    t.wait_returned(&first, 1);
    t.wait_blocked(&first);
    t.put(queue, 1, "one");
    t.put(queue, 1, "two");
    t.join(first);
    t.join(second);
}

fn alarm_interrupts_a_receive(t: &Stage) {
    let queue = t.private();
    signals::count(SIGALRM, SA_RESTART);
    signals::alarm(1);
    t.recv(queue, 100, 0, 0).fails(EINTR);
    assert_eq!(signals::seen(), 1);
}

/// A waiting receiver sleeps through these signals.
fn sleeps_through(t: &Stage, sent: &[i32], prepare: impl FnOnce(), afterwards: impl FnOnce()) {
    let queue = t.private();
    let child = t.spawn("receiver", |t| {
        prepare();
        assert_eq!(t.recv(queue, 100, 0, 0).must().text, b"hello");
        afterwards();
    });
    t.wait_blocked(&child);
    for &signal in sent {
        t.signal(&child, signal);
        t.wait_blocked(&child);
    }
    t.put(queue, 1, "hello");
    t.join(child);
}

fn ignored_signal_does_not_interrupt(t: &Stage) {
    sleeps_through(
        t,
        &[SIGUSR1, SIGTERM],
        || {
            [SIGUSR1, SIGTERM]
                .map(signals::ignore)
                .into_iter()
                .collect()
        },
        || {},
    );
}

fn signals_ignored_by_default_do_not_interrupt(t: &Stage) {
    sleeps_through(t, &[SIGCHLD, SIGWINCH, libc::SIGURG, SIGCONT], || {}, || {});
}

fn blocked_signal_does_not_interrupt(t: &Stage) {
    let prepare = || {
        signals::count(SIGUSR1, 0);
        signals::mask(SIG_BLOCK, SIGUSR1);
    };
    sleeps_through(t, &[SIGUSR1], prepare, || assert_eq!(signals::seen(), 0));
}

fn blocked_signal_is_delivered_after_the_call(t: &Stage) {
    let prepare = || {
        signals::count(SIGUSR1, 0);
        signals::mask(SIG_BLOCK, SIGUSR1);
    };
    let afterwards = || {
        signals::mask(SIG_UNBLOCK, SIGUSR1);
        assert_eq!(signals::seen(), 1);
    };
    sleeps_through(t, &[SIGUSR1, SIGUSR1], prepare, afterwards);
}

fn handler_in_another_thread_does_not_interrupt(t: &Stage) {
    let queue = t.private();
    signals::count(SIGUSR1, 0);
    let thread = t.thread("receiver", move |t| {
        assert_eq!(t.recv(queue, 100, 0, 0).must().text, b"hello");
    });
    t.wait_blocked(&thread);
    process::kill_thread(process::own_tid(), SIGUSR1);
    assert_eq!(signals::seen(), 1);
    t.wait_blocked(&thread);
    t.put(queue, 1, "hello");
    t.join_thread(thread);
}

/// glibc has all threads change, by a signal whose handler has SA_RESTART.
fn change_of_user_by_another_thread_interrupts_a_receiver(t: &Stage) {
    let queue = t.private();
    let thread = t.thread("receiver", move |t| {
        for round in 1..=3 {
            t.recv(queue, 100, 0, 0).fails(EINTR);
            t.tell(round);
        }
    });
    for round in 1..=3 {
        t.wait_blocked(&thread);
        process::set_effective_uid(process::effective_uid());
        t.hear(&thread, round);
    }
    t.join_thread(thread);
    t.put(queue, 1, "kept");
    assert_eq!(t.take(queue, 0), "kept");
}

fn deadly_signal_ends_a_waiting_receiver(t: &Stage) {
    let queue = t.private();
    let child = t.spawn("receiver", |t| {
        t.recv(queue, 100, 0, 0).must();
    });
    t.wait_blocked(&child);
    t.signal(&child, SIGTERM);
    t.reap(child, Ending::Killed(SIGTERM));
    t.put(queue, 1, "kept");
    assert_eq!(t.take(queue, 0), "kept");
}

fn stop_and_continue_do_not_interrupt_a_receiver(t: &Stage) {
    let queue = t.private();
    let child = t.spawn("receiver", |t| {
        assert_eq!(t.recv(queue, 100, 0, 0).must().text, b"hello");
    });
    for _ in 0..3 {
        t.wait_blocked(&child);
        t.stop(&child);
        t.signal(&child, SIGCONT);
    }
    t.wait_blocked(&child);
    t.put(queue, 1, "hello");
    t.join(child);
}

fn stop_and_continue_do_not_interrupt_a_sender(t: &Stage) {
    let queue = full(t);
    let child = t.spawn("sender", |t| t.send(queue, 2, "next", 0).must());
    t.wait_blocked(&child);
    t.stop(&child);
    t.signal(&child, SIGCONT);
    t.wait_blocked(&child);
    t.take(queue, 0);
    t.join(child);
    assert_eq!(t.take(queue, 2), "next");
}

fn continue_with_a_handler_interrupts(t: &Stage) {
    let queue = t.private();
    let child = t.spawn("receiver", |t| {
        signals::count(SIGCONT, SA_RESTART);
        t.recv(queue, 100, 0, 0).fails(EINTR);
        assert_eq!(signals::seen(), 1);
    });
    t.wait_blocked(&child);
    t.stop(&child);
    t.signal(&child, SIGCONT);
    t.join(child);
}

fn stopped_and_continued_receiver_goes_to_the_end_of_the_line(t: &Stage) {
    let queue = t.private();
    let first = t.spawn("first", |t| {
        assert_eq!(t.recv(queue, 100, 0, 0).must().text, b"two")
    });
    t.wait_blocked(&first);
    let second = t.spawn("second", |t| {
        assert_eq!(t.recv(queue, 100, 0, 0).must().text, b"one")
    });
    t.wait_blocked(&second);
    t.stop(&first);
    t.signal(&first, SIGCONT);
    t.wait_blocked(&first);
    t.put(queue, 1, "one");
    t.put(queue, 1, "two");
    t.join(first);
    t.join(second);
}

fn stopped_receiver_holds_nothing_back(t: &Stage) {
    let queue = t.private();
    let child = t.spawn("receiver", |t| {
        assert_eq!(t.recv(queue, 100, 0, 0).must().text, b"second");
    });
    t.wait_blocked(&child);
    t.stop(&child);
    t.put(queue, 1, "first");
    assert_eq!(t.take(queue, 0), "first");
    t.put(queue, 1, "second");
    t.signal(&child, SIGCONT);
    t.join(child);
    t.is_empty(queue);
}

fn receive_that_need_not_wait_ignores_pending_signals(t: &Stage) {
    let queue = t.private();
    t.put(queue, 1, "there");
    signals::count(SIGUSR1, 0);
    signals::mask(SIG_BLOCK, SIGUSR1);
    process::kill_thread(process::own_tid(), SIGUSR1);
    assert_eq!(t.recv(queue, 100, 0, 0).must().text, b"there");
    t.recv(queue, 100, 0, IPC_NOWAIT).fails(ENOMSG);
    t.send(queue, 1, "again", 0).must();
    assert_eq!(signals::seen(), 0);
}
