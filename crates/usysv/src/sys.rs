//! Raw system calls: the kernel's answer as it comes, `-errno` on failure.
//!
//! Owns the one place with the system-call instruction. Nothing here touches `errno`, is a
//! cancellation point or calls the libc, so all of it is safe in a signal handler and before the
//! libc is initialised.

#![allow(unsafe_code)]

pub(crate) use crate::clock::{monotonic_ms, monotonic_ns, time};
use crate::endless;
use crate::environment;
use crate::errno::{Errno, Result};
use core::arch::asm;
use core::ffi::CStr;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicIsize, AtomicU32, AtomicUsize, Ordering::Relaxed};

/// The system call `nr` with six arguments.
///
/// # Safety
/// The caller upholds what the call `nr` asks of its arguments; one that writes memory gets
/// memory that may be written.
#[inline]
#[cfg(target_arch = "x86_64")]
pub unsafe fn syscall6(nr: i64, args: [usize; 6]) -> isize {
    let ret: isize;
    // SAFETY: the kernel's ABI: arguments in these registers, rcx and r11 are lost; the caller
    // vouches for the call itself.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") nr as isize => ret,
            in("rdi") args[0],
            in("rsi") args[1],
            in("rdx") args[2],
            in("r10") args[3],
            in("r8") args[4],
            in("r9") args[5],
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack)
        );
    }
    ret
}

/// The system call `nr` with six arguments.
///
/// # Safety
/// The caller upholds what the call `nr` asks of its arguments; one that writes memory gets
/// memory that may be written.
#[inline]
#[cfg(target_arch = "aarch64")]
pub unsafe fn syscall6(nr: i64, args: [usize; 6]) -> isize {
    let ret: isize;
    // SAFETY: the kernel's ABI: number in x8, arguments in x0..x5; the caller vouches for the
    // call itself.
    unsafe {
        asm!(
            "svc 0",
            in("x8") nr,
            inlateout("x0") args[0] as isize => ret,
            in("x1") args[1],
            in("x2") args[2],
            in("x3") args[3],
            in("x4") args[4],
            in("x5") args[5],
            options(nostack)
        );
    }
    ret
}

/// The system call `nr` with at most four arguments.
///
/// # Safety
/// As for [`syscall6`].
#[inline]
pub unsafe fn syscall4(nr: i64, a: usize, b: usize, c: usize, d: usize) -> isize {
    // SAFETY: the caller's promise is the same.
    unsafe { syscall6(nr, [a, b, c, d, 0, 0]) }
}

/// This thread's `errno`, to set it or to keep it over a libc call.
pub fn errno() -> &'static core::cell::Cell<i32> {
    // SAFETY: __errno_location points at this thread's int for as long as the thread lives, and a
    // Cell reference cannot reach another thread.
    unsafe { &*libc::__errno_location().cast() }
}

/// The C convention for a raw answer: itself, or -1 and `errno`.
pub fn c_result(raw: isize) -> isize {
    if (-4095..0).contains(&raw) {
        errno().set(-raw as i32);
        return -1;
    }
    raw
}

/// A raw answer as a `Result`.
pub(crate) fn result(raw: isize) -> Result<usize> {
    if (-4095..0).contains(&raw) {
        return Err(Errno::from_raw(-raw as i32));
    }
    Ok(raw as usize)
}

/// A system call whose arguments are numbers, or pointers that the caller vouches for.
macro_rules! call {
    ($nr:ident $(, $arg:expr)*) => {{
        let given: &[usize] = &[$($arg as usize),*];
        let mut args = [0usize; 6];
        for (arg, value) in args.iter_mut().zip(given) {
            *arg = *value;
        }
        // SAFETY: numbers, and pointers to live values of the size that the call expects, made
        // from references by the wrappers in this file.
        crate::sys::result(unsafe { crate::sys::syscall6(libc::$nr, args) })
    }};
}

/// A descriptor that closes itself. Held for the length of one call only: programs close and
/// reuse every number.
pub(crate) struct Fd(i32);

impl Drop for Fd {
    fn drop(&mut self) {
        let _ = call!(SYS_close, self.0);
    }
}

impl Fd {
    /// A number that somebody else closes from now on.
    pub fn into_raw(self) -> i32 {
        let fd = self.0;
        core::mem::forget(self);
        fd
    }

