//! Semaphore sets: operations, undo, lines of sleepers, and who stands watch over them.

use super::Scenario;
use crate::rig::*;
use crate::sets::{early_in_a_second, op};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};
use usysv::abi::{IPC_NOWAIT, IPC_PRIVATE, SEM_UNDO, Sembuf, SemidDs};
use usysv::{Engine, Errno, SemField, Semaphores};

/// The semaphore of those who work on the set meanwhile.
const COMPANY: u16 = 2;
/// Another that only a scenario's helpers use; 0 at first.
const SIGN: u16 = 3;

fn set(engine: &Engine) -> i32 {
    let semid = engine.semget(IPC_PRIVATE, 4, 0o600).expect("semget");
    engine.sem_put_all(semid, &[5, 5, 5, 0]).expect("SETALL");
    semid
}

fn perform(engine: &Engine, semid: i32, ops: &[Sembuf]) {
    call(|| engine.semop(semid, ops, None)).expect("semop");
}

/// Sleeps in this array.
fn sleeper(engine: &Engine, semid: i32, ops: &[Sembuf]) -> Child {
    let sleeper = Child::fork(|| engine.semop(semid, ops, None).expect("a sleeper's semop"));
    sleeper.until_asleep();
    sleeper
}

fn values(engine: &Engine, semid: i32) -> [u16; 4] {
    let mut values = [0; 4];
    call(|| engine.sem_get_all(semid, &mut values)).expect("GETALL");
    values
}

/// The first two values, and with them how many steps happened.
fn step(world: &World, semid: i32, states: &[[u16; 2]]) -> usize {
    let values = values(&world.0, semid);
    let step = states.iter().position(|state| *state == values[..2]);
    step.unwrap_or_else(|| panic!("the values are {values:?}"))
}

/// As [`step`], with nobody left; and the set works.
fn check(world: &World, semid: i32, states: &[[u16; 2]]) -> usize {
    let engine = &world.0;
    let step = step(world, semid, states);
    let before = values(engine, semid);
    assert_eq!(before[2], 5, "the company's semaphore");
    for num in 0..4 {
        for field in [SemField::Ncnt, SemField::Zcnt] {
            assert_eq!(engine.sem_get(semid, num, field), Ok(0), "{num}: {field:?}");
        }
    }
    let mut undone = 0;
    let counted = engine.each_undo(semid, &mut |_| undone += 1);
    assert_eq!((counted, undone), (Ok(()), 0), "what is to be undone");
    let up = [0, 1].map(|num| op(num, 1, IPC_NOWAIT));
    let down = [0, 1].map(|num| op(num, -1, SEM_UNDO));
    let up_again = [0, 1].map(|num| op(num, 1, SEM_UNDO));
    for ops in [up, down, up_again, [op(0, -1, 0), op(1, -1, 0)]] {
        perform(engine, semid, &ops);
    }
    assert_eq!(values(engine, semid), before);
    // Somebody sleeps, and is woken.
    let more = before[0] as i16 + 1;
    let sleeper = sleeper(engine, semid, &[op(0, -more, 0)]);
    perform(engine, semid, &[op(0, 1, 0)]);
    assert_eq!(sleeper.wait(), End::Exit(0));
    assert_eq!(values(engine, semid)[0], 0);
    engine
        .sem_put(semid, 0, i32::from(before[0]))
        .expect("SETVAL");
    step
}

fn look(engine: &Engine, semid: i32) {
    call(|| engine.sem_get(semid, 0, SemField::Value)).expect("GETVAL");
    perform(engine, semid, &[op(1, 1, SEM_UNDO)]);
    perform(engine, semid, &[op(1, -1, SEM_UNDO)]);
}

fn work(engine: &Engine, semid: i32) {
    for flags in [0, SEM_UNDO] {
        perform(engine, semid, &[op(COMPANY, -1, flags)]);
        perform(engine, semid, &[op(COMPANY, 1, flags)]);
    }
    assert_eq!(values(engine, semid)[usize::from(COMPANY)], 5);
}

/// More than fit a sleeper's own slot: ten times `each`.
fn long(each: i16) -> Vec<Sembuf> {
    vec![op(0, each, 0); 10]
}

const SHORT: Option<Duration> = Some(Duration::from_millis(3));
/// Long enough for a sleeper to take the watch, or to sleep deeply.
const SETTLED: Duration = Duration::from_millis(30);

