//! The bytes of a queue's file.

use crate::chair::{Chairs, InLine};
use crate::errno::{Errno, Result};
use crate::look::Seen;
use crate::map::{Map, Shared, expect, expect_at};
use crate::object::{OBJECT_LEN, Object};
use crate::ticket::Size;
use core::mem::offset_of;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::*};

/// No slot, no block, no place.
pub(super) const NIL: u32 = u32::MAX;

pub(super) const PAGE: usize = 4096;
/// Bytes of a cache line.
const LINE: usize = 64;
pub(super) const SLOT: usize = 128;
pub(super) const BLOCK: usize = 256;
/// Text bytes inside the slot.
pub(super) const INLINE: usize = 72;
/// Slots, and blocks, of the first extent.
const FIRST: u32 = 512;
pub(super) const MAX_EXTENTS: usize = 18;
/// Buckets of the type index in the header.
pub(super) const TYPE_BUCKETS: usize = 64;
/// Lines of receivers waiting for one type, by hash, and the line of all others.
pub(super) const LINES: usize = 257;
pub(super) const OTHERS: usize = LINES - 1;

// States of a slot.
pub(super) const FREE: u32 = 0;
pub(super) const MESSAGE: u32 = 1;
/// A message that belongs to the waiter in `prev`, who has not fetched it yet.
pub(super) const HANDED: u32 = 2;
pub(super) const RECEIVER: u32 = 3;
pub(super) const SENDER: u32 = 4;

/// A slot: a message or a waiter.
#[repr(C, align(64))]
pub(super) struct Slot {
    pub state: AtomicU32,
    /// Bytes of text; of a waiter: of its buffer or message, `u32::MAX` for any.
    pub len: AtomicU32,
    /// The message's type; a receiver's wanted type.
    pub mtype: AtomicU64,
    /// Place in the queue's order; a waiter's ticket.
    pub seq: AtomicU64,
    /// First block of the rest of the text; a waiter's line.
    pub block: AtomicU32,
    pub prev: AtomicU32,
    pub next: AtomicU32,
    /// Next message of the same type.
    pub type_next: AtomicU32,
    // The first message of each type stands for the type:
    pub type_tail: AtomicU32,
    pub bucket_next: AtomicU32,
    /// Place in the heap of types, and in the heap of first messages.
    pub places: [AtomicU32; 2],
    text: [AtomicU32; INLINE / 4],
}

/// What a waiter keeps where a message has its text.
#[repr(C)]
pub(super) struct Waiter {
    /// The futex it sleeps on: 0 while there is no news.
    pub news: AtomicU32,
    /// 1 while it sleeps, or is about to: who brings news wakes it. 0: it is awake and looks.
    pub asleep: AtomicU32,
    /// The message that it was handed.
    pub message: AtomicU32,
    pub pid: AtomicU32,
    pub tid: AtomicU32,
    /// When the news came, in monotonic milliseconds.
    pub news_ms: AtomicU64,
    /// Since when it waits, in seconds since the epoch.
    pub since: AtomicU64,
    /// How a receiver selects: see `wait::Mode`.
    pub mode: AtomicU32,
    /// The queue's `received` before the hand-over, should it be taken back.
    pub old_received: AtomicU64,
    /// The sleeper's, from when it sleeps on: a process's first thread may end by another's exec,
    /// and leaves its number to that.
    pub bell: AtomicU64,
}

/// Who did something, and when, in one word: a store less for each, and nobody sees the one without the other.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp(pub u64);

impl Stamp {
    /// Bits of a pid: `PID_MAX_LIMIT` of Linux.
    const PID: u32 = 22;

    /// `time`: in seconds since the epoch.
    #[inline(always)]
    pub fn new(pid: u32, time: i64) -> Stamp {
        Stamp((time as u64) << Self::PID | u64::from(pid))
    }

    pub fn of(word: &AtomicU64) -> Stamp {
        Stamp(word.load(Relaxed))
    }

    pub fn pid(self) -> u32 {
        self.0 as u32 & ((1 << Self::PID) - 1)
    }

    pub fn time(self) -> i64 {
        self.0 as i64 >> Self::PID
    }
}

