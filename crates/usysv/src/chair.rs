//! Chairs: where the only sleeper of an object sleeps without a clock.
//!
//! Who sleeps among others looks for itself now and then, should a waker be killed. A clock costs as
//! much as a tenth of a hand-over, and wakes an idle machine. So who is alone in line takes a chair,
//! and whoever may have something for it *owes*: before anything is committed the waker writes itself
//! into the chair's word and links it into its robust list, and it pays, after the unlock, by freeing
//! the word and waking. Killed in between, the kernel marks the word and wakes the sleeper, which
//! repairs the object, as who takes the lock next, and finds its news. A second one in line gets the
//! first to stand up, and then both have clocks.
//!
//! | word | meaning | leaves it by |
//! |---|---|---|
//! | 0 | nobody sits, or who does is to stand up | sit -> SAT |
//! | SAT | somebody sleeps here | claim -> tid, SAT; a handler in its thread, under the lock -> 0 |
//! | tid, SAT | that thread owes a wake | forgive -> SAT; pay -> 0; the kernel -> DIED, SAT |
//! | DIED, SAT | it was killed: look | sit -> SAT; claim -> tid, SAT, and that one pays |
//!
//! All but `pay`, the kernel's mark and `vacate` happens under the object's lock. At most one chair has both a
//! word and an occupant that lives, so a waker cannot take the wrong one for the sleeper's. Nobody else sits
//! down before the occupant has said that it does not sleep, or is dead: the word that it sleeps on would be
//! as before. One that leaves by `longjmp` never says so. There are two chairs, as who is served may still be
//! waking when the server lines up; if both are taken there are clocks.
//!
//! A waker that is stopped between unlock and `pay` keeps the sleeper asleep, as a stopped holder of a lock does.
//!
//! A handler that nobody announces (`sleeping`) and that has `SA_RESTART` would not end a wait without a clock: glibc
//! has one for its threads (for `setuid` by one of them). Threads have clocks until the preload library stands before it.
//!
//! A handler may fork, and return in the copy, which is no occupant: it leaves everything as it is (`Seat`), and its
//! own sleep ends (`endless`). A thread that is cancelled is woken by `cancelling`.
//!
//! Where nonsense lies in a chair, wakes go to it as to nobody's: whoever reaches nobody elsewhere, or finds no object
//! any more, wakes both chairs.
//!
//! A file that is cut off wakes nobody. So whoever sleeps in one that other users can write to has a clock.
//!
//! No lock. Killed between freeing the word and the wake: the word lies in the list's `pending`, and
//! for a word without an owner the kernel wakes (since Linux 5.5).
//!
//! Models: `models/queue.rs`, `models/set.rs`.
#![allow(unsafe_code)]

use crate::bell::{self, Bell};
use crate::cancelling;
use crate::crash::crashpoint;
use crate::critical;
use crate::errno::{Errno, Result};
use crate::lock::{DIED, Head, Lock, OFFSET, TID, WAITERS, set_prev};
use crate::map::expect;
use crate::namespace::Namespace;
use crate::object::Object;
use crate::process;
use crate::sleeping;
use crate::sys;
use crate::tls;
use core::cell::Cell;
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::*, compiler_fence};

const SAT: u32 = WAITERS;

/// In shared memory.
#[repr(C, align(64))]
pub(crate) struct Chair {
    word: AtomicU32,
    /// 1: its occupant sleeps, or is about to.
    asleep: AtomicU32,
    /// The occupant's slot.
    slot: AtomicU32,
    reserved: [AtomicU32; 3],
    prev: AtomicUsize,
    next: AtomicUsize,
    /// The bell of who may be asleep here, plus one; 0: nobody.
    occupant: AtomicU64,
    more: [AtomicUsize; 2],
}

const _: () = assert!(core::mem::offset_of!(Chair, next) as isize + OFFSET == 0);
const _: () = assert!(size_of::<Chair>() == 64);

/// An object's chairs.
#[repr(C)]
pub(crate) struct Chairs([Chair; 2]);

/// How many stand in a line, in shared memory. A sleeper in a chair relies on it: who finds none owes nobody
/// anything. So none is not 0, which is what a cleared or cut off file says; that is more than there can be.
#[repr(transparent)]
pub(crate) struct InLine(AtomicU32);

impl InLine {
    pub const NONE: u32 = 0x4e6f_6e65;

    #[inline]
    pub fn get(&self) -> u32 {
        self.0.load(Relaxed) ^ Self::NONE
    }

