//! Every system and C library call that safe Rust has no word for; the `unsafe` of this crate is here,
//! in [`posix`](crate::posix) and in [`plugin`](crate::plugin).
//!
//! The `msg*` wrappers call the C library's functions by name, exactly as an unmodified C program
//! does: who answers them, Linux or a preloaded `libusysv.so`, is what the benchmark compares.
//! [`read_past_preload`] is the one deliberate exception.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::io::{Error, Result};
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, Ordering};

/// Largest text that [`Message`] can carry: Linux's default `msgmax`.
pub const TEXT: usize = 8192;

/// C's `struct msgbuf` with room for [`TEXT`] bytes.
#[repr(C)]
pub struct Message {
    /// The type, which must be positive when sent.
    pub mtype: libc::c_long,
    text: [u8; TEXT],
}

impl Message {
    /// A message of type `mtype` with a text of zeros.
    pub fn new(mtype: i64) -> Message {
        Message {
            mtype,
            text: [0; TEXT],
        }
    }

    /// The first `len` bytes of the text.
    #[inline]
    pub fn bytes(&self, len: usize) -> &[u8] {
        &self.text[..len]
    }

    /// The same, to be written.
    #[inline]
    pub fn bytes_mut(&mut self, len: usize) -> &mut [u8] {
        &mut self.text[..len]
    }
}

