//! Whether the process of a record still has its attachment.
//!
//! A process is its pid and its start time. Its death shows first in the bell of the thread that
//! attached: while that is silent, nothing else is looked at. A bell that rings is the end of the
//! process, of that thread only, or an exec, which keeps pid and start time: /proc tells the first,
//! and the process's map the rest, where the segment's file is not any more after an exec. Where
//! /proc does not let the caller look (another user's process), the attachment counts until the
//! process ends.

use crate::bell::{self, Bell};
use crate::maps::{self, Line};
use crate::namespace::Namespace;

/// Whether the bell of a record rings, or there is none: then /proc has to tell.
pub(super) fn rings(ns: &Namespace, bell: u64) -> bool {
    ns.rings(Bell::of_word(bell))
}

/// Whether the bell of a record is silent, as far as memory tells: in doubt, not.
#[inline(always)]
pub(super) fn is_silent(ns: &Namespace, bell: u64) -> bool {
    ns.is_silent(Bell::of_word(bell))
}

/// No bell: it rings always.
pub(crate) const NO_BELL: u64 = (Bell::NONE.index as u64) << 32;

/// This thread's bell. Before any lock of ours is taken: see [`bell::mine`].
pub(crate) fn bell(ns: &Namespace) -> u64 {
    bell::mine(ns).unwrap_or(Bell::NONE).word()
}

/// What a process has at an address.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mapping {
    /// Not the file.
    Other,
    /// The file, which can be written there now, or not.
    File { writable: bool },
    /// /proc does not tell.
    Unknown,
}

/// Whether a process has a file mapped at an address. In doubt, it has.
pub(super) fn maps(pid: u32, inode: u64, addr: u64) -> bool {
    mapping(pid, inode, addr) != Mapping::Other
}

/// How a process has a file mapped at an address.
pub(super) fn mapping(pid: u32, inode: u64, addr: u64) -> Mapping {
    if inode == 0 {
        return Mapping::Unknown;
    }
    let here = |line: &Line<'_>| {
        let is = line.has(addr) && line.inode == inode;
        is.then(|| line.is_writable())
    };
    match maps::find(pid, here) {
        Err(_) => Mapping::Unknown,
        Ok(None) => Mapping::Other,
        Ok(Some(writable)) => Mapping::File { writable },
    }
}
