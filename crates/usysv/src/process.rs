//! This process and this thread, as shared memory names them: cached, and right after fork.
//!
//! A page that the kernel wipes in a fork child (`MADV_WIPEONFORK`) holds the process's
//! *generation*; a thread's block is good while it carries the same one. Beside it lies the *epoch*, for
//! tickets. A child of `fork` or of a
//! raw `clone` finds the page empty and starts anew. A vfork child that calls us before its exec
//! passes for its parent.
//!
//! Where the kernel wipes nothing (before 4.14, or as a sandbox forbids the advice), the libc's forks are told of. A child
//! of a raw `clone` passes for its parent there.
#![allow(unsafe_code)]

use crate::errno::{Errno, Result};
use crate::lock::{Head, OFFSET};
use crate::namespace;
use crate::path::parse_decimal;
use crate::sys;
use crate::tls::{self, Block};
use core::ffi::CStr;
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering::*};

const MADV_WIPEONFORK: i32 = 18;

/// What a fork child finds wiped.
#[repr(C)]
struct Page {
    generation: AtomicU64,
    /// Moves when what a ticket says may have changed: see `ticket`.
    epoch: AtomicU64,
}

/// The page; before the first call, zeroes.
static PAGE: AtomicPtr<Page> = AtomicPtr::new(NO_PAGE);
static NONE: Page = Page {
    generation: AtomicU64::new(0),
    epoch: AtomicU64::new(0),
};
const NO_PAGE: *mut Page = (&raw const NONE).cast_mut();
/// Copied by fork, so that a child's generation is never one of its ancestors'.
static COUNT: AtomicU32 = AtomicU32::new(0);

/// The libc's word that tells whether there is one thread only; before the first call, and where the
/// libc has none, one that does not.
static SINGLE: AtomicPtr<u8> = AtomicPtr::new((&raw const MANY).cast_mut());
static MANY: u8 = 0;

/// Whether this process has no thread but this one. In doubt, it has.
#[inline]
pub fn is_single_threaded() -> bool {
    // SAFETY: `MANY`, or glibc's `__libc_single_threaded`, a char that lives as long as the process
    // and that only this thread changes while it is not 0.
    unsafe { SINGLE.load(Relaxed).read_volatile() != 0 }
}

/// A process, so that another with its number is not taken for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Identity {
    pub pid: u32,
    /// When it started, in clock ticks since the boot (0: unknown), and in which pid namespace (see `liveness`); 0
    /// where there is no /proc. Kept by exec.
    pub start: u64,
}

/// This process.
#[inline]
pub(crate) fn identity() -> Result<Identity> {
    Ok(identity_by(thread()?))
}

/// This process, told by a thread of it whose block was looked up just now.
#[inline(always)]
pub(crate) fn identity_by(thread: &'static Block) -> Identity {
    static START: Asked = Asked::new();
    let pid = thread.pid.load(Relaxed);
    let by = thread.generation.load(Relaxed);
    let start = START.get(by, || crate::liveness::started(pid).unwrap_or(0));
    Identity { pid, start }
}

/// Something that only a fork changes: asked once for each process.
struct Asked {
    value: AtomicU64,
    /// The generation that asked, inverted as a thread's.
    by: AtomicU64,
}

impl Asked {
    const fn new() -> Asked {
        Asked {
            value: AtomicU64::new(0),
            by: AtomicU64::new(0),
        }
    }

    #[inline(always)]
    fn get(&self, by: u64, ask: impl FnOnce() -> u64) -> u64 {
        if self.by.load(Acquire) != by {
            self.value.store(ask(), Relaxed);
            self.by.store(by, Release);
        }
        self.value.load(Relaxed)
    }
}

/// This process's pid namespace, by its inode; 0 where there is no /proc.
pub(crate) fn pid_namespace() -> u64 {
    static INODE: Asked = Asked::new();
    // The process's own files are empty once its first thread has ended.
    INODE.get(!generation(), || inode_of(c"/proc/thread-self/ns/pid"))
}

/// A namespace's inode, from the text of its link; 0: /proc does not tell.
fn inode_of(link: &CStr) -> u64 {
    let mut text = [0; 64];
    let len = sys::readlink(link, &mut text).unwrap_or(0);
    let digits = text.iter().take(len).filter(|c| c.is_ascii_digit());
    digits.fold(0u64, |n, c| {
        n.wrapping_mul(10).wrapping_add(u64::from(c - b'0'))
    })
}

/// How much later than the machine /proc has this process's boot begin: what its time namespace adds to starts, in
/// clock ticks. `None`: it cannot be known.
pub(crate) fn boot_offset() -> Option<i64> {
    /// The machine's own time namespace (`PROC_TIME_INIT_INO`).
    const MACHINES: u64 = 0xefff_fffa;
    const UNKNOWN: i64 = i64::MIN;
    static TICKS: Asked = Asked::new();
    let ticks = TICKS.get(!generation(), || {
        let mine = inode_of(c"/proc/thread-self/ns/time");
        let ticks = match mine {
            0 | MACHINES => Some(0),
            // What stands there is of the namespace of children to come.
            _ if mine != inode_of(c"/proc/thread-self/ns/time_for_children") => None,
            _ => offset_of_boot(),
        };
        ticks.unwrap_or(UNKNOWN) as u64
    });
    Some(ticks as i64).filter(|ticks| *ticks != UNKNOWN)
}

