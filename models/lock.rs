//! Models of an object's lock: `crates/usysv/src/lock.rs`.

use crate::atomic::{AtomicU32, Ordering::SeqCst};
use crate::lock::{Left, Lock};
use crate::pidns::Word;
use crate::world::{Event, World, at_each_step, die, explore, step_here, world};
use crate::{critical, finds, process};
use std::cell::Cell;
use std::rc::Rc;

/// What the lock protects.
struct Room {
    lock: &'static Lock,
    word: &'static AtomicU32,
    inside: Cell<Option<usize>>,
    /// Who comes next has to be told that the last holder left ruins.
    ruined: Cell<bool>,
    visits: loom::cell::UnsafeCell<usize>,
    deaths: bool,
}

impl Room {
    fn new(w: &World, deaths: bool) -> Rc<Room> {
        let memory = w.memory(64, false);
        // SAFETY: zeroes are a lock, in memory that lasts; it begins with its word. The list's links
        // are for its holder and the kernel.
        let (lock, word) = unsafe { (&*memory.cast(), &*memory.cast::<AtomicU32>()) };
        word.watch();
        Rc::new(Room {
            lock,
            word,
            inside: Cell::new(None),
            ruined: Cell::new(false),
            visits: loom::cell::UnsafeCell::new(0),
            deaths,
        })
    }

    fn enter(&self) {
        self.entered(self.lock.lock().expect("a lock"));
    }

    /// True: for a short time.
    fn enter_short(&self) -> bool {
        let me = process::thread().expect("a thread");
        critical::enter();
        let short = self.lock.try_short(me);
        match short {
            true => self.entered(Left::Order),
            false => {
                critical::leave();
                self.enter();
            }
        }
        short
    }

    fn entered(&self, left: Left) {
        let me = process::identity().expect("a thread").pid as usize - 100;
        if let Some(other) = self.inside.replace(Some(me)) {
            let died = self.deaths && world().thread(other).exits();
            assert!(died, "two hold the lock: {other} and {me}");
            self.ruined.set(true);
        }
        match left {
            Left::Ruins => assert!(self.deaths || self.ruined.get(), "ruins without a death"),
            Left::Order => assert!(!self.ruined.get(), "nobody told of a death"),
        }
        // SAFETY: loom fails here if the visits are not one after the other.
        self.visits.with_mut(|visits| unsafe { *visits += 1 });
        step_here("inside");
    }

    fn visit(&self) {
        self.enter();
        self.ruined.set(false);
        self.inside.set(None);
        self.lock.unlock();
    }

    fn visit_short(&self) {
        let short = self.enter_short();
        self.ruined.set(false);
        self.inside.set(None);
        match short {
            true => self.lock.unlock_short(process::thread().expect("a thread")),
            false => self.lock.unlock(),
        }
    }
}

/// Nobody dies: no time passes, so no wake is lost.
fn orders(threads: usize, visits: usize, short: bool, spins: bool, preemptions: usize) -> usize {
    explore(preemptions, move |w| {
        w.spins.set(spins);
        let room = Room::new(w, false);
        for _ in 0..threads {
            let room = room.clone();
            w.spawn(None, move || (0..visits).for_each(|_| room.visit()));
        }
        if short {
            let room = room.clone();
            w.spawn(None, move || room.visit_short());
        }
        w.join();
        room.visit();
        // SAFETY: all others ended.
        let all = room.visits.with(|visits| unsafe { *visits });
        assert_eq!(all, threads * visits + usize::from(short) + 1);
    })
}

#[test]
fn one_at_a_time() {
    let executions = orders(2, 2, false, false, 3)
        + orders(3, 1, false, false, 3)
        + orders(2, 1, true, false, 3)
        + orders(2, 1, false, true, 2);
    println!("one_at_a_time: {executions} executions");
}

/// The first thread dies at some step of its visit. With one other the lock is free at once; one
/// that finds it free just then may leave a third asleep until it looks, after 100 ms.
fn deaths(short: bool, others: usize, looks: u64, preemptions: usize) -> (usize, usize) {
    at_each_step(Event::Death, true, preemptions, move |w, fate| {
        w.patience_ns.set(looks * 100_000_000);
        let room = Room::new(w, true);
        let dies = room.clone();
        w.spawn(Some(fate), move || match short {
            true => dies.visit_short(),
            false => dies.visit(),
        });
        for _ in 0..others {
            let room = room.clone();
            w.spawn(None, move || room.visit());
        }
        w.join();
        room.visit();
    })
}

