//! `msgsnd`.

use super::layout::{self, HANDED, INLINE, MESSAGE, NIL, Slot, Stamp};
use super::recover::{HAND_OVER, SEND};
use super::slots::{blocks_of, copy_short};
use super::wait::{self, After, GOT, Waiting, Woken};
use super::{Held, Locked, SoFar, end_long, expect_turn, lock, shown_in, take_longer};
use crate::abi::IPC_NOWAIT;
use crate::bell;
use crate::crash::crashpoint;
use crate::creds::Creds;
use crate::errno::{Errno, Result};
use crate::handle::Pin;
use crate::look::Look;
use crate::namespace::Namespace;
use crate::ticket::At;
use core::sync::atomic::{AtomicPtr, Ordering::*};

/// A message to send: its type, and readable text.
#[derive(Clone, Copy)]
pub(crate) struct Source {
    pub mtype: i64,
    pub text: *const u8,
    pub len: usize,
}

/// Sends, waiting for room unless the flags say not to.
///
/// # Safety
/// The source's text can be read.
#[allow(unsafe_code)]
#[inline(always)]
pub(crate) unsafe fn send(
    ns: &Namespace,
    pin: &Pin<'_>,
    id: i32,
    source: Source,
    msgflg: i32,
) -> Result<()> {
    let at = At::pinned(pin, shown_in)?;
    // SAFETY: the caller's promise.
    let further = move |so_far| unsafe { send_further(so_far, at, pin, ns, id, source, msgflg) };
    // SAFETY: the caller's promise.
    unsafe { send_at(at, source, further, move || end_long(at, pin, ns, id), Ok) }
}

/// Sends if there is room, nobody waits, and the lock is free: `done`. Otherwise the section goes on: `further`
/// sends, `end` does what is left to do. (The answers are theirs, since looking at a `Result` takes time.)
///
/// # Safety
/// The source's text can be read.
#[allow(unsafe_code)]
#[inline(always)]
pub(crate) unsafe fn send_at<A>(
    at: At<'_>,
    source: Source,
    further: impl FnOnce(SoFar) -> A,
    end: impl FnOnce() -> A,
    done: impl FnOnce(()) -> A,
) -> A {
    let hint = at.handle.hint();
    let last = hint.load(Relaxed);
    if last & super::RECEIVED == 0 && at.thread.sent.load(Relaxed) == 0 {
        // An answer: who asked waits, and nobody is at work on this queue.
        expect_turn(at.header(), at.handle, last);
    }
    at.thread.sent.store(1, Relaxed);
    let mut held = Held::short(at);
    if !held.h.object.lock.try_short(at.thread) {
        return further(SoFar::Busy);
    }
    held.h.expect_changes();
    if !held.settle_short(&at)
        || !at.creds.may_use(&held.h.object, 0o222)
        || !held.fits(source.len as u64)
        || held.h.receivers.get() != 0 && !held.is_unwanted(at.handle, source.mtype)
    {
        return further(SoFar::Locked(Errno::EIO));
    }
    if source.len > INLINE {
        // SAFETY: the caller's promise.
        return match unsafe { held.send_long(at, source) } {
            true => done(()),
            false => further(SoFar::Locked(Errno::EIO)),
        };
    }
    let Ok((index, slot)) = held.take_free_slot(held.h.free_slot.load(Relaxed)) else {
        return further(SoFar::Locked(Errno::EIO));
    };
    // SAFETY: the caller's promise.
    unsafe { held.fill_short(slot, &source) };
    // From here on there is nothing to be said of the call's arguments, which need not be kept.
    let begun = held.begin_by(index, at.thread);
    let whole = || held.whole(at.handle);
    if held.enqueue(begun, index, slot, source.len, whole).is_err() {
        return end();
    }
    held.end_send(&at, index);
    done(())
}

