//! `shmat` of the same segment, again and again: what changed in between counts.

use crate::mapping::{Access, PAGE, access, hole, limit_resource, peek, poke, text, write_text};
use crate::process::set_effective_uid;
use crate::scenarios::{ANN, Scenario, table};
use crate::shm::{ANYWHERE, SHM_EXEC, SHM_RDONLY, Segment};
use crate::stage::Stage;
use libc::{EACCES, EINVAL, ENOMEM, IPC_CREAT, PROT_READ, PROT_WRITE};

pub(super) const ALL: &[Scenario] = table![
    attaching_again_shows_the_same_bytes,
    attaching_again_read_only_stays_read_only,
    attaching_again_with_other_flags,
    attaching_again_in_turns_shows_each_ones_bytes,
    attaching_again_while_it_is_attached_counts_each,
    attaching_again_at_an_address_is_there,
    attaching_a_large_segment_again,
    attaching_again_shows_what_another_wrote,
    attaching_again_after_anothers_removal_is_einval,
    attaching_again_after_removal_is_einval,
    attaching_again_what_was_removed_and_is_held,
    attaching_again_in_a_fork_child,
    attaching_again_asks_for_the_mode_each_time needs_root,
    attaching_again_asks_who_calls_each_time needs_root,
    attaching_again_beyond_the_limit_of_memory_is_enomem,
    attaching_again_what_is_locked,
];

/// Attaches and detaches, more often than anybody could mistake for once.
#[track_caller]
fn often(t: &Stage, segment: Segment, flags: i32) {
    for _ in 0..4 {
        let at = t.shmat(segment, ANYWHERE, flags).must();
        t.detach(at);
    }
}

fn attaching_again_shows_the_same_bytes(t: &Stage) {
    let segment = t.segment(3 * PAGE);
    for round in 0..5 {
        let at = t.attach(segment);
        assert_eq!(peek(at + 3 * PAGE - 1), round);
        poke(at + 3 * PAGE - 1, round + 1);
        t.attached(segment, 1);
        t.detach(at);
        assert_eq!(access(at), Access::None);
        t.everybody_sees(segment, 0);
    }
}

fn attaching_again_read_only_stays_read_only(t: &Stage) {
    let segment = t.segment(2 * PAGE);
    often(t, segment, 0);
    often(t, segment, SHM_RDONLY);
    let at = t.shmat(segment, ANYWHERE, SHM_RDONLY).must();
    assert_eq!(access(at + PAGE), Access::Read);
    t.mprotect(at, 2 * PAGE, PROT_READ | PROT_WRITE)
        .fails(EACCES);
    t.attached(segment, 1);
}

fn attaching_again_with_other_flags(t: &Stage) {
    let segment = t.shmget(libc::IPC_PRIVATE, PAGE, 0o700).must();
    for _ in 0..2 {
        for (flags, may) in [
            (0, Access::Write),
            (SHM_RDONLY, Access::Read),
            (SHM_EXEC, Access::Write),
            (SHM_EXEC | SHM_RDONLY, Access::Read),
        ] {
            often(t, segment, flags);
            let at = t.shmat(segment, ANYWHERE, flags).must();
            assert_eq!(access(at), may);
            t.detach(at);
        }
    }
}

fn attaching_again_in_turns_shows_each_ones_bytes(t: &Stage) {
    let segments = [t.segment(PAGE), t.segment(2 * PAGE), t.segment(2 << 20)];
    for (byte, &segment) in (1..).zip(&segments) {
        let at = t.attach(segment);
        poke(at, byte);
        t.detach(at);
    }
    for turns in [1, 2, 3] {
        for (byte, &segment) in (1..).zip(&segments) {
            for _ in 0..turns {
                let at = t.attach(segment);
                assert_eq!(peek(at), byte);
                t.detach(at);
            }
        }
    }
}

fn attaching_again_while_it_is_attached_counts_each(t: &Stage) {
    let segment = t.segment(PAGE);
    let all: Vec<_> = (0..6).map(|_| t.attach(segment)).collect();
    poke(all[0], 9);
    for (left, &at) in all.iter().enumerate().rev() {
        assert_eq!(peek(at), 9);
        t.everybody_sees(segment, left as u64 + 1);
        t.detach(at);
    }
    t.everybody_sees(segment, 0);
}

fn attaching_again_at_an_address_is_there(t: &Stage) {
    let segment = t.segment(2 * PAGE);
    often(t, segment, 0);
    let free = hole(2 * PAGE);
    for _ in 0..3 {
        assert_eq!(t.shmat(segment, free, 0).must(), free);
        t.detach(free);
    }
    let at = t.attach(segment);
    t.shmat(segment, at + PAGE, 0).fails(EINVAL);
}

