//! Message queues: the calls.

use super::{Asked, Engine};
use crate::abi::{IPC_NOWAIT, MSG_COPY, MSG_EXCEPT, MsgInfo, MsqidDs};
use crate::backend::Messages;
use crate::creds::Creds;
use crate::errno::{Errno, Result};
use crate::handle::Handle;
use crate::lock::impatiently;
use crate::msg::{self, Change, Room, Sink, SoFar, Source, Want};
use crate::object::Kind;
use crate::registry::Plan;
use crate::ticket::At;
use crate::tls::Block;

/// A queue that a call before this one found, in a section: see [`Engine::known_queue`].
#[doc(hidden)]
pub struct KnownQueue<'a>(At<'a>);

impl KnownQueue<'_> {
    /// This thread's.
    #[inline(always)]
    pub fn block(&self) -> &'static Block {
        self.0.thread
    }

    /// Nothing is done with it: the section ends.
    #[cold]
    #[inline(never)]
    pub fn leave(self) {
        self.0.leave();
    }
}

impl Engine {
    /// Whether `msgsnd` need not look for what is wrong with these.
    #[inline]
    pub fn may_send(&self, mtype: i64, len: usize) -> bool {
        mtype >= 1 && len as u64 <= self.ns.msgmax()
    }

    /// What is known of a queue by a call before this one, in a process with one thread only. A section begins,
    /// if there is something.
    #[inline(always)]
    pub fn known_queue(&self, msqid: i32) -> Option<KnownQueue<'_>> {
        self.tickets.at(msqid).map(KnownQueue)
    }

    /// `msgsnd` to a queue that is known, after [`Engine::may_send`]; `answer` makes what is returned.
    ///
    /// # Safety
    /// `text` can be read for `len` bytes.
    #[allow(unsafe_code, clippy::too_many_arguments)]
    #[inline(always)]
    pub unsafe fn msgsnd_known<A>(
        &self,
        queue: KnownQueue<'_>,
        mtype: i64,
        text: *const u8,
        len: usize,
        msgflg: i32,
        answer: impl FnOnce(Result<()>) -> A + Copy,
    ) -> A {
        let (at, source) = (queue.0, Source { mtype, text, len });
        let handle = at.handle;
        // SAFETY: the caller's promise.
        let further = move |so_far| unsafe {
            answer(self.send_further(so_far, handle, mtype, text, len, msgflg))
        };
        let end = move || answer(self.end_long(handle));
        // SAFETY: the caller's promise.
        unsafe { msg::send_at(at, source, further, end, move |()| answer(Ok(()))) }
    }

    /// `msgsnd` from a text that may be anywhere, after [`Engine::check_send`].
    ///
    /// # Safety
    /// `text` can be read for `len` bytes.
    #[allow(unsafe_code)]
    #[inline(never)]
    pub unsafe fn msgsnd_raw(
        &self,
        msqid: i32,
        mtype: i64,
        text: *const u8,
        len: usize,
        msgflg: i32,
    ) -> Result<()> {
        let source = Source { mtype, text, len };
        self.on_any(Kind::Msg, msqid, |pin| {
            // SAFETY: the caller's promise.
            let sent = unsafe { msg::send(&self.ns, pin, msqid, source, msgflg) };
            self.tickets.write(msqid, pin, msg::shown_in);
            sent
        })
    }

    /// Goes on with what a ticket led to.
    ///
    /// # Safety
    /// The source's text can be read.
    #[allow(unsafe_code)]
    #[cold]
    #[inline(never)]
    unsafe fn send_further(
        &self,
        so_far: SoFar,
        handle: &Handle,
        mtype: i64,
        text: *const u8,
        len: usize,
        msgflg: i32,
    ) -> Result<()> {
        let source = Source { mtype, text, len };
        let at = At::found(handle, msg::shown_in);
        let pin = self.table(Kind::Msg).pin_found(handle);
        let msqid = pin.id();
        // SAFETY: the caller's promise.
        self.on_found(Kind::Msg, pin, |pin| unsafe {
            msg::send_further(so_far, at, pin, &self.ns, msqid, source, msgflg)
        })
    }

    /// What `msgsnd` looks at before it looks at the text.
    pub fn check_send(&self, msqid: i32, mtype: i64, len: usize) -> Result<()> {
        if len as u64 > self.ns.msgmax() || msqid < 0 || mtype < 1 {
            return Err(Errno::EINVAL);
        }
        Ok(())
    }

    /// `msgrcv` from a queue that is known, as [`Engine::msgrcv_raw`]; not for copies. `answer` makes what is returned.
    ///
    /// # Safety
    /// Where the sink says to write, as many bytes as it was told can be written.
    #[allow(unsafe_code, clippy::too_many_arguments)]
    #[inline(always)]
    pub unsafe fn msgrcv_known<A>(
        &self,
        queue: KnownQueue<'_>,
        size: usize,
        msgtyp: i64,
        msgflg: i32,
        sink: impl Sink + Copy,
        answer: impl FnOnce(Result<u32>) -> A + Copy,
    ) -> A {
        // SAFETY: the caller's promise. Apart: who takes any message need not look at types.
        unsafe {
            match msgtyp {
                0 => self.receive_known(queue.0, size, 0, msgflg, sink, answer),
                _ => self.receive_typed(queue.0.handle, size, msgtyp, msgflg, sink, answer),
            }
        }
    }

    /// # Safety
    /// As for [`Engine::msgrcv_known`].
    #[allow(unsafe_code)]
    #[cold]
    #[inline(never)]
    unsafe fn receive_typed<A>(
        &self,
        handle: &Handle,
        size: usize,
        msgtyp: i64,
        msgflg: i32,
        sink: impl Sink + Copy,
        answer: impl FnOnce(Result<u32>) -> A + Copy,
    ) -> A {
        let at = At::found(handle, msg::shown_in);
        // SAFETY: the caller's promise.
        unsafe { self.receive_known(at, size, msgtyp, msgflg, sink, answer) }
    }

    /// # Safety
    /// As for [`Engine::msgrcv_known`].
    #[allow(unsafe_code, clippy::too_many_arguments)]
    #[inline(always)]
    unsafe fn receive_known<S: Sink + Copy, A>(
        &self,
        at: At<'_>,
        size: usize,
        msgtyp: i64,
        msgflg: i32,
        sink: S,
        answer: impl FnOnce(Result<u32>) -> A + Copy,
    ) -> A {
        let want = Want::new(size, msgtyp, msgflg, 0);
        let handle = at.handle;
        let further = move |so_far, mut sink: S| {
            // SAFETY: the caller's promise.
            answer(unsafe { self.receive_further(so_far, handle, size, msgtyp, msgflg, &mut sink) })
        };
        let empty = move || self.is_empty_for_all(handle);
        let end = move |len| answer(self.end_long(handle).map(|()| len));
        // SAFETY: the caller's promise.
        unsafe {
            msg::receive_at(at, &want, sink, empty, further, end, move |len| {
                answer(Ok(len))
            })
        }
    }

    /// `msgrcv` to wherever `sink` says, once type and length are known; see [`Sink`].
    ///
    /// # Safety
    /// Where the sink says to write, as many bytes as it was told can be written.
    #[allow(unsafe_code)]
    #[inline(never)]
    pub unsafe fn msgrcv_raw(
        &self,
        msqid: i32,
        size: usize,
        msgtyp: i64,
        msgflg: i32,
        sink: &mut impl Sink,
    ) -> Result<u32> {
        if msqid < 0 || size > isize::MAX as usize {
            return Err(Errno::EINVAL);
        }
        let copy = msgflg & MSG_COPY != 0;
        if copy && (msgflg & MSG_EXCEPT != 0 || msgflg & IPC_NOWAIT == 0) {
            return Err(Errno::EINVAL);
        }
        let longest = if copy { self.ns.limits().msgmax } else { 0 };
        let want = Want::new(size, msgtyp, msgflg, longest);
        self.on_any(Kind::Msg, msqid, |pin| {
            // SAFETY: the caller's promise.
            let received = unsafe { msg::receive(&self.ns, pin, msqid, want, sink) };
            self.tickets.write(msqid, pin, msg::shown_in);
            received
        })
    }

    /// Ends what a ticket led to.
    #[cold]
    #[inline(never)]
    fn end_long(&self, handle: &Handle) -> Result<()> {
        let at = At::found(handle, msg::shown_in);
        let pin = self.table(Kind::Msg).pin_found(handle);
        let msqid = pin.id();
        self.on_found(Kind::Msg, pin, |pin| {
            msg::end_long(at, pin, &self.ns, msqid)
        })
    }

    /// Whether what a ticket led to is empty, as far as can be seen without its lock.
    #[cold]
    #[inline(never)]
    fn is_empty_for_all(&self, handle: &Handle) -> bool {
        msg::is_empty_for_all(&At::found(handle, msg::shown_in), handle.id())
    }

    /// Goes on with what a ticket led to.
    ///
    /// # Safety
    /// As for [`Engine::msgrcv_raw`].
    #[allow(unsafe_code)]
    #[cold]
    #[inline(never)]
    unsafe fn receive_further(
        &self,
        so_far: SoFar,
        handle: &Handle,
        size: usize,
        msgtyp: i64,
        msgflg: i32,
        sink: &mut dyn Sink,
    ) -> Result<u32> {
        let at = At::found(handle, msg::shown_in);
        let want = Want::new(size, msgtyp, msgflg, 0);
        let pin = self.table(Kind::Msg).pin_found(handle);
        let msqid = pin.id();
        // SAFETY: the caller's promise.
        self.on_found(Kind::Msg, pin, |pin| unsafe {
            msg::receive_further(so_far, at, pin, &self.ns, msqid, want, sink)
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
        let (text, len) = (mtext.as_ptr(), mtext.len());
        if let Some(queue) = self.known_queue(msqid) {
            if self.may_send(mtype, len) {
                // SAFETY: a slice can be read.
                return unsafe { self.msgsnd_known(queue, mtype, text, len, msgflg, |sent| sent) };
            }
            queue.leave();
        }
        self.check_send(msqid, mtype, len)?;
        // SAFETY: a slice can be read.
        unsafe { self.msgsnd_raw(msqid, mtype, text, len, msgflg) }
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
        let size = mtext.len();
        let known = match msgflg & MSG_COPY {
            0 => self.known_queue(msqid),
            _ => None,
        };
        // SAFETY: the engine writes at most the size that it is given, the slice's.
        let len = unsafe {
            match known {
                Some(queue) => {
                    let sink = msg::Through(&raw mut sink);
                    self.msgrcv_known(queue, size, msgtyp, msgflg, sink, |received| received)
                }
                None => self.msgrcv_raw(msqid, size, msgtyp, msgflg, &mut sink),
            }
        }?;
        Ok((sink.mtype, len as usize))
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