const PLAIN: Scenario = Scenario {
    name: "",
    make: |engine| (set(engine), vec![]),
    act: |_, _| (),
    meanwhile: None,
    next: look,
    seen: |_, _| 0,
    release: |_, _| (),
    check: |world, semid| check(world, semid, &[[5, 5]]),
    company: Some(work),
    exact: true,
    slow: false,
};

pub fn scenarios() -> Vec<Scenario> {
    [changing(), undoing(), waiting(), letting_go(), watching()].concat()
}

fn changing() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "an operation",
            act: |engine, semid| perform(engine, semid, &[op(0, -2, 0)]),
            check: |world, semid| check(world, semid, &[[5, 5], [3, 5]]),
            ..PLAIN
        },
        Scenario {
            name: "an operation in its set's second",
            act: |engine, semid| {
                early_in_a_second();
                perform(engine, semid, &[op(1, 1, 0)]);
                perform(engine, semid, &[op(0, -2, 0)]);
            },
            check: |world, semid| check(world, semid, &[[5, 5], [5, 6], [3, 6]]),
            ..PLAIN
        },
        Scenario {
            name: "an array with a semaphore twice",
            act: |engine, semid| perform(engine, semid, &[op(0, -1, 0), op(1, 3, 0), op(0, -1, 0)]),
            check: |world, semid| check(world, semid, &[[5, 5], [3, 8]]),
            ..PLAIN
        },
        Scenario {
            name: "an array",
            act: |engine, semid| perform(engine, semid, &[op(0, -2, 0), op(1, 3, 0)]),
            check: |world, semid| check(world, semid, &[[5, 5], [3, 8]]),
            ..PLAIN
        },
        Scenario {
            name: "SETVAL under somebody's undo",
            make: |engine| {
                let semid = set(engine);
                let ops = [op(0, -1, SEM_UNDO)];
                let holder = Child::fork(|| {
                    perform(engine, semid, &ops);
                    let wait = engine.semop(semid, &[op(SIGN, -1, 0)], None);
                    wait.expect("the sign");
                });
                holder.until_asleep();
                (semid, vec![holder])
            },
            act: |engine, semid| engine.sem_put(semid, 0, 7).expect("SETVAL"),
            release: |engine, semid| perform(engine, semid, &[op(SIGN, 1, 0)]),
            check: |world, semid| check(world, semid, &[[5, 5], [7, 5]]),
            exact: false,
            ..PLAIN
        },
        Scenario {
            name: "SETALL",
            act: |engine, semid| engine.sem_put_all(semid, &[7, 9, 5, 1]).expect("SETALL"),
            check: |world, semid| {
                let step = check(world, semid, &[[5, 5], [7, 9]]);
                assert_eq!(usize::from(values(&world.0, semid)[3]), step);
                step
            },
            company: None,
            ..PLAIN
        },
        Scenario {
            name: "IPC_SET",
            act: |engine, semid| {
                let mut ds: SemidDs = engine.sem_stat(semid).expect("IPC_STAT");
                (ds.sem_perm.uid, ds.sem_perm.mode) = (7, 0o640);
                engine.sem_set(semid, &ds).expect("IPC_SET");
            },
            check: |world, semid| {
                check(world, semid, &[[5, 5]]);
                let perm = world.0.sem_stat(semid).expect("IPC_STAT").sem_perm;
                match (perm.uid, perm.mode) {
                    (0, 0o600) => 0,
                    (7, 0o640) => 1,
                    odd => panic!("half set: {odd:?}"),
                }
            },
            ..PLAIN
        },
    ]
}

fn undoing() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "undo with a row at hand",
            act: |engine, semid| {
                perform(engine, semid, &[op(0, 1, SEM_UNDO)]);
                perform(engine, semid, &[op(0, -3, SEM_UNDO)]);
                perform(engine, semid, &[op(0, 2, SEM_UNDO)]);
            },
            check: |world, semid| check(world, semid, &[[5, 5]]),
            ..PLAIN
        },
        Scenario {
            name: "an array with undo",
            act: |engine, semid| {
                perform(engine, semid, &[op(0, -2, SEM_UNDO), op(1, 3, SEM_UNDO)]);
            },
            ..PLAIN
        },
        Scenario {
            name: "undo by a thread that ends, and by another",
            act: |engine, semid| {
                std::thread::scope(|scope| {
                    // Until the thread is gone, not only its work done.
                    let thread = scope.spawn(|| perform(engine, semid, &[op(0, -1, SEM_UNDO)]));
                    thread.join().expect("the thread");
                });
                perform(engine, semid, &[op(1, -1, SEM_UNDO)]);
            },
            exact: false,
            ..PLAIN
        },
        Scenario {
            name: "a dead process's undo",
            make: |engine| {
                let semid = set(engine);
                survivor("undo", || {
                    perform(engine, semid, &[op(0, -2, SEM_UNDO), op(1, 3, SEM_UNDO)]);
                });
                (semid, vec![])
            },
            act: |engine, semid| {
                let value = call(|| engine.sem_get(semid, 0, SemField::Value));
                assert_eq!(value, Ok(5));
            },
            ..PLAIN
        },
    ]
}

