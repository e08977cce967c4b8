//! Whose undo it is: threads, forks, execs, and who else shares a process's list.

use super::blocking::sleeper;
use super::undo::holder;
use crate::board::poll;
use crate::players::Gate;
use crate::process::{self, Ending};
use crate::programs::part;
use crate::scenarios::{Scenario, table};
use crate::sem::{Set, op};
use crate::semcall;
use crate::stage::Stage;
use libc::{GETNCNT, GETVAL};
use std::ffi::CString;

pub(super) const ALL: &[Scenario] = table![
    undo_is_not_inherited_by_fork,
    forked_child_has_undo_of_its_own,
    undo_of_a_parent_is_applied_while_its_child_lives,
    undo_of_a_thread_is_kept_when_it_ends,
    undo_of_threads_is_one_sum,
    undo_is_kept_until_the_last_thread_ends,
    undo_of_a_process_without_its_main_thread_is_applied_when_killed,
    undo_is_kept_across_exec,
    undo_goes_on_summing_after_exec,
    undo_of_a_thread_is_kept_across_exec,
    undo_is_applied_when_the_new_program_ends,
    exec_ends_the_waits_of_other_threads,
    exec_by_another_thread_keeps_undo,
    failed_exec_changes_no_undo,
    vforked_child_has_undo_of_its_own,
    vforked_child_operates_under_its_own_pid,
    vforked_child_that_execs_keeps_its_undo,
    vforked_child_may_sleep_in_semop,
    clone_that_shares_undo_keeps_it_until_both_end,
    clone_that_shares_undo_sums_with_its_parent,
    clone_that_shares_undo_outlives_its_parent,
    unshare_of_undo_applies_it_at_once,
    unshare_of_undo_begins_anew,
    unshare_of_undo_by_a_thread_leaves_the_others,
    process_id_in_pids_is_the_same_for_all_threads,
    raw_forked_child_undoes_its_own,
    daemonized_grandchild_undoes_its_own,
    closing_all_files_changes_no_undo,
];

fn value(set: Set) -> i32 {
    semcall::semctl(set.0, 0, GETVAL, 0).expect("a value")
}

fn undo_is_not_inherited_by_fork(t: &Stage) {
    let set = t.set_of(&[5]);
    t.semop(set, &[op(0, -2).undo()]).must();
    let child = t.spawn("child", |t| t.holds(set, &[3]));
    t.join(child);
    t.holds(set, &[3]);
}

fn forked_child_has_undo_of_its_own(t: &Stage) {
    let set = t.set_of(&[5]);
    t.semop(set, &[op(0, -2).undo()]).must();
    let child = t.spawn("child", |t| {
        t.semop(set, &[op(0, -1).undo()]).must();
        t.holds(set, &[2]);
    });
    t.join(child);
    t.holds(set, &[3]);
}

fn undo_of_a_parent_is_applied_while_its_child_lives(t: &Stage) {
    let set = t.set_of(&[5, 0]);
    let parent = t.spawn("parent", |t| {
        t.semop(set, &[op(0, -2).undo()]).must();
        if process::fork().is_none() {
            let waited = semcall::semop(set.0, &[op(1, -1)]);
            let said = semcall::semop(set.0, &[op(1, 5)]);
            process::exit_now(i32::from(waited.is_err() || said.is_err()));
        }
    });
    t.join(parent);
    t.holds(set, &[5, 0]);
    t.semop(set, &[op(1, 1)]).must();
    t.semop(set, &[op(1, -5)]).must();
    t.holds(set, &[5, 0]);
}

fn undo_of_a_thread_is_kept_when_it_ends(t: &Stage) {
    let set = t.set_of(&[5]);
    let child = t.spawn("child", |t| {
        let thread = t.thread("thread", move |t| t.semop(set, &[op(0, -2).undo()]).must());
        t.join_thread(thread);
        t.holds(set, &[3]);
        std::thread::sleep(std::time::Duration::from_millis(20));
        t.holds(set, &[3]);
    });
    t.join(child);
    t.holds(set, &[5]);
}

