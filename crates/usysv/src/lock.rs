//! The lock of an object: a robust futex, linked into the libc's own list of held locks.
//!
//! If its holder is killed: the kernel walks the dead thread's robust list, sets `DIED` in the word
//! and wakes one waiter; whoever locks next is told, and rebuilds what the lock protects before it
//! looks at anything. A holder killed between taking the word and linking it is found by the list's
//! `pending` field. A holder that is stopped holds everybody up, as any lock's does.
//!
//! Who holds it for a short time only (`try_short`) is in no list: the lock stays the pending one. No code of the
//! program's, which may use that field for its own mutexes, runs meanwhile: see `critical`, and `handler_begins`.
//!
//! A word that the kernel cannot have marked (somebody scribbled it, or the list) is doubted, and taken
//! from a holder who cannot be it. Not where users are of several pid namespaces (`pidns`): a number
//! that means nothing here may be right there, and the kernel marks whoever dies in any of them.
//!
//! | word | meaning | leaves it by |
//! |---|---|---|
//! | 0 | free | lock -> tid |
//! | tid | held, nobody waits | unlock -> 0; a waiter -> tid, WAITERS |
//! | tid, WAITERS | held, wake one at unlock | unlock -> 0 |
//! | DIED (, WAITERS) | the holder was killed | lock -> tid, WAITERS, with news of the death |
//!
//! The entry lies where glibc's `pthread_mutex_t` has it (list node 24 bytes, futex 0), since the
//! libc's list has one offset for all its entries. A libc with another offset is refused.
//!
//! Model: `models/lock.rs`.
//!
//! Lock order: the namespace's name lock and an object's lock are never held together.
#![allow(unsafe_code)]

use crate::crash::crashpoint;
use crate::critical;
use crate::errno::{Errno, Result};
use crate::liveness::{self, Doing};
use crate::maps;
use crate::namespace;
use crate::process;
use crate::sys;
use crate::tls;
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::*, compiler_fence};

pub(crate) const WAITERS: u32 = libc::FUTEX_WAITERS;
pub(crate) const DIED: u32 = libc::FUTEX_OWNER_DIED;
pub(crate) const TID: u32 = 0x3fff_ffff;

/// From a list entry (the address of `next`) to the futex word.
pub(crate) const OFFSET: isize = -32;
/// Who finds the lock held tries again after each of these times before it sleeps, and lets the
/// lock's memory alone meanwhile: the holder then does many operations out of its own cache, where
/// two that take turns would pay for moving the object's lines each time.
const PAUSES_NS: [u64; 4] = [1000, 2000, 2000, 2000];
/// How long a waiter sleeps before it looks whether the holder still exists.
const LOOK_NS: u64 = 100_000_000;
/// Doubt at which the lock is taken from its holder: a word that somebody scribbled, or a list that
/// the kernel could not walk.
const ENOUGH: u32 = 21;
/// Doubt at each look at a holder that is not there, or that has not got the object.
const GONE: u32 = 7;
/// Doubt at each look at a holder that sleeps: in a section nobody does, for long.
const ASLEEP: u32 = 3;

/// The lock, in shared memory.
#[repr(C, align(64))]
pub(crate) struct Lock {
    word: AtomicU32,
    reserved: [AtomicU32; 5],
    prev: AtomicUsize,
    next: AtomicUsize,
    /// For what the lock protects: a word in the lock's own cache line.
    pub mark: AtomicU64,
    more: [AtomicUsize; 2],
}

const _: () = assert!(core::mem::offset_of!(Lock, next) as isize + OFFSET == 0);
const _: () = assert!(size_of::<Lock>() == 64);

/// `struct robust_list_head`, with the word before it that glibc uses as the head's `prev`.
#[repr(C)]
pub(crate) struct Head {
    pub list: AtomicUsize,
    pub offset: isize,
    pub pending: AtomicUsize,
}

