//! The limits of a namespace: words in the file `ns`, and beside them as text, one file for each
//! file that `/proc/sys/kernel` has, in the same format.
//!
//! The words count, but for a while after a text was opened for writing: then it is read at every
//! use, until a whole line stands there or time is up.

use super::{Head, Namespace, SETTLE_MS};
use crate::abi::IPCMNI;
use crate::crash::crashpoint;
use crate::errno::{Errno, Result};
use crate::files;
use crate::path::{Digits, Path, Text};
use crate::sys;
use core::ffi::CStr;
use core::mem::offset_of;
use core::sync::atomic::Ordering::Relaxed;

/// How long after a text was opened for writing a number without its newline may still grow.
const LINE_MS: u64 = 50;

/// The limits of a namespace; defaults are Linux's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of text in a message.
    pub msgmax: u64,
    /// `msg_qbytes` of a new queue, in bytes.
    pub msgmnb: u64,
    /// Most queues.
    pub msgmni: u64,
    /// Most semaphores in a set.
    pub semmsl: u64,
    /// Most semaphores in all sets.
    pub semmns: u64,
    /// Most operations in a `semop`.
    pub semopm: u64,
    /// Most semaphore sets.
    pub semmni: u64,
    /// Most bytes in a segment.
    pub shmmax: u64,
    /// Most pages in all segments.
    pub shmall: u64,
    /// Most segments.
    pub shmmni: u64,
    /// 1: a segment goes with its last attachment, removed or not.
    pub shm_rmid_forced: u64,
}

pub(super) const COUNT: usize = 11;
const INT: u64 = i32::MAX as u64;
const MNI: u64 = IPCMNI as u64;
/// `ULONG_MAX - (1UL << 24)`.
const SHM_MOST: u64 = u64::MAX - (1 << 24);

/// Name, Linux's default and largest value of each limit, by place in the file.
const LIMITS: [(&str, u64, u64); COUNT] = [
    ("msgmax", 8192, INT),
    ("msgmnb", 16384, INT),
    ("msgmni", 32000, MNI),
    ("semmsl", 32000, INT),
    ("semmns", 1_024_000_000, INT),
    ("semopm", 500, INT),
    ("semmni", 32000, MNI),
    ("shmmax", SHM_MOST, u64::MAX),
    ("shmall", SHM_MOST, u64::MAX),
    ("shmmni", 4096, MNI),
    ("shm_rmid_forced", 0, 1),
];

/// The text files: name, first limit, number of limits.
const FILES: [(&str, usize, usize); 8] = [
    ("msgmax", 0, 1),
    ("msgmnb", 1, 1),
    ("msgmni", 2, 1),
    ("sem", 3, 4),
    ("shmmax", 7, 1),
    ("shmall", 8, 1),
    ("shmmni", 9, 1),
    ("shm_rmid_forced", 10, 1),
];

type Values = [u64; COUNT];

impl Limits {
    /// Linux's defaults.
    pub const LINUX: Limits = {
        let mut values = [0; COUNT];
        let mut i = 0;
        while i < COUNT {
            values[i] = LIMITS[i].1;
            i += 1;
        }
        Limits::of(&values)
    };

    /// From the words, in the order of `LIMITS`.
    const fn of(words: &Values) -> Limits {
        Limits {
            msgmax: words[0],
            msgmnb: words[1],
            msgmni: words[2],
            semmsl: words[3],
            semmns: words[4],
            semopm: words[5],
            semmni: words[6],
            shmmax: words[7],
            shmall: words[8],
            shmmni: words[9],
            shm_rmid_forced: words[10],
        }
    }
}

fn words(head: &Head) -> Values {
    let mut values = [0; COUNT];
    for (value, word) in values.iter_mut().zip(&head.limits) {
        *value = word.load(Relaxed);
    }
    values
}

impl Namespace {
    /// The limits as they are now.
    #[inline]
    pub fn limits(&self) -> Limits {
        let Ok(head) = self.head() else {
            return Limits::LINUX;
        };
        if head.edited.load(Relaxed) != 0 {
            return self.edited_limits(head);
        }
        Limits::of(&words(head))
    }

    /// `msgmax` as it is now.
    #[inline]
    pub fn msgmax(&self) -> u64 {
        match self.limit(0) {
            Some(msgmax) => msgmax,
            None => self.limits_apart().msgmax,
        }
    }

    #[cold]
    #[inline(never)]
    fn limits_apart(&self) -> Limits {
        self.limits()
    }

    /// `semopm` as it is now.
    #[inline]
    pub fn semopm(&self) -> u64 {
        match self.limit(5) {
            Some(semopm) => semopm,
            None => self.limits_apart().semopm,
        }
    }

    /// The limit at a place of `LIMITS`, if the words count now.
    #[inline]
    fn limit(&self, place: usize) -> Option<u64> {
        let head = self.head().ok()?;
        let counts = head.edited.load(Relaxed) == 0;
        counts.then(|| head.limits[place].load(Relaxed))
    }

