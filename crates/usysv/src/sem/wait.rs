//! Sleepers: going to sleep, waking, and standing watch.
//!
//! A sleeper's slot has its array; whoever changes the set performs it and stores the news
//! (`line`). So a sleeper that wakes to news only has to read them.
//!
//! Nobody else would notice that a holder was killed (`undo`), or a waker between its unlock and
//! its wake. So one sleeper stands watch: it looks every 20 ms, at memory only, while there are
//! undo rows, and every half second while there are none. A sleeper that has slept 20 ms without
//! news takes the watch if it is vacant, else it sleeps deeply: until there is news, or the death
//! bell of the watch rings. A watch that leaves wakes a deep sleeper to take over, unless a light
//! one will soon look for itself.

use super::layout::{LEFT, NIL, Slot, WAITS};
use super::recover::{WENT, failed};
use super::{Locked, lock};
use crate::abi::Sembuf;
use crate::bell::{self, Bell};
use crate::crash::crashpoint;
use crate::errno::{Errno, Result};
use crate::handle::Pin;
use crate::namespace::Namespace;
use crate::process;
use crate::sleeping::Sleeping;
use crate::sys;
use crate::tls;
use core::sync::atomic::Ordering::*;
use core::time::Duration;

const LIGHT_NS: u64 = 20_000_000;
const WATCH_NS: u64 = 20_000_000;
/// The watch's beat while there is nothing to be undone.
const IDLE_NS: u64 = 500_000_000;
/// A deep sleeper's, should watch and bell both fail.
const DEEP_NS: u64 = 10_000_000_000;
/// The same where a sleeper cannot hear the bell of the watch.
const DEAF_NS: u64 = 200_000_000;

/// One sleeping call.
struct Sleeper<'a> {
    ns: &'a Namespace,
    pin: &'a Pin<'a>,
    id: i32,
    index: u32,
    seq: u64,
    slot: &'a Slot,
    handled: u32,
}

/// How a sleeper sleeps next.
enum Sleep {
    For(u64),
    /// Or until the watch dies.
    Deep(Bell),
}

/// Waits until the array went, the set is removed, a handler ran, or time is up.
pub(super) fn wait(
    mut q: Locked<'_>,
    id: i32,
    ops: &[Sembuf],
    undoes: bool,
    blocking: u32,
    timeout: Option<Duration>,
) -> Result<()> {
    let (index, seq) = q.with_repair(|q| q.enlist(ops, undoes, blocking))?;
    let sleeper = Sleeper {
        ns: q.ns,
        pin: q.pin,
        id,
        index,
        seq,
        slot: q.p.slot(index)?,
        handled: tls::block().handled.load(Relaxed),
    };
    drop(q);
    let until = timeout.and_then(|timeout| {
        let ns = u64::try_from(timeout.as_nanos()).ok()?;
        sys::monotonic_ns().checked_add(ns)
    });
    let ended = sleeper.wait(until);
    sleeper.hand_watch_on();
    ended
}

