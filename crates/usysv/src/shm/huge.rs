//! `SHM_HUGETLB`: segments of huge pages.
//!
//! Not served: the file of such a segment would have to lie on a hugetlbfs, and a namespace is one
//! directory. The answers are the kernel's where it has no huge page to give.

use crate::creds::Creds;
use crate::errno::Errno;
use crate::path::{Digits, Path, parse_decimal};
use crate::sys;

/// Why a segment of huge pages cannot be made. EINVAL: there is no such page size; EPERM: not for
/// this user.
pub(crate) fn refusal(flags: i32) -> Errno {
    let log2 = flags as u32 >> 26 & 63;
    if log2 != 0 && !is_page_size(log2) {
        return Errno::EINVAL;
    }
    let creds = Creds::current();
    match creds.has_ipc_lock() || Some(u64::from(creds.egid)) == shm_group() {
        true => Errno::ENOMEM,
        false => Errno::EPERM,
    }
}

fn is_page_size(log2: u32) -> bool {
    let kib = 1u64.checked_shl(log2).unwrap_or(0) / 1024;
    let path = Path::of(&[
        b"/sys/kernel/mm/hugepages/hugepages-",
        Digits::decimal(kib).as_bytes(),
        b"kB",
    ]);
    path.and_then(|path| sys::lstat(path.as_c())).is_ok()
}

/// The group whose members may have huge pages.
fn shm_group() -> Option<u64> {
    let fd = sys::open(c"/proc/sys/vm/hugetlb_shm_group", libc::O_RDONLY, 0).ok()?;
    let mut text = [0; 20];
    let len = sys::read(&fd, &mut text, 0).ok()?;
    parse_decimal(text.get(..len)?.trim_ascii())
}
