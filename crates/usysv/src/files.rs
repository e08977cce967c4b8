//! Names in a namespace, and nothing outside of it.
//!
//! Whoever may write to a namespace's directory can put anything under any name: links to elsewhere
//! (also in the place of a directory), pipes, hard links to other people's files. So no path of a
//! namespace is followed through a link; it is made free of links once, when the namespace is
//! opened ([`settle`]). What is opened must be a plain file with one name, and a name is made or
//! unmade in its directory's descriptor.
//!
//! Before Linux 5.6, or where a sandbox does not let `openat2` through, the directory's own name is
//! not followed through a link, those before it are.

use crate::errno::{Errno, Result};
use crate::path::{Digits, Long, Path, Text};
use crate::sys::{self, Fd};
use core::ffi::CStr;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// What `open(2)` knows and we pass on: `openat2` refuses anything else.
const FLAGS: i32 = libc::O_ACCMODE
    | libc::O_CREAT
    | libc::O_EXCL
    | libc::O_TRUNC
    | libc::O_APPEND
    | libc::O_DIRECTORY;

/// 1: the kernel has no `openat2` for us.
static PLAIN: AtomicU32 = AtomicU32::new(0);

/// Opens a name of any kind; never waits, never follows a link. ELOOP: there is one.
pub(crate) fn open(path: &Path<'_>, flags: i32, mode: u32) -> Result<Fd> {
    let flags = flags & FLAGS;
    let mode = if flags & libc::O_CREAT != 0 {
        mode & 0o7777
    } else {
        0
    };
    if PLAIN.load(Relaxed) == 0 {
        match path.with_c(|c| sys::open_without_links(c, flags | libc::O_NONBLOCK, mode)) {
            Err(Errno::ENOSYS | Errno::EPERM) if !has_openat2() => PLAIN.store(1, Relaxed),
            other => return other,
        }
    }
    within(path, |directory, name| {
        sys::open_in(directory, name, flags, mode)
    })
}

fn has_openat2() -> bool {
    sys::open_without_links(c"/", libc::O_PATH, 0).is_ok()
}

/// Opens a plain file that has this name only. EIO: it is something else.
pub(crate) fn open_file(path: &Path<'_>, flags: i32, mode: u32) -> Result<Fd> {
    let fd = open(path, flags & !libc::O_TRUNC, mode)?;
    check(&sys::fstat(&fd)?)?;
    if flags & libc::O_TRUNC != 0 && flags & libc::O_ACCMODE != libc::O_RDONLY {
        sys::ftruncate(&fd, 0)?;
    }
    Ok(fd)
}

/// EIO: not a plain file, or one that has another name too, perhaps outside.
pub(crate) fn check(st: &libc::stat) -> Result<()> {
    match st.st_mode & libc::S_IFMT == libc::S_IFREG && st.st_nlink <= 1 {
        true => Ok(()),
        false => Err(Errno::EIO),
    }
}

/// Opens a file that the caller has mapped, by its device and inode. EIDRM: the name is another's.
pub(crate) fn open_again(path: &Path<'_>, file: [u64; 2]) -> Result<Fd> {
    let fd = open(path, libc::O_RDWR, 0)?;
    let st = sys::fstat(&fd)?;
    match [st.st_dev, st.st_ino] == file {
        true => check(&st).map(|()| fd),
        false => Err(Errno::EIDRM),
    }
}

/// A plain file that has this name only, to be changed by who owns it but may not open it.
pub(crate) struct Found {
    /// Held, as the path leads through it.
    _fd: Fd,
    path: Text,
}

impl Found {
    pub fn of(path: &Path<'_>) -> Result<Found> {
        let fd = within(path, |directory, name| {
            sys::open_in(directory, name, libc::O_PATH, 0)
        })?;
        check(&sys::fstat(&fd)?)?;
        Ok(Found {
            path: descriptor(&fd)?,
            _fd: fd,
        })
    }

    pub fn chmod(&self, mode: u32) -> Result<()> {
        sys::chmod(self.path.as_c(), mode)
    }

    pub fn set_acl(&self, acl: &[u8]) -> Result<()> {
        sys::set_acl(self.path.as_c(), acl)
    }
}

