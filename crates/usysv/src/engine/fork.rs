//! Attachments over fork.
//!
//! A fork child has its parent's attachments, and counts. Where the library stands in front of
//! `fork`, the parent adds the child's records as soon as it knows the child's pid, and the child
//! waits for that before its `fork` returns; so both see the right count, whoever returns first. A
//! parent that is killed in between leaves it to the child, which adds what is missing. A child
//! that came about in another way (a raw `clone`, `_Fork` of an old libc) adds its records at its
//! first call.
//!
//! Parent and child share a page with a note for each fork under way: its number, and how far it is.
//!
//! | note | meaning | leaves it by |
//! |---|---|---|
//! | an older fork's | nobody has begun | the parent -> BEGUN; a child that waited long -> TAKEN |
//! | BEGUN | the parent adds the child's records | the parent -> DONE; it is killed: the child ends it |
//! | DONE | the child may go on | |
//! | TAKEN | the child adds them itself | |
#![allow(unsafe_code)]

use super::Engine;
use crate::crash::crashpoint;
use crate::liveness;
use crate::process::{self, Identity};
use crate::shm::Held;
use crate::shm::owner::{self, NO_BELL};
use crate::shm::pieces::{DONT_FORK, Guard, NO_SLOT};
use crate::{critical, sys, tls};
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering::*};

/// Forks whose notes fit on the page at a time.
const NOTES: usize = 1024;
/// How long a child sleeps before it looks whether its parent still lives, and how often until it
/// does without a parent that stands still.
const LOOK_NS: u64 = 10_000_000;
const LOOKS: u32 = 50;

/// In a note, below the fork's number.
const BEGUN: u32 = 1;
const DONE: u32 = 2;
const TAKEN: u32 = 3;
const STATES: u32 = 4;

struct Notes([AtomicU32; NOTES]);

/// Shared with the children of this process only. Null: no fork so far.
static NOTES_PAGE: AtomicPtr<Notes> = AtomicPtr::new(core::ptr::null_mut());
/// The number of the last fork.
static FORKS: AtomicU32 = AtomicU32::new(0);

fn notes() -> Option<&'static Notes> {
    // SAFETY: null, or a shared page of this process's that is unmapped by none but a child that
    // has set the pointer to null before.
    unsafe { NOTES_PAGE.load(Acquire).as_ref() }
}

fn note_of(number: u32) -> Option<&'static AtomicU32> {
    notes()?.0.get((number / STATES) as usize % NOTES)
}

/// How far a fork is, by its note; 0: nobody has begun. One that a later fork has overwritten is
/// done.
fn state_of(note: u32, number: u32) -> u32 {
    match (note & !(STATES - 1)).wrapping_sub(number) {
        0 => note % STATES,
        later if later < u32::MAX / 2 => DONE,
        _ => 0,
    }
}

/// A fork under way, in the parent.
#[derive(Debug)]
pub struct Fork {
    number: u32,
}

impl Engine {
    /// Before a fork. `None`: there is nothing to be inherited.
    pub fn before_fork(&self) -> Option<Fork> {
        if self.pieces.is_empty() {
            return None;
        }
        // A process that was forked behind our back makes its own page first.
        drop(self.own_pieces().ok()?);
        if notes().is_none() {
            let page = sys::shared_memory(size_of::<Notes>()).ok()?;
            let made =
                NOTES_PAGE.compare_exchange(core::ptr::null_mut(), page.cast(), AcqRel, Relaxed);
            if made.is_err() {
                sys::unmap(page, size_of::<Notes>());
            }
        }
        let number = FORKS.fetch_add(STATES, Relaxed).wrapping_add(STATES);
        tls::block().forking.store(number, Relaxed);
        Some(Fork { number })
    }

