//! Whether somebody that shared memory names still lives.

use crate::path::{Digits, Path};
use crate::sys;

/// Whether this thread of this process exists and has not ended. In doubt, it lives.
///
/// A thread in another pid namespace is in doubt only if its number is taken in ours; callers put a
/// time limit on what they wait for.
pub(crate) fn thread_lives(pid: u32, tid: u32) -> bool {
    if !sys::exists(tid) {
        return false;
    }
    let path = Path::of(&[
        b"/proc/",
        Digits::decimal(u64::from(pid)).as_bytes(),
        b"/task/",
        Digits::decimal(u64::from(tid)).as_bytes(),
        b"/stat",
    ]);
    let Ok(fd) = path.and_then(|path| sys::open(path.as_c(), libc::O_RDONLY, 0)) else {
        // Gone from there, or no /proc.
        return !sys::has_proc();
    };
    let mut text = [0; 512];
    let len = sys::read(&fd, &mut text, 0).unwrap_or(0);
    // `pid (name) state`, where the name may hold anything.
    let state = text.get(..len).and_then(|text| {
        let end = text.iter().rposition(|&c| c == b')')?;
        text.get(end + 2)
    });
    !matches!(state, Some(b'Z' | b'X' | b'x'))
}
