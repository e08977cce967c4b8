//! fork, vfork, exec and threads: ids are the system's, not the process's.

use crate::call;
use crate::players::Gate;
use crate::process::{self, Ending};
use crate::programs::part;
use crate::scenarios::{Scenario, table};
use crate::stage::Stage;
use libc::{IPC_CREAT, IPC_NOWAIT};
use std::ffi::CString;

pub(super) const ALL: &[Scenario] = table![
    child_uses_its_parents_queue,
    parent_and_child_talk_both_ways,
    child_sends_under_its_own_pid,
    raw_forked_child_sends_under_its_own_pid,
    grandchild_sends_under_its_own_pid,
    vforked_child_sends_under_its_own_pid,
    vforked_child_that_execs_uses_the_queue,
    program_started_by_exec_uses_the_queue,
    exec_keeps_the_pid_of_later_sends,
    spawned_program_uses_the_queue,
    spawned_program_finds_the_key,
    exec_of_a_process_that_never_used_queues,
    child_removes_its_parents_queue,
    many_children_send_at_once,
    many_children_receive_at_once,
    order_of_each_sender_is_kept,
    killed_hammerers_leave_the_queue_sound,
    closing_all_files_changes_nothing,
    closing_all_files_before_the_first_call_changes_nothing,
    daemon_child_keeps_using_the_queue,
    changing_directory_changes_nothing,
    changing_root_changes_nothing needs_root,
];

fn child_uses_its_parents_queue(t: &Stage) {
    let queue = t.private();
    t.put(queue, 1, "for the child");
    let child = t.spawn("child", |t| {
        assert_eq!(t.take(queue, 0), "for the child");
        t.stat(queue).must();
    });
    t.join(child);
    t.is_empty(queue);
}

fn parent_and_child_talk_both_ways(t: &Stage) {
    let queue = t.private();
    let child = t.spawn("child", |t| {
        for round in 0..3 {
            let question = t.recv(queue, 100, 1, 0).must();
            assert_eq!(question.text, format!("question {round}").as_bytes());
            t.send(queue, 2, format!("answer {round}"), 0).must();
        }
    });
    for round in 0..3 {
        t.send(queue, 1, format!("question {round}"), 0).must();
        let answer = t.recv(queue, 100, 2, 0).must();
        assert_eq!(answer.text, format!("answer {round}").as_bytes());
    }
    t.join(child);
}

/// A child made by `fork` stamps the queue with its own pid, and its parent with its.
fn pids_are_right(t: &Stage, fork: fn() -> Option<i32>) {
    let queue = t.private();
    t.put(queue, 1, "parent's");
    let child = t.spawn_by(fork, "child", |t| {
        t.put(queue, 1, "child's");
        assert_eq!(t.stat(queue).must().lspid, process::own_pid());
        t.take(queue, 0);
        assert_eq!(t.stat(queue).must().lrpid, process::own_pid());
    });
    let pid = child.pid;
    t.join(child);
    let stat = t.stat(queue).must();
    assert_eq!((stat.lspid, stat.lrpid), (pid, pid));
    t.take(queue, 0);
    t.put(queue, 1, "parent's");
    let stat = t.stat(queue).must();
    assert_eq!(
        (stat.lspid, stat.lrpid),
        (process::own_pid(), process::own_pid())
    );
}

fn child_sends_under_its_own_pid(t: &Stage) {
    pids_are_right(t, process::fork);
}

fn raw_forked_child_sends_under_its_own_pid(t: &Stage) {
    pids_are_right(t, process::raw_fork);
}

fn grandchild_sends_under_its_own_pid(t: &Stage) {
    let queue = t.private();
    t.put(queue, 1, "x");
    let child = t.spawn("child", |t| {
        let grandchild = t.spawn("grandchild", |t| t.put(queue, 1, "y"));
        let pid = grandchild.pid;
        t.join(grandchild);
        assert_eq!(t.stat(queue).must().lspid, pid);
        t.put(queue, 1, "z");
        assert_eq!(t.stat(queue).must().lspid, process::own_pid());
    });
    t.join(child);
}

fn vforked_child_sends_under_its_own_pid(t: &Stage) {
    let queue = t.private();
    t.put(queue, 1, "parent's");
    let mut pid = 0;
    let ending = process::vforked(|| {
        pid = process::own_pid();
        call::send_word(queue.0, 2, 1, IPC_NOWAIT).map_or(1, |()| 0)
    });
    assert_eq!(ending, Ending::Exited(0));
    t.enlist(pid, "vforked child");
    assert_eq!(t.stat(queue).must().lspid, pid);
    t.put(queue, 1, "parent's");
    assert_eq!(t.stat(queue).must().lspid, process::own_pid());
}