/// Sends what [`send_at`] did not.
///
/// # Safety
/// The source's text can be read.
#[allow(unsafe_code)]
#[cold]
#[inline(never)]
pub(crate) unsafe fn send_further<'a>(
    so_far: SoFar,
    at: At<'a>,
    pin: &'a Pin<'a>,
    ns: &'a Namespace,
    id: i32,
    source: Source,
    msgflg: i32,
) -> Result<()> {
    let q = take_longer(so_far, at, pin, ns, id)?;
    // SAFETY: the caller's promise.
    unsafe { send_waiting(q, source, msgflg) }
}

/// Sends under the lock, and then wakes whom it concerns.
///
/// # Safety
/// The source's text can be read.
#[allow(unsafe_code)]
unsafe fn send_locked(mut q: Locked<'_>, source: &Source) -> Result<()> {
    let (ns, pin, id) = (q.ns, q.pin, q.id);
    // SAFETY: the caller's promise.
    let handed = q.with_repair(|q| unsafe { q.send(source) })?;
    match (q.leave(), handed) {
        (false, Some(owner)) => check_handed(ns, pin, id, owner),
        _ => Ok(()),
    }
}

/// Sends a message that did not fit just now.
///
/// # Safety
/// The source's text can be read.
#[allow(unsafe_code)]
unsafe fn send_waiting(q: Locked<'_>, source: Source, msgflg: i32) -> Result<()> {
    let (ns, pin, id) = (q.ns, q.pin, q.id);
    let mut source = source;
    let mut kept: Option<Kept> = None;
    let (mut look, mut asked) = (None, false);
    let mut held = Some(q);
    loop {
        let mut q = match held.take() {
            Some(q) => q,
            None => lock(ns, pin, id)?,
        };
        if !Creds::current().may_use(&q.h.object, 0o222) {
            return Err(Errno::EACCES);
        }
        if q.fits(source.len as u64) {
            // SAFETY: the caller's promise, or the copy that is kept.
            return unsafe { send_locked(q, &source) };
        }
        if msgflg & IPC_NOWAIT != 0 {
            return Err(Errno::EAGAIN);
        }
        let h = q.h;
        let look = look.get_or_insert_with(|| Look::new(&h.receiver, false));
        if !look.is_over()? {
            drop(q);
            look.watch(|| super::fits(h, source.len as u64));
            continue;
        }
        if !asked && !bell::is_known(ns) {
            // Not in line: who is killed there before it sleeps keeps what it is handed for a while.
            asked = true;
            drop(q);
            let _ = bell::mine(ns);
            continue;
        }
        if kept.is_none() {
            // What is sent is what the text was at the call, whatever becomes of it meanwhile.
            // SAFETY: the caller's promise.
            let copy = unsafe { Kept::copy(&source)? };
            source.text = copy.at;
            kept = Some(copy);
        }
        let ticket = q.with_repair(|q| q.enlist_sender(source.len as u32))?;
        let waiting = Waiting::new(&q, ticket)?;
        waiting.wait(q, |q, woken| {
            // Woken for nothing, or by its beat: in line still, and judged again when there is room.
            let idle = woken == Woken::News && q.news(&ticket)? == 0;
            if idle && !q.fits(source.len as u64) {
                return Ok(After::SleepOn);
            }
            q.dismiss(&ticket)?;
            match woken {
                Woken::Signal => Err(Errno::EINTR),
                Woken::News => Ok(After::Again),
            }
        })?;
    }
}

/// A copy of a text, for a sender that waits. One that leaves by `longjmp` leaks it.
struct Kept {
    at: *mut u8,
    len: usize,
}

/// Room for a text of the default `msgmax`, kept for the next sender that waits; or null.
static SPARE: AtomicPtr<u8> = AtomicPtr::new(core::ptr::null_mut());
const SPARE_LEN: usize = 8192;

impl Kept {
    /// # Safety
    /// The source's text can be read.
    #[allow(unsafe_code)]
    unsafe fn copy(source: &Source) -> Result<Kept> {
        let len = source.len.max(SPARE_LEN);
        let spare = match len {
            SPARE_LEN => SPARE.swap(core::ptr::null_mut(), Acquire),
            _ => core::ptr::null_mut(),
        };
        let at = match spare.is_null() {
            true => crate::sys::private_memory(len)?,
            false => spare,
        };
        // SAFETY: the caller's promise, and memory of at least that size, which is ours alone.
        unsafe { at.copy_from_nonoverlapping(source.text, source.len) };
        Ok(Kept { at, len })
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let none = core::ptr::null_mut();
        if self.len != SPARE_LEN
            || SPARE
                .compare_exchange(none, self.at, Release, Relaxed)
                .is_err()
        {
            crate::sys::unmap(self.at, self.len);
        }
    }
}

