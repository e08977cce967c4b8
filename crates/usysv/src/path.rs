//! File names without allocation.

use crate::errno::{Errno, Result};
use core::ffi::CStr;

/// Longest path that we make, with its terminating zero.
const MAX: usize = 1100;

/// A C string on the stack, or in a namespace.
#[derive(Clone, Copy)]
pub(crate) struct Path {
    bytes: [u8; MAX],
    len: usize,
}

impl Path {
    pub const fn empty() -> Path {
        Path {
            bytes: [0; MAX],
            len: 0,
        }
    }

    /// The parts one after the other. ENAMETOOLONG: too long; EINVAL: a zero byte inside.
    pub fn of(parts: &[&[u8]]) -> Result<Path> {
        let mut path = Path::empty();
        for part in parts {
            path.push(part)?;
        }
        Ok(path)
    }

    pub fn push(&mut self, part: &[u8]) -> Result<()> {
        if part.contains(&0) {
            return Err(Errno::EINVAL);
        }
        let end = self.len + part.len();
        let room = self.bytes.get_mut(self.len..end).filter(|_| end < MAX);
        room.ok_or(Errno::ENAMETOOLONG)?.copy_from_slice(part);
        self.len = end;
        Ok(())
    }

    pub fn as_c(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.bytes).unwrap_or(c"")
    }

    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }
}

/// A number in text.
pub(crate) struct Digits {
    bytes: [u8; 20],
    start: usize,
}

impl Digits {
    pub fn decimal(value: u64) -> Digits {
        Digits::of(value, 10, 1)
    }

    /// Eight hex digits.
    pub fn hex(value: u32) -> Digits {
        Digits::of(u64::from(value), 16, 8)
    }

    fn of(mut value: u64, base: u64, least: usize) -> Digits {
        let mut digits = Digits {
            bytes: [0; 20],
            start: 20,
        };
        while value != 0 || 20 - digits.start < least {
            digits.start -= 1;
            digits.bytes[digits.start] = b"0123456789abcdef"[(value % base) as usize];
            value /= base;
        }
        digits
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

/// Reads a decimal number that is all of `text`.
pub(crate) fn parse_decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 18 {
        return None;
    }
    text.iter().try_fold(0u64, |n, c| {
        c.is_ascii_digit().then(|| n * 10 + u64::from(c - b'0'))
    })
}
