//! Message queues.
//!
//! Visible behaviour is `ipc/msg.c`'s: FIFO by type, hand-over to the first matching receiver at
//! the moment of the send, limits by bytes and by count, senders woken when their message fits.
//!
//! A queue's file is a header page and then *extents*, each twice the one before, of slots (128
//! bytes) and blocks (256 bytes). A slot holds a message, with its first 72 bytes of text, or
//! a waiter; the rest of a message's text is a chain of blocks. The file is sparse: pages are
//! filled as the queue first needs them and given back when it is empty.
//!
//! Truth: the slots' states and content, and the header's `qbytes`, times and pids. Everything else
//! (lists, indexes, counts, free lists) is derived, and made anew by whoever takes the lock of a
//! holder that was killed.
//!
//! Commit: an operation prepares what nobody looks at yet, writes itself into the header's journal,
//! and stores the journal's `op`. Before that store nothing happened; after it everything did,
//! since the next holder does the journal again before it rebuilds (`recover`).
//!
//! Barriers: stores are seen in program order by whoever gets the lock next (acquire/release of
//! the lock word), and by whoever finds it after a kill (the kernel's own barriers); what remains
//! is the compiler, which `commit` keeps from moving stores over the commit.

mod ctl;
mod heap;
mod layout;
mod order;
mod receive;
mod recover;
mod send;
mod slots;
mod wait;

pub(crate) use ctl::Change;
#[doc(hidden)]
pub use layout::places;
pub(crate) use layout::{BACKED, FILE_LEN, fill, shown_in};
pub use receive::Sink;
pub(crate) use receive::{
    Room, Through, Want, is_empty_for_all, receive, receive_at, receive_further,
};
pub(crate) use send::{Source, send, send_at, send_further};

use crate::chair::Owed;
use crate::crash::crashpoint;
use crate::critical;
use crate::errno::{Errno, Result};
use crate::files;
use crate::handle::{Handle, Pin};
use crate::lock::Left;
use crate::map::{Map, expect};
use crate::namespace::Namespace;
use crate::object::{Kind, index_of};
use crate::sys;
use crate::ticket::At;
use core::ops::Deref;
use core::sync::atomic::{Ordering::*, fence};
use layout::{Header, NIL};

/// A queue's header and slots, for who holds its lock. Made in its place and never moved: a copy in other widths
/// than it was written waits for the stores. What a short call seldom needs is not inlined, and takes a copy: with
/// its address, the compiler would keep it in memory and not in registers.
#[derive(Clone, Copy)]
pub(crate) struct Held<'a> {
    h: &'a Header,
    map: Map,
    /// The header's `slots`, in private memory: all slots below lie in the mapping.
    slots: u32,
}

/// A queue, locked. Unlocks itself.
pub(crate) struct Locked<'a> {
    held: Held<'a>,
    pin: &'a Pin<'a>,
    ns: &'a Namespace,
    id: i32,
    /// Sleepers to wake after the lock is given back.
    wakes: Wakes,
    /// And the one that sleeps without a clock.
    owed: Option<Owed<'a>>,
}

/// Takes the lock of a pinned queue. EIDRM: it was removed.
pub(crate) fn lock<'a>(ns: &'a Namespace, pin: &'a Pin<'a>, id: i32) -> Result<Locked<'a>> {
    let (held, left) = take_lock(At::pinned(pin, shown_in)?)?;
    let mut q = Locked::new(held, left, pin, ns, id);
    q.settle(left)?;
    Ok(q)
}

/// The first part of [`lock`]: nothing was looked at yet.
fn take_lock(at: At<'_>) -> Result<(Held<'_>, Left)> {
    let held = Held::of(at);
    let left = held.h.object.lock.lock_in_section(at.thread)?;
    held.h.expect_changes();
    Ok((held, left))
}

/// How far a call came that would have been short.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum SoFar {
    /// ENOMSG, without a look under the lock.
    Nothing,
    /// Somebody has the lock.
    Busy,
    /// More has to be done, under the lock, which is held. EIO: something is not as short calls expect it; ENOMSG:
    /// nothing is there; else the answer.
    Locked(Errno),
}

/// The lock for a call that was not short.
fn take_longer<'a>(
    so_far: SoFar,
    at: At<'a>,
    pin: &'a Pin<'a>,
    ns: &'a Namespace,
    id: i32,
) -> Result<Locked<'a>> {
    let (held, left) = match so_far {
        SoFar::Locked(_) => {
            let held = Held::of(at);
            held.h.object.lock.keep(at.thread);
            (held, Left::Order)
        }
        _ => take_lock(at)?,
    };
    // Asked before the rest is: whoever puts the queue in order ends the journal.
    let happened = matches!(so_far, SoFar::Locked(_)) && held.h.op.load(Relaxed) != recover::IDLE;
    let mut q = Locked::new(held, left, pin, ns, id);
    match so_far {
        SoFar::Locked(errno) if errno != Errno::EIO && q.held.settle_short(&at) => return Ok(q),
        _ => {}
    }
    // Who is woken by the removal of the queue gets EIDRM, who comes later EINVAL.
    q.settle(left).map_err(crate::object::at_first)?;
    if q.h.op.load(Relaxed) != recover::IDLE {
        q.repair()?;
    }
    match happened {
        true => Err(Errno::EIO),
        false => Ok(q),
    }
}