    /// Under the lock.
    #[inline]
    pub fn set(&self, count: u32) {
        self.0.store(count ^ Self::NONE, Relaxed);
    }
}

/// What a waker owes the occupant of a chair.
pub(crate) struct Owed<'a> {
    chair: &'a Chair,
    lock: &'a Lock,
    /// The robust-list entry behind the chair's.
    behind: usize,
    slot: u32,
    /// It is to be woken.
    due: bool,
}

fn head() -> &'static Head {
    // SAFETY: as in `Lock::lock`: the libc's head of this very thread; the object's lock looked it up.
    unsafe { &*(tls::block().robust.load(Relaxed) as *const Head) }
}

fn word_of(bell: Bell) -> u64 {
    bell.word().wrapping_add(1)
}

impl Chairs {
    /// Asks for their cache lines, to write there.
    pub fn expect_changes(&self) {
        for chair in &self.0 {
            expect(&raw const chair.word);
        }
    }

    /// Where the sleeper in this slot, who is alone in line, may sleep. Under the lock.
    pub fn sit(&self, ns: &Namespace, object: &Object, slot: u32) -> Option<&Chair> {
        let me = bell::known(ns);
        if me == Bell::NONE
            || !sleeping::is_told()
            || !cancelling::may_sleep_on()
            || ns.lets_others_write(object.mode.load(Relaxed))
        {
            return None;
        }
        let owed = |chair: &Chair| chair.word.load(Relaxed) != 0 && chair.occupant_lives(ns);
        if self.0.iter().any(owed) {
            return None;
        }
        let is_free =
            |chair: &&Chair| chair.word.load(Relaxed) & TID == 0 && !chair.occupant_lives(ns);
        let chair = self.0.iter().find(is_free)?;
        chair.slot.store(slot, Relaxed);
        chair.asleep.store(0, Relaxed);
        chair.occupant.store(word_of(me), Relaxed);
        chair.word.store(SAT, Relaxed);
        crashpoint!("chair.sat");
        Some(chair)
    }

    /// Who sits and sleeps is owed a wake from here on. Under the lock, before anything happens.
    pub fn claim<'a>(&'a self, ns: &Namespace, lock: &'a Lock) -> Option<Owed<'a>> {
        let me = bell::known(ns);
        self.0.iter().find_map(|chair| {
            let word = chair.word.load(Relaxed);
            let sleeps = word & TID == 0
                && word != 0
                && chair.occupant.load(Relaxed) != word_of(me)
                && chair.occupant_lives(ns);
            sleeps.then(|| chair.claim(lock))
        })
    }

    /// A wake reached nobody: who was to be woken may sleep here, where somebody scribbled over the chair.
    #[cold]
    pub fn rouse(&self) {
        for chair in &self.0 {
            sys::futex_wake(&chair.word, sys::ALL);
        }
    }
}

impl Chair {
    /// As far as a load tells. One that execs in the midst of its sleep, without a word, keeps the chair: then others
    /// have clocks.
    fn occupant_lives(&self, ns: &Namespace) -> bool {
        match self.occupant.load(Acquire) {
            0 => false,
            bell => !ns.is_marked(Bell::of_word(bell.wrapping_sub(1))),
        }
    }

    fn entry(&self) -> usize {
        &raw const self.next as usize
    }

    /// Puts this chair behind the lock, which is held, in the robust list.
    fn claim<'a>(&'a self, lock: &'a Lock) -> Owed<'a> {
        let (head, entry) = (head(), self.entry());
        // What the dead owed is owed still: the occupant may not sleep yet, and would not see the mark.
        let due = self.word.load(Relaxed) & DIED != 0;
        critical::enter();
        head.pending.store(entry, Relaxed);
        compiler_fence(SeqCst);
        self.word
            .store(tls::block().tid.load(Relaxed) | SAT, Relaxed);
        crashpoint!("chair.claimed");
        let behind = lock.behind();
        self.next.store(behind, Relaxed);
        self.prev.store(lock.entry(), Relaxed);
        set_prev(behind, entry);
        compiler_fence(SeqCst);
        lock.set_behind(entry);
        crashpoint!("chair.linked");
        compiler_fence(SeqCst);
        head.pending.store(0, Relaxed);
        Owed {
            chair: self,
            lock,
            behind,
            slot: self.slot.load(Relaxed),
            due,
        }
    }