fn check(result: libc::c_int) -> Result<libc::c_int> {
    if result < 0 {
        Err(Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// `msgget(key, flags)`
#[inline]
pub fn msgget(key: i32, flags: i32) -> Result<i32> {
    // SAFETY: msgget takes plain integers and touches none of our memory.
    check(unsafe { libc::msgget(key, flags) })
}

/// `msgsnd(msqid, message, len, flags)`; `len` at most [`TEXT`].
#[inline]
pub fn msgsnd(msqid: i32, message: &Message, len: usize, flags: i32) -> Result<()> {
    assert!(len <= TEXT);
    let buffer: *const Message = message;
    // SAFETY: `Message` is laid out as msgbuf, and the assertion keeps `len` inside its text.
    check(unsafe { libc::msgsnd(msqid, buffer.cast(), len, flags) }).map(drop)
}

/// `msgrcv(msqid, message, len, mtype, flags)`; `len` at most [`TEXT`].
#[inline]
pub fn msgrcv(
    msqid: i32,
    message: &mut Message,
    len: usize,
    mtype: i64,
    flags: i32,
) -> Result<usize> {
    assert!(len <= TEXT);
    let buffer: *mut Message = message;
    // SAFETY: `Message` is laid out as msgbuf, and the assertion keeps `len` inside its text, so
    // the callee writes only to memory that `message` borrows exclusively.
    let got = unsafe { libc::msgrcv(msqid, buffer.cast(), len, mtype, flags) };
    usize::try_from(got).map_err(|_| Error::last_os_error())
}

/// `msgctl(msqid, IPC_RMID, NULL)`
#[inline]
pub fn remove_queue(msqid: i32) -> Result<()> {
    // SAFETY: IPC_RMID ignores the buffer argument.
    check(unsafe { libc::msgctl(msqid, libc::IPC_RMID, std::ptr::null_mut()) }).map(drop)
}

/// `msgctl(msqid, IPC_STAT, buf)`: the number of messages in the queue.
pub fn queue_depth(msqid: i32) -> Result<u64> {
    let mut status = MaybeUninit::<libc::msqid_ds>::zeroed();
    // SAFETY: IPC_STAT writes one msqid_ds, and `status` is one.
    check(unsafe { libc::msgctl(msqid, libc::IPC_STAT, status.as_mut_ptr()) })?;
    // SAFETY: msqid_ds is made of integers only, and the zeroing above initialised every byte.
    Ok(unsafe { status.assume_init() }.msg_qnum)
}

/// One operation on a semaphore.
pub fn sem_op(num: u16, op: i16, undo: bool) -> libc::sembuf {
    libc::sembuf {
        sem_num: num,
        sem_op: op,
        sem_flg: if undo { libc::SEM_UNDO as i16 } else { 0 },
    }
}

/// `semget(IPC_PRIVATE, nsems, 0600)`
pub fn semget(nsems: usize) -> Result<i32> {
    // SAFETY: semget takes plain integers and touches none of our memory.
    check(unsafe { libc::semget(libc::IPC_PRIVATE, nsems as i32, 0o600) })
}

/// `semop(semid, ops, ops.len())`
#[inline]
pub fn semop(semid: i32, ops: &[libc::sembuf]) -> Result<()> {
    // SAFETY: a slice, which semop only reads, whatever C's declaration says.
    check(unsafe { libc::semop(semid, ops.as_ptr().cast_mut(), ops.len()) }).map(drop)
}

/// `semctl(semid, num, SETVAL, value)`
pub fn set_value(semid: i32, num: usize, value: u16) -> Result<()> {
    // SAFETY: SETVAL takes an integer in place of the union.
    check(unsafe { libc::semctl(semid, num as i32, libc::SETVAL, i32::from(value)) }).map(drop)
}

/// `semctl(semid, num, GETNCNT)`
pub fn waiting(semid: i32, num: usize) -> Result<usize> {
    // SAFETY: GETNCNT takes no fourth argument.
    check(unsafe { libc::semctl(semid, num as i32, libc::GETNCNT) }).map(|count| count as usize)
}

/// `semctl(semid, 0, IPC_RMID)`
pub fn remove_set(semid: i32) -> Result<()> {
    // SAFETY: IPC_RMID takes no fourth argument.
    check(unsafe { libc::semctl(semid, 0, libc::IPC_RMID) }).map(drop)
}

/// `shmget(IPC_PRIVATE, size, 0600)`
pub fn shmget(size: usize) -> Result<i32> {
    // SAFETY: shmget takes plain integers and touches none of our memory.
    check(unsafe { libc::shmget(libc::IPC_PRIVATE, size, 0o600) })
}

/// An attached segment; `shmdt` when it goes out of scope.
pub struct Attached {
    at: *mut libc::c_void,
    len: usize,
}

impl Attached {
    /// `shmat(shmid, NULL, 0)` of a segment of `len` bytes.
    #[inline]
    pub fn to(shmid: i32, len: usize) -> Result<Attached> {
        // SAFETY: NULL lets the system choose where nothing is mapped.
        let at = unsafe { libc::shmat(shmid, std::ptr::null(), 0) };
        match at.addr() {
            usize::MAX => Err(Error::last_os_error()),
            _ => Ok(Attached { at, len }),
        }
    }

    /// Sets every byte.
    pub fn fill(&mut self, byte: u8) {
        // SAFETY: attached for `len` bytes until this is dropped, and used by nobody else.
        unsafe { self.at.cast::<u8>().write_bytes(byte, self.len) };
        // Somebody else could read them.
        std::hint::black_box(self.at);
    }
}

impl Drop for Attached {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: attached by `to`, and nobody refers to it any more.
        unsafe { libc::shmdt(self.at) };
    }
}

/// `shmctl(shmid, IPC_STAT, buf)`: `shm_nattch`.
#[inline]
pub fn attachers(shmid: i32) -> Result<usize> {
    let mut status = MaybeUninit::<libc::shmid_ds>::zeroed();
    // SAFETY: IPC_STAT writes one shmid_ds, and `status` is one.
    check(unsafe { libc::shmctl(shmid, libc::IPC_STAT, status.as_mut_ptr()) })?;
    // SAFETY: shmid_ds is made of integers only, and the zeroing above initialised every byte.
    Ok(unsafe { status.assume_init() }.shm_nattch as usize)
}

/// `shmctl(shmid, IPC_RMID, NULL)`
pub fn remove_segment(shmid: i32) -> Result<()> {
    // SAFETY: IPC_RMID ignores the buffer argument.
    check(unsafe { libc::shmctl(shmid, libc::IPC_RMID, std::ptr::null_mut()) }).map(drop)
}

/// Reads up to `bytes` of a file by raw system calls, which no preloaded library can redirect.
pub fn read_past_preload(path: &CStr, bytes: usize) -> Result<Vec<u8>> {
    // SAFETY: openat reads only the NUL-terminated path, which `CStr` guarantees.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_openat,
            libc::AT_FDCWD,
            path.as_ptr(),
            libc::O_RDONLY | libc::O_CLOEXEC,
        )
    };
    if fd < 0 {
        return Err(Error::last_os_error());
    }
    let mut text = vec![0u8; bytes];
    let mut filled = 0;
    let outcome = loop {
        let room = &mut text[filled..];
        // SAFETY: read writes at most `room.len()` bytes into `room`, which is borrowed mutably.
        let got = unsafe { libc::syscall(libc::SYS_read, fd, room.as_mut_ptr(), room.len()) };
        match usize::try_from(got) {
            Ok(0) => break Ok(()),
            Ok(got) => filled += got,
            Err(_) => break Err(Error::last_os_error()),
        }
    };
    // SAFETY: `fd` was opened above, is ours alone and is not used after this.
    unsafe { libc::syscall(libc::SYS_close, fd) };
    text.truncate(filled);
    outcome.map(|()| text)
}

/// `unshare(CLONE_NEWIPC)`: a System V IPC namespace of our own, which dies with this process.
pub fn unshare_ipc() -> Result<()> {
    // SAFETY: unshare takes an integer and changes no memory of ours.
    check(unsafe { libc::unshare(libc::CLONE_NEWIPC) }).map(drop)
}

/// Asks for SIGKILL when the process that started this one ends.
pub fn die_with_parent() -> Result<()> {
    // SAFETY: PR_SET_PDEATHSIG takes an integer and changes no memory of ours.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) }).map(drop)
}

