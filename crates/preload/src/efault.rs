//! `EFAULT` without a system call per call: may this thread read, or write, these bytes?
//!
//! A page is probed once, by a system call that touches it and changes nothing, and remembered in
//! the thread's block (`tls`): page address plus the access that worked. Only good news is kept.
//!
//! - Reading: `rt_sigprocmask` with an invalid `how` copies eight bytes in before it looks at
//!   `how`: `EFAULT` or `EINVAL`.
//! - Writing: `futex(FUTEX_WAKE_OP)` ORs zero into a word: `EFAULT` or no change. It may wake a
//!   futex waiter on that very word, which every futex user must bear anyway.
//!
//! What makes good news stale: `munmap`, `mremap`, an `mprotect` or `pkey_mprotect` that takes access away and an
//! `mmap` over it. All are interposed here and begin a new generation, after the real call;
//! every thread forgets its pages when it sees one. Not seen are mappings that the libc drops for
//! itself (a large `free`, a dead thread's stack), `brk`, and raw system calls: a program that passes such
//! memory has a use after free, which the kernel would answer with `EFAULT` at best, and gets
//! SIGSEGV here. A file mapping truncated under us gives SIGBUS for the same reason. Neither leaves
//! a section open for ever: see `signals`.

use crate::hooks;
use crate::next;
use crate::tls::{self, Block, PAGES};
use core::ffi::{c_int, c_long, c_void};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use engine::{critical, sys};
use libc::{off_t, size_t};

/// Probing grain. Where pages are larger this probes more than needed, never less.
const PAGE: usize = 4096;
/// A page that no program has, and no pointer that it forgot to fill in points to.
const NOWHERE: usize = 0xbada_dd2e_5500_0000;
const READ: u64 = 1;
const WRITE: u64 = 2;
const BOTH: u64 = READ | WRITE;

/// What is asked of a page.
#[derive(Clone, Copy)]
pub enum Need {
    Read = 0,
    Write = 1,
}

/// Counts the times that a remembered page may have lost access. Relaxed: a thread that relies on
/// another's unmapping has synchronised with it, and coherence then shows it the new value. Not 0: that
/// is of a thread that has not looked yet.
static GENERATION: AtomicU64 = AtomicU64::new(1);

/// Whether all of `len` bytes at `addr` can be read.
#[inline]
pub fn readable(addr: usize, len: usize) -> bool {
    accessible(addr, len, READ)
}

/// Whether all of `len` bytes at `addr` can be written.
#[inline]
pub fn writable(addr: usize, len: usize) -> bool {
    accessible(addr, len, WRITE)
}

/// Whether all of `len` bytes at `addr` are known to be readable: no system call. Not known is not
/// a no.
#[inline]
pub fn known_readable(addr: usize, len: usize) -> bool {
    known(addr, len, READ)
}

/// Whether all of `len` bytes at `addr` are known to be writable, likewise.
#[inline]
pub fn known_writable(addr: usize, len: usize) -> bool {
    known(addr, len, WRITE)
}

#[inline(always)]
fn known(addr: usize, len: usize, need: u64) -> bool {
    let tls = tls::block();
    let is_current = tls.generation.load(Ordering::Relaxed) == GENERATION.load(Ordering::Relaxed);
    let page = addr & !(PAGE - 1);
    is_current && is_known(tls, page, need) && {
        // Nearly always it is one page.
        let in_page = PAGE - (addr - page);
        len <= in_page || known_behind(tls, page, len - in_page, need)
    }
}

/// [`known`] of the `len` bytes behind a page.
#[inline(never)]
fn known_behind(tls: &Block, page: usize, len: usize, need: u64) -> bool {
    let pages = (1..=len.div_ceil(PAGE)).map(|n| page.wrapping_add(n * PAGE));
    len < usize::MAX - page - PAGE && pages.into_iter().all(|page| is_known(tls, page, need))
}

