//! `shmat`: where, how, and how often.

use crate::mapping::{PAGE, anonymous, hole, limit_resource, peek, poke, text, write_text};
use crate::scenarios::{Scenario, table};
use crate::shm::{ANYWHERE, SHM_RDONLY, SHM_REMAP, SHM_RND, Segment};
use crate::stage::Stage;
use libc::{EINVAL, ENOMEM};

pub(super) const ALL: &[Scenario] = table![
    attaching_anywhere_gives_a_page,
    attaching_at_a_free_address_is_there,
    attaching_at_an_odd_address_is_einval,
    attaching_at_an_odd_address_may_be_rounded_down,
    attaching_at_an_even_address_may_be_rounded_too,
    attaching_within_the_first_page_rounds_to_address_zero needs_root,
    attaching_at_null_with_remap_is_einval,
    attaching_within_the_first_page_with_remap_is_einval,
    attaching_over_a_mapping_is_einval,
    attaching_over_the_end_of_a_mapping_is_einval,
    attaching_over_an_attachment_is_einval,
    attaching_with_remap_takes_the_mappings_place,
    attaching_with_remap_takes_a_free_place,
    attaching_with_remap_replaces_an_attachment,
    attaching_with_remap_over_itself_keeps_the_segment,
    attaching_with_remap_over_part_of_an_attachment,
    attaching_beyond_the_address_space_fails,
    attaching_twice_shows_the_same_bytes,
    attaching_many_times,
    attaching_read_only_and_writable_at_once,
    attaching_checks_the_address_before_the_id,
    attaching_ignores_flags_that_mean_nothing,
    attaching_beyond_the_limit_of_memory_is_enomem,
    attaching_where_a_child_forked_before_is_free,
    attachments_of_different_segments_lie_apart,
];

fn attaching_anywhere_gives_a_page(t: &Stage) {
    let segment = t.segment(10);
    let at = t.attach(segment);
    assert_eq!(at % PAGE, 0);
    write_text(at, "0123456789");
    assert_eq!(text(at, 10), "0123456789");
    t.attached(segment, 1);
}

fn attaching_at_a_free_address_is_there(t: &Stage) {
    let segment = t.segment(2 * PAGE);
    let free = hole(2 * PAGE);
    assert_eq!(t.shmat(segment, free, 0).must(), free);
    poke(free + 2 * PAGE - 1, 1);
    t.detach(free);
    assert_eq!(t.shmat(segment, free, SHM_RDONLY).must(), free);
    assert_eq!(peek(free + 2 * PAGE - 1), 1);
}

fn attaching_at_an_odd_address_is_einval(t: &Stage) {
    let segment = t.segment(PAGE);
    let free = hole(4 * PAGE);
    for odd in [1, 8, 2048, PAGE - 1] {
        t.shmat(segment, free + odd, 0).fails(EINVAL);
        t.shmat(segment, free + odd, SHM_REMAP).fails(EINVAL);
    }
    t.shmat(segment, 1, 0).fails(EINVAL);
    t.attached(segment, 0);
}

fn attaching_at_an_odd_address_may_be_rounded_down(t: &Stage) {
    let segment = t.segment(PAGE);
    let free = hole(4 * PAGE);
    for odd in [1, 2048, PAGE - 1] {
        assert_eq!(t.shmat(segment, free + odd, SHM_RND).must(), free);
        t.shmdt(free + odd).fails(EINVAL);
        t.detach(free);
    }
}

fn attaching_at_an_even_address_may_be_rounded_too(t: &Stage) {
    let segment = t.segment(PAGE);
    let free = hole(4 * PAGE);
    assert_eq!(t.shmat(segment, free, SHM_RND).must(), free);
}

fn attaching_within_the_first_page_rounds_to_address_zero(t: &Stage) {
    let segment = t.shmget(libc::IPC_PRIVATE, PAGE, 0o666).must();
    // Zero is a place here, not "anywhere"; only root may have it.
    assert_eq!(t.shmat(segment, 100, SHM_RND).must(), 0);
    t.everybody_sees(segment, 1);
    t.detach(0);
    t.attached(segment, 0);
    let child = t.spawn("user", |t| {
        crate::process::become_user(1000, 1000, &[]);
        t.shmat(segment, 100, SHM_RND).fails(libc::EPERM);
        assert_ne!(t.shmat(segment, ANYWHERE, SHM_RND).must(), 0);
    });
    t.join(child);
}

