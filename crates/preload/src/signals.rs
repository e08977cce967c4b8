//! Signal handlers: every one that the program installs is reached through a trampoline, which
//! defers it while the thread is inside a critical section ([`engine::critical`]).
//!
//! The kernel's own table stays the only truth about which handler is installed. Each distinct
//! handler of the program gets a number for ever, and with it a stub: sixteen bytes of code at a
//! fixed address. Installing handler number `n` tells the kernel "stub `n`"; asking the kernel
//! what is installed answers "stub `n`", which is translated back. So there is no second table to
//! keep in step: concurrent `sigaction` calls, deliveries between any two instructions, fork,
//! vfork (a child with the parent's memory and its own kernel table), `system(3)` and other libc
//! internals that save and restore an action, all are as atomic as the kernel makes them. The
//! list of handlers only grows, by compare-and-swap; there is no lock.
//!
//! Delivery, no section open: stub -> `decide` -> jump to the program's handler with the kernel's
//! registers and stack, so that it sees its own siginfo and context, returns straight to the
//! kernel's restorer and may `siglongjmp`; backtraces do not show us.
//!
//! Delivery inside a section: the signal is queued again to this thread with its siginfo, and the
//! interrupted context gets a mask that blocks everything but faults, so the section runs on until
//! `critical::leave` restores the mask and the kernel delivers anew. A one-shot handler
//! (SA_RESETHAND) that the kernel took away for the deferred delivery is put back first.
//!
//! A synchronous fault (SIGSEGV and its kind, sent by the kernel) cannot wait: it runs the
//! program's handler at once, after `hooks` had a chance to turn it into `EFAULT`.
//!
//! A SIGBUS in memory of the engine's ([`engine::bus`]) is repaired before anything of the program
//! runs, and where the program wants SIG_DFL or SIG_IGN, the engine's stand-in is what the kernel is
//! told, from the engine's first mapping on. One that is sent by `kill` while a section is open is
//! deferred as any signal is, and a fault meanwhile kills.
//!
//! The handler by which glibc has all threads change their user is reached through a stub, too, as it ends waits
//! ([`adopt_the_libcs`]); it neither calls us nor jumps, so it runs at once also inside of a section.
//!
//! Not covered, and harmless unless a section is interrupted at that moment: handlers installed by
//! raw system calls or the obsolete `sigvec`, handlers number 513 and up (installed as they are),
//! the libc's internal signal 32. Known differences: a real-time signal that was sent to
//! one thread and is deferred falls behind others of its number already pending for that thread;
//! a deferred SIGCONT or terminal stop signal cancels its opposite as any new one would.

use crate::hooks;
use crate::next;
use core::arch::global_asm;
use core::ffi::{c_int, c_void};
use core::mem::transmute;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use engine::tls::{self, Block};
use engine::{bus, endless, sys};
use libc::{
    SA_NODEFER, SA_ONSTACK, SA_RESETHAND, SA_RESTART, SA_SIGINFO, SIG_DFL, SIG_ERR, SIG_IGN,
    sighandler_t, siginfo_t, ucontext_t,
};

/// `struct sigaction`, whose name the function has here.
type Action = libc::sigaction;

/// Distinct handlers that can be told apart.
const STUBS: usize = 512;
const STUB_BYTES: usize = 16;

/// In a word of [`HANDLERS`]: the program did not ask for SA_SIGINFO. No user address has it.
const PLAIN: usize = 1 << 63;

/// `sigset`'s third special value, which libc crates leave out.
const SIG_HOLD: sighandler_t = 2;

/// Word `n`: the address of handler `n`, perhaps with [`PLAIN`]; 0 if not given away yet. A word
/// is written once. Relaxed everywhere: the word is all that is published, and the kernel's table
/// carries the number from the thread that wrote it to the one that takes the signal.
static HANDLERS: [AtomicUsize; STUBS] = [const { AtomicUsize::new(0) }; STUBS];

