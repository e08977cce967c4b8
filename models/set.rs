//! Models of a set's sleepers: `crates/usysv/src/sem/{wait,line,handover,ops,undo,recover}.rs` and `bell.rs`.
//!
//! Loom sees the lock, what sleepers sleep on, and the bells; the rest of a set is under the lock.
//! The set has one semaphore.

use crate::abi::{IPC_NOWAIT, SEM_UNDO, Sembuf};
use crate::errno::{Errno, Result};
use crate::object::Kind;
use crate::scene::{ID, Scene, chairs};
use crate::sem::{self, places};
use crate::world::{Event, World, at_each_step, die, explore, world};
use crate::{finds, with_clocks};
use std::rc::Rc;
use std::time::Duration;

/// A sleeper without news looks around after this.
const LIGHT_NS: u64 = 20_000_000;

/// The watch, while nothing is to be undone.
const IDLE_NS: u64 = 500_000_000;

struct Set(Rc<Scene>);

impl Set {
    fn new(w: &World, value: i16) -> Rc<Set> {
        let (len, slots) = sem::file_len(1);
        // The first slots' `state` and `news`.
        let watched = [0, 1, 2, 3].map(|slot| slots + slot * 128);
        let watched = watched.into_iter().chain(chairs(places::CHAIRS as usize));
        let watched: Vec<usize> = watched.flat_map(|at| [at, at + 4]).collect();
        let scene = Scene::new(w, Kind::Sem, len, |map| sem::fill(map, 1), &watched);
        scene.watch_occupants(places::CHAIRS as usize);
        let set = Rc::new(Set(scene));
        if value != 0 {
            set.op(value, 0).expect("a value");
        }
        set
    }

    fn op(&self, sem_op: i16, flags: i32) -> Result<()> {
        self.timed(sem_op, flags, None)
    }

    fn timed(&self, sem_op: i16, flags: i32, timeout: Option<Duration>) -> Result<()> {
        let op = Sembuf {
            sem_num: 0,
            sem_op,
            sem_flg: flags as i16,
        };
        let timeout = match flags & IPC_NOWAIT {
            0 => timeout,
            _ => Some(Duration::ZERO),
        };
        sem::semop(&self.0.ns, &self.0.pin(), ID, &[op], timeout)
    }

    fn back_and_forth(&self) {
        self.op(-1, 0).expect("one");
        self.op(1, 0).expect("a set");
    }

    /// What is left, taken one by one.
    fn drain(&self) -> usize {
        (0..)
            .take_while(|_| self.op(-1, IPC_NOWAIT).is_ok())
            .count()
    }
}

/// Waiters and posters, nobody dies: no time passes.
fn orders(waiters: usize, posters: usize, preemptions: usize) -> usize {
    explore(preemptions, move |w| {
        let set = Set::new(w, 0);
        for _ in 0..waiters {
            let (set, times) = (set.clone(), posters / waiters.min(posters));
            w.spawn(None, move || {
                (0..times).for_each(|_| set.op(-1, 0).expect("one"))
            });
        }
        for _ in 0..posters {
            let (set, each) = (set.clone(), waiters.div_ceil(posters));
            w.spawn(None, move || {
                (0..each).for_each(|_| set.op(1, 0).expect("a set"))
            });
        }
        w.join();
        assert_eq!(set.drain(), 0, "lost or doubled");
    })
}

/// Two wait, and what is posted at once is enough for both.
fn enough_for_both(preemptions: usize) -> usize {
    explore(preemptions, |w| {
        let set = Set::new(w, 0);
        for _ in 0..2 {
            let set = set.clone();
            w.spawn(None, move || set.op(-1, 0).expect("one"));
        }
        let posts = set.clone();
        w.spawn(None, move || posts.op(2, 0).expect("a set"));
        w.join();
        assert_eq!(set.drain(), 0, "lost or doubled");
    })
}

