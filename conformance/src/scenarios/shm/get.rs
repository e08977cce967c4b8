//! `shmget`: keys, flags, sizes.

use crate::mapping::{PAGE, is_zero};
use crate::scenarios::{Scenario, table};
use crate::shm::{ANYWHERE, SHM_HUGETLB, SHM_NORESERVE, SHM_RDONLY};
use crate::stage::Stage;
use libc::{EEXIST, EINVAL, ENOENT, ENOMEM, IPC_CREAT, IPC_EXCL, IPC_PRIVATE};

pub(super) const ALL: &[Scenario] = table![
    segment_of_an_unknown_key_is_enoent,
    segment_is_created_and_found_by_key,
    segment_found_again_by_another_size,
    segment_of_a_removed_ones_key_is_another,
    segment_created_exclusively_must_be_new,
    segment_exclusive_without_create_is_found,
    private_segments_are_new_each_time,
    private_segment_is_created_whatever_the_flags,
    segment_of_size_zero_is_einval,
    segment_of_one_byte_has_that_size,
    segment_sizes_are_told_as_asked,
    segment_is_found_with_size_zero,
    segment_is_found_with_a_smaller_size,
    segment_asked_for_larger_is_einval,
    segment_asked_for_larger_within_its_page_is_einval,
    segment_lookup_of_an_unknown_key_ignores_the_size,
    segment_exclusive_and_too_large_is_eexist,
    segment_of_an_absurd_size_is_einval,
    segment_of_shmmax_itself_is_einval_all_the_same,
    segment_larger_than_memory_needs_noreserve,
    segment_of_noreserve_is_like_any_other,
    segment_of_huge_pages_without_any_is_enomem needs_root,
    segment_of_huge_pages_is_eperm_for_users needs_root,
    segment_of_huge_pages_of_an_odd_size_is_einval,
    segment_flags_that_mean_nothing_are_ignored,
    segment_is_zeroed,
    segment_is_zeroed_to_the_end_of_its_page,
    segment_made_again_is_zeroed_again,
    segment_keys_may_be_negative_or_the_largest,
    segment_key_lives_on_after_its_maker,
    segment_mode_ignores_the_umask,
    segment_needs_no_descriptors,
    segment_is_no_file_for_the_file_size_limit,
];

fn segment_of_an_unknown_key_is_enoent(t: &Stage) {
    t.shmget(0x51, PAGE, 0o600).fails(ENOENT);
    t.shmget(0x51, 0, 0).fails(ENOENT);
    t.shmget(0x51, PAGE, IPC_EXCL | 0o600).fails(ENOENT);
}

fn segment_is_created_and_found_by_key(t: &Stage) {
    let made = t.shmget(0x51, PAGE, IPC_CREAT | 0o600).must();
    assert_eq!(t.shmget(0x51, PAGE, 0o600).must(), made);
    assert_eq!(t.shmget(0x51, PAGE, IPC_CREAT | 0o600).must(), made);
    assert_ne!(t.shmget(0x52, PAGE, IPC_CREAT | 0o600).must(), made);
}

fn segment_found_again_by_another_size(t: &Stage) {
    let made = t.shmget(0x51, PAGE, IPC_CREAT | 0o600).must();
    for size in [PAGE, 1, 0, PAGE] {
        assert_eq!(t.shmget(0x51, size, 0o600).must(), made);
        t.shmget(0x51, PAGE + 1, 0o600).fails(EINVAL);
    }
}

fn segment_of_a_removed_ones_key_is_another(t: &Stage) {
    let held = t.shmget(0x51, PAGE, IPC_CREAT | 0o600).must();
    assert_eq!(t.shmget(0x51, PAGE, 0o600).must(), held);
    let at = t.attach(held);
    let child = t.spawn("child", |t| t.shm_remove(held).must());
    t.join(child);
    t.shmget(0x51, PAGE, 0o600).fails(ENOENT);
    let next = t.shmget(0x51, PAGE, IPC_CREAT | 0o600).must();
    assert_ne!(next, held);
    assert_eq!(t.shmget(0x51, PAGE, 0o600).must(), next);
    t.detach(at);
    assert_eq!(t.shmget(0x51, PAGE, 0o600).must(), next);
}