fn undo_of_threads_is_one_sum(t: &Stage) {
    let set = t.set_of(&[5]);
    let child = t.spawn("child", |t| {
        t.semop(set, &[op(0, -2).undo()]).must();
        let thread = t.thread("thread", move |t| t.semop(set, &[op(0, 2).undo()]).must());
        t.join_thread(thread);
        t.semop(set, &[op(0, 4)]).must();
    });
    t.join(child);
    t.holds(set, &[9]);
}

/// A child whose main thread takes two with undo and ends, while another thread waits at a gate.
fn headless(t: &Stage, set: Set, gate: Gate) -> crate::players::Child {
    let child = t.spawn("child", |t| {
        let _runs_on = std::thread::spawn(move || gate.pass());
        t.semop(set, &[op(0, -2).undo()]).must();
        process::end_this_thread();
    });
    poll("the main thread ends", || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.pid)).ok()?;
        status.contains("State:\tZ").then_some(())
    });
    child
}

fn undo_is_kept_until_the_last_thread_ends(t: &Stage) {
    let set = t.set_of(&[5]);
    let gate = Gate::new();
    let child = headless(t, set, gate);
    t.holds(set, &[3]);
    gate.open();
    t.join(child);
    t.holds(set, &[5]);
}

fn undo_of_a_process_without_its_main_thread_is_applied_when_killed(t: &Stage) {
    let set = t.set_of(&[5]);
    let child = headless(t, set, Gate::new());
    t.holds(set, &[3]);
    t.kill(child);
    t.holds(set, &[5]);
}

fn undo_is_kept_across_exec(t: &Stage) {
    let set = t.set_of(&[5]);
    let child = t.spawn("child", |t| {
        t.semop(set, &[op(0, -2).undo()]).must();
        process::exec_self(&part("semval", &[&set.0, &0, &3]))
    });
    t.join(child);
    t.holds(set, &[5]);
}

fn undo_goes_on_summing_after_exec(t: &Stage) {
    let set = t.set_of(&[5]);
    let child = t.spawn("child", |t| {
        t.semop(set, &[op(0, -2).undo()]).must();
        t.semop(set, &[op(0, 6)]).must();
        process::exec_self(&part("semop", &[&set.0, &0, &-1, &1]))
    });
    t.join(child);
    t.holds(set, &[11]);
}

fn undo_of_a_thread_is_kept_across_exec(t: &Stage) {
    let set = t.set_of(&[5]);
    let child = t.spawn("child", |t| {
        let thread = t.thread("thread", move |t| {
            t.semop(set, &[op(0, -2).undo()]).must();
            Gate::new().pass();
        });
        t.wait_returned(&thread, 1);
        process::exec_self(&part("semval", &[&set.0, &0, &3]))
    });
    t.join(child);
    t.holds(set, &[5]);
}

fn undo_is_applied_when_the_new_program_ends(t: &Stage) {
    let set = t.set_of(&[5]);
    t.run_part(&part("semop", &[&set.0, &0, &-1, &1]));
    t.holds(set, &[5]);
    t.run_part(&part("semop", &[&set.0, &0, &-1, &0]));
    t.holds(set, &[4]);
}

fn exec_ends_the_waits_of_other_threads(t: &Stage) {
    let set = t.set_of(&[0]);
    let child = t.spawn("child", |t| {
        let thread = t.thread("thread", move |t| t.semop(set, &[op(0, -1)]).must());
        t.wait_blocked(&thread);
        t.awaited(set, 0, 1, 0);
        process::exec_self(&part("semval", &[&set.0, &0, &0]))
    });
    t.join(child);
    t.awaited(set, 0, 0, 0);
    t.semop(set, &[op(0, 1)]).must();
    t.holds(set, &[1]);
}

fn exec_by_another_thread_keeps_undo(t: &Stage) {
    let set = t.set_of(&[5]);
    let child = t.spawn("child", |t| {
        t.semop(set, &[op(0, -2).undo()]).must();
        let thread = t.thread("thread", move |t| {
            t.semop(set, &[op(0, -1).undo()]).must();
            process::exec_self(&part("semval", &[&set.0, &0, &2]))
        });
        t.join_thread(thread);
    });
    t.join(child);
    t.holds(set, &[5]);
}

