//! Slots: taking and freeing them, and the operations in them.

use super::layout::{
    self, CONTINUES, FREE, LEFT, MORE_OPS, NIL, OPS as INLINE, PAGE, SLOT, SLOTS, WAITS,
};
use super::{Locked, Set};
use crate::abi::Sembuf;
use crate::crash::crashpoint;
use crate::errno::{Errno, Result};
use core::sync::atomic::Ordering::*;

/// Slots that hold the operations which do not fit a waiter's own.
pub(super) fn continuing(nops: u32) -> u32 {
    nops.saturating_sub(INLINE as u32).div_ceil(MORE_OPS as u32)
}

fn pack(op: &Sembuf) -> u64 {
    u64::from(op.sem_num) | u64::from(op.sem_op as u16) << 16 | u64::from(op.sem_flg as u16) << 32
}

fn unpack(word: u64) -> Sembuf {
    Sembuf {
        sem_num: word as u16,
        sem_op: (word >> 16) as i16,
        sem_flg: (word >> 32) as i16,
    }
}

impl Locked<'_> {
    /// A free slot. ENOMEM: no more of them, or no memory.
    fn take(&mut self) -> Result<u32> {
        let h = self.h;
        self.collect_last()?;
        if h.free_slot.load(Relaxed) == NIL
            && h.slots.load(Relaxed) == h.slots_backed.load(Relaxed)
            && h.slots_backed.load(Relaxed) != 0
        {
            self.collect()?;
        }
        let free = h.free_slot.load(Relaxed);
        if free != NIL {
            h.free_slot
                .store(self.p.slot(free)?.next.load(Relaxed), Relaxed);
            crashpoint!("sem.slots.taken");
            return Ok(free);
        }
        let index = h.slots.load(Relaxed);
        if index == h.slots_backed.load(Relaxed) {
            self.back_slots(index)?;
        }
        h.slots.store(index + 1, Relaxed);
        crashpoint!("sem.slots.added");
        Ok(index)
    }

    fn back_slots(&self, from: u32) -> Result<()> {
        let to = from + (PAGE / SLOT) as u32;
        if to > SLOTS {
            return Err(Errno::ENOMEM);
        }
        let (at, len) = self.p.plan().slot_pages(from, to);
        self.back(at, len)?;
        crashpoint!("sem.slots.backed");
        self.h.slots_backed.store(to, Relaxed);
        Ok(())
    }

    /// Makes sure that there is memory. ENOMEM: there is not.
    pub(super) fn back(&self, at: usize, len: usize) -> Result<()> {
        if len == 0 || self.pin.map().populate(at, len)? {
            return Ok(());
        }
        // An old kernel: the file system says it.
        let path = self.ns.index_path(
            crate::object::Kind::Sem,
            crate::object::index_of(self.pin.id()),
        )?;
        let fd = crate::files::open_again(&path, self.pin.file())?;
        crate::sys::fallocate_at(&fd, at as u64, len as u64)
            .map(drop)
            .map_err(|_| Errno::ENOMEM)
    }

    /// Frees the slot that was left last, if it is known.
    fn collect_last(&self) -> Result<()> {
        let index = self.h.left.load(Relaxed);
        if index < self.h.slots.load(Relaxed) && self.p.slot(index)?.state.load(Acquire) == LEFT {
            self.free_waiter(index)?;
        }
        Ok(())
    }

    /// Frees the slots of waiters that have left, or died.
    fn collect(&mut self) -> Result<()> {
        for index in 0..self.h.slots.load(Relaxed) {
            let slot = self.p.slot(index)?;
            match slot.state.load(Acquire) {
                LEFT => self.free_waiter(index)?,
                WAITS if self.is_dead(index)? => {
                    if slot.news.load(Relaxed) == 0 {
                        self.leave_line(index)?;
                        crashpoint!("sem.collect.left_line");
                    }
                    self.free_waiter(index)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Frees a slot that is in no line.
    pub(super) fn free(&self, index: u32) -> Result<()> {
        let slot = self.p.slot(index)?;
        slot.state.store(FREE, Relaxed);
        crashpoint!("sem.slots.free");
        slot.next.store(self.h.free_slot.load(Relaxed), Relaxed);
        self.h.free_slot.store(index, Relaxed);
        crashpoint!("sem.slots.freed");
        Ok(())
    }

    /// Frees a waiter's slot and those that continue it.
    pub(super) fn free_waiter(&self, index: u32) -> Result<()> {
        let slot = self.p.slot(index)?;
        let mut more = slot.more.load(Relaxed);
        for _ in 0..continuing(slot.nops.load(Relaxed)) {
            let part = self.p.more(more)?;
            if part.state.load(Relaxed) != CONTINUES {
                return Err(Errno::EIO);
            }
            let next = part.more.load(Relaxed);
            self.free(more)?;
            more = next;
        }
        self.free(index)
    }

    /// A slot with these operations, which nobody sees yet.
    pub(super) fn take_with(&mut self, ops: &[Sembuf]) -> Result<u32> {
        let index = self.take()?;
        let slot = self.p.slot(index)?;
        slot.nops.store(0, Relaxed);
        slot.more.store(NIL, Relaxed);
        let own = ops.len().min(layout::OPS);
        for (word, op) in slot.ops.iter().zip(ops) {
            word.store(pack(op), Relaxed);
        }
        slot.nops.store(own as u32, Relaxed);
        crashpoint!("sem.slots.filled");
        let mut last = &slot.more;
        for part in ops[own..].chunks(MORE_OPS) {
            let taken = match self.take() {
                Ok(taken) => taken,
                Err(e) => {
                    self.free_waiter(index)?;
                    return Err(e);
                }
            };
            let more = self.p.more(taken)?;
            for (word, op) in more.ops.iter().zip(part) {
                word.store(pack(op), Relaxed);
            }
            more.more.store(NIL, Relaxed);
            more.state.store(CONTINUES, Relaxed);
            crashpoint!("sem.slots.continues");
            last.store(taken, Relaxed);
            crashpoint!("sem.slots.continued");
            slot.nops.store(
                slot.nops.load(Relaxed).wrapping_add(part.len() as u32),
                Relaxed,
            );
            last = &more.more;
        }
        Ok(index)
    }
}

impl Set<'_> {
    /// An operation of a waiter.
    pub(super) fn op_of(&self, index: u32, i: u32) -> Result<Sembuf> {
        let slot = self.p.slot(index)?;
        if let Some(word) = slot.ops.get(i as usize) {
            return Ok(unpack(word.load(Relaxed)));
        }
        let i = i as usize - INLINE;
        let mut at = slot.more.load(Relaxed);
        for _ in 0..i / MORE_OPS {
            at = self.p.more(at)?.more.load(Relaxed);
        }
        let more = self.p.more(at)?;
        Ok(unpack(more.ops[i % MORE_OPS].load(Relaxed)))
    }
}