    pub fn raw(&self) -> i32 {
        self.0
    }

    /// A number from [`Fd::into_raw`].
    pub fn from_raw(fd: i32) -> Fd {
        Fd(fd)
    }
}

pub(crate) fn open(path: &CStr, flags: i32, mode: u32) -> Result<Fd> {
    let flags = flags | libc::O_CLOEXEC | libc::O_NOFOLLOW | libc::O_NONBLOCK;
    call!(SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags, mode).map(|fd| Fd(fd as i32))
}

pub(crate) fn fstat(fd: &Fd) -> Result<libc::stat> {
    let mut st = MaybeUninit::<libc::stat>::uninit();
    call!(SYS_fstat, fd.0, st.as_mut_ptr())?;
    // SAFETY: the kernel filled it.
    Ok(unsafe { st.assume_init() })
}

/// `stat` of the name itself, never of what a link points to.
pub(crate) fn lstat(path: &CStr) -> Result<libc::stat> {
    lstat_at(libc::AT_FDCWD, path)
}

/// [`lstat`] of a name in an open directory.
pub(crate) fn lstat_in(directory: &Fd, name: &CStr) -> Result<libc::stat> {
    lstat_at(directory.0, name)
}

fn lstat_at(directory: i32, name: &CStr) -> Result<libc::stat> {
    let mut st = MaybeUninit::<libc::stat>::uninit();
    let (at, flags) = (st.as_mut_ptr(), libc::AT_SYMLINK_NOFOLLOW);
    call!(SYS_newfstatat, directory, name.as_ptr(), at, flags)?;
    // SAFETY: the kernel filled it.
    Ok(unsafe { st.assume_init() })
}

pub(crate) fn read(fd: &Fd, buf: &mut [u8], offset: u64) -> Result<usize> {
    call!(SYS_pread64, fd.0, buf.as_mut_ptr(), buf.len(), offset)
}

/// EFBIG: further than the process may write to files, which would be SIGXFSZ.
pub(crate) fn write(fd: &Fd, buf: &[u8], offset: u64) -> Result<usize> {
    may_reach(offset + buf.len() as u64)?;
    call!(SYS_pwrite64, fd.0, buf.as_ptr(), buf.len(), offset)
}

/// EFBIG: longer than the process's files may be, which would be SIGXFSZ.
pub(crate) fn ftruncate(fd: &Fd, len: u64) -> Result<()> {
    may_reach(len)?;
    call!(SYS_ftruncate, fd.0, len).map(drop)
}

/// EFBIG: a file may not be made this long without SIGXFSZ.
pub(crate) fn may_reach(end: u64) -> Result<()> {
    match end > 0 && soft_limit(libc::RLIMIT_FSIZE).is_ok_and(|most| end > most) {
        true => Err(Errno::EFBIG),
        false => Ok(()),
    }
}

/// [`open`] of a name in an open directory.
pub(crate) fn open_in(directory: &Fd, name: &CStr, flags: i32, mode: u32) -> Result<Fd> {
    let flags = flags | libc::O_CLOEXEC | libc::O_NOFOLLOW | libc::O_NONBLOCK;
    call!(SYS_openat, directory.0, name.as_ptr(), flags, mode).map(|fd| Fd(fd as i32))
}

/// Opens a path in which there is no link. ELOOP: there is one; ENOSYS: before Linux 5.6.
pub(crate) fn open_without_links(path: &CStr, flags: i32, mode: u32) -> Result<Fd> {
    const RESOLVE_NO_SYMLINKS: u64 = 4;
    let flags = flags | libc::O_CLOEXEC | libc::O_NOFOLLOW;
    let how = [flags as u64, u64::from(mode), RESOLVE_NO_SYMLINKS];
    let size = size_of_val(&how);
    call!(
        SYS_openat2,
        libc::AT_FDCWD,
        path.as_ptr(),
        how.as_ptr(),
        size
    )
    .map(|fd| Fd(fd as i32))
}

/// Makes the first `len` bytes really there. False: this file system cannot.
pub(crate) fn fallocate(fd: &Fd, len: u64) -> Result<bool> {
    fallocate_at(fd, 0, len)
}