/// Ends a short call from which something follows, or that met nonsense (EIO). The lock is held.
#[cold]
#[inline(never)]
pub(crate) fn end_long<'a>(at: At<'a>, pin: &'a Pin<'a>, ns: &'a Namespace, id: i32) -> Result<()> {
    take_longer(SoFar::Locked(Errno::EIO), at, pin, ns, id)?.trim();
    Ok(())
}

impl<'a> Deref for Locked<'a> {
    type Target = Held<'a>;
    fn deref(&self) -> &Held<'a> {
        &self.held
    }
}

/// In a handle's hint, which is the slot that this process used last: by a receive.
const RECEIVED: u32 = 1 << 31;

/// Asks for all that the next message changes, before the lock is taken: where two CPUs take turns, the
/// lines then come together and not one after the other. `slot`: the last that was used here.
#[inline]
fn expect_turn(h: &Header, handle: &Handle, slot: u32) {
    expect(&raw const h.object.lock);
    h.expect_changes();
    if let Ok(slot) = layout::slot(&handle.map(), slot) {
        slot.expect_changes();
    }
}

impl<'a> Held<'a> {
    /// Before anything was looked at.
    fn of(at: At<'a>) -> Held<'a> {
        Held::short(at).whole(at.handle)
    }

    /// [`Held::of`], for what is at home in slots.
    #[inline(always)]
    fn short(at: At<'a>) -> Held<'a> {
        Held {
            h: at.header(),
            map: at.start(),
            slots: 0,
        }
    }

    /// With all of the mapping.
    fn whole(self, handle: &Handle) -> Held<'a> {
        let map = handle.map();
        Held { map, ..self }
    }

    /// [`Held::settle`] for something short: the mapping is as long as the file, all slots that may be in use are in it.
    #[inline(always)]
    fn settle_short(&mut self, at: &At<'_>) -> bool {
        let slots = self.h.slots.load(Relaxed);
        let settled = self.h.object.check_live().is_ok()
            && self.h.extents.load(Relaxed) == at.size.extents
            && slots <= at.size.parts;
        if settled {
            self.slots = slots;
        }
        settled
    }

    /// Whether all is as calls that have nothing special to do find it: then how many slots may be in
    /// use is known, too. All walks end after so many steps.
    fn settle(&mut self, id: i32) -> bool {
        let slots = self.h.slots.load(Relaxed);
        let settled = self.h.object.check_live().is_ok()
            && self.h.object.id() == id
            && layout::has_slots(self.h.extents.load(Relaxed), self.map.len(), slots);
        if settled {
            self.slots = slots;
        }
        settled
    }

    #[inline]
    fn fits(&self, len: u64) -> bool {
        fits(self.h, len)
    }
}

impl<'a> Locked<'a> {
    fn new(held: Held<'a>, left: Left, pin: &'a Pin<'a>, ns: &'a Namespace, id: i32) -> Locked<'a> {
        let h = held.h;
        let waiting = h.receivers.get() | h.senders.get() != 0;
        let owed = if waiting || left == Left::Ruins {
            h.chairs.claim(ns, &h.object.lock)
        } else {
            None
        };
        Locked {
            held,
            pin,
            ns,
            id,
            wakes: Wakes::none(),
            owed,
        }
    }

    /// The waiter in this slot has news: wakes it once the lock is free.
    fn wake_later(&mut self, index: u32) {
        let sits = self.owed.as_mut().is_some_and(|owed| owed.falls_due(index));
        if !sits {
            self.wakes.add(&self.held.map, index);
        }
    }

    /// Who sleeps without a clock is to look for itself, and then sleeps with one.
    fn unseat(&mut self) {
        if let Some(owed) = &mut self.owed {
            owed.call_in();
        }
    }

    /// Gives the lock back, and then wakes whom it concerns. True: each wake reached a sleeper.
    fn leave(mut self) -> bool {
        let reached = self.give_back();
        core::mem::forget(self);
        reached
    }

    #[inline]
    fn give_back(&mut self) -> bool {
        let due = self.owed.take().and_then(Owed::unless_forgiven);
        let reached = match self.wakes.count {
            0 => {
                self.h.object.lock.unlock();
                true
            }
            _ => self.unlock_and_wake(),
        };
        due.is_none_or(Owed::pay) && reached
    }

    /// In a section: a handler that came meanwhile may leave by `longjmp`, and would wake nobody.
    #[cold]
    fn unlock_and_wake(&self) -> bool {
        critical::enter();
        self.h.object.lock.unlock();
        let reached = self.wakes.wake(&self.map);
        if !reached {
            self.h.chairs.rouse();
        }
        critical::leave();
        reached
    }

