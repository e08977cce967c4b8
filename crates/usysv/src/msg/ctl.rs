//! `msgctl` on one queue: status, changes, removal.

use super::Locked;
use super::layout::{NIL, Stamp};
use super::recover::SET;
use super::wait::{AGAIN, GONE};
use crate::abi::{IPCMNI, IpcPerm, MsqidDs};
use crate::crash::crashpoint;
use crate::errno::Result;
use crate::object::REMOVED;
use core::sync::atomic::Ordering::*;

/// What `IPC_SET` sets.
#[derive(Clone, Copy)]
pub(crate) struct Change {
    pub uid: u32,
    pub gid: u32,
    pub mode: u32,
    pub qbytes: u64,
}

impl Locked<'_> {
    pub fn creds_owner(&self) -> crate::creds::Owned {
        self.owned()
    }

    /// `IPC_STAT`.
    pub fn status(&mut self) -> Result<MsqidDs> {
        self.with_repair(|q| q.check_counts())?;
        let (h, o) = (self.h, self.owned());
        if h.qnum.load(Relaxed) == 0 {
            self.trim();
        }
        let seq = (self.id / IPCMNI) as u16;
        let key = h.object.key();
        let (sent, received) = (Stamp::of(&h.sent), Stamp::of(&h.received));
        let perm = IpcPerm::new(key, o.uid, o.gid, o.cuid, o.cgid, o.mode as u16, seq);
        Ok(MsqidDs {
            msg_perm: perm,
            msg_stime: sent.time(),
            msg_rtime: received.time(),
            msg_ctime: h.object.ctime.load(Relaxed) as i64,
            msg_cbytes: h.cbytes.load(Relaxed),
            msg_qnum: h.qnum.load(Relaxed),
            msg_qbytes: h.qbytes.load(Relaxed),
            msg_lspid: sent.pid() as i32,
            msg_lrpid: received.pid() as i32,
            ..MsqidDs::default()
        })
    }

    /// `IPC_SET`. Sleeping receivers look at their permission again, senders at the room.
    pub fn set(&mut self, change: &Change) -> Result<()> {
        let h = self.h;
        self.begin(NIL);
        for (word, value) in h.op_set.iter().zip([change.uid, change.gid, change.mode]) {
            word.store(value, Relaxed);
        }
        h.op_qbytes.store(change.qbytes, Relaxed);
        crashpoint!("msg.set.before_commit");
        self.commit(SET);
        crashpoint!("msg.set.after_commit");
        self.redo_set();
        crashpoint!("msg.set.stored");
        self.done();
        // Other users may write to the file now.
        self.unseat();
        self.with_repair(|q| {
            q.tell_all(AGAIN)?;
            q.wake_senders()
        })
    }

    pub(super) fn redo_set(&self) {
        let h = self.h;
        let [uid, gid, mode, _] = &h.op_set;
        h.object.uid.store(uid.load(Relaxed), Relaxed);
        h.object.gid.store(gid.load(Relaxed), Relaxed);
        h.object.mode.store(mode.load(Relaxed) & 0o777, Relaxed);
        let time = Stamp::of(&h.op_stamp).time();
        h.object.ctime.store(time as u64, Relaxed);
        h.qbytes.store(h.op_qbytes.load(Relaxed), Relaxed);
    }

    /// Marks the queue as removed, which is the removal, and tells everybody.
    pub fn remove(&mut self) {
        crashpoint!("msg.remove.before_commit");
        self.h.object.state.store(REMOVED, Release);
        crashpoint!("msg.remove.after_commit");
        // A queue too scribbled to walk is removed all the same.
        let _ = self.with_repair(|q| q.tell_all(GONE));
    }
}
