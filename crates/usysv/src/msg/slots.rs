//! Slots and blocks: where messages and waiters live, how the file grows and shrinks.
//!
//! Free slots and blocks are LIFO lists, so that a busy queue stays in a few hot cache lines.

use super::layout::{self, Area, BLOCK, FREE, Header, INLINE, NIL, PAGE, SLOT, Slot, Stamp};
use super::{Held, Locked, layout::Waiter};
use crate::crash::crashpoint;
use crate::errno::{Errno, Result};
use crate::files;
use crate::object::{Kind, index_of};
use crate::sys;
use core::sync::atomic::{AtomicU32, Ordering::*};

/// An empty queue keeps this much for the next burst, in bytes, if it grew just now.
const KEEP: usize = 64 * 1024;
/// Memory is added in steps of at most this many bytes.
const STEP: usize = 256 * 1024;

impl<'a> Held<'a> {
    /// A slot that may be in use. EIO: none.
    #[inline]
    #[allow(unsafe_code)]
    pub(super) fn slot(&self, index: u32) -> Result<&'a Slot> {
        if index >= self.slots {
            return Err(Errno::EIO);
        }
        // SAFETY: `slots` counts only what lies in the mapping (`is_sane`, `set_slots`).
        Ok(unsafe { layout::known_slot(&self.map, index) })
    }

    /// The waiter in a slot that may be in use.
    pub(super) fn waiter(&self, index: u32) -> Result<&'a Waiter> {
        self.slot(index)?;
        layout::waiter(&self.map, index)
    }

    /// Whether a receive just left the queue empty and with memory to be given back: see `trim`.
    #[inline(always)]
    pub(super) fn is_idle(&self) -> bool {
        self.h.qnum.load(Relaxed) == 0 && self.is_roomy()
    }

    /// [`Held::is_idle`] of a queue that is empty.
    #[inline(always)]
    pub(super) fn is_roomy(&self) -> bool {
        let grown = self.h.grown.load(Relaxed);
        grown != 0 && self.h.has_much(grown)
    }

    /// Bytes of memory for slots and blocks.
    fn memory(&self) -> usize {
        self.h.memory()
    }

    /// Takes the first free slot.
    #[inline(always)]
    pub(super) fn take_free_slot(&self, free: u32) -> Result<(u32, &'a Slot)> {
        let slot = self.slot(free)?;
        if slot.state.load(Relaxed) != FREE {
            return Err(Errno::EIO);
        }
        let next = slot.next.load(Relaxed);
        self.h.free_slot.store(next, Relaxed);
        crashpoint!("msg.slot.taken");
        self.expect_behind(next);
        Ok((free, slot))
    }

    /// Asks for the slot behind `next`, which is about to be used after this one: when two CPUs
    /// take turns, its lines are in the other's cache, and getting them takes longer than sending or
    /// receiving what is in them. (`next` itself was asked for the last time.)
    #[inline(always)]
    pub(super) fn expect_behind(&self, next: u32) {
        let Ok(slot) = self.slot(next) else { return };
        if let Ok(behind) = self.slot(slot.next.load(Relaxed)) {
            behind.expect_changes();
        }
    }

    /// Makes a slot FREE again and puts it on the list.
    pub(super) fn free_slot(&self, index: u32) -> Result<()> {
        self.free_known(index, self.slot(index)?);
        Ok(())
    }

    /// [`Held::free_slot`] of one that was looked up.
    #[inline(always)]
    pub(super) fn free_known(&self, index: u32, slot: &Slot) {
        slot.state.store(FREE, Relaxed);
        self.list_free(index, slot);
    }

    /// Puts a slot that is FREE already on the list.
    #[inline(always)]
    pub(super) fn list_free(&self, index: u32, slot: &Slot) {
        slot.next.store(self.h.free_slot.load(Relaxed), Relaxed);
        self.h.free_slot.store(index, Relaxed);
        crashpoint!("msg.slot.freed");
    }

    /// Neighbouring blocks of a chain: from `first`, no more than `most`. EIO: there is no such block.
    #[inline]
    fn run(&self, first: u32, most: usize) -> Result<Run<'a>> {
        let (k, place) = layout::locate(first);
        let there = self.h.blocks.load(Relaxed).saturating_sub(first) as usize;
        let links = layout::links(&self.map, k, place, most.min(there))?;
        let mut last = links.first().ok_or(Errno::EIO)?;
        let (mut count, mut next) = (1, last.0.load(Relaxed));
        // By number, not by what the links say: the processor need not wait for one to read another.
        for link in &links[1..] {
            if next != first + count {
                break;
            }
            (last, next) = (link, link.0.load(Relaxed));
            count += 1;
        }
        Ok(Run {
            start: layout::array(k, Area::Blocks)? + place * BLOCK,
            count: count as usize,
            last: &last.0,
            next,
        })
    }

    /// The end of a chain of `count` blocks: its last one's link.
    #[inline]
    fn end_of(&self, first: u32, count: usize) -> Result<&'a AtomicU32> {
        let mut run = self.run(first, count)?;
        let mut left = count - run.count;
        while left > 0 {
            run = self.run(run.next, left)?;
            left -= run.count;
        }
        Ok(run.last)
    }

    /// A chain of `count` blocks off the free list. EIO: there are not as many.
    #[inline(never)]
    pub(super) fn take_free_blocks(self, count: usize) -> Result<u32> {
        if count == 0 {
            return Ok(NIL);
        }
        let first = self.h.free_block.load(Relaxed);
        let end = self.end_of(first, count)?;
        self.h.free_block.store(end.load(Relaxed), Relaxed);
        crashpoint!("msg.blocks.taken");
        Ok(first)
    }

    /// Puts a chain on the free list.
    #[inline(never)]
    fn free_blocks(self, first: u32, count: usize) -> Result<()> {
        let end = self.end_of(first, count)?;
        end.store(self.h.free_block.load(Relaxed), Relaxed);
        crashpoint!("msg.blocks.chained");
        self.h.free_block.store(first, Relaxed);
        crashpoint!("msg.blocks.freed");
        Ok(())
    }

    /// Frees a message's blocks and slot.
    #[inline(always)]
    pub(super) fn free_message(&self, index: u32, slot: &Slot, len: u32) -> Result<()> {
        let len = len as usize;
        if len > INLINE {
            self.free_blocks(slot.block.load(Relaxed), blocks_of(len))?;
        }
        self.free_known(index, slot);
        Ok(())
    }

    /// Copies a text that is longer than `INLINE` into a slot and a chain of as many blocks as it needs.
    ///
    /// # Safety
    /// `text` can be read for `len` bytes.
    #[allow(unsafe_code)]
    pub(super) unsafe fn write_text(
        &self,
        slot: &Slot,
        first: u32,
        text: *const u8,
        len: usize,
    ) -> Result<()> {
        slot.len.store(len as u32, Relaxed);
        // SAFETY: the caller's promise: of the first bytes the slot has room for so many.
        unsafe {
            slot.text().copy_from_nonoverlapping(text, INLINE);
            slot.block.store(first, Relaxed);
            self.write_blocks(first, text.add(INLINE), len - INLINE)
        }
    }

    /// # Safety
    /// As for [`Held::write_text`].
    #[inline(never)]
    #[allow(unsafe_code)]
    unsafe fn write_blocks(self, first: u32, text: *const u8, len: usize) -> Result<()> {
        let (mut done, mut block) = (0, first);
        while done < len {
            let run = self.run(block, (len - done).div_ceil(BLOCK))?;
            let bytes = (run.count * BLOCK).min(len - done);
            // SAFETY: the caller's promise, for what is left of the text.
            unsafe { self.map.write(run.start, text.add(done), bytes)? };
            done += bytes;
            block = run.next;
        }
        Ok(())
    }

    /// Copies the first `len` bytes of a message's text out; no more than it has.
    ///
    /// # Safety
    /// `to` can be written for `len` bytes.
    #[inline(always)]
    #[allow(unsafe_code)]
    pub(super) unsafe fn read_text(&self, slot: &Slot, to: *mut u8, len: usize) -> Result<()> {
        // SAFETY: the caller's promise: of the first bytes the slot has so many.
        unsafe {
            if len <= INLINE {
                copy_short(slot.text(), to, len);
                return Ok(());
            }
            slot.text().copy_to_nonoverlapping(to, INLINE);
            self.read_blocks(slot.block.load(Relaxed), to.add(INLINE), len - INLINE)
        }
    }

    /// # Safety
    /// As for [`Held::read_text`].
    #[inline(never)]
    #[allow(unsafe_code)]
    unsafe fn read_blocks(self, first: u32, to: *mut u8, len: usize) -> Result<()> {
        let (mut done, mut block) = (0, first);
        while done < len {
            let run = self.run(block, (len - done).div_ceil(BLOCK))?;
            let bytes = (run.count * BLOCK).min(len - done);
            // SAFETY: the caller's promise, for what is left of the room.
            unsafe { self.map.read(run.start, to.add(done), bytes)? };
            done += bytes;
            block = run.next;
        }
        Ok(())
    }

    /// Memory for an array of the last extent (`entries` words of it).
    pub(super) fn back_words(&self, k: usize, area: Area, entries: usize) -> Result<()> {
        let start = layout::array(k, area)?;
        self.map
            .populate(start, (entries * 4).next_multiple_of(PAGE))
            .map(drop)
    }
}

