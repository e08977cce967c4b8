//! Ways to live and die that only attachments can tell apart: zombies, processes without their
//! first thread, children that share all memory.
#![allow(unsafe_code)]

use crate::process::last_errno;
use std::ffi::c_int;

/// Waits until a child has died, and leaves it a zombie.
#[track_caller]
pub fn wait_unreaped(pid: i32) {
    // SAFETY: a plain C struct, for which zeros are a value.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: `info` lives on this stack.
    let ret = unsafe {
        libc::waitid(
            libc::P_PID,
            pid as u32,
            &mut info,
            libc::WEXITED | libc::WNOWAIT,
        )
    };
    assert_eq!(ret, 0, "waitid: {}", last_errno());
}

/// Ends the calling thread alone, the process's first one too.
pub fn exit_thread() -> ! {
    // SAFETY: the thread's stack and locals stay where they are; nobody waits for it.
    unsafe { libc::syscall(libc::SYS_exit, 0) };
    unreachable!("exit does not return")
}

/// `exit(status)`: with the library's handlers.
pub fn exit_by_library(status: i32) -> ! {
    std::process::exit(status)
}

/// Starts a child that shares this process's memory and runs beside it until it is told to go.
///
/// It has the stack that it is given here, for ever. `play` must keep to atomics and to calls that
/// do not allocate: the child shares this thread's allocator state.
pub fn beside(play: extern "C" fn(*mut libc::c_void) -> c_int) -> i32 {
    let stack = vec![0u128; 16 * 1024].leak();
    // SAFETY: the child has its own stack, and `play` keeps to what it may.
    let pid = unsafe {
        libc::clone(
            play,
            stack.as_mut_ptr_range().end.cast(),
            libc::CLONE_VM | libc::SIGCHLD,
            std::ptr::null_mut(),
        )
    };
    assert!(pid > 0, "clone: {}", last_errno());
    pid
}

/// `prctl(PR_SET_DUMPABLE, 0)`: other processes of this user may not look into this one.
pub fn hide_from_others() {
    // SAFETY: takes no pointers.
    let ret = unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0) };
    assert_eq!(ret, 0, "prctl: {}", last_errno());
}
