//! The system call that sleeps without a timeout, at an address of its own.
//!
//! After a handler with `SA_RESTART` the kernel begins it anew. In the process that waited, it then finds
//! its word changed. Not so in a copy that the handler made by `fork`, and that returns from it later: by
//! then the word may be as before, since somebody else sleeps on it. So who announces handlers
//! (`sleeping`) has each end the call that it interrupted: [`ended`].
//!
//! No lock: code, and nothing to be left behind.
#![allow(unsafe_code)]

use core::arch::global_asm;
use core::sync::atomic::AtomicU32;

#[cfg(target_arch = "x86_64")]
global_asm!(
    ".pushsection .text.usysv_endless_wait,\"ax\",@progbits",
    ".p2align 4",
    ".globl usysv_endless_wait",
    ".hidden usysv_endless_wait",
    ".globl usysv_endless_call",
    ".hidden usysv_endless_call",
    "usysv_endless_wait:",
    ".cfi_startproc",
    "endbr64",
    "mov eax, {futex}",
    "xor r10d, r10d",
    "usysv_endless_call:",
    "syscall",
    "ret",
    ".cfi_endproc",
    ".popsection",
    futex = const libc::SYS_futex,
);

#[cfg(target_arch = "aarch64")]
global_asm!(
    ".pushsection .text.usysv_endless_wait,\"ax\",%progbits",
    ".p2align 4",
    ".globl usysv_endless_wait",
    ".hidden usysv_endless_wait",
    ".globl usysv_endless_call",
    ".hidden usysv_endless_call",
    "usysv_endless_wait:",
    ".cfi_startproc",
    "hint 34", // bti c
    "mov x8, {futex}",
    "mov x3, 0",
    "usysv_endless_call:",
    "svc 0",
    "ret",
    ".cfi_endproc",
    ".popsection",
    futex = const libc::SYS_futex,
);

/// Bytes of the instruction that makes the call.
#[cfg(target_arch = "x86_64")]
const CALL: usize = 2;
#[cfg(target_arch = "aarch64")]
const CALL: usize = 4;

unsafe extern "C" {
    fn usysv_endless_wait(word: *const AtomicU32, op: i32, expected: u32) -> isize;
    static usysv_endless_call: u8;
}

/// Sleeps while `word` is `expected`: what the kernel returns.
pub(crate) fn wait(word: &AtomicU32, expected: u32) -> isize {
    // SAFETY: the kernel reads the word, which is borrowed, and nothing else of the program's.
    unsafe { usysv_endless_wait(word, libc::FUTEX_WAIT, expected) }
}

/// Where the thread that is about to make the call, or to make it anew, goes on if it was interrupted.
pub fn ended(pc: usize) -> Option<usize> {
    let call = (&raw const usysv_endless_call) as usize;
    (pc == call).then_some(call + CALL)
}
