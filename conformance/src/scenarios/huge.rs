//! Segments of huge pages. A world with eight free huge pages of 2 MiB, which the group `STAFF`
//! may use, and a hugetlbfs is needed: see `tests/huge.rs`, which makes one.

use super::{ANN, BOB, STAFF, Scenario, table};
use crate::mapping::{Access, PAGE, access, hole, peek, poke};
use crate::players::Gate;
use crate::process::become_user;
use crate::shm::{ANYWHERE, SHM_HUGETLB, SHM_NORESERVE, SHM_RDONLY, SHM_REMAP, SHM_RND, Segment};
use crate::shmctl::SHM_LOCKED;
use crate::stage::Stage;
use libc::{EACCES, EINVAL, ENOMEM, EPERM, IPC_CREAT, IPC_PRIVATE};

/// The scenarios of this file.
pub const ALL: &[Scenario] = table![
    huge_segment_is_made_attached_and_removed needs_root,
    huge_segment_of_a_named_page_size needs_root,
    huge_segment_reserves_its_pages needs_root,
    huge_segment_of_noreserve_reserves_nothing needs_root,
    huge_segment_beyond_the_free_pages_is_enomem needs_root,
    huge_segment_counts_as_many_pages_as_asked_for needs_root,
    huge_segment_lies_at_multiples_of_its_page_size needs_root,
    huge_segment_rounds_addresses_to_small_pages needs_root,
    huge_segment_over_other_memory needs_root,
    huge_segment_is_shared needs_root,
    huge_segment_read_only needs_root,
    huge_segment_is_cut_at_huge_pages_only needs_root,
    huge_segment_is_inherited needs_root,
    huge_segment_outlives_its_removal needs_root,
    huge_segment_of_a_killed_process_is_freed needs_root,
    huge_segment_is_not_locked needs_root,
    huge_segment_is_found_by_key needs_root,
    huge_segment_of_a_member_of_the_group needs_root,
    huge_segment_of_another_user needs_root,
    huge_segment_given_away_opens_to_the_new_owner needs_root,
];

const HUGE: usize = 2 << 20;
const FREE: usize = 8;

fn huge(t: &Stage, size: usize) -> Segment {
    t.shmget(IPC_PRIVATE, size, SHM_HUGETLB | 0o600).must()
}

/// Free pages that are not promised to anybody.
fn free() -> usize {
    let read = |name| {
        let path = format!("/sys/kernel/mm/hugepages/hugepages-2048kB/{name}");
        let text = std::fs::read_to_string(path).expect("counts of huge pages");
        text.trim().parse::<usize>().expect("a number")
    };
    read("free_hugepages") - read("resv_hugepages")
}

fn huge_segment_is_made_attached_and_removed(t: &Stage) {
    let segment = huge(t, 3_000_000);
    let stat = t.shm_stat(segment).must();
    assert_eq!((stat.segsz, stat.mode), (3_000_000, 0o600));
    let at = t.attach(segment);
    assert_eq!(at % HUGE, 0);
    assert_eq!(peek(at), 0);
    poke(at + 2 * HUGE - 1, 7);
    t.everybody_sees(segment, 1);
    assert_eq!(peek(at + 2 * HUGE - 1), 7);
    t.detach(at);
    t.everybody_sees(segment, 0);
    t.shm_remove(segment).must();
    t.is_gone(segment);
    assert_eq!(free(), FREE);
}

fn huge_segment_of_a_named_page_size(t: &Stage) {
    let flags = SHM_HUGETLB | 21 << 26 | 0o600;
    let segment = t.shmget(IPC_PRIVATE, 1, flags).must();
    let at = t.attach(segment);
    poke(at + HUGE - 1, 1);
}

