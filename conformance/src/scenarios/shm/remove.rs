//! `IPC_RMID`: before, between and after attachments, forks, execs and deaths.

use crate::mapping::{PAGE, is_zero, peek, text, word, write_text};
use crate::players::{Child, Gate};
use crate::process::{self, Ending};
use crate::programs::part;
use crate::scenarios::{Scenario, table};
use crate::shm::{ANYWHERE, SHM_DEST, SHM_RDONLY, Segment};
use crate::stage::Stage;
use libc::{EINVAL, ENOENT, IPC_CREAT, IPC_PRIVATE, SIGKILL};
use std::sync::atomic::Ordering::SeqCst;

pub(super) const ALL: &[Scenario] = table![
    removed_segment_without_attachments_is_gone,
    removed_segment_with_an_attachment_lives_on,
    removed_segment_loses_its_key,
    removed_segment_has_dest_in_its_mode,
    removed_segments_key_makes_a_new_one,
    removed_segment_can_be_attached_by_id,
    removed_segment_attached_by_a_newcomer_outlives_the_first,
    removed_segment_can_be_removed_again,
    removed_segment_goes_with_the_last_of_several_detaches,
    removed_segment_keeps_its_stamps,
    removed_segment_can_still_be_set,
    removed_segment_is_still_listed,
    removed_segment_goes_with_its_last_process,
    removed_segment_goes_when_everybody_is_killed,
    removed_segment_goes_when_everybody_is_killed_unreaped,
    removed_segment_of_a_dead_family_leaves_room,
    removed_before_fork_then_parent_detaches_then_child_exits,
    removed_before_fork_then_child_detaches_then_parent_detaches,
    removed_before_fork_then_child_execs_then_parent_detaches,
    removed_before_fork_then_parent_detaches_then_child_execs,
    removed_before_fork_then_child_is_killed_then_parent_detaches,
    removed_before_fork_then_parent_detaches_then_child_is_killed,
    removed_by_the_child_then_child_exits_then_parent_detaches,
    removed_by_the_child_then_parent_detaches_then_child_exits,
    removed_by_the_child_then_child_is_killed_then_parent_detaches,
    removed_by_the_child_then_parent_detaches_then_child_execs,
    removed_after_fork_then_child_execs_then_parent_detaches,
    removed_after_fork_then_parent_detaches_then_child_is_killed,
    removed_after_the_attacher_died_is_gone_at_once,
    removed_after_the_attacher_execd_is_gone_at_once,
    removed_and_dead_before_anybody_looks,
];

fn removed_segment_without_attachments_is_gone(t: &Stage) {
    let segment = t.shmget(0x51, PAGE, IPC_CREAT | 0o600).must();
    t.shm_remove(segment).must();
    t.is_gone(segment);
    t.shmget(0x51, 0, 0).fails(ENOENT);
    assert_eq!(t.shm_usage(0).must().1.used_ids, 0);
}

fn removed_segment_with_an_attachment_lives_on(t: &Stage) {
    let segment = t.segment(PAGE);
    let at = t.attach(segment);
    t.shm_remove(segment).must();
    write_text(at, "alive");
    t.everybody_sees(segment, 1);
    t.detach(at);
    t.is_gone(segment);
}

fn removed_segment_loses_its_key(t: &Stage) {
    let segment = t.shmget(0x51, PAGE, IPC_CREAT | 0o600).must();
    let at = t.attach(segment);
    t.shm_remove(segment).must();
    assert_eq!(t.shm_stat(segment).must().key, IPC_PRIVATE);
    t.shmget(0x51, 0, 0).fails(ENOENT);
    t.detach(at);
}

fn removed_segment_has_dest_in_its_mode(t: &Stage) {
    let segment = t.shmget(0x51, PAGE, IPC_CREAT | 0o640).must();
    t.attach(segment);
    assert_eq!(t.shm_stat(segment).must().mode, 0o640);
    t.shm_remove(segment).must();
    assert_eq!(t.shm_stat(segment).must().mode, SHM_DEST | 0o640);
}

