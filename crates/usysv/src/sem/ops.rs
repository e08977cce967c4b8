//! `semop`: trying an array of operations, and performing it.

use super::layout::NIL;
use super::recover::{IDLE, OPS};
use super::{Locked, Set, wait};
use crate::abi::{IPC_NOWAIT, SEM_UNDO, SEMVMX, Sembuf};
use crate::bell;
use crate::crash::crashpoint;
use crate::creds::Creds;
use crate::errno::{Errno, Result};
use crate::handle::Pin;
use crate::look::Look;
use crate::namespace::Namespace;
use crate::object::LIVE;
use crate::process;
use crate::sys;
use core::sync::atomic::Ordering::*;
use core::time::Duration;

/// An array of operations: the caller's, or a sleeper's.
#[derive(Clone, Copy)]
pub(super) enum Ops<'a> {
    Given(&'a [Sembuf]),
    Of(u32),
}

/// What would become of an array now.
pub(super) enum Outcome {
    /// It can go: so many journal entries say what it makes of the semaphores.
    Goes(u32),
    /// This operation holds it up.
    Blocks(u32),
    Fails(Errno),
}

/// `semtimedop`, the arguments checked as far as they can be without the set.
pub(crate) fn semop(
    ns: &Namespace,
    pin: &Pin<'_>,
    id: i32,
    ops: &[Sembuf],
    timeout: Option<Duration>,
) -> Result<()> {
    let me = process::thread()?;
    // Before the lock: see there.
    bell::mine_by(me, ns)?;
    let set = Set::of(ns, pin, process::identity_by(me))?;
    let fine = set.enter(me, id)?;
    if let ([op], true) = (ops, fine)
        && set.goes_alone(op)
    {
        set.h.object.lock.unlock();
        return Ok(());
    }
    semop_further(&set, fine, id, ops, timeout)
}

/// What does not go the short way. The lock is held; `fine`: and the set is as it should be.
#[cold]
#[inline(never)]
fn semop_further(
    set: &Set<'_>,
    fine: bool,
    id: i32,
    ops: &[Sembuf],
    timeout: Option<Duration>,
) -> Result<()> {
    let mut look = None;
    let mut until = None;
    let mut entered = Some(fine);
    loop {
        let fine = match entered.take() {
            Some(fine) => fine,
            None => set.enter(process::thread()?, id)?,
        };
        // Committed, and then nonsense was found: it happened, and the journal ends it.
        let broke_off = fine && set.h.op.load(Relaxed) != IDLE;
        let mut q = set.locked(fine && !broke_off, id)?;
        if broke_off {
            return Err(Errno::EIO);
        }
        let undoes = ops.iter().any(undoes);
        if u32::from(most(ops)) >= q.nsems() {
            return q.refuse(undoes, Errno::EFBIG);
        }
        if !q.lets_in(ops) {
            return q.refuse(undoes, Errno::EACCES);
        }
        let blocking = match q.with_repair(|q| q.now(ops, undoes))? {
            Outcome::Goes(_) => return Ok(()),
            Outcome::Fails(e) => return Err(e),
            Outcome::Blocks(blocking) => blocking,
        };
        if timeout == Some(Duration::ZERO) {
            return Err(Errno::EAGAIN);
        }
        // Time runs from here on, also while the call only looks.
        let until = *until.get_or_insert_with(|| timeout.and_then(deadline_ns));
        let look = look.get_or_insert_with(|| Look::new(&set.h.cpu, true));
        if look.is_over()? {
            return wait::wait(q, id, ops, undoes, blocking, until);
        }
        drop(q);
        let op = ops.get(blocking as usize).copied().unwrap_or_default();
        look.watch(|| !set.holds_up(&op));
    }
}

/// When a timeout ends, in monotonic nanoseconds; one beyond their end never does.
fn deadline_ns(timeout: Duration) -> Option<u64> {
    let ns = u64::try_from(timeout.as_nanos()).ok()?;
    sys::monotonic_ns().checked_add(ns)
}

