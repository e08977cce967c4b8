//! Reading a text file of the kernel's line by line, without allocation.

use crate::errno::Result;
use crate::sys;
use core::ffi::CStr;

/// Calls `visit` with each line until it returns something. A line that is longer than 4 KiB is
/// left out. `None`: no line did, or there is none; `any` tells which.
pub(crate) fn find_line<T>(
    path: &CStr,
    any: &mut bool,
    mut visit: impl FnMut(&[u8]) -> Option<T>,
) -> Result<Option<T>> {
    let fd = sys::open(path, libc::O_RDONLY, 0)?;
    let mut buffer = [0u8; 4096];
    let (mut at, mut kept, mut too_long) = (0u64, 0usize, false);
    loop {
        let room = buffer.get_mut(kept..).unwrap_or(&mut []);
        let len = sys::read(&fd, room, at)?;
        if len == 0 {
            return Ok(None);
        }
        *any = true;
        at += len as u64;
        kept += len;
        let text = buffer.get(..kept).unwrap_or(&[]);
        let whole = text.iter().rposition(|&c| c == b'\n').map_or(0, |n| n + 1);
        for line in text.get(..whole).unwrap_or(&[]).split(|&c| c == b'\n') {
            let rest_of_long = core::mem::take(&mut too_long);
            if !rest_of_long && let Some(found) = visit(line) {
                return Ok(Some(found));
            }
        }
        buffer.copy_within(whole..kept, 0);
        kept -= whole;
        if kept == buffer.len() {
            (kept, too_long) = (0, true);
        }
    }
}
