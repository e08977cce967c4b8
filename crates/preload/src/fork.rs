//! `fork`: a child of a process with attachments is counted before either of the two goes on.
//!
//! `vfork` is left alone: its child has the parent's memory, and what it attaches or detaches it
//! does for the parent. A child of the libc's own forks (`daemon`, `forkpty`) makes itself known by
//! a handler of `pthread_atfork`; one of a raw `clone` at its first shared-memory call.

use crate::efault;
use crate::hooks;
use crate::next::{self, Next};
use core::ffi::c_int;
use core::sync::atomic::{AtomicU32, Ordering};
use engine::sys;
use libc::pid_t;

/// Forks by `next`, or without the libc where it has no such function.
fn fork_by(next: &Next<unsafe extern "C" fn() -> pid_t>) -> pid_t {
    let under_way = hooks::before_fork();
    let pid = match next.get() {
        // SAFETY: no arguments.
        Some(fork) => unsafe { fork() },
        None => {
            // SAFETY: a fork with the program's own memory copied; no pointers.
            let raw = unsafe { sys::syscall4(libc::SYS_clone, libc::SIGCHLD as usize, 0, 0, 0) };
            sys::c_result(raw) as pid_t
        }
    };
    let Some(fork) = under_way else {
        return pid;
    };
    let errno = sys::errno().get();
    if pid == 0 {
        hooks::in_fork_child();
    } else {
        hooks::after_fork(&fork, u32::try_from(pid).ok());
    }
    sys::errno().set(errno);
    pid
}

/// In a child, before its `fork` returns.
unsafe extern "C" fn in_child() {
    let errno = sys::errno().get();
    hooks::in_fork_child();
    sys::errno().set(errno);
}

/// This process has attachments: children are to know of them.
#[inline]
pub fn has_something() {
    static REGISTERED: AtomicU32 = AtomicU32::new(0);
    if REGISTERED.load(Ordering::Relaxed) == 0 && REGISTERED.swap(1, Ordering::Relaxed) == 0 {
        // SAFETY: a handler that stays, as this library is never unloaded. Without memory for it
        // such children count from their first call.
        unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    }
}

/// `fork()`.
#[unsafe(no_mangle)]
pub extern "C" fn fork() -> pid_t {
    fork_by(&next::FORK)
}

/// `fork()`, as old programs know it.
#[unsafe(no_mangle)]
pub extern "C" fn __fork() -> pid_t {
    fork_by(&next::FORK)
}

/// `_Fork()`: without the handlers of `pthread_atfork`.
#[unsafe(no_mangle)]
pub extern "C" fn _Fork() -> pid_t {
    fork_by(&next::FORK_BARE)
}

/// `madvise(addr, length, advice)`: some advice cuts a mapping, which is then counted by pieces.
///
/// # Safety
/// The C contract of `madvise`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn madvise(
    addr: *mut core::ffi::c_void,
    length: libc::size_t,
    advice: c_int,
) -> c_int {
    sys::c_result(advise(addr, length, advice)) as c_int
}

/// `posix_madvise(addr, length, advice)`: the error, if there is one. As in the libc, throwing away is no
/// advice: POSIX wants the bytes kept.
///
/// # Safety
/// The C contract of `posix_madvise`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn posix_madvise(
    addr: *mut core::ffi::c_void,
    length: libc::size_t,
    advice: c_int,
) -> c_int {
    match advice {
        libc::POSIX_MADV_DONTNEED => 0,
        _ => -advise(addr, length, advice) as c_int,
    }
}

/// `madvise`, and what it does to attachments: 0 or `-errno`.
fn advise(addr: *mut core::ffi::c_void, length: usize, advice: c_int) -> isize {
    /// Later accesses fault.
    const MADV_GUARD_INSTALL: c_int = 102;
    let changing = engine::Flags::advice(advice)
        .and_then(|flags| Some((hooks::changing(addr as usize, length)?, flags)));
    // SAFETY: the program's own arguments.
    let raw =
        unsafe { sys::syscall4(libc::SYS_madvise, addr as usize, length, advice as usize, 0) };
    // Advice passes over holes, and says so at the end.
    let taken = raw == 0 || raw == -libc::ENOMEM as isize;
    if let (true, Some((changing, flags))) = (taken, changing) {
        changing.flagged(addr as usize, length, flags);
    }
    if advice == MADV_GUARD_INSTALL {
        efault::forget();
    }
    raw
}

macro_rules! lock_functions {
    ($($name:ident, $nr:expr, $locked:expr;)*) => {$(
        #[doc = concat!("`", stringify!($name), "(addr, length)`: see `madvise`.")]
        ///
        /// # Safety
        /// The function's C contract.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(
            addr: *const core::ffi::c_void,
            length: libc::size_t,
        ) -> c_int {
            let changing = hooks::changing(addr as usize, length);
            // SAFETY: the program's own arguments.
            let raw = unsafe { sys::syscall4($nr, addr as usize, length, 0, 0) };
            if let (0, Some(changing)) = (raw, changing) {
                changing.flagged(addr as usize, length, engine::Flags::locked($locked));
            }
            sys::c_result(raw) as c_int
        }
    )*};
}

lock_functions! {
    mlock, libc::SYS_mlock, true;
    munlock, libc::SYS_munlock, false;
}

/// `mlock2(addr, length, flags)`: see `madvise`.
///
/// # Safety
/// The C contract of `mlock2`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlock2(
    addr: *const core::ffi::c_void,
    length: libc::size_t,
    flags: core::ffi::c_uint,
) -> c_int {
    let changing = hooks::changing(addr as usize, length);
    // SAFETY: the program's own arguments.
    let raw = unsafe { sys::syscall4(libc::SYS_mlock2, addr as usize, length, flags as usize, 0) };
    if let (0, Some(changing)) = (raw, changing) {
        changing.flagged(addr as usize, length, engine::Flags::locked_by(flags));
    }
    sys::c_result(raw) as c_int
}
