//! The bytes: seen by all, at once, as long as the segment is; and what the system's memory calls
//! do to them.

use crate::mapping::{Access, PAGE, access, is_zero, peek, poke, text, word, write_text};
use crate::players::Gate;
use crate::scenarios::{Scenario, table};
use crate::shm::{ANYWHERE, SHM_RDONLY};
use crate::stage::Stage;
use libc::{MADV_DONTNEED, MADV_REMOVE, MADV_WILLNEED, MS_ASYNC, MS_INVALIDATE, MS_SYNC};
use std::sync::atomic::Ordering::SeqCst;

pub(super) const ALL: &[Scenario] = table![
    bytes_are_seen_by_a_child_at_once,
    bytes_are_seen_at_different_addresses,
    bytes_stay_between_attachments,
    bytes_stay_when_every_attacher_was_killed,
    bytes_of_two_segments_are_two,
    bytes_of_the_last_page_reach_its_end,
    bytes_behind_the_last_page_are_not_there,
    bytes_count_up_atomically_in_many_processes,
    bytes_pass_a_word_to_and_fro,
    bytes_wake_a_sleeper_in_another_process,
    bytes_lock_a_robust_way_for_many_processes,
    bytes_of_a_gigabyte_are_sparse,
    bytes_of_many_pages_arrive_whole,
    bytes_synced_stay,
    bytes_not_needed_stay,
    bytes_removed_by_advice_are_zero,
    bytes_locked_in_memory_count_as_there,
    bytes_read_and_written_by_the_kernel,
    bytes_of_a_child_read_by_its_parent_through_the_kernel,
    bytes_are_private_to_nobody_after_a_fork,
];

fn bytes_are_seen_by_a_child_at_once(t: &Stage) {
    let segment = t.segment(PAGE);
    let at = t.attach(segment);
    let (asked, answered) = (Gate::new(), Gate::new());
    let child = t.spawn("child", |_| {
        asked.pass();
        assert_eq!(text(at, 8), "question");
        write_text(at, "answer  ");
        answered.open();
    });
    write_text(at, "question");
    asked.open();
    answered.pass();
    assert_eq!(text(at, 8), "answer  ");
    t.join(child);
}

fn bytes_are_seen_at_different_addresses(t: &Stage) {
    let segment = t.segment(PAGE);
    let at = t.attach(segment);
    let child = t.spawn("child", |t| {
        let own = t.attach(segment);
        assert_ne!(own, at);
        t.detach(at);
        write_text(own + 100, "elsewhere");
    });
    t.join(child);
    assert_eq!(text(at + 100, 9), "elsewhere");
}

fn bytes_stay_between_attachments(t: &Stage) {
    let segment = t.segment(PAGE);
    let at = t.attach(segment);
    write_text(at, "kept");
    t.detach(at);
    let at = t.shmat(segment, ANYWHERE, SHM_RDONLY).must();
    assert_eq!(text(at, 4), "kept");
}

fn bytes_stay_when_every_attacher_was_killed(t: &Stage) {
    let segment = t.segment(PAGE);
    let child = t.spawn("child", |t| {
        let at = t.attach(segment);
        write_text(at, "last words");
        t.tell(0);
        Gate::new().pass();
    });
    t.hear(&child, 1);
    t.kill(child);
    let at = t.attach(segment);
    assert_eq!(text(at, 10), "last words");
}

fn bytes_of_two_segments_are_two(t: &Stage) {
    let (one, two) = (t.segment(PAGE), t.segment(PAGE));
    let (one, two) = (t.attach(one), t.attach(two));
    write_text(one, "one");
    write_text(two, "two");
    assert_eq!((text(one, 3), text(two, 3)), ("one".into(), "two".into()));
}

fn bytes_of_the_last_page_reach_its_end(t: &Stage) {
    let segment = t.segment(PAGE + 1);
    let at = t.attach(segment);
    poke(at + 2 * PAGE - 1, 9);
    let again = t.attach(segment);
    assert_eq!(peek(again + 2 * PAGE - 1), 9);
}

fn bytes_behind_the_last_page_are_not_there(t: &Stage) {
    let segment = t.segment(PAGE);
    let free = crate::mapping::hole(4 * PAGE);
    t.shmat(segment, free + PAGE, 0).must();
    let around = [0, 1, 2].map(|page| access(free + page * PAGE));
    assert_eq!(around, [Access::None, Access::Write, Access::None]);
    let fault = t.faults(free, |_| poke(free + 2 * PAGE, 1));
    assert_eq!(fault, (1, 2 * PAGE as i64));
}

fn bytes_count_up_atomically_in_many_processes(t: &Stage) {
    let segment = t.segment(PAGE);
    let at = t.attach(segment);
    let gate = Gate::new();
    let children = [0; 4].map(|_| {
        t.spawn("counter", |t| {
            let own = t.attach(segment);
            gate.pass();
            for _ in 0..20_000 {
                word(own).fetch_add(1, SeqCst);
            }
        })
    });
    gate.open();
    children.into_iter().for_each(|child| t.join(child));
    assert_eq!(word(at).load(SeqCst), 80_000);
}

fn bytes_pass_a_word_to_and_fro(t: &Stage) {
    let segment = t.segment(PAGE);
    let at = t.attach(segment);
    let serve = move |mine: u32| {
        for round in 0..100 {
            let turn = 2 * round + mine;
            crate::board::poll("it is my turn", || {
                (word(at).load(SeqCst) == turn).then_some(())
            });
            word(at).store(turn + 1, SeqCst);
        }
    };
    let child = t.spawn("child", |_| serve(1));
    serve(0);
    t.join(child);
    assert_eq!(word(at).load(SeqCst), 200);
}