/// The header page. What each message changes lies in two cache lines besides the lock's: between CPUs,
/// moving lines is what takes the time.
#[repr(C)]
pub(super) struct Header {
    pub object: Object,
    // The journal, and truth.
    pub op: AtomicU32,
    pub op_slot: AtomicU32,
    pub op_waiter: AtomicU32,
    /// Derived: moves when somebody lines up.
    pub lined_up: AtomicU32,
    /// A [`Stamp`], as are those of the last send and the last receive.
    pub op_stamp: AtomicU64,
    pub next_seq: AtomicU64,
    pub sent: AtomicU64,
    pub received: AtomicU64,
    pub sender: Seen,
    pub receiver: Seen,
    // Derived.
    pub qnum: AtomicU64,
    pub cbytes: AtomicU64,
    pub head: AtomicU32,
    pub tail: AtomicU32,
    pub free_slot: AtomicU32,
    pub free_block: AtomicU32,
    /// Messages handed over and not fetched.
    pub handed: AtomicU32,
    pub receivers: InLine,
    pub senders: InLine,
    /// 1: there is more than one type, and the index is kept.
    pub indexed: AtomicU32,
    pub types: AtomicU32,
    /// 0: the buckets below; k: those of extent k - 1.
    pub bucket_level: AtomicU32,
    /// Entries of the heaps plus one; 0: the heap is not kept.
    pub heaps: [AtomicU32; 2],
    // Truth that changes rarely.
    pub qbytes: AtomicU64,
    /// When memory was last added, in seconds since the epoch; 0: there is none to be given back.
    pub grown: AtomicU64,
    /// Extents in the file.
    pub extents: AtomicU32,
    /// Slots and blocks that may be in use are below these.
    pub slots: AtomicU32,
    pub blocks: AtomicU32,
    /// Slots and blocks below these have memory.
    pub slots_backed: AtomicU32,
    pub blocks_backed: AtomicU32,
    /// How often the derived part was made anew: while it is, counts are not what they should be.
    pub rebuilt: AtomicU32,
    pub op_qbytes: AtomicU64,
    pub op_set: [AtomicU32; 4],
    // Derived.
    pub sender_head: AtomicU32,
    pub sender_tail: AtomicU32,
    /// Number of waiters at which the dead are looked for.
    pub sweep_at: AtomicU32,
    pub heap_level: AtomicU32,
    pub buckets: [AtomicU32; TYPE_BUCKETS],
    pub lines: [[AtomicU32; 2]; LINES],
    pub chairs: Chairs,
}

/// Where a queue's file has these: for the models, and the suites that scribble there.
#[allow(dead_code, missing_docs)]
pub mod places {
    use super::{Header, PAGE, SLOT, Slot};
    use core::mem::offset_of;

    pub const CHAIRS: u64 = offset_of!(Header, chairs) as u64;
    pub const EXTENTS: u64 = offset_of!(Header, extents) as u64;
    pub const BLOCKS: u64 = offset_of!(Header, blocks) as u64;
    pub const QNUM: u64 = offset_of!(Header, qnum) as u64;
    pub const CBYTES: u64 = offset_of!(Header, cbytes) as u64;
    pub const HANDED: u64 = offset_of!(Header, handed) as u64;
    pub const RECEIVERS: u64 = offset_of!(Header, receivers) as u64;
    pub const SENDERS: u64 = offset_of!(Header, senders) as u64;
    pub const TYPES: u64 = offset_of!(Header, types) as u64;
    pub const QBYTES: u64 = offset_of!(Header, qbytes) as u64;
    pub const SENDER_HEAD: u64 = offset_of!(Header, sender_head) as u64;
    pub const FIRST_SLOT: u64 = PAGE as u64;
    pub const SLOT_LEN: u64 = SLOT as u64;
    // In a slot.
    pub const NEXT: u64 = offset_of!(Slot, next) as u64;
}

const _: () = assert!(offset_of!(Header, op).is_multiple_of(LINE));
const _: () = assert!(offset_of!(Header, qnum) == offset_of!(Header, op) + LINE);
const _: () = assert!(offset_of!(Header, head).is_multiple_of(8));
const _: () = assert!(offset_of!(Header, tail) == offset_of!(Header, head) + 4);
const _: () = assert!(offset_of!(Slot, next).is_multiple_of(8));
const _: () = assert!(offset_of!(Slot, type_next) == offset_of!(Slot, next) + 4);
const _: () = assert!(offset_of!(Header, qbytes) == offset_of!(Header, op) + 2 * LINE);
const _: () = assert!(size_of::<Slot>() == SLOT);
const _: () = assert!(offset_of!(Slot, text) == SLOT - INLINE);
const _: () = assert!(size_of::<Waiter>() <= INLINE);
const _: () = assert!((SLOT - INLINE).is_multiple_of(align_of::<Waiter>()));
const _: () = assert!(size_of::<Header>() <= PAGE);
const _: () = assert!(offset_of!(Header, object) == 0 && offset_of!(Header, op) == OBJECT_LEN);

