//! A namespace: a directory that is a world of System V IPC of its own.
//!
//! ```text
//! NS/ns        layout version, boot id, limits; written by the namespace's owner only
//! NS/counters  sequence numbers, index hints and the name lock; written by everybody
//! NS/msg/I     the queue with index I
//! NS/key/msg.K a link that holds the id of the queue with key K (eight hex digits)
//! NS/limits/L  each limit as text, as /proc/sys/kernel has it
//! ```
//!
//! A namespace that root makes, or that is made in a sticky directory which everybody may write
//! to, is shared: everybody may make objects in it, and each object's file lets in whom its mode
//! bits let in. Any other is its owner's alone (0700).
//!
//! Objects do not outlive a boot, as the kernel's do not: whoever first opens a namespace of an
//! earlier boot empties it, under a lock of the directory.

use crate::errno::{Errno, Result};
use crate::map::{Map, Shared};
use crate::path::{Digits, Path};
use crate::registry::Counters;
use crate::sys::{self, Fd};
use core::ffi::CStr;
use core::fmt;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::*};

/// `usysv-ns`, little end first: a foreign byte order does not match.
const MAGIC: u64 = u64::from_le_bytes(*b"usysv-ns");
/// Moves with every change of any layout in a namespace.
pub(crate) const LAYOUT: u32 = 1;
const FILE_LEN: usize = 4096;
/// How long after a limit's text file was opened for writing something may still be written.
const SETTLE_MS: u64 = 2000;
/// How long after that a number without its newline may still grow.
const LINE_MS: u64 = 50;

/// Why a namespace cannot be used: what failed, and the error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What failed.
    pub what: &'static str,
    /// Why.
    pub errno: Errno,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.errno)
    }
}

impl core::error::Error for Fault {}

impl Fault {
    /// The errno that a C program gets from its call: EACCES, ENOSPC and ENOMEM in their usual
    /// sense, else ENOSYS, as from a kernel without System V IPC.
    pub fn for_c(&self) -> Errno {
        match self.errno {
            Errno::EACCES | Errno::EPERM | Errno::EROFS => Errno::EACCES,
            Errno::ENOSPC | Errno::EDQUOT => Errno::ENOSPC,
            Errno::ENOMEM | Errno::EMFILE | Errno::ENFILE => Errno::ENOMEM,
            _ => Errno::ENOSYS,
        }
    }
}

trait During<T> {
    fn during(self, what: &'static str) -> core::result::Result<T, Fault>;
}

impl<T> During<T> for Result<T> {
    fn during(self, what: &'static str) -> core::result::Result<T, Fault> {
        self.map_err(|errno| Fault { what, errno })
    }
}

/// The limits of a namespace's message queues; defaults are Linux's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of text in a message.
    pub msgmax: u64,
    /// `msg_qbytes` of a new queue, in bytes.
    pub msgmnb: u64,
    /// Most queues.
    pub msgmni: u64,
}

/// Name, Linux's default and largest value of each limit, by place in the file.
const LIMITS: [(&str, u64, u64); 3] = [
    ("msgmax", 8192, i32::MAX as u64),
    ("msgmnb", 16384, i32::MAX as u64),
    ("msgmni", 32000, crate::abi::IPCMNI as u64),
];

/// The file `ns`.
#[repr(C)]
struct Head {
    magic: AtomicU64,
    layout: AtomicU32,
    reserved: AtomicU32,
    boot: [AtomicU64; 2],
    limits: [AtomicU64; 16],
    /// When a limit's text was last opened for writing, in monotonic milliseconds; 0: settled.
    edited: AtomicU64,
}

// SAFETY: repr(C) and atomics only.
#[allow(unsafe_code)]
unsafe impl Shared for Head {}

/// An open namespace.
pub struct Namespace {
    path: Path,
    head: Map,
    counters: Map,
    writable: bool,
}

// SAFETY: the mappings are shared memory that is only reached through atomics.
#[allow(unsafe_code)]
unsafe impl Send for Namespace {}
// SAFETY: as above.
#[allow(unsafe_code)]
unsafe impl Sync for Namespace {}

