//! Attachments cut to pieces, moved, and mapped over: what counts, and what `shmdt` takes.

use crate::errno::Errno;
use crate::mapping::{Access, PAGE, access, hole, peek, poke};
use crate::process::{self, Ending};
use crate::scenarios::{Scenario, table};
use crate::shm::{SHM_RDONLY, SHM_REMAP, Segment};
use crate::stage::Stage;
use libc::{
    EACCES, EINVAL, ENOMEM, MADV_DONTFORK, PROT_EXEC, PROT_NONE, PROT_READ, PROT_WRITE, SIGBUS,
};

pub(super) const ALL: &[Scenario] = table![
    unmapping_an_attachment_detaches_it,
    unmapping_the_last_attachment_of_a_removed_segment_frees_it,
    unmapping_the_head_leaves_an_attachment,
    unmapping_the_tail_leaves_an_attachment,
    unmapping_the_middle_makes_two_attachments,
    unmapping_two_attachments_at_once,
    unmapping_piece_by_piece_detaches_with_the_last,
    detaching_after_the_head_was_unmapped,
    detaching_after_the_middle_was_unmapped_takes_both_ends,
    protecting_a_part_makes_more_attachments,
    protecting_a_part_and_back_rejoins_nothing,
    protecting_at_the_side_of_its_like_moves_the_border,
    protecting_a_whole_piece_like_its_neighbours_rejoins_nothing,
    protecting_over_a_hole_counts_what_comes_before,
    protecting_over_a_hole_after_the_first_thread_ended,
    protecting_what_may_not_be_written_counts_what_comes_before,
    advising_over_a_hole_counts_what_comes_behind,
    locking_a_part_makes_more_attachments,
    advising_a_part_makes_more_attachments,
    moved_attachment_is_detached_by_its_new_address,
    moved_attachment_stays_one,
    shrunk_attachment_stays_one,
    grown_attachment_has_no_bytes_behind_its_end,
    touching_behind_the_end_is_sigbus_and_the_segment_stays,
    detaching_leaves_what_lies_behind_the_end,
    sealed_attachment_is_not_detached,
    detaching_leaves_what_came_from_another_attachment,
    duplicated_attachment_counts_twice,
    moved_tail_is_not_detached_by_its_address,
    mapping_over_an_attachment_detaches_it,
    mapping_over_the_middle_makes_two_attachments,
    mapping_over_the_last_attachment_of_a_removed_segment_frees_it,
    removed_segment_lives_as_long_as_a_piece,
    pieces_are_inherited_piece_by_piece,
    detaching_takes_what_begins_there_not_the_rest_of_what_did,
];

/// A segment of four pages, attached once.
fn four_pages(t: &Stage) -> (Segment, usize) {
    let segment = t.segment(4 * PAGE);
    let at = t.attach(segment);
    (0..4).for_each(|page| poke(at + page * PAGE, b'0' + page as u8));
    (segment, at)
}

fn unmapping_an_attachment_detaches_it(t: &Stage) {
    let (segment, at) = four_pages(t);
    t.munmap(at, 4 * PAGE).must();
    t.everybody_sees(segment, 0);
    assert_ne!(t.shm_stat(segment).must().dtime, 0);
    t.shmdt(at).fails(EINVAL);
    let at = t.attach(segment);
    assert_eq!(peek(at + PAGE), b'1');
}

fn unmapping_the_last_attachment_of_a_removed_segment_frees_it(t: &Stage) {
    let (segment, at) = four_pages(t);
    t.shm_remove(segment).must();
    t.munmap(at, 4 * PAGE).must();
    t.is_gone(segment);
}

fn unmapping_the_head_leaves_an_attachment(t: &Stage) {
    let (segment, at) = four_pages(t);
    t.munmap(at, PAGE).must();
    t.everybody_sees(segment, 1);
    assert_eq!(peek(at + PAGE), b'1');
    t.shmdt(at + PAGE).fails(EINVAL);
    t.attached(segment, 1);
}

