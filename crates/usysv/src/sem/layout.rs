//! The bytes of a set's file: the header, the semaphores, the journal's entries; then, sparse, the
//! waiters' slots and the undo rows.

use crate::chair::{Chairs, InLine};
use crate::errno::{Errno, Result};
use crate::look::Seen;
use crate::map::{Map, Shared, expect};
use crate::object::{OBJECT_LEN, Object};
use core::mem::offset_of;
use core::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering::*};

pub(super) const NIL: u32 = u32::MAX;
pub(super) const PAGE: usize = 4096;
const HEADER: usize = 512;
const SEM: usize = 32;
const ENTRY: usize = 8;
pub(super) const SLOT: usize = 128;
/// Slots of a set, for waiters and for what their arrays do not fit in one.
pub(super) const SLOTS: u32 = 65536;
/// Operations in a waiter's slot, and in each slot that continues it.
pub(super) const OPS: usize = 8;
pub(super) const MORE_OPS: usize = 14;
/// Undo rows take at most this, but there are at least `LEAST_ROWS`.
const ROWS_LEN: usize = 64 << 20;
const LEAST_ROWS: usize = 1024;
const MOST_ROWS: usize = 32768;

// States of a slot.
pub(super) const FREE: u32 = 0;
pub(super) const WAITS: u32 = 1;
/// More operations of the slot before it.
pub(super) const CONTINUES: u32 = 2;
/// Its waiter has taken the news and left: free, as soon as somebody looks.
pub(super) const LEFT: u32 = 3;

// States of a row.
pub(super) const UNUSED: u32 = 0;
pub(super) const USED: u32 = 1;

/// The header. What a call changes that wakes somebody, or sleeps, lies in one cache line besides the lock's.
#[repr(C)]
pub(super) struct Header {
    pub object: Object,
    // The journal.
    pub op: AtomicU32,
    /// Entries that belong to it.
    pub op_entries: AtomicU32,
    /// The undo row that it changes, or NIL.
    pub op_row: AtomicU32,
    /// The waiter whose operations these are, or NIL.
    pub op_waiter: AtomicU32,
    pub op_pid: AtomicU32,
    /// Derived.
    pub waiting: InLine,
    pub op_time: AtomicU64,
    // Truth, but for the slots.
    pub otime: AtomicU64,
    /// Who changed it.
    pub seen: Seen,
    pub next_seq: AtomicU64,
    pub free_slot: AtomicU32,
    /// The slot that its waiter left last, perhaps: the next one finds its lines in a cache.
    pub left: AtomicU32,
    // Truth that changes rarely.
    pub op_set: [AtomicU32; 4],
    pub nsems: AtomicU32,
    /// Slots and rows that may be in use are below these.
    pub slots: AtomicU32,
    pub rows: AtomicU32,
    /// Slots and rows below these have memory.
    pub slots_backed: AtomicU32,
    pub rows_backed: AtomicU32,
    // Derived.
    /// Sleepers with more than one operation, and their lines: those that alter, those that do not.
    pub complex: AtomicU32,
    pub alters: Line,
    pub zeros: Line,
    /// The waiter that looks after the others, or NIL.
    pub watch: AtomicU32,
    reserved: AtomicU32,
    /// When dead holders were last looked for, in monotonic milliseconds.
    pub looked_ms: AtomicU64,
    pub chairs: Chairs,
}

impl Header {
    /// Asks for the lines that a call which sleeps, or wakes somebody, changes.
    pub fn expect_changes(&self) {
        expect(&raw const self.op);
        self.chairs.expect_changes();
    }
}

impl Slot {
    /// Asks for its cache lines, to write there.
    pub fn expect_changes(&self) {
        expect(&raw const self.state);
        expect(&raw const self.since);
    }
}

/// A line of waiters.
#[repr(C)]
pub(super) struct Line {
    pub head: AtomicU32,
    pub tail: AtomicU32,
}

/// A semaphore.
#[repr(C, align(32))]
pub(super) struct Sem {
    /// Its value, and above it the pid of who changed it last: both change by one store.
    state: AtomicU64,
    // Derived: lines of those who wait with one operation.
    pub alters: Line,
    pub zeros: Line,
    /// Nobody in `alters` takes less than this.
    pub least: AtomicU32,
    /// Undo rows with something for it.
    pub adjusters: AtomicU32,
}

/// What the journal makes of a semaphore, and of the row's `semadj` for it, in one word: its number
/// (16 bits), value (16), `semadj` (16).
#[repr(transparent)]
pub(super) struct Entry(AtomicU64);