fn most(ops: &[Sembuf]) -> u16 {
    ops.iter().map(|op| op.sem_num).max().unwrap_or(0)
}

#[inline]
fn undoes(op: &Sembuf) -> bool {
    i32::from(op.sem_flg) & SEM_UNDO != 0
}

impl Locked<'_> {
    /// Who asks with SEM_UNDO has a row from now on, even if all is refused: its end is seen in
    /// the set's time.
    #[cold]
    fn refuse(&mut self, undoes: bool, e: Errno) -> Result<()> {
        if undoes {
            self.with_repair(Self::my_row)?;
        }
        Err(e)
    }

    /// Performs an array if it can go, for the calling process.
    fn now(&mut self, ops: &[Sembuf], undoes: bool) -> Result<Outcome> {
        let row = if undoes { self.my_row()? } else { NIL };
        if self.h.rows.load(Relaxed) != 0 {
            self.look_before(ops, row)?;
        }
        let mut outcome = self.attempt(Ops::Given(ops), row)?;
        let refused = matches!(outcome, Outcome::Blocks(_) | Outcome::Fails(Errno::EAGAIN));
        if refused && self.look()? {
            outcome = self.attempt(Ops::Given(ops), row)?;
        }
        if let Outcome::Goes(entries) = outcome {
            self.perform(entries, row, NIL, self.me.pid)?;
            if self.h.waiting.load(Relaxed) != 0 {
                self.settle(Some(Ops::Given(ops)))?;
            }
        }
        Ok(outcome)
    }
}