fn unmapping_the_tail_leaves_an_attachment(t: &Stage) {
    let (segment, at) = four_pages(t);
    t.munmap(at + 2 * PAGE, 2 * PAGE).must();
    t.everybody_sees(segment, 1);
    t.detach(at);
    t.attached(segment, 0);
    assert_eq!(access(at + PAGE), Access::None);
}

fn unmapping_the_middle_makes_two_attachments(t: &Stage) {
    let (segment, at) = four_pages(t);
    t.munmap(at + PAGE, 2 * PAGE).must();
    t.everybody_sees(segment, 2);
    assert_eq!((peek(at), peek(at + 3 * PAGE)), (b'0', b'3'));
}

fn unmapping_two_attachments_at_once(t: &Stage) {
    let segment = t.segment(PAGE);
    let free = hole(3 * PAGE);
    t.shmat(segment, free, 0).must();
    t.shmat(segment, free + 2 * PAGE, 0).must();
    t.attached(segment, 2);
    t.munmap(free, 3 * PAGE).must();
    t.everybody_sees(segment, 0);
}

fn unmapping_piece_by_piece_detaches_with_the_last(t: &Stage) {
    let (segment, at) = four_pages(t);
    for (page, left) in [(0, 1), (2, 2), (1, 1), (3, 0)] {
        t.munmap(at + page * PAGE, PAGE).must();
        t.attached(segment, left);
    }
    t.shmdt(at).fails(EINVAL);
}

fn detaching_after_the_head_was_unmapped(t: &Stage) {
    let (segment, at) = four_pages(t);
    t.munmap(at, PAGE).must();
    // The address that shmat gave still means the attachment, though nothing is there.
    t.detach(at);
    t.attached(segment, 0);
    assert_eq!(access(at + PAGE), Access::None);
}

fn detaching_after_the_middle_was_unmapped_takes_both_ends(t: &Stage) {
    let (segment, at) = four_pages(t);
    t.munmap(at + PAGE, 2 * PAGE).must();
    t.shmdt(at + 3 * PAGE).fails(EINVAL);
    t.detach(at);
    t.everybody_sees(segment, 0);
    assert_eq!(access(at + 3 * PAGE), Access::None);
}

fn protecting_a_part_makes_more_attachments(t: &Stage) {
    let (segment, at) = four_pages(t);
    t.mprotect(at, PAGE, PROT_READ).must();
    t.everybody_sees(segment, 2);
    t.mprotect(at + 2 * PAGE, PAGE, PROT_READ).must();
    t.everybody_sees(segment, 4);
    t.detach(at);
    t.everybody_sees(segment, 0);
    assert_eq!(access(at + 3 * PAGE), Access::None);
}

fn protecting_a_part_and_back_rejoins_nothing(t: &Stage) {
    let (segment, at) = four_pages(t);
    t.mprotect(at + PAGE, PAGE, PROT_READ).must();
    t.mprotect(at + PAGE, PAGE, PROT_READ | PROT_WRITE).must();
    t.everybody_sees(segment, 3);
    t.detach(at);
    t.attached(segment, 0);
}

/// What broke: it was cut off, and counted, though nothing tells it from its neighbour.
fn protecting_at_the_side_of_its_like_moves_the_border(t: &Stage) {
    let (segment, at) = four_pages(t);
    t.mprotect(at, PAGE, PROT_READ).must();
    t.mprotect(at + PAGE, PAGE, PROT_READ).must();
    t.everybody_sees(segment, 2);
    t.mprotect(at + PAGE, PAGE, PROT_READ | PROT_WRITE).must();
    t.everybody_sees(segment, 2);
    // From within one piece into the next.
    t.mprotect(at + 2 * PAGE, 2 * PAGE, PROT_NONE).must();
    t.everybody_sees(segment, 3);
    t.mprotect(at + PAGE, 2 * PAGE, PROT_READ | PROT_EXEC)
        .must();
    t.everybody_sees(segment, 3);
    let child = t.spawn("child", |t| t.attached(segment, 6));
    t.join(child);
    t.munmap(at + PAGE, 2 * PAGE).must();
    t.everybody_sees(segment, 2);
    t.detach(at);
    t.everybody_sees(segment, 0);
    assert_eq!(access(at + 3 * PAGE), Access::None);
}

