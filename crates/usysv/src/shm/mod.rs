//! Shared memory.
//!
//! Visible behaviour is `ipc/shm.c`'s: attachments counted piece by piece as the kernel counts
//! mappings, in every process's view right after attach, detach, fork, exec and death; a removed
//! segment lives until its last attachment ends.
//!
//! A segment is two files: `shm/INDEX` (this module's: owner, times, records of attachments), and
//! `shm/INDEX.data`, its bytes and nothing else, which programs map as they are. The first can be
//! written by every class that may do anything with the segment, as even a reader counts itself;
//! the second has the segment's own bits, so that who may only read cannot write by any path.
//!
//! The bytes of huge pages (`huge`) lie elsewhere, and `shm/INDEX.data` says where.
//!
//! Truth: the records that are held, and of those the ones whose process still has the attachment
//! (`owner`). Whoever looks frees the records of the dead, in the dead one's name. A record is
//! written before its state is stored, which is the commit; the stamps before that. What a killed
//! process did not come to do is undone with its records, as it no longer has memory to attach.
//! `IPC_SET` changes several words and has a journal.
//!
//! Each process knows its own attachments from a table in its private memory (`pieces`).
//!
//! Lock order: the process's table of pieces, then a segment; the name lock comes after either and
//! never inside a segment's.

pub(crate) mod again;
mod ctl;
mod huge;
mod layout;
pub(crate) mod owner;
pub(crate) mod pieces;
mod records;

pub(crate) use ctl::Change;
pub use ctl::ShmAttacher;
pub(crate) use huge::Huge;
pub(crate) use layout::{FILE_LEN, fill};
pub(crate) use records::Held;

use crate::creds::Owned;
use crate::errno::{Errno, Result};
use crate::files;
use crate::handle::Pin;
use crate::lock::Left;
use crate::map::Map;
use crate::namespace::Namespace;
use crate::object::{Kind, index_of};
use crate::path::Path;
use crate::sys::{self, Fd};
use again::Alike;
use core::sync::atomic::Ordering::*;
use layout::Header;
use pieces::Pieces;

/// Bytes of a page: the grain of attachments.
pub(crate) const PAGE: usize = 4096;

/// Bytes rounded up to pages. `None`: more than a number holds.
pub(crate) fn whole_pages(size: usize) -> Option<usize> {
    size.checked_add(PAGE - 1).map(|size| size & !(PAGE - 1))
}

/// A segment, locked. Unlocks itself.
pub(crate) struct Locked<'a> {
    map: Map,
    h: &'a Header,
    pin: &'a Pin<'a>,
    ns: &'a Namespace,
    /// This process's attachments, to know its own records by.
    pieces: &'a Pieces,
    id: i32,
}

/// Takes the lock of a pinned segment. EIDRM: it is gone.
pub(crate) fn lock<'a>(
    ns: &'a Namespace,
    pieces: &'a Pieces,
    pin: &'a Pin<'a>,
) -> Result<Locked<'a>> {
    let map = pin.map();
    let h: &Header = map.at(0)?;
    let left = h.object.lock.lock()?;
    let mut segment = Locked {
        map,
        h,
        pin,
        ns,
        pieces,
        id: pin.id(),
    };
    h.object.check_live()?;
    if h.object.id() != segment.id || !has_its_size(h, pin) {
        return Err(Errno::EIO);
    }
    if left == Left::Ruins {
        segment.redo_set();
    }
    if h.backed.load(Relaxed) > layout::room(segment.map.len()) {
        segment.remap()?;
    }
    let room = layout::room(segment.map.len());
    if h.backed.load(Relaxed) > room || h.used.load(Relaxed) > h.backed.load(Relaxed) {
        return Err(Errno::EIO);
    }
    Ok(segment)
}

/// The bytes of a segment, open.
pub(crate) struct Data {
    pub fd: Fd,
    /// Bytes of whole pages.
    pub len: usize,
    /// Device and inode.
    pub file: [u64; 2],
    pub is_huge: bool,
}

