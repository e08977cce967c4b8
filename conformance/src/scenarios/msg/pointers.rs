//! `msgsnd`, `msgrcv`: bad and odd pointers: which error comes first, and what is left behind.

use crate::memory::{Area, bad_pointers};
use crate::msg::Queue;
use crate::process::become_user;
use crate::scenarios::{Scenario, table};
use crate::stage::Stage;
use libc::{E2BIG, EACCES, EAGAIN, EFAULT, EINVAL, ENOMSG, IPC_NOWAIT};

pub(super) const ALL: &[Scenario] = table![
    send_from_a_bad_pointer_is_efault,
    send_of_a_bad_text_is_efault,
    send_of_half_a_type_is_efault,
    send_of_an_empty_message_needs_only_its_type,
    send_from_read_only_memory_works,
    send_across_pages_works,
    send_that_faults_leaves_no_trace,
    send_checks_the_type_pointer_first_of_all,
    send_checks_its_size_before_its_text,
    send_checks_its_text_before_the_id,
    send_checks_its_text_before_room_and_permission needs_root,
    receive_into_a_bad_pointer_loses_the_message,
    receive_into_read_only_memory_loses_the_message,
    receive_into_half_a_buffer_loses_the_message,
    receive_that_faults_stamps_all_the_same,
    receive_from_an_empty_queue_ignores_the_pointer,
    receive_of_too_much_ignores_the_pointer,
    receive_from_a_bad_id_ignores_the_pointer,
    receive_into_just_enough_works,
    receive_cut_to_zero_needs_only_a_type,
    receive_across_pages_works,
    odd_addresses_work,
    memory_taken_away_after_use_is_efault,
    memory_taken_away_by_pkey_mprotect_is_efault,
    memory_made_read_only_after_use_is_efault,
];

fn send_from_a_bad_pointer_is_efault(t: &Stage) {
    let queue = t.private();
    for area in bad_pointers() {
        t.send_from(queue, &area, 5, IPC_NOWAIT).fails(EFAULT);
        t.send_from(queue, &area, 0, 0).fails(EFAULT);
    }
}

fn send_of_a_bad_text_is_efault(t: &Stage) {
    let queue = t.private();
    t.send_from(queue, &Area::message(1, b""), 1, IPC_NOWAIT)
        .fails(EFAULT);
    t.send_from(queue, &Area::message(1, b"123"), 4, IPC_NOWAIT)
        .fails(EFAULT);
    t.send_from(queue, &Area::message(1, b"123"), 8192, IPC_NOWAIT)
        .fails(EFAULT);
    t.send_from(queue, &Area::message(1, &[b'x'; 5000]), 5001, IPC_NOWAIT)
        .fails(EFAULT);
}

fn send_of_half_a_type_is_efault(t: &Stage) {
    let queue = t.private();
    for size in 1..8 {
        t.send_from(queue, &Area::new(size), 0, IPC_NOWAIT)
            .fails(EFAULT);
    }
}

fn send_of_an_empty_message_needs_only_its_type(t: &Stage) {
    let queue = t.private();
    t.send_from(queue, &Area::message(5, b""), 0, 0).must();
    assert_eq!(t.recv(queue, 0, 0, 0).must().mtype, 5);
}

fn send_from_read_only_memory_works(t: &Stage) {
    let queue = t.private();
    t.send_from(queue, &Area::message(5, b"constant").read_only(), 8, 0)
        .must();
    assert_eq!(t.take(queue, 5), "constant");
}

fn send_across_pages_works(t: &Stage) {
    let queue = t.private();
    let text: Vec<u8> = (0..8000_u32).map(|i| (i % 253) as u8).collect();
    t.send_from(queue, &Area::message(5, &text), 8000, 0).must();
    assert_eq!(t.recv(queue, 8192, 0, 0).must().text, text);
}

fn send_that_faults_leaves_no_trace(t: &Stage) {
    let queue = t.private();
    let before = t.stat(queue).must();
    t.send_from(queue, &Area::message(1, b"123"), 100, IPC_NOWAIT)
        .fails(EFAULT);
    assert_eq!(t.stat(queue).must(), before);
    assert_eq!(t.usage().must().1.msgtql, 0);
}