fn waiting() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "wait",
            act: |engine, semid| {
                engine.semop(semid, &[op(0, -9, 0)], None).expect("semop");
            },
            meanwhile: Some(|engine, semid| {
                survivor("the giver", || perform(engine, semid, &[op(0, 9, 0)]));
                vec![]
            }),
            check: |world, semid| check(world, semid, &[[14, 5], [5, 5]]),
            exact: false,
            ..PLAIN
        },
        Scenario {
            name: "wait with a long array, behind another sleeper",
            make: |engine| {
                let semid = set(engine);
                (semid, vec![sleeper(engine, semid, &[op(1, -9, 0)])])
            },
            act: |engine, semid| engine.semop(semid, &long(-1), None).expect("semop"),
            meanwhile: Some(|engine, semid| {
                survivor("the giver", || perform(engine, semid, &[op(0, 5, 0)]));
                vec![]
            }),
            release: |engine, semid| perform(engine, semid, &[op(1, 9, 0)]),
            check: |world, semid| check(world, semid, &[[10, 5], [0, 5]]),
            exact: false,
            ..PLAIN
        },
        Scenario {
            name: "give up",
            act: |engine, semid| {
                let result = engine.semop(semid, &[op(0, -9, 0)], SHORT);
                assert_eq!(result, Err(Errno::EAGAIN));
            },
            exact: false,
            ..PLAIN
        },
        Scenario {
            name: "give up a long array, in one line with another sleeper",
            make: |engine| {
                let semid = set(engine);
                (semid, vec![sleeper(engine, semid, &[op(1, -9, 0)])])
            },
            act: |engine, semid| {
                let result = engine.semop(semid, &long(-1), SHORT);
                assert_eq!(result, Err(Errno::EAGAIN));
                // Takes the line apart.
                perform(engine, semid, &[op(1, 1, SEM_UNDO)]);
            },
            release: |engine, semid| perform(engine, semid, &[op(1, 9, 0)]),
            exact: false,
            ..PLAIN
        },
        Scenario {
            name: "wait, with no slot but those of the dead",
            make: |engine| {
                let semid = set(engine);
                let many = Child::fork(|| {
                    std::thread::scope(|scope| {
                        for _ in 0..32 {
                            scope.spawn(|| engine.semop(semid, &[op(0, -9, 0)], None));
                        }
                    });
                });
                let waits = || engine.sem_get(semid, 0, SemField::Ncnt).expect("GETNCNT");
                while waits() < 32 {
                    std::thread::yield_now();
                }
                many.kill();
                assert_eq!(many.wait(), KILLED);
                (semid, vec![])
            },
            act: |engine, semid| {
                let result = engine.semop(semid, &[op(0, -9, 0)], SHORT);
                assert_eq!(result, Err(Errno::EAGAIN));
            },
            company: None,
            exact: false,
            ..PLAIN
        },
    ]
}

/// All have what they wait for out of 500: 6, if that one was not let go before, and 50.
fn served(world: &World, semid: i32) -> usize {
    let left = step(world, semid, &[[444, 5], [450, 5]]);
    world.0.sem_put(semid, 0, 5).expect("SETVAL");
    check(world, semid, &[[5, 5]]);
    left
}

