//! `shmctl` on one segment: status, changes, removal.

use super::Locked;
use super::layout::HELD;
use super::owner::{self, Mapping};
use crate::abi::{IPCMNI, IpcPerm, SHM_LOCKED, ShmidDs};
use crate::crash::crashpoint;
use crate::errno::Result;
use crate::object::{KEYLESS, Kind, index_of};
use crate::sys;
use core::sync::atomic::{Ordering::*, compiler_fence};

/// What `IPC_SET` sets.
#[derive(Clone, Copy)]
pub(crate) struct Change {
    pub uid: u32,
    pub gid: u32,
    pub mode: u32,
}

/// An attachment, or what was left of it as a piece by `munmap` and its like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShmAttacher {
    /// The process that has it.
    pub pid: i32,
    /// Where, in that process's memory.
    pub addr: usize,
    /// How many bytes, in whole pages.
    pub len: usize,
    inode: u64,
}

impl ShmAttacher {
    /// Whether the process can write there now, by its `/proc/PID/maps`. `None`: that may not be
    /// looked at, or the attachment is gone.
    pub fn writable(&self) -> Option<bool> {
        match owner::mapping(self.pid as u32, self.inode, self.addr as u64) {
            Mapping::File { writable } => Some(writable),
            Mapping::Other | Mapping::Unknown => None,
        }
    }
}

const LOCKED: u32 = SHM_LOCKED as u32;

impl Locked<'_> {
    /// Whether it was removed, and waits for its last attachment to end.
    pub fn is_dest(&self) -> bool {
        self.h.object.mode.load(Relaxed) & KEYLESS != 0
    }

    /// Who locked it in memory, if anybody did.
    pub fn locker(&self) -> Option<u32> {
        let locked = self.h.object.mode.load(Relaxed) & LOCKED != 0;
        locked.then(|| self.h.locker.load(Relaxed))
    }

    /// `IPC_STAT`. EIDRM: it went with its last attacher just now.
    pub fn status(&mut self) -> Result<ShmidDs> {
        let nattch = self.look()?;
        let (h, o) = (self.h, self.owned());
        let flags = h.object.mode.load(Relaxed) & (KEYLESS | LOCKED);
        let key = if self.is_dest() { 0 } else { h.object.key() };
        let mode = (o.mode | flags) as u16;
        let seq = (self.id / IPCMNI) as u16;
        Ok(ShmidDs {
            shm_perm: IpcPerm::new(key, o.uid, o.gid, o.cuid, o.cgid, mode, seq),
            shm_segsz: h.size.load(Relaxed),
            shm_atime: h.atime.load(Relaxed) as i64,
            shm_dtime: h.dtime.load(Relaxed) as i64,
            shm_ctime: h.object.ctime.load(Relaxed) as i64,
            shm_cpid: h.cpid.load(Relaxed) as i32,
            shm_lpid: h.lpid.load(Relaxed) as i32,
            shm_nattch: u64::from(nattch),
            ..ShmidDs::default()
        })
    }

    /// Calls `visit` with each attachment. EIDRM: it went with its last attacher just now.
    pub fn each_attacher(&mut self, visit: &mut dyn FnMut(&ShmAttacher)) -> Result<()> {
        self.look()?;
        let inode = self.data_inode();
        for slot in 0..self.h.used.load(Relaxed) {
            let record = self.record(slot)?;
            if record.state.load(Relaxed) == HELD {
                visit(&ShmAttacher {
                    pid: record.pid.load(Relaxed) as i32,
                    addr: record.addr.load(Relaxed) as usize,
                    len: record.len.load(Relaxed) as usize,
                    inode,
                });
            }
        }
        Ok(())
    }

    /// `IPC_SET`.
    pub fn set(&mut self, change: &Change) {
        let h = self.h;
        for (word, value) in h.op_set.iter().zip([change.uid, change.gid, change.mode]) {
            word.store(value, Relaxed);
        }
        h.op_time.store(sys::time() as u64, Relaxed);
        crashpoint!("shm.set.before_commit");
        compiler_fence(SeqCst);
        h.op.store(1, Release);
        compiler_fence(SeqCst);
        crashpoint!("shm.set.after_commit");
        self.redo_set();
    }

    /// Does what the journal says, if it says something.
    pub(super) fn redo_set(&mut self) {
        let h = self.h;
        if h.op.load(Acquire) != 1 {
            return;
        }
        let [uid, gid, mode] = &h.op_set;
        let flags = h.object.mode.load(Relaxed) & (KEYLESS | LOCKED);
        h.object.uid.store(uid.load(Relaxed), Relaxed);
        crashpoint!("shm.set.half");
        h.object.gid.store(gid.load(Relaxed), Relaxed);
        h.object
            .mode
            .store(mode.load(Relaxed) & 0o777 | flags, Relaxed);
        h.object.ctime.store(h.op_time.load(Relaxed), Relaxed);
        crashpoint!("shm.set.stored");
        compiler_fence(SeqCst);
        h.op.store(0, Release);
    }

    /// `IPC_RMID`. True: it is gone; false: it lives on without its key, while somebody has it.
    pub fn remove(&mut self) -> Result<bool> {
        if !self.is_attached()? {
            self.destroy();
            return Ok(true);
        }
        self.ns.set_lingering(Kind::Shm, index_of(self.id), true);
        crashpoint!("shm.remove.before_commit");
        self.h.object.mode.fetch_or(KEYLESS, Release);
        crashpoint!("shm.remove.after_commit");
        Ok(false)
    }

    /// `SHM_LOCK` by a user, or `SHM_UNLOCK`.
    pub fn set_locked(&mut self, locker: Option<u32>) {
        match locker {
            Some(uid) => {
                self.h.locker.store(uid, Relaxed);
                crashpoint!("shm.lock.before_commit");
                self.h.object.mode.fetch_or(LOCKED, Release);
                crashpoint!("shm.lock.after_commit");
            }
            None => {
                self.h.object.mode.fetch_and(!LOCKED, Release);
                crashpoint!("shm.unlock.after_commit");
            }
        }
    }
}
