//! Attachments and counts over fork, vfork and exec.

use crate::mapping::{PAGE, peek, poke, text, word, write_text};
use crate::players::Gate;
use crate::process::{self, Ending};
use crate::programs::part;
use crate::scenarios::{Scenario, table};
use crate::shm::{ANYWHERE, Segment};
use crate::shmcall;
use crate::stage::Stage;
use std::ffi::CString;
use std::sync::atomic::Ordering::SeqCst;

pub(super) const ALL: &[Scenario] = table![
    attaching_stamps_time_and_pid,
    detaching_stamps_time_and_pid,
    attaching_leaves_the_other_stamps,
    forking_counts_the_childs_attachments,
    forking_counts_every_attachment_of_the_child,
    forking_stamps_the_parents_pid,
    forking_behind_the_library_counts_too,
    forking_a_tree_counts_every_process,
    forked_child_shares_the_bytes,
    forked_child_that_detaches_leaves_a_stamp,
    forked_child_attaches_on_its_own,
    vforked_child_counts_for_nothing,
    vforked_child_attaches_for_its_parent,
    vforked_child_detaches_for_its_parent,
    vforked_child_that_execs_leaves_the_parents_attachment,
    exec_detaches,
    exec_of_the_last_attacher_of_a_removed_segment_frees_it,
    exec_then_attach_counts_once,
    spawned_program_counts_for_nothing,
    spawned_program_sees_the_bytes,
    spawned_program_is_counted_while_it_lives,
    child_beside_its_parent_in_one_memory_counts_for_nothing,
    attachment_not_for_children_is_not_counted_in_them,
    attachment_outlives_the_thread_that_made_it,
    attachment_outlives_the_first_thread,
    attachment_outlives_the_first_thread_of_a_removed_segment,
];

fn attaching_stamps_time_and_pid(t: &Stage) {
    let segment = t.segment(PAGE);
    let new = t.shm_stat(segment).must();
    assert_eq!((new.atime, new.dtime, new.lpid, new.nattch), (0, 0, 0, 0));
    assert_eq!(new.cpid, process::own_pid());
    t.attach(segment);
    let stat = t.shm_stat(segment).must();
    assert_ne!(stat.atime, 0);
    assert_eq!((stat.dtime, stat.lpid), (0, process::own_pid()));
    assert_eq!(stat.ctime, new.ctime);
}

fn detaching_stamps_time_and_pid(t: &Stage) {
    let segment = t.segment(PAGE);
    let at = t.attach(segment);
    let before = t.shm_stat(segment).must();
    t.next_second();
    let child = t.spawn("child", |t| t.detach(at));
    let pid = child.pid;
    t.join(child);
    let after = t.shm_stat(segment).must();
    assert_eq!((after.lpid, after.ctime), (pid, before.ctime));
    assert!(after.dtime > before.atime);
}

fn attaching_leaves_the_other_stamps(t: &Stage) {
    let segment = t.segment(PAGE);
    let at = t.attach(segment);
    t.detach(at);
    let before = t.shm_stat(segment).must();
    t.next_second();
    t.attach(segment);
    let after = t.shm_stat(segment).must();
    assert!(after.atime > before.atime);
    assert_eq!((after.dtime, after.ctime), (before.dtime, before.ctime));
}

fn forking_counts_the_childs_attachments(t: &Stage) {
    let segment = t.segment(PAGE);
    t.attach(segment);
    let gate = Gate::new();
    let child = t.spawn("child", |t| {
        t.everybody_sees(segment, 2);
        gate.pass();
    });
    t.everybody_sees(segment, 2);
    gate.open();
    t.join(child);
    t.everybody_sees(segment, 1);
}

fn forking_counts_every_attachment_of_the_child(t: &Stage) {
    let (one, two) = (t.segment(PAGE), t.segment(PAGE));
    for _ in 0..3 {
        t.attach(one);
    }
    t.attach(two);
    let child = t.spawn("child", |t| {
        t.attached(one, 6);
        t.attached(two, 2);
    });
    t.join(child);
    t.everybody_sees(one, 3);
    t.everybody_sees(two, 1);
}

