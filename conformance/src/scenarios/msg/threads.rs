//! Threads of one process on one queue.

use crate::call;
use crate::mapping::{PAGE, word};
use crate::players::Gate;
use crate::process;
use crate::programs::part;
use crate::scenarios::{Scenario, table};
use crate::stage::Stage;
use libc::{EIDRM, IPC_NOWAIT};
use std::sync::atomic::Ordering::SeqCst;

pub(super) const ALL: &[Scenario] = table![
    thread_waits_while_another_sends,
    thread_waits_for_room_while_another_receives,
    threads_send_under_the_process_id,
    message_handed_to_a_thread_names_the_thread,
    threads_wait_for_their_own_types,
    waiting_threads_are_served_in_turn,
    removal_by_a_thread_wakes_the_others,
    eight_threads_lose_nothing,
    threads_make_and_remove_their_own_queues,
    child_forked_by_a_thread_uses_the_queue,
    thread_that_ended_leaves_the_queue_usable,
    first_thread_that_another_replaced_waits_no_more,
];

fn thread_waits_while_another_sends(t: &Stage) {
    let queue = t.private();
    let thread = t.thread("thread", move |t| {
        assert_eq!(t.recv(queue, 100, 0, 0).must().text, b"hello");
    });
    t.wait_blocked(&thread);
    t.put(queue, 1, "hello");
    t.join_thread(thread);
}

fn thread_waits_for_room_while_another_receives(t: &Stage) {
    let queue = t.private();
    t.change(queue, |stat| stat.qbytes = 4).must();
    t.put(queue, 1, "full");
    let thread = t.thread("thread", move |t| t.send(queue, 1, "next", 0).must());
    t.wait_blocked(&thread);
    t.take(queue, 0);
    t.join_thread(thread);
    assert_eq!(t.take(queue, 0), "next");
}

fn threads_send_under_the_process_id(t: &Stage) {
    let queue = t.private();
    let thread = t.thread("thread", move |t| {
        assert_ne!(process::own_tid(), process::own_pid());
        t.put(queue, 1, "x");
        t.put(queue, 1, "y");
        t.take(queue, 0);
    });
    t.join_thread(thread);
    let stat = t.stat(queue).must();
    assert_eq!(
        (stat.lspid, stat.lrpid),
        (process::own_pid(), process::own_pid())
    );
}

/// What broke: the process was named, as it is where the thread finds the message there.
fn message_handed_to_a_thread_names_the_thread(t: &Stage) {
    let queue = t.private();
    let thread = t.thread("thread", move |t| {
        t.tell(process::own_tid().into());
        t.recv(queue, 100, 0, 0).must();
    });
    let tid = t.hear(&thread, 1);
    t.wait_blocked(&thread);
    t.put(queue, 1, "x");
    t.join_thread(thread);
    assert_eq!(i64::from(t.stat(queue).must().lrpid), tid);
}

fn threads_wait_for_their_own_types(t: &Stage) {
    let queue = t.private();
    let threads = [("one", 1), ("two", 2), ("three", 3)].map(|(name, mtype)| {
        let thread = t.thread(name, move |t| {
            assert_eq!(t.recv(queue, 100, mtype, 0).must().text, name.as_bytes());
        });
        t.wait_blocked(&thread);
        thread
    });
    t.put(queue, 2, "two");
    t.put(queue, 3, "three");
    t.put(queue, 1, "one");
    threads.into_iter().for_each(|thread| t.join_thread(thread));
}

fn waiting_threads_are_served_in_turn(t: &Stage) {
    let queue = t.private();
    let threads = ["first", "second", "third"].map(|name| {
        let thread = t.thread(name, move |t| {
            assert_eq!(t.recv(queue, 100, 0, 0).must().text, name.as_bytes());
        });
        t.wait_blocked(&thread);
        thread
    });
    for name in ["first", "second", "third"] {
        t.put(queue, 1, name);
    }
    threads.into_iter().for_each(|thread| t.join_thread(thread));
}

