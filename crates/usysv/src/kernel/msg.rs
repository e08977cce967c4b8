//! Linux's message queues.
#![allow(unsafe_code)]

use super::{Kernel, check};
use crate::abi::{self, MsgInfo, MsqidDs};
use crate::backend::Messages;
use crate::errno::{Errno, Result};
use core::mem::MaybeUninit;

/// Bytes of text that fit the stack buffer: the default `msgmax`.
const INLINE: usize = 8192;

/// `struct msgbuf` with room for a message of the default largest size.
#[repr(C)]
struct Small {
    mtype: i64,
    mtext: [MaybeUninit<u8>; INLINE],
}

/// Runs `f` on a `struct msgbuf` with room for `len` bytes of text, as the calls want it.
fn with_msgbuf<T>(len: usize, f: impl FnOnce(*mut i64) -> Result<T>) -> Result<T> {
    if len <= INLINE {
        let mut small = Small {
            mtype: 0,
            mtext: [MaybeUninit::uninit(); INLINE],
        };
        return f((&raw mut small).cast());
    }
    let size = len.checked_add(size_of::<i64>()).ok_or(Errno::EINVAL)?;
    // SAFETY: a fresh anonymous mapping touches no memory that anyone else knows.
    let map = unsafe {
        libc::mmap(
            core::ptr::null_mut(),
            size,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if map == libc::MAP_FAILED {
        return Err(Errno::ENOMEM);
    }
    let result = f(map.cast());
    // SAFETY: the mapping made above, which `f` has no way to keep.
    unsafe { libc::munmap(map, size) };
    result
}

/// `msgctl` with a structure that the kernel reads or fills.
fn msgctl<T>(msqid: i32, cmd: i32, arg: &mut T) -> Result<i32> {
    // SAFETY: T is the structure that `cmd` stands for (the callers below), and exclusively ours.
    check(unsafe { libc::syscall(libc::SYS_msgctl, msqid, cmd, arg as *mut T) })
}

impl Messages for Kernel {
    fn msgget(&self, key: i32, msgflg: i32) -> Result<i32> {
        // SAFETY: no pointers.
        check(unsafe { libc::syscall(libc::SYS_msgget, key, msgflg) })
    }

    fn msgsnd(&self, msqid: i32, mtype: i64, mtext: &[u8], msgflg: i32) -> Result<()> {
        with_msgbuf(mtext.len(), |buf| {
            // SAFETY: with_msgbuf gives room for the type and mtext.len() bytes after it.
            unsafe {
                buf.write(mtype);
                buf.add(1)
                    .cast::<u8>()
                    .copy_from_nonoverlapping(mtext.as_ptr(), mtext.len());
            }
            // SAFETY: the kernel reads the type and mtext.len() bytes, all written above.
            check(unsafe { libc::syscall(libc::SYS_msgsnd, msqid, buf, mtext.len(), msgflg) })
        })
        .map(drop)
    }

    fn msgrcv(
        &self,
        msqid: i32,
        mtext: &mut [u8],
        msgtyp: i64,
        msgflg: i32,
    ) -> Result<(i64, usize)> {
        with_msgbuf(mtext.len(), |buf| {
            // SAFETY: the kernel writes the type and at most mtext.len() bytes after it.
            let len = check(unsafe {
                libc::syscall(libc::SYS_msgrcv, msqid, buf, mtext.len(), msgtyp, msgflg)
            })? as usize;
            // SAFETY: the kernel wrote the type and `len` bytes, and len <= mtext.len().
            let mtype = unsafe {
                buf.add(1)
                    .cast::<u8>()
                    .copy_to_nonoverlapping(mtext.as_mut_ptr(), len);
                buf.read()
            };
            Ok((mtype, len))
        })
    }

    fn msg_stat(&self, msqid: i32) -> Result<MsqidDs> {
        let mut ds = MsqidDs::default();
        msgctl(msqid, abi::IPC_STAT, &mut ds).map(|_| ds)
    }

    fn msg_set(&self, msqid: i32, ds: &MsqidDs) -> Result<()> {
        msgctl(msqid, abi::IPC_SET, &mut ds.clone()).map(drop)
    }

    fn msg_remove(&self, msqid: i32) -> Result<()> {
        msgctl(msqid, abi::IPC_RMID, &mut MsqidDs::default()).map(drop)
    }

    fn msg_limits(&self) -> Result<(MsgInfo, i32)> {
        let mut info = MsgInfo::default();
        msgctl(0, abi::IPC_INFO, &mut info).map(|highest| (info, highest))
    }

    fn msg_usage(&self) -> Result<(MsgInfo, i32)> {
        let mut info = MsgInfo::default();
        msgctl(0, abi::MSG_INFO, &mut info).map(|highest| (info, highest))
    }

    fn msg_stat_index(&self, index: i32, any: bool) -> Result<(i32, MsqidDs)> {
        let mut ds = MsqidDs::default();
        let cmd = if any {
            abi::MSG_STAT_ANY
        } else {
            abi::MSG_STAT
        };
        msgctl(index, cmd, &mut ds).map(|id| (id, ds))
    }
}
