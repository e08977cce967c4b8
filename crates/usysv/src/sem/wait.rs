//! Sleepers: going to sleep, waking, and standing watch.
//!
//! A sleeper's slot has its array; whoever changes the set performs it and stores the news
//! (`line`). So a sleeper that wakes to news only has to read them.
//!
//! Who sleeps alone in a set where nothing is to be undone needs no clock (`chair`). Else nobody would notice
//! that a holder was killed (`undo`), or a waker between its unlock and its wake. A sleeper listens
//! to the bell of who holds it up, as far as it can tell, and one sleeper stands watch: it looks every 20 ms, at memory only, while several processes have undo
//! rows, and else every half second. A sleeper that has slept 20 ms without
//! news takes the watch if it is vacant, else it sleeps deeply: until there is news, or the death
//! bell of the watch rings. A watch that leaves wakes a deep sleeper to take over, unless a light
//! one will soon look for itself; a new watch wakes two, to listen to its bell and not to the last
//! one's. Should all three be killed at once, nobody is woken: so a deep sleeper looks every second, at
//! memory only, whether the watch is still the one whose bell it hears.
//!
//! Model: `models/set.rs`.

use super::layout::{LEFT, NIL, Slot, WAITS};
use super::recover::{WENT, failed};
use super::{Locked, Set, lock};
use crate::abi::Sembuf;
use crate::bell::{self, Bell};
use crate::cancelling;
use crate::chair::{Chair, Seat};
use crate::crash::crashpoint;
use crate::critical;
use crate::errno::{Errno, Result};
use crate::map::expect;
use crate::process;
use crate::sleeping::Sleeping;
use crate::sys;
use crate::tls;
use core::sync::atomic::{AtomicU32, Ordering::*};

const LIGHT_NS: u64 = 20_000_000;
const WATCH_NS: u64 = 20_000_000;
/// The watch's beat while there is nothing to be undone.
const IDLE_NS: u64 = 500_000_000;
/// A deep sleeper's, who is not woken when the listeners are killed with the watch.
const DEEP_NS: u64 = 1_000_000_000;
/// At so many beats it looks at everything, should watch and bell both fail.
const DEEP_BEATS: u64 = 10;
/// The same where a sleeper cannot hear the bell of the watch.
const DEAF_NS: u64 = 200_000_000;

/// Deep sleepers that listen to the bell of the watch, at least, where there are as many.
const LISTENERS: usize = 2;

/// One sleeping call.
struct Sleeper<'a> {
    set: Set<'a>,
    id: i32,
    ops: &'a [Sembuf],
    index: u32,
    slot: &'a Slot,
    handled: u32,
    /// Where it sleeps without a clock.
    seat: Seat<'a>,
    /// The news, once a handler's start took them and the slot went to others. Slept on, too: a
    /// sleep that starts again after the handler sees that they came.
    taken: AtomicU32,
}

/// How a sleeper sleeps next: so long, or until this bell rings.
struct Sleep {
    ns: u64,
    bell: Option<Bell>,
}

/// Waits until the array went, the set is removed, a handler ran, or time is up.
pub(super) fn wait(
    mut q: Locked<'_>,
    id: i32,
    ops: &[Sembuf],
    undoes: bool,
    blocking: u32,
    until: Option<u64>,
) -> Result<()> {
    let index = q.with_repair(|q| q.enlist(ops, undoes, blocking))?;
    let sleeper = Sleeper {
        set: q.set,
        id,
        ops,
        index,
        slot: q.p.slot(index)?,
        handled: tls::block().handled.load(Relaxed),
        seat: Seat::new(match until {
            None => q.sit(index),
            Some(_) => None,
        }),
        taken: AtomicU32::new(0),
    };
    let how = Sleep {
        ns: LIGHT_NS,
        bell: match q.h.rows.load(Relaxed) {
            0 => None,
            // Nonsense is found at the first look.
            _ => q.holder(index).map_or(None, |(bell, _)| bell),
        },
    };
    // From before the unlock, which delivers signals that came meanwhile, until nothing of the wait
    // is left in shared memory: a handler may leave by `longjmp` wherever it runs.
    let withdraw = || sleeper.withdraw();
    let sleeping = Sleeping {
        withdraw: &withdraw,
    };
    sleeping.during(|cancelled_anywhere| {
        drop(q);
        let ended = sleeper.wait(how, until, cancelled_anywhere);
        if let Err(Errno::EIO) = ended {
            sleeper.withdraw();
        }
        sleeper.hand_watch_on();
        ended
    })
}

