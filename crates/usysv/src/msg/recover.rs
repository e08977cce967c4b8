//! The journal, and making everything derived anew from the truth.
//!
//! An operation that has stored `op` happened: `redo` stores its part of the truth again, which
//! changes nothing if that was done already. Then `rebuild` looks at every slot. Both may be killed
//! at any point and begin again.

use super::layout::{self, FREE, HANDED, MESSAGE, NIL, RECEIVER, SENDER, Stamp};
use super::slots::blocks_of;
use super::wait::{AGAIN, GOT};
use super::{Held, Locked};
use crate::crash::crashpoint;
use crate::errno::{Errno, Result};
use crate::sys;
use crate::tls::Block;
use core::sync::atomic::{Ordering::*, compiler_fence, fence};

pub(super) const IDLE: u32 = 0;
pub(super) const SEND: u32 = 1;
pub(super) const RECEIVE: u32 = 2;
pub(super) const HAND_OVER: u32 = 3;
pub(super) const SET: u32 = 4;

/// A block's link while a recovery has found it in a message.
const MARK: u32 = 1 << 31;

impl Held<'_> {
    /// Writes an operation into the journal, without effect so far. Returns this process and the time.
    #[inline(always)]
    pub(super) fn begin(&self, slot: u32) -> Stamp {
        // The lock made sure of the block.
        self.begin_by(slot, crate::tls::block())
    }

    /// [`Held::begin`] by this thread.
    #[inline(always)]
    pub(super) fn begin_by(&self, slot: u32, thread: &Block) -> Stamp {
        let h = self.h;
        let stamp = Stamp::new(thread.pid.load(Relaxed), sys::time());
        h.op_slot.store(slot, Relaxed);
        h.op_stamp.store(stamp.0, Relaxed);
        stamp
    }

    /// From here on it happened.
    #[inline(always)]
    pub(super) fn commit(&self, op: u32) {
        compiler_fence(SeqCst);
        self.h.op.store(op, Release);
        compiler_fence(SeqCst);
    }

    /// All of it is in its place.
    #[inline(always)]
    pub(super) fn done(&self) {
        self.commit(IDLE);
    }

    /// The header's part of a send.
    #[inline(always)]
    pub(super) fn stamp_send(&self, stamp: Stamp) {
        let h = self.h;
        h.sent.store(stamp.0, Relaxed);
        h.sender.note(crate::tls::block());
        h.next_seq
            .store(h.next_seq.load(Relaxed).wrapping_add(1), Relaxed);
        self.mark();
    }

    /// Shows who looks from outside that a message may have come.
    #[inline(always)]
    fn mark(&self) {
        let mark = &self.h.object.lock.mark;
        mark.store(mark.load(Relaxed).wrapping_add(1), Release);
    }

    /// The header's part of a receive.
    #[inline(always)]
    pub(super) fn stamp_receive(&self, stamp: Stamp) {
        self.h.received.store(stamp.0, Relaxed);
    }
}

