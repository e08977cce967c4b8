//! The objects that this process has mapped, by index.
//!
//! No descriptor is kept: programs close and reuse every number. A handle keeps the mapping; a
//! *pin* keeps the handle while a call uses it. When the object is gone the handle is retired, and
//! the last pin unmaps it. Handles and table are private memory that is never unmapped, so that a
//! late reader finds a handle, if a wrong one, and sees that it is.
//!
//! Model: `models/pins.rs`.
//!
//! The table's lock holds off threads of this process only. A child forked while it was held finds
//! the generation of its parent in it, and takes it over: each change is a single store.
#![allow(unsafe_code)]

use crate::abi::IPCMNI;
use crate::critical;
use crate::errno::{Errno, Result};
use crate::map::Map;
use crate::object::index_of;
use crate::process;
use crate::sys::{self, Fd};
use core::sync::atomic::{
    AtomicI32, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering::*, fence,
};

/// Mappings of one object, each at least twice as large as the one before.
const MAPS: usize = 20;
/// Handles made at a time.
const BATCH: usize = 32;

/// One mapped object.
pub(crate) struct Handle {
    id: AtomicI32,
    pins: AtomicU32,
    retired: AtomicU32,
    /// How many of `maps` are there; each is larger than the one before.
    count: AtomicU32,
    maps: [Kept; MAPS],
    /// The last of them.
    newest: AtomicPtr<Kept>,
    /// Whatever the object's mechanism wants to find again quickly.
    hint: AtomicU32,
    /// What the object's mechanism saw first of something that never changes; 0: nothing yet.
    seen: AtomicU32,
    /// The lock's mark when this process found nothing in the object; `u64::MAX`: never.
    empty_at: AtomicU64,
    /// A message's type that nobody waited for, and the queue's `lined_up` then. Under the queue's lock.
    unwanted: (AtomicU64, AtomicU32),
    /// The file, to know it again by: device and inode.
    file: [AtomicU64; 2],
    free: AtomicPtr<Handle>,
}

/// The parts of a mapping.
type Kept = (AtomicPtr<u8>, AtomicUsize, AtomicUsize);

/// A handle for each index, or null.
type Places = [AtomicPtr<Handle>; IPCMNI as usize];

/// The table of one engine.
pub(crate) struct Table {
    lock: AtomicU64,
    /// Null before the first handle; then private memory, of which only pages in use are there.
    places: AtomicPtr<Places>,
    free: AtomicPtr<Handle>,
}

/// A handle in use.
pub(crate) struct Pin<'a> {
    table: &'a Table,
    handle: &'a Handle,
}

impl Table {
    pub const fn new() -> Table {
        Table {
            lock: AtomicU64::new(0),
            places: AtomicPtr::new(core::ptr::null_mut()),
            free: AtomicPtr::new(core::ptr::null_mut()),
        }
    }

    #[inline]
    fn place(&self, index: u32) -> Option<&AtomicPtr<Handle>> {
        // SAFETY: published once, zeroed, and never unmapped.
        let places = unsafe { self.places.load(Acquire).as_ref() }?;
        places.get(index as usize)
    }