fn failed_exec_changes_no_undo(t: &Stage) {
    use std::os::unix::process::CommandExt;
    let set = t.set_of(&[5]);
    let child = t.spawn("child", |t| {
        t.semop(set, &[op(0, -2).undo()]).must();
        let error = std::process::Command::new("/proc/self/no-such-program").exec();
        t.say(error.kind());
        t.holds(set, &[3]);
    });
    t.join(child);
    t.holds(set, &[5]);
}

fn vforked_child_has_undo_of_its_own(t: &Stage) {
    let set = t.set_of(&[5]);
    t.semop(set, &[op(0, -1).undo()]).must();
    let ending = process::vforked(|| {
        let taken = semcall::semop(set.0, &[op(0, -2).undo()]);
        i32::from(taken.is_err() || semcall::semctl(set.0, 0, GETVAL, 0) != Ok(2))
    });
    assert_eq!(ending, Ending::Exited(0));
    t.holds(set, &[4]);
}

fn vforked_child_operates_under_its_own_pid(t: &Stage) {
    let set = t.set_of(&[5]);
    let mut pid = 0;
    let ending = process::vforked(|| {
        pid = process::own_pid();
        i32::from(semcall::semop(set.0, &[op(0, -2)]).is_err())
    });
    assert_eq!(ending, Ending::Exited(0));
    t.enlist(pid, "vforked child");
    assert_eq!(t.getpid(set, 0).must(), pid);
    t.semop(set, &[op(0, 1)]).must();
    assert_eq!(t.getpid(set, 0).must(), process::own_pid());
}

fn arguments(part: &[String]) -> Vec<CString> {
    let words = part.iter().map(String::as_str);
    std::iter::once("conformance")
        .chain(words)
        .map(|word| CString::new(word).expect("no NUL in it"))
        .collect()
}

fn vforked_child_that_execs_keeps_its_undo(t: &Stage) {
    let set = t.set_of(&[5]);
    let arguments = arguments(&part("semval", &[&set.0, &0, &3]));
    let ending = process::vforked(|| {
        if semcall::semop(set.0, &[op(0, -2).undo()]).is_err() {
            return 1;
        }
        process::exec_prepared(&arguments)
    });
    assert_eq!(ending, Ending::Exited(0));
    t.holds(set, &[5]);
}

fn vforked_child_may_sleep_in_semop(t: &Stage) {
    let set = t.set_of(&[0]);
    let waker = t.spawn("waker", |t| {
        poll("somebody sleeps", || {
            (semcall::semctl(set.0, 0, GETNCNT, 0) == Ok(1)).then_some(())
        });
        t.semop(set, &[op(0, 1)]).must();
    });
    let ending = process::vforked(|| i32::from(semcall::semop(set.0, &[op(0, -1)]).is_err()));
    assert_eq!(ending, Ending::Exited(0));
    t.join(waker);
    t.holds(set, &[0]);
}

fn clone_that_shares_undo_keeps_it_until_both_end(t: &Stage) {
    let set = t.set_of(&[5]);
    let parent = t.spawn("parent", |t| {
        let clone = t.spawn_by(process::fork_sharing_undo, "clone", |t| {
            t.semop(set, &[op(0, -2).undo()]).must();
        });
        t.join(clone);
        t.holds(set, &[3]);
    });
    t.join(parent);
    t.holds(set, &[5]);
}

fn clone_that_shares_undo_sums_with_its_parent(t: &Stage) {
    let set = t.set_of(&[5]);
    let parent = t.spawn("parent", |t| {
        t.semop(set, &[op(0, -2).undo()]).must();
        let clone = t.spawn_by(process::fork_sharing_undo, "clone", |t| {
            t.semop(set, &[op(0, 2).undo()]).must();
        });
        t.join(clone);
        t.semop(set, &[op(0, 1)]).must();
    });
    t.join(parent);
    t.holds(set, &[6]);
}

