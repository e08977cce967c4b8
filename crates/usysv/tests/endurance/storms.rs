//! Storms: processes that are stopped and continued all the time.

use crate::Dice;
use crate::crowds::{op, words};
use crate::rig::*;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};
use usysv::abi::IPC_PRIVATE;
use usysv::{Messages, SemField, Semaphores};

const MOST: usize = 1 << 20;
const CONSUMERS: usize = 4;
/// Longer than a message waits for a stopped receiver that it was handed to.
const STORM: Duration = Duration::from_millis(1300);

/// A stopped receiver keeps its place, and what it was handed comes back after a second (documented);
/// a stopped sleeper in semop goes on when it is continued. Nothing is lost, nothing comes twice, no
/// two are inside at once, and all goes on when the storm is over.
pub fn stop_and_continue() {
    let world = World::new();
    let engine = &world.0;
    let queue = engine.msgget(IPC_PRIVATE, 0o600).expect("msgget");
    let set = engine.semget(IPC_PRIVATE, 1, 0o600).expect("semget");
    engine.sem_put(set, 0, 1).expect("SETVAL");
    let (seen, words) = (words(MOST), words(4));
    let [next, over, inside, turns] = words else {
        panic!("four words")
    };
    // Slower than the consumers, so that these sleep and are handed what comes.
    let produce = || {
        while over.load(SeqCst) == 0 {
            let number = next.fetch_add(1, SeqCst);
            let sent = engine.msgsnd(queue, 1, &number.to_ne_bytes(), 0);
            sent.expect("msgsnd");
            std::thread::sleep(Duration::from_micros(20));
        }
        for _ in 0..CONSUMERS {
            let sent = engine.msgsnd(queue, 1, &u32::MAX.to_ne_bytes(), 0);
            sent.expect("msgsnd");
        }
    };
    let consume = || {
        let mut buffer = [0; 4];
        loop {
            engine.msgrcv(queue, &mut buffer, 0, 0).expect("msgrcv");
            match u32::from_ne_bytes(buffer) {
                u32::MAX => break,
                number => seen[number as usize % MOST].fetch_add(1, SeqCst),
            };
        }
    };
    let turn = || {
        while over.load(SeqCst) == 0 {
            engine.semop(set, &[op(-1, 0)], None).expect("semop");
            assert_eq!(inside.fetch_add(1, SeqCst), 0, "two inside");
            inside.fetch_sub(1, SeqCst);
            turns.fetch_add(1, SeqCst);
            engine.semop(set, &[op(1, 0)], None).expect("semop");
        }
    };
    let mut children: Vec<Child> = (0..CONSUMERS).map(|_| Child::fork(consume)).collect();
    children.push(Child::fork(produce));
    children.extend((0..3).map(|_| Child::fork(turn)));
    let stops = storm(&children);
    over.store(1, SeqCst);
    for child in children {
        assert_eq!(child.wait(), End::Exit(0));
    }
    let sent = next.load(SeqCst) as usize;
    assert!(sent < MOST && sent > 100, "{sent} sent");
    let wrong = (0..sent).find(|number| seen[*number].load(SeqCst) != 1);
    assert_eq!(wrong, None, "lost or doubled, of {sent}");
    check_queue(engine, queue, &[]);
    assert_eq!(engine.sem_get(set, 0, SemField::Value), Ok(1));
    eprintln!(
        "endurance: storm: {stops} stops, {sent} messages, {} turns",
        turns.load(SeqCst)
    );
}

fn storm(children: &[Child]) -> usize {
    let mut dice = Dice::new();
    let (begun, mut stops) = (Instant::now(), 0);
    let signal = |child: usize, signal| {
        // SAFETY: a child that has not been waited for.
        unsafe { libc::kill(children[child].pid(), signal) };
    };
    // One consumer stays stopped nearly to the end.
    signal(0, libc::SIGSTOP);
    while begun.elapsed() < STORM {
        let who = 1 + dice.roll(children.len() as u64 - 1) as usize;
        signal(who, libc::SIGSTOP);
        stops += 1;
        std::thread::sleep(Duration::from_micros(dice.roll(500)));
        // Now and then it stays so for a while, and others follow.
        if dice.roll(8) != 0 {
            signal(who, libc::SIGCONT);
        }
        if dice.roll(16) == 0 {
            (1..children.len()).for_each(|child| signal(child, libc::SIGCONT));
        }
    }
    (0..children.len()).for_each(|child| signal(child, libc::SIGCONT));
    stops
}
