//! `shm_open` and `shm_unlink`: in the namespace if `usysv run --posix-shm` asked for it, or where
//! the system has no usable /dev/shm; otherwise the libc's.

use crate::edge::answer;
use crate::efault;
use crate::hooks::engine;
use crate::next;
use core::ffi::{CStr, c_char, c_int};
use core::sync::atomic::{AtomicU32, Ordering};
use engine::{Errno, PosixShm, Result, sys};
use libc::mode_t;

const UNKNOWN: u32 = 0;
const SYSTEMS: u32 = 1;
const OURS: u32 = 2;

/// Whose shared memory it is: asked once, so that a program finds again what it made.
static WHOSE: AtomicU32 = AtomicU32::new(UNKNOWN);

fn is_ours() -> bool {
    let mut whose = WHOSE.load(Ordering::Relaxed);
    if whose == UNKNOWN {
        whose = if PosixShm::asked_for() { OURS } else { SYSTEMS };
        WHOSE.store(whose, Ordering::Relaxed);
    }
    whose == OURS
}

/// The name that a program passes, without more than the first slash.
fn name<'a>(name: *const c_char) -> Result<&'a CStr> {
    if !efault::readable(name as usize, 1) {
        return Err(Errno::EFAULT);
    }
    // SAFETY: by shm_open's contract a C string, that the program leaves alone during the call.
    Ok(unsafe { CStr::from_ptr(name) })
}

/// `shm_open(name, flags, mode)`.
///
/// # Safety
/// The C contract of `shm_open`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_open(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    let errno = sys::errno().get();
    let ours = is_ours();
    sys::errno().set(errno);
    match next::SHM_OPEN.get() {
        // SAFETY: the caller's own arguments.
        Some(shm_open) if !ours => unsafe { shm_open(path, flags, mode) },
        _ => answer(|| PosixShm::open_raw(engine()?.namespace(), name(path)?, flags, mode)),
    }
}

/// `shm_unlink(name)`.
///
/// # Safety
/// The C contract of `shm_unlink`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_unlink(path: *const c_char) -> c_int {
    let errno = sys::errno().get();
    let ours = is_ours();
    sys::errno().set(errno);
    match next::SHM_UNLINK.get() {
        // SAFETY: the caller's own arguments.
        Some(shm_unlink) if !ours => unsafe { shm_unlink(path) },
        _ => answer(|| PosixShm::unlink(engine()?.namespace(), name(path)?).map(|()| 0)),
    }
}
