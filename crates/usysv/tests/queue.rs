//! Queues by the Rust API: what other suites do not look at.

use std::os::unix::fs::MetadataExt;
use std::thread;
use std::time::Duration;
use usysv::{Engine, Errno, Key, Messages, Namespace, Queue, Select};

/// When a hole was last made in the queue's file.
fn changed(engine: &Engine) -> (i64, i64) {
    let directory = engine.namespace().path().to_str().expect("a path");
    let mut files = std::fs::read_dir(format!("{directory}/msg")).expect("the namespace");
    let file = files.next().expect("a queue").expect("a file");
    let status = file.metadata().expect("its status");
    (status.ctime(), status.ctime_nsec())
}

/// How many threads of this process sleep.
fn asleep() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("procfs");
    let stats =
        tasks.map(|task| std::fs::read_to_string(task.expect("a task").path().join("stat")));
    let sleeps = |stat: &String| {
        stat.rsplit_once(") ")
            .is_some_and(|(_, it)| it.starts_with('S'))
    };
    stats.filter(|stat| stat.as_ref().is_ok_and(sleeps)).count()
}

/// With a thousand receivers asleep each receive that emptied the queue walked all their slots, and gave
/// memory back that was not there: a send and receive took 460 us, and 0.1 us without them, because
/// the slots of sleepers counted as memory of an empty queue. Now only what they do not take counts.
#[test]
fn a_queue_with_many_sleepers_is_not_trimmed_at_every_receive() {
    const SLEEPERS: i64 = 1000;
    let engine = Engine::new(Namespace::create_private(None).expect("a namespace"));
    let engine = engine.expect("an engine");
    let queue = Queue::create(&engine, Key::PRIVATE, 0o600).expect("create");
    let id = queue.msqid();
    thread::scope(|scope| {
        for mtype in 0..SLEEPERS {
            let engine = &engine;
            scope.spawn(move || {
                let select = Select::Type(mtype + 2);
                Queue::from_id(engine, id).recv(&mut [0; 8], select)
            });
        }
        let pair = || {
            queue.send(1, b"x").expect("send");
            queue.recv(&mut [0; 8], Select::Type(1)).expect("recv");
        };
        while queue.stat().is_ok() && asleep() < SLEEPERS as usize {
            thread::sleep(Duration::from_millis(10));
        }
        // What is not the sleepers' goes with the first pair of another second than it came in.
        thread::sleep(Duration::from_millis(1100));
        pair();
        let before = changed(&engine);
        for _ in 0..10 {
            thread::sleep(Duration::from_millis(20));
            pair();
        }
        let after = changed(&engine);
        queue.remove().expect("remove");
        assert_eq!(before, after, "its memory was given back again");
    });
    engine.namespace().destroy().expect("destroy");
}

/// A key that is asked for again and again is not looked up each time; names that somebody takes
/// away by hand mark nothing that could be seen without a look.
#[test]
fn a_key_whose_name_was_taken_away_by_hand_is_gone_soon() {
    let engine = Engine::new(Namespace::create_private(None).expect("a namespace"));
    let engine = engine.expect("an engine");
    let queue = engine.msgget(77, libc::IPC_CREAT | 0o600).expect("create");
    for _ in 0..100 {
        assert_eq!(engine.msgget(77, 0), Ok(queue));
    }
    let directory = engine.namespace().path().to_str().expect("a path");
    std::fs::remove_file(format!("{directory}/key/msg.0000004d")).expect("its name");
    std::fs::remove_file(format!("{directory}/msg/{queue}")).expect("its file");
    thread::sleep(Duration::from_millis(50));
    assert_eq!(engine.msgget(77, 0), Err(Errno::ENOENT));
    let next = engine.msgget(77, libc::IPC_CREAT | 0o600).expect("create");
    assert_ne!(next, queue);
    assert_eq!(engine.msgget(77, 0), Ok(next));
    engine.namespace().destroy().expect("destroy");
}