fn attaching_at_null_with_remap_is_einval(t: &Stage) {
    let segment = t.segment(PAGE);
    t.shmat(segment, ANYWHERE, SHM_REMAP).fails(EINVAL);
    t.shmat(segment, ANYWHERE, SHM_REMAP | SHM_RND)
        .fails(EINVAL);
    t.attached(segment, 0);
}

fn attaching_within_the_first_page_with_remap_is_einval(t: &Stage) {
    let segment = t.segment(PAGE);
    t.shmat(segment, 100, SHM_REMAP | SHM_RND).fails(EINVAL);
    t.shmat(segment, 100, SHM_REMAP).fails(EINVAL);
}

fn attaching_over_a_mapping_is_einval(t: &Stage) {
    let segment = t.segment(PAGE);
    let taken = anonymous(PAGE);
    poke(taken, 5);
    t.shmat(segment, taken, 0).fails(EINVAL);
    t.shmat(segment, taken + 1, SHM_RND).fails(EINVAL);
    assert_eq!(peek(taken), 5);
    t.attached(segment, 0);
}

fn attaching_over_the_end_of_a_mapping_is_einval(t: &Stage) {
    let segment = t.segment(2 * PAGE);
    let taken = anonymous(4 * PAGE);
    t.munmap(taken, PAGE).must();
    t.shmat(segment, taken, 0).fails(EINVAL);
    let small = t.segment(PAGE);
    assert_eq!(t.shmat(small, taken, 0).must(), taken);
}

fn attaching_over_an_attachment_is_einval(t: &Stage) {
    let segment = t.segment(PAGE);
    let at = t.attach(segment);
    t.shmat(segment, at, 0).fails(EINVAL);
    t.shmat(t.segment(PAGE), at, 0).fails(EINVAL);
    t.attached(segment, 1);
}

fn attaching_with_remap_takes_the_mappings_place(t: &Stage) {
    let segment = t.segment(PAGE);
    let taken = anonymous(3 * PAGE);
    for page in 0..3 {
        poke(taken + page * PAGE, 5);
    }
    assert_eq!(
        t.shmat(segment, taken + PAGE, SHM_REMAP).must(),
        taken + PAGE
    );
    let bytes = [0, 1, 2].map(|page| peek(taken + page * PAGE));
    assert_eq!(bytes, [5, 0, 5]);
    t.detach(taken + PAGE);
    assert_eq!(
        crate::mapping::access(taken + PAGE),
        crate::mapping::Access::None
    );
}

fn attaching_with_remap_takes_a_free_place(t: &Stage) {
    let segment = t.segment(PAGE);
    let free = hole(PAGE);
    assert_eq!(t.shmat(segment, free, SHM_REMAP).must(), free);
    t.detach(free);
    assert_eq!(t.shmat(segment, free + 9, SHM_REMAP | SHM_RND).must(), free);
}

fn attaching_with_remap_replaces_an_attachment(t: &Stage) {
    let (old, new) = (t.segment(PAGE), t.segment(PAGE));
    let at = t.attach(old);
    write_text(at, "old");
    t.shmat(new, at, SHM_REMAP).must();
    assert_eq!(peek(at), 0);
    t.everybody_sees(old, 0);
    t.everybody_sees(new, 1);
    t.detach(at);
    t.attached(new, 0);
    t.shmdt(at).fails(EINVAL);
}

fn attaching_with_remap_over_itself_keeps_the_segment(t: &Stage) {
    let segment = t.segment(PAGE);
    let at = t.attach(segment);
    write_text(at, "kept");
    t.shm_remove(segment).must();
    t.shmat(segment, at, SHM_REMAP).must();
    assert_eq!(text(at, 4), "kept");
    t.everybody_sees(segment, 1);
    t.detach(at);
    t.is_gone(segment);
}

fn attaching_with_remap_over_part_of_an_attachment(t: &Stage) {
    let (old, new) = (t.segment(3 * PAGE), t.segment(PAGE));
    let at = t.attach(old);
    for page in 0..3 {
        poke(at + page * PAGE, 7);
    }
    t.shmat(new, at + PAGE, SHM_REMAP).must();
    let bytes = [0, 1, 2].map(|page| peek(at + page * PAGE));
    assert_eq!(bytes, [7, 0, 7]);
    // What is left are two pieces, and each counts.
    t.everybody_sees(old, 2);
    t.everybody_sees(new, 1);
    // Detaching takes both, and leaves what is between them.
    t.detach(at);
    t.everybody_sees(old, 0);
    t.everybody_sees(new, 1);
    t.detach(at + PAGE);
    t.attached(new, 0);
}