impl<'a> Locked<'a> {
    /// A free slot, still FREE. ENOMEM: no memory for one.
    pub(super) fn take_slot(&mut self) -> Result<(u32, &'a Slot)> {
        match self.h.free_slot.load(Relaxed) {
            NIL => self.add_slot(),
            free => self.take_free_slot(free),
        }
    }

    #[cold]
    fn add_slot(&mut self) -> Result<(u32, &'a Slot)> {
        let index = self.slots;
        if index >= self.h.slots_backed.load(Relaxed) {
            self.back_slots(index)?;
        }
        let slot = layout::slot(&self.map, index)?;
        slot.state.store(FREE, Relaxed);
        self.set_slots(index + 1);
        crashpoint!("msg.slot.added");
        Ok((index, slot))
    }

    /// A chain of `count` blocks. ENOMEM: no memory for so many.
    pub(super) fn take_blocks(&mut self, count: usize) -> Result<u32> {
        let mut there = 0;
        let mut end = None;
        let mut block = self.h.free_block.load(Relaxed);
        while there < count && block != NIL {
            let run = self.run(block, count - there)?;
            there += run.count;
            (block, end) = (run.next, Some(run.last));
        }
        while there < count {
            // What is added stands behind the others on the list, whatever comes.
            let added = self.add_block()?;
            let (k, place) = layout::locate(added);
            let [link] = layout::links(&self.map, k, place, 1)? else {
                return Err(Errno::EIO);
            };
            link.0.store(NIL, Relaxed);
            end.unwrap_or(&self.h.free_block).store(added, Relaxed);
            crashpoint!("msg.block.added");
            end = Some(&link.0);
            there += 1;
        }
        self.take_free_blocks(count)
    }

