//! POSIX's and Linux's own means of passing messages and turns, and memory that forks share.
#![allow(unsafe_code)]

use crate::case::{impossible, wrong};
use std::cell::UnsafeCell;
use std::ffi::CString;
use std::io::{Error, Result};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

fn check(result: i32) -> Result<i32> {
    match result {
        0.. => Ok(result),
        _ => Err(Error::last_os_error()),
    }
}

/// A length, or `None` for the given errno.
fn length_unless(got: isize, nothing: i32) -> Result<Option<usize>> {
    match usize::try_from(got) {
        Ok(got) => Ok(Some(got)),
        Err(_) => match Error::last_os_error() {
            error if error.raw_os_error() == Some(nothing) => Ok(None),
            error => Err(error),
        },
    }
}

/// A POSIX message queue without a name, closed when it goes out of scope.
pub struct Mq(libc::mqd_t);

impl Mq {
    /// A queue for `depth` messages of at most `len` bytes.
    pub fn new(depth: usize, len: usize) -> Result<Mq> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        // The worker's own IPC namespace has its own limit, of 10. Without one mq_open tells.
        let _ignored = std::fs::write("/proc/sys/fs/mqueue/msg_max", depth.to_string());
        let name = CString::new(format!("/usysv-bench.{}.{count}", std::process::id()))?;
        // SAFETY: mq_attr is made of integers, for which zero is a valid value.
        let mut attributes: libc::mq_attr = unsafe { std::mem::zeroed() };
        attributes.mq_maxmsg = depth as i64;
        attributes.mq_msgsize = len as i64;
        let flags = libc::O_CREAT | libc::O_EXCL | libc::O_RDWR;
        // SAFETY: a C string, and for O_CREAT a mode and attributes, which are only read.
        let queue = unsafe { libc::mq_open(name.as_ptr(), flags, 0o600, &raw mut attributes) };
        if queue < 0 {
            let error = Error::last_os_error();
            return Err(match error.raw_os_error() {
                Some(libc::EINVAL | libc::EMFILE) => {
                    impossible(format!("a queue for {depth} messages takes root: {error}"))
                }
                _ => error,
            });
        }
        // SAFETY: a C string, which is only read.
        check(unsafe { libc::mq_unlink(name.as_ptr()) })?;
        Ok(Mq(queue))
    }

    /// `mq_send`
    pub fn send(&self, bytes: &[u8]) -> Result<()> {
        // SAFETY: a slice, which is only read.
        check(unsafe { libc::mq_send(self.0, bytes.as_ptr().cast(), bytes.len(), 0) }).map(drop)
    }

    /// `mq_receive`
    pub fn receive(&self, buffer: &mut [u8]) -> Result<usize> {
        let (at, room) = (buffer.as_mut_ptr().cast(), buffer.len());
        // SAFETY: a slice borrowed exclusively, written within its length.
        let got = unsafe { libc::mq_receive(self.0, at, room, null_mut()) };
        usize::try_from(got).map_err(|_| Error::last_os_error())
    }

    /// `mq_timedreceive` with a deadline that is over.
    pub fn receive_now(&self, buffer: &mut [u8]) -> Result<Option<usize>> {
        let over = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let (at, room) = (buffer.as_mut_ptr().cast(), buffer.len());
        // SAFETY: a slice borrowed exclusively, written within its length, and a timespec that is read.
        let got = unsafe { libc::mq_timedreceive(self.0, at, room, null_mut(), &over) };
        length_unless(got, libc::ETIMEDOUT)
    }
}

impl Drop for Mq {
    fn drop(&mut self) {
        // SAFETY: opened by `new`, and nobody else closes it.
        unsafe { libc::mq_close(self.0) };
    }
}

/// `fcntl(pipe, F_SETPIPE_SZ, bytes)`
pub fn set_pipe_size(pipe: &impl AsRawFd, bytes: i32) -> Result<()> {
    // SAFETY: integers only.
    check(unsafe { libc::fcntl(pipe.as_raw_fd(), libc::F_SETPIPE_SZ, bytes) }).map(drop)
}

/// `socketpair(AF_UNIX, SOCK_SEQPACKET)`
pub fn seqpacket_pair() -> Result<(OwnedFd, OwnedFd)> {
    let mut fds = [0; 2];
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
    // SAFETY: writes two descriptors into the array of two.
    check(unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, fds.as_mut_ptr()) })?;
    // SAFETY: two new descriptors that nobody else owns.
    Ok(unsafe { (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])) })
}

/// `recv(fd, MSG_DONTWAIT)`
pub fn receive_now(fd: RawFd, buffer: &mut [u8]) -> Result<Option<usize>> {
    let (at, room) = (buffer.as_mut_ptr().cast(), buffer.len());
    // SAFETY: a slice borrowed exclusively, written within its length.
    length_unless(
        unsafe { libc::recv(fd, at, room, libc::MSG_DONTWAIT) },
        libc::EAGAIN,
    )
}

/// A page that this process shares with its later forks, for as long as it lives.
fn shared_page() -> Result<*mut u8> {
    let (protection, flags) = (
        libc::PROT_READ | libc::PROT_WRITE,
        libc::MAP_SHARED | libc::MAP_ANONYMOUS,
    );
    // SAFETY: a new mapping where nothing is.
    let page = unsafe { libc::mmap(null_mut(), 4096, protection, flags, -1, 0) };
    match page {
        libc::MAP_FAILED => Err(Error::last_os_error()),
        page => Ok(page.cast()),
    }
}

