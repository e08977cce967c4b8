//! `IPC_INFO` and `SHM_INFO`.

use crate::mapping::{PAGE, peek, poke};
use crate::memory::Area;
use crate::process::become_user;
use crate::scenarios::{Scenario, table};
use crate::shm::{ANYWHERE, SHM_RDONLY};
use crate::shmctl::SHM_INFO;
use crate::stage::Stage;
use libc::{EFAULT, EINVAL, ENOSPC, IPC_CREAT, IPC_INFO, IPC_PRIVATE};

pub(super) const ALL: &[Scenario] = table![
    info_tells_the_limits_of_segments,
    info_tells_changed_limits_of_segments needs_root,
    info_returns_the_highest_index_of_a_segment,
    info_ignores_the_id_of_a_segment,
    info_of_segments_into_nowhere_is_efault,
    info_of_segments_needs_no_permission needs_root,
    usage_counts_segments_and_whole_pages,
    usage_has_no_hole,
    usage_counts_only_touched_pages_as_in_memory,
    usage_counts_pages_read_only_as_in_memory,
    usage_of_removed_segments_ends_with_the_last_detach,
    usage_of_bytes_survives_their_attachers,
    info_forgets_a_segment_whose_last_attacher_is_another_user needs_root,
    segments_that_ended_with_another_user_are_gone needs_root,
    segments_that_ended_with_another_user_leave_their_room needs_root,
    segments_that_ended_with_another_user_are_in_nobodys_way needs_root,
];

fn info_tells_the_limits_of_segments(t: &Stage) {
    let (highest, info) = t.shm_limits(0).must();
    assert_eq!(highest, 0);
    let vast = u64::MAX - (1 << 24);
    assert_eq!((info.shmmax, info.shmall), (vast, vast));
    assert_eq!((info.shmmin, info.shmmni, info.shmseg), (1, 4096, 4096));
}

fn info_tells_changed_limits_of_segments(t: &Stage) {
    t.set_limit("shmmax", 5000);
    t.set_limit("shmall", 70);
    t.set_limit("shmmni", 90);
    let info = t.shm_limits(0).must().1;
    assert_eq!((info.shmmax, info.shmall), (5000, 70));
    assert_eq!((info.shmmni, info.shmseg), (90, 90));
}

fn info_returns_the_highest_index_of_a_segment(t: &Stage) {
    let all = [0; 5].map(|_| t.segment(PAGE));
    assert_eq!(t.shm_limits(0).must().0, 4);
    assert_eq!(t.shm_usage(0).must().0, 4);
    t.shm_remove(all[1]).must();
    assert_eq!(t.shm_limits(0).must().0, 4);
    t.shm_remove(all[4]).must();
    assert_eq!(t.shm_limits(0).must().0, 3);
    assert_eq!(t.shm_usage(0).must().0, 3);
}

fn info_ignores_the_id_of_a_segment(t: &Stage) {
    for id in [0, 5, i32::MAX] {
        t.shm_limits(id).must();
        t.shm_usage(id).must();
    }
    t.shm_limits(-1).fails(EINVAL);
    t.shm_usage(-1).fails(EINVAL);
}

fn info_of_segments_into_nowhere_is_efault(t: &Stage) {
    for area in [
        Area::null(),
        Area::unmapped(),
        Area::kernel_half(),
        Area::new(8),
    ] {
        t.shm_ctl(0, IPC_INFO, &area).fails(EFAULT);
        t.shm_ctl(0, SHM_INFO, &area).fails(EFAULT);
    }
}

fn info_of_segments_needs_no_permission(t: &Stage) {
    t.segment(PAGE);
    become_user(1000, 1000, &[]);
    assert_eq!(t.shm_usage(0).must().1.used_ids, 1);
    t.shm_limits(0).must();
}

fn usage_counts_segments_and_whole_pages(t: &Stage) {
    t.segment(1);
    t.segment(PAGE);
    let segment = t.segment(PAGE + 1);
    let usage = t.shm_usage(0).must().1;
    assert_eq!((usage.used_ids, usage.shm_tot, usage.shm_rss), (3, 4, 0));
    t.shm_remove(segment).must();
    let usage = t.shm_usage(0).must().1;
    assert_eq!((usage.used_ids, usage.shm_tot), (2, 2));
}

/// The four bytes behind `used_ids` kept what was there before.
fn usage_has_no_hole(t: &Stage) {
    t.segment(PAGE);
    let area = Area::new(48);
    area.write(0, &[0x55; 48]);
    t.shm_ctl(0, SHM_INFO, &area).must();
    assert_eq!(area.bytes()[..8], [1, 0, 0, 0, 0, 0, 0, 0]);
}

