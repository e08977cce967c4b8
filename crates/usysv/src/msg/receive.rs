//! `msgrcv`.

use super::layout::{FREE, HANDED, Header, INLINE, MESSAGE, NIL, Slot};
use super::recover::{IDLE, RECEIVE};
use super::slots::copy_short;
use super::wait::{AGAIN, After, GONE, GOT, Mode, Selector, TOO_BIG, Ticket, Waiting, Woken};
use super::{Held, Locked, SoFar, end_long, lock, shown_in, take_longer};
use crate::abi::{IPC_NOWAIT, MSG_NOERROR};
use crate::bell;
use crate::crash::crashpoint;
use crate::creds::Creds;
use crate::errno::{Errno, Result};
use crate::handle::Pin;
use crate::look::Look;
use crate::namespace::Namespace;
use crate::ticket::At;
use crate::tls;
use core::sync::atomic::{Ordering::*, fence};

/// Where a message goes.
pub trait Sink {
    /// Called under the lock with the type and the number of bytes of text: where to write them, or
    /// none (EFAULT: the message is lost, as the kernel loses it).
    fn room(&mut self, mtype: i64, len: usize) -> Option<*mut u8>;

    /// [`Sink::room`], if there is no need to look. None: nothing was done.
    #[inline(always)]
    fn at_hand(&mut self, mtype: i64, len: usize) -> Option<*mut u8> {
        self.room(mtype, len)
    }
}

/// Memory that is known to be there, and the type of what was written to it.
pub(crate) struct Room {
    pub mtype: i64,
    pub at: *mut u8,
}

impl Sink for Room {
    #[inline]
    fn room(&mut self, mtype: i64, _: usize) -> Option<*mut u8> {
        self.mtype = mtype;
        Some(self.at)
    }
}

/// What to receive.
#[derive(Clone, Copy)]
pub(crate) struct Want {
    pub select: Selector,
    /// Bytes of text that the caller takes.
    pub size: usize,
    pub msgflg: i32,
    /// `MSG_COPY`: longest message that is copied, `min(size, msgmax)`.
    pub copy_most: u32,
}

impl Want {
    /// `msgmax`: the longest message that is copied.
    #[inline(always)]
    pub fn new(size: usize, msgtyp: i64, msgflg: i32, msgmax: u64) -> Want {
        Want {
            select: Selector::new(msgtyp, msgflg),
            size,
            msgflg,
            copy_most: msgmax.min(size as u64) as u32,
        }
    }

    fn any_size(&self) -> bool {
        self.msgflg & MSG_NOERROR != 0
    }

    /// How many bytes of a text are taken. E2BIG: it is longer than the caller takes.
    #[inline(always)]
    fn takes_of(&self, len: u32) -> Result<u32> {
        match len as usize > self.size {
            true if !self.any_size() => Err(Errno::E2BIG),
            true => Ok(self.size as u32),
            false => Ok(len),
        }
    }
}

/// A message that a short call receives.
struct First<'a> {
    index: u32,
    slot: &'a Slot,
    mtype: i64,
    len: u32,
    /// Bytes of it that are received.
    taken: u32,
    /// What lies behind it.
    next: u32,
}

/// Receives, waiting for a message unless the flags say not to. Returns the bytes of text.
///
/// # Safety
/// Where the sink says to write, as many bytes as it was told can be written.
#[allow(unsafe_code)]
#[inline(always)]
pub(crate) unsafe fn receive<S: Sink>(
    ns: &Namespace,
    pin: &Pin<'_>,
    id: i32,
    want: Want,
    sink: &mut S,
) -> Result<u32> {
    let at = At::pinned(pin, shown_in)?;
    let sink = Through(sink);
    let further = move |so_far, mut sink: Through<S>| {
        // SAFETY: the caller's promise.
        unsafe { receive_further(so_far, at, pin, ns, id, want, &mut sink) }
    };
    let empty = move || is_empty_for_all(&at, id);
    let end = move |len| end_long(at, pin, ns, id).map(|()| len);
    // SAFETY: the caller's promise.
    unsafe { receive_at(at, &want, sink, empty, further, end, Ok) }
}