/// Bit `sig - 1`: the last action installed was one-shot and its SA_SIGINFO is ours. Only read to
/// hide that flag after the kernel reset the action; a race can at worst show a stray flag.
static ONE_SHOT_PLAIN: AtomicU64 = AtomicU64::new(0);

/// Bit `sig - 1`: `siginterrupt(sig, 1)` was the last word, so `signal` leaves SA_RESTART out.
static INTERRUPT: AtomicU64 = AtomicU64::new(0);

#[cfg(target_arch = "x86_64")]
global_asm!(
    ".pushsection .text.usysv_edge_stubs,\"ax\",@progbits",
    ".p2align 4",
    ".globl usysv_edge_stubs",
    ".hidden usysv_edge_stubs",
    "usysv_edge_stubs:",
    ".cfi_startproc",
    ".rept {stubs}",
    ".p2align 4",
    "endbr64",
    "lea rcx, [rip]", // 11 bytes into the stub: the remainder vanishes in the division
    "jmp 2f",
    ".endr",
    ".cfi_endproc",
    ".p2align 4",
    "2:",
    ".cfi_startproc",
    "push rdi",
    ".cfi_adjust_cfa_offset 8",
    "push rsi",
    ".cfi_adjust_cfa_offset 8",
    "push rdx",
    ".cfi_adjust_cfa_offset 8",
    "call {decide}",
    "pop rdx",
    ".cfi_adjust_cfa_offset -8",
    "pop rsi",
    ".cfi_adjust_cfa_offset -8",
    "pop rdi",
    ".cfi_adjust_cfa_offset -8",
    "mov r11, rax",
    "xor eax, eax", // as the kernel leaves it, for handlers without a prototype
    "test r11, r11",
    "je 3f",
    "jmp r11",
    "3:",
    "ret",
    ".cfi_endproc",
    ".popsection",
    stubs = const STUBS,
    decide = sym decide,
);

#[cfg(target_arch = "aarch64")]
global_asm!(
    ".pushsection .text.usysv_edge_stubs,\"ax\",%progbits",
    ".p2align 4",
    ".globl usysv_edge_stubs",
    ".hidden usysv_edge_stubs",
    "usysv_edge_stubs:",
    ".cfi_startproc",
    ".rept {stubs}",
    ".p2align 4",
    "hint 34", // bti c
    "adr x3, .",
    "b 2f",
    ".endr",
    ".cfi_endproc",
    ".p2align 4",
    "2:",
    ".cfi_startproc",
    "stp x29, x30, [sp, -48]!",
    ".cfi_def_cfa_offset 48",
    ".cfi_offset 29, -48",
    ".cfi_offset 30, -40",
    "mov x29, sp",
    "stp x0, x1, [sp, 16]",
    "str x2, [sp, 32]",
    "bl {decide}",
    "mov x16, x0",
    "ldp x0, x1, [sp, 16]",
    "ldr x2, [sp, 32]",
    "ldp x29, x30, [sp], 48",
    ".cfi_restore 29",
    ".cfi_restore 30",
    ".cfi_def_cfa_offset 0",
    "cbz x16, 3f",
    "br x16",
    "3:",
    "ret",
    ".cfi_endproc",
    ".popsection",
    stubs = const STUBS,
    decide = sym decide,
);

unsafe extern "C" {
    static usysv_edge_stubs: [u8; STUBS * STUB_BYTES];
}

fn stub(number: usize) -> sighandler_t {
    (&raw const usysv_edge_stubs) as usize + number * STUB_BYTES
}

/// The word of the handler whose stub `at` points into.
fn stub_word(at: usize) -> Option<usize> {
    let number = at.wrapping_sub(stub(0)) / STUB_BYTES;
    Some(HANDLERS.get(number)?.load(Ordering::Relaxed))
}

