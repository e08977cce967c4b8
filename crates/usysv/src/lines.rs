//! Reading a text file of the kernel's line by line, without allocation.

use crate::errno::Result;
use crate::sys;
use core::ffi::CStr;

/// Of a longer line only so much is shown. It lies on the stack.
const LONGEST: usize = 1024;

/// Calls `visit` with each line until it returns something. A line that is too long is cut off.
/// `None`: no line did, or there is none; `any` tells which.
#[inline(never)]
pub(crate) fn find_line<T>(
    path: &CStr,
    any: &mut bool,
    mut visit: impl FnMut(&[u8]) -> Option<T>,
) -> Result<Option<T>> {
    let fd = sys::open(path, libc::O_RDONLY, 0)?;
    let mut buffer = [0u8; LONGEST];
    let (mut at, mut kept, mut shown) = (0u64, 0usize, false);
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
        let mut whole = 0;
        for line in text.split_inclusive(|&c| c == b'\n') {
            let Some(line) = line.strip_suffix(b"\n") else {
                break;
            };
            whole += line.len() + 1;
            let rest_of_long = core::mem::take(&mut shown);
            if !rest_of_long && let Some(found) = visit(line) {
                return Ok(Some(found));
            }
        }
        buffer.copy_within(whole..kept, 0);
        kept -= whole;
        if kept == buffer.len() {
            if !shown && let Some(found) = visit(&buffer) {
                return Ok(Some(found));
            }
            (kept, shown) = (0, true);
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::find_line;
    use std::ffi::CString;
    use std::string::String;
    use std::vec::Vec;

    fn lines_of(text: &str) -> Vec<String> {
        let path = std::env::temp_dir().join(std::format!("usysv-lines-{}", std::process::id()));
        std::fs::write(&path, text).expect("a file");
        let name = CString::new(path.to_str().expect("a plain path")).expect("no zero byte");
        let mut lines = Vec::new();
        let found = find_line(&name, &mut false, |line| {
            lines.push(String::from_utf8_lossy(line).into_owned());
            None::<()>
        });
        std::fs::remove_file(&path).expect("the file");
        assert_eq!(found, Ok(None));
        lines
    }

    /// What broke: behind each read's last line an empty one was visited, which also made forget that
    /// what follows is the rest of a long one.
    #[test]
    fn a_long_line_is_shown_once_and_cut_off() {
        for len in [1023, 1024, 1025, 2000, 2047, 2048, 2049, 20000] {
            let long = "x".repeat(len);
            let lines = lines_of(&std::format!("one\n{long}\ntwo\n"));
            let cut = &long[..len.min(super::LONGEST)];
            assert_eq!(lines, ["one", cut, "two"], "{len}");
        }
    }
}
