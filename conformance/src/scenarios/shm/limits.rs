//! `/proc/sys/kernel/shm{max,all,mni}` and `shm_rmid_forced`: read, written, and obeyed.

use crate::files::{WAYS, Way};
use crate::mapping::PAGE;
use crate::players::Gate;
use crate::process::become_user;
use crate::scenarios::{Scenario, table};
use crate::shm::{SHM_DEST, SHM_NORESERVE};
use crate::stage::Stage;
use libc::{EACCES, EINVAL, ENOENT, ENOSPC, IPC_CREAT, IPC_PRIVATE};

pub(super) const ALL: &[Scenario] = table![
    shm_limits_read_as_numbers_with_a_newline,
    shm_limits_are_seen_by_other_programs,
    shm_limits_written_in_any_way_are_read_back needs_root,
    shm_limits_written_by_a_shell_are_obeyed needs_root,
    shm_limits_are_not_for_everybody_to_write needs_root,
    shm_limits_changed_are_seen_by_running_processes needs_root,
    shmmax_lowered_refuses_larger_segments needs_root,
    shmmax_lowered_leaves_present_segments needs_root,
    shmmax_zero_allows_no_segment needs_root,
    shmall_reached_is_enospc needs_root,
    shmall_counts_whole_pages_of_all_segments needs_root,
    shmall_counts_removed_segments_until_their_last_detach needs_root,
    shmall_counts_what_reserves_nothing needs_root,
    shmall_below_what_exists_takes_nothing_away needs_root,
    shmmax_is_checked_before_shmall needs_root,
    shmmni_reached_is_enospc needs_root,
    shmmni_reached_still_finds_existing_keys needs_root,
    shmmni_counts_removed_segments_until_their_last_detach needs_root,
    shmmni_has_room_again_after_removal needs_root,
    shmmni_has_room_again_after_deaths needs_root,
    shmmni_zero_allows_no_segment needs_root,
    shmall_is_checked_before_shmmni needs_root,
    many_segments_up_to_the_limit,
    forced_removal_is_off,
    forced_removal_takes_a_segment_with_its_last_detach needs_root,
    forced_removal_takes_segments_never_attached_with_their_maker needs_root,
    forced_removal_switched_on_takes_what_nobody_has needs_root,
    forced_removal_spares_what_others_made needs_root,
];

const SHMMAX: &str = "/proc/sys/kernel/shmmax";
const SHMALL: &str = "/proc/sys/kernel/shmall";
const SHMMNI: &str = "/proc/sys/kernel/shmmni";
const FORCED: &str = "/proc/sys/kernel/shm_rmid_forced";

const VAST: &str = "18446744073692774399\n";

fn shm_limits_read_as_numbers_with_a_newline(t: &Stage) {
    for (path, text) in [(SHMMAX, VAST), (SHMALL, VAST), (SHMMNI, "4096\n")] {
        for way in WAYS {
            assert_eq!(t.read_file(way, path).must(), text);
        }
    }
}

fn shm_limits_are_seen_by_other_programs(t: &Stage) {
    let all = t.shell(&format!("cat {SHMMAX} {SHMALL} {SHMMNI}"));
    assert_eq!(all, format!("{VAST}{VAST}4096\n"));
    assert_eq!(t.shell(&format!("cat < {SHMMNI}")), "4096\n");
}

fn shm_limits_written_in_any_way_are_read_back(t: &Stage) {
    for path in [SHMMAX, SHMALL, SHMMNI] {
        for (number, way) in WAYS.into_iter().enumerate() {
            let text = format!("{}\n", 1000 + number);
            t.write_file(way, path, &text).must();
            assert_eq!(t.read_file(way, path).must(), text);
        }
    }
}

fn shm_limits_written_by_a_shell_are_obeyed(t: &Stage) {
    t.shell(&format!("echo 10000 > {SHMMAX}"));
    t.segment(10000);
    t.shmget(IPC_PRIVATE, 10001, 0o600).fails(EINVAL);
    t.shell(&format!("echo 5 > {SHMALL}"));
    t.segment(2 * PAGE);
    t.shmget(IPC_PRIVATE, 1, 0o600).fails(ENOSPC);
}

fn shm_limits_are_not_for_everybody_to_write(t: &Stage) {
    become_user(1000, 1000, &[]);
    for path in [SHMMAX, SHMALL, SHMMNI] {
        t.write_file(Way::Open, path, "5\n").fails(EACCES);
        t.read_file(Way::Open, path).must();
    }
}

