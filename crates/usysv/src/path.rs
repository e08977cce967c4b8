//! File names without allocation, and with little stack: threads may have 16 KiB of it, signal
//! handlers less.
//!
//! So the long path of a namespace stays where it is kept ([`Long`]). What is passed around is a
//! [`Path`], which borrows that one and owns only the short end; the whole is put together for the
//! moment of one system call, in a frame that is gone with it ([`Path::with_c`]).

use crate::errno::{Errno, Result};
use core::ffi::CStr;

/// Longest path that we make, with its terminating zero.
const MAX: usize = 1100;
/// The same of a file's name: a little more than file systems take, who have the answer to that.
const NAME: usize = 264;
/// The same of a [`Text`].
const SHORT: usize = 96;

/// Bytes with a zero after them, kept where they are.
#[derive(Clone, Copy)]
struct Bytes<const ROOM: usize> {
    bytes: [u8; ROOM],
    len: usize,
}

impl<const ROOM: usize> Bytes<ROOM> {
    const fn empty() -> Self {
        Bytes {
            bytes: [0; ROOM],
            len: 0,
        }
    }

    /// ENAMETOOLONG: too long; EINVAL: a zero byte inside.
    fn push(&mut self, part: &[u8]) -> Result<()> {
        if part.contains(&0) {
            return Err(Errno::EINVAL);
        }
        let end = self.len + part.len();
        let room = self.bytes.get_mut(self.len..end).filter(|_| end < ROOM);
        room.ok_or(Errno::ENAMETOOLONG)?.copy_from_slice(part);
        self.len = end;
        Ok(())
    }

    fn as_c(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.bytes).unwrap_or(c"")
    }

    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }
}

/// A short C string: a name, a link's text, a path in /proc.
#[derive(Clone, Copy)]
pub(crate) struct Text(Bytes<SHORT>);

impl Text {
    pub const fn empty() -> Text {
        Text(Bytes::empty())
    }

    /// The parts one after the other.
    pub fn of(parts: &[&[u8]]) -> Result<Text> {
        let mut text = Text::empty();
        parts.iter().try_for_each(|part| text.push(part))?;
        Ok(text)
    }

    pub fn push(&mut self, part: &[u8]) -> Result<()> {
        self.0.push(part)
    }

    pub fn as_c(&self) -> &CStr {
        self.0.as_c()
    }

    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// A path of any length that we take, to be kept. Moving it about takes more than a kilobyte of
/// stack each time; zeroes are an empty one.
#[derive(Clone, Copy)]
pub(crate) struct Long(Bytes<MAX>);

impl Long {
    pub const fn empty() -> Long {
        Long(Bytes::empty())
    }

    pub fn push(&mut self, part: &[u8]) -> Result<()> {
        self.0.push(part)
    }

    /// Keeps the first `len` bytes.
    pub fn truncate(&mut self, len: usize) {
        if let Some(rest) = self.0.bytes.get_mut(len..) {
            rest.fill(0);
            self.0.len = self.0.len.min(len);
        }
    }

    /// Puts other bytes in the place of the first `len`.
    pub fn replace_start(&mut self, len: usize, start: &[u8]) -> Result<()> {
        let rest = len..self.0.len.max(len);
        let end = start.len() + rest.len();
        if end >= MAX || rest.end > MAX || start.contains(&0) {
            return Err(Errno::ENAMETOOLONG);
        }
        self.0.bytes.copy_within(rest, start.len());
        self.0.bytes[..start.len()].copy_from_slice(start);
        self.0.len = end;
        self.0.bytes[end..].fill(0);
        Ok(())
    }

    pub fn as_c(&self) -> &CStr {
        self.0.as_c()
    }

    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    pub fn path(&self) -> Path<'_> {
        Path::at(self.as_bytes())
    }
}

/// A path: bytes kept elsewhere, and a short text behind them; perhaps others behind that.
#[derive(Clone, Copy)]
pub(crate) struct Path<'a> {
    before: &'a [u8],
    text: Text,
    after: &'a [u8],
}

impl<'a> Path<'a> {
    pub const fn at(before: &'a [u8]) -> Path<'a> {
        Path {
            before,
            text: Text::empty(),
            after: b"",
        }
    }

    /// The path of a file under it; the parts are names.
    pub fn file(&self, parts: &[&[u8]]) -> Result<Path<'a>> {
        let mut path = *self;
        for part in parts {
            path.push(b"/")?;
            path.push(part)?;
        }
        Ok(path)
    }

    /// Adds to the short text.
    pub fn push(&mut self, part: &[u8]) -> Result<()> {
        self.text.push(part)
    }