fn send_checks_the_type_pointer_first_of_all(t: &Stage) {
    let none = Area::null();
    t.send_from(Queue(-1), &none, 5, IPC_NOWAIT).fails(EFAULT);
    t.send_from(Queue(77), &none, usize::MAX, IPC_NOWAIT)
        .fails(EFAULT);
    t.send_from(Queue(77), &none, 100_000, IPC_NOWAIT)
        .fails(EFAULT);
}

fn send_checks_its_size_before_its_text(t: &Stage) {
    let queue = t.private();
    t.send_from(queue, &Area::message(1, b"123"), 8193, IPC_NOWAIT)
        .fails(EINVAL);
    t.send_from(queue, &Area::message(0, b"123"), 100, IPC_NOWAIT)
        .fails(EINVAL);
    t.send_from(Queue(-1), &Area::message(1, b"123"), 100, IPC_NOWAIT)
        .fails(EINVAL);
}

fn send_checks_its_text_before_the_id(t: &Stage) {
    t.send_from(Queue(77), &Area::message(1, b"123"), 100, IPC_NOWAIT)
        .fails(EFAULT);
    t.send_from(Queue(77), &Area::message(1, b"123"), 3, IPC_NOWAIT)
        .fails(EINVAL);
}

fn send_checks_its_text_before_room_and_permission(t: &Stage) {
    let queue = t.private();
    t.change(queue, |stat| stat.qbytes = 1).must();
    t.send_from(queue, &Area::message(1, b"123"), 100, IPC_NOWAIT)
        .fails(EFAULT);
    t.send_from(queue, &Area::message(1, b"123"), 3, IPC_NOWAIT)
        .fails(EAGAIN);
    become_user(1000, 1000, &[]);
    t.send_from(queue, &Area::message(1, b"123"), 100, IPC_NOWAIT)
        .fails(EFAULT);
    t.send_from(queue, &Area::message(1, b"123"), 3, IPC_NOWAIT)
        .fails(EACCES);
}

fn receive_into_a_bad_pointer_loses_the_message(t: &Stage) {
    let queue = t.private();
    for area in bad_pointers() {
        t.put(queue, 1, "lost");
        t.recv_into(queue, &area, 10, 0, IPC_NOWAIT).fails(EFAULT);
        t.is_empty(queue);
    }
    t.put(queue, 1, "");
    t.recv_into(queue, &Area::null(), 0, 0, IPC_NOWAIT)
        .fails(EFAULT);
    t.is_empty(queue);
}

fn receive_into_read_only_memory_loses_the_message(t: &Stage) {
    let queue = t.private();
    t.put(queue, 1, "lost");
    t.put(queue, 1, "kept");
    let area = Area::new(100).read_only();
    t.recv_into(queue, &area, 92, 0, IPC_NOWAIT).fails(EFAULT);
    assert_eq!(t.take(queue, 0), "kept");
}

fn receive_into_half_a_buffer_loses_the_message(t: &Stage) {
    let queue = t.private();
    t.put(queue, 1, "longer than three");
    t.recv_into(queue, &Area::new(8 + 3), 100, 0, IPC_NOWAIT)
        .fails(EFAULT);
    t.is_empty(queue);
    t.put(queue, 1, "x");
    t.recv_into(queue, &Area::new(4), 100, 0, IPC_NOWAIT)
        .fails(EFAULT);
    t.is_empty(queue);
}

fn receive_that_faults_stamps_all_the_same(t: &Stage) {
    let queue = t.private();
    t.put(queue, 1, "lost");
    t.recv_into(queue, &Area::null(), 10, 0, IPC_NOWAIT)
        .fails(EFAULT);
    let stat = t.stat(queue).must();
    assert_eq!(
        (stat.qnum, stat.cbytes, stat.lrpid),
        (0, 0, crate::process::own_pid())
    );
    assert_ne!(stat.rtime, 0);
}

fn receive_from_an_empty_queue_ignores_the_pointer(t: &Stage) {
    let queue = t.private();
    for area in bad_pointers() {
        t.recv_into(queue, &area, 10, 0, IPC_NOWAIT).fails(ENOMSG);
    }
}

