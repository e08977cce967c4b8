//! Listing a directory without the libc, which allocates.

use crate::errno::Result;
use crate::files;
use crate::path::Path;
use crate::sys;

/// Calls `visit` with each name in the directory but `.` and `..`.
pub(crate) fn each_name(dir: &Path<'_>, mut visit: impl FnMut(&[u8])) -> Result<()> {
    let fd = files::open(dir, libc::O_RDONLY | libc::O_DIRECTORY, 0)?;
    // Three of the longest names fit; it lies on the stack.
    let mut buf = [0u8; 1024];
    loop {
        let len = sys::getdents(&fd, &mut buf)?;
        let mut rest = buf.get(..len).unwrap_or(&[]);
        if rest.is_empty() {
            return Ok(());
        }
        // struct linux_dirent64: inode 8, offset 8, record length 2, type 1, name.
        while let Some(&[low, high]) = rest.get(16..18) {
            let (record, next) = rest
                .split_at_checked(u16::from_le_bytes([low, high]) as usize)
                .unwrap_or((rest, &[]));
            let name = record
                .get(19..)
                .unwrap_or(&[])
                .split(|&c| c == 0)
                .next()
                .unwrap_or(&[]);
            if name != b"." && name != b".." {
                visit(name);
            }
            rest = next;
        }
    }
}
