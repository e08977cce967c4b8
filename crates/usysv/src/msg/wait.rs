//! Sleepers: who waits for a message or for room, and waking exactly those who can go on.
//!
//! A waiter is a slot. Receivers of one type stand in a line by hash of the type, all others in one
//! line of their own; senders in one line. Lines are derived from the slots' tickets.
//!
//! A message is handed to the first receiver in line that takes it, at the send; it stays in its
//! slot (HANDED) until the receiver fetches it. If the receiver is killed first, whoever next finds
//! nothing to receive, or sees that the wake reached nobody, puts it back in its place in order. So
//! does everybody after a second, whatever became of the receiver (it may have left by `longjmp`).
//!
//! | news | meaning | set by |
//! |---|---|---|
//! | 0 | wait | the waiter |
//! | GOT | fetch your message | a sender |
//! | TOO_BIG | E2BIG: it went on to the next | a sender |
//! | AGAIN | look again: room, new permissions, or your message was put back | anyone |
//! | GONE | the queue is removed | the remover |
//!
//! Model: `models/queue.rs`.
//!
//! A waker that is killed between unlocking and waking leaves a sleeper with news. Who sleeps alone is woken
//! by that death (`chair`); the others look for themselves twice a second.

use super::layout::{self, FREE, HANDED, LINES, NIL, OTHERS, RECEIVER, SENDER, Stamp};
use super::order::hash;
use super::{Held, Locked};
use crate::abi::{MSG_COPY, MSG_EXCEPT};
use crate::bell::{self, Bell};
use crate::cancelling;
use crate::chair::{Chair, InLine, Seat};
use crate::crash::crashpoint;
use crate::critical;
use crate::errno::{Errno, Result};
use crate::handle::{Handle, Pin};
use crate::liveness;
use crate::namespace::Namespace;
use crate::sleeping::Sleeping;
use crate::sys;
use crate::tls;
use core::sync::atomic::{AtomicU32, Ordering::*, fence};

pub(super) const GOT: u32 = 1;
pub(super) const TOO_BIG: u32 = 2;
pub(super) const AGAIN: u32 = 3;
pub(super) const GONE: u32 = 4;

/// How long a sleeper sleeps before it looks for itself.
const BEAT_NS: u64 = 500_000_000;
/// Waiters whose threads are asked after in one look: whoever makes up more must not hold up who
/// looks. The rest have their turn at the next.
const MOST_ASKED: u32 = 4096;
/// A message that was handed over this long ago is looked after.
const FETCH_MS: u64 = 20;
/// And is put back after this long, even if its receiver lives.
const STALE_MS: u64 = 1000;

/// How a receiver selects.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Any = 0,
    Exactly = 1,
    AtMost = 2,
    Except = 3,
    Nth = 4,
}

/// What a receiver wants, as `convert_mode` reads `msgtyp` and the flags.
#[derive(Clone, Copy)]
pub(crate) struct Selector {
    pub mode: Mode,
    pub mtype: i64,
}

impl Selector {
    #[inline(always)]
    pub fn new(msgtyp: i64, msgflg: i32) -> Selector {
        match msgtyp {
            0 if msgflg & MSG_COPY == 0 => Selector {
                mode: Mode::Any,
                mtype: 0,
            },
            _ => Selector::of_type(msgtyp, msgflg),
        }
    }

    #[cold]
    #[inline(never)]
    fn of_type(msgtyp: i64, msgflg: i32) -> Selector {
        let (mode, mtype) = match msgtyp {
            _ if msgflg & MSG_COPY != 0 => (Mode::Nth, msgtyp),
            t if t < 0 => (Mode::AtMost, t.saturating_neg()),
            t if msgflg & MSG_EXCEPT != 0 => (Mode::Except, t),
            t => (Mode::Exactly, t),
        };
        Selector { mode, mtype }
    }

    fn from_words(mode: u32, mtype: i64) -> Selector {
        let mode = match mode {
            1 => Mode::Exactly,
            2 => Mode::AtMost,
            3 => Mode::Except,
            _ => Mode::Any,
        };
        Selector { mode, mtype }
    }

