//! The order of messages, and finding one by type without scanning.
//!
//! One list of all messages in order; one singly linked list per type. The first message of a type
//! stands for the type. While there is one type, the queue's first is it; when a second appears,
//! types are found by hash. Removing is always from the front of a type. All derived.

use super::layout::{self, Area, Header, MESSAGE, NIL, Slot, TYPE_BUCKETS, Word};
use super::wait::{Mode, Selector};
use super::{Held, Locked};
use crate::crash::crashpoint;
use crate::errno::{Errno, Result};
use core::sync::atomic::{AtomicU32, Ordering::*};

pub(super) fn hash(mtype: i64) -> u64 {
    (mtype as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32
}

/// An empty queue has no types.
#[inline(never)]
fn forget_types(h: &Header) {
    h.indexed.store(0, Relaxed);
    h.heaps[0].store(0, Relaxed);
    h.heaps[1].store(0, Relaxed);
    h.bucket_level.store(0, Relaxed);
    for bucket in &h.buckets {
        bucket.store(NIL, Relaxed);
    }
}

impl<'a> Held<'a> {
    /// The first message.
    #[inline(always)]
    pub(super) fn first(&self) -> Option<u32> {
        let head = self.h.head.load(Relaxed);
        (head != NIL).then_some(head)
    }

    /// The message that a receiver wants, if it is there.
    pub(super) fn select(self, want: Selector) -> Result<Option<u32>> {
        let Some(head) = self.first() else {
            return Ok(None);
        };
        let first = self.slot(head)?.mtype.load(Relaxed) as i64;
        if want.takes(first) && want.mode != Mode::AtMost {
            return Ok(Some(head));
        }
        if self.h.indexed.load(Relaxed) == 0 {
            return Ok(want.takes(first).then_some(head));
        }
        match want.mode {
            Mode::Exactly => self.leader(want.mtype),
            Mode::AtMost => {
                let lowest = self.lowest()?;
                Ok(want
                    .takes(self.slot(lowest)?.mtype.load(Relaxed) as i64)
                    .then_some(lowest))
            }
            _ => self.second(),
        }
    }

    /// The message at this ordinal (`MSG_COPY`).
    pub(super) fn nth(self, n: i64) -> Result<Option<u32>> {
        if n < 0 || n as u64 >= self.h.qnum.load(Relaxed) {
            return Ok(None);
        }
        let mut at = self.h.head.load(Relaxed);
        for _ in 0..n.min(i64::from(self.slots)) {
            at = self.slot(at)?.next.load(Relaxed);
        }
        Ok(Some(at))
    }

    /// Puts a message at the end. `whole`: this, with all of the mapping.
    #[inline(always)]
    pub(super) fn append(
        &self,
        index: u32,
        slot: &Slot,
        len: u32,
        whole: impl FnOnce() -> Held<'a>,
    ) -> Result<()> {
        let h = self.h;
        let tail = h.tail.load(Relaxed);
        slot.prev.store(tail, Relaxed);
        slot.set_last();
        slot.type_tail.store(index, Relaxed);
        if tail == NIL {
            h.set_only(index);
        } else {
            self.slot(tail)?.next.store(index, Relaxed);
            whole().append_to_type(index, slot)?;
            h.tail.store(index, Relaxed);
        }
        crashpoint!("msg.append.linked");
        h.qnum.store(h.qnum.load(Relaxed).wrapping_add(1), Relaxed);
        let bytes = h.cbytes.load(Relaxed).wrapping_add(u64::from(len));
        h.cbytes.store(bytes, Relaxed);
        Ok(())
    }

    #[inline(never)]
    fn append_to_type(self, index: u32, slot: &Slot) -> Result<()> {
        let mtype = slot.mtype.load(Relaxed) as i64;
        let head = self.h.head.load(Relaxed);
        let leader = if self.h.indexed.load(Relaxed) != 0 {
            self.leader(mtype)?
        } else if self.slot(head)?.mtype.load(Relaxed) as i64 == mtype {
            Some(head)
        } else {
            self.h.indexed.store(1, Relaxed);
            self.h.types.store(0, Relaxed);
            self.add_type(head)?;
            crashpoint!("msg.append.indexed");
            None
        };
        let Some(leader) = leader else {
            return self.add_type(index);
        };
        let leader = self.slot(leader)?;
        self.slot(leader.type_tail.load(Relaxed))?
            .type_next
            .store(index, Relaxed);
        leader.type_tail.store(index, Relaxed);
        Ok(())
    }

    /// What lies behind the first message, where there is one type; `NIL`: nothing. EIO: nonsense.
    #[inline(always)]
    pub(super) fn behind_first(&self, slot: &Slot, len: u32) -> Result<u32> {
        let h = self.h;
        let next = slot.next.load(Relaxed);
        // Behind `NIL` comes 0.
        if next.wrapping_add(1) > self.slots {
            return Err(Errno::EIO);
        }
        if h.cbytes.load(Relaxed) < u64::from(len) {
            return Err(Errno::EIO);
        }
        Ok(next)
    }

    /// Takes the first message out of the order, where there is one type, and `next` is behind it.
    #[inline(always)]
    pub(super) fn unlink_first(&self, slot: &Slot, len: u32, next: u32) {
        let h = self.h;
        match (next, self.slot(next)) {
            (NIL, _) | (_, Err(_)) => h.set_only(NIL),
            (_, Ok(first)) => {
                h.head.store(next, Relaxed);
                first.prev.store(NIL, Relaxed);
                let tail = slot.type_tail.load(Relaxed);
                first.type_tail.store(tail, Relaxed);
            }
        }
        crashpoint!("msg.unlink.first");
        let (qnum, cbytes) = (&h.qnum, &h.cbytes);
        qnum.store(qnum.load(Relaxed).wrapping_sub(1), Relaxed);
        let left = cbytes.load(Relaxed).wrapping_sub(u64::from(len));
        cbytes.store(left, Relaxed);
    }

    /// Takes a message, the first of its type, out of the order.
    #[inline(always)]
    pub(super) fn unlink(&self, index: u32, slot: &Slot, len: u32) -> Result<()> {
        let h = self.h;
        self.unlink_from_type(index, slot)?;
        let (prev, next) = (slot.prev.load(Relaxed), slot.next.load(Relaxed));
        match prev {
            NIL => h.head.store(next, Relaxed),
            _ => self.slot(prev)?.next.store(next, Relaxed),
        }
        match next {
            NIL => h.tail.store(prev, Relaxed),
            _ => self.slot(next)?.prev.store(prev, Relaxed),
        }
        crashpoint!("msg.unlink.lists");
        let left = h.qnum.load(Relaxed).checked_sub(1).ok_or(Errno::EIO)?;
        let bytes = h.cbytes.load(Relaxed).checked_sub(u64::from(len));
        h.qnum.store(left, Relaxed);
        h.cbytes.store(bytes.ok_or(Errno::EIO)?, Relaxed);
        if left == 0 && h.indexed.load(Relaxed) != 0 {
            forget_types(h);
        }
        Ok(())
    }

    #[inline(always)]
    fn unlink_from_type(&self, index: u32, slot: &Slot) -> Result<()> {
        let next = slot.type_next.load(Relaxed);
        if next != NIL {
            self.slot(next)?
                .type_tail
                .store(slot.type_tail.load(Relaxed), Relaxed);
        }
        match self.h.indexed.load(Relaxed) {
            0 => Ok(()),
            _ => self.unlink_from_index(index, slot, (next != NIL).then_some(next)),
        }
    }

    /// Takes a message out of the index of types, and puts the `next` of its type there.
    #[inline(never)]
    fn unlink_from_index(self, index: u32, slot: &Slot, next: Option<u32>) -> Result<()> {
        let link = self.link_to(index)?;
        let behind = slot.bucket_next.load(Relaxed);
        match next {
            Some(next) => {
                self.slot(next)?.bucket_next.store(behind, Relaxed);
                link.store(next, Relaxed);
            }
            None => {
                link.store(behind, Relaxed);
                crashpoint!("msg.unlink.type");
                self.h
                    .types
                    .store(self.h.types.load(Relaxed).saturating_sub(1), Relaxed);
            }
        }
        self.heaps_replace(index, next)
    }

    fn buckets(&self) -> (usize, u32) {
        match self.h.bucket_level.load(Relaxed) as usize {
            0 => (0, TYPE_BUCKETS as u32),
            level => (
                level,
                layout::capacity((level - 1).min(layout::MAX_EXTENTS - 1)),
            ),
        }
    }

    fn bucket(&self, place: u32) -> Result<&'a AtomicU32> {
        match self.buckets() {
            (0, _) => self.h.buckets.get(place as usize).ok_or(Errno::EIO),
            (level, _) => {
                let at = layout::array(level - 1, Area::Buckets)? + place as usize * 4;
                let word: &Word = self.map.at(at)?;
                Ok(&word.0)
            }
        }
    }

    fn bucket_of(&self, mtype: i64) -> Result<&'a AtomicU32> {
        let (_, count) = self.buckets();
        self.bucket((hash(mtype) % u64::from(count)) as u32)
    }

    /// How many types there are: no more than slots, whatever was written there.
    fn types(&self) -> u32 {
        self.h.types.load(Relaxed).min(self.slots)
    }

    /// The first message of a type.
    fn leader(&self, mtype: i64) -> Result<Option<u32>> {
        let mut at = self.bucket_of(mtype)?.load(Relaxed);
        for _ in 0..=self.types() {
            if at == NIL {
                return Ok(None);
            }
            let slot = self.slot(at)?;
            if slot.mtype.load(Relaxed) as i64 == mtype {
                return Ok(Some(at));
            }
            at = slot.bucket_next.load(Relaxed);
        }
        Err(Errno::EIO)
    }

    /// The link in the buckets that leads to this first message.
    fn link_to(&self, index: u32) -> Result<&'a AtomicU32> {
        let mtype = self.slot(index)?.mtype.load(Relaxed) as i64;
        let mut link = self.bucket_of(mtype)?;
        for _ in 0..=self.types() {
            let at = link.load(Relaxed);
            if at == index {
                return Ok(link);
            }
            link = &self.slot(at)?.bucket_next;
        }
        Err(Errno::EIO)
    }

    fn add_type(&self, index: u32) -> Result<()> {
        let types = self.h.types.load(Relaxed).wrapping_add(1);
        if types > 2 * self.buckets().1 {
            self.more_buckets()?;
        }
        self.put_in_bucket(index)?;
        self.h.types.store(types, Relaxed);
        self.heaps_add(index)
    }

    fn put_in_bucket(&self, index: u32) -> Result<()> {
        let slot = self.slot(index)?;
        let bucket = self.bucket_of(slot.mtype.load(Relaxed) as i64)?;
        slot.bucket_next.store(bucket.load(Relaxed), Relaxed);
        bucket.store(index, Relaxed);
        Ok(())
    }

    /// Moves the types to the buckets of the last extent. Without memory, the chains get longer.
    fn more_buckets(&self) -> Result<()> {
        let level = self.h.extents.load(Relaxed) as usize;
        let last = level.checked_sub(1).ok_or(Errno::EIO)?;
        let count = layout::capacity(last.min(layout::MAX_EXTENTS - 1));
        if self.h.bucket_level.load(Relaxed) as usize == level
            || self
                .back_words(last, Area::Buckets, count as usize)
                .is_err()
        {
            return Ok(());
        }
        // The leaders are collected over the old buckets before the new ones are known.
        let mut leaders = NIL;
        for place in 0..self.buckets().1 {
            let mut at = self.bucket(place)?.load(Relaxed);
            while at != NIL {
                let next = &self.slot(at)?.bucket_next;
                let behind = next.swap(leaders, Relaxed);
                leaders = at;
                at = behind;
            }
        }
        crashpoint!("msg.buckets.collected");
        self.h.bucket_level.store(level as u32, Relaxed);
        crashpoint!("msg.buckets.levelled");
        for place in 0..count {
            self.bucket(place)?.store(NIL, Relaxed);
        }
        while leaders != NIL {
            let next = self.slot(leaders)?.bucket_next.load(Relaxed);
            self.put_in_bucket(leaders)?;
            leaders = next;
        }
        crashpoint!("msg.buckets.moved");
        Ok(())
    }

    /// Calls `f` with the first message of each type, in order. The queue is indexed.
    pub(super) fn each_leader(&self, mut f: impl FnMut(&Self, u32) -> Result<()>) -> Result<()> {
        for place in 0..self.buckets().1 {
            let mut at = self.bucket(place)?.load(Relaxed);
            let mut left = self.types();
            while at != NIL {
                left = left.checked_sub(1).ok_or(Errno::EIO)?;
                f(self, at)?;
                at = self.slot(at)?.bucket_next.load(Relaxed);
            }
        }
        Ok(())
    }
}

impl Locked<'_> {
    /// Puts a message back where its number says: a hand-over that was not fetched. Rare: rebuilds.
    pub(super) fn put_back(&mut self, index: u32) -> Result<()> {
        self.slot(index)?.state.store(MESSAGE, Relaxed);
        crashpoint!("msg.put_back.marked");
        let rebuilt = self.rebuild();
        crashpoint!("msg.put_back.rebuilt");
        rebuilt
    }
}
