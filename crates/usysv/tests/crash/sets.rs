//! Kills inside of semaphore calls: an array of operations, `SETALL`, `IPC_SET`, removal, undo, and
//! waiting. Afterwards all of it happened or nothing, and what a killed process had to be undone is.

use crate::points::Happened::{No, Yes};
use crate::points::Points;
use crate::rig::*;
use std::os::unix::ffi::OsStrExt;
use usysv::abi::{IPC_NOWAIT, IPC_PRIVATE, SEM_UNDO, Sembuf};
use usysv::{Engine, Errno, SemField, Semaphores};

const PERFORM: Points = &[
    ("sem.op.before_commit", No),
    ("sem.op.after_commit", Yes),
    ("sem.op.applied", Yes),
];
/// The short way of an array.
const ARRAY: Points = &[
    ("sem.array.before_commit", No),
    ("sem.array.after_commit", Yes),
    ("sem.array.put", Yes),
    ("sem.array.applied", Yes),
];
/// The short way of one operation, whose set's time is right already.
const ALONE: Points = &[
    ("sem.alone.before_commit", No),
    ("sem.alone.after_commit", Yes),
];
/// The short way of one operation with undo.
const UNDOABLE: Points = &[
    ("sem.undoable.before_commit", No),
    ("sem.undoable.after_commit", Yes),
    ("sem.undoable.applied", Yes),
];
/// Whatever happened, the death undoes it.
const WITH_UNDO: Points = &[
    ("sem.row.backed", No),
    ("sem.row.used", No),
    ("sem.op.before_commit", No),
    ("sem.op.after_commit", No),
    ("sem.op.applied", No),
];
const PUT: Points = &[
    ("sem.put.before_commit", No),
    ("sem.put.after_commit", Yes),
    ("sem.put.applied", Yes),
];
const SET: Points = &[("sem.set.before_commit", No), ("sem.set.after_commit", Yes)];
const REMOVE: Points = &[
    ("sem.remove.before_commit", No),
    ("sem.remove.after_commit", Yes),
];
const UNDO: Points = &[
    ("sem.undo.before_commit", Yes),
    ("sem.undo.after_commit", Yes),
    ("sem.undo.applied", Yes),
];
const WAIT: Points = &[
    ("sem.slots.backed", No),
    ("sem.wait.filled", No),
    ("sem.wait.lined_up", No),
];

pub fn op(sem_num: u16, sem_op: i16, flags: i32) -> Sembuf {
    Sembuf {
        sem_num,
        sem_op,
        sem_flg: flags as i16,
    }
}

/// Waits until a second is not half over: what comes next will be in the same one.
pub fn early_in_a_second() {
    let over = || {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.expect("after 1970").subsec_millis()
    };
    while over() >= 500 {
        std::thread::sleep(std::time::Duration::from_millis(u64::from(1000 - over())));
    }
}

fn make(engine: &Engine) -> i32 {
    let semid = engine.semget(IPC_PRIVATE, 2, 0o600).expect("semget");
    engine.sem_put_all(semid, &[5, 5]).expect("SETALL");
    semid
}

fn values(engine: &Engine, semid: i32) -> [u16; 2] {
    let mut values = [0; 2];
    call(|| engine.sem_get_all(semid, &mut values)).expect("GETALL");
    values
}

/// The set has these values, nobody waits, and it works.
fn check(engine: &Engine, semid: i32, what: &str, expected: [u16; 2]) {
    survivor(what, || {
        assert_eq!(values(engine, semid), expected);
        for num in 0..2 {
            for field in [SemField::Ncnt, SemField::Zcnt] {
                assert_eq!(engine.sem_get(semid, num, field), Ok(0));
            }
        }
        let both = [op(0, 1, IPC_NOWAIT), op(1, 1, IPC_NOWAIT)];
        engine.semop(semid, &both, None).expect("semop");
        let back = [op(0, -1, SEM_UNDO), op(1, -1, SEM_UNDO)];
        engine.semop(semid, &back, None).expect("semop");
        let sum = [op(0, 1, SEM_UNDO), op(1, 1, SEM_UNDO)];
        engine.semop(semid, &sum, None).expect("semop");
        engine.sem_put_all(semid, &expected).expect("SETALL");
    });
}

/// Kills `f` at each point, also a recovery after it, and expects `after` where it happened.
fn each(points: Points, after: [u16; 2], f: impl Fn(&Engine, i32)) {
    let world = World::new();
    let engine = &world.0;
    for (point, happened) in points {
        for deaths in [&[][..], &["sem.recover.applied"], &["sem.recover.rebuilt"]] {
            let semid = make(engine);
            killed_at(point, || f(engine, semid));
            for death in deaths {
                killed_at(death, || {
                    let _ = engine.sem_get(semid, 0, SemField::Value);
                });
            }
            let expected = if *happened == Yes { after } else { [5, 5] };
            check(
                engine,
                semid,
                &format!("{point}, then {deaths:?}"),
                expected,
            );
            engine.sem_remove(semid).expect("IPC_RMID");
        }
    }
}

