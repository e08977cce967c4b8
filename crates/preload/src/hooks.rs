//! Where the C edge meets the engine: every question that the interposed functions ask.
//!
//! The engine is made at the first call that needs it, and stays: its namespace is the process's.

use core::cell::UnsafeCell;
use core::ffi::{CStr, c_int};
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use engine::abi::{MsqidDs, SemidDs, ShmidDs};
use engine::{Changing, Engine, Errno, Fork, Namespace, Result, sys};

/// The engine, once made: a place for it, and who may write there.
struct Place {
    engine: UnsafeCell<MaybeUninit<Engine>>,
    /// The process whose thread makes it, or made it; see [`Engine::begin`].
    maker: AtomicU64,
    ready: AtomicPtr<Engine>,
}

// SAFETY: `engine` is written by the one thread that became its process's maker, and read through
// `ready` after that; Engine is Sync.
unsafe impl Sync for Place {}

static PLACE: Place = Place {
    engine: UnsafeCell::new(MaybeUninit::uninit()),
    maker: AtomicU64::new(0),
    ready: AtomicPtr::new(core::ptr::null_mut()),
};

/// The process's engine. Errors are those of [`engine::Fault::for_c`]; the next call tries again.
#[inline]
pub fn engine() -> Result<&'static Engine> {
    // SAFETY: `ready` is null or points into PLACE, whose engine is complete and never moves.
    match unsafe { PLACE.ready.load(Ordering::Acquire).as_ref() } {
        Some(engine) => Ok(engine),
        None => make(),
    }
}

/// The process's engine, if there is one.
#[inline]
pub fn made() -> Option<&'static Engine> {
    // SAFETY: as in `engine`.
    unsafe { PLACE.ready.load(Ordering::Acquire).as_ref() }
}

/// `None`: no attachment lies in the range. Otherwise they are held still until what the memory
/// call did was told.
#[inline]
pub fn changing(addr: usize, len: usize) -> Option<Changing<'static>> {
    made()?.changing(addr, len)
}

/// Before a fork. `None`: there is nothing to be inherited.
pub fn before_fork() -> Option<Fork> {
    let errno = sys::errno().get();
    let fork = made().and_then(Engine::before_fork);
    sys::errno().set(errno);
    fork
}

/// After a fork, in the parent; `child`: its pid, if there is one.
pub fn after_fork(fork: &Fork, child: Option<u32>) {
    if let Some(engine) = made() {
        engine.after_fork(fork, child);
    }
}

/// After a fork, in the child.
pub fn in_fork_child() {
    if let Some(engine) = made() {
        engine.in_child();
    }
}

/// Show `visit` every segment of the namespace, in order of index, whatever its permissions, with
/// the bytes that are really there (as `/proc/sysvipc/shm` does). False: there is no namespace.
pub fn segments(visit: &mut dyn FnMut(i32, &ShmidDs, u64)) -> bool {
    let Ok(engine) = engine() else { return false };
    engine.each_segment(visit).is_ok()
}

#[cold]
fn make() -> Result<&'static Engine> {
    engine::tell_of_handlers(crate::signals::libcs_is_adopted());
    engine::tell_of_cancelling(&crate::cancel::HOW);
    match Namespace::select(None) {
        // A loser of this race drops what it opened.
        Ok(ns) => put(ns)?,
        Err(fault) => return Err(fault.for_c()),
    }
    for _ in 0..1000 {
        // SAFETY: as in `engine`.
        if let Some(engine) = unsafe { PLACE.ready.load(Ordering::Acquire).as_ref() } {
            return Ok(engine);
        }
        // SAFETY: no arguments.
        unsafe { sys::syscall4(libc::SYS_sched_yield, 0, 0, 0, 0) };
    }
    Err(Errno::ENOMEM)
}