fn huge_segment_reserves_its_pages(t: &Stage) {
    let segment = huge(t, 3 * HUGE);
    assert_eq!(free(), FREE - 3);
    let at = t.attach(segment);
    assert_eq!(free(), FREE - 3);
    poke(at, 1);
    assert_eq!(free(), FREE - 3);
    t.detach(at);
    assert_eq!(free(), FREE - 3);
    assert_eq!(peek(t.attach(segment)), 1);
    t.shm_remove(segment).must();
    assert_eq!(free(), FREE - 3);
}

fn huge_segment_of_noreserve_reserves_nothing(t: &Stage) {
    let flags = SHM_HUGETLB | SHM_NORESERVE | 0o600;
    let segment = t.shmget(IPC_PRIVATE, 3 * HUGE, flags).must();
    assert_eq!(free(), FREE);
    let at = t.attach(segment);
    assert_eq!(free(), FREE);
    poke(at, 1);
    assert_eq!(free(), FREE - 1);
    let large = t.shmget(IPC_PRIVATE, (FREE + 1) * HUGE, flags).must();
    t.attach(large);
    t.everybody_sees(large, 1);
}

fn huge_segment_beyond_the_free_pages_is_enomem(t: &Stage) {
    let flags = SHM_HUGETLB | 0o600;
    t.shmget(IPC_PRIVATE, FREE * HUGE + 1, flags).fails(ENOMEM);
    assert_eq!(free(), FREE);
    let segment = huge(t, FREE * HUGE);
    t.shmget(IPC_PRIVATE, 1, flags).fails(ENOMEM);
    t.shm_remove(segment).must();
    huge(t, 1);
}

fn huge_segment_counts_as_many_pages_as_asked_for(t: &Stage) {
    let segment = huge(t, HUGE + PAGE + 1);
    let usage = t.shm_usage(0).must().1;
    assert_eq!(
        (usage.used_ids, usage.shm_tot),
        (1, (HUGE / PAGE) as u64 + 2)
    );
    t.shm_remove(segment).must();
    assert_eq!(t.shm_usage(0).must().1.shm_tot, 0);
}

fn huge_segment_lies_at_multiples_of_its_page_size(t: &Stage) {
    let segment = huge(t, HUGE);
    let at = hole(3 * HUGE).next_multiple_of(HUGE);
    t.shmat(segment, at + PAGE, 0).fails(EINVAL);
    t.shmat(segment, at + 1, 0).fails(EINVAL);
    assert_eq!(t.shmat(segment, at, 0).must(), at);
    t.everybody_sees(segment, 1);
    t.shmdt(at + PAGE).fails(EINVAL);
    t.detach(at);
}

fn huge_segment_rounds_addresses_to_small_pages(t: &Stage) {
    let segment = huge(t, HUGE);
    let at = hole(3 * HUGE).next_multiple_of(HUGE);
    t.shmat(segment, at + PAGE + 1, SHM_RND).fails(EINVAL);
    assert_eq!(t.shmat(segment, at + 1, SHM_RND).must(), at);
}

fn huge_segment_over_other_memory(t: &Stage) {
    let (segment, small) = (huge(t, HUGE), t.segment(PAGE));
    let at = t.attach(segment);
    t.shmat(segment, at, 0).fails(EINVAL);
    assert_eq!(
        t.shmat(small, at, SHM_REMAP).result().err().map(|e| e.0),
        Some(EINVAL)
    );
    t.attached(segment, 1);
    poke(at, 5);
    assert_eq!(t.shmat(segment, at, SHM_REMAP).must(), at);
    t.attached(segment, 1);
    assert_eq!(peek(at), 5);
}

fn huge_segment_is_shared(t: &Stage) {
    let segment = huge(t, HUGE);
    let (one, two) = (t.attach(segment), t.attach(segment));
    poke(one + HUGE - 1, 9);
    assert_eq!(peek(two + HUGE - 1), 9);
    let child = t.spawn("child", |t| {
        let at = t.attach(segment);
        poke(at, 8);
        t.attached(segment, 5);
    });
    t.join(child);
    assert_eq!(peek(one), 8);
    t.everybody_sees(segment, 2);
}

