//! Processes that make, attach, inherit, detach and remove segments.
//!
//! When all of them are killed, nobody has anything attached, and when that is removed, nothing is
//! left of it.

use super::{Dice, Victims, commas};
use crate::rig::*;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use usysv::abi::IPC_CREAT;
use usysv::{Engine, SharedMemory};

const WORKERS: usize = 4;
const KEYS: u64 = 3;
const SIZE: usize = 3 * 4096;
/// Kills after which all are killed, and it is looked what is left.
const ROUND: usize = 100;

/// What a worker has attached, if anything.
#[derive(Default)]
struct Places([usize; 8]);

/// Does something at random.
fn act(engine: &Engine, dice: &mut Dice, places: &mut Places) {
    let place = &mut places.0[dice.roll(8) as usize];
    let key = 1 + dice.roll(KEYS) as i32;
    let shmid = engine.shmget(key, SIZE, IPC_CREAT | 0o600).expect("shmget");
    match dice.roll(8) {
        0..=2 if *place == 0 => {
            // SAFETY: anywhere, so nothing is replaced. Somebody may have removed it meanwhile.
            *place = unsafe { engine.shmat(shmid, 0, 0) }.unwrap_or(0);
        }
        0..=4 if *place != 0 => {
            // SAFETY: an attachment of this process's, which nobody uses.
            unsafe { engine.shmdt(std::mem::take(place)) }.expect("shmdt");
        }
        5 => drop(engine.shm_remove(shmid)),
        6 => drop(engine.shm_stat(shmid)),
        7 => drop(engine.shm_usage().expect("shm_usage")),
        _ => {}
    }
}

/// Forks as the preload library does. The child works for a while, and dies with its parent.
fn fork(engine: &Engine, dice: &mut Dice, places: &mut Places) {
    // One at a time.
    // SAFETY: waits for the last one.
    unsafe { libc::waitpid(-1, std::ptr::null_mut(), 0) };
    let Some(fork) = engine.before_fork() else {
        return;
    };
    // SAFETY: asks for a number.
    let parent = unsafe { libc::getpid() };
    // SAFETY: this process has one thread; the child leaves by _exit.
    match unsafe { libc::fork() } {
        0 => {
            // SAFETY: asks for a signal, for which it may be too late.
            unsafe {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                if libc::getppid() != parent {
                    libc::_exit(0);
                }
            }
            engine.in_child();
            for _ in 0..dice.roll(40) {
                act(engine, dice, places);
            }
            // SAFETY: ends this process.
            unsafe { libc::_exit(0) }
        }
        pid => {
            engine.after_fork(&fork, u32::try_from(pid).ok());
        }
    }
}

/// In a process of its own, which inherits the children of killed victims.
fn round(world: &World, kills: usize, acts: &AtomicUsize) {
    let engine = &world.0;
    // SAFETY: asks for other people's children.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) };
    let mut victims = Victims::start(WORKERS, |_| {
        Child::fork(|| {
            let (mut dice, mut places) = (Dice::new(), Places::default());
            loop {
                act(engine, &mut dice, &mut places);
                acts.fetch_add(1, SeqCst);
                if dice.roll(16) == 0 {
                    fork(engine, &mut dice, &mut places);
                }
            }
        })
    });
    for _ in 0..kills {
        victims.kill_one(|_| ());
    }
    victims.kill_all(|_| ());
    // SAFETY: waits for whatever children there are.
    while unsafe { libc::waitpid(-1, std::ptr::null_mut(), 0) } > 0 {}
    survivor("random kills", || {
        for key in 1..=KEYS as i32 {
            if let Ok(shmid) = engine.shmget(key, SIZE, 0) {
                let ds = call(|| engine.shm_stat(shmid)).expect("shm_stat");
                assert_eq!(ds.shm_nattch, 0, "the segment with key {key}");
                call(|| engine.shm_remove(shmid)).expect("shm_remove");
            }
        }
        world.assert_no_segments();
    });
}

#[test]
fn segments_leave_nothing() {
    let world = World::new();
    // SAFETY: an atomic, for which zero is good.
    let acts: Shared<AtomicUsize> = unsafe { Shared::new() };
    let kills = kills(300);
    let mut left = kills;
    let mut killed = 0;
    while left > 0 {
        survivor("a round", || round(&world, left.min(ROUND), &acts));
        killed += left.min(ROUND) + WORKERS;
        left -= left.min(ROUND);
    }
    eprintln!(
        "segments: {} kills, {} calls of theirs: all accounted for (nobody has anything attached, \
         nothing is left on disk)",
        commas(killed),
        commas(acts.load(SeqCst))
    );
    assert!(acts.load(SeqCst) > 100);
}
