//! The message-queue calls: decode the arguments as the kernel does, ask the engine, set `errno`.
//!
//! Refuses nothing by itself but bad addresses, in the kernel's order of checks. `errno` is
//! untouched on success.

use crate::cancel;
use crate::edge::{answer, apart, failed, give, take};
use crate::efault::{
    Need, Place, known_readable_elsewhere, known_writable_elsewhere, readable, refresh, writable,
};
use crate::hooks::{engine, made};
use core::ffi::{c_int, c_long, c_void};
use engine::abi::{
    IPC_INFO, IPC_NOWAIT, IPC_RMID, IPC_SET, IPC_STAT, MSG_COPY, MSG_EXCEPT, MSG_INFO, MSG_STAT,
    MSG_STAT_ANY, MsgInfo, MsqidDs,
};
use engine::{Engine, Errno, Messages, Result, Sink};
use libc::{key_t, size_t, ssize_t};

/// Bytes of `struct msgbuf` before the text.
const TYPE: usize = size_of::<c_long>();

/// The program's `struct msgbuf`.
#[derive(Clone, Copy)]
struct Buffer {
    at: *mut c_void,
    place: Place,
}

impl Sink for Buffer {
    fn room(&mut self, mtype: i64, len: usize) -> Option<*mut u8> {
        if !writable(self.at as usize, TYPE) {
            return None;
        }
        // SAFETY: `writable` has just said so; any address alignment is allowed.
        unsafe { self.at.cast::<i64>().write_unaligned(mtype) };
        writable(self.text() as usize, len).then(|| self.text())
    }

    #[inline(always)]
    fn at_hand(&mut self, mtype: i64, len: usize) -> Option<*mut u8> {
        if !self.place.has(len)
            && !known_writable_elsewhere(self.at as usize, len.saturating_add(TYPE))
        {
            return None;
        }
        // SAFETY: it can be written, that says; any address alignment is allowed.
        unsafe { self.at.cast::<i64>().write_unaligned(mtype) };
        Some(self.text())
    }
}

impl Buffer {
    fn text(&self) -> *mut u8 {
        self.at.cast::<u8>().wrapping_add(TYPE)
    }
}

