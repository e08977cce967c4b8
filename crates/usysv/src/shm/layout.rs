//! The file of a segment: what it is, and who has it attached. Its bytes are in another file.
//!
//! A header, then records of attachments, 64 bytes each. The file grows by doubling; what lies
//! below `backed` is really there. Records from `used` on were never used.

use crate::errno::{Errno, Result};
use crate::map::{Map, Shared};
use crate::object::{OBJECT_LEN, Object};
use core::mem::offset_of;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// Where records begin.
const RECORDS: usize = 384;
/// A new segment's file, all of it there.
pub(crate) const FILE_LEN: usize = 4096;

/// In a record: nobody's.
pub(super) const FREE: u32 = 0;
/// In a record: an attachment.
pub(super) const HELD: u32 = 1;

#[repr(C)]
pub(super) struct Header {
    pub object: Object,
    /// Bytes, as asked for.
    pub size: AtomicU64,
    pub atime: AtomicU64,
    pub dtime: AtomicU64,
    pub lpid: AtomicU32,
    pub cpid: AtomicU32,
    /// The creator's start time, to know it again by.
    pub cstart: AtomicU64,
    /// Who locked it in memory, if the mode says that somebody did.
    pub locker: AtomicU32,
    /// Records that were used at some time.
    pub used: AtomicU32,
    /// Records that the file has room for.
    pub backed: AtomicU32,
    /// No record below this one is free. A hint.
    pub first: AtomicU32,
    /// The journal of `IPC_SET`: 1 while the words below are to be stored.
    pub op: AtomicU32,
    pub op_set: [AtomicU32; 3],
    pub op_time: AtomicU64,
    reserved: [AtomicU64; 13],
}

const _: () = assert!(size_of::<Header>() == RECORDS && offset_of!(Header, size) == OBJECT_LEN);

/// An attachment, or a piece of one.
#[repr(C)]
pub(super) struct Record {
    pub state: AtomicU32,
    pub pid: AtomicU32,
    /// The process's start time, to know it again by.
    pub start: AtomicU64,
    /// Where its death shows first (see `owner`).
    pub bell: AtomicU64,
    pub addr: AtomicU64,
    pub len: AtomicU64,
    /// Its place in the process's own table.
    pub piece: AtomicU32,
    reserved: AtomicU32,
    reserved2: [AtomicU64; 2],
}

const _: () = assert!(size_of::<Record>() == 64);

// SAFETY: repr(C) and atomics only.
#[allow(unsafe_code)]
unsafe impl Shared for Header {}
// SAFETY: repr(C) and atomics only.
#[allow(unsafe_code)]
unsafe impl Shared for Record {}

/// Records in a file of this length.
pub(super) fn room(len: usize) -> u32 {
    (len.saturating_sub(RECORDS) / size_of::<Record>()).min(u32::MAX as usize) as u32
}

pub(super) fn record<'a>(map: &Map, slot: u32) -> Result<&'a Record> {
    let at = (slot as usize).checked_mul(size_of::<Record>());
    map.at(at.ok_or(Errno::EIO)? + RECORDS)
}

/// The first so many records.
pub(super) fn records<'a>(map: &Map, count: u32) -> Result<&'a [Record]> {
    map.array(RECORDS, count as usize)
}

/// Fills in a new segment of this size, by its creator.
pub(crate) fn fill(map: &Map, size: usize) -> Result<()> {
    let h: &Header = map.at(0)?;
    let me = crate::process::identity()?;
    h.size.store(size as u64, Relaxed);
    h.cpid.store(crate::sys::getpid(), Relaxed);
    h.cstart.store(me.start, Relaxed);
    h.backed.store(room(map.len()), Relaxed);
    Ok(())
}