/// What to tell the kernel in place of `handler`: its stub, or itself if it needs or gets none.
fn wrap(handler: sighandler_t, siginfo: bool) -> Option<sighandler_t> {
    const FIRST_PAGE: usize = 4096;
    if handler < FIRST_PAGE || handler & PLAIN != 0 {
        // SIG_DFL, SIG_IGN, or a value that no function can have.
        return None;
    }
    let word = if siginfo { handler } else { handler | PLAIN };
    for (number, slot) in HANDLERS.iter().enumerate() {
        let mut seen = slot.load(Ordering::Relaxed);
        if seen == 0 {
            seen = match slot.compare_exchange(0, word, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => word,
                Err(other) => other,
            };
        }
        if seen == word {
            return Some(stub(number));
        }
    }
    None
}

fn bit(sig: c_int) -> u64 {
    match sig {
        1..=64 => 1 << (sig - 1),
        _ => 0,
    }
}

/// The signals that an instruction raises in its own thread.
const FAULTS: u64 = 1 << (libc::SIGSEGV - 1)
    | 1 << (libc::SIGBUS - 1)
    | 1 << (libc::SIGFPE - 1)
    | 1 << (libc::SIGILL - 1)
    | 1 << (libc::SIGTRAP - 1)
    | 1 << (libc::SIGSYS - 1);

/// Called by the stub at `at`, with what the kernel passed to it: the address to jump to, or 0 to
/// return to the interrupted code.
unsafe extern "C" fn decide(
    sig: c_int,
    info: *mut siginfo_t,
    context: *mut ucontext_t,
    at: usize,
) -> usize {
    let tls = tls::block();
    let Some(word) = stub_word(at) else { return 0 };
    // SAFETY: stubs are only ever installed with SA_SIGINFO: the kernel's siginfo.
    if sig == libc::SIGBUS && unsafe { bus::heal(info) } {
        reinstall_one_shot(sig, (at - stub(0)) / STUB_BYTES);
        return 0;
    }
    let handler = word & !PLAIN;
    if tls.depth.load(Ordering::Relaxed) | tls.deferred.load(Ordering::Relaxed) == 0 {
        // SAFETY: stubs are only ever installed with SA_SIGINFO: the kernel's frame.
        unsafe { end_call(context) };
        count(tls);
        return handler;
    }
    let number = (at - stub(0)) / STUB_BYTES;
    // SAFETY: stubs are only ever installed with SA_SIGINFO, so the kernel gave a siginfo and a
    // context that live on this handler's frame.
    unsafe { decide_inside(tls, sig, info, context, number, handler) }
}

/// nptl's SIGSETXID: glibc's `setuid` and its like send it to all threads, and wait for them.
const SETXID: c_int = 33;

/// Whether [`SETXID`]'s handler has its stub.
static ADOPTED: AtomicBool = AtomicBool::new(false);

/// Whether the handler that the libc has for its threads is announced to the engine.
pub fn libcs_is_adopted() -> bool {
    ADOPTED.load(Ordering::Relaxed)
}

/// The kernel's `struct sigaction`.
#[repr(C)]
#[derive(Default)]
struct KernelAction {
    handler: usize,
    flags: usize,
    restorer: usize,
    mask: u64,
}

/// Puts a stub before the libc's handler of [`SETXID`], if there is one. The libc installs it once, with the
/// process's first thread, and lets nobody else ask for it.
pub fn adopt_the_libcs() {
    if libcs_is_adopted() {
        return;
    }
    let mut action = KernelAction::default();
    let to = &raw mut action as usize;
    // SAFETY: the kernel fills the structure.
    let asked = unsafe { sys::syscall4(libc::SYS_rt_sigaction, SETXID as usize, 0, to, 8) };
    let is_stub = stub_word(action.handler).is_some();
    let siginfo = action.flags & SA_SIGINFO as usize != 0;
    if asked != 0 || !is_stub && !siginfo {
        return;
    }
    if !is_stub {
        let Some(stub) = wrap(action.handler, true) else {
            return;
        };
        action.handler = stub;
        let from = &raw const action as usize;
        // SAFETY: the kernel reads what it said itself but for the handler, which takes the same arguments.
        let put = unsafe { sys::syscall4(libc::SYS_rt_sigaction, SETXID as usize, from, 0, 8) };
        if put != 0 {
            return;
        }
    }
    ADOPTED.store(true, Ordering::Relaxed);
    engine::tell_of_handlers(true);
}