fn shm_limits_changed_are_seen_by_running_processes(t: &Stage) {
    let gate = Gate::new();
    let child = t.spawn("child", |t| {
        t.segment(2 * PAGE);
        t.tell(0);
        gate.pass();
        t.shmget(IPC_PRIVATE, 2 * PAGE, 0o600).fails(EINVAL);
    });
    t.hear(&child, 1);
    t.set_limit("shmmax", PAGE as i64);
    gate.open();
    t.join(child);
}

fn shmmax_lowered_refuses_larger_segments(t: &Stage) {
    t.set_limit("shmmax", 5000);
    t.segment(5000);
    t.shmget(IPC_PRIVATE, 5001, 0o600).fails(EINVAL);
    t.shmget(1, 5001, IPC_CREAT | 0o600).fails(EINVAL);
    t.shmget(1, 5001, 0).fails(ENOENT);
}

fn shmmax_lowered_leaves_present_segments(t: &Stage) {
    let segment = t.shmget(1, 4 * PAGE, IPC_CREAT | 0o600).must();
    t.set_limit("shmmax", PAGE as i64);
    assert_eq!(t.shmget(1, 4 * PAGE, 0).must(), segment);
    assert_eq!(t.shmget(1, 4 * PAGE, IPC_CREAT | 0o600).must(), segment);
    let at = t.attach(segment);
    crate::mapping::poke(at + 3 * PAGE, 1);
}

fn shmmax_zero_allows_no_segment(t: &Stage) {
    t.set_limit("shmmax", 0);
    t.shmget(IPC_PRIVATE, 1, 0o600).fails(EINVAL);
}

fn shmall_reached_is_enospc(t: &Stage) {
    t.set_limit("shmall", 10);
    t.shmget(IPC_PRIVATE, 11 * PAGE, 0o600).fails(ENOSPC);
    let segment = t.segment(10 * PAGE);
    t.shmget(IPC_PRIVATE, 1, 0o600).fails(ENOSPC);
    t.shm_remove(segment).must();
    t.segment(10 * PAGE);
}

fn shmall_counts_whole_pages_of_all_segments(t: &Stage) {
    t.set_limit("shmall", 3);
    t.segment(1);
    t.segment(PAGE + 1);
    t.shmget(IPC_PRIVATE, 1, 0o600).fails(ENOSPC);
}

fn shmall_counts_removed_segments_until_their_last_detach(t: &Stage) {
    t.set_limit("shmall", 3);
    let segment = t.segment(3 * PAGE);
    let at = t.attach(segment);
    t.shm_remove(segment).must();
    t.shmget(IPC_PRIVATE, 1, 0o600).fails(ENOSPC);
    t.detach(at);
    t.segment(3 * PAGE);
}

fn shmall_counts_what_reserves_nothing(t: &Stage) {
    t.set_limit("shmall", 3);
    t.shmget(IPC_PRIVATE, 4 * PAGE, SHM_NORESERVE | 0o600)
        .fails(ENOSPC);
    t.shmget(IPC_PRIVATE, 3 * PAGE, SHM_NORESERVE | 0o600)
        .must();
}

fn shmall_below_what_exists_takes_nothing_away(t: &Stage) {
    let segment = t.segment(10 * PAGE);
    t.set_limit("shmall", 5);
    t.attach(segment);
    assert_eq!(t.shm_usage(0).must().1.shm_tot, 10);
    t.shmget(IPC_PRIVATE, 1, 0o600).fails(ENOSPC);
}

fn shmmax_is_checked_before_shmall(t: &Stage) {
    t.set_limit("shmall", 1);
    t.set_limit("shmmax", PAGE as i64);
    t.shmget(IPC_PRIVATE, 2 * PAGE, 0o600).fails(EINVAL);
    t.shmget(IPC_PRIVATE, 0, 0o600).fails(EINVAL);
}

fn shmmni_reached_is_enospc(t: &Stage) {
    t.set_limit("shmmni", 2);
    t.segment(PAGE);
    t.segment(PAGE);
    t.shmget(IPC_PRIVATE, PAGE, 0o600).fails(ENOSPC);
    t.shmget(1, PAGE, IPC_CREAT | 0o600).fails(ENOSPC);
    assert_eq!(t.shm_usage(0).must().1.shm_tot, 2);
}

