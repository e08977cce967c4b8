//! `msgrcv`.

use super::layout::{FREE, HANDED, Header, NIL, Slot};
use super::recover::{IDLE, RECEIVE};
use super::wait::{AGAIN, After, GONE, GOT, Mode, Selector, TOO_BIG, Ticket, Waiting, Woken};
use super::{Held, Locked, lock, take_lock};
use crate::abi::{IPC_NOWAIT, MSG_NOERROR};
use crate::bell;
use crate::crash::crashpoint;
use crate::creds::Creds;
use crate::errno::{Errno, Result};
use crate::handle::Pin;
use crate::lock::Left;
use crate::look::Look;
use crate::namespace::Namespace;
use crate::tls;
use core::sync::atomic::{Ordering::*, fence};

/// Where a message goes.
pub trait Sink {
    /// Called under the lock with the type and the number of bytes of text: where to write them, or
    /// none (EFAULT: the message is lost, as the kernel loses it).
    fn room(&mut self, mtype: i64, len: usize) -> Option<*mut u8>;
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
    pub size: u32,
    pub msgflg: i32,
    /// `MSG_COPY`: longest message that is copied, `min(size, msgmax)`.
    pub copy_most: u32,
}

impl Want {
    fn any_size(&self) -> bool {
        self.msgflg & MSG_NOERROR != 0
    }

    /// How many bytes of a message's text are taken. E2BIG: it is longer than the caller takes.
    #[inline(always)]
    fn takes_of(&self, slot: &Slot) -> Result<u32> {
        let len = slot.len.load(Relaxed);
        match len > self.size {
            true if !self.any_size() => Err(Errno::E2BIG),
            true => Ok(self.size),
            false => Ok(len),
        }
    }
}

/// Receives, waiting for a message unless the flags say not to. Returns the bytes of text.
///
/// # Safety
/// Where the sink says to write, as many bytes as it was told can be written.
#[allow(unsafe_code)]
#[inline(always)]
pub(crate) unsafe fn receive(
    ns: &Namespace,
    pin: &Pin<'_>,
    id: i32,
    want: Want,
    sink: &mut impl Sink,
) -> Result<u32> {
    let sent = &tls::block().sent;
    // Who has just asked somebody waits for the answer. (A handler's send in between is no matter.)
    let hurry = sent.load(Relaxed) != 0;
    sent.store(0, Relaxed);
    if want.msgflg & IPC_NOWAIT != 0 && is_empty_for_all(pin, id) {
        return Err(Errno::ENOMSG);
    }
    let map = pin.map();
    let (mut held, left) = take_lock(map, map.at(0)?)?;
    let mut received = Err(Errno::EIO);
    if held.settle(left, id)
        && Creds::current().may_use(&held.h.object, 0o444)
        && held.h.senders.get() == 0
    {
        // SAFETY: the caller's promise.
        received = unsafe { held.receive_now(&want, sink) };
        if let Ok(len) = received
            && !held.is_idle()
        {
            // The next message will lie where this one lay.
            let next = held.h.free_slot.load(Relaxed);
            pin.hint().store(next | super::RECEIVED, Relaxed);
            held.unlock();
            return Ok(len);
        }
    }
    // SAFETY: the caller's promise.
    unsafe { receive_further(held, left, (ns, pin, id), want, hurry, received, sink) }
}

