//! What all calls of the C edge do: keep `errno`, and copy structures in and out.

use crate::efault::{readable, writable};
use core::ffi::{c_int, c_void};
use engine::{Errno, Result, sys};

/// A structure of the C API that any bytes are a value of.
///
/// # Safety
/// Numbers only.
pub unsafe trait Plain: Copy {}

// SAFETY: numbers only.
unsafe impl Plain for engine::abi::MsqidDs {}
// SAFETY: numbers only.
unsafe impl Plain for engine::abi::SemidDs {}
// SAFETY: numbers only.
unsafe impl Plain for engine::abi::ShmidDs {}
// SAFETY: numbers only: a `struct timespec`.
unsafe impl Plain for [i64; 2] {}

/// Runs a call, which sets `errno` if it fails. One that succeeds left it alone: the engine makes
/// its system calls itself, and where it does call the libc, puts `errno` back.
#[inline]
pub fn answer<T: From<i8>>(f: impl FnOnce() -> Result<T>) -> T {
    f().unwrap_or_else(failed)
}

/// What a call that failed returns.
#[inline]
pub fn failed<T: From<i8>>(errno: Errno) -> T {
    sys::errno().set(errno.raw());
    T::from(-1)
}

/// Runs `f` in a frame of its own, so that other calls need not have room for what it puts on the stack.
#[inline(never)]
pub fn apart<T>(f: impl FnOnce() -> T) -> T {
    f()
}

/// Writes a structure to the program's buffer.
pub fn give<T: Copy>(buf: *mut c_void, value: T, ret: c_int) -> Result<c_int> {
    if !writable(buf as usize, size_of::<T>()) {
        return Err(Errno::EFAULT);
    }
    // SAFETY: `writable` has just said so; any address alignment is allowed.
    unsafe { buf.cast::<T>().write_unaligned(value) };
    Ok(ret)
}

/// Reads a structure from the program's buffer.
pub fn take<T: Plain>(buf: *const c_void) -> Result<T> {
    if !readable(buf as usize, size_of::<T>()) {
        return Err(Errno::EFAULT);
    }
    // SAFETY: `readable` has just said so; any alignment is allowed, and any bytes are a T.
    Ok(unsafe { buf.cast::<T>().read_unaligned() })
}
