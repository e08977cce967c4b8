//! Where the C edge meets the engine: every question that the interposed functions ask.
//!
//! These bodies are placeholders that answer with the kernel's own System V IPC.

use core::ffi::{CStr, c_int};
use core::sync::atomic::{AtomicU32, Ordering};
use engine::abi::MsqidDs;
use engine::{Backend, Kernel};

/// A limit that has a file in `/proc/sys/kernel`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// `msgmax`.
    Msgmax,
    /// `msgmnb`.
    Msgmnb,
    /// `msgmni`.
    Msgmni,
}

/// Show `visit` every queue of the namespace, in order of index, whatever its permissions (as
/// `/proc/sysvipc/msg` does). False: there is no namespace, the kernel's file is the answer.
pub fn msg_queues(visit: &mut dyn FnMut(i32, &MsqidDs)) -> bool {
    let Ok((_, highest)) = Kernel.msg_usage() else {
        return false;
    };
    for index in 0..=highest {
        if let Ok((msqid, ds)) = Kernel.msg_stat_index(index, true) {
            visit(msqid, &ds);
        }
    }
    true
}

/// The limit's present value. `None`: there is no namespace, the kernel's file is the answer.
pub fn limit_value(limit: Limit) -> Option<u64> {
    let (info, _) = Kernel.msg_limits().ok()?;
    let value = match limit {
        Limit::Msgmax => info.msgmax,
        Limit::Msgmnb => info.msgmnb,
        Limit::Msgmni => info.msgmni,
    };
    Some(value as u64)
}

/// Calls `visit` with the path of the text file that holds the limit, and returns its result.
/// `None`: there is no namespace, the kernel's file is the answer.
///
/// A program that writes the file leaves its number at the start of it and whatever was longer
/// behind: the first line counts.
pub fn limit_path(_limit: Limit, _visit: &mut dyn FnMut(&CStr) -> c_int) -> Option<c_int> {
    None
}

/// The limit's file is about to be written by this process: do not trust a cached value again.
pub fn limits_opened_for_write(_limit: Limit) {}

static CREDENTIALS: AtomicU32 = AtomicU32::new(0);

/// The process's (or this thread's) ids, groups or capabilities may have changed.
///
/// In a vfork child this speaks for the child and reaches the parent too: a needless refresh.
pub fn creds_changed() {
    CREDENTIALS.fetch_add(1, Ordering::Relaxed);
}

/// A synchronous fault happened at `pc` while this thread was inside a section. If `pc` lies in
/// the routine that copies a program's bytes, the address to go on at (which reports `EFAULT`):
/// then the program's handler does not see the fault, as it would not see it from the kernel.
pub fn fault_fixup(_pc: usize) -> Option<usize> {
    None
}

/// A synchronous fault without a fixup inside a section: the program's handler runs next, with
/// the section's lock held. If it returns, the section goes on; if it jumps away, the lock stays
/// with a living thread for ever, unless the engine notes here what it holds and treats itself as
/// a dead holder at its next call.
pub fn fault_in_section() {}