/// From the line `boottime SECONDS NANOSECONDS`. `None` also where starts would be rounded another way with it.
fn offset_of_boot() -> Option<i64> {
    let mut text = [0; 256];
    let fd = sys::open(c"/proc/self/timens_offsets", libc::O_RDONLY, 0).ok()?;
    let len = sys::read(&fd, &mut text, 0).ok()?;
    let mut lines = text.get(..len)?.split(|c| *c == b'\n');
    let mut words = lines.find_map(|line| {
        let mut words = line.split(|c| *c == b' ').filter(|word| !word.is_empty());
        (words.next() == Some(b"boottime")).then_some(words)
    })?;
    let (seconds, ns) = (words.next()?, parse_decimal(words.next()?)?);
    let seconds = match seconds.strip_prefix(b"-") {
        Some(digits) => -(parse_decimal(digits)? as i64),
        None => parse_decimal(seconds)? as i64,
    };
    let ticks = ns.is_multiple_of(10_000_000).then_some(ns / 10_000_000)?;
    seconds.checked_mul(100)?.checked_add(ticks as i64)
}

#[inline(always)]
fn page() -> &'static Page {
    // SAFETY: PAGE points at zeroes of this library, and once set at a private page that is never unmapped.
    unsafe { &*PAGE.load(Relaxed) }
}

/// The generation of this process, 0 before [`thread`] was called in it.
#[inline(always)]
pub(crate) fn generation() -> u64 {
    page().generation.load(Relaxed)
}

/// The epoch of this process, which none of its ancestors had; nobody's before [`thread`] was called in it.
#[inline(always)]
pub(crate) fn epoch() -> u64 {
    page().epoch.load(Relaxed)
}

/// Voids all tickets.
pub fn begin_epoch() {
    page().epoch.fetch_add(1, Relaxed);
}

/// This thread's block, with pid, tid and robust list filled in.
#[inline(always)]
pub(crate) fn thread() -> Result<&'static Block> {
    let block = tls::block();
    // Inverted: a new thread's zero is not the zero of a wiped page.
    if block.generation.load(Relaxed) == !generation() {
        return Ok(block);
    }
    begin(block)
}

#[cold]
fn begin(block: &'static Block) -> Result<&'static Block> {
    if PAGE.load(Relaxed) == NO_PAGE {
        let page = sys::private_memory(4096)?;
        if sys::madvise(page, 4096, MADV_WIPEONFORK).is_err() {
            // SAFETY: a handler that stays: code is never unloaded. Without memory for it: as of a raw `clone`.
            unsafe { libc::pthread_atfork(None, None, Some(wipe)) };
        }
        let _ = PAGE.compare_exchange(NO_PAGE, page.cast(), Relaxed, Relaxed);
    }
    sys::find_cpu_word();
    let single = sys::symbol(c"__libc_single_threaded");
    if !single.is_null() {
        SINGLE.store(single.cast(), Relaxed);
    }
    let pid = sys::getpid();
    let fresh = u64::from(COUNT.fetch_add(1, Relaxed) + 1) << 32 | u64::from(pid);
    let words = page();
    let generation = match words
        .generation
        .compare_exchange(0, fresh, Relaxed, Relaxed)
    {
        Ok(_) => {
            words.epoch.store(fresh, Relaxed);
            fresh
        }
        Err(theirs) => theirs,
    };
    block.robust.store(robust_list(block)?, Relaxed);
    let tid = sys::gettid();
    block.tid.store(tid, Relaxed);
    // Containers count their threads from 1, but lay them out at random.
    let page = core::ptr::from_ref(block).addr() >> 12;
    block.name.store(tid ^ page as u32, Relaxed);
    block.bell_in.store(0, Relaxed);
    block.pid.store(pid, Relaxed);
    // Before the thread takes a lock.
    namespace::enter_all();
    block.generation.store(!generation, Relaxed);
    Ok(block)
}

/// In a fork child, where the kernel has not.
extern "C" fn wipe() {
    page().generation.store(0, Relaxed);
    page().epoch.store(0, Relaxed);
}

/// The head of this thread's list of held locks. ENOSYS: the libc keeps none, or in another way than a
/// lock's layout.
///
/// The child of a raw `clone` has its parent's libc, head and all, but the kernel was not told.
fn robust_list(block: &Block) -> Result<usize> {
    let registered = sys::robust_list()? as usize;
    let inherited = block.robust.load(Relaxed);
    let head = match (registered, inherited) {
        (0, 0) => return Err(Errno::ENOSYS),
        (0, head) => sys::set_robust_list(head).map(|()| head)?,
        (head, _) => head,
    };
    // SAFETY: the libc's registered head of this very thread, which lives as long as it.
    match unsafe { &*(head as *const Head) }.offset {
        OFFSET => Ok(head),
        _ => Err(Errno::ENOSYS),
    }
}