#[inline]
fn is_known(tls: &Block, page: usize, need: u64) -> bool {
    let known = tls.pages[(page / PAGE) % PAGES].load(Ordering::Relaxed);
    // Who may write may read: for reading either mark will do.
    known | BOTH ^ need == page as u64 | BOTH
}

/// Forget all pages, in all threads: access to some page was just taken away.
pub fn forget() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    forget_last();
    engine::begin_epoch();
}

/// What [`Place`] knows, of this thread.
fn forget_last() {
    for page in &engine::tls::block().last {
        page.store(NOWHERE, Ordering::Relaxed);
    }
}

/// A `struct msgbuf` of the program's, as far as its place in a page that was used a moment ago goes.
#[derive(Clone, Copy)]
pub struct Place(usize);

impl Place {
    /// By a thread that is alone, with what the engine knows (a ticket): so no other thread has called [`forget`]
    /// since that thread's last [`refresh`].
    #[inline(always)]
    pub fn of(block: &engine::tls::Block, addr: usize, need: Need) -> Place {
        Place(addr ^ block.last[need as usize].load(Ordering::Relaxed))
    }

    /// A place that is not known.
    pub const UNKNOWN: Place = Place(NOWHERE);

    /// Whether the type, and a text of this length, lie in that page.
    #[inline(always)]
    pub fn has(self, len: usize) -> bool {
        const TEXT: usize = PAGE - size_of::<c_long>();
        self.0 <= TEXT && len <= TEXT - self.0
    }
}

/// [`known_readable`], apart.
#[cold]
#[inline(never)]
pub fn known_readable_elsewhere(addr: usize, len: usize) -> bool {
    known_readable(addr, len)
}

/// [`known_writable`], apart.
#[cold]
#[inline(never)]
pub fn known_writable_elsewhere(addr: usize, len: usize) -> bool {
    known_writable(addr, len)
}

/// The page that [`Place`] is asked for next, most likely.
fn remember_last(page: usize, need: u64, generation: u64) {
    // In a section: no handler may forget it in between.
    critical::enter();
    if GENERATION.load(Ordering::Relaxed) == generation {
        let which = if need == READ {
            Need::Read
        } else {
            Need::Write
        };
        engine::tls::block().last[which as usize].store(page, Ordering::Relaxed);
    }
    critical::leave();
}

/// Forgets what other threads have made stale.
pub fn refresh() {
    let tls = tls::block();
    let generation = GENERATION.load(Ordering::Relaxed);
    if tls.generation.load(Ordering::Relaxed) != generation {
        clear(tls, generation);
    }
}

#[inline]
fn accessible(addr: usize, len: usize, need: u64) -> bool {
    if len == 0 {
        // The kernel copies nothing, and looks at nothing.
        return true;
    }
    let Some(last) = addr.checked_add(len - 1) else {
        return false;
    };
    refresh();
    let tls = tls::block();
    let generation = tls.generation.load(Ordering::Relaxed);
    let mut page = addr & !(PAGE - 1);
    let first = page;
    loop {
        if !is_known(tls, page, need) && !probe(tls, page, need, generation) {
            return false;
        }
        if last - page < PAGE {
            remember_last(first, need, generation);
            return true;
        }
        page += PAGE;
    }
}

#[cold]
fn clear(tls: &Block, generation: u64) {
    for page in &tls.pages {
        page.store(0, Ordering::Relaxed);
    }
    forget_last();
    tls.generation.store(generation, Ordering::Relaxed);
}

#[cold]
fn probe(tls: &Block, page: usize, need: u64, generation: u64) -> bool {
    let answer = if need == READ {
        probe_read(page)
    } else {
        probe_write(page)
    };
    if answer == -libc::EFAULT as isize {
        return false;
    }
    // A handler may have begun a new generation since; then the answer may be stale already.
    if tls.generation.load(Ordering::Relaxed) == generation {
        // x86-64 and AArch64 have no user page that can be written and not read.
        let access = if need == READ { READ } else { BOTH };
        tls.pages[(page / PAGE) % PAGES].store(page as u64 | access, Ordering::Relaxed);
    }
    true
}