    /// A block that was in no use yet.
    fn add_block(&mut self) -> Result<u32> {
        let index = self.h.blocks.load(Relaxed);
        if index >= self.h.blocks_backed.load(Relaxed) {
            self.back_blocks(index)?;
        }
        self.h.blocks.store(index + 1, Relaxed);
        crashpoint!("msg.block.counted");
        Ok(index)
    }

    #[cold]
    fn back_slots(&mut self, index: u32) -> Result<()> {
        let backed = self.back(index, Area::Slots, SLOT)?;
        self.h.slots_backed.store(backed, Relaxed);
        Ok(())
    }

    #[cold]
    fn back_blocks(&mut self, index: u32) -> Result<()> {
        self.back(index, Area::Links, 4)?;
        let backed = self.back(index, Area::Blocks, BLOCK)?;
        self.h.blocks_backed.store(backed, Relaxed);
        Ok(())
    }

    /// Gives memory to the entry `index` of an array and some behind it; the first without.
    fn back(&mut self, index: u32, area: Area, size: usize) -> Result<u32> {
        if index
            >= layout::capacity(
                (self.h.extents.load(Relaxed) as usize).clamp(1, layout::MAX_EXTENTS) - 1,
            )
        {
            self.grow()?;
        }
        let (k, place) = layout::locate(index);
        let in_extent = layout::capacity(k).checked_sub(index).ok_or(Errno::EIO)? as usize;
        let step = (index as usize * size / 2)
            .clamp(PAGE, STEP)
            .next_multiple_of(PAGE);
        let count = (step / size).min(in_extent);
        let start = layout::array(k, area)? + place * size;
        let page = start / PAGE * PAGE;
        let end = (start + count * size).next_multiple_of(PAGE);
        self.map.populate(page, end - page)?;
        crashpoint!("msg.back.populated");
        if self.memory() + (end - page) > PAGE {
            self.h.grown.store(sys::time() as u64, Relaxed);
        }
        Ok(index + count as u32)
    }