/// Makes `len` bytes from an offset on really there. False: this file system cannot.
pub(crate) fn fallocate_at(fd: &Fd, offset: u64, len: u64) -> Result<bool> {
    loop {
        match call!(SYS_fallocate, fd.0, 0, offset, len) {
            Ok(_) => return Ok(true),
            Err(Errno::EOPNOTSUPP) => return Ok(false),
            Err(Errno::EINTR) => {}
            Err(e) => return Err(e),
        }
    }
}

pub(crate) fn fchmod(fd: &Fd, mode: u32) -> Result<()> {
    call!(SYS_fchmod, fd.0, mode).map(drop)
}

/// The flags of a program's `open` that a descriptor has, in place of our own.
pub(crate) fn set_flags(fd: &Fd, flags: i32) -> Result<()> {
    let on_exec = if flags & libc::O_CLOEXEC != 0 {
        libc::FD_CLOEXEC
    } else {
        0
    };
    call!(SYS_fcntl, fd.0, libc::F_SETFL, flags)?;
    call!(SYS_fcntl, fd.0, libc::F_SETFD, on_exec).map(drop)
}

pub(crate) fn flock(fd: &Fd, how: i32) -> Result<()> {
    call!(SYS_flock, fd.0, how).map(drop)
}

pub(crate) fn mkdir(directory: &Fd, name: &CStr, mode: u32) -> Result<()> {
    call!(SYS_mkdirat, directory.0, name.as_ptr(), mode).map(drop)
}

pub(crate) fn unlink(directory: &Fd, name: &CStr, how: i32) -> Result<()> {
    call!(SYS_unlinkat, directory.0, name.as_ptr(), how).map(drop)
}

/// A link that holds a text; fails when the name is taken.
pub(crate) fn symlink(text: &CStr, directory: &Fd, name: &CStr) -> Result<()> {
    call!(SYS_symlinkat, text.as_ptr(), directory.0, name.as_ptr()).map(drop)
}

/// The text of a link. EINVAL: not a link.
pub(crate) fn readlink(path: &CStr, text: &mut [u8]) -> Result<usize> {
    readlink_at(libc::AT_FDCWD, path, text)
}

/// [`readlink`] of a name in an open directory.
pub(crate) fn readlink_in(directory: &Fd, name: &CStr, text: &mut [u8]) -> Result<usize> {
    readlink_at(directory.0, name, text)
}

fn readlink_at(directory: i32, name: &CStr, text: &mut [u8]) -> Result<usize> {
    let (at, len) = (text.as_mut_ptr(), text.len());
    call!(SYS_readlinkat, directory, name.as_ptr(), at, len)
}

/// Another name for a file; fails when the name is taken.
pub(crate) fn rename_new(directory: &Fd, from: &CStr, to: &CStr) -> Result<()> {
    const RENAME_NOREPLACE: u32 = 1;
    let (at, how) = (directory.0, RENAME_NOREPLACE);
    match call!(SYS_renameat2, at, from.as_ptr(), at, to.as_ptr(), how) {
        // A file system that cannot, or an older kernel.
        Err(Errno::EINVAL | Errno::ENOSYS) => {
            call!(SYS_linkat, at, from.as_ptr(), at, to.as_ptr(), 0)?;
            unlink(directory, from, 0)
        }
        other => other.map(drop),
    }
}

/// Sets a mode, and follows links: for a path through /proc only.
pub(crate) fn chmod(path: &CStr, mode: u32) -> Result<()> {
    call!(SYS_fchmodat, libc::AT_FDCWD, path.as_ptr(), mode).map(drop)
}

/// Sets an access list, likewise.
pub(crate) fn set_acl(path: &CStr, acl: &[u8]) -> Result<()> {
    let name = c"system.posix_acl_access";
    let (path, name, at) = (path.as_ptr(), name.as_ptr(), acl.as_ptr());
    call!(SYS_setxattr, path, name, at, acl.len(), 0).map(drop)
}

pub(crate) fn getdents(fd: &Fd, buf: &mut [u8]) -> Result<usize> {
    call!(SYS_getdents64, fd.0, buf.as_mut_ptr(), buf.len())
}

pub(crate) fn getpid() -> u32 {
    call!(SYS_getpid).unwrap_or(0) as u32
}

pub(crate) fn getppid() -> u32 {
    call!(SYS_getppid).unwrap_or(0) as u32
}

pub(crate) fn gettid() -> u32 {
    call!(SYS_gettid).unwrap_or(0) as u32
}

