//! Looking: a call that cannot go on watches the object for a short time before it sleeps.
//!
//! To sleep and be woken across CPUs takes tens of microseconds, more than most waits last. Who
//! looks stands in no line and holds nothing: to everybody else it is as if the call began later.
//! Killed, it leaves nothing behind. Only a signal handler that runs meanwhile ends the call, as it
//! would end a sleep.
//!
//! Looking is for when the other side runs on another CPU; on the same one it would only keep it
//! from running. There the call lets the others run once, and looks again when it is back; but not
//! where that lately let a stranger run for long: who sleeps is put before a stranger when it is
//! woken, and who only stepped aside is not.

use crate::errno::{Errno, Result};
use crate::sys;
use crate::tls;
use core::cell::Cell;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// How long a call looks before it sleeps.
const LOOK_NS: u64 = 20_000;
/// How long it turns away between two looks where there is no hurry. Each look takes the cache line
/// from who writes it, and meanwhile more than one piece of news may come.
const GLANCE_NS: u64 = 1_000;

/// A switch to the other side and back costs less than a sleep and a wake.
const YIELDS: u32 = 1;
/// The other side's turn is over before this; a stranger's is not.
const LONG_NS: u64 = 100_000;
/// After that this process lets nobody on for the square of what it took, in this unit: a stranger that
/// computes takes three milliseconds in a second, and one that runs for 200 us now and then matters little.
const REST_NS: u64 = 10_000;
/// When it may again.
static YIELDS_FROM_NS: AtomicU64 = AtomicU64::new(0);

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
        let (mut until_ns, mut yields) = (0, 0);
        if sys::spins() {
            let now = sys::monotonic_ns();
            match other_cpu.load(Relaxed) != sys::cpu() + 1 {
                true => until_ns = now + LOOK_NS,
                false if now >= YIELDS_FROM_NS.load(Relaxed) => yields = YIELDS,
                false => {}
            }
        }
        Look {
            until_ns,
            hurry,
            yields: Cell::new(yields),
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
            let_on();
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

/// Lets whoever waits for this CPU on.
fn let_on() {
    let began = sys::monotonic_ns();
    sys::sched_yield();
    let now = sys::monotonic_ns();
    let took = now.saturating_sub(began);
    if took > LONG_NS {
        let rest = took.saturating_mul(took / REST_NS);
        YIELDS_FROM_NS.store(now.saturating_add(rest), Relaxed);
    }
}