    /// Reads the texts, which somebody may be writing, and believes them when they make sense.
    #[cold]
    fn edited_limits(&self, head: &Head) -> Limits {
        let age = sys::monotonic_ms().wrapping_sub(head.edited.load(Relaxed));
        let late = age > SETTLE_MS;
        let mut values = words(head);
        let mut settled = true;
        for file @ (_, first, count) in FILES {
            let (text, whole) = self.read_text(file, &values);
            if let Some(read) = text {
                values = read;
            } else if late && self.files.writable {
                // Nothing was written, or nonsense: what counts stands there again.
                let _ = write_text(&self.path.path(), file, &values);
            }
            settled &= whole || text.is_some() && age > LINE_MS;
            if self.files.writable {
                let changed = head.limits.iter().zip(values).skip(first).take(count);
                changed.for_each(|(word, value)| word.store(value, Relaxed));
                crashpoint!("limits.read.stored");
            }
        }
        if (settled || late) && self.files.writable {
            head.edited.store(0, Relaxed);
            crashpoint!("limits.read.settled");
        }
        Limits::of(&values)
    }

    /// The values with what a file's text says, if that makes sense; and whether a whole line was
    /// written.
    fn read_text(&self, file: (&str, usize, usize), old: &Values) -> (Option<Values>, bool) {
        let mut text = [0; 128];
        let len = self
            .text_path(file.0)
            .and_then(|path| files::open_file(&path, libc::O_RDONLY, 0))
            .and_then(|fd| sys::read(&fd, &mut text, 0));
        let text = text.get(..len.unwrap_or(0)).unwrap_or(&[]);
        (parse_text(text, file, old), text.contains(&b'\n'))
    }

    fn text_path(&self, name: &str) -> Result<Path<'_>> {
        self.file(&[b"limits", name.as_bytes()])
    }

    /// Calls `visit` with the path of a text file, named as in `/proc/sys/kernel`. EINVAL: no such.
    pub fn with_limit_path<T>(&self, file: &str, visit: impl FnOnce(&CStr) -> T) -> Result<T> {
        file_named(file)?;
        self.text_path(file)?.with_c(|path| Ok(visit(path)))
    }

    /// Opens a text file, named as in `/proc/sys/kernel`, with the flags of a program's `open`: a
    /// bare descriptor, which the caller closes.
    pub fn open_limit(&self, file: &str, flags: i32) -> Result<i32> {
        file_named(file)?;
        let fd = files::open_file(&self.text_path(file)?, flags, 0)?;
        sys::set_flags(&fd, flags)?;
        Ok(fd.into_raw())
    }

    /// Calls `visit` with what a file of `/proc/sys/kernel` holds. EINVAL: no such file.
    pub fn with_limit_text<T>(&self, file: &str, visit: impl FnOnce(&[u8]) -> T) -> Result<T> {
        let file = file_named(file)?;
        self.limits();
        Ok(visit(text_of(file, &words(self.head()?))?.as_bytes()))
    }

    /// A text file is about to be written: for a while the text counts. It is emptied, so that
    /// nothing stands behind what is written; while it is empty, nothing changes.
    pub fn limit_edited(&self, file: &str) {
        if let Ok(fd) = self
            .text_path(file)
            .and_then(|path| files::open_file(&path, libc::O_WRONLY, 0))
        {
            let _ = sys::ftruncate(&fd, 0);
        }
        crashpoint!("limits.edit.emptied");
        let now = sys::monotonic_ms().max(1);
        match self.head() {
            Ok(head) if self.files.writable => {
                head.edited.store(now, Relaxed);
                crashpoint!("limits.edit.noted");
            }
            // Opened by another user than this process is now; who may not write may not write.
            _ => {
                let ns = self.file(&[b"ns"]);
                if let Ok(fd) = ns.and_then(|path| files::open_file(&path, libc::O_WRONLY, 0)) {
                    let at = offset_of!(Head, edited) as u64;
                    let _ = sys::write(&fd, &now.to_ne_bytes(), at);
                }
            }
        }
    }

    /// Sets a limit by its name, such as `msgmax` or `semopm`. EINVAL: no such limit, or beyond its
    /// bounds; EACCES: not the namespace's owner.
    pub fn set_limit(&self, name: &str, value: u64) -> Result<()> {
        let found = LIMITS.iter().position(|(n, _, _)| *n == name);
        let place = found.ok_or(Errno::EINVAL)?;
        if value > LIMITS[place].2 {
            return Err(Errno::EINVAL);
        }
        if !self.files.writable {
            return Err(Errno::EACCES);
        }
        let head = self.head()?;
        let mut values = words(head);
        values[place] = value;
        let file = FILES
            .iter()
            .find(|(_, first, count)| (*first..first + count).contains(&place));
        // Should this process be killed over it, the text counts.
        let now = sys::monotonic_ms().max(1);
        head.edited.store(now, Relaxed);
        crashpoint!("limits.set.noted");
        write_text(&self.path.path(), *file.ok_or(Errno::EINVAL)?, &values)?;
        crashpoint!("limits.set.written");
        head.limits[place].store(value, Relaxed);
        crashpoint!("limits.set.stored");
        // A program that opened a text meanwhile has its time.
        let _ = head.edited.compare_exchange(now, 0, Relaxed, Relaxed);
        Ok(())
    }
}

