//! The attachments of this process, piece by piece as its memory has them.
//!
//! `munmap`, `mprotect` and their like cut an attachment to pieces, and each piece counts; `shmdt`
//! takes all that are left of one. The table is private memory: a fork child has a copy, and makes
//! itself known with it (see `engine::fork`). Its lock holds off threads of this process only; a
//! child forked while it was held finds the generation of its parent in it, and takes it over.
//!
//! A piece's fields are stored before its state, and change only under the lock. `has` and
//! `touches` read without it.
#![allow(unsafe_code)]

use crate::critical;
use crate::errno::{Errno, Result};
use crate::process;
use crate::sys;
use core::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering::*};

const CHUNKS: usize = 512;
const CHUNK: usize = 256;

/// The record of a piece that no segment knows of.
pub(crate) const NO_SLOT: u32 = u32::MAX;
/// In a piece's flags, above the bits of `PROT_*`: not for fork children.
pub(crate) const DONT_FORK: u32 = 1 << 8;

struct Piece {
    held: AtomicU32,
    id: AtomicI32,
    slot: AtomicU32,
    flags: AtomicU32,
    start: AtomicUsize,
    len: AtomicUsize,
    /// Where the segment's first byte would be.
    base: AtomicUsize,
}

struct Chunk([Piece; CHUNK]);

/// The table of one engine.
pub(crate) struct Pieces {
    lock: AtomicU64,
    /// The generation of the process that the records' slots belong to.
    owner: AtomicU64,
    count: AtomicUsize,
    /// Places of pieces that were used at some time.
    used: AtomicUsize,
    /// No place below is free.
    first: AtomicUsize,
    /// All pieces ever lay between.
    low: AtomicUsize,
    high: AtomicUsize,
    chunks: [AtomicPtr<Chunk>; CHUNKS],
}

/// A piece's values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    pub id: i32,
    pub slot: u32,
    pub flags: u32,
    pub start: usize,
    pub len: usize,
    pub base: usize,
}

impl Part {
    pub fn end(&self) -> usize {
        self.start + self.len
    }
}

impl Pieces {
    pub const fn new() -> Pieces {
        Pieces {
            lock: AtomicU64::new(0),
            owner: AtomicU64::new(0),
            count: AtomicUsize::new(0),
            used: AtomicUsize::new(0),
            first: AtomicUsize::new(0),
            low: AtomicUsize::new(usize::MAX),
            high: AtomicUsize::new(0),
            chunks: [const { AtomicPtr::new(core::ptr::null_mut()) }; CHUNKS],
        }
    }

    fn place(&self, at: usize) -> Option<&Piece> {
        let chunk = self.chunks.get(at / CHUNK)?.load(Acquire);
        // SAFETY: a chunk is published once, zeroed, and never unmapped.
        unsafe { chunk.as_ref() }?.0.get(at % CHUNK)
    }

    /// Whether a piece has this record of this segment; `at` is its place.
    pub fn has(&self, id: i32, slot: u32, at: u32) -> bool {
        let part = self.get(at as usize);
        part.is_some_and(|part| part.id == id && part.slot == slot)
    }

    pub fn get(&self, at: usize) -> Option<Part> {
        let piece = self.place(at)?;
        if piece.held.load(Acquire) == 0 {
            return None;
        }
        Some(Part {
            id: piece.id.load(Relaxed),
            slot: piece.slot.load(Relaxed),
            flags: piece.flags.load(Relaxed),
            start: piece.start.load(Relaxed),
            len: piece.len.load(Relaxed),
            base: piece.base.load(Relaxed),
        })
    }

