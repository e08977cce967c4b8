//! Shared memory as Rust values.
//!
//! Others may write a segment's bytes at any moment, so no reference to plain memory is ever given
//! out: bytes are copied in and out, words are atomics. A copy is not a snapshot: bytes that are
//! written meanwhile may be old or new, word by word. Who needs more has a semaphore for it.
#![allow(unsafe_code)]

use crate::abi::{IPC_CREAT, IPC_EXCL, SHM_NORESERVE, SHM_RDONLY, ShmidDs};
use crate::backend::Backend;
use crate::errno::{Errno, Result};
use crate::key::Key;
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};

/// A segment on some back end. Dropping it leaves the segment, as closing a program does.
#[derive(Clone, Copy)]
pub struct Segment<'a> {
    backend: &'a dyn Backend,
    shmid: i32,
}

/// A segment attached to this process; detached when dropped.
pub struct Attached<'a> {
    backend: &'a dyn Backend,
    at: *mut u8,
    len: usize,
    writable: bool,
}

// SAFETY: the memory is the process's, and reached through atomics only.
unsafe impl Send for Attached<'_> {}
// SAFETY: as above.
unsafe impl Sync for Attached<'_> {}

impl<'a> Segment<'a> {
    fn get(backend: &'a dyn Backend, key: Key, size: usize, shmflg: i32) -> Result<Segment<'a>> {
        let shmid = backend.shmget(key.0, size, shmflg)?;
        Ok(Segment { backend, shmid })
    }

    /// `shmget(key, 0, 0)`: the segment with this key. ENOENT: there is none.
    pub fn open(backend: &'a dyn Backend, key: Key) -> Result<Segment<'a>> {
        Segment::get(backend, key, 0, 0)
    }

    /// `shmget(key, size, IPC_CREAT | mode)`: the segment with this key, made if there is none.
    /// EINVAL: there is a smaller one.
    pub fn open_or_create(
        backend: &'a dyn Backend,
        key: Key,
        size: usize,
        mode: u16,
    ) -> Result<Segment<'a>> {
        Segment::get(backend, key, size, IPC_CREAT | i32::from(mode & 0o777))
    }

    /// `shmget(key, size, IPC_CREAT | IPC_EXCL | mode)`: a new segment, all zeroes. EEXIST: the key
    /// is taken; ENOSPC, ENOMEM: no room.
    pub fn create(
        backend: &'a dyn Backend,
        key: Key,
        size: usize,
        mode: u16,
    ) -> Result<Segment<'a>> {
        let shmflg = IPC_CREAT | IPC_EXCL | i32::from(mode & 0o777);
        Segment::get(backend, key, size, shmflg)
    }

    /// As [`Segment::create`], of any size: memory is found when it is first touched, or not.
    pub fn create_sparse(
        backend: &'a dyn Backend,
        key: Key,
        size: usize,
        mode: u16,
    ) -> Result<Segment<'a>> {
        let shmflg = IPC_CREAT | IPC_EXCL | SHM_NORESERVE | i32::from(mode & 0o777);
        Segment::get(backend, key, size, shmflg)
    }

    /// The segment with this id, which is not looked at yet.
    pub fn from_id(backend: &'a dyn Backend, shmid: i32) -> Segment<'a> {
        Segment { backend, shmid }
    }

    /// Its id.
    pub fn shmid(&self) -> i32 {
        self.shmid
    }

    /// `shmat(shmid, NULL, 0)`, to read and to write.
    pub fn attach(&self) -> Result<Attached<'a>> {
        self.attach_with(0)
    }

    /// `shmat(shmid, NULL, SHM_RDONLY)`.
    pub fn attach_read_only(&self) -> Result<Attached<'a>> {
        self.attach_with(SHM_RDONLY)
    }

    fn attach_with(&self, shmflg: i32) -> Result<Attached<'a>> {
        // Before the attach, when a failure leaves nothing behind; a segment's size never changes.
        let len = self.backend.shm_stat(self.shmid)?.shm_segsz as usize;
        // SAFETY: without SHM_REMAP nothing is replaced.
        let at = unsafe { self.backend.shmat(self.shmid, 0, shmflg)? };
        Ok(Attached {
            backend: self.backend,
            at: at as *mut u8,
            len,
            writable: shmflg & SHM_RDONLY == 0,
        })
    }

    /// `shmctl(shmid, IPC_STAT)`.
    pub fn stat(&self) -> Result<ShmidDs> {
        self.backend.shm_stat(self.shmid)
    }

    /// `shmctl(shmid, IPC_SET)`: owner, group and mode from `ds`.
    pub fn set(&self, ds: &ShmidDs) -> Result<()> {
        self.backend.shm_set(self.shmid, ds)
    }

    /// `shmctl(shmid, IPC_RMID)`: the key is free, the segment goes with its last attachment.
    pub fn remove(self) -> Result<()> {
        self.backend.shm_remove(self.shmid)
    }
}