/// One died inside; who takes the lock after it dies at some step, too.
fn two_deaths() -> (usize, usize) {
    at_each_step(Event::Death, true, 2, |w, fate| {
        let room = Room::new(w, true);
        let dies = room.clone();
        w.spawn(None, move || {
            dies.enter();
            die();
        });
        let dies = room.clone();
        w.spawn(Some(fate), move || dies.visit());
        w.join();
        room.visit();
    })
}

/// The word names a holder that never was, which no kernel marks: who waits takes the lock in its
/// third doubt, and no two do.
fn scribbled(threads: usize, preemptions: usize) -> usize {
    explore(preemptions, move |w| {
        w.patience_ns.set(400_000_000);
        let room = Room::new(w, false);
        room.word.store(77, SeqCst);
        room.ruined.set(true);
        for _ in 0..threads {
            let room = room.clone();
            w.spawn(None, move || room.visit());
        }
        w.join();
        room.visit();
    })
}

/// The holder is of another pid namespace, where nobody sees it from here, and is stopped for longer
/// than any doubt lasts, or dies. Where all were of one before, or of several.
fn strangers(dies: bool, preemptions: usize) -> usize {
    explore(preemptions, move |w| {
        w.patience_ns.set(3_000_000_000);
        let room = Room::new(w, dies);
        // SAFETY: zeroes, in memory that lasts.
        let users: &'static Word = unsafe { &*w.memory(64, true).cast() };
        w.users.set(Some(users));
        users.enter(1);
        let (holder, world) = (room.clone(), w.clone());
        let stranger = w.spawn(None, move || {
            users.enter(2);
            holder.enter();
            if dies {
                die();
            }
            world.sleep(1_000_000_000);
            holder.ruined.set(false);
            holder.inside.set(None);
            holder.lock.unlock();
        });
        w.stranger.set(Some(stranger));
        let other = room.clone();
        w.spawn(None, move || {
            users.enter(1);
            other.visit();
        });
        w.join();
        room.visit();
    })
}

#[test]
fn a_stranger_is_stopped() {
    println!("a_stranger_is_stopped: {} executions", strangers(false, 2));
    println!("a_stranger_dies: {} executions", strangers(true, 2));
}

#[test]
fn mistakes_about_strangers_are_found() {
    let stopped = || strangers(false, 2);
    finds("a stranger is robbed", "two hold the lock", stopped);
    finds("the last one counts", "two hold the lock", stopped);
}

#[test]
fn a_holder_that_never_was() {
    println!(
        "a_holder_that_never_was: {} executions",
        scribbled(2, 2) + scribbled(3, 1)
    );
}

#[test]
fn a_holder_dies() {
    for short in [false, true] {
        let (executions, steps) = deaths(short, 1, 0, 2);
        println!("a_holder_dies, one waits: {executions} executions, {steps} steps");
        let (executions, steps) = deaths(short, 2, 1, 1);
        println!("a_holder_dies, two wait: {executions} executions, {steps} steps");
    }
    let (executions, steps) = two_deaths();
    println!("a_holder_dies, and the next: {executions} executions, {steps} steps");
}

fn two_doubters() {
    scribbled(2, 2);
}

fn two_orders() {
    orders(2, 2, false, false, 2);
}

fn three_orders() {
    orders(3, 1, false, false, 2);
}

fn one_death() {
    deaths(false, 1, 0, 2);
}

fn one_short_death() {
    deaths(true, 1, 0, 2);
}

/// One waits for the lock, dies when it has it, and another waits for that.
fn a_waiters_death() {
    two_deaths();
}

#[test]
fn mistakes_in_the_word_are_found() {
    finds("unlock without release", "Causality violation", two_orders);
    finds("lock without acquire", "Causality violation", two_orders);
    finds("waiter without a mark", "lost wake", two_orders);
    finds("wakes nobody", "lost wake", two_orders);
    finds("taker forgets the others", "lost wake", three_orders);
    // What the engine did: both doubters took it, the second from the first.
    finds(
        "a doubt outlives its holder",
        "ruins without a death",
        two_doubters,
    );
}

#[test]
fn mistakes_about_deaths_are_found() {
    finds("no pending while taking", "lost wake", one_death);
    finds("no pending while releasing", "lost wake", one_death);
    finds("pending ends before the link", "lost wake", one_death);
    finds("pending ends before the release", "lost wake", one_death);
    finds("no pending while waiting", "lost wake", a_waiters_death);
    finds("a short holder is nobody's", "lost wake", one_short_death);
    finds("ruins taken for order", "nobody told of a death", one_death);
}