impl Namespace {
    /// The namespace that `USYSV_NS` or `--ns` names: an absolute path, or a name (then among the
    /// user's own); `None` asks the environment, and without it takes the machine-wide
    /// `/dev/shm/usysv` if root has made it sticky, else the user's own. Made when missing.
    pub fn select(choice: Option<&CStr>) -> core::result::Result<Namespace, Fault> {
        match choice.or_else(|| sys::env(c"USYSV_NS")) {
            Some(path) if path.to_bytes().starts_with(b"/") => {
                let path = Path::of(&[path.to_bytes()]).during("the namespace's path")?;
                Namespace::make(path)
            }
            Some(name) => Namespace::own(Some(name.to_bytes())),
            None => {
                let shared = Path::of(&[b"/dev/shm/usysv"]).during("the namespace's path")?;
                match sys::lstat(shared.as_c()) {
                    Ok(st) if st.st_uid == 0 && is_shared(&st) => Namespace::make(shared),
                    _ => Namespace::own(None),
                }
            }
        }
    }

    /// An existing namespace.
    pub fn open(path: &CStr) -> core::result::Result<Namespace, Fault> {
        let path = Path::of(&[path.to_bytes()]).during("the namespace's path")?;
        check_directory(&path)?;
        Namespace::attach(path, true)
    }

    /// A fresh namespace with a name that nobody has, in `parent` or where namespaces are made.
    pub fn create_private(parent: Option<&CStr>) -> core::result::Result<Namespace, Fault> {
        let base = match parent {
            Some(parent) => Path::of(&[parent.to_bytes()]).during("the parent's path")?,
            None => base()?,
        };
        let seed = u64::from(sys::getpid()) << 32 ^ sys::monotonic_ms();
        for n in 0..1000 {
            let mut path = base;
            path.push(b"/usysv-private.")
                .and_then(|()| path.push(Digits::decimal(seed.wrapping_add(n)).as_bytes()))
                .during("the namespace's path")?;
            match sys::mkdir(path.as_c(), 0o700) {
                Ok(()) => {
                    open_up(&path)?;
                    return Namespace::make(path);
                }
                Err(Errno::EEXIST) => {}
                Err(errno) => {
                    return Err(Fault {
                        what: "cannot make the directory",
                        errno,
                    });
                }
            }
        }
        Err(Fault {
            what: "no free name for a private namespace",
            errno: Errno::EEXIST,
        })
    }

    /// A namespace of the user's own.
    fn own(name: Option<&[u8]>) -> core::result::Result<Namespace, Fault> {
        let mut path = base()?;
        path.push(b"/usysv-")
            .and_then(|()| path.push(Digits::decimal(u64::from(sys::geteuid())).as_bytes()))
            .during("the namespace's path")?;
        if let Some(name) = name {
            let plain = |c: &u8| c.is_ascii_alphanumeric() || b"._-".contains(c);
            if name.len() > 64 || !name.iter().all(plain) {
                let what = "a namespace's name has at most 64 letters, digits, '.', '_' and '-'";
                return Err(Fault {
                    what,
                    errno: Errno::EINVAL,
                });
            }
            path.push(b".")
                .and_then(|()| path.push(name))
                .during("the namespace's path")?;
        }
        if let Ok(st) = sys::lstat(path.as_c())
            && st.st_uid != sys::geteuid()
            && st.st_uid != 0
        {
            let what = "the namespace's directory belongs to somebody else";
            return Err(Fault {
                what,
                errno: Errno::EACCES,
            });
        }
        Namespace::make(path)
    }

    /// Opens it; makes it when missing.
    fn make(path: Path) -> core::result::Result<Namespace, Fault> {
        match sys::mkdir(path.as_c(), 0o700) {
            Ok(()) => open_up(&path)?,
            Err(Errno::EEXIST) => {}
            Err(errno) if check_directory(&path).is_err() => {
                return Err(Fault {
                    what: "cannot make the namespace's directory",
                    errno,
                });
            }
            Err(_) => {}
        }
        check_directory(&path)?;
        Namespace::attach(path, true)
    }

