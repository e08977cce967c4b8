//! Looking: a call that cannot go on watches the object for a short time before it sleeps.
//!
//! To sleep and be woken across CPUs takes tens of microseconds, more than most waits last. Who
//! looks stands in no line and holds nothing: to everybody else it is as if the call began later.
//! Killed, it leaves nothing behind. Only a signal handler that runs meanwhile ends the call, as it
//! would end a sleep.
//!
//! Looking is for when the other side runs on another CPU; on the same one it would only keep it
//! from running. There the call lets the others run once, and looks again when it is back.

use crate::errno::{Errno, Result};
use crate::sys;
use crate::tls;
use core::cell::Cell;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// How long a call looks before it sleeps.
const LOOK_NS: u64 = 20_000;
/// How long it turns away between two looks where there is no hurry. Each look takes the cache line
/// from who writes it, and meanwhile more than one piece of news may come.
const GLANCE_NS: u64 = 1_000;

/// A switch to the other side and back costs less than a sleep and a wake.
const YIELDS: u32 = 1;

/// One call's looking.
pub(crate) struct Look {
    /// 0: it is not worth while.
    until_ns: u64,
    /// On the same CPU: how often the other side is let on before this call sleeps.
    yields: Cell<u32>,
    hurry: bool,
    handled: u32,
}

impl Look {
    /// Under the lock, which holds handlers off. `other_cpu`: where the other side was seen last,
    /// plus one.
    pub fn new(other_cpu: &AtomicU32, hurry: bool) -> Look {
        let worth_while = sys::spins() && other_cpu.load(Relaxed) != sys::cpu() + 1;
        Look {
            until_ns: match worth_while {
                true => sys::monotonic_ns() + LOOK_NS,
                false => 0,
            },
            hurry,
            yields: Cell::new(if sys::spins() && !worth_while {
                YIELDS
            } else {
                0
            }),
            handled: tls::block().handled.load(Relaxed),
        }
    }

    fn interrupted(&self) -> bool {
        tls::block().handled.load(Relaxed) != self.handled
    }

    fn time_is_up(&self) -> bool {
        self.until_ns == 0 || sys::monotonic_ns() >= self.until_ns
    }

    /// Whether it is time to sleep. EINTR: a signal handler ran since the call could not go on.
    pub fn is_over(&self) -> Result<bool> {
        match self.interrupted() {
            true => Err(Errno::EINTR),
            false => Ok(self.yields.get() == 0 && self.time_is_up()),
        }
    }

    /// Watches until there is `news`, a handler ran, or it is time to sleep.
    pub fn watch(&self, news: impl Fn() -> bool) {
        while self.yields.get() > 0 && !self.interrupted() {
            self.yields.set(self.yields.get() - 1);
            sys::sched_yield();
            if news() {
                return;
            }
        }
        while !self.time_is_up() && !self.interrupted() {
            if !self.hurry {
                sys::pause(GLANCE_NS);
            }
            for _ in 0..16 {
                if news() {
                    return;
                }
                core::hint::spin_loop();
            }
        }
    }
}
