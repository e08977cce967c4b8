//! Where is the object that was used a moment ago?
//!
//! A *ticket* holds all that a call has to know before it takes an object's lock: whose thread this is, who
//! the caller is, where the object is mapped. Without one each costs a look of its own, and those took as long
//! as a short call does.
//!
//! A ticket is good while the thread and *epoch* (see `process`) are those that it was written for. The epoch moves
//! before a mapping goes, when one grows, and when the process's ids may have changed; a fork child begins with
//! none. A process with several threads uses no tickets: without a pin, another could unmap the object.
//!
//! No lock: one thread writes and reads them, in sections, where no signal handler comes between.
#![allow(unsafe_code)]

use crate::creds::Creds;
use crate::critical;
use crate::errno::{Errno, Result};
use crate::handle::{Handle, Pin};
use crate::map::{Map, Shared};
use crate::process;
use crate::tls::{self, Block};
use core::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, AtomicU64, Ordering::*};

/// Objects of one mechanism that a process uses in turn without a look at the table.
const COUNT: usize = 8;

/// The tickets of one mechanism. Zeroes are none.
pub(crate) struct Tickets([Ticket; COUNT]);

#[repr(C, align(64))]
struct Ticket {
    id: AtomicI32,
    euid: AtomicU32,
    extents: AtomicU32,
    parts: AtomicU32,
    /// The thread that wrote it.
    tid: AtomicU32,
    base: AtomicPtr<u8>,
    epoch: AtomicU64,
    handle: AtomicPtr<Handle>,
}

/// An object that a call found, and itself, before it takes the lock. Whoever has one is in a section, and leaves
/// it by the unlock, or by [`At::leave`].
#[derive(Clone, Copy)]
pub(crate) struct At<'a> {
    pub thread: &'static Block,
    /// Where the object is mapped: no shorter than `SHORTEST`.
    base: *mut u8,
    pub creds: Creds,
    pub handle: &'a Handle,
    /// The mapping's, in the mechanism's measures.
    pub size: Size,
}

/// How much of an object a mapping shows.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    pub extents: u32,
    /// Parts in those.
    pub parts: u32,
}

/// Bytes that an object's mapping has at least.
pub(crate) const SHORTEST: usize = 4096;

impl<'a> At<'a> {
    /// By a pin. `size_of`: what a mapping of a length shows. ENOSYS: see [`process::thread`]; EIO: the mapping
    /// is too short.
    #[inline(always)]
    pub fn pinned(pin: &'a Pin<'a>, size_of: impl FnOnce(usize) -> Size) -> Result<At<'a>> {
        let thread = process::thread()?;
        let (map, creds) = (pin.map(), Creds::current());
        if map.len() < SHORTEST {
            return Err(Errno::EIO);
        }
        critical::enter();
        Ok(At {
            thread,
            base: map.parts().0,
            creds,
            handle: pin.handle(),
            size: size_of(map.len()),
        })
    }

    /// What a ticket led to in this section. (Not by the ticket, which may be another's by now: after a fault a
    /// handler of the program's ran in the midst of the section.)
    #[cold]
    pub fn found(handle: &'a Handle, size_of: impl FnOnce(usize) -> Size) -> At<'a> {
        let map = handle.map();
        At {
            thread: tls::block(),
            base: map.parts().0,
            creds: Creds::current(),
            handle,
            size: size_of(map.len()),
        }
    }

    /// What the mapping begins with.
    #[inline(always)]
    pub fn header<T: Shared>(&self) -> &'a T {
        const { assert!(size_of::<T>() <= SHORTEST) };
        // SAFETY: `start` lies in the mapping.
        unsafe { self.start().known(0) }
    }

    /// The mapping, as far as it takes no look at how long it is: checks against its length fail behind its start.
    #[inline(always)]
    pub fn start(&self) -> Map {
        // SAFETY: the mapping is longer, and stays.
        unsafe { Map::from_parts(self.base, SHORTEST, usize::MAX) }
    }

    /// The lock was not taken.
    #[inline]
    pub fn leave(&self) {
        critical::leave();
    }
}

impl Tickets {
    pub const fn new() -> Tickets {
        Tickets(
            [const {
                Ticket {
                    id: AtomicI32::new(0),
                    base: AtomicPtr::new(core::ptr::null_mut()),
                    tid: AtomicU32::new(0),
                    extents: AtomicU32::new(0),
                    epoch: AtomicU64::new(0),
                    handle: AtomicPtr::new(core::ptr::null_mut()),
                    parts: AtomicU32::new(0),
                    euid: AtomicU32::new(0),
                }
            }; COUNT],
        )
    }

    /// The object with this id. None: the table has to be asked, which does not say that there is none.
    #[inline(always)]
    pub fn at(&self, id: i32) -> Option<At<'_>> {
        let thread = tls::block();
        let ticket = self.of(id);
        critical::enter();
        // In the section: a handler before it may have begun a thread.
        if !process::is_single_threaded()
            || ticket.id.load(Relaxed) != id
            || ticket.tid.load(Relaxed) != thread.tid.load(Relaxed)
            || ticket.epoch.load(Relaxed) != process::epoch()
        {
            missed();
            return None;
        }
        // SAFETY: it is good.
        Some(unsafe { ticket.at(thread) })
    }

    #[inline(always)]
    fn of(&self, id: i32) -> &Ticket {
        &self.0[id as usize % COUNT]
    }

    /// Writes a ticket for an object that was just found by the table.
    #[cold]
    pub fn write(&self, id: i32, pin: &Pin<'_>, size_of: impl FnOnce(usize) -> Size) {
        let epoch = process::epoch();
        if !process::is_single_threaded() || epoch == 0 || id < 0 || !pin.is_current() {
            return;
        }
        let Ok(at) = At::pinned(pin, size_of) else {
            return;
        };
        let ticket = self.of(id);
        ticket.base.store(at.base, Relaxed);
        ticket.tid.store(at.thread.tid.load(Relaxed), Relaxed);
        let handle = core::ptr::from_ref(at.handle).cast_mut();
        ticket.handle.store(handle, Relaxed);
        ticket.euid.store(at.creds.euid, Relaxed);
        ticket.extents.store(at.size.extents, Relaxed);
        ticket.parts.store(at.size.parts, Relaxed);
        ticket.id.store(id, Relaxed);
        // As it was before anything was read: who changed it since has voided the ticket.
        ticket.epoch.store(epoch, Relaxed);
        at.leave();
    }
}

impl Ticket {
    /// # Safety
    /// The ticket is good: it is this thread's, which is in a section, and the epoch is the ticket's.
    #[inline(always)]
    unsafe fn at(&self, thread: &'static Block) -> At<'_> {
        At {
            thread,
            base: self.base.load(Relaxed),
            creds: Creds {
                euid: self.euid.load(Relaxed),
            },
            // SAFETY: a handle's memory is never unmapped, and a good ticket has one.
            handle: unsafe { &*self.handle.load(Relaxed) },
            size: Size {
                extents: self.extents.load(Relaxed),
                parts: self.parts.load(Relaxed),
            },
        }
    }
}

/// Nothing was found in this section.
#[cold]
#[inline(never)]
fn missed() {
    critical::leave();
}