impl<'a> Sleeper<'a> {
    fn lock(&self) -> Result<Locked<'a>> {
        lock(self.set.ns, self.set.pin, self.id)
    }

    /// `semop` is no cancellation point, but where a thread is to be cancelled anywhere.
    fn wait(&self, mut how: Sleep, until: Option<u64>, cancelled_anywhere: bool) -> Result<()> {
        let mut beats = 0u64;
        loop {
            if cancelled_anywhere {
                cancelling::point();
            }
            let slept = self.sleep(&how, until);
            self.expect_news();
            if let Some(news) = self.news() {
                return news;
            }
            let handled = tls::block().handled.load(Relaxed) != self.handled;
            if handled || slept == Err(Errno::EINTR) {
                return self.give_up(Errno::EINTR);
            }
            if until.is_some_and(|until| sys::monotonic_ns() >= until) {
                return self.give_up(Errno::EAGAIN);
            }
            beats += 1;
            if !beats.is_multiple_of(DEEP_BEATS) && self.is_watched(how.bell) {
                continue;
            }
            match self.look(beats, until.is_none()) {
                Ok(Some(next)) => how = next,
                Ok(None) => {}
                Err(Errno::EIDRM) => return self.news().unwrap_or(Err(Errno::EIDRM)),
                Err(e) => return Err(e),
            }
        }
    }

    fn sleep(&self, how: &Sleep, until: Option<u64>) -> Result<()> {
        if tls::block().handled.load(Relaxed) != self.handled {
            return Err(Errno::EINTR);
        }
        let left = match until {
            Some(until) => until.saturating_sub(sys::monotonic_ns()),
            None => u64::MAX,
        };
        let news = &self.slot.news;
        let slept = self.seat.sleep(|| {
            self.taken.load(Relaxed) == 0
                && news.load(Relaxed) == 0
                && tls::block().handled.load(Relaxed) == self.handled
        });
        if let Some(slept) = slept {
            return slept;
        }
        let ns = how.ns.min(left);
        cancelling::while_noted(news, || {
            let Some(bell) = how.bell else {
                return sys::futex_wait(news, 0, ns);
            };
            let Some(rings) = self.set.ns.listen(bell) else {
                return Ok(());
            };
            match sys::futex_wait_any([(news, 0), rings, (&self.taken, 0)], ns) {
                Err(Errno::ENOSYS | Errno::EPERM) => sys::futex_wait(news, 0, ns.min(DEAF_NS)),
                other => other,
            }
        })
    }

    /// Asks for what is changed now, and by the next call, which comes soon and is as like as not an answer: the
    /// lines come together.
    fn expect_news(&self) {
        expect(self.slot);
        expect(&raw const self.set.h.object.lock);
        self.set.expect_changes(self.ops);
    }

    /// How the wait ended, if it has; then the slot is no longer ours.
    fn news(&self) -> Option<Result<()>> {
        let mut news = self.taken.load(Acquire);
        if news == 0 {
            // A handler in between takes the news, and the slot: then these may be another's.
            let seen = self.slot.news.load(Acquire);
            critical::enter();
            news = self.taken.load(Acquire);
            if news == 0 && seen != 0 {
                news = seen;
                self.taken.store(seen, Relaxed);
                self.slot.state.store(LEFT, Release);
                crashpoint!("sem.wait.left");
                self.set.h.left.store(self.index, Relaxed);
            }
            critical::leave();
        }
        match news {
            0 => None,
            WENT => Some(Ok(())),
            news => Some(Err(Errno::from_raw((news - WENT) as i32))),
        }
    }

    /// Leaves the line with this error, unless there is news by now.
    fn give_up(&self, e: Errno) -> Result<()> {
        let mut q = match self.lock() {
            Err(Errno::EIDRM) => return self.news().unwrap_or(Err(Errno::EIDRM)),
            other => other?,
        };
        if let Some(news) = self.news() {
            return news;
        }
        q.with_repair(|q| q.dismiss(self.index))?;
        self.taken.store(failed(e), Release);
        Err(e)
    }

    /// A handler is about to run, and may never come back: the wait is over.
    fn withdraw(&self) {
        let locked = self.lock();
        self.seat.rise();
        let Ok(mut q) = locked else {
            // Removed, or beyond repair: the slot goes with the set.
            return;
        };
        if self.taken.load(Relaxed) == 0 {
            let news = self.slot.news.load(Relaxed);
            if news == 0 {
                // A set that cannot be repaired keeps nobody in line.
                let _ = q.with_repair(|q| q.dismiss(self.index));
                self.taken.store(failed(Errno::EINTR), Release);
            } else {
                let _ = q.with_repair(|q| q.free_waiter(self.index));
                self.taken.store(news, Release);
            }
        }
        let _ = q.with_repair(|q| q.pass_watch(self.index));
    }

    /// Whether we sleep deeply, and the bell that we hear is that of the watch. Without the lock.
    fn is_watched(&self, heard: Option<Bell>) -> bool {
        let set = process::thread().and_then(|me| Set::of(self.set.ns, self.set.pin, me));
        let Ok(set) = set else {
            return false;
        };
        self.slot.deep.load(Relaxed) == set.h.watch.load(Relaxed).wrapping_add(1)
            && heard.is_some()
            && set.watch_besides(self.index) == Ok(heard)
    }

    /// Slept long without news: looks around. `None`: there is news after all. EIDRM: removed.
    /// `patient`: it has no timeout of its own.
    fn look(&self, beats: u64, patient: bool) -> Result<Option<Sleep>> {
        let mut q = self.lock()?;
        q.with_repair(|q| q.look())?;
        // A handler may have taken the slot before the lock was ours.
        if self.taken.load(Relaxed) != 0 || self.slot.news.load(Relaxed) != 0 {
            return Ok(None);
        }
        if patient {
            self.seat.take(q.sit(self.index));
        }
        if let Some(watch) = q.watch_besides(self.index)? {
            self.slot
                .deep
                .store(q.h.watch.load(Relaxed).wrapping_add(1), Relaxed);
            let bell = Some(watch).filter(|bell| *bell != Bell::NONE);
            let ns = if bell.is_some() { DEEP_NS } else { DEAF_NS };
            return Ok(Some(Sleep { ns, bell }));
        }
        let took = q.h.watch.swap(self.index, Relaxed) != self.index;
        crashpoint!("sem.watch.taken");
        self.slot.deep.store(0, Relaxed);
        let (bell, sole) = q.holder(self.index)?;
        // A new row wakes the watch.
        let idle = sole || q.h.rows.load(Relaxed) == 0;
        if took || idle || beats.is_multiple_of(IDLE_NS / WATCH_NS) {
            q.wake_forgotten()?;
            q.find_listeners(self.index)?;
        }
        let ns = if idle { IDLE_NS } else { WATCH_NS };
        Ok(Some(Sleep { ns, bell }))
    }

    /// After a wait: somebody else stands watch now. In a fork's child it is not the child's that is in this slot.
    fn hand_watch_on(&self) {
        if self.seat.is_parents() {
            return;
        }
        if self.set.h.watch.load(Relaxed) == self.index
            && let Ok(mut q) = self.lock()
        {
            let _ = q.with_repair(|q| q.pass_watch(self.index));
        }
    }
}