/// The words of a new namespace.
pub(super) fn fill(head: &Head) {
    for (word, (_, value, _)) in head.limits.iter().zip(LIMITS) {
        word.store(value, Relaxed);
    }
}

/// The texts of a new namespace.
pub(super) fn write_texts(dir: &Path<'_>) -> Result<()> {
    let values = LIMITS.map(|(_, value, _)| value);
    FILES
        .iter()
        .try_for_each(|file| write_text(dir, *file, &values))
}

fn file_named(name: &str) -> Result<(&'static str, usize, usize)> {
    let found = FILES.iter().find(|(n, _, _)| *n == name);
    found.copied().ok_or(Errno::EINVAL)
}

fn text_of((_, first, count): (&str, usize, usize), values: &Values) -> Result<Text> {
    let mut text = Text::empty();
    for (i, value) in values.iter().skip(first).take(count).enumerate() {
        text.push(if i == 0 { b"" } else { b"\t" })?;
        text.push(Digits::decimal(*value).as_bytes())?;
    }
    text.push(b"\n")?;
    Ok(text)
}

fn write_text(dir: &Path<'_>, file: (&str, usize, usize), values: &Values) -> Result<()> {
    let path = dir.file(&[b"limits", file.0.as_bytes()])?;
    let fd = files::open_file(&path, libc::O_WRONLY | libc::O_CREAT, 0o644)?;
    let text = text_of(file, values)?;
    sys::ftruncate(&fd, 0)?;
    crashpoint!("limits.text.emptied");
    sys::write(&fd, text.as_bytes(), 0).map(drop)
}

/// What the kernel accepts in `/proc/sys`: numbers between blanks; those that are missing at the
/// end stay as they are.
fn parse_text(text: &[u8], file: (&str, usize, usize), old: &Values) -> Option<Values> {
    let (_, first, count) = file;
    let line = text.split(|&c| c == b'\n').next()?;
    let line = core::str::from_utf8(line).ok()?;
    let mut values = *old;
    let mut numbers = line
        .split([' ', '\t', '\r', '\0'])
        .filter(|n| !n.is_empty());
    let places = values.iter_mut().zip(LIMITS).skip(first).take(count);
    for (i, (value, (_, _, most))) in places.enumerate() {
        match numbers.next() {
            Some(number) => *value = parse_number(number).filter(|n| *n <= most)?,
            None if i == 0 => return None,
            None => break,
        }
    }
    numbers.next().is_none().then_some(values)
}

/// C's decimal, octal or hex.
fn parse_number(number: &str) -> Option<u64> {
    match number.as_bytes() {
        [b'0', b'x' | b'X', ..] => u64::from_str_radix(number.get(2..)?, 16).ok(),
        [b'0', _, ..] => u64::from_str_radix(number, 8).ok(),
        _ => number.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::{COUNT, FILES, parse_text};

    /// The first four values from the file's on; what it does not hold is 7.
    fn parsed(text: &[u8], file: usize) -> Option<[u64; 4]> {
        let first = FILES[file].1;
        let values = parse_text(text, FILES[file], &[7; COUNT])?;
        Some([0, 1, 2, 3].map(|i| values[first + i]))
    }

    #[test]
    fn limits_are_written_as_the_kernel_reads_them() {
        assert_eq!(parsed(b"16\n2\n", 0), Some([16, 7, 7, 7]));
        assert_eq!(parsed(b" 0x7f ", 0), Some([127, 7, 7, 7]));
        assert_eq!(parsed(b"0126\n", 0), Some([86, 7, 7, 7]));
        assert_eq!(parsed(b"0", 0), Some([0, 7, 7, 7]));
        assert_eq!(parsed(b"12abc", 0), None);
        assert_eq!(parsed(b"-1", 0), None);
        assert_eq!(parsed(b"", 0), None);
        assert_eq!(parsed(b"1 2", 0), None);
    }

    #[test]
    fn the_file_of_semaphores_holds_four_limits() {
        assert_eq!(parsed(b"1 2\t3 4\n", 3), Some([1, 2, 3, 4]));
        assert_eq!(parsed(b"1 2\n", 3), Some([1, 2, 7, 7]));
        assert_eq!(parsed(b"1 2 3 99999\n", 3), None);
    }
}
