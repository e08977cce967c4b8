//! Processes and credentials: the C calls that scenarios need besides IPC.
#![allow(unsafe_code)]

use crate::errno::Errno;
use std::ffi::{CString, c_int};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It exited with this status.
    Exited(i32),
    /// This signal killed it.
    Killed(i32),
    /// It is stopped, not ended.
    Stopped,
}

/// `errno` as the last failed call left it.
pub fn last_errno() -> Errno {
    Errno(std::io::Error::last_os_error().raw_os_error().unwrap_or(0))
}

/// Panics with `errno` unless a call returned 0.
#[track_caller]
fn done(what: &str, ret: c_int) {
    assert_eq!(ret, 0, "{what}: {}", last_errno());
}

/// A path as C wants it.
pub fn c_string(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).expect("a path without NUL")
}

/// `fork()`: the child's pid in the parent, `None` in the child.
pub fn fork() -> Option<i32> {
    // SAFETY: scenarios fork while they have no second thread, or use nothing of it afterwards.
    match unsafe { libc::fork() } {
        0 => None,
        -1 => panic!("fork: {}", last_errno()),
        pid => Some(pid),
    }
}

/// `_exit(status)`
pub fn exit_now(status: i32) -> ! {
    // SAFETY: ends the process without running anybody's exit handlers.
    unsafe { libc::_exit(status) }
}

/// `waitpid(pid, flags)`; `None` when `WNOHANG` finds nothing.
pub fn wait(pid: i32, flags: c_int) -> Result<Option<(i32, Ending)>, Errno> {
    let mut status = 0;
    loop {
        // SAFETY: the status lives on this stack.
        match unsafe { libc::waitpid(pid, &mut status, flags) } {
            0 => return Ok(None),
            -1 if last_errno().0 == libc::EINTR => {}
            -1 => return Err(last_errno()),
            pid => return Ok(Some((pid, ending(status)))),
        }
    }
}

fn ending(status: c_int) -> Ending {
    if libc::WIFSTOPPED(status) {
        Ending::Stopped
    } else if libc::WIFSIGNALED(status) {
        Ending::Killed(libc::WTERMSIG(status))
    } else {
        Ending::Exited(libc::WEXITSTATUS(status))
    }
}

/// `fork()` behind the C library's back, so that no `pthread_atfork` handler runs.
pub fn raw_fork() -> Option<i32> {
    // SAFETY: as for `fork`; the child keeps to calls that need none of the library's handlers.
    match unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) } {
        0 => None,
        -1 => panic!("clone: {}", last_errno()),
        pid => Some(pid as i32),
    }
}

/// As `raw_fork`, but the child shares this process's list of semaphore undos.
pub fn fork_sharing_undo() -> Option<i32> {
    let flags = libc::CLONE_SYSVSEM | libc::SIGCHLD;
    // SAFETY: as for `raw_fork`.
    match unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) } {
        0 => None,
        -1 => panic!("clone: {}", last_errno()),
        pid => Some(pid as i32),
    }
}

/// `unshare(CLONE_SYSVSEM)`: this thread leaves the process's list of semaphore undos.
pub fn unshare_undo() {
    // SAFETY: takes no pointers.
    done("unshare", unsafe { libc::unshare(libc::CLONE_SYSVSEM) });
}

/// Ends this thread alone, without the C library's knowledge; a main thread that ends so leaves
/// the others running, as one that calls `pthread_exit` does.
pub fn end_this_thread() -> ! {
    // SAFETY: the kernel ends the thread; its stack stays mapped for whoever looks at it.
    unsafe { libc::syscall(libc::SYS_exit, 0) };
    unreachable!("an ended thread goes on");
}

/// `kill(pid, signal)`
pub fn kill(pid: i32, signal: c_int) -> Result<(), Errno> {
    // SAFETY: takes no pointers.
    match unsafe { libc::kill(pid, signal) } {
        0 => Ok(()),
        _ => Err(last_errno()),
    }
}

/// `tgkill` of one thread of this process.
pub fn kill_thread(tid: i32, signal: c_int) {
    // SAFETY: takes no pointers.
    let ret = unsafe { libc::syscall(libc::SYS_tgkill, own_pid(), tid, signal) };
    assert_eq!(ret, 0, "tgkill: {}", last_errno());
}

/// `getpid()`, as the kernel knows it.
pub fn own_pid() -> i32 {
    std::process::id() as i32
}

/// `gettid()`
pub fn own_tid() -> i32 {
    // SAFETY: takes nothing.
    unsafe { libc::gettid() }
}

/// `geteuid()`
pub fn effective_uid() -> u32 {
    // SAFETY: takes nothing.
    unsafe { libc::geteuid() }
}

