//! The scenarios' words for POSIX shared memory: `shm_open`, `shm_unlink`, and what is done with
//! the descriptor.
#![allow(unsafe_code)]

use crate::call::checked;
use crate::errno::Errno;
use crate::mapping::map;
use crate::stage::{Outcome, Stage, show_flags};
use std::ffi::{CString, c_int};

const PREFIX: &str = "usysv-conformance-";

/// A name that no other player uses, whatever world it shares `/dev/shm` with.
pub fn own_name(rest: &str) -> String {
    format!("/{PREFIX}{}-{rest}", std::process::id())
}

/// A name as a transcript shows it: without the player's number, long ones by their length.
fn show_name(name: &str) -> String {
    let Some((before, after)) = name.split_once(PREFIX) else {
        return format!("{name:?}");
    };
    if name.len() > 60 {
        return format!("{} bytes", name.trim_start_matches('/').len());
    }
    let rest = after.trim_start_matches(|digit: char| digit.is_ascii_digit());
    format!("\"{before}own{rest}\"")
}

/// A name of so many bytes, slash aside.
pub fn long_name(len: usize) -> String {
    let mut name = own_name("");
    name.push_str(&"x".repeat(len + 1 - name.len()));
    name
}

fn show_open_flags(flags: c_int) -> String {
    let access = match flags & libc::O_ACCMODE {
        libc::O_RDONLY => "O_RDONLY",
        libc::O_WRONLY => "O_WRONLY",
        _ => "O_RDWR",
    };
    let names = [
        (libc::O_CREAT, "O_CREAT"),
        (libc::O_EXCL, "O_EXCL"),
        (libc::O_TRUNC, "O_TRUNC"),
    ];
    match flags & !libc::O_ACCMODE {
        0 => access.to_owned(),
        rest => format!("{access}|{}", show_flags(rest, &names)),
    }
}

/// An open descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor(pub c_int);

fn length_and_mode(fd: Descriptor) -> Result<(i64, u32), Errno> {
    // SAFETY: a plain C struct of integers, for which zeros are a value.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: the struct lives on this stack.
    checked(|| unsafe { libc::fstat(fd.0, &mut stat) }.into())?;
    Ok((stat.st_size, stat.st_mode & 0o7777))
}

impl Stage {
    /// `shm_open(name, flags, mode)`
    pub fn shm_open(&self, name: &str, flags: c_int, mode: u32) -> Outcome<Descriptor> {
        let c_name = CString::new(name).expect("no NUL in it");
        self.call(
            format_args!(
                "shm_open({}, {}, 0{mode:o})",
                show_name(name),
                show_open_flags(flags)
            ),
            || {
                // SAFETY: a NUL-terminated name that outlives the call.
                checked(|| unsafe { libc::shm_open(c_name.as_ptr(), flags, mode) }.into())
                    .map(|fd| Descriptor(fd as c_int))
            },
            |_| "a descriptor".to_owned(),
        )
    }

    /// `shm_unlink(name)`
    pub fn shm_unlink(&self, name: &str) -> Outcome<()> {
        let c_name = CString::new(name).expect("no NUL in it");
        self.call(
            format_args!("shm_unlink({})", show_name(name)),
            || {
                // SAFETY: a NUL-terminated name that outlives the call.
                checked(|| unsafe { libc::shm_unlink(c_name.as_ptr()) }.into()).map(drop)
            },
            |()| "0".to_owned(),
        )
    }

    /// `ftruncate(fd, length)`
    pub fn ftruncate(&self, fd: Descriptor, length: i64) -> Outcome<()> {
        self.call(
            format_args!("ftruncate(fd, {length})"),
            // SAFETY: takes no pointers.
            || checked(|| unsafe { libc::ftruncate(fd.0, length) }.into()).map(drop),
            |()| "0".to_owned(),
        )
    }

    /// `fstat(fd)`: length and mode.
    pub fn fstat(&self, fd: Descriptor) -> Outcome<(i64, u32)> {
        self.call(
            format_args!("fstat(fd)"),
            || length_and_mode(fd),
            |(length, mode)| format!("{length} bytes, mode 0{mode:o}"),
        )
    }

    /// `mmap(NULL, len, protection, MAP_SHARED, fd, 0)`
    pub fn map_shared(&self, fd: Descriptor, len: usize, protection: c_int) -> Outcome<usize> {
        self.call(
            format_args!("mmap(NULL, {len}, {protection}, MAP_SHARED, fd)"),
            || map(0, len, libc::MAP_SHARED, fd.0, protection),
            |_| "somewhere".to_owned(),
        )
    }

    /// `close(fd)`
    pub fn close_descriptor(&self, fd: Descriptor) {
        // SAFETY: scenarios close what they opened themselves.
        let ret = unsafe { libc::close(fd.0) };
        assert_eq!(ret, 0, "close");
    }

    /// Whether a descriptor is closed by exec.
    pub fn closes_on_exec(&self, fd: Descriptor) -> bool {
        // SAFETY: takes no pointers.
        let flags = unsafe { libc::fcntl(fd.0, libc::F_GETFD) };
        flags & libc::FD_CLOEXEC != 0
    }
}
