//! `SHM_HUGETLB`: segments of huge pages.
//!
//! Not served: the file of such a segment would have to lie on a hugetlbfs, and a namespace is one
//! directory. The answers are the kernel's where it has no huge page to give.

use crate::errno::Errno;
use crate::path::{Digits, Path};
use crate::sys;

/// Why a segment of huge pages cannot be made. EINVAL: there is no such page size.
pub(crate) fn refusal(flags: i32) -> Errno {
    let log2 = flags as u32 >> 26 & 63;
    if log2 == 0 {
        return Errno::ENOMEM;
    }
    let kib = 1u64.checked_shl(log2).unwrap_or(0) / 1024;
    let path = Path::of(&[
        b"/sys/kernel/mm/hugepages/hugepages-",
        Digits::decimal(kib).as_bytes(),
        b"kB",
    ]);
    match path.and_then(|path| sys::lstat(path.as_c())) {
        Ok(_) => Errno::ENOMEM,
        Err(_) => Errno::EINVAL,
    }
}
