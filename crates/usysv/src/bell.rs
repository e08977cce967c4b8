//! Death bells: a word for each thread that the kernel marks when the thread ends.
//!
//! A thread that waits, or whose process has something to be undone, keeps a cell of the file
//! `bells` linked into its robust list (as `lock` links a lock it holds) until it ends or its
//! process execs. Then the kernel sets `DIED` in the cell and wakes one sleeper on it, if `WAITERS`
//! is set. So whether a thread lives is a load from memory, and its death can be slept for.
//!
//! A thread that is not its process's first and execs leaves its number, and a bell that nobody marks:
//! so whether the number of such a thread is taken is asked of the kernel.
//!
//! A bell that rings says that a thread is gone, not that its process is: see `liveness`.
//!
//! | word | meaning | leaves it by |
//! |---|---|---|
//! | 0 | never used | claim -> tid |
//! | tid (, WAITERS) | the thread lives | the kernel -> DIED (, WAITERS) |
//! | DIED (, WAITERS) | it is gone | claim -> tid |
//!
//! Model: `models/set.rs`.
//!
//! No lock. A claimer killed between the word and the link is found by the list's `pending` field.
//! Cells are never unlinked and never unmapped, so nothing here reads a pointer from shared memory;
//! a scribbled cell can at most tell a wrong tale of its thread, or keep the kernel from walking on
//! at that thread's end.
#![allow(unsafe_code)]

use crate::crash::crashpoint;
use crate::critical;
use crate::errno::Result;
use crate::lock::{DIED, Head, TID, WAITERS, set_prev};
use crate::map::{Map, Shared};
use crate::namespace::Namespace;
use crate::pidns;
use crate::process::{self, Identity};
use crate::sys;
use crate::tls;
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::*, compiler_fence};

/// As many as there are threads by default; further ones do without.
const CELLS: usize = 32768;
const CELL: usize = 64;
pub(crate) const FILE_LEN: usize = CELLS * CELL;
/// Cells looked at for a free one.
const PROBES: usize = 512;

#[repr(C, align(64))]
struct Cell {
    word: AtomicU32,
    generation: AtomicU32,
    /// Of the first cell: whose all these threads are. Not the cell's own.
    users: pidns::Word,
    reserved: AtomicU64,
    prev: AtomicUsize,
    next: AtomicUsize,
    pid: AtomicU32,
    reserved2: AtomicU32,
    start: AtomicU64,
    /// The pid namespace that the numbers are of, by its inode; 0: unknown.
    pidns: AtomicU64,
}

const _: () = assert!(size_of::<Cell>() == CELL);
const _: () = assert!(core::mem::offset_of!(Cell, next) as isize + crate::lock::OFFSET == 0);

// SAFETY: repr(C) and atomics only.
unsafe impl Shared for Cell {}

/// A thread's bell, as shared memory names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Bell {
    pub index: u32,
    pub generation: u32,
}

impl Bell {
    /// Nobody's: of a thread that found no free cell. It rings always, so that who asks looks
    /// closer.
    pub const NONE: Bell = Bell {
        index: u32::MAX,
        generation: 0,
    };

    /// In one word of shared memory.
    pub fn word(self) -> u64 {
        u64::from(self.index) << 32 | u64::from(self.generation)
    }

    /// See [`Bell::word`].
    pub fn of_word(word: u64) -> Bell {
        Bell {
            index: (word >> 32) as u32,
            generation: word as u32,
        }
    }
}

/// This thread's bell in this namespace. With no lock of ours held: the entry would lie in front of
/// it in the robust list.
#[inline]
pub(crate) fn mine(ns: &Namespace) -> Result<Bell> {
    mine_by(process::thread()?, ns)
}

/// Whether this thread has asked for its bell in this namespace: then [`mine`] takes no time.
pub(crate) fn is_known(ns: &Namespace) -> bool {
    tls::block().bell_in.load(Relaxed) == ns.bells().parts().0 as usize
}

/// This thread's bell in this namespace, if it has asked for it.
pub(crate) fn known(ns: &Namespace) -> Bell {
    let block = tls::block();
    match is_known(ns) {
        true => kept(block),
        false => Bell::NONE,
    }
}

/// The bell in a thread's block.
#[inline(always)]
fn kept(block: &tls::Block) -> Bell {
    Bell {
        index: block.bell_index.load(Relaxed),
        generation: block.bell_generation.load(Relaxed),
    }
}

/// [`mine`], of this thread, whose block was looked up just now.
#[inline(always)]
pub(crate) fn mine_by(block: &'static tls::Block, ns: &Namespace) -> Result<Bell> {
    if block.bell_in.load(Relaxed) == ns.bells().parts().0 as usize {
        return Ok(kept(block));
    }
    claim(ns, block)
}

#[cold]
fn claim(ns: &Namespace, block: &'static tls::Block) -> Result<Bell> {
    let me = process::identity()?;
    let tid = block.tid.load(Relaxed);
    let map = ns.bells();
    let first = tid as usize % CELLS;
    let mut bell = Bell::NONE;
    for probe in 0..PROBES {
        let index = (first + probe) % CELLS;
        if populate(map, probe, index).is_err() {
            break;
        }
        let Ok(cell) = cell(map, index) else { break };
        let word = cell.word.load(Acquire);
        if is_of(cell, word, tid, &me) {
            bell = of(index, cell);
            break;
        }
        let free = word == 0 || word & DIED != 0;
        if free && take(cell, word, tid, &me, block) {
            bell = of(index, cell);
            break;
        }
    }
    block.bell_index.store(bell.index, Relaxed);
    block.bell_generation.store(bell.generation, Relaxed);
    block.bell_in.store(map.parts().0 as usize, Relaxed);
    Ok(bell)
}

