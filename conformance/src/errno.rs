//! Error numbers by name: what a failed call shows in a transcript.

use std::fmt;

/// The `errno` of a failed call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Errno(pub i32);

macro_rules! names {
    ($number:expr; $($name:ident)*) => {
        match $number {
            $(libc::$name => Some(stringify!($name)),)*
            _ => None,
        }
    };
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = names!(self.0;
            E2BIG EACCES EAGAIN EBADF EBUSY ECHILD EEXIST EFAULT EFBIG EIDRM EINTR EINVAL EIO EISDIR
            ELOOP EMFILE ENAMETOOLONG ENFILE ENOENT ENOMEM ENOMSG ENOSPC ENOSYS ENOTDIR ENOTSUP
            EOVERFLOW EPERM ERANGE EROFS ESRCH ETIMEDOUT);
        match name {
            Some(name) => f.write_str(name),
            None => write!(f, "errno {}", self.0),
        }
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