    /// The handle of this id, pinned, if it is mapped here.
    #[inline]
    pub fn pin(&self, id: i32) -> Option<Pin<'_>> {
        let place = self.place(index_of(id))?;
        let at = place.load(Acquire);
        // SAFETY: a handle's memory is never unmapped; whether it is still the right one is
        // checked after the pin.
        let handle = unsafe { at.as_ref() }?;
        handle.add_pin();
        let is_right = place.load(SeqCst) == at && handle.id.load(Relaxed) == id;
        let pin = Pin {
            table: self,
            handle,
        };
        is_right.then_some(pin)
    }

    /// A pin on what a ticket led to, in the section that it was found in.
    pub fn pin_found<'a>(&'a self, handle: &'a Handle) -> Pin<'a> {
        handle.add_pin();
        Pin {
            table: self,
            handle,
        }
    }

    /// A pin on whatever is mapped at this index.
    pub fn pin_index(&self, index: u32) -> Option<Pin<'_>> {
        let at = self.place(index)?.load(Acquire);
        // SAFETY: as in `pin`.
        self.pin(unsafe { at.as_ref() }?.id.load(Relaxed))
    }

    /// Keeps a new mapping of the object `id` and pins it; a handle that is there already wins.
    /// `file`: its device and inode.
    pub fn insert(&self, id: i32, file: [u64; 2], map: Map) -> Result<Pin<'_>> {
        let _guard = self.lock()?;
        if let Some(pin) = self.pin(id) {
            // SAFETY: nobody has seen the new mapping.
            unsafe { map.unmap() };
            return Ok(pin);
        }
        let place = self.place_for(index_of(id))?;
        let handle = self.take_free()?;
        handle.id.store(id, Relaxed);
        handle.retired.store(0, Relaxed);
        handle.seen.store(0, Relaxed);
        handle.empty_at.store(u64::MAX, Relaxed);
        handle.unwanted.0.store(0, Relaxed);
        for (word, part) in handle.file.iter().zip(file) {
            word.store(part, Relaxed);
        }
        handle.count.store(0, Relaxed);
        handle.push(map);
        handle.add_pin();
        let old = place.swap(core::ptr::from_ref(handle).cast_mut(), SeqCst);
        // SAFETY: as in `pin`.
        if let Some(old) = unsafe { old.as_ref() } {
            old.retired.store(1, SeqCst);
            self.reclaim(old);
        }
        Ok(Pin {
            table: self,
            handle,
        })
    }

    /// Under the lock.
    fn place_for(&self, index: u32) -> Result<&AtomicPtr<Handle>> {
        if self.places.load(Relaxed).is_null() {
            let places = sys::private_memory(size_of::<Places>())?;
            self.places.store(places.cast(), Release);
        }
        self.place(index).ok_or(Errno::EINVAL)
    }

    /// A handle from the free list, or one of a new batch. Under the lock.
    fn take_free(&self) -> Result<&Handle> {
        if self.free.load(Relaxed).is_null() {
            let batch: *mut Handle = sys::private_memory(size_of::<Handle>() * BATCH)?.cast();
            for i in 0..BATCH {
                // SAFETY: inside the batch, and zeroes are a valid Handle.
                let handle = unsafe { &*batch.add(i) };
                handle.free.store(self.free.load(Relaxed), Relaxed);
                self.free
                    .store(core::ptr::from_ref(handle).cast_mut(), Relaxed);
            }
        }
        // SAFETY: the list's handles are never unmapped, and it is not empty.
        let handle = unsafe { &*self.free.load(Relaxed) };
        self.free.store(handle.free.load(Relaxed), Relaxed);
        Ok(handle)
    }

    /// Unmaps a retired handle that nobody pins. Under the lock.
    fn reclaim(&self, handle: &Handle) {
        fence(SeqCst);
        if handle.pins.load(SeqCst) != 0 || handle.retired.swap(2, SeqCst) != 1 {
            return;
        }
        process::begin_epoch();
        for (base, len, place) in handle
            .maps
            .iter()
            .take(handle.count.swap(0, Relaxed) as usize)
        {
            let parts = (base.load(Relaxed), len.load(Relaxed), place.load(Relaxed));
            // SAFETY: the parts of a mapping that `push` kept; no pin, so no user.
            unsafe { Map::from_parts(parts.0, parts.1, parts.2).unmap() };
        }
        handle.free.store(self.free.load(Relaxed), Relaxed);
        self.free
            .store(core::ptr::from_ref(handle).cast_mut(), Relaxed);
    }

    /// The last pin of a retired handle is gone.
    #[cold]
    fn reclaim_last(&self, handle: &Handle) {
        if let Ok(_guard) = self.lock() {
            self.reclaim(handle);
        }
    }

    fn lock(&self) -> Result<Guard<'_>> {
        process::thread()?;
        let mine = process::generation();
        critical::enter();
        loop {
            let seen = self.lock.load(Relaxed);
            if seen != mine
                && self
                    .lock
                    .compare_exchange(seen, mine, Acquire, Relaxed)
                    .is_ok()
            {
                return Ok(Guard(self));
            }
            sys::sched_yield();
        }
    }
}

struct Guard<'a>(&'a Table);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.lock.store(0, Release);
        critical::leave();
    }
}

impl Handle {
    /// One user more. A process with one thread has nobody to be quicker than; a signal handler in
    /// between leaves the count as it found it.
    #[inline]
    fn add_pin(&self) {
        if process::is_single_threaded() {
            let pins = self.pins.load(Relaxed);
            self.pins.store(pins.wrapping_add(1), Relaxed);
        } else {
            self.pins.fetch_add(1, SeqCst);
        }
    }

    /// One user less. Returns how many there were.
    #[inline]
    fn take_pin(&self) -> u32 {
        if process::is_single_threaded() {
            let pins = self.pins.load(Relaxed);
            self.pins.store(pins.wrapping_sub(1), Relaxed);
            pins
        } else {
            self.pins.fetch_sub(1, SeqCst)
        }
    }

