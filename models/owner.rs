//! Stand-in for `shm/owner.rs`: a process has what it attached until it ends, and no image before.

use crate::bell::{self, Bell};
use crate::namespace::Namespace;

pub(super) fn rings(ns: &Namespace, bell: u64) -> bool {
    ns.rings(Bell::of_word(bell))
}

pub(super) fn is_silent(ns: &Namespace, bell: u64) -> bool {
    ns.is_silent(Bell::of_word(bell))
}

pub(crate) const NO_BELL: u64 = (Bell::NONE.index as u64) << 32;

pub(crate) fn bell(ns: &Namespace) -> u64 {
    bell::mine(ns).unwrap_or(Bell::NONE).word()
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mapping {
    Other,
    File { writable: bool },
    Unknown,
}

pub(super) fn maps(pid: u32, inode: u64, addr: u64) -> bool {
    mapping(pid, inode, addr) != Mapping::Other
}

pub(super) fn mapping(_pid: u32, _inode: u64, _addr: u64) -> Mapping {
    Mapping::Unknown
}
