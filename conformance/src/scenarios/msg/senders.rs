//! Senders that wait for room: who wakes when, and what passes by.

use super::permissions::owned;
use crate::memory::Area;
use crate::msg::Queue;
use crate::process::become_user;
use crate::scenarios::{ANN, BOB, Scenario, table};
use crate::stage::Stage;
use libc::{EACCES, EAGAIN, EIDRM, IPC_NOWAIT};

pub(super) const ALL: &[Scenario] = table![
    sender_waits_for_room,
    waiting_senders_message_comes_last,
    waiting_sender_is_not_yet_seen,
    sender_sleeps_while_room_is_too_small,
    small_sender_overtakes_a_big_one_that_does_not_fit,
    big_sender_gets_through_when_there_is_room,
    newcomer_that_fits_passes_a_waiting_sender,
    room_for_one_lets_one_through,
    room_for_all_lets_all_through,
    sender_of_an_empty_message_waits_for_a_place,
    raising_qbytes_wakes_senders,
    raising_qbytes_too_little_leaves_them_asleep,
    sender_that_is_shut_out_sleeps_until_there_is_room needs_root,
    removal_wakes_all_senders_with_eidrm,
    killed_sender_sends_nothing,
    killed_sender_leaves_its_place_to_others,
    waiting_sender_sends_what_its_buffer_held_at_the_call,
    truncating_receive_makes_room_for_a_sender,
    copy_makes_no_room,
    sender_and_receiver_wait_in_turn,
    receiver_waiting_for_another_type_does_not_help_a_sender,
    waiting_sender_serves_a_waiting_receiver,
];

/// A queue of `qbytes` bytes that holds these messages.
fn full(t: &Stage, qbytes: u64, texts: &[&str]) -> Queue {
    let queue = t.private();
    t.change(queue, |stat| stat.qbytes = qbytes).must();
    texts.iter().for_each(|text| t.put(queue, 1, text));
    queue
}

fn texts(t: &Stage, queue: Queue) -> Vec<String> {
    t.drain(queue).into_iter().map(|(_, text)| text).collect()
}

fn sender_waits_for_room(t: &Stage) {
    let queue = full(t, 4, &["full"]);
    let child = t.spawn("sender", |t| t.send(queue, 2, "next", 0).must());
    t.wait_blocked(&child);
    assert_eq!(t.take(queue, 0), "full");
    t.join(child);
    assert_eq!(t.take(queue, 0), "next");
}

fn waiting_senders_message_comes_last(t: &Stage) {
    let queue = full(t, 8, &["aaaa", "bbbb"]);
    let child = t.spawn("sender", |t| t.send(queue, 1, "cccc", 0).must());
    t.wait_blocked(&child);
    assert_eq!(t.take(queue, 0), "aaaa");
    t.join(child);
    assert_eq!(texts(t, queue), ["bbbb", "cccc"]);
}

fn waiting_sender_is_not_yet_seen(t: &Stage) {
    let queue = full(t, 4, &["full"]);
    let before = t.stat(queue).must();
    let child = t.spawn("sender", |t| t.send(queue, 2, "next", 0).must());
    t.wait_blocked(&child);
    assert_eq!(t.stat(queue).must(), before);
    t.recv(queue, 10, 2, IPC_NOWAIT).fails(libc::ENOMSG);
    t.take(queue, 0);
    t.join(child);
    assert_eq!(t.stat(queue).must().qnum, 1);
}

fn sender_sleeps_while_room_is_too_small(t: &Stage) {
    let queue = full(t, 10, &["aaaa", "bbbb"]);
    let child = t.spawn("sender", |t| t.send(queue, 1, "0123456789", 0).must());
    t.wait_blocked(&child);
    t.take(queue, 0);
    t.wait_blocked(&child);
    t.take(queue, 0);
    t.join(child);
    assert_eq!(texts(t, queue), ["0123456789"]);
}

fn small_sender_overtakes_a_big_one_that_does_not_fit(t: &Stage) {
    let queue = full(t, 10, &["aaaaa", "bbbbb"]);
    let big = t.spawn("big", |t| t.send(queue, 1, "0123456789", 0).must());
    t.wait_blocked(&big);
    let small = t.spawn("small", |t| t.send(queue, 1, "small", 0).must());
    t.wait_blocked(&small);
    t.take(queue, 0);
    t.join(small);
    t.wait_blocked(&big);
    assert_eq!(t.take(queue, 0), "bbbbb");
    assert_eq!(t.take(queue, 0), "small");
    t.join(big);
    assert_eq!(texts(t, queue), ["0123456789"]);
}