/// Receives what was not there just now, or does what is left to do: the answer is `received` unless
/// that is EIO or ENOMSG.
///
/// # Safety
/// As for [`receive`].
#[allow(unsafe_code)]
#[cold]
unsafe fn receive_further(
    held: Held<'_>,
    left: Left,
    (ns, pin, id): (&Namespace, &Pin<'_>, i32),
    want: Want,
    hurry: bool,
    received: Result<u32>,
    sink: &mut dyn Sink,
) -> Result<u32> {
    let mut q = Locked::new(held, left, pin, ns, id);
    match received {
        Err(Errno::EIO) => {
            q.settle(left).map_err(crate::object::at_first)?;
            if q.h.op.load(Relaxed) != IDLE {
                q.repair()?;
            }
        }
        Err(Errno::ENOMSG) => {}
        _ => {
            q.trim();
            return received;
        }
    }
    // SAFETY: the caller's promise.
    unsafe { receive_waiting(q, &want, hurry, sink) }
}

/// Whether the queue is empty, and the caller may read it: no lock is taken, which would take the
/// object's memory from who is about to send. Otherwise a look under the lock will tell.
///
/// Nothing but the lock's cache line is read that a send changes, while no message came since this
/// process found nothing: then it does not matter either whether somebody is about to send one, which
/// has not returned. But it may have been killed without a word from the kernel, so now and then the
/// lock is taken.
#[inline(never)]
fn is_empty_for_all(pin: &Pin<'_>, id: i32) -> bool {
    const IN_ORDER: u32 = 1000;
    let map = pin.map();
    let Ok(h) = map.at::<Header>(0) else {
        return false;
    };
    let lock = &h.object.lock;
    let mark = lock.mark.load(Acquire);
    let readable = h.object.check_live().is_ok()
        && h.object.id() == id
        && Creds::current().may_use(&h.object, 0o444);
    if mark == pin.empty_at().load(Relaxed) {
        let glances = &tls::block().glances;
        let so_many = glances.load(Relaxed) % IN_ORDER + 1;
        glances.store(so_many, Relaxed);
        return readable && !lock.is_left() && (so_many != IN_ORDER || lock.is_free());
    }
    let is_next = mark == pin.empty_at().load(Relaxed).wrapping_add(1);
    if is_next {
        // What this poll waits for, most likely: it is a matter of some nanoseconds.
        let last = pin.hint().load(Relaxed) & !super::RECEIVED;
        super::expect_turn(&map, h, last);
        lock.await_free();
    }
    let empty = readable && is_at_rest(h);
    if empty {
        pin.empty_at().store(mark, Relaxed);
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
        let look = look.get_or_insert_with(|| Look::new(&h.sender_cpu, hurry));
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
        let len = if want.any_size() { u32::MAX } else { want.size };
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
    /// Receives what is there. ENOMSG: nothing is. EIO with an idle journal: nothing happened; so always, where
    /// a copy is asked for.
    ///
    /// # Safety
    /// As for [`receive`].
    #[allow(unsafe_code)]
    #[inline(always)]
    unsafe fn receive_now(&self, want: &Want, sink: &mut impl Sink) -> Result<u32> {
        let index = match want.select.mode {
            Mode::Any => self.h.head.load(Relaxed),
            Mode::Nth => return Err(Errno::EIO),
            _ => self.select(want.select)?.unwrap_or(NIL),
        };
        if index == NIL {
            return Err(Errno::ENOMSG);
        }
        let slot = self.slot(index)?;
        let len = want.takes_of(slot)?;
        // SAFETY: the caller's promise.
        unsafe { self.take(index, slot, len, sink) }
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
        let taken = want.takes_of(slot)?;
        if want.select.mode != Mode::Nth {
            // SAFETY: the caller's promise.
            return unsafe { self.take(index, slot, taken, sink) };
        }
        let len = slot.len.load(Relaxed);
        if len > want.copy_most {
            return Err(Errno::EINVAL);
        }
        // SAFETY: the caller's promise.
        match unsafe { self.copy_out(slot, len, sink)? } {
            true => Ok(len),
            false => Err(Errno::EFAULT),
        }
    }

    /// Takes a message out of the queue.
    ///
    /// # Safety
    /// As for [`receive`].
    #[allow(unsafe_code)]
    #[inline(always)]
    unsafe fn take(
        &self,
        index: u32,
        slot: &Slot,
        len: u32,
        sink: &mut (impl Sink + ?Sized),
    ) -> Result<u32> {
        self.expect_behind(slot.next.load(Relaxed));
        // SAFETY: the caller's promise.
        match unsafe { self.copy_out(slot, len, sink)? } {
            true => {}
            false => return self.lose(index, slot),
        }
        self.remove(index, slot)?;
        Ok(len)
    }

    /// Takes out of the queue what the sink cannot take.
    #[cold]
    #[inline(never)]
    fn lose(self, index: u32, slot: &Slot) -> Result<u32> {
        self.remove(index, slot)?;
        Err(Errno::EFAULT)
    }

    /// Takes a message out of the queue whose text was copied.
    #[inline(always)]
    fn remove(&self, index: u32, slot: &Slot) -> Result<()> {
        let (pid, time) = self.begin(index, NIL);
        crashpoint!("msg.receive.before_commit");
        self.commit(RECEIVE);
        crashpoint!("msg.receive.after_commit");
        slot.state.store(FREE, Relaxed);
        self.stamp_receive(pid, time);
        crashpoint!("msg.receive.stamped");
        self.unlink(index, slot)?;
        crashpoint!("msg.receive.unlinked");
        self.free_message(index, slot)?;
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
        let len = slot.len.load(Relaxed).min(want.size);
        // SAFETY: the caller's promise.
        let copied = unsafe { self.copy_out(slot, len, sink)? };
        crashpoint!("msg.fetch.before_commit");
        slot.state.store(FREE, Release);
        crashpoint!("msg.fetch.after_commit");
        self.h
            .handed
            .store(self.h.handed.load(Relaxed).saturating_sub(1), Relaxed);
        self.free_message(index, slot)?;
        self.dismiss(ticket)?;
        self.trim();
        if copied { Ok(len) } else { Err(Errno::EFAULT) }
    }
}
