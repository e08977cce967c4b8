//! `msgrcv`.

use super::layout::{FREE, HANDED, Header, Slot};
use super::recover::{IDLE, RECEIVE};
use super::slots::blocks_of;
use super::wait::{AGAIN, GONE, GOT, Mode, Selector, TOO_BIG, Ticket, Waiting, Woken};
use super::{Locked, lock, take_lock};
use crate::abi::{IPC_NOWAIT, MSG_NOERROR};
use crate::crash::crashpoint;
use crate::creds::Creds;
use crate::errno::{Errno, Result};
use crate::handle::Pin;
use crate::look::Look;
use crate::namespace::Namespace;
use crate::tls;
use core::sync::atomic::{Ordering::*, fence};

/// Where a message goes. Called under the lock with the type and the number of bytes of text; says
/// where to write them, or that it cannot (EFAULT: the message is lost, as the kernel loses it).
pub trait Sink: FnMut(i64, usize) -> Option<*mut u8> {}
impl<F: FnMut(i64, usize) -> Option<*mut u8>> Sink for F {}

/// What to receive.
#[derive(Clone, Copy)]
pub(crate) struct Want {
    pub select: Selector,
    /// Bytes of text that the caller takes.
    pub size: usize,
    pub msgflg: i32,
    /// `MSG_COPY`: longest message that is copied, `min(size, msgmax)`.
    pub copy_most: usize,
}

impl Want {
    fn any_size(&self) -> bool {
        self.msgflg & MSG_NOERROR != 0
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
) -> Result<usize> {
    let sent = &tls::block().sent;
    // Who has just asked somebody waits for the answer. (A handler's send in between is no matter.)
    let hurry = sent.load(Relaxed) != 0;
    sent.store(0, Relaxed);
    if want.msgflg & IPC_NOWAIT != 0 && is_empty_for_all(pin, id) {
        return Err(Errno::ENOMSG);
    }
    let (map, h, left) = take_lock(pin)?;
    let mut q = Locked::new(map, h, pin, ns, id);
    q.settle(left).map_err(|e| super::at_first(pin, e))?;
    if !Creds::current().may_use(&q.h.object, 0o444) {
        return Err(Errno::EACCES);
    }
    // SAFETY: the caller's promise.
    match unsafe { q.receive_now(&want, sink) } {
        Ok(Some(len)) => Ok(len),
        // SAFETY: the caller's promise.
        Ok(None) => unsafe { receive_waiting(q, want, hurry, sink) },
        Err(Errno::EIO) => {
            q.repair()?;
            // SAFETY: the caller's promise.
            unsafe { receive_waiting(q, want, hurry, sink) }
        }
        Err(e) => Err(e),
    }
}

/// Whether the queue is at rest, empty, and the caller may read it: no lock is taken, which would take
/// the object's memory from who is about to send. Otherwise a look under the lock will tell.
///
/// Who sent before this call began had unlocked, and what is read after the free lock's word is at
/// least as new.
#[inline]
fn is_empty_for_all(pin: &Pin<'_>, id: i32) -> bool {
    let Ok(h) = pin.map().at::<Header>(0) else {
        return false;
    };
    let rebuilt = h.rebuilt.load(Acquire);
    let empty = h.object.lock.is_free()
        && h.qnum.load(Relaxed) == 0
        && h.handed.load(Relaxed) == 0
        && h.op.load(Relaxed) == IDLE
        && h.object.check_live().is_ok()
        && h.object.id() == id
        && Creds::current().may_use(&h.object, 0o444);
    // Pairs with the fence in `rebuild`: whose counts were seen has shown that it counts.
    fence(Acquire);
    empty && h.rebuilt.load(Relaxed) == rebuilt
}

/// Receives what was not there just now, or where nonsense was found.
///
/// # Safety
/// As for [`receive`].
#[allow(unsafe_code)]
#[cold]
unsafe fn receive_waiting(
    q: Locked<'_>,
    want: Want,
    hurry: bool,
    sink: &mut dyn Sink,
) -> Result<usize> {
    let (ns, pin, id) = (q.ns, q.pin, q.id);
    let mut look = None;
    let mut held = Some(q);
    loop {
        let mut q = match held.take() {
            Some(q) => q,
            None => lock(ns, pin, id)?,
        };
        if !Creds::current().may_use(&q.h.object, 0o444) {
            return Err(Errno::EACCES);
        }
        let found = q.with_repair(|q| match q.find(&want)? {
            None if q.reclaim_handed()? => q.find(&want),
            found => Ok(found),
        })?;
        if let Some(index) = found {
            // SAFETY: the caller's promise.
            return q.with_repair(|q| unsafe { q.take_or_copy(index, &want, sink) });
        }
        if want.msgflg & IPC_NOWAIT != 0 {
            return Err(Errno::ENOMSG);
        }
        let h = q.h;
        let look = look.get_or_insert_with(|| Look::new(&h.sender_cpu, hurry));
        if !look.is_over()? {
            let seen = h.next_seq.load(Relaxed);
            drop(q);
            look.watch(|| h.next_seq.load(Relaxed) != seen && h.object.lock.is_free());
            continue;
        }
        let len = if want.any_size() {
            u32::MAX
        } else {
            want.size.min(u32::MAX as usize) as u32
        };
        let ticket = q.with_repair(|q| q.enlist_receiver(len, &want.select))?;
        let waiting = Waiting::new(ns, pin, id, ticket);
        let map = q.map;
        drop(q);
        loop {
            let woken = waiting.sleep(&map)?;
            let mut q = match lock(ns, pin, id) {
                Err(Errno::EIDRM) if woken == Woken::Signal => return Err(Errno::EINTR),
                other => other?,
            };
            // SAFETY: the caller's promise.
            match q.with_repair(|q| unsafe { q.after_sleep(&ticket, &woken, &want, sink) })? {
                After::Again => break,
                After::SleepOn => {}
                After::Received(len) => return Ok(len),
            }
        }
    }
}

enum After {
    Again,
    SleepOn,
    Received(usize),
}

impl Locked<'_> {
    /// Receives what is there. `None`: nothing is.
    ///
    /// # Safety
    /// As for [`receive`].
    #[allow(unsafe_code)]
    #[inline(always)]
    unsafe fn receive_now(&mut self, want: &Want, sink: &mut impl Sink) -> Result<Option<usize>> {
        match self.find(want)? {
            // SAFETY: the caller's promise.
            Some(index) => unsafe { self.take_or_copy(index, want, sink) }.map(Some),
            None => Ok(None),
        }
    }

