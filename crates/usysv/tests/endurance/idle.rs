//! Sleepers that nothing happens to: they use no CPU to speak of, and they are not forgotten.

use crate::crowds::{op, until, words};
use crate::rig::*;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::{Duration, Instant};
use usysv::abi::{IPC_NOWAIT, IPC_PRIVATE, SEM_UNDO};
use usysv::{Engine, Messages, Semaphores};

/// As many of each kind.
const SLEEPERS: usize = 50;
const WHILE: Duration = Duration::from_millis(1500);

/// Nanoseconds that a process has run so far.
fn cpu_ns(child: &Child) -> u64 {
    let path = format!("/proc/{}/schedstat", child.pid());
    let text = std::fs::read_to_string(path).expect("schedstat");
    let ns = text.split(' ').next().expect("a time");
    ns.parse().expect("a number")
}

fn sleepers(f: impl Fn()) -> Vec<Child> {
    let begun = &words(1)[0];
    let children = (0..SLEEPERS)
        .map(|_| {
            Child::fork(|| {
                begun.fetch_add(1, SeqCst);
                f();
            })
        })
        .collect();
    until("all begin", 50, || begun.load(SeqCst) == SLEEPERS as u32);
    children
}

/// Who sleeps alone does not run at all, also when it is left alone by others.
pub fn who_sleeps_alone_does_not_run() {
    let world = World::new();
    let engine = &world.0;
    let [queue, full] = [(); 2].map(|()| engine.msgget(IPC_PRIVATE, 0o600).expect("msgget"));
    let set = engine.semget(IPC_PRIVATE, 1, 0o600).expect("semget");
    while engine.msgsnd(full, 1, &[0; 8000], IPC_NOWAIT).is_ok() {}
    let others = [
        Child::fork(|| {
            let _ = engine.msgrcv(queue, &mut [0; 8], 2, 0);
        }),
        Child::fork(|| {
            let _ = engine.semop(set, &[op(-2, 0)], None);
        }),
    ];
    others.iter().for_each(Child::until_asleep);
    let alone = [
        Child::fork(|| {
            let _ = engine.msgrcv(queue, &mut [0; 8], 1, 0);
        }),
        Child::fork(|| {
            let _ = engine.msgsnd(full, 1, &[0; 8000], 0);
        }),
        Child::fork(|| {
            let _ = engine.semop(set, &[op(-2, 0)], None);
        }),
    ];
    alone.iter().for_each(Child::until_asleep);
    engine.msgsnd(queue, 2, &[], 0).expect("msgsnd");
    engine.semop(set, &[op(2, 0)], None).expect("semop");
    for other in others {
        assert_eq!(other.wait(), End::Exit(0));
    }
    // Until each has looked and found that it is alone.
    std::thread::sleep(Duration::from_millis(1500));
    let before = alone.each_ref().map(cpu_ns);
    std::thread::sleep(WHILE);
    assert_eq!(alone.each_ref().map(cpu_ns), before, "it ran");
    engine.msgsnd(queue, 1, &[], 0).expect("msgsnd");
    engine.msgrcv(full, &mut [0; 8000], 0, 0).expect("msgrcv");
    engine.semop(set, &[op(2, 0)], None).expect("semop");
    for child in alone {
        assert_eq!(child.wait(), End::Exit(0));
    }
}