impl Set<'_> {
    /// The bell of another sleeper that stands watch and lives.
    fn watch_besides(&self, index: u32) -> Result<Option<Bell>> {
        let watch = self.h.watch.load(Relaxed);
        if watch == NIL || watch == index || watch >= self.h.slots.load(Relaxed) {
            return Ok(None);
        }
        let slot = self.p.slot(watch)?;
        let watches = slot.state.load(Relaxed) == WAITS
            && slot.news.load(Relaxed) == 0
            && !self.is_dead(watch)?;
        Ok(watches.then(|| Bell {
            index: slot.bell[0].load(Relaxed),
            generation: slot.bell[1].load(Relaxed),
        }))
    }
}

impl<'a> Locked<'a> {
    /// Where the sleeper in this slot sleeps without a clock, if it is alone, and nothing is to be undone.
    fn sit(&self, index: u32) -> Option<&'a Chair> {
        let set = self.set;
        match set.h.waiting.get() == 1 && set.h.rows.load(Relaxed) == 0 {
            true => set.h.chairs.sit(set.ns, &set.h.object, index),
            false => None,
        }
    }

    /// Registers this thread as a sleeper, in its line's end.
    fn enlist(&mut self, ops: &[Sembuf], undoes: bool, blocking: u32) -> Result<u32> {
        let row = if undoes { self.my_row()? } else { NIL };
        let bell = bell::mine_by(self.me, self.ns)?;
        self.unseat();
        let index = self.take_with(ops)?;
        let slot = self.p.slot(index)?;
        let seq = self.h.next_seq.load(Relaxed);
        self.h.next_seq.store(seq.wrapping_add(1), Relaxed);
        slot.seq.store(seq, Relaxed);
        slot.news.store(0, Relaxed);
        slot.pid.store(self.pid(), Relaxed);
        slot.tid.store(self.me.tid.load(Relaxed), Relaxed);
        slot.bell[0].store(bell.index, Relaxed);
        slot.bell[1].store(bell.generation, Relaxed);
        slot.row.store(row, Relaxed);
        slot.blocking.store(blocking, Relaxed);
        slot.deep.store(0, Relaxed);
        slot.since.store(sys::time() as u32, Relaxed);
        crashpoint!("sem.wait.filled");
        slot.state.store(WAITS, Release);
        crashpoint!("sem.wait.stated");
        if let Err(e) = self.line_up(index) {
            // Nobody waits there: what is given to it would be lost.
            slot.state.store(LEFT, Relaxed);
            return Err(e);
        }
        crashpoint!("sem.wait.lined_up");
        Ok(index)
    }

    /// Takes a sleeper without news out of its line, and frees its slot.
    fn dismiss(&mut self, index: u32) -> Result<()> {
        self.leave_line(index)?;
        crashpoint!("sem.dismiss.left_line");
        self.free_waiter(index)
    }

    /// The bell, if it is silent, of a process whose undo may let this sleeper go on; and whether
    /// no other process has a row.
    fn holder(&self, index: u32) -> Result<(Option<Bell>, bool)> {
        let blocking = self.p.slot(index)?.blocking.load(Relaxed);
        let num = u32::from(self.op_of(index, blocking)?.sem_num);
        let (mut rows, mut found) = (0, None);
        for row in 0..self.h.rows.load(Relaxed) {
            let Some(bell) = self.bell_of_another(row)? else {
                continue;
            };
            rows += 1;
            if found.is_none() || self.adj_of(row, num)? != 0 {
                found = Some(bell);
            }
        }
        let heard = found.filter(|bell| !self.ns.rings(*bell));
        Ok((heard, rows == 1 && heard.is_some()))
    }

    /// Whoever has news and sleeps on was forgotten by a waker that was killed.
    fn wake_forgotten(&mut self) -> Result<()> {
        for index in 0..self.h.slots.load(Relaxed) {
            let slot = self.p.slot(index)?;
            if slot.state.load(Relaxed) == WAITS && slot.news.load(Relaxed) != 0 {
                self.wake_later(index);
            }
        }
        Ok(())
    }

    /// Sees to it that some deep sleepers listen to the bell of the watch in this slot, and not to
    /// that of an earlier one: each death wakes one of them.
    fn find_listeners(&mut self, watch: u32) -> Result<()> {
        let (mut listeners, mut others) = (0, [NIL; LISTENERS]);
        self.each_waiter(|other| {
            match self.p.slot(other)?.deep.load(Relaxed) {
                0 => {}
                deep if deep == watch + 1 => listeners += 1,
                _ => {
                    others.rotate_right(1);
                    others[0] = other;
                }
            }
            Ok(())
        })?;
        let missing = LISTENERS.saturating_sub(listeners);
        for other in others
            .into_iter()
            .filter(|other| *other != NIL)
            .take(missing)
        {
            self.wake_later(other);
        }
        Ok(())
    }

    /// The sleeper in this slot stands watch no more.
    fn pass_watch(&mut self, index: u32) -> Result<()> {
        if self.h.watch.load(Relaxed) != index {
            return Ok(());
        }
        self.h.watch.store(NIL, Relaxed);
        crashpoint!("sem.watch.vacant");
        let (mut deep, mut light) = (NIL, false);
        self.each_waiter(|other| {
            match self.p.slot(other)?.deep.load(Relaxed) {
                0 => light = true,
                _ => deep = other,
            }
            Ok(())
        })?;
        if deep != NIL && !light {
            self.p.slot(deep)?.deep.store(0, Relaxed);
            crashpoint!("sem.watch.passed");
            self.wake_later(deep);
        }
        Ok(())
    }

    /// The watch has to look more often from now on.
    pub(super) fn alert_watch(&mut self) {
        self.unseat();
        let watch = self.h.watch.load(Relaxed);
        if watch != NIL {
            self.wake_later(watch);
        }
    }
}