/// A sink that is borrowed where two may want it, one after the other.
pub(crate) struct Through<S>(pub *mut S);

impl<S> Clone for Through<S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for Through<S> {}

#[allow(unsafe_code)]
impl<S: Sink> Sink for Through<S> {
    fn room(&mut self, mtype: i64, len: usize) -> Option<*mut u8> {
        // SAFETY: made of a reference that lasts longer, and used by one at a time.
        unsafe { (*self.0).room(mtype, len) }
    }

    fn at_hand(&mut self, mtype: i64, len: usize) -> Option<*mut u8> {
        // SAFETY: as above.
        unsafe { (*self.0).at_hand(mtype, len) }
    }
}

/// Receives what is there, if the lock is free and nothing follows from that: `done`. Otherwise the section goes on:
/// `further` receives, `end` does what is left to do. (The answers are theirs, since looking at a `Result` takes
/// time.)
///
/// # Safety
/// As for [`receive`].
#[allow(unsafe_code)]
#[inline(always)]
pub(crate) unsafe fn receive_at<S: Sink + Copy, A>(
    at: At<'_>,
    want: &Want,
    sink: S,
    empty: impl FnOnce() -> bool,
    further: impl FnOnce(SoFar, S) -> A,
    end: impl FnOnce(u32) -> A,
    done: impl FnOnce(u32) -> A,
) -> A {
    if want.msgflg & IPC_NOWAIT != 0 && empty() {
        return further(SoFar::Nothing, sink);
    }
    let mut held = Held::short(at);
    if !held.h.object.lock.try_short(at.thread) {
        return further(SoFar::Busy, sink);
    }
    held.h.expect_changes();
    if !held.settle_short(&at)
        || !at.creds.may_use(&held.h.object, 0o444)
        || held.h.senders.get() != 0
    {
        return further(SoFar::Locked(Errno::EIO), sink);
    }
    let first = match held.first_short(want) {
        Ok(first) => first,
        Err(Errno::E2BIG) => return further(SoFar::Locked(Errno::E2BIG), sink),
        Err(Errno::ENOMSG) => return further(SoFar::Locked(Errno::ENOMSG), sink),
        Err(_) => {
            // SAFETY: the caller's promise.
            return match unsafe { held.receive_any(at, *want, &mut { sink }) } {
                Ok((len, true)) => done(len),
                Ok((len, false)) => end(len),
                Err(errno) => further(SoFar::Locked(errno), sink),
            };
        }
    };
    let (next, taken) = (first.next, first.taken);
    held.expect_behind(next);
    let Some(to) = { sink }.at_hand(first.mtype, taken as usize) else {
        return further(SoFar::Locked(Errno::EIO), sink);
    };
    // SAFETY: the caller's promise; the slot has so many.
    unsafe { copy_short(first.slot.text(), to, taken as usize) };
    // From here on there is nothing to be said of the call's arguments, which need not be kept.
    held.remove_short(&at, first);
    if next == NIL && held.is_roomy() {
        return end(taken);
    }
    held.end_receive(&at);
    done(taken)
}

/// Receives what [`receive_at`] did not.
///
/// # Safety
/// As for [`receive`].
#[allow(unsafe_code)]
#[cold]
#[inline(never)]
pub(crate) unsafe fn receive_further<'a>(
    so_far: SoFar,
    at: At<'a>,
    pin: &'a Pin<'a>,
    ns: &'a Namespace,
    id: i32,
    want: Want,
    sink: &mut dyn Sink,
) -> Result<u32> {
    // Who has just asked somebody waits for the answer.
    let hurry = at.thread.sent.swap(0, Relaxed) != 0;
    if so_far == SoFar::Nothing {
        at.leave();
        return Err(Errno::ENOMSG);
    }
    let mut q = take_longer(so_far, at, pin, ns, id)?;
    match so_far {
        SoFar::Locked(errno) if errno != Errno::EIO && errno != Errno::ENOMSG => {
            q.trim();
            Err(errno)
        }
        // SAFETY: the caller's promise.
        _ => unsafe { receive_waiting(q, &want, hurry, sink) },
    }
}

