//! Whether somebody that shared memory names still lives.

use crate::path::{Digits, Path, parse_decimal};
use crate::process::Identity;
use crate::sys;

/// Whether this process lives: one of its threads has not ended. In doubt, it lives.
pub(crate) fn process_lives(who: Identity) -> bool {
    if !sys::exists(who.pid) {
        return false;
    }
    let path = stat_path(&[b"/proc/", Digits::decimal(u64::from(who.pid)).as_bytes()]);
    let mut text = [0; 512];
    let Some(stat) = path.and_then(|path| Stat::read(&path, &mut text)) else {
        return !sys::has_proc();
    };
    let same = who.start == 0 || stat.field(22).is_none_or(|start| start == who.start);
    // The first thread may have ended before the others.
    same && (!stat.ended() || stat.field(20).is_some_and(|threads| threads > 1))
}

/// When this process started, if /proc tells.
pub(crate) fn started(pid: u32) -> Option<u64> {
    let path = stat_path(&[b"/proc/", Digits::decimal(u64::from(pid)).as_bytes()])?;
    Stat::read(&path, &mut [0; 512])?.field(22)
}

/// Whether this thread of this process exists and has not ended. In doubt, it lives.
///
/// A thread in another pid namespace is in doubt only if its number is taken in ours; callers put a
/// time limit on what they wait for.
pub(crate) fn thread_lives(pid: u32, tid: u32) -> bool {
    if !sys::exists(tid) {
        return false;
    }
    let path = stat_path(&[
        b"/proc/",
        Digits::decimal(u64::from(pid)).as_bytes(),
        b"/task/",
        Digits::decimal(u64::from(tid)).as_bytes(),
    ]);
    let mut text = [0; 512];
    match path.and_then(|path| Stat::read(&path, &mut text)) {
        Some(stat) => !stat.ended(),
        // Gone from there, or no /proc.
        None => !sys::has_proc(),
    }
}

/// Whether this thread sleeps, so that a signal would wake it: as nobody does who holds a lock of
/// ours. In doubt, it does not.
pub(crate) fn sleeps(tid: u32) -> bool {
    let path = stat_path(&[b"/proc/", Digits::decimal(u64::from(tid)).as_bytes()]);
    let mut text = [0; 512];
    let stat = path.and_then(|path| Stat::read(&path, &mut text));
    stat.is_some_and(|stat| stat.0.first() == Some(&b'S'))
}

fn stat_path(directory: &[&[u8]]) -> Option<Path> {
    let mut path = Path::of(directory).ok()?;
    path.push(b"/stat").ok()?;
    Some(path)
}

/// A `stat` file of /proc from its third field on: the name before may hold anything.
struct Stat<'a>(&'a [u8]);

impl Stat<'_> {
    fn read<'a>(path: &Path, text: &'a mut [u8; 512]) -> Option<Stat<'a>> {
        let fd = sys::open(path.as_c(), libc::O_RDONLY, 0).ok()?;
        let len = sys::read(&fd, text, 0).ok()?;
        let text = text.get(..len)?;
        let end = text.iter().rposition(|&c| c == b')')?;
        text.get(end + 2..).map(Stat)
    }

    /// Whether it runs none of its program any more: it has ended, or is about to.
    fn ended(&self) -> bool {
        const PF_EXITING: u64 = 4;
        let exits = self.field(9).is_some_and(|flags| flags & PF_EXITING != 0);
        exits || matches!(self.0.first(), Some(b'Z' | b'X' | b'x'))
    }

    /// A field by its number in proc(5), at least 4.
    fn field(&self, number: usize) -> Option<u64> {
        parse_decimal(self.0.split(|&c| c == b' ').nth(number - 3)?)
    }
}