fn forking_stamps_the_parents_pid(t: &Stage) {
    let segment = t.segment(PAGE);
    let at = t.attach(segment);
    let child = t.spawn("attacher", |t| {
        let own = t.attach(segment);
        t.detach(own);
    });
    let pid = child.pid;
    t.join(child);
    let before = t.shm_stat(segment).must();
    assert_eq!((before.lpid, before.nattch), (pid, 1));
    t.next_second();
    let gate = Gate::new();
    let child = t.spawn("child", |_| gate.pass());
    let after = t.shm_stat(segment).must();
    assert_eq!((after.lpid, after.nattch), (process::own_pid(), 2));
    assert!(after.atime > before.atime, "a fork is an attach");
    gate.open();
    t.join(child);
    poke(at, 1);
}

fn forking_behind_the_library_counts_too(t: &Stage) {
    let segment = t.segment(PAGE);
    let at = t.attach(segment);
    let child = t.spawn_by(process::raw_fork, "child", |t| {
        t.attached(segment, 2);
        t.detach(at);
        t.attached(segment, 1);
    });
    t.join(child);
    t.everybody_sees(segment, 1);
}

fn forking_a_tree_counts_every_process(t: &Stage) {
    let segment = t.segment(PAGE);
    t.attach(segment);
    let child = t.spawn("child", |t| {
        let grandchild = t.spawn("grandchild", |t| {
            let great = t.spawn("great-grandchild", |t| t.attached(segment, 4));
            t.join(great);
            t.attached(segment, 3);
        });
        t.join(grandchild);
        t.attached(segment, 2);
    });
    t.join(child);
    t.everybody_sees(segment, 1);
}

fn forked_child_shares_the_bytes(t: &Stage) {
    let segment = t.segment(PAGE);
    let at = t.attach(segment);
    write_text(at, "before");
    let child = t.spawn("child", |_| {
        assert_eq!(text(at, 6), "before");
        write_text(at, "after ");
    });
    t.join(child);
    assert_eq!(text(at, 6), "after ");
}

fn forked_child_that_detaches_leaves_a_stamp(t: &Stage) {
    let segment = t.segment(PAGE);
    t.attach(segment);
    assert_eq!(t.shm_stat(segment).must().dtime, 0);
    let child = t.spawn("child", |_| {});
    let pid = child.pid;
    t.join(child);
    // Its end is a detach, in its own name.
    let stat = t.shm_stat(segment).must();
    assert_eq!((stat.lpid, stat.nattch), (pid, 1));
    assert_ne!(stat.dtime, 0);
}

fn forked_child_attaches_on_its_own(t: &Stage) {
    let segment = t.segment(PAGE);
    let gate = Gate::new();
    let child = t.spawn("child", |t| {
        let at = t.attach(segment);
        write_text(at, "child's");
        t.tell(0);
        gate.pass();
    });
    t.hear(&child, 1);
    t.everybody_sees(segment, 1);
    assert_eq!(t.shm_stat(segment).must().lpid, child.pid);
    let at = t.attach(segment);
    assert_eq!(text(at, 7), "child's");
    t.everybody_sees(segment, 2);
    gate.open();
    t.join(child);
    t.everybody_sees(segment, 1);
}

/// `nattch` without allocating: fit for a vforked child.
fn nattch(segment: Segment) -> u64 {
    let mut ds = shmcall::blank_ds();
    shmcall::shmctl(segment.0, libc::IPC_STAT, &mut ds).map_or(u64::MAX, |_| ds.shm_nattch)
}

fn vforked_child_counts_for_nothing(t: &Stage) {
    let segment = t.segment(PAGE);
    t.attach(segment);
    let mut seen = 0;
    let ending = process::vforked(|| {
        seen = nattch(segment);
        0
    });
    assert_eq!((ending, seen), (Ending::Exited(0), 1));
    t.everybody_sees(segment, 1);
    let stat = t.shm_stat(segment).must();
    assert_eq!((stat.dtime, stat.lpid), (0, process::own_pid()));
}

