//! Storms: processes that are stopped and continued all the time.

use crate::Dice;
use crate::crowds::{op, until, words};
use crate::rig::*;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};
use usysv::abi::IPC_PRIVATE;
use usysv::{Engine, Messages, Semaphores};

const MOST: usize = 1 << 20;
const PRODUCERS: usize = 2;
const STORM: Duration = Duration::from_millis(1000);

/// A stopped receiver keeps its place, and what it was handed comes back after a second (documented);
/// a stopped sleeper in semop goes on when it is continued. Nothing is lost, nothing comes twice, and
/// all goes on when the storm is over.
pub fn stop_and_continue() {
    let world = World::new();
    let engine = &world.0;
    let queue = engine.msgget(IPC_PRIVATE, 0o600).expect("msgget");
    let set = engine.semget(IPC_PRIVATE, 2, 0o600).expect("semget");
    engine.sem_put(set, 0, 1).expect("SETVAL");
    let (seen, words) = (words(MOST), words(8));
    let [next, over, turns, ..] = words else {
        panic!("words")
    };
    let produce = || {
        while over.load(SeqCst) == 0 {
            let number = next.fetch_add(1, SeqCst);
            let sent = engine.msgsnd(queue, 1, &number.to_ne_bytes(), 0);
            sent.expect("msgsnd");
        }
        engine
            .msgsnd(queue, 1, &u32::MAX.to_ne_bytes(), 0)
            .expect("msgsnd");
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
    let turn = |me: u16| {
        while over.load(SeqCst) == 0 {
            let (mut take, mut give) = (op(-1, 0), op(1, 0));
            (take.sem_num, give.sem_num) = (me, 1 - me);
            engine
                .semop(set, &[take, give], Some(Duration::from_secs(9)))
                .expect("a turn");
            turns.fetch_add(1, SeqCst);
        }
    };
    let mut children: Vec<Child> = (0..PRODUCERS)
        .flat_map(|_| [Child::fork(produce), Child::fork(consume)])
        .collect();
    children.extend((0..2).map(|me| Child::fork(|| turn(me))));
    let stops = storm(&children);
    over.store(1, SeqCst);
    // A turn that nobody gives any more.
    until("the turns end", 5, || {
        post(engine, set);
        children[2 * PRODUCERS..].iter().all(Child::has_ended)
    });
    for child in children {
        assert_eq!(child.wait(), End::Exit(0));
    }
    let sent = next.load(SeqCst) as usize;
    assert!(sent < MOST && sent > 1000, "{sent} sent");
    let wrong = (0..sent).find(|number| seen[*number].load(SeqCst) != 1);
    assert_eq!(wrong, None, "lost or doubled, of {sent}");
    check_queue(engine, queue, &[]);
    eprintln!(
        "endurance: storm: {stops} stops, {sent} messages, {} turns",
        turns.load(SeqCst)
    );
}

fn post(engine: &Engine, set: i32) {
    let mut posts = [op(1, 0), op(1, 0)];
    posts[1].sem_num = 1;
    engine.semop(set, &posts, None).expect("semop");
}

fn storm(children: &[Child]) -> usize {
    let mut dice = Dice::new();
    let (begun, mut stops) = (Instant::now(), 0);
    let signal = |child: usize, signal| {
        // SAFETY: a child that has not been waited for.
        unsafe { libc::kill(children[child].pid(), signal) };
    };
    while begun.elapsed() < STORM {
        let who = dice.roll(children.len() as u64) as usize;
        signal(who, libc::SIGSTOP);
        stops += 1;
        std::thread::sleep(Duration::from_micros(dice.roll(500)));
        // Now and then it stays so for a while, and others follow.
        if dice.roll(8) != 0 {
            signal(who, libc::SIGCONT);
        }
        if dice.roll(16) == 0 {
            (0..children.len()).for_each(|child| signal(child, libc::SIGCONT));
        }
    }
    (0..children.len()).for_each(|child| signal(child, libc::SIGCONT));
    stops
}
