//! The queue calls of the C library, made callable from safe code.
//!
//! Every call plants a value in `errno` first and asserts that a success leaves it alone: programs
//! may rely on it (POSIX only forbids setting it to zero, the kernel never touches it). A receive
//! also asserts that nothing is written beyond what it reports, and nothing at all when it fails.
#![allow(unsafe_code)]

use crate::errno::Errno;
use crate::memory::Area;
use std::ffi::{c_int, c_long};

/// Planted in `errno` before a call; no error has this number.
const UNTOUCHED: c_int = 4242;

/// Fills receive buffers, to notice stray writes.
const FILL: u8 = 0xEE;

/// Size of `mtype`, which comes before the text.
const HEADER: usize = size_of::<c_long>();

/// A received message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its type.
    pub mtype: c_long,
    /// Its text.
    pub text: Vec<u8>,
}

/// Runs one call that answers -1 and `errno` when it fails.
pub(crate) fn checked(call: impl FnOnce() -> c_long) -> Result<c_long, Errno> {
    // SAFETY: errno is this thread's own; the location is valid for the thread's life.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above: nobody else refers to this thread's errno.
    unsafe { errno.write(UNTOUCHED) };
    let ret = call();
    // SAFETY: as above.
    let after = unsafe { errno.read() };
    if ret == -1 {
        assert_ne!(after, UNTOUCHED, "a call failed without setting errno");
        return Err(Errno(after));
    }
    assert!(ret >= 0, "a call returned {ret}, neither -1 nor a result");
    assert_eq!(after, UNTOUCHED, "a successful call changed errno");
    Ok(ret)
}

/// `msgget(key, flags)`
pub fn msgget(key: i32, flags: c_int) -> Result<i32, Errno> {
    // SAFETY: takes no pointers.
    checked(|| unsafe { libc::msgget(key, flags) }.into()).map(|id| id as i32)
}

/// `msgsnd(id, {mtype, text}, text.len(), flags)`
pub fn msgsnd(id: i32, mtype: c_long, text: &[u8], flags: c_int) -> Result<(), Errno> {
    let mut buffer = Vec::with_capacity(HEADER + text.len());
    buffer.extend_from_slice(&mtype.to_ne_bytes());
    buffer.extend_from_slice(text);
    // SAFETY: the buffer holds a type and `text.len()` bytes, and outlives the call.
    checked(|| unsafe { libc::msgsnd(id, buffer.as_ptr().cast(), text.len(), flags) }.into())?;
    Ok(())
}

/// `msgrcv(id, buffer, size, mtype, flags)`
pub fn msgrcv(id: i32, size: usize, mtype: c_long, flags: c_int) -> Result<Message, Errno> {
    let mut buffer = vec![FILL; HEADER + size];
    let at = buffer.as_mut_ptr().cast();
    // SAFETY: the buffer has room for a type and `size` bytes, and outlives the call.
    let received = checked(|| unsafe { libc::msgrcv(id, at, size, mtype, flags) } as c_long);
    let written = received.map_or(0, |length| HEADER + length as usize);
    assert!(written <= buffer.len(), "a receive reports more than fits");
    assert!(
        buffer[written..].iter().all(|&byte| byte == FILL),
        "a receive wrote beyond the {written} bytes that it answers for"
    );
    received.map(|length| Message {
        mtype: c_long::from_ne_bytes(std::array::from_fn(|i| buffer[i])),
        text: buffer[HEADER..HEADER + length as usize].to_vec(),
    })
}

/// A type and a word: a whole message that lives on the stack, so that signal handlers may use it.
#[repr(C)]
struct Word {
    mtype: c_long,
    word: u64,
}

/// `msgsnd` of eight bytes, without allocating: fit for a signal handler or a hot loop.
pub fn send_word(id: i32, mtype: c_long, word: u64, flags: c_int) -> Result<(), Errno> {
    let message = Word { mtype, word };
    let at = (&raw const message).cast();
    // SAFETY: `message` is a type and eight bytes of text, and outlives the call.
    checked(|| unsafe { libc::msgsnd(id, at, size_of::<u64>(), flags) }.into())?;
    Ok(())
}