fn vforked_child_attaches_for_its_parent(t: &Stage) {
    let segment = t.segment(PAGE);
    let (mut at, mut pid) = (0, 0);
    let ending = process::vforked(|| {
        pid = process::own_pid();
        at = shmcall::shmat(segment.0, ANYWHERE, 0).unwrap_or(0);
        0
    });
    t.enlist(pid, "vforked child");
    assert_eq!(ending, Ending::Exited(0));
    poke(at, 1);
    t.everybody_sees(segment, 1);
    assert_eq!(t.shm_stat(segment).must().lpid, pid);
    t.detach(at);
    t.everybody_sees(segment, 0);
}

fn vforked_child_detaches_for_its_parent(t: &Stage) {
    let segment = t.segment(PAGE);
    let at = t.attach(segment);
    let mut pid = 0;
    let ending = process::vforked(|| {
        pid = process::own_pid();
        shmcall::shmdt(at).map_or(1, |()| 0)
    });
    t.enlist(pid, "vforked child");
    assert_eq!(ending, Ending::Exited(0));
    t.everybody_sees(segment, 0);
    assert_eq!(t.shm_stat(segment).must().lpid, pid);
    t.shmdt(at).fails(libc::EINVAL);
}

fn vforked_child_that_execs_leaves_the_parents_attachment(t: &Stage) {
    let segment = t.segment(PAGE);
    let at = t.attach(segment);
    write_text(at, "kept");
    let mut arguments = vec![c"conformance".to_owned()];
    for argument in part("nattch", &[&segment.0, &1]) {
        arguments.push(CString::new(argument).expect("no NUL in it"));
    }
    let ending = process::vforked(|| process::exec_prepared(&arguments));
    assert_eq!(ending, Ending::Exited(0));
    t.everybody_sees(segment, 1);
    assert_eq!(text(at, 4), "kept");
}

fn exec_detaches(t: &Stage) {
    let segment = t.segment(PAGE);
    t.attach(segment);
    let child = t.spawn("child", |t| {
        t.attached(segment, 2);
        process::exec_self(&part("nattch", &[&segment.0, &1]))
    });
    let pid = child.pid;
    t.join(child);
    t.everybody_sees(segment, 1);
    assert_eq!(t.shm_stat(segment).must().lpid, pid);
}

fn exec_of_the_last_attacher_of_a_removed_segment_frees_it(t: &Stage) {
    let segment = t.segment(PAGE);
    let gate = Gate::new();
    let other = t.segment(PAGE);
    let child = t.spawn("child", |t| {
        t.attach(segment);
        t.shm_remove(segment).must();
        t.tell(0);
        gate.pass();
        process::exec_self(&part("hold", &[&other.0]))
    });
    t.hear(&child, 1);
    t.attached(segment, 1);
    let at = t.attach(other);
    gate.open();
    crate::board::poll("the program holds the other segment", || {
        (word(at).load(SeqCst) == 1).then_some(())
    });
    t.is_gone(segment);
    word(at + 4).store(1, SeqCst);
    t.join(child);
}

fn exec_then_attach_counts_once(t: &Stage) {
    let segment = t.segment(PAGE);
    let at = t.attach(segment);
    let child = t.spawn("child", |t| {
        t.attach(segment);
        process::exec_self(&part("hold", &[&segment.0]))
    });
    crate::board::poll("the program holds the segment", || {
        (word(at).load(SeqCst) == 1).then_some(())
    });
    t.everybody_sees(segment, 2);
    assert_eq!(t.shm_stat(segment).must().lpid, child.pid);
    word(at + 4).store(1, SeqCst);
    t.join(child);
    t.everybody_sees(segment, 1);
}

fn spawned_program_counts_for_nothing(t: &Stage) {
    let segment = t.segment(PAGE);
    t.attach(segment);
    t.run_part(&part("nattch", &[&segment.0, &1]));
    t.everybody_sees(segment, 1);
}

