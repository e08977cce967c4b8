//! Signal handlers that use queues themselves, and handlers that never return.

use super::signals::full;
use crate::call;
use crate::errno::Errno;
use crate::msg::Queue;
use crate::players::Gate;
use crate::scenarios::{Scenario, table};
use crate::signals;
use crate::stage::Stage;
use libc::{
    EAGAIN, EIDRM, EINTR, EINVAL, ENOMSG, IPC_NOWAIT, SA_RESTART, SIGALRM, SIGUSR1, SIGUSR2,
};
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering::SeqCst};

pub(super) const ALL: &[Scenario] = table![
    handler_that_sends_leaves_its_message_queued,
    handler_that_receives_takes_from_the_waiting_call,
    handler_that_removes_the_queue_still_means_eintr,
    handler_sends_and_receives_in_the_midst_of_calls,
    handler_removes_the_queue_in_the_midst_of_calls,
    queue_is_usable_after_jumping_out_of_a_receive,
    jumped_out_receiver_takes_no_message,
    queue_is_usable_after_jumping_out_of_a_send,
    copy_made_by_a_handler_ends_its_receive_alone,
    copy_made_by_a_handler_ends_its_send_alone,
];

/// The queue that handlers use.
static QUEUE: AtomicI32 = AtomicI32::new(-1);

/// A receiver waits, a signal comes, and `handler` runs in its midst.
fn handled_in_a_receive(t: &Stage, handler: fn(), afterwards: impl FnOnce(&Stage, Queue)) {
    let queue = t.private();
    QUEUE.store(queue.0, SeqCst);
    let child = t.spawn("receiver", |t| {
        signals::handle(SIGUSR1, SA_RESTART, handler);
        t.recv(queue, 100, 1, 0).fails(EINTR);
        afterwards(t, queue);
    });
    t.wait_blocked(&child);
    t.signal(&child, SIGUSR1);
    t.join(child);
}

fn handler_that_sends_leaves_its_message_queued(t: &Stage) {
    let handler = || {
        let sent = call::send_word(QUEUE.load(SeqCst), 1, 77, IPC_NOWAIT);
        assert!(sent.is_ok());
    };
    handled_in_a_receive(t, handler, |t, queue| {
        assert_eq!(call::receive_word(queue.0, 1, IPC_NOWAIT), Ok((1, 77)));
        t.is_empty(queue);
    });
}

fn handler_that_receives_takes_from_the_waiting_call(t: &Stage) {
    let handler = || {
        let id = QUEUE.load(SeqCst);
        assert!(call::send_word(id, 1, 78, IPC_NOWAIT).is_ok());
        assert!(call::receive_word(id, 1, IPC_NOWAIT) == Ok((1, 78)));
        assert!(call::receive_word(id, 1, IPC_NOWAIT) == Err(Errno(ENOMSG)));
    };
    handled_in_a_receive(t, handler, |t, queue| t.is_empty(queue));
}

fn handler_that_removes_the_queue_still_means_eintr(t: &Stage) {
    let handler = || {
        let removed = call::msgctl(QUEUE.load(SeqCst), libc::IPC_RMID, &mut call::blank_ds());
        assert!(removed.is_ok());
    };
    handled_in_a_receive(t, handler, |t, queue| t.stat(queue).fails(EINVAL));
}

fn handler_sends_and_receives_in_the_midst_of_calls(t: &Stage) {
    static ROUNDS: AtomicU64 = AtomicU64::new(0);
    let queue = t.private();
    QUEUE.store(queue.0, SeqCst);
    signals::handle(SIGALRM, SA_RESTART, || {
        let (id, round) = (QUEUE.load(SeqCst), ROUNDS.fetch_add(1, SeqCst));
        assert!(call::send_word(id, 9, round, IPC_NOWAIT).is_ok());
        assert!(call::receive_word(id, 9, IPC_NOWAIT) == Ok((9, round)));
    });
    signals::alarm_every(150);
    let mut word = 0;
    while word < 2000 || (ROUNDS.load(SeqCst) < 100 && word < 10_000_000) {
        let sent = call::send_word(queue.0, 1, word, 0);
        assert!(sent.is_ok(), "{sent:?}");
        let received = call::receive_word(queue.0, 1, 0);
        assert_eq!(received, Ok((1, word)));
        word += 1;
    }
    signals::alarm_every(0);
    assert!(ROUNDS.load(SeqCst) >= 100, "the timer ticked");
    t.is_empty(queue);
    assert_eq!(t.stat(queue).must().cbytes, 0);
}