// SAFETY: repr(C) and atomics only.
#[allow(unsafe_code)]
unsafe impl Shared for Slot {}
// SAFETY: as above.
#[allow(unsafe_code)]
unsafe impl Shared for Waiter {}
// SAFETY: as above.
#[allow(unsafe_code)]
unsafe impl Shared for Header {}
/// One word of an array.
#[repr(transparent)]
pub(super) struct Word(pub AtomicU32);
// SAFETY: an atomic.
#[allow(unsafe_code)]
unsafe impl Shared for Word {}

/// The arrays of an extent.
#[derive(Clone, Copy)]
pub(super) enum Area {
    Slots,
    Blocks,
    /// For each block the next of its message's, or of the free list.
    Links,
    /// Buckets of the type index, for as many types as there are slots up to this extent.
    Buckets,
    /// The two heaps, likewise.
    Heap(usize),
}

/// Slots, or blocks, of the extents 0..=k.
pub(super) const fn capacity(k: usize) -> u32 {
    FIRST << k
}

/// Slots, or blocks, of extent k.
const fn count(k: usize) -> usize {
    if k == 0 {
        FIRST as usize
    } else {
        capacity(k - 1) as usize
    }
}

const fn pages(bytes: usize) -> usize {
    bytes.div_ceil(PAGE) * PAGE
}

/// Where an array begins in its extent.
const fn area(k: usize, area: Area) -> usize {
    let (n, all) = (count(k), capacity(k) as usize);
    let slots = pages(n * SLOT);
    let blocks = slots + pages(n * BLOCK);
    let links = blocks + pages(n * 4);
    let buckets = links + pages(all * 4);
    match area {
        Area::Slots => 0,
        Area::Blocks => slots,
        Area::Links => blocks,
        Area::Buckets => links,
        Area::Heap(which) => buckets + which * pages(all * 4),
    }
}

const STARTS: [usize; MAX_EXTENTS + 1] = {
    let mut starts = [PAGE; MAX_EXTENTS + 1];
    let mut k = 0;
    while k < MAX_EXTENTS {
        starts[k + 1] = starts[k] + area(k, Area::Heap(2));
        k += 1;
    }
    starts
};

/// Offset of an array in the file. EIO: no such extent.
pub(super) fn array(k: usize, which: Area) -> Result<usize> {
    if k >= MAX_EXTENTS {
        return Err(Errno::EIO);
    }
    Ok(STARTS[k] + area(k, which))
}

/// The extent and place in it of a slot or block.
#[inline]
pub(super) fn locate(index: u32) -> (usize, usize) {
    if index < FIRST {
        return (0, index as usize);
    }
    let k = (index / FIRST).ilog2() as usize + 1;
    (k, (index - capacity(k - 1)) as usize)
}

/// Length of a file with this many extents. ENOMEM: more than a queue can have.
pub(super) fn file_len(extents: usize) -> Result<usize> {
    STARTS
        .get(extents)
        .copied()
        .filter(|_| extents > 0)
        .ok_or(Errno::ENOMEM)
}

/// Extents in a mapping of this length.
#[inline]
pub(super) fn extents_in(len: usize) -> usize {
    if len == FILE_LEN {
        return 1;
    }
    STARTS.iter().skip(1).take_while(|end| **end <= len).count()
}

/// What a mapping of this length shows: extents, and slots in those.
#[inline]
pub(crate) fn shown_in(len: usize) -> Size {
    let extents = extents_in(len);
    Size {
        extents: extents as u32,
        parts: extents.checked_sub(1).map_or(0, capacity),
    }
}

/// Whether a file with this many extents is as long as this, and has so many slots.
#[inline(always)]
pub(super) fn has_slots(extents: u32, len: usize, slots: u32) -> bool {
    match extents {
        1 => len == FILE_LEN && slots <= FIRST,
        // No mapping is as short as the file of no extents.
        _ => STARTS.get(extents as usize) == Some(&len) && slots <= FIRST << extents >> 1,
    }
}

/// A new queue's file, and what of it has memory from the start: the header.
pub(crate) const FILE_LEN: usize = STARTS[1];
pub(crate) const BACKED: usize = PAGE;

#[inline]
pub(super) fn slot_offset(index: u32) -> Result<usize> {
    let (k, place) = locate(index);
    Ok(array(k, Area::Slots)? + place * SLOT)
}

#[inline]
pub(super) fn slot<'a>(map: &Map, index: u32) -> Result<&'a Slot> {
    map.at(slot_offset(index)?)
}