/// [`decide`], for a thread that is inside a section, or has not restored its mask after one.
#[cold]
unsafe fn decide_inside(
    tls: &Block,
    sig: c_int,
    info: *mut siginfo_t,
    context: *mut ucontext_t,
    number: usize,
    handler: usize,
) -> usize {
    if sig == SETXID {
        note(tls);
        return handler;
    }
    // SAFETY: `decide` passes the kernel's frame. The kernel's mask is the first eight bytes of
    // the libc's larger set.
    let mask = unsafe { &mut *(&raw mut (*context).uc_sigmask).cast::<u64>() };
    if tls.depth.load(Ordering::Relaxed) == 0 {
        // Between the end of a section and its `restore`: this handler's return will restore.
        *mask = tls.saved_mask.load(Ordering::Relaxed);
        tls.deferred.store(0, Ordering::Relaxed);
        count(tls);
        return handler;
    }
    // SAFETY: the kernel filled `info`.
    if bit(sig) & FAULTS != 0 && unsafe { (*info).si_code } > 0 {
        // SAFETY: passed on as they came.
        unsafe { fault(tls, sig, info, context, handler) };
        return 0;
    }
    // Nothing may nest from here on; above all not the signal itself (SA_NODEFER), once queued.
    block_all();
    // A handler may have nested before that, and its context's mask includes ours: the smallest
    // mask is that of the section.
    let saved = match tls.deferred.load(Ordering::Relaxed) {
        0 => *mask,
        _ => *mask & tls.saved_mask.load(Ordering::Relaxed),
    };
    tls.saved_mask.store(saved, Ordering::Relaxed);
    tls.deferred.store(1, Ordering::Relaxed);
    *mask |= !FAULTS | bit(sig);
    reinstall_one_shot(sig, number);
    // SAFETY: the kernel's own siginfo.
    unsafe { queue_again(sig, info) };
    0
}

/// A sleep that the kernel would begin anew after the handler is over.
unsafe fn end_call(context: *mut ucontext_t) {
    // SAFETY: the caller's frame.
    unsafe {
        let pc = pc_of(context);
        if let Some(behind) = endless::ended(*pc as usize) {
            *pc = behind as _;
            *result_of(context) = -libc::EINTR as _;
        }
    }
}

/// A handler runs: the call that it is in the midst of sees that, before it sleeps.
fn note(tls: &Block) {
    let handled = tls.handled.load(Ordering::Relaxed);
    tls.handled
        .store(handled.wrapping_add(1), Ordering::Relaxed);
}

/// A handler of the program begins: a wait that it interrupts is over.
fn count(tls: &Block) {
    note(tls);
    if tls.waiting.load(Ordering::Relaxed) != 0 {
        engine::interrupted();
    }
}

/// A synchronous fault inside a section.
unsafe fn fault(
    tls: &Block,
    sig: c_int,
    info: *mut siginfo_t,
    context: *mut ucontext_t,
    handler: usize,
) {
    // SAFETY: the kernel's frame, exclusively ours until we return.
    let pc = unsafe { pc_of(context) };
    if let Some(fixup) = hooks::fault_fixup(*pc as usize) {
        *pc = fixup as _;
        return;
    }
    let before = hooks::fault_in_section();
    count(tls);
    // For the handler it is as if the section was not there: it may call us, or jump away.
    let depth = tls.depth.swap(0, Ordering::Relaxed);
    // SAFETY: the address is one that the program installed as a handler; it takes these
    // arguments, or only the first, which the C ABI cannot tell apart.
    unsafe {
        let handler: extern "C" fn(c_int, *mut siginfo_t, *mut ucontext_t) = transmute(handler);
        handler(sig, info, context);
    }
    tls.depth.store(depth, Ordering::Relaxed);
    hooks::fault_over(&before);
}

