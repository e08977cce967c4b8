//! `msgrcv`: sizes, truncation, and what a refused message is left as.

use crate::memory::Area;
use crate::process;
use crate::scenarios::{Scenario, table};
use crate::stage::Stage;
use libc::{E2BIG, EACCES, EINVAL, ENOMSG, IPC_NOWAIT, IPC_PRIVATE, MSG_NOERROR};

pub(super) const ALL: &[Scenario] = table![
    empty_queue_with_nowait_is_enomsg,
    exactly_fitting_buffer_is_enough,
    one_byte_less_is_e2big,
    e2big_leaves_the_message_and_its_place,
    e2big_leaves_state_and_stamps,
    e2big_of_the_first_does_not_look_further,
    e2big_is_judged_after_selection,
    noerror_cuts_the_text,
    noerror_loses_the_rest,
    noerror_with_size_zero_takes_only_the_type,
    noerror_accounts_for_the_whole_message,
    noerror_with_room_is_harmless,
    size_zero_takes_empty_messages,
    size_zero_refuses_others,
    larger_buffer_gets_what_there_is,
    buffer_behind_the_text_stays_as_it_was,
    size_beyond_ssize_max_cannot_be_received,
    size_beyond_msgmax_can_be_received,
    claimed_size_beyond_the_buffer_is_harmless,
    unknown_receive_flags_are_ignored,
    bad_size_is_refused_before_permission needs_root,
];

fn empty_queue_with_nowait_is_enomsg(t: &Stage) {
    let queue = t.private();
    t.recv(queue, 100, 0, IPC_NOWAIT).fails(ENOMSG);
    t.recv(queue, 0, 1, IPC_NOWAIT).fails(ENOMSG);
    t.recv(queue, 100, -1, IPC_NOWAIT | MSG_NOERROR)
        .fails(ENOMSG);
    let stat = t.stat(queue).must();
    assert_eq!((stat.lrpid, stat.rtime), (0, 0));
}

fn exactly_fitting_buffer_is_enough(t: &Stage) {
    let queue = t.private();
    t.put(queue, 1, "12345");
    assert_eq!(t.recv(queue, 5, 0, IPC_NOWAIT).must().text, b"12345");
}

fn one_byte_less_is_e2big(t: &Stage) {
    let queue = t.private();
    t.put(queue, 1, "12345");
    t.recv(queue, 4, 0, IPC_NOWAIT).fails(E2BIG);
    t.recv(queue, 4, 0, 0).fails(E2BIG);
}

fn e2big_leaves_the_message_and_its_place(t: &Stage) {
    let queue = t.private();
    t.put(queue, 1, "first");
    t.put(queue, 1, "second");
    t.recv(queue, 2, 1, IPC_NOWAIT).fails(E2BIG);
    assert_eq!(t.take(queue, 1), "first");
    assert_eq!(t.take(queue, 1), "second");
}

fn e2big_leaves_state_and_stamps(t: &Stage) {
    let queue = t.private();
    t.put(queue, 1, "12345");
    let before = t.stat(queue).must();
    t.recv(queue, 2, 0, IPC_NOWAIT).fails(E2BIG);
    assert_eq!(t.stat(queue).must(), before);
    assert_eq!(before.lrpid, 0);
}

fn e2big_of_the_first_does_not_look_further(t: &Stage) {
    let queue = t.private();
    t.put(queue, 1, "long text");
    t.put(queue, 1, "s");
    t.recv(queue, 1, 1, IPC_NOWAIT).fails(E2BIG);
    t.recv(queue, 1, 0, IPC_NOWAIT).fails(E2BIG);
}

fn e2big_is_judged_after_selection(t: &Stage) {
    let queue = t.private();
    t.put(queue, 5, "long text");
    t.put(queue, 1, "s");
    assert_eq!(t.recv(queue, 1, -9, IPC_NOWAIT).must().text, b"s");
    t.recv(queue, 1, -9, IPC_NOWAIT).fails(E2BIG);
    t.recv(queue, 1, 3, IPC_NOWAIT).fails(ENOMSG);
}

fn noerror_cuts_the_text(t: &Stage) {
    let queue = t.private();
    t.put(queue, 4, "abcdefgh");
    let message = t.recv(queue, 3, 0, MSG_NOERROR).must();
    assert_eq!((message.mtype, &message.text[..]), (4, &b"abc"[..]));
}

