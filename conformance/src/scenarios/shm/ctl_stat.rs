//! `IPC_STAT`, `SHM_STAT`, `SHM_STAT_ANY`: every field.

use crate::mapping::PAGE;
use crate::memory::Area;
use crate::process::{become_user, own_pid};
use crate::scenarios::{Scenario, table};
use crate::shm::Segment;
use crate::shmctl::{SHM_STAT, SHM_STAT_ANY};
use crate::stage::Stage;
use libc::{EACCES, EFAULT, EINVAL, IPC_CREAT, IPC_STAT};

pub(super) const ALL: &[Scenario] = table![
    stat_of_a_new_segment,
    stat_tells_the_key_and_mode_of_a_segment,
    stat_tells_owner_and_creator_of_a_segment needs_root,
    stat_mode_keeps_execute_bits_of_a_segment,
    stat_tells_when_a_segment_was_made,
    stat_in_another_process_tells_the_same_of_a_segment,
    stat_changes_nothing_of_a_segment,
    stat_by_index_finds_the_segment,
    stat_by_index_beyond_the_segments_is_einval,
    stat_by_index_of_a_removed_segment_is_einval,
    stat_by_index_takes_no_id_of_a_segment,
    stat_any_needs_no_permission_for_a_segment needs_root,
    stat_of_a_segment_needs_read_permission needs_root,
    stat_of_a_segment_into_nowhere_is_efault,
    stat_of_no_segment_is_einval_before_efault,
    stat_of_a_refused_segment_is_eacces_before_efault needs_root,
    stat_of_a_segment_fills_the_whole_struct,
];

fn stat_of_a_new_segment(t: &Stage) {
    let segment = t.segment(12345);
    let stat = t.shm_stat(segment).must();
    let counts = (stat.segsz, stat.nattch, stat.cpid, stat.lpid);
    assert_eq!(counts, (12345, 0, own_pid(), 0));
    assert_eq!((stat.atime, stat.dtime), (0, 0));
}

fn stat_tells_the_key_and_mode_of_a_segment(t: &Stage) {
    let segment = t.shmget(0x1234, PAGE, IPC_CREAT | 0o640).must();
    let stat = t.shm_stat(segment).must();
    assert_eq!((stat.key, stat.mode), (0x1234, 0o640));
}

fn stat_tells_owner_and_creator_of_a_segment(t: &Stage) {
    become_user(1000, 1234, &[]);
    let segment = t.segment(PAGE);
    let stat = t.shm_stat(segment).must();
    let ids = (stat.uid, stat.gid, stat.cuid, stat.cgid);
    assert_eq!(ids, (1000, 1234, 1000, 1234));
}

fn stat_mode_keeps_execute_bits_of_a_segment(t: &Stage) {
    let segment = t.shmget(1, PAGE, IPC_CREAT | 0o777).must();
    assert_eq!(t.shm_stat(segment).must().mode, 0o777);
}

fn stat_tells_when_a_segment_was_made(t: &Stage) {
    let one = t.segment(PAGE);
    t.next_second();
    let two = t.segment(PAGE);
    assert!(t.shm_stat(two).must().ctime > t.shm_stat(one).must().ctime);
}

fn stat_in_another_process_tells_the_same_of_a_segment(t: &Stage) {
    let segment = t.segment(PAGE);
    let before = t.shm_stat(segment).must();
    let child = t.spawn("child", |t| assert_eq!(t.shm_stat(segment).must(), before));
    t.join(child);
}

fn stat_changes_nothing_of_a_segment(t: &Stage) {
    let segment = t.segment(PAGE);
    t.attach(segment);
    let before = t.shm_stat(segment).must();
    t.next_second();
    assert_eq!(t.shm_stat(segment).must(), before);
    assert_eq!(t.shm_stat_at(segment.index()).must().1, before);
}