fn letting_go() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "let one go on, tell another, leave a third",
            make: |engine| {
                let semid = set(engine);
                let told = Child::fork(|| {
                    // Beyond 32767 once the first of it can go.
                    let ops = [op(SIGN, -1, 0), op(1, 32767, 0)];
                    assert_eq!(engine.semop(semid, &ops, None), Err(Errno::ERANGE));
                });
                told.until_asleep();
                let [one, other] = [6, 50].map(|takes| sleeper(engine, semid, &[op(0, -takes, 0)]));
                (semid, vec![told, one, other])
            },
            act: |engine, semid| perform(engine, semid, &[op(0, 2, 0), op(SIGN, 1, 0)]),
            seen: |world, semid| {
                let step = step(world, semid, &[[5, 5], [1, 5]]);
                assert_eq!(usize::from(values(&world.0, semid)[3]), step);
                step
            },
            release: |engine, semid| {
                engine.sem_put(semid, 0, 500).expect("SETVAL");
                engine.sem_put(semid, i32::from(SIGN), 1).expect("SETVAL");
            },
            check: served,
            exact: false,
            ..PLAIN
        },
        Scenario {
            name: "hand one what it waits for, and leave another",
            make: |engine| {
                let semid = set(engine);
                let sleepers = [6, 50].map(|takes| sleeper(engine, semid, &[op(0, -takes, 0)]));
                (semid, sleepers.into())
            },
            act: |engine, semid| perform(engine, semid, &[op(0, 3, 0)]),
            seen: |world, semid| step(world, semid, &[[5, 5], [2, 5]]),
            release: |engine, semid| engine.sem_put(semid, 0, 500).expect("SETVAL"),
            check: served,
            exact: false,
            ..PLAIN
        },
        Scenario {
            name: "let a dead one go on",
            make: |engine| {
                let semid = set(engine);
                let dead = sleeper(engine, semid, &[op(0, -6, 0)]);
                dead.kill();
                assert_eq!(dead.wait(), KILLED);
                (semid, vec![])
            },
            act: |engine, semid| perform(engine, semid, &[op(0, 2, 0)]),
            check: |world, semid| check(world, semid, &[[5, 5], [7, 5]]),
            ..PLAIN
        },
        Scenario {
            name: "remove under those who wait",
            make: |engine| {
                let semid = set(engine);
                let sleepers = (0..2).map(|_| {
                    let sleeper = Child::fork(|| {
                        let result = engine.semop(semid, &[op(0, -9, 0)], None);
                        assert_eq!(result, Err(Errno::EIDRM));
                    });
                    sleeper.until_asleep();
                    sleeper
                });
                (semid, sleepers.collect())
            },
            act: |engine, semid| engine.sem_remove(semid).expect("IPC_RMID"),
            next: |engine, semid| {
                let _ = call(|| engine.sem_stat(semid));
            },
            seen: |world, semid| usize::from(call(|| world.0.sem_stat(semid)).is_err()),
            release: |engine, semid| {
                let _ = call(|| engine.sem_remove(semid));
            },
            check: |world, semid| {
                assert_eq!(call(|| world.0.sem_stat(semid)).err(), Some(Errno::EINVAL));
                // The first look sweeps.
                call(|| world.0.sem_usage()).expect("sem_usage");
                let (usage, _) = call(|| world.0.sem_usage()).expect("sem_usage");
                assert_eq!(usage.semusz, 0, "sets");
                0
            },
            company: None,
            exact: false,
            slow: true,
            ..PLAIN
        },
    ]
}

/// Waits until somebody has taken the watch, also on a busy machine; not for long, as who would is killed perhaps.
fn until_watched(engine: &Engine, semid: i32) {
    /// What stands there while there is none.
    const NIL: u32 = u32::MAX;
    let path = engine.namespace().path().to_str().expect("a plain path");
    let file = File::open(format!("{path}/sem/{}", semid & 0x7fff)).expect("the set's file");
    let deadline = Instant::now() + 4 * SETTLED;
    let mut word = NIL.to_ne_bytes();
    while u32::from_ne_bytes(word) == NIL && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(1));
        file.read_exact_at(&mut word, usysv::places_in_set::WATCH)
            .expect("the watch");
    }
}

fn watching() -> Vec<Scenario> {
    vec![Scenario {
        name: "stand watch, and hand it on",
        act: |engine, semid| {
            engine.semop(semid, &[op(0, -9, 0)], None).expect("semop");
        },
        meanwhile: Some(|engine, semid| {
            std::thread::sleep(SETTLED);
            let deep = sleeper(engine, semid, &[op(1, -9, 0)]);
            until_watched(engine, semid);
            std::thread::sleep(SETTLED);
            survivor("the giver", || perform(engine, semid, &[op(0, 9, 0)]));
            vec![deep]
        }),
        release: |engine, semid| perform(engine, semid, &[op(1, 9, 0)]),
        check: |world, semid| check(world, semid, &[[14, 5], [5, 5]]),
        exact: false,
        slow: true,
        ..PLAIN
    }]
}
