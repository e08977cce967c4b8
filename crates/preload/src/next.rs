//! The definitions behind ours: what a program would have called without this library.
//!
//! Owns one cached address per interposed function. All are looked up by the library's
//! constructor, so that later calls, also from signal handlers, cost a load; a function called
//! before that (by another library's constructor) is looked up on the spot. Racing look-ups store
//! the same address. A function that the libc does not have is `None`: the caller then makes the
//! system call, where one stands for the function, or answers `ENOSYS`.
//!
//! Exception: the memory-mapping functions are never looked up on the spot, because a malloc
//! replacement maps memory while it starts, and dlsym may allocate. They use [`Next::ready`].

use crate::cancel::{Cleanup, CleanupRoutine};
use core::ffi::{CStr, c_char, c_int, c_void};
use core::marker::PhantomData;
use core::mem::transmute_copy;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};
use engine::sys;
use libc::{
    FILE, gid_t, mode_t, off_t, pid_t, pthread_attr_t, pthread_t, sigaction, size_t, uid_t,
};

/// An interposed function's next definition; `F` is its C function-pointer type.
pub struct Next<F> {
    name: &'static CStr,
    // Relaxed everywhere: the pointer is all that is published, and what it points at is code
    // that was mapped before either thread could look it up.
    at: AtomicPtr<c_void>,
    signature: PhantomData<F>,
}

impl<F: Copy> Next<F> {
    const fn new(name: &'static CStr) -> Next<F> {
        assert!(size_of::<F>() == size_of::<*mut c_void>());
        Next {
            name,
            at: AtomicPtr::new(ptr::null_mut()),
            signature: PhantomData,
        }
    }

    /// The function, looked up now if nobody did before.
    #[inline]
    pub fn get(&self) -> Option<F> {
        self.ready().or_else(|| {
            self.resolve();
            self.ready()
        })
    }

    /// The function, if it was looked up already.
    #[inline]
    pub fn ready(&self) -> Option<F> {
        let at = self.at.load(Ordering::Relaxed);
        if at.is_null() {
            return None;
        }
        // SAFETY: `at` is what dlsym returned for `name`, F is its signature (the table below
        // says so, from the libc's headers), and `new` checked that F is pointer-sized.
        Some(unsafe { transmute_copy(&at) })
    }

    #[cold]
    fn resolve(&self) {
        let errno = sys::errno().get();
        // SAFETY: a C string and the documented pseudo handle.
        let at = unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr()) };
        self.at.store(at, Ordering::Relaxed);
        sys::errno().set(errno);
    }
}

macro_rules! table {
    ($($name:ident = $symbol:literal: fn($($arg:tt)*) -> $ret:ty;)*) => {
        $(
            #[doc = concat!("The next `", stringify!($symbol), "`.")]
            pub static $name: Next<unsafe extern "C" fn($($arg)*) -> $ret> = Next::new($symbol);
        )*
        fn resolve_all() {
            $($name.resolve();)*
        }
    };
}

type Path = *const c_char;

/// What a thread runs.
pub type Start = Option<extern "C" fn(*mut c_void) -> *mut c_void>;