fn removed_segments_key_makes_a_new_one(t: &Stage) {
    let old = t.shmget(0x51, PAGE, IPC_CREAT | 0o600).must();
    let at = t.attach(old);
    write_text(at, "old");
    t.shm_remove(old).must();
    let new = t
        .shmget(0x51, 2 * PAGE, IPC_CREAT | libc::IPC_EXCL | 0o600)
        .must();
    assert_ne!(new, old);
    let fresh = t.attach(new);
    assert!(is_zero(fresh, 2 * PAGE));
    write_text(fresh, "new");
    assert_eq!(text(at, 3), "old");
    t.detach(at);
    t.is_gone(old);
    assert_eq!(t.shmget(0x51, 0, 0).must(), new);
}

fn removed_segment_can_be_attached_by_id(t: &Stage) {
    let segment = t.shmget(0x51, PAGE, IPC_CREAT | 0o600).must();
    let at = t.attach(segment);
    write_text(at, "there");
    t.shm_remove(segment).must();
    let again = t.attach(segment);
    assert_eq!(text(again, 5), "there");
    let reader = t.shmat(segment, ANYWHERE, SHM_RDONLY).must();
    t.everybody_sees(segment, 3);
    t.detach(at);
    t.detach(again);
    assert_eq!(text(reader, 5), "there");
    t.detach(reader);
    t.is_gone(segment);
}

fn removed_segment_attached_by_a_newcomer_outlives_the_first(t: &Stage) {
    let segment = t.segment(PAGE);
    let at = t.attach(segment);
    word(at + 8).store(77, SeqCst);
    t.shm_remove(segment).must();
    let child = t.spawn("child", |_| {
        process::exec_self(&part("hold", &[&segment.0]))
    });
    crate::board::poll("the newcomer holds the segment", || {
        (word(at).load(SeqCst) == 1).then_some(())
    });
    t.detach(at);
    t.everybody_sees(segment, 1);
    let again = t.attach(segment);
    assert_eq!(word(again + 8).load(SeqCst), 77);
    word(again + 4).store(1, SeqCst);
    t.join(child);
    t.detach(again);
    t.is_gone(segment);
}

fn removed_segment_can_be_removed_again(t: &Stage) {
    let segment = t.segment(PAGE);
    let at = t.attach(segment);
    for _ in 0..3 {
        t.shm_remove(segment).must();
        t.attached(segment, 1);
    }
    t.detach(at);
    t.is_gone(segment);
}

fn removed_segment_goes_with_the_last_of_several_detaches(t: &Stage) {
    let segment = t.segment(PAGE);
    let all = [0; 5].map(|_| t.attach(segment));
    t.shm_remove(segment).must();
    for (at, left) in all.into_iter().zip((1..5).rev()) {
        t.detach(at);
        t.everybody_sees(segment, left);
    }
    t.detach(all[4]);
    t.is_gone(segment);
}

fn removed_segment_keeps_its_stamps(t: &Stage) {
    let segment = t.segment(PAGE);
    t.attach(segment);
    let before = t.shm_stat(segment).must();
    t.next_second();
    t.shm_remove(segment).must();
    let after = t.shm_stat(segment).must();
    let stamps = (after.ctime, after.atime, after.dtime, after.lpid);
    assert_eq!(
        stamps,
        (before.ctime, before.atime, before.dtime, before.lpid)
    );
}

fn removed_segment_can_still_be_set(t: &Stage) {
    let segment = t.segment(PAGE);
    t.attach(segment);
    t.shm_remove(segment).must();
    t.shm_change(segment, |stat| stat.mode = 0o644).must();
    assert_eq!(t.shm_stat(segment).must().mode, SHM_DEST | 0o644);
}

fn removed_segment_is_still_listed(t: &Stage) {
    let segment = t.segment(PAGE);
    let at = t.attach(segment);
    t.shm_remove(segment).must();
    assert_eq!(t.shm_stat_at(segment.index()).must().0, segment);
    assert_eq!(t.shm_usage(0).must().1.used_ids, 1);
    t.detach(at);
    t.shm_stat_at(segment.index()).fails(EINVAL);
}

fn removed_segment_goes_with_its_last_process(t: &Stage) {
    let segment = t.segment(PAGE);
    let child = t.spawn("child", |t| {
        t.attach(segment);
        t.shm_remove(segment).must();
    });
    t.join(child);
    t.is_gone(segment);
}

