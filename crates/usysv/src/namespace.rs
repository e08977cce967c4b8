//! A namespace: a directory that is a world of System V IPC of its own.
//!
//! ```text
//! NS/ns        layout version, boot id, limits; written by the namespace's owner only
//! NS/bells     a word for each thread that somebody may have to outlive; see `bell`
//! NS/counters  sequence numbers, index hints and the name lock; written by everybody
//! NS/msg/I     the queue with index I; sem/I and shm/I likewise
//! NS/shm/I.data the bytes of the segment with index I, or a link that says where they are (`shm/huge.rs`)
//! NS/posix/N   the POSIX shared memory named N
//! NS/key/msg.K a link that holds the id of the queue with key K (eight hex digits)
//! NS/limits/L  the limits as text, as /proc/sys/kernel has them
//! ```
//!
//! A namespace that root makes, or that is made in a sticky directory which everybody may write
//! to, is shared: everybody may make objects in it, and each object's file lets in whom its mode
//! bits let in. Any other is its owner's alone (0700).
//!
//! Objects do not outlive a boot, as the kernel's do not: whoever first opens a namespace of an
//! earlier boot empties it, under a lock of the directory.

mod limits;
mod users;

pub use limits::Limits;
pub(crate) use users::{are_mixed, enter_all};

use crate::bell;
use crate::crash::crashpoint;
use crate::environment;
use crate::errno::{Errno, Result};
use crate::files;
use crate::map::{Map, Shared};
use crate::path::{Digits, Long, Path};
use crate::registry::Counters;
use crate::shm::Huge;
use crate::sys::{self, Fd};
use core::ffi::CStr;
use core::fmt;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::*};

/// `usysv-ns`, little end first: a foreign byte order does not match.
const MAGIC: u64 = u64::from_le_bytes(*b"usysv-ns");
/// Moves with every change of any layout in a namespace.
pub(crate) const LAYOUT: u32 = 18;
const FILE_LEN: usize = 4096;
/// How long after a limit's text file was opened for writing something may still be written.
const SETTLE_MS: u64 = 2000;

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
    path: Long,
    files: Files,
}

/// Its files, mapped: what of a namespace is moved about while it is opened, as its path is long.
struct Files {
    head: Map,
    counters: Map,
    bells: Map,
    writable: bool,
    /// Other users can come in.
    shared: bool,
}

// SAFETY: the mappings are shared memory that is only reached through atomics.
#[allow(unsafe_code)]
unsafe impl Send for Files {}
// SAFETY: as above.
#[allow(unsafe_code)]
unsafe impl Sync for Files {}

impl Namespace {
    /// The namespace that `USYSV_NS` or `--ns` names: an absolute path, or a name (then among the
    /// user's own); `None` asks the environment, and without it takes the machine-wide
    /// `/dev/shm/usysv` if root has made it sticky, else the user's own. Made when missing.
    #[inline(never)]
    pub fn select(choice: Option<&CStr>) -> core::result::Result<Namespace, Fault> {
        let mut path = Long::empty();
        choose(choice, &mut path)?;
        let files = Files::make(&mut path)?;
        Ok(Namespace { path, files })
    }

    /// An existing namespace.
    pub fn open(path: &CStr) -> core::result::Result<Namespace, Fault> {
        let mut whole = Long::empty();
        push(&mut whole, &[path.to_bytes()])?;
        settle(&mut whole)?;
        check_directory(&whole)?;
        let files = Files::open(&whole, true)?;
        Ok(Namespace { path: whole, files })
    }

