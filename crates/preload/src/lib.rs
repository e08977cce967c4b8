//! `libusysv.so`: the C edge.
//!
//! It lives in strangers' processes: no allocator, no threads, no TLS destructors, no locale, no
//! logging to the program's descriptors, no change of its environment; `errno` untouched on
//! success; nothing unwinds.
#![no_std]

mod cancel;
mod creds;
mod dlopen;
mod edge;
mod efault;
#[cfg(debug_assertions)]
mod for_tests;
mod fork;
mod hooks;
mod msg;
mod next;
mod posixshm;
mod procfs;
mod sem;
mod shm;
mod signals;
mod threads;
mod tls;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: abort never returns and needs nothing.
    unsafe { libc::abort() }
}

// libcore is compiled with unwinding and refers to this. The libc calls it for a frame of ours when it ends a
// cancelled thread: there is nothing to be undone (_URC_CONTINUE_UNWIND).
// In assembly, because a Rust definition would be exported and could capture another Rust
// library's.
#[cfg(target_arch = "x86_64")]
core::arch::global_asm!(
    ".pushsection .text.rust_eh_personality,\"ax\",%progbits",
    ".globl rust_eh_personality",
    ".hidden rust_eh_personality",
    "rust_eh_personality:",
    "mov eax, 8",
    "ret",
    ".popsection",
);

#[cfg(target_arch = "aarch64")]
core::arch::global_asm!(
    ".pushsection .text.rust_eh_personality,\"ax\",%progbits",
    ".globl rust_eh_personality",
    ".hidden rust_eh_personality",
    "rust_eh_personality:",
    "mov w0, 8",
    "ret",
    ".popsection",
);

#[link(name = "c")]
unsafe extern "C" {}
