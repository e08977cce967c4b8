//! Changes of identity: the functions that change what the engine's permission checks depend on.
//!
//! Each makes the real call and then tells `hooks::creds_changed`, whatever the result: `setfsuid`
//! does not report failure, and some of the others may fail half-way. A raw system call is not
//! seen.

use crate::hooks;
use crate::next;
use crate::sys;
use core::ffi::{c_char, c_int, c_void};
use libc::{gid_t, size_t, uid_t};

macro_rules! identity_functions {
    ($($name:ident, $next:ident, ($($arg:ident: $type:ty),*);)*) => {$(
        #[doc = concat!("`", stringify!($name), "(", stringify!($($arg),*), ")`.")]
        ///
        /// # Safety
        /// The function's C contract.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($arg: $type),*) -> c_int {
            let ret = match next::$next.get() {
                // SAFETY: the caller's own arguments.
                Some(real) => unsafe { real($($arg),*) },
                None => {
                    sys::errno().set(libc::ENOSYS);
                    -1
                }
            };
            hooks::creds_changed();
            ret
        }
    )*};
}

identity_functions! {
    setuid, SETUID, (uid: uid_t);
    seteuid, SETEUID, (uid: uid_t);
    setreuid, SETREUID, (ruid: uid_t, euid: uid_t);
    setresuid, SETRESUID, (ruid: uid_t, euid: uid_t, suid: uid_t);
    setgid, SETGID, (gid: gid_t);
    setegid, SETEGID, (gid: gid_t);
    setregid, SETREGID, (rgid: gid_t, egid: gid_t);
    setresgid, SETRESGID, (rgid: gid_t, egid: gid_t, sgid: gid_t);
    setgroups, SETGROUPS, (size: size_t, list: *const gid_t);
    initgroups, INITGROUPS, (user: *const c_char, group: gid_t);
    setfsuid, SETFSUID, (uid: uid_t);
    setfsgid, SETFSGID, (gid: gid_t);
    capset, CAPSET, (header: *mut c_void, data: *const c_void);
    unshare, UNSHARE, (flags: c_int);
    setns, SETNS, (fd: c_int, kind: c_int);
}
