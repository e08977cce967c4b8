//! `msgsnd`: sizes, types, and the two limits of a queue.

use crate::msg::Queue;
use crate::process;
use crate::scenarios::{Scenario, table};
use crate::stage::Stage;
use libc::{EACCES, EAGAIN, EINVAL, IPC_NOWAIT, IPC_PRIVATE};

pub(super) const ALL: &[Scenario] = table![
    sent_bytes_come_back_unchanged,
    empty_message_arrives_empty,
    message_of_every_size_near_a_boundary_survives,
    largest_message_is_msgmax,
    message_beyond_msgmax_is_einval,
    size_beyond_ssize_max_is_einval,
    type_zero_and_negative_types_are_einval,
    type_long_max_is_ordinary,
    bad_type_is_refused_before_permission needs_root,
    bytes_of_all_messages_are_limited,
    message_that_just_fills_the_queue_fits,
    full_queue_still_takes_empty_messages,
    empty_messages_are_limited_by_count,
    count_limit_is_qbytes_itself,
    receiving_makes_room_again,
    big_message_waits_where_a_small_one_fits,
    failed_send_leaves_no_trace,
    unknown_send_flags_are_ignored,
    receive_flags_do_not_matter_to_send,
    one_process_fills_and_drains_many_times,
    many_queues_keep_their_messages_apart,
    bytes_of_text_may_be_anything,
];

fn sent_bytes_come_back_unchanged(t: &Stage) {
    let queue = t.private();
    t.send(queue, 7, "hello", 0).must();
    let message = t.recv(queue, 100, 0, 0).must();
    assert_eq!((message.mtype, &message.text[..]), (7, &b"hello"[..]));
}

fn empty_message_arrives_empty(t: &Stage) {
    let queue = t.private();
    t.send(queue, 3, "", 0).must();
    let stat = t.stat(queue).must();
    assert_eq!((stat.qnum, stat.cbytes), (1, 0));
    let message = t.recv(queue, 0, 0, 0).must();
    assert_eq!((message.mtype, message.text.len()), (3, 0));
}

fn patterned(size: usize) -> Vec<u8> {
    (0..size).map(|i| (i * 7 + i / 251) as u8).collect()
}

fn message_of_every_size_near_a_boundary_survives(t: &Stage) {
    let queue = t.private();
    let powers = (3..=13).map(|power| 1_usize << power);
    for size in powers
        .flat_map(|power| power.saturating_sub(9)..=(power + 9).min(8192))
        .filter(|&size| size > 0)
    {
        let text = patterned(size);
        t.send(queue, 1, &text, IPC_NOWAIT).must();
        assert_eq!(t.recv(queue, size, 0, IPC_NOWAIT).must().text, text);
    }
}

fn largest_message_is_msgmax(t: &Stage) {
    let queue = t.private();
    let text = patterned(8192);
    t.send(queue, 1, &text, IPC_NOWAIT).must();
    assert_eq!(t.recv(queue, 8192, 0, 0).must().text, text);
}

fn message_beyond_msgmax_is_einval(t: &Stage) {
    let queue = t.private();
    t.send(queue, 1, [b'x'; 8193], IPC_NOWAIT).fails(EINVAL);
    t.send(queue, 1, [b'x'; 20000], 0).fails(EINVAL);
    t.is_empty(queue);
}

fn size_beyond_ssize_max_is_einval(t: &Stage) {
    let queue = t.private();
    let area = crate::memory::Area::message(1, b"x");
    t.send_from(queue, &area, usize::MAX, IPC_NOWAIT)
        .fails(EINVAL);
    t.send_from(queue, &area, usize::MAX / 2 + 1, IPC_NOWAIT)
        .fails(EINVAL);
    t.send_from(queue, &area, 0x1_0000_0001, IPC_NOWAIT)
        .fails(EINVAL);
}

fn type_zero_and_negative_types_are_einval(t: &Stage) {
    let queue = t.private();
    for mtype in [0, -1, -2, i64::from(i32::MIN), i64::MIN] {
        t.send(queue, mtype, "x", IPC_NOWAIT).fails(EINVAL);
    }
    t.is_empty(queue);
}

fn type_long_max_is_ordinary(t: &Stage) {
    let queue = t.private();
    for mtype in [i64::MAX, i64::MAX - 1, 1 << 32, (1 << 32) + 1] {
        t.put(queue, mtype, "x");
    }
    assert_eq!(t.recv(queue, 10, 1 << 32, IPC_NOWAIT).must().mtype, 1 << 32);
    assert_eq!(
        t.recv(queue, 10, i64::MAX, IPC_NOWAIT).must().mtype,
        i64::MAX
    );
    t.recv(queue, 10, 1, IPC_NOWAIT).fails(libc::ENOMSG);
}

fn bad_type_is_refused_before_permission(t: &Stage) {
    let queue = t.get(IPC_PRIVATE, 0o400).must();
    process::become_user(1000, 1000, &[]);
    t.send(queue, 0, "x", IPC_NOWAIT).fails(EINVAL);
    t.send(queue, 1, [b'x'; 8193], IPC_NOWAIT).fails(EINVAL);
    t.send(queue, 1, "x", IPC_NOWAIT).fails(EACCES);
}