fn protecting_a_whole_piece_like_its_neighbours_rejoins_nothing(t: &Stage) {
    let (segment, at) = four_pages(t);
    t.mprotect(at, PAGE, PROT_READ).must();
    t.mprotect(at, PAGE, PROT_READ | PROT_WRITE).must();
    t.everybody_sees(segment, 2);
    t.mprotect(at + PAGE, PAGE, PROT_READ).must();
    t.everybody_sees(segment, 3);
    t.mprotect(at, 4 * PAGE, PROT_READ).must();
    t.everybody_sees(segment, 3);
}

fn protecting_over_a_hole_counts_what_comes_before(t: &Stage) {
    let (segment, at) = four_pages(t);
    t.munmap(at + 2 * PAGE, PAGE).must();
    t.everybody_sees(segment, 2);
    t.mprotect(at + PAGE, 3 * PAGE, PROT_READ).fails(ENOMEM);
    t.everybody_sees(segment, 3);
    assert_eq!(access(at + PAGE), Access::Read);
    assert_eq!(access(at + 3 * PAGE), Access::Write);
    t.mprotect(at + 2 * PAGE, 2 * PAGE, PROT_READ).fails(ENOMEM);
    t.everybody_sees(segment, 3);
}

/// What broke: /proc shows no memory of a process whose first thread has ended.
fn protecting_over_a_hole_after_the_first_thread_ended(t: &Stage) {
    let segment = t.segment(4 * PAGE);
    let child = t.spawn("child", |t| {
        let at = t.attach(segment);
        t.munmap(at + 2 * PAGE, PAGE).must();
        let _thread = t.thread("thread", move |t| {
            crate::board::poll("the first thread ends", || {
                let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
                stat.contains(") Z ").then_some(())
            });
            t.mprotect(at + PAGE, 3 * PAGE, PROT_READ).fails(ENOMEM);
            t.attached(segment, 3);
            process::exit_now(0);
        });
        process::end_this_thread();
    });
    t.join(child);
    t.everybody_sees(segment, 0);
}

fn protecting_what_may_not_be_written_counts_what_comes_before(t: &Stage) {
    let (one, other) = (t.segment(2 * PAGE), t.segment(PAGE));
    let free = hole(3 * PAGE);
    t.shmat(one, free, 0).must();
    t.shmat(other, free + 2 * PAGE, SHM_RDONLY).must();
    t.mprotect(free + PAGE, 2 * PAGE, PROT_WRITE).fails(EACCES);
    t.everybody_sees(one, 2);
    t.everybody_sees(other, 1);
}

fn advising_over_a_hole_counts_what_comes_behind(t: &Stage) {
    let (segment, at) = four_pages(t);
    t.munmap(at + PAGE, PAGE).must();
    t.madvise(at, 3 * PAGE, MADV_DONTFORK).fails(ENOMEM);
    t.everybody_sees(segment, 3);
}

fn locking_a_part_makes_more_attachments(t: &Stage) {
    let (segment, at) = four_pages(t);
    t.mlock(at, 4 * PAGE).must();
    t.attached(segment, 1);
    let (segment, at) = four_pages(t);
    t.mlock(at, PAGE).must();
    t.attached(segment, 2);
    t.detach(at);
    t.attached(segment, 0);
}

fn advising_a_part_makes_more_attachments(t: &Stage) {
    let (segment, at) = four_pages(t);
    t.madvise(at, PAGE, MADV_DONTFORK).must();
    t.attached(segment, 2);
    let child = t.spawn("child", |t| {
        t.attached(segment, 3);
        assert_eq!(access(at), Access::None);
        assert_eq!(peek(at + PAGE), b'1');
        t.detach(at);
        t.attached(segment, 2);
    });
    t.join(child);
}

