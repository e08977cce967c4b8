//! Message queues: the calls.

use super::{Asked, Engine};
use crate::abi::{self, MSG_COPY, MSG_EXCEPT, MsgInfo, MsqidDs};
use crate::backend::Messages;
use crate::creds::Creds;
use crate::errno::{Errno, Result};
use crate::lock::impatiently;
use crate::msg::{self, Change, Room, Sink, Source, Want};
use crate::object::Kind;
use crate::registry::Plan;

/// EINVAL, apart: so the look that leads here is a jump that is not taken, and no arithmetic.
#[cold]
#[inline(never)]
fn invalid() -> Errno {
    Errno::EINVAL
}

impl Engine {
    /// `msgsnd` from a text that may be anywhere, after [`Engine::check_send`].
    ///
    /// # Safety
    /// `text` can be read for `len` bytes.
    #[allow(unsafe_code)]
    #[inline]
    pub unsafe fn msgsnd_raw(
        &self,
        msqid: i32,
        mtype: i64,
        text: *const u8,
        len: usize,
        msgflg: i32,
    ) -> Result<()> {
        let source = Source { mtype, text, len };
        // SAFETY: the caller's promise.
        self.on_any(Kind::Msg, msqid, |pin| unsafe {
            msg::send(&self.ns, pin, msqid, source, msgflg)
        })
    }

    /// What `msgsnd` looks at before it looks at the text.
    pub fn check_send(&self, msqid: i32, mtype: i64, len: usize) -> Result<()> {
        if len as u64 > self.ns.msgmax() || msqid < 0 || mtype < 1 {
            return Err(invalid());
        }
        Ok(())
    }

    /// `msgrcv` to wherever `sink` says, once type and length are known; see [`Sink`].
    ///
    /// # Safety
    /// Where the sink says to write, as many bytes as it was told can be written.
    #[allow(unsafe_code)]
    #[inline]
    pub unsafe fn msgrcv_raw(
        &self,
        msqid: i32,
        size: usize,
        msgtyp: i64,
        msgflg: i32,
        sink: &mut impl Sink,
    ) -> Result<usize> {
        if msqid < 0 || size > isize::MAX as usize {
            return Err(invalid());
        }
        let copy = msgflg & MSG_COPY != 0;
        if copy && (msgflg & MSG_EXCEPT != 0 || msgflg & abi::IPC_NOWAIT == 0) {
            return Err(Errno::EINVAL);
        }
        let size = size.min(u32::MAX as usize) as u32;
        let copy_most = if copy {
            self.ns.limits().msgmax.min(u64::from(size)) as u32
        } else {
            0
        };
        let select = msg::Selector::new(msgtyp, msgflg);
        let want = Want {
            select,
            size,
            msgflg,
            copy_most,
        };
        // SAFETY: the caller's promise.
        self.on_any(Kind::Msg, msqid, |pin| unsafe {
            msg::receive(&self.ns, pin, msqid, want, sink).map(|len| len as usize)
        })
    }

    /// Calls `visit` with every queue's id and status, in order of index, as far as the files let
    /// the caller look.
    pub fn each_queue(&self, visit: &mut dyn FnMut(i32, &MsqidDs)) -> Result<()> {
        self.ns.each_index(Kind::Msg, |index| {
            if let Ok((msqid, ds)) = self.msg_stat_index(index as i32, true) {
                visit(msqid, &ds);
            }
        })
    }
}

impl Messages for Engine {
    fn msgget(&self, key: i32, msgflg: i32) -> Result<i32> {
        self.get(&Asked {
            kind: Kind::Msg,
            key,
            flags: msgflg,
            fits: &|_| Ok(()),
            make: &|owned| {
                let limits = self.ns.limits();
                self.ns.find_or_create(&Plan {
                    kind: Kind::Msg,
                    key,
                    owned,
                    len: msg::FILE_LEN,
                    backed: msg::BACKED,
                    most: limits.msgmni,
                    units: 0,
                    most_units: u64::MAX,
                    fill: &|map| msg::fill(map, limits.msgmnb),
                    beside: None,
                })
            },
        })
    }