fn huge_segment_read_only(t: &Stage) {
    let segment = huge(t, HUGE);
    let at = t.shmat(segment, ANYWHERE, SHM_RDONLY).must();
    assert_eq!(access(at), Access::Read);
    assert_eq!(access(t.attach(segment)), Access::Write);
}

fn huge_segment_is_cut_at_huge_pages_only(t: &Stage) {
    let segment = huge(t, 3 * HUGE);
    let at = t.attach(segment);
    t.munmap(at + PAGE, PAGE).fails(EINVAL);
    t.everybody_sees(segment, 1);
    t.munmap(at + HUGE, HUGE).must();
    t.everybody_sees(segment, 2);
    t.detach(at);
    t.everybody_sees(segment, 0);
}

fn huge_segment_is_inherited(t: &Stage) {
    let segment = huge(t, HUGE);
    let at = t.attach(segment);
    let child = t.spawn("child", |t| {
        t.attached(segment, 2);
        poke(at, 3);
        t.detach(at);
        t.attached(segment, 1);
    });
    t.join(child);
    assert_eq!(peek(at), 3);
}

fn huge_segment_outlives_its_removal(t: &Stage) {
    let segment = huge(t, HUGE);
    let at = t.attach(segment);
    poke(at, 1);
    t.shm_remove(segment).must();
    t.everybody_sees(segment, 1);
    assert_eq!(peek(t.attach(segment)), 1);
    t.detach(at);
    assert_eq!(free(), FREE - 1);
}

fn huge_segment_of_a_killed_process_is_freed(t: &Stage) {
    let segment = huge(t, 2 * HUGE);
    let gate = Gate::new();
    let child = t.spawn("child", |t| {
        poke(t.attach(segment), 1);
        t.tell(1);
        gate.pass();
    });
    t.hear(&child, 1);
    t.shm_remove(segment).must();
    t.attached(segment, 1);
    t.kill(child);
    t.is_gone(segment);
    assert_eq!(free(), FREE);
}

fn huge_segment_is_not_locked(t: &Stage) {
    let segment = huge(t, HUGE);
    t.shm_lock(segment).must();
    assert_eq!(t.shm_stat(segment).must().mode & SHM_LOCKED, 0);
    t.shm_unlock(segment).must();
    become_user(ANN, ANN, &[]);
    t.shm_lock(segment).fails(EPERM);
}

fn huge_segment_is_found_by_key(t: &Stage) {
    let flags = IPC_CREAT | SHM_HUGETLB | 0o600;
    let segment = t.shmget(0x51, HUGE / 2, flags).must();
    assert_eq!(t.shmget(0x51, 1, 0).must(), segment);
    t.shmget(0x51, HUGE, 0).fails(EINVAL);
    t.shm_remove(segment).must();
    assert_eq!(free(), FREE);
}

fn huge_segment_of_a_member_of_the_group(t: &Stage) {
    become_user(ANN, STAFF, &[]);
    let segment = huge(t, HUGE);
    poke(t.attach(segment), 1);
    t.everybody_sees(segment, 1);
    t.shm_remove(segment).must();
}

fn huge_segment_of_another_user(t: &Stage) {
    let segment = t.shmget(IPC_PRIVATE, HUGE, SHM_HUGETLB | 0o604).must();
    let closed = huge(t, HUGE);
    become_user(BOB, BOB, &[]);
    t.shmat(segment, ANYWHERE, 0).fails(EACCES);
    t.shmat(closed, ANYWHERE, SHM_RDONLY).fails(EACCES);
    let at = t.shmat(segment, ANYWHERE, SHM_RDONLY).must();
    assert_eq!(access(at), Access::Read);
}

fn huge_segment_given_away_opens_to_the_new_owner(t: &Stage) {
    let segment = huge(t, HUGE);
    t.shm_change(segment, |stat| {
        (stat.uid, stat.gid, stat.mode) = (ANN, STAFF, 0o660);
    })
    .must();
    become_user(ANN, ANN, &[]);
    poke(t.attach(segment), 1);
}
