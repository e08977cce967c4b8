//! SEM_UNDO: rows of `semadj`, and doing what dead processes left to be undone.
//!
//! A process has at most one row in a set, from its first SEM_UNDO here until it is dead; threads
//! share it, exec keeps it, a fork child has none. Whether the process lives is told by the bell of
//! the thread that used the row last, while it is silent, and else by the process's identity.

use super::layout::{Adj, Change, NIL, Row, Sem, UNUSED, USED};
use super::ops::Ops;
use super::recover::UNDO;
use super::{Locked, Set};
use crate::abi::{SEMVMX, Sembuf};
use crate::bell::{self, Bell};
use crate::crash::crashpoint;
use crate::errno::{Errno, Result};
use crate::liveness;
use crate::namespace::Namespace;
use crate::process::Identity;
use crate::sys;
use crate::tls::Block;
use core::sync::atomic::Ordering::*;

/// With more rows than this, who succeeds looks for the dead once in a millisecond only.
const FEW: u32 = 16;

impl<'a> Set<'a> {
    /// The calling process's row and its number, if it is where it was last time.
    #[inline(always)]
    pub(super) fn my_row_at_hand(&self) -> Result<Option<(u32, &'a Row)>> {
        let hint = self.pin.handle().hint().load(Relaxed);
        if hint >= self.h.rows.load(Relaxed) {
            return Ok(None);
        }
        let row = self.p.row(hint)?;
        if !self.is_mine(row) {
            return Ok(None);
        }
        if bell_of(row) != bell::mine_by(self.me, self.ns)? {
            hang_bell(self.ns, self.me, row)?;
        }
        Ok(Some((hint, row)))
    }

    #[inline]
    fn is_mine(&self, row: &Row) -> bool {
        row.state.load(Relaxed) == USED && owner_of(row) == self.me()
    }

    /// The bell of a row that another process uses.
    pub(super) fn bell_of_another(&self, row: u32) -> Result<Option<Bell>> {
        let row = self.p.row(row)?;
        let used = row.state.load(Relaxed) == USED && owner_of(row) != self.me();
        Ok(used.then(|| bell_of(row)))
    }

    /// A row's `semadj`; no row has none.
    #[inline]
    pub(super) fn adj_of(&self, row: u32, num: u32) -> Result<i32> {
        match row {
            NIL => Ok(0),
            row => Ok(self.p.adj(row, num)?.get()),
        }
    }

    /// Stores a `semadj`, and keeps count of who has one.
    #[inline]
    pub(super) fn put_adj(&self, row: u32, num: u32, adj: i32) -> Result<()> {
        self.p.sem(num)?.put_adj(self.p.adj(row, num)?, adj);
        Ok(())
    }

    /// Nobody's undo counts for this semaphore any more.
    pub(super) fn forget_undo(&self, num: u32) -> Result<()> {
        for row in 0..self.h.rows.load(Relaxed) {
            self.p.adj(row, num)?.0.store(0, Relaxed);
            crashpoint!("sem.adj.forgotten");
        }
        self.p.sem(num)?.adjusters.store(0, Relaxed);
        Ok(())
    }
}

impl Adj {
    #[inline]
    pub fn get(&self) -> i32 {
        i32::from(self.0.load(Relaxed) as i16)
    }
}

impl Sem {
    /// See [`Set::put_adj`].
    #[inline]
    pub fn put_adj(&self, word: &Adj, adj: i32) {
        // Under the lock: two plain accesses, where a swap would cost as much as the lock.
        let old = word.get();
        word.0.store(adj as u16, Relaxed);
        crashpoint!("sem.adj.stored");
        let count = self.adjusters.load(Relaxed);
        match (old != 0, adj != 0) {
            (false, true) => self.adjusters.store(count.saturating_add(1), Relaxed),
            (true, false) => self.adjusters.store(count.saturating_sub(1), Relaxed),
            _ => {}
        }
    }
}