#[cfg(target_arch = "x86_64")]
unsafe fn pc_of(context: *mut ucontext_t) -> &'static mut i64 {
    // SAFETY: the caller owns the context for as long as it uses this.
    unsafe { &mut (*context).uc_mcontext.gregs[libc::REG_RIP as usize] }
}

#[cfg(target_arch = "aarch64")]
unsafe fn pc_of(context: *mut ucontext_t) -> &'static mut u64 {
    // SAFETY: the caller owns the context for as long as it uses this.
    unsafe { &mut (*context).uc_mcontext.pc }
}

/// Where a system call's result is.
#[cfg(target_arch = "x86_64")]
unsafe fn result_of(context: *mut ucontext_t) -> &'static mut i64 {
    // SAFETY: the caller owns the context for as long as it uses this.
    unsafe { &mut (*context).uc_mcontext.gregs[libc::REG_RAX as usize] }
}

#[cfg(target_arch = "aarch64")]
unsafe fn result_of(context: *mut ucontext_t) -> &'static mut i64 {
    // SAFETY: the caller owns the context for as long as it uses this.
    unsafe { &mut *(&raw mut (*context).uc_mcontext.regs[0]).cast() }
}

fn block_all() {
    let all = u64::MAX;
    // SAFETY: the kernel reads eight bytes from `all` and writes nothing.
    unsafe {
        sys::syscall4(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK as usize,
            &raw const all as usize,
            0,
            8,
        );
    }
}

/// If the kernel took a one-shot handler away for this delivery, which does not happen now, put
/// it back.
fn reinstall_one_shot(sig: c_int, number: usize) {
    let Some(real) = next::SIGACTION.get() else {
        return;
    };
    let mut action = empty_action();
    // SAFETY: a null new action only asks; `action` is ours. Neither call can fail for a signal
    // that was just delivered, so errno stays.
    unsafe {
        if real(sig, ptr::null(), &mut action) == 0
            && action.sa_sigaction == SIG_DFL
            && action.sa_flags & SA_RESETHAND != 0
        {
            action.sa_sigaction = stub(number);
            real(sig, &action, ptr::null_mut());
        }
    }
}

/// Queue the signal to this very thread, with its siginfo. The kernel lets a process forge any
/// siginfo for itself.
unsafe fn queue_again(sig: c_int, info: *mut siginfo_t) {
    let sig = sig as usize;
    // SAFETY: no pointers.
    let (pid, tid) = unsafe {
        (
            sys::syscall4(libc::SYS_getpid, 0, 0, 0, 0) as usize,
            sys::syscall4(libc::SYS_gettid, 0, 0, 0, 0) as usize,
        )
    };
    let at = info as usize;
    let queue = || {
        // SAFETY: the kernel reads the siginfo, which it wrote itself.
        unsafe { sys::syscall4(libc::SYS_rt_tgsigqueueinfo, pid, tid, sig, at) }
    };
    if queue() >= 0 {
        return;
    }
    // No room to queue a siginfo (RLIMIT_SIGPENDING): the signal matters more than its details,
    // and the kernel never refuses this code.
    // SAFETY: the siginfo is on our handler's frame, and nobody reads it after us.
    unsafe { (*info).si_code = libc::SI_USER };
    if queue() < 0 {
        // A sandbox that knows only the commoner call.
        // SAFETY: no pointers.
        unsafe { sys::syscall4(libc::SYS_tgkill, pid, tid, sig, 0) };
    }
}

fn empty_action() -> Action {
    // SAFETY: all-zero is SIG_DFL without flags and with an empty mask.
    unsafe { core::mem::zeroed() }
}

