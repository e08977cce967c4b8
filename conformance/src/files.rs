//! Files by way of C's own calls, which a preload may stand in front of: `/proc/sysvipc/msg`,
//! `/proc/sys/kernel/msg*`.
#![allow(unsafe_code)]

use crate::errno::Errno;
use crate::process::last_errno;
use crate::stage::{Outcome, Stage, show_bytes};
use std::ffi::{CStr, CString, c_int};
use std::path::Path;

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// `open`
    Open,
    /// `open64`
    Open64,
    /// `openat(AT_FDCWD)`
    OpenAt,
    /// `fopen`
    Fopen,
    /// `fopen64`
    Fopen64,
}

/// All of them.
pub const WAYS: [Way; 5] = [
    Way::Open,
    Way::Open64,
    Way::OpenAt,
    Way::Fopen,
    Way::Fopen64,
];

fn c_path(path: &str) -> CString {
    crate::process::c_string(Path::new(path))
}

/// A file descriptor, by this way to open.
fn open(way: Way, path: &CStr, flags: c_int) -> Result<c_int, Errno> {
    let path = path.as_ptr();
    // SAFETY: a NUL-terminated path that outlives the call.
    let fd = unsafe {
        match way {
            Way::Open64 => libc::open64(path, flags, 0o644),
            Way::OpenAt => libc::openat(libc::AT_FDCWD, path, flags, 0o644),
            _ => libc::open(path, flags, 0o644),
        }
    };
    if fd < 0 { Err(last_errno()) } else { Ok(fd) }
}

/// Reads a whole file, at most `chunk` bytes at a time.
pub fn read(way: Way, path: &str, chunk: usize) -> Result<String, Errno> {
    let path = c_path(path);
    match way {
        Way::Fopen | Way::Fopen64 => read_stream(way, &path, chunk),
        _ => read_descriptor(open(way, &path, libc::O_RDONLY)?, chunk),
    }
}

fn read_descriptor(fd: c_int, chunk: usize) -> Result<String, Errno> {
    let mut all = Vec::new();
    let mut buffer = vec![0; chunk];
    let result = loop {
        // SAFETY: the buffer has room for `chunk` bytes and outlives the call.
        match unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), chunk) } {
            0 => break Ok(()),
            -1 => break Err(last_errno()),
            count => all.extend_from_slice(&buffer[..count as usize]),
        }
    };
    // SAFETY: the descriptor was opened by the caller for this alone.
    unsafe { libc::close(fd) };
    result.map(|()| String::from_utf8_lossy(&all).into_owned())
}

fn stream(way: Way, path: &CStr, mode: &CStr) -> Result<*mut libc::FILE, Errno> {
    // SAFETY: NUL-terminated strings that outlive the call.
    let file = unsafe {
        match way {
            Way::Fopen64 => libc::fopen64(path.as_ptr(), mode.as_ptr()),
            _ => libc::fopen(path.as_ptr(), mode.as_ptr()),
        }
    };
    if file.is_null() {
        Err(last_errno())
    } else {
        Ok(file)
    }
}

fn read_stream(way: Way, path: &CStr, chunk: usize) -> Result<String, Errno> {
    let file = stream(way, path, c"r")?;
    let mut all = Vec::new();
    let mut buffer = vec![0; chunk];
    loop {
        // SAFETY: the buffer has room for `chunk` bytes; the stream is open until below.
        match unsafe { libc::fread(buffer.as_mut_ptr().cast(), 1, chunk, file) } {
            0 => break,
            count => all.extend_from_slice(&buffer[..count]),
        }
    }
    // SAFETY: the stream was opened above and is not used again.
    unsafe { libc::fclose(file) };
    Ok(String::from_utf8_lossy(&all).into_owned())
}

/// Writes `text` to a file that exists.
pub fn write(way: Way, path: &str, text: &str) -> Result<(), Errno> {
    let path = c_path(path);
    if matches!(way, Way::Fopen | Way::Fopen64) {
        let file = stream(way, &path, c"w")?;
        // SAFETY: the stream was opened above and is used only here, the text outlives the call.
        let failed = unsafe {
            let short = libc::fwrite(text.as_ptr().cast(), 1, text.len(), file) != text.len();
            libc::fclose(file) != 0 || short
        };
        return if failed { Err(last_errno()) } else { Ok(()) };
    }
    let fd = open(way, &path, libc::O_WRONLY | libc::O_TRUNC)?;
    // SAFETY: the text outlives the call.
    let written = unsafe { libc::write(fd, text.as_ptr().cast(), text.len()) };
    let result = if written == text.len() as isize {
        Ok(())
    } else {
        Err(last_errno())
    };
    // SAFETY: opened above for this alone.
    unsafe { libc::close(fd) };
    result
}

impl Stage {
    /// A file's contents, as `read` gets them.
    pub fn read_file(&self, way: Way, path: &str) -> Outcome<String> {
        let what = format_args!("{way:?} and read {path}");
        self.call(
            what,
            || read(way, path, 4096),
            |text| show_bytes(text.as_bytes()),
        )
    }

    /// Writes a file, as `write` does.
    pub fn write_file(&self, way: Way, path: &str, text: &str) -> Outcome<()> {
        let what = format_args!("{way:?} and write {path}, \"{}\"", text.escape_default());
        self.call(what, || write(way, path, text), |()| "ok".to_owned())
    }

    /// The number in `/proc/sys/kernel/NAME`.
    #[track_caller]
    pub fn limit(&self, name: &str) -> i64 {
        let text = self
            .read_file(Way::Open, &format!("/proc/sys/kernel/{name}"))
            .must();
        text.trim_end().parse().expect("a limit is a number")
    }

    /// Sets `/proc/sys/kernel/NAME`.
    #[track_caller]
    pub fn set_limit(&self, name: &str, value: i64) {
        self.write_file(
            Way::Open,
            &format!("/proc/sys/kernel/{name}"),
            &format!("{value}\n"),
        )
        .must();
    }
}