#[unsafe(no_mangle)]
extern "C" fn msgget(key: key_t, msgflg: c_int) -> c_int {
    answer(|| engine()?.msgget(key, msgflg))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn msgsnd(
    msqid: c_int,
    msgp: *const c_void,
    size: size_t,
    flags: c_int,
) -> c_int {
    if let Some(engine) = made()
        && let Some(queue) = engine.known_queue(msqid)
    {
        let at = msgp as usize;
        if Place::of(queue.block(), at, Need::Read).has(size)
            || known_readable_elsewhere(at, size.saturating_add(TYPE))
        {
            // SAFETY: that can be read, it says; any address alignment is allowed.
            let mtype = unsafe { msgp.cast::<i64>().read_unaligned() };
            if engine.may_send(mtype, size) {
                let text = msgp.cast::<u8>().wrapping_add(TYPE);
                // SAFETY: as above.
                return unsafe {
                    engine.msgsnd_known(queue, mtype, text, size, flags, |sent| match sent {
                        Ok(()) => 0,
                        Err(errno) => failed(errno),
                    })
                };
            }
        }
        queue.leave();
    }
    // SAFETY: the caller's own arguments.
    unsafe { send(msqid, msgp, size, flags) }
}

/// `msgsnd`, with a look at everything.
///
/// # Safety
/// The C contract of `msgsnd`.
#[inline(never)]
unsafe fn send(msqid: c_int, msgp: *const c_void, size: size_t, flags: c_int) -> c_int {
    cancel::point();
    refresh();
    answer(|| {
        if !readable(msgp as usize, TYPE) {
            return Err(Errno::EFAULT);
        }
        // SAFETY: `readable` has just said so; any address alignment is allowed.
        let mtype = unsafe { msgp.cast::<i64>().read_unaligned() };
        let engine = engine()?;
        engine.check_send(msqid, mtype, size)?;
        let text = msgp.cast::<u8>().wrapping_add(TYPE);
        if !readable(text as usize, size) {
            return Err(Errno::EFAULT);
        }
        // SAFETY: `readable` has just said so.
        unsafe { engine.msgsnd_raw(msqid, mtype, text, size, flags) }.map(|()| 0)
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn msgrcv(
    msqid: c_int,
    msgp: *mut c_void,
    size: size_t,
    msgtyp: c_long,
    flags: c_int,
) -> ssize_t {
    if flags & MSG_COPY == 0
        && size <= isize::MAX as usize
        && let Some(engine) = made()
        && let Some(queue) = engine.known_queue(msqid)
    {
        let place = Place::of(queue.block(), msgp as usize, Need::Write);
        let sink = Buffer { at: msgp, place };
        // SAFETY: the sink names only what `writable` said can be written.
        return unsafe {
            engine.msgrcv_known(
                queue,
                size,
                msgtyp,
                flags,
                sink,
                |received| match received {
                    Ok(len) => len as ssize_t,
                    Err(errno) => failed(errno),
                },
            )
        };
    }
    // SAFETY: the caller's own arguments.
    unsafe { receive(msqid, msgp, size, msgtyp, flags) }
}

/// `msgrcv`, with a look at everything.
///
/// # Safety
/// The C contract of `msgrcv`.
#[inline(never)]
unsafe fn receive(
    msqid: c_int,
    msgp: *mut c_void,
    size: size_t,
    msgtyp: c_long,
    flags: c_int,
) -> ssize_t {
    cancel::point();
    refresh();
    answer(|| {
        let engine = engine()?;
        if flags & MSG_COPY != 0 {
            check_copy(engine, msqid, msgp as usize, size, flags)?;
        }
        let mut sink = Buffer {
            at: msgp,
            place: Place::UNKNOWN,
        };
        // SAFETY: the sink names only what `writable` said can be written.
        let len = unsafe { engine.msgrcv_raw(msqid, size, msgtyp, flags, &mut sink)? };
        Ok(len as ssize_t)
    })
}

/// EFAULT: the kernel makes a copy's room from what the buffer holds, type and all.
#[cold]
fn check_copy(engine: &Engine, msqid: c_int, at: usize, size: usize, flags: c_int) -> Result<()> {
    let copies = flags & MSG_EXCEPT == 0 && flags & IPC_NOWAIT != 0;
    let most = engine.namespace().limits().msgmax as usize;
    if copies && msqid >= 0 && size <= isize::MAX as usize && !readable(at, size.min(most)) {
        return Err(Errno::EFAULT);
    }
    Ok(())
}

#[unsafe(no_mangle)]
unsafe extern "C" fn msgctl(msqid: c_int, cmd: c_int, buf: *mut c_void) -> c_int {
    answer(|| {
        if msqid < 0 || cmd < 0 {
            return Err(Errno::EINVAL);
        }
        match cmd {
            IPC_RMID => apart(|| engine()?.msg_remove(msqid).map(|()| 0)),
            IPC_SET => {
                let ds: MsqidDs = take(buf)?;
                apart(|| engine()?.msg_set(msqid, &ds).map(|()| 0))
            }
            IPC_STAT => give(buf, apart(|| engine()?.msg_stat(msqid))?, 0),
            MSG_STAT | MSG_STAT_ANY => {
                let (id, ds) = apart(|| engine()?.msg_stat_index(msqid, cmd == MSG_STAT_ANY))?;
                give(buf, ds, id)
            }
            IPC_INFO => {
                let (info, highest): (MsgInfo, i32) = apart(|| engine()?.msg_limits())?;
                give(buf, info, highest)
            }
            MSG_INFO => {
                let (info, highest) = apart(|| engine()?.msg_usage())?;
                give(buf, info, highest)
            }
            _ => Err(Errno::EINVAL),
        }
    })
}