fn vforked_child_that_execs_uses_the_queue(t: &Stage) {
    let queue = t.private();
    t.put(queue, 3, "handed down");
    let mut arguments = vec![c"conformance".to_owned()];
    for argument in part("receive", &[&queue.0, &3, &"handed down"]) {
        arguments.push(CString::new(argument).expect("no NUL in it"));
    }
    let ending = process::vforked(|| process::exec_prepared(&arguments));
    assert_eq!(ending, Ending::Exited(0));
    t.is_empty(queue);
    t.put(queue, 1, "parent's");
    assert_eq!(t.stat(queue).must().lspid, process::own_pid());
}

fn program_started_by_exec_uses_the_queue(t: &Stage) {
    let queue = t.private();
    let child = t.spawn("child", |t| {
        t.put(queue, 5, "before exec");
        process::exec_self(&part("receive", &[&queue.0, &5, &"before exec"]))
    });
    t.join(child);
    t.is_empty(queue);
}

fn exec_keeps_the_pid_of_later_sends(t: &Stage) {
    let queue = t.private();
    let child = t.spawn("child", |_| {
        process::exec_self(&part("send", &[&queue.0, &5, &"after"]))
    });
    let pid = child.pid;
    t.join(child);
    assert_eq!(t.stat(queue).must().lspid, pid);
    assert_eq!(t.take(queue, 5), "after");
}

fn spawned_program_uses_the_queue(t: &Stage) {
    let queue = t.private();
    t.put(queue, 5, "to the program");
    t.run_part(&part("receive", &[&queue.0, &5, &"to the program"]));
    t.run_part(&part("send", &[&queue.0, &6, &"from the program"]));
    assert_eq!(t.take(queue, 0), "from the program");
}

fn spawned_program_finds_the_key(t: &Stage) {
    let queue = t.get(0x1234, IPC_CREAT | 0o600).must();
    t.run_part(&part("get", &[&0x1234, &queue.0]));
    let negative = t.get(-5, IPC_CREAT | 0o600).must();
    t.run_part(&part("get", &[&-5, &negative.0]));
}

fn exec_of_a_process_that_never_used_queues(t: &Stage) {
    let child = t.spawn("maker", |t| {
        let queue = t.get(0x1234, IPC_CREAT | 0o600).must();
        t.tell(queue.0.into());
    });
    let id = t.hear(&child, 1);
    t.join(child);
    t.run_part(&part("send", &[&id, &1, &"hello"]));
    t.run_part(&part("receive", &[&id, &1, &"hello"]));
}

fn child_removes_its_parents_queue(t: &Stage) {
    let queue = t.private();
    t.put(queue, 1, "x");
    let child = t.spawn("child", |t| t.remove(queue).must());
    t.join(child);
    t.send(queue, 1, "x", IPC_NOWAIT).fails(libc::EINVAL);
}

const PLAYERS: u64 = 6;
const ROUNDS: u64 = 300;

fn many_children_send_at_once(t: &Stage) {
    let queue = t.private();
    let gate = Gate::new();
    let children = [0, 1, 2, 3, 4, 5].map(|player| {
        t.spawn("sender", |_| {
            gate.pass();
            for round in 0..ROUNDS {
                call::send_word(queue.0, 1, player * ROUNDS + round, 0).expect("to be sent");
            }
        })
    });
    gate.open();
    let mut words: Vec<u64> = (0..PLAYERS * ROUNDS)
        .map(|_| call::receive_word(queue.0, 1, 0).expect("a message").1)
        .collect();
    children.into_iter().for_each(|child| t.join(child));
    words.sort_unstable();
    assert!(
        words.into_iter().eq(0..PLAYERS * ROUNDS),
        "each arrives once"
    );
    t.is_empty(queue);
}

fn many_children_receive_at_once(t: &Stage) {
    let queue = t.private();
    let children = [0, 1, 2, 3, 4, 5].map(|_| {
        t.spawn("receiver", |t| {
            let mut sum = 0;
            for _ in 0..ROUNDS {
                sum += call::receive_word(queue.0, 1, 0).expect("a message").1 as i64;
            }
            t.tell(sum);
        })
    });
    for word in 0..PLAYERS * ROUNDS {
        call::send_word(queue.0, 1, word, 0).expect("to be sent");
    }
    let sum: i64 = children.iter().map(|child| t.hear(child, 1)).sum();
    children.into_iter().for_each(|child| t.join(child));
    let total = (PLAYERS * ROUNDS) as i64;
    assert_eq!(sum, total * (total - 1) / 2);
    t.is_empty(queue);
}

