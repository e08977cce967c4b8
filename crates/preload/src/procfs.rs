//! `/proc/sysvipc/*` and `/proc/sys/kernel/{msg,sem,shm}*`, as the namespace has them: the
//! functions that open a file or ask for access to one.
//!
//! Owns the list of those paths. They are recognised as written, absolute; other spellings
//! (relative to a directory, with `//` or `..`, through links, `openat2`, raw system calls)
//! reach the kernel's files, and so does `stat`.
//!
//! - Opened for reading, a file is a snapshot in a memory file, in the kernel's format. It shows
//!   the moment of the open: the kernel's would show a new state after a rewind.
//! - A limit opened for writing is the namespace's own file, so that redirections, `dup2` and the
//!   file system's permissions all work. `O_CREAT`, `O_TRUNC` and `O_APPEND` are dropped: the
//!   first line is always a number, and nobody ever sees an empty file.
//! - `/proc/sysvipc/*` opened for writing is the kernel's file: it refuses as it always does.
//!
//! `open` and `openat` are variadic in C. Stable Rust cannot define such functions, and need not:
//! on the x86-64 and AArch64 Linux ABIs an integer argument after the dots is passed like any
//! other, so a definition with that argument works, and garbage in it where the caller passed
//! none is passed on to a function that will not look at it either.

use crate::edge::apart;
use crate::efault;
use crate::hooks;
use crate::next;
use core::ffi::{CStr, c_char, c_int};
use core::fmt::Write;
use core::ptr;
use engine::abi::{MsqidDs, SemidDs, ShmidDs};
use engine::sys;
use libc::{FILE, O_ACCMODE, O_APPEND, O_CLOEXEC, O_CREAT, O_EXCL, O_RDONLY, O_TRUNC, mode_t};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    /// `/proc/sysvipc/msg`.
    Queues,
    /// `/proc/sysvipc/shm`.
    Segments,
    /// `/proc/sysvipc/sem`.
    Sets,
    /// `/proc/sys/kernel/msgmax` and its like, by name.
    Limit(&'static str),
}

/// What all our paths begin with.
const PREFIX: &[u8] = b"/proc/sys";

/// What follows [`PREFIX`] in the paths of tables and of limits, and the names there.
const TABLES: &[u8] = b"vipc/";
const LIMITS: &[u8] = b"/kernel/";
const TABLE_NAMES: [(&str, Target); 3] = [
    ("msg", Target::Queues),
    ("sem", Target::Sets),
    ("shm", Target::Segments),
];
const LIMIT_NAMES: [&str; 8] = [
    "msgmax",
    "msgmnb",
    "msgmni",
    "sem",
    "shmmax",
    "shmall",
    "shmmni",
    "shm_rmid_forced",
];

/// Which of our files `path` names. An unreadable path names none: the kernel has the errno.
#[inline]
fn target(path: *const c_char) -> Option<Target> {
    if !has(path, 0, PREFIX) {
        return None;
    }
    target_behind(path, PREFIX.len())
}

#[cold]
fn target_behind(path: *const c_char, skip: usize) -> Option<Target> {
    if has(path, skip, TABLES) {
        let ends = |name: &str| ends_with(path, skip + TABLES.len(), name);
        let found = TABLE_NAMES.iter().find(|(name, _)| ends(name));
        return found.map(|&(_, target)| target);
    }
    if has(path, skip, LIMITS) {
        let ends = |name: &str| ends_with(path, skip + LIMITS.len(), name);
        let found = LIMIT_NAMES.into_iter().find(|name| ends(name));
        return found.map(Target::Limit);
    }
    None
}

/// Whether `name` and the terminating zero are all that follows.
fn ends_with(path: *const c_char, skip: usize, name: &str) -> bool {
    has(path, skip, name.as_bytes()) && has(path, skip + name.len(), b"\0")
}

