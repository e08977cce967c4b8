//! Slots and blocks: where messages and waiters live, how the file grows and shrinks.
//!
//! Free slots and blocks are LIFO lists, so that a busy queue stays in a few hot cache lines.

use super::layout::{self, Area, BLOCK, FREE, INLINE, NIL, PAGE, SLOT, Slot};
use super::{Locked, layout::Waiter};
use crate::crash::crashpoint;
use crate::errno::{Errno, Result};
use crate::files;
use crate::object::{Kind, index_of};
use crate::sys;
use core::sync::atomic::Ordering::*;

/// An empty queue keeps this much for the next burst, in bytes, if it grew just now.
const KEEP: usize = 64 * 1024;
/// Memory is added in steps of at most this many bytes.
const STEP: usize = 256 * 1024;

impl Locked<'_> {
    /// A slot that may be in use. EIO: none.
    #[inline]
    #[allow(unsafe_code)]
    pub(super) fn slot<'s>(&self, index: u32) -> Result<&'s Slot> {
        if index >= self.slots {
            return Err(Errno::EIO);
        }
        // SAFETY: `slots` counts only what lies in the mapping (`is_sane`, `set_slots`).
        Ok(unsafe { layout::known_slot(&self.map, index) })
    }

    /// The waiter in a slot that may be in use.
    pub(super) fn waiter<'s>(&self, index: u32) -> Result<&'s Waiter> {
        self.slot(index)?;
        layout::waiter(&self.map, index)
    }

    /// A free slot, still FREE. ENOMEM: no memory for one.
    #[inline(always)]
    pub(super) fn take_slot<'s>(&mut self) -> Result<(u32, &'s Slot)> {
        let free = self.h.free_slot.load(Relaxed);
        if free != NIL {
            let slot = self.slot(free)?;
            if slot.state.load(Relaxed) != FREE {
                return Err(Errno::EIO);
            }
            let next = slot.next.load(Relaxed);
            self.h.free_slot.store(next, Relaxed);
            crashpoint!("msg.slot.taken");
            self.expect_behind(next);
            return Ok((free, slot));
        }
        self.add_slot()
    }

    #[cold]
    fn add_slot<'s>(&mut self) -> Result<(u32, &'s Slot)> {
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

    /// Asks for the slot behind `next`, which is about to be used after this one: when two CPUs
    /// take turns, its lines are in the other's cache, and getting them takes longer than sending or
    /// receiving what is in them. (`next` itself was asked for the last time.)
    #[inline]
    pub(super) fn expect_behind(&self, next: u32) {
        let Ok(slot) = self.slot(next) else { return };
        if let Ok(behind) = self.slot(slot.next.load(Relaxed)) {
            crate::map::expect(behind);
        }
    }

    /// Makes a slot FREE again and puts it on the list.
    pub(super) fn free_slot(&mut self, index: u32) -> Result<()> {
        self.free_known(index, self.slot(index)?);
        Ok(())
    }

    /// [`Locked::free_slot`] of one that was looked up.
    #[inline(always)]
    pub(super) fn free_known(&mut self, index: u32, slot: &Slot) {
        slot.state.store(FREE, Relaxed);
        slot.next.store(self.h.free_slot.load(Relaxed), Relaxed);
        self.h.free_slot.store(index, Relaxed);
        crashpoint!("msg.slot.freed");
    }

    #[inline]
    fn link<'s>(&self, block: u32) -> Result<&'s core::sync::atomic::AtomicU32> {
        if block >= self.h.blocks.load(Relaxed) {
            return Err(Errno::EIO);
        }
        layout::link(&self.map, block)
    }

    /// A chain of `count` blocks, off the free list. Nothing is taken when there is no memory.
    fn take_blocks(&mut self, count: usize) -> Result<u32> {
        let mut first = NIL;
        for taken in 0..count {
            match self.take_block() {
                Ok(block) => {
                    self.link(block)?.store(first, Relaxed);
                    first = block;
                }
                Err(e) => {
                    self.free_blocks(first, taken)?;
                    return Err(e);
                }
            }
        }
        Ok(first)
    }

    fn take_block(&mut self) -> Result<u32> {
        let free = self.h.free_block.load(Relaxed);
        if free != NIL {
            self.h
                .free_block
                .store(self.link(free)?.load(Relaxed), Relaxed);
            return Ok(free);
        }
        let index = self.h.blocks.load(Relaxed);
        if index >= self.h.blocks_backed.load(Relaxed) {
            self.back_blocks(index)?;
        }
        self.h.blocks.store(index + 1, Relaxed);
        crashpoint!("msg.block.added");
        Ok(index)
    }

    /// Puts a chain back on the free list.
    pub(super) fn free_blocks(&mut self, first: u32, count: usize) -> Result<()> {
        let mut block = first;
        for _ in 0..count {
            let link = self.link(block)?;
            let next = link.load(Relaxed);
            link.store(self.h.free_block.load(Relaxed), Relaxed);
            self.h.free_block.store(block, Relaxed);
            crashpoint!("msg.block.freed");
            block = next;
        }
        Ok(())
    }

    /// Copies a text into a free slot and as many blocks as it needs.
    ///
    /// # Safety
    /// `text` can be read for `len` bytes.
    #[inline(always)]
    #[allow(unsafe_code)]
    pub(super) unsafe fn write_text(
        &mut self,
        slot: &Slot,
        text: *const u8,
        len: usize,
    ) -> Result<()> {
        let (head, count) = (len.min(INLINE), blocks_of(len));
        let first = if count == 0 {
            NIL
        } else {
            self.take_blocks(count)?
        };
        slot.block.store(first, Relaxed);
        slot.len.store(len as u32, Relaxed);
        // SAFETY: the caller's promise, for the first `head` bytes, which the slot has room for.
        unsafe { slot.text().copy_from_nonoverlapping(text, head) };
        if count == 0 {
            return Ok(());
        }
        let mut done = head;
        self.each_run(first, len - head, |map, at, bytes| {
            // SAFETY: the caller's promise; the runs are `len - head` bytes together.
            unsafe { map.write(at, text.add(done), bytes)? };
            done += bytes;
            Ok(())
        })
    }

    /// Copies the first `len` bytes of a message's text out; no more than it has.
    ///
    /// # Safety
    /// `to` can be written for `len` bytes.
    #[inline(always)]
    #[allow(unsafe_code)]
    pub(super) unsafe fn read_text(&self, slot: &Slot, to: *mut u8, len: usize) -> Result<()> {
        let head = len.min(INLINE);
        // SAFETY: the caller's promise, for the first `head` bytes, of which the slot has as many.
        unsafe { slot.text().copy_to_nonoverlapping(to, head) };
        if len == head {
            return Ok(());
        }
        let mut done = head;
        self.each_run(slot.block.load(Relaxed), len - head, |map, at, bytes| {
            // SAFETY: the caller's promise; the runs are `len - head` bytes together.
            unsafe { map.read(at, to.add(done), bytes)? };
            done += bytes;
            Ok(())
        })
    }

    /// Calls `f` with each stretch of neighbouring blocks of a chain that holds `len` bytes.
    fn each_run(
        &self,
        first: u32,
        len: usize,
        mut f: impl FnMut(&crate::map::Map, usize, usize) -> Result<()>,
    ) -> Result<()> {
        let (mut block, mut left) = (first, len);
        while left > 0 {
            let (start, mut bytes) = (layout::block_offset(block)?, 0);
            loop {
                let next = self.link(block)?.load(Relaxed);
                bytes += BLOCK;
                let neighbour = block + 1 == next && layout::locate(next).1 != 0;
                block = next;
                if bytes >= left || !neighbour {
                    break;
                }
            }
            f(&self.map, start, bytes.min(left))?;
            left -= bytes.min(left);
        }
        Ok(())
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
        let in_extent = layout::capacity(k) as usize - index as usize;
        let step = (index as usize * size / 2)
            .clamp(PAGE, STEP)
            .next_multiple_of(PAGE);
        let count = (step / size).min(in_extent);
        let start = layout::array(k, area)? + place * size;
        let page = start / PAGE * PAGE;
        let end = (start + count * size).next_multiple_of(PAGE);
        self.map.populate(page, end - page)?;
        crashpoint!("msg.back.populated");
        self.h.grown.store(sys::time() as u64, Relaxed);
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
        self.map = self.pin.map();
        crashpoint!("msg.grow.mapped");
        self.h.extents.store(extents as u32, Relaxed);
        crashpoint!("msg.grow.stored");
        Ok(())
    }

    /// Memory for an array of the last extent (`entries` words of it).
    pub(super) fn back_words(&mut self, k: usize, area: Area, entries: usize) -> Result<()> {
        let start = layout::array(k, area)?;
        self.map
            .populate(start, (entries * 4).next_multiple_of(PAGE))
            .map(drop)
    }

    /// Gives the memory of an empty queue back, unless it is little and was needed just now. What the
    /// sleepers' slots take is not to be had, and nothing to walk all slots for.
    #[inline(always)]
    pub(super) fn trim(&mut self) {
        let h = self.h;
        let sleepers = h.receivers.load(Relaxed) as usize + h.senders.load(Relaxed) as usize;
        let idle = (h.slots_backed.load(Relaxed) as usize * SLOT
            + h.blocks_backed.load(Relaxed) as usize * BLOCK)
            .saturating_sub(sleepers * SLOT);
        if idle > PAGE && h.handed.load(Relaxed) == 0 {
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
    }
}

/// Blocks that a text of this length needs besides its slot.
#[inline]
pub(super) fn blocks_of(len: usize) -> usize {
    len.saturating_sub(INLINE).div_ceil(BLOCK)
}
