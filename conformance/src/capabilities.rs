//! Capabilities: what root is without them, and others with them.
#![allow(unsafe_code)]

use crate::process::last_errno;

/// Locks memory.
pub const CAP_IPC_LOCK: u32 = 14;
/// Goes past permission bits of IPC objects.
pub const CAP_IPC_OWNER: u32 = 15;
/// Sets and removes other users' IPC objects.
pub const CAP_SYS_ADMIN: u32 = 21;
/// Goes beyond limits.
pub const CAP_SYS_RESOURCE: u32 = 24;

/// Whether this process has a capability in effect.
pub fn has_capability(capability: u32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").expect("reading /proc/self/status");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .expect("CapEff in it");
    let set = u64::from_str_radix(line.trim(), 16).expect("a hexadecimal set");
    set >> capability & 1 == 1
}

/// `struct __user_cap_header_struct`
#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

/// `struct __user_cap_data_struct`: 32 capabilities.
#[derive(Clone, Copy, Default)]
#[repr(C)]
struct Word {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// `_LINUX_CAPABILITY_VERSION_3`: two words.
const VERSION: u32 = 0x2008_0522;

/// Changes the effective set, within the permitted one.
fn change_effective(change: impl FnOnce(u64) -> u64) {
    let mut header = Header {
        version: VERSION,
        pid: 0,
    };
    let mut words = [Word::default(); 2];
    // SAFETY: this version fills two words, for which there is room.
    let got = unsafe { libc::syscall(libc::SYS_capget, &mut header, words.as_mut_ptr()) };
    assert_eq!(got, 0, "capget: {}", last_errno());
    let effective = u64::from(words[0].effective) | u64::from(words[1].effective) << 32;
    let effective = change(effective);
    words[0].effective = effective as u32;
    words[1].effective = (effective >> 32) as u32;
    // SAFETY: this version reads two words.
    let set = unsafe { libc::syscall(libc::SYS_capset, &mut header, words.as_ptr()) };
    assert_eq!(set, 0, "capset: {}", last_errno());
}

/// Takes a capability out of effect in this thread.
pub fn drop_capability(capability: u32) {
    change_effective(|set| set & !(1 << capability));
}

/// Puts a capability that is permitted into effect in this thread.
pub fn raise_capability(capability: u32) {
    change_effective(|set| set | 1 << capability);
}

/// Keeps what is permitted when this thread gives root up.
pub fn keep_capabilities() {
    // SAFETY: takes no pointers.
    let ret = unsafe { libc::prctl(libc::PR_SET_KEEPCAPS, 1) };
    assert_eq!(ret, 0, "prctl: {}", last_errno());
}
