//! The attachments of this process, piece by piece as its memory has them.
//!
//! `munmap`, `mprotect` and their like cut an attachment to pieces, and each piece counts; `shmdt`
//! takes all that are left of one. The table is private memory: a fork child has a copy, and makes
//! itself known with it (see `engine::fork`). Its lock holds off threads of this process only; a
//! child forked while it was held finds the generation of its parent in it, and takes it over.
//!
//! Somebody may cut bytes off a segment's file: [`restore`].
//!
//! A piece's fields are stored before its state, and change only under the lock. `has` and
//! `touches` read without it.
#![allow(unsafe_code)]

use crate::critical;
use crate::errno::{Errno, Result};
use crate::files;
use crate::namespace::Namespace;
use crate::object::index_of;
use crate::path::{Digits, Long, Path};
use crate::process;
use crate::shm::PAGE;
use crate::shm::again::Again;
use crate::sys::{self, Fd};
use core::ffi::CStr;
use core::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering::*};

const CHUNKS: usize = 512;
const CHUNK: usize = 256;

/// The record of a piece that no segment knows of.
pub(crate) const NO_SLOT: u32 = u32::MAX;
/// In a piece's flags, above the bits of `PROT_*`: not for fork children.
pub(crate) const DONT_FORK: u32 = 1 << 8;
/// Likewise: its pages are huge.
pub(crate) const HUGE_PAGES: u32 = 1 << 15;

struct Piece {
    held: AtomicU32,
    id: AtomicI32,
    slot: AtomicU32,
    attach: AtomicU32,
    flags: AtomicU32,
    start: AtomicUsize,
    len: AtomicUsize,
    /// Where the segment's first byte would be.
    base: AtomicUsize,
    size: AtomicUsize,
    file: [AtomicU64; 2],
}

struct Chunk {
    pieces: [Piece; CHUNK],
    /// The namespace's directory.
    path: Long,
    next: AtomicPtr<Chunk>,
}

/// All chunks of all engines: for `restore`, which runs in a signal handler.
static ALL: AtomicPtr<Chunk> = AtomicPtr::new(core::ptr::null_mut());

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
    /// Of what was attached again and again.
    pub again: Again,
}

/// A piece's values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    pub id: i32,
    pub slot: u32,
    /// Which `shmat` of this process it is of: its pieces have the same, wherever they went.
    pub attach: u32,
    pub flags: u32,
    pub start: usize,
    pub len: usize,
    pub base: usize,
    /// Of the whole segment, in whole pages: a piece that `mremap` made longer goes on behind its end.
    pub size: usize,
    /// Device and inode of the segment's bytes.
    pub file: [u64; 2],
}

impl Part {
    pub fn end(&self) -> usize {
        self.start + self.len
    }
}

