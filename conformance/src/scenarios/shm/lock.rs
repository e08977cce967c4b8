//! `SHM_LOCK` and `SHM_UNLOCK`: the bit in the mode, and who may.

use crate::capabilities::{CAP_IPC_LOCK, drop_capability};
use crate::mapping::{PAGE, limit_resource, poke};
use crate::memory::Area;
use crate::process::become_user;
use crate::scenarios::{Scenario, table};
use crate::shm::{SHM_LOCK, SHM_LOCKED, SHM_UNLOCK};
use crate::stage::Stage;
use libc::{EINVAL, ENOMEM, EPERM, IPC_CREAT, RLIMIT_MEMLOCK};

pub(super) const ALL: &[Scenario] = table![
    lock_shows_in_the_mode_of_a_segment,
    lock_twice_and_unlock_once_unlocks_a_segment,
    lock_leaves_the_stamps_of_a_segment,
    lock_of_no_segment_is_einval,
    lock_ignores_the_pointer_for_a_segment,
    lock_by_the_owner_of_a_segment needs_root,
    lock_by_others_is_eperm_for_a_segment needs_root,
    lock_by_the_owner_without_any_limit_is_eperm needs_root,
    lock_by_the_owner_beyond_its_limit_is_enomem needs_root,
    lock_by_the_owner_counts_all_its_segments needs_root,
    lock_needs_no_bits_of_a_segment needs_root,
    lock_of_a_removed_segment,
    unlock_by_the_owner_needs_no_limit needs_root,
    unlock_of_a_segment_that_is_not_locked,
];

fn lock_shows_in_the_mode_of_a_segment(t: &Stage) {
    let segment = t.segment(PAGE);
    t.shm_lock(segment).must();
    assert_eq!(t.shm_stat(segment).must().mode, SHM_LOCKED | 0o600);
    poke(t.attach(segment), 1);
    t.shm_unlock(segment).must();
    assert_eq!(t.shm_stat(segment).must().mode, 0o600);
}

fn lock_twice_and_unlock_once_unlocks_a_segment(t: &Stage) {
    let segment = t.segment(PAGE);
    t.shm_lock(segment).must();
    t.shm_lock(segment).must();
    t.shm_unlock(segment).must();
    assert_eq!(t.shm_stat(segment).must().mode, 0o600);
}

fn lock_leaves_the_stamps_of_a_segment(t: &Stage) {
    let segment = t.segment(PAGE);
    let before = t.shm_stat(segment).must();
    t.next_second();
    t.shm_lock(segment).must();
    t.shm_unlock(segment).must();
    assert_eq!(t.shm_stat(segment).must(), before);
}

fn lock_of_no_segment_is_einval(t: &Stage) {
    for cmd in [SHM_LOCK, SHM_UNLOCK] {
        for id in [-1, 0, 77] {
            t.shm_ctl(id, cmd, &Area::null()).fails(EINVAL);
        }
    }
}

fn lock_ignores_the_pointer_for_a_segment(t: &Stage) {
    let segment = t.segment(PAGE);
    t.shm_ctl(segment.0, SHM_LOCK, &Area::kernel_half()).must();
    t.shm_ctl(segment.0, SHM_UNLOCK, &Area::unmapped()).must();
}

/// Ann's, with a limit of her locked memory.
fn as_ann(limit: u64) {
    limit_resource(RLIMIT_MEMLOCK, limit);
    become_user(1000, 1000, &[]);
}

fn lock_by_the_owner_of_a_segment(t: &Stage) {
    as_ann(16 * PAGE as u64);
    let segment = t.segment(PAGE);
    t.shm_lock(segment).must();
    assert_eq!(t.shm_stat(segment).must().mode, SHM_LOCKED | 0o600);
    t.shm_unlock(segment).must();
}

fn lock_by_others_is_eperm_for_a_segment(t: &Stage) {
    let segment = t.shmget(1, PAGE, IPC_CREAT | 0o666).must();
    as_ann(16 * PAGE as u64);
    t.shm_lock(segment).fails(EPERM);
    t.shm_unlock(segment).fails(EPERM);
}

fn lock_by_the_owner_without_any_limit_is_eperm(t: &Stage) {
    as_ann(0);
    let segment = t.segment(PAGE);
    t.shm_lock(segment).fails(EPERM);
    assert_eq!(t.shm_stat(segment).must().mode, 0o600);
}

fn lock_by_the_owner_beyond_its_limit_is_enomem(t: &Stage) {
    as_ann(16 * PAGE as u64);
    let segment = t.segment(17 * PAGE);
    t.shm_lock(segment).fails(ENOMEM);
    assert_eq!(t.shm_stat(segment).must().mode, 0o600);
    t.shm_lock(t.segment(PAGE)).must();
}

fn lock_by_the_owner_counts_all_its_segments(t: &Stage) {
    as_ann(16 * PAGE as u64);
    let (one, two) = (t.segment(10 * PAGE), t.segment(10 * PAGE));
    t.shm_lock(one).must();
    t.shm_lock(two).fails(ENOMEM);
    t.shm_unlock(one).must();
    t.shm_lock(two).must();
    t.shm_remove(two).must();
    t.shm_lock(one).must();
    t.shm_remove(one).must();
}

fn lock_needs_no_bits_of_a_segment(t: &Stage) {
    as_ann(16 * PAGE as u64);
    let segment = t.shmget(1, PAGE, IPC_CREAT).must();
    t.shm_stat(segment).fails(libc::EACCES);
    t.shm_lock(segment).must();
}

fn lock_of_a_removed_segment(t: &Stage) {
    let segment = t.segment(PAGE);
    let at = t.attach(segment);
    t.shm_remove(segment).must();
    t.shm_lock(segment).must();
    assert_eq!(t.shm_stat(segment).must().mode, 0o3600);
    t.detach(at);
    t.is_gone(segment);
}

fn unlock_by_the_owner_needs_no_limit(t: &Stage) {
    let segment = t.segment(PAGE);
    t.shm_change(segment, |stat| stat.uid = 1000).must();
    t.shm_lock(segment).must();
    drop_capability(CAP_IPC_LOCK);
    as_ann(0);
    t.shm_unlock(segment).must();
    assert_eq!(t.shm_stat(segment).must().mode, 0o600);
}

fn unlock_of_a_segment_that_is_not_locked(t: &Stage) {
    let segment = t.segment(PAGE);
    t.shm_unlock(segment).must();
    assert_eq!(t.shm_stat(segment).must().mode, 0o600);
}
