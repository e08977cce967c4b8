//! Lines of sleepers, and giving them what they can go on with: the order is `ipc/sem.c`'s.
//!
//! Who waits with one operation stands in a line of its semaphore; from the first sleeper with
//! several operations until the last, all who would alter stand in one line of the set.

use super::layout::{Line, NIL, WAITS};
use super::ops::{Ops, Outcome};
use super::recover::failed;
use super::{Locked, Set};
use crate::bell::Bell;
use crate::crash::crashpoint;
use crate::errno::{Errno, Result};
use crate::liveness;
use core::sync::atomic::Ordering::*;

impl<'a> Set<'a> {
    /// The line that a waiter belongs in now.
    fn line(&self, index: u32) -> Result<&'a Line> {
        let nops = self.p.slot(index)?.nops.load(Relaxed);
        let alters = self.alters(index)?;
        if nops != 1 {
            return Ok(if alters {
                &self.h.alters
            } else {
                &self.h.zeros
            });
        }
        let sem = self.p.sem(u32::from(self.op_of(index, 0)?.sem_num))?;
        Ok(match (alters, self.merged()) {
            (true, false) => &sem.alters,
            (true, true) => &self.h.alters,
            (false, _) => &sem.zeros,
        })
    }

    /// Whether all who alter stand in the set's line: also after the last array left, until
    /// somebody finds the time to take it apart.
    fn merged(&self) -> bool {
        self.h.complex.load(Relaxed) != 0 || !self.h.alters.is_empty()
    }

    fn alters(&self, index: u32) -> Result<bool> {
        for i in 0..self.count(Ops::Of(index))? {
            if self.op_of(index, i)?.sem_op != 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn bell_of_waiter(&self, index: u32) -> Result<Bell> {
        let slot = self.p.slot(index)?;
        Ok(Bell {
            index: slot.bell[0].load(Relaxed),
            generation: slot.bell[1].load(Relaxed),
        })
    }

    /// Whether the thread of a waiter is gone.
    pub(super) fn is_dead(&self, index: u32) -> Result<bool> {
        let slot = self.p.slot(index)?;
        Ok(match self.bell_of_waiter(index)? {
            Bell::NONE => {
                let (pid, tid) = (slot.pid.load(Relaxed), slot.tid.load(Relaxed));
                !liveness::thread_lives(pid, tid)
            }
            bell => self.ns.rings(bell),
        })
    }
}

/// Sleepers whose threads are asked after while the lock is held: whoever makes up more must not
/// hold up who looks.
const MOST_ASKED: u32 = 4096;

impl Locked<'_> {
    /// Puts a waiter at the end of its line.
    pub(super) fn line_up(&mut self, index: u32) -> Result<()> {
        let h = self.h;
        self.unmerge()?;
        if self.p.slot(index)?.nops.load(Relaxed) != 1 {
            if h.complex.load(Relaxed) == 0 {
                self.merge()?;
            }
            h.complex
                .store(h.complex.load(Relaxed).wrapping_add(1), Relaxed);
            crashpoint!("sem.line_up.complex");
        }
        self.append(index)?;
        crashpoint!("sem.line_up.appended");
        h.waiting.set(h.waiting.get().wrapping_add(1));
        Ok(())
    }

    fn append(&self, index: u32) -> Result<()> {
        let line = self.line(index)?;
        let slot = self.p.slot(index)?;
        let last = line.tail.load(Relaxed);
        slot.prev.store(last, Relaxed);
        slot.next.store(NIL, Relaxed);
        crashpoint!("sem.append.filled");
        match last {
            NIL => line.head.store(index, Relaxed),
            _ => self.p.slot(last)?.next.store(index, Relaxed),
        }
        line.tail.store(index, Relaxed);
        crashpoint!("sem.append.linked");
        let op = self.op_of(index, 0)?;
        if slot.nops.load(Relaxed) == 1 && op.sem_op < 0 {
            // Nobody else in line: nobody takes less.
            let sem = self.p.sem(u32::from(op.sem_num))?;
            let takes = u32::from(op.sem_op.unsigned_abs());
            let least = if last == NIL {
                u32::MAX
            } else {
                sem.least.load(Relaxed)
            };
            sem.least.store(least.min(takes), Relaxed);
        }
        Ok(())
    }

    /// Takes a waiter out of its line.
    pub(super) fn leave_line(&mut self, index: u32) -> Result<()> {
        let line = self.set.line(index)?;
        self.leave(line, index)
    }

    /// [`Locked::leave_line`], of who knows the line.
    pub(super) fn leave(&mut self, line: &Line, index: u32) -> Result<()> {
        self.unlink(line, index)?;
        crashpoint!("sem.leave_line.unlinked");
        let h = self.h;
        h.waiting.set(h.waiting.get().saturating_sub(1));
        if self.p.slot(index)?.nops.load(Relaxed) != 1 {
            let complex = h.complex.load(Relaxed).saturating_sub(1);
            h.complex.store(complex, Relaxed);
            crashpoint!("sem.leave_line.complex");
        }
        Ok(())
    }

    fn unlink(&self, line: &Line, index: u32) -> Result<()> {
        let slot = self.p.slot(index)?;
        let (prev, next) = (slot.prev.load(Relaxed), slot.next.load(Relaxed));
        if prev == NIL && line.head.load(Relaxed) != index {
            return Err(Errno::EIO);
        }
        match prev {
            NIL => line.head.store(next, Relaxed),
            _ => self.p.slot(prev)?.next.store(next, Relaxed),
        }
        match next {
            NIL => line.tail.store(prev, Relaxed),
            _ => self.p.slot(next)?.prev.store(prev, Relaxed),
        }
        Ok(())
    }

    /// `merge_queues`: one line for all; those of a later semaphore go to the front.
    fn merge(&mut self) -> Result<()> {
        for num in 0..self.p.nsems {
            let line = &self.p.sem(num)?.alters;
            let (head, tail) = (line.head.load(Relaxed), line.tail.load(Relaxed));
            if head == NIL {
                continue;
            }
            line.clear();
            crashpoint!("sem.merge.cleared");
            let all = &self.h.alters;
            let first = all.head.load(Relaxed);
            self.p.slot(tail)?.next.store(first, Relaxed);
            match first {
                NIL => all.tail.store(tail, Relaxed),
                _ => self.p.slot(first)?.prev.store(tail, Relaxed),
            }
            all.head.store(head, Relaxed);
            crashpoint!("sem.merge.moved");
        }
        Ok(())
    }

    /// `unmerge_queues`, if no array waits any more.
    fn unmerge(&mut self) -> Result<()> {
        if self.h.complex.load(Relaxed) != 0 || self.h.alters.is_empty() {
            return Ok(());
        }
        let mut at = self.h.alters.head.load(Relaxed);
        self.h.alters.clear();
        crashpoint!("sem.unmerge.cleared");
        for _ in 0..=self.h.slots.load(Relaxed) {
            if at == NIL {
                return Ok(());
            }
            let next = self.p.slot(at)?.next.load(Relaxed);
            self.append(at)?;
            crashpoint!("sem.unmerge.moved");
            at = next;
        }
        Err(Errno::EIO)
    }

    /// `do_smart_update`: after these operations were performed, or (`None`) anything may have
    /// changed. True: somebody went on.
    pub(super) fn settle(&mut self, changed: Option<Ops<'_>>) -> Result<bool> {
        self.unmerge()?;
        let mut went = self.serve_zeros(changed)?;
        if !self.h.alters.is_empty() {
            went |= self.serve_alters(None)?;
            return Ok(went);
        }
        match changed {
            None => {
                for num in 0..self.p.nsems {
                    went |= self.serve_alters(Some(num))?;
                }
            }
            Some(ops) => {
                for i in 0..self.count(ops)? {
                    let op = self.op(ops, i)?;
                    if op.sem_op > 0 {
                        went |= self.serve_alters(Some(u32::from(op.sem_num)))?;
                    }
                }
            }
        }
        Ok(went)
    }

    /// `do_smart_wakeup_zero`.
    fn serve_zeros(&mut self, changed: Option<Ops<'_>>) -> Result<bool> {
        let (mut went, mut zero) = (false, false);
        let count = match changed {
            Some(ops) => self.count(ops)?,
            None => self.p.nsems,
        };
        for i in 0..count {
            let num = match changed {
                Some(ops) => u32::from(self.op(ops, i)?.sem_num),
                None => i,
            };
            if self.value(num)? == 0 {
                zero = true;
                let first = self.p.sem(num)?.zeros.head.load(Relaxed);
                went |= self.serve_line(first)?;
            }
        }
        if zero {
            went |= self.serve_line(self.h.zeros.head.load(Relaxed))?;
        }
        Ok(went)
    }

    /// `wake_const_ops`: sleepers that only wait for zero.
    fn serve_line(&mut self, first: u32) -> Result<bool> {
        let (mut at, mut went) = (first, false);
        for _ in 0..=self.h.slots.load(Relaxed) {
            if at == NIL {
                return Ok(went);
            }
            let next = self.p.slot(at)?.next.load(Relaxed);
            went |= self.serve(at)? == Some(true);
            at = next;
        }
        Err(Errno::EIO)
    }

    /// `update_queue`: sleepers that alter, of one semaphore or of all.
    fn serve_alters(&mut self, num: Option<u32>) -> Result<bool> {
        let mut went = false;
        'again: loop {
            let line = match num {
                Some(num) => &self.p.sem(num)?.alters,
                None => &self.h.alters,
            };
            let mut at = line.head.load(Relaxed);
            let mut least = u32::MAX;
            for _ in 0..=self.h.slots.load(Relaxed) {
                if at == NIL {
                    if let Some(num) = num {
                        self.p.sem(num)?.least.store(least, Relaxed);
                    }
                    return Ok(went);
                }
                if let Some(num) = num
                    && (self.value(num)? as u32) < self.p.sem(num)?.least.load(Relaxed)
                {
                    return Ok(went);
                }
                let slot = self.p.slot(at)?;
                let next = slot.next.load(Relaxed);
                let complex = slot.nops.load(Relaxed) > 1;
                let takes = u32::from(self.op_of(at, 0)?.sem_op.unsigned_abs());
                if self.serve(at)? == Some(true) {
                    went = true;
                    self.serve_zeros(Some(Ops::Of(at)))?;
                    if complex || !self.h.alters.is_empty() {
                        continue 'again;
                    }
                } else {
                    least = least.min(takes);
                }
                at = next;
            }
            return Err(Errno::EIO);
        }
    }

    /// Gives a sleeper what it can go on with: `Some(true)` if its array went, `Some(false)` if it
    /// ended otherwise.
    fn serve(&mut self, index: u32) -> Result<Option<bool>> {
        let slot = self.p.slot(index)?;
        // A line that leads back to who was served would have no end.
        if slot.state.load(Relaxed) != WAITS || slot.news.load(Relaxed) != 0 {
            return Err(Errno::EIO);
        }
        let row = slot.row.load(Relaxed);
        let outcome = self.attempt(Ops::Of(index), row)?;
        if let Outcome::Blocks(blocking) = outcome {
            slot.blocking.store(blocking, Relaxed);
            crashpoint!("sem.serve.blocks");
            return Ok(None);
        }
        if self.is_dead(index)? {
            self.leave_line(index)?;
            crashpoint!("sem.serve.dead_left");
            self.free_waiter(index)?;
            crashpoint!("sem.serve.buried");
            return Ok(Some(false));
        }
        self.leave_line(index)?;
        crashpoint!("sem.serve.left_line");
        match outcome {
            Outcome::Goes(entries) => {
                self.perform(entries, row, index, slot.pid.load(Relaxed))?;
                self.wake_later(index);
                Ok(Some(true))
            }
            Outcome::Fails(e) => {
                slot.news.store(failed(e), Release);
                crashpoint!("sem.serve.failed");
                self.wake_later(index);
                Ok(Some(false))
            }
            Outcome::Blocks(_) => Err(Errno::EIO),
        }
    }

    /// Whether the thread of a waiter is gone, as far as there is time to ask.
    pub(super) fn is_dead(&self, index: u32) -> Result<bool> {
        if self.bell_of_waiter(index)? == Bell::NONE {
            let asked = self.asked.replace(self.asked.get().saturating_add(1));
            if asked >= MOST_ASKED {
                return Ok(false);
            }
        }
        self.set.is_dead(index)
    }

    /// Calls `f` with every waiter that lives and has no news.
    pub(super) fn each_waiter(&self, mut f: impl FnMut(u32) -> Result<()>) -> Result<()> {
        if self.h.waiting.get() == 0 {
            return Ok(());
        }
        for index in 0..self.h.slots.load(Relaxed) {
            let slot = self.p.slot(index)?;
            let waits = slot.state.load(Relaxed) == WAITS && slot.news.load(Relaxed) == 0;
            if waits && !self.is_dead(index)? {
                f(index)?;
            }
        }
        Ok(())
    }

    /// Ends every wait with an error: the set is removed.
    pub(super) fn tell_all(&mut self, e: Errno) -> Result<()> {
        for index in 0..self.h.slots.load(Relaxed) {
            let slot = self.p.slot(index)?;
            if slot.state.load(Relaxed) == WAITS && slot.news.load(Relaxed) == 0 {
                slot.news.store(failed(e), Release);
                crashpoint!("sem.tell_all.told");
                self.wake_later(index);
            }
        }
        Ok(())
    }
}