impl Locked<'_> {
    /// The calling process's row. ENOMEM: no room for another.
    pub(super) fn my_row(&mut self) -> Result<u32> {
        if let Some((row, _)) = self.my_row_at_hand()? {
            return Ok(row);
        }
        let row = self.find_row()?;
        self.pin.handle().hint().store(row, Relaxed);
        Ok(row)
    }

    #[cold]
    fn find_row(&mut self) -> Result<u32> {
        let rows = self.h.rows.load(Relaxed);
        let mut unused = NIL;
        for row in 0..rows {
            let at = self.p.row(row)?;
            if self.is_mine(at) {
                return Ok(row);
            }
            if unused == NIL && at.state.load(Relaxed) == UNUSED {
                unused = row;
            }
        }
        if unused == NIL {
            unused = self.add_row(rows)?;
        }
        let row = self.p.row(unused)?;
        let me = self.me();
        row.pid.store(me.pid, Relaxed);
        row.start.store(me.start, Relaxed);
        let bell = bell::mine_by(self.me, self.ns)?;
        row.bell[0].store(bell.index, Relaxed);
        row.bell[1].store(bell.generation, Relaxed);
        crashpoint!("sem.row.filled");
        row.state.store(USED, Release);
        crashpoint!("sem.row.used");
        self.alert_watch();
        Ok(unused)
    }

    fn add_row(&mut self, row: u32) -> Result<u32> {
        if row >= self.h.rows_backed.load(Relaxed) {
            if row >= self.p.plan().most_rows() {
                return Err(Errno::ENOMEM);
            }
            let to = self.p.plan().rows_with(row).max(row + 1);
            let (at, len) = self.p.plan().row_pages(row, to);
            self.back(at, len)?;
            crashpoint!("sem.row.backed");
            self.h.rows_backed.store(to, Relaxed);
        }
        self.h.rows.store(row + 1, Relaxed);
        crashpoint!("sem.row.added");
        Ok(row)
    }

    /// Undoes first what could change how this array goes.
    pub(super) fn look_before(&mut self, ops: &[Sembuf], row: u32) -> Result<()> {
        let rows = self.h.rows.load(Relaxed);
        if rows == 1 && row == 0 {
            return Ok(());
        }
        let mut others = false;
        for op in ops {
            let num = u32::from(op.sem_num);
            let mine = u32::from(self.adj_of(row, num)? != 0);
            others |= self.p.sem(num)?.adjusters.load(Relaxed) > mine;
        }
        if !others {
            return Ok(());
        }
        if rows > FEW {
            let now = sys::monotonic_ms();
            if self.h.looked_ms.swap(now, Relaxed) == now {
                return Ok(());
            }
        }
        self.look().map(drop)
    }

    /// Undoes what dead processes left, all of them. True: there was one.
    pub(super) fn look(&mut self) -> Result<bool> {
        let mut found = false;
        for index in 0..self.h.rows.load(Relaxed) {
            let row = self.p.row(index)?;
            if row.state.load(Relaxed) != USED
                || !self.ns.rings(bell_of(row))
                || owner_of(row) == self.me()
                || liveness::process_lives(self.ns, owner_of(row))
            {
                continue;
            }
            self.undo(index)?;
            found = true;
        }
        Ok(found)
    }

    /// `exit_sem`: adds a dead process's `semadj`, within 0..=32767, as if by that process.
    fn undo(&mut self, index: u32) -> Result<()> {
        let mut entries = 0;
        for num in 0..self.p.nsems {
            let adj = self.adj_of(index, num)?;
            if adj == 0 {
                continue;
            }
            let entry = self.p.entry(entries)?;
            let value = (self.value(num)? + adj).clamp(0, SEMVMX);
            entry.put(Change {
                num,
                value: value as u32,
                adj: 0,
            });
            entries += 1;
        }
        let pid = self.p.row(index)?.pid.load(Relaxed);
        self.begin(entries, index, NIL, pid);
        crashpoint!("sem.undo.before_commit");
        self.commit(UNDO);
        crashpoint!("sem.undo.after_commit");
        self.apply(UNDO)?;
        crashpoint!("sem.undo.applied");
        self.done();
        if self.h.waiting.get() != 0 {
            self.settle(None::<Ops<'_>>)?;
        }
        Ok(())
    }
}

/// Another thread's bell stays as long as that thread lives.
#[cold]
fn hang_bell(ns: &Namespace, me: &'static Block, row: &Row) -> Result<()> {
    let bell = bell::mine_by(me, ns)?;
    if ns.rings(bell_of(row)) {
        row.bell[0].store(bell.index, Relaxed);
        crashpoint!("sem.row.half_hung");
        row.bell[1].store(bell.generation, Relaxed);
    }
    Ok(())
}

fn bell_of(row: &Row) -> Bell {
    Bell {
        index: row.bell[0].load(Relaxed),
        generation: row.bell[1].load(Relaxed),
    }
}

fn owner_of(row: &Row) -> Identity {
    Identity {
        pid: row.pid.load(Relaxed),
        start: row.start.load(Relaxed),
    }
}
