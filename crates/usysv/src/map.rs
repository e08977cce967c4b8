//! Windows onto files that others write too.
//!
//! Everything in a mapping is read and written through atomics at checked offsets; no value in it
//! is believed before it is checked, and no reference to plain memory is ever made.
#![allow(unsafe_code)]

use crate::bus;
use crate::errno::{Errno, Result};
use crate::ranges;
use crate::sys::{self, Fd};

/// Types that may lie in shared memory: `repr(C)`, made of atomics only, any bytes are a value.
///
/// # Safety
/// The implementor is exactly that.
pub(crate) unsafe trait Shared {}

/// A shared mapping; a plain view that does not unmap itself (see `handle`, which owns it).
#[derive(Clone, Copy)]
pub(crate) struct Map {
    base: *mut u8,
    len: usize,
    /// Where `ranges` has it.
    place: usize,
}

impl Map {
    /// Maps the first `len` bytes of a file that is at least as long. Should it be truncated, the
    /// mapping reads as zeroes from the first touch on: see `bus`.
    pub fn of(fd: &Fd, len: usize, writable: bool) -> Result<Map> {
        bus::arm();
        let base = sys::map_shared(fd, len, writable)?;
        match ranges::keep(base, len) {
            Ok(place) => Ok(Map { base, len, place }),
            Err(e) => {
                sys::unmap(base, len);
                Err(e)
            }
        }
    }

    /// A view of parts kept elsewhere.
    ///
    /// # Safety
    /// They came from [`Map::parts`], and the mapping stays while the view is used.
    #[inline]
    pub unsafe fn from_parts(base: *mut u8, len: usize, place: usize) -> Map {
        Map { base, len, place }
    }

    pub fn parts(&self) -> (*mut u8, usize, usize) {
        (self.base, self.len, self.place)
    }

    /// Whether its file was found truncated.
    pub fn is_lost(&self) -> bool {
        ranges::is_lost(self.place)
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// Unmaps it.
    ///
    /// # Safety
    /// Nobody uses a view of it any more.
    pub unsafe fn unmap(self) {
        ranges::forget(self.place);
        sys::unmap(self.base, self.len);
    }

    /// The structure at `offset`. EIO: outside of the mapping, or not aligned.
    #[inline]
    pub fn at<'a, T: Shared>(&self, offset: usize) -> Result<&'a T> {
        self.range(offset, size_of::<T>())?;
        if !offset.is_multiple_of(align_of::<T>()) {
            return Err(Errno::EIO);
        }
        // SAFETY: inside the mapping, aligned (mappings begin at pages), and T is made of atomics,
        // for which any bytes are valid and concurrent writers are allowed. `'a` is bounded by the
        // users: Pin keeps the mapping while it is used.
        Ok(unsafe { &*self.base.add(offset).cast::<T>() })
    }

    /// So many of a structure at `offset`. EIO: not all in the mapping, or not aligned.
    #[inline]
    pub fn array<'a, T: Shared>(&self, offset: usize, count: usize) -> Result<&'a [T]> {
        self.range(offset, count.checked_mul(size_of::<T>()).ok_or(Errno::EIO)?)?;
        if !offset.is_multiple_of(align_of::<T>()) {
            return Err(Errno::EIO);
        }
        // SAFETY: as in `at`.
        Ok(unsafe { core::slice::from_raw_parts(self.base.add(offset).cast::<T>(), count) })
    }

    /// The structure at `offset`.
    ///
    /// # Safety
    /// It lies in the mapping, and is aligned there.
    #[inline]
    pub unsafe fn known<'a, T: Shared>(&self, offset: usize) -> &'a T {
        // SAFETY: the caller's promise; else as in `at`.
        unsafe { &*self.base.add(offset).cast::<T>() }
    }

    /// Copies bytes in. EIO: outside of the mapping.
    ///
    /// # Safety
    /// `from` can be read for `len` bytes.
    #[inline]
    pub unsafe fn write(&self, offset: usize, from: *const u8, len: usize) -> Result<()> {
        self.range(offset, len)?;
        // SAFETY: the target was just checked, the source is the caller's promise, and private
        // memory never overlaps a mapping of a namespace's file.
        unsafe { core::ptr::copy_nonoverlapping(from, self.base.add(offset), len) };
        Ok(())
    }

    /// Copies bytes out. EIO: outside of the mapping.
    ///
    /// # Safety
    /// `to` can be written for `len` bytes.
    #[inline]
    pub unsafe fn read(&self, offset: usize, to: *mut u8, len: usize) -> Result<()> {
        self.range(offset, len)?;
        // SAFETY: as in `write`, the other way.
        unsafe { core::ptr::copy_nonoverlapping(self.base.add(offset), to, len) };
        Ok(())
    }

    /// Makes sure that the file has memory there: a full file system is an error here and would be
    /// SIGBUS at the first touch. False: the kernel cannot (before Linux 5.14), or seccomp does not let us.
    pub fn populate(&self, offset: usize, len: usize) -> Result<bool> {
        const MADV_POPULATE_WRITE: i32 = 23;
        self.range(offset, len)?;
        // SAFETY: a range inside the mapping.
        let at = unsafe { self.base.add(offset) };
        match sys::madvise(at, len, MADV_POPULATE_WRITE) {
            Ok(()) => Ok(true),
            Err(Errno::EINVAL | Errno::EPERM | Errno::ENOSYS) => Ok(false),
            Err(_) => Err(Errno::ENOMEM),
        }
    }

    /// Gives the memory back to the file system; it reads as zeroes afterwards.
    pub fn release(&self, offset: usize, len: usize) {
        if len == 0 || self.range(offset, len).is_err() {
            return;
        }
        // SAFETY: a range inside the mapping; its content is no longer needed, says the caller.
        let at = unsafe { self.base.add(offset) };
        let _ = sys::madvise(at, len, libc::MADV_REMOVE);
    }

    #[inline]
    fn range(&self, offset: usize, len: usize) -> Result<()> {
        match offset.checked_add(len) {
            Some(end) if end <= self.len => Ok(()),
            _ => Err(Errno::EIO),
        }
    }
}

/// Asks for the cache line of `at`, to write to it soon. A hint: no memory is touched as far as the
/// program can tell, and any address will do.
#[inline(always)]
pub(crate) fn expect<T>(at: *const T) {
    expect_at::<0, T>(at);
}

/// [`expect`] of what lies `OFFSET` bytes behind `at`.
#[inline(always)]
pub(crate) fn expect_at<const OFFSET: usize, T>(at: *const T) {
    // SAFETY: as above.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        core::arch::asm!(
            "prefetchw [{at} + {offset}]",
            at = in(reg) at,
            offset = const OFFSET,
            options(nostack, preserves_flags, readonly)
        );
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}
