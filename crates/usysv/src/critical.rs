//! Critical sections: stretches of code that no signal handler of the program may interrupt.
//!
//! A thread inside a section holds a lock in shared memory. A handler that ran there could call
//! `msgctl` on the same queue (and wait for itself) or `siglongjmp` away (and hold the lock for
//! ever). Blocking signals costs two system calls; a section costs two stores, because handlers
//! are reached through `signals`, which looks at `depth` first.
//!
//! States of a thread, as (depth, deferred):
//!
//! | state | meaning | leaves it by |
//! |---|---|---|
//! | (0, 0) | handlers run at once | `enter` -> (1, 0) |
//! | (n, 0) | a handler would be deferred | `leave` -> (n-1, 0); a signal -> (n, 1) |
//! | (n, 1) | a signal came: it is queued again, everything is blocked, `saved_mask` is the program's | `leave` -> (n-1, 1) |
//! | (0, 1) | about to restore the mask | `restore` -> (0, 0), and the kernel delivers |
//!
//! Only the thread itself and its handlers move it, so compiler fences order everything.

use crate::sys;
use crate::tls::{self, Block};
use core::sync::atomic::{Ordering, compiler_fence};

/// Begin a section. Before the lock is asked for.
#[inline(always)]
pub fn enter() {
    let depth = &tls::block().depth;
    depth.store(depth.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    compiler_fence(Ordering::SeqCst);
}

/// End a section. After the lock is released; handlers of deferred signals run before it returns.
#[inline(always)]
pub fn leave() {
    leave_by(tls::block());
}

/// [`leave`] by this thread.
#[inline(always)]
pub(crate) fn leave_by(tls: &'static Block) {
    compiler_fence(Ordering::SeqCst);
    let depth = &tls.depth;
    depth.store(depth.load(Ordering::Relaxed) - 1, Ordering::Relaxed);
    compiler_fence(Ordering::SeqCst);
    if tls.deferred.load(Ordering::Relaxed) != 0 {
        restore(tls);
    }
}

/// Give the program its signal mask back, which delivers what was deferred.
#[cold]
#[inline(never)]
fn restore(tls: &Block) {
    if tls.depth.load(Ordering::Relaxed) != 0 {
        return;
    }
    let mask = tls.saved_mask.load(Ordering::Relaxed);
    tls.deferred.store(0, Ordering::Relaxed);
    compiler_fence(Ordering::SeqCst);
    sys::set_signal_mask(mask);
}