impl Head {
    /// Takes an entry out. What was behind it was kept in private memory: the words in shared memory
    /// are for the libc and the kernel to read, never believed here.
    #[inline(always)]
    pub fn unlink(&self, entry: usize, behind: usize) {
        if self.list.load(Relaxed) != entry {
            return self.unlink_within(entry, behind);
        }
        self.list.store(behind, Relaxed);
        set_prev(behind, &raw const self.list as usize);
    }

    /// Without the preload library a handler may have left a robust mutex of its own in front.
    #[cold]
    #[inline(never)]
    fn unlink_within(&self, entry: usize, behind: usize) {
        let mut before = &self.list;
        while before.load(Relaxed) != entry {
            // SAFETY: the entries before ours are `next` fields of mutexes that this thread holds.
            before = unsafe { &*((before.load(Relaxed) & !1) as *const AtomicUsize) };
        }
        before.store(behind, Relaxed);
        set_prev(behind, core::ptr::from_ref(before) as usize);
    }
}

/// What the lock's last holder left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Left {
    /// It unlocked.
    Order,
    /// It was killed: rebuild first.
    Ruins,
}

/// Calls `f`, in which this thread waits a second at most for a lock that nothing happens to: EIO
/// then. For looks at many objects, which one that is held up must not hold up.
pub(crate) fn impatiently<T>(f: impl FnOnce() -> T) -> T {
    /// Looks, plus one.
    const SECOND: u32 = 11;
    let patience = &tls::block().patience;
    let outer = patience.swap(SECOND, Relaxed);
    let result = f();
    patience.store(outer, Relaxed);
    result
}

impl Lock {
    /// Takes the lock; no signal handler of the program runs until [`Lock::unlock`].
    ///
    /// ENOSYS: see [`process::thread`]; EIO: see [`impatiently`].
    #[inline]
    pub fn lock(&self) -> Result<Left> {
        self.lock_by(process::thread()?)
    }

    /// [`Lock::lock`] by this thread, whose block was looked up just now.
    #[inline(always)]
    pub fn lock_by(&self, thread: &'static tls::Block) -> Result<Left> {
        critical::enter();
        self.lock_in_section(thread)
    }

    /// [`Lock::lock_by`] in a section, which ends where that would: with the unlock, or an error.
    #[inline(always)]
    pub fn lock_in_section(&self, thread: &'static tls::Block) -> Result<Left> {
        match self.try_short(thread) {
            true => {
                self.keep(thread);
                Ok(Left::Order)
            }
            false => self.lock_slow(thread),
        }
    }

    /// Takes the lock if it is free, for a short time in a section, which goes on in any case: until then it is
    /// the thread's pending one, and in no list. False: nothing was done, or the last holder was killed.
    #[inline(always)]
    pub fn try_short(&self, thread: &'static tls::Block) -> bool {
        let head = head_of(thread);
        head.pending.store(self.entry(), Relaxed);
        compiler_fence(SeqCst);
        let tid = thread.tid.load(Relaxed);
        if self
            .word
            .compare_exchange(0, tid, Acquire, Relaxed)
            .is_err()
        {
            return not_taken(head);
        }
        crashpoint!("lock.taken");
        true
    }

    /// Keeps what was taken for a short time until [`Lock::unlock`].
    #[inline]
    pub fn keep(&self, thread: &'static tls::Block) {
        self.link(thread);
        crashpoint!("lock.linked");
        compiler_fence(SeqCst);
        head_of(thread).pending.store(0, Relaxed);
    }

    /// Whether nobody held it just now. Acquire: pairs with the unlock's release, so that what is read
    /// behind it is not older than the last section.
    #[inline]
    pub fn is_free(&self) -> bool {
        self.word.load(Acquire) == 0
    }

    /// Waits a little for who holds it to give it back.
    #[inline]
    pub fn await_free(&self) {
        const TURNS: u32 = 64;
        for _ in 0..TURNS {
            if self.is_free() {
                return;
            }
            core::hint::spin_loop();
        }
    }

    /// Whether its holder is known to have been killed.
    #[inline]
    pub fn is_left(&self) -> bool {
        self.word.load(Relaxed) & DIED != 0
    }