fn receive_of_too_much_ignores_the_pointer(t: &Stage) {
    let queue = t.private();
    t.put(queue, 1, "12345");
    for area in bad_pointers() {
        t.recv_into(queue, &area, 4, 0, IPC_NOWAIT).fails(E2BIG);
    }
    assert_eq!(t.take(queue, 0), "12345");
}

fn receive_from_a_bad_id_ignores_the_pointer(t: &Stage) {
    for area in bad_pointers() {
        t.recv_into(Queue(77), &area, 4, 0, IPC_NOWAIT)
            .fails(EINVAL);
        t.recv_into(Queue(-1), &area, 4, 0, IPC_NOWAIT)
            .fails(EINVAL);
    }
}

fn receive_into_just_enough_works(t: &Stage) {
    let queue = t.private();
    for size in [0, 1, 7, 8, 100, 4087, 4088, 4089, 8192] {
        let text = vec![b'x'; size];
        t.send(queue, 1, &text, IPC_NOWAIT).must();
        let area = Area::new(8 + size);
        assert_eq!(t.recv_into(queue, &area, size, 0, IPC_NOWAIT).must(), size);
        assert_eq!(area.bytes()[8..], text);
    }
}

fn receive_cut_to_zero_needs_only_a_type(t: &Stage) {
    let queue = t.private();
    t.put(queue, 7, "cut");
    let area = Area::new(8);
    assert_eq!(t.recv_into(queue, &area, 0, 0, libc::MSG_NOERROR).must(), 0);
    assert_eq!(area.bytes(), 7_i64.to_ne_bytes());
}

fn receive_across_pages_works(t: &Stage) {
    let queue = t.private();
    let text: Vec<u8> = (0..8000_u32).map(|i| (i % 253) as u8).collect();
    t.send(queue, 1, &text, 0).must();
    let area = Area::new(3 * 4096);
    assert_eq!(t.recv_into(queue, &area, 8192, 0, 0).must(), 8000);
    assert_eq!(area.bytes()[8..8008], text);
    assert!(area.bytes()[8008..].iter().all(|&byte| byte == 0));
}

fn odd_addresses_work(t: &Stage) {
    let queue = t.private();
    for odd in 1..8 {
        // The area ends where a page ends, so that its length decides its alignment.
        let text = vec![b'x'; 100 + odd];
        t.send_from(queue, &Area::message(3, &text), text.len(), 0)
            .must();
        let area = Area::new(8 + 100 + odd);
        assert_eq!(t.recv_into(queue, &area, 200, 3, 0).must(), 100 + odd);
        assert_eq!(area.bytes()[8..], text);
    }
}

fn memory_taken_away_after_use_is_efault(t: &Stage) {
    taken_away_after_use(t, Area::withdraw);
}

fn memory_taken_away_by_pkey_mprotect_is_efault(t: &Stage) {
    taken_away_after_use(t, Area::withdraw_by_key);
}

fn taken_away_after_use(t: &Stage, take_away: fn(&Area)) {
    let queue = t.private();
    let area = Area::message(1, b"hello");
    for _ in 0..3 {
        t.send_from(queue, &area, 5, IPC_NOWAIT).must();
        t.recv_into(queue, &area, 5, 0, IPC_NOWAIT).must();
    }
    t.send_from(queue, &area, 5, IPC_NOWAIT).must();
    take_away(&area);
    t.send_from(queue, &area, 5, IPC_NOWAIT).fails(EFAULT);
    t.recv_into(queue, &area, 5, 0, IPC_NOWAIT).fails(EFAULT);
    t.is_empty(queue);
}

fn memory_made_read_only_after_use_is_efault(t: &Stage) {
    let queue = t.private();
    let area = Area::message(1, b"hello");
    t.send_from(queue, &area, 5, IPC_NOWAIT).must();
    t.recv_into(queue, &area, 5, 0, IPC_NOWAIT).must();
    let area = area.read_only();
    t.send_from(queue, &area, 5, IPC_NOWAIT).must();
    t.recv_into(queue, &area, 5, 0, IPC_NOWAIT).fails(EFAULT);
}
