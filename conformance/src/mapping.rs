//! Mapped memory by address: what is there, who may touch it, and the calls that change it behind
//! `shmat`'s and `shmdt`'s back.
//!
//! Functions here are safe to call as those of [`Area`](crate::memory::Area) are: scenarios pass
//! addresses of attachments and of mappings made here, which no reference points into. Where they
//! are wrong about what is mapped, the player dies of it, and that is what it is to find out.
#![allow(unsafe_code)]

use crate::call::checked;
use crate::errno::Errno;
use crate::process::last_errno;
use crate::shm::show_address;
use crate::stage::{Outcome, Stage};
use std::ffi::{c_int, c_long, c_void};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

/// A page.
pub const PAGE: usize = 4096;

fn pointer(address: usize) -> *mut c_void {
    std::ptr::with_exposed_provenance_mut(address)
}

/// The word at an address.
pub fn word<'a>(address: usize) -> &'a AtomicU32 {
    assert_eq!(address % 4, 0, "words are aligned");
    // SAFETY: see the file's header; an atomic may be shared with anybody.
    unsafe { &*pointer(address).cast::<AtomicU32>() }
}

/// Reads one byte.
pub fn peek(address: usize) -> u8 {
    // SAFETY: see the file's header.
    unsafe { pointer(address).cast::<u8>().read_volatile() }
}

/// Writes one byte.
pub fn poke(address: usize, byte: u8) {
    // SAFETY: see the file's header.
    unsafe { pointer(address).cast::<u8>().write_volatile(byte) }
}

/// Some bytes, as text.
pub fn text(address: usize, len: usize) -> String {
    let bytes: Vec<u8> = (address..address + len).map(peek).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Writes text.
pub fn write_text(address: usize, text: &str) {
    for (at, byte) in (address..).zip(text.bytes()) {
        poke(at, byte);
    }
}

/// Whether all these bytes are zero.
pub fn is_zero(address: usize, len: usize) -> bool {
    (address..address + len).all(|at| peek(at) == 0)
}

/// What the kernel lets this process do at an address, without dying of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing.
    None,
    /// Read.
    Read,
    /// Read and write.
    Write,
}

/// Asks the kernel to copy one byte from there through a pipe, and back.
pub fn access(address: usize) -> Access {
    let mut pipe = [0; 2];
    // SAFETY: room for two descriptors.
    let ret = unsafe { libc::pipe(pipe.as_mut_ptr()) };
    assert_eq!(ret, 0, "pipe: {}", last_errno());
    // SAFETY: the kernel checks the address itself, and writes the byte that it has read there.
    let (out, back) = unsafe {
        let out = libc::write(pipe[1], pointer(address), 1);
        let back = match out {
            1 => libc::read(pipe[0], pointer(address), 1),
            _ => -1,
        };
        libc::close(pipe[0]);
        libc::close(pipe[1]);
        (out, back)
    };
    match (out, back) {
        (1, 1) => Access::Write,
        (1, _) => Access::Read,
        _ => Access::None,
    }
}

/// A private mapping of zeros to put segments over.
pub fn anonymous(len: usize) -> usize {
    map(
        0,
        len,
        libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
        -1,
        libc::PROT_READ | libc::PROT_WRITE,
    )
    .expect("memory")
}

/// A page of zeros that is shared with the children made from now on.
pub fn shared_page() -> usize {
    let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
    map(0, PAGE, flags, -1, libc::PROT_READ | libc::PROT_WRITE).expect("memory")
}

/// An address where nothing is mapped, with `len` bytes of nothing behind it and before it.
pub fn hole(len: usize) -> usize {
    let base = anonymous(3 * len);
    // SAFETY: our own mapping, just made.
    let ret = unsafe { libc::munmap(pointer(base), 3 * len) };
    assert_eq!(ret, 0, "munmap: {}", last_errno());
    base + len
}

pub(crate) fn map(
    address: usize,
    len: usize,
    flags: c_int,
    fd: c_int,
    protection: c_int,
) -> Result<usize, Errno> {
    // SAFETY: a fresh mapping, or with MAP_FIXED one over what the file's header speaks of.
    checked(|| unsafe { libc::mmap(pointer(address), len, protection, flags, fd, 0) } as c_long)
        .map(|address| address as usize)
}

/// Runs the code at an address: one instruction that returns is expected there.
pub fn run_code(address: usize) {
    // SAFETY: scenarios put a `ret` there first; what may not run kills the player.
    let code = unsafe { std::mem::transmute::<*mut c_void, extern "C" fn()>(pointer(address)) };
    code();
}