fn handler_removes_the_queue_in_the_midst_of_calls(t: &Stage) {
    signals::handle(SIGALRM, 0, || {
        let id = QUEUE.swap(-1, SeqCst);
        if id >= 0 {
            let removed = call::msgctl(id, libc::IPC_RMID, &mut call::blank_ds());
            assert!(removed.is_ok());
        }
    });
    signals::alarm_every(300);
    for _ in 0..100 {
        let queue = call::msgget(libc::IPC_PRIVATE, 0o600).expect("a queue");
        QUEUE.store(queue, SeqCst);
        let end = loop {
            let failed = call::send_word(queue, 1, 5, 0).err();
            if let Some(errno) = failed.or(call::receive_word(queue, 1, 0).err()) {
                break errno;
            }
        };
        // It was removed between two calls or within one; in a wait it would be EINTR.
        assert!([EINVAL, EIDRM, EINTR].map(Errno).contains(&end), "{end}");
        assert_eq!(QUEUE.load(SeqCst), -1);
    }
    signals::alarm_every(0);
    assert_eq!(t.usage().must().1.msgpool, 0);
}

fn queue_is_usable_after_jumping_out_of_a_receive(t: &Stage) {
    let queue = t.private();
    let child = t.spawn("receiver", |t| {
        signals::handle(SIGUSR1, 0, signals::jump_out);
        t.abandonable(&mut || t.recv(queue, 100, 0, 0).fails(EINTR));
        t.say("jumped out");
        t.put(queue, 1, "still works");
        assert_eq!(t.take(queue, 0), "still works");
        assert_eq!(t.recv(queue, 100, 0, 0).must().text, b"waits again");
    });
    t.wait_blocked(&child);
    t.signal(&child, SIGUSR1);
    t.wait_returned(&child, 3);
    t.wait_blocked(&child);
    t.put(queue, 1, "waits again");
    t.join(child);
    t.is_empty(queue);
}

fn jumped_out_receiver_takes_no_message(t: &Stage) {
    let queue = t.private();
    let gate = crate::players::Gate::new();
    let child = t.spawn("receiver", |t| {
        signals::handle(SIGUSR1, 0, signals::jump_out);
        t.abandonable(&mut || t.recv(queue, 100, 0, 0).fails(EINTR));
        t.tell(1);
        gate.pass();
    });
    t.wait_blocked(&child);
    t.signal(&child, SIGUSR1);
    t.hear(&child, 1);
    t.put(queue, 1, "for others");
    assert_eq!(t.take(queue, 0), "for others");
    gate.open();
    t.join(child);
}

fn queue_is_usable_after_jumping_out_of_a_send(t: &Stage) {
    let queue = full(t);
    let child = t.spawn("sender", |t| {
        signals::handle(SIGUSR2, 0, signals::jump_out);
        t.abandonable(&mut || t.send(queue, 2, "lost", 0).must());
        t.send(queue, 2, "next", IPC_NOWAIT).fails(EAGAIN);
        assert_eq!(t.take(queue, 0), "full");
        t.put(queue, 2, "next");
    });
    t.wait_blocked(&child);
    t.signal(&child, SIGUSR2);
    t.join(child);
    assert_eq!(t.take(queue, 0), "next");
    t.is_empty(queue);
}

/// A handler forks in the midst of a call, and returns in both. The first process waits again, and then
/// the copy's call ends, which is nothing to the other.
fn copied_in_a_call(t: &Stage, queue: Queue, call: fn(i32) -> Result<(), Errno>) {
    let gates = [Gate::new(), Gate::new()];
    let child = t.spawn("sleeper", |t| {
        t.fork_in_a_call(SIGUSR1, gates, || call(queue.0));
        let again = || call(queue.0);
        t.call(format_args!("again"), again, |()| "done".to_owned())
            .must();
        signals::reap_the_copy();
    });
    t.wait_blocked(&child);
    t.signal(&child, SIGUSR1);
    t.wait_returned(&child, 1);
    t.wait_blocked(&child);
    let [go, gone] = gates;
    go.open();
    gone.pass();
    match t.stat(queue).must().qnum {
        0 => t.put(queue, 1, "a message for the first"),
        _ => assert_eq!(t.take(queue, 0), "full"),
    }
    t.join(child);
}

fn copy_made_by_a_handler_ends_its_receive_alone(t: &Stage) {
    let queue = t.private();
    copied_in_a_call(t, queue, |id| {
        call::msgrcv(id, 100, 0, 0)
            .map(|message| assert_eq!(message.text, b"a message for the first"))
    });
    t.is_empty(queue);
}

fn copy_made_by_a_handler_ends_its_send_alone(t: &Stage) {
    let queue = full(t);
    copied_in_a_call(t, queue, |id| call::msgsnd(id, 2, b"sent", 0));
    assert_eq!(t.take(queue, 0), "sent");
    t.is_empty(queue);
}