/// Whether the queue is empty, and the caller may read it: no lock is taken, which would take the
/// object's memory from who is about to send. Otherwise a look under the lock will tell.
///
/// Nothing but the lock's cache line is read that a send changes, while no message came since this
/// process found nothing: then it does not matter either whether somebody is about to send one, which
/// has not returned. But it may have been killed without a word from the kernel, so now and then the
/// lock is taken.
#[inline(never)]
pub(crate) fn is_empty_for_all(at: &At<'_>, id: i32) -> bool {
    const IN_ORDER: u32 = 1000;
    let h: &Header = at.header();
    let empty_at = at.handle.empty_at();
    let lock = &h.object.lock;
    let mark = lock.mark.load(Acquire);
    let readable =
        h.object.check_live().is_ok() && h.object.id() == id && at.creds.may_use(&h.object, 0o444);
    if mark == empty_at.load(Relaxed) {
        let glances = &at.thread.glances;
        let so_many = glances.load(Relaxed) % IN_ORDER + 1;
        glances.store(so_many, Relaxed);
        return readable && !lock.is_left() && (so_many != IN_ORDER || lock.is_free());
    }
    let is_next = mark == empty_at.load(Relaxed).wrapping_add(1);
    if is_next {
        // What this poll waits for, most likely: it is a matter of some nanoseconds.
        let last = at.handle.hint().load(Relaxed) & !super::RECEIVED;
        super::expect_turn(h, at.handle, last);
        lock.await_free();
    }
    let empty = readable && is_at_rest(h);
    if empty {
        empty_at.store(mark, Relaxed);
    }
    empty
}

/// Whether the queue is unlocked and empty. Who sent before this call began had unlocked, and what is
/// read after the free lock's word is at least as new.
fn is_at_rest(h: &Header) -> bool {
    let rebuilt = h.rebuilt.load(Acquire);
    let empty = h.object.lock.is_free()
        && h.qnum.load(Relaxed) == 0
        && h.handed.load(Relaxed) == 0
        && h.op.load(Relaxed) == IDLE;
    // Pairs with the fence in `rebuild`: whose counts were seen has shown that it counts.
    fence(Acquire);
    empty && h.rebuilt.load(Relaxed) == rebuilt
}

/// Receives what was not there just now, or where nonsense was found.
///
/// # Safety
/// As for [`receive`].
#[allow(unsafe_code)]
unsafe fn receive_waiting(
    q: Locked<'_>,
    want: &Want,
    hurry: bool,
    sink: &mut dyn Sink,
) -> Result<u32> {
    let (ns, pin, id) = (q.ns, q.pin, q.id);
    let (mut look, mut asked) = (None, false);
    let mut held = Some(q);
    loop {
        let mut q = match held.take() {
            Some(q) => q,
            None => lock(ns, pin, id)?,
        };
        if !Creds::current().may_use(&q.h.object, 0o444) {
            return Err(Errno::EACCES);
        }
        let found = q.with_repair(|q| match q.find(want)? {
            None if q.reclaim_handed()? => q.find(want),
            found => Ok(found),
        })?;
        if let Some(index) = found {
            // SAFETY: the caller's promise.
            return q.with_repair(|q| unsafe { q.receive(index, want, sink) });
        }
        if want.msgflg & IPC_NOWAIT != 0 {
            return Err(Errno::ENOMSG);
        }
        let h = q.h;
        let look = look.get_or_insert_with(|| Look::new(&h.sender, hurry));
        if !look.is_over()? {
            let seen = h.object.lock.mark.load(Relaxed);
            drop(q);
            look.watch(|| h.object.lock.mark.load(Relaxed) != seen && h.object.lock.is_free());
            continue;
        }
        if !asked && !bell::is_known(ns) {
            // Not in line: who is killed there before it sleeps keeps what it is handed for a while.
            asked = true;
            drop(q);
            let _ = bell::mine(ns);
            continue;
        }
        let len = match want.any_size() {
            true => u32::MAX,
            false => want.size.min(u32::MAX as usize) as u32,
        };
        let ticket = q.with_repair(|q| q.enlist_receiver(len, &want.select))?;
        let waiting = Waiting::new(&q, ticket)?;
        let ended = waiting.wait(q, |q, woken| {
            // SAFETY: the caller's promise.
            q.with_repair(|q| unsafe { q.after_sleep(&ticket, &woken, want, sink) })
        })?;
        if let After::Received(len) = ended {
            return Ok(len);
        }
    }
}