fn probe_read(page: usize) -> isize {
    const INVALID_HOW: usize = usize::MAX;
    // Not the page's first word: a null pointer means "no new mask", and nothing is copied.
    let word = page + 8;
    // SAFETY: the kernel copies eight bytes from `word` in, or reports EFAULT, and rejects `how`
    // before it changes anything.
    unsafe { sys::syscall4(libc::SYS_rt_sigprocmask, INVALID_HOW, word, 0, 8) }
}

fn probe_write(page: usize) -> isize {
    const FUTEX_OP_OR_0_IF_EQUAL_0: usize = 2 << 28;
    static NOBODY_WAITS: AtomicU32 = AtomicU32::new(0);
    let op = (libc::FUTEX_WAKE_OP | libc::FUTEX_PRIVATE_FLAG) as usize;
    let mine = &raw const NOBODY_WAITS as usize;
    // SAFETY: the kernel ORs zero into the word at `page` atomically, or reports EFAULT; no
    // program can observe that as a write.
    unsafe {
        sys::syscall6(
            libc::SYS_futex,
            [mine, op, 0, 0, page, FUTEX_OP_OR_0_IF_EQUAL_0],
        )
    }
}

/// `munmap(addr, length)`.
///
/// # Safety
/// The C contract of `munmap`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn munmap(addr: *mut c_void, length: size_t) -> c_int {
    let changing = hooks::changing(addr as usize, length);
    let ret = match next::MUNMAP.ready() {
        // SAFETY: the caller's own arguments.
        Some(munmap) => unsafe { munmap(addr, length) },
        None => {
            // SAFETY: the caller's own arguments.
            let raw = unsafe { sys::syscall4(libc::SYS_munmap, addr as usize, length, 0, 0) };
            sys::c_result(raw) as c_int
        }
    };
    if let (0, Some(changing)) = (ret, changing) {
        changing.taken(addr as usize, length);
    }
    forget();
    ret
}

/// `mprotect(addr, length, prot)`.
///
/// # Safety
/// The C contract of `mprotect`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mprotect(addr: *mut c_void, length: size_t, prot: c_int) -> c_int {
    protect(addr as usize, length, prot, || {
        match next::MPROTECT.ready() {
            // SAFETY: the caller's own arguments.
            Some(mprotect) => unsafe { mprotect(addr, length, prot) },
            // SAFETY: the caller's own arguments.
            None => sys::c_result(unsafe {
                sys::syscall4(libc::SYS_mprotect, addr as usize, length, prot as usize, 0)
            }) as c_int,
        }
    })
}

/// `pkey_mprotect(addr, length, prot, pkey)`. What a key takes away later, by a register, no call tells of.
///
/// # Safety
/// The C contract of `pkey_mprotect`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pkey_mprotect(
    addr: *mut c_void,
    length: size_t,
    prot: c_int,
    pkey: c_int,
) -> c_int {
    let ret = protect(addr as usize, length, prot, || {
        match next::PKEY_MPROTECT.ready() {
            // SAFETY: the caller's own arguments.
            Some(pkey_mprotect) => unsafe { pkey_mprotect(addr, length, prot, pkey) },
            // SAFETY: the caller's own arguments.
            None => sys::c_result(unsafe {
                let (at, prot, pkey) = (addr as usize, prot as usize, pkey as usize);
                sys::syscall4(libc::SYS_pkey_mprotect, at, length, prot, pkey)
            }) as c_int,
        }
    });
    // The register may shut it already.
    forget();
    ret
}

