//! Whether somebody that shared memory names still lives.

use crate::errno::{Errno, Result};
use crate::namespace::Namespace;
use crate::path::{Digits, Text, parse_decimal};
use crate::process::{self, Identity};
use crate::sys;

/// Bits of a start that hold the time; above them is the pid namespace's mark.
const TIME_BITS: u32 = 40;

/// Whether this process, a bell of which rang, lives: one of its threads has not ended. In doubt, it lives; but
/// of another pid namespace's processes, whose numbers mean nothing here, only those whose first threads' bells
/// are silent.
pub(crate) fn process_lives(ns: &Namespace, who: Identity) -> bool {
    if is_foreign(who) {
        return ns.has_first_thread(who);
    }
    if !sys::exists(who.pid) {
        return false;
    }
    let path = stat_path(&[b"/proc/", Digits::decimal(u64::from(who.pid)).as_bytes()]);
    let mut text = [0; 512];
    let stat = match path.and_then(|path| Stat::read(&path, &mut text)) {
        Ok(stat) => stat,
        Err(e) => return !is_gone(e),
    };
    let began = stat.field(22).and_then(since_boot);
    let same = time(who.start) == 0
        || began.is_none_or(|start| time(start) == time(who.start))
        || !are_starts_sure();
    // The first thread may have ended before the others.
    same && (!stat.ended() || stat.field(20).is_some_and(|threads| threads > 1))
}

/// Whether this process is of another pid namespace than we are, as far as /proc tells either.
pub(crate) fn is_foreign(who: Identity) -> bool {
    let (theirs, ours) = (who.start >> TIME_BITS, mark());
    theirs != 0 && ours != 0 && theirs != ours
}

/// When this process started, if /proc tells; marked, so that no process of another pid namespace
/// has the same number and start: the first processes of two containers easily begin together.
pub(crate) fn started(pid: u32) -> Option<u64> {
    let path = stat_path(&[b"/proc/", Digits::decimal(u64::from(pid)).as_bytes()]).ok()?;
    let shown = Stat::read(&path, &mut [0; 512]).ok()?.field(22)?;
    Some(marked(since_boot(shown).unwrap_or(0)))
}

/// Whether /proc shows starts as it did at this process's first look: it may have gone to another time namespace.
fn are_starts_sure() -> bool {
    process::identity().is_ok_and(|me| started(me.pid).is_none_or(|start| start == me.start))
}

/// A start as /proc shows it to this process, in clock ticks since the boot: a time namespace has another zero.
/// `None`: unknown; also of who began before that zero, which is shown as a huge number.
fn since_boot(shown: u64) -> Option<u64> {
    const MOST: u64 = i64::MAX as u64 / 10_000_000;
    if shown > MOST {
        return None;
    }
    process::boot_offset().map(|offset| shown.wrapping_sub(offset as u64))
}

fn time(start: u64) -> u64 {
    start & ((1 << TIME_BITS) - 1)
}

/// This pid namespace's mark; 0 where /proc does not tell. Their numbers are given out one after the
/// other, so that the low bits will do.
fn mark() -> u64 {
    process::pid_namespace() & ((1 << (64 - TIME_BITS)) - 1)
}

fn marked(start: u64) -> u64 {
    time(start) | mark() << TIME_BITS
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
        Ok(stat) => !stat.ended(),
        Err(e) => !is_gone(e),
    }
}

/// What a thread does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doing {
    /// It sleeps so that a signal would wake it, as nobody does who holds a lock of ours.
    Sleeps,
    /// It has ended, and nobody has asked how.
    Ended,
    /// Something else; or /proc does not tell.
    Other,
}

/// What the thread of this number does.
pub(crate) fn doing(tid: u32) -> Doing {
    let path = stat_path(&[b"/proc/", Digits::decimal(u64::from(tid)).as_bytes()]);
    let mut text = [0; 512];
    match path.and_then(|path| Stat::read(&path, &mut text)) {
        Ok(stat) if matches!(stat.0.first(), Some(b'Z' | b'X')) => Doing::Ended,
        Ok(stat) if stat.0.first() == Some(&b'S') => Doing::Sleeps,
        _ => Doing::Other,
    }
}

/// Whether /proc says that there is no such thread any more. Not so if there is no /proc, or no
/// descriptor to look at it with.
fn is_gone(e: Errno) -> bool {
    matches!(e, Errno::ENOENT | Errno::ESRCH) && sys::has_proc()
}

fn stat_path(directory: &[&[u8]]) -> Result<Text> {
    let mut path = Text::of(directory)?;
    path.push(b"/stat")?;
    Ok(path)
}

/// A `stat` file of /proc from its third field on: the name before may hold anything.
struct Stat<'a>(&'a [u8]);

impl Stat<'_> {
    fn read<'a>(path: &Text, text: &'a mut [u8; 512]) -> Result<Stat<'a>> {
        let fd = sys::open(path.as_c(), libc::O_RDONLY, 0)?;
        let len = sys::read(&fd, text, 0)?;
        let text = text.get(..len).unwrap_or(&[]);
        let end = text.iter().rposition(|&c| c == b')');
        let rest = end.and_then(|end| text.get(end + 2..));
        rest.map(Stat).ok_or(Errno::EIO)
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
