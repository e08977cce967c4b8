//! Signals and timers. Handlers keep to atomics and to async-signal-safe calls.
#![allow(unsafe_code)]

use crate::errno::Errno;
use crate::players::Gate;
use crate::process::{self, Ending, last_errno};
use crate::stage::Stage;
use std::ffi::c_int;
use std::sync::OnceLock;
use std::sync::atomic::{
    AtomicBool, AtomicI32, AtomicPtr, AtomicU32, AtomicUsize, Ordering::SeqCst,
};

/// Signals that a handler has run for in this process.
static SEEN: AtomicU32 = AtomicU32::new(0);

/// What `run` runs.
static HANDLER: AtomicUsize = AtomicUsize::new(0);

/// Where `jump_out` goes.
static HOME: AtomicPtr<libc::ucontext_t> = AtomicPtr::new(std::ptr::null_mut());

/// The process that `fork_in_a_call` made, in its parent; and whether this is it.
static COPY: AtomicI32 = AtomicI32::new(0);
static IS_COPY: AtomicBool = AtomicBool::new(false);

/// Where the copy waits in its handler, and what it opens when its call has ended.
static GATES: OnceLock<[Gate; 2]> = OnceLock::new();

/// How many signals have been handled in this process.
pub fn seen() -> u32 {
    SEEN.load(SeqCst)
}

extern "C" fn run(_signal: c_int) {
    SEEN.fetch_add(1, SeqCst);
    let handler = HANDLER.load(SeqCst);
    // SAFETY: `handle` stored a `fn()` there before it installed this function.
    let handler = unsafe { std::mem::transmute::<usize, fn()>(handler) };
    handler();
}

/// Handles a signal by running `handler`, the same one for all signals, which must be
/// async-signal-safe: atomics, and the calls of `call` that do not allocate.
pub fn handle(signal: c_int, flags: c_int, handler: fn()) {
    HANDLER.store(handler as usize, SeqCst);
    install(
        signal,
        run as extern "C" fn(c_int) as libc::sighandler_t,
        flags,
    );
}

/// Handles a signal by counting it.
pub fn count(signal: c_int, flags: c_int) {
    handle(signal, flags, || {});
}

/// `SIG_IGN`
pub fn ignore(signal: c_int) {
    install(signal, libc::SIG_IGN, 0);
}

fn install(signal: c_int, handler: libc::sighandler_t, flags: c_int) {
    // SAFETY: a plain C struct of integers and nullable pointers, for which zeros are a value.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler;
    action.sa_flags = flags;
    // SAFETY: `action` is complete, and its handler is `run` or one of the kernel's.
    let ret = unsafe { libc::sigaction(signal, &action, std::ptr::null_mut()) };
    assert_eq!(ret, 0, "sigaction: {}", last_errno());
}

/// Blocks (`SIG_BLOCK`) or unblocks (`SIG_UNBLOCK`) one signal in this thread.
pub fn mask(how: c_int, signal: c_int) {
    // SAFETY: sigset_t is plain data on this stack; the calls only fill it and read it.
    let ret = unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, signal);
        libc::pthread_sigmask(how, &set, std::ptr::null_mut())
    };
    assert_eq!(ret, 0, "pthread_sigmask");
}

/// `setitimer(ITIMER_REAL)`: `SIGALRM` every so many microseconds, or never again for 0.
pub fn alarm_every(interval_us: i64) {
    let interval = libc::timeval {
        tv_sec: 0,
        tv_usec: interval_us,
    };
    let timer = libc::itimerval {
        it_interval: interval,
        it_value: interval,
    };
    // SAFETY: the timer lives on this stack.
    let ret = unsafe { libc::setitimer(libc::ITIMER_REAL, &timer, std::ptr::null_mut()) };
    assert_eq!(ret, 0, "setitimer: {}", last_errno());
}

/// `alarm(seconds)`
pub fn alarm(seconds: u32) {
    // SAFETY: takes no pointers.
    unsafe { libc::alarm(seconds) };
}

/// For handlers: leaves for where `Stage::abandonable` was called, as `siglongjmp` would.
pub fn jump_out() {
    // SAFETY: `abandonable` set it to a context that is suspended in swapcontext right now.
    unsafe { libc::setcontext(HOME.load(SeqCst)) };
}

fn fork_and_wait() {
    match process::fork() {
        Some(pid) => COPY.store(pid, SeqCst),
        None => {
            IS_COPY.store(true, SeqCst);
            let gates = GATES.get();
            gates.expect("gates, before the signal came")[0].pass();
        }
    }
}

/// Ends the copy, which `fork_in_a_call` made, and expects that it went well.
pub fn reap_the_copy() {
    let pid = COPY.load(SeqCst);
    assert_eq!(process::wait(pid, 0), Ok(Some((pid, Ending::Exited(0)))));
}

impl Stage {
    /// Makes a call that `signal` interrupts, with a handler that forks. The copy's handler returns when the
    /// first gate opens; the copy's call fails with EINTR as well, and then it opens the second gate and is gone.
    pub fn fork_in_a_call(
        &self,
        signal: c_int,
        gates: [Gate; 2],
        call: impl FnOnce() -> Result<(), Errno>,
    ) {
        assert!(GATES.set(gates).is_ok(), "once for each player");
        handle(signal, libc::SA_RESTART, fork_and_wait);
        let ends_the_copy = || {
            let result = call();
            if IS_COPY.load(SeqCst) {
                gates[1].open();
                process::exit_now(i32::from(result != Err(Errno(libc::EINTR))));
            }
            result
        };
        let ended = self.call(
            format_args!("a call with a fork in it"),
            ends_the_copy,
            |()| "done".to_owned(),
        );
        ended.fails(libc::EINTR);
    }

    /// Plays `play` on a stack of its own until it ends or a handler calls [`jump_out`].
    ///
    /// What was jumped out of is never resumed and never torn down, just as C's frames are not.
    pub fn abandonable(&self, play: &mut dyn FnMut()) {
        extern "C" fn enter(low: c_int, high: c_int) {
            let address = (low as u32 as usize) | (high as u32 as usize) << 32;
            let play = std::ptr::with_exposed_provenance_mut::<&mut dyn FnMut()>(address);
            // SAFETY: `abandonable` passes its own argument, and waits in swapcontext meanwhile.
            unsafe { (*play)() };
        }
        let mut play = play;
        let address = (&raw mut play).expose_provenance();
        // Abandoned with whatever lives on it: it may never be freed.
        let stack = vec![0_u8; 256 * 1024].leak();
        // SAFETY: plain C structs, filled in by getcontext and swapcontext before use.
        let contexts: Box<[libc::ucontext_t; 2]> = Box::new(unsafe { std::mem::zeroed() });
        let [home, away] = Box::leak(contexts);
        HOME.store(home, SeqCst);
        // SAFETY: both contexts and the stack live for ever; `enter` takes two ints; HOME is left
        // once and come back to once, by uc_link or by jump_out.
        unsafe {
            assert_eq!(libc::getcontext(away), 0, "getcontext");
            away.uc_stack.ss_sp = stack.as_mut_ptr().cast();
            away.uc_stack.ss_size = stack.len();
            away.uc_link = home;
            let enter = enter as extern "C" fn(c_int, c_int);
            let enter = std::mem::transmute::<extern "C" fn(c_int, c_int), extern "C" fn()>(enter);
            libc::makecontext(away, enter, 2, address as c_int, (address >> 32) as c_int);
            assert_eq!(libc::swapcontext(home, away), 0, "swapcontext");
        }
        self.board
            .returned
            .store(self.board.entered.load(SeqCst), SeqCst);
    }
}