    /// `testmsg`.
    #[inline]
    pub fn takes(&self, mtype: i64) -> bool {
        match self.mode {
            Mode::Any | Mode::Nth => true,
            Mode::Exactly => mtype == self.mtype,
            Mode::AtMost => mtype <= self.mtype,
            Mode::Except => mtype != self.mtype,
        }
    }

    /// [`Selector::takes`], where its table of jumps would be in the way of who takes all.
    #[cold]
    #[inline(never)]
    pub fn takes_apart(self, mtype: i64) -> bool {
        self.takes(mtype)
    }

    fn line(&self) -> usize {
        match self.mode {
            Mode::Exactly => (hash(self.mtype) % (LINES as u64 - 1)) as usize,
            _ => OTHERS,
        }
    }
}

/// A waiter of ours, to find it again after a sleep.
#[derive(Clone, Copy)]
pub(super) struct Ticket {
    pub slot: u32,
    number: u64,
}

/// Why a sleep ended.
#[derive(PartialEq, Eq)]
pub(super) enum Woken {
    News,
    Signal,
}

/// What becomes of a wait after a sleep.
pub(super) enum After {
    /// It is over, and the call begins anew.
    Again,
    SleepOn,
    Received(u32),
}

/// A call that waits, known to its thread: a signal handler ends the wait before it
/// begins, as the kernel takes a sleeper out of the line before it runs the handler.
pub(super) struct Waiting<'a> {
    ns: &'a Namespace,
    pin: &'a Pin<'a>,
    id: i32,
    ticket: Ticket,
    waiter: &'a layout::Waiter,
    handled: u32,
    /// Where it sleeps without a clock, if it is alone.
    seat: Seat<'a>,
}

/// Whether a waiter's thread lives, and runs what it ran when it lined up.
pub(super) fn lives(ns: &Namespace, waiter: &layout::Waiter) -> bool {
    let (pid, tid) = (waiter.pid.load(Relaxed), waiter.tid.load(Relaxed));
    let bell = Bell::of_word(waiter.bell.load(Relaxed));
    let replaced = || tid == pid && bell != Bell::NONE && ns.rings(bell);
    liveness::thread_lives(pid, tid) && !replaced()
}