/// What changes when `call` gives memory another protection.
fn protect(addr: usize, length: usize, prot: c_int, call: impl FnOnce() -> c_int) -> c_int {
    let changing = hooks::changing(addr, length);
    let ret = call();
    if let Some(changing) = changing {
        match ret {
            0 => changing.flagged(addr, length, engine::Flags::protection(prot)),
            _ => partly_protected(&changing, addr, length, prot),
        }
    }
    if prot & (libc::PROT_READ | libc::PROT_WRITE) != libc::PROT_READ | libc::PROT_WRITE {
        forget();
    }
    ret
}

/// `mprotect` has changed what lies before a hole, and before what may not be so.
#[cold]
fn partly_protected(changing: &engine::Changing<'_>, addr: usize, length: usize, prot: c_int) {
    let errno = sys::errno().get();
    if matches!(errno, libc::ENOMEM | libc::EACCES) {
        changing.partly_protected(addr, length, prot);
    }
    sys::errno().set(errno);
}

/// `mremap(old_addr, old_size, new_size, flags, new_addr)`; variadic in C, see `procfs`.
///
/// # Safety
/// The C contract of `mremap`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mremap(
    old_addr: *mut c_void,
    old_size: size_t,
    new_size: size_t,
    flags: c_int,
    new_addr: *mut c_void,
) -> *mut c_void {
    // A length of zero means: map it a second time.
    let changing = hooks::changing(old_addr as usize, old_size.max(1)).or_else(|| {
        let fixed = flags & libc::MREMAP_FIXED != 0;
        fixed.then(|| hooks::changing(new_addr as usize, new_size))?
    });
    let ret = match next::MREMAP.ready() {
        // SAFETY: the caller's own arguments.
        Some(mremap) => unsafe { mremap(old_addr, old_size, new_size, flags, new_addr) },
        // SAFETY: the caller's own arguments.
        None => sys::c_result(unsafe {
            sys::syscall6(
                libc::SYS_mremap,
                [
                    old_addr as usize,
                    old_size,
                    new_size,
                    flags as usize,
                    new_addr as usize,
                    0,
                ],
            )
        }) as *mut c_void,
    };
    if let (true, Some(changing)) = (ret != libc::MAP_FAILED, changing) {
        let (old, new) = ((old_addr as usize, old_size), (ret as usize, new_size));
        changing.moved(old, new, flags & libc::MREMAP_DONTUNMAP != 0);
    }
    forget();
    ret
}

/// `mmap(addr, length, prot, flags, fd, offset)`.
///
/// # Safety
/// The C contract of `mmap`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mmap(
    addr: *mut c_void,
    length: size_t,
    prot: c_int,
    flags: c_int,
    fd: c_int,
    offset: off_t,
) -> *mut c_void {
    let changing = match flags & libc::MAP_FIXED {
        0 => None,
        _ => hooks::changing(addr as usize, length),
    };
    let ret = match next::MMAP.ready() {
        // SAFETY: the caller's own arguments.
        Some(mmap) => unsafe { mmap(addr, length, prot, flags, fd, offset) },
        // SAFETY: the caller's own arguments.
        None => sys::c_result(unsafe {
            sys::syscall6(
                libc::SYS_mmap,
                [
                    addr as usize,
                    length,
                    prot as usize,
                    flags as usize,
                    fd as usize,
                    offset as usize,
                ],
            )
        }) as *mut c_void,
    };
    if let (true, Some(changing)) = (ret != libc::MAP_FAILED, changing) {
        changing.taken(addr as usize, length);
    }
    if flags & libc::MAP_FIXED != 0 {
        forget();
    }
    ret
}

/// `mmap64`: the same function where `off_t` has 64 bits.
///
/// # Safety
/// The C contract of `mmap`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mmap64(
    addr: *mut c_void,
    length: size_t,
    prot: c_int,
    flags: c_int,
    fd: c_int,
    offset: off_t,
) -> *mut c_void {
    // SAFETY: the caller's own arguments.
    unsafe { mmap(addr, length, prot, flags, fd, offset) }
}
