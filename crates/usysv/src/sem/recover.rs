//! The journal, and making everything derived anew from the truth.
//!
//! `apply` stores absolute values, so a recovery that is itself killed simply does it again.

use super::layout::{self, CONTINUES, Change, FREE, LEFT, NIL, UNUSED, USED, WAITS};
use super::{Locked, Set};
use crate::crash::crashpoint;
use crate::errno::{Errno, Result};
use crate::sys;
use core::sync::atomic::{Ordering::*, compiler_fence};

pub(super) const IDLE: u32 = 0;
/// An array of operations: values, one row, perhaps a sleeper's news.
pub(super) const OPS: u32 = 1;
/// `SETVAL`, `SETALL`: values, which nobody's undo counts for any more.
pub(super) const PUT: u32 = 2;
/// A dead process's row: values, and the row is unused.
pub(super) const UNDO: u32 = 3;
/// `IPC_SET`.
pub(super) const SET: u32 = 4;

/// A sleeper's news when its array went.
pub(super) const WENT: u32 = 1;

/// News that end a wait with an error.
pub(super) fn failed(e: Errno) -> u32 {
    e.raw() as u32 + WENT
}

impl Set<'_> {
    /// Writes a change into the journal, without effect so far; its entries are there. Its time.
    #[inline(always)] // Most callers know half of it.
    pub(super) fn begin(&self, entries: u32, row: u32, waiter: u32, pid: u32) -> u64 {
        let h = self.h;
        h.op_entries.store(entries, Relaxed);
        h.op_row.store(row, Relaxed);
        h.op_waiter.store(waiter, Relaxed);
        h.op_pid.store(pid, Relaxed);
        h.seen.note(self.me);
        let time = sys::time() as u64;
        h.op_time.store(time, Relaxed);
        time
    }

    /// From here on it happened.
    #[inline]
    pub(super) fn commit(&self, op: u32) {
        compiler_fence(SeqCst);
        self.h.op.store(op, Release);
        compiler_fence(SeqCst);
    }

    /// All of it is in its place.
    #[inline]
    pub(super) fn done(&self) {
        self.commit(IDLE);
    }

    /// Stores what the journal says. The counts of undo are kept on the way; a recovery makes them
    /// anew.
    #[inline(always)] // Most callers know the change.
    pub(super) fn apply(&self, op: u32) -> Result<()> {
        let h = self.h;
        let row = h.op_row.load(Relaxed);
        let pid = h.op_pid.load(Relaxed);
        for i in 0..h.op_entries.load(Relaxed) {
            let Change { num, value, adj } = self.p.entry(i)?.get();
            self.p.sem(num)?.put(value, pid);
            crashpoint!("sem.apply.value");
            match op {
                PUT => self.forget_undo(num)?,
                _ if row == NIL => {}
                OPS => self.put_adj(row, num, adj)?,
                _ => self.put_adj(row, num, 0)?,
            }
        }
        let time = h.op_time.load(Relaxed);
        match op {
            PUT => h.object.ctime.store(time, Relaxed),
            SET => self.apply_set(time),
            _ => h.otime.store(time, Relaxed),
        }
        if op == UNDO {
            self.p.row(row)?.state.store(UNUSED, Release);
            crashpoint!("sem.apply.unused");
        }
        let waiter = h.op_waiter.load(Relaxed);
        if op == OPS && waiter != NIL {
            self.p.slot(waiter)?.news.store(WENT, Release);
            crashpoint!("sem.apply.told");
        }
        Ok(())
    }
}

