//! The ends of processes: what they count, stamp and free.

use crate::mapping::{PAGE, peek, poke, word};
use crate::players::Gate;
use crate::process::{self, Ending};
use crate::scenarios::{Scenario, table};
use crate::shm::{ANYWHERE, Segment};
use crate::stage::Stage;
use libc::{IPC_CREAT, SIGABRT, SIGKILL, SIGSEGV, SIGTERM};
use std::sync::atomic::Ordering::SeqCst;

pub(super) const ALL: &[Scenario] = table![
    exit_detaches,
    exit_by_the_library_detaches,
    returning_through_several_attachments_detaches_all,
    death_by_sigkill_detaches,
    death_by_sigterm_detaches,
    death_by_abort_detaches,
    death_by_a_fault_detaches,
    death_is_counted_before_it_is_reaped,
    death_of_a_stopped_process_detaches,
    death_in_the_middle_of_attaching_and_detaching,
    death_stamps_time_and_pid,
    death_is_older_than_what_comes_after_it,
    stopped_process_stays_attached,
    orphan_stays_attached,
    process_that_closed_everything_stays_attached,
    process_of_another_user_is_counted needs_root,
    process_counted_by_another_user needs_root,
    process_of_another_user_dies_uncounted needs_root,
    process_in_another_root_directory_is_counted needs_root,
    process_in_another_session_is_counted,
    process_not_dumpable_is_counted,
];

/// A child that attaches twice, tells, waits, and ends by `end`.
fn ends(t: &Stage, end: fn(), expected: Ending) {
    let segment = t.segment(PAGE);
    let gate = Gate::new();
    let child = t.spawn("child", |t| {
        t.attach(segment);
        t.attach(segment);
        t.tell(0);
        gate.pass();
        end();
    });
    t.hear(&child, 1);
    t.everybody_sees(segment, 2);
    gate.open();
    let pid = child.pid;
    t.reap(child, expected);
    t.everybody_sees(segment, 0);
    let stat = t.shm_stat(segment).must();
    assert_eq!(stat.lpid, pid);
    assert_ne!(stat.dtime, 0);
}

fn raise(signal: i32) {
    process::kill(process::own_pid(), signal).expect("a signal to myself");
    crate::board::poll("the signal ends us", || None::<()>);
}

/// What broke: the dead one's pid was stamped when somebody looked, over that of who came between.
fn death_is_older_than_what_comes_after_it(t: &Stage) {
    let segment = t.segment(2 * PAGE);
    let dies = || {
        let child = t.spawn("child", |t| {
            t.attach(segment);
        });
        t.join(child);
    };
    let used_by_us = || assert_eq!(t.shm_stat(segment).must().lpid, process::own_pid(), "lpid");
    dies();
    let at = t.attach(segment);
    used_by_us();
    dies();
    t.munmap(at + PAGE, PAGE).must();
    used_by_us();
    dies();
    t.detach(at);
    used_by_us();
}

fn exit_detaches(t: &Stage) {
    ends(t, || process::exit_now(3), Ending::Exited(3));
}

fn exit_by_the_library_detaches(t: &Stage) {
    ends(t, || crate::lives::exit_by_library(4), Ending::Exited(4));
}

fn returning_through_several_attachments_detaches_all(t: &Stage) {
    let segments: Vec<Segment> = (0..10).map(|_| t.segment(PAGE)).collect();
    let child = t.spawn("child", |t| {
        for &segment in &segments {
            t.attach(segment);
            t.attach(segment);
        }
    });
    t.join(child);
    for &segment in &segments {
        t.everybody_sees(segment, 0);
    }
}

fn death_by_sigkill_detaches(t: &Stage) {
    ends(t, || raise(SIGKILL), Ending::Killed(SIGKILL));
}

fn death_by_sigterm_detaches(t: &Stage) {
    ends(t, || raise(SIGTERM), Ending::Killed(SIGTERM));
}

fn death_by_abort_detaches(t: &Stage) {
    crate::mapping::limit_resource(libc::RLIMIT_CORE, 0);
    ends(t, || std::process::abort(), Ending::Killed(SIGABRT));
}

fn death_by_a_fault_detaches(t: &Stage) {
    crate::mapping::limit_resource(libc::RLIMIT_CORE, 0);
    ends(t, || poke(64, 1), Ending::Killed(SIGSEGV));
}

fn death_is_counted_before_it_is_reaped(t: &Stage) {
    let segment = t.segment(PAGE);
    t.attach(segment);
    let child = t.spawn("child", |_| Gate::new().pass());
    t.attached(segment, 2);
    t.signal(&child, SIGKILL);
    crate::lives::wait_unreaped(child.pid);
    // A zombie: its pid is taken still, its memory is gone.
    t.everybody_sees(segment, 1);
    t.shm_remove(segment).must();
    t.everybody_sees(segment, 1);
    t.reap(child, Ending::Killed(SIGKILL));
    t.everybody_sees(segment, 1);
}

fn death_of_a_stopped_process_detaches(t: &Stage) {
    let segment = t.segment(PAGE);
    t.attach(segment);
    let child = t.spawn("child", |_| Gate::new().pass());
    t.stop(&child);
    t.everybody_sees(segment, 2);
    t.kill(child);
    t.everybody_sees(segment, 1);
}

