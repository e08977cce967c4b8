//! Memory that ends where a page ends: pointers that a call must refuse, or must not overrun.
#![allow(unsafe_code)]

use std::ffi::c_void;

const PAGE: usize = 4096;

/// Pages behind an area that nobody may touch, more than any call here asks for.
const GUARD: usize = 64 * PAGE;

/// Some bytes, and behind the last of them memory that is not accessible.
pub struct Area {
    address: *mut u8,
    accessible: usize,
    map: Option<(*mut u8, usize)>,
}

// SAFETY: an area hands out copies and an address, never references; who shares one between threads
// (a sender's buffer that changes under it) shares it with the kernel, as C programs do.
unsafe impl Send for Area {}
// SAFETY: as above.
unsafe impl Sync for Area {}

impl Area {
    /// The null pointer.
    pub fn null() -> Area {
        Area {
            address: std::ptr::null_mut(),
            accessible: 0,
            map: None,
        }
    }

    /// An address where nothing may be read or written.
    pub fn unmapped() -> Area {
        Area::new(0)
    }

    /// An address in the kernel's half of the address space.
    pub fn kernel_half() -> Area {
        Area {
            address: std::ptr::without_provenance_mut(0xffff_8000_0000_0000),
            accessible: 0,
            map: None,
        }
    }

    /// `len` zero bytes, readable and writable, directly before inaccessible memory.
    pub fn new(len: usize) -> Area {
        let room = len.next_multiple_of(PAGE);
        let size = room + GUARD;
        // SAFETY: a fresh anonymous mapping touches no memory that anyone else knows.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size,
                libc::PROT_NONE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        assert_ne!(base, libc::MAP_FAILED, "no memory for an area");
        let base = base.cast::<u8>();
        protect(base, room, libc::PROT_READ | libc::PROT_WRITE);
        Area {
            address: base.wrapping_add(room - len),
            accessible: len,
            map: Some((base, size)),
        }
    }

    /// A message of this type and text, directly before inaccessible memory.
    pub fn message(mtype: i64, text: &[u8]) -> Area {
        let area = Area::new(8 + text.len());
        area.write(0, &mtype.to_ne_bytes());
        area.write(8, text);
        area
    }

    /// Takes the right to write away.
    pub fn read_only(self) -> Area {
        let (base, size) = self.map.expect("a mapped area");
        protect(base, size - GUARD, libc::PROT_READ);
        self
    }

    /// Takes every right away, as a program that unmaps or mprotects a buffer it used before.
    pub fn withdraw(&self) {
        let (base, size) = self.map.expect("a mapped area");
        protect(base, size - GUARD, libc::PROT_NONE);
    }

    /// [`Area::withdraw`] by `pkey_mprotect`, without a key.
    pub fn withdraw_by_key(&self) {
        const NO_KEY: i32 = -1;
        let (base, size) = self.map.expect("a mapped area");
        // SAFETY: as in `protect`.
        let ret = unsafe { pkey_mprotect(base.cast(), size - GUARD, libc::PROT_NONE, NO_KEY) };
        assert_eq!(ret, 0, "pkey_mprotect of an area's own pages");
    }

    /// Copies `bytes` to `offset`.
    pub fn write(&self, offset: usize, bytes: &[u8]) {
        assert!(offset + bytes.len() <= self.accessible);
        let to = self.address.wrapping_add(offset);
        // SAFETY: checked to lie within the area's own mapping, to which no references exist.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
    }

    /// A copy of the area's bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let mut copy = vec![0; self.accessible];
        // SAFETY: the area's own mapping holds that many bytes, and no references to it exist.
        unsafe {
            std::ptr::copy_nonoverlapping(self.address, copy.as_mut_ptr(), self.accessible);
        }
        copy
    }

    /// What to pass to a call.
    pub fn address(&self) -> *mut c_void {
        self.address.cast()
    }
}

/// Pointers to nothing.
pub fn bad_pointers() -> [Area; 3] {
    [Area::null(), Area::unmapped(), Area::kernel_half()]
}

unsafe extern "C" {
    fn pkey_mprotect(addr: *mut libc::c_void, len: usize, prot: i32, pkey: i32) -> i32;
}

fn protect(base: *mut u8, size: usize, protection: i32) {
    // SAFETY: callers pass the accessible part of a mapping that an Area owns.
    let ret = unsafe { libc::mprotect(base.cast(), size, protection) };
    assert_eq!(ret, 0, "mprotect of an area's own pages");
}

impl Drop for Area {
    fn drop(&mut self) {
        if let Some((base, size)) = self.map {
            // SAFETY: the mapping made by `new`, owned by this area alone.
            unsafe { libc::munmap(base.cast(), size) };
        }
    }
}