/// The CPUs that this process may run on, in ascending order.
pub fn allowed_cpus() -> Result<Vec<usize>> {
    let mut set = MaybeUninit::<libc::cpu_set_t>::zeroed();
    // SAFETY: the kernel writes at most the size that it is told, which is `set`'s own.
    check(unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), set.as_mut_ptr()) })?;
    // SAFETY: cpu_set_t is an array of integers, all initialised by the zeroing above.
    let set = unsafe { set.assume_init() };
    let is_set = |cpu: &usize| {
        // SAFETY: CPU_ISSET reads a bit of `set`, and `cpu` stays below CPU_SETSIZE.
        unsafe { libc::CPU_ISSET(*cpu, &set) }
    };
    Ok((0..libc::CPU_SETSIZE as usize).filter(is_set).collect())
}

/// Binds this process to one CPU.
pub fn pin(cpu: usize) -> Result<()> {
    assert!(cpu < libc::CPU_SETSIZE as usize);
    // SAFETY: cpu_set_t is an array of integers, for which zero is a valid value.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the assertion keeps `cpu` inside `set`.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: sched_setaffinity only reads `set`, and is told its size.
    check(unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set) }).map(drop)
}

/// Which side of a [`fork`] this is.
pub enum Fork {
    /// The new process.
    Child,
    /// The old process, with the new one's id.
    Parent(i32),
}

/// `fork()`; only for a process with a single thread.
pub fn fork() -> Result<Fork> {
    let threads = std::fs::read_dir("/proc/self/task")?.count();
    assert_eq!(threads, 1, "a worker forks before it has threads");
    // SAFETY: this process has one thread (asserted), so the child inherits no lock that some
    // other thread held and can go on as ordinary Rust.
    match check(unsafe { libc::fork() })? {
        0 => Ok(Fork::Child),
        pid => Ok(Fork::Parent(pid)),
    }
}

/// `_exit(code)`: ends a forked child without running what its parent registered for its own end.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit never returns; the kernel takes back everything.
    unsafe { libc::_exit(code) }
}

/// Kills and reaps a child of ours.
pub fn reap(pid: i32) {
    assert!(pid > 0);
    // SAFETY: `pid` is a child that only its `Peer` waits for, once, so it cannot have been reused.
    unsafe { libc::kill(pid, libc::SIGKILL) };
    // SAFETY: a null status pointer is allowed, and waitpid then writes nothing.
    while unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) } < 0
        && Error::last_os_error().raw_os_error() == Some(libc::EINTR)
    {}
}

/// A clock's reading.
pub fn clock_ns(clock: libc::clockid_t) -> u64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: clock_gettime writes one timespec, and `now` is one.
    unsafe { libc::clock_gettime(clock, &mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Nanoseconds since boot; comparable between processes.
pub fn monotonic_ns() -> u64 {
    clock_ns(libc::CLOCK_MONOTONIC)
}

/// CPU time that this process has used, in nanoseconds.
pub fn cpu_ns() -> u64 {
    clock_ns(libc::CLOCK_PROCESS_CPUTIME_ID)
}

fn usage(who: libc::c_int) -> libc::rusage {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: getrusage writes one rusage, and `usage` is one.
    unsafe { libc::getrusage(who, usage.as_mut_ptr()) };
    // SAFETY: rusage is made of integers only, all initialised by the zeroing above.
    unsafe { usage.assume_init() }
}

/// How often this process lost its CPU to another one against its will.
pub fn involuntary_switches() -> u64 {
    usage(libc::RUSAGE_SELF).ru_nivcsw as u64
}

/// CPU time of this process and of all children that it has waited for, in microseconds.
pub fn family_cpu_us() -> u64 {
    let us = |time: libc::timeval| time.tv_sec as u64 * 1_000_000 + time.tv_usec as u64;
    [libc::RUSAGE_SELF, libc::RUSAGE_CHILDREN]
        .map(usage)
        .iter()
        .map(|usage| us(usage.ru_utime) + us(usage.ru_stime))
        .sum()
}

/// `sysconf(_SC_CLK_TCK)`: the ticks per second of `/proc/stat`.
pub fn ticks_per_second() -> u64 {
    // SAFETY: sysconf takes and returns integers.
    unsafe { libc::sysconf(libc::_SC_CLK_TCK) }.max(1) as u64
}

/// `getppid()`: the cheapest call that enters the kernel every time.
#[inline]
pub fn null_syscall() -> i32 {
    // SAFETY: getppid takes nothing and cannot fail.
    unsafe { libc::getppid() }
}

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

extern "C" fn note_interrupt(_signal: libc::c_int) {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

/// From now on SIGINT, SIGTERM and SIGHUP only set [`interrupted`], so that we can tidy up.
pub fn note_interrupts() {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        let handler: extern "C" fn(libc::c_int) = note_interrupt;
        // SAFETY: the handler only stores to an atomic, which is async-signal-safe.
        unsafe { libc::signal(signal, handler as libc::sighandler_t) };
    }
}

/// Whether somebody asked us to stop.
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}