fn death_in_the_middle_of_attaching_and_detaching(t: &Stage) {
    let segment = t.segment(PAGE);
    let watch = t.attach(segment);
    for _ in 0..30 {
        let child = t.spawn("hammerer", |t| {
            t.tell(0);
            loop {
                let at = crate::shmcall::shmat(segment.0, ANYWHERE, 0).expect("to attach");
                word(at).fetch_add(1, SeqCst);
                crate::shmcall::shmdt(at).expect("to detach");
            }
        });
        t.hear(&child, 1);
        let before = word(watch).load(SeqCst);
        crate::board::poll("the hammerer is at it", || {
            (word(watch).load(SeqCst) > before + 10).then_some(())
        });
        t.kill(child);
        t.attached(segment, 1);
    }
    t.shm_remove(segment).must();
    t.detach(watch);
    t.is_gone(segment);
}

fn death_stamps_time_and_pid(t: &Stage) {
    let segment = t.segment(PAGE);
    let at = t.attach(segment);
    t.detach(at);
    let before = t.shm_stat(segment).must();
    let gate = Gate::new();
    let child = t.spawn("child", |t| {
        t.attach(segment);
        t.tell(0);
        gate.pass();
    });
    t.hear(&child, 1);
    t.next_second();
    let pid = child.pid;
    t.kill(child);
    let stat = t.shm_stat(segment).must();
    assert_eq!((stat.lpid, stat.ctime), (pid, before.ctime));
    assert!(stat.dtime > before.dtime && stat.dtime > stat.atime);
}

fn stopped_process_stays_attached(t: &Stage) {
    let segment = t.segment(PAGE);
    t.attach(segment);
    let child = t.spawn("child", |_| Gate::new().pass());
    t.stop(&child);
    t.shm_remove(segment).must();
    t.everybody_sees(segment, 2);
    t.kill(child);
    t.everybody_sees(segment, 1);
}

fn orphan_stays_attached(t: &Stage) {
    let segment = t.segment(PAGE);
    let watch = t.attach(segment);
    let child = t.spawn("child", |_| {
        if process::fork().is_none() {
            let done = crate::mapping::word(watch);
            while done.load(SeqCst) == 0 {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            process::exit_now(0);
        }
    });
    t.join(child);
    t.everybody_sees(segment, 2);
    word(watch).store(1, SeqCst);
    crate::board::poll("the orphan has gone", || {
        let mut ds = crate::shmcall::blank_ds();
        crate::shmcall::shmctl(segment.0, libc::IPC_STAT, &mut ds).ok()?;
        (ds.shm_nattch == 1).then_some(())
    });
    t.everybody_sees(segment, 1);
}

/// A child does `change`, and is counted after it, until it dies.
fn counted_after(t: &Stage, mode: i32, change: fn()) {
    let segment = t.shmget(1, PAGE, IPC_CREAT | mode).must();
    let gate = Gate::new();
    let child = t.spawn("child", |t| {
        let at = t.attach(segment);
        change();
        t.tell(0);
        gate.pass();
        poke(at, 8);
    });
    t.hear(&child, 1);
    t.everybody_sees(segment, 1);
    t.shm_remove(segment).must();
    t.everybody_sees(segment, 1);
    gate.open();
    t.join(child);
    t.is_gone(segment);
}

fn process_that_closed_everything_stays_attached(t: &Stage) {
    counted_after(t, 0o600, || process::close_all(0, 64));
}

fn process_of_another_user_is_counted(t: &Stage) {
    counted_after(t, 0o600, || process::become_user(1000, 1000, &[]));
}

fn process_counted_by_another_user(t: &Stage) {
    let segment = t.shmget(1, PAGE, IPC_CREAT | 0o644).must();
    let at = t.attach(segment);
    poke(at, 3);
    let child = t.spawn("user", |t| {
        let own = t.shmat(segment, ANYWHERE, 0).must();
        process::become_user(1000, 1000, &[]);
        t.everybody_sees(segment, 3);
        t.detach(own);
        t.everybody_sees(segment, 2);
        t.detach(at);
        // Only root's own is left, whose maps this user may not read.
        t.everybody_sees(segment, 1);
        let again = t.shmat(segment, ANYWHERE, crate::shm::SHM_RDONLY).must();
        assert_eq!(peek(again), 3);
    });
    t.join(child);
    t.everybody_sees(segment, 1);
}

fn process_of_another_user_dies_uncounted(t: &Stage) {
    let segment = t.shmget(1, PAGE, IPC_CREAT | 0o644).must();
    let roots = t.spawn("root's", |t| {
        t.attach(segment);
        t.tell(0);
        Gate::new().pass();
    });
    t.hear(&roots, 1);
    let gate = Gate::new();
    let user = t.spawn("user", |t| {
        process::become_user(1000, 1000, &[]);
        t.everybody_sees(segment, 1);
        t.tell(0);
        gate.pass();
        t.everybody_sees(segment, 0);
    });
    t.hear(&user, 1);
    t.kill(roots);
    gate.open();
    t.join(user);
}

fn process_in_another_root_directory_is_counted(t: &Stage) {
    counted_after(t, 0o600, || {
        process::change_root(std::path::Path::new("/proc"));
    });
}

fn process_in_another_session_is_counted(t: &Stage) {
    counted_after(t, 0o600, process::new_session);
}

fn process_not_dumpable_is_counted(t: &Stage) {
    counted_after(t, 0o600, crate::lives::hide_from_others);
}
