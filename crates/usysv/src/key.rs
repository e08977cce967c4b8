//! Keys, and how `ftok` makes them.
#![allow(unsafe_code)]

use crate::errno::{Errno, Result};
use core::ffi::CStr;
use core::mem::MaybeUninit;

/// A System V IPC key (`key_t`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key(pub i32);

impl Key {
    /// `IPC_PRIVATE`: every call with it makes a new object.
    pub const PRIVATE: Key = Key(crate::abi::IPC_PRIVATE);

    /// What a program that does not look at `ftok`'s result uses when it failed: the key −1,
    /// which it then shares with every other such program. Tools warn about it.
    pub const FTOK_FAILED: Key = Key(-1);

    /// `ftok(pathname, proj_id)`: a key from the inode and device of an existing file and the low
    /// eight bits of `proj_id`, the same bits as glibc's and musl's.
    ///
    /// Fails as `stat(2)` does. Two files may have the same key: only 16 bits of the inode number
    /// and 8 of the device are in it.
    pub fn ftok(pathname: &CStr, proj_id: i32) -> Result<Key> {
        let mut st = MaybeUninit::<libc::stat>::uninit();
        // SAFETY: a C string and room for one stat.
        if unsafe { libc::stat(pathname.as_ptr(), st.as_mut_ptr()) } != 0 {
            return Err(Errno::last());
        }
        // SAFETY: stat succeeded and filled it.
        let st = unsafe { st.assume_init() };
        let low = (st.st_ino as u32 & 0xffff) | ((st.st_dev as u32 & 0xff) << 16);
        Ok(Key((low | ((proj_id as u32 & 0xff) << 24)) as i32))
    }
}
