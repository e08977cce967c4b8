//! The back end that is this crate's reason: everything in the files of a namespace.

use crate::abi::{self, IPC_CREAT, IPC_EXCL, IPC_PRIVATE, MSG_COPY, MSG_EXCEPT, MsgInfo, MsqidDs};
use crate::backend::Backend;
use crate::creds::{Creds, Owned};
use crate::errno::{Errno, Result};
use crate::handle::{Pin, Table};
use crate::map::Map;
use crate::msg::{self, Change, Sink, Source, Want};
use crate::namespace::{Fault, Namespace};
use crate::object::{Identity, Kind, index_of};
use crate::registry::{Got, Plan};
use crate::sys::Fd;

/// System V IPC in a namespace.
///
/// Its calls may be made from any thread and after fork. They hold a lock in shared memory for
/// short times: without the preload library a signal handler must not call them, or `longjmp` out
/// of them, while the interrupted code is inside one.
pub struct Engine {
    ns: Namespace,
    table: Table,
}

impl Engine {
    /// The engine of this namespace.
    pub fn new(ns: Namespace) -> core::result::Result<Engine, Fault> {
        crate::process::thread().map_err(|errno| Fault {
            what: "cannot set this process up",
            errno,
        })?;
        Ok(Engine {
            ns,
            table: Table::new(),
        })
    }

    /// Its namespace.
    pub fn namespace(&self) -> &Namespace {
        &self.ns
    }