/// What an [`Entry`] says; the number is of no semaphore perhaps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Change {
    pub num: u32,
    pub value: u32,
    pub adj: i32,
}

/// A sleeping `semop`, or more of its operations.
#[repr(C, align(64))]
pub(super) struct Slot {
    pub state: AtomicU32,
    /// 0 while it waits, else 1 + the errno it ends with: the futex that it sleeps on.
    pub news: AtomicU32,
    pub seq: AtomicU64,
    pub prev: AtomicU32,
    pub next: AtomicU32,
    /// Operations, and the slot with more of them.
    pub nops: AtomicU32,
    pub more: AtomicU32,
    pub pid: AtomicU32,
    pub tid: AtomicU32,
    pub bell: [AtomicU32; 2],
    /// Undo row, or NIL; which operation holds it up.
    pub row: AtomicU32,
    pub blocking: AtomicU32,
    /// The first one is in the cache line of what a waker looks at.
    pub ops: [AtomicU64; OPS],
    /// While it sleeps so long that somebody else has to look after it: the slot of the watch whose
    /// bell it listens to, plus one; else 0.
    pub deep: AtomicU32,
    /// Since when it waits, in seconds since the epoch.
    pub since: AtomicU32,
}

/// A slot that holds operations only.
#[repr(C, align(64))]
pub(super) struct More {
    pub state: AtomicU32,
    pub reserved: AtomicU32,
    pub next: AtomicU32,
    pub more: AtomicU32,
    pub ops: [AtomicU64; MORE_OPS],
}

/// What a process has to be undone in this set; `nsems` values of `semadj` follow.
#[repr(C)]
pub(super) struct Row {
    pub state: AtomicU32,
    pub pid: AtomicU32,
    pub start: AtomicU64,
    pub bell: [AtomicU32; 2],
    pub reserved: AtomicU64,
}

/// A `semadj`, as `i16`.
#[repr(transparent)]
pub(super) struct Adj(pub AtomicU16);

/// Where a set's file has these: for the models, and the suites that scribble there.
#[allow(dead_code, missing_docs)]
pub mod places {
    use super::{HEADER, Header, Sem, Slot};
    use core::mem::offset_of;

    pub const CHAIRS: u64 = offset_of!(Header, chairs) as u64;
    pub const NSEMS: u64 = offset_of!(Header, nsems) as u64;
    pub const SLOTS: u64 = offset_of!(Header, slots) as u64;
    pub const SLOTS_BACKED: u64 = offset_of!(Header, slots_backed) as u64;
    pub const WAITING: u64 = offset_of!(Header, waiting) as u64;
    pub const COMPLEX: u64 = offset_of!(Header, complex) as u64;
    pub const WATCH: u64 = offset_of!(Header, watch) as u64;
    pub const FREE_SLOT: u64 = offset_of!(Header, free_slot) as u64;
    pub const LOOKED: u64 = offset_of!(Header, looked_ms) as u64;
    /// Of the first semaphore.
    pub const ALTERS: u64 = (HEADER + offset_of!(Sem, alters)) as u64;
    // In a slot.
    pub const SEQ: u64 = offset_of!(Slot, seq) as u64;
    pub const PID: u64 = offset_of!(Slot, pid) as u64;
    pub const BELL: u64 = offset_of!(Slot, bell) as u64;
}

const _: () = assert!(size_of::<Header>() <= HEADER);
const _: () = assert!(offset_of!(Header, object) == 0 && offset_of!(Header, op) == OBJECT_LEN);
const _: () = assert!(
    offset_of!(Header, op).is_multiple_of(64) && offset_of!(Header, op_set) == OBJECT_LEN + 64
);
const _: () = assert!(size_of::<Sem>() == SEM && size_of::<Entry>() == ENTRY);
const _: () = assert!(size_of::<Slot>() == SLOT && size_of::<More>() == SLOT);
const _: () = assert!(offset_of!(Slot, ops) + 8 == 64);
const _: () = assert!(size_of::<Row>() == ROW_HEAD);
const ROW_HEAD: usize = 32;

macro_rules! shared {
    ($($name:ty),*) => {$(
        // SAFETY: repr(C) and atomics only.
        #[allow(unsafe_code)]
        unsafe impl Shared for $name {}
    )*};
}
shared!(Header, Sem, Entry, Slot, More, Row, Adj);

