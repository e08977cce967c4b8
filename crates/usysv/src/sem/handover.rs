//! The commonest wake: one operation gives the first sleeper in line what it waits for, and leaves
//! nothing for others.
//!
//! To the kernel these are two operations, one after the other under one lock: the waker's, then the
//! sleeper's, whose value and pid are those that stay. Nobody sees the set between the two. So here
//! they are one change, with the sleeper's news part of it: both happen, or neither. Whatever is not
//! of this kind goes the long way (`settle`), where all the rules are.

use super::Locked;
use super::layout::{Change, NIL, Sem, WAITS};
use crate::abi::{SEMVMX, Sembuf};
use crate::crash::crashpoint;
use crate::errno::{Errno, Result};
use core::sync::atomic::Ordering::*;

impl Locked<'_> {
    /// Performs an operation without undo together with a sleeper's. False: nothing happened.
    pub(super) fn hand_over(&mut self, op: &Sembuf) -> Result<bool> {
        let num = u32::from(op.sem_num);
        let sem = self.p.sem(num)?;
        let index = sem.alters.head.load(Relaxed);
        if op.sem_op <= 0 || index == NIL || !self.is_plain(sem) {
            return Ok(false);
        }
        let (slot, takes) = (self.p.slot(index)?, self.op_of(index, 0)?);
        if slot.state.load(Relaxed) != WAITS || slot.news.load(Relaxed) != 0 {
            // Nobody stands in line there.
            return Err(Errno::EIO);
        }
        // Other nonsense is for the long way, too.
        let is_alike = u32::from(takes.sem_num) == num && slot.nops.load(Relaxed) == 1;
        let given = self.value(num)? + i32::from(op.sem_op);
        let left = given + i32::from(takes.sem_op);
        let goes = takes.sem_op < 0 && left >= 0 && given <= SEMVMX;
        let last = slot.next.load(Relaxed) == NIL || (left as u32) < sem.least.load(Relaxed);
        let undoes = slot.row.load(Relaxed) != NIL;
        if !is_alike || !goes || !last || undoes || self.is_dead(index)? {
            return Ok(false);
        }
        self.p.entry(0)?.put(Change {
            num,
            value: left as u32,
            adj: 0,
        });
        crashpoint!("sem.hand.filled");
        self.leave(&sem.alters, index)?;
        self.perform(1, NIL, index, slot.pid.load(Relaxed))?;
        self.wake_later(index);
        Ok(true)
    }

    /// Whether all who a change of this semaphore may let go on stand in its line of those who alter.
    fn is_plain(&self, sem: &Sem) -> bool {
        let h = self.h;
        h.complex.load(Relaxed) == 0
            && h.alters.is_empty()
            && h.zeros.is_empty()
            && sem.zeros.is_empty()
    }
}