pub(crate) fn geteuid() -> u32 {
    call!(SYS_geteuid).unwrap_or(0) as u32
}

pub(crate) fn getegid() -> u32 {
    call!(SYS_getegid).unwrap_or(0) as u32
}

pub(crate) fn getgroups(groups: &mut [u32]) -> Result<usize> {
    call!(SYS_getgroups, groups.len(), groups.as_mut_ptr())
}

/// The effective capabilities of this thread, as a bit set.
pub(crate) fn capabilities() -> u64 {
    let header = [0x2008_0522u32, 0];
    let mut data = [0u32; 6];
    match call!(SYS_capget, header.as_ptr(), data.as_mut_ptr()) {
        Ok(_) => u64::from(data[0]) | u64::from(data[3]) << 32,
        Err(_) => 0,
    }
}

/// Whether a process or thread has this id (a zombie has it too). A foreign one counts.
pub(crate) fn exists(tid: u32) -> bool {
    tid != 0 && call!(SYS_kill, tid, 0) != Err(Errno::ESRCH)
}

pub(crate) fn sched_yield() {
    let _ = call!(SYS_sched_yield);
}

/// For [`futex_wait`]: without a clock.
pub(crate) const FOREVER: u64 = u64::MAX;

/// Sleeps while `word` is `expected`, at most `timeout_ns`.
///
/// Only with a timeout is a wait that a handler interrupted EINTR whatever `SA_RESTART` says, as System
/// V calls must be: without one it may begin again (see `endless`), and whoever relies on EINTR changes the word.
pub(crate) fn futex_wait(word: &AtomicU32, expected: u32, timeout_ns: u64) -> Result<()> {
    if timeout_ns == FOREVER {
        return result(endless::wait(word, expected)).map(drop);
    }
    let time = libc::timespec {
        tv_sec: (timeout_ns / 1_000_000_000) as i64,
        tv_nsec: (timeout_ns % 1_000_000_000) as i64,
    };
    let at = core::ptr::from_ref(word);
    call!(SYS_futex, at, libc::FUTEX_WAIT, expected, &raw const time).map(drop)
}

/// Sleeps while all words are as expected, at most `timeout_ns`. ENOSYS: before Linux 5.16.
///
/// Starts again after a handler with `SA_RESTART`: whoever relies on EINTR changes a word.
pub(crate) fn futex_wait_any<const N: usize>(
    words: [(&AtomicU32, u32); N],
    timeout_ns: u64,
) -> Result<()> {
    #[repr(C)]
    struct Waiter {
        val: u64,
        uaddr: u64,
        flags: u32,
        reserved: u32,
    }
    const FUTEX2_SIZE_U32: u32 = 2;
    let waiters = words.map(|(word, val)| Waiter {
        val: u64::from(val),
        uaddr: core::ptr::from_ref(word) as u64,
        flags: FUTEX2_SIZE_U32,
        reserved: 0,
    });
    let until = monotonic_ns().saturating_add(timeout_ns);
    let until = libc::timespec {
        tv_sec: (until / 1_000_000_000) as i64,
        tv_nsec: (until % 1_000_000_000) as i64,
    };
    call!(
        SYS_futex_waitv,
        waiters.as_ptr(),
        waiters.len(),
        0,
        &raw const until,
        libc::CLOCK_MONOTONIC
    )
    .map(drop)
}

/// As many sleepers as there are.
pub(crate) const ALL: u32 = i32::MAX as u32;

/// Wakes at most `count` sleepers; the number woken.
pub(crate) fn futex_wake(word: &AtomicU32, count: u32) -> usize {
    let at = core::ptr::from_ref(word);
    call!(SYS_futex, at, libc::FUTEX_WAKE, count).unwrap_or(0)
}

/// `clock_gettime` as a system call: see `clock`.
pub(crate) fn clock_gettime(clock: libc::clockid_t, now: *mut libc::timespec) {
    // A clock that is none leaves what is there.
    let _ = call!(SYS_clock_gettime, clock, now);
}

/// The address of a symbol of any loaded library, or null. `errno` stays as it was.
pub(crate) fn symbol(name: &CStr) -> *mut libc::c_void {
    let kept = errno().get();
    // SAFETY: a C string.
    let at = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    errno().set(kept);
    at
}