fn order_of_each_sender_is_kept(t: &Stage) {
    let queue = t.private();
    let children = [1, 2, 3].map(|mtype| {
        t.spawn("sender", |_| {
            for word in 0..2000 {
                call::send_word(queue.0, mtype, word, 0).expect("to be sent");
            }
        })
    });
    let mut next = [0; 4];
    for _ in 0..6000 {
        let (mtype, word) = call::receive_word(queue.0, 0, 0).expect("a message");
        assert_eq!(word, next[mtype as usize]);
        next[mtype as usize] += 1;
    }
    children.into_iter().for_each(|child| t.join(child));
}

fn killed_hammerers_leave_the_queue_sound(t: &Stage) {
    let queue = t.private();
    t.change(queue, |stat| stat.qbytes = 800).must();
    for round in 0..20 {
        let hammer = t.spawn("hammer", |t| {
            t.tell(0);
            loop {
                call::send_word(queue.0, 1, 7, 0).expect("to be sent");
                call::receive_word(queue.0, -1, 0).expect("a message");
            }
        });
        t.hear(&hammer, 1);
        std::thread::sleep(std::time::Duration::from_micros(round * 137));
        t.kill(hammer);
        let left = call::msgctl(queue.0, libc::IPC_STAT, &mut call::blank_ds());
        assert!(left.is_ok(), "{left:?}");
        while call::receive_word(queue.0, 0, IPC_NOWAIT).is_ok() {}
    }
    t.is_empty(queue);
    t.put(queue, 1, "sound");
    assert_eq!(t.take(queue, 0), "sound");
    let stat = t.stat(queue).must();
    assert_eq!((stat.qnum, stat.cbytes), (0, 0));
}

fn closing_all_files_changes_nothing(t: &Stage) {
    let queue = t.private();
    t.put(queue, 1, "before");
    process::close_all(3, 1023);
    assert_eq!(t.take(queue, 0), "before");
    t.put(queue, 1, "after");
    let another = t.get(0x99, IPC_CREAT | 0o600).must();
    t.put(another, 1, "new");
    assert_eq!(t.get(0x99, 0).must(), another);
    t.remove(queue).must();
    t.remove(another).must();
}

fn closing_all_files_before_the_first_call_changes_nothing(t: &Stage) {
    process::close_all(3, 1023);
    let queue = t.get(0x99, IPC_CREAT | 0o600).must();
    process::close_all(3, 1023);
    t.put(queue, 1, "x");
    process::close_all(3, 1023);
    assert_eq!(t.take(queue, 0), "x");
}

fn daemon_child_keeps_using_the_queue(t: &Stage) {
    let queue = t.private();
    let child = t.spawn("daemon", |t| {
        process::new_session();
        process::close_all(0, 1023);
        assert_eq!(t.recv(queue, 100, 1, 0).must().text, b"work");
        t.send(queue, 2, "done", 0).must();
    });
    t.wait_blocked(&child);
    t.put(queue, 1, "work");
    assert_eq!(t.recv(queue, 100, 2, 0).must().text, b"done");
    t.join(child);
}

fn changing_directory_changes_nothing(t: &Stage) {
    let queue = t.private();
    std::env::set_current_dir("/proc").expect("/proc to be there");
    t.put(queue, 1, "x");
    let another = t.get(0x99, IPC_CREAT | 0o600).must();
    std::env::set_current_dir("/").expect("/ to be there");
    assert_eq!(t.get(0x99, 0).must(), another);
    assert_eq!(t.take(queue, 0), "x");
}

fn changing_root_changes_nothing(t: &Stage) {
    let queue = t.private();
    let child = t.spawn("child", |t| {
        t.put(queue, 1, "before");
        process::change_root(std::path::Path::new("/proc/self/fdinfo"));
        assert_eq!(t.take(queue, 0), "before");
        t.put(queue, 1, "inside");
        let another = t.get(0x99, IPC_CREAT | 0o600).must();
        t.put(another, 1, "made inside");
        t.tell(another.0.into());
    });
    t.join(child);
    assert_eq!(t.take(queue, 0), "inside");
    let another = t.get(0x99, 0).must();
    assert_eq!(t.take(another, 0), "made inside");
}
