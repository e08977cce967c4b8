//! Many of everything: processes on one object, objects in one process, processes that fork.

use crate::rig::*;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::{Duration, Instant};
use usysv::abi::{IPC_NOWAIT, IPC_PRIVATE, SEM_UNDO, Sembuf};
use usysv::{Engine, Errno, Messages, SemField, Semaphores};

const CROWD: usize = 1000;
const QUEUES: usize = 10_000;

/// Words that this process and its children share.
pub fn words(count: usize) -> &'static [AtomicU32] {
    // SAFETY: zeroed memory that is never unmapped.
    unsafe { std::slice::from_raw_parts(shared(count * 4).cast(), count) }
}

pub fn op(sem_op: i16, flags: i32) -> Sembuf {
    Sembuf {
        sem_num: 0,
        sem_op,
        sem_flg: flags as i16,
    }
}

/// Waits until `f` holds; a stall of more than `seconds` is an error.
pub fn until(what: &str, seconds: u64, mut f: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !f() {
        let waited = begun.elapsed();
        assert!(waited < Duration::from_secs(seconds), "{what}: {waited:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn all_exit(children: Vec<Child>) {
    for child in children {
        assert_eq!(child.wait(), End::Exit(0));
    }
}

/// As on Linux, a queue has as many sleepers as there are processes, and each gets its own message.
pub fn a_thousand_processes_on_one_queue() {
    let world = World::new();
    let engine = &world.0;
    let queue = engine.msgget(IPC_PRIVATE, 0o600).expect("msgget");
    let back = engine.msgget(IPC_PRIVATE, 0o600).expect("msgget");
    let begun = &words(1)[0];
    let children: Vec<Child> = (0..CROWD as i64)
        .map(|i| {
            Child::fork(|| {
                begun.fetch_add(1, SeqCst);
                let mut buffer = [0; 16];
                let got = engine.msgrcv(queue, &mut buffer, i + 1, 0);
                assert_eq!(got, Ok((i + 1, 8)));
                assert_eq!(buffer[..8], i.to_ne_bytes(), "somebody else's message");
                engine.msgsnd(back, 1, &buffer[..8], 0).expect("msgsnd");
            })
        })
        .collect();
    until("all begin", 50, || begun.load(SeqCst) == CROWD as u32);
    // From the last to the first, so that lines are left from the middle and the end, too.
    for i in (0..CROWD as i64).rev() {
        let sent = engine.msgsnd(queue, i + 1, &i.to_ne_bytes(), 0);
        assert_eq!(sent, Ok(()));
    }
    let mut seen = vec![false; CROWD];
    for _ in 0..CROWD {
        let mut buffer = [0; 8];
        engine.msgrcv(back, &mut buffer, 0, 0).expect("msgrcv");
        let i = i64::from_ne_bytes(buffer) as usize;
        assert!(!std::mem::replace(&mut seen[i], true), "message {i} twice");
    }
    all_exit(children);
    check_queue(engine, queue, &[]);
}

/// As on Linux: whoever of a thousand is killed with the semaphore in hand, the next one gets it.
pub fn a_thousand_processes_on_one_semaphore() {
    let world = World::new();
    let engine = &world.0;
    let set = engine.semget(IPC_PRIVATE, 1, 0o600).expect("semget");
    let [begun, inside, count] = words(3) else {
        panic!("three words")
    };
    let children: Vec<Child> = (0..CROWD)
        .map(|i| {
            Child::fork(|| {
                begun.fetch_add(1, SeqCst);
                engine.semop(set, &[op(-1, SEM_UNDO)], None).expect("semop");
                assert_eq!(inside.fetch_add(1, SeqCst), 0, "two inside");
                count.fetch_add(1, SeqCst);
                inside.fetch_sub(1, SeqCst);
                // Every other one goes without giving it back, which its end then does.
                if i % 2 == 0 {
                    engine.semop(set, &[op(1, SEM_UNDO)], None).expect("semop");
                }
            })
        })
        .collect();
    until("all begin", 50, || begun.load(SeqCst) == CROWD as u32);
    engine.sem_put(set, 0, 1).expect("SETVAL");
    let mut last = (0, Instant::now());
    while last.0 < CROWD as u32 {
        let now = count.load(SeqCst);
        if now != last.0 {
            last = (now, Instant::now());
        }
        let stalled = last.1.elapsed();
        assert!(stalled < Duration::from_secs(2), "{now} came through");
        std::thread::sleep(Duration::from_millis(1));
    }
    all_exit(children);
    assert_eq!(engine.sem_get(set, 0, SemField::Value), Ok(1));
    assert_eq!(engine.sem_get(set, 0, SemField::Ncnt), Ok(0));
}

/// Linux has room for 32000 queues; here each is a file and a mapping, of which a process may have
/// 65530. Ten thousand work, for who made them and for a stranger, and leave nothing.
pub fn ten_thousand_queues() {
    let world = World::new();
    let engine = &world.0;
    let ids: Vec<i32> = (0..QUEUES)
        .map(|_| engine.msgget(IPC_PRIVATE, 0o600).expect("msgget"))
        .collect();
    for (i, id) in ids.iter().enumerate() {
        send(engine, *id, &text(i as i64 + 1, 8));
    }
    let namespace = engine.namespace().path().to_owned();
    survivor("ten thousand queues", || {
        let namespace = usysv::Namespace::open(&namespace).expect("the namespace");
        let engine = Engine::new(namespace).expect("an engine");
        for (i, id) in ids.iter().enumerate() {
            let expected = text(i as i64 + 1, 8);
            assert_eq!(receive(&engine, *id, 0, 0), Some(expected), "queue {i}");
        }
    });
    let (usage, _) = engine.msg_usage().expect("MSG_INFO");
    assert_eq!((usage.msgpool, usage.msgmap), (QUEUES as i32, 0));
    for id in &ids {
        engine.msg_remove(*id).expect("IPC_RMID");
        assert_eq!(engine.msg_stat(*id).err(), Some(Errno::EINVAL));
    }
    assert_eq!(engine.msg_usage().expect("MSG_INFO").0.msgpool, 0);
}

/// One process of a bomb: sends, takes and gives back, and forks two more.
fn burst(engine: &Engine, (queue, set): (i32, i32), depth: u32, sent: &AtomicU32) {
    for _ in 0..depth.min(1) * 2 {
        // SAFETY: single-threaded; the child goes on with the same code and ends by _exit.
        if unsafe { libc::fork() } == 0 {
            burst(engine, (queue, set), depth - 1, sent);
            // SAFETY: ends this process.
            unsafe { libc::_exit(0) };
        }
    }
    let take = [op(-1, SEM_UNDO)];
    engine.semop(set, &take, None).expect("semop");
    if engine.msgsnd(queue, 1, &[7; 100], IPC_NOWAIT).is_ok() {
        sent.fetch_add(1, SeqCst);
    }
    engine.semop(set, &[op(1, SEM_UNDO)], None).expect("semop");
}

/// 255 processes that fork each other inside of calls, killed as a group at any time: as on Linux
/// nothing is held afterwards, and what was sent is there.
pub fn fork_bombs_leave_nothing_held() {
    let world = World::new();
    let engine = &world.0;
    let (mut all, mut killed) = (0, 0);
    for round in 0..8u64 {
        let queue = engine.msgget(IPC_PRIVATE, 0o600).expect("msgget");
        let set = engine.semget(IPC_PRIVATE, 1, 0o600).expect("semget");
        engine.sem_put(set, 0, 1).expect("SETVAL");
        let [ready, sent] = words(2) else {
            panic!("two words")
        };
        let bomb = Child::fork(|| {
            // SAFETY: no pointers: a group of its own, to be killed as one.
            unsafe { libc::setpgid(0, 0) };
            ready.store(1, SeqCst);
            burst(engine, (queue, set), 7, sent);
            loop {
                std::thread::sleep(Duration::from_secs(1));
            }
        });
        until("the bomb", 5, || ready.load(SeqCst) == 1);
        std::thread::sleep(Duration::from_millis(round * round));
        let before = sent.load(SeqCst);
        // SAFETY: the bomb's own group; its first process is our child, not waited for.
        unsafe { libc::kill(-bomb.pid(), libc::SIGKILL) };
        assert_eq!(bomb.wait(), KILLED);
        killed += usize::from(before < 160);
        survivor("a fork bomb", || {
            let one = Some(Duration::from_secs(2));
            engine
                .semop(set, &[op(-1, SEM_UNDO)], one)
                .expect("the semaphore is free");
            let there = call(|| engine.msg_stat(queue)).expect("IPC_STAT").msg_qnum as u32;
            let told = sent.load(SeqCst);
            // Who was killed between the send and the count.
            assert!(
                (told..=told + 1).contains(&there),
                "{there} there, {told} sent"
            );
            while receive(engine, queue, 0, 0).is_some() {}
            check_queue(engine, queue, &[]);
        });
        all += sent.load(SeqCst);
        engine.msg_remove(queue).expect("IPC_RMID");
        engine.sem_remove(set).expect("IPC_RMID");
    }
    eprintln!("endurance: fork bombs: {all} sent, {killed} of 8 killed before the end");
}
