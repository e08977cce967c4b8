//! Two binary heaps over the first messages of the types: by type, for `msgtyp < 0`, and by order,
//! for `MSG_EXCEPT`. Each is made when somebody first asks for it, and kept until the queue is
//! empty. All derived; under the queue's lock.

use super::Held;
use super::layout::{self, Area, NIL, Word};
use crate::crash::crashpoint;
use crate::errno::{Errno, Result};
use core::sync::atomic::{AtomicU32, Ordering::*};

/// The heap of types.
pub(super) const BY_TYPE: usize = 0;
/// The heap of first messages.
pub(super) const BY_ORDER: usize = 1;

impl<'a> Held<'a> {
    /// Entries of a heap, if it is kept.
    fn entries(&self, heap: usize) -> Option<u32> {
        self.h.heaps[heap].load(Relaxed).checked_sub(1)
    }

    fn entry(&self, heap: usize, place: u32) -> Result<&'a AtomicU32> {
        let level = self.h.heap_level.load(Relaxed) as usize;
        if place >= layout::capacity(level.min(layout::MAX_EXTENTS - 1)) {
            return Err(Errno::EIO);
        }
        let word: &Word = self
            .map
            .at(layout::array(level, Area::Heap(heap))? + place as usize * 4)?;
        Ok(&word.0)
    }

    fn key(&self, heap: usize, slot: u32) -> Result<u64> {
        let slot = self.slot(slot)?;
        Ok(if heap == BY_TYPE {
            slot.mtype.load(Relaxed)
        } else {
            slot.seq.load(Relaxed)
        })
    }

    fn set_entry(&self, heap: usize, place: u32, slot: u32) -> Result<()> {
        self.entry(heap, place)?.store(slot, Relaxed);
        self.slot(slot)?.places[heap].store(place, Relaxed);
        Ok(())
    }

    /// The first message of the lowest type. The queue is indexed.
    pub(super) fn lowest(&self) -> Result<u32> {
        match self.keep_heap(BY_TYPE) {
            Ok(()) => Ok(self.entry(BY_TYPE, 0)?.load(Relaxed)),
            Err(Errno::ENOMEM) => self.least(BY_TYPE, NIL)?.ok_or(Errno::EIO),
            Err(e) => Err(e),
        }
    }

    /// The first message that is not of the type of the queue's first. The queue is indexed.
    pub(super) fn second(&self) -> Result<Option<u32>> {
        match self.keep_heap(BY_ORDER) {
            Err(Errno::ENOMEM) => return self.least(BY_ORDER, self.h.head.load(Relaxed)),
            other => other?,
        }
        let entries = self.entries(BY_ORDER).unwrap_or(0);
        let mut best: Option<(u64, u32)> = None;
        for place in 1..entries.min(3) {
            let slot = self.entry(BY_ORDER, place)?.load(Relaxed);
            let key = self.key(BY_ORDER, slot)?;
            if best.is_none_or(|(least, _)| key < least) {
                best = Some((key, slot));
            }
        }
        Ok(best.map(|(_, slot)| slot))
    }

    /// What a heap would tell, but for one slot, by looking at every type: there is no memory for it.
    #[cold]
    fn least(&self, heap: usize, but: u32) -> Result<Option<u32>> {
        let mut best: Option<(u64, u32)> = None;
        self.each_leader(|q, slot| {
            let key = q.key(heap, slot)?;
            if slot != but && best.is_none_or(|(least, _)| key < least) {
                best = Some((key, slot));
            }
            Ok(())
        })?;
        Ok(best.map(|(_, slot)| slot))
    }

    /// Makes the heap if it is not kept, from the list of messages.
    fn keep_heap(&self, heap: usize) -> Result<()> {
        if self.entries(heap).is_some() {
            return Ok(());
        }
        let level = (self.h.extents.load(Relaxed) as usize).clamp(1, layout::MAX_EXTENTS) - 1;
        if self.entries(1 - heap).is_none() {
            self.h.heap_level.store(level as u32, Relaxed);
        }
        self.make_heap(heap)
    }

    fn make_heap(&self, heap: usize) -> Result<()> {
        let level = self.h.heap_level.load(Relaxed) as usize;
        self.back_words(
            level,
            Area::Heap(heap),
            layout::capacity(level.min(layout::MAX_EXTENTS - 1)) as usize,
        )?;
        self.h.heaps[heap].store(1, Relaxed);
        crashpoint!("msg.heap.begun");
        let mut leaders = 0;
        self.each_leader(|q, slot| {
            leaders += 1;
            q.heap_push(heap, slot)
        })
    }

    /// A type appeared: `slot` is its first message.
    pub(super) fn heaps_add(&self, slot: u32) -> Result<()> {
        for heap in [BY_TYPE, BY_ORDER] {
            if let Some(entries) = self.entries(heap) {
                if entries
                    >= layout::capacity(
                        (self.h.heap_level.load(Relaxed) as usize).min(layout::MAX_EXTENTS - 1),
                    )
                {
                    return match self.move_heaps() {
                        // Called after a commit: without memory there are no heaps, for now.
                        Err(Errno::ENOMEM) => {
                            self.h.heaps[BY_TYPE].store(0, Relaxed);
                            self.h.heaps[BY_ORDER].store(0, Relaxed);
                            Ok(())
                        }
                        other => other,
                    };
                }
                self.heap_push(heap, slot)?;
            }
        }
        Ok(())
    }

    /// There are more types than the heaps' extent has room for: make them anew in the last one.
    fn move_heaps(&self) -> Result<()> {
        let level = self
            .h
            .extents
            .load(Relaxed)
            .clamp(1, layout::MAX_EXTENTS as u32)
            - 1;
        self.h.heap_level.store(level, Relaxed);
        crashpoint!("msg.heaps.levelled");
        for heap in [BY_TYPE, BY_ORDER] {
            if self.entries(heap).is_some() {
                self.make_heap(heap)?;
                crashpoint!("msg.heaps.moved");
            }
        }
        Ok(())
    }

    /// A type's first message went; `next` is the type's first now, or the type is gone.
    pub(super) fn heaps_replace(&self, slot: u32, next: Option<u32>) -> Result<()> {
        for heap in [BY_TYPE, BY_ORDER] {
            let Some(entries) = self.entries(heap) else {
                continue;
            };
            let place = self.slot(slot)?.places[heap].load(Relaxed);
            if place >= entries || self.entry(heap, place)?.load(Relaxed) != slot {
                return Err(Errno::EIO);
            }
            match next {
                Some(next) => {
                    self.set_entry(heap, place, next)?;
                    self.sift_down(heap, place)?;
                    self.sift_up(heap, place)?;
                }
                None => self.heap_remove(heap, place, entries)?,
            }
        }
        Ok(())
    }

    fn heap_push(&self, heap: usize, slot: u32) -> Result<()> {
        let place = self.entries(heap).unwrap_or(0);
        self.h.heaps[heap].store(place + 2, Relaxed);
        self.set_entry(heap, place, slot)?;
        self.sift_up(heap, place)
    }

    fn heap_remove(&self, heap: usize, place: u32, entries: u32) -> Result<()> {
        let last = entries - 1;
        let moved = self.entry(heap, last)?.load(Relaxed);
        self.h.heaps[heap].store(last + 1, Relaxed);
        if place != last {
            self.set_entry(heap, place, moved)?;
            self.sift_down(heap, place)?;
            self.sift_up(heap, place)?;
        }
        Ok(())
    }

    fn sift_up(&self, heap: usize, mut place: u32) -> Result<()> {
        while place > 0 {
            let parent = (place - 1) / 2;
            if !self.swap_if_less(heap, place, parent)? {
                break;
            }
            place = parent;
        }
        Ok(())
    }

    fn sift_down(&self, heap: usize, mut place: u32) -> Result<()> {
        let entries = self.entries(heap).unwrap_or(0);
        loop {
            let left = place * 2 + 1;
            if left >= entries {
                return Ok(());
            }
            let mut child = left;
            if left + 1 < entries {
                let slots = [self.entry(heap, left)?, self.entry(heap, left + 1)?];
                let [a, b] = slots.map(|s| s.load(Relaxed));
                if self.key(heap, b)? < self.key(heap, a)? {
                    child = left + 1;
                }
            }
            if !self.swap_if_less(heap, child, place)? {
                return Ok(());
            }
            place = child;
        }
    }

    /// Swaps two places if the first has the lesser key.
    fn swap_if_less(&self, heap: usize, lower: u32, upper: u32) -> Result<bool> {
        let a = self.entry(heap, lower)?.load(Relaxed);
        let b = self.entry(heap, upper)?.load(Relaxed);
        if self.key(heap, a)? >= self.key(heap, b)? {
            return Ok(false);
        }
        self.set_entry(heap, lower, b)?;
        crashpoint!("msg.heap.half_swapped");
        self.set_entry(heap, upper, a)?;
        Ok(true)
    }
}