fn segment_created_exclusively_must_be_new(t: &Stage) {
    t.shmget(0x51, PAGE, IPC_CREAT | IPC_EXCL | 0o600).must();
    t.shmget(0x51, PAGE, IPC_CREAT | IPC_EXCL | 0o600)
        .fails(EEXIST);
    t.shmget(0x51, 0, IPC_CREAT | IPC_EXCL).fails(EEXIST);
}

fn segment_exclusive_without_create_is_found(t: &Stage) {
    let made = t.shmget(0x51, PAGE, IPC_CREAT | 0o600).must();
    assert_eq!(t.shmget(0x51, PAGE, IPC_EXCL | 0o600).must(), made);
}

fn private_segments_are_new_each_time(t: &Stage) {
    let one = t.segment(PAGE);
    let two = t.segment(PAGE);
    assert_ne!(one, two);
    assert_eq!(t.shm_stat(one).must().key, IPC_PRIVATE);
    assert_eq!(t.shm_stat(two).must().key, IPC_PRIVATE);
}

fn private_segment_is_created_whatever_the_flags(t: &Stage) {
    t.shmget(IPC_PRIVATE, PAGE, 0).must();
    t.shmget(IPC_PRIVATE, PAGE, IPC_CREAT | IPC_EXCL).must();
    t.shmget(IPC_PRIVATE, PAGE, IPC_EXCL | 0o600).must();
    assert_eq!(t.shm_usage(0).must().1.used_ids, 3);
}

fn segment_of_size_zero_is_einval(t: &Stage) {
    t.shmget(IPC_PRIVATE, 0, 0o600).fails(EINVAL);
    t.shmget(0x51, 0, IPC_CREAT | 0o600).fails(EINVAL);
    t.shmget(0x51, PAGE, 0).fails(ENOENT);
}

fn segment_of_one_byte_has_that_size(t: &Stage) {
    let segment = t.segment(1);
    assert_eq!(t.shm_stat(segment).must().segsz, 1);
    let at = t.attach(segment);
    crate::mapping::poke(at + PAGE - 1, 7);
    assert_eq!(crate::mapping::peek(at + PAGE - 1), 7, "a whole page");
}

fn segment_sizes_are_told_as_asked(t: &Stage) {
    for size in [1, PAGE - 1, PAGE, PAGE + 1, 10 * PAGE + 17] {
        let segment = t.segment(size);
        assert_eq!(t.shm_stat(segment).must().segsz, size);
    }
}

fn segment_is_found_with_size_zero(t: &Stage) {
    let made = t.shmget(0x51, 100, IPC_CREAT | 0o600).must();
    assert_eq!(t.shmget(0x51, 0, 0).must(), made);
    assert_eq!(t.shmget(0x51, 0, IPC_CREAT | 0o600).must(), made);
}

fn segment_is_found_with_a_smaller_size(t: &Stage) {
    let made = t.shmget(0x51, 2 * PAGE, IPC_CREAT | 0o600).must();
    assert_eq!(t.shmget(0x51, 1, 0).must(), made);
    assert_eq!(t.shmget(0x51, 2 * PAGE - 1, IPC_CREAT).must(), made);
    assert_eq!(t.shm_stat(made).must().segsz, 2 * PAGE);
}

fn segment_asked_for_larger_is_einval(t: &Stage) {
    t.shmget(0x51, PAGE, IPC_CREAT | 0o600).must();
    t.shmget(0x51, PAGE + 1, 0).fails(EINVAL);
    t.shmget(0x51, 2 * PAGE, IPC_CREAT | 0o600).fails(EINVAL);
    t.shmget(0x51, usize::MAX, 0).fails(EINVAL);
}

