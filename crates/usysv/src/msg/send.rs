//! `msgsnd`.

use super::layout::{self, HANDED, Header, INLINE, MESSAGE, NIL, Slot};
use super::recover::{HAND_OVER, IDLE, SEND};
use super::slots::blocks_of;
use super::wait::{self, After, GOT, Waiting, Woken};
use super::{Held, Locked, expect_turn, lock, take_lock};
use crate::abi::IPC_NOWAIT;
use crate::bell;
use crate::crash::crashpoint;
use crate::creds::Creds;
use crate::errno::{Errno, Result};
use crate::handle::Pin;
use crate::lock::Left;
use crate::look::Look;
use crate::namespace::Namespace;
use crate::tls;
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
    let map = pin.map();
    let h: &Header = map.at(0)?;
    let sent = &tls::block().sent;
    if sent.load(Relaxed) == 0 {
        sent.store(1, Relaxed);
        // An answer: who asked waits, and nobody is at work on this queue.
        let last = pin.hint().load(Relaxed);
        if last & super::RECEIVED == 0 {
            expect_turn(&map, h, last);
        }
    }
    let (mut held, left) = take_lock(map, h)?;
    if held.settle(left, id)
        && Creds::current().may_use(&held.h.object, 0o222)
        && held.fits(source.len as u64)
        && (held.h.receivers.get() == 0 || held.is_unwanted(source.mtype))
        // SAFETY: the caller's promise.
        && unsafe { held.send_now(&source) }.is_ok()
    {
        pin.hint().store(held.h.tail.load(Relaxed), Relaxed);
        held.unlock();
        return Ok(());
    }
    // SAFETY: the caller's promise.
    unsafe { send_further(held, left, pin, ns, id, source, msgflg) }
}

/// Sends a message for which more has to be done than to put it into the queue; or nonsense was found.
///
/// # Safety
/// The source's text can be read.
#[allow(unsafe_code)]
#[cold]
unsafe fn send_further<'a>(
    held: Held<'a>,
    left: Left,
    pin: &'a Pin<'a>,
    ns: &'a Namespace,
    id: i32,
    source: Source,
    msgflg: i32,
) -> Result<()> {
    let mut q = Locked::new(held, left, pin, ns, id);
    // Who is woken by the removal of the queue gets EIDRM, who comes later EINVAL.
    q.settle(left).map_err(crate::object::at_first)?;
    if q.h.op.load(Relaxed) != IDLE {
        q.repair()?;
    }
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
        let look = look.get_or_insert_with(|| Look::new(&h.receiver_cpu, false));
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

impl Held<'_> {
    /// Puts a message that fits into the queue, for which nobody waits. ENOMEM, or EIO with an idle
    /// journal: nothing happened.
    ///
    /// # Safety
    /// The source's text can be read.
    #[allow(unsafe_code)]
    #[inline(always)]
    unsafe fn send_now(&self, source: &Source) -> Result<()> {
        let (index, slot) = self.take_free_slot(self.h.free_slot.load(Relaxed))?;
        let blocks = match source.len {
            ..=INLINE => Ok(NIL),
            len => self.take_free_blocks(blocks_of(len)),
        };
        // SAFETY: the caller's promise.
        match blocks.and_then(|first| unsafe { self.fill(slot, first, source) }) {
            Ok(()) => self.enqueue(index, slot)?,
            Err(e) => {
                self.free_known(index, slot);
                return Err(e);
            }
        }
        self.done();
        Ok(())
    }

    /// Writes a message into a slot that nobody looks at.
    ///
    /// # Safety
    /// The source's text can be read.
    #[allow(unsafe_code)]
    #[inline(always)]
    unsafe fn fill(&self, slot: &Slot, first: u32, source: &Source) -> Result<()> {
        // SAFETY: the caller's promise.
        unsafe { self.write_text(slot, first, source.text, source.len)? };
        slot.mtype.store(source.mtype as u64, Relaxed);
        slot.seq.store(self.h.next_seq.load(Relaxed), Relaxed);
        crashpoint!("msg.send.filled");
        Ok(())
    }

    /// Puts a filled slot into the queue.
    #[inline(always)]
    fn enqueue(&self, index: u32, slot: &Slot) -> Result<()> {
        let (pid, time) = self.begin(index, NIL);
        crashpoint!("msg.send.before_commit");
        self.commit(SEND);
        crashpoint!("msg.send.after_commit");
        slot.state.store(MESSAGE, Relaxed);
        self.stamp_send(pid, time);
        crashpoint!("msg.send.stamped");
        self.append(index, slot)?;
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
            self.enqueue(index, slot)?;
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
                self.enqueue(index, slot)?;
                self.tell_passed_over(source.mtype, u64::MAX)?;
            }
        }
        self.done();
        Ok(owner)
    }

    /// Gives a filled slot to the first receiver in line that takes it. `first`: the first that takes its type.
    fn hand_over(&mut self, index: u32, owner: u32, first: u32, mtype: i64) -> Result<()> {
        let (pid, time) = self.begin(index, owner);
        let waiter = self.waiter(owner)?;
        waiter.old_lrpid.store(self.h.lrpid.load(Relaxed), Relaxed);
        waiter.old_rtime.store(self.h.rtime.load(Relaxed), Relaxed);
        crashpoint!("msg.hand.before_commit");
        self.commit(HAND_OVER);
        crashpoint!("msg.hand.after_commit");
        self.mark_handed(index, owner)?;
        self.stamp_send(pid, time);
        // Linux names the thread here, and the process where one receives for itself.
        self.stamp_receive(waiter.tid.load(Relaxed), time);
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
