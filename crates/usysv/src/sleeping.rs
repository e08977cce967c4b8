//! What a thread sleeps in, so that a signal handler of the program can end it first: the kernel
//! takes a sleeper out of its line before it runs the handler, which may then use the object, or
//! leave the call by `longjmp`.

use crate::cancelling;
use crate::process;
use crate::tls;
use core::sync::atomic::{AtomicU32, Ordering::*, compiler_fence};

/// A call that is about to sleep.
pub(crate) struct Sleeping<'a> {
    /// Takes the sleeper out of its line.
    pub withdraw: &'a dyn Fn(),
}

impl Sleeping<'_> {
    /// Runs `sleep`, during which a handler withdraws the sleeper first. It is told whether the thread was to be
    /// cancelled at any instruction: then it is at its cancellation points.
    pub fn during<T>(&self, sleep: impl FnOnce(bool) -> T) -> T {
        let block = tls::block();
        let outer = block
            .waiting
            .swap(core::ptr::from_ref(self) as usize, Relaxed);
        compiler_fence(SeqCst);
        let put_off = cancelling::put_off();
        let slept = sleep(put_off.was_anywhere());
        compiler_fence(SeqCst);
        block.waiting.store(outer, Relaxed);
        put_off.end();
        slept
    }
}

/// Which handlers are no reason for a clock: see [`tell_of_handlers`].
static TOLD: AtomicU32 = AtomicU32::new(NONE);
const NONE: u32 = 0;
const PROGRAM: u32 = 1;
const ALL: u32 = 2;

/// From now on every handler is announced by [`interrupted`] before it runs, or has no `SA_RESTART`; `also_the_libc`:
/// those too that the libc has for its threads. Then who sleeps alone does without a clock.
pub fn tell_of_handlers(also_the_libc: bool) {
    TOLD.store(if also_the_libc { ALL } else { PROGRAM }, Relaxed);
}

/// Whether a handler that has `SA_RESTART` ends a sleep without a clock.
pub(crate) fn is_told() -> bool {
    match TOLD.load(Relaxed) {
        PROGRAM => process::is_single_threaded(),
        told => told == ALL,
    }
}

/// A signal handler of the program is about to run in this thread: a call that sleeps here has
/// been interrupted.
#[allow(unsafe_code)]
pub fn interrupted() {
    let at = tls::block().waiting.swap(0, Relaxed) as *const Sleeping<'static>;
    // SAFETY: `during` of this very thread stored it and is still on the stack below us, since it
    // stores the outer value back before it returns, and this takes it away at the first handler.
    if let Some(sleeping) = unsafe { at.as_ref() } {
        (sleeping.withdraw)();
    }
}
