//! Who calls, and what the mode bits let them do.
//!
//! The ids are asked once and kept until somebody says that they changed ([`changed`]; the preload
//! library does at every set*id). By system call, never through the libc: programs such as
//! fakeroot answer in its place.

use crate::object::Object;
use crate::process;
use crate::sys;
use core::sync::atomic::{AtomicU32, Ordering::*};

const CAP_IPC_LOCK: u32 = 14;
const CAP_IPC_OWNER: u32 = 15;
const CAP_SYS_ADMIN: u32 = 21;
const CAP_SYS_RESOURCE: u32 = 24;

/// Moves when the ids may have changed.
static CHANGES: AtomicU32 = AtomicU32::new(1);
/// The value of `CHANGES` that the words below belong to; 0 before the first time.
static KNOWN: AtomicU32 = AtomicU32::new(0);
static EUID: AtomicU32 = AtomicU32::new(0);
static EGID: AtomicU32 = AtomicU32::new(0);

/// The process's ids, groups or capabilities may have changed: ask again at the next call.
pub fn changed() {
    CHANGES.fetch_add(1, Release);
    process::begin_epoch();
}

/// The caller.
#[derive(Clone, Copy)]
pub(crate) struct Creds {
    pub euid: u32,
}

/// An object's `ipc_perm`, as far as access goes.
#[derive(Clone, Copy)]
pub(crate) struct Owned {
    pub uid: u32,
    pub gid: u32,
    pub cuid: u32,
    pub cgid: u32,
    pub mode: u32,
}

impl Creds {
    #[inline]
    pub fn current() -> Creds {
        if KNOWN.load(Acquire) != CHANGES.load(Acquire) {
            ask();
        }
        Creds {
            euid: EUID.load(Relaxed),
        }
    }

    /// As of the call that made this, or later.
    pub fn egid(self) -> u32 {
        EGID.load(Relaxed)
    }

    fn capable(&self, cap: u32) -> bool {
        // Asked each time: only who is refused otherwise comes here.
        sys::capabilities() >> cap & 1 != 0
    }

    /// May raise `msg_qbytes` above `msgmnb`.
    pub fn has_resource(&self) -> bool {
        self.capable(CAP_SYS_RESOURCE)
    }

    /// May lock any segment, and as much as it likes.
    pub fn has_ipc_lock(&self) -> bool {
        self.capable(CAP_IPC_LOCK)
    }

    /// `ipcperms`: whether all of the `asked` bits (0o444, 0o222, or a `msgget` mode) are granted.
    #[inline]
    pub fn may(&self, o: &Owned, asked: u32) -> bool {
        let asked = (asked >> 6 | asked >> 3 | asked) & 7;
        let owns = self.euid == o.cuid || self.euid == o.uid;
        owns && asked & !(o.mode >> 6) == 0 || self.may_otherwise(o, asked, owns)
    }

    #[cold]
    fn may_otherwise(&self, o: &Owned, asked: u32, owns: bool) -> bool {
        let granted = if owns {
            o.mode >> 6
        } else if self.in_group(o.cgid) || self.in_group(o.gid) {
            o.mode >> 3
        } else {
            o.mode
        };
        asked & !granted == 0 || self.capable(CAP_IPC_OWNER)
    }

    /// [`Creds::may`], of an object in shared memory: for the owner without a look at the rest.
    #[inline]
    pub fn may_use(&self, object: &Object, asked: u32) -> bool {
        // One look after the other: the compiler would weigh both before it goes on.
        if self.euid != object.uid.load(Relaxed) {
            return self.may_look_up(object, asked);
        }
        match asked & 7 & !(object.mode.load(Relaxed) >> 6) {
            0 => true,
            _ => self.may_look_up(object, asked),
        }
    }

    #[cold]
    #[inline(never)]
    fn may_look_up(self, object: &Object, asked: u32) -> bool {
        self.may(&object.owned(), asked)
    }

    /// Whether `IPC_SET` and `IPC_RMID` are allowed: owner, creator, or CAP_SYS_ADMIN.
    pub fn owns(&self, o: &Owned) -> bool {
        self.euid == o.cuid || self.euid == o.uid || self.capable(CAP_SYS_ADMIN)
    }

    fn in_group(&self, gid: u32) -> bool {
        if self.egid() == gid {
            return true;
        }
        // Asked each time: only callers of another class than the owner's come here.
        let mut groups = [0u32; 1024];
        let count = sys::getgroups(&mut groups).unwrap_or(0);
        groups.iter().take(count).any(|&g| g == gid)
    }
}

#[cold]
fn ask() {
    let changes = CHANGES.load(Acquire);
    EUID.store(sys::geteuid(), Relaxed);
    EGID.store(sys::getegid(), Relaxed);
    KNOWN.store(changes, Release);
}