impl<'a> Waiting<'a> {
    /// From here on handlers count. Under the lock, which holds them off.
    pub fn new(q: &Locked<'a>, ticket: Ticket) -> Result<Waiting<'a>> {
        Ok(Waiting {
            ns: q.ns,
            pin: q.pin,
            id: q.id,
            ticket,
            waiter: layout::waiter(&q.map, ticket.slot)?,
            handled: tls::block().handled.load(Relaxed),
            seat: Seat::new(q.sit(&ticket)),
        })
    }

    /// Gives the lock back and sleeps; `after` each sleep says, under the lock, whether to sleep on.
    pub fn wait(
        &self,
        q: Locked<'a>,
        after: impl FnMut(&mut Locked<'a>, Woken) -> Result<After>,
    ) -> Result<After> {
        // A queue that is gone, or cannot be repaired, keeps nobody in line.
        let withdraw = || {
            let _ = self.withdraw();
        };
        let sleeping = Sleeping {
            withdraw: &withdraw,
        };
        // From before the unlock, which delivers signals that came meanwhile, until nothing of the wait
        // is left in shared memory: a handler may leave by `longjmp` wherever it runs.
        sleeping.during(|_| {
            let ended = self.sleep_until(q, after);
            if let Err(Errno::EIO) = ended {
                withdraw();
            }
            ended
        })
    }

    fn sleep_until(
        &self,
        mut q: Locked<'a>,
        mut after: impl FnMut(&mut Locked<'a>, Woken) -> Result<After>,
    ) -> Result<After> {
        loop {
            drop(q);
            cancelling::point();
            let woken = self.sleep();
            q = match super::lock(self.ns, self.pin, self.id) {
                Err(Errno::EIDRM) if woken == Woken::Signal => return Err(Errno::EINTR),
                other => other?,
            };
            match after(&mut q, woken)? {
                After::SleepOn => self.seat.take(q.sit(&self.ticket)),
                ended => return Ok(ended),
            }
        }
    }

    /// Sleeps until there is news, a signal handler ran, or it is time to look.
    fn sleep(&self) -> Woken {
        let block = tls::block();
        let undisturbed = || block.handled.load(Relaxed) == self.handled;
        let bell = bell::mine(self.ns).unwrap_or(Bell::NONE);
        // In a section: a handler gives the slot back, and then it is not ours to write to.
        critical::enter();
        if undisturbed() {
            self.waiter.bell.store(bell.word(), Relaxed);
            self.waiter.asleep.store(1, Relaxed);
        }
        critical::leave();
        fence(SeqCst);
        let slept = match self.seat.sleep(undisturbed) {
            Some(slept) => slept,
            None if !undisturbed() => Err(Errno::EINTR),
            None => {
                let news = &self.waiter.news;
                cancelling::while_noted(news, || sys::futex_wait(news, 0, BEAT_NS))
            }
        };
        if slept == Err(Errno::EINTR) || !undisturbed() {
            return Woken::Signal;
        }
        Woken::News
    }

    /// Takes the waiter out of the line; a message that it was handed goes back.
    fn withdraw(&self) -> Result<()> {
        let locked = super::lock(self.ns, self.pin, self.id);
        self.seat.rise();
        let mut q = locked?;
        q.with_repair(|q| {
            if q.news(&self.ticket)? == GOT {
                q.take_from(self.ticket.slot)?;
            }
            q.dismiss(&self.ticket)
        })
    }
}

impl<'a> Held<'a> {
    /// Whether no receiver in line takes this type, whatever the length.
    #[cold]
    #[inline(never)]
    pub(super) fn is_unwanted(self, handle: &Handle, mtype: i64) -> bool {
        let (known, at) = handle.unwanted();
        let lined_up = self.h.lined_up.load(Relaxed);
        // Nobody has lined up since this process's last look, and none of the others wants it now.
        if known.load(Relaxed) == mtype as u64 && at.load(Relaxed) == lined_up {
            return true;
        }
        let unwanted = self.whole(handle).receiver_for(mtype, 0) == Ok(None);
        if unwanted {
            known.store(mtype as u64, Relaxed);
            at.store(lined_up, Relaxed);
        }
        unwanted
    }

    /// The first waiter in line that takes a message of this type, and this long.
    pub(super) fn receiver_for(&self, mtype: i64, len: usize) -> Result<Option<u32>> {
        let own = Selector {
            mode: Mode::Exactly,
            mtype,
        }
        .line();
        let a = self.first_taking(own, mtype, len)?;
        let b = self.first_taking(OTHERS, mtype, len)?;
        Ok(match (a, b) {
            (Some(a), Some(b)) => {
                let first = self.slot(a)?.seq.load(Relaxed) < self.slot(b)?.seq.load(Relaxed);
                Some(if first { a } else { b })
            }
            (a, b) => a.or(b),
        })
    }

    fn first_taking(&self, line: usize, mtype: i64, len: usize) -> Result<Option<u32>> {
        let mut at = self.h.lines[line][0].load(Relaxed);
        for _ in 0..=self.h.receivers.get().min(self.slots) {
            if at == NIL {
                return Ok(None);
            }
            let slot = self.slot(at)?;
            // In a line of their own stand only those who take one type.
            let takes = match line {
                OTHERS => self.wants(at)?.takes(mtype),
                _ => slot.mtype.load(Relaxed) as i64 == mtype,
            };
            if takes && len <= slot.len.load(Relaxed) as usize {
                return Ok(Some(at));
            }
            at = slot.next.load(Relaxed);
        }
        Err(Errno::EIO)
    }

    /// What the receiver in a slot waits for.
    fn wants(&self, index: u32) -> Result<Selector> {
        let mode = self.waiter(index)?.mode.load(Relaxed);
        let mtype = self.slot(index)?.mtype.load(Relaxed) as i64;
        Ok(Selector::from_words(mode, mtype))
    }
}

impl<'a> Locked<'a> {
    /// Registers this thread as a waiter, in its line's end.
    fn enlist(&mut self, state: u32, len: u32, want: &Selector) -> Result<Ticket> {
        self.sweep()?;
        self.unseat();
        let (index, _) = self.take_slot()?;
        let thread = crate::process::thread()?;
        let (slot, waiter) = (self.slot(index)?, layout::waiter(&self.map, index)?);
        let number = self.h.next_seq.load(Relaxed);
        self.h.next_seq.store(number.wrapping_add(1), Relaxed);
        slot.len.store(len, Relaxed);
        slot.mtype.store(want.mtype as u64, Relaxed);
        slot.seq.store(number, Relaxed);
        waiter.mode.store(want.mode as u32, Relaxed);
        waiter.message.store(NIL, Relaxed);
        waiter.pid.store(thread.pid.load(Relaxed), Relaxed);
        waiter.tid.store(thread.tid.load(Relaxed), Relaxed);
        waiter.since.store(sys::time() as u64, Relaxed);
        waiter.bell.store(Bell::NONE.word(), Relaxed);
        waiter.asleep.store(0, Relaxed);
        waiter.news.store(0, Relaxed);
        crashpoint!("msg.enlist.filled");
        slot.state.store(state, Release);
        crashpoint!("msg.enlist.stated");
        if let Err(e) = self.line_up(index) {
            // Nobody waits there: who is sent a message would never fetch it.
            slot.state.store(FREE, Relaxed);
            return Err(e);
        }
        crashpoint!("msg.enlist.lined_up");
        Ok(Ticket {
            slot: index,
            number,
        })
    }

    pub(super) fn enlist_receiver(&mut self, len: u32, want: &Selector) -> Result<Ticket> {
        self.enlist(RECEIVER, len, want)
    }

    pub(super) fn enlist_sender(&mut self, len: u32) -> Result<Ticket> {
        self.enlist(
            SENDER,
            len,
            &Selector {
                mode: Mode::Any,
                mtype: 0,
            },
        )
    }

    /// Where our waiter sleeps without a clock, if it is alone in line, and nobody has a message to
    /// fetch that may come back.
    fn sit(&self, ticket: &Ticket) -> Option<&'a Chair> {
        let h = self.held.h;
        let in_line = h.receivers.get().wrapping_add(h.senders.get());
        match in_line == 1 && h.handed.load(Relaxed) == 0 {
            true => h.chairs.sit(self.ns, &h.object, ticket.slot),
            false => None,
        }
    }

    /// Our waiter's news, after a sleep. EIDRM: the slot is not ours any more.
    pub(super) fn news(&self, ticket: &Ticket) -> Result<u32> {
        // A handler gave the slot back, and an empty queue then shrank.
        let Ok(slot) = self.slot(ticket.slot) else {
            return Ok(AGAIN);
        };
        let ours = matches!(slot.state.load(Relaxed), RECEIVER | SENDER);
        if !ours || slot.seq.load(Relaxed) != ticket.number {
            return Ok(AGAIN);
        }
        Ok(self.waiter(ticket.slot)?.news.load(Relaxed))
    }

    /// Ends our waiter, wherever it stands.
    pub(super) fn dismiss(&mut self, ticket: &Ticket) -> Result<()> {
        let Ok(slot) = self.slot(ticket.slot) else {
            return Ok(());
        };
        let ours = matches!(slot.state.load(Relaxed), RECEIVER | SENDER);
        if ours && slot.seq.load(Relaxed) == ticket.number {
            if self.waiter(ticket.slot)?.news.load(Relaxed) == 0 {
                self.leave_line(ticket.slot)?;
                crashpoint!("msg.dismiss.left_line");
            }
            self.free_waiter(ticket.slot)?;
            crashpoint!("msg.dismiss.freed");
        }
        Ok(())
    }

    /// Frees the slot of a waiter that stands in no line. Should a handler have ended its wait just before it slept, it
    /// does not begin to now, unless the slot is another's by then, whose beat or news it gets.
    fn free_waiter(&self, index: u32) -> Result<()> {
        self.waiter(index)?.news.store(AGAIN, Relaxed);
        crashpoint!("msg.waiter.over");
        self.free_slot(index)
    }

    /// The ends of the line that a waiter belongs in, and the count of its kind.
    fn line(&self, index: u32) -> Result<([&AtomicU32; 2], &InLine)> {
        let slot = self.slot(index)?;
        if slot.state.load(Relaxed) == SENDER {
            return Ok(([&self.h.sender_head, &self.h.sender_tail], &self.h.senders));
        }
        let line = self.wants(index)?.line();
        let [head, tail] = &self.h.lines[line];
        Ok(([head, tail], &self.h.receivers))
    }

    /// Puts a waiter at the end of its line.
    pub(super) fn line_up(&self, index: u32) -> Result<()> {
        let slot = self.slot(index)?;
        let lined_up = &self.h.lined_up;
        lined_up.store(lined_up.load(Relaxed).wrapping_add(1), Relaxed);
        let ([head, tail], count) = self.line(index)?;
        let last = tail.load(Relaxed);
        slot.prev.store(last, Relaxed);
        slot.next.store(NIL, Relaxed);
        match last {
            NIL => head.store(index, Relaxed),
            _ => self.slot(last)?.next.store(index, Relaxed),
        }
        tail.store(index, Relaxed);
        count.set(count.get().wrapping_add(1));
        Ok(())
    }

    fn leave_line(&self, index: u32) -> Result<()> {
        let slot = self.slot(index)?;
        let ([head, tail], count) = self.line(index)?;
        let (prev, next) = (slot.prev.load(Relaxed), slot.next.load(Relaxed));
        if prev == NIL && head.load(Relaxed) != index {
            return Err(Errno::EIO);
        }
        match prev {
            NIL => head.store(next, Relaxed),
            _ => self.slot(prev)?.next.store(next, Relaxed),
        }
        match next {
            NIL => tail.store(prev, Relaxed),
            _ => self.slot(next)?.prev.store(prev, Relaxed),
        }
        count.set(count.get().saturating_sub(1));
        Ok(())
    }

    /// Gives a waiter in line its news, and wakes it once the lock is free.
    pub(super) fn tell(&mut self, index: u32, news: u32) -> Result<()> {
        self.leave_line(index)?;
        crashpoint!("msg.tell.left_line");
        let waiter = self.waiter(index)?;
        waiter.news_ms.store(sys::monotonic_ms(), Relaxed);
        waiter.news.store(news, Release);
        crashpoint!("msg.tell.told");
        self.wake_later(index);
        Ok(())
    }

    /// Tells those in line before the number `before` who take this type that the message was too
    /// long for them. After the send's commit: what a killed sender does not send bothers nobody.
    pub(super) fn tell_passed_over(&mut self, mtype: i64, before: u64) -> Result<()> {
        for _ in 0..=self.h.receivers.get().min(self.slots) {
            match self.receiver_for(mtype, 0)? {
                Some(small) if self.slot(small)?.seq.load(Relaxed) < before => {
                    self.tell(small, TOO_BIG)?;
                }
                _ => return Ok(()),
            }
        }
        Err(Errno::EIO)
    }

    /// The same from the slots alone, for a sender that was killed after its commit.
    pub(super) fn redo_passed_over(&self, message: u32, before: u64) -> Result<()> {
        let (mtype, len) = (&self.slot(message)?.mtype, &self.slot(message)?.len);
        let (mtype, len) = (mtype.load(Relaxed) as i64, len.load(Relaxed));
        for index in 0..self.h.slots.load(Relaxed) {
            let slot = self.slot(index)?;
            if slot.state.load(Relaxed) != RECEIVER
                || slot.seq.load(Relaxed) >= before
                || slot.len.load(Relaxed) >= len
                || self.waiter(index)?.news.load(Relaxed) != 0
                || !self.wants(index)?.takes(mtype)
            {
                continue;
            }
            let waiter = self.waiter(index)?;
            waiter.news_ms.store(sys::monotonic_ms(), Relaxed);
            waiter.news.store(TOO_BIG, Release);
            crashpoint!("msg.redo.passed_over");
        }
        Ok(())
    }

    /// `ss_wakeup`: wakes every sleeping sender whose message fits now, each judged alone.
    pub(super) fn wake_senders(&mut self) -> Result<()> {
        if !self.is_sane() {
            return Err(Errno::EIO);
        }
        let mut at = self.h.sender_head.load(Relaxed);
        let mut left = self.h.senders.get().min(self.slots);
        while at != NIL && left > 0 {
            let slot = self.slot(at)?;
            let next = slot.next.load(Relaxed);
            if self.fits(u64::from(slot.len.load(Relaxed))) {
                self.tell(at, AGAIN)?;
            }
            at = next;
            left -= 1;
        }
        Ok(())
    }

    /// Tells every receiver, and for a removal every sender.
    pub(super) fn tell_all(&mut self, news: u32) -> Result<()> {
        for index in 0..self.slots {
            let slot = self.slot(index)?;
            let waits = match slot.state.load(Relaxed) {
                RECEIVER => true,
                SENDER => news == GONE,
                _ => false,
            };
            if waits && self.waiter(index)?.news.load(Relaxed) == 0 {
                self.tell(index, news)?;
            }
        }
        Ok(())
    }

    /// Puts messages back whose receivers do not come for them. True: there was one.
    pub(super) fn reclaim_handed(&mut self) -> Result<bool> {
        if self.h.handed.load(Relaxed) == 0 {
            return Ok(false);
        }
        let now = sys::monotonic_ms();
        let (mut found, mut left) = (false, MOST_ASKED);
        for index in 0..self.slots {
            let slot = self.slot(index)?;
            if slot.state.load(Relaxed) != HANDED {
                continue;
            }
            if left == 0 {
                break;
            }
            left -= 1;
            let owner = slot.prev.load(Relaxed);
            let waiter = self.waiter(owner)?;
            let age = now.wrapping_sub(waiter.news_ms.load(Relaxed));
            let gone = age > FETCH_MS && !lives(self.ns, waiter);
            if age > STALE_MS || gone {
                self.take_from(owner)?;
                found = true;
            }
            if gone {
                self.free_waiter(owner)?;
                crashpoint!("msg.reclaim.freed");
            }
        }
        Ok(found)
    }

    /// Takes the message that a receiver was handed away from it again.
    pub(super) fn take_from(&mut self, owner: u32) -> Result<()> {
        let waiter = self.waiter(owner)?;
        let message = waiter.message.load(Relaxed);
        if self.slot(message)?.state.load(Relaxed) == HANDED {
            // Killed in between, the message is still handed over, and whoever takes it back does
            // this again: the id says whether it is still to be done.
            if Stamp::of(&self.h.received).pid() == waiter.tid.load(Relaxed) {
                let old = waiter.old_received.load(Relaxed);
                self.h.received.store(old, Relaxed);
            }
            crashpoint!("msg.take_back.restored");
            waiter.news.store(AGAIN, Relaxed);
            crashpoint!("msg.take_back.told");
            self.put_back(message)?;
            self.serve_receivers()?;
        }
        Ok(())
    }

    /// Looks for dead waiters when there are many, so that they do not pile up.
    fn sweep(&mut self) -> Result<()> {
        let h = self.h;
        let waiting = h.receivers.get().wrapping_add(h.senders.get());
        if waiting < h.sweep_at.load(Relaxed) {
            return Ok(());
        }
        self.bury_dead()?;
        let waiting = h.receivers.get().wrapping_add(h.senders.get());
        h.sweep_at.store(waiting.saturating_mul(2).max(16), Relaxed);
        Ok(())
    }

    /// Frees the slots of waiters whose threads are gone; their messages go back.
    pub(super) fn bury_dead(&mut self) -> Result<()> {
        let mut left = MOST_ASKED;
        for index in 0..self.slots {
            let slot = self.slot(index)?;
            if !matches!(slot.state.load(Relaxed), RECEIVER | SENDER) {
                continue;
            }
            if left == 0 {
                break;
            }
            left -= 1;
            let waiter = self.waiter(index)?;
            if lives(self.ns, waiter) {
                continue;
            }
            match waiter.news.load(Relaxed) {
                0 => self.leave_line(index)?,
                GOT => self.take_from(index)?,
                _ => {}
            }
            crashpoint!("msg.bury.out");
            self.free_waiter(index)?;
            crashpoint!("msg.bury.freed");
        }
        Ok(())
    }
}