    #[allow(unsafe_code)]
    fn msgsnd(&self, msqid: i32, mtype: i64, mtext: &[u8], msgflg: i32) -> Result<()> {
        self.check_send(msqid, mtype, mtext.len())?;
        // SAFETY: a slice can be read.
        unsafe { self.msgsnd_raw(msqid, mtype, mtext.as_ptr(), mtext.len(), msgflg) }
    }

    #[allow(unsafe_code)]
    fn msgrcv(
        &self,
        msqid: i32,
        mtext: &mut [u8],
        msgtyp: i64,
        msgflg: i32,
    ) -> Result<(i64, usize)> {
        let mut sink = Room {
            mtype: 0,
            at: mtext.as_mut_ptr(),
        };
        // SAFETY: the engine writes at most the size that it is given, the slice's.
        let len = unsafe { self.msgrcv_raw(msqid, mtext.len(), msgtyp, msgflg, &mut sink)? };
        Ok((sink.mtype, len))
    }

    fn msg_stat(&self, msqid: i32) -> Result<MsqidDs> {
        self.on(Kind::Msg, msqid, |pin| {
            let mut q = msg::lock(&self.ns, pin, msqid)?;
            if !Creds::current().may(&q.creds_owner(), 0o444) {
                return Err(Errno::EACCES);
            }
            q.status()
        })
    }

    fn msg_set(&self, msqid: i32, ds: &MsqidDs) -> Result<()> {
        self.on_own(Kind::Msg, msqid, |pin| {
            let mut q = msg::lock(&self.ns, pin, msqid)?;
            let creds = Creds::current();
            if !creds.owns(&q.creds_owner()) {
                return Err(Errno::EPERM);
            }
            // Linux takes it as an int: what is above 32 bits is not seen.
            let qbytes = ds.msg_qbytes as i32;
            if u64::from(qbytes as u32) > self.ns.limits().msgmnb && !creds.has_resource() {
                return Err(Errno::EPERM);
            }
            let owned = self.change_owner(Kind::Msg, msqid, q.creds_owner(), &ds.msg_perm)?;
            q.set(&Change {
                uid: owned.uid,
                gid: owned.gid,
                mode: owned.mode,
                qbytes: i64::from(qbytes) as u64,
            })
        })
    }

    fn msg_remove(&self, msqid: i32) -> Result<()> {
        self.on_own(Kind::Msg, msqid, |pin| {
            let mut q = msg::lock(&self.ns, pin, msqid)?;
            if !Creds::current().owns(&q.creds_owner()) {
                return Err(Errno::EPERM);
            }
            q.remove();
            drop(q);
            self.forget(Kind::Msg, pin);
            Ok(())
        })
    }

    fn msg_limits(&self) -> Result<(MsgInfo, i32)> {
        let (_, highest) = self.count(Kind::Msg, |_| ())?;
        let limits = self.ns.limits();
        let info = MsgInfo {
            msgpool: 512_000,
            msgmap: 16384,
            msgmax: limits.msgmax as i32,
            msgmnb: limits.msgmnb as i32,
            msgmni: limits.msgmni as i32,
            msgssz: 16,
            msgtql: 16384,
            msgseg: 0xffff,
            ..MsgInfo::default()
        };
        Ok((info, highest))
    }

    fn msg_usage(&self) -> Result<(MsgInfo, i32)> {
        let (mut info, _) = self.msg_limits()?;
        (info.msgmap, info.msgtql) = (0, 0);
        let (count, highest) = self.count(Kind::Msg, |index| {
            if let Ok((_, ds)) = self.msg_stat_index(index, true) {
                info.msgmap = info.msgmap.saturating_add(ds.msg_qnum as i32);
                info.msgtql = info.msgtql.saturating_add(ds.msg_cbytes as i32);
            }
        })?;
        info.msgpool = count as i32;
        Ok((info, highest))
    }

    fn msg_stat_index(&self, index: i32, any: bool) -> Result<(i32, MsqidDs)> {
        let pin = self.pin_index(Kind::Msg, index)?;
        let locked = impatiently(|| msg::lock(&self.ns, &pin, pin.id()));
        let mut q = locked.map_err(|_| Errno::EINVAL)?;
        if !any && !Creds::current().may(&q.creds_owner(), 0o444) {
            return Err(Errno::EACCES);
        }
        Ok((pin.id(), q.status()?))
    }
}