fn big_sender_gets_through_when_there_is_room(t: &Stage) {
    let queue = full(t, 10, &["0123456789"]);
    let big = t.spawn("big", |t| t.send(queue, 1, "9876543210", 0).must());
    t.wait_blocked(&big);
    let small = t.spawn("small", |t| t.send(queue, 1, "s", 0).must());
    t.wait_blocked(&small);
    // Both fit alone, not together: whoever comes first, both come in the end.
    let mut got = vec![
        crate::call::msgrcv(queue.0, 100, 0, 0),
        crate::call::msgrcv(queue.0, 100, 0, 0),
    ];
    got.push(crate::call::msgrcv(queue.0, 100, 0, 0));
    t.join(big);
    t.join(small);
    let mut texts: Vec<Vec<u8>> = got
        .into_iter()
        .flatten()
        .map(|message| message.text)
        .collect();
    texts.sort();
    assert_eq!(
        texts,
        [
            b"0123456789".to_vec(),
            b"9876543210".to_vec(),
            b"s".to_vec()
        ]
    );
}

fn newcomer_that_fits_passes_a_waiting_sender(t: &Stage) {
    let queue = full(t, 10, &["aaaaa"]);
    let big = t.spawn("big", |t| t.send(queue, 1, "0123456789", 0).must());
    t.wait_blocked(&big);
    t.put(queue, 1, "ccccc");
    t.send(queue, 1, "d", IPC_NOWAIT).fails(EAGAIN);
    t.wait_blocked(&big);
    assert_eq!(t.take(queue, 0), "aaaaa");
    assert_eq!(t.take(queue, 0), "ccccc");
    t.join(big);
}

fn room_for_one_lets_one_through(t: &Stage) {
    let queue = full(t, 4, &["full"]);
    let senders = [0; 3].map(|_| {
        let child = t.spawn("sender", |t| t.send(queue, 1, "next", 0).must());
        t.wait_blocked(&child);
        child
    });
    for through in 1..=3 {
        assert_eq!(t.take(queue, 0).len(), 4);
        let returned = || senders.iter().filter(|child| child.is_through(1)).count();
        crate::board::poll("a sender comes through", || {
            (returned() >= through).then_some(())
        });
        senders
            .iter()
            .filter(|child| !child.is_through(1))
            .for_each(|child| t.wait_blocked(child));
        assert_eq!(returned(), through);
    }
    assert_eq!(t.take(queue, 0), "next");
    senders.into_iter().for_each(|child| t.join(child));
}

fn room_for_all_lets_all_through(t: &Stage) {
    let queue = full(t, 9, &["123456789"]);
    let senders = [0; 3].map(|_| {
        let child = t.spawn("sender", |t| t.send(queue, 1, "abc", 0).must());
        t.wait_blocked(&child);
        child
    });
    t.take(queue, 0);
    senders.into_iter().for_each(|child| t.join(child));
    assert_eq!(texts(t, queue), ["abc", "abc", "abc"]);
}

fn sender_of_an_empty_message_waits_for_a_place(t: &Stage) {
    let queue = full(t, 2, &["", ""]);
    let child = t.spawn("sender", |t| t.send(queue, 5, "", 0).must());
    t.wait_blocked(&child);
    t.take(queue, 0);
    t.join(child);
    assert_eq!(t.recv(queue, 0, 5, IPC_NOWAIT).must().mtype, 5);
}

fn raising_qbytes_wakes_senders(t: &Stage) {
    let queue = full(t, 4, &["full"]);
    let child = t.spawn("sender", |t| t.send(queue, 1, "next", 0).must());
    t.wait_blocked(&child);
    t.change(queue, |stat| stat.qbytes = 8).must();
    t.join(child);
    assert_eq!(texts(t, queue), ["full", "next"]);
}

fn raising_qbytes_too_little_leaves_them_asleep(t: &Stage) {
    let queue = full(t, 4, &["full"]);
    let child = t.spawn("sender", |t| t.send(queue, 1, "next", 0).must());
    t.wait_blocked(&child);
    t.change(queue, |stat| stat.qbytes = 7).must();
    t.wait_blocked(&child);
    t.change(queue, |stat| stat.qbytes = 100).must();
    t.join(child);
}

/// IPC_SET wakes senders whose messages fit, and no others: so it is not told yet.
fn sender_that_is_shut_out_sleeps_until_there_is_room(t: &Stage) {
    let queue = owned(t, ANN, ANN, 0o600);
    t.change(queue, |stat| stat.qbytes = stat.cbytes).must();
    let child = t.spawn("sender", |t| {
        become_user(ANN, ANN, &[]);
        t.send(queue, 1, "next", 0).fails(EACCES);
    });
    t.wait_blocked(&child);
    t.change(queue, |stat| stat.uid = BOB).must();
    t.wait_blocked(&child);
    assert_eq!(t.take(queue, 0), "there");
    t.join(child);
    assert_eq!(texts(t, queue).len(), 4);
}

fn removal_wakes_all_senders_with_eidrm(t: &Stage) {
    let queue = full(t, 4, &["full"]);
    let senders = ["first", "second", "third"].map(|name| {
        let child = t.spawn(name, |t| t.send(queue, 1, name, 0).fails(EIDRM));
        t.wait_blocked(&child);
        child
    });
    t.remove(queue).must();
    senders.into_iter().for_each(|child| t.join(child));
}