/// The machine's instruction that returns.
pub const RET: u8 = 0xC3;

/// `setrlimit`: both limits.
pub fn limit_resource(resource: libc::__rlimit_resource_t, value: u64) {
    let limit = libc::rlimit {
        rlim_cur: value,
        rlim_max: value,
    };
    // SAFETY: the limit lives on this stack.
    let ret = unsafe { libc::setrlimit(resource, &limit) };
    assert_eq!(ret, 0, "setrlimit: {}", last_errno());
}

/// Where a child's fault is told: the address that it is reckoned from.
static BASE: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
static CODE: AtomicU32 = AtomicU32::new(0);
static BOARD: std::sync::atomic::AtomicPtr<crate::board::Board> =
    std::sync::atomic::AtomicPtr::new(std::ptr::null_mut());

extern "C" fn report_fault(_signal: c_int, info: *mut libc::siginfo_t, _context: *mut c_void) {
    // SAFETY: the kernel passes a siginfo of a fault.
    let (code, address) = unsafe { ((*info).si_code, (*info).si_addr() as usize) };
    CODE.store(code as u32, SeqCst);
    let offset = address.wrapping_sub(BASE.load(SeqCst)) as i64;
    // SAFETY: `faults` stored its board there, which lives for ever and is all atomics.
    let board = unsafe { &*BOARD.load(SeqCst) };
    board.value.store(offset, SeqCst);
    crate::process::exit_now(100 + code);
}

impl Stage {
    /// Plays `play` in a child that must die of a `SIGSEGV`: its `si_code`, and the offset of its
    /// `si_addr` from `base`.
    #[track_caller]
    pub fn faults(&self, base: usize, play: impl FnOnce(&Stage)) -> (i32, i64) {
        let child = self.spawn("faulter", |t| {
            BASE.store(base, SeqCst);
            BOARD.store(std::ptr::from_ref(t.board).cast_mut(), SeqCst);
            // SAFETY: a plain C struct, for which zeros are a value; the handler stays within
            // atomics and `_exit`.
            unsafe {
                let mut action: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction = report_fault as *const () as libc::sighandler_t;
                action.sa_flags = libc::SA_SIGINFO;
                libc::sigaction(libc::SIGSEGV, &action, std::ptr::null_mut());
            }
            play(t);
        });
        let ending = crate::process::wait(child.pid, 0);
        let offset = self.board_value(&child);
        match ending {
            Ok(Some((_, crate::process::Ending::Exited(status)))) if status >= 100 => {
                let code = status - 100;
                self.say(format_args!("SIGSEGV, code {code}, at offset {offset}"));
                (code, offset)
            }
            other => panic!("no fault, but {other:?}"),
        }
    }

    fn board_value(&self, player: &impl crate::players::Player) -> i64 {
        player.board().value.load(SeqCst)
    }

    fn done(&self, what: std::fmt::Arguments<'_>, call: impl FnOnce() -> c_int) -> Outcome<()> {
        let call = || checked(|| call().into()).map(drop);
        self.call(what, call, |()| "0".to_owned())
    }

    /// `munmap(address, len)`
    pub fn munmap(&self, address: usize, len: usize) -> Outcome<()> {
        self.done(
            format_args!("munmap({}, {len})", show_address(address)),
            // SAFETY: see the file's header.
            || unsafe { libc::munmap(pointer(address), len) },
        )
    }

    /// `mprotect(address, len, protection)`
    pub fn mprotect(&self, address: usize, len: usize, protection: c_int) -> Outcome<()> {
        self.done(
            format_args!("mprotect({}, {len}, {protection})", show_address(address)),
            // SAFETY: see the file's header.
            || unsafe { libc::mprotect(pointer(address), len, protection) },
        )
    }

    /// `madvise(address, len, advice)`
    pub fn madvise(&self, address: usize, len: usize, advice: c_int) -> Outcome<()> {
        self.done(
            format_args!("madvise({}, {len}, {advice})", show_address(address)),
            // SAFETY: see the file's header.
            || unsafe { libc::madvise(pointer(address), len, advice) },
        )
    }

    /// `mlock(address, len)`
    pub fn mlock(&self, address: usize, len: usize) -> Outcome<()> {
        self.done(
            format_args!("mlock({}, {len})", show_address(address)),
            // SAFETY: see the file's header.
            || unsafe { libc::mlock(pointer(address), len) },
        )
    }