/// Who waits for zero, and who takes.
fn zero(preemptions: usize) -> usize {
    explore(preemptions, |w| {
        let set = Set::new(w, 2);
        let waits = set.clone();
        w.spawn(None, move || waits.op(0, 0).expect("zero"));
        for _ in 0..2 {
            let set = set.clone();
            w.spawn(None, move || set.op(-1, 0).expect("one"));
        }
        w.join();
        assert_eq!(set.drain(), 0);
    })
}

#[test]
fn posted_is_taken() {
    let executions = orders(1, 1, 3) + orders(2, 1, 2) + orders(1, 2, 2) + orders(2, 2, 1);
    println!("posted_is_taken: {executions} executions");
    let executions = with_clocks(|| orders(1, 1, 3) + orders(2, 1, 2));
    println!("the same with clocks: {executions} executions");
    println!("enough_for_both: {} executions", enough_for_both(2));
    println!("zero: {} executions", zero(2));
}

/// A holder with SEM_UNDO dies at some step: who waits hears its bell. The process of a bell may
/// not be gone yet; then it looks again after 20 ms.
fn holder_dies(preemptions: usize) -> (usize, usize) {
    at_each_step(Event::Death, false, preemptions, |w, fate| {
        w.patience_ns.set(LIGHT_NS);
        let set = Set::new(w, 1);
        let dies = set.clone();
        w.spawn(Some(fate), move || dies.op(-1, SEM_UNDO));
        let waits = set.clone();
        w.spawn(None, move || waits.back_and_forth());
        w.join();
        assert_eq!(set.drain(), 1, "not undone once");
    })
}

/// Two wait for a holder that dies after a while; one of them dies at some step, perhaps standing
/// watch for the other, who sleeps deeply by then. The other gets what both left.
fn watch_dies(preemptions: usize) -> (usize, usize) {
    at_each_step(Event::Death, false, preemptions, |w, fate| {
        w.patience_ns.set(5 * LIGHT_NS);
        let set = Set::new(w, 1);
        let dies = set.clone();
        w.spawn(None, move || {
            dies.op(-1, SEM_UNDO).expect("one");
            world().sleep(2 * LIGHT_NS + LIGHT_NS / 2);
            die();
        });
        let waits = set.clone();
        w.spawn(None, move || waits.back_and_forth());
        // Last to sleep, so first to look.
        let watches = set.clone();
        w.spawn(Some(fate), move || watches.op(-1, SEM_UNDO));
        w.join();
        assert_eq!(set.drain(), 1, "not undone once");
    })
}

/// A poster dies at some step, another lives; two wait, or one.
fn poster_dies(preemptions: usize) -> (usize, usize) {
    at_each_step(Event::Death, false, preemptions, |w, fate| {
        // Killed before its wake: the sleeper looks for itself.
        w.patience_ns.set(LIGHT_NS);
        let set = Set::new(w, 0);
        let dies = set.clone();
        let victim = w.spawn(Some(fate), move || dies.op(1, 0));
        let lives = set.clone();
        w.spawn(None, move || lives.op(1, 0).expect("a set"));
        let waits = set.clone();
        w.spawn(None, move || waits.op(-1, 0).expect("one"));
        w.join();
        let victim = w.thread(victim);
        let commits = ["sem.alone.after_commit", "sem.op.after_commit"];
        let posted = !victim.died() || commits.iter().any(|point| victim.passed(point));
        assert_eq!(set.drain(), usize::from(posted), "lost or doubled");
    })
}

/// A poster dies at some step, and one waits, without a clock: posted is taken, with nobody else about.
fn only_sleeper(preemptions: usize) -> (usize, usize) {
    at_each_step(Event::Death, false, preemptions, |w, fate| {
        let set = Set::new(w, 0);
        let waits = set.clone();
        w.spawn(None, move || waits.op(-1, 0).expect("one"));
        let dies = set.clone();
        let victim = w.spawn(Some(fate), move || dies.op(1, 0));
        w.wait_for(victim);
        let victim = w.thread(victim);
        let commits = ["sem.alone.after_commit", "sem.op.after_commit"];
        let posted = !victim.died() || commits.iter().any(|point| victim.passed(point));
        if !posted {
            set.op(1, 0).expect("a set");
        }
        w.join();
    })
}

