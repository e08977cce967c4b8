//! Which files a process has mapped, and where, as `/proc/PID/maps` tells.

use crate::errno::Errno;
use crate::lines::find_line;
use crate::path::{Digits, Text, parse_decimal};

/// A line: `start-end perms offset device inode path`.
pub(crate) struct Line<'a> {
    start: u64,
    end: u64,
    perms: &'a [u8],
    device: &'a [u8],
    pub inode: u64,
}

impl<'a> Line<'a> {
    fn of(text: &'a [u8]) -> Option<Line<'a>> {
        let mut words = text.split(|&c| c == b' ').filter(|w| !w.is_empty());
        let mut ends = words.next()?.split(|&c| c == b'-').map(hex);
        Some(Line {
            start: ends.next()?,
            end: ends.next()?,
            perms: words.next()?,
            device: words.nth(1)?,
            inode: parse_decimal(words.next()?)?,
        })
    }

    pub fn has(&self, addr: u64) -> bool {
        (self.start..self.end).contains(&addr)
    }

    pub fn is_writable(&self) -> bool {
        self.perms.contains(&b'w')
    }

    fn has_protection(&self, prot: i32) -> bool {
        let bits = [
            (b'r', libc::PROT_READ),
            (b'w', libc::PROT_WRITE),
            (b'x', libc::PROT_EXEC),
        ];
        let same = |(letter, bit)| self.perms.contains(&letter) == (prot & bit != 0);
        bits.into_iter().all(same)
    }

    fn file(&self) -> (u64, u64) {
        let device = self.device.iter().fold(0, |n, &c| n << 8 | u64::from(c));
        (device, self.inode)
    }
}

/// Why there is no map to look at.
#[derive(PartialEq, Eq)]
pub(crate) enum Untold {
    /// No memory at all: a kernel's thread, or a process that is about to end.
    Empty,
    /// The caller may not look, or there is no /proc.
    Hidden,
}

/// What `pick` finds in the first line that it picks; `None`: it picks none.
pub(crate) fn find<T>(
    pid: u32,
    mut pick: impl FnMut(&Line<'_>) -> Option<T>,
) -> Result<Option<T>, Untold> {
    let pid = Digits::decimal(u64::from(pid));
    let Ok(path) = Text::of(&[b"/proc/", pid.as_bytes(), b"/maps"]) else {
        return Err(Untold::Hidden);
    };
    let mut any = false;
    let found = find_line(path.as_c(), &mut any, |line| pick(&Line::of(line)?));
    match found {
        Ok(None) | Err(Errno::ESRCH) if !any => Err(Untold::Empty),
        Ok(found) => Ok(found),
        Err(_) => Err(Untold::Hidden),
    }
}

/// Bytes from `start` on that are mapped with this protection, without a hole; `end` is enough.
pub(crate) fn protected_from(tid: u32, start: usize, end: usize, prot: i32) -> usize {
    let mut at = start as u64;
    let beyond = |line: &Line<'_>| {
        if line.end <= at {
            return None;
        }
        if at >= end as u64 || !line.has(at) || !line.has_protection(prot) {
            return Some(());
        }
        at = line.end;
        None
    };
    // Where there is no /proc, it is as if nothing had changed.
    let _ = find(tid, beyond);
    (at.min(end as u64) as usize).saturating_sub(start)
}

/// Whether the process of a thread has the file mapped that this one, `me`, has at an address. In
/// doubt, it has.
pub(crate) fn shares(me: u32, tid: u32, addr: usize) -> bool {
    let mine = find(me, |line| line.has(addr as u64).then(|| line.file()));
    let Ok(Some(file)) = mine else {
        return true;
    };
    match find(tid, |line| (line.file() == file).then_some(())) {
        Ok(found) => found.is_some(),
        Err(untold) => untold == Untold::Hidden,
    }
}

fn hex(text: &[u8]) -> u64 {
    text.iter().fold(0, |n, &c| {
        n << 4 | u64::from(char::from(c).to_digit(16).unwrap_or(0))
    })
}