/// Turn what the kernel says is installed into what the program installed.
fn unwrap(sig: c_int, action: &mut Action) {
    if let Some((handler, siginfo)) = bus::stands_for(action.sa_sigaction) {
        action.sa_sigaction = handler;
        if matches!(handler, SIG_DFL | SIG_IGN) {
            action.sa_flags &= !SA_ONSTACK;
        }
        if !siginfo {
            action.sa_flags &= !SA_SIGINFO;
        }
    }
    if let Some(word) = stub_word(action.sa_sigaction) {
        action.sa_sigaction = word & !PLAIN;
        if word & PLAIN != 0 {
            action.sa_flags &= !SA_SIGINFO;
        }
    } else if action.sa_sigaction == SIG_DFL
        && action.sa_flags & SA_RESETHAND != 0
        && ONE_SHOT_PLAIN.load(Ordering::Relaxed) & bit(sig) != 0
    {
        action.sa_flags &= !SA_SIGINFO;
    }
}

/// `sigaction(sig, act, oldact)`.
///
/// # Safety
/// The C contract of `sigaction`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sigaction(sig: c_int, act: *const Action, oldact: *mut Action) -> c_int {
    let Some(real) = next::SIGACTION.get() else {
        sys::errno().set(libc::ENOSYS);
        return -1;
    };
    if act.is_null() {
        // SAFETY: the caller's own arguments.
        let ret = unsafe { real(sig, act, oldact) };
        if ret == 0 {
            // SAFETY: null, or the caller's, which the real call filled.
            if let Some(old) = unsafe { oldact.as_mut() } {
                unwrap(sig, old);
            }
        }
        return ret;
    }
    // SAFETY: not null; a bad pointer faults here as it does in the libc. A copy, because the
    // old action may be asked for in the same place.
    let mut new = unsafe { *act };
    let siginfo = new.sa_flags & SA_SIGINFO != 0;
    let mut old = empty_action();
    let wrapped = wrap(new.sa_sigaction, siginfo);
    if let Some(stub) = wrapped {
        new.sa_sigaction = stub;
        new.sa_flags |= SA_SIGINFO;
    } else if sig == libc::SIGBUS
        && let Some(ours) = bus::stand_in(new.sa_sigaction)
    {
        new.sa_sigaction = ours;
        new.sa_flags |= SA_SIGINFO | SA_ONSTACK;
        new.sa_flags &= !SA_RESETHAND;
    }
    // SAFETY: both are ours.
    if unsafe { real(sig, &new, &mut old) } != 0 {
        return -1;
    }
    unwrap(sig, &mut old);
    if wrapped.is_some() && !siginfo && new.sa_flags & SA_RESETHAND != 0 {
        ONE_SHOT_PLAIN.fetch_or(bit(sig), Ordering::Relaxed);
    } else if ONE_SHOT_PLAIN.load(Ordering::Relaxed) & bit(sig) != 0 {
        ONE_SHOT_PLAIN.fetch_and(!bit(sig), Ordering::Relaxed);
    }
    // SAFETY: null or the caller's to fill.
    if let Some(oldact) = unsafe { oldact.as_mut() } {
        *oldact = old;
    }
    0
}

/// `__sigaction`: the libc's other public name of it.
///
/// # Safety
/// The C contract of `sigaction`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __sigaction(sig: c_int, act: *const Action, oldact: *mut Action) -> c_int {
    // SAFETY: the caller's own arguments.
    unsafe { sigaction(sig, act, oldact) }
}

/// Install `handler` and return the one before.
fn install(sig: c_int, handler: sighandler_t, flags: c_int, mask: u64) -> sighandler_t {
    let mut new = empty_action();
    let mut old = empty_action();
    new.sa_sigaction = handler;
    new.sa_flags = flags;
    // SAFETY: the kernel's 64 signals are the first eight bytes of the libc's set.
    unsafe { (&raw mut new.sa_mask).cast::<u64>().write(mask) };
    // SAFETY: both are ours.
    if unsafe { sigaction(sig, &new, &mut old) } != 0 {
        return SIG_ERR;
    }
    old.sa_sigaction
}