    /// Puts the entry first in this thread's list, as glibc does.
    #[inline(always)]
    fn link(&self, thread: &'static tls::Block) {
        let (head, entry) = (head_of(thread), self.entry());
        let first = head.list.load(Relaxed);
        self.next.store(first, Relaxed);
        self.prev.store(&raw const head.list as usize, Relaxed);
        set_prev(first, entry);
        compiler_fence(SeqCst);
        thread.behind.store(first, Relaxed);
        head.list.store(entry, Relaxed);
    }

    /// This lock's entry in the list of the thread that holds it.
    pub fn entry(&self) -> usize {
        &raw const self.next as usize
    }

    /// The entry behind this lock's, which is held.
    pub fn behind(&self) -> usize {
        tls::block().behind.load(Relaxed)
    }

    /// Puts another entry behind this lock's, which is held.
    pub fn set_behind(&self, entry: usize) {
        tls::block().behind.store(entry, Relaxed);
        self.next.store(entry, Relaxed);
    }

    /// Tries again a few times. The word stays as it was otherwise: nobody need wake us.
    fn take_after_pause(&self, tid: u32) -> bool {
        sys::spins()
            && PAUSES_NS.iter().any(|pause_ns| {
                sys::pause(*pause_ns);
                self.word.compare_exchange(0, tid, Acquire, Relaxed).is_ok()
            })
    }

    #[cold]
    #[inline(never)]
    fn lock_slow(&self, thread: &'static tls::Block) -> Result<Left> {
        let head = head_of(thread);
        head.pending.store(self.entry(), Relaxed);
        compiler_fence(SeqCst);
        match self.take_slowly(thread.tid.load(Relaxed)) {
            Some(left) => {
                crashpoint!("lock.waited");
                self.keep(thread);
                Ok(left)
            }
            None => {
                not_taken(head);
                critical::leave();
                Err(Errno::EIO)
            }
        }
    }

    /// None: it was held for longer than this thread waits, see [`impatiently`].
    fn take_slowly(&self, tid: u32) -> Option<Left> {
        if self.take_after_pause(tid) {
            return Some(Left::Order);
        }
        let entry = self.entry();
        let (mut doubt, mut doubted, mut looks) = (0, 0, 0);
        loop {
            let word = self.word.load(Relaxed);
            let holder = word & TID;
            // Another doubter may have taken it meanwhile: that one lives.
            if holder != doubted {
                (doubt, doubted) = (0, holder);
            }
            if holder == 0 || word & DIED != 0 || doubt >= ENOUGH {
                let mine = tid | WAITERS;
                if self
                    .word
                    .compare_exchange(word, mine, Acquire, Relaxed)
                    .is_ok()
                {
                    let died = word & DIED != 0 || holder != 0;
                    return Some(if died { Left::Ruins } else { Left::Order });
                }
                continue;
            }
            let waited = word | WAITERS;
            if word != waited
                && self
                    .word
                    .compare_exchange(word, waited, Relaxed, Relaxed)
                    .is_err()
            {
                continue;
            }
            if sys::futex_wait(&self.word, waited, LOOK_NS) != Err(Errno::ETIMEDOUT)
                || self.word.load(Relaxed) != waited
            {
                doubt = 0;
                continue;
            }
            looks += 1;
            if looks >= tls::block().patience.load(Relaxed).wrapping_sub(1) {
                return None;
            }
            doubt = match doubt_in(holder, tid, entry) {
                0 => 0,
                more => doubt + more,
            };
        }
    }

    /// Gives the lock back; deferred signals arrive before this returns.
    #[inline]
    pub fn unlock(&self) {
        let thread = tls::block();
        let head = head_of(thread);
        let entry = self.entry();
        head.pending.store(entry, Relaxed);
        compiler_fence(SeqCst);
        head.unlink(entry, self.behind());
        crashpoint!("lock.unlinked");
        self.unlock_short(thread);
    }