/// Whether the bytes at `path + skip` are `expected`. Looks at no byte behind a difference, and
/// at no page that cannot be read.
#[inline]
fn has(path: *const c_char, skip: usize, expected: &[u8]) -> bool {
    const PAGE: usize = 4096;
    for (i, &byte) in expected.iter().enumerate() {
        let at = path.wrapping_add(skip + i);
        if (i == 0 || (at as usize).is_multiple_of(PAGE)) && !efault::readable(at as usize, 1) {
            return false;
        }
        // SAFETY: `readable` vouched for this page, and the program leaves a path that it passes
        // to a call alone until the call returns.
        if unsafe { at.cast::<u8>().read_volatile() } != byte {
            return false;
        }
    }
    true
}

fn writes(flags: c_int) -> bool {
    flags & O_ACCMODE != O_RDONLY || flags & O_TRUNC != 0
}

/// Opens one of our files: a descriptor or `-errno`. `None`: the kernel's file is the answer.
#[cold]
fn open_target(target: Target, flags: c_int) -> Option<isize> {
    keeping_errno(|| open_now(target, flags))
}

/// The engine behind the hooks uses the libc, and a success must leave errno alone.
fn keeping_errno<T>(f: impl FnOnce() -> T) -> T {
    let errno = sys::errno().get();
    let ret = f();
    sys::errno().set(errno);
    ret
}

fn open_now(target: Target, flags: c_int) -> Option<isize> {
    let exclusive = flags & O_CREAT != 0 && flags & O_EXCL != 0;
    if exclusive || flags & (libc::O_PATH | libc::O_DIRECTORY) != 0 {
        return None;
    }
    if !matches!(target, Target::Limit(_)) && writes(flags) {
        return None;
    }
    // Made here, the engine has the stack to itself.
    hooks::engine().ok()?;
    match target {
        Target::Segments => apart(|| {
            snapshot(flags, |file| {
                file.put(format_args!("{}", SEGMENTS_HEADING));
                hooks::segments(&mut |shmid, ds, rss| segment_line(file, shmid, ds, rss))
            })
        }),
        Target::Queues => apart(|| {
            snapshot(flags, |file| {
                file.put(format_args!("{}", QUEUES_HEADING));
                hooks::msg_queues(&mut |msqid, ds| queue_line(file, msqid, ds))
            })
        }),
        Target::Sets => apart(|| {
            snapshot(flags, |file| {
                file.put(format_args!("{}", SETS_HEADING));
                hooks::sem_sets(&mut |semid, ds| set_line(file, semid, ds))
            })
        }),
        Target::Limit(limit) if writes(flags) => open_limit(limit, flags),
        Target::Limit(limit) => {
            let text = apart(|| hooks::limit_text(limit))?;
            snapshot(flags, |file| {
                file.put(format_args!("{}", text.as_str()));
                true
            })
        }
    }
}

fn open_limit(limit: &str, flags: c_int) -> Option<isize> {
    let flags = flags & !(O_CREAT | O_TRUNC | O_APPEND);
    let fd = hooks::open_limit(limit, flags)?;
    if fd >= 0 {
        hooks::limits_opened_for_write(limit);
    }
    Some(fd)
}

fn open_raw(path: &CStr, flags: c_int, mode: mode_t) -> isize {
    let cwd = libc::AT_FDCWD as usize;
    let path = path.as_ptr() as usize;
    // SAFETY: a C string, alive during the call.
    unsafe { sys::syscall4(libc::SYS_openat, cwd, path, flags as usize, mode as usize) }
}

fn close_raw(fd: isize) {
    // SAFETY: the callers close a descriptor that they opened and gave to nobody.
    unsafe { sys::syscall4(libc::SYS_close, fd as usize, 0, 0, 0) };
}

const QUEUES_HEADING: &str = "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid      stime      rtime      ctime\n";

/// One line of `/proc/sysvipc/msg`, as `sysvipc_msg_proc_show` in Linux's ipc/msg.c.
fn queue_line(file: &mut Snapshot, msqid: i32, ds: &MsqidDs) {
    let p = &ds.msg_perm;
    let (cbytes, qnum) = (ds.msg_cbytes, ds.msg_qnum);
    let (lspid, lrpid) = (ds.msg_lspid, ds.msg_lrpid);
    file.put(format_args!(
        "{:>10} {:>10}  {:>4o}  {:>10} {:>10} {:>5} {:>5} {:>5} {:>5} {:>5} {:>5} {:>10} {:>10} {:>10}\n",
        p.key, msqid, p.mode, cbytes, qnum, lspid, lrpid,
        p.uid, p.gid, p.cuid, p.cgid,
        ds.msg_stime, ds.msg_rtime, ds.msg_ctime,
    ));
}