/// A child, its child and its child's child, all attached to a removed segment.
fn family(t: &Stage) -> (Segment, Child, [i32; 2]) {
    let segment = t.shmget(0x51, PAGE, IPC_CREAT | 0o600).must();
    let pids = crate::mapping::shared_page();
    let child = t.spawn("family", |t| {
        t.attach(segment);
        t.shm_remove(segment).must();
        for place in [0, 4] {
            match process::fork() {
                Some(pid) => word(pids + place).store(pid as u32, SeqCst),
                None => Gate::new().pass(),
            }
        }
        t.tell(0);
        Gate::new().pass();
    });
    t.hear(&child, 1);
    t.everybody_sees(segment, 3);
    let others = [0, 4].map(|place| word(pids + place).load(SeqCst) as i32);
    (segment, child, others)
}

/// Waits until an orphan's memory is gone.
fn wait_dead(pid: i32) {
    crate::board::poll("an orphan dies", || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        (stat.is_empty() || stat.contains(") Z ") || stat.contains(") X ")).then_some(())
    });
}

fn removed_segment_goes_when_everybody_is_killed(t: &Stage) {
    let (segment, child, others) = family(t);
    for pid in others {
        process::kill(pid, SIGKILL).expect("to be killed");
        wait_dead(pid);
    }
    t.everybody_sees(segment, 1);
    t.kill(child);
    t.is_gone(segment);
    t.shmget(0x51, PAGE, 0).fails(ENOENT);
}

fn removed_segment_goes_when_everybody_is_killed_unreaped(t: &Stage) {
    let (segment, child, others) = family(t);
    t.signal(&child, SIGKILL);
    for pid in others {
        process::kill(pid, SIGKILL).expect("to be killed");
    }
    crate::lives::wait_unreaped(child.pid);
    others.into_iter().for_each(wait_dead);
    t.is_gone(segment);
    t.reap(child, Ending::Killed(SIGKILL));
}

fn removed_segment_of_a_dead_family_leaves_room(t: &Stage) {
    let (segment, child, others) = family(t);
    t.signal(&child, SIGKILL);
    for pid in others {
        process::kill(pid, SIGKILL).expect("to be killed");
    }
    t.reap(child, Ending::Killed(SIGKILL));
    others.into_iter().for_each(wait_dead);
    // The first to look is one who makes another.
    t.segment(PAGE);
    let (_, usage) = t.shm_usage(0).must();
    assert_eq!((usage.used_ids, usage.shm_tot), (1, 1));
    t.is_gone(segment);
}

/// When the segment is removed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Removal {
    BeforeFork,
    AfterFork,
    ByChild,
}

/// How the child lets go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Detach,
    Exit,
    Exec,
    Kill,
}

/// A parent and a forked child have a segment that is removed; one lets go, then the other.
fn in_order(t: &Stage, removal: Removal, way: Way, child_first: bool) {
    let segment = t.shmget(0x51, PAGE, IPC_CREAT | 0o600).must();
    let sign = t.segment(PAGE);
    let at = t.attach(segment);
    write_text(at, "shared");
    if removal == Removal::BeforeFork {
        t.shm_remove(segment).must();
    }
    let gate = Gate::new();
    let child = t.spawn("child", |t| {
        if removal == Removal::ByChild {
            t.shm_remove(segment).must();
        }
        t.tell(0);
        gate.pass();
        assert_eq!(text(at, 6), "shared");
        match way {
            Way::Detach => {
                t.detach(at);
                t.tell(0);
                Gate::new().pass();
            }
            Way::Exec => process::exec_self(&part("hold", &[&sign.0])),
            Way::Exit | Way::Kill => {}
        }
    });
    t.hear(&child, 1);
    if removal == Removal::AfterFork {
        t.shm_remove(segment).must();
    }
    t.everybody_sees(segment, 2);
    if !child_first {
        t.detach(at);
        t.everybody_sees(segment, 1);
    }
    lets_go(t, child, sign, gate, way, || {
        if child_first {
            t.everybody_sees(segment, 1);
            assert_eq!(peek(at), b's');
            t.detach(at);
        }
        t.is_gone(segment);
        t.shmget(0x51, 0, 0).fails(ENOENT);
    });
}

