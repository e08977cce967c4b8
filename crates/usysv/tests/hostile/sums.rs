//! Counts made up, and lists bent to rings, while a call is in the midst of them: what the suites here
//! found of these, each on its own.
//!
//! Who calls is also who scribbles: at each kill point that it comes to, which debug builds have.

use crate::found::{LOCK, root, word};
use crate::rig::*;
use crate::victim;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;
use std::time::Duration;
use usysv::abi::{IPC_CREAT, IPC_NOWAIT, IPC_PRIVATE, Sembuf};
use usysv::places_in_queue::{
    BLOCKS, CBYTES, EXTENTS, FIRST_SLOT, HANDED, NEXT, QNUM, RECEIVERS, SENDERS, SLOT_LEN, TYPES,
};
use usysv::places_in_set::{COMPLEX, WAITING};
use usysv::{Engine, Messages, Semaphores};

/// No sleepers, as it lies in a file: see `chair.rs`.
const NONE: u32 = 0x4e6f_6e65;

/// How a count lies there.
fn count(at: u64, value: u32) -> u32 {
    match at {
        RECEIVERS | SENDERS | WAITING => value ^ NONE,
        _ => value,
    }
}

/// What this process writes into a file whenever it comes to a point with this beginning.
struct Scribble {
    file: File,
    at: &'static str,
    words: Vec<(u64, u32)>,
}

static SCRIBBLE: OnceLock<Scribble> = OnceLock::new();

fn scribble(world: &World, file: &str, at: &'static str, words: &[(u64, u32)]) {
    let file = File::options().write(true).open(root(world).join(file));
    let scribble = Scribble {
        file: file.expect("the file"),
        at,
        words: words.to_vec(),
    };
    assert!(SCRIBBLE.set(scribble).is_ok(), "once in a process");
    usysv::watch_crashpoints(|name| {
        let scribble = SCRIBBLE.get().expect("it was set");
        if name.starts_with(scribble.at) {
            for (at, value) in &scribble.words {
                let written = scribble.file.write_all_at(&value.to_ne_bytes(), *at);
                written.expect("written");
            }
        }
    });
}

fn read(world: &World, at: u64) -> u32 {
    let mut word = [0; 4];
    let file = File::open(root(world).join("msg/0")).expect("the queue's file");
    file.read_exact_at(&mut word, at).expect("a word");
    count(at, u32::from_ne_bytes(word))
}

fn queue(engine: &Engine) -> i32 {
    engine
        .msgget(IPC_PRIVATE, IPC_CREAT | 0o600)
        .expect("msgget")
}

/// A sleeper ended, whatever came of its call, or has to be killed; it did not fail.
fn end(sleeper: Child, what: &str) {
    sleeper.kill();
    let end = sleeper.wait();
    assert!(matches!(end, End::Exit(0) | KILLED), "{what}: {end:?}");
}

/// What broke: one more than the largest count is a panic in a debug build, inside of the program's
/// own call. What is found at the lock is repaired; these are written under it.
#[test]
fn a_queues_counts_do_not_overflow() {
    let counts: [(&str, &[u64]); 6] = [
        ("messages", &[QNUM, QNUM + 4]),
        ("bytes", &[CBYTES, CBYTES + 4]),
        ("handed over", &[HANDED]),
        ("receivers", &[RECEIVERS]),
        ("senders", &[SENDERS]),
        ("types", &[TYPES]),
    ];
    for (what, words) in counts {
        let world = World::new();
        let engine = &world.0;
        let msqid = queue(engine);
        send(engine, msqid, &text(5, 10));
        let words: Vec<_> = words.iter().map(|at| (*at, count(*at, u32::MAX))).collect();
        let begin = || scribble(&world, "msg/0", "", &words);
        let sleeper = |mtype| {
            let sleeper = Child::fork(|| {
                if mtype == 11 {
                    begin();
                }
                let _ = engine.msgrcv(msqid, &mut [0; 400], mtype, 0);
            });
            sleeper.until_state("SZ");
            sleeper
        };
        let mut sleepers = Vec::from([9, 10].map(sleeper));
        for (at, is) in [(EXTENTS, 1), (QNUM, 1), (CBYTES, 10), (RECEIVERS, 2)] {
            assert_eq!(read(&world, at), is, "what is at {at}?");
        }
        sleepers.push(sleeper(11));
        // Whoever comes next recovers, too.
        word(&world, "msg/0", LOCK, 1 << 30);
        survivor(what, || {
            begin();
            victim::in_time(victim::MOST, || {
                for mtype in [9, 1, 2, 3] {
                    let _ = engine.msgsnd(msqid, mtype, &[7; 300], IPC_NOWAIT);
                }
                for msgtyp in [-2, 0, 77, 0] {
                    let _ = engine.msgrcv(msqid, &mut [0; 400], msgtyp, IPC_NOWAIT);
                }
            });
        });
        for sleeper in sleepers {
            end(sleeper, what);
        }
        word(&world, "msg/0", LOCK, 1 << 30);
        survivor(what, || use_queue(engine, msqid));
    }
}