/// A poster dies at some step, and then another waiter comes, and another poster: both waiters go on, the first
/// of whom may still be waking, or not sleep yet.
fn another_comes(preemptions: usize) -> (usize, usize) {
    at_each_step(Event::Death, false, preemptions, |w, fate| {
        let set = Set::new(w, 0);
        let first = set.clone();
        w.spawn(None, move || first.op(-1, 0).expect("one"));
        let dies = set.clone();
        let victim = w.spawn(Some(fate), move || dies.op(1, 0));
        w.wait_for(victim);
        let second = set.clone();
        w.spawn(None, move || second.op(-1, 0).expect("one"));
        let lives = set.clone();
        w.spawn(None, move || lives.op(2, 0).expect("a set"));
        w.join();
    })
}

/// A poster dies before it wakes the first waiter, which may not sleep yet and then does not see the mark. Then another
/// waiter comes, and who passes by with nothing for either: the first one goes on all the same.
fn another_passes(preemptions: usize) -> usize {
    explore(preemptions, |w| {
        w.patience_ns.set(LIGHT_NS);
        let set = Set::new(w, 0);
        let first = set.clone();
        w.spawn(None, move || first.op(-1, 0).expect("one"));
        let dies = set.clone();
        let victim = w.spawn(None, move || {
            world().me().dies_at.set(Some("chair.unlocked"));
            dies.op(1, 0).expect("a set");
        });
        w.wait_for(victim);
        let second = set.clone();
        w.spawn(None, move || second.op(-1, 0).expect("one"));
        assert_eq!(set.op(-3, IPC_NOWAIT), Err(Errno::EAGAIN));
        set.op(1, 0).expect("a set");
        w.join();
    })
}

/// One waits, without a clock; then another operates with SEM_UNDO, and dies: that is undone, and is enough.
fn holder_comes_later(preemptions: usize) -> usize {
    explore(preemptions, |w| {
        w.patience_ns.set(2 * LIGHT_NS);
        let set = Set::new(w, 1);
        let waits = set.clone();
        w.spawn(None, move || waits.op(-2, 0).expect("two"));
        let dies = set.clone();
        w.spawn(None, move || {
            dies.op(-1, SEM_UNDO).expect("one");
            dies.op(1, 0).expect("a set");
            die();
        });
        w.join();
        assert_eq!(set.drain(), 0, "not undone once");
    })
}

#[test]
fn somebody_dies() {
    let (executions, steps) = only_sleeper(2);
    println!("only_sleeper: {executions} executions, {steps} steps");
    let (executions, steps) = another_comes(0);
    println!("another_comes: {executions} executions, {steps} steps");
    println!("another_passes: {} executions", another_passes(2));
    let (executions, steps) = holder_dies(2);
    println!("holder_dies: {executions} executions, {steps} steps");
    println!("holder_comes_later: {} executions", holder_comes_later(1));
    let (executions, steps) = watch_dies(0);
    println!("watch_dies: {executions} executions, {steps} steps");
    let (executions, steps) = poster_dies(1);
    println!("poster_dies: {executions} executions, {steps} steps");
}

/// A waiter is interrupted at some step: it had what it waited for, or the other gets it at once.
fn waiter_is_interrupted(preemptions: usize) -> (usize, usize) {
    at_each_step(Event::Signal, false, preemptions, |w, fate| {
        // It sleeps on if the handler runs between its last look and the system call, perhaps as the watch.
        w.patience_ns.set(IDLE_NS);
        let set = Set::new(w, 0);
        let first = set.clone();
        w.spawn(Some(fate), move || match first.op(-1, 0) {
            Err(e) => assert_eq!(e, Errno::EINTR),
            Ok(()) => first.op(1, 0).expect("a set"),
        });
        let second = set.clone();
        let begin = w.now_ns.get();
        w.spawn(None, move || {
            second.op(-1, 0).expect("one");
            assert_eq!(world().now_ns.get(), begin, "woken late");
            second.op(1, 0).expect("a set");
        });
        let posts = set.clone();
        w.spawn(None, move || posts.op(1, 0).expect("a set"));
        w.join();
        assert_eq!(set.drain(), 1, "lost or doubled");
    })
}