/// The child lets go, `look` looks, the child ends if it has not.
fn lets_go(t: &Stage, child: Child, sign: Segment, gate: Gate, way: Way, look: impl FnOnce()) {
    match way {
        Way::Exit => {
            gate.open();
            t.join(child);
            look();
        }
        Way::Kill => {
            t.kill(child);
            look();
        }
        Way::Detach => {
            gate.open();
            t.hear(&child, 2);
            look();
            t.kill(child);
        }
        Way::Exec => {
            gate.open();
            let at = t.attach(sign);
            crate::board::poll("the program runs", || {
                (word(at).load(SeqCst) == 1).then_some(())
            });
            look();
            t.kill(child);
        }
    }
}

fn removed_before_fork_then_parent_detaches_then_child_exits(t: &Stage) {
    in_order(t, Removal::BeforeFork, Way::Exit, false);
}

fn removed_before_fork_then_child_detaches_then_parent_detaches(t: &Stage) {
    in_order(t, Removal::BeforeFork, Way::Detach, true);
}

fn removed_before_fork_then_child_execs_then_parent_detaches(t: &Stage) {
    in_order(t, Removal::BeforeFork, Way::Exec, true);
}

fn removed_before_fork_then_parent_detaches_then_child_execs(t: &Stage) {
    in_order(t, Removal::BeforeFork, Way::Exec, false);
}

fn removed_before_fork_then_child_is_killed_then_parent_detaches(t: &Stage) {
    in_order(t, Removal::BeforeFork, Way::Kill, true);
}

fn removed_before_fork_then_parent_detaches_then_child_is_killed(t: &Stage) {
    in_order(t, Removal::BeforeFork, Way::Kill, false);
}

fn removed_by_the_child_then_child_exits_then_parent_detaches(t: &Stage) {
    in_order(t, Removal::ByChild, Way::Exit, true);
}

fn removed_by_the_child_then_parent_detaches_then_child_exits(t: &Stage) {
    in_order(t, Removal::ByChild, Way::Exit, false);
}

fn removed_by_the_child_then_child_is_killed_then_parent_detaches(t: &Stage) {
    in_order(t, Removal::ByChild, Way::Kill, true);
}

fn removed_by_the_child_then_parent_detaches_then_child_execs(t: &Stage) {
    in_order(t, Removal::ByChild, Way::Exec, false);
}

fn removed_after_fork_then_child_execs_then_parent_detaches(t: &Stage) {
    in_order(t, Removal::AfterFork, Way::Exec, true);
}

fn removed_after_fork_then_parent_detaches_then_child_is_killed(t: &Stage) {
    in_order(t, Removal::AfterFork, Way::Kill, false);
}

fn removed_after_the_attacher_died_is_gone_at_once(t: &Stage) {
    let segment = t.segment(PAGE);
    let child = t.spawn("child", |t| {
        t.attach(segment);
        t.tell(0);
        Gate::new().pass();
    });
    t.hear(&child, 1);
    t.kill(child);
    t.shm_remove(segment).must();
    t.is_gone(segment);
}

fn removed_after_the_attacher_execd_is_gone_at_once(t: &Stage) {
    let (segment, sign) = (t.segment(PAGE), t.segment(PAGE));
    let child = t.spawn("child", |t| {
        t.attach(segment);
        process::exec_self(&part("hold", &[&sign.0]))
    });
    crate::board::poll("the program runs", || {
        let mut ds = crate::shmcall::blank_ds();
        crate::shmcall::shmctl(sign.0, libc::IPC_STAT, &mut ds).ok()?;
        (ds.shm_nattch == 1).then_some(())
    });
    t.shm_remove(segment).must();
    t.is_gone(segment);
    t.kill(child);
}

fn removed_and_dead_before_anybody_looks(t: &Stage) {
    let child = t.spawn("child", |t| {
        for _ in 0..20 {
            let segment = t.segment(PAGE);
            t.attach(segment);
            t.shm_remove(segment).must();
        }
        t.tell(0);
        Gate::new().pass();
    });
    t.hear(&child, 1);
    assert_eq!(t.shm_usage(0).must().1.used_ids, 20);
    t.kill(child);
    let (_, usage) = t.shm_usage(0).must();
    assert_eq!((usage.used_ids, usage.shm_tot, usage.shm_rss), (0, 0, 0));
}