fn bytes_of_all_messages_are_limited(t: &Stage) {
    let queue = t.private();
    for _ in 0..16 {
        t.send(queue, 1, [b'x'; 1000], IPC_NOWAIT).must();
    }
    t.send(queue, 1, [b'x'; 1000], IPC_NOWAIT).fails(EAGAIN);
    t.send(queue, 1, [b'x'; 384], IPC_NOWAIT).must();
    t.send(queue, 1, "y", IPC_NOWAIT).fails(EAGAIN);
    assert_eq!(t.stat(queue).must().cbytes, 16384);
}

fn message_that_just_fills_the_queue_fits(t: &Stage) {
    let queue = t.private();
    t.change(queue, |stat| stat.qbytes = 10).must();
    t.put(queue, 1, "0123456789");
    t.take(queue, 0);
    t.send(queue, 1, "0123456789a", IPC_NOWAIT).fails(EAGAIN);
}

fn full_queue_still_takes_empty_messages(t: &Stage) {
    let queue = t.private();
    t.change(queue, |stat| stat.qbytes = 10).must();
    t.put(queue, 1, "0123456789");
    t.put(queue, 2, "");
    t.put(queue, 3, "");
    assert_eq!(t.stat(queue).must().qnum, 3);
}

fn empty_messages_are_limited_by_count(t: &Stage) {
    let queue = t.private();
    let mut count = 0;
    while crate::call::msgsnd(queue.0, 1, b"", IPC_NOWAIT).is_ok() {
        count += 1;
    }
    t.say(format_args!("{count} fit"));
    assert_eq!(count, 16384);
    t.send(queue, 1, "", IPC_NOWAIT).fails(EAGAIN);
    assert_eq!(t.stat(queue).must().qnum, 16384);
}

fn count_limit_is_qbytes_itself(t: &Stage) {
    let queue = t.private();
    t.change(queue, |stat| stat.qbytes = 3).must();
    t.put(queue, 1, "a");
    t.put(queue, 1, "");
    t.put(queue, 1, "");
    t.send(queue, 1, "", IPC_NOWAIT).fails(EAGAIN);
    t.send(queue, 1, "a", IPC_NOWAIT).fails(EAGAIN);
    t.take(queue, 0);
    t.put(queue, 1, "a");
}

fn receiving_makes_room_again(t: &Stage) {
    let queue = t.private();
    t.change(queue, |stat| stat.qbytes = 4).must();
    t.put(queue, 1, "aaaa");
    t.send(queue, 1, "bbbb", IPC_NOWAIT).fails(EAGAIN);
    assert_eq!(t.take(queue, 0), "aaaa");
    t.put(queue, 1, "bbbb");
}

fn big_message_waits_where_a_small_one_fits(t: &Stage) {
    let queue = t.private();
    t.change(queue, |stat| stat.qbytes = 10).must();
    t.put(queue, 1, "12345");
    t.send(queue, 1, "123456", IPC_NOWAIT).fails(EAGAIN);
    t.put(queue, 1, "12345");
}

fn failed_send_leaves_no_trace(t: &Stage) {
    let queue = t.private();
    t.change(queue, |stat| stat.qbytes = 4).must();
    t.send(queue, 1, "too long", IPC_NOWAIT).fails(EAGAIN);
    t.send(queue, 0, "bad", IPC_NOWAIT).fails(EINVAL);
    let stat = t.stat(queue).must();
    assert_eq!(
        (stat.qnum, stat.cbytes, stat.lspid, stat.stime),
        (0, 0, 0, 0)
    );
}

fn unknown_send_flags_are_ignored(t: &Stage) {
    let queue = t.private();
    t.send(queue, 1, "one", 0x4000_0000 | IPC_NOWAIT).must();
    t.send(queue, 1, "two", !0o60_000).must();
    assert_eq!(t.drain(queue).len(), 2);
}

fn receive_flags_do_not_matter_to_send(t: &Stage) {
    let queue = t.private();
    t.change(queue, |stat| stat.qbytes = 2).must();
    let flags = libc::MSG_NOERROR | libc::MSG_EXCEPT | libc::MSG_COPY | IPC_NOWAIT;
    t.send(queue, 1, "ab", flags).must();
    t.send(queue, 1, "c", flags).fails(EAGAIN);
}

fn one_process_fills_and_drains_many_times(t: &Stage) {
    let queue = t.private();
    for round in 0..50_u64 {
        let mut sent = 0;
        while crate::call::send_word(queue.0, 1, round << 32 | sent, IPC_NOWAIT).is_ok() {
            sent += 1;
        }
        assert_eq!(sent, 2048);
        for expected in 0..sent {
            let got = crate::call::receive_word(queue.0, 0, IPC_NOWAIT);
            assert_eq!(got, Ok((1, round << 32 | expected)));
        }
    }
    t.stat(queue).must();
}

fn many_queues_keep_their_messages_apart(t: &Stage) {
    let queues: Vec<Queue> = (0..30).map(|_| t.private()).collect();
    for (number, &queue) in queues.iter().enumerate() {
        t.put(queue, 1, &format!("for {number}"));
    }
    for (number, &queue) in queues.iter().enumerate().rev() {
        assert_eq!(t.take(queue, 0), format!("for {number}"));
        t.is_empty(queue);
    }
}

fn bytes_of_text_may_be_anything(t: &Stage) {
    let queue = t.private();
    let every_byte: Vec<u8> = (0..=255).collect();
    t.send(queue, 1, &every_byte, 0).must();
    t.send(queue, 1, [0; 64], 0).must();
    assert_eq!(t.recv(queue, 256, 0, 0).must().text, every_byte);
    assert_eq!(t.recv(queue, 256, 0, 0).must().text, [0; 64]);
}
