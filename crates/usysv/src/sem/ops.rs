//! `semop`: trying an array of operations, and performing it.

use super::layout::{Change, NIL, Parts, Sem};
use super::recover::OPS;
use super::{Locked, Set, wait};
use crate::abi::{IPC_NOWAIT, SEM_UNDO, SEMVMX, Sembuf};
use crate::bell;
use crate::crash::crashpoint;
use crate::creds::Creds;
use crate::errno::{Errno, Result};
use crate::handle::Pin;
use crate::look::Look;
use crate::map::expect;
use crate::namespace::Namespace;
use crate::object::{LIVE, at_first};
use crate::process;
use crate::sys;
use crate::tls;
use core::sync::atomic::{Ordering::*, compiler_fence};
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
#[inline(always)]
pub(crate) fn semop(
    ns: &Namespace,
    pin: &Pin<'_>,
    id: i32,
    ops: &[Sembuf],
    timeout: Option<Duration>,
) -> Result<()> {
    match ops {
        [op] => operate(ns, pin, id, ops, timeout, |set| set.goes_alone(op)),
        _ => semop_of_many(ns, pin, id, ops, timeout),
    }
}

#[inline(never)]
fn semop_of_many(
    ns: &Namespace,
    pin: &Pin<'_>,
    id: i32,
    ops: &[Sembuf],
    timeout: Option<Duration>,
) -> Result<()> {
    operate(ns, pin, id, ops, timeout, |set| set.go_at_once(ops))
}