    #[inline(always)]
    fn find(&mut self, want: &Want) -> Result<Option<u32>> {
        match want.select.mode {
            Mode::Any => self.first(),
            Mode::Nth => self.nth(want.select.mtype),
            _ => self.select(&want.select),
        }
    }

    /// # Safety
    /// As for [`receive`].
    #[allow(unsafe_code)]
    #[inline(always)]
    unsafe fn take_or_copy(
        &mut self,
        index: u32,
        want: &Want,
        sink: &mut (impl Sink + ?Sized),
    ) -> Result<usize> {
        let slot = self.slot(index)?;
        let len = slot.len.load(Relaxed) as usize;
        if len > want.size && !want.any_size() {
            return Err(Errno::E2BIG);
        }
        if want.select.mode != Mode::Nth {
            // SAFETY: the caller's promise.
            return unsafe { self.take(index, slot, len.min(want.size), sink) };
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

    /// Takes a message out of the queue.
    ///
    /// # Safety
    /// As for [`receive`].
    #[allow(unsafe_code)]
    #[inline(always)]
    unsafe fn take(
        &mut self,
        index: u32,
        slot: &Slot,
        len: usize,
        sink: &mut (impl Sink + ?Sized),
    ) -> Result<usize> {
        self.expect_behind(slot.next.load(Relaxed));
        // SAFETY: the caller's promise.
        let copied = unsafe { self.copy_out(slot, len, sink)? };
        self.begin(index, super::layout::NIL);
        crashpoint!("msg.receive.before_commit");
        self.commit(RECEIVE);
        crashpoint!("msg.receive.after_commit");
        slot.state.store(FREE, Relaxed);
        self.stamp_receive(self.h.op_pid.load(Relaxed), self.h.op_time.load(Relaxed));
        crashpoint!("msg.receive.stamped");
        self.unlink(index, slot)?;
        crashpoint!("msg.receive.unlinked");
        self.free_message(index, slot)?;
        crashpoint!("msg.receive.freed");
        self.done();
        if self.h.senders.load(Relaxed) != 0 {
            self.wake_senders()?;
        }
        if self.h.qnum.load(Relaxed) == 0 {
            self.trim();
        }
        if copied { Ok(len) } else { Err(Errno::EFAULT) }
    }

    /// Frees a message's blocks and slot.
    #[inline(always)]
    pub(super) fn free_message(&mut self, index: u32, slot: &Slot) -> Result<()> {
        let blocks = blocks_of(slot.len.load(Relaxed) as usize);
        if blocks != 0 {
            self.free_blocks(slot.block.load(Relaxed), blocks)?;
        }
        self.free_known(index, slot);
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
        len: usize,
        sink: &mut (impl Sink + ?Sized),
    ) -> Result<bool> {
        let mtype = slot.mtype.load(Relaxed) as i64;
        let Some(to) = sink(mtype, len) else {
            return Ok(false);
        };
        // SAFETY: the caller's promise.
        unsafe { self.read_text(slot, to, len)? };
        Ok(true)
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
        if *woken == Woken::Signal && matches!(news, 0 | AGAIN | GOT) {
            // A handler ran: the wait is over, as the kernel ends it before the handler.
            if news == GOT {
                self.take_from(ticket.slot)?;
            }
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
    unsafe fn fetch(
        &mut self,
        ticket: &Ticket,
        want: &Want,
        sink: &mut dyn Sink,
    ) -> Result<usize> {
        let index = self.waiter(ticket.slot)?.message.load(Relaxed);
        let slot = self.slot(index)?;
        if slot.state.load(Relaxed) != HANDED || slot.prev.load(Relaxed) != ticket.slot {
            return Err(Errno::EIO);
        }
        let len = (slot.len.load(Relaxed) as usize).min(want.size);
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
        if self.h.qnum.load(Relaxed) == 0 {
            self.trim();
        }
        if copied { Ok(len) } else { Err(Errno::EFAULT) }
    }
}