/// Whether a segment is as long as it was when this process made or first met it: programs know, and
/// use that much of what they attach.
fn has_its_size(h: &Header, pin: &Pin<'_>) -> bool {
    let pages = h.size.load(Relaxed).div_ceil(PAGE as u64);
    pin.still_is((pages as u32).max(1), || true)
}

impl Locked<'_> {
    /// Maps what another process added to the file.
    #[cold]
    fn remap(&mut self) -> Result<()> {
        let fd = self.open()?;
        let len = sys::fstat(&fd)?.st_size as usize;
        self.pin.remap(&fd, len)?;
        self.map = self.pin.map();
        Ok(())
    }

    fn open(&self) -> Result<Fd> {
        let path = self.ns.index_path(Kind::Shm, index_of(self.id))?;
        files::open_again(&path, self.pin.file())
    }

    /// The file of its bytes.
    pub fn open_data(&self, writable: bool) -> Result<Data> {
        let how = if writable {
            libc::O_RDWR
        } else {
            libc::O_RDONLY
        };
        let path = self.ns.beside_path(Kind::Shm, index_of(self.id))?;
        let opened = match files::open(&path, how, 0) {
            Err(Errno::ELOOP) => Huge::of(&path)?.open(&path, how),
            other => other.map(|fd| (fd, PAGE)),
        };
        let (fd, page) = match opened {
            Err(Errno::ENOENT) => return Err(Errno::EIDRM),
            other => other?,
        };
        let len = self.size().checked_next_multiple_of(page);
        let len = len.ok_or(Errno::EIO)?;
        let st = sys::fstat(&fd)?;
        files::check(&st)?;
        // Less than there was would be a SIGSEGV for who knows the size.
        if st.st_size as u64 != len as u64 {
            return Err(Errno::EIO);
        }
        Ok(Data {
            fd,
            len,
            file: [st.st_dev, st.st_ino],
            is_huge: page != PAGE,
        })
    }

    pub fn is_huge(&self) -> bool {
        let path = self.ns.beside_path(Kind::Shm, index_of(self.id));
        path.and_then(|path| Huge::of(&path)).is_ok()
    }

    pub fn id(&self) -> i32 {
        self.id
    }

    /// Attachments like this one, for [`Again`](again::Again).
    pub fn alike(&self, prot: i32) -> Alike {
        Alike {
            id: self.id,
            segment: self.pin.file(),
            prot,
        }
    }

    pub fn size(&self) -> usize {
        self.h.size.load(Relaxed) as usize
    }

    pub fn owned(&self) -> Owned {
        self.h.object.owned()
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        self.h.object.lock.unlock();
    }
}

impl Namespace {
    /// Calls `f` with the file of a segment's bytes: its path, and what it was when looked at. ENOENT:
    /// there is none.
    pub(crate) fn on_data_of<T>(
        &self,
        index: u32,
        mut f: impl FnMut(&Path<'_>, &libc::stat) -> Result<T>,
    ) -> Result<T> {
        let path = self.beside_path(Kind::Shm, index)?;
        let st = files::lstat(&path)?;
        match st.st_mode & libc::S_IFMT == libc::S_IFLNK {
            true => Huge::of(&path)?.find(&path, f),
            false => f(&path, &st),
        }
    }

    /// What the file of a segment's bytes is.
    pub(crate) fn stat_data_of(&self, index: u32) -> Result<libc::stat> {
        self.on_data_of(index, |_, st| Ok(*st))
    }

    /// The pages that a segment counts for in `shmall`; 0: there is none.
    pub(crate) fn pages_of(&self, index: u32) -> u64 {
        let Ok(path) = self.beside_path(Kind::Shm, index) else {
            return 0;
        };
        match files::lstat(&path) {
            Ok(st) if st.st_mode & libc::S_IFMT == libc::S_IFLNK => {
                Huge::of(&path).map_or(0, |huge| huge.pages())
            }
            Ok(st) => st.st_size as u64 / PAGE as u64,
            Err(_) => 0,
        }
    }
}

/// Bytes of a segment's data that are really there.
pub(crate) fn resident(ns: &Namespace, index: u32) -> u64 {
    let data = ns.stat_data_of(index);
    data.map_or(0, |st| st.st_blocks as u64 * 512)
}