    /// Adds an extent to the file.
    #[cold]
    fn grow(&mut self) -> Result<()> {
        let extents = self.h.extents.load(Relaxed) as usize + 1;
        let len = layout::file_len(extents)?;
        let path = self.ns.index_path(Kind::Msg, index_of(self.id))?;
        let fd = files::open_again(&path, self.pin.file()).map_err(|_| Errno::ENOMEM)?;
        if (sys::fstat(&fd)?.st_size as u64) < len as u64 {
            sys::ftruncate(&fd, len as u64).map_err(|_| Errno::ENOMEM)?;
        }
        crashpoint!("msg.grow.longer");
        self.pin.remap(&fd, len)?;
        self.held.map = self.pin.map();
        crashpoint!("msg.grow.mapped");
        self.h.extents.store(extents as u32, Relaxed);
        crashpoint!("msg.grow.stored");
        Ok(())
    }

    /// Gives the memory of an empty queue back, unless it is little and was needed just now. What the
    /// sleepers' slots take is not to be had, and nothing to walk all slots for.
    pub(super) fn trim(&mut self) {
        let h = self.h;
        let idle = h.idle_memory();
        if h.qnum.load(Relaxed) == 0 && idle > PAGE && h.handed.load(Relaxed) == 0 {
            self.trim_slow(idle);
        }
    }

    #[cold]
    fn trim_slow(&mut self, idle: usize) {
        let h = self.h;
        if idle <= KEEP && h.grown.load(Relaxed) >= sys::time() as u64 {
            return;
        }
        // Waiters keep their slots, and all below them.
        let mut keep = 0;
        for index in 0..self.slots {
            match self.slot(index) {
                Ok(slot) if slot.state.load(Relaxed) != FREE => keep = index + 1,
                Ok(_) => {}
                // A count that somebody made up ends here, not in a minute.
                Err(_) => break,
            }
        }
        let slots = (keep as usize * SLOT).next_multiple_of(PAGE).max(PAGE) / SLOT;
        self.set_slots(keep);
        crashpoint!("msg.trim.slots");
        h.blocks.store(0, Relaxed);
        h.slots_backed
            .store((slots as u32).min(h.slots_backed.load(Relaxed)), Relaxed);
        h.blocks_backed.store(0, Relaxed);
        crashpoint!("msg.trim.counted");
        h.free_block.store(NIL, Relaxed);
        h.free_slot.store(NIL, Relaxed);
        for index in (0..keep).rev() {
            if self
                .slot(index)
                .is_ok_and(|s| s.state.load(Relaxed) == FREE)
            {
                let _ = self.free_slot(index);
            }
        }
        for k in 0..layout::extents_in(self.map.len()) {
            let below = if k == 0 {
                0
            } else {
                layout::capacity(k - 1) as usize
            };
            let kept = slots
                .saturating_sub(below)
                .min(layout::capacity(k) as usize - below)
                * SLOT;
            if let (Ok(start), Ok(end)) = (
                layout::array(k, Area::Slots),
                layout::array(k, Area::Heap(2)),
            ) {
                self.map.release(start + kept, end - start - kept);
                crashpoint!("msg.trim.released");
            }
        }
        if self.memory() <= PAGE {
            h.grown.store(0, Relaxed);
        }
    }
}

