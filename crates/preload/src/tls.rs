//! This thread's block of the preload library: zero when the thread begins, gone with it.
//!
//! Stable Rust without std has no thread-locals, so the block is a `.tbss` symbol and its address
//! is computed by hand in the initial-exec model: two instructions, no call, no allocation, no
//! destructor, and therefore good in signal handlers. The price is static TLS: a late `dlopen` of
//! this library takes the block from the libc's small surplus, so it stays under 256 bytes.
//!
//! No lock: only its own thread touches a block. A signal handler of the same thread may come
//! between any two instructions, hence relaxed atomics and not plain cells. A vfork child
//! borrows its parent's block while the parent stands still; a fork child has a copy, which is
//! true for it too, since it has a copy of the address space and of the signal mask.

use core::arch::{asm, global_asm};
use core::marker::PhantomData;
use core::mem::size_of;
use core::sync::atomic::AtomicU64;

/// Pages that a thread remembers to be accessible.
pub const PAGES: usize = 16;

/// What the preload library keeps for each thread.
#[repr(C, align(64))]
pub struct Block {
    /// The generation that `pages` belong to (`efault`).
    pub generation: AtomicU64,
    /// Direct-mapped: page address, with the access known to work in the low bits (`efault`).
    pub pages: [AtomicU64; PAGES],
    /// Not `Sync`, so that a reference never leaves its thread.
    alone: PhantomData<*const ()>,
}

const _: () = assert!(size_of::<Block>() <= 256);

global_asm!(
    ".pushsection .tbss.usysv_edge_tls,\"awT\",%nobits",
    ".p2align 6",
    ".globl usysv_edge_tls",
    ".hidden usysv_edge_tls",
    ".type usysv_edge_tls, %object",
    ".size usysv_edge_tls, {size}",
    "usysv_edge_tls:",
    ".zero {size}",
    ".popsection",
    size = const size_of::<Block>(),
);

/// This thread's block.
#[inline(always)]
pub fn block() -> &'static Block {
    let at: *const Block;
    // SAFETY: reads the thread pointer and a GOT entry that the dynamic linker filled when it
    // loaded this library; no memory is written.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        asm!(
            "mov {at}, qword ptr fs:[0]",
            "add {at}, qword ptr [rip + usysv_edge_tls@GOTTPOFF]",
            at = out(reg) at,
            options(pure, nomem, nostack)
        );
    }
    // SAFETY: as above.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        asm!(
            "mrs {at}, tpidr_el0",
            "adrp {offset}, :gottprel:usysv_edge_tls",
            "ldr {offset}, [{offset}, :gottprel_lo12:usysv_edge_tls]",
            "add {at}, {at}, {offset}",
            at = out(reg) at,
            offset = out(reg) _,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    // SAFETY: the symbol above reserves size_of::<Block>() zeroed bytes, aligned to 64, in every
    // thread, until the thread ends; all-zero is a valid Block, and Block is not Sync, so the
    // reference stays in this thread.
    unsafe { &*at }
}