const SEGMENTS_HEADING: &str = "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      dtime      ctime                   rss                  swap\n";

/// One line of `/proc/sysvipc/shm`. What was swapped out counts as there: a file does not tell.
fn segment_line(file: &mut Snapshot, shmid: i32, ds: &ShmidDs, rss: u64) {
    let p = &ds.shm_perm;
    file.put(format_args!(
        "{:>10} {:>10}  {:>4o} {:>21} {:>5} {:>5}  {:>5} {:>5} {:>5} {:>5} {:>5} {:>10} {:>10} {:>10} {:>21} {:>21}\n",
        p.key, shmid, p.mode, ds.shm_segsz, ds.shm_cpid, ds.shm_lpid, ds.shm_nattch,
        p.uid, p.gid, p.cuid, p.cgid,
        ds.shm_atime, ds.shm_dtime, ds.shm_ctime, rss, 0,
    ));
}

const SETS_HEADING: &str =
    "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n";

/// One line of `/proc/sysvipc/sem`, as `sysvipc_sem_proc_show` in Linux's ipc/sem.c.
fn set_line(file: &mut Snapshot, semid: i32, ds: &SemidDs) {
    let p = &ds.sem_perm;
    file.put(format_args!(
        "{:>10} {:>10}  {:>4o} {:>10} {:>5} {:>5} {:>5} {:>5} {:>10} {:>10}\n",
        p.key,
        semid,
        p.mode,
        ds.sem_nsems,
        p.uid,
        p.gid,
        p.cuid,
        p.cgid,
        ds.sem_otime,
        ds.sem_ctime,
    ));
}

/// A file being written: buffered, without allocation. The first error sticks.
struct Snapshot {
    fd: isize,
    error: isize,
    used: usize,
    buffer: [u8; 1024],
}

impl Snapshot {
    fn put(&mut self, text: core::fmt::Arguments<'_>) {
        // Our Write never fails, and integers and strings format without error.
        let _ = self.write_fmt(text);
    }

    fn flush(&mut self) {
        let mut done = 0;
        while done < self.used && self.error == 0 {
            let rest = &self.buffer[done..self.used];
            let (at, len) = (rest.as_ptr() as usize, rest.len());
            // SAFETY: the kernel reads `rest`.
            match unsafe { sys::syscall4(libc::SYS_write, self.fd as usize, at, len, 0) } {
                n if n > 0 => done += n as usize,
                n if n == -libc::EINTR as isize => {}
                0 => self.error = -libc::EIO as isize,
                error => self.error = error,
            }
        }
        self.used = 0;
    }
}

impl Write for Snapshot {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            let n = rest.len().min(self.buffer.len() - self.used);
            self.buffer[self.used..self.used + n].copy_from_slice(&rest[..n]);
            self.used += n;
            rest = &rest[n..];
            if self.used == self.buffer.len() {
                self.flush();
            }
        }
        Ok(())
    }
}

/// A read-only descriptor of a nameless file that holds what `fill` wrote, or `-errno`. `None` if
/// `fill` returned false.
fn snapshot(flags: c_int, fill: impl FnOnce(&mut Snapshot) -> bool) -> Option<isize> {
    let fd = nameless_file();
    if fd < 0 {
        return Some(fd);
    }
    let mut file = Snapshot {
        fd,
        error: 0,
        used: 0,
        buffer: [0; 1024],
    };
    let filled = fill(&mut file);
    file.flush();
    if !filled || file.error != 0 {
        close_raw(fd);
        return filled.then_some(file.error);
    }
    // SAFETY: no pointers; the descriptor is ours.
    unsafe {
        sys::syscall4(libc::SYS_fchmod, fd as usize, 0o444, 0, 0); // as the kernel's files
        sys::syscall4(libc::SYS_lseek, fd as usize, 0, libc::SEEK_SET as usize, 0);
    }
    make_read_only(fd, flags);
    Some(fd)
}