/// The only sleeper is interrupted, and somebody passes by who has nothing for it: the wait ends.
fn interrupted_alone(preemptions: usize) -> usize {
    explore(preemptions, |w| {
        w.patience_ns.set(1);
        let set = Set::new(w, 0);
        let waits = set.clone();
        let waiter = w.spawn(None, move || {
            assert_eq!(waits.op(-1, 0), Err(Errno::EINTR));
        });
        // Until it sleeps.
        w.sleep(1);
        let passes = set.clone();
        w.spawn(None, move || {
            assert_eq!(passes.op(-1, IPC_NOWAIT), Err(Errno::EAGAIN));
        });
        w.signal(waiter);
        w.join();
    })
}

/// Time is up just when somebody posts: one of them ends the wait.
fn time_is_up(preemptions: usize) -> usize {
    explore(preemptions, |w| {
        w.patience_ns.set(LIGHT_NS / 2);
        let set = Set::new(w, 0);
        let waits = set.clone();
        w.spawn(None, move || {
            let ended = waits.timed(-1, 0, Some(Duration::from_nanos(LIGHT_NS / 2)));
            let left = usize::from(ended.is_err());
            assert!(ended.is_ok() || ended == Err(Errno::EAGAIN), "{ended:?}");
            (0..left).for_each(|_| waits.op(-1, 0).expect("one"));
        });
        let posts = set.clone();
        w.spawn(None, move || {
            world().sleep(LIGHT_NS / 2);
            posts.op(1, 0).expect("a set");
        });
        w.join();
        assert_eq!(set.drain(), 0, "lost or doubled");
    })
}

#[test]
fn somebody_withdraws() {
    let (executions, steps) = waiter_is_interrupted(1);
    println!("waiter_is_interrupted: {executions} executions, {steps} steps");
    let (executions, steps) = with_clocks(|| waiter_is_interrupted(1));
    println!("the same with clocks: {executions} executions, {steps} steps");
    println!("interrupted_alone: {} executions", interrupted_alone(2));
    println!("time_is_up: {} executions", time_is_up(3));
}

#[test]
fn mistakes_in_sleeping_are_found() {
    let two = || orders(2, 1, 2);
    let both = || enough_for_both(2);
    let interrupted = || waiter_is_interrupted(1);
    finds("posts past sleepers", "lost wake", two);
    finds("takes enough for too little", "lost wake", two);
    finds("no wake for who went on", "lost wake", both);
    finds("no wake for who was handed it", "lost wake", two);
    finds("handed over without news", "lost wake", two);
    finds("handed past the second in line", "lost wake", both);
    finds("a slot is taken from who waits there", "lost wake", two);
    // What the engine did: it woke one that slept on after its wait had ended.
    let with_clocks = || with_clocks(|| waiter_is_interrupted(1));
    finds("wakes one of two sleepers", "woken late", with_clocks);
    finds("a handler keeps the chair", "woken late", interrupted);
    finds("rises while others claim", "lost wake", || {
        interrupted_alone(2)
    });
    finds("a handler stays in line", "lost", interrupted);
    finds("gives up what it got", "EIO", || time_is_up(3));
}

#[test]
fn mistakes_about_the_dead_are_found() {
    let holder = || holder_dies(1);
    finds("the dead hold on", "lost wake", holder);
    finds("an undo for nobody", "lost wake", holder);
    finds("operations are not redone", "lost or doubled", || {
        poster_dies(1)
    });
    finds("a row for who has no clock", "lost wake", || {
        holder_comes_later(1)
    });
    finds("forgives what the dead owed", "lost wake", || {
        another_passes(2)
    });
    finds("a bell without a mark", "lost wake", || watch_dies(0));
    finds("deep sleepers are deaf", "lost wake", || watch_dies(0));
}