/// The slot, without a look at the bounds.
///
/// # Safety
/// It lies in the mapping.
#[inline]
#[allow(unsafe_code)]
pub(super) unsafe fn known_slot<'a>(map: &Map, index: u32) -> &'a Slot {
    let start = match index < FIRST {
        true => PAGE,
        false => start_beyond(index),
    };
    // SAFETY: the caller's promise; slots are aligned in a file.
    unsafe { map.known(start.wrapping_add(index as usize * SLOT)) }
}

/// Where slot 0 would lie, if all were as those of an extent beyond the first.
#[inline(always)]
fn start_beyond(index: u32) -> usize {
    /// By the place of the index's highest bit; extents that a queue cannot have lie where the header does.
    static STARTS_BY_BIT: [usize; 32] = {
        let mut starts = [0; 32];
        let mut k = 1;
        while k < MAX_EXTENTS {
            let first = capacity(k - 1);
            starts[first.ilog2() as usize] = STARTS[k].wrapping_sub(first as usize * SLOT);
            k += 1;
        }
        starts
    };
    STARTS_BY_BIT[31 - (index | 1).leading_zeros() as usize]
}

impl Header {
    /// The queue has no message, or just one.
    #[inline(always)]
    #[allow(unsafe_code)]
    pub fn set_only(&self, index: u32) {
        let this = core::ptr::from_ref(self);
        // SAFETY: `tail` lies behind `head`, which has the alignment of both, as is asserted above. They are under
        // the lock: nobody has one of them at the same time.
        let ends = unsafe { &*(&raw const (*this).head).cast::<AtomicU64>() };
        ends.store(u64::from(index) << 32 | u64::from(index), Relaxed);
    }

    /// Asks for the cache lines that every message changes.
    #[inline(always)]
    pub fn expect_changes(&self) {
        expect_at::<{ offset_of!(Header, op) }, _>(self);
        expect_at::<{ offset_of!(Header, qnum) }, _>(self);
    }
}

impl Slot {
    /// Nothing is behind it, in the queue or of its type.
    #[inline(always)]
    #[allow(unsafe_code)]
    pub fn set_last(&self) {
        let this = core::ptr::from_ref(self);
        // SAFETY: as in `Header::set_only`, for `type_next` behind `next`.
        let links = unsafe { &*(&raw const (*this).next).cast::<AtomicU64>() };
        links.store(u64::MAX, Relaxed);
    }

    /// Asks for its cache lines, to write there.
    #[inline(always)]
    pub fn expect_changes(&self) {
        expect(self);
        expect_at::<LINE, _>(self);
    }

    /// Where its text is: `INLINE` bytes that others may write at the same time.
    #[inline]
    pub fn text(&self) -> *mut u8 {
        self.text.as_ptr().cast::<u8>().cast_mut()
    }
}

#[inline]
pub(super) fn waiter<'a>(map: &Map, index: u32) -> Result<&'a Waiter> {
    map.at(slot_offset(index)? + SLOT - INLINE)
}

/// The link of a block.
#[inline]
pub(super) fn link<'a>(map: &Map, index: u32) -> Result<&'a AtomicU32> {
    let (k, place) = locate(index);
    let word: &Word = map.at(array(k, Area::Links)? + place * 4)?;
    Ok(&word.0)
}

/// The links of up to `count` neighbouring blocks from a place in an extent; of those in the extent.
#[inline]
pub(super) fn links<'a>(map: &Map, k: usize, place: usize, count: usize) -> Result<&'a [Word]> {
    let start = array(k, Area::Links)? + place * 4;
    map.array(start, count.min(self::count(k) - place))
}

/// Fills a new queue's header.
pub(crate) fn fill(map: &Map, qbytes: u64) -> Result<()> {
    let h: &Header = map.at(0)?;
    h.qbytes.store(qbytes, Relaxed);
    h.extents.store(1, Relaxed);
    h.next_seq.store(1, Relaxed);
    clear_derived(h);
    Ok(())
}

/// The derived part of an empty queue without waiters.
pub(super) fn clear_derived(h: &Header) {
    let zero = [&h.handed, &h.indexed, &h.types, &h.bucket_level];
    for word in zero.into_iter().chain(&h.heaps) {
        word.store(0, Relaxed);
    }
    h.receivers.set(0);
    h.senders.set(0);
    h.sweep_at.store(16, Relaxed);
    h.qnum.store(0, Relaxed);
    h.cbytes.store(0, Relaxed);
    let none = [
        &h.head,
        &h.tail,
        &h.free_slot,
        &h.free_block,
        &h.sender_head,
        &h.sender_tail,
    ];
    for word in none
        .into_iter()
        .chain(&h.buckets)
        .chain(h.lines.iter().flatten())
    {
        word.store(NIL, Relaxed);
    }
}