const fn pages(bytes: usize) -> usize {
    bytes.div_ceil(PAGE) * PAGE
}

/// Where the parts of a set of so many semaphores lie.
#[derive(Clone, Copy)]
pub(super) struct Plan(pub u32);

impl Plan {
    #[inline]
    fn entries(&self) -> usize {
        HEADER + self.0 as usize * SEM
    }

    #[inline]
    fn slots(&self) -> usize {
        pages(self.entries() + self.0 as usize * ENTRY)
    }

    #[inline]
    fn rows(&self) -> usize {
        self.slots() + SLOTS as usize * SLOT
    }

    #[inline]
    fn stride(&self) -> usize {
        (ROW_HEAD + self.0 as usize * 2).next_multiple_of(64)
    }

    #[inline]
    pub fn most_rows(&self) -> u32 {
        // Few semaphores' rows are not as many as fit: no division.
        match self.stride() <= ROWS_LEN / MOST_ROWS {
            true => MOST_ROWS as u32,
            false => (ROWS_LEN / self.stride()).max(LEAST_ROWS) as u32,
        }
    }

    /// Length of the file.
    pub fn len(&self) -> usize {
        self.rows() + pages(self.most_rows() as usize * self.stride())
    }

    /// What has memory from the start.
    pub fn backed(&self) -> usize {
        self.slots()
    }

    /// The bytes of the slots, or rows, from one up to another, in whole pages.
    pub fn slot_pages(&self, from: u32, to: u32) -> (usize, usize) {
        let begin = self.slots() + pages(from as usize * SLOT);
        (begin, self.slots() + pages(to as usize * SLOT) - begin)
    }

    pub fn row_pages(&self, from: u32, to: u32) -> (usize, usize) {
        let begin = self.rows() + pages(from as usize * self.stride());
        (
            begin,
            self.rows() + pages(to as usize * self.stride()) - begin,
        )
    }

    /// How many rows fit the pages that `row` begins or ends in.
    pub fn rows_with(&self, row: u32) -> u32 {
        let end = pages((row as usize + 1) * self.stride());
        ((end / self.stride()) as u32).min(self.most_rows())
    }
}

/// A mapped set. Each number is checked at each use; what has a good one lies in the mapping, which
/// is as long as the plan says.
///
/// Two words, so that it is handed over in registers.
#[derive(Clone, Copy)]
pub(super) struct Parts<'m> {
    pub h: &'m Header,
    pub nsems: u32,
}

#[allow(unsafe_code)]
impl<'m> Parts<'m> {
    /// EIO: the mapping has another length.
    pub fn of(map: &Map, nsems: u32) -> Result<Parts<'m>> {
        match map.len() == Plan(nsems).len() {
            true => Ok(Parts {
                h: map.at(0)?,
                nsems,
            }),
            false => Err(Errno::EIO),
        }
    }

    /// [`Parts::of`], without another look.
    ///
    /// # Safety
    /// The header begins a mapping that has the length of this plan.
    #[inline(always)]
    pub unsafe fn known(h: &'m Header, nsems: u32) -> Parts<'m> {
        Parts { h, nsems }
    }

    /// The structure at `offset` from the header.
    ///
    /// # Safety
    /// It lies in the mapping, and is aligned there.
    #[inline(always)]
    unsafe fn at<T: Shared>(&self, offset: usize) -> &'m T {
        // SAFETY: the caller's promise; T is made of atomics, for which any bytes are valid and
        // concurrent writers are allowed. The header's reference came from the whole mapping.
        unsafe { &*core::ptr::from_ref(self.h).byte_add(offset).cast::<T>() }
    }

    #[inline]
    pub fn plan(&self) -> Plan {
        Plan(self.nsems)
    }

    #[inline]
    pub fn sem(&self, num: u32) -> Result<&'m Sem> {
        if num >= self.nsems {
            return Err(Errno::EIO);
        }
        // SAFETY: in the mapping, which has `nsems` of them; aligned to their size.
        Ok(unsafe { self.at(HEADER + num as usize * SEM) })
    }

    #[inline]
    pub fn entry(&self, i: u32) -> Result<&'m Entry> {
        if i >= self.nsems {
            return Err(Errno::EIO);
        }
        // SAFETY: as in `sem`.
        Ok(unsafe { self.at(self.plan().entries() + i as usize * ENTRY) })
    }

    #[inline]
    fn slot_at(&self, index: u32) -> Result<usize> {
        if index >= SLOTS {
            return Err(Errno::EIO);
        }
        Ok(self.plan().slots() + index as usize * SLOT)
    }

    #[inline]
    pub fn slot(&self, index: u32) -> Result<&'m Slot> {
        // SAFETY: in the mapping, which has `SLOTS` of them, from a page's beginning on.
        Ok(unsafe { self.at(self.slot_at(index)?) })
    }

    pub fn more(&self, index: u32) -> Result<&'m More> {
        // SAFETY: as in `slot`.
        Ok(unsafe { self.at(self.slot_at(index)?) })
    }

    #[inline]
    fn row_at(&self, index: u32) -> Result<usize> {
        if index >= self.plan().most_rows() {
            return Err(Errno::EIO);
        }
        Ok(self.plan().rows() + index as usize * self.plan().stride())
    }

    #[inline]
    pub fn row(&self, index: u32) -> Result<&'m Row> {
        // SAFETY: in the mapping, which has `most_rows` of them, from a page's beginning on, and
        // each takes a multiple of 64 bytes.
        Ok(unsafe { self.at(self.row_at(index)?) })
    }

    /// A row's `semadj` of a semaphore.
    #[inline]
    pub fn adj(&self, row: u32, num: u32) -> Result<&'m Adj> {
        self.adj_in(self.row(row)?, num)
    }

    /// [`Parts::adj`] in a row of this set.
    #[inline]
    pub fn adj_in(&self, row: &'m Row, num: u32) -> Result<&'m Adj> {
        if num >= self.nsems {
            return Err(Errno::EIO);
        }
        let row = core::ptr::from_ref(row);
        // SAFETY: `nsems` of them follow a row's head, and the row's reference, which only `row`
        // gives, came from the whole mapping.
        Ok(unsafe { &*row.byte_add(ROW_HEAD + num as usize * 2).cast::<Adj>() })
    }
}

