//! Where the files of namespaces are mapped in this process: for a handler of SIGBUS to look up.
//!
//! No lock, as a handler cannot wait for one: an entry is taken by compare-and-swap, and counts
//! once its `base` is stored. It is dropped before its range is unmapped. The table is private
//! memory that is never given back; a fork child has a copy, and the same mappings.
//!
//! | `base` | meaning | leaves it by |
//! |---|---|---|
//! | 0 | free | `keep` -> TAKEN |
//! | TAKEN | being filled | `keep` -> an address |
//! | an address | a mapping | `forget` -> 0; `lose` -> the address, LOST |
//! | an address, LOST | its file was truncated; zeroes of our own lie there | `forget` -> 0 |
#![allow(unsafe_code)]

use crate::errno::{Errno, Result};
use crate::sys;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::*};

const CHUNKS: usize = 1024;
const CHUNK: usize = 256;
const TAKEN: usize = 2;
/// Addresses are multiples of a page.
const LOST: usize = 1;

struct Entry {
    base: AtomicUsize,
    len: AtomicUsize,
}

struct Chunk([Entry; CHUNK]);

static TABLE: [AtomicPtr<Chunk>; CHUNKS] =
    [const { AtomicPtr::new(core::ptr::null_mut()) }; CHUNKS];
/// Entries that were used at some time.
static USED: AtomicUsize = AtomicUsize::new(0);
/// Where to look for a free one first. A hint.
static FIRST: AtomicUsize = AtomicUsize::new(0);

fn entry(at: usize) -> Option<&'static Entry> {
    let chunk = TABLE.get(at / CHUNK)?.load(Acquire);
    // SAFETY: a chunk is published once, zeroed, and never unmapped.
    unsafe { chunk.as_ref() }?.0.get(at % CHUNK)
}

/// The entry at a place that may be the first of a new chunk.
fn made(at: usize) -> Result<&'static Entry> {
    if entry(at).is_none() {
        let place = TABLE.get(at / CHUNK).ok_or(Errno::ENOMEM)?;
        let new = sys::private_memory(size_of::<Chunk>())?;
        let null = core::ptr::null_mut();
        if place
            .compare_exchange(null, new.cast(), AcqRel, Relaxed)
            .is_err()
        {
            sys::unmap(new, size_of::<Chunk>());
        }
    }
    entry(at).ok_or(Errno::ENOMEM)
}

/// Notes a new mapping; its place in the table.
pub(crate) fn keep(base: *mut u8, len: usize) -> Result<usize> {
    for at in FIRST.load(Relaxed).. {
        let entry = made(at)?;
        if entry
            .base
            .compare_exchange(0, TAKEN, Acquire, Relaxed)
            .is_ok()
        {
            entry.len.store(len, Relaxed);
            USED.fetch_max(at + 1, Release);
            entry.base.store(base as usize, Release);
            FIRST.store(at + 1, Relaxed);
            return Ok(at);
        }
    }
    Err(Errno::ENOMEM)
}

/// A mapping is about to end.
pub(crate) fn forget(place: usize) {
    if let Some(entry) = entry(place) {
        entry.base.store(0, Release);
        FIRST.fetch_min(place, Relaxed);
    }
}

/// Whether a mapping's file was found truncated.
pub(crate) fn is_lost(place: usize) -> bool {
    entry(place).is_some_and(|entry| entry.base.load(Relaxed) & LOST != 0)
}

/// Puts zeroes in the place of the mapping at an address, all of it, and marks it. False: there is
/// none, or no memory.
///
/// Two threads may do it at the same time: zeroes are put over zeroes.
pub(crate) fn lose(addr: usize) -> bool {
    for at in 0..USED.load(Acquire) {
        let Some(entry) = entry(at) else { continue };
        let marked = entry.base.load(Acquire);
        let (base, len) = (marked & !LOST, entry.len.load(Relaxed));
        if base > TAKEN && (base..base.saturating_add(len)).contains(&addr) {
            let prot = libc::PROT_READ | libc::PROT_WRITE;
            // SAFETY: the fault was here, so its thread uses the mapping, which stays until it
            // does not any more. Everybody reads it as bytes that others write: zeroes now.
            let zero = || unsafe { sys::zero_at(base, len, prot) };
            let done = zero().or_else(|_| {
                // A process with as many mappings as it may have has one less for a moment.
                sys::unmap(base as *mut u8, len);
                zero()
            });
            return done.is_ok() && {
                entry.base.store(base | LOST, Relaxed);
                true
            };
        }
    }
    false
}