    /// The second part of [`lock`]: looks at what was locked, and puts it in order.
    fn settle(&mut self, left: Left) -> Result<()> {
        if left == Left::Order && self.held.settle(self.id) && self.is_sane() {
            return Ok(());
        }
        // Who sleeps here cannot be told by what the file says: it is to see the same.
        self.look_closer(left)
            .inspect_err(|_| self.h.chairs.rouse())
    }

    #[cold]
    fn look_closer(&mut self, left: Left) -> Result<()> {
        self.h.object.check_live()?;
        if self.h.object.id() != self.id {
            return Err(Errno::EIO);
        }
        let extents = self.h.extents.load(Relaxed) as usize;
        if extents > layout::extents_in(self.map.len()) && layout::file_len(extents).is_ok() {
            self.remap()?;
        }
        match left == Left::Order && self.is_sane() {
            true => Ok(()),
            false => self.recover(),
        }
    }

    /// Maps what another process added to the file.
    #[cold]
    fn remap(&mut self) -> Result<()> {
        let extents = self.h.extents.load(Relaxed) as usize;
        let len = layout::file_len(extents)?;
        let path = self.ns.index_path(Kind::Msg, index_of(self.id))?;
        let fd = files::open_again(&path, self.pin.file())?;
        self.pin.remap(&fd, len)?;
        self.held.map = self.pin.map();
        Ok(())
    }

    /// Runs `f`; where it finds nonsense, rebuilds the derived parts once and runs it again.
    fn with_repair<T>(&mut self, mut f: impl FnMut(&mut Self) -> Result<T>) -> Result<T> {
        match f(self) {
            Err(Errno::EIO) => {
                self.repair()?;
                f(self)
            }
            other => other,
        }
    }

    /// Rebuilds the derived parts, where an operation found nonsense. EIO: it had happened, and the
    /// journal ended it: it must not be tried again.
    #[cold]
    fn repair(&mut self) -> Result<()> {
        let happened = self.h.op.load(Relaxed) != recover::IDLE;
        self.recover()?;
        if happened { Err(Errno::EIO) } else { Ok(()) }
    }

    /// Whether what the header counts can be true; nonsense is rebuilt.
    #[inline]
    fn is_sane(&mut self) -> bool {
        let h = self.h;
        let extents = h.extents.load(Relaxed) as usize;
        let slots = h.slots.load(Relaxed);
        let (slots_backed, blocks_backed) =
            (h.slots_backed.load(Relaxed), h.blocks_backed.load(Relaxed));
        let is_backed = (1..=layout::extents_in(self.map.len())).contains(&extents)
            && slots <= slots_backed
            && slots_backed.max(blocks_backed) <= layout::capacity(extents - 1);
        self.held.slots = if is_backed { slots } else { 0 };
        is_backed
            && h.blocks.load(Relaxed) <= blocks_backed
            && h.receivers.get() <= slots
            && h.senders.get() <= slots
            && h.qnum.load(Relaxed) <= u64::from(slots)
            && h.types.load(Relaxed) <= slots
            && (h.qnum.load(Relaxed) != 0 || h.cbytes.load(Relaxed) == 0)
    }

    /// Notes how many slots may be in use: of those in the mapping.
    fn set_slots(&mut self, slots: u32) {
        self.held.slots = slots.min(shown_in(self.map.len()).parts);
        self.h.slots.store(self.slots, Relaxed);
    }

    fn owned(&self) -> crate::creds::Owned {
        self.h.object.owned()
    }
}

/// `msg_fits_inqueue`. Without the lock: a guess.
#[inline]
fn fits(h: &Header, len: u64) -> bool {
    let qbytes = h.qbytes.load(Relaxed);
    let bytes = h.cbytes.load(Relaxed).wrapping_add(len);
    bytes <= qbytes && h.qnum.load(Relaxed) < qbytes
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// Slots whose sleepers to wake once the lock is free; more than fit are woken under it.
struct Wakes {
    slots: [u32; 4],
    count: usize,
}

impl Wakes {
    const fn none() -> Wakes {
        Wakes {
            slots: [NIL; 4],
            count: 0,
        }
    }

    fn add(&mut self, map: &Map, slot: u32) {
        match self.slots.get_mut(self.count) {
            Some(place) => {
                *place = slot;
                self.count += 1;
            }
            None => {
                wake(map, slot);
            }
        }
    }

    /// True: each wake reached a sleeper.
    #[cold]
    fn wake(&self, map: &Map) -> bool {
        let mut reached = true;
        for slot in self.slots.iter().take(self.count) {
            crashpoint!("msg.wake.unlocked");
            reached &= wake(map, *slot);
        }
        reached
    }
}

/// Wakes whoever sleeps in this slot. It may be another's by now: then nobody, or in vain. All of
/// them: one whose wait a handler ended just before it slept sleeps there too, and is no waiter.
fn wake(map: &Map, slot: u32) -> bool {
    // Pairs with the fence in `Waiting::sleep`: it sees the news, or we see it asleep.
    fence(SeqCst);
    layout::waiter(map, slot).is_ok_and(|waiter| {
        waiter.asleep.load(Relaxed) == 0 || sys::futex_wake(&waiter.news, sys::ALL) != 0
    })
}