fn noerror_loses_the_rest(t: &Stage) {
    let queue = t.private();
    t.put(queue, 4, "abcdefgh");
    t.recv(queue, 3, 0, MSG_NOERROR).must();
    t.is_empty(queue);
}

fn noerror_with_size_zero_takes_only_the_type(t: &Stage) {
    let queue = t.private();
    t.put(queue, 44, "abcdefgh");
    let message = t.recv(queue, 0, 0, MSG_NOERROR | IPC_NOWAIT).must();
    assert_eq!((message.mtype, message.text.len()), (44, 0));
    t.is_empty(queue);
}

fn noerror_accounts_for_the_whole_message(t: &Stage) {
    let queue = t.private();
    t.put(queue, 1, "abcdefgh");
    t.put(queue, 1, "ij");
    t.recv(queue, 3, 0, MSG_NOERROR).must();
    let stat = t.stat(queue).must();
    assert_eq!((stat.qnum, stat.cbytes), (1, 2));
}

fn noerror_with_room_is_harmless(t: &Stage) {
    let queue = t.private();
    t.put(queue, 1, "abc");
    assert_eq!(t.recv(queue, 3, 0, MSG_NOERROR).must().text, b"abc");
    t.put(queue, 1, "abc");
    assert_eq!(t.recv(queue, 4, 0, MSG_NOERROR).must().text, b"abc");
}

fn size_zero_takes_empty_messages(t: &Stage) {
    let queue = t.private();
    t.put(queue, 1, "");
    assert_eq!(t.recv(queue, 0, 0, IPC_NOWAIT).must().mtype, 1);
}

fn size_zero_refuses_others(t: &Stage) {
    let queue = t.private();
    t.put(queue, 1, "x");
    t.recv(queue, 0, 0, IPC_NOWAIT).fails(E2BIG);
}

fn larger_buffer_gets_what_there_is(t: &Stage) {
    let queue = t.private();
    t.put(queue, 1, "abc");
    assert_eq!(t.recv(queue, 100_000, 0, 0).must().text.len(), 3);
}

fn buffer_behind_the_text_stays_as_it_was(t: &Stage) {
    let queue = t.private();
    t.put(queue, 258, "abc");
    let area = Area::message(0, b"0123456789");
    assert_eq!(t.recv_into(queue, &area, 10, 0, 0).must(), 3);
    assert_eq!(area.bytes(), b"\x02\x01\0\0\0\0\0\0abc3456789");
}

fn size_beyond_ssize_max_cannot_be_received(t: &Stage) {
    let queue = t.private();
    t.put(queue, 1, "abc");
    let area = Area::new(100);
    t.recv_into(queue, &area, usize::MAX, 0, IPC_NOWAIT)
        .fails(EINVAL);
    t.recv_into(
        queue,
        &area,
        usize::MAX / 2 + 1,
        0,
        IPC_NOWAIT | MSG_NOERROR,
    )
    .fails(EINVAL);
    assert_eq!(t.stat(queue).must().qnum, 1);
}

fn size_beyond_msgmax_can_be_received(t: &Stage) {
    let queue = t.private();
    t.put(queue, 1, "abc");
    assert_eq!(t.recv(queue, 1 << 20, 0, IPC_NOWAIT).must().text, b"abc");
}

fn claimed_size_beyond_the_buffer_is_harmless(t: &Stage) {
    let queue = t.private();
    t.put(queue, 1, "abc");
    let area = Area::new(8 + 3);
    assert_eq!(
        t.recv_into(queue, &area, usize::MAX / 2, 0, IPC_NOWAIT)
            .must(),
        3
    );
    assert_eq!(area.bytes()[8..], *b"abc");
}

fn unknown_receive_flags_are_ignored(t: &Stage) {
    let queue = t.private();
    t.put(queue, 1, "abc");
    t.put(queue, 1, "def");
    assert_eq!(t.recv(queue, 10, 0, 0x4000_0000).must().text, b"abc");
    assert_eq!(
        t.recv(queue, 10, 0, 0x7fff_0000 | 0o777).must().text,
        b"def"
    );
}

fn bad_size_is_refused_before_permission(t: &Stage) {
    let queue = t.get(IPC_PRIVATE, 0o200).must();
    let area = Area::new(100);
    process::become_user(1000, 1000, &[]);
    t.recv_into(queue, &area, usize::MAX, 0, IPC_NOWAIT)
        .fails(EINVAL);
    t.recv_into(queue, &area, 100, 0, IPC_NOWAIT).fails(EACCES);
}