/// Where the engine's own mappings go, so that none lies where a program has just found room for
/// one of its own: far below the stack, one after the other. A wish: 0 is anywhere.
fn own_place(len: usize) -> usize {
    const FAR: usize = 1 << 40;
    const WINDOW: usize = 1 << 38;
    static FIRST: AtomicUsize = AtomicUsize::new(0);
    static USED: AtomicUsize = AtomicUsize::new(0);
    let mut first = FIRST.load(Relaxed);
    if first == 0 {
        let stack = &raw const len as usize;
        first = stack.checked_sub(FAR).map_or(1, |at| at & !0xffff);
        FIRST.store(first, Relaxed);
    }
    let before = USED.fetch_add(len.next_multiple_of(4096), Relaxed) % WINDOW;
    first.saturating_sub(WINDOW - before)
}

/// Anonymous zeroed private memory: the process's own tables, which are never given back.
pub fn private_memory(len: usize) -> Result<*mut u8> {
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    call!(SYS_mmap, own_place(len), len, prot, flags, usize::MAX, 0).map(|at| at as *mut u8)
}

/// Words, zero at first, for a moment: what is too large for a small stack.
pub(crate) struct Words {
    at: *mut u64,
    count: usize,
}

impl Words {
    pub fn new(count: usize) -> Result<Words> {
        let at = private_memory(count * size_of::<u64>())?.cast();
        Ok(Words { at, count })
    }

    pub fn as_mut(&mut self) -> &mut [u64] {
        // SAFETY: so many were mapped, for this alone, and any bytes are words.
        unsafe { core::slice::from_raw_parts_mut(self.at, self.count) }
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        unmap(self.at.cast(), self.count * size_of::<u64>());
    }
}

/// Anonymous zeroed memory that fork children share.
pub(crate) fn shared_memory(len: usize) -> Result<*mut u8> {
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
    call!(SYS_mmap, own_place(len), len, prot, flags, usize::MAX, 0).map(|at| at as *mut u8)
}

/// `mmap(MAP_SHARED)` of the first `len` bytes, at an address; where it is.
///
/// # Safety
/// With `MAP_FIXED` in `how`, nobody uses the memory that is replaced.
pub(crate) unsafe fn map_at(
    addr: usize,
    len: usize,
    prot: i32,
    how: i32,
    fd: &Fd,
) -> Result<usize> {
    call!(SYS_mmap, addr, len, prot, libc::MAP_SHARED | how, fd.0, 0)
}

/// Maps the first page of a file.
pub(crate) fn map_page(fd: &Fd, prot: i32) -> Result<usize> {
    let (len, how) = (4096, libc::MAP_SHARED | libc::MAP_NORESERVE);
    call!(SYS_mmap, own_place(len), len, prot, how, fd.0, 0)
}

/// Maps `len` bytes of the file that a shared mapping is of, from there on, wherever there is room.
pub(crate) fn map_again(shared: usize, len: usize) -> Result<usize> {
    call!(SYS_mremap, shared, 0, len, libc::MREMAP_MAYMOVE)
}

/// Maps nothing to a free range, so that nobody else maps something there.
pub(crate) fn keep_free(addr: usize, len: usize) -> Result<usize> {
    let how =
        libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED_NOREPLACE;
    call!(SYS_mmap, addr, len, libc::PROT_NONE, how, usize::MAX, 0)
}

fn statfs(path: &CStr) -> Result<libc::statfs> {
    let mut st = MaybeUninit::<libc::statfs>::uninit();
    call!(SYS_statfs, path.as_ptr(), st.as_mut_ptr())?;
    // SAFETY: the kernel filled it.
    Ok(unsafe { st.assume_init() })
}

/// Bytes that are free on the file system of this path.
pub(crate) fn free_bytes(path: &CStr) -> Result<u64> {
    let st = statfs(path)?;
    // A tmpfs without a limit says 0 of 0.
    if st.f_blocks == 0 {
        return Ok(u64::MAX);
    }
    Ok(st.f_bavail.saturating_mul(st.f_bsize as u64))
}

/// The page size of the hugetlbfs at a path. `None`: it is none.
pub(crate) fn huge_page_size(path: &CStr) -> Option<u64> {
    let st = statfs(path).ok()?;
    (st.f_type == libc::HUGETLBFS_MAGIC).then_some(st.f_bsize as u64)
}