    fn attach(path: Path, may_make: bool) -> core::result::Result<Namespace, Fault> {
        let name = file(&path, b"/ns").during("the namespace's path")?;
        let opened = match sys::open(name.as_c(), libc::O_RDWR, 0) {
            Err(Errno::EACCES | Errno::EROFS | Errno::EPERM) => {
                sys::open(name.as_c(), libc::O_RDONLY, 0).map(|fd| (fd, false))
            }
            other => other.map(|fd| (fd, true)),
        };
        let (fd, writable) = match opened {
            Err(Errno::ENOENT) if may_make => {
                lay_out(&path)?;
                return Namespace::attach(path, false);
            }
            other => other.during("cannot open the namespace's file 'ns'")?,
        };
        let head = map_file(&fd, FILE_LEN, writable).during("the namespace's file 'ns'")?;
        let mut ns = Namespace {
            path,
            counters: head,
            head,
            writable,
        };
        ns.check()?;
        if !ns.of_this_boot() {
            if !may_make {
                return Err(Fault {
                    what: "the namespace is of an earlier boot",
                    errno: Errno::ESTALE,
                });
            }
            lay_out(&path)?;
            return Namespace::attach(path, false);
        }
        let name = file(&path, b"/counters").during("the namespace's path")?;
        let fd = sys::open(name.as_c(), libc::O_RDWR, 0)
            .during("cannot open the namespace's file 'counters'")?;
        let counters =
            map_file(&fd, size_of::<Counters>(), true).during("the namespace's file 'counters'")?;
        ns.counters = counters;
        Ok(ns)
    }

    fn check(&self) -> core::result::Result<(), Fault> {
        let head = self.head().during("the namespace's file 'ns'")?;
        if head.magic.load(Relaxed) != MAGIC {
            return Err(Fault {
                what: "the file 'ns' is not a namespace's",
                errno: Errno::EPROTO,
            });
        }
        if head.layout.load(Relaxed) != LAYOUT {
            let what = "the namespace has another version's layout";
            return Err(Fault {
                what,
                errno: Errno::EPROTO,
            });
        }
        Ok(())
    }

    fn of_this_boot(&self) -> bool {
        let (Ok(head), Some(boot)) = (self.head(), boot_id()) else {
            return true;
        };
        head.boot[0].load(Relaxed) == boot[0] && head.boot[1].load(Relaxed) == boot[1]
    }

    fn head(&self) -> Result<&Head> {
        self.head.at(0)
    }

    pub(crate) fn counters(&self) -> Result<&Counters> {
        self.counters.at(0)
    }

    /// Its directory, an absolute path.
    pub fn path(&self) -> &CStr {
        self.path.as_c()
    }

    /// The path of a file in it.
    pub(crate) fn file(&self, parts: &[&[u8]]) -> Result<Path> {
        let mut path = self.path;
        for part in parts {
            path.push(b"/")?;
            path.push(part)?;
        }
        Ok(path)
    }

    /// The limits as they are now.
    #[inline]
    pub fn limits(&self) -> Limits {
        let Ok(head) = self.head() else {
            return Limits::LINUX;
        };
        if head.edited.load(Relaxed) != 0 {
            return self.edited_limits(head);
        }
        let [msgmax, msgmnb, msgmni, ..] = &head.limits;
        Limits {
            msgmax: msgmax.load(Relaxed),
            msgmnb: msgmnb.load(Relaxed),
            msgmni: msgmni.load(Relaxed),
        }
    }

    /// Reads the texts, which somebody may be writing, and believes them when they make sense.
    #[cold]
    fn edited_limits(&self, head: &Head) -> Limits {
        let age = sys::monotonic_ms().wrapping_sub(head.edited.load(Relaxed));
        let late = age > SETTLE_MS;
        let mut values = [0u64; LIMITS.len()];
        let mut settled = true;
        for (i, (name, _, most)) in LIMITS.iter().enumerate() {
            let (text, whole) = self.read_limit(name);
            let old = head.limits[i].load(Relaxed);
            values[i] = text.filter(|value| value <= most).unwrap_or(old);
            settled &= whole || text.is_some() && age > LINE_MS;
            if self.writable {
                head.limits[i].store(values[i], Relaxed);
                if late && text != Some(values[i]) {
                    // Nothing was written, or nonsense: what counts stands there again.
                    let _ = write_limit(&self.path, name, values[i]);
                }
            }
        }
        if (settled || late) && self.writable {
            head.edited.store(0, Relaxed);
        }
        Limits {
            msgmax: values[0],
            msgmnb: values[1],
            msgmni: values[2],
        }
    }

