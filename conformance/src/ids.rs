//! Keys and ids, which are the same for every mechanism, and how transcripts show them.

use crate::stage::show_flags;
use libc::{IPC_CREAT, IPC_EXCL, IPC_PRIVATE};

/// Ids are `index + sequence * IPCMNI`.
pub const IPCMNI: i32 = 32768;

/// An id's place in the table of its mechanism.
pub fn index_of(id: i32) -> i32 {
    id % IPCMNI
}

/// How often places were begun anew before this id was given.
pub fn sequence_of(id: i32) -> i32 {
    id / IPCMNI
}

pub(crate) fn show_key(key: i32) -> String {
    match key {
        IPC_PRIVATE => "IPC_PRIVATE".to_owned(),
        key => format!("{key:#x}"),
    }
}

/// The flags of `msgget` and its sisters.
pub(crate) fn show_get_flags(flags: i32) -> String {
    show_flags(flags, &[(IPC_CREAT, "IPC_CREAT"), (IPC_EXCL, "IPC_EXCL")])
}