    /// Whether this process has any attachment.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.count.load(Relaxed) == 0
    }

    /// Whether an attachment lies in this range.
    #[inline]
    pub fn touches(&self, start: usize, len: usize) -> bool {
        !self.is_empty()
            && start < self.high.load(Relaxed)
            && start.saturating_add(len) > self.low.load(Relaxed)
            && self
                .find(0, |part| {
                    part.start < start.saturating_add(len) && part.end() > start
                })
                .is_some()
    }

    /// The first place from `from` on with a piece that fits.
    pub fn find(&self, from: usize, fits: impl Fn(&Part) -> bool) -> Option<(usize, Part)> {
        (from..self.used.load(Relaxed)).find_map(|at| {
            let part = self.get(at)?;
            fits(&part).then_some((at, part))
        })
    }

    /// The generation that the records belong to; 0: there are none yet.
    pub fn owner(&self) -> u64 {
        self.owner.load(Relaxed)
    }

    pub fn lock(&self) -> Result<Guard<'_>> {
        process::thread()?;
        let mine = process::generation();
        critical::enter();
        loop {
            let seen = self.lock.load(Relaxed);
            if seen != mine
                && self
                    .lock
                    .compare_exchange(seen, mine, Acquire, Relaxed)
                    .is_ok()
            {
                return Ok(Guard { pieces: self });
            }
            sys::sched_yield();
        }
    }
}

/// The table, locked.
pub(crate) struct Guard<'a> {
    pub pieces: &'a Pieces,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.pieces.lock.store(0, Release);
        critical::leave();
    }
}

impl Guard<'_> {
    /// A place for a new piece: make sure of it before the memory changes.
    pub fn reserve(&self) -> Result<usize> {
        let used = self.pieces.used.load(Relaxed);
        let first = self.pieces.first.load(Relaxed);
        let at = (first..used)
            .find(|&at| self.pieces.get(at).is_none())
            .unwrap_or(used.max(first));
        let chunk = self.pieces.chunks.get(at / CHUNK).ok_or(Errno::ENOMEM)?;
        if chunk.load(Acquire).is_null() {
            chunk.store(sys::private_memory(size_of::<Chunk>())?.cast(), Release);
        }
        Ok(at)
    }

    /// Keeps a piece at a reserved place.
    pub fn keep(&self, at: usize, part: &Part) {
        let p = self.pieces;
        let Some(piece) = p.place(at) else {
            return;
        };
        p.owner.store(process::generation(), Relaxed);
        piece.id.store(part.id, Relaxed);
        piece.slot.store(part.slot, Relaxed);
        piece.flags.store(part.flags, Relaxed);
        piece.base.store(part.base, Relaxed);
        self.lay(at, part.start, part.len);
        piece.held.store(1, Release);
        p.used.fetch_max(at + 1, Relaxed);
        p.first.store(at + 1, Relaxed);
        p.count.fetch_add(1, Relaxed);
    }

    /// A piece lies elsewhere now, or is another length.
    pub fn lay(&self, at: usize, start: usize, len: usize) {
        if let Some(piece) = self.pieces.place(at) {
            piece.start.store(start, Relaxed);
            piece.len.store(len, Relaxed);
            self.pieces.low.fetch_min(start, Relaxed);
            self.pieces.high.fetch_max(start + len, Relaxed);
        }
    }

    pub fn rebase(&self, at: usize, base: usize) {
        if let Some(piece) = self.pieces.place(at) {
            piece.base.store(base, Relaxed);
        }
    }

    pub fn set_slot(&self, at: usize, slot: u32) {
        if let Some(piece) = self.pieces.place(at) {
            piece.slot.store(slot, Relaxed);
        }
    }

    pub fn set_flags(&self, at: usize, flags: u32) {
        if let Some(piece) = self.pieces.place(at) {
            piece.flags.store(flags, Relaxed);
        }
    }

    pub fn set_owner(&self, generation: u64) {
        self.pieces.owner.store(generation, Relaxed);
    }

    pub fn drop_piece(&self, at: usize) {
        if let Some(piece) = self.pieces.place(at)
            && piece.held.swap(0, Release) != 0
        {
            self.pieces.count.fetch_sub(1, Relaxed);
            self.pieces.first.fetch_min(at, Relaxed);
        }
    }
}