#[test]
fn an_array_happens_whole_or_not_at_all() {
    each(ARRAY, [3, 8], |engine, semid| {
        let _ = engine.semop(semid, &[op(0, -2, 0), op(1, 3, 0)], None);
    });
    // A semaphore twice: the long way.
    each(PERFORM, [3, 8], |engine, semid| {
        let array = [op(0, -1, 0), op(1, 3, 0), op(0, -1, 0)];
        let _ = engine.semop(semid, &array, None);
    });
}

#[test]
fn one_operation_happens_or_not() {
    each(PERFORM, [3, 5], |engine, semid| {
        let _ = engine.semop(semid, &[op(0, -2, 0)], None);
    });
    each(ALONE, [3, 5], |engine, semid| {
        early_in_a_second();
        // The first sets the set's time, and goes the long way.
        let _ = engine.semop(semid, &[op(1, 1, 0), op(1, -1, 0)], None);
        let _ = engine.semop(semid, &[op(0, -2, 0)], None);
    });
}

#[test]
fn one_operation_with_undo_is_undone_by_the_death() {
    each(UNDOABLE, [5, 5], |engine, semid| {
        // The first finds no row at hand, and goes the long way.
        let _ = engine.semop(semid, &[op(0, 1, SEM_UNDO)], None);
        let _ = engine.semop(semid, &[op(0, -3, SEM_UNDO)], None);
    });
}

#[test]
fn what_a_killed_process_did_with_undo_is_undone() {
    let world = World::new();
    let engine = &world.0;
    for (point, _) in WITH_UNDO {
        let semid = make(engine);
        killed_at(point, || {
            let array = [op(0, -2, SEM_UNDO), op(1, 3, SEM_UNDO)];
            let _ = engine.semop(semid, &array, None);
        });
        check(engine, semid, point, [5, 5]);
        engine.sem_remove(semid).expect("IPC_RMID");
    }
}

#[test]
fn values_are_set_all_or_none() {
    each(PUT, [7, 9], |engine, semid| {
        let _ = engine.sem_put_all(semid, &[7, 9]);
    });
}

#[test]
fn ownership_changes_or_not() {
    let world = World::new();
    let engine = &world.0;
    for (point, happened) in SET {
        let semid = make(engine);
        let mut ds = engine.sem_stat(semid).expect("IPC_STAT");
        ds.sem_perm.mode = 0o640;
        killed_at(point, || {
            let _ = engine.sem_set(semid, &ds);
        });
        let mode = engine.sem_stat(semid).expect("IPC_STAT").sem_perm.mode;
        assert_eq!(
            mode,
            if *happened == Yes { 0o640 } else { 0o600 },
            "{point}"
        );
        check(engine, semid, point, [5, 5]);
        engine.sem_remove(semid).expect("IPC_RMID");
    }
}

#[test]
fn a_set_is_removed_or_not() {
    let world = World::new();
    let engine = &world.0;
    for (point, happened) in REMOVE {
        let semid = make(engine);
        killed_at(point, || {
            let _ = engine.sem_remove(semid);
        });
        let gone = engine.sem_stat(semid).err() == Some(Errno::EINVAL);
        assert_eq!(gone, *happened == Yes, "{point}");
        if !gone {
            check(engine, semid, point, [5, 5]);
        }
    }
}

#[test]
fn undo_is_applied_once_whoever_is_killed_over_it() {
    let world = World::new();
    let engine = &world.0;
    for (point, _) in UNDO {
        let semid = make(engine);
        let taker = Child::fork(|| {
            let array = [op(0, -2, SEM_UNDO), op(1, 3, SEM_UNDO)];
            engine.semop(semid, &array, None).expect("semop");
        });
        assert_eq!(taker.wait(), End::Exit(0));
        killed_at(point, || {
            let _ = engine.sem_get(semid, 0, SemField::Value);
        });
        check(engine, semid, point, [5, 5]);
        engine.sem_remove(semid).expect("IPC_RMID");
    }
}

#[test]
fn a_waiter_that_is_killed_leaves_no_place_in_line() {
    let world = World::new();
    let engine = &world.0;
    for (point, _) in WAIT {
        let semid = make(engine);
        killed_at(point, || {
            let _ = engine.semop(semid, &[op(0, -9, 0)], None);
        });
        check(engine, semid, point, [5, 5]);
        engine.sem_remove(semid).expect("IPC_RMID");
    }
}

