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
use core::sync::atomic::{AtomicU16, AtomicU64, Ordering::Relaxed};

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

/// Who did something last, and on which CPU; and the one before, who was another.
///
/// Who waits for an answer was often the last to do anything here: then the other's CPU is what counts, if the two
/// take turns. Where there are more, the one before is not whom it waits for.
/// No more than a guess: truth of nothing, changed under the object's lock.
#[repr(C)]
pub(crate) struct Seen {
    last: AtomicU16,
    /// Plus one, as far as 16 bits go; 0: there was nobody.
    cpu: AtomicU16,
    other: AtomicU16,
    /// 0, or [`ONCE`]: not to be believed.
    others_cpu: AtomicU16,
}

/// They took turns, but that may have been by chance.
const ONCE: u16 = u16::MAX;

impl Seen {
    /// This thread did it.
    #[inline(always)]
    pub fn note(&self, thread: &Block) {
        self.note_on(name(thread), here());
    }

    #[inline(always)]
    fn note_on(&self, name: u16, cpu: u16) {
        let last = self.last.load(Relaxed);
        if last != name {
            let take_turns = self.other.load(Relaxed) == name;
            let others_cpu = match (take_turns, self.others_cpu.load(Relaxed)) {
                (false, _) => 0,
                (true, 0) => ONCE,
                (true, _) => self.cpu.load(Relaxed),
            };
            self.others_cpu.store(others_cpu, Relaxed);
            self.other.store(last, Relaxed);
            self.last.store(name, Relaxed);
        }
        self.cpu.store(cpu, Relaxed);
    }

    /// Whether whom this thread waits for was on another CPU. Of an object that is new nobody knows.
    fn elsewhere(&self, thread: &Block) -> bool {
        self.elsewhere_than(name(thread), here())
    }

    fn elsewhere_than(&self, name: u16, here: u16) -> bool {
        let cpu = self.cpu.load(Relaxed);
        if self.last.load(Relaxed) != name {
            return cpu != here;
        }
        let other = self.others_cpu.load(Relaxed);
        !matches!(other, 0 | ONCE) && other != here
    }

    /// It was waited for in vain: perhaps it will not come again.
    fn forget_the_other(&self) {
        self.others_cpu.store(0, Relaxed);
    }
}

#[inline(always)]
fn here() -> u16 {
    (sys::cpu() as u16).wrapping_add(1)
}

/// Tells a thread from others, most likely.
#[inline(always)]
fn name(thread: &Block) -> u16 {
    thread.name.load(Relaxed) as u16
}

/// One call's looking.
pub(crate) struct Look<'a> {
    others: &'a Seen,
    /// 0: it is not worth while.
    until_ns: u64,
    /// On the same CPU: how often the other side is let on before this call sleeps.
    yields: Cell<u32>,
    hurry: bool,
    handled: u32,
}

impl<'a> Look<'a> {
    /// Under the lock, which holds handlers off. `others`: those who do what this call waits for.
    pub fn new(others: &'a Seen, hurry: bool) -> Look<'a> {
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
            others,
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

    /// Whether it is time to sleep; under the lock. EINTR: a signal handler ran since the call could not go on.
    pub fn is_over(&self) -> Result<bool> {
        if self.interrupted() {
            return Err(Errno::EINTR);
        }
        let is_over = self.yields.get() == 0 && self.time_is_up();
        if is_over && self.until_ns != 0 {
            self.others.forget_the_other();
        }
        Ok(is_over)
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

    /// What these, by name and CPU, one after the other leave behind.
    fn after(those: &[(u16, u16)]) -> Seen {
        let seen = Seen {
            last: AtomicU16::new(0),
            cpu: AtomicU16::new(0),
            other: AtomicU16::new(0),
            others_cpu: AtomicU16::new(0),
        };
        those
            .iter()
            .for_each(|(name, cpu)| seen.note_on(*name, *cpu));
        seen
    }

    #[test]
    fn a_new_object_is_looked_at() {
        assert!(after(&[]).elsewhere_than(7, 1));
    }

    #[test]
    fn who_was_alone_here_looks_for_nobody() {
        let seen = after(&[(7, 1), (7, 2)]);
        assert!(!seen.elsewhere_than(7, 1) && !seen.elsewhere_than(7, 2));
    }

    const TURNS: [(u16, u16); 5] = [(7, 1), (8, 2), (7, 1), (8, 2), (7, 1)];

    #[test]
    fn who_takes_turns_with_one_looks_for_that_one() {
        let seen = after(&[(7, 1), (8, 2)]);
        assert!(seen.elsewhere_than(7, 1) && !seen.elsewhere_than(7, 2));
        let seen = after(&[&TURNS[..], &[(7, 1)]].concat());
        assert!(seen.elsewhere_than(7, 1) && seen.elsewhere_than(8, 2));
        // The other one moved.
        let seen = after(&[&TURNS[..], &[(8, 1), (7, 1)]].concat());
        assert!(!seen.elsewhere_than(7, 1));
    }

    #[test]
    fn among_more_the_one_before_is_not_whom_a_call_waits_for() {
        let ring = [(7, 1), (8, 2), (9, 1)].repeat(3);
        assert!(!after(&ring).elsewhere_than(9, 1));
        let serves_two = [(7, 1), (8, 2), (7, 1), (9, 2)].repeat(3);
        assert!(!after(&serves_two).elsewhere_than(9, 2));
        assert!(!after(&serves_two[..11]).elsewhere_than(7, 1));
        // One visitor, and they take turns again.
        let visited = [&TURNS[..], &[(9, 2)]].concat();
        assert!(!after(&visited).elsewhere_than(9, 2));
        assert!(after(&[&visited[..], &TURNS].concat()).elsewhere_than(7, 1));
    }

    #[test]
    fn who_does_not_come_is_forgotten() {
        let seen = after(&TURNS);
        seen.forget_the_other();
        seen.note_on(7, 1);
        assert!(!seen.elsewhere_than(7, 1));
        for (name, cpu) in [(8, 2), (7, 1)] {
            seen.note_on(name, cpu);
        }
        assert!(seen.elsewhere_than(7, 1));
    }
}