fn segment_asked_for_larger_within_its_page_is_einval(t: &Stage) {
    t.shmget(0x51, 100, IPC_CREAT | 0o600).must();
    t.shmget(0x51, 101, 0).fails(EINVAL);
    t.shmget(0x51, 100, 0).must();
}

fn segment_lookup_of_an_unknown_key_ignores_the_size(t: &Stage) {
    t.shmget(0x51, usize::MAX, 0).fails(ENOENT);
    t.shmget(0x51, 0, 0).fails(ENOENT);
}

fn segment_exclusive_and_too_large_is_eexist(t: &Stage) {
    t.shmget(0x51, PAGE, IPC_CREAT | 0o600).must();
    t.shmget(0x51, 2 * PAGE, IPC_CREAT | IPC_EXCL | 0o600)
        .fails(EEXIST);
}

fn segment_of_an_absurd_size_is_einval(t: &Stage) {
    t.shmget(IPC_PRIVATE, usize::MAX, 0o600).fails(EINVAL);
    // One more than what shmmax is from the start.
    let limits = t.shm_limits(0).must().1;
    t.shmget(IPC_PRIVATE, limits.shmmax as usize + 1, 0o600)
        .fails(EINVAL);
}

fn segment_of_shmmax_itself_is_einval_all_the_same(t: &Stage) {
    // It is more than a file can be long.
    let limits = t.shm_limits(0).must().1;
    for flag in [0, SHM_NORESERVE] {
        t.shmget(IPC_PRIVATE, limits.shmmax as usize, flag | 0o600)
            .fails(EINVAL);
    }
    assert_eq!(t.shm_usage(0).must().1.used_ids, 0);
}

/// More than any machine's memory, less than an address space.
const VAST: usize = 32 << 40;

fn segment_larger_than_memory_needs_noreserve(t: &Stage) {
    t.shmget(IPC_PRIVATE, VAST, 0o600).fails(ENOMEM);
    let segment = t.shmget(IPC_PRIVATE, VAST, SHM_NORESERVE | 0o600).must();
    assert_eq!(t.shm_stat(segment).must().segsz, VAST);
    let at = t.attach(segment);
    crate::mapping::poke(at + VAST - 1, 1);
    assert_eq!(t.shm_usage(0).must().1.shm_rss, 1);
    t.shm_remove(segment).must();
    t.detach(at);
    t.is_gone(segment);
}

fn segment_of_noreserve_is_like_any_other(t: &Stage) {
    let segment = t
        .shmget(0x51, PAGE, IPC_CREAT | SHM_NORESERVE | 0o640)
        .must();
    let stat = t.shm_stat(segment).must();
    assert_eq!((stat.mode, stat.segsz), (0o640, PAGE));
    assert_eq!(t.shmget(0x51, PAGE, 0o600).must(), segment);
    t.attach(segment);
}

fn segment_of_huge_pages_without_any_is_enomem(t: &Stage) {
    t.shmget(IPC_PRIVATE, 2 << 20, SHM_HUGETLB | 0o600)
        .fails(ENOMEM);
    t.shmget(IPC_PRIVATE, PAGE, SHM_HUGETLB | 0o600)
        .fails(ENOMEM);
    assert_eq!(t.shm_usage(0).must().1.used_ids, 0);
}

fn segment_of_huge_pages_is_eperm_for_users(t: &Stage) {
    crate::process::become_user(1000, 1000, &[]);
    t.shmget(IPC_PRIVATE, 2 << 20, SHM_HUGETLB | 0o600)
        .fails(libc::EPERM);
}

fn segment_of_huge_pages_of_an_odd_size_is_einval(t: &Stage) {
    for log2 in [13, 20, 63] {
        t.shmget(IPC_PRIVATE, 2 << 20, SHM_HUGETLB | log2 << 26 | 0o600)
            .fails(EINVAL);
    }
}