    /// The queue with this id, pinned. EINVAL: there is none.
    #[inline]
    fn pin(&self, msqid: i32) -> Result<Pin<'_>> {
        if msqid < 0 {
            return Err(Errno::EINVAL);
        }
        match self.table.pin(msqid) {
            Some(pin) => Ok(pin),
            None => self.attach(msqid),
        }
    }

    #[cold]
    fn attach(&self, msqid: i32) -> Result<Pin<'_>> {
        let (identity, fd) = self.ns.open_index(Kind::Msg, index_of(msqid))?;
        if identity.id != msqid {
            return Err(Errno::EINVAL);
        }
        self.keep(&identity, &fd)
    }

    fn keep(&self, identity: &Identity, fd: &Fd) -> Result<Pin<'_>> {
        let map = Map::of(fd, msg::FILE_LEN, true)?;
        let length = crate::sys::fstat(fd).map(|st| st.st_size as usize);
        if length.is_ok_and(|length| length < msg::FILE_LEN) {
            // SAFETY: nobody has seen the mapping.
            #[allow(unsafe_code)]
            unsafe {
                map.unmap();
            }
            return Err(Errno::EIO);
        }
        self.table.insert(identity.id, fd, map)
    }

    /// Calls `f` with a pinned queue. A queue that was removed before is no queue: EINVAL. (Who
    /// slept when it was removed gets EIDRM: that is what `asleep` tells.)
    #[inline]
    fn on<T>(&self, msqid: i32, f: impl FnOnce(&Pin<'_>) -> Result<T>) -> Result<T> {
        let pin = self.pin(msqid)?;
        let removed = msg::is_removed(&pin);
        let result = if removed { Err(Errno::EINVAL) } else { f(&pin) };
        if removed || result.as_ref().is_err_and(|e| *e == Errno::EIDRM) {
            pin.retire();
        }
        result
    }

    /// `msgsnd` from a text that may be anywhere. EINVAL: size, id or type; as the man page.
    ///
    /// # Safety
    /// `text` can be read for `len` bytes.
    #[allow(unsafe_code)]
    pub unsafe fn msgsnd_raw(
        &self,
        msqid: i32,
        mtype: i64,
        text: *const u8,
        len: usize,
        msgflg: i32,
    ) -> Result<()> {
        self.check_send(msqid, mtype, len)?;
        let source = Source { mtype, text, len };
        // SAFETY: the caller's promise.
        self.on(msqid, |pin| unsafe {
            msg::send(&self.ns, pin, msqid, source, msgflg)
        })
    }

    /// What `msgsnd` looks at before it looks at the text.
    pub fn check_send(&self, msqid: i32, mtype: i64, len: usize) -> Result<()> {
        if len as u64 > self.ns.limits().msgmax || msqid < 0 || mtype < 1 {
            return Err(Errno::EINVAL);
        }
        Ok(())
    }

    /// `msgrcv` to wherever `sink` says, once type and length are known; see [`Sink`].
    ///
    /// # Safety
    /// Where the sink says to write, as many bytes as it was told can be written.
    #[allow(unsafe_code)]
    pub unsafe fn msgrcv_raw(
        &self,
        msqid: i32,
        size: usize,
        msgtyp: i64,
        msgflg: i32,
        sink: Sink<'_>,
    ) -> Result<usize> {
        if msqid < 0 || size > isize::MAX as usize {
            return Err(Errno::EINVAL);
        }
        let copy = msgflg & MSG_COPY != 0;
        if copy && (msgflg & MSG_EXCEPT != 0 || msgflg & abi::IPC_NOWAIT == 0) {
            return Err(Errno::EINVAL);
        }
        let copy_most = if copy {
            size.min(self.ns.limits().msgmax as usize)
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
        self.on(msqid, |pin| unsafe {
            msg::receive(&self.ns, pin, msqid, want, sink)
        })
    }

    fn create(&self, key: i32, msgflg: i32) -> Result<Got> {
        let creds = Creds::current();
        let limits = self.ns.limits();
        self.ns.find_or_create(&Plan {
            kind: Kind::Msg,
            key,
            owned: Owned {
                uid: creds.euid,
                gid: creds.egid,
                cuid: creds.euid,
                cgid: creds.egid,
                mode: msgflg as u32 & 0o777,
            },
            len: msg::FILE_LEN,
            backed: msg::BACKED,
            most: limits.msgmni,
            fill: &|map| msg::fill(map, limits.msgmnb),
        })
    }

    /// The answer of `msgget` for a key that this id has. EIDRM: not any more.
    fn existing(&self, msqid: i32, msgflg: i32) -> Result<i32> {
        let excl = msgflg & (IPC_CREAT | IPC_EXCL) == IPC_CREAT | IPC_EXCL;
        let pin = match self.pin(msqid) {
            Ok(pin) if msg::is_removed(&pin) => {
                pin.retire();
                return Err(Errno::EIDRM);
            }
            Ok(_) if excl => return Err(Errno::EEXIST),
            Ok(pin) => pin,
            Err(Errno::EINVAL) => return Err(Errno::EIDRM),
            // The file keeps out whom the mode gives nothing; who asks for nothing gets the id.
            Err(Errno::EACCES) if excl => return Err(Errno::EEXIST),
            Err(Errno::EACCES) if msgflg & 0o777 == 0 => return Ok(msqid),
            Err(e) => return Err(e),
        };
        if Creds::current().may(&msg::owner(&pin)?, msgflg as u32) {
            Ok(msqid)
        } else {
            Err(Errno::EACCES)
        }
    }

    fn get(&self, key: i32, msgflg: i32) -> Result<i32> {
        if key != IPC_PRIVATE {
            match self.ns.find(Kind::Msg, key)? {
                Some(msqid) => match self.existing(msqid, msgflg) {
                    Err(Errno::EIDRM) => {}
                    other => return other,
                },
                None if msgflg & IPC_CREAT == 0 => return Err(Errno::ENOENT),
                None => {}
            }
            if msgflg & IPC_CREAT == 0 {
                return Err(Errno::ENOENT);
            }
        }
        match self.create(key, msgflg)? {
            Got::Existing(msqid) => self.existing(msqid, msgflg),
            Got::New(new) => self.table.insert(new.id, &new.fd, new.map).map(|_| new.id),
        }
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

    fn usage(&self, mut visit: impl FnMut(&MsqidDs)) -> Result<(u32, i32)> {
        let (mut count, mut highest) = (0, 0);
        self.ns.each_index(Kind::Msg, |index| {
            count += 1;
            highest = index as i32;
            if let Ok((_, ds)) = self.msg_stat_index(index as i32, true) {
                visit(&ds);
            }
        })?;
        Ok((count, highest))
    }
}

impl Backend for Engine {
    fn msgget(&self, key: i32, msgflg: i32) -> Result<i32> {
        loop {
            match self.get(key, msgflg) {
                // Removed between the look-up of its key and the look at it.
                Err(Errno::EIDRM) => {}
                other => return other,
            }
        }
    }

    #[allow(unsafe_code)]
    fn msgsnd(&self, msqid: i32, mtype: i64, mtext: &[u8], msgflg: i32) -> Result<()> {
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
        let mut received = 0;
        let to = mtext.as_mut_ptr();
        let mut sink = |mtype, _| {
            received = mtype;
            Some(to)
        };
        // SAFETY: the engine writes at most the size that it is given, the slice's.
        let len = unsafe { self.msgrcv_raw(msqid, mtext.len(), msgtyp, msgflg, &mut sink)? };
        Ok((received, len))
    }

    fn msg_stat(&self, msqid: i32) -> Result<MsqidDs> {
        self.on(msqid, |pin| {
            let mut q = msg::lock(&self.ns, pin, msqid)?;
            if !Creds::current().may(&q.creds_owner(), 0o444) {
                return Err(Errno::EACCES);
            }
            q.status()
        })
    }

    fn msg_set(&self, msqid: i32, ds: &MsqidDs) -> Result<()> {
        self.on(msqid, |pin| {
            let mut q = msg::lock(&self.ns, pin, msqid)?;
            let (creds, mut owned) = (Creds::current(), q.creds_owner());
            if !creds.owns(&owned) {
                return Err(Errno::EPERM);
            }
            if ds.msg_qbytes > self.ns.limits().msgmnb && !creds.has_resource() {
                return Err(Errno::EPERM);
            }
            let perm = &ds.msg_perm;
            if perm.uid == u32::MAX || perm.gid == u32::MAX {
                return Err(Errno::EINVAL);
            }
            (owned.uid, owned.gid, owned.mode) = (perm.uid, perm.gid, u32::from(perm.mode) & 0o777);
            // Who may change the mode but not the file leaves the file as it is: the mode is
            // checked at every call all the same.
            let _ = self.ns.admit(Kind::Msg, msqid, &owned);
            q.set(&Change {
                uid: owned.uid,
                gid: owned.gid,
                mode: owned.mode,
                qbytes: ds.msg_qbytes,
            })
        })
    }

    fn msg_remove(&self, msqid: i32) -> Result<()> {
        self.on(msqid, |pin| {
            let mut q = msg::lock(&self.ns, pin, msqid)?;
            if !Creds::current().owns(&q.creds_owner()) {
                return Err(Errno::EPERM);
            }
            let key = q.remove()?;
            drop(q);
            pin.retire();
            // The queue is removed; names that the caller may not unlink are others' to sweep.
            let _ = self.ns.unlink_removed(Kind::Msg, msqid, key, pin.file());
            Ok(())
        })
    }

    fn msg_limits(&self) -> Result<(MsgInfo, i32)> {
        let mut highest = 0;
        self.ns
            .each_index(Kind::Msg, |index| highest = index as i32)?;
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
        };
        Ok((info, highest))
    }

    fn msg_usage(&self) -> Result<(MsgInfo, i32)> {
        let (mut info, _) = self.msg_limits()?;
        (info.msgmap, info.msgtql) = (0, 0);
        let (count, highest) = self.usage(|ds| {
            info.msgmap = info.msgmap.saturating_add(ds.msg_qnum as i32);
            info.msgtql = info.msgtql.saturating_add(ds.msg_cbytes as i32);
        })?;
        info.msgpool = count as i32;
        Ok((info, highest))
    }

    fn msg_stat_index(&self, index: i32, any: bool) -> Result<(i32, MsqidDs)> {
        if index < 0 {
            return Err(Errno::EINVAL);
        }
        let mapped = self.table.pin_index(index_of(index));
        let pin = match mapped.filter(|pin| !msg::is_removed(pin)) {
            Some(pin) => pin,
            None => {
                let (identity, fd) = self.ns.open_index(Kind::Msg, index_of(index))?;
                self.keep(&identity, &fd)?
            }
        };
        let mut q = msg::lock(&self.ns, &pin, pin.id()).map_err(|_| Errno::EINVAL)?;
        if !any && !Creds::current().may(&q.creds_owner(), 0o444) {
            return Err(Errno::EACCES);
        }
        Ok((pin.id(), q.status()?))
    }
}
