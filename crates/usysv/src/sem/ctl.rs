//! `semctl` on one set.

use super::layout::{Change, NIL};
use super::recover::{PUT, SET};
use super::{Locked, Set};
use crate::abi::{IPCMNI, IpcPerm, SEMVMX, Sembuf, SemidDs};
use crate::backend::SemField;
use crate::crash::crashpoint;
use crate::creds::Owned;
use crate::errno::{Errno, Result};
use crate::object::REMOVED;
use core::sync::atomic::Ordering::*;

/// A sleeping `semop`: who, since when, and what holds it up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SemWaiter {
    /// Its process.
    pub pid: i32,
    /// Its thread.
    pub tid: i32,
    /// Since when it waits, in seconds since the epoch.
    pub since: i64,
    /// How many operations its array has.
    pub nsops: u32,
    /// The operation that holds it up.
    pub blocking: Sembuf,
}

/// What a process has to be undone in a set, for one semaphore: who may hold others up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SemUndo {
    /// The process.
    pub pid: i32,
    /// The semaphore's number.
    pub sem_num: u16,
    /// What is added when the process ends.
    pub semadj: i16,
}

impl Locked<'_> {
    /// `IPC_STAT`. Undoes first what the dead left: that is a change, with its time.
    pub fn status(&mut self) -> Result<SemidDs> {
        self.with_repair(|q| q.look())?;
        let (h, o) = (self.h, self.owned());
        let id = h.object.id();
        let seq = (id / IPCMNI) as u16;
        let key = h.object.key();
        Ok(SemidDs {
            sem_perm: IpcPerm::new(key, o.uid, o.gid, o.cuid, o.cgid, o.mode as u16, seq),
            sem_otime: h.otime.load(Relaxed) as i64,
            sem_ctime: h.object.ctime.load(Relaxed) as i64,
            sem_nsems: u64::from(self.nsems()),
            ..SemidDs::default()
        })
    }

    /// A semaphore's number. EINVAL: there is none with it.
    pub fn number(&self, semnum: i32) -> Result<u32> {
        match u32::try_from(semnum) {
            Ok(num) if num < self.nsems() => Ok(num),
            _ => Err(Errno::EINVAL),
        }
    }

    /// `GETVAL`, `GETPID`, `GETNCNT`, `GETZCNT`.
    pub fn field(&mut self, num: u32, field: SemField) -> Result<i32> {
        self.with_repair(|q| {
            q.look()?;
            match field {
                SemField::Value => q.value(num),
                SemField::Pid => Ok(q.p.sem(num)?.pid() as i32),
                SemField::Ncnt => q.count_waiting(num, |op| op < 0),
                SemField::Zcnt => q.count_waiting(num, |op| op == 0),
            }
        })
    }

    /// How many sleepers this semaphore holds up, at an operation that `kind` accepts.
    fn count_waiting(&self, num: u32, kind: impl Fn(i16) -> bool) -> Result<i32> {
        let mut count = 0;
        self.each_waiter(|index| {
            let blocking = self.p.slot(index)?.blocking.load(Relaxed);
            let op = self.op_of(index, blocking)?;
            count += i32::from(u32::from(op.sem_num) == num && kind(op.sem_op));
            Ok(())
        })?;
        Ok(count)
    }

    /// Calls `visit` with each sleeper, in the order of the slots.
    pub fn each_sleeper(&mut self, visit: &mut dyn FnMut(&SemWaiter)) -> Result<()> {
        self.with_repair(|q| q.look())?;
        self.each_waiter(|index| {
            let slot = self.p.slot(index)?;
            visit(&SemWaiter {
                pid: slot.pid.load(Relaxed) as i32,
                tid: slot.tid.load(Relaxed) as i32,
                since: i64::from(slot.since.load(Relaxed)),
                nsops: slot.nops.load(Relaxed),
                blocking: self.op_of(index, slot.blocking.load(Relaxed))?,
            });
            Ok(())
        })
    }

    /// Calls `visit` with each `semadj` that is not 0.
    pub fn each_semadj(&mut self, visit: &mut dyn FnMut(&SemUndo)) -> Result<()> {
        self.with_repair(|q| q.look())?;
        for row in 0..self.h.rows.load(Relaxed) {
            let pid = self.p.row(row)?.pid.load(Relaxed) as i32;
            for num in 0..self.nsems() {
                let semadj = self.adj_of(row, num)? as i16;
                if semadj != 0 {
                    visit(&SemUndo {
                        pid,
                        sem_num: num as u16,
                        semadj,
                    });
                }
            }
        }
        Ok(())
    }

    /// `GETALL`: calls `put` with each value.
    pub fn values(&mut self, mut put: impl FnMut(usize, u16)) -> Result<()> {
        self.with_repair(|q| q.look())?;
        for num in 0..self.nsems() {
            put(num as usize, self.value(num)? as u16);
        }
        Ok(())
    }

    /// `SETVAL`.
    pub fn put_value(&mut self, num: u32, value: i32) -> Result<()> {
        self.with_repair(|q| {
            q.p.entry(0)?.put(Change {
                num,
                value: value as u32,
                adj: 0,
            });
            q.put(1)
        })
    }

    /// `SETALL`. ERANGE: a value above 32767.
    pub fn put_values(&mut self, value: impl Fn(usize) -> u16) -> Result<()> {
        let nsems = self.nsems();
        if (0..nsems).any(|num| i32::from(value(num as usize)) > SEMVMX) {
            return Err(Errno::ERANGE);
        }
        self.with_repair(|q| {
            for num in 0..nsems {
                q.p.entry(num)?.put(Change {
                    num,
                    value: u32::from(value(num as usize)),
                    adj: 0,
                });
            }
            q.put(nsems)
        })
    }

    fn put(&mut self, entries: u32) -> Result<()> {
        self.begin(entries, NIL, NIL, self.pid());
        crashpoint!("sem.put.before_commit");
        self.commit(PUT);
        crashpoint!("sem.put.after_commit");
        self.apply(PUT)?;
        crashpoint!("sem.put.applied");
        self.done();
        self.settle(None).map(drop)
    }

    /// `IPC_SET`.
    pub fn set(&mut self, new: &Owned) -> Result<()> {
        self.begin(0, NIL, NIL, self.pid());
        for (word, value) in self.h.op_set.iter().zip([new.uid, new.gid, new.mode]) {
            word.store(value, Relaxed);
        }
        crashpoint!("sem.set.before_commit");
        self.commit(SET);
        crashpoint!("sem.set.after_commit");
        self.apply(SET)?;
        self.done();
        // Other users may write to the file now.
        self.unseat();
        Ok(())
    }

    /// Marks the set as removed, which is the removal, and ends every wait.
    pub fn remove(&mut self) {
        crashpoint!("sem.remove.before_commit");
        self.h.object.state.store(REMOVED, Release);
        crashpoint!("sem.remove.after_commit");
        // A set too scribbled to walk is removed all the same.
        let _ = self.tell_all(Errno::EIDRM);
    }
}

impl Set<'_> {
    pub(super) fn apply_set(&self, time: u64) {
        let object = &self.h.object;
        let [uid, gid, mode, _] = &self.h.op_set;
        object.uid.store(uid.load(Relaxed), Relaxed);
        crashpoint!("sem.set.half");
        object.gid.store(gid.load(Relaxed), Relaxed);
        object.mode.store(mode.load(Relaxed) & 0o777, Relaxed);
        object.ctime.store(time, Relaxed);
    }
}