fn usage_counts_only_touched_pages_as_in_memory(t: &Stage) {
    let segment = t.segment(1000 * PAGE);
    let at = t.attach(segment);
    assert_eq!(t.shm_usage(0).must().1.shm_rss, 0);
    for page in [0, 17, 999] {
        poke(at + page * PAGE, 1);
    }
    poke(at + 17 * PAGE + 50, 1);
    let usage = t.shm_usage(0).must().1;
    assert_eq!((usage.shm_tot, usage.shm_rss, usage.shm_swp), (1000, 3, 0));
}

fn usage_counts_pages_read_only_as_in_memory(t: &Stage) {
    let segment = t.segment(10 * PAGE);
    let at = t.attach(segment);
    assert_eq!(peek(at + 3 * PAGE), 0);
    // Reading allocates, too: there is no page of zeros for shared memory.
    assert_eq!(t.shm_usage(0).must().1.shm_rss, 1);
}

fn usage_of_removed_segments_ends_with_the_last_detach(t: &Stage) {
    let segment = t.segment(10 * PAGE);
    let at = t.attach(segment);
    poke(at, 1);
    t.shm_remove(segment).must();
    let usage = t.shm_usage(0).must().1;
    assert_eq!((usage.used_ids, usage.shm_tot, usage.shm_rss), (1, 10, 1));
    t.detach(at);
    let usage = t.shm_usage(0).must().1;
    assert_eq!((usage.used_ids, usage.shm_tot, usage.shm_rss), (0, 0, 0));
}

fn usage_of_bytes_survives_their_attachers(t: &Stage) {
    let segment = t.segment(10 * PAGE);
    let child = t.spawn("child", |t| {
        let at = t.attach(segment);
        (0..4).for_each(|page| poke(at + page * PAGE, 1));
    });
    t.join(child);
    assert_eq!(t.shm_usage(0).must().1.shm_rss, 4);
}

/// Root's removed segments of these modes, which this process leaves as another user.
fn end_as_another_user(t: &Stage, modes: &[i32]) {
    let all: Vec<usize> = modes
        .iter()
        .map(|mode| {
            let segment = t.shmget(IPC_PRIVATE, PAGE, IPC_CREAT | mode).must();
            let at = t.shmat(segment, ANYWHERE, SHM_RDONLY).must();
            t.shm_remove(segment).must();
            at
        })
        .collect();
    become_user(1000, 1000, &[]);
    all.iter().for_each(|at| t.detach(*at));
}

/// The names of what root made are not this user's to take away: that they are there still was
/// counted.
fn info_forgets_a_segment_whose_last_attacher_is_another_user(t: &Stage) {
    t.segment(PAGE);
    end_as_another_user(t, &[0o400, 0o600, 0o666]);
    let (highest, usage) = t.shm_usage(0).must();
    assert_eq!((highest, usage.used_ids, usage.shm_tot), (0, 1, 1));
    assert_eq!(t.shm_limits(0).must().0, 0);
    assert_eq!(t.segment(PAGE).index(), 4);
    let (highest, usage) = t.shm_usage(0).must();
    assert_eq!((highest, usage.used_ids, usage.shm_tot), (4, 2, 2));
}

/// Their files lie there still, and are closed to this user.
fn segments_that_ended_with_another_user_are_gone(t: &Stage) {
    let segment = t.shmget(IPC_PRIVATE, PAGE, IPC_CREAT | 0o600).must();
    let at = t.shmat(segment, ANYWHERE, 0).must();
    t.shm_remove(segment).must();
    become_user(1000, 1000, &[]);
    t.detach(at);
    t.shm_lock(segment).fails(EINVAL);
    t.shm_stat(segment).fails(EINVAL);
    t.shm_stat_at(segment.index()).fails(EINVAL);
    t.shmat(segment, ANYWHERE, 0).fails(EINVAL);
    t.shm_remove(segment).fails(EINVAL);
}

fn segments_that_ended_with_another_user_leave_their_room(t: &Stage) {
    t.set_limit("shmmni", 3);
    t.set_limit("shmall", 3);
    end_as_another_user(t, &[0o400, 0o600, 0o666]);
    for _ in 0..2 {
        let all = [0; 3].map(|_| t.segment(PAGE));
        t.shmget(IPC_PRIVATE, PAGE, 0o600).fails(ENOSPC);
        all.iter().for_each(|segment| t.shm_remove(*segment).must());
        assert_eq!(t.shm_usage(0).must().1.used_ids, 0);
    }
}

/// All indexes come up again, also those of names that lie there still; which one it is then is not told.
fn segments_that_ended_with_another_user_are_in_nobodys_way(t: &Stage) {
    let user = t.spawn("user", |t| {
        end_as_another_user(t, &[0o400, 0o666, 0o400]);
        come_and_go(t, 150);
    });
    t.join(user);
    come_and_go(t, 150);
}

fn come_and_go(t: &Stage, times: u32) {
    for _ in 0..times {
        let segment = t.segment(PAGE);
        t.shm_remove(segment).must();
        let (highest, usage) = t.shm_usage(0).must();
        assert_eq!((highest, usage.used_ids, usage.shm_tot), (0, 0, 0));
    }
}
