//! Kills while queues are made and removed.

use crate::points::Happened::{No, Yes};
use crate::points::Points;
use crate::rig::*;
use std::collections::BTreeSet;
use usysv::abi::{IPC_CREAT, IPC_EXCL, IPC_PRIVATE};
use usysv::{Engine, Errno, Messages};

const CREATE: Points = &[
    ("create.formed", No),
    ("create.intended", No),
    // It has its index, but not its key: taken back, unless it has none.
    ("create.indexed", No),
    ("create.keyed", Yes),
];
const REMOVE: Points = &[
    ("msg.remove.before_commit", No),
    ("msg.remove.after_commit", Yes),
    ("remove.intended", Yes),
    ("remove.unkeyed", Yes),
    ("remove.unlinked", Yes),
];

const KEY: i32 = 0x1234;
const OTHER_KEY: i32 = 0x5678;

fn get(engine: &Engine, key: i32, msgflg: i32) -> Result<i32, Errno> {
    call(|| engine.msgget(key, msgflg | 0o600))
}

fn names(world: &World, dir: &str) -> BTreeSet<String> {
    let root = world.0.namespace().path().to_str().expect("a plain path");
    let entries = std::fs::read_dir(format!("{root}/{dir}")).expect("the directory");
    entries
        .map(|e| {
            e.expect("an entry")
                .file_name()
                .into_string()
                .expect("a plain name")
        })
        .collect()
}

/// Names that belong to no live queue, after somebody made and removed one.
fn check_names(world: &World, live: usize) {
    let engine = &world.0;
    let other = get(engine, OTHER_KEY, IPC_CREAT | IPC_EXCL).expect("another queue");
    check_queue(engine, other, &[]);
    call(|| engine.msg_remove(other)).expect("removing it");
    assert_eq!(get(engine, OTHER_KEY, 0), Err(Errno::ENOENT));
    let (info, _) = call(|| engine.msg_usage()).expect("msg_usage");
    assert_eq!(info.msgpool as usize, live, "queues in use");
    assert_eq!(names(world, "msg").len(), live, "{:?}", names(world, "msg"));
}

#[test]
fn create_with_a_key() {
    for (point, happened) in CREATE {
        let world = World::new();
        let engine = &world.0;
        killed_at(point, || {
            let _ = get(engine, KEY, IPC_CREAT);
        });
        survivor(point, || {
            let found = get(engine, KEY, 0);
            match happened {
                Yes => assert!(found.is_ok()),
                No => assert_eq!(found, Err(Errno::ENOENT)),
            }
            check_names(&world, usize::from(*happened == Yes));
            let exclusive = get(engine, KEY, IPC_CREAT | IPC_EXCL);
            match (found, exclusive) {
                (Ok(_), Err(Errno::EEXIST)) | (Err(_), Ok(_)) => {}
                odd => panic!("found and made: {odd:?}"),
            }
            let msqid = get(engine, KEY, 0).expect("the queue");
            check_queue(engine, msqid, &[]);
            call(|| engine.msg_remove(msqid)).expect("msg_remove");
            check_names(&world, 0);
            assert!(names(&world, "key").is_empty());
        });
    }
}

/// An id that somebody may have seen is never another queue's, even if its maker was killed before
/// it wrote down that the id is used up.
#[test]
fn a_killed_creators_id_is_used_up() {
    for point in ["create.indexed", "create.keyed"] {
        let world = World::new();
        let engine = &world.0;
        killed_at(point, || {
            let _ = get(engine, KEY, IPC_CREAT);
        });
        let (seen, _) = call(|| engine.msg_stat_index(0, false)).expect("the half-made queue");
        if point == "create.keyed" {
            call(|| engine.msg_remove(seen)).expect("msg_remove");
        }
        let msqid = get(engine, KEY, IPC_CREAT | IPC_EXCL).expect("msgget");
        assert_ne!(msqid, seen, "{point}");
        assert_eq!(call(|| engine.msg_stat(seen)).err(), Some(Errno::EINVAL));
        survivor(point, || check_queue(engine, msqid, &[]));
    }
}

#[test]
fn create_private() {
    for (point, _) in CREATE {
        let world = World::new();
        let engine = &world.0;
        killed_at(point, || {
            let _ = get(engine, IPC_PRIVATE, IPC_CREAT);
        });
        survivor(point, || {
            let made = matches!(*point, "create.indexed" | "create.keyed");
            check_names(&world, usize::from(made));
            if made {
                let (msqid, _) = call(|| engine.msg_stat_index(0, false)).expect("the queue");
                check_queue(engine, msqid, &[]);
                call(|| engine.msg_remove(msqid)).expect("msg_remove");
            }
            check_names(&world, 0);
        });
    }
}