impl Set<'_> {
    /// Whether the caller may do this to the set.
    #[inline]
    fn lets_in(&self, ops: &[Sembuf]) -> bool {
        self.lets_alter(ops.iter().any(|op| op.sem_op != 0))
    }

    #[inline]
    fn lets_alter(&self, alters: bool) -> bool {
        Creds::current().may_use(&self.h.object, if alters { 0o222 } else { 0o444 })
    }

    /// Whether an operation cannot go, as far as a look without the lock tells.
    fn holds_up(&self, op: &Sembuf) -> bool {
        let removed = self.h.object.state.load(Relaxed) != LIVE;
        let value = self.value(u32::from(op.sem_num)).unwrap_or(0);
        let needs = -i32::from(op.sem_op);
        !removed
            && if needs == 0 {
                value != 0
            } else {
                value < needs
            }
    }

    /// The short way for one operation that goes at once and concerns nobody else: nobody sleeps,
    /// nobody else has something to be undone for this semaphore. False: the long way will tell.
    #[inline]
    fn goes_alone(&self, op: &Sembuf) -> bool {
        self.h.waiting.load(Relaxed) == 0
            && self.lets_alter(op.sem_op != 0)
            && self.try_alone(op).unwrap_or(false)
    }

    #[inline]
    fn try_alone(&self, op: &Sembuf) -> Result<bool> {
        let num = u32::from(op.sem_num);
        let sem = self.p.sem(num)?;
        let value = self.value(num)?;
        let new = value + i32::from(op.sem_op);
        if new < 0 || op.sem_op == 0 && value != 0 || new > SEMVMX {
            return Ok(false);
        }
        let (mut row, mut adj) = (NIL, 0);
        if undoes(op) {
            let Some(mine) = self.my_row_at_hand()? else {
                return Ok(false);
            };
            (row, adj) = (mine, self.adj_of(mine, num)?);
        }
        let new_adj = adj - i32::from(op.sem_op);
        let others = sem.adjusters.load(Relaxed) > u32::from(adj != 0);
        if others || row != NIL && !(-SEMVMX - 1..=SEMVMX).contains(&new_adj) {
            return Ok(false);
        }
        let entry = self.p.entry(0)?;
        entry.num.store(num, Relaxed);
        entry.value.store(new as u32, Relaxed);
        entry.adj.store(new_adj as u32, Relaxed);
        let time = self.begin(1, row, NIL, self.me.pid);
        crashpoint!("sem.alone.before_commit");
        self.commit(OPS);
        crashpoint!("sem.alone.after_commit");
        // As `apply` does it, out of registers.
        sem.value.store(new as u32, Relaxed);
        sem.pid.store(self.me.pid, Relaxed);
        if row != NIL {
            self.put_adj(row, num, new_adj)?;
        }
        self.h.otime.store(time, Relaxed);
        crashpoint!("sem.alone.applied");
        self.done();
        Ok(true)
    }

    /// An operation of an array.
    pub(super) fn op(&self, ops: Ops<'_>, i: u32) -> Result<Sembuf> {
        match ops {
            Ops::Given(ops) => ops.get(i as usize).copied().ok_or(Errno::EIO),
            Ops::Of(slot) => self.op_of(slot, i),
        }
    }

    pub(super) fn count(&self, ops: Ops<'_>) -> Result<u32> {
        match ops {
            Ops::Given(ops) => Ok(ops.len() as u32),
            Ops::Of(slot) => {
                let nops = self.p.slot(slot)?.nops.load(Relaxed);
                // No more than its slots and the others can hold.
                let fits = super::slots::continuing(nops) < self.h.slots.load(Relaxed).max(1);
                if fits { Ok(nops) } else { Err(Errno::EIO) }
            }
        }
    }

    /// Tries an array, and leaves in the journal's entries what it would make of the semaphores and
    /// of the row. Nothing has happened yet.
    pub(super) fn attempt(&self, ops: Ops<'_>, row: u32) -> Result<Outcome> {
        let (mut entries, mut seen) = (0u32, 0u64);
        for i in 0..self.count(ops)? {
            let op = self.op(ops, i)?;
            let num = u32::from(op.sem_num);
            let bit = 1 << (num % 64);
            let at = match seen & bit {
                0 => None,
                _ => self.entry_of(num, entries)?,
            };
            seen |= bit;
            let (value, adj) = match at {
                Some(at) => {
                    let entry = self.p.entry(at)?;
                    (
                        entry.value.load(Relaxed) as i32,
                        entry.adj.load(Relaxed) as i32,
                    )
                }
                None => (self.value(num)?, self.adj_of(row, num)?),
            };
            let new = value + i32::from(op.sem_op);
            if new < 0 || op.sem_op == 0 && value != 0 {
                let no_wait = i32::from(op.sem_flg) & IPC_NOWAIT != 0;
                return Ok(match no_wait {
                    true => Outcome::Fails(Errno::EAGAIN),
                    false => Outcome::Blocks(i),
                });
            }
            let new_adj = if undoes(&op) {
                adj - i32::from(op.sem_op)
            } else {
                adj
            };
            if new > SEMVMX || !(-SEMVMX - 1..=SEMVMX).contains(&new_adj) {
                return Ok(Outcome::Fails(Errno::ERANGE));
            }
            let entry = self.p.entry(at.unwrap_or(entries))?;
            entry.num.store(num, Relaxed);
            entry.value.store(new as u32, Relaxed);
            entry.adj.store(new_adj as u32, Relaxed);
            entries += u32::from(at.is_none());
        }
        Ok(Outcome::Goes(entries))
    }

    fn entry_of(&self, num: u32, entries: u32) -> Result<Option<u32>> {
        for at in 0..entries {
            if self.p.entry(at)?.num.load(Relaxed) == num {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    /// A semaphore's value.
    #[inline]
    pub(super) fn value(&self, num: u32) -> Result<i32> {
        Ok((self.p.sem(num)?.value.load(Relaxed) as i32).clamp(0, SEMVMX))
    }

    /// Makes what `attempt` wrote into the entries happen, for a process and, if it is a sleeper's
    /// array, with the sleeper's news.
    #[inline]
    pub(super) fn perform(&self, entries: u32, row: u32, waiter: u32, pid: u32) -> Result<()> {
        self.begin(entries, row, waiter, pid);
        crashpoint!("sem.op.before_commit");
        self.commit(OPS);
        crashpoint!("sem.op.after_commit");
        self.apply(OPS)?;
        crashpoint!("sem.op.applied");
        self.done();
        Ok(())
    }
}
