//! `MSG_COPY`: looking at the message in a given place without taking it.

use crate::memory::Area;
use crate::msg::Queue;
use crate::scenarios::{Scenario, table};
use crate::stage::Stage;
use libc::{E2BIG, EFAULT, EINVAL, ENOMSG, IPC_NOWAIT, MSG_COPY, MSG_EXCEPT, MSG_NOERROR};

pub(super) const ALL: &[Scenario] = table![
    copy_takes_the_place_not_the_type,
    copy_beyond_the_end_is_enomsg,
    copy_of_an_empty_queue_is_enomsg,
    copy_of_a_negative_place_is_enomsg,
    copy_without_nowait_is_einval,
    copy_with_except_is_einval,
    copy_leaves_the_queue_as_it_was,
    copy_into_a_small_buffer_is_e2big,
    copy_with_noerror_into_a_small_buffer_is_einval,
    copy_with_noerror_into_a_fitting_buffer_works,
    copy_shows_empty_messages,
    copy_into_a_huge_buffer_works,
    copy_into_unreadable_memory_is_efault,
    copy_into_memory_that_only_holds_the_text_works,
    copy_reads_its_whole_buffer_first,
    copy_checks_its_buffer_before_the_id,
    copy_places_move_up_when_one_is_taken,
];

const PEEK: i32 = MSG_COPY | IPC_NOWAIT;

fn filled(t: &Stage) -> Queue {
    let queue = t.private();
    for (mtype, text) in [(5, "zeroth"), (1, "first"), (3, "second")] {
        t.put(queue, mtype, text);
    }
    queue
}

fn copy_takes_the_place_not_the_type(t: &Stage) {
    let queue = filled(t);
    for (place, mtype, text) in [(2, 3, "second"), (0, 5, "zeroth"), (1, 1, "first")] {
        let message = t.recv(queue, 100, place, PEEK).must();
        assert_eq!((message.mtype, &message.text[..]), (mtype, text.as_bytes()));
    }
}

fn copy_beyond_the_end_is_enomsg(t: &Stage) {
    let queue = filled(t);
    t.recv(queue, 100, 3, PEEK).fails(ENOMSG);
    t.recv(queue, 100, i64::MAX, PEEK).fails(ENOMSG);
}

fn copy_of_an_empty_queue_is_enomsg(t: &Stage) {
    let queue = t.private();
    t.recv(queue, 100, 0, PEEK).fails(ENOMSG);
}

fn copy_of_a_negative_place_is_enomsg(t: &Stage) {
    let queue = filled(t);
    t.recv(queue, 100, -1, PEEK).fails(ENOMSG);
    t.recv(queue, 100, i64::MIN, PEEK).fails(ENOMSG);
}

fn copy_without_nowait_is_einval(t: &Stage) {
    let queue = filled(t);
    t.recv(queue, 100, 0, MSG_COPY).fails(EINVAL);
}

fn copy_with_except_is_einval(t: &Stage) {
    let queue = filled(t);
    t.recv(queue, 100, 0, PEEK | MSG_EXCEPT).fails(EINVAL);
}

fn copy_leaves_the_queue_as_it_was(t: &Stage) {
    let queue = filled(t);
    let before = t.stat(queue).must();
    for place in 0..3 {
        t.recv(queue, 100, place, PEEK).must();
    }
    assert_eq!(t.stat(queue).must(), before);
    assert_eq!(before.lrpid, 0);
    assert_eq!(t.drain(queue).len(), 3);
}

fn copy_into_a_small_buffer_is_e2big(t: &Stage) {
    let queue = filled(t);
    t.recv(queue, 5, 0, PEEK).fails(E2BIG);
    t.recv(queue, 5, 1, PEEK).must();
}

fn copy_with_noerror_into_a_small_buffer_is_einval(t: &Stage) {
    let queue = filled(t);
    t.recv(queue, 3, 0, PEEK | MSG_NOERROR).fails(EINVAL);
    assert_eq!(t.stat(queue).must().qnum, 3);
}

fn copy_with_noerror_into_a_fitting_buffer_works(t: &Stage) {
    let queue = filled(t);
    assert_eq!(
        t.recv(queue, 6, 0, PEEK | MSG_NOERROR).must().text,
        b"zeroth"
    );
}

fn copy_shows_empty_messages(t: &Stage) {
    let queue = t.private();
    t.put(queue, 9, "");
    assert_eq!(t.recv(queue, 0, 0, PEEK).must().mtype, 9);
    assert_eq!(t.recv(queue, 10, 0, PEEK).must().text, b"");
}

fn copy_into_a_huge_buffer_works(t: &Stage) {
    let queue = filled(t);
    assert_eq!(t.recv(queue, 1 << 20, 1, PEEK).must().text, b"first");
}

fn copy_into_unreadable_memory_is_efault(t: &Stage) {
    let queue = filled(t);
    for area in [Area::null(), Area::unmapped(), Area::kernel_half()] {
        t.recv_into(queue, &area, 100, 0, PEEK).fails(EFAULT);
    }
    assert_eq!(t.stat(queue).must().qnum, 3);
}

fn copy_into_memory_that_only_holds_the_text_works(t: &Stage) {
    let queue = filled(t);
    let area = Area::new(8 + 6);
    assert_eq!(t.recv_into(queue, &area, 6, 0, PEEK).must(), 6);
    assert_eq!(area.bytes(), b"\x05\0\0\0\0\0\0\0zeroth");
}

fn copy_reads_its_whole_buffer_first(t: &Stage) {
    let queue = filled(t);
    // Nothing but the text is written, but `size` bytes are read, from the type on; up to msgmax.
    let area = Area::new(8 + 6);
    t.recv_into(queue, &area, 14, 0, PEEK).must();
    t.recv_into(queue, &area, 15, 0, PEEK).fails(EFAULT);
    t.recv_into(queue, &area, 15, 0, IPC_NOWAIT).must();
    t.recv_into(queue, &Area::new(8192), 1 << 20, 0, PEEK)
        .must();
}

fn copy_checks_its_buffer_before_the_id(t: &Stage) {
    let stale = Queue(t.private().0 + crate::msg::IPCMNI);
    t.recv_into(stale, &Area::null(), 100, 0, MSG_COPY)
        .fails(EINVAL);
    t.recv_into(stale, &Area::null(), 100, 0, PEEK | MSG_EXCEPT)
        .fails(EINVAL);
    t.recv_into(stale, &Area::null(), 100, 0, PEEK)
        .fails(EFAULT);
    t.recv(stale, 100, 0, PEEK).fails(EINVAL);
}

fn copy_places_move_up_when_one_is_taken(t: &Stage) {
    let queue = filled(t);
    t.take(queue, 1);
    assert_eq!(t.recv(queue, 100, 1, PEEK).must().text, b"second");
    t.recv(queue, 100, 2, PEEK).fails(ENOMSG);
}