/// A number that nobody else gets.
pub(crate) fn random() -> Result<u64> {
    let mut bytes = [0u8; 8];
    let len = call!(SYS_getrandom, bytes.as_mut_ptr(), bytes.len(), 0)?;
    // 59 bits: 18 decimal digits hold them.
    let number = u64::from_le_bytes(bytes) >> 5;
    (len == bytes.len()).then_some(number).ok_or(Errno::EIO)
}

/// `RLIMIT_MEMLOCK`, in bytes.
pub(crate) fn memlock_limit() -> u64 {
    soft_limit(libc::RLIMIT_MEMLOCK).unwrap_or(0)
}

fn soft_limit(resource: libc::__rlimit_resource_t) -> Result<u64> {
    let mut limit = [0u64; 2];
    let none = core::ptr::null::<u64>();
    call!(SYS_prlimit64, 0, resource, none, limit.as_mut_ptr())?;
    Ok(limit[0])
}

/// `mmap(MAP_SHARED)` of the first `len` bytes.
pub(crate) fn map_shared(fd: &Fd, len: usize, writable: bool) -> Result<*mut u8> {
    let prot = if writable {
        libc::PROT_READ | libc::PROT_WRITE
    } else {
        libc::PROT_READ
    };
    call!(
        SYS_mmap,
        own_place(len),
        len,
        prot,
        libc::MAP_SHARED,
        fd.0,
        0
    )
    .map(|at| at as *mut u8)
}

pub fn unmap(at: *mut u8, len: usize) {
    let _ = munmap(at, len);
}

/// EPERM: `mseal`.
pub(crate) fn munmap(at: *mut u8, len: usize) -> Result<()> {
    call!(SYS_munmap, at, len).map(drop)
}

pub(crate) fn madvise(at: *mut u8, len: usize, advice: i32) -> Result<()> {
    call!(SYS_madvise, at, len, advice).map(drop)
}

/// The robust-list head that the libc registered for this thread, or null.
pub(crate) fn robust_list() -> Result<*mut u8> {
    let (mut head, mut len) = (core::ptr::null_mut::<u8>(), 0usize);
    call!(SYS_get_robust_list, 0, &raw mut head, &raw mut len)?;
    Ok(head)
}

/// Registers a robust-list head for this thread.
pub(crate) fn set_robust_list(head: usize) -> Result<()> {
    call!(SYS_set_robust_list, head, 24).map(drop)
}

pub(crate) fn set_signal_mask(mask: u64) {
    let _ = call!(SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const mask, 0, 8);
}

/// The kernel's `struct sigaction`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct SignalAction {
    pub handler: usize,
    pub flags: u64,
    restorer: usize,
    mask: u64,
}

/// What a signal does in this process, and then sets it. Without the libc, in front of which
/// another library may stand.
pub(crate) fn signal_action(sig: i32, new: Option<&SignalAction>) -> Result<SignalAction> {
    let mut old = SignalAction {
        handler: 0,
        flags: 0,
        restorer: 0,
        mask: 0,
    };
    let new = new.map(|new| {
        let mut new = *new;
        give_restorer(&mut new);
        new
    });
    let at = new.as_ref().map_or(core::ptr::null(), core::ptr::from_ref);
    call!(SYS_rt_sigaction, sig, at, &raw mut old, 8)?;
    Ok(old)
}

/// How a handler returns to the kernel; the libc's own, where there is one.
#[cfg(target_arch = "x86_64")]
fn give_restorer(action: &mut SignalAction) {
    const SA_RESTORER: u64 = 0x0400_0000;
    unsafe extern "C" {
        fn usysv_engine_restorer();
    }
    if action.flags & SA_RESTORER == 0 {
        action.flags |= SA_RESTORER;
        action.restorer = usysv_engine_restorer as *const () as usize;
    }
}

#[cfg(target_arch = "x86_64")]
core::arch::global_asm!(
    ".pushsection .text.usysv_engine_restorer,\"ax\",@progbits",
    ".p2align 4",
    "nop", // debuggers look for the call number one byte before the return address
    ".globl usysv_engine_restorer",
    ".hidden usysv_engine_restorer",
    ".type usysv_engine_restorer, @function",
    "usysv_engine_restorer:",
    "mov rax, {nr}",
    "syscall",
    ".popsection",
    nr = const libc::SYS_rt_sigreturn,
);

