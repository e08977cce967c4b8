//! What every object's file begins with: what it is, its lock, its owner and mode.
//!
//! The identity is written before the file has a name and never changes. `state` goes from LIVE to
//! REMOVED by one store under the lock, which is the commit of a removal; names are unlinked after.
//! The owner fields change under the lock, redone from the object's journal if their writer died.

use crate::abi::IPCMNI;
use crate::creds::Owned;
use crate::errno::{Errno, Result};
use crate::handle::Pin;
use crate::lock::Lock;
use crate::map::Shared;
use crate::namespace::LAYOUT;
use crate::registry::Plan;
use crate::sys::{self, Fd};
use core::mem::offset_of;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::*};

const MAGIC: u64 = u64::from_le_bytes(*b"usysvobj");
pub(crate) const LIVE: u32 = 1;
pub(crate) const REMOVED: u32 = 2;
/// In `mode`: [`SHM_DEST`](crate::abi::SHM_DEST).
pub(crate) const KEYLESS: u32 = crate::abi::SHM_DEST as u32;

/// The mechanisms, by their place in the namespace's tables.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Msg = 0,
    Sem = 1,
    Shm = 2,
}

impl Kind {
    pub const ALL: [Kind; 3] = [Kind::Msg, Kind::Sem, Kind::Shm];

    /// From its place, as shared memory has it.
    pub fn at(place: u32) -> Option<Kind> {
        Kind::ALL.get(place as usize).copied()
    }

    /// Name of the directory, and of the key's prefix.
    pub fn name(self) -> &'static [u8] {
        match self {
            Kind::Msg => b"msg",
            Kind::Sem => b"sem",
            Kind::Shm => b"shm",
        }
    }
}

/// The first 192 bytes of an object's file.
#[repr(C)]
pub(crate) struct Object {
    magic: AtomicU64,
    layout: AtomicU32,
    kind: AtomicU32,
    id: AtomicU32,
    key: AtomicU32,
    pub state: AtomicU32,
    reserved: AtomicU32,
    /// What it counts for in the namespace's limits: semaphores, or pages.
    units: AtomicU64,
    reserved2: [AtomicU64; 3],
    pub lock: Lock,
    pub uid: AtomicU32,
    pub gid: AtomicU32,
    pub cuid: AtomicU32,
    cgid: AtomicU32,
    pub mode: AtomicU32,
    reserved3: AtomicU32,
    /// Seconds since the epoch.
    pub ctime: AtomicU64,
    reserved4: [AtomicU64; 4],
}

const _: () = assert!(size_of::<Object>() == OBJECT_LEN);
const _: () = assert!(offset_of!(Object, lock) == 64 && offset_of!(Object, uid) == 128);
pub(crate) const OBJECT_LEN: usize = 192;

// SAFETY: repr(C) and atomics only.
#[allow(unsafe_code)]
unsafe impl Shared for Object {}

/// What an object is, read from its file without a mapping.
#[derive(Clone, Copy)]
pub(crate) struct Identity {
    pub id: i32,
    pub key: i32,
    pub removed: bool,
    /// Its key is not its own any more: a segment that waits for its last attachment to end.
    pub keyless: bool,
    pub units: u64,
}

impl Object {
    /// Fills in a new object's identity; its file has no name yet.
    pub fn form(&self, plan: &Plan<'_>, id: i32, ctime: i64) {
        let owned = &plan.owned;
        self.layout.store(LAYOUT, Relaxed);
        self.kind.store(plan.kind as u32, Relaxed);
        self.id.store(id as u32, Relaxed);
        self.key.store(plan.key as u32, Relaxed);
        self.units.store(plan.units, Relaxed);
        self.uid.store(owned.uid, Relaxed);
        self.gid.store(owned.gid, Relaxed);
        self.cuid.store(owned.cuid, Relaxed);
        self.cgid.store(owned.cgid, Relaxed);
        self.mode.store(owned.mode, Relaxed);
        self.ctime.store(ctime as u64, Relaxed);
        self.state.store(LIVE, Relaxed);
        self.magic.store(MAGIC, Release);
    }

    /// Who it is, from the first bytes of a file. EIO: not an object of this kind; EPROTO: another
    /// version's.
    pub fn identity_of(kind: Kind, bytes: &[u8; OBJECT_LEN]) -> Result<Identity> {
        let word = |at: usize| {
            let mut word = [0; 4];
            word.copy_from_slice(&bytes[at..at + 4]);
            u32::from_ne_bytes(word)
        };
        let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
        let at = [
            offset_of!(Object, layout),
            offset_of!(Object, kind),
            offset_of!(Object, id),
            offset_of!(Object, key),
            offset_of!(Object, state),
            offset_of!(Object, mode),
        ];
        identity_from(kind, long(0), at.map(word), long(offset_of!(Object, units)))
    }

