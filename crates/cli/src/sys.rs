//! The libc calls that std has no words for: names of users and groups, local time, strerror.
//!
//! The only unsafe code outside `run`'s process handling. All of it runs on the only thread.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::mem::MaybeUninit;

/// `getpwuid(uid)`: the user's name, as raw bytes.
pub fn user_name(uid: u32) -> Option<Vec<u8>> {
    // SAFETY: no pointer goes in; the answer is null or the libc's static entry, which stays
    // until the next call: this process has one thread, and the name is copied here.
    unsafe {
        let entry = libc::getpwuid(uid).as_ref()?;
        Some(CStr::from_ptr(entry.pw_name).to_bytes().to_vec())
    }
}

/// `getgrgid(gid)`: the group's name, as raw bytes.
pub fn group_name(gid: u32) -> Option<Vec<u8>> {
    // SAFETY: as in `user_name`.
    unsafe {
        let entry = libc::getgrgid(gid).as_ref()?;
        Some(CStr::from_ptr(entry.gr_name).to_bytes().to_vec())
    }
}

/// `ctime(time)` without its newline: `Tue Nov 24 11:18:50 2026`, in local time.
pub fn ctime(time: i64) -> String {
    const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    unsafe extern "C" {
        safe fn tzset();
    }
    tzset();
    let mut tm = MaybeUninit::<libc::tm>::zeroed();
    let time = time as libc::time_t;
    // SAFETY: an instant to read and room for one broken-down time, whose fields may all be zero.
    let tm = unsafe {
        libc::localtime_r(&time, tm.as_mut_ptr());
        tm.assume_init()
    };
    format!(
        "{} {} {:2} {:02}:{:02}:{:02} {}",
        DAYS[tm.tm_wday as usize % 7],
        MONTHS[tm.tm_mon as usize % 12],
        tm.tm_mday,
        tm.tm_hour,
        tm.tm_min,
        tm.tm_sec,
        1900 + i64::from(tm.tm_year)
    )
}

/// `strerror(errno)`, `"Success"` for 0.
pub fn strerror(errno: i32) -> String {
    // SAFETY: strerror answers a string for every number; one thread, and it is copied here.
    unsafe { CStr::from_ptr(libc::strerror(errno)) }
        .to_string_lossy()
        .into_owned()
}

/// `open(path, flags)` past whatever stands in front of the libc's function: under the preload
/// library, the kernel's IPC files in `/proc` would be a namespace's.
pub fn open_kernel_file(path: &str, flags: i32) -> std::io::Result<std::fs::File> {
    let c_path = std::ffi::CString::new(path)?;
    let flags = flags | libc::O_CLOEXEC;
    // SAFETY: a C string, which the kernel only reads.
    let fd = unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, c_path.as_ptr(), flags) };
    if fd < 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new, and nobody else knows it.
    Ok(unsafe { std::os::fd::FromRawFd::from_raw_fd(fd as i32) })
}

/// `signal(SIGPIPE, SIG_IGN)`: who writes to nobody is told so, and goes on.
pub fn ignore_broken_pipes() {
    // SAFETY: no handler of ours.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
}

/// `getpagesize()`.
pub fn page_size() -> u64 {
    // SAFETY: no pointers; the page size is always known.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as u64 }
}

/// `getrandom(2)`: four random bytes, or the clock's if the kernel has none yet.
pub fn random_u32() -> u32 {
    let mut value = 0u32;
    // SAFETY: room for four bytes, all of which may be anything.
    let got = unsafe { libc::getrandom((&raw mut value).cast(), size_of::<u32>(), 0) };
    if got == size_of::<u32>() as isize {
        return value;
    }
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed();
    now.map_or(1, |since| since.subsec_nanos())
}