fn segment_flags_that_mean_nothing_are_ignored(t: &Stage) {
    for (key, flag) in [
        (1, 1 << 20),
        (2, 1 << 30),
        (3, 21 << 26),
        (4, 0o100_000),
        (5, 0o20000),
    ] {
        let made = t.shmget(key, PAGE, IPC_CREAT | flag | 0o600).must();
        assert_eq!(t.shm_stat(made).must().mode, 0o600);
        assert_eq!(t.shmget(key, PAGE, flag | 0o600).must(), made);
    }
}

fn segment_is_zeroed(t: &Stage) {
    let segment = t.segment(8 * PAGE);
    let at = t.shmat(segment, ANYWHERE, SHM_RDONLY).must();
    assert!(is_zero(at, 8 * PAGE));
}

fn segment_is_zeroed_to_the_end_of_its_page(t: &Stage) {
    let segment = t.segment(5);
    let at = t.attach(segment);
    assert!(is_zero(at, PAGE));
}

fn segment_made_again_is_zeroed_again(t: &Stage) {
    for _ in 0..3 {
        let segment = t.shmget(0x51, 2 * PAGE, IPC_CREAT | 0o600).must();
        let at = t.attach(segment);
        assert!(is_zero(at, 2 * PAGE));
        (0..2 * PAGE).for_each(|offset| crate::mapping::poke(at + offset, 0xAA));
        t.detach(at);
        t.shm_remove(segment).must();
    }
}

fn segment_keys_may_be_negative_or_the_largest(t: &Stage) {
    for key in [i32::MIN, -1, 1, i32::MAX] {
        let made = t.shmget(key, PAGE, IPC_CREAT | 0o600).must();
        assert_eq!(t.shm_stat(made).must().key, key);
        assert_eq!(t.shmget(key, 0, 0).must(), made);
    }
}

fn segment_key_lives_on_after_its_maker(t: &Stage) {
    let child = t.spawn("maker", |t| {
        let segment = t.shmget(0x51, PAGE, IPC_CREAT | 0o600).must();
        let at = t.attach(segment);
        crate::mapping::write_text(at, "left behind");
    });
    let pid = child.pid;
    t.join(child);
    let segment = t.shmget(0x51, 0, 0).must();
    let stat = t.shm_stat(segment).must();
    assert_eq!((stat.cpid, stat.lpid, stat.nattch), (pid, pid, 0));
    let at = t.attach(segment);
    assert_eq!(crate::mapping::text(at, 11), "left behind");
}

fn segment_mode_ignores_the_umask(t: &Stage) {
    crate::process::set_umask(0o777);
    let segment = t.shmget(IPC_PRIVATE, PAGE, 0o666).must();
    assert_eq!(t.shm_stat(segment).must().mode, 0o666);
    t.attach(segment);
}

fn segment_needs_no_descriptors(t: &Stage) {
    // Nothing can be opened with this limit.
    crate::mapping::limit_resource(libc::RLIMIT_NOFILE, 0);
    let segment = t.shmget(0x51, PAGE, IPC_CREAT | 0o600).must();
    let at = t.attach(segment);
    crate::mapping::write_text(at, "still");
    t.detach(at);
    let at = t.attach(segment);
    assert_eq!(crate::mapping::text(at, 5), "still");
    assert_eq!(t.shm_stat(segment).must().nattch, 1);
    t.shm_remove(segment).must();
    t.detach(at);
    t.shm_stat(segment).fails(EINVAL);
}

fn segment_is_no_file_for_the_file_size_limit(t: &Stage) {
    // Were it one, making it larger than this would be SIGXFSZ.
    let child = t.spawn("limited", |t| {
        crate::mapping::limit_resource(libc::RLIMIT_FSIZE, 0);
        let segment = t.segment(4 * PAGE);
        let at = t.attach(segment);
        crate::mapping::poke(at + 3 * PAGE, 1);
        t.detach(at);
    });
    t.join(child);
}
