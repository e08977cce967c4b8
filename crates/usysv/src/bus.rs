//! What happens when somebody truncates a file that this process has mapped: the next touch is
//! SIGBUS, which must not kill a program over another's mischief.
//!
//! A handler is installed before the first mapping. If the fault lies in a namespace's file, zeroes
//! come in the place of that mapping (no live object has them for its state), the interrupted code
//! goes on, finds nonsense, and answers EIO; the next call opens the file afresh. If it lies in an
//! attached segment, the file gets its length back, for everybody who has it attached: zeroes where
//! bytes were cut off, as if they had been written. Where the file cannot be written to, this
//! process alone has zeroes there.
//!
//! Every other fault is the program's: what was installed before runs as if the kernel had called
//! it. So is one for which a file system has no room.
//!
//! The kernel's own table stays the only truth about what the program wants: a function of ours
//! stands there for each thing that can (`bus_default`, `bus_ignored`, `bus_chained`), with the
//! flags and the mask of what it stands for. A handler that is installed later takes its place; the
//! preload library's then asks [`heal`] first, others may.
//!
//! Nothing helps a thread that blocks SIGBUS: the kernel kills it. A fork child inherits all of
//! this; an exec ends it, and what was ignored is the default there.
//!
//! Async-signal-safe: no lock, no allocation, no libc, no `errno`, about two kilobytes of stack.
#![allow(unsafe_code)]

use crate::ranges;
use crate::shm::pieces;
use crate::sys;
use core::ffi::{c_int, c_void};
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering::*};
use libc::{SA_ONSTACK, SA_RESETHAND, SA_SIGINFO, SIG_DFL, SIG_IGN, siginfo_t};

const SIGBUS: c_int = libc::SIGBUS;
/// An address that exists in no file, or has no room in it.
const BUS_ADRERR: c_int = 2;
/// Memory that broke, noticed later: no instruction of the thread's is at fault.
const BUS_MCEERR_AO: c_int = 5;

type Handler = unsafe extern "C" fn(c_int, *mut siginfo_t, *mut c_void);

/// 1 once a handler of ours is, or is being, installed.
static ARMED: AtomicU32 = AtomicU32::new(0);
/// The handler behind `bus_chained`, and whether it was installed with SA_SIGINFO. Written once.
static CHAINED: AtomicUsize = AtomicUsize::new(0);
static CHAINED_SIGINFO: AtomicU32 = AtomicU32::new(0);

/// Installs the handler, at the first call.
#[inline]
pub(crate) fn arm() {
    if ARMED.load(Relaxed) == 0 {
        install();
    }
}

#[cold]
fn install() {
    if ARMED.swap(1, Relaxed) != 0 {
        return;
    }
    let Ok(mut action) = sys::signal_action(SIGBUS, None) else {
        return;
    };
    action.handler = match action.handler {
        SIG_DFL | SIG_IGN => {
            action.flags |= SA_ONSTACK as u64;
            stand_in_for(action.handler)
        }
        other => {
            CHAINED.store(other, Relaxed);
            let siginfo = action.flags & SA_SIGINFO as u64 != 0;
            CHAINED_SIGINFO.store(u32::from(siginfo), Release);
            address(bus_chained)
        }
    };
    action.flags |= SA_SIGINFO as u64;
    let _ = sys::signal_action(SIGBUS, Some(&action));
}

fn address(handler: Handler) -> usize {
    handler as usize
}

fn stand_in_for(handler: usize) -> usize {
    address(if handler == SIG_DFL {
        bus_default
    } else {
        bus_ignored
    })
}

/// What the kernel is to be told for SIGBUS when a program wants `SIG_DFL` or `SIG_IGN`, with
/// SA_SIGINFO. `None`: the same, as there is nothing mapped yet.
pub fn stand_in(handler: usize) -> Option<usize> {
    let special = matches!(handler, SIG_DFL | SIG_IGN);
    (special && ARMED.load(Relaxed) != 0).then(|| stand_in_for(handler))
}

/// What one of our handlers stands for, and whether SA_SIGINFO is the program's. `None`: it is
/// not ours.
pub fn stands_for(handler: usize) -> Option<(usize, bool)> {
    if handler == address(bus_default) {
        Some((SIG_DFL, false))
    } else if handler == address(bus_ignored) {
        Some((SIG_IGN, false))
    } else if handler == address(bus_chained) {
        let siginfo = CHAINED_SIGINFO.load(Acquire) != 0;
        Some((CHAINED.load(Relaxed), siginfo))
    } else {
        None
    }
}

/// Repairs the memory at which a SIGBUS happened, if it is the engine's. True: the interrupted code
/// can go on.
///
/// # Safety
/// `info` is what the kernel gave to a handler of SIGBUS.
pub unsafe fn heal(info: *const siginfo_t) -> bool {
    // SAFETY: the caller's promise; for this code the kernel fills in the address.
    let (code, addr) = unsafe { ((*info).si_code, (*info).si_addr() as usize) };
    code == BUS_ADRERR && (ranges::lose(addr) || pieces::restore(addr))
}

/// A one-shot handler that was taken away for a fault that was not the program's is put back.
fn reinstall(handler: Handler) {
    if let Ok(mut action) = sys::signal_action(SIGBUS, None)
        && action.handler == SIG_DFL
        && action.flags & SA_RESETHAND as u64 != 0
    {
        action.handler = address(handler);
        let _ = sys::signal_action(SIGBUS, Some(&action));
    }
}

/// Dies of the signal, once the handler returns.
fn let_kill(info: *mut siginfo_t, again: bool) {
    if let Ok(mut action) = sys::signal_action(SIGBUS, None) {
        action.handler = SIG_DFL;
        let _ = sys::signal_action(SIGBUS, Some(&action));
    }
    if again {
        sys::queue_to_self(SIGBUS, info.cast());
    }
}

/// Whether the interrupted instruction is the cause, and will fault again.
unsafe fn is_fault(info: *const siginfo_t) -> bool {
    // SAFETY: the kernel's siginfo.
    let code = unsafe { (*info).si_code };
    code > 0 && code != BUS_MCEERR_AO
}

unsafe extern "C" fn bus_default(_sig: c_int, info: *mut siginfo_t, _context: *mut c_void) {
    // SAFETY: installed with SA_SIGINFO: the kernel's siginfo.
    unsafe {
        if !heal(info) {
            let_kill(info, !is_fault(info));
        }
    }
}

unsafe extern "C" fn bus_ignored(_sig: c_int, info: *mut siginfo_t, _context: *mut c_void) {
    // SAFETY: as above. The kernel kills whoever ignores a fault.
    unsafe {
        if !heal(info) && is_fault(info) {
            let_kill(info, false);
        }
    }
}

unsafe extern "C" fn bus_chained(sig: c_int, info: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: as above.
    if unsafe { heal(info) } {
        return reinstall(bus_chained);
    }
    let handler = CHAINED.load(Relaxed);
    // SAFETY: the program installed this address as a handler; one without SA_SIGINFO takes the
    // first argument only, which the C ABI cannot tell apart.
    unsafe {
        let handler: Handler = core::mem::transmute(handler);
        handler(sig, info, context);
    }
}