impl Sem {
    /// Its value, as it is there.
    #[inline]
    pub fn value(&self) -> u32 {
        self.state.load(Relaxed) as u32
    }

    /// Who changed it last.
    pub fn pid(&self) -> u32 {
        (self.state.load(Relaxed) >> 32) as u32
    }

    #[inline]
    pub fn put(&self, value: u32, pid: u32) {
        let state = u64::from(value) | u64::from(pid) << 32;
        self.state.store(state, Relaxed);
    }
}

impl Entry {
    #[inline]
    pub fn put(&self, change: Change) {
        let Change { num, value, adj } = change;
        let word = u64::from(num as u16) | u64::from(value as u16) << 16;
        self.0.store(word | u64::from(adj as u16) << 32, Relaxed);
    }

    #[inline]
    pub fn get(&self) -> Change {
        let word = self.0.load(Relaxed);
        Change {
            num: u32::from(word as u16),
            value: u32::from((word >> 16) as u16),
            adj: i32::from((word >> 32) as u16 as i16),
        }
    }
}

/// The most rows that any set has.
pub(super) const fn most_rows() -> u32 {
    MOST_ROWS as u32
}

/// Length of the file of a new set, and what of it has memory.
pub(crate) fn file_len(nsems: u32) -> (usize, usize) {
    let plan = Plan(nsems);
    (plan.len(), plan.backed())
}

/// Fills a new set's header.
pub(crate) fn fill(map: &Map, nsems: u32) -> Result<()> {
    let parts = Parts::of(map, nsems)?;
    let h = parts.h;
    h.nsems.store(nsems, Relaxed);
    h.next_seq.store(1, Relaxed);
    h.op_row.store(NIL, Relaxed);
    h.op_waiter.store(NIL, Relaxed);
    clear_derived(h, &parts)
}

/// The derived part of a set without waiters and undo.
pub(super) fn clear_derived(h: &Header, parts: &Parts<'_>) -> Result<()> {
    h.waiting.set(0);
    h.complex.store(0, Relaxed);
    for word in [&h.free_slot, &h.watch] {
        word.store(NIL, Relaxed);
    }
    h.alters.clear();
    h.zeros.clear();
    for num in 0..parts.nsems {
        let sem = parts.sem(num)?;
        sem.alters.clear();
        sem.zeros.clear();
        sem.least.store(0, Relaxed);
        sem.adjusters.store(0, Relaxed);
    }
    Ok(())
}

impl Line {
    pub fn clear(&self) {
        self.head.store(NIL, Relaxed);
        self.tail.store(NIL, Relaxed);
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.head.load(Relaxed) == NIL
    }
}