impl Header {
    /// Bytes of memory for slots and blocks.
    fn memory(&self) -> usize {
        const SLOTS: usize = BLOCK / SLOT;
        let blocks = self.blocks_backed.load(Relaxed) as usize;
        (self.slots_backed.load(Relaxed) as usize + blocks * SLOTS) * SLOT
    }

    /// Whether an empty queue is to give some of it back.
    #[cold]
    #[inline(never)]
    fn has_much(&self, grown: u64) -> bool {
        let idle = self.idle_memory();
        idle > PAGE && (idle > KEEP || grown < Stamp::of(&self.op_stamp).time() as u64)
    }

    /// What no sleeper is in.
    fn idle_memory(&self) -> usize {
        let sleepers = self.receivers.get() as usize + self.senders.get() as usize;
        self.memory().saturating_sub(sleepers.saturating_mul(SLOT))
    }
}

/// Copies up to `INLINE` bytes: without a call for the lengths that are common. The first piece is short, since a
/// slot's text, and most programs', begins 8 bytes before a boundary of 16, and pieces across two cache lines take
/// longer.
///
/// # Safety
/// `from` can be read and `to` written for `len` bytes.
#[inline(always)]
#[allow(unsafe_code)]
pub(super) unsafe fn copy_short(from: *const u8, to: *mut u8, len: usize) {
    // SAFETY: the caller's promise: all pieces begin and end within `len` bytes.
    unsafe {
        let half = |at: usize| from.add(at).cast::<u64>().read_unaligned();
        let put_half = |at: usize, piece| to.add(at).cast::<u64>().write_unaligned(piece);
        let piece = |at: usize| from.add(at).cast::<u128>().read_unaligned();
        let put = |at: usize, piece| to.add(at).cast::<u128>().write_unaligned(piece);
        match len {
            40..=INLINE => {
                let (first, a, b) = (half(0), piece(8), piece(24));
                let (c, d) = (piece(len - 32), piece(len - 16));
                put_half(0, first);
                put(8, a);
                put(24, b);
                put(len - 32, c);
                put(len - 16, d);
            }
            8..=16 => {
                let (a, b) = (half(0), half(len - 8));
                put_half(0, a);
                put_half(len - 8, b);
            }
            _ => copy_other(from, to, len),
        }
    }
}

/// # Safety
/// As for [`copy_short`].
#[cold]
#[inline(never)]
#[allow(unsafe_code)]
unsafe fn copy_other(from: *const u8, to: *mut u8, len: usize) {
    // SAFETY: the caller's promise.
    unsafe { from.copy_to_nonoverlapping(to, len) };
}

/// Neighbouring blocks of a chain.
struct Run<'a> {
    /// Where their bytes begin in the file.
    start: usize,
    count: usize,
    /// The last one's link, and what it said: the block behind them.
    last: &'a AtomicU32,
    next: u32,
}

/// Blocks that a text of this length needs besides its slot.
#[inline]
pub(super) fn blocks_of(len: usize) -> usize {
    len.saturating_sub(INLINE).div_ceil(BLOCK)
}