impl<'a> Held<'a> {
    /// The message for a short call: the first, where there is one type, with all of its text in its slot. ENOMSG,
    /// E2BIG: the answer; EIO: another kind of queue, message or wish, or nonsense.
    #[inline(always)]
    fn first_short(&self, want: &Want) -> Result<First<'a>> {
        if want.select.mode == Mode::Nth || self.h.indexed.load(Relaxed) != 0 {
            return Err(Errno::EIO);
        }
        let index = self.h.head.load(Relaxed);
        if index == NIL {
            return Err(Errno::ENOMSG);
        }
        let slot = self.slot(index)?;
        if slot.state.load(Relaxed) != MESSAGE {
            return Err(Errno::EIO);
        }
        let mtype = slot.mtype.load(Relaxed) as i64;
        if want.select.mode != Mode::Any && !want.select.takes_apart(mtype) {
            return Err(Errno::ENOMSG);
        }
        let len = slot.len.load(Relaxed);
        let taken = want.takes_of(len)?;
        if len as usize > INLINE {
            return Err(Errno::EIO);
        }
        let next = self.behind_first(slot, len)?;
        Ok(First {
            index,
            slot,
            mtype,
            len,
            taken,
            next,
        })
    }

    /// Takes such a message out of the queue. All that could be wrong was looked at before.
    #[inline(always)]
    fn remove_short(&self, at: &At<'_>, first: First<'_>) {
        let slot = first.slot;
        let stamp = self.begin_by(first.index, at.thread);
        crashpoint!("msg.first.before_commit");
        self.commit(RECEIVE);
        crashpoint!("msg.first.after_commit");
        slot.state.store(FREE, Relaxed);
        self.stamp_receive(stamp);
        self.h.receiver.note(at.thread);
        crashpoint!("msg.first.stamped");
        self.unlink_first(slot, first.len, first.next);
        crashpoint!("msg.first.unlinked");
        self.list_free(first.index, slot);
        crashpoint!("msg.first.freed");
        self.done();
    }

    /// Receives what is there, whatever it is. False: the lock is held still, for [`end_long`]. Errors as
    /// [`SoFar::Locked`] has them.
    ///
    /// # Safety
    /// As for [`receive`].
    #[allow(unsafe_code)]
    #[cold]
    #[inline(never)]
    unsafe fn receive_any(
        self,
        at: At<'a>,
        want: Want,
        sink: &mut impl Sink,
    ) -> Result<(u32, bool)> {
        // SAFETY: the caller's promise.
        let len = unsafe { self.whole(at.handle).receive_now(&want, sink)? };
        let ends = !self.is_idle();
        if ends {
            self.end_receive(&at);
        }
        Ok((len, ends))
    }

    /// The end of a receive from which nothing follows.
    #[inline(always)]
    fn end_receive(&self, at: &At<'_>) {
        // The next message will lie where this one lay.
        let next = self.h.free_slot.load(Relaxed);
        at.handle.hint().store(next | super::RECEIVED, Relaxed);
        at.thread.sent.store(0, Relaxed);
        self.h.object.lock.unlock_short(at.thread);
    }

    /// Receives what is there. ENOMSG: nothing is. EIO with an idle journal: nothing happened.
    ///
    /// # Safety
    /// As for [`receive`].
    #[allow(unsafe_code)]
    unsafe fn receive_now(&self, want: &Want, sink: &mut impl Sink) -> Result<u32> {
        if want.select.mode == Mode::Nth {
            return Err(Errno::EIO);
        }
        let index = self.select(want.select)?.ok_or(Errno::ENOMSG)?;
        let slot = self.slot(index)?;
        let len = slot.len.load(Relaxed);
        let taken = want.takes_of(len)?;
        let mtype = slot.mtype.load(Relaxed) as i64;
        if sink.at_hand(mtype, taken as usize).is_none() {
            return Err(Errno::EIO);
        }
        // SAFETY: the caller's promise.
        unsafe { self.take(index, slot, (len, taken), sink) }
    }

    fn find(&self, want: &Want) -> Result<Option<u32>> {
        match want.select.mode {
            Mode::Any => Ok(self.first()),
            Mode::Nth => self.nth(want.select.mtype),
            _ => self.select(want.select),
        }
    }

    /// # Safety
    /// As for [`receive`].
    #[allow(unsafe_code)]
    unsafe fn take_or_copy(&self, index: u32, want: &Want, sink: &mut dyn Sink) -> Result<u32> {
        let slot = self.slot(index)?;
        let len = slot.len.load(Relaxed);
        let taken = want.takes_of(len)?;
        if want.select.mode != Mode::Nth {
            // SAFETY: the caller's promise.
            return unsafe { self.take(index, slot, (len, taken), sink) };
        }
        if len > want.copy_most {
            return Err(Errno::EINVAL);
        }
        // SAFETY: the caller's promise.
        match unsafe { self.copy_out(slot, len, sink)? } {
            true => Ok(len),
            false => Err(Errno::EFAULT),
        }
    }

    /// Takes a message out of the queue: `taken` of `len` bytes.
    ///
    /// # Safety
    /// As for [`receive`].
    #[allow(unsafe_code)]
    #[inline(always)]
    unsafe fn take(
        &self,
        index: u32,
        slot: &Slot,
        (len, taken): (u32, u32),
        sink: &mut (impl Sink + ?Sized),
    ) -> Result<u32> {
        self.expect_behind(slot.next.load(Relaxed));
        // SAFETY: the caller's promise.
        if !unsafe { self.copy_out(slot, taken, sink)? } {
            return self.lose(index, slot, len);
        }
        self.remove(index, slot, len)?;
        Ok(taken)
    }

    /// Takes out of the queue what the sink cannot take.
    #[cold]
    #[inline(never)]
    fn lose(self, index: u32, slot: &Slot, len: u32) -> Result<u32> {
        self.remove(index, slot, len)?;
        Err(Errno::EFAULT)
    }

    /// Takes a message out of the queue whose text was copied.
    #[inline(always)]
    fn remove(&self, index: u32, slot: &Slot, len: u32) -> Result<()> {
        let stamp = self.begin(index);
        crashpoint!("msg.receive.before_commit");
        self.commit(RECEIVE);
        crashpoint!("msg.receive.after_commit");
        slot.state.store(FREE, Relaxed);
        self.stamp_receive(stamp);
        self.h.receiver.note(tls::block());
        crashpoint!("msg.receive.stamped");
        self.unlink(index, slot, len)?;
        crashpoint!("msg.receive.unlinked");
        self.free_message(index, slot, len)?;
        crashpoint!("msg.receive.freed");
        self.done();
        Ok(())
    }

    /// False: the sink cannot take it.
    ///
    /// # Safety
    /// As for [`receive`].
    #[allow(unsafe_code)]
    #[inline(always)]
    unsafe fn copy_out(
        &self,
        slot: &Slot,
        len: u32,
        sink: &mut (impl Sink + ?Sized),
    ) -> Result<bool> {
        let mtype = slot.mtype.load(Relaxed) as i64;
        let Some(to) = sink.room(mtype, len as usize) else {
            return Ok(false);
        };
        // SAFETY: the caller's promise.
        unsafe { self.read_text(slot, to, len as usize)? };
        Ok(true)
    }
}