/// A path that leads to an open file, whatever its name is by now.
fn descriptor(fd: &Fd) -> Result<Text> {
    Text::of(&[
        b"/proc/self/fd/",
        Digits::decimal(fd.raw() as u64).as_bytes(),
    ])
}

/// Calls `f` with the directory of a path, open, and the name in it.
pub(crate) fn within<T>(path: &Path<'_>, f: impl FnOnce(&Fd, &CStr) -> Result<T>) -> Result<T> {
    let directory = open_directory(&path.directory()?)?;
    path.with_last_name(|name| f(&directory, name))
}

/// A directory, to be used with the calls that take one.
pub(crate) fn open_directory(path: &Path<'_>) -> Result<Fd> {
    let flags = libc::O_PATH | libc::O_DIRECTORY;
    path.with_c(|path| match PLAIN.load(Relaxed) {
        0 => match sys::open_without_links(path, flags, 0) {
            Err(Errno::ENOSYS | Errno::EPERM) if !has_openat2() => sys::open(path, flags, 0),
            other => other,
        },
        _ => sys::open(path, flags, 0),
    })
}

/// Frees a path of links before its last name, and of slashes behind it; leaves it where that cannot
/// be told.
pub(crate) fn settle(path: &mut Long) -> Result<()> {
    let bytes = path.as_bytes();
    let end = bytes.iter().rposition(|&c| c != b'/').map_or(0, |n| n + 1);
    path.truncate(end);
    let bytes = path.as_bytes();
    let slash = bytes
        .iter()
        .rposition(|&c| c == b'/')
        .ok_or(Errno::EINVAL)?;
    let mut before = Path::at(bytes.get(..slash).unwrap_or(&[]));
    before.push(b"/.")?;
    let how = libc::O_PATH | libc::O_DIRECTORY;
    match before.with_c(|before| sys::open(before, how, 0)) {
        Ok(fd) => replace_with_target(path, slash, &fd),
        Err(_) => Ok(()),
    }
}

/// The first `len` bytes of a path become where an open directory is.
#[inline(never)]
fn replace_with_target(path: &mut Long, len: usize, directory: &Fd) -> Result<()> {
    let mut text = [0; 1024];
    match sys::readlink(descriptor(directory)?.as_c(), &mut text) {
        Ok(1) => path.replace_start(len, b""),
        Ok(there) if there < text.len() && text.starts_with(b"/") => {
            path.replace_start(len, text.get(..there).unwrap_or(&[]))
        }
        _ => Ok(()),
    }
}

pub(crate) fn unlink(path: &Path<'_>) -> Result<()> {
    within(path, |directory, name| sys::unlink(directory, name, 0))
}

pub(crate) fn rmdir(path: &Path<'_>) -> Result<()> {
    within(path, |directory, name| {
        sys::unlink(directory, name, libc::AT_REMOVEDIR)
    })
}

pub(crate) fn mkdir(path: &Path<'_>, mode: u32) -> Result<()> {
    within(path, |directory, name| sys::mkdir(directory, name, mode))
}

/// The text of a link. EINVAL: not a link.
pub(crate) fn readlink(path: &Path<'_>, text: &mut [u8]) -> Result<usize> {
    within(path, |directory, name| {
        sys::readlink_in(directory, name, text)
    })
}

/// `stat` of the name itself.
pub(crate) fn lstat(path: &Path<'_>) -> Result<libc::stat> {
    within(path, sys::lstat_in)
}

/// A link that holds a text; fails when the name is taken.
pub(crate) fn symlink(text: &Text, at: &Path<'_>) -> Result<()> {
    within(at, |directory, name| {
        sys::symlink(text.as_c(), directory, name)
    })
}

/// Another name, in the same directory, for a file; fails when the name is taken.
pub(crate) fn rename_new(from: &Path<'_>, to: &Path<'_>) -> Result<()> {
    within(from, |directory, from| {
        to.with_last_name(|to| sys::rename_new(directory, from, to))
    })
}

/// Sets a directory's mode.
pub(crate) fn chmod_directory(path: &Path<'_>, mode: u32) -> Result<()> {
    sys::fchmod(&open(path, libc::O_RDONLY | libc::O_DIRECTORY, 0)?, mode)
}