impl Piece {
    fn part(&self) -> Option<Part> {
        if self.held.load(Acquire) == 0 {
            return None;
        }
        let [device, inode] = &self.file;
        Some(Part {
            id: self.id.load(Relaxed),
            slot: self.slot.load(Relaxed),
            attach: self.attach.load(Relaxed),
            flags: self.flags.load(Relaxed),
            start: self.start.load(Relaxed),
            len: self.len.load(Relaxed),
            base: self.base.load(Relaxed),
            size: self.size.load(Relaxed),
            file: [device.load(Relaxed), inode.load(Relaxed)],
        })
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
            again: Again::new(),
        }
    }

    fn place(&self, at: usize) -> Option<&Piece> {
        let chunk = self.chunks.get(at / CHUNK)?.load(Acquire);
        // SAFETY: a chunk is published once, zeroed, and never unmapped.
        unsafe { chunk.as_ref() }?.pieces.get(at % CHUNK)
    }

    /// Whether a piece has this record of this segment; `at` is its place.
    pub fn has(&self, id: i32, slot: u32, at: u32) -> bool {
        let part = self.get(at as usize);
        part.is_some_and(|part| part.id == id && part.slot == slot)
    }

    pub fn get(&self, at: usize) -> Option<Part> {
        self.place(at)?.part()
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
    pub fn reserve(&self, ns: &Namespace) -> Result<usize> {
        let used = self.pieces.used.load(Relaxed);
        let first = self.pieces.first.load(Relaxed);
        let at = (first..used)
            .find(|&at| self.pieces.get(at).is_none())
            .unwrap_or(used.max(first));
        let chunk = self.pieces.chunks.get(at / CHUNK).ok_or(Errno::ENOMEM)?;
        if chunk.load(Acquire).is_null() {
            chunk.store(new_chunk(ns)?, Release);
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
        piece.attach.store(part.attach, Relaxed);
        piece.flags.store(part.flags, Relaxed);
        piece.base.store(part.base, Relaxed);
        piece.size.store(part.size, Relaxed);
        for (word, value) in piece.file.iter().zip(part.file) {
            word.store(value, Relaxed);
        }
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

fn new_chunk(ns: &Namespace) -> Result<*mut Chunk> {
    let new: *mut Chunk = sys::private_memory(size_of::<Chunk>())?.cast();
    let mut first = ALL.load(Relaxed);
    // SAFETY: our own memory so far, and zeroes are a valid Chunk.
    unsafe { (*new).path.push(ns.path().to_bytes())? };
    loop {
        // SAFETY: as above.
        unsafe { (*new).next.store(first, Relaxed) };
        match ALL.compare_exchange(first, new, Release, Relaxed) {
            Ok(_) => return Ok(new),
            Err(other) => first = other,
        }
    }
}

/// Makes the memory at an address of an attachment usable again, after a SIGBUS there. False: no
/// attachment has it, or the file system has no room for it. In a signal handler, without the lock.
pub(crate) fn restore(addr: usize) -> bool {
    let mut chunk = ALL.load(Acquire);
    // SAFETY: chunks are published whole, and never unmapped.
    while let Some(here) = unsafe { chunk.as_ref() } {
        let parts = here.pieces.iter().filter_map(Piece::part);
        for part in parts {
            if (part.start..part.end()).contains(&addr) {
                // Whether the file was cut off, or the pool is empty, which is the program's to
                // know, cannot be told here.
                return part.flags & HUGE_PAGES == 0
                    && restore_part(&here.path.path(), &part, addr);
            }
        }
        chunk = here.next.load(Relaxed);
    }
    false
}

fn restore_part(ns: &Path<'_>, part: &Part, addr: usize) -> bool {
    let page = addr & !(PAGE - 1);
    let offset = page.wrapping_sub(part.base) as u64;
    let end = part.size.min(part.end().wrapping_sub(part.base)) as u64;
    if offset >= end {
        // Behind the segment's end nobody cut anything off: the fault is the program's.
        return false;
    }
    match open_file(ns, part) {
        // Allocating never shortens it, whatever another process does at the same time. The last
        // page gives the length at once, and does without where there is no room.
        Ok(fd) if sys::may_reach(end).is_ok() => {
            let _ = sys::fallocate_at(&fd, end - PAGE as u64, PAGE as u64);
            match sys::fallocate_at(&fd, offset, PAGE as u64) {
                Ok(true) => return true,
                Err(Errno::ENOSPC | Errno::EDQUOT | Errno::ENOMEM) => return false,
                _ => {}
            }
        }
        _ => {}
    }
    let prot = part.flags as i32 & 7;
    // SAFETY: the bytes that others may write at any time are zeroes from now on.
    unsafe { sys::zero_at(page, (end - offset) as usize, prot) }.is_ok()
}

/// The file of a piece's bytes, if it still has its name.
fn open_file(ns: &Path<'_>, part: &Part) -> Result<Fd> {
    let directory = files::open_directory(ns)?;
    let directory = sys::open_in(&directory, c"shm", libc::O_PATH | libc::O_DIRECTORY, 0)?;
    let mut name = [0; 20];
    let digits = Digits::decimal(u64::from(index_of(part.id)));
    let text = [digits.as_bytes(), b".data"];
    for (to, from) in name.iter_mut().zip(text.into_iter().flatten()) {
        *to = *from;
    }
    let name = CStr::from_bytes_until_nul(&name).map_err(|_| Errno::EIO)?;
    let fd = sys::open_in(&directory, name, libc::O_RDWR, 0)?;
    let st = sys::fstat(&fd)?;
    match [st.st_dev, st.st_ino] == part.file {
        true => files::check(&st).map(|()| fd),
        false => Err(Errno::EIDRM),
    }
}