    /// Gives back what [`Lock::try_short`] took.
    #[inline(always)]
    pub fn unlock_short(&self, thread: &'static tls::Block) {
        compiler_fence(SeqCst);
        let waited = self.word.swap(0, Release) & WAITERS != 0;
        crashpoint!("lock.released");
        if waited {
            self.wake_one();
        }
        compiler_fence(SeqCst);
        head_of(thread).pending.store(0, Relaxed);
        critical::leave_by(thread);
    }

    #[cold]
    #[inline(never)]
    fn wake_one(&self) {
        sys::futex_wake(&self.word, 1);
    }
}

/// The libc's registered head of this very thread.
#[inline(always)]
fn head_of(thread: &'static tls::Block) -> &'static Head {
    // SAFETY: `process::thread` looked it up; it lives as long as the thread.
    unsafe { &*(thread.robust.load(Relaxed) as *const Head) }
}

/// What [`handler_over`] puts back.
pub struct Interrupted {
    /// The entry of the lock that was pending, and is in the list for the time being; 0: none was.
    entry: usize,
    behind: usize,
}

/// A handler of the program is about to run in the midst of a section, after a fault, and may take robust mutexes of
/// its own, and locks of ours: a lock that only the pending field names goes into the list.
pub fn handler_begins() -> Interrupted {
    let thread = tls::block();
    let entry = match thread.robust.load(Relaxed) {
        0 => 0,
        _ => keep_pending(thread),
    };
    let behind = thread.behind.load(Relaxed);
    Interrupted { entry, behind }
}

/// Returns the entry; 0: nothing of ours was pending and not in the list.
fn keep_pending(thread: &'static tls::Block) -> usize {
    let head = head_of(thread);
    let entry = head.pending.load(Relaxed);
    if entry == 0 || head.list.load(Relaxed) == entry {
        return 0;
    }
    // SAFETY: what is pending in a section is an entry of ours, which has its word where the head says.
    let word = unsafe { &*(entry.wrapping_add_signed(OFFSET) as *const AtomicU32) };
    if word.load(Relaxed) & TID != thread.tid.load(Relaxed) {
        return 0;
    }
    // SAFETY: a lock: with another kind of entry pending, nothing of the program's is touched that could fault.
    unsafe { &*core::ptr::from_ref(word).cast::<Lock>() }.keep(thread);
    entry
}

/// The handler has returned: all is as it was.
pub fn handler_over(before: &Interrupted) {
    let thread = tls::block();
    thread.behind.store(before.behind, Relaxed);
    if before.entry != 0 {
        let head = head_of(thread);
        head.pending.store(before.entry, Relaxed);
        compiler_fence(SeqCst);
        head.unlink(before.entry, before.behind);
    }
}

/// The pending word was not taken.
#[cold]
fn not_taken(head: &Head) -> bool {
    compiler_fence(SeqCst);
    head.pending.store(0, Relaxed);
    false
}

/// What a look at a lock's holder adds to the doubt whether it is: 0 takes all of it away.
fn doubt_in(holder: u32, tid: u32, entry: usize) -> u32 {
    // A number that means nothing here may be of somebody who is only stopped. The kernel marks those
    // who die, whatever namespace they are of.
    if namespace::are_mixed() {
        return 0;
    }
    // Nobody locks twice: then the word is not what its holder wrote.
    if holder == tid || !sys::exists(holder) || !maps::shares(sys::getpid(), holder, entry) {
        return GONE;
    }
    match liveness::doing(holder) {
        // The kernel found no lock to mark when it ended: its mapping was lost (see `bus`).
        Doing::Ended => GONE,
        Doing::Sleeps => ASLEEP,
        Doing::Other => 0,
    }
}

/// Sets the `prev` of the entry `at`, which lies before its `next`; the list's head has one too.
#[inline]
pub(crate) fn set_prev(at: usize, prev: usize) {
    let at = (at & !1).wrapping_sub(size_of::<usize>());
    // SAFETY: `at` belongs to this thread's list: the libc's head (whose block has the word before
    // it), a mutex that this thread holds, or a lock of ours that it holds.
    unsafe { (*(at as *const AtomicUsize)).store(prev, Relaxed) };
}