impl Attached<'_> {
    /// Bytes, as asked for when it was made.
    pub fn len(&self) -> usize {
        self.len
    }

    /// A segment has at least one byte.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Where it is in this process, for what this type does not offer.
    pub fn as_ptr(&self) -> *mut u8 {
        self.at
    }

    /// Copies bytes out. EINVAL: some lie outside.
    pub fn read(&self, offset: usize, to: &mut [u8]) -> Result<()> {
        let from = self.range(offset, to.len())?;
        let (mut done, len) = (0, to.len());
        while done < len {
            // SAFETY: inside the attachment, as `range` checked.
            let at = unsafe { from.add(done) };
            if len - done >= 8 && at.addr().is_multiple_of(8) {
                // SAFETY: aligned, eight bytes inside; any bytes are a value.
                let word = unsafe { &*at.cast::<AtomicU64>() }.load(Relaxed);
                to[done..done + 8].copy_from_slice(&word.to_ne_bytes());
                done += 8;
            } else {
                // SAFETY: one byte inside.
                to[done] = unsafe { &*at.cast::<AtomicU8>() }.load(Relaxed);
                done += 1;
            }
        }
        Ok(())
    }

    /// Copies bytes in. EINVAL: some would lie outside; EACCES: attached to read only.
    pub fn write(&self, offset: usize, bytes: &[u8]) -> Result<()> {
        let to = self.range(offset, bytes.len())?;
        if !self.writable {
            return Err(Errno::EACCES);
        }
        let (mut done, len) = (0, bytes.len());
        while done < len {
            // SAFETY: inside the attachment, as `range` checked.
            let at = unsafe { to.add(done) };
            let rest = &bytes[done..];
            match rest.first_chunk::<8>() {
                Some(word) if at.addr().is_multiple_of(8) => {
                    let word = u64::from_ne_bytes(*word);
                    // SAFETY: aligned, eight bytes inside, writable.
                    unsafe { &*at.cast::<AtomicU64>() }.store(word, Relaxed);
                    done += 8;
                }
                _ => {
                    // SAFETY: one byte inside, writable.
                    unsafe { &*at.cast::<AtomicU8>() }.store(rest[0], Relaxed);
                    done += 1;
                }
            }
        }
        Ok(())
    }

    /// A word that all attachers see. EINVAL: outside, or not aligned; EACCES: attached to read
    /// only, where even a compare-and-swap that fails would be a fault.
    pub fn atomic_u32(&self, offset: usize) -> Result<&AtomicU32> {
        let at = self.word(offset, 4)?;
        // SAFETY: aligned, inside, writable, for as long as the attachment is borrowed.
        Ok(unsafe { &*at.cast() })
    }

    /// As [`Attached::atomic_u32`], of eight bytes.
    pub fn atomic_u64(&self, offset: usize) -> Result<&AtomicU64> {
        let at = self.word(offset, 8)?;
        // SAFETY: as above.
        Ok(unsafe { &*at.cast() })
    }

    fn word(&self, offset: usize, len: usize) -> Result<*mut u8> {
        let at = self.range(offset, len)?;
        if !at.addr().is_multiple_of(len) {
            return Err(Errno::EINVAL);
        }
        if self.writable {
            Ok(at)
        } else {
            Err(Errno::EACCES)
        }
    }

    fn range(&self, offset: usize, len: usize) -> Result<*mut u8> {
        let end = offset.checked_add(len).ok_or(Errno::EINVAL)?;
        if end > self.len {
            return Err(Errno::EINVAL);
        }
        Ok(self.at.wrapping_add(offset))
    }
}

impl Drop for Attached<'_> {
    fn drop(&mut self) {
        // SAFETY: what was borrowed from it is gone. One that was unmapped behind our back is not
        // there to be detached, which is well.
        let _ = unsafe { self.backend.shmdt(self.at as usize) };
    }
}