table! {
    SIGACTION = c"sigaction": fn(c_int, *const sigaction, *mut sigaction) -> c_int;
    SIGINTERRUPT = c"siginterrupt": fn(c_int, c_int) -> c_int;

    MMAP = c"mmap": fn(*mut c_void, size_t, c_int, c_int, c_int, off_t) -> *mut c_void;
    MUNMAP = c"munmap": fn(*mut c_void, size_t) -> c_int;
    MPROTECT = c"mprotect": fn(*mut c_void, size_t, c_int) -> c_int;
    PKEY_MPROTECT = c"pkey_mprotect": fn(*mut c_void, size_t, c_int, c_int) -> c_int;
    MREMAP = c"mremap": fn(*mut c_void, size_t, size_t, c_int, ...) -> *mut c_void;

    OPEN = c"open": fn(Path, c_int, ...) -> c_int;
    OPEN64 = c"open64": fn(Path, c_int, ...) -> c_int;
    OPENAT = c"openat": fn(c_int, Path, c_int, ...) -> c_int;
    OPENAT64 = c"openat64": fn(c_int, Path, c_int, ...) -> c_int;
    OPEN_2 = c"__open_2": fn(Path, c_int) -> c_int;
    OPEN64_2 = c"__open64_2": fn(Path, c_int) -> c_int;
    OPENAT_2 = c"__openat_2": fn(c_int, Path, c_int) -> c_int;
    OPENAT64_2 = c"__openat64_2": fn(c_int, Path, c_int) -> c_int;
    CREAT = c"creat": fn(Path, mode_t) -> c_int;
    CREAT64 = c"creat64": fn(Path, mode_t) -> c_int;
    FOPEN = c"fopen": fn(Path, Path) -> *mut FILE;
    FOPEN64 = c"fopen64": fn(Path, Path) -> *mut FILE;
    FREOPEN = c"freopen": fn(Path, Path, *mut FILE) -> *mut FILE;
    FREOPEN64 = c"freopen64": fn(Path, Path, *mut FILE) -> *mut FILE;
    ACCESS = c"access": fn(Path, c_int) -> c_int;
    EACCESS = c"eaccess": fn(Path, c_int) -> c_int;
    EUIDACCESS = c"euidaccess": fn(Path, c_int) -> c_int;
    FACCESSAT = c"faccessat": fn(c_int, Path, c_int, c_int) -> c_int;

    SETUID = c"setuid": fn(uid_t) -> c_int;
    SETEUID = c"seteuid": fn(uid_t) -> c_int;
    SETREUID = c"setreuid": fn(uid_t, uid_t) -> c_int;
    SETRESUID = c"setresuid": fn(uid_t, uid_t, uid_t) -> c_int;
    SETGID = c"setgid": fn(gid_t) -> c_int;
    SETEGID = c"setegid": fn(gid_t) -> c_int;
    SETREGID = c"setregid": fn(gid_t, gid_t) -> c_int;
    SETRESGID = c"setresgid": fn(gid_t, gid_t, gid_t) -> c_int;
    SETGROUPS = c"setgroups": fn(size_t, *const gid_t) -> c_int;
    INITGROUPS = c"initgroups": fn(Path, gid_t) -> c_int;
    SETFSUID = c"setfsuid": fn(uid_t) -> c_int;
    SETFSGID = c"setfsgid": fn(gid_t) -> c_int;
    CAPSET = c"capset": fn(*mut c_void, *const c_void) -> c_int;
    UNSHARE = c"unshare": fn(c_int) -> c_int;
    SETNS = c"setns": fn(c_int, c_int) -> c_int;

    FORK = c"fork": fn() -> pid_t;
    FORK_BARE = c"_Fork": fn() -> pid_t;
    PTHREAD_CREATE = c"pthread_create":
        fn(*mut pthread_t, *const pthread_attr_t, Start, *mut c_void) -> c_int;
    SHM_OPEN = c"shm_open": fn(Path, c_int, mode_t) -> c_int;
    SHM_UNLINK = c"shm_unlink": fn(Path) -> c_int;

    CANCEL = c"pthread_cancel": fn(pthread_t) -> c_int;
    CANCEL_TYPE = c"pthread_setcanceltype": fn(c_int, *mut c_int) -> c_int;
    CANCEL_POINT = c"pthread_testcancel": fn() -> ();
    CLEANUP_PUSH = c"_pthread_cleanup_push": fn(*mut Cleanup, CleanupRoutine, *mut c_void) -> ();
    CLEANUP_POP = c"_pthread_cleanup_pop": fn(*mut Cleanup, c_int) -> ();

    DLOPEN = c"dlopen": fn(Path, c_int) -> *mut c_void;
    DLMOPEN = c"dlmopen": fn(isize, Path, c_int) -> *mut c_void;
}

#[used]
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: extern "C" fn() = constructor;

extern "C" fn constructor() {
    resolve_all();
    // SAFETY: the libraries' constructors run one after the other, before the program.
    unsafe { engine::environment::remember() };
}