    /// `mseal(address, len)`
    pub fn mseal(&self, address: usize, len: usize) -> Outcome<()> {
        self.done(
            format_args!("mseal({}, {len})", show_address(address)),
            // SAFETY: see the file's header.
            || unsafe { libc::syscall(libc::SYS_mseal, pointer(address), len, 0) as c_int },
        )
    }

    /// `msync(address, len, flags)`
    pub fn msync(&self, address: usize, len: usize, flags: c_int) -> Outcome<()> {
        self.done(
            format_args!("msync({}, {len}, {flags})", show_address(address)),
            // SAFETY: see the file's header.
            || unsafe { libc::msync(pointer(address), len, flags) },
        )
    }

    /// `mremap(address, len, new_len, MREMAP_MAYMOVE)`, or with `MREMAP_FIXED` to `target`.
    pub fn mremap(
        &self,
        address: usize,
        len: usize,
        new_len: usize,
        target: Option<usize>,
    ) -> Outcome<usize> {
        let fixed = target.map_or(0, |_| libc::MREMAP_FIXED);
        let flags = libc::MREMAP_MAYMOVE | fixed;
        let to = pointer(target.unwrap_or(0));
        self.call(
            format_args!(
                "mremap({}, {len}, {new_len}, {flags})",
                show_address(address)
            ),
            || {
                // SAFETY: see the file's header.
                checked(|| unsafe {
                    libc::mremap(pointer(address), len, new_len, flags, to) as c_long
                })
                .map(|address| address as usize)
            },
            |_| "an address".to_owned(),
        )
    }

    /// `mmap(address, len, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED)`
    pub fn map_over(&self, address: usize, len: usize) -> Outcome<usize> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
        self.call(
            format_args!("mmap({}, {len}, MAP_FIXED)", show_address(address)),
            || map(address, len, flags, -1, libc::PROT_READ | libc::PROT_WRITE),
            |_| "there".to_owned(),
        )
    }
}

/// Sleeps on a futex that others share, unless its word has changed from `expected`.
pub fn futex_wait(address: usize, expected: u32) {
    let none = std::ptr::null::<libc::timespec>();
    // SAFETY: an aligned word of an attachment; see the file's header. A wake-up for nothing is
    // made good by the caller's look at the word.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_futex,
            pointer(address),
            libc::FUTEX_WAIT,
            expected,
            none,
        )
    };
    assert!(
        ret == 0 || last_errno().0 == libc::EAGAIN,
        "futex: {}",
        last_errno()
    );
}

/// Wakes who sleeps on a futex.
pub fn futex_wake(address: usize) {
    // SAFETY: as for `futex_wait`.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_futex,
            pointer(address),
            libc::FUTEX_WAKE,
            i32::MAX,
        )
    };
    assert!(ret >= 0, "futex: {}", last_errno());
}

/// Makes a robust mutex there that processes share.
pub fn make_robust_mutex(address: usize) {
    // SAFETY: page-aligned memory with room for a mutex that nobody uses yet; the attributes live
    // on this stack.
    unsafe {
        let mut attributes: libc::pthread_mutexattr_t = std::mem::zeroed();
        libc::pthread_mutexattr_init(&mut attributes);
        libc::pthread_mutexattr_setpshared(&mut attributes, libc::PTHREAD_PROCESS_SHARED);
        libc::pthread_mutexattr_setrobust(&mut attributes, libc::PTHREAD_MUTEX_ROBUST);
        let ret = libc::pthread_mutex_init(pointer(address).cast(), &attributes);
        assert_eq!(ret, 0, "pthread_mutex_init");
    }
}

/// `pthread_mutex_lock` of what `make_robust_mutex` made: its result.
pub fn lock_mutex(address: usize) -> c_int {
    // SAFETY: a mutex was made there.
    unsafe { libc::pthread_mutex_lock(pointer(address).cast()) }
}

/// `process_vm_readv`: bytes of another process, as text.
pub fn peek_other(pid: i32, address: usize, len: usize) -> String {
    let mut bytes = vec![0_u8; len];
    let local = libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: len,
    };
    let remote = libc::iovec {
        iov_base: pointer(address),
        iov_len: len,
    };
    // SAFETY: the buffer has that room; the kernel checks the other's address itself.
    let got = unsafe { libc::process_vm_readv(pid, &local, 1, &remote, 1, 0) };
    assert_eq!(got, len as isize, "process_vm_readv: {}", last_errno());
    String::from_utf8_lossy(&bytes).into_owned()
}