    /// A limit's text, and whether a whole line was written.
    fn read_limit(&self, name: &str) -> (Option<u64>, bool) {
        let mut text = [0; 64];
        let len = self
            .limit_file(name)
            .and_then(|path| sys::open(path.as_c(), libc::O_RDONLY, 0))
            .and_then(|fd| sys::read(&fd, &mut text, 0));
        let text = text.get(..len.unwrap_or(0)).unwrap_or(&[]);
        (parse_sysctl(text), text.contains(&b'\n'))
    }

    fn limit_file(&self, name: &str) -> Result<Path> {
        self.file(&[b"limits", name.as_bytes()])
    }

    /// Calls `visit` with the path of the text file of a limit. EINVAL: no such limit.
    pub fn with_limit_path<T>(&self, name: &str, visit: impl FnOnce(&CStr) -> T) -> Result<T> {
        limit(name)?;
        Ok(visit(self.limit_file(name)?.as_c()))
    }

    /// A limit's text file is about to be written: for a while the text counts. It is emptied, so
    /// that nothing stands behind what is written; while it is empty, nothing changes.
    pub fn limit_edited(&self, name: &str) {
        if let Ok(fd) = self
            .limit_file(name)
            .and_then(|path| sys::open(path.as_c(), libc::O_WRONLY, 0))
        {
            let _ = sys::ftruncate(&fd, 0);
        }
        let now = sys::monotonic_ms().max(1);
        match self.head() {
            Ok(head) if self.writable => head.edited.store(now, Relaxed),
            // Opened by another user than this process is now; who may not write may not write.
            _ => {
                let ns = self.file(&[b"ns"]);
                if let Ok(fd) = ns.and_then(|path| sys::open(path.as_c(), libc::O_WRONLY, 0)) {
                    let at = core::mem::offset_of!(Head, edited) as u64;
                    let _ = sys::write(&fd, &now.to_ne_bytes(), at);
                }
            }
        }
    }

    /// Sets a limit: `msgmax`, `msgmnb` or `msgmni`. EINVAL: no such limit, or beyond its bounds;
    /// EACCES: not the namespace's owner.
    pub fn set_limit(&self, name: &str, value: u64) -> Result<()> {
        let (place, most) = limit(name)?;
        if value > most {
            return Err(Errno::EINVAL);
        }
        if !self.writable {
            return Err(Errno::EACCES);
        }
        write_limit(&self.path, name, value)?;
        self.head()?.limits[place].store(value, Relaxed);
        Ok(())
    }

    /// Removes the directory and everything in it. Programs that still use it find their objects
    /// gone when they next make one.
    pub fn destroy(&self) -> core::result::Result<(), Fault> {
        for dir in DIRECTORIES {
            empty(&self.path, dir).during("cannot empty the namespace's directory")?;
            let path = self.file(&[dir]).during("the namespace's path")?;
            sys::rmdir(path.as_c()).during("cannot remove the namespace's directory")?;
        }
        for name in [b"/counters".as_slice(), b"/ns"] {
            let path = file(&self.path, name).during("the namespace's path")?;
            sys::unlink(path.as_c()).during("cannot remove the namespace's files")?;
        }
        sys::rmdir(self.path.as_c()).during("cannot remove the namespace's directory")
    }
}

impl Drop for Namespace {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        // SAFETY: the references into the maps are borrowed from self, which is gone now.
        unsafe {
            self.head.unmap();
            if self.counters.parts() != self.head.parts() {
                self.counters.unmap();
            }
        }
    }
}

impl Limits {
    /// Linux's defaults.
    pub const LINUX: Limits = Limits {
        msgmax: LIMITS[0].1,
        msgmnb: LIMITS[1].1,
        msgmni: LIMITS[2].1,
    };
}

/// A limit's place and largest value.
fn limit(name: &str) -> Result<(usize, u64)> {
    let found = LIMITS.iter().enumerate().find(|(_, (n, _, _))| *n == name);
    found
        .map(|(i, (_, _, most))| (i, *most))
        .ok_or(Errno::EINVAL)
}