fn spawned_program_sees_the_bytes(t: &Stage) {
    let segment = t.segment(PAGE);
    let at = t.attach(segment);
    write_text(at, "to the program");
    t.run_part(&part("attach", &[&segment.0, &"to the program"]));
    t.everybody_sees(segment, 1);
    t.run_part(&part("attach-detach", &[&segment.0, &"to the program"]));
    t.everybody_sees(segment, 1);
}

fn spawned_program_is_counted_while_it_lives(t: &Stage) {
    let segment = t.segment(PAGE);
    let at = t.attach(segment);
    let child = t.spawn("child", |_| {
        process::exec_self(&part("hold", &[&segment.0]))
    });
    crate::board::poll("the program holds the segment", || {
        (word(at).load(SeqCst) == 1).then_some(())
    });
    t.everybody_sees(segment, 2);
    t.kill(child);
    t.everybody_sees(segment, 1);
}

static BESIDE: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);

fn child_beside_its_parent_in_one_memory_counts_for_nothing(t: &Stage) {
    extern "C" fn play(_: *mut libc::c_void) -> i32 {
        while BESIDE.load(SeqCst) == 0 {
            std::hint::spin_loop();
        }
        0
    }
    let segment = t.segment(PAGE);
    let at = t.attach(segment);
    let pid = crate::lives::beside(play);
    t.everybody_sees(segment, 1);
    // What one attaches or detaches, both do.
    let second = t.attach(segment);
    t.everybody_sees(segment, 2);
    t.detach(at);
    t.everybody_sees(segment, 1);
    BESIDE.store(1, SeqCst);
    assert_eq!(process::wait(pid, 0), Ok(Some((pid, Ending::Exited(0)))));
    t.everybody_sees(segment, 1);
    poke(second, 1);
}

fn attachment_not_for_children_is_not_counted_in_them(t: &Stage) {
    let segment = t.segment(PAGE);
    let at = t.attach(segment);
    t.madvise(at, PAGE, libc::MADV_DONTFORK).must();
    let child = t.spawn("child", |t| {
        t.attached(segment, 1);
        t.shmdt(at).fails(libc::EINVAL);
    });
    t.join(child);
    t.madvise(at, PAGE, libc::MADV_DOFORK).must();
    let child = t.spawn("child", |t| t.attached(segment, 2));
    t.join(child);
}

fn attachment_outlives_the_thread_that_made_it(t: &Stage) {
    let segment = t.segment(PAGE);
    t.shm_remove(segment).must();
    let segment = t.segment(PAGE);
    let thread = t.thread("attacher", move |t| t.tell(t.attach(segment) as i64));
    let at = t.hear(&thread, 1) as usize;
    t.join_thread(thread);
    t.shm_remove(segment).must();
    t.everybody_sees(segment, 1);
    poke(at, 4);
    assert_eq!(peek(at), 4);
}

/// A child whose first thread ends while another one lives on.
fn without_first_thread(t: &Stage, removed: bool) {
    let segment = t.segment(PAGE);
    let watch = t.attach(segment);
    let child = t.spawn("child", |t| {
        t.attach(segment);
        let _alone = std::thread::spawn(move || {
            crate::board::poll("the second word says to go", || {
                (word(watch + 4).load(SeqCst) != 0).then_some(())
            });
            process::exit_now(0);
        });
        crate::lives::exit_thread()
    });
    let pid = child.pid;
    crate::board::poll("the first thread is a zombie", || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.contains(") Z ").then_some(())
    });
    t.everybody_sees(segment, 3);
    if removed {
        t.shm_remove(segment).must();
        t.everybody_sees(segment, 3);
    }
    word(watch + 4).store(1, SeqCst);
    t.join(child);
    t.everybody_sees(segment, 1);
    t.detach(watch);
    if removed {
        t.is_gone(segment);
    }
}

fn attachment_outlives_the_first_thread(t: &Stage) {
    without_first_thread(t, false);
}

fn attachment_outlives_the_first_thread_of_a_removed_segment(t: &Stage) {
    without_first_thread(t, true);
}