/// The kernel's own page has it.
#[cfg(target_arch = "aarch64")]
fn give_restorer(_: &mut SignalAction) {}

/// Sends a signal with this siginfo to this very thread.
pub(crate) fn queue_to_self(sig: i32, info: *const u8) {
    let (pid, tid) = (getpid(), gettid());
    if call!(SYS_rt_tgsigqueueinfo, pid, tid, sig, info).is_err() {
        let _ = call!(SYS_tgkill, pid, tid, sig);
    }
}

/// Puts private zeroes in the place of what is mapped.
///
/// # Safety
/// Whoever uses the memory takes any bytes there for possible.
pub(crate) unsafe fn zero_at(addr: usize, len: usize, prot: i32) -> Result<()> {
    let how = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED;
    call!(SYS_mmap, addr, len, prot, how, usize::MAX, 0).map(drop)
}

/// Whether this is a directory that the caller may make files in.
pub(crate) fn usable_directory(path: &[u8]) -> bool {
    let (here, how) = (libc::AT_FDCWD, libc::W_OK | libc::X_OK);
    let usable = |path: &CStr| {
        let asked = call!(SYS_faccessat2, here, path.as_ptr(), how, libc::AT_EACCESS);
        asked.or_else(|_| call!(SYS_faccessat, here, path.as_ptr(), how))
    };
    let mut path = crate::path::Path::at(path);
    path.push(b"/.").and_then(|()| path.with_c(usable)).is_ok()
}

/// Whether /proc is mounted.
pub(crate) fn has_proc() -> bool {
    lstat(c"/proc/self").is_ok()
}

/// From the thread pointer to the word in which the kernel keeps this thread's CPU (`rseq(2)`); 0:
/// the libc registers none.
static CPU_AT: AtomicIsize = AtomicIsize::new(0);

/// Finds the word that [`cpu`] reads.
pub(crate) fn find_cpu_word() {
    let (offset, size) = (symbol(c"__rseq_offset"), symbol(c"__rseq_size"));
    // SAFETY: glibc's `const ptrdiff_t __rseq_offset` and `const unsigned int __rseq_size`, where
    // it has them; a size of 0 says that nothing is registered.
    if !offset.is_null() && !size.is_null() && unsafe { size.cast::<u32>().read() } != 0 {
        // SAFETY: as above. `cpu_id` is the second word of `struct rseq`.
        CPU_AT.store(unsafe { offset.cast::<isize>().read() } + 4, Relaxed);
    }
}

/// The CPU that this thread runs on, which may change at once.
#[inline]
pub(crate) fn cpu() -> u32 {
    match CPU_AT.load(Relaxed) {
        #[cfg(target_arch = "x86_64")]
        at if at != 0 => {
            let cpu: u32;
            // SAFETY: reads the word that `find_cpu_word` found in every thread's block.
            unsafe {
                core::arch::asm!(
                    "mov {cpu:e}, dword ptr fs:[{at}]",
                    cpu = out(reg) cpu,
                    at = in(reg) at,
                    options(nostack, readonly, preserves_flags)
                );
            }
            cpu
        }
        _ => asked_cpu(),
    }
}

#[cold]
#[inline(never)]
fn asked_cpu() -> u32 {
    // SAFETY: no arguments.
    unsafe { libc::sched_getcpu() as u32 }
}

/// Whether a call may look for a while before it sleeps: unless `USYSV_SPIN` is 0. Asked once.
#[inline]
pub(crate) fn spins() -> bool {
    const YES: u32 = 1;
    const NO: u32 = 2;
    static KNOWN: AtomicU32 = AtomicU32::new(0);
    match KNOWN.load(Relaxed) {
        0 => {
            let spins =
                environment::value(c"USYSV_SPIN").is_none_or(|value| value.to_bytes() != b"0");
            KNOWN.store(if spins { YES } else { NO }, Relaxed);
            spins
        }
        known => known == YES,
    }
}

/// Lets about this time pass without giving the CPU away.
pub(crate) fn pause(ns: u64) {
    let until = monotonic_ns() + ns;
    while monotonic_ns() < until {
        for _ in 0..8 {
            core::hint::spin_loop();
        }
    }
}