/// `signal(sig, handler)` as the BSDs and glibc mean it: stays installed, restarts calls.
#[unsafe(no_mangle)]
pub extern "C" fn signal(sig: c_int, handler: sighandler_t) -> sighandler_t {
    if handler == SIG_ERR || bit(sig) == 0 {
        sys::errno().set(libc::EINVAL);
        return SIG_ERR;
    }
    let restart = INTERRUPT.load(Ordering::Relaxed) & bit(sig) == 0;
    install(sig, handler, if restart { SA_RESTART } else { 0 }, bit(sig))
}

/// `bsd_signal`: `signal`.
#[unsafe(no_mangle)]
pub extern "C" fn bsd_signal(sig: c_int, handler: sighandler_t) -> sighandler_t {
    signal(sig, handler)
}

/// `ssignal`: `signal`.
#[unsafe(no_mangle)]
pub extern "C" fn ssignal(sig: c_int, handler: sighandler_t) -> sighandler_t {
    signal(sig, handler)
}

/// `sysv_signal(sig, handler)`: what `signal` is in strict X/Open programs: one shot, unmasked.
#[unsafe(no_mangle)]
pub extern "C" fn sysv_signal(sig: c_int, handler: sighandler_t) -> sighandler_t {
    const SA_INTERRUPT: c_int = 0x2000_0000;
    if handler == SIG_ERR || bit(sig) == 0 {
        sys::errno().set(libc::EINVAL);
        return SIG_ERR;
    }
    install(sig, handler, SA_RESETHAND | SA_NODEFER | SA_INTERRUPT, 0)
}

/// `__sysv_signal`: the name that the headers redirect `signal` to.
#[unsafe(no_mangle)]
pub extern "C" fn __sysv_signal(sig: c_int, handler: sighandler_t) -> sighandler_t {
    sysv_signal(sig, handler)
}

/// `sigset(sig, handler)`: install and unblock, or block if the handler is SIG_HOLD.
#[unsafe(no_mangle)]
pub extern "C" fn sigset(sig: c_int, handler: sighandler_t) -> sighandler_t {
    if handler == SIG_ERR || bit(sig) == 0 {
        sys::errno().set(libc::EINVAL);
        return SIG_ERR;
    }
    let how = if handler == SIG_HOLD {
        libc::SIG_BLOCK
    } else {
        libc::SIG_UNBLOCK
    };
    let mut old = empty_action();
    old.sa_sigaction = SIG_ERR;
    if handler == SIG_HOLD {
        // SAFETY: a null new action only asks; `old` is ours.
        if unsafe { sigaction(sig, ptr::null(), &mut old) } != 0 {
            return SIG_ERR;
        }
    } else {
        old.sa_sigaction = install(sig, handler, 0, 0);
        if old.sa_sigaction == SIG_ERR {
            return SIG_ERR;
        }
    }
    let set = bit(sig);
    let mut before = 0u64;
    // SAFETY: the kernel reads eight bytes from one and writes eight to the other.
    unsafe {
        sys::syscall4(
            libc::SYS_rt_sigprocmask,
            how as usize,
            &raw const set as usize,
            &raw mut before as usize,
            8,
        );
    }
    if before & set != 0 {
        SIG_HOLD
    } else {
        old.sa_sigaction
    }
}

/// `siginterrupt(sig, interrupt)`: also sets what a later [`signal`] does, which the libc keeps
/// to itself.
///
/// # Safety
/// None; it is a C function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siginterrupt(sig: c_int, interrupt: c_int) -> c_int {
    let Some(real) = next::SIGINTERRUPT.get() else {
        sys::errno().set(libc::ENOSYS);
        return -1;
    };
    // SAFETY: no pointers. It reads the action, changes SA_RESTART and writes it back: the stub
    // and our SA_SIGINFO go through unharmed.
    let ret = unsafe { real(sig, interrupt) };
    if ret == 0 {
        if interrupt != 0 {
            INTERRUPT.fetch_or(bit(sig), Ordering::Relaxed);
        } else {
            INTERRUPT.fetch_and(!bit(sig), Ordering::Relaxed);
        }
    }
    ret
}

const _: () = assert!(SIG_IGN < 4096 && size_of::<*mut c_void>() == 8);