impl Locked<'_> {
    /// After a dead holder, or when nonsense was found.
    #[cold]
    pub(super) fn recover(&mut self) -> Result<()> {
        let op = self.h.op.load(Acquire);
        if (OPS..=SET).contains(&op) {
            // A journal that makes no sense is dropped after what of it did.
            let _ = self.apply(op);
        }
        crashpoint!("sem.recover.applied");
        self.done();
        crashpoint!("sem.recover.done");
        self.rebuild()?;
        crashpoint!("sem.recover.rebuilt");
        self.look()?;
        self.settle(None)?;
        // Whoever was to be woken may not have been.
        for index in 0..self.h.slots.load(Relaxed) {
            let slot = self.p.slot(index)?;
            if slot.state.load(Relaxed) == WAITS && slot.news.load(Relaxed) != 0 {
                self.wake_later(index);
            }
        }
        self.unseat();
        Ok(())
    }

    /// Makes lines and counts from slots and rows.
    fn rebuild(&mut self) -> Result<()> {
        let h = self.h;
        let within = |word: &core::sync::atomic::AtomicU32, most: u32| {
            word.store(word.load(Relaxed).min(most), Relaxed);
        };
        within(&h.slots_backed, layout::SLOTS);
        within(&h.rows_backed, self.p.plan().most_rows());
        within(&h.slots, h.slots_backed.load(Relaxed));
        within(&h.rows, h.rows_backed.load(Relaxed));
        layout::clear_derived(h, &self.p)?;
        crashpoint!("sem.rebuild.cleared");
        for row in 0..h.rows.load(Relaxed) {
            self.count_row(row)?;
        }
        crashpoint!("sem.rebuild.counted");
        self.sort_out_slots()?;
        crashpoint!("sem.rebuild.sorted");
        self.line_up_all()
    }

    fn count_row(&self, row: u32) -> Result<()> {
        let used = self.p.row(row)?.state.load(Relaxed) == USED;
        for num in 0..self.p.nsems {
            let adj = self.p.adj(row, num)?;
            if !used {
                adj.0.store(0, Relaxed);
            } else if adj.0.load(Relaxed) != 0 {
                let sem = self.p.sem(num)?;
                sem.adjusters
                    .store(sem.adjusters.load(Relaxed).wrapping_add(1), Relaxed);
            }
        }
        Ok(())
    }

    /// Frees what no waiter holds: slots that continue one are reached from it only.
    fn sort_out_slots(&mut self) -> Result<()> {
        let slots = self.h.slots.load(Relaxed);
        for index in 0..slots {
            let slot = self.p.slot(index)?;
            match slot.state.load(Relaxed) {
                WAITS => {
                    let seq = slot.seq.load(Relaxed);
                    if seq >= self.h.next_seq.load(Relaxed) {
                        self.h.next_seq.store(seq.wrapping_add(1), Relaxed);
                    }
                    self.mark_more(index)?;
                }
                LEFT => slot.state.store(FREE, Relaxed),
                _ => {}
            }
        }
        for index in (0..slots).rev() {
            let state = &self.p.slot(index)?.state;
            match state.load(Relaxed) {
                WAITS => {}
                MARKED => state.store(CONTINUES, Relaxed),
                _ => self.free(index)?,
            }
        }
        Ok(())
    }

    /// Marks the slots that continue a waiter's.
    fn mark_more(&self, index: u32) -> Result<()> {
        let slot = self.p.slot(index)?;
        let slots = super::slots::continuing(slot.nops.load(Relaxed));
        let mut more = slot.more.load(Relaxed);
        for _ in 0..slots {
            if more >= self.h.slots.load(Relaxed) {
                // Its array is lost: it looks again for itself.
                slot.nops.store(0, Relaxed);
                slot.news.store(failed(Errno::EIO), Relaxed);
                return Ok(());
            }
            let part = self.p.more(more)?;
            part.state.store(MARKED, Relaxed);
            crashpoint!("sem.rebuild.marked");
            more = part.more.load(Relaxed);
        }
        Ok(())
    }

    /// Lines everybody up who waits, in the order of their numbers.
    fn line_up_all(&mut self) -> Result<()> {
        /// Looks at slots, after which the rest is lined up as it lies: more sleepers than there
        /// can be at a time are somebody's invention.
        const MOST_LOOKS: u64 = 1 << 22;
        let (mut after, mut looks) = (0, 0);
        while looks < MOST_LOOKS {
            looks += u64::from(self.h.slots.load(Relaxed));
            let mut first = (u64::MAX, NIL);
            for index in 0..self.h.slots.load(Relaxed) {
                let slot = self.p.slot(index)?;
                let seq = slot.seq.load(Relaxed);
                let waits = slot.state.load(Relaxed) == WAITS && slot.news.load(Relaxed) == 0;
                if waits && seq >= after && seq < first.0 {
                    first = (seq, index);
                }
            }
            if first.1 == NIL {
                return Ok(());
            }
            self.line_up(first.1)?;
            after = first.0 + 1;
        }
        for index in 0..self.h.slots.load(Relaxed) {
            let slot = self.p.slot(index)?;
            let waits = slot.state.load(Relaxed) == WAITS && slot.news.load(Relaxed) == 0;
            if waits && slot.seq.load(Relaxed) >= after {
                self.line_up(index)?;
            }
        }
        Ok(())
    }
}

/// Continues a waiter, as a recovery has found.
const MARKED: u32 = 4;
