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
use crate::tls::{self, Block};
use core::cell::Cell;
use core::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering::Relaxed};

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

/// Who did something last, and on which CPU; and where one was that did it before, and was another.
///
/// Who waits for an answer was often the last to do anything here: then the other's CPU is what counts.
/// No more than a guess: truth of nothing, changed under the object's lock.
#[repr(C)]
pub(crate) struct Seen {
    tid: AtomicU32,
    /// Plus one, as far as 16 bits go; 0: there was nobody.
    cpu: AtomicU16,
    others_cpu: AtomicU16,
}

impl Seen {
    /// This thread did it.
    #[inline(always)]
    pub fn note(&self, thread: &Block) {
        self.note_on(thread.tid.load(Relaxed), here());
    }

    #[inline(always)]
    fn note_on(&self, tid: u32, cpu: u16) {
        if self.tid.load(Relaxed) != tid {
            self.others_cpu.store(self.cpu.load(Relaxed), Relaxed);
            self.tid.store(tid, Relaxed);
        }
        self.cpu.store(cpu, Relaxed);
    }

    /// Whether whom this thread waits for was on another CPU. Of an object that is new nobody knows.
    fn elsewhere(&self, thread: &Block) -> bool {
        self.elsewhere_than(thread.tid.load(Relaxed), here())
    }

    fn elsewhere_than(&self, tid: u32, here: u16) -> bool {
        let cpu = self.cpu.load(Relaxed);
        if self.tid.load(Relaxed) != tid {
            return cpu != here;
        }
        let other = self.others_cpu.load(Relaxed);
        other != 0 && other != here
    }
}

#[inline(always)]
fn here() -> u16 {
    (sys::cpu() as u16).wrapping_add(1)
}

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
    /// Under the lock, which holds handlers off. `others`: those who do what this call waits for.
    pub fn new(others: &Seen, hurry: bool) -> Look {
        let thread = tls::block();
        let (mut until_ns, mut yields) = (0, 0);
        if sys::spins() {
            let now = sys::monotonic_ns();
            match others.elsewhere(thread) {
                true => until_ns = now + LOOK_NS,
                false if now >= YIELDS_FROM_NS.load(Relaxed) => yields = YIELDS,
                false => {}
            }
        }
        Look {
            until_ns,
            hurry,
            yields: Cell::new(yields),
            handled: thread.handled.load(Relaxed),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn nobody() -> Seen {
        Seen {
            tid: AtomicU32::new(0),
            cpu: AtomicU16::new(0),
            others_cpu: AtomicU16::new(0),
        }
    }

    #[test]
    fn a_new_object_is_looked_at() {
        assert!(nobody().elsewhere_than(7, 1));
    }

    #[test]
    fn who_was_alone_here_looks_for_nobody() {
        let seen = nobody();
        seen.note_on(7, 1);
        seen.note_on(7, 2);
        assert!(!seen.elsewhere_than(7, 1) && !seen.elsewhere_than(7, 2));
    }

    #[test]
    fn who_was_last_looks_for_the_one_before() {
        let seen = nobody();
        for _ in 0..3 {
            seen.note_on(8, 2);
            assert!(seen.elsewhere_than(7, 1) && !seen.elsewhere_than(7, 2));
            seen.note_on(7, 1);
            seen.note_on(7, 1);
            assert!(seen.elsewhere_than(7, 1) && seen.elsewhere_than(8, 2));
        }
        // The other one moves.
        seen.note_on(8, 1);
        seen.note_on(7, 1);
        assert!(!seen.elsewhere_than(7, 1));
    }
}