impl<'a> Sleeper<'a> {
    fn wait(&self, until: Option<u64>) -> Result<()> {
        let withdraw = || self.withdraw();
        let sleeping = Sleeping {
            withdraw: &withdraw,
        };
        let mut how = Sleep::For(LIGHT_NS);
        loop {
            let slept = sleeping.during(|| self.sleep(&how, until));
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
            // News of `EINTR` by a handler's withdrawal, and all others, are read above.
            match self.look()? {
                Some(next) => how = next,
                None => how = Sleep::For(LIGHT_NS),
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
        match *how {
            Sleep::For(ns) => sys::futex_wait(news, 0, ns.min(left)),
            Sleep::Deep(watch) => {
                let Some(bell) = self.ns.listen(watch) else {
                    return Ok(());
                };
                match sys::futex_wait_both([(news, 0), bell], DEEP_NS.min(left)) {
                    Err(Errno::ENOSYS | Errno::EPERM) => {
                        sys::futex_wait(news, 0, DEAF_NS.min(left))
                    }
                    other => other,
                }
            }
        }
    }

    fn is_ours(&self) -> bool {
        self.slot.state.load(Relaxed) == WAITS && self.slot.seq.load(Relaxed) == self.seq
    }

    /// How the wait ended, if it has; then the slot is no longer ours.
    fn news(&self) -> Option<Result<()>> {
        let news = self.slot.news.load(Acquire);
        if !self.is_ours() {
            // Only an interrupted sleeper's slot is taken from it, long after.
            return Some(Err(Errno::EINTR));
        }
        if news == 0 {
            return None;
        }
        self.slot.state.store(LEFT, Release);
        Some(match news {
            WENT => Ok(()),
            news => Err(Errno::from_raw((news - WENT) as i32)),
        })
    }

    /// Leaves the line with this error, unless there is news by now.
    fn give_up(&self, e: Errno) -> Result<()> {
        let mut q = match lock(self.ns, self.pin, self.id) {
            Err(Errno::EIDRM) => return self.news().unwrap_or(Err(Errno::EIDRM)),
            other => other?,
        };
        if let Some(news) = self.news() {
            return news;
        }
        q.with_repair(|q| {
            q.leave_line(self.index)?;
            q.free_waiter(self.index)
        })?;
        Err(e)
    }

    /// A handler is about to run: the wait is over, though the slot stays ours for the news.
    fn withdraw(&self) {
        if let Ok(mut q) = lock(self.ns, self.pin, self.id)
            && self.is_ours()
            && self.slot.news.load(Relaxed) == 0
        {
            // A set that cannot be repaired keeps nobody in line.
            let _ = q.with_repair(|q| q.leave_line(self.index));
            self.slot.since.store(sys::time() as u32, Relaxed);
            self.slot.news.store(failed(Errno::EINTR), Release);
        }
    }

    /// Slept long without news: looks around. `None`: there is news after all.
    fn look(&self) -> Result<Option<Sleep>> {
        let mut q = match lock(self.ns, self.pin, self.id) {
            Err(Errno::EIDRM) => return Ok(None),
            other => other?,
        };
        q.with_repair(|q| q.look())?;
        if self.slot.news.load(Relaxed) != 0 {
            return Ok(None);
        }
        if let Some(watch) = q.watch_besides(self.index)? {
            self.slot.deep.store(1, Relaxed);
            return Ok(Some(Sleep::Deep(watch)));
        }
        q.h.watch.store(self.index, Relaxed);
        self.slot.deep.store(0, Relaxed);
        q.wake_forgotten()?;
        Ok(Some(Sleep::For(match q.h.rows.load(Relaxed) {
            0 => IDLE_NS,
            _ => WATCH_NS,
        })))
    }

    /// After a wait: somebody else stands watch now.
    fn hand_watch_on(&self) {
        let Ok(h) = self.pin.map().at::<super::Header>(0) else {
            return;
        };
        if h.watch.load(Relaxed) == self.index
            && let Ok(mut q) = lock(self.ns, self.pin, self.id)
        {
            let _ = q.with_repair(|q| q.pass_watch(self.index));
        }
    }
}

impl Locked<'_> {
    /// Registers this thread as a sleeper, in its line's end.
    fn enlist(&mut self, ops: &[Sembuf], undoes: bool, blocking: u32) -> Result<(u32, u64)> {
        let row = if undoes { self.my_row()? } else { NIL };
        let bell = bell::mine(self.ns)?;
        let index = self.take_with(ops)?;
        let slot = self.p.slot(index)?;
        let seq = self.h.next_seq.load(Relaxed);
        self.h.next_seq.store(seq.wrapping_add(1), Relaxed);
        slot.seq.store(seq, Relaxed);
        slot.news.store(0, Relaxed);
        slot.pid.store(self.me.pid, Relaxed);
        slot.tid
            .store(process::thread()?.tid.load(Relaxed), Relaxed);
        slot.bell[0].store(bell.index, Relaxed);
        slot.bell[1].store(bell.generation, Relaxed);
        slot.row.store(row, Relaxed);
        slot.blocking.store(blocking, Relaxed);
        slot.deep.store(0, Relaxed);
        slot.since.store(sys::time() as u32, Relaxed);
        crashpoint!("sem.wait.filled");
        slot.state.store(WAITS, Release);
        self.line_up(index)?;
        crashpoint!("sem.wait.lined_up");
        Ok((index, seq))
    }

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

    /// The sleeper in this slot stands watch no more.
    fn pass_watch(&mut self, index: u32) -> Result<()> {
        if self.h.watch.load(Relaxed) != index {
            return Ok(());
        }
        self.h.watch.store(NIL, Relaxed);
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
            self.wake_later(deep);
        }
        Ok(())
    }

    /// The watch has to look more often from now on.
    pub(super) fn alert_watch(&mut self) {
        let watch = self.h.watch.load(Relaxed);
        if watch != NIL {
            self.wake_later(watch);
        }
    }
}
