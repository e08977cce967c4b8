//! The system calls that find and start a program.
#![allow(unsafe_code)]

use super::{Program, status};
use crate::failure::{Failure, reason};
use std::ffi::{CStr, CString, c_char};
use std::io::{self, Error};
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The ids that `AT_SECURE` compares with.
pub struct Ids {
    /// `getuid()`
    pub real_uid: u32,
    /// `getgid()`
    pub real_gid: u32,
}

/// Ours.
pub fn ids() -> Ids {
    // SAFETY: no arguments, cannot fail.
    let (real_uid, real_gid) = unsafe { (libc::getuid(), libc::getgid()) };
    Ids { real_uid, real_gid }
}

/// Whether `execve` would be allowed to start this file; the error is the one it would give.
pub fn executable(path: &Path) -> io::Result<()> {
    let c_path = c_path(path)?;
    // SAFETY: a C string.
    let ret = unsafe {
        libc::faccessat(
            libc::AT_FDCWD,
            c_path.as_ptr(),
            libc::X_OK,
            libc::AT_EACCESS,
        )
    };
    if ret != 0 {
        return Err(Error::last_os_error());
    }
    match std::fs::metadata(path)?.is_file() {
        true => Ok(()),
        false => Err(Error::from_raw_os_error(libc::EACCES)),
    }
}

/// Whether the file carries capabilities (`security.capability`).
pub fn has_capabilities(path: &Path) -> bool {
    let Ok(path) = c_path(path) else { return false };
    let name = c"security.capability";
    // SAFETY: two C strings; a size of 0 asks for the length alone and writes nothing.
    let ret = unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), std::ptr::null_mut(), 0) };
    ret > 0
}

/// Whether set-id bits and capabilities have no effect: a `nosuid` mount, or no new privileges.
pub fn gains_nothing(path: &Path) -> bool {
    // SAFETY: the call takes and answers plain numbers.
    if unsafe { libc::prctl(libc::PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) } == 1 {
        return true;
    }
    let Ok(path) = c_path(path) else { return false };
    let mut vfs = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: a C string and room for one statvfs.
    if unsafe { libc::statvfs(path.as_ptr(), vfs.as_mut_ptr()) } != 0 {
        return false;
    }
    // SAFETY: statvfs succeeded and filled it.
    unsafe { vfs.assume_init() }.f_flag & libc::ST_NOSUID != 0
}

/// Becomes the program; answers only a failure. What the kernel calls ENOEXEC goes to the shell,
/// as `execvp` does it.
pub fn exec(program: &Program) -> Failure {
    let envp = pointers(&program.envp);
    let mut error = execve(&program.path, &pointers(&program.argv), &envp);
    if error.raw_os_error() == Some(libc::ENOEXEC) {
        let shell = c"/bin/sh";
        let mut argv = vec![shell.as_ptr(), program.path.as_ptr()];
        argv.extend(pointers(&program.argv).iter().skip(1));
        error = execve(shell, &argv, &envp);
    }
    let status = match error.raw_os_error() {
        Some(libc::ENOENT) => status::NOT_FOUND,
        _ => status::CANNOT,
    };
    let path = program.path.to_string_lossy();
    Failure::with_status(status, format!("{path}: {}", reason(&error)))
}

/// `argv` and `envp` end with a null pointer.
fn execve(path: &CStr, argv: &[*const c_char], envp: &[*const c_char]) -> Error {
    // SAFETY: both lists end with null (`pointers`), and their strings outlive the call, which
    // returns only if nothing happened.
    unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    Error::last_os_error()
}

fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    let null = std::iter::once(std::ptr::null());
    strings.iter().map(|s| s.as_ptr()).chain(null).collect()
}

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| Error::from_raw_os_error(libc::EINVAL))
}
