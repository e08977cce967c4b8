//! The environment's variables of ours, also when the program has emptied its environment since.
//!
//! Owns a copy of those `USYSV_` variables that were set when the preload library was loaded. Daemons
//! clear their environment, or write a title over it, before they make their first call: what
//! `usysv run` told them is to hold all the same. What is in the environment counts first.
//!
//! No lock: [`remember`] writes, in the library's constructor, and publishes a length.
#![allow(unsafe_code)]

use core::cell::UnsafeCell;
use core::ffi::CStr;
use core::sync::atomic::{AtomicUsize, Ordering::*};

const PREFIX: &[u8] = b"USYSV_";

/// A namespace's path is the longest of what is kept.
const ROOM: usize = 2048;

/// `NAME=value` strings with their zeroes, one after the other.
struct Kept {
    bytes: UnsafeCell<[u8; ROOM]>,
    /// 0: nothing yet. Release: the bytes before it are there. Pairs with the load in `kept`.
    len: AtomicUsize,
}

// SAFETY: the bytes are written by the one caller of `remember`, and read below `len`.
unsafe impl Sync for Kept {}

static KEPT: Kept = Kept {
    bytes: UnsafeCell::new([0; ROOM]),
    len: AtomicUsize::new(0),
};

/// Keeps what is set now. What finds no room is not kept.
///
/// # Safety
/// Called once, while nobody changes the environment.
pub unsafe fn remember() {
    unsafe extern "C" {
        static environ: *const *const core::ffi::c_char;
    }
    // SAFETY: the caller's promise; null, or an array that ends with null.
    let mut at = unsafe { environ };
    let to = KEPT.bytes.get().cast::<u8>();
    let mut len = 0;
    // SAFETY: as above, and its elements are C strings.
    while let Some(text) = unsafe { at.as_ref() }.filter(|text| !text.is_null()) {
        // SAFETY: as above.
        let text = unsafe { CStr::from_ptr(*text) }.to_bytes_with_nul();
        if text.starts_with(PREFIX) && text.len() <= ROOM - len {
            // SAFETY: there is room, and nobody reads it before `len` says so.
            unsafe {
                to.add(len)
                    .copy_from_nonoverlapping(text.as_ptr(), text.len())
            };
            len += text.len();
        }
        // SAFETY: not the last.
        at = unsafe { at.add(1) };
    }
    KEPT.len.store(len, Release);
}

/// The variable's value, if it is set and not empty.
pub(crate) fn value(name: &CStr) -> Option<&'static CStr> {
    // SAFETY: a C string; what it returns lives in the environment, which we read at once, as
    // every libc function that looks at the environment does.
    let value = unsafe { libc::getenv(name.as_ptr()) };
    if value.is_null() {
        return kept(name).filter(|value| !value.is_empty());
    }
    // SAFETY: getenv returns a C string.
    let value = unsafe { CStr::from_ptr(value) };
    (!value.is_empty()).then_some(value)
}

fn kept(name: &CStr) -> Option<&'static CStr> {
    let len = KEPT.len.load(Acquire);
    // SAFETY: written before `len` was, and never again.
    let all = unsafe { core::slice::from_raw_parts(KEPT.bytes.get().cast::<u8>(), len) };
    all.split_inclusive(|byte| *byte == 0)
        .filter_map(|text| text.strip_prefix(name.to_bytes())?.strip_prefix(b"="))
        .find_map(|value| CStr::from_bytes_with_nul(value).ok())
}