fn removal_by_a_thread_wakes_the_others(t: &Stage) {
    let queue = t.private();
    let receiver = t.thread("receiver", move |t| t.recv(queue, 100, 0, 0).fails(EIDRM));
    t.wait_blocked(&receiver);
    let remover = t.thread("remover", move |t| t.remove(queue).must());
    t.join_thread(receiver);
    t.join_thread(remover);
}

fn eight_threads_lose_nothing(t: &Stage) {
    const EACH: u64 = 1000;
    let queue = t.private();
    let senders: Vec<_> = (0..4)
        .map(|player| {
            std::thread::spawn(move || {
                for round in 0..EACH {
                    call::send_word(queue.0, 1, player * EACH + round, 0).expect("to be sent");
                }
            })
        })
        .collect();
    let receivers: Vec<_> = (0..4)
        .map(|_| {
            std::thread::spawn(move || {
                let word = |_| call::receive_word(queue.0, 1, 0).expect("a message").1;
                (0..EACH).map(word).collect::<Vec<u64>>()
            })
        })
        .collect();
    senders
        .into_iter()
        .for_each(|thread| thread.join().expect("a sender to end well"));
    let mut words: Vec<u64> = receivers
        .into_iter()
        .flat_map(|thread| thread.join().expect("a receiver to end well"))
        .collect();
    words.sort_unstable();
    assert!(words.into_iter().eq(0..4 * EACH), "each arrives once");
    t.is_empty(queue);
}

fn threads_make_and_remove_their_own_queues(t: &Stage) {
    let threads: Vec<_> = (0..6)
        .map(|player| {
            std::thread::spawn(move || {
                for round in 0..50 {
                    let queue = call::msgget(libc::IPC_PRIVATE, 0o600).expect("a queue");
                    call::send_word(queue, player + 1, round, IPC_NOWAIT).expect("to be sent");
                    assert_eq!(
                        call::receive_word(queue, 0, IPC_NOWAIT),
                        Ok((player + 1, round))
                    );
                    call::msgctl(queue, libc::IPC_RMID, &mut call::blank_ds())
                        .expect("to be removed");
                }
            })
        })
        .collect();
    threads
        .into_iter()
        .for_each(|thread| thread.join().expect("a thread to end well"));
    let (highest, usage) = t.usage().must();
    assert_eq!((highest, usage.msgpool), (0, 0));
}

fn child_forked_by_a_thread_uses_the_queue(t: &Stage) {
    let queue = t.private();
    let thread = t.thread("thread", move |t| {
        let child = t.spawn("child", |t| t.put(queue, 1, "from the child"));
        let pid = child.pid;
        t.join(child);
        assert_eq!(t.stat(queue).must().lspid, pid);
    });
    t.join_thread(thread);
    assert_eq!(t.take(queue, 0), "from the child");
}

fn thread_that_ended_leaves_the_queue_usable(t: &Stage) {
    let queue = t.private();
    for round in 0..5 {
        let thread = t.thread("thread", move |t| t.put(queue, 1, &round.to_string()));
        t.join_thread(thread);
        assert_eq!(t.take(queue, 0), round.to_string());
    }
}

/// What broke: exec by another thread leaves the first one's number to that, so it passed for
/// alive, and a message that it was handed came back to the queue only after a second.
fn first_thread_that_another_replaced_waits_no_more(t: &Stage) {
    let (queue, sign) = (t.private(), t.segment(PAGE));
    let (at, gate) = (t.attach(sign), Gate::new());
    let child = t.spawn("child", |t| {
        let _thread = t.thread("thread", move |_| {
            gate.pass();
            process::exec_self(&part("hold", &[&sign.0]))
        });
        t.recv(queue, 100, 0, 0).must();
    });
    t.wait_blocked(&child);
    gate.open();
    crate::board::poll("the new program runs", || {
        (word(at).load(SeqCst) != 0).then_some(())
    });
    t.put(queue, 1, "x");
    assert_eq!(t.take(queue, 0), "x");
    word(at + 4).store(1, SeqCst);
    t.join(child);
}
