//! This thread's block of the engine: zero when the thread begins, gone with it.
//!
//! Stable Rust without std has no thread-locals, so the block is a `.tbss` symbol and its address
//! is computed by hand in the initial-exec model: two instructions, no call, no allocation, no
//! destructor, and therefore good in signal handlers.
//!
//! No lock: only its own thread touches a block. A signal handler of the same thread may come
//! between any two instructions, hence relaxed atomics and not plain cells. A fork child has a
//! copy, which `process` notices by `generation`.
#![allow(unsafe_code)]

use core::arch::{asm, global_asm};
use core::marker::PhantomData;
use core::mem::size_of;
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize};

/// What the engine keeps for each thread.
#[repr(C, align(64))]
pub struct Block {
    /// Open critical sections (`critical`).
    pub depth: AtomicU32,
    /// 1 while signals are blocked because one came during a section (`critical`).
    pub deferred: AtomicU32,
    /// The signal mask to go back to when `deferred` ends.
    pub saved_mask: AtomicU64,
    /// Signal handlers of the program started in this thread, modulo 2^32; counted by the preload
    /// library.
    pub handled: AtomicU32,
    /// The process generation that the fields below belong to, inverted (`process`).
    pub generation: AtomicU64,
    /// This process.
    pub pid: AtomicU32,
    /// This thread.
    pub tid: AtomicU32,
    /// What it is called where no more than a guess depends on it (`look`).
    pub name: AtomicU32,
    /// The libc's robust-list head of this thread.
    pub robust: AtomicUsize,
    /// The robust-list entry behind the one lock of ours that this thread holds.
    pub behind: AtomicUsize,
    /// The `Waiting` of the call that this thread sleeps in, or 0.
    pub waiting: AtomicUsize,
    /// This thread's bell (`bell`): the mapping it lies in, or 0, its cell and that's generation.
    pub bell_in: AtomicUsize,
    /// See `bell_in`.
    pub bell_index: AtomicU32,
    /// See `bell_in`.
    pub bell_generation: AtomicU32,
    /// The number of the fork that this thread makes, or 0; in the child until it is known
    /// (`engine::fork`).
    pub forking: AtomicU32,
    /// Polls of empty queues by this thread, in a circle (`msg`).
    pub glances: AtomicU32,
    /// 1: this thread sent a message since it last began to receive one.
    pub sent: AtomicU32,
    /// Looks at a lock that nothing happens to before it is given up, plus one; 0: never (`lock`).
    pub patience: AtomicU32,
    /// The preload library's, for a thread that is alone: pages that can be read, and written.
    pub last: [AtomicUsize; 2],
    /// Not `Sync`, so that a reference never leaves its thread.
    alone: PhantomData<*const ()>,
}

const _: () = assert!(size_of::<Block>() <= 128);

global_asm!(
    ".pushsection .tbss.usysv_engine_tls,\"awT\",%nobits",
    ".p2align 6",
    ".globl usysv_engine_tls",
    ".hidden usysv_engine_tls",
    ".type usysv_engine_tls, %object",
    ".size usysv_engine_tls, {size}",
    "usysv_engine_tls:",
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
            "add {at}, qword ptr [rip + usysv_engine_tls@GOTTPOFF]",
            at = out(reg) at,
            options(pure, nomem, nostack)
        );
    }
    // SAFETY: as above.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        asm!(
            "mrs {at}, tpidr_el0",
            "adrp {offset}, :gottprel:usysv_engine_tls",
            "ldr {offset}, [{offset}, :gottprel_lo12:usysv_engine_tls]",
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
