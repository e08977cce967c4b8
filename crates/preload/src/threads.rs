//! `pthread_create`: with its first thread, glibc installs a handler of its own.
//!
//! By that signal it has every thread change its user. Linux ends waits for it, although the handler has
//! SA_RESTART; so it gets a stub as the program's handlers do (see `signals`).

use crate::next::{self, Start};
use crate::signals;
use core::ffi::{c_int, c_void};
use libc::{pthread_attr_t, pthread_t};

/// `pthread_create(thread, attr, start, arg)`.
///
/// # Safety
/// The C contract of `pthread_create`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pthread_create(
    thread: *mut pthread_t,
    attr: *const pthread_attr_t,
    start: Start,
    arg: *mut c_void,
) -> c_int {
    let Some(create) = next::PTHREAD_CREATE.get() else {
        return libc::ENOSYS;
    };
    // SAFETY: the caller's own arguments.
    let ret = unsafe { create(thread, attr, start, arg) };
    if ret == 0 {
        signals::adopt_the_libcs();
    }
    ret
}