/// `getegid()`
pub fn effective_gid() -> u32 {
    // SAFETY: takes nothing.
    unsafe { libc::getegid() }
}

/// `setgroups`, `setgid`, `setuid`: becomes this user for good.
pub fn become_user(uid: u32, gid: u32, groups: &[u32]) {
    // SAFETY: the list outlives the call.
    done("setgroups", unsafe {
        libc::setgroups(groups.len(), groups.as_ptr())
    });
    // SAFETY: takes no pointers.
    done("setgid", unsafe { libc::setgid(gid) });
    // SAFETY: takes no pointers.
    done("setuid", unsafe { libc::setuid(uid) });
}

/// `seteuid(uid)`
pub fn set_effective_uid(uid: u32) {
    // SAFETY: takes no pointers.
    done("seteuid", unsafe { libc::seteuid(uid) });
}

/// `setegid(gid)`
pub fn set_effective_gid(gid: u32) {
    // SAFETY: takes no pointers.
    done("setegid", unsafe { libc::setegid(gid) });
}

/// `setgroups(groups)`
pub fn set_groups(groups: &[u32]) {
    // SAFETY: the list outlives the call.
    done("setgroups", unsafe {
        libc::setgroups(groups.len(), groups.as_ptr())
    });
}

/// `chroot(path)` and `chdir("/")`
pub fn change_root(path: &Path) {
    let path = c_string(path);
    // SAFETY: a NUL-terminated string that outlives the call.
    done("chroot", unsafe { libc::chroot(path.as_ptr()) });
    // SAFETY: as above.
    done("chdir", unsafe { libc::chdir(c"/".as_ptr()) });
}

/// Closes descriptors that nobody here has opened, as daemons do.
pub fn close_all(first: c_int, last: c_int) {
    for fd in first..=last {
        // SAFETY: the scenario's process keeps no file open but its standard ones.
        unsafe { libc::close(fd) };
    }
}

/// `setsid()`
pub fn new_session() {
    // SAFETY: takes nothing.
    assert_ne!(unsafe { libc::setsid() }, -1, "setsid: {}", last_errno());
}

/// `umask(mask)`
pub fn set_umask(mask: u32) {
    // SAFETY: takes no pointers.
    unsafe { libc::umask(mask) };
}

/// Replaces this process by the same program with these arguments.
pub fn exec_self(arguments: &[String]) -> ! {
    use std::os::unix::process::CommandExt;
    let error = std::process::Command::new("/proc/self/exe")
        .args(arguments)
        .exec();
    panic!("exec: {error}");
}

/// Runs `play` in a child that borrows this process's memory until it ends or calls exec, as
/// vfork's do, and waits for its end.
pub fn vforked(play: impl FnOnce() -> i32) -> Ending {
    extern "C" fn enter<F: FnOnce() -> i32>(play: *mut libc::c_void) -> c_int {
        // SAFETY: `vforked` passes its own `Option<F>`, and is suspended while this runs.
        let play = unsafe { &mut *play.cast::<Option<F>>() };
        play.take().map_or(1, |play| play())
    }
    fn enter_of<F: FnOnce() -> i32>(_: &Option<F>) -> extern "C" fn(*mut libc::c_void) -> c_int {
        enter::<F>
    }
    const STACK: usize = 256 * 1024;
    let mut stack = vec![0u128; STACK / size_of::<u128>()];
    let mut play = Some(play);
    let enter = enter_of(&play);
    // SAFETY: the child has its own stack and shares everything else; CLONE_VFORK suspends this
    // thread until the child has gone, so that nothing is used by both.
    let pid = unsafe {
        libc::clone(
            enter,
            stack.as_mut_ptr_range().end.cast(),
            libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD,
            (&raw mut play).cast(),
        )
    };
    assert!(pid > 0, "clone: {}", last_errno());
    match wait(pid, 0) {
        Ok(Some((_, ending))) => ending,
        other => panic!("waiting for a vforked child: {other:?}"),
    }
}

/// `execve` of this program, allocating nothing: fit for a vforked child.
pub fn exec_prepared(arguments: &[CString]) -> i32 {
    unsafe extern "C" {
        static environ: *const *const libc::c_char;
    }
    let mut pointers = [std::ptr::null(); 16];
    for (to, from) in pointers[..15].iter_mut().zip(arguments) {
        *to = from.as_ptr();
    }
    // SAFETY: NUL-terminated strings in a null-terminated list; the environment is the process's.
    unsafe { libc::execve(c"/proc/self/exe".as_ptr(), pointers.as_ptr(), environ) };
    127
}