fn moved_attachment_is_detached_by_its_new_address(t: &Stage) {
    let (segment, at) = four_pages(t);
    let target = hole(4 * PAGE);
    let moved = t.mremap(at, 4 * PAGE, 4 * PAGE, Some(target)).must();
    assert_eq!((moved, peek(moved + PAGE)), (target, b'1'));
    t.shmdt(at).fails(EINVAL);
    t.everybody_sees(segment, 1);
    t.detach(moved);
    t.everybody_sees(segment, 0);
}

fn moved_attachment_stays_one(t: &Stage) {
    let (segment, at) = four_pages(t);
    t.shm_remove(segment).must();
    let target = hole(4 * PAGE);
    let moved = t.mremap(at, 4 * PAGE, 4 * PAGE, Some(target)).must();
    t.everybody_sees(segment, 1);
    assert_eq!(peek(moved), b'0');
    t.detach(moved);
    t.is_gone(segment);
}

fn shrunk_attachment_stays_one(t: &Stage) {
    let (segment, at) = four_pages(t);
    assert_eq!(t.mremap(at, 4 * PAGE, PAGE, None).must(), at);
    t.attached(segment, 1);
    assert_eq!(access(at + PAGE), Access::None);
    assert_eq!(t.shm_stat(segment).must().segsz, 4 * PAGE);
    t.detach(at);
    t.attached(segment, 0);
}

fn grown_attachment_has_no_bytes_behind_its_end(t: &Stage) {
    let segment = t.segment(PAGE);
    let at = t.attach(segment);
    let grown = t.mremap(at, PAGE, 2 * PAGE, None).must();
    t.attached(segment, 1);
    assert_eq!(access(grown), Access::Write);
    assert_eq!(access(grown + PAGE), Access::None);
    t.detach(grown);
    t.attached(segment, 0);
}

/// What broke: the page was taken for one that somebody had cut off, and the segment's file grew.
fn touching_behind_the_end_is_sigbus_and_the_segment_stays(t: &Stage) {
    let segment = t.segment(PAGE);
    let at = t.attach(segment);
    poke(at, b'x');
    let child = t.spawn("child", |t| {
        crate::mapping::limit_resource(libc::RLIMIT_CORE, 0);
        let grown = t.mremap(at, PAGE, 3 * PAGE, None).must();
        assert_eq!(peek(grown), b'x');
        poke(grown + 2 * PAGE, b'y');
    });
    t.reap(child, Ending::Killed(SIGBUS));
    t.attached(segment, 1);
    let again = t.attach(segment);
    assert_eq!(peek(again), b'x');
}

/// `shmdt` goes on from the first piece to those that end within the segment's size.
fn detaching_leaves_what_lies_behind_the_end(t: &Stage) {
    let (segment, at) = four_pages(t);
    let grown = t.mremap(at, 4 * PAGE, 8 * PAGE, None).must();
    t.munmap(grown + 2 * PAGE, 2 * PAGE).must();
    t.attached(segment, 2);
    t.detach(grown);
    t.attached(segment, 1);
    t.munmap(grown + 4 * PAGE, 4 * PAGE).must();
    t.attached(segment, 0);
}

/// `shmdt` knows the pieces of one `shmat` by their file, which is that one's alone.
fn detaching_leaves_what_came_from_another_attachment(t: &Stage) {
    let (segment, at) = four_pages(t);
    let other = t.attach(segment);
    t.munmap(at + 2 * PAGE, PAGE).must();
    t.attached(segment, 3);
    let target = Some(at + 2 * PAGE);
    t.mremap(other + 2 * PAGE, PAGE, PAGE, target).must();
    t.attached(segment, 5);
    t.detach(at);
    t.attached(segment, 3);
    assert_eq!(peek(at + 2 * PAGE), b'2');
    t.detach(other);
    t.attached(segment, 1);
}

