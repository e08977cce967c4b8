//! Semaphore sets.
//!
//! Visible behaviour is `ipc/sem.c`'s: an array of operations goes whole or not at all; who changes
//! a value performs at once, in its own call, what sleepers can go on with then, zero waiters first
//! and the others in the order of their coming; a sleeper counts at the operation that holds it up.
//!
//! A set's file is fixed in length and sparse: header, semaphores, journal entries, then slots of
//! waiters and *undo rows*, one for each process that ever used SEM_UNDO here.
//!
//! Truth: the semaphores' values and pids, the rows, the waiting slots, and the header's owner and
//! times. Derived: lines and counts, made anew by whoever takes the lock of a killed holder.
//!
//! Commit: a change is written into the journal as absolute values, happens by the one store of
//! `op`, and is then applied; applying it again changes nothing (`recover`). What a sleeper is given
//! is such a change of its own, with the sleeper's news part of it; the commonest one is a single change
//! with the waker's (`handover`). One operation without undo, in a set whose time is right already, is
//! one store: a semaphore's value and pid are one word (`ops`).
//!
//! Undo: nobody of a killed process is left to apply its row, so whoever looks at the set does it
//! first (`undo`); a sleeper that stands watch looks for all who sleep (`wait`).

mod ctl;
mod handover;
mod layout;
mod line;
mod ops;
mod recover;
mod slots;
mod undo;
mod wait;

pub use ctl::{SemUndo, SemWaiter};
#[doc(hidden)]
pub use layout::places;
pub(crate) use layout::{file_len, fill};
pub(crate) use ops::semop;

use crate::chair::Owed;
use crate::crash::crashpoint;
use crate::critical;
use crate::errno::{Errno, Result};
use crate::handle::Pin;
use crate::lock::Left;
use crate::namespace::Namespace;
use crate::object::LIVE;
use crate::process::{self, Identity};
use crate::sys;
use crate::tls::Block;
use core::cell::Cell;
use core::sync::atomic::Ordering::*;
use layout::{Header, Parts};

/// A set whose lock is held, by whoever uses this.
#[derive(Clone, Copy)]
pub(crate) struct Set<'a> {
    h: &'a Header,
    p: Parts<'a>,
    pin: &'a Pin<'a>,
    ns: &'a Namespace,
    /// The thread that holds it.
    me: &'static Block,
}

/// A set, locked. Unlocks itself, then wakes whom it has news for.
pub(crate) struct Locked<'a> {
    set: Set<'a>,
    wakes: [u32; 4],
    waking: usize,
    /// A wake for the sleeper without a clock.
    owed: Option<Owed<'a>>,
    /// How often /proc was asked for a sleeper without a bell.
    asked: Cell<u32>,
}

impl<'a> core::ops::Deref for Locked<'a> {
    type Target = Set<'a>;

    #[inline]
    fn deref(&self) -> &Set<'a> {
        &self.set
    }
}

/// Takes the lock of a pinned set. EIDRM: it was removed.
#[inline]
pub(crate) fn lock<'a>(ns: &'a Namespace, pin: &'a Pin<'a>, id: i32) -> Result<Locked<'a>> {
    let me = process::thread()?;
    // Before the lock: the first answer is read from a file.
    process::identity_by(me);
    let set = Set::of(ns, pin, me)?;
    let fine = set.enter(id)?;
    set.locked(fine, id)
}

/// Notes what a set is when it is first met: see [`Pin::still_is`].
pub(crate) fn see(pin: &Pin<'_>) -> Result<()> {
    Set::parts(pin).map(drop)
}

impl<'a> Set<'a> {
    #[inline(always)]
    fn of(ns: &'a Namespace, pin: &'a Pin<'a>, me: &'static Block) -> Result<Set<'a>> {
        Ok(Set::with(Set::parts(pin)?, ns, pin, me))
    }

    #[inline(always)]
    fn with(p: Parts<'a>, ns: &'a Namespace, pin: &'a Pin<'a>, me: &'static Block) -> Set<'a> {
        Set {
            h: p.h,
            p,
            pin,
            ns,
            me,
        }
    }

    #[allow(unsafe_code)]
    #[inline(always)]
    fn parts(pin: &'a Pin<'a>) -> Result<Parts<'a>> {
        let map = pin.map();
        let h: &Header = map.at(0)?;
        let nsems = h.nsems.load(Relaxed);
        // Callers have arrays of that many, too: more would be written beyond their ends.
        if !pin.still_is(nsems, || Parts::of(&map, nsems).is_ok()) {
            return Err(unlike_before(h));
        }
        // SAFETY: the mapping had the right length for this number when it was first seen, and a
        // set is mapped once only.
        Ok(unsafe { Parts::known(h, nsems) })
    }

    /// Takes the lock. False: somebody has to look closer.
    #[inline(always)]
    fn enter(&self, id: i32) -> Result<bool> {
        let left = self.h.object.lock.lock_by(self.me)?;
        Ok(left == Left::Order
            && self.h.object.state.load(Relaxed) == LIVE
            && self.h.object.id() == id
            && self.h.op.load(Relaxed) == recover::IDLE)
    }

    /// Gives the lock, which was taken, to a guard.
    fn locked(self, fine: bool, id: i32) -> Result<Locked<'a>> {
        let fine = fine && is_sane(self.h);
        let owed = if self.h.waiting.get() != 0 || !fine {
            self.h.chairs.claim(self.ns, &self.h.object.lock)
        } else {
            None
        };
        let q = Locked {
            set: self,
            wakes: [layout::NIL; 4],
            waking: 0,
            owed,
            asked: Cell::new(0),
        };
        if fine { Ok(q) } else { look_closer(q, id) }
    }

    pub fn owned(&self) -> crate::creds::Owned {
        self.h.object.owned()
    }

    pub fn nsems(&self) -> u32 {
        self.p.nsems
    }

    /// The calling process.
    #[inline]
    fn me(&self) -> Identity {
        process::identity_by(self.me)
    }

    #[inline]
    fn pid(&self) -> u32 {
        self.me.pid.load(Relaxed)
    }
}