impl Locked<'_> {
    /// After a dead holder, or when nonsense was found.
    #[cold]
    pub(super) fn recover(&mut self) -> Result<()> {
        self.set_slots(self.h.slots.load(Relaxed));
        self.redo();
        crashpoint!("msg.recover.redone");
        self.done();
        crashpoint!("msg.recover.done");
        self.rebuild()?;
        crashpoint!("msg.recover.rebuilt");
        // The dead holder may have been a waiter with news, which is in no line and no count.
        self.bury_dead()?;
        // Whoever was to be woken may not have been.
        for index in 0..self.slots {
            let state = self.slot(index)?.state.load(Relaxed);
            if matches!(state, RECEIVER | SENDER) && self.waiter(index)?.news.load(Relaxed) != 0 {
                self.wake_later(index);
            }
        }
        self.unseat();
        self.serve_receivers()?;
        self.wake_senders()
    }

    fn redo(&mut self) {
        let h = self.h;
        let slot = h.op_slot.load(Relaxed);
        match h.op.load(Acquire) {
            SEND => {
                if let Ok(slot) = self.slot(slot) {
                    slot.state.store(MESSAGE, Relaxed);
                }
                h.sent.store(h.op_stamp.load(Relaxed), Relaxed);
                // A queue that makes no sense is rebuilt from what does.
                let _ = self.redo_passed_over(h.op_slot.load(Relaxed), u64::MAX);
            }
            RECEIVE => {
                if let Ok(slot) = self.slot(slot) {
                    slot.state.store(FREE, Relaxed);
                }
                self.stamp_receive(Stamp::of(&h.op_stamp));
            }
            HAND_OVER => {
                let owner = h.op_waiter.load(Relaxed);
                h.sent.store(h.op_stamp.load(Relaxed), Relaxed);
                if let Ok(waiter) = self.waiter(owner)
                    && self.mark_handed(slot, owner).is_ok()
                {
                    let before = self.slot(owner).map_or(0, |owner| owner.seq.load(Relaxed));
                    let _ = self.redo_passed_over(slot, before);
                    let time = Stamp::of(&h.op_stamp).time();
                    self.stamp_receive(Stamp::new(waiter.tid.load(Relaxed), time));
                    waiter.news_ms.store(sys::monotonic_ms(), Relaxed);
                    waiter.news.store(GOT, Relaxed);
                    crashpoint!("msg.redo.handed");
                }
            }
            SET => self.redo_set(),
            _ => {}
        }
    }

    /// Makes lists, indexes and counts from the slots.
    pub(super) fn rebuild(&mut self) -> Result<()> {
        let h = self.h;
        let extents =
            (h.extents.load(Relaxed) as usize).clamp(1, layout::extents_in(self.map.len()).max(1));
        let most = layout::capacity(extents - 1);
        h.extents.store(extents as u32, Relaxed);
        for word in [&h.slots_backed, &h.blocks_backed, &h.blocks] {
            word.store(word.load(Relaxed).min(most), Relaxed);
        }
        self.set_slots(self.slots.min(h.slots_backed.load(Relaxed)));
        h.blocks.store(
            h.blocks.load(Relaxed).min(h.blocks_backed.load(Relaxed)),
            Relaxed,
        );
        h.rebuilt
            .store(h.rebuilt.load(Relaxed).wrapping_add(1), Relaxed);
        self.mark();
        // Pairs with the fence in `is_empty_for_all`.
        fence(Release);
        layout::clear_derived(h);
        crashpoint!("msg.rebuild.cleared");
        for block in 0..h.blocks.load(Relaxed) {
            let link = layout::link(&self.map, block)?;
            link.store(unmarked(link.load(Relaxed)), Relaxed);
        }
        let (messages, waiters) = self.sort_out_slots()?;
        crashpoint!("msg.rebuild.marked");
        self.free_unmarked()?;
        crashpoint!("msg.rebuild.unmarked");
        self.each_sorted(messages, |q, index| {
            let slot = q.slot(index)?;
            q.append(index, slot, slot.len.load(Relaxed), || q.held)
        })?;
        crashpoint!("msg.rebuild.ordered");
        self.each_sorted(waiters, |q, index| q.line_up(index))
    }

    /// Looks at every slot; lists of messages and of waiters in line, in no order.
    fn sort_out_slots(&mut self) -> Result<(u32, u32)> {
        let (mut messages, mut waiters) = (NIL, NIL);
        for index in (0..self.slots).rev() {
            let slot = self.slot(index)?;
            let seq = slot.seq.load(Relaxed);
            let state = slot.state.load(Relaxed);
            if state != FREE && seq >= self.h.next_seq.load(Relaxed) {
                self.h.next_seq.store(seq.wrapping_add(1), Relaxed);
            }
            let list = match state {
                HANDED if self.is_handed(index) && self.mark_blocks(index)? => {
                    self.h
                        .handed
                        .store(self.h.handed.load(Relaxed).wrapping_add(1), Relaxed);
                    continue;
                }
                MESSAGE | HANDED if self.mark_blocks(index)? => {
                    slot.state.store(MESSAGE, Relaxed);
                    crashpoint!("msg.rebuild.kept");
                    &mut messages
                }
                RECEIVER | SENDER => {
                    if !self.still_waits(index)? {
                        continue;
                    }
                    &mut waiters
                }
                _ => {
                    self.free_slot(index)?;
                    continue;
                }
            };
            slot.next.store(*list, Relaxed);
            *list = index;
        }
        Ok((messages, waiters))
    }

    /// Whether the message's receiver knows of it.
    fn is_handed(&self, index: u32) -> bool {
        let owner = self.slot(index).map_or(NIL, |s| s.prev.load(Relaxed));
        let receives = self
            .slot(owner)
            .is_ok_and(|s| s.state.load(Relaxed) == RECEIVER);
        receives
            && self
                .waiter(owner)
                .is_ok_and(|w| w.news.load(Relaxed) == GOT && w.message.load(Relaxed) == index)
    }

    /// Whether a waiter stands in line. One whose message went away looks again.
    fn still_waits(&self, index: u32) -> Result<bool> {
        let waiter = self.waiter(index)?;
        let news = waiter.news.load(Relaxed);
        let message = waiter.message.load(Relaxed);
        if news == GOT {
            let handed = self
                .slot(message)
                .is_ok_and(|s| s.state.load(Relaxed) == HANDED && s.prev.load(Relaxed) == index);
            if !handed {
                waiter.news.store(AGAIN, Relaxed);
            }
        }
        Ok(news == 0)
    }

    /// Marks a message's blocks as used. False: the message makes no sense.
    fn mark_blocks(&mut self, index: u32) -> Result<bool> {
        let slot = self.slot(index)?;
        let count = blocks_of(slot.len.load(Relaxed) as usize);
        let mut block = slot.block.load(Relaxed);
        for _ in 0..count {
            if block >= self.h.blocks.load(Relaxed) {
                return Ok(false);
            }
            let link = layout::link(&self.map, block)?;
            let next = link.load(Relaxed);
            if next & MARK != 0 && next != NIL {
                return Ok(false);
            }
            link.store(if next == NIL { NIL - 1 } else { next | MARK }, Relaxed);
            block = next;
        }
        Ok(true)
    }

    fn free_unmarked(&mut self) -> Result<()> {
        for block in (0..self.h.blocks.load(Relaxed)).rev() {
            let link = layout::link(&self.map, block)?;
            let next = link.load(Relaxed);
            if next & MARK != 0 && next != NIL {
                link.store(unmarked(next), Relaxed);
            } else {
                link.store(self.h.free_block.load(Relaxed), Relaxed);
                self.h.free_block.store(block, Relaxed);
            }
        }
        Ok(())
    }

    /// Sorts a list (by `next`) by the slots' numbers, and calls `f` with each.
    fn each_sorted(
        &mut self,
        list: u32,
        mut f: impl FnMut(&mut Self, u32) -> Result<()>,
    ) -> Result<()> {
        // Bottom-up merge sort: sorted[i] holds 2^i slots or none.
        let mut sorted = [NIL; 32];
        let mut rest = list;
        while rest != NIL {
            let slot = self.slot(rest)?;
            let mut run = rest;
            rest = slot.next.swap(NIL, Relaxed);
            for place in &mut sorted {
                if *place == NIL {
                    *place = run;
                    break;
                }
                run = self.merge(*place, run)?;
                *place = NIL;
            }
        }
        let mut all = NIL;
        for run in sorted {
            all = self.merge(run, all)?;
        }
        // A list that somebody bent to a ring meanwhile ends all the same.
        let mut left = self.h.slots.load(Relaxed);
        while all != NIL {
            left = left.checked_sub(1).ok_or(Errno::EIO)?;
            let next = self.slot(all)?.next.load(Relaxed);
            f(self, all)?;
            all = next;
        }
        Ok(())
    }

    fn merge(&self, mut a: u32, mut b: u32) -> Result<u32> {
        let (mut first, mut last) = (NIL, NIL);
        let mut left = self.h.slots.load(Relaxed);
        while a != NIL || b != NIL {
            left = left.checked_sub(1).ok_or(Errno::EIO)?;
            let a_first = b == NIL
                || a != NIL && self.slot(a)?.seq.load(Relaxed) <= self.slot(b)?.seq.load(Relaxed);
            let taken = if a_first { a } else { b };
            let next = self.slot(taken)?.next.load(Relaxed);
            if a_first {
                a = next;
            } else {
                b = next;
            }
            match last {
                NIL => first = taken,
                _ => self.slot(last)?.next.store(taken, Relaxed),
            }
            last = taken;
        }
        Ok(first)
    }

    /// Whether the header makes sense at all, for a look from outside.
    pub(super) fn check_counts(&self) -> Result<()> {
        let slots = u64::from(self.slots);
        if self.h.qnum.load(Relaxed) > slots {
            Err(Errno::EIO)
        } else {
            Ok(())
        }
    }
}

fn unmarked(link: u32) -> u32 {
    match link {
        NIL => NIL,
        l if l == NIL - 1 => NIL,
        l => l & !MARK,
    }
}