/// Makes the engine in its place, if nobody has. What a parent was about to make when it forked, its child makes.
#[inline(never)]
fn put(ns: Namespace) -> Result<()> {
    // Before anybody waits for us: it asks the loader, whose lock may be theirs.
    let me = Engine::begin().map_err(|fault| fault.for_c())?;
    engine::critical::enter();
    let maker = PLACE.maker.load(Ordering::Relaxed);
    if maker != me
        && PLACE.ready.load(Ordering::Acquire).is_null()
        && PLACE
            .maker
            .compare_exchange(maker, me, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    {
        // SAFETY: no other thread of this process became its maker, and `ready` leads nobody here yet.
        let place = unsafe { &mut *PLACE.engine.get() };
        PLACE
            .ready
            .store(Engine::new_in(place, ns), Ordering::Release);
    }
    engine::critical::leave();
    Ok(())
}

/// Show `visit` every queue of the namespace, in order of index, whatever its permissions (as
/// `/proc/sysvipc/msg` does). False: there is no namespace, the kernel's file is the answer.
pub fn msg_queues(visit: &mut dyn FnMut(i32, &MsqidDs)) -> bool {
    let Ok(engine) = engine() else { return false };
    let each = engine.each_queue(&mut |msqid, ds| visit(msqid, ds));
    each.is_ok()
}

/// Show `visit` every set of the namespace, likewise for `/proc/sysvipc/sem`.
pub fn sem_sets(visit: &mut dyn FnMut(i32, &SemidDs)) -> bool {
    let Ok(engine) = engine() else { return false };
    let each = engine.each_set(&mut |semid, ds| visit(semid, ds));
    each.is_ok()
}

/// What a limit's file holds.
pub struct LimitText {
    bytes: [u8; 128],
    len: usize,
}

impl LimitText {
    pub fn as_str(&self) -> &str {
        let text = self.bytes.get(..self.len).unwrap_or(&[]);
        core::str::from_utf8(text).unwrap_or("")
    }
}

/// What the limit's file in `/proc/sys/kernel` holds now. `None`: there is no namespace, the
/// kernel's file is the answer.
pub fn limit_text(file: &str) -> Option<LimitText> {
    let mut text = LimitText {
        bytes: [0; 128],
        len: 0,
    };
    let ns = engine().ok()?.namespace();
    ns.with_limit_text(file, |bytes| {
        text.len = bytes.len().min(text.bytes.len());
        text.bytes[..text.len].copy_from_slice(&bytes[..text.len]);
    })
    .ok()?;
    Some(text)
}

/// Calls `visit` with the path of the text file that holds the limit, and returns its result.
/// `None`: there is no namespace, the kernel's file is the answer.
///
/// A program that writes the file leaves its number at the start of it and whatever was longer
/// behind: the first line counts.
pub fn limit_path(file: &str, visit: &mut dyn FnMut(&CStr) -> c_int) -> Option<c_int> {
    engine().ok()?.namespace().with_limit_path(file, visit).ok()
}

/// Opens the text file that holds the limit: a descriptor or `-errno`. `None`: as above.
pub fn open_limit(file: &str, flags: c_int) -> Option<isize> {
    let opened = engine().ok()?.namespace().open_limit(file, flags);
    Some(opened.map_or_else(|errno| -(errno.raw() as isize), |fd| fd as isize))
}

/// A limit's file is about to be written by this process: for a while its text counts.
pub fn limits_opened_for_write(file: &str) {
    if let Ok(engine) = engine() {
        engine.namespace().limit_edited(file);
    }
}

/// The process's (or this thread's) ids, groups or capabilities may have changed.
///
/// In a vfork child this speaks for the child and reaches the parent too: a needless refresh.
pub fn creds_changed() {
    engine::creds_changed();
}

/// A synchronous fault happened at `pc` while this thread was inside a section. If `pc` lies in
/// the routine that copies a program's bytes, the address to go on at (which reports `EFAULT`):
/// then the program's handler does not see the fault, as it would not see it from the kernel.
pub fn fault_fixup(_pc: usize) -> Option<usize> {
    None
}

/// A synchronous fault without a fixup inside a section: the program's handler runs next, with
/// the section's lock held. If it jumps away, the lock stays with a living thread for ever. What is returned is for
/// [`fault_over`], if it returns and the section goes on.
pub fn fault_in_section() -> engine::Interrupted {
    engine::handler_begins()
}

/// The handler has returned; see [`fault_in_section`].
pub fn fault_over(before: &engine::Interrupted) {
    engine::handler_over(before);
}