/// What is said of a set whose number of semaphores is not what it was.
#[cold]
fn unlike_before(h: &Header) -> Errno {
    // Who sleeps here is to see the same.
    h.chairs.rouse();
    h.object.check_live().err().unwrap_or(Errno::EIO)
}

#[cold]
#[inline(never)]
fn look_closer(mut q: Locked<'_>, id: i32) -> Result<Locked<'_>> {
    match q.put_in_order(id) {
        Ok(()) => Ok(q),
        Err(e) => {
            // Who sleeps here cannot be told by what the file says: it is to see the same.
            q.h.chairs.rouse();
            Err(e)
        }
    }
}

/// Whether the bounds of all walks are what they can be; nonsense is rebuilt.
#[inline]
fn is_sane(h: &Header) -> bool {
    h.slots.load(Relaxed) <= h.slots_backed.load(Relaxed)
        && h.slots_backed.load(Relaxed) <= layout::SLOTS
        && h.rows.load(Relaxed) <= h.rows_backed.load(Relaxed)
        && h.rows_backed.load(Relaxed) <= layout::most_rows()
        && h.waiting.get() <= h.slots.load(Relaxed)
}

impl Locked<'_> {
    fn put_in_order(&mut self, id: i32) -> Result<()> {
        if let Err(e) = self.h.object.check_live() {
            if e == Errno::EIDRM {
                // The remover may have been killed before it told all of them, or any.
                let _ = self.tell_all(e);
            }
            return Err(e);
        }
        match self.h.object.id() == id {
            true => self.recover(),
            false => Err(Errno::EIO),
        }
    }

    /// Runs `f`; where it finds nonsense, rebuilds the derived parts once and runs it again.
    fn with_repair<T>(&mut self, mut f: impl FnMut(&mut Self) -> Result<T>) -> Result<T> {
        match f(self) {
            Err(Errno::EIO) => {
                // What was committed happened, and the journal ends it: never twice.
                let happened = self.h.op.load(Relaxed) != recover::IDLE;
                self.recover()?;
                if happened { Err(Errno::EIO) } else { f(self) }
            }
            other => other,
        }
    }

    /// The sleeper in this slot has news: wake it once the lock is free.
    fn wake_later(&mut self, slot: u32) {
        let owed = &mut self.owed;
        if owed.as_mut().is_some_and(|owed| owed.falls_due(slot)) {
            return;
        }
        match self.wakes.get_mut(self.waking) {
            Some(place) => {
                *place = slot;
                self.waking += 1;
            }
            None => self.wake(slot),
        }
    }

    /// Who sleeps without a clock is to look for itself, and then sleeps with one.
    fn unseat(&mut self) {
        if let Some(owed) = &mut self.owed {
            owed.call_in();
        }
    }

    /// In a section: a handler that came meanwhile may leave by `longjmp`, and would wake nobody.
    fn unlock_and_wake(&self) {
        critical::enter();
        self.set.h.object.lock.unlock();
        for slot in self.wakes.iter().take(self.waking) {
            crashpoint!("sem.wake.unlocked");
            self.wake(*slot);
        }
        critical::leave();
    }

    fn wake(&self, slot: u32) {
        if let Ok(slot) = self.p.slot(slot) {
            // Also one that sleeps there after a handler ended its wait, and is no waiter any more.
            if sys::futex_wake(&slot.news, sys::ALL) == 0 {
                self.h.chairs.rouse();
            }
        }
    }
}

impl Drop for Locked<'_> {
    #[inline]
    fn drop(&mut self) {
        let due = self.owed.take().and_then(Owed::unless_forgiven);
        match self.waking {
            0 => self.set.h.object.lock.unlock(),
            _ => self.unlock_and_wake(),
        }
        due.map(Owed::pay);
    }
}
