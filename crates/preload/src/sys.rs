//! Raw system calls: the kernel's answer as it comes, `-errno` on failure.
//!
//! Owns the one place with the system-call instruction. Nothing here touches `errno`, is a
//! cancellation point or calls the libc, so all of it is safe in a signal handler and before the
//! libc is initialised.

use core::arch::asm;

/// The system call `nr` with six arguments.
///
/// # Safety
/// The caller upholds what the call `nr` asks of its arguments; one that writes memory gets
/// memory that may be written.
#[inline]
#[cfg(target_arch = "x86_64")]
pub unsafe fn syscall6(nr: i64, args: [usize; 6]) -> isize {
    let ret: isize;
    // SAFETY: the kernel's ABI: arguments in these registers, rcx and r11 are lost; the caller
    // vouches for the call itself.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") nr as isize => ret,
            in("rdi") args[0],
            in("rsi") args[1],
            in("rdx") args[2],
            in("r10") args[3],
            in("r8") args[4],
            in("r9") args[5],
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack)
        );
    }
    ret
}

/// The system call `nr` with six arguments.
///
/// # Safety
/// The caller upholds what the call `nr` asks of its arguments; one that writes memory gets
/// memory that may be written.
#[inline]
#[cfg(target_arch = "aarch64")]
pub unsafe fn syscall6(nr: i64, args: [usize; 6]) -> isize {
    let ret: isize;
    // SAFETY: the kernel's ABI: number in x8, arguments in x0..x5; the caller vouches for the
    // call itself.
    unsafe {
        asm!(
            "svc 0",
            in("x8") nr,
            inlateout("x0") args[0] as isize => ret,
            in("x1") args[1],
            in("x2") args[2],
            in("x3") args[3],
            in("x4") args[4],
            in("x5") args[5],
            options(nostack)
        );
    }
    ret
}

/// The system call `nr` with at most four arguments.
///
/// # Safety
/// As for [`syscall6`].
#[inline]
pub unsafe fn syscall4(nr: i64, a: usize, b: usize, c: usize, d: usize) -> isize {
    // SAFETY: the caller's promise is the same.
    unsafe { syscall6(nr, [a, b, c, d, 0, 0]) }
}

/// This thread's `errno`, to set it or to keep it over a libc call.
pub fn errno() -> &'static core::cell::Cell<i32> {
    // SAFETY: __errno_location points at this thread's int for as long as the thread lives, and a
    // Cell reference cannot reach another thread.
    unsafe { &*libc::__errno_location().cast() }
}

/// The C convention for a raw answer: itself, or -1 and `errno`.
pub fn c_result(raw: isize) -> isize {
    if (-4095..0).contains(&raw) {
        errno().set(-raw as i32);
        return -1;
    }
    raw
}