    /// A fresh namespace with a name that nobody has, in `parent` or where namespaces are made.
    pub fn create_private(parent: Option<&CStr>) -> core::result::Result<Namespace, Fault> {
        let base = match parent {
            Some(parent) => parent.to_bytes(),
            None => base()?,
        };
        let seed = u64::from(sys::getpid()) << 32 ^ sys::monotonic_ms();
        for n in 0..1000 {
            let mut path = Long::empty();
            let number = Digits::decimal(seed.wrapping_add(n));
            push(&mut path, &[base, b"/usysv-private.", number.as_bytes()])?;
            settle(&mut path)?;
            match files::mkdir(&path.path(), 0o700) {
                Ok(()) => {
                    open_up(&path)?;
                    let files = Files::make(&mut path)?;
                    return Ok(Namespace { path, files });
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

    fn head(&self) -> Result<&Head> {
        self.files.head()
    }

    /// The bells. Not unmapped when the namespace is dropped: threads have their cells in their
    /// robust lists.
    pub(crate) fn bells(&self) -> &Map {
        &self.files.bells
    }

    pub(crate) fn counters(&self) -> Result<&Counters> {
        self.files.counters.at(0)
    }

    /// Whether users besides the owner can write to the file of an object with this mode, and cut it off.
    pub(crate) fn lets_others_write(&self, mode: u32) -> bool {
        self.files.shared && mode & 0o066 != 0
    }

    /// Whether somebody cut the file `counters` off under us.
    pub(crate) fn counters_are_lost(&self) -> bool {
        self.files.counters.is_lost()
    }

    /// Its directory, an absolute path.
    pub fn path(&self) -> &CStr {
        self.path.as_c()
    }

    /// The path of a file in it.
    pub(crate) fn file(&self, parts: &[&[u8]]) -> Result<Path<'_>> {
        self.path.path().file(parts)
    }

    /// Removes the directory and everything in it. Programs that still use it find their objects
    /// gone when they next make one.
    pub fn destroy(&self) -> core::result::Result<(), Fault> {
        for dir in DIRECTORIES {
            empty(&self.path, dir).during("cannot empty the namespace's directory")?;
            let path = self.file(&[dir]).during("the namespace's path")?;
            files::rmdir(&path).during("cannot remove the namespace's directory")?;
        }
        for name in [b"bells".as_slice(), b"counters", b"ns"] {
            let path = file(&self.path, name).during("the namespace's path")?;
            files::unlink(&path).during("cannot remove the namespace's files")?;
        }
        files::rmdir(&self.path.path()).during("cannot remove the namespace's directory")
    }
}

impl Files {
    /// Opens them, with the path freed of links; makes them when missing.
    fn make(path: &mut Long) -> core::result::Result<Files, Fault> {
        make_directory(path)?;
        Files::open(path, true)
    }

    #[inline(never)]
    fn open(path: &Long, may_make: bool) -> core::result::Result<Files, Fault> {
        let name = file(path, b"ns").during("the namespace's path")?;
        let opened = match files::open_file(&name, libc::O_RDWR, 0) {
            Err(Errno::EACCES | Errno::EROFS | Errno::EPERM) => {
                files::open_file(&name, libc::O_RDONLY, 0).map(|fd| (fd, false))
            }
            other => other.map(|fd| (fd, true)),
        };
        let (fd, writable) = match opened {
            Err(Errno::ENOENT) if may_make => {
                lay_out(path)?;
                return Files::open(path, false);
            }
            other => other.during("cannot open the namespace's file 'ns'")?,
        };
        let head = map_file(&fd, FILE_LEN, writable).during("the namespace's file 'ns'")?;
        let mode = sys::fstat(&fd).during("the namespace's file 'ns'")?.st_mode;
        let mut ns = Files {
            counters: head,
            bells: head,
            head,
            writable,
            shared: mode & 0o066 != 0,
        };
        ns.check()?;
        if !ns.of_this_boot() {
            if !may_make {
                return Err(Fault {
                    what: "the namespace is of an earlier boot",
                    errno: Errno::ESTALE,
                });
            }
            lay_out(path)?;
            return Files::open(path, false);
        }
        let name = file(path, b"counters").during("the namespace's path")?;
        let fd = files::open_file(&name, libc::O_RDWR, 0)
            .during("cannot open the namespace's file 'counters'")?;
        let counters =
            map_file(&fd, size_of::<Counters>(), true).during("the namespace's file 'counters'")?;
        ns.counters = counters;
        let name = file(path, b"bells").during("the namespace's path")?;
        let fd = files::open_file(&name, libc::O_RDWR, 0)
            .during("cannot open the namespace's file 'bells'")?;
        ns.bells = map_file(&fd, bell::FILE_LEN, true).during("the namespace's file 'bells'")?;
        users::add(bell::users(&ns.bells).during("the namespace's file 'bells'")?);
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
}

impl Drop for Files {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        if let Ok(word) = bell::users(&self.bells) {
            users::remove(word);
        }
        // SAFETY: the references into the maps are borrowed from self, which is gone now.
        unsafe {
            self.head.unmap();
            if self.counters.parts() != self.head.parts() {
                self.counters.unmap();
            }
        }
    }
}

const DIRECTORIES: [&[u8]; 6] = [b"msg", b"sem", b"shm", b"key", b"limits", b"posix"];

fn file<'a>(dir: &'a Long, name: &[u8]) -> Result<Path<'a>> {
    dir.path().file(&[name])
}

fn push(path: &mut Long, parts: &[&[u8]]) -> core::result::Result<(), Fault> {
    let pushed = parts.iter().try_for_each(|part| path.push(part));
    pushed.during("the namespace's path")
}

/// The path of the namespace that [`Namespace::select`] selects.
#[inline(never)]
fn choose(choice: Option<&CStr>, path: &mut Long) -> core::result::Result<(), Fault> {
    match choice.or_else(|| environment::value(c"USYSV_NS")) {
        Some(whole) if whole.to_bytes().starts_with(b"/") => push(path, &[whole.to_bytes()]),
        Some(name) => own(Some(name.to_bytes()), path),
        None => match sys::lstat(c"/dev/shm/usysv") {
            Ok(st) if st.st_uid == 0 && is_shared(&st) => push(path, &[b"/dev/shm/usysv"]),
            _ => own(None, path),
        },
    }
}

/// Makes the directory when missing, with the path freed of links.
#[inline(never)]
fn make_directory(path: &mut Long) -> core::result::Result<(), Fault> {
    settle(path)?;
    match files::mkdir(&path.path(), 0o700) {
        Ok(()) => open_up(path)?,
        Err(Errno::EEXIST) => {}
        Err(errno) if check_directory(path).is_err() => {
            return Err(Fault {
                what: "cannot make the namespace's directory",
                errno,
            });
        }
        Err(_) => {}
    }
    check_directory(path)
}

/// The path of the user's own namespace, or of the one with a name.
fn own(name: Option<&[u8]>, path: &mut Long) -> core::result::Result<(), Fault> {
    let user = Digits::decimal(u64::from(sys::geteuid()));
    push(path, &[base()?, b"/usysv-", user.as_bytes()])?;
    if let Some(name) = name {
        let plain = |c: &u8| c.is_ascii_alphanumeric() || b"._-".contains(c);
        if name.is_empty() || name.len() > 64 || !name.iter().all(plain) {
            let what = "a namespace's name has 1 to 64 letters, digits, '.', '_' and '-'";
            return Err(Fault {
                what,
                errno: Errno::EINVAL,
            });
        }
        push(path, &[b".", name])?;
    }
    match sys::lstat(path.as_c()) {
        Ok(st) if st.st_uid != sys::geteuid() && st.st_uid != 0 => Err(Fault {
            what: "the namespace's directory belongs to somebody else",
            errno: Errno::EACCES,
        }),
        _ => Ok(()),
    }
}

fn is_shared(st: &libc::stat) -> bool {
    st.st_mode & libc::S_IFMT == libc::S_IFDIR && st.st_mode & 0o1002 == 0o1002
}

/// What root makes is for everybody, as its programs may become other users.
fn open_up(path: &Long) -> core::result::Result<(), Fault> {
    if sys::geteuid() == 0 {
        files::chmod_directory(&path.path(), 0o1777)
            .during("cannot open the namespace's directory to all")?;
    }
    Ok(())
}

fn settle(path: &mut Long) -> core::result::Result<(), Fault> {
    files::settle(path).during("the namespace's directory")
}

fn check_directory(path: &Long) -> core::result::Result<(), Fault> {
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
fn base() -> core::result::Result<&'static [u8], Fault> {
    let env = |name: &CStr| environment::value(name).map_or(b"".as_slice(), CStr::to_bytes);
    let usable = |dir: &&[u8]| dir.starts_with(b"/") && sys::usable_directory(dir);
    let directories = [
        b"/dev/shm",
        env(c"XDG_RUNTIME_DIR"),
        env(c"TMPDIR"),
        b"/tmp",
    ];
    directories.into_iter().find(usable).ok_or(Fault {
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
#[inline(never)]
fn lay_out(path: &Long) -> core::result::Result<(), Fault> {
    let directory = files::open(&path.path(), libc::O_RDONLY | libc::O_DIRECTORY, 0)
        .during("cannot open the namespace's directory")?;
    sys::flock(&directory, libc::LOCK_EX).during("cannot lock the namespace's directory")?;
    if Files::open(path, false).is_ok() {
        return Ok(());
    }
    let shared = is_shared(&sys::fstat(&directory).during("the namespace's directory")?);
    for dir in DIRECTORIES {
        let name = file(path, dir).during("the namespace's path")?;
        match files::mkdir(&name, 0o700) {
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
        files::chmod_directory(&name, mode).during("cannot fill the namespace")?;
        empty(path, dir).during("cannot empty the namespace of an earlier boot")?;
        crashpoint!("lay_out.directory");
    }
    limits::write_texts(&path.path()).during("cannot write the namespace's limits")?;
    crashpoint!("lay_out.limits");
    let mode = if shared { 0o666 } else { 0o600 };
    // Of the bells the page with the users' word (`pidns`); threads back the others.
    new_file(path, b"bells", bell::FILE_LEN, 4096, mode, |_| Ok(()))
        .during("cannot make the namespace's file 'bells'")?;
    let len = size_of::<Counters>();
    new_file(path, b"counters", len, len, mode, |_| Ok(()))
        .during("cannot make the namespace's file 'counters'")?;
    let mode = if shared { 0o644 } else { 0o600 };
    new_file(path, b"ns", FILE_LEN, FILE_LEN, mode, fill_head)
        .during("cannot make the namespace's file 'ns'")
}

fn fill_head(map: &Map) -> Result<()> {
    let head: &Head = map.at(0)?;
    limits::fill(head);
    let boot = boot_id().unwrap_or([0; 2]);
    head.boot[0].store(boot[0], Relaxed);
    head.boot[1].store(boot[1], Relaxed);
    head.layout.store(LAYOUT, Relaxed);
    head.magic.store(MAGIC, Relaxed);
    Ok(())
}

/// A file that appears under its name only when it is whole. Under the directory's lock.
#[inline(never)]
fn new_file(
    dir: &Long,
    name: &[u8],
    len: usize,
    backed: usize,
    mode: u32,
    fill: impl FnOnce(&Map) -> Result<()>,
) -> Result<()> {
    let (part, name) = (file(dir, b".part")?, file(dir, name)?);
    let _ = files::unlink(&part);
    let fd = files::open(&part, libc::O_RDWR | libc::O_CREAT | libc::O_EXCL, 0o600)?;
    sys::ftruncate(&fd, len as u64)?;
    if backed > 0 {
        sys::fallocate(&fd, backed as u64)?;
    }
    sys::fchmod(&fd, mode)?;
    let map = Map::of(&fd, len, true)?;
    let filled = fill(&map);
    // SAFETY: `fill` is done with it.
    #[allow(unsafe_code)]
    unsafe {
        map.unmap();
    }
    filled?;
    crashpoint!("lay_out.filled");
    let _ = files::unlink(&name);
    crashpoint!("lay_out.unlinked");
    files::rename_new(&part, &name)?;
    crashpoint!("lay_out.linked");
    Ok(())
}

/// Unlinks every file of a directory in the namespace.
#[inline(never)]
fn empty(ns: &Long, dir: &[u8]) -> Result<()> {
    let path = file(ns, dir)?;
    let mut result = Ok(());
    crate::dir::each_name(&path, |name| {
        let gone = path
            .file(&[b""])
            .and_then(|p| Huge::remove(&p.with_last(name)));
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