/// On Linux a sleeper uses nothing. Here one among many looks for itself now and then, as nobody would tell it
/// of some deaths; of those who sleep on a set that has something to be undone, one looks often.
pub fn idle_sleepers_use_no_cpu() {
    let world = World::new();
    let engine = &world.0;
    let queue = engine.msgget(IPC_PRIVATE, 0o600).expect("msgget");
    let [set, held] = [(); 2].map(|()| engine.semget(IPC_PRIVATE, 1, 0o600).expect("semget"));
    // Two that live and have something to be undone: the watch cannot listen for one death.
    let holders: Vec<Child> = (0..2).map(|_| holder(engine, held)).collect();
    let kinds = [
        (
            "msgrcv",
            sleepers(|| {
                let _ = engine.msgrcv(queue, &mut [0; 8], 1, 0);
            }),
        ),
        (
            "semop",
            sleepers(|| {
                let _ = engine.semop(set, &[op(-1, 0)], None);
            }),
        ),
        (
            "semop, undo held",
            sleepers(|| {
                let _ = engine.semop(held, &[op(-9, SEM_UNDO)], None);
            }),
        ),
    ];
    // Until each sleeps as it will.
    std::thread::sleep(Duration::from_millis(1500));
    let before = kinds
        .each_ref()
        .map(|(_, kind)| kind.iter().map(cpu_ns).collect::<Vec<_>>());
    let begun = Instant::now();
    std::thread::sleep(WHILE);
    let seconds = begun.elapsed().as_secs_f64();
    for ((name, children), before) in kinds.iter().zip(&before) {
        let used: Vec<u64> = children
            .iter()
            .zip(before)
            .map(|(child, before)| cpu_ns(child) - before)
            .collect();
        let share = |ns: f64| ns / 1e9 / seconds * 100.0;
        let mean = share(used.iter().sum::<u64>() as f64 / SLEEPERS as f64);
        let most = share(*used.iter().max().expect("somebody") as f64);
        eprintln!(
            "endurance: idle in {name}: {mean:.4} % of a CPU each, {most:.4} % at most, over {seconds:.1} s"
        );
        assert!(mean < 0.1 && most < 1.0, "{name}");
    }
    drop((kinds, holders));
}

/// A process that has taken one with SEM_UNDO, and lives on.
fn holder(engine: &Engine, set: i32) -> Child {
    let took = &words(1)[0];
    engine.semop(set, &[op(1, 0)], None).expect("semop");
    let child = Child::fork(|| {
        engine.semop(set, &[op(-1, SEM_UNDO)], None).expect("semop");
        took.store(1, SeqCst);
        std::thread::sleep(Duration::from_secs(50));
    });
    until("the holder", 10, || took.load(SeqCst) == 1);
    child
}

const SETS: usize = 24;

/// Four sleep on a set: one stands watch, two listen for its death, one sleeps deeply. When those
/// three were killed at once, the fourth did not notice further deaths for ten seconds. Now it sees
/// within one that its watch is gone.
pub fn a_sleeper_whose_watches_are_all_killed() {
    let world = World::new();
    let engine = &world.0;
    let woken: &[AtomicU32] = words(SETS);
    let mut sets: Vec<(Child, Vec<Child>)> = (0..SETS)
        .map(|i| {
            let set = engine.semget(IPC_PRIVATE, 1, 0o600).expect("semget");
            let holder = holder(engine, set);
            let sleep = || {
                engine.semop(set, &[op(-1, 0)], None).expect("semop");
                woken[i].store(1, SeqCst);
            };
            (holder, (0..4).map(|_| Child::fork(sleep)).collect())
        })
        .collect();
    // Until each of the four has its part.
    std::thread::sleep(Duration::from_millis(1300));
    for (i, (_, sleepers)) in sets.iter_mut().enumerate() {
        let last = sleepers.swap_remove(i % 4);
        sleepers.iter().for_each(Child::kill);
        *sleepers = vec![last];
    }
    std::thread::sleep(Duration::from_millis(20));
    sets.iter().for_each(|(holder, _)| holder.kill());
    let begun = Instant::now();
    let all = || woken.iter().all(|woken| woken.load(SeqCst) == 1);
    while !all() && begun.elapsed() < Duration::from_secs(15) {
        std::thread::sleep(Duration::from_millis(1));
    }
    let took = begun.elapsed();
    eprintln!("endurance: the last of {SETS} whose watches were killed went on after {took:?}");
    assert!(all() && took < Duration::from_secs(2), "{took:?}");
}