fn stat_by_index_finds_the_segment(t: &Stage) {
    for _ in 0..70 {
        let segment = t.segment(1);
        t.shm_remove(segment).must();
    }
    let segment = t.segment(77);
    let stat = t.shm_stat(segment).must();
    assert_eq!(
        t.shm_stat_at(segment.index()).must(),
        (segment, stat.clone())
    );
    assert_eq!(t.shm_stat_any_at(segment.index()).must(), (segment, stat));
}

fn stat_by_index_beyond_the_segments_is_einval(t: &Stage) {
    t.segment(PAGE);
    for index in [-1, 1, 100, i32::MAX] {
        t.shm_stat_at(index).fails(EINVAL);
        t.shm_stat_any_at(index).fails(EINVAL);
    }
}

fn stat_by_index_of_a_removed_segment_is_einval(t: &Stage) {
    let segment = t.segment(PAGE);
    t.shm_remove(segment).must();
    t.shm_stat_at(segment.index()).fails(EINVAL);
    t.shm_stat_any_at(segment.index()).fails(EINVAL);
}

fn stat_by_index_takes_no_id_of_a_segment(t: &Stage) {
    let mut segment = t.segment(1);
    while segment.sequence() == 0 {
        t.shm_remove(segment).must();
        segment = t.segment(1);
    }
    // An id is taken for the index in it.
    assert_eq!(t.shm_stat_at(segment.0).must().0, segment);
}

fn stat_any_needs_no_permission_for_a_segment(t: &Stage) {
    let segment = t.segment(PAGE);
    become_user(1000, 1000, &[]);
    t.shm_stat(segment).fails(EACCES);
    t.shm_stat_at(segment.index()).fails(EACCES);
    assert_eq!(t.shm_stat_any_at(segment.index()).must().0, segment);
}

fn stat_of_a_segment_needs_read_permission(t: &Stage) {
    let closed = t.shmget(1, PAGE, IPC_CREAT | 0o622).must();
    let open = t.shmget(2, PAGE, IPC_CREAT | 0o604).must();
    become_user(1000, 1000, &[]);
    t.shm_stat(closed).fails(EACCES);
    t.shm_stat(open).must();
}

fn stat_of_a_segment_into_nowhere_is_efault(t: &Stage) {
    let segment = t.segment(PAGE);
    for area in [
        Area::null(),
        Area::unmapped(),
        Area::kernel_half(),
        Area::new(8),
    ] {
        for cmd in [IPC_STAT, SHM_STAT, SHM_STAT_ANY] {
            t.shm_ctl(segment.0, cmd, &area).fails(EFAULT);
        }
    }
}

fn stat_of_no_segment_is_einval_before_efault(t: &Stage) {
    for cmd in [IPC_STAT, SHM_STAT, SHM_STAT_ANY] {
        t.shm_ctl(77, cmd, &Area::null()).fails(EINVAL);
        t.shm_ctl(-1, cmd, &Area::null()).fails(EINVAL);
    }
}

fn stat_of_a_refused_segment_is_eacces_before_efault(t: &Stage) {
    let segment = t.segment(PAGE);
    become_user(1000, 1000, &[]);
    t.shm_ctl(segment.0, IPC_STAT, &Area::null()).fails(EACCES);
}

fn stat_of_a_segment_fills_the_whole_struct(t: &Stage) {
    let segment: Segment = t.segment(PAGE);
    let area = Area::new(size_of::<libc::shmid_ds>());
    // A byte may happen to be what stood there, but not both times.
    let left = |byte: u8| {
        area.write(0, &[byte; size_of::<libc::shmid_ds>()]);
        t.shm_ctl(segment.0, IPC_STAT, &area).must();
        area.bytes()
            .iter()
            .map(|&is| is == byte)
            .collect::<Vec<_>>()
    };
    let stale = left(0xEE).into_iter().zip(left(0x11));
    let stale = stale.filter(|both| *both == (true, true)).count();
    assert_eq!(stale, 0, "bytes left as they were");
}