/// Before a probe: a page that the file system has no room for would be SIGBUS at the first touch.
fn populate(map: &Map, probe: usize, index: usize) -> Result<()> {
    match probe == 0 || (index * CELL).is_multiple_of(4096) {
        true => map.populate(index * CELL / 4096 * 4096, 4096).map(drop),
        false => Ok(()),
    }
}

/// Whether this is the cell of a thread that lives.
fn is_of(cell: &Cell, word: u32, tid: u32, who: &Identity) -> bool {
    (word & TID, word & DIED) == (tid, 0)
        && (cell.pid.load(Relaxed), cell.start.load(Relaxed)) == (who.pid, who.start)
}

fn of(index: usize, cell: &Cell) -> Bell {
    Bell {
        index: index as u32,
        generation: cell.generation.load(Relaxed),
    }
}

fn take(cell: &Cell, word: u32, tid: u32, me: &Identity, block: &tls::Block) -> bool {
    // SAFETY: as in `Lock::lock`.
    let head = unsafe { &*(block.robust.load(Relaxed) as *const Head) };
    let entry = &raw const cell.next as usize;
    critical::enter();
    head.pending.store(entry, Relaxed);
    compiler_fence(SeqCst);
    let taken = head.offset == crate::lock::OFFSET
        && cell
            .word
            .compare_exchange(word, tid, AcqRel, Relaxed)
            .is_ok();
    if taken {
        crashpoint!("bell.taken");
        cell.generation.fetch_add(1, Release);
        cell.pid.store(me.pid, Relaxed);
        cell.start.store(me.start, Relaxed);
        cell.pidns.store(process::pid_namespace(), Relaxed);
        let first = head.list.load(Relaxed);
        cell.next.store(first, Relaxed);
        cell.prev.store(&raw const head.list as usize, Relaxed);
        set_prev(first, entry);
        compiler_fence(SeqCst);
        head.list.store(entry, Relaxed);
        crashpoint!("bell.linked");
    }
    compiler_fence(SeqCst);
    head.pending.store(0, Relaxed);
    critical::leave();
    taken
}

fn cell(map: &Map, index: usize) -> Result<&Cell> {
    map.at(index * CELL)
}

/// Whether the kernel could not mark a thread's end: one that is not its process's first takes the
/// first one's number when it execs, and no longer is who its cell names.
fn is_lost(cell: &Cell, tid: u32) -> bool {
    tid != cell.pid.load(Relaxed)
        && cell.pidns.load(Relaxed) == process::pid_namespace()
        && !sys::exists(tid)
}

/// The word that says of which pid namespaces a namespace's users are: there is one file of bells, and
/// it stays mapped.
pub(crate) fn users(bells: &Map) -> Result<&'static pidns::Word> {
    bells.at::<Cell>(0).map(|cell| &cell.users)
}

impl Namespace {
    /// Whether the thread of this bell is gone, or never had one.
    #[inline]
    pub(crate) fn rings(&self, bell: Bell) -> bool {
        self.rings_or(bell, is_lost)
    }

    /// [`Namespace::rings`], as far as the kernel has marked it: without a system call.
    #[inline]
    pub(crate) fn is_marked(&self, bell: Bell) -> bool {
        self.rings_or(bell, |_, _| false)
    }

    /// Whether the thread of this bell lives for sure: without a system call, and without any call.
    #[inline(always)]
    pub(crate) fn is_silent(&self, bell: Bell) -> bool {
        // Any other thread than the first may have left by an exec.
        !self.rings_or(bell, |cell, tid| tid != cell.pid.load(Relaxed))
    }

    /// Whether the first thread of this process has a bell that is silent. Where it never asked for one, not.
    pub(crate) fn has_first_thread(&self, who: Identity) -> bool {
        let map = self.bells();
        for probe in 0..PROBES {
            let index = (who.pid as usize + probe) % CELLS;
            if populate(map, probe, index).is_err() {
                break;
            }
            let Ok(cell) = cell(map, index) else { break };
            let word = cell.word.load(Acquire);
            if word == 0 {
                break;
            }
            if is_of(cell, word, who.pid, &who) {
                return true;
            }
        }
        false
    }

    #[inline(always)]
    fn rings_or(&self, bell: Bell, is_lost: impl FnOnce(&Cell, u32) -> bool) -> bool {
        cell(self.bells(), bell.index as usize).map_or(true, |cell| {
            let word = cell.word.load(Acquire);
            word & TID == 0
                || word & DIED != 0
                || cell.generation.load(Relaxed) != bell.generation
                || is_lost(cell, word & TID)
        })
    }

    /// The word to sleep on for this bell, and what it holds while the bell is silent; it is marked
    /// so that the kernel wakes one sleeper. `None`: it rings.
    pub(crate) fn listen(&self, bell: Bell) -> Option<(&AtomicU32, u32)> {
        let cell = cell(self.bells(), bell.index as usize).ok()?;
        loop {
            let word = cell.word.load(Acquire);
            if self.rings(bell) {
                return None;
            }
            let marked = word | WAITERS;
            if word == marked
                || cell
                    .word
                    .compare_exchange(word, marked, AcqRel, Relaxed)
                    .is_ok()
            {
                return Some((&cell.word, marked));
            }
        }
    }
}