/// What the kernel accepts in `/proc/sys`: blanks, then C's decimal, octal or hex, then blanks.
fn parse_sysctl(text: &[u8]) -> Option<u64> {
    let line = text.split(|&c| c == b'\n').next()?;
    let line = core::str::from_utf8(line)
        .ok()?
        .trim_matches([' ', '\t', '\r', '\0']);
    match line.as_bytes() {
        [b'0', b'x' | b'X', ..] => u64::from_str_radix(line.get(2..)?, 16).ok(),
        [b'0', _, ..] => u64::from_str_radix(line, 8).ok(),
        _ => line.parse().ok(),
    }
}

const DIRECTORIES: [&[u8]; 3] = [b"msg", b"key", b"limits"];

fn file(dir: &Path, name: &[u8]) -> Result<Path> {
    let mut path = *dir;
    path.push(name)?;
    Ok(path)
}

fn is_shared(st: &libc::stat) -> bool {
    st.st_mode & libc::S_IFMT == libc::S_IFDIR && st.st_mode & 0o1002 == 0o1002
}

/// What root makes is for everybody, as its programs may become other users.
fn open_up(path: &Path) -> core::result::Result<(), Fault> {
    if sys::geteuid() == 0 {
        sys::chmod(path.as_c(), 0o1777).during("cannot open the namespace's directory to all")?;
    }
    Ok(())
}

fn check_directory(path: &Path) -> core::result::Result<(), Fault> {
    let st = sys::lstat(path.as_c()).during("the namespace's directory")?;
    match st.st_mode & libc::S_IFMT {
        libc::S_IFDIR => Ok(()),
        libc::S_IFLNK => Err(Fault {
            what: "the namespace is a symbolic link",
            errno: Errno::ELOOP,
        }),
        _ => Err(Fault {
            what: "the namespace is not a directory",
            errno: Errno::ENOTDIR,
        }),
    }
}

/// Where namespaces are made: the first of these that is a directory which we may write to.
fn base() -> core::result::Result<Path, Fault> {
    let env = |name: &CStr| sys::env(name).map_or(b"".as_slice(), CStr::to_bytes);
    for dir in [
        b"/dev/shm",
        env(c"XDG_RUNTIME_DIR"),
        env(c"TMPDIR"),
        b"/tmp",
    ] {
        if dir.starts_with(b"/") && sys::usable_directory(dir) {
            return Path::of(&[dir]).during("the namespace's path");
        }
    }
    Err(Fault {
        what: "none of /dev/shm, $XDG_RUNTIME_DIR, $TMPDIR and /tmp can be written to",
        errno: Errno::EACCES,
    })
}

/// Maps a whole file of ours, after a look at what it is.
fn map_file(fd: &Fd, len: usize, writable: bool) -> Result<Map> {
    let st = sys::fstat(fd)?;
    if st.st_mode & libc::S_IFMT != libc::S_IFREG || (st.st_size as u64) < len as u64 {
        return Err(Errno::EPROTO);
    }
    Map::of(fd, len, writable)
}

/// Makes the directories and files, or empties what an earlier boot left.
fn lay_out(path: &Path) -> core::result::Result<(), Fault> {
    let directory = sys::open(path.as_c(), libc::O_RDONLY | libc::O_DIRECTORY, 0)
        .during("cannot open the namespace's directory")?;
    sys::flock(&directory, libc::LOCK_EX).during("cannot lock the namespace's directory")?;
    if Namespace::attach(*path, false).is_ok() {
        return Ok(());
    }
    let shared = is_shared(&sys::fstat(&directory).during("the namespace's directory")?);
    for dir in DIRECTORIES {
        let name = Path::of(&[path.as_bytes(), b"/", dir]).during("the namespace's path")?;
        match sys::mkdir(name.as_c(), 0o700) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => {
                return Err(Fault {
                    what: "cannot fill the namespace",
                    errno,
                });
            }
        }
        let mode = match (shared, dir) {
            (false, _) => 0o700,
            (true, b"limits") => 0o755,
            (true, _) => 0o1777,
        };
        sys::chmod(name.as_c(), mode).during("cannot fill the namespace")?;
        empty(path, dir).during("cannot empty the namespace of an earlier boot")?;
    }
    for (name, value, _) in LIMITS {
        write_limit(path, name, value).during("cannot write the namespace's limits")?;
    }
    let mode = if shared { 0o666 } else { 0o600 };
    new_file(path, b"/counters", size_of::<Counters>(), mode, |_| Ok(()))
        .during("cannot make the namespace's file 'counters'")?;
    let mode = if shared { 0o644 } else { 0o600 };
    new_file(path, b"/ns", FILE_LEN, mode, fill_head)
        .during("cannot make the namespace's file 'ns'")
}