/// `msgrcv` of eight bytes, without allocating: fit for a signal handler or a hot loop.
pub fn receive_word(id: i32, mtype: c_long, flags: c_int) -> Result<(c_long, u64), Errno> {
    let mut message = Word { mtype: 0, word: 0 };
    let at = (&raw mut message).cast();
    // SAFETY: `message` has room for a type and eight bytes of text, and outlives the call.
    let length =
        checked(|| unsafe { libc::msgrcv(id, at, size_of::<u64>(), mtype, flags) } as c_long)?;
    assert_eq!(length as usize, size_of::<u64>(), "a word came back torn");
    Ok((message.mtype, message.word))
}

/// `msgsnd` from an area that may hold too little, or nothing.
pub fn msgsnd_from(id: i32, area: &Area, size: usize, flags: c_int) -> Result<(), Errno> {
    // SAFETY: msgsnd only reads, and what lies behind an area's bytes is not accessible, so that
    // an attempt to read there is EFAULT (or a crash, which is what the scenario is to find).
    checked(|| unsafe { libc::msgsnd(id, area.address(), size, flags) }.into())?;
    Ok(())
}

/// `msgrcv` into an area that may hold too little, or nothing.
pub fn msgrcv_into(
    id: i32,
    area: &Area,
    size: usize,
    mtype: c_long,
    flags: c_int,
) -> Result<usize, Errno> {
    // SAFETY: an area owns its bytes, hands out no references to them, and is followed by pages
    // that are not accessible, so that writing can reach nobody else's memory.
    checked(|| unsafe { libc::msgrcv(id, area.address(), size, mtype, flags) } as c_long)
        .map(|length| length as usize)
}

/// `msgctl(id, cmd, area)`, whatever the area holds.
pub fn msgctl_at(id: i32, cmd: c_int, area: &Area) -> Result<i32, Errno> {
    // SAFETY: as for `msgrcv_into`.
    checked(|| unsafe { libc::msgctl(id, cmd, area.address().cast()) }.into()).map(|ret| ret as i32)
}

/// `msgctl(id, cmd, ds)` for the commands that read or write a `struct msqid_ds`, or take nothing.
pub fn msgctl(id: i32, cmd: c_int, ds: &mut libc::msqid_ds) -> Result<i32, Errno> {
    // SAFETY: the commands that the callers pass use at most a msqid_ds.
    checked(|| unsafe { libc::msgctl(id, cmd, ds) }.into()).map(|ret| ret as i32)
}

/// A `struct msqid_ds` of zeros.
pub fn blank_ds() -> libc::msqid_ds {
    // SAFETY: a plain C struct of integers, for which zeros are a value.
    unsafe { std::mem::zeroed() }
}

/// `msgctl(0, IPC_INFO or MSG_INFO, info)`
pub fn msginfo(id: i32, cmd: c_int) -> (Result<i32, Errno>, libc::msginfo) {
    // SAFETY: a plain C struct of integers, for which zeros are a value.
    let mut info: libc::msginfo = unsafe { std::mem::zeroed() };
    let at = (&raw mut info).cast();
    // SAFETY: these commands write a `struct msginfo`, for which there is room.
    let ret = checked(|| unsafe { libc::msgctl(id, cmd, at) }.into());
    (ret.map(|ret| ret as i32), info)
}

/// `ftok(path, project)`
pub fn ftok(path: &std::path::Path, project: c_int) -> Result<i32, Errno> {
    let path = crate::process::c_string(path);
    // SAFETY: a NUL-terminated string that outlives the call. Its result may be any number.
    match unsafe { libc::ftok(path.as_ptr(), project) } {
        -1 => Err(crate::process::last_errno()),
        key => Ok(key),
    }
}