fn bytes_wake_a_sleeper_in_another_process(t: &Stage) {
    let segment = t.segment(PAGE);
    let at = t.attach(segment);
    let child = t.spawn("sleeper", |t| {
        // Its own address: the futex is the byte, not its place.
        let own = t.attach(segment);
        t.tell(0);
        crate::mapping::futex_wait(own, 0);
        assert_eq!(word(own).load(SeqCst), 1);
    });
    t.hear(&child, 1);
    word(at).store(1, SeqCst);
    crate::mapping::futex_wake(at);
    t.join(child);
}

fn bytes_lock_a_robust_way_for_many_processes(t: &Stage) {
    let segment = t.segment(PAGE);
    let at = t.attach(segment);
    crate::mapping::make_robust_mutex(at);
    let child = t.spawn("holder", |t| {
        let own = t.attach(segment);
        assert_eq!(crate::mapping::lock_mutex(own), 0);
        t.tell(0);
        Gate::new().pass();
    });
    t.hear(&child, 1);
    t.kill(child);
    assert_eq!(crate::mapping::lock_mutex(at), libc::EOWNERDEAD);
}

fn bytes_of_a_gigabyte_are_sparse(t: &Stage) {
    let segment = t.segment(1 << 30);
    let at = t.attach(segment);
    write_text(at, "first");
    write_text(at + (1 << 30) - 4, "last");
    assert!(is_zero(at + (1 << 29), PAGE));
    let usage = t.shm_usage(0).must().1;
    assert_eq!((usage.shm_tot, usage.shm_rss), (1 << 18, 3));
    let child = t.spawn("child", |t| {
        let own = t.attach(segment);
        assert_eq!(text(own + (1 << 30) - 4, 4), "last");
    });
    t.join(child);
}

fn bytes_of_many_pages_arrive_whole(t: &Stage) {
    let segment = t.segment(1024 * PAGE);
    let at = t.attach(segment);
    let child = t.spawn("child", |t| {
        let own = t.attach(segment);
        for place in 0..1024 {
            word(own + place * PAGE + 4 * (place % 1024)).store(place as u32 + 1, SeqCst);
        }
    });
    t.join(child);
    let right = |place: usize| word(at + place * PAGE + 4 * (place % 1024)).load(SeqCst);
    assert!((0..1024).all(|place| right(place) == place as u32 + 1));
}

fn bytes_synced_stay(t: &Stage) {
    let segment = t.segment(2 * PAGE);
    let at = t.attach(segment);
    write_text(at, "synced");
    for flags in [MS_SYNC, MS_ASYNC, MS_SYNC | MS_INVALIDATE] {
        t.msync(at, 2 * PAGE, flags).must();
    }
    assert_eq!(text(at, 6), "synced");
    t.attached(segment, 1);
}

fn bytes_not_needed_stay(t: &Stage) {
    let segment = t.segment(2 * PAGE);
    let at = t.attach(segment);
    write_text(at, "kept");
    t.madvise(at, 2 * PAGE, MADV_DONTNEED).must();
    assert_eq!(text(at, 4), "kept");
    t.madvise(at, 2 * PAGE, MADV_WILLNEED).must();
    t.attached(segment, 1);
}

fn bytes_removed_by_advice_are_zero(t: &Stage) {
    let segment = t.segment(3 * PAGE);
    let (at, again) = (t.attach(segment), t.attach(segment));
    (0..3).for_each(|page| poke(at + page * PAGE, 1));
    t.madvise(at + PAGE, PAGE, MADV_REMOVE).must();
    let bytes = [0, 1, 2].map(|page| peek(again + page * PAGE));
    assert_eq!(bytes, [1, 0, 1]);
    t.attached(segment, 2);
}

fn bytes_locked_in_memory_count_as_there(t: &Stage) {
    let segment = t.segment(8 * PAGE);
    let at = t.attach(segment);
    t.mlock(at, 8 * PAGE).must();
    assert_eq!(t.shm_usage(0).must().1.shm_rss, 8);
    assert_eq!(t.shm_stat(segment).must().mode, 0o600);
    t.detach(at);
    t.attached(segment, 0);
}

fn bytes_read_and_written_by_the_kernel(t: &Stage) {
    let segment = t.segment(PAGE);
    let at = t.attach(segment);
    // `access` has the kernel copy out of a page that nobody has touched, and into it.
    assert_eq!(access(at + 100), Access::Write);
    poke(at + 100, 5);
    assert_eq!(access(at + 100), Access::Write);
    assert_eq!(peek(at + 100), 5);
}

fn bytes_of_a_child_read_by_its_parent_through_the_kernel(t: &Stage) {
    let segment = t.segment(PAGE);
    let child = t.spawn("child", |t| {
        let at = t.attach(segment);
        write_text(at, "looked at");
        t.tell(at as i64);
        Gate::new().pass();
    });
    let at = t.hear(&child, 1) as usize;
    assert_eq!(crate::mapping::peek_other(child.pid, at, 9), "looked at");
    t.kill(child);
}

fn bytes_are_private_to_nobody_after_a_fork(t: &Stage) {
    let segment = t.segment(PAGE);
    let at = t.attach(segment);
    write_text(at, "a");
    let child = t.spawn("child", |t| {
        write_text(at, "b");
        let grandchild = t.spawn("grandchild", |_| write_text(at + 1, "c"));
        t.join(grandchild);
        assert_eq!(text(at, 2), "bc");
    });
    t.join(child);
    assert_eq!(text(at, 2), "bc");
}
