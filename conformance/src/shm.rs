//! The scenarios' words for shared memory: `shmget`, `shmat`, `shmdt`. Each makes one C call and
//! records it. Addresses are told by what matters of them.

use crate::files::{Way, read};
use crate::ids::show_key;
use crate::mapping::PAGE;
use crate::msg::IPCMNI;
use crate::programs::part;
use crate::shmcall;
use crate::stage::{Outcome, Stage, show_flags};
use libc::{IPC_CREAT, IPC_EXCL, IPC_PRIVATE};

pub use crate::shmcall::{ShmInfo, ShmUsage};
pub use crate::shmctl::{SHM_DEST, SHM_LOCK, SHM_LOCKED, SHM_UNLOCK, ShmStat};

/// `shmget`: huge pages.
pub const SHM_HUGETLB: i32 = 0o4000;
/// `shmget`: promise no memory.
pub const SHM_NORESERVE: i32 = 0o10000;
/// `shmat`: only to read.
pub const SHM_RDONLY: i32 = 0o10000;
/// `shmat`: round the address down.
pub const SHM_RND: i32 = 0o20000;
/// `shmat`: take the place of what is mapped there.
pub const SHM_REMAP: i32 = 0o40000;
/// `shmat`: to execute, too.
pub const SHM_EXEC: i32 = 0o100_000;

/// `shmat`: let the system choose.
pub const ANYWHERE: usize = 0;

/// A segment's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment(pub i32);

impl Segment {
    /// Its place in the table of segments.
    pub fn index(self) -> i32 {
        self.0 % IPCMNI
    }

    /// How often places were begun anew before it.
    pub fn sequence(self) -> i32 {
        self.0 / IPCMNI
    }
}

fn show_get_flags(flags: i32) -> String {
    let names = [
        (IPC_CREAT, "IPC_CREAT"),
        (IPC_EXCL, "IPC_EXCL"),
        (SHM_HUGETLB, "SHM_HUGETLB"),
        (SHM_NORESERVE, "SHM_NORESERVE"),
    ];
    show_flags(flags, &names)
}

fn show_at_flags(flags: i32) -> String {
    let names = [
        (SHM_RDONLY, "SHM_RDONLY"),
        (SHM_RND, "SHM_RND"),
        (SHM_REMAP, "SHM_REMAP"),
        (SHM_EXEC, "SHM_EXEC"),
    ];
    if flags == 0 {
        "0".to_owned()
    } else {
        show_flags(flags, &names)
    }
}

/// An address as a transcript shows it: small ones as they are, others by their place in a page.
pub(crate) fn show_address(address: usize) -> String {
    match (address, address % PAGE) {
        (0, _) => "NULL".to_owned(),
        (small, _) if small < 16 * PAGE => format!("{small:#x}"),
        (_, 0) => "address".to_owned(),
        (_, rest) => format!("address+{rest}"),
    }
}

fn show_attached(asked: usize, got: usize) -> String {
    if asked == ANYWHERE && got.is_multiple_of(PAGE) {
        "somewhere".to_owned()
    } else if asked == got {
        "there".to_owned()
    } else if asked / PAGE * PAGE == got {
        "there, rounded down".to_owned()
    } else {
        "elsewhere".to_owned()
    }
}

impl Stage {
    /// `shmget(key, size, flags)`
    pub fn shmget(&self, key: i32, size: usize, flags: i32) -> Outcome<Segment> {
        self.call(
            format_args!(
                "shmget({}, {size}, {})",
                show_key(key),
                show_get_flags(flags)
            ),
            || shmcall::shmget(key, size, flags).map(Segment),
            |segment| self.id_role(segment.0),
        )
    }

    /// `shmget(IPC_PRIVATE, size, 0600)`: a segment to begin with.
    #[track_caller]
    pub fn segment(&self, size: usize) -> Segment {
        self.shmget(IPC_PRIVATE, size, 0o600).must()
    }

    /// `shmat(segment, address, flags)`
    pub fn shmat(&self, segment: Segment, address: usize, flags: i32) -> Outcome<usize> {
        self.call(
            format_args!(
                "shmat({}, {}, {})",
                self.id_role(segment.0),
                show_address(address),
                show_at_flags(flags)
            ),
            || shmcall::shmat(segment.0, address, flags),
            |&got| show_attached(address, got),
        )
    }

    /// `shmat(segment, NULL, 0)` that must succeed.
    #[track_caller]
    pub fn attach(&self, segment: Segment) -> usize {
        self.shmat(segment, ANYWHERE, 0).must()
    }

    /// `shmdt(address)`
    pub fn shmdt(&self, address: usize) -> Outcome<()> {
        self.call(
            format_args!("shmdt({})", show_address(address)),
            || shmcall::shmdt(address),
            |()| "0".to_owned(),
        )
    }

    /// `shmdt(address)` that must succeed.
    #[track_caller]
    pub fn detach(&self, address: usize) {
        self.shmdt(address).must();
    }

    /// Asserts how often a segment is attached.
    #[track_caller]
    pub fn attached(&self, segment: Segment, count: u64) {
        let stat = self.shm_stat(segment).must();
        assert_eq!(stat.nattch, count, "nattch");
    }

    /// Asserts how often a segment is attached as this process, another program, and the table in
    /// `/proc` see it.
    #[track_caller]
    pub fn everybody_sees(&self, segment: Segment, count: u64) {
        self.attached(segment, count);
        self.run_part(&part("nattch", &[&segment.0, &count]));
        assert_eq!(nattch_in_table(segment), Some(count), "in the table");
    }

    /// Asserts that a segment is no more.
    #[track_caller]
    pub fn is_gone(&self, segment: Segment) {
        self.shm_stat(segment).fails(libc::EINVAL);
        self.shmat(segment, ANYWHERE, 0).fails(libc::EINVAL);
        assert_eq!(nattch_in_table(segment), None, "in the table");
    }
}

/// What `/proc/sysvipc/shm` tells of a segment's attachments.
fn nattch_in_table(segment: Segment) -> Option<u64> {
    let table = read(Way::Open, "/proc/sysvipc/shm", 65536).expect("the table to be readable");
    let id = segment.0.to_string();
    let mut lines = table.lines().map(|line| line.split_whitespace());
    let mut line = lines.find(|words| words.clone().nth(1) == Some(&*id))?;
    line.nth(6)?.parse().ok()
}