/// What broke: of those who listened to the bell of the watch only one was woken by its death, and
/// the others went on listening to a bell that would not ring again: a second death was noticed
/// after ten seconds. Now a new watch finds itself listeners.
#[test]
fn sleepers_outlive_several_watches() {
    use std::time::{Duration, Instant};
    let world = World::new();
    let engine = &world.0;
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 0, 3, 2]] {
        let semid = make(engine);
        let holder = Child::fork(|| {
            let all = [op(0, -5, SEM_UNDO)];
            engine.semop(semid, &all, None).expect("semop");
            // SAFETY: sleeps until it is killed.
            unsafe { libc::pause() };
        });
        holder.until_asleep();
        let take = || {
            let five = [op(0, -5, SEM_UNDO)];
            engine.semop(semid, &five, None).expect("semop");
        };
        let mut sleepers: Vec<_> = (0..6).map(|_| Some(Child::fork(take))).collect();
        for sleeper in sleepers.iter().flatten() {
            sleeper.until_asleep();
        }
        for victim in order {
            // Long enough for everybody to have settled.
            std::thread::sleep(Duration::from_millis(60));
            let victim = sleepers[victim].take().expect("a sleeper");
            victim.kill();
            assert_eq!(victim.wait(), KILLED);
        }
        std::thread::sleep(Duration::from_millis(60));
        let killed = Instant::now();
        holder.kill();
        assert_eq!(holder.wait(), KILLED);
        for sleeper in sleepers.into_iter().flatten() {
            assert_eq!(sleeper.wait(), End::Exit(0));
        }
        let took = killed.elapsed();
        assert!(took < Duration::from_secs(1), "{order:?}: {took:?}");
        engine.sem_remove(semid).expect("IPC_RMID");
    }
}

/// What broke: an operation with SEM_UNDO that was refused left no row, where the kernel has an undo
/// record from then on; its process's end is seen in `sem_otime`.
#[test]
fn a_refused_operation_with_undo_is_seen_at_its_processes_end() {
    let world = World::new();
    let engine = &world.0;
    let semid = make(engine);
    assert_eq!(engine.sem_stat(semid).expect("IPC_STAT").sem_otime, 0);
    let refused = Child::fork(|| {
        let beyond = [op(2, 1, SEM_UNDO)];
        assert_eq!(engine.semop(semid, &beyond, None), Err(Errno::EFBIG));
    });
    assert_eq!(refused.wait(), End::Exit(0));
    assert_ne!(engine.sem_stat(semid).expect("IPC_STAT").sem_otime, 0);
}

/// What broke: a lock's word that named a thread which lives was believed for ever, so that one
/// scribbled object held up everybody who looked at all of them.
#[test]
fn a_scribbled_lock_holds_nobody_up_for_ever() {
    use std::os::unix::fs::FileExt;
    let world = World::new();
    let engine = &world.0;
    let semid = make(engine);
    let path = std::path::Path::new(std::ffi::OsStr::from_bytes(
        engine.namespace().path().to_bytes(),
    ));
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(path.join(format!("sem/{semid}")))
        .expect("the set's file");
    // Init lives, sleeps, and has never heard of us.
    file.write_at(&1u32.to_ne_bytes(), 64).expect("the word");
    survivor("a look at all", || {
        engine.sem_usage().expect("SEM_INFO");
        // Believed for two seconds.
        let mut values = [0; 2];
        engine.sem_get_all(semid, &mut values).expect("GETALL");
        assert_eq!(values, [5, 5]);
    });
}

/// What broke: sleepers of a set whose remover was killed before it told them found the set removed
/// whenever they looked, took that for news, and slept on for ever.
#[test]
fn a_killed_removers_sleepers_are_told() {
    use std::time::{Duration, Instant};
    let world = World::new();
    let engine = &world.0;
    let semid = make(engine);
    // The first takes the watch, others sleep deeply, and the last one lightly.
    let sleepers = [40, 40, 40, 0].map(|settles_ms| {
        let sleeper = Child::fork(|| {
            let result = engine.semop(semid, &[op(0, -9, 0)], None);
            assert_eq!(result, Err(Errno::EIDRM));
        });
        sleeper.until_asleep();
        std::thread::sleep(Duration::from_millis(settles_ms));
        sleeper
    });
    let killed = Instant::now();
    killed_at("sem.remove.after_commit", || {
        let _ = engine.sem_remove(semid);
    });
    for sleeper in sleepers {
        assert_eq!(sleeper.wait(), End::Exit(0));
    }
    let took = killed.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");
}