/// What broke: the same of a set's sleepers.
#[test]
fn a_sets_counts_do_not_overflow() {
    let ops = |n: u16| -> Vec<Sembuf> {
        let op = |sem_num| Sembuf {
            sem_num,
            sem_op: -1,
            sem_flg: 0,
        };
        (0..n).map(op).collect()
    };
    for (what, at) in [("waiting", WAITING), ("complex", COMPLEX)] {
        let world = World::new();
        let engine = &world.0;
        let semid = engine.semget(IPC_PRIVATE, 12, IPC_CREAT | 0o600);
        let semid = semid.expect("semget");
        survivor(what, || {
            scribble(&world, "sem/0", "", &[(at, count(at, u32::MAX))]);
            for n in [1, 2, 12] {
                let time = Duration::from_millis(30);
                let most = victim::MOST + time;
                victim::in_time(most, || {
                    let _ = engine.semop(semid, &ops(n), Some(time));
                });
            }
        });
        word(&world, "sem/0", LOCK, 1 << 30);
        survivor(what, || {
            engine.sem_put_all(semid, &[1; 12]).expect("SETALL");
            engine.semop(semid, &ops(12), None).expect("semop");
        });
    }
}

/// What broke: extents that somebody wrote down while the queue grew were shifted by.
#[test]
fn a_queues_extents_do_not_overflow() {
    for extents in [0, 19, 33, 34, 65, u32::MAX] {
        let world = World::new();
        let engine = &world.0;
        let msqid = queue(engine);
        let what = format!("{extents} extents");
        survivor(&what, || {
            scribble(&world, "msg/0", "msg.slot.", &[(EXTENTS, extents)]);
            let _ = engine.msgsnd(msqid, 1, &[7; 5000], IPC_NOWAIT);
            let _ = engine.msgsnd(msqid, 1, &[7; 5000], IPC_NOWAIT);
        });
        word(&world, "msg/0", EXTENTS, 1);
        word(&world, "msg/0", LOCK, 1 << 30);
        survivor(&what, || use_queue(engine, msqid));
    }
}

/// What broke: of blocks that somebody counted while a message took some, none was in the last extent.
#[test]
fn a_queues_blocks_do_not_overflow() {
    for blocks in [512, 1 << 18, 1 << 27, 1 << 31, u32::MAX] {
        let world = World::new();
        let engine = &world.0;
        let msqid = queue(engine);
        let what = format!("{blocks} blocks");
        survivor(&what, || {
            scribble(&world, "msg/0", "msg.block.", &[(BLOCKS, blocks)]);
            let _ = engine.msgsnd(msqid, 1, &[7; 5000], IPC_NOWAIT);
            let _ = engine.msgsnd(msqid, 1, &[7; 5000], IPC_NOWAIT);
        });
        word(&world, "msg/0", LOCK, 1 << 30);
        survivor(&what, || use_queue(engine, msqid));
    }
}

/// What broke: a recovery walked for ever along a list that somebody bent to a ring: while it sorted
/// what it had found, or while it put that in its place.
#[test]
fn a_list_that_becomes_a_ring_ends() {
    let texts = [1, 2, 3].map(|mtype| text(mtype, 10));
    for at in ["msg.rebuild.marked", "msg.append.linked"] {
        let world = World::new();
        let engine = &world.0;
        let msqid = queue(engine);
        texts.iter().for_each(|text| send(engine, msqid, text));
        let next = |slot: u64| FIRST_SLOT + slot * SLOT_LEN + NEXT;
        let ring = [0, 1, 2].map(|slot| (next(slot), (slot as u32 + 1) % 3));
        word(&world, "msg/0", LOCK, 1 << 30);
        survivor(at, || {
            scribble(&world, "msg/0", at, &ring);
            victim::limit();
            victim::in_time(victim::MOST, || {
                let _ = engine.msg_stat(msqid);
                let _ = engine.msgrcv(msqid, &mut [0; 100], 77, IPC_NOWAIT);
            });
        });
        word(&world, "msg/0", LOCK, 1 << 30);
        survivor(at, || check_queue(engine, msqid, &texts));
    }
}