    /// The same path with a last name that is kept elsewhere.
    pub fn with_last(self, after: &'a [u8]) -> Path<'a> {
        Path { after, ..self }
    }

    /// Calls `f` with the whole. ENAMETOOLONG: too long; EINVAL: a zero byte inside.
    #[inline(never)]
    pub fn with_c<T>(&self, f: impl FnOnce(&CStr) -> Result<T>) -> Result<T> {
        let mut whole = Bytes::<MAX>::empty();
        self.put_into(&mut whole)?;
        f(whole.as_c())
    }

    /// The same for what is a name only.
    #[inline(never)]
    fn with_name<T>(&self, f: impl FnOnce(&CStr) -> Result<T>) -> Result<T> {
        let mut whole = Bytes::<NAME>::empty();
        self.put_into(&mut whole)?;
        f(whole.as_c())
    }

    fn put_into<const ROOM: usize>(&self, whole: &mut Bytes<ROOM>) -> Result<()> {
        let parts = [self.before, self.text.as_bytes(), self.after];
        parts.iter().try_for_each(|part| whole.push(part))
    }

    /// The path of the directory. EINVAL: there is no slash.
    pub fn directory(&self) -> Result<Path<'_>> {
        let (directory, _) = self.split()?;
        Ok(directory)
    }

    /// Calls `f` with what is behind the last slash.
    pub fn with_last_name<T>(&self, f: impl FnOnce(&CStr) -> Result<T>) -> Result<T> {
        let (_, name) = self.split()?;
        name.with_name(f)
    }

    /// Before and behind the last slash; nothing before it is the root.
    fn split(&self) -> Result<(Path<'_>, Path<'_>)> {
        fn cut(part: &[u8]) -> Option<(&[u8], &[u8])> {
            let slash = part.iter().rposition(|&c| c == b'/')?;
            Some((&part[..slash], &part[slash + 1..]))
        }
        let three = |before, text: &[u8], after| {
            let text = Text::of(&[text])?;
            Ok(Path {
                before,
                text,
                after,
            })
        };
        let text = self.text.as_bytes();
        let (directory, name) = if let Some((start, end)) = cut(self.after) {
            (three(self.before, text, start)?, three(end, b"", b"")?)
        } else if let Some((start, end)) = cut(text) {
            (
                three(self.before, start, b"")?,
                three(b"", end, self.after)?,
            )
        } else if let Some((start, end)) = cut(self.before) {
            (three(start, b"", b"")?, three(end, text, self.after)?)
        } else {
            return Err(Errno::EINVAL);
        };
        let parts = [directory.before, directory.text.as_bytes(), directory.after];
        match parts.iter().all(|part| part.is_empty()) {
            true => Ok((Path::at(b"/"), name)),
            false => Ok((directory, name)),
        }
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

#[cfg(test)]
mod tests {
    extern crate std;
    use super::{Long, Path};
    use crate::errno::Errno;
    use std::string::String;

    fn read(path: &Path<'_>) -> String {
        path.with_c(|c| Ok(String::from(c.to_str().expect("text"))))
            .expect("a path")
    }

    /// Directory and name of a path that is cut into parts at each two places.
    #[test]
    fn a_path_has_its_last_slash_in_any_of_its_parts() {
        for (whole, directory, name) in [
            ("/a/b/c", "/a/b", "c"),
            ("/a", "/", "a"),
            ("/dir/", "/dir", ""),
            ("/", "/", ""),
        ] {
            for first in 0..=whole.len() {
                for second in first..=whole.len() {
                    let mut path = Path::at(&whole.as_bytes()[..first]);
                    path.push(&whole.as_bytes()[first..second]).expect("short");
                    let path = path.with_last(&whole.as_bytes()[second..]);
                    assert_eq!(read(&path), whole);
                    assert_eq!(read(&path.directory().expect("a slash")), directory);
                    let last = path.with_last_name(|c| Ok(String::from(c.to_str().expect("text"))));
                    assert_eq!(last.as_deref(), Ok(name));
                }
            }
        }
        assert_eq!(Path::at(b"name").directory().err(), Some(Errno::EINVAL));
    }

    #[test]
    fn what_is_too_long_or_has_a_zero_is_refused() {
        let long = [b'x'; 1099];
        assert_eq!(read(&Path::at(&long)).len(), 1099);
        let mut path = Path::at(&long);
        path.push(b"y").expect("short");
        assert_eq!(path.with_c(|_| Ok(())), Err(Errno::ENAMETOOLONG));
        assert_eq!(path.push(&[b'x'; 95]), Err(Errno::ENAMETOOLONG));
        assert_eq!(Path::at(b"a\0b").with_c(|_| Ok(())), Err(Errno::EINVAL));
    }

    #[test]
    fn the_start_of_a_path_is_replaced() {
        for (start, whole) in [
            ("", "/name"),
            ("/a", "/a/name"),
            ("/longer/than", "/longer/than/name"),
        ] {
            let mut path = Long::empty();
            path.push(b"/old/name").expect("room");
            path.replace_start(4, start.as_bytes()).expect("room");
            assert_eq!(path.as_c().to_str(), Ok(whole));
            assert_eq!(path.as_bytes(), whole.as_bytes());
            path.truncate(2);
            assert_eq!(path.as_c().to_str(), Ok(&whole[..2]));
        }
        let mut path = Long::empty();
        path.push(&[b'x'; 1000]).expect("room");
        assert_eq!(
            path.replace_start(0, &[b'y'; 100]),
            Err(Errno::ENAMETOOLONG)
        );
        assert_eq!(path.as_bytes().len(), 1000);
    }
}