/// After a hand-over whose wake found nobody asleep: if its receiver is dead, the message goes back and on.
fn check_handed(ns: &Namespace, pin: &Pin<'_>, id: i32, owner: u32) -> Result<()> {
    let waiter = layout::waiter(&pin.map(), owner)?;
    if waiter.news.load(Relaxed) == GOT
        && !wait::lives(ns, waiter)
        && let Ok(mut q) = lock(ns, pin, id)
    {
        q.with_repair(Locked::bury_dead)?;
    }
    Ok(())
}

impl<'a> Held<'a> {
    /// Puts a message that fits, but not into its slot alone, into the queue. False: nothing happened, or it makes
    /// no sense.
    ///
    /// # Safety
    /// The source's text can be read.
    #[allow(unsafe_code)]
    #[cold]
    #[inline(never)]
    unsafe fn send_long(self, at: At<'a>, source: Source) -> bool {
        let held = self.whole(at.handle);
        // SAFETY: the caller's promise.
        unsafe { held.send_whole(&at, &source) }
    }

    /// # Safety
    /// As for [`Held::send_long`].
    #[allow(unsafe_code)]
    unsafe fn send_whole(&self, at: &At<'_>, source: &Source) -> bool {
        let Ok((index, slot)) = self.take_free_slot(self.h.free_slot.load(Relaxed)) else {
            return false;
        };
        let blocks = self.take_free_blocks(blocks_of(source.len));
        // SAFETY: the caller's promise.
        let fill = |first| unsafe { self.fill(slot, first, source) };
        if blocks.and_then(fill).is_err() {
            self.free_known(index, slot);
            return false;
        }
        let begun = self.begin_by(index, at.thread);
        if self
            .enqueue(begun, index, slot, source.len, || *self)
            .is_err()
        {
            return false;
        }
        self.end_send(at, index);
        true
    }

    /// The end of a send from which nothing follows.
    #[inline(always)]
    fn end_send(&self, at: &At<'_>, index: u32) {
        self.done();
        at.handle.hint().store(index, Relaxed);
        self.h.object.lock.unlock_short(at.thread);
    }

    /// Writes a message into a slot that nobody looks at.
    ///
    /// # Safety
    /// The source's text can be read.
    #[allow(unsafe_code)]
    unsafe fn fill(&self, slot: &Slot, first: u32, source: &Source) -> Result<()> {
        // SAFETY: the caller's promise, here and below.
        unsafe {
            if source.len <= INLINE {
                self.fill_short(slot, source);
                return Ok(());
            }
            self.write_text(slot, first, source.text, source.len)?;
        }
        self.fill_head(slot, source);
        Ok(())
    }

    /// [`Held::fill`] of one that fits into its slot.
    ///
    /// # Safety
    /// The source's text can be read.
    #[allow(unsafe_code)]
    #[inline(always)]
    unsafe fn fill_short(&self, slot: &Slot, source: &Source) {
        slot.len.store(source.len as u32, Relaxed);
        // SAFETY: the caller's promise.
        unsafe { copy_short(source.text, slot.text(), source.len) };
        self.fill_head(slot, source);
    }

    #[inline(always)]
    fn fill_head(&self, slot: &Slot, source: &Source) {
        slot.mtype.store(source.mtype as u64, Relaxed);
        slot.seq.store(self.h.next_seq.load(Relaxed), Relaxed);
        crashpoint!("msg.send.filled");
    }