fn fill_head(map: &Map) -> Result<()> {
    let head: &Head = map.at(0)?;
    for (word, (_, value, _)) in head.limits.iter().zip(LIMITS) {
        word.store(value, Relaxed);
    }
    let boot = boot_id().unwrap_or([0; 2]);
    head.boot[0].store(boot[0], Relaxed);
    head.boot[1].store(boot[1], Relaxed);
    head.layout.store(LAYOUT, Relaxed);
    head.magic.store(MAGIC, Relaxed);
    Ok(())
}

/// A file that appears under its name only when it is whole. Under the directory's lock.
fn new_file(
    dir: &Path,
    name: &[u8],
    len: usize,
    mode: u32,
    fill: impl FnOnce(&Map) -> Result<()>,
) -> Result<()> {
    let (part, name) = (file(dir, b"/.part")?, file(dir, name)?);
    let _ = sys::unlink(part.as_c());
    let fd = sys::open(
        part.as_c(),
        libc::O_RDWR | libc::O_CREAT | libc::O_EXCL,
        0o600,
    )?;
    sys::ftruncate(&fd, len as u64)?;
    sys::fallocate(&fd, len as u64)?;
    sys::fchmod(&fd, mode)?;
    let map = Map::of(&fd, len, true)?;
    let filled = fill(&map);
    // SAFETY: `fill` is done with it.
    #[allow(unsafe_code)]
    unsafe {
        map.unmap();
    }
    filled?;
    let _ = sys::unlink(name.as_c());
    sys::link(part.as_c(), name.as_c())?;
    sys::unlink(part.as_c())
}

fn write_limit(dir: &Path, name: &str, value: u64) -> Result<()> {
    let path = Path::of(&[dir.as_bytes(), b"/limits/", name.as_bytes()])?;
    let fd = sys::open(path.as_c(), libc::O_WRONLY | libc::O_CREAT, 0o644)?;
    let mut text = Path::of(&[Digits::decimal(value).as_bytes()])?;
    text.push(b"\n")?;
    sys::write(&fd, text.as_bytes(), 0)?;
    sys::ftruncate(&fd, text.as_bytes().len() as u64)
}

/// Unlinks every file of a directory in the namespace.
fn empty(ns: &Path, dir: &[u8]) -> Result<()> {
    let path = Path::of(&[ns.as_bytes(), b"/", dir])?;
    let mut result = Ok(());
    crate::dir::each_name(&path, |name| {
        let gone = Path::of(&[path.as_bytes(), b"/", name]).and_then(|p| sys::unlink(p.as_c()));
        if gone.is_err() {
            result = gone;
        }
    })?;
    result
}

/// This boot's id, if /proc tells.
fn boot_id() -> Option<[u64; 2]> {
    let fd = sys::open(c"/proc/sys/kernel/random/boot_id", libc::O_RDONLY, 0).ok()?;
    let mut text = [0; 36];
    if sys::read(&fd, &mut text, 0).ok()? < 36 {
        return None;
    }
    let digits = text.iter().filter_map(|&c| char::from(c).to_digit(16));
    let mut id = [0u64; 2];
    for (i, digit) in digits.enumerate().take(32) {
        id[i / 16] = id[i / 16] << 4 | u64::from(digit);
    }
    Some(id)
}

#[cfg(test)]
mod tests {
    use super::parse_sysctl;

    #[test]
    fn limits_are_written_as_the_kernel_reads_them() {
        assert_eq!(parse_sysctl(b"16\n2\n"), Some(16));
        assert_eq!(parse_sysctl(b" 0x7f "), Some(127));
        assert_eq!(parse_sysctl(b"0126\n"), Some(86));
        assert_eq!(parse_sysctl(b"0"), Some(0));
        assert_eq!(parse_sysctl(b"12abc"), None);
        assert_eq!(parse_sysctl(b"-1"), None);
        assert_eq!(parse_sysctl(b""), None);
    }
}
