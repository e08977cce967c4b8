//! POSIX shared memory in a namespace: `shm_open` and `shm_unlink`.
//!
//! A name is a file in the namespace's directory `posix`; everything else (`ftruncate`, `mmap`,
//! `fstat`) is done with the descriptor. Memory that only a parent and its children share needs no
//! name: `mmap` with `MAP_SHARED | MAP_ANONYMOUS` before the fork.

use crate::environment;
use crate::errno::{Errno, Result};
use crate::files;
use crate::namespace::Namespace;
use crate::path::Path;
use crate::sys::{self, Fd};
use core::ffi::CStr;

/// POSIX shared memory, open.
pub struct PosixShm {
    fd: Fd,
}

impl PosixShm {
    /// `shm_open(name, flags, mode)` with `O_RDONLY` or `O_RDWR`, `O_CREAT`, `O_EXCL`, `O_TRUNC`.
    ///
    /// A name is one file name, with or without slashes before it. The mode is cut by the umask.
    ///
    /// EINVAL: an empty name, `.` or `..`, a slash within, or much too long; ENAMETOOLONG; ENOENT, EEXIST, EACCES as `open(2)`.
    pub fn open(ns: &Namespace, name: &CStr, flags: i32, mode: u32) -> Result<PosixShm> {
        PosixShm::open_raw(ns, name, flags, mode).map(|fd| PosixShm {
            fd: Fd::from_raw(fd),
        })
    }

    /// As [`PosixShm::open`]: a bare descriptor, which the caller closes.
    pub fn open_raw(ns: &Namespace, name: &CStr, flags: i32, mode: u32) -> Result<i32> {
        let path =
            path(ns, name).map_err(|e| if e == Errno::ENOENT { Errno::EINVAL } else { e })?;
        files::open_file(&path, flags, mode).map(Fd::into_raw)
    }

    /// `shm_unlink(name)`. ENOENT: no such name; EACCES: somebody else's.
    pub fn unlink(ns: &Namespace, name: &CStr) -> Result<()> {
        match files::unlink(&path(ns, name)?) {
            // As the libc has it.
            Err(Errno::EPERM) => Err(Errno::EACCES),
            other => other,
        }
    }

    /// Whether programs' POSIX shared memory belongs in the namespace: `USYSV_POSIX_SHM` is 1, or
    /// /dev/shm cannot be used.
    pub fn asked_for() -> bool {
        environment::value(c"USYSV_POSIX_SHM").is_some_and(|value| value.to_bytes() == b"1")
            || !sys::usable_directory(b"/dev/shm")
    }

    /// The descriptor, for `mmap` and `fstat`; closed when this is dropped.
    pub fn descriptor(&self) -> i32 {
        self.fd.raw()
    }

    /// `ftruncate`: its length in bytes, zeroes where there was nothing.
    pub fn set_len(&self, len: u64) -> Result<()> {
        sys::ftruncate(&self.fd, len)
    }
}

/// ENOENT: not a name.
fn path<'a>(ns: &'a Namespace, name: &'a CStr) -> Result<Path<'a>> {
    let name = name.to_bytes();
    let start = name.iter().position(|&c| c != b'/').unwrap_or(name.len());
    let name = name.get(start..).unwrap_or(&[]);
    // Names a little too long go through to the system's answer: that is what the libc does.
    if matches!(name, b"" | b"." | b"..") || name.contains(&b'/') || name.len() > 259 {
        return Err(Errno::ENOENT);
    }
    Ok(ns.file(&[b"posix", b""])?.with_last(name))
}