    /// Sleeps until there may be news, or a handler ran; not at all unless `sleepy`, which is asked after a
    /// look at the word. EINTR: a handler ran.
    fn sleep(&self, sleepy: impl Fn() -> bool) -> Result<()> {
        self.asleep.store(1, Relaxed);
        let word = self.word.load(Acquire);
        if word & TID == 0 && word != SAT || !sleepy() {
            return Ok(());
        }
        match sys::futex_wait(&self.word, word, sys::FOREVER) {
            Err(Errno::EAGAIN) => Ok(()),
            other => other,
        }
    }

    /// A handler ended the occupant's wait: it does not begin to sleep, and its slot is another's from now on. Under
    /// the lock, or who has claimed the word forgives, and it sleeps on. Who owes it a wake pays all the same.
    fn rise(&self) {
        self.slot.store(u32::MAX, Relaxed);
        let word = self.word.load(Relaxed);
        if word & TID == 0 {
            let _ = self.word.compare_exchange(word, 0, SeqCst, Relaxed);
        }
    }

    /// The occupant does not sleep here any more.
    fn vacate(&self) {
        self.asleep.store(0, Relaxed);
        self.occupant.store(0, Release);
    }
}

/// Where a waiting call sleeps without a clock, if it does. Dropped, it stands up.
pub(crate) struct Seat<'a> {
    chair: Cell<Option<&'a Chair>>,
    /// Of the process that sits.
    generation: u64,
}

impl<'a> Seat<'a> {
    pub fn new(chair: Option<&'a Chair>) -> Seat<'a> {
        Seat {
            chair: Cell::new(chair),
            generation: process::generation(),
        }
    }

    /// Sits down, under the lock, where it stood.
    pub fn take(&self, chair: Option<&'a Chair>) {
        self.chair.set(chair);
    }

    /// See [`Chair::sleep`]; then it stands up. `None`: it has no chair.
    pub fn sleep(&self, sleepy: impl Fn() -> bool) -> Option<Result<()>> {
        let chair = self.chair.get()?;
        let slept = cancelling::while_known(&chair.word, || chair.sleep(sleepy));
        self.leave();
        Some(slept.unwrap_or(Ok(())))
    }

    /// See [`Chair::rise`].
    pub fn rise(&self) {
        if let Some(chair) = self.chair.get() {
            chair.rise();
        }
    }

    /// Whether this process is a copy of the one that sits: a handler that forked returns in both.
    pub fn is_parents(&self) -> bool {
        self.generation != process::generation()
    }

    fn leave(&self) {
        // In a section: a handler would get somebody else to rise from what was just left.
        critical::enter();
        if let Some(chair) = self.chair.take()
            && !self.is_parents()
        {
            chair.vacate();
        }
        critical::leave();
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        if self.chair.get().is_some() {
            self.leave();
        }
    }
}

impl Owed<'_> {
    /// The sleeper is to look for itself, whatever its news.
    pub fn call_in(&mut self) {
        self.due = true;
    }

    /// Whether the sleeper in this slot is who sits there: then it is to be woken.
    pub fn falls_due(&mut self, slot: u32) -> bool {
        self.due |= self.slot == slot;
        self.slot == slot
    }

    /// Forgives what is not due, before the unlock; the rest is to be paid after it.
    pub fn unless_forgiven(self) -> Option<Self> {
        if self.due {
            return Some(self);
        }
        self.forgive();
        None
    }

    /// Nothing was done that concerns the sleeper.
    fn forgive(self) {
        let head = head();
        head.pending.store(self.chair.entry(), Relaxed);
        compiler_fence(SeqCst);
        self.lock.set_behind(self.behind);
        set_prev(self.behind, self.lock.entry());
        crashpoint!("chair.forgiven");
        self.chair.word.store(SAT, Release);
        compiler_fence(SeqCst);
        head.pending.store(0, Relaxed);
        critical::leave();
    }

    /// Wakes who sits there. After the unlock. True: it was asleep, or not yet.
    pub fn pay(self) -> bool {
        let (head, entry) = (head(), self.chair.entry());
        crashpoint!("chair.unlocked");
        head.pending.store(entry, Relaxed);
        compiler_fence(SeqCst);
        head.unlink(entry, self.behind);
        crashpoint!("chair.unlinked");
        compiler_fence(SeqCst);
        self.chair.word.store(0, Release);
        crashpoint!("chair.freed");
        // Also one that does not seem to sleep: it has no clock, should somebody have scribbled that.
        let reached = sys::futex_wake(&self.chair.word, sys::ALL) != 0
            || self.chair.asleep.load(Relaxed) == 0;
        compiler_fence(SeqCst);
        head.pending.store(0, Relaxed);
        critical::leave();
        reached
    }
}