fn attaching_a_large_segment_again(t: &Stage) {
    const LARGE: usize = 8 << 20;
    let segment = t.segment(LARGE);
    for round in 0..4 {
        let at = t.attach(segment);
        assert_eq!(peek(at + LARGE - 1), round);
        poke(at + LARGE - 1, round + 1);
        t.detach(at);
    }
}

fn attaching_again_shows_what_another_wrote(t: &Stage) {
    let segment = t.segment(PAGE);
    often(t, segment, 0);
    let child = t.spawn("child", |t| {
        often(t, segment, 0);
        write_text(t.attach(segment), "from the child");
    });
    t.join(child);
    assert_eq!(text(t.attach(segment), 14), "from the child");
}

fn attaching_again_after_anothers_removal_is_einval(t: &Stage) {
    let segment = t.shmget(0x61, PAGE, IPC_CREAT | 0o600).must();
    often(t, segment, 0);
    let child = t.spawn("child", |t| t.shm_remove(segment).must());
    t.join(child);
    t.is_gone(segment);
    let next = t.shmget(0x61, PAGE, IPC_CREAT | 0o600).must();
    for _ in 0..3 {
        let at = t.attach(next);
        assert_eq!(peek(at), 0);
        t.detach(at);
    }
}

fn attaching_again_after_removal_is_einval(t: &Stage) {
    for _ in 0..3 {
        let segment = t.shmget(0x61, PAGE, IPC_CREAT | 0o600).must();
        often(t, segment, 0);
        let at = t.attach(segment);
        assert_eq!(peek(at), 0);
        poke(at, 1);
        t.detach(at);
        t.shm_remove(segment).must();
        t.is_gone(segment);
    }
}

fn attaching_again_what_was_removed_and_is_held(t: &Stage) {
    let segment = t.segment(PAGE);
    let held = t.attach(segment);
    poke(held, 3);
    often(t, segment, 0);
    t.shm_remove(segment).must();
    for _ in 0..4 {
        let at = t.attach(segment);
        assert_eq!(peek(at), 3);
        t.detach(at);
    }
    t.attached(segment, 1);
    t.detach(held);
    t.is_gone(segment);
}

fn attaching_again_in_a_fork_child(t: &Stage) {
    let segment = t.segment(PAGE);
    let held = t.attach(segment);
    poke(held, 5);
    often(t, segment, 0);
    let child = t.spawn("child", |t| {
        t.attached(segment, 2);
        let at = t.attach(segment);
        assert_eq!(peek(at), 5);
        t.everybody_sees(segment, 3);
        often(t, segment, 0);
        poke(at, 6);
    });
    t.join(child);
    assert_eq!(peek(held), 6);
    t.everybody_sees(segment, 1);
    often(t, segment, 0);
    t.everybody_sees(segment, 1);
}

fn attaching_again_asks_for_the_mode_each_time(t: &Stage) {
    let segment = t.shmget(libc::IPC_PRIVATE, PAGE, 0o666).must();
    set_effective_uid(ANN);
    often(t, segment, 0);
    set_effective_uid(0);
    t.shm_change(segment, |stat| stat.mode = 0o644).must();
    set_effective_uid(ANN);
    t.shmat(segment, ANYWHERE, 0).fails(EACCES);
    often(t, segment, SHM_RDONLY);
    set_effective_uid(0);
    t.shm_change(segment, |stat| stat.mode = 0o600).must();
    set_effective_uid(ANN);
    t.shmat(segment, ANYWHERE, SHM_RDONLY).fails(EACCES);
    set_effective_uid(0);
    t.attached(segment, 0);
}

fn attaching_again_asks_who_calls_each_time(t: &Stage) {
    let segment = t.segment(PAGE);
    for _ in 0..2 {
        often(t, segment, 0);
        set_effective_uid(ANN);
        t.shmat(segment, ANYWHERE, 0).fails(EACCES);
        set_effective_uid(0);
    }
}

fn attaching_again_beyond_the_limit_of_memory_is_enomem(t: &Stage) {
    let segment = t.segment(1 << 20);
    let child = t.spawn("limited", |t| {
        often(t, segment, 0);
        limit_resource(libc::RLIMIT_AS, PAGE as u64);
        t.shmat(segment, ANYWHERE, 0).fails(ENOMEM);
        t.attached(segment, 0);
    });
    t.join(child);
    t.attach(segment);
}

fn attaching_again_what_is_locked(t: &Stage) {
    let segment = t.segment(PAGE);
    often(t, segment, 0);
    t.shm_lock(segment).must();
    often(t, segment, 0);
    t.shm_unlock(segment).must();
    let at = t.attach(segment);
    t.mlock(at, PAGE).must();
    often(t, segment, 0);
    assert_eq!(peek(at), 0);
}