/// Two words, far apart, that this process shares with its later forks; both 0.
pub fn shared_words() -> Result<(&'static AtomicU32, &'static AtomicU32)> {
    let page = shared_page()?.cast::<AtomicU32>();
    // SAFETY: a zeroed page that is never unmapped; both words lie in it, aligned.
    Ok(unsafe { (&*page, &*page.add(64)) })
}

/// Maps 64 KiB and unmaps them.
pub fn map_and_unmap() -> Result<()> {
    const LEN: usize = 64 << 10;
    let (protection, flags) = (
        libc::PROT_READ | libc::PROT_WRITE,
        libc::MAP_SHARED | libc::MAP_ANONYMOUS,
    );
    // SAFETY: a new mapping where nothing is.
    let at = unsafe { libc::mmap(null_mut(), LEN, protection, flags, -1, 0) };
    if at == libc::MAP_FAILED {
        return Err(Error::last_os_error());
    }
    // SAFETY: the mapping just made, which nobody knows.
    check(unsafe { libc::munmap(at, LEN) }).map(drop)
}

/// `FUTEX_WAIT`: sleeps unless the word is not `value` any more.
pub fn futex_wait(word: &AtomicU32, value: u32) {
    let none: *const libc::timespec = null();
    // SAFETY: a word that outlives the call; whatever it answers, the caller looks at the word.
    unsafe { libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAIT, value, none) };
}

/// `FUTEX_WAKE` of one sleeper.
pub fn futex_wake(word: &AtomicU32) {
    // SAFETY: the address of a word; it is not read.
    unsafe { libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAKE, 1) };
}

/// Process-shared POSIX semaphores, one after the other.
pub struct Semaphores(*mut libc::sem_t, usize);

impl Semaphores {
    /// Semaphores with these values.
    pub fn of(values: &[u16]) -> Result<Semaphores> {
        assert!(size_of_val(values) / 2 * size_of::<libc::sem_t>() <= 4096);
        let first = shared_page()?.cast::<libc::sem_t>();
        for (num, value) in values.iter().enumerate() {
            // SAFETY: it lies in the page (asserted), and nobody uses it yet.
            check(unsafe { libc::sem_init(first.add(num), 1, (*value).into()) })?;
        }
        Ok(Semaphores(first, values.len()))
    }

    /// `sem_wait` for -1, `sem_post` for 1.
    pub fn change(&self, num: u16, by: i16) -> Result<()> {
        assert!(usize::from(num) < self.1);
        // SAFETY: it lies in the page (asserted).
        let semaphore = unsafe { self.0.add(num.into()) };
        match by {
            // SAFETY: initialised by `of`, never destroyed, in a page that stays mapped.
            -1 => check(unsafe { libc::sem_wait(semaphore) }).map(drop),
            // SAFETY: the same.
            1 => check(unsafe { libc::sem_post(semaphore) }).map(drop),
            _ => Err(wrong(format!("no POSIX semaphore changes by {by}"))),
        }
    }
}

/// CPU time that another process has used, in nanoseconds.
pub fn cpu_ns_of(pid: i32) -> Result<u64> {
    let mut clock = MaybeUninit::uninit();
    // SAFETY: writes one clock id.
    let failed = unsafe { libc::clock_getcpuclockid(pid, clock.as_mut_ptr()) };
    if failed != 0 {
        return Err(Error::from_raw_os_error(failed));
    }
    // SAFETY: written by the call that succeeded.
    Ok(crate::sys::clock_ns(unsafe { clock.assume_init() }))
}

/// A process-shared robust pthread mutex: what a straightforward user-space queue would lock with.
pub struct RobustMutex(Box<UnsafeCell<libc::pthread_mutex_t>>);

impl RobustMutex {
    /// A fresh unlocked mutex.
    pub fn new() -> RobustMutex {
        let mutex = Box::new(UnsafeCell::new(libc::PTHREAD_MUTEX_INITIALIZER));
        let mut attributes = MaybeUninit::<libc::pthread_mutexattr_t>::uninit();
        let attributes = attributes.as_mut_ptr();
        // SAFETY: the attributes are initialised before use and destroyed once; the mutex has its
        // final address (boxed), and nobody can reach it before this function returns.
        let failed = unsafe {
            libc::pthread_mutexattr_init(attributes)
                | libc::pthread_mutexattr_setpshared(attributes, libc::PTHREAD_PROCESS_SHARED)
                | libc::pthread_mutexattr_setrobust(attributes, libc::PTHREAD_MUTEX_ROBUST)
                | libc::pthread_mutex_init(mutex.get(), attributes)
                | libc::pthread_mutexattr_destroy(attributes)
        };
        assert_eq!(
            failed, 0,
            "a robust mutex needs no resources that could run out"
        );
        RobustMutex(mutex)
    }

    /// One `pthread_mutex_lock` and `pthread_mutex_unlock`; false if either failed.
    #[inline]
    pub fn lock_and_unlock(&self) -> bool {
        // SAFETY: `new` initialised the mutex, `drop` has not run, and the type is not `Sync`, so
        // this thread takes and releases it with nobody else involved.
        unsafe {
            libc::pthread_mutex_lock(self.0.get()) | libc::pthread_mutex_unlock(self.0.get()) == 0
        }
    }
}

impl Drop for RobustMutex {
    fn drop(&mut self) {
        // SAFETY: `lock_and_unlock` always leaves the mutex unlocked, and this is its last use.
        unsafe { libc::pthread_mutex_destroy(self.0.get()) };
    }
}
