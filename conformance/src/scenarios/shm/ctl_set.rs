//! `IPC_SET`, and which commands there are.

use crate::mapping::PAGE;
use crate::memory::Area;
use crate::process::become_user;
use crate::scenarios::{Scenario, table};
use crate::shm::{ANYWHERE, SHM_LOCKED, SHM_RDONLY};
use crate::stage::Stage;
use libc::{EACCES, EFAULT, EINVAL, EPERM, IPC_CREAT, IPC_RMID, IPC_SET};

pub(super) const ALL: &[Scenario] = table![
    set_changes_owner_and_mode_of_a_segment needs_root,
    set_changes_nothing_else_of_a_segment needs_root,
    set_takes_only_nine_bits_for_a_segment,
    set_stamps_a_segment_as_changed,
    set_of_a_segment_to_nobody_is_einval needs_root,
    set_mode_counts_for_later_attachments needs_root,
    set_mode_leaves_present_attachments needs_root,
    set_by_the_owner_of_a_segment needs_root,
    set_by_the_creator_of_a_segment needs_root,
    set_by_others_is_eperm_for_a_segment needs_root,
    set_needs_no_bits_of_a_segment needs_root,
    set_from_nowhere_is_efault_for_a_segment,
    set_from_nowhere_is_efault_before_the_segment_is_found,
    set_keeps_the_lock_of_a_segment needs_root,
    remove_by_others_is_eperm_for_a_segment needs_root,
    remove_ignores_the_pointer_for_a_segment,
    commands_that_do_not_exist_are_einval_for_a_segment,
    commands_of_negative_ids_are_einval_for_segments,
];

fn set_changes_owner_and_mode_of_a_segment(t: &Stage) {
    let segment = t.segment(PAGE);
    t.shm_change(segment, |stat| {
        (stat.uid, stat.gid, stat.mode) = (1000, 1001, 0o644)
    })
    .must();
    let stat = t.shm_stat(segment).must();
    assert_eq!((stat.uid, stat.gid, stat.mode), (1000, 1001, 0o644));
    assert_eq!((stat.cuid, stat.cgid), (0, 0));
}

fn set_changes_nothing_else_of_a_segment(t: &Stage) {
    let segment = t.shmget(0x51, 100, IPC_CREAT | 0o600).must();
    t.attach(segment);
    let before = t.shm_stat(segment).must();
    t.shm_change(segment, |stat| {
        (stat.key, stat.segsz, stat.nattch) = (99, 7, 7);
        (stat.atime, stat.dtime, stat.cpid, stat.lpid) = (7, 7, 7, 7);
        (stat.cuid, stat.cgid, stat.sequence) = (7, 7, 7);
    })
    .must();
    let mut after = t.shm_stat(segment).must();
    after.ctime = before.ctime;
    assert_eq!(after, before);
}

fn set_takes_only_nine_bits_for_a_segment(t: &Stage) {
    let segment = t.segment(PAGE);
    t.shm_change(segment, |stat| stat.mode = 0o177_777).must();
    assert_eq!(t.shm_stat(segment).must().mode, 0o777);
}

fn set_stamps_a_segment_as_changed(t: &Stage) {
    let segment = t.segment(PAGE);
    let before = t.shm_stat(segment).must();
    t.next_second();
    t.shm_set(segment, &before).must();
    let after = t.shm_stat(segment).must();
    assert!(after.ctime > before.ctime);
    assert_eq!((after.atime, after.dtime, after.lpid), (0, 0, 0));
}

fn set_of_a_segment_to_nobody_is_einval(t: &Stage) {
    let segment = t.segment(PAGE);
    t.shm_change(segment, |stat| stat.uid = u32::MAX)
        .fails(EINVAL);
    t.shm_change(segment, |stat| stat.gid = u32::MAX)
        .fails(EINVAL);
    assert_eq!(t.shm_stat(segment).must().uid, 0);
}

fn set_mode_counts_for_later_attachments(t: &Stage) {
    let segment = t.shmget(1, PAGE, IPC_CREAT | 0o666).must();
    t.shm_change(segment, |stat| stat.mode = 0o604).must();
    become_user(1000, 1000, &[]);
    t.shmat(segment, ANYWHERE, 0).fails(EACCES);
    t.shmat(segment, ANYWHERE, SHM_RDONLY).must();
}

fn set_mode_leaves_present_attachments(t: &Stage) {
    let segment = t.shmget(1, PAGE, IPC_CREAT | 0o666).must();
    let gate = crate::players::Gate::new();
    let child = t.spawn("user", |t| {
        become_user(1000, 1000, &[]);
        let at = t.attach(segment);
        t.tell(0);
        gate.pass();
        crate::mapping::poke(at, 1);
        t.shmat(segment, ANYWHERE, 0).fails(EACCES);
        t.detach(at);
    });
    t.hear(&child, 1);
    t.shm_change(segment, |stat| stat.mode = 0).must();
    gate.open();
    t.join(child);
}

