//! Two binary heaps over the first messages of the types: by type, for `msgtyp < 0`, and by order,
//! for `MSG_EXCEPT`. Each is made when somebody first asks for it, and kept until the queue is
//! empty. All derived; under the queue's lock.

use super::Held;
use super::layout::{self, Area, NIL, Word};
use crate::crash::crashpoint;
use crate::errno::{Errno, Result};
use core::sync::atomic::Ordering::*;

/// The heap of types.
pub(super) const BY_TYPE: usize = 0;
/// The heap of first messages.
pub(super) const BY_ORDER: usize = 1;

impl<'a> Held<'a> {
    /// Entries of a heap, if it is kept.
    fn entries(&self, heap: usize) -> Option<u32> {
        self.h.heaps[heap].load(Relaxed).checked_sub(1)
    }

    fn heap(&self, which: usize) -> Result<Heap<'_>> {
        let level = self.h.heap_level.load(Relaxed) as usize;
        let start = layout::array(level, Area::Heap(which))?;
        let words = self.map.array(start, layout::capacity(level) as usize)?;
        let held = self;
        Ok(Heap { held, which, words })
    }

    /// The first message of the lowest type. The queue is indexed.
    pub(super) fn lowest(&self) -> Result<u32> {
        match self.keep_heap(BY_TYPE) {
            Ok(()) => self.heap(BY_TYPE)?.entry(0),
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
        let heap = self.heap(BY_ORDER)?;
        let mut best: Option<(u64, u32)> = None;
        for place in 1..entries.min(3) {
            let slot = heap.entry(place)?;
            let key = heap.key(slot)?;
            if best.is_none_or(|(least, _)| key < least) {
                best = Some((key, slot));
            }
        }
        Ok(best.map(|(_, slot)| slot))
    }

    /// What a heap would tell, but for one slot, by looking at every type: there is no memory for it.
    #[cold]
    fn least(&self, heap: usize, but: u32) -> Result<Option<u32>> {
        let heap = self.heap(heap)?;
        let mut best: Option<(u64, u32)> = None;
        self.each_leader(|_, slot| {
            let key = heap.key(slot)?;
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
            let kept = self.heap(heap)?;
            if place >= entries || kept.entry(place)? != slot {
                return Err(Errno::EIO);
            }
            match next {
                Some(next) => kept.settle(place, next, entries)?,
                None => {
                    let last = entries - 1;
                    self.h.heaps[heap].store(last + 1, Relaxed);
                    if place != last {
                        kept.settle(place, kept.entry(last)?, last)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn heap_push(&self, heap: usize, slot: u32) -> Result<()> {
        let place = self.entries(heap).unwrap_or(0);
        self.h.heaps[heap].store(place + 2, Relaxed);
        self.heap(heap)?.rise(place, slot)
    }
}

/// One of the heaps.
struct Heap<'a> {
    held: &'a Held<'a>,
    which: usize,
    words: &'a [Word],
}

impl Heap<'_> {
    #[inline]
    fn entry(&self, place: u32) -> Result<u32> {
        let word = self.words.get(place as usize).ok_or(Errno::EIO)?;
        Ok(word.0.load(Relaxed))
    }

    #[inline]
    fn key(&self, slot: u32) -> Result<u64> {
        let slot = self.held.slot(slot)?;
        Ok(match self.which {
            BY_TYPE => slot.mtype.load(Relaxed),
            _ => slot.seq.load(Relaxed),
        })
    }

    #[inline]
    fn put(&self, place: u32, slot: u32) -> Result<()> {
        let word = self.words.get(place as usize).ok_or(Errno::EIO)?;
        word.0.store(slot, Relaxed);
        crashpoint!("msg.heap.half_moved");
        self.held.slot(slot)?.places[self.which].store(place, Relaxed);
        Ok(())
    }

    /// Puts a slot where it belongs, from a free place on: below it, or above.
    fn settle(&self, place: u32, slot: u32, entries: u32) -> Result<()> {
        let (key, mut free) = (self.key(slot)?, place);
        while let Some((child, child_key)) = self.lesser_child(free, entries)?
            && child_key < key
        {
            self.put(free, self.entry(child)?)?;
            free = child;
        }
        match free == place {
            true => self.rise(place, slot),
            false => self.put(free, slot),
        }
    }

    #[inline]
    fn lesser_child(&self, place: u32, entries: u32) -> Result<Option<(u32, u64)>> {
        let left = place * 2 + 1;
        if left >= entries {
            return Ok(None);
        }
        let key = self.key(self.entry(left)?)?;
        if left + 1 < entries {
            let other = self.key(self.entry(left + 1)?)?;
            if other < key {
                return Ok(Some((left + 1, other)));
            }
        }
        Ok(Some((left, key)))
    }

    /// Puts a slot where it belongs, at a free place or above.
    fn rise(&self, place: u32, slot: u32) -> Result<()> {
        let (key, mut free) = (self.key(slot)?, place);
        while free > 0 {
            let parent = (free - 1) / 2;
            let above = self.entry(parent)?;
            if self.key(above)? <= key {
                break;
            }
            self.put(free, above)?;
            free = parent;
        }
        self.put(free, slot)
    }
}