fn shmmni_reached_still_finds_existing_keys(t: &Stage) {
    let segment = t.shmget(1, PAGE, IPC_CREAT | 0o600).must();
    t.set_limit("shmmni", 1);
    assert_eq!(t.shmget(1, PAGE, IPC_CREAT | 0o600).must(), segment);
    t.shmget(2, PAGE, 0).fails(ENOENT);
}

fn shmmni_counts_removed_segments_until_their_last_detach(t: &Stage) {
    t.set_limit("shmmni", 1);
    let segment = t.segment(PAGE);
    let at = t.attach(segment);
    t.shm_remove(segment).must();
    t.shmget(IPC_PRIVATE, PAGE, 0o600).fails(ENOSPC);
    t.detach(at);
    t.segment(PAGE);
}

fn shmmni_has_room_again_after_removal(t: &Stage) {
    t.set_limit("shmmni", 1);
    for _ in 0..5 {
        let segment = t.segment(PAGE);
        t.shmget(IPC_PRIVATE, PAGE, 0o600).fails(ENOSPC);
        t.shm_remove(segment).must();
    }
}

fn shmmni_has_room_again_after_deaths(t: &Stage) {
    t.set_limit("shmmni", 1);
    t.set_limit("shmall", 5);
    for _ in 0..3 {
        let child = t.spawn("child", |t| {
            let segment = t.segment(5 * PAGE);
            t.attach(segment);
            t.shm_remove(segment).must();
            t.tell(0);
            Gate::new().pass();
        });
        t.hear(&child, 1);
        t.shmget(IPC_PRIVATE, PAGE, 0o600).fails(ENOSPC);
        t.kill(child);
    }
    t.segment(5 * PAGE);
}

fn shmmni_zero_allows_no_segment(t: &Stage) {
    t.set_limit("shmmni", 0);
    t.shmget(IPC_PRIVATE, PAGE, 0o600).fails(ENOSPC);
}

fn shmall_is_checked_before_shmmni(t: &Stage) {
    // Both are ENOSPC; a size that no page count holds is not told apart either.
    t.set_limit("shmmni", 0);
    t.set_limit("shmall", 0);
    t.shmget(IPC_PRIVATE, PAGE, 0o600).fails(ENOSPC);
    t.shmget(IPC_PRIVATE, 0, 0o600).fails(EINVAL);
}

fn many_segments_up_to_the_limit(t: &Stage) {
    let make = || crate::shmcall::shmget(IPC_PRIVATE, 1, 0o600);
    for _ in 0..4096 {
        make().expect("a segment");
    }
    assert_eq!(make(), Err(crate::errno::Errno(ENOSPC)));
    let usage = t.shm_usage(0).must().1;
    assert_eq!((usage.used_ids, usage.shm_tot), (4096, 4096));
}

fn forced_removal_is_off(t: &Stage) {
    assert_eq!(t.read_file(Way::Open, FORCED).must(), "0\n");
}

fn forced_removal_takes_a_segment_with_its_last_detach(t: &Stage) {
    t.set_limit("shm_rmid_forced", 1);
    let segment = t.shmget(1, PAGE, IPC_CREAT | 0o600).must();
    let (one, two) = (t.attach(segment), t.attach(segment));
    assert_eq!(t.shm_stat(segment).must().mode & SHM_DEST, 0);
    t.detach(one);
    t.attached(segment, 1);
    t.detach(two);
    t.is_gone(segment);
    t.shmget(1, 0, 0).fails(ENOENT);
}

fn forced_removal_takes_segments_never_attached_with_their_maker(t: &Stage) {
    t.set_limit("shm_rmid_forced", 1);
    let child = t.spawn("maker", |t| t.tell(t.segment(PAGE).0.into()));
    let segment = crate::shm::Segment(t.hear(&child, 1) as i32);
    t.join(child);
    t.is_gone(segment);
}

fn forced_removal_switched_on_takes_what_nobody_has(t: &Stage) {
    let child = t.spawn("maker", |t| t.tell(t.segment(PAGE).0.into()));
    let orphan = crate::shm::Segment(t.hear(&child, 1) as i32);
    t.join(child);
    let own = t.segment(PAGE);
    t.set_limit("shm_rmid_forced", 1);
    t.is_gone(orphan);
    t.shm_stat(own).must();
    assert_eq!(t.shm_usage(0).must().1.used_ids, 1);
}

fn forced_removal_spares_what_others_made(t: &Stage) {
    t.set_limit("shm_rmid_forced", 1);
    let segment = t.segment(PAGE);
    let child = t.spawn("child", |t| t.attached(segment, 0));
    t.join(child);
    t.shm_stat(segment).must();
}