impl Locked<'_> {
    /// Takes or copies a message, and then does what follows from there being one less.
    ///
    /// # Safety
    /// As for [`receive`].
    #[allow(unsafe_code)]
    unsafe fn receive(&mut self, index: u32, want: &Want, sink: &mut dyn Sink) -> Result<u32> {
        // SAFETY: the caller's promise.
        let received = unsafe { self.take_or_copy(index, want, sink) };
        if matches!(received, Ok(_) | Err(Errno::EFAULT)) && want.select.mode != Mode::Nth {
            // The message is out: nonsense among the waiters must not take a second one.
            if self.h.senders.get() != 0 && self.wake_senders().is_err() {
                let _ = self.recover();
            }
            self.trim();
        }
        received
    }

    /// # Safety
    /// As for [`receive`].
    #[allow(unsafe_code)]
    unsafe fn after_sleep(
        &mut self,
        ticket: &Ticket,
        woken: &Woken,
        want: &Want,
        sink: &mut dyn Sink,
    ) -> Result<After> {
        let news = self.news(ticket)?;
        if *woken == Woken::Signal && matches!(news, 0 | AGAIN) {
            // A handler ran: the wait is over, as the kernel ends it before the handler.
            self.dismiss(ticket)?;
            return Err(Errno::EINTR);
        }
        match news {
            0 => {
                // The beat: was a wake lost, or a message left behind by a dead receiver?
                let found = self.find(want)?.is_some() || self.reclaim_handed()?;
                if !found {
                    return Ok(After::SleepOn);
                }
                self.dismiss(ticket)?;
                Ok(After::Again)
            }
            GOT => {
                // SAFETY: the caller's promise.
                let received = unsafe { self.fetch(ticket, want, sink) };
                received.map(After::Received)
            }
            TOO_BIG => {
                self.dismiss(ticket)?;
                Err(Errno::E2BIG)
            }
            GONE => Err(Errno::EIDRM),
            _ => {
                self.dismiss(ticket)?;
                Ok(After::Again)
            }
        }
    }

    /// Fetches what a sender handed over. The waiter's slot goes with it.
    ///
    /// # Safety
    /// As for [`receive`].
    #[allow(unsafe_code)]
    unsafe fn fetch(&mut self, ticket: &Ticket, want: &Want, sink: &mut dyn Sink) -> Result<u32> {
        let index = self.waiter(ticket.slot)?.message.load(Relaxed);
        let slot = self.slot(index)?;
        if slot.state.load(Relaxed) != HANDED || slot.prev.load(Relaxed) != ticket.slot {
            return Err(Errno::EIO);
        }
        let len = slot.len.load(Relaxed);
        let taken = want.size.min(len as usize) as u32;
        // SAFETY: the caller's promise.
        let copied = unsafe { self.copy_out(slot, taken, sink)? };
        crashpoint!("msg.fetch.before_commit");
        slot.state.store(FREE, Release);
        crashpoint!("msg.fetch.after_commit");
        self.h
            .handed
            .store(self.h.handed.load(Relaxed).saturating_sub(1), Relaxed);
        self.free_message(index, slot, len)?;
        self.dismiss(ticket)?;
        self.trim();
        if copied {
            Ok(taken)
        } else {
            Err(Errno::EFAULT)
        }
    }
}
