//! Cancelling a thread that waits (`pthread_cancel`), by the libc.
//!
//! It must not happen in the midst of a wait: that would stay in line, and its frame would be asked to
//! withdraw when it is gone. So it is put off during a wait, and looked for before each sleep. A cancellation wakes
//! those that sleep. One that was just about to is late by its beat; so from a process's first cancellation on its
//! threads have clocks.
//!
//! No lock, and nothing in shared memory.
#![allow(unsafe_code)]

use crate::process;
use crate::sys;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, Ordering::*};

/// How a thread is cancelled.
pub struct Cancelling {
    /// From now on this thread is not cancelled. True: it was to be at any instruction.
    pub put_off: fn() -> bool,
    /// At any instruction, as it was before that.
    pub allow: fn(),
    /// Ends this thread if it was to be cancelled, and calls [`crate::interrupted`] first.
    pub act: fn(),
}

static HOW: AtomicPtr<Cancelling> = AtomicPtr::new(core::ptr::null_mut());

/// From now on threads that wait are cancelled like this.
pub fn tell_of_cancelling(how: &'static Cancelling) {
    HOW.store(core::ptr::from_ref(how).cast_mut(), Relaxed);
}

/// `None`: nobody cancels this thread.
fn how() -> Option<&'static Cancelling> {
    // SAFETY: null, or what `tell_of_cancelling` was given for ever.
    let how = unsafe { HOW.load(Relaxed).as_ref() };
    how.filter(|_| !process::is_single_threaded())
}

/// What is put off.
pub(crate) struct PutOff(Option<(&'static Cancelling, bool)>);

/// From now on this thread is cancelled at [`point`] alone.
pub(crate) fn put_off() -> PutOff {
    PutOff(how().map(|how| (how, (how.put_off)())))
}

impl PutOff {
    /// It was to be cancelled at any instruction.
    pub fn was_anywhere(&self) -> bool {
        self.0.is_some_and(|(_, anywhere)| anywhere)
    }

    pub fn end(self) {
        if let Some((how, true)) = self.0 {
            (how.allow)();
        }
    }
}

/// Before each sleep, in line.
pub(crate) fn point() {
    if let Some(how) = how() {
        (how.act)();
    }
}

/// Words on which threads of this process sleep, by address; [`ENDLESS`]: without a clock. One that leaves its sleep
/// by `longjmp` stays.
static WORDS: [AtomicUsize; 64] = [const { AtomicUsize::new(0) }; 64];
const ENDLESS: usize = 1;
/// Some thread was cancelled.
static IN_USE: AtomicBool = AtomicBool::new(false);

/// Whether this thread may sleep without a clock.
pub(crate) fn may_sleep_on() -> bool {
    let has_place = || WORDS.iter().any(|place| place.load(Relaxed) == 0);
    how().is_none() || !IN_USE.load(Relaxed) && has_place()
}

/// Notes what this thread is about to sleep on. `None`: there is no place.
fn note(word: &AtomicU32, how: usize) -> Option<&'static AtomicUsize> {
    let at = core::ptr::from_ref(word) as usize | how;
    let takes = |place: &&AtomicUsize| place.compare_exchange(0, at, SeqCst, Relaxed).is_ok();
    WORDS.iter().find(takes)
}

/// Calls `sleep`, which sleeps on `word` without a clock, where a cancellation ends it. `None`: not any more.
pub(crate) fn while_known<T>(word: &AtomicU32, sleep: impl FnOnce() -> T) -> Option<T> {
    if how().is_none() {
        return Some(sleep());
    }
    let place = note(word, ENDLESS)?;
    // Pairs with the swap in `wake_for_cancelling`: either is seen.
    let slept = (!IN_USE.load(SeqCst)).then(sleep);
    place.store(0, Relaxed);
    slept
}

/// Calls `sleep`, which sleeps on `word` with a clock, and is woken before its time if it can be.
pub(crate) fn while_noted<T>(word: &AtomicU32, sleep: impl FnOnce() -> T) -> T {
    let place = how().and_then(|_| note(word, 0));
    let slept = sleep();
    if let Some(place) = place {
        place.store(0, Relaxed);
    }
    slept
}

/// A thread was cancelled: those that sleep look whether it was them.
pub fn wake_for_cancelling() {
    /// Of a millisecond: as long as it may take a thread from its last look to its sleep.
    const ROUNDS: u32 = 100;
    let rounds = match IN_USE.swap(true, SeqCst) {
        true => 1,
        false => ROUNDS,
    };
    for round in 1..=rounds {
        let mut endless = false;
        for place in &WORDS {
            let at = place.load(SeqCst);
            endless |= at & ENDLESS != 0;
            // SAFETY: only its address is used, by the kernel, which looks whether it is one.
            if let Some(word) = unsafe { ((at & !ENDLESS) as *const AtomicU32).as_ref() } {
                sys::futex_wake(word, sys::ALL);
            }
        }
        if !endless || round == rounds {
            return;
        }
        let nobody = AtomicU32::new(0);
        let _ = sys::futex_wait(&nobody, 0, 1_000_000);
    }
}