    /// Marks an object that nobody uses yet as removed, without a mapping or its lock.
    pub fn mark_removed(file: &Fd) -> Result<()> {
        let at = offset_of!(Object, state) as u64;
        sys::write(file, &REMOVED.to_ne_bytes(), at).map(|_| ())
    }

    /// EIDRM: removed. EIO: somebody wrote nonsense there, or cut the file off (see `bus`).
    pub fn check_live(&self) -> Result<()> {
        match self.state.load(Relaxed) {
            LIVE => Ok(()),
            REMOVED => Err(Errno::EIDRM),
            _ => Err(Errno::EIO),
        }
    }

    pub fn id(&self) -> i32 {
        self.id.load(Relaxed) as i32
    }

    pub fn key(&self) -> i32 {
        self.key.load(Relaxed) as i32
    }

    pub fn owned(&self) -> Owned {
        Owned {
            uid: self.uid.load(Relaxed),
            gid: self.gid.load(Relaxed),
            cuid: self.cuid.load(Relaxed),
            cgid: self.cgid.load(Relaxed),
            mode: self.mode.load(Relaxed) & 0o777,
        }
    }
}

fn identity_from(kind: Kind, magic: u64, words: [u32; 6], units: u64) -> Result<Identity> {
    let [layout, its_kind, id, key, state, mode] = words;
    if magic != MAGIC || its_kind != kind as u32 || !matches!(state, LIVE | REMOVED) {
        return Err(Errno::EIO);
    }
    if layout != LAYOUT {
        return Err(Errno::EPROTO);
    }
    Ok(Identity {
        id: id as i32,
        key: key as i32,
        removed: state == REMOVED,
        keyless: mode & KEYLESS != 0,
        units,
    })
}

/// The header of a mapped object.
pub(crate) fn header<'a>(pin: &Pin<'_>) -> Result<&'a Object> {
    pin.map().at(0)
}

/// Whether a mapped object was removed, without its lock; or is one no more.
#[inline]
pub(crate) fn is_removed(pin: &Pin<'_>) -> bool {
    header(pin).is_ok_and(|object| object.state.load(Relaxed) != LIVE)
}

/// The answer of a call on an object that was removed, or lost, before it began.
#[cold]
pub(crate) fn why_gone(pin: &Pin<'_>) -> Errno {
    match header(pin).and_then(Object::check_live) {
        Err(Errno::EIO) => Errno::EIO,
        _ => Errno::EINVAL,
    }
}

/// What a call says that finds its object removed at once: it came after the removal, for the kernel.
/// (Who slept when it was removed gets EIDRM.)
pub(crate) fn at_first(e: Errno) -> Errno {
    match e {
        Errno::EIDRM => Errno::EINVAL,
        e => e,
    }
}

/// Whether a mapped object cannot be found by its key any more, without its lock.
pub(crate) fn is_keyless(pin: &Pin<'_>) -> bool {
    header(pin).is_ok_and(|object| object.mode.load(Relaxed) & KEYLESS != 0)
}

/// Whether a mapped object lives and can be found by this key, without its lock.
pub(crate) fn has_key(pin: &Pin<'_>, key: i32) -> bool {
    header(pin).is_ok_and(|object| {
        object.state.load(Relaxed) == LIVE
            && object.key() == key
            && object.mode.load(Relaxed) & KEYLESS == 0
    })
}

/// Owner and mode of a mapped object, without its lock.
pub(crate) fn owned(pin: &Pin<'_>) -> Result<Owned> {
    header(pin).map(Object::owned)
}

/// Who a mapped object is. Its id is the handle's, whatever the file says by now: names are unlinked
/// by it.
pub(crate) fn identity(pin: &Pin<'_>) -> Result<Identity> {
    let object = header(pin)?;
    Ok(Identity {
        id: pin.id(),
        key: object.key(),
        removed: object.state.load(Relaxed) == REMOVED,
        keyless: object.mode.load(Relaxed) & KEYLESS != 0,
        units: object.units.load(Relaxed),
    })
}

/// An id's index: its place in the directory.
pub(crate) fn index_of(id: i32) -> u32 {
    (id % IPCMNI) as u32
}