    /// Puts a filled slot into the queue.
    #[inline(always)]
    fn enqueue(
        &self,
        stamp: Stamp,
        index: u32,
        slot: &Slot,
        len: usize,
        whole: impl FnOnce() -> Held<'a>,
    ) -> Result<()> {
        crashpoint!("msg.send.before_commit");
        self.commit(SEND);
        crashpoint!("msg.send.after_commit");
        slot.state.store(MESSAGE, Relaxed);
        self.stamp_send(stamp);
        crashpoint!("msg.send.stamped");
        self.append(index, slot, len as u32, whole)?;
        crashpoint!("msg.send.appended");
        Ok(())
    }
}

impl Locked<'_> {
    /// Puts a message that fits into the queue, or into the hands of a receiver, who is returned.
    ///
    /// # Safety
    /// The source's text can be read.
    #[allow(unsafe_code)]
    unsafe fn send(&mut self, source: &Source) -> Result<Option<u32>> {
        let (index, slot) = self.take_slot()?;
        let blocks = self.take_blocks(blocks_of(source.len));
        // SAFETY: the caller's promise.
        if let Err(e) = blocks.and_then(|first| unsafe { self.fill(slot, first, source) }) {
            self.free_known(index, slot);
            return Err(e);
        }
        let Some(first) = self.receiver_for(source.mtype, 0)? else {
            self.enqueue(self.begin(index), index, slot, source.len, || self.held)?;
            self.done();
            return Ok(None);
        };
        let owner = match source.len <= self.slot(first)?.len.load(Relaxed) as usize {
            true => Some(first),
            false => self.receiver_for(source.mtype, source.len)?,
        };
        match owner {
            Some(owner) => self.hand_over(index, owner, first, source.mtype)?,
            None => {
                self.enqueue(self.begin(index), index, slot, source.len, || self.held)?;
                self.tell_passed_over(source.mtype, u64::MAX)?;
            }
        }
        self.done();
        Ok(owner)
    }

    /// Gives a filled slot to the first receiver in line that takes it. `first`: the first that takes its type.
    fn hand_over(&mut self, index: u32, owner: u32, first: u32, mtype: i64) -> Result<()> {
        let stamp = self.begin(index);
        self.h.op_waiter.store(owner, Relaxed);
        let waiter = self.waiter(owner)?;
        let received = self.h.received.load(Relaxed);
        waiter.old_received.store(received, Relaxed);
        crashpoint!("msg.hand.before_commit");
        self.commit(HAND_OVER);
        crashpoint!("msg.hand.after_commit");
        self.mark_handed(index, owner)?;
        self.stamp_send(stamp);
        // Linux names the thread here, and the process where one receives for itself.
        self.stamp_receive(Stamp::new(waiter.tid.load(Relaxed), stamp.time()));
        crashpoint!("msg.hand.stamped");
        if owner != first {
            self.tell_passed_over(mtype, self.slot(owner)?.seq.load(Relaxed))?;
        }
        self.tell(owner, GOT)?;
        self.h
            .handed
            .store(self.h.handed.load(Relaxed).wrapping_add(1), Relaxed);
        crashpoint!("msg.hand.told");
        Ok(())
    }

    /// The slots' part of a hand-over.
    pub(super) fn mark_handed(&self, index: u32, owner: u32) -> Result<()> {
        let slot = self.slot(index)?;
        slot.prev.store(owner, Relaxed);
        slot.state.store(HANDED, Relaxed);
        crashpoint!("msg.hand.marked");
        self.waiter(owner)?.message.store(index, Relaxed);
        Ok(())
    }

    /// Gives messages that are in the queue to receivers that wait for them: after one was put
    /// back, or a recovery. (A send does this at once.)
    pub(super) fn serve_receivers(&mut self) -> Result<()> {
        let mut at = self.h.head.load(Relaxed);
        let mut left = self.h.qnum.load(Relaxed).min(u64::from(self.slots));
        while at != NIL && left > 0 && self.h.receivers.get() != 0 {
            let slot = self.slot(at)?;
            let next = slot.next.load(Relaxed);
            if let Some(owner) = self.receiver_for(slot.mtype.load(Relaxed) as i64, 0)? {
                // It looks for itself: the message stays where anybody finds it.
                self.tell(owner, super::wait::AGAIN)?;
            }
            at = next;
            left -= 1;
        }
        Ok(())
    }
}
