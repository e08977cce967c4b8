//! Calls on a queue that was used a moment ago, after something else happened to it or to the process.

use crate::memory::Area;
use crate::process::own_pid;
use crate::scenarios::{Scenario, table};
use crate::stage::Stage;
use libc::{EFAULT, EINVAL, IPC_NOWAIT};

pub(super) const ALL: &[Scenario] = table![
    twenty_queues_in_turn_keep_apart,
    queue_at_a_place_that_was_used_is_another,
    queue_that_grew_elsewhere_is_used_to_its_end,
    index_of_a_queue_that_grew_elsewhere_serves_all,
    buffer_taken_away_in_a_child_is_the_parents_still,
    buffer_taken_away_by_a_thread_is_efault,
    child_of_a_user_stamps_for_itself,
    receiver_between_two_sends_of_its_type_gets_the_second,
    one_message_of_each_length_comes_whole,
];

fn twenty_queues_in_turn_keep_apart(t: &Stage) {
    let queues: Vec<_> = (0..20).map(|_| t.private()).collect();
    for round in 0..3 {
        for (number, queue) in queues.iter().enumerate() {
            t.put(*queue, 1, &format!("{round} for {number}"));
        }
        for (number, queue) in queues.iter().enumerate().rev() {
            assert_eq!(t.take(*queue, 0), format!("{round} for {number}"));
        }
    }
}

fn queue_at_a_place_that_was_used_is_another(t: &Stage) {
    let first = t.private();
    t.put(first, 1, "one");
    assert_eq!(t.take(first, 0), "one");
    t.remove(first).must();
    t.send(first, 1, "gone", IPC_NOWAIT).fails(EINVAL);
    let second = t.private();
    t.put(second, 1, "two");
    t.send(first, 1, "gone", IPC_NOWAIT).fails(EINVAL);
    t.recv(first, 10, 0, IPC_NOWAIT).fails(EINVAL);
    assert_eq!(t.take(second, 0), "two");
}

fn queue_that_grew_elsewhere_is_used_to_its_end(t: &Stage) {
    const MANY: usize = 3000;
    let queue = t.private();
    t.put(queue, 1, "0");
    assert_eq!(t.take(queue, 0), "0");
    let sender = t.spawn("sender", |t| {
        for number in 0..MANY {
            t.put(queue, 1, &number.to_string());
        }
    });
    t.join(sender);
    for number in 0..MANY {
        assert_eq!(t.take(queue, 0), number.to_string());
    }
    t.put(queue, 1, "end");
    assert_eq!(t.take(queue, 0), "end");
}

fn index_of_a_queue_that_grew_elsewhere_serves_all(t: &Stage) {
    for reuses in [false, true] {
        let queue = t.private();
        if reuses {
            t.put(queue, 1, "before");
            t.take(queue, 0);
        }
        let other = t.spawn("other", |t| {
            for _ in 0..600 {
                t.put(queue, 1, "");
            }
            t.drain(queue);
            for mtype in [5, 3, 7] {
                t.put(queue, mtype, &mtype.to_string());
            }
            assert_eq!(t.take(queue, -3), "3");
        });
        t.join(other);
        t.put(queue, 9, "9");
        assert_eq!(t.take(queue, 0), "5");
        t.put(queue, 4, "4");
        assert_eq!(t.take(queue, -100), "4");
        assert_eq!(t.take(queue, 0), "7");
        assert_eq!(t.take(queue, 0), "9");
        t.is_empty(queue);
    }
}

fn buffer_taken_away_in_a_child_is_the_parents_still(t: &Stage) {
    let queue = t.private();
    let area = Area::message(1, b"hello");
    t.send_from(queue, &area, 5, IPC_NOWAIT).must();
    t.recv_into(queue, &area, 5, 0, IPC_NOWAIT).must();
    let child = t.spawn("child", |t| {
        t.send_from(queue, &area, 5, IPC_NOWAIT).must();
        area.withdraw();
        t.send_from(queue, &area, 5, IPC_NOWAIT).fails(EFAULT);
    });
    t.join(child);
    t.recv_into(queue, &area, 5, 0, IPC_NOWAIT).must();
    t.send_from(queue, &area, 5, IPC_NOWAIT).must();
    assert_eq!(t.take(queue, 0), "hello");
}

fn buffer_taken_away_by_a_thread_is_efault(t: &Stage) {
    let queue = t.private();
    let area: &'static Area = Box::leak(Box::new(Area::message(1, b"hello")));
    for _ in 0..2 {
        t.send_from(queue, area, 5, IPC_NOWAIT).must();
        t.recv_into(queue, area, 5, 0, IPC_NOWAIT).must();
    }
    let thread = t.thread("thread", |_| area.withdraw());
    t.join_thread(thread);
    t.send_from(queue, area, 5, IPC_NOWAIT).fails(EFAULT);
    t.put(queue, 1, "lost");
    t.recv_into(queue, area, 5, 0, IPC_NOWAIT).fails(EFAULT);
    t.is_empty(queue);
}

fn child_of_a_user_stamps_for_itself(t: &Stage) {
    let queue = t.private();
    t.put(queue, 1, "mine");
    t.take(queue, 0);
    let child = t.spawn("child", |t| {
        t.put(queue, 1, "its own");
        assert_eq!(t.stat(queue).must().lspid, own_pid());
        t.take(queue, 0);
        assert_eq!(t.stat(queue).must().lrpid, own_pid());
    });
    t.join(child);
    t.put(queue, 1, "mine again");
    assert_eq!(t.stat(queue).must().lspid, own_pid());
}

fn receiver_between_two_sends_of_its_type_gets_the_second(t: &Stage) {
    let queue = t.private();
    let others = t.spawn("another type's", |t| {
        assert_eq!(t.recv(queue, 100, 9, 0).must().text, b"end");
    });
    t.wait_blocked(&others);
    for round in 0..3 {
        for _ in 0..2 {
            t.put(queue, 5, "mine");
            assert_eq!(t.take(queue, 5), "mine");
        }
        let receiver = t.spawn("its own type's", |t| {
            let got = t.recv(queue, 100, 5, 0).must().text;
            assert_eq!(got, format!("yours {round}").into_bytes());
        });
        t.wait_blocked(&receiver);
        t.put(queue, 5, &format!("yours {round}"));
        t.is_empty(queue);
        t.join(receiver);
    }
    t.put(queue, 9, "end");
    t.join(others);
}

fn one_message_of_each_length_comes_whole(t: &Stage) {
    let queue = t.private();
    for len in 0..200 {
        let text: Vec<u8> = (0..len).map(|at| (at * 7 + len) as u8).collect();
        let area = Area::message(1, &text);
        t.send_from(queue, &area, len, 0).must();
        area.write(8, &vec![0; len]);
        t.recv_into(queue, &area, len, 0, 0).must();
        assert_eq!(area.bytes()[8..], text);
    }
}