    /// Keeps a mapping, larger than those before. Under the table's lock, or unpublished.
    fn push(&self, map: Map) -> bool {
        let count = self.count.load(Relaxed);
        let Some(kept) = self.maps.get(count as usize) else {
            return false;
        };
        let ((base, len, place), parts) = (kept, map.parts());
        base.store(parts.0, Relaxed);
        len.store(parts.1, Relaxed);
        place.store(parts.2, Relaxed);
        self.count.store(count + 1, Relaxed);
        self.newest
            .store(core::ptr::from_ref(kept).cast_mut(), Release);
        process::begin_epoch();
        true
    }

    /// The object's id.
    pub fn id(&self) -> i32 {
        self.id.load(Relaxed)
    }

    /// The largest mapping so far. While the handle is pinned, or nobody but this thread could unmap it.
    #[inline]
    pub fn map(&self) -> Map {
        // SAFETY: a handle that is in use has one, in itself.
        let (base, len, place) = unsafe { &*self.newest.load(Acquire) };
        // SAFETY: `push` stored the parts before it showed them, and the mapping stays, says the caller.
        unsafe { Map::from_parts(base.load(Relaxed), len.load(Relaxed), place.load(Relaxed)) }
    }

    /// This process's hint for its mechanism; zero or stale, so checked at each use.
    #[inline]
    pub fn hint(&self) -> &AtomicU32 {
        &self.hint
    }

    /// See [`Handle`]. 0 is no message's type.
    #[inline]
    pub fn unwanted(&self) -> &(AtomicU64, AtomicU32) {
        &self.unwanted
    }

    /// See [`Handle`].
    #[inline]
    pub fn empty_at(&self) -> &AtomicU64 {
        &self.empty_at
    }
}

impl Pin<'_> {
    /// The largest mapping so far.
    #[inline]
    pub fn map(&self) -> Map {
        self.handle.map()
    }

    /// The object's id.
    pub fn id(&self) -> i32 {
        self.handle.id()
    }

    /// What is pinned.
    #[inline]
    pub fn handle(&self) -> &Handle {
        self.handle
    }

    /// Whether it is what its index leads to.
    pub fn is_current(&self) -> bool {
        let place = self.table.place(index_of(self.id()));
        place.is_some_and(|place| core::ptr::eq(place.load(SeqCst), self.handle))
    }

    /// Whether a value of the file's that never changes is what it was when this process first saw
    /// it; then `is_right` says whether it can be.
    #[inline]
    pub fn still_is(&self, value: u32, is_right: impl FnOnce() -> bool) -> bool {
        let seen = self.handle.seen.load(Relaxed);
        if seen != 0 {
            return seen == value;
        }
        let first = &self.handle.seen;
        value != 0
            && is_right()
            && match first.compare_exchange(0, value, Relaxed, Relaxed) {
                Ok(_) => true,
                Err(other) => other == value,
            }
    }

    /// Device and inode of the file.
    pub fn file(&self) -> [u64; 2] {
        let [device, inode] = &self.handle.file;
        [device.load(Relaxed), inode.load(Relaxed)]
    }

    /// Maps more of the file, after it grew. Earlier mappings stay: others may be using them.
    pub fn remap(&self, fd: &Fd, len: usize) -> Result<()> {
        let st = sys::fstat(fd)?;
        if [st.st_dev, st.st_ino] != self.file() {
            return Err(Errno::EIDRM);
        }
        if (st.st_size as u64) < len as u64 {
            return Err(Errno::EIO);
        }
        if self.map().len() >= len {
            return Ok(());
        }
        let map = Map::of(fd, len, true)?;
        let _guard = self.table.lock()?;
        if !self.handle.push(map) {
            // SAFETY: nobody has seen it.
            unsafe { map.unmap() };
            return Err(Errno::ENOMEM);
        }
        Ok(())
    }

    /// The object is gone: its mapping goes with the last pin.
    pub fn retire(&self) {
        let Ok(_guard) = self.table.lock() else {
            return;
        };
        let Some(place) = self.table.place(index_of(self.handle.id.load(Relaxed))) else {
            return;
        };
        let this = core::ptr::from_ref(self.handle).cast_mut();
        if place
            .compare_exchange(this, core::ptr::null_mut(), SeqCst, Relaxed)
            .is_ok()
        {
            self.handle.retired.store(1, SeqCst);
        }
    }
}

impl Drop for Pin<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        if self.handle.take_pin() == 1 && self.handle.retired.load(SeqCst) == 1 {
            self.table.reclaim_last(self.handle);
        }
    }
}