/// Open the file behind `fd` again as the program wanted it, under the same number: the lowest
/// free one, which programs rely on. Where there is no /proc, the writable descriptor must do.
fn make_read_only(fd: isize, flags: c_int) {
    let flags_again = flags & !(O_CREAT | O_EXCL | libc::O_NOFOLLOW) | O_CLOEXEC;
    let cloexec = (flags & O_CLOEXEC) as usize;
    let again = with_fd_path(fd, |path| open_raw(path, flags_again, 0));
    // SAFETY: no pointers; both descriptors are ours.
    unsafe {
        if again >= 0 {
            sys::syscall4(libc::SYS_dup3, again as usize, fd as usize, cloexec, 0);
            close_raw(again);
        } else if cloexec == 0 {
            sys::syscall4(libc::SYS_fcntl, fd as usize, libc::F_SETFD as usize, 0, 0);
        }
    }
}

/// A file without a name, close-on-exec: a memory file, or else one in a directory for such.
fn nameless_file() -> isize {
    let name = c"usysv-proc".as_ptr() as usize;
    // SAFETY: a C string.
    let fd = unsafe {
        let flags = libc::MFD_CLOEXEC as usize;
        sys::syscall4(libc::SYS_memfd_create, name, flags, 0, 0)
    };
    if fd != -libc::ENOSYS as isize && fd != -libc::EPERM as isize {
        return fd;
    }
    [c"/dev/shm", c"/tmp"]
        .iter()
        .map(|dir| open_raw(dir, libc::O_TMPFILE | libc::O_RDWR | O_CLOEXEC, 0o600))
        .find(|&fd| fd >= 0)
        .unwrap_or(-libc::ENOMEM as isize)
}

/// Calls `f` with a path that opens descriptor `fd` anew.
fn with_fd_path<T>(fd: isize, f: impl FnOnce(&CStr) -> T) -> T {
    const DIGITS: usize = 20;
    let mut path = *b"/proc/self/fd/\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let start = path.len() - 1 - DIGITS;
    let (mut digits, mut used, mut rest) = ([0; DIGITS], 0, fd as usize);
    while used == 0 || rest > 0 {
        digits[used] = b'0' + (rest % 10) as u8;
        rest /= 10;
        used += 1;
    }
    for i in 0..used {
        path[start + i] = digits[used - 1 - i];
    }
    f(CStr::from_bytes_until_nul(&path).unwrap_or(c""))
}

/// The file that the program means, if it is ours to open; the answer in C's terms.
#[inline]
fn ours(path: *const c_char, flags: c_int) -> Option<c_int> {
    let fd = open_target(target(path)?, flags)?;
    Some(sys::c_result(fd) as c_int)
}

fn open_without_libc(dir: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    let (dir, path) = (dir as usize, path as usize);
    // SAFETY: the program's own arguments, which the kernel checks.
    let fd = unsafe { sys::syscall4(libc::SYS_openat, dir, path, flags as usize, mode as usize) };
    sys::c_result(fd) as c_int
}

macro_rules! open_functions {
    ($($name:ident, $next:ident;)*) => {$(
        /// `open(path, flags, mode)`.
        ///
        /// # Safety
        /// The C contract of `open`.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
            if let Some(fd) = ours(path, flags) {
                return fd;
            }
            match next::$next.get() {
                // SAFETY: the caller's own arguments.
                Some(open) => unsafe { open(path, flags, mode) },
                None => open_without_libc(libc::AT_FDCWD, path, flags, mode),
            }
        }
    )*};
}

open_functions! {
    open, OPEN;
    open64, OPEN64;
    __open, OPEN;
    __open64, OPEN64;
}

macro_rules! openat_functions {
    ($($name:ident, $next:ident;)*) => {$(
        /// `openat(dir, path, flags, mode)`.
        ///
        /// # Safety
        /// The C contract of `openat`.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(
            dir: c_int,
            path: *const c_char,
            flags: c_int,
            mode: mode_t,
        ) -> c_int {
            if let Some(fd) = ours(path, flags) {
                return fd;
            }
            match next::$next.get() {
                // SAFETY: the caller's own arguments.
                Some(openat) => unsafe { openat(dir, path, flags, mode) },
                None => open_without_libc(dir, path, flags, mode),
            }
        }
    )*};
}