    /// After the fork, in the parent; `child`: its pid, if there is one.
    pub fn after_fork(&self, fork: &Fork, child: Option<u32>) {
        tls::block().forking.store(0, Relaxed);
        let (Some(child), Some(note)) = (child, note_of(fork.number)) else {
            return;
        };
        crashpoint!("shm.fork.returned");
        let seen = note.load(Acquire);
        let begun = fork.number | BEGUN;
        if state_of(seen, fork.number) != 0
            || note.compare_exchange(seen, begun, AcqRel, Relaxed).is_err()
        {
            return;
        }
        crashpoint!("shm.fork.begun");
        self.adopt(child);
        crashpoint!("shm.fork.adopted");
        note.store(fork.number | DONE, Release);
        crashpoint!("shm.fork.done");
        sys::futex_wake(note, 1);
    }

    /// After the fork, in the child.
    pub fn in_child(&self) {
        drop(self.own_pieces());
    }

    /// Adds a child's records in its stead. One that is gone already was never seen.
    fn adopt(&self, child: u32) {
        let (Some(start), Ok(guard)) = (liveness::started(child), self.pieces.lock()) else {
            return;
        };
        let child = Identity { pid: child, start };
        let mut from = 0;
        while let Some((at, part)) = guard.pieces.find(from, |part| part.flags & DONT_FORK == 0) {
            from = at + 1;
            let held = Held {
                owner: child,
                bell: NO_BELL,
                addr: part.start,
                len: part.len,
                piece: at as u32,
            };
            // A segment that cannot be reached cannot count the child either.
            let _ = self.on_segment(part.id, |segment| segment.add(held, sys::getpid()));
            crashpoint!("shm.fork.adopted_one");
        }
    }

    /// This process was forked: makes its attachments known, as far as its parent did not.
    pub(super) fn inherit(&self, guard: &Guard<'_>) {
        let forking = tls::block().forking.swap(0, Relaxed);
        // The pid in its generation: it may be dead, and this process another's child, by now.
        let parent = guard.pieces.owner() as u32;
        if forking != 0 {
            wait_for_parent(forking, parent);
        }
        let page = NOTES_PAGE.swap(core::ptr::null_mut(), AcqRel);
        if !page.is_null() {
            sys::unmap(page.cast(), size_of::<Notes>());
        }
        let Ok(me) = process::identity() else {
            return;
        };
        let bell = owner::bell(&self.ns);
        let mut from = 0;
        while let Some((at, part)) = guard.pieces.find(from, |_| true) {
            from = at + 1;
            if part.flags & DONT_FORK != 0 {
                guard.drop_piece(at);
                continue;
            }
            guard.set_slot(at, NO_SLOT);
            // A segment that is gone was freed while nobody knew of this process: its memory stays
            // mapped here, and counts for nothing.
            let _ = self.on_segment(part.id, |segment| {
                let slot = match segment.find(me, at as u32)? {
                    Some(slot) => slot,
                    None => segment.add(
                        Held {
                            owner: me,
                            bell,
                            addr: part.start,
                            len: part.len,
                            piece: at as u32,
                        },
                        parent,
                    )?,
                };
                crashpoint!("shm.fork.found");
                segment.set_bell(slot, bell)?;
                guard.set_slot(at, slot);
                Ok(())
            });
            crashpoint!("shm.fork.inherited_one");
        }
        guard.set_owner(process::generation());
    }
}

/// Waits until the parent has done its part, or is gone.
fn wait_for_parent(number: u32, parent: u32) {
    let Some(note) = note_of(number) else {
        return;
    };
    critical::enter();
    let mut looks = 0;
    loop {
        let seen = note.load(Acquire);
        let state = state_of(seen, number);
        if state == DONE || sys::getppid() != parent {
            break;
        }
        looks += 1;
        let taken = number | TAKEN;
        if looks > LOOKS
            && state == 0
            && note.compare_exchange(seen, taken, AcqRel, Relaxed).is_ok()
        {
            break;
        }
        // Whatever woke us, the note tells.
        let _ = sys::futex_wait(note, seen, LOOK_NS);
    }
    critical::leave();
}
