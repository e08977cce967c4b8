//! The one error type: an errno that is known to be one.

use core::fmt;

/// The result of every call in this crate.
pub type Result<T> = core::result::Result<T, Errno>;

/// A Linux error number, 1..=4095, as the C API reports it in `errno`.
///
/// A newtype and not an enum: a kernel newer than this crate may answer with a number that we
/// have no name for, and it must pass through unharmed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(i32);

macro_rules! errnos {
    ($($name:ident $text:literal)*) => {
        impl Errno {
            $(#[doc = $text] pub const $name: Errno = Errno(libc::$name);)*
            /// The symbolic name, `"E?"` for a number without one here.
            pub const fn name(self) -> &'static str {
                match self.0 { $(libc::$name => stringify!($name),)* _ => "E?" }
            }
            /// One line of explanation in strerror's words.
            pub const fn text(self) -> &'static str {
                match self.0 { $(libc::$name => $text,)* _ => "Unknown error" }
            }
        }
    };
}

errnos! {
    EPERM "Operation not permitted"
    ENOENT "No such file or directory"
    ESRCH "No such process"
    EINTR "Interrupted system call"
    EIO "Input/output error"
    E2BIG "Argument list too long"
    EBADF "Bad file descriptor"
    EAGAIN "Resource temporarily unavailable"
    ENOMEM "Cannot allocate memory"
    EACCES "Permission denied"
    EFAULT "Bad address"
    EEXIST "File exists"
    EXDEV "Invalid cross-device link"
    ENOTDIR "Not a directory"
    EISDIR "Is a directory"
    EINVAL "Invalid argument"
    ENFILE "Too many open files in system"
    EMFILE "Too many open files"
    EFBIG "File too large"
    ENOSPC "No space left on device"
    EROFS "Read-only file system"
    ERANGE "Numerical result out of range"
    EDEADLK "Resource deadlock avoided"
    ENAMETOOLONG "File name too long"
    ENOSYS "Function not implemented"
    ENOTEMPTY "Directory not empty"
    ELOOP "Too many levels of symbolic links"
    ENOMSG "No message of desired type"
    EIDRM "Identifier removed"
    EPROTO "Protocol error"
    EOPNOTSUPP "Operation not supported"
    ETIMEDOUT "Connection timed out"
    ESTALE "Stale file handle"
    EDQUOT "Disk quota exceeded"
}

impl Errno {
    /// The error with this number; a number that cannot be an errno becomes `EIO`.
    pub const fn from_raw(raw: i32) -> Errno {
        if raw >= 1 && raw <= 4095 {
            Errno(raw)
        } else {
            Errno::EIO
        }
    }

    /// What the last failed libc call of this thread left in `errno`.
    #[allow(unsafe_code)]
    pub(crate) fn last() -> Errno {
        // SAFETY: __errno_location returns this thread's errno, always valid to read.
        Errno::from_raw(unsafe { *libc::__errno_location() })
    }

    /// The number, for `errno` or `std::io::Error::from_raw_os_error`.
    pub const fn raw(self) -> i32 {
        self.0
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            "E?" => write!(f, "Errno({})", self.0),
            name => f.write_str(name),
        }
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({self:?})", self.text())
    }
}

impl core::error::Error for Errno {}