fn attaching_beyond_the_address_space_fails(t: &Stage) {
    let segment = t.segment(PAGE);
    for address in [1_usize << 47, 1 << 62] {
        t.shmat(segment, address, 0).fails(ENOMEM);
        t.shmat(segment, address, SHM_REMAP).fails(ENOMEM);
    }
    // Where the end would be before the beginning.
    let last = usize::MAX & !(PAGE - 1);
    t.shmat(segment, last, 0).fails(EINVAL);
    t.shmat(segment, last, SHM_REMAP).fails(ENOMEM);
    t.attached(segment, 0);
}

fn attaching_twice_shows_the_same_bytes(t: &Stage) {
    let segment = t.segment(PAGE);
    let (one, two) = (t.attach(segment), t.attach(segment));
    assert_ne!(one, two);
    write_text(one, "seen");
    assert_eq!(text(two, 4), "seen");
    t.everybody_sees(segment, 2);
    t.detach(one);
    assert_eq!(text(two, 4), "seen");
    t.attached(segment, 1);
    t.shmdt(one).fails(EINVAL);
    t.detach(two);
    t.attached(segment, 0);
}

fn attaching_many_times(t: &Stage) {
    let segment = t.segment(PAGE);
    let all: Vec<usize> = (0..300).map(|_| t.attach(segment)).collect();
    t.everybody_sees(segment, 300);
    write_text(all[17], "x");
    assert!(all.iter().all(|&at| peek(at) == b'x'));
    for (left, at) in (0..300).rev().zip(all) {
        t.detach(at);
        t.attached(segment, left);
    }
}

fn attaching_read_only_and_writable_at_once(t: &Stage) {
    let segment = t.segment(PAGE);
    let reader = t.shmat(segment, ANYWHERE, SHM_RDONLY).must();
    let writer = t.attach(segment);
    write_text(writer, "news");
    assert_eq!(text(reader, 4), "news");
    t.attached(segment, 2);
}

fn attaching_checks_the_address_before_the_id(t: &Stage) {
    // All are EINVAL: seen is only that nothing comes first that is not.
    t.shmat(Segment(77), 1, 0).fails(EINVAL);
    t.shmat(Segment(77), ANYWHERE, SHM_REMAP).fails(EINVAL);
    t.shmat(Segment(-1), ANYWHERE, 0).fails(EINVAL);
    let taken = anonymous(PAGE);
    t.shmat(Segment(77), taken, 0).fails(EINVAL);
}

fn attaching_ignores_flags_that_mean_nothing(t: &Stage) {
    let segment = t.segment(PAGE);
    for flag in [1, 0o777, 0o1000, 0o2000, 0o4000, 1 << 20, 1 << 30, i32::MIN] {
        let at = t.shmat(segment, ANYWHERE, flag).must();
        poke(at, 1);
        t.detach(at);
    }
}

fn attaching_beyond_the_limit_of_memory_is_enomem(t: &Stage) {
    let segment = t.segment(1 << 30);
    let child = t.spawn("limited", |t| {
        limit_resource(libc::RLIMIT_AS, 512 << 20);
        t.shmat(segment, ANYWHERE, 0).fails(ENOMEM);
        t.attached(segment, 0);
        t.attach(t.segment(PAGE));
    });
    t.join(child);
    t.attach(segment);
}

fn attaching_where_a_child_forked_before_is_free(t: &Stage) {
    let segment = t.segment(PAGE);
    let free = hole(PAGE);
    let child = t.spawn("child", |t| {
        assert_eq!(t.shmat(segment, free, 0).must(), free);
        write_text(free, "same place");
    });
    t.join(child);
    assert_eq!(t.shmat(segment, free, 0).must(), free);
    assert_eq!(text(free, 10), "same place");
}

fn attachments_of_different_segments_lie_apart(t: &Stage) {
    let segments: Vec<Segment> = (0..20).map(|_| t.segment(2 * PAGE)).collect();
    let mut all: Vec<usize> = segments.iter().map(|&one| t.attach(one)).collect();
    for (number, &at) in all.iter().enumerate() {
        poke(at, number as u8);
        poke(at + 2 * PAGE - 1, number as u8);
    }
    for (number, &at) in all.iter().enumerate() {
        let both = (peek(at), peek(at + 2 * PAGE - 1));
        assert_eq!(both, (number as u8, number as u8));
    }
    all.sort_unstable();
    assert!(all.windows(2).all(|pair| pair[0] + 2 * PAGE <= pair[1]));
}