fn sealed_attachment_is_not_detached(t: &Stage) {
    let segment = t.segment(PAGE);
    let at = t.attach(segment);
    match t.mseal(at, PAGE).result() {
        Err(Errno(libc::ENOSYS)) => return eprintln!("SKIPPED: mseal needs Linux 6.10"),
        sealed => sealed.expect("mseal"),
    }
    t.detach(at);
    t.attached(segment, 1);
    poke(at, b'x');
}

fn duplicated_attachment_counts_twice(t: &Stage) {
    let (segment, at) = four_pages(t);
    let copy = t.mremap(at, 0, 4 * PAGE, None).must();
    assert_ne!(copy, at);
    t.everybody_sees(segment, 2);
    poke(copy, b'x');
    assert_eq!(peek(at), b'x');
    t.detach(copy);
    t.detach(at);
    t.attached(segment, 0);
}

fn moved_tail_is_not_detached_by_its_address(t: &Stage) {
    let (segment, at) = four_pages(t);
    let target = hole(4 * PAGE);
    t.mremap(at + 2 * PAGE, 2 * PAGE, 2 * PAGE, Some(target))
        .must();
    t.everybody_sees(segment, 2);
    assert_eq!(peek(target), b'2');
    t.shmdt(target).fails(EINVAL);
    t.detach(at);
    t.attached(segment, 1);
    // Where the segment's first byte would be, were it there.
    t.detach(target - 2 * PAGE);
    t.attached(segment, 0);
}

fn mapping_over_an_attachment_detaches_it(t: &Stage) {
    let (segment, at) = four_pages(t);
    t.map_over(at, 4 * PAGE).must();
    t.everybody_sees(segment, 0);
    assert_eq!(peek(at), 0);
    t.shmdt(at).fails(EINVAL);
}

fn mapping_over_the_middle_makes_two_attachments(t: &Stage) {
    let (segment, at) = four_pages(t);
    t.map_over(at + PAGE, PAGE).must();
    poke(at + PAGE, b'm');
    t.everybody_sees(segment, 2);
    t.detach(at);
    t.everybody_sees(segment, 0);
    assert_eq!(peek(at + PAGE), b'm', "what is between stays");
}

fn mapping_over_the_last_attachment_of_a_removed_segment_frees_it(t: &Stage) {
    let (segment, at) = four_pages(t);
    t.shm_remove(segment).must();
    t.map_over(at, 4 * PAGE).must();
    t.is_gone(segment);
}

fn removed_segment_lives_as_long_as_a_piece(t: &Stage) {
    let (segment, at) = four_pages(t);
    t.shm_remove(segment).must();
    t.munmap(at, 3 * PAGE).must();
    t.everybody_sees(segment, 1);
    let again = t.attach(segment);
    assert_eq!(peek(again + PAGE), b'1', "unmapped bytes are not lost");
    t.detach(again);
    t.munmap(at + 3 * PAGE, PAGE).must();
    t.is_gone(segment);
}

fn pieces_are_inherited_piece_by_piece(t: &Stage) {
    let (segment, at) = four_pages(t);
    t.munmap(at + PAGE, PAGE).must();
    let child = t.spawn("child", |t| {
        t.attached(segment, 4);
        t.detach(at);
        t.attached(segment, 2);
    });
    t.join(child);
    t.attached(segment, 2);
}

/// `shmdt` took the piece that it found first in its table, wherever that lay.
fn detaching_takes_what_begins_there_not_the_rest_of_what_did(t: &Stage) {
    let (big, at) = four_pages(t);
    let (small, other) = (t.segment(PAGE), t.segment(PAGE));
    t.shmat(small, at, SHM_REMAP).must();
    t.attach(other);
    t.shmat(small, at, SHM_REMAP).must();
    t.attached(big, 1);
    t.attached(small, 1);
    t.detach(at);
    t.attached(big, 1);
    t.attached(small, 0);
    assert_eq!(peek(at + PAGE), b'1');
    t.detach(at);
    t.attached(big, 0);
}
