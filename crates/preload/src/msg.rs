//! The message-queue calls: decode the arguments as the kernel does, ask the engine, set `errno`.
//!
//! Refuses nothing by itself but bad addresses, in the kernel's order of checks. `errno` is
//! untouched on success.

use crate::cancel;
use crate::edge::{answer, apart, give, take};
use crate::efault::{known_readable, known_writable, readable, writable};
use crate::hooks::engine;
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
struct Buffer(*mut c_void);

impl Sink for Buffer {
    #[inline(always)]
    fn room(&mut self, mtype: i64, len: usize) -> Option<*mut u8> {
        if !known_writable(self.0 as usize, len.saturating_add(TYPE)) {
            return self.probed(mtype, len);
        }
        // SAFETY: `known_writable` has just said so; any address alignment is allowed.
        unsafe { self.0.cast::<i64>().write_unaligned(mtype) };
        Some(self.text())
    }
}

impl Buffer {
    fn text(&self) -> *mut u8 {
        self.0.cast::<u8>().wrapping_add(TYPE)
    }

    #[cold]
    fn probed(&self, mtype: i64, len: usize) -> Option<*mut u8> {
        if !writable(self.0 as usize, TYPE) {
            return None;
        }
        // SAFETY: `writable` has just said so; any address alignment is allowed.
        unsafe { self.0.cast::<i64>().write_unaligned(mtype) };
        writable(self.text() as usize, len).then(|| self.text())
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
    cancel::point();
    answer(|| {
        let at = msgp as usize;
        let whole = known_readable(at, size.saturating_add(TYPE));
        if !whole && !readable(at, TYPE) {
            return Err(Errno::EFAULT);
        }
        // SAFETY: `readable` has just said so; any address alignment is allowed.
        let mtype = unsafe { msgp.cast::<i64>().read_unaligned() };
        let engine = engine()?;
        engine.check_send(msqid, mtype, size)?;
        if !whole && !readable(at.wrapping_add(TYPE), size) {
            return Err(Errno::EFAULT);
        }
        let text = msgp.cast::<u8>().wrapping_add(TYPE);
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
    cancel::point();
    answer(|| {
        let engine = engine()?;
        if flags & MSG_COPY != 0 {
            check_copy(engine, msqid, msgp as usize, size, flags)?;
        }
        let mut sink = Buffer(msgp);
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
