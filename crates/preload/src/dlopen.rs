//! `dlopen` and `dlmopen` without RTLD_DEEPBIND: a plugin opened with that flag looks a symbol up
//! in its own dependencies first, so its System V calls would go to the libc behind our back.
//!
//! The libc resolves `$ORIGIN`, run paths and link namespaces relative to the *caller*, which it
//! knows by the return address. So these are not functions that call but ones that jump: the flag
//! is cleared in its register and the real function runs with the program's return address.
//!
//! Libraries that `dlmopen` puts into a new namespace get a libc of their own and no preload:
//! nothing here reaches them.

use crate::next;
use core::arch::naked_asm;
use core::ffi::{c_char, c_int, c_void};

/// The real `dlopen`, or 0, which then crashes where the libc has none.
extern "C" fn real_dlopen() -> usize {
    next::DLOPEN.get().map_or(0, |f| f as usize)
}

/// The real `dlmopen`, as above.
extern "C" fn real_dlmopen() -> usize {
    next::DLMOPEN.get().map_or(0, |f| f as usize)
}

const KEEP: c_int = !libc::RTLD_DEEPBIND;

/// `dlopen(path, mode)`.
///
/// # Safety
/// The C contract of `dlopen`.
#[cfg(target_arch = "x86_64")]
#[unsafe(no_mangle)]
#[unsafe(naked)]
pub unsafe extern "C" fn dlopen(path: *const c_char, mode: c_int) -> *mut c_void {
    naked_asm!(
        "and esi, {keep}",
        "push rdi",
        "push rsi",
        "sub rsp, 8",
        "call {real}",
        "add rsp, 8",
        "pop rsi",
        "pop rdi",
        "jmp rax",
        keep = const KEEP,
        real = sym real_dlopen,
    )
}

/// `dlmopen(namespace, path, mode)`.
///
/// # Safety
/// The C contract of `dlmopen`.
#[cfg(target_arch = "x86_64")]
#[unsafe(no_mangle)]
#[unsafe(naked)]
pub unsafe extern "C" fn dlmopen(
    namespace: isize,
    path: *const c_char,
    mode: c_int,
) -> *mut c_void {
    naked_asm!(
        "and edx, {keep}",
        "push rdi",
        "push rsi",
        "push rdx",
        "call {real}",
        "pop rdx",
        "pop rsi",
        "pop rdi",
        "jmp rax",
        keep = const KEEP,
        real = sym real_dlmopen,
    )
}

/// `dlopen(path, mode)`.
///
/// # Safety
/// The C contract of `dlopen`.
#[cfg(target_arch = "aarch64")]
#[unsafe(no_mangle)]
#[unsafe(naked)]
pub unsafe extern "C" fn dlopen(path: *const c_char, mode: c_int) -> *mut c_void {
    naked_asm!(
        "and w1, w1, {keep}",
        "stp x29, x30, [sp, -32]!",
        "stp x0, x1, [sp, 16]",
        "bl {real}",
        "mov x16, x0",
        "ldp x0, x1, [sp, 16]",
        "ldp x29, x30, [sp], 32",
        "br x16",
        keep = const KEEP,
        real = sym real_dlopen,
    )
}

/// `dlmopen(namespace, path, mode)`.
///
/// # Safety
/// The C contract of `dlmopen`.
#[cfg(target_arch = "aarch64")]
#[unsafe(no_mangle)]
#[unsafe(naked)]
pub unsafe extern "C" fn dlmopen(
    namespace: isize,
    path: *const c_char,
    mode: c_int,
) -> *mut c_void {
    naked_asm!(
        "and w2, w2, {keep}",
        "stp x29, x30, [sp, -48]!",
        "stp x0, x1, [sp, 16]",
        "str x2, [sp, 32]",
        "bl {real}",
        "mov x16, x0",
        "ldp x0, x1, [sp, 16]",
        "ldr x2, [sp, 32]",
        "ldp x29, x30, [sp], 48",
        "br x16",
        keep = const KEEP,
        real = sym real_dlmopen,
    )
}