fn killed_sender_sends_nothing(t: &Stage) {
    let queue = full(t, 4, &["full"]);
    let child = t.spawn("sender", |t| t.send(queue, 1, "next", 0).must());
    t.wait_blocked(&child);
    t.kill(child);
    assert_eq!(texts(t, queue), ["full"]);
    assert_eq!(t.stat(queue).must().lspid, crate::process::own_pid());
}

fn killed_sender_leaves_its_place_to_others(t: &Stage) {
    let queue = full(t, 4, &["full"]);
    let victim = t.spawn("victim", |t| t.send(queue, 1, "dead", 0).must());
    t.wait_blocked(&victim);
    let next = t.spawn("next", |t| t.send(queue, 1, "next", 0).must());
    t.wait_blocked(&next);
    t.kill(victim);
    t.take(queue, 0);
    t.join(next);
    assert_eq!(texts(t, queue), ["next"]);
}

fn waiting_sender_sends_what_its_buffer_held_at_the_call(t: &Stage) {
    let queue = full(t, 4, &["full"]);
    let gate = crate::players::Gate::new();
    // The two threads share the buffer; it changes while the sender sleeps.
    let area = std::sync::Arc::new(Area::message(9, b"then"));
    let theirs = std::sync::Arc::clone(&area);
    let sender = t.thread("sender", move |t| {
        t.send_from(queue, &theirs, 4, 0).must();
        gate.pass();
    });
    t.wait_blocked(&sender);
    area.write(0, &[1]);
    area.write(8, b"now!");
    t.take(queue, 0);
    t.wait_returned(&sender, 1);
    gate.open();
    t.join_thread(sender);
    let message = t.recv(queue, 10, 0, IPC_NOWAIT).must();
    assert_eq!((message.mtype, &message.text[..]), (9, &b"then"[..]));
}

fn truncating_receive_makes_room_for_a_sender(t: &Stage) {
    let queue = full(t, 10, &["0123456789"]);
    let child = t.spawn("sender", |t| t.send(queue, 1, "9876543210", 0).must());
    t.wait_blocked(&child);
    t.recv(queue, 1, 0, libc::MSG_NOERROR).must();
    t.join(child);
}

fn copy_makes_no_room(t: &Stage) {
    let queue = full(t, 4, &["full"]);
    let child = t.spawn("sender", |t| t.send(queue, 1, "next", 0).must());
    t.wait_blocked(&child);
    t.recv(queue, 100, 0, libc::MSG_COPY | IPC_NOWAIT).must();
    t.recv(queue, 2, 0, IPC_NOWAIT).fails(libc::E2BIG);
    t.wait_blocked(&child);
    t.take(queue, 0);
    t.join(child);
}

fn sender_and_receiver_wait_in_turn(t: &Stage) {
    let queue = full(t, 8, &[]);
    let child = t.spawn("echo", |t| {
        for _ in 0..500 {
            let (_, word) = crate::call::receive_word(queue.0, 1, 0).expect("a ping");
            crate::call::send_word(queue.0, 2, word + 1, 0).expect("a pong");
        }
        t.say("500 echoed");
    });
    for round in 0..500 {
        assert_eq!(crate::call::send_word(queue.0, 1, round, 0), Ok(()));
        assert_eq!(crate::call::receive_word(queue.0, 2, 0), Ok((2, round + 1)));
    }
    t.join(child);
    t.is_empty(queue);
}

fn receiver_waiting_for_another_type_does_not_help_a_sender(t: &Stage) {
    let queue = full(t, 4, &["full"]);
    let receiver = t.spawn("receiver", |t| {
        t.recv(queue, 100, 7, 0).must();
    });
    t.wait_blocked(&receiver);
    let sender = t.spawn("sender", |t| t.send(queue, 2, "next", 0).must());
    t.wait_blocked(&sender);
    t.take(queue, 0);
    t.join(sender);
    t.wait_blocked(&receiver);
    t.take(queue, 2);
    t.put(queue, 7, "7777");
    t.join(receiver);
}

fn waiting_sender_serves_a_waiting_receiver(t: &Stage) {
    let queue = full(t, 4, &["full"]);
    let receiver = t.spawn("receiver", |t| {
        assert_eq!(t.recv(queue, 100, 7, 0).must().text, b"for");
    });
    t.wait_blocked(&receiver);
    // Even a message for somebody who waits needs room first.
    t.send(queue, 7, "for", IPC_NOWAIT).fails(EAGAIN);
    let sender = t.spawn("sender", |t| t.send(queue, 7, "for", 0).must());
    t.wait_blocked(&sender);
    t.take(queue, 1);
    t.join(sender);
    t.join(receiver);
    t.is_empty(queue);
}