fn set_by_the_owner_of_a_segment(t: &Stage) {
    let segment = t.segment(PAGE);
    t.shm_change(segment, |stat| stat.uid = 1000).must();
    become_user(1000, 1000, &[]);
    t.shm_change(segment, |stat| (stat.uid, stat.mode) = (1002, 0o666))
        .must();
    t.shm_change(segment, |stat| stat.mode = 0o600).fails(EPERM);
    t.shm_remove(segment).fails(EPERM);
}

fn set_by_the_creator_of_a_segment(t: &Stage) {
    let child = t.spawn("maker", |t| {
        become_user(1000, 1000, &[]);
        t.tell(t.segment(PAGE).0.into());
        crate::players::Gate::new().pass();
    });
    let segment = crate::shm::Segment(t.hear(&child, 1) as i32);
    t.shm_change(segment, |stat| stat.uid = 1001).must();
    t.kill(child);
    become_user(1000, 1000, &[]);
    t.shm_change(segment, |stat| stat.mode = 0o640).must();
    t.shm_remove(segment).must();
}

fn set_by_others_is_eperm_for_a_segment(t: &Stage) {
    let segment = t.shmget(1, PAGE, IPC_CREAT | 0o666).must();
    become_user(1000, 0, &[]);
    t.shm_change(segment, |_| {}).fails(EPERM);
}

fn set_needs_no_bits_of_a_segment(t: &Stage) {
    become_user(1000, 1000, &[]);
    let segment = t.shmget(1, PAGE, IPC_CREAT).must();
    t.shm_stat(segment).fails(EACCES);
    let stat = t.shm_stat_any_at(segment.index()).must().1;
    let wanted = crate::shm::ShmStat {
        mode: 0o600,
        ..stat
    };
    t.shm_set(segment, &wanted).must();
    t.shm_stat(segment).must();
}

fn set_from_nowhere_is_efault_for_a_segment(t: &Stage) {
    let segment = t.segment(PAGE);
    for area in [
        Area::null(),
        Area::unmapped(),
        Area::kernel_half(),
        Area::new(8),
    ] {
        t.shm_ctl(segment.0, IPC_SET, &area).fails(EFAULT);
    }
}

fn set_from_nowhere_is_efault_before_the_segment_is_found(t: &Stage) {
    t.shm_ctl(77, IPC_SET, &Area::null()).fails(EFAULT);
    t.shm_ctl(-1, IPC_SET, &Area::null()).fails(EINVAL);
    let area = Area::new(size_of::<libc::shmid_ds>());
    t.shm_ctl(77, IPC_SET, &area).fails(EINVAL);
}

fn set_keeps_the_lock_of_a_segment(t: &Stage) {
    let segment = t.segment(PAGE);
    t.shm_lock(segment).must();
    t.shm_change(segment, |stat| stat.mode = 0o640).must();
    assert_eq!(t.shm_stat(segment).must().mode, SHM_LOCKED | 0o640);
}

fn remove_by_others_is_eperm_for_a_segment(t: &Stage) {
    let segment = t.shmget(1, PAGE, IPC_CREAT | 0o666).must();
    let child = t.spawn("user", |t| {
        become_user(1000, 0, &[]);
        t.shm_remove(segment).fails(EPERM);
        t.attach(segment);
        t.shm_remove(segment).fails(EPERM);
    });
    t.join(child);
    assert_eq!(t.shm_stat(segment).must().mode, 0o666);
}

fn remove_ignores_the_pointer_for_a_segment(t: &Stage) {
    for area in [Area::null(), Area::unmapped(), Area::kernel_half()] {
        let segment = t.segment(PAGE);
        t.shm_ctl(segment.0, IPC_RMID, &area).must();
        t.is_gone(segment);
    }
}

fn commands_that_do_not_exist_are_einval_for_a_segment(t: &Stage) {
    let segment = t.segment(PAGE);
    let area = Area::new(256);
    for cmd in [-1, 4, 5, 9, 10, 16, 17, 99, 0x200, i32::MAX, i32::MIN] {
        t.shm_ctl(segment.0, cmd, &area).fails(EINVAL);
    }
    t.shm_stat(segment).must();
}

fn commands_of_negative_ids_are_einval_for_segments(t: &Stage) {
    let area = Area::new(256);
    for cmd in 0..16 {
        t.shm_ctl(-1, cmd, &area).fails(EINVAL);
    }
}