openat_functions! {
    openat, OPENAT;
    openat64, OPENAT64;
}

macro_rules! checked_open_functions {
    ($($name:ident, $next:ident;)*) => {$(
        /// `open(path, flags)`, as `_FORTIFY_SOURCE` calls it where no mode is given.
        ///
        /// # Safety
        /// The C contract of `open`.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(path: *const c_char, flags: c_int) -> c_int {
            if let Some(fd) = ours(path, flags) {
                return fd;
            }
            match next::$next.get() {
                // SAFETY: the caller's own arguments.
                Some(open) => unsafe { open(path, flags) },
                None => open_without_libc(libc::AT_FDCWD, path, flags, 0),
            }
        }
    )*};
}

checked_open_functions! {
    __open_2, OPEN_2;
    __open64_2, OPEN64_2;
}

macro_rules! checked_openat_functions {
    ($($name:ident, $next:ident;)*) => {$(
        /// `openat(dir, path, flags)`, as `_FORTIFY_SOURCE` calls it where no mode is given.
        ///
        /// # Safety
        /// The C contract of `openat`.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(dir: c_int, path: *const c_char, flags: c_int) -> c_int {
            if let Some(fd) = ours(path, flags) {
                return fd;
            }
            match next::$next.get() {
                // SAFETY: the caller's own arguments.
                Some(openat) => unsafe { openat(dir, path, flags) },
                None => open_without_libc(dir, path, flags, 0),
            }
        }
    )*};
}

checked_openat_functions! {
    __openat_2, OPENAT_2;
    __openat64_2, OPENAT64_2;
}

macro_rules! creat_functions {
    ($($name:ident, $next:ident;)*) => {$(
        /// `creat(path, mode)`.
        ///
        /// # Safety
        /// The C contract of `creat`.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(path: *const c_char, mode: mode_t) -> c_int {
            let flags = libc::O_WRONLY | O_CREAT | O_TRUNC;
            if let Some(fd) = ours(path, flags) {
                return fd;
            }
            match next::$next.get() {
                // SAFETY: the caller's own arguments.
                Some(creat) => unsafe { creat(path, mode) },
                None => open_without_libc(libc::AT_FDCWD, path, flags, mode),
            }
        }
    )*};
}

creat_functions! {
    creat, CREAT;
    creat64, CREAT64;
}

/// The open flags of an `fopen` mode; `None` if it is not one.
fn stream_flags(mode: *const c_char) -> Option<c_int> {
    if !efault::readable(mode as usize, 1) {
        return None;
    }
    // SAFETY: readable, and by fopen's contract a C string.
    let mode = unsafe { CStr::from_ptr(mode) }.to_bytes();
    let mut flags = match mode.first()? {
        b'r' => O_RDONLY,
        b'w' => libc::O_WRONLY | O_CREAT | O_TRUNC,
        b'a' => libc::O_WRONLY | O_CREAT | O_APPEND,
        _ => return None,
    };
    for byte in &mode[1..] {
        match byte {
            b'+' => flags = flags & !O_ACCMODE | libc::O_RDWR,
            b'x' => flags |= O_EXCL,
            b'e' => flags |= O_CLOEXEC,
            b',' => break,
            _ => {}
        }
    }
    Some(flags)
}

macro_rules! fopen_functions {
    ($($name:ident, $next:ident;)*) => {$(
        /// `fopen(path, mode)`.
        ///
        /// # Safety
        /// The C contract of `fopen`.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(path: *const c_char, mode: *const c_char) -> *mut FILE {
            if let Some(target) = target(path)
                && let Some(flags) = stream_flags(mode)
                && let Some(fd) = open_target(target, flags)
            {
                return stream(fd, mode);
            }
            match next::$next.get() {
                // SAFETY: the caller's own arguments.
                Some(fopen) => unsafe { fopen(path, mode) },
                None => not_there(),
            }
        }
    )*};
}

fopen_functions! {
    fopen, FOPEN;
    fopen64, FOPEN64;
}

fn not_there<T>() -> *mut T {
    sys::errno().set(libc::ENOSYS);
    ptr::null_mut()
}