fn clone_that_shares_undo_outlives_its_parent(t: &Stage) {
    let set = t.set_of(&[5, 0]);
    let parent = t.spawn("parent", |t| {
        t.semop(set, &[op(0, -2).undo()]).must();
        if process::fork_sharing_undo().is_none() {
            let waited = semcall::semop(set.0, &[op(1, -1)]);
            process::exit_now(i32::from(waited.is_err()));
        }
    });
    t.join(parent);
    t.holds(set, &[3, 0]);
    t.semop(set, &[op(1, 1)]).must();
    poll("the clone ends", || (value(set) == 5).then_some(()));
    t.holds(set, &[5, 0]);
}

fn unshare_of_undo_applies_it_at_once(t: &Stage) {
    let set = t.set_of(&[5]);
    t.semop(set, &[op(0, -2).undo()]).must();
    process::unshare_undo();
    t.holds(set, &[5]);
    assert_eq!(t.getpid(set, 0).must(), process::own_pid());
}

fn unshare_of_undo_begins_anew(t: &Stage) {
    let set = t.set_of(&[5]);
    let child = t.spawn("child", |t| {
        t.semop(set, &[op(0, -2).undo()]).must();
        process::unshare_undo();
        t.semop(set, &[op(0, -1).undo()]).must();
        t.semop(set, &[op(0, 3)]).must();
    });
    t.join(child);
    t.holds(set, &[8]);
}

fn unshare_of_undo_by_a_thread_leaves_the_others(t: &Stage) {
    let set = t.set_of(&[9]);
    let child = t.spawn("child", |t| {
        t.semop(set, &[op(0, -2).undo()]).must();
        let thread = t.thread("thread", move |t| {
            t.semop(set, &[op(0, -1).undo()]).must();
            process::unshare_undo();
            t.holds(set, &[6]);
            t.semop(set, &[op(0, -4).undo()]).must();
            t.holds(set, &[2]);
        });
        t.join_thread(thread);
        // What the thread did since is undone as soon as it has ended, which is after its join.
        poll("the thread's own undo", || (value(set) == 6).then_some(()));
    });
    t.join(child);
    t.holds(set, &[9]);
}

fn process_id_in_pids_is_the_same_for_all_threads(t: &Stage) {
    let set = t.set_of(&[0]);
    let thread = t.thread("thread", move |t| {
        assert_ne!(process::own_tid(), process::own_pid());
        t.semop(set, &[op(0, 1)]).must();
    });
    t.join_thread(thread);
    assert_eq!(t.getpid(set, 0).must(), process::own_pid());
}

fn raw_forked_child_undoes_its_own(t: &Stage) {
    let set = t.set_of(&[5]);
    t.semop(set, &[op(0, -1).undo()]).must();
    let child = t.spawn_by(process::raw_fork, "child", |t| {
        t.semop(set, &[op(0, -2).undo()]).must();
        assert_eq!(t.getpid(set, 0).must(), process::own_pid());
    });
    t.join(child);
    t.holds(set, &[4]);
}

fn daemonized_grandchild_undoes_its_own(t: &Stage) {
    let set = t.set_of(&[5, 0, 0]);
    let child = t.spawn("child", |t| {
        t.semop(set, &[op(0, -1).undo()]).must();
        if process::fork().is_none() {
            process::new_session();
            process::close_all(0, 1023);
            let taken = semcall::semop(set.0, &[op(0, -2).undo(), op(1, 1)]);
            let waited = semcall::semop(set.0, &[op(2, -1)]);
            process::exit_now(i32::from(taken.is_err() || waited.is_err()));
        }
    });
    t.join(child);
    t.semop(set, &[op(1, -1)]).must();
    t.holds(set, &[3, 0, 0]);
    let last = sleeper(t, "last", set, &[op(0, -5)]);
    t.semop(set, &[op(2, 1)]).must();
    t.join(last);
    t.holds(set, &[0, 0, 0]);
}

fn closing_all_files_changes_no_undo(t: &Stage) {
    let set = t.set_of(&[5]);
    let child = t.spawn("child", |t| {
        t.semop(set, &[op(0, -1).undo()]).must();
        process::close_all(0, 1023);
        t.semop(set, &[op(0, -1).undo()]).must();
        t.holds(set, &[3]);
    });
    t.join(child);
    t.holds(set, &[5]);
    let child = holder(t, "holder", set, &[op(0, -1).undo()]);
    t.kill(child);
    t.holds(set, &[5]);
}