/// Tries a short way under the lock, and then the long one.
#[inline(always)]
fn operate(
    ns: &Namespace,
    pin: &Pin<'_>,
    id: i32,
    ops: &[Sembuf],
    timeout: Option<Duration>,
    short_way: impl FnOnce(&Set<'_>) -> bool,
) -> Result<()> {
    let me = process::thread()?;
    // Before the lock: see there. Likewise who we are: the first answer is read from a file.
    bell::mine_by(me, ns)?;
    process::identity_by(me);
    let set = Set::of(ns, pin, me).map_err(at_first)?;
    let fine = set.enter(id)?;
    if fine && short_way(&set) {
        set.h.object.lock.unlock();
        return Ok(());
    }
    semop_further(set.p, fine, (ns, pin, id), ops, timeout)
}

/// What does not go the short way. The lock is held; `fine`: and the set is as it should be.
#[cold]
#[inline(never)]
fn semop_further(
    p: Parts<'_>,
    fine: bool,
    (ns, pin, id): (&Namespace, &Pin<'_>, i32),
    ops: &[Sembuf],
    timeout: Option<Duration>,
) -> Result<()> {
    let set = Set::with(p, ns, pin, tls::block());
    set.expect_changes(ops);
    let mut q = set.locked(fine, id).map_err(at_first)?;
    let mut look = None;
    let mut until = None;
    loop {
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
        let look = look.get_or_insert_with(|| Look::new(&set.h.seen, true));
        if look.is_over()? {
            return wait::wait(q, id, ops, undoes, blocking, until);
        }
        drop(q);
        let op = ops.get(blocking as usize).copied().unwrap_or_default();
        look.watch(|| !set.holds_up(&op) && set.h.object.lock.is_free());
        q = super::lock(ns, pin, id)?;
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
        if let ([op], false) = (ops, undoes)
            && self.h.waiting.get() != 0
            && self.hand_over(op)?
        {
            return Ok(Outcome::Goes(1));
        }
        let mut outcome = self.attempt(Ops::Given(ops), row)?;
        let refused = matches!(outcome, Outcome::Blocks(_) | Outcome::Fails(Errno::EAGAIN));
        if refused && self.look()? {
            outcome = self.attempt(Ops::Given(ops), row)?;
        }
        if let Outcome::Goes(entries) = outcome {
            self.perform(entries, row, NIL, self.pid())?;
            // Who changes nothing lets nobody on, and what holds up the others is not looked at again.
            let alters = ops.iter().any(|op| op.sem_op != 0);
            if alters && self.h.waiting.get() != 0 && self.settle(Some(Ops::Given(ops))).is_err() {
                // The array went: nonsense among the sleepers must not have it performed again.
                let _ = self.recover();
            }
        }
        Ok(outcome)
    }
}

impl<'a> Set<'a> {
    /// Whether the caller may do this to the set.
    #[inline]
    fn lets_in(&self, ops: &[Sembuf]) -> bool {
        self.lets_alter(ops.iter().any(|op| op.sem_op != 0))
    }

    #[inline]
    fn lets_alter(&self, alters: bool) -> bool {
        Creds::current().may_use(&self.h.object, if alters { 0o222 } else { 0o444 })
    }

    /// Asks for what a call that sleeps, or wakes somebody, changes: the lines come from another CPU's cache,
    /// and together rather than one after the other.
    pub(super) fn expect_changes(&self, ops: &[Sembuf]) {
        self.h.expect_changes();
        let first = ops.first().map_or(0, |op| u32::from(op.sem_num));
        if let (Ok(entry), Ok(sem)) = (self.p.entry(0), self.p.sem(first)) {
            expect(core::ptr::from_ref(entry));
            if let Ok(slot) = self.p.slot(sem.alters.head.load(Relaxed)) {
                slot.expect_changes();
            }
        }
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

    /// The short way for one operation that goes at once and concerns nobody else. False: nothing
    /// happened, the long way will tell.
    #[inline(always)]
    fn goes_alone(&self, op: &Sembuf) -> bool {
        let Some((sem, new)) = self.goes_quietly(op) else {
            return false;
        };
        if !self.lets_alter(op.sem_op != 0) {
            return false;
        }
        if undoes(op) {
            return self.goes_with_undo(op, sem, new).unwrap_or(false);
        }
        let time = sys::time() as u64;
        if sem.adjusters.load(Relaxed) != 0 || self.h.otime.load(Relaxed) != time {
            return false;
        }
        // The set's time is right already, so one store is the whole operation: no journal.
        self.h.seen.note(self.me);
        crashpoint!("sem.alone.before_commit");
        compiler_fence(SeqCst);
        sem.put(new, self.pid());
        compiler_fence(SeqCst);
        crashpoint!("sem.alone.after_commit");
        true
    }

    /// A semaphore and the value that an operation gives it, if it can go, and nobody sleeps who
    /// might go on then.
    #[inline(always)]
    fn goes_quietly(&self, op: &Sembuf) -> Option<(&'a Sem, u32)> {
        let sem = self.p.sem(u32::from(op.sem_num)).ok()?;
        let value = sem.value();
        let new = value.wrapping_add_signed(i32::from(op.sem_op));
        const { assert!((SEMVMX + 1).count_ones() == 1) }
        // Neither above SEMVMX, all of whose bits are ones; below 0 is far above.
        let goes = (value | new) <= SEMVMX as u32 && (op.sem_op != 0 || value == 0);
        let quietly = self.h.waiting.get() == 0 || !self.lets_on(sem, op, new);
        (goes && quietly).then_some((sem, new))
    }

    /// Whether a sleeper may go on when this operation has given its semaphore this value; as
    /// `settle` finds it.
    #[inline]
    fn lets_on(&self, sem: &Sem, op: &Sembuf, new: u32) -> bool {
        let (alters, zeros) = (&self.h.alters, &self.h.zeros);
        let enough = !sem.alters.is_empty() && new >= sem.least.load(Relaxed);
        let zero = !sem.zeros.is_empty() || !zeros.is_empty();
        !alters.is_empty() || op.sem_op > 0 && enough || new == 0 && zero
    }

    /// The short way with SEM_UNDO, for who has a row.
    #[inline]
    fn goes_with_undo(&self, op: &Sembuf, sem: &Sem, new: u32) -> Result<bool> {
        let num = u32::from(op.sem_num);
        let Some((row, at)) = self.my_row_at_hand()? else {
            return Ok(false);
        };
        let word = self.p.adj_in(at, num)?;
        let adj = word.get();
        let new_adj = adj - i32::from(op.sem_op);
        let others = sem.adjusters.load(Relaxed) > u32::from(adj != 0);
        if others || !(-SEMVMX - 1..=SEMVMX).contains(&new_adj) {
            return Ok(false);
        }
        self.p.entry(0)?.put(Change {
            num,
            value: new,
            adj: new_adj,
        });
        let time = self.begin(1, row, NIL, self.pid());
        crashpoint!("sem.undoable.before_commit");
        self.commit(OPS);
        crashpoint!("sem.undoable.after_commit");
        // As `apply` does it, out of registers.
        sem.put(new, self.pid());
        sem.put_adj(word, new_adj);
        self.h.otime.store(time, Relaxed);
        crashpoint!("sem.undoable.applied");
        self.done();
        Ok(true)
    }

    /// The short way for an array: as [`Set::goes_alone`], without undo, and each semaphore in it
    /// once.
    #[inline(always)] // Into a function of its own.
    fn go_at_once(&self, ops: &[Sembuf]) -> bool {
        let mut seen = 0u64;
        for (i, op) in ops.iter().enumerate() {
            let bit = 1 << (op.sem_num % 64);
            let (Some((sem, new)), Ok(entry)) = (self.goes_quietly(op), self.p.entry(i as u32))
            else {
                return false;
            };
            if seen & bit != 0 || undoes(op) || sem.adjusters.load(Relaxed) != 0 {
                return false;
            }
            seen |= bit;
            entry.put(Change {
                num: u32::from(op.sem_num),
                value: new,
                adj: 0,
            });
        }
        if !self.lets_in(ops) {
            return false;
        }
        let pid = self.pid();
        let time = self.begin(ops.len() as u32, NIL, NIL, pid);
        crashpoint!("sem.array.before_commit");
        self.commit(OPS);
        crashpoint!("sem.array.after_commit");
        for (i, op) in ops.iter().enumerate() {
            // Both were there just now.
            if let (Ok(sem), Ok(entry)) =
                (self.p.sem(u32::from(op.sem_num)), self.p.entry(i as u32))
            {
                sem.put(entry.get().value, pid);
                crashpoint!("sem.array.put");
            }
        }
        self.h.otime.store(time, Relaxed);
        crashpoint!("sem.array.applied");
        self.done();
        true
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
                    let so_far = self.p.entry(at)?.get();
                    (so_far.value as i32, so_far.adj)
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
            self.p.entry(at.unwrap_or(entries))?.put(Change {
                num,
                value: new as u32,
                adj: new_adj,
            });
            entries += u32::from(at.is_none());
        }
        Ok(Outcome::Goes(entries))
    }

    fn entry_of(&self, num: u32, entries: u32) -> Result<Option<u32>> {
        for at in 0..entries {
            if self.p.entry(at)?.get().num == num {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    /// A semaphore's value.
    #[inline]
    pub(super) fn value(&self, num: u32) -> Result<i32> {
        Ok((self.p.sem(num)?.value() as i32).clamp(0, SEMVMX))
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