#[cold]
fn stream(fd: isize, mode: *const c_char) -> *mut FILE {
    if sys::c_result(fd) < 0 {
        return ptr::null_mut();
    }
    // SAFETY: our own descriptor, and a mode that stream_flags understood.
    let stream = unsafe { libc::fdopen(fd as c_int, mode) };
    if stream.is_null() {
        close_raw(fd);
    }
    stream
}

macro_rules! freopen_functions {
    ($($name:ident, $next:ident;)*) => {$(
        /// `freopen(path, mode, stream)`.
        ///
        /// # Safety
        /// The C contract of `freopen`.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(
            path: *const c_char,
            mode: *const c_char,
            stream: *mut FILE,
        ) -> *mut FILE {
            let Some(freopen) = next::$next.get() else {
                return not_there();
            };
            if let Some(target) = target(path)
                && let Some(flags) = stream_flags(mode)
                && let Some(fd) = open_target(target, flags)
                && fd >= 0
            {
                // "r+" and not the program's "w", which would empty the limit's file.
                let mode = if writes(flags) { c"r+".as_ptr() } else { mode };
                // SAFETY: the caller's stream, and a path that lives during the call.
                let ret = with_fd_path(fd, |path| unsafe { freopen(path.as_ptr(), mode, stream) });
                close_raw(fd);
                return ret;
            }
            // SAFETY: the caller's own arguments.
            unsafe { freopen(path, mode, stream) }
        }
    )*};
}

freopen_functions! {
    freopen, FREOPEN;
    freopen64, FREOPEN64;
}

/// Whether access to one of our files is granted; `None` if the kernel has the answer.
#[inline]
fn access_to_ours(path: *const c_char, mode: c_int, flags: c_int) -> Option<c_int> {
    access_to(target(path)?, mode, flags)
}

#[cold]
fn access_to(target: Target, mode: c_int, flags: c_int) -> Option<c_int> {
    if mode & libc::X_OK != 0 {
        return None;
    }
    keeping_errno(|| hooks::limit_text("msgmax"))?;
    match target {
        // Everyone may read, also where the kernel has no System V IPC and so no such file.
        _ if mode & libc::W_OK == 0 => Some(0),
        Target::Queues | Target::Sets | Target::Segments => None,
        Target::Limit(limit) => hooks::limit_path(limit, &mut |path| {
            access_at(libc::AT_FDCWD, path.as_ptr(), mode, flags)
        }),
    }
}

/// The real `faccessat`.
fn access_at(dir: c_int, path: *const c_char, mode: c_int, flags: c_int) -> c_int {
    if let Some(faccessat) = next::FACCESSAT.get() {
        // SAFETY: the program's own arguments or a C string; bad ones are the kernel's EFAULT.
        return unsafe { faccessat(dir, path, mode, flags) };
    }
    let (dir, path, mode) = (dir as usize, path as usize, mode as usize);
    // SAFETY: as above.
    sys::c_result(unsafe { sys::syscall4(libc::SYS_faccessat, dir, path, mode, 0) }) as c_int
}

macro_rules! access_functions {
    ($($name:ident, $next:ident, $flags:expr;)*) => {$(
        /// Whether the process may access `path` in this way.
        ///
        /// # Safety
        /// The C contract of `access`.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(path: *const c_char, mode: c_int) -> c_int {
            if let Some(answer) = access_to_ours(path, mode, $flags) {
                return answer;
            }
            match next::$next.get() {
                // SAFETY: the caller's own arguments.
                Some(access) => unsafe { access(path, mode) },
                None => access_at(libc::AT_FDCWD, path, mode, $flags),
            }
        }
    )*};
}

access_functions! {
    access, ACCESS, 0;
    eaccess, EACCESS, libc::AT_EACCESS;
    euidaccess, EUIDACCESS, libc::AT_EACCESS;
}

/// `faccessat(dir, path, mode, flags)`.
///
/// # Safety
/// The C contract of `faccessat`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn faccessat(
    dir: c_int,
    path: *const c_char,
    mode: c_int,
    flags: c_int,
) -> c_int {
    access_to_ours(path, mode, flags).unwrap_or_else(|| access_at(dir, path, mode, flags))
}