fn kill_removers(key: i32) {
    for (point, happened) in REMOVE {
        let world = World::new();
        let engine = &world.0;
        let msqid = get(engine, key, IPC_CREAT).expect("msgget");
        let texts = [text(1, 10), text(2, 5000)];
        texts.iter().for_each(|text| send(engine, msqid, text));
        let sleeper = Child::fork(|| {
            let result = engine.msgrcv(msqid, &mut [0; 100], 9, 0);
            assert_eq!(result, Err(Errno::EIDRM));
        });
        sleeper.until_asleep();
        killed_at(point, || {
            let _ = engine.msg_remove(msqid);
        });
        if *happened == No {
            survivor(point, || {
                if key != IPC_PRIVATE {
                    assert_eq!(get(engine, key, 0), Ok(msqid));
                }
                check_queue(engine, msqid, &texts);
            });
            engine.msg_remove(msqid).expect("msg_remove");
        }
        assert_eq!(sleeper.wait(), End::Exit(0), "{point}: the sleeper");
        survivor(point, || {
            assert_eq!(call(|| engine.msg_stat(msqid)).err(), Some(Errno::EINVAL));
            assert_eq!(
                call(|| engine.msgsnd(msqid, 1, b"x", 0)),
                Err(Errno::EINVAL)
            );
            if key != IPC_PRIVATE {
                assert_eq!(get(engine, key, 0), Err(Errno::ENOENT));
                let fresh = get(engine, key, IPC_CREAT | IPC_EXCL).expect("the key is free");
                assert_ne!(fresh, msqid);
                check_queue(engine, fresh, &[]);
                call(|| engine.msg_remove(fresh)).expect("msg_remove");
            }
            check_names(&world, 0);
        });
    }
}

#[test]
fn remove_with_a_key() {
    kill_removers(KEY);
}

#[test]
fn remove_private() {
    kill_removers(IPC_PRIVATE);
}

/// With room for three queues only, a hundred kills do not use it up.
fn assert_no_place_is_lost(points: Points, key: i32, act: fn(&Engine, i32)) {
    let world = World::new();
    let engine = &world.0;
    engine
        .namespace()
        .set_limit("msgmni", 3)
        .expect("set_limit");
    for (point, _) in points {
        for cycle in 0..100 {
            killed_at(point, || act(engine, key));
            let left: Vec<i32> = (0..64)
                .filter_map(|index| Some(engine.msg_stat_index(index, false).ok()?.0))
                .collect();
            left.iter()
                .for_each(|id| engine.msg_remove(*id).expect("msg_remove"));
            let msqid = get(engine, OTHER_KEY, IPC_CREAT | IPC_EXCL);
            let msqid = msqid.unwrap_or_else(|e| panic!("{point}, cycle {cycle}: {e:?}"));
            send(engine, msqid, &text(1, 10));
            engine.msg_remove(msqid).expect("msg_remove");
        }
    }
}

#[test]
fn killed_creators_lose_no_place() {
    for key in [KEY, IPC_PRIVATE] {
        assert_no_place_is_lost(CREATE, key, |engine, key| {
            let _ = get(engine, key, IPC_CREAT);
        });
    }
}

#[test]
fn killed_removers_lose_no_place() {
    for key in [KEY, IPC_PRIVATE] {
        assert_no_place_is_lost(REMOVE, key, |engine, key| {
            let msqid = get(engine, key, IPC_CREAT).expect("msgget");
            let _ = engine.msg_remove(msqid);
        });
    }
}

/// Removal goes on where the last killed process left it, however many are killed.
#[test]
fn recovery_of_a_removal_is_killed() {
    for first in ["remove.intended", "remove.unkeyed", "remove.unlinked"] {
        for second in ["remove.unkeyed", "remove.unlinked"] {
            let world = World::new();
            let engine = &world.0;
            let msqid = get(engine, KEY, IPC_CREAT).expect("msgget");
            killed_at(first, || {
                let _ = engine.msg_remove(msqid);
            });
            // With the index unlinked, nothing is left for a recovery to be killed at.
            let end = victim(second, || {
                let _ = get(engine, OTHER_KEY, IPC_CREAT).and_then(|id| engine.msg_stat(id));
            })
            .wait();
            let nothing_left = first == "remove.unlinked";
            assert_eq!(end == KILLED, !nothing_left, "{first}, {second}: {end:?}");
            survivor(&format!("{first}, then {second}"), || {
                assert_eq!(get(engine, KEY, 0), Err(Errno::ENOENT));
                if let Ok(other) = get(engine, OTHER_KEY, 0) {
                    call(|| engine.msg_remove(other)).expect("msg_remove");
                }
                check_names(&world, 0);
            });
        }
    }
}
