//! `SHM_HUGETLB`: segments of huge pages.
//!
//! Their bytes lie on a hugetlbfs, which may be any that is mounted here with pages of the size, and
//! in which the creator may make files. In the namespace, where other segments have their bytes, is
//! a link whose text says which file it is; it is never followed. The file counts only if it is on
//! a hugetlbfs, and belongs to the user who made the link: a link of a stranger's names nobody
//! else's file.
//!
//! The link is made before the file and removed after it: killed in between, nothing is left that
//! the link does not name.

use crate::crash::crashpoint;
use crate::creds::{Creds, Owned};
use crate::errno::{Errno, Result};
use crate::files;
use crate::lines::find_line;
use crate::path::{Digits, Long, Path, Text, parse_decimal};
use crate::shm::PAGE;
use crate::sys::{self, Fd};

/// What the link says: the page size, the segment's size in pages of 4 KiB, the file's number.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Huge {
    log2: u32,
    pages: u64,
    number: u64,
}

impl Huge {
    /// What a segment with these flags will be. EINVAL: there is no such page size; EPERM: not for
    /// this user.
    pub fn plan(size: usize, flags: i32) -> Result<Huge> {
        let asked = flags as u32 >> 26 & 63;
        let log2 = match asked {
            0 => default_log2().ok_or(Errno::EINVAL)?,
            log2 if is_page_size(log2) => log2,
            _ => return Err(Errno::EINVAL),
        };
        let creds = Creds::current();
        if !creds.has_ipc_lock() && Some(u64::from(creds.egid())) != shm_group() {
            return Err(Errno::EPERM);
        }
        Ok(Huge {
            log2,
            pages: size.div_ceil(PAGE) as u64,
            number: sys::random()?,
        })
    }

    /// What the link at a path says. EINVAL: it is no link; EIO: it is not one of ours.
    pub fn of(link: &Path<'_>) -> Result<Huge> {
        let mut text = [0; 64];
        let len = files::readlink(link, &mut text)?;
        Huge::parse(text.get(..len).unwrap_or(&[])).ok_or(Errno::EIO)
    }

    fn parse(text: &[u8]) -> Option<Huge> {
        let mut words = text.split(|&c| c == b'.');
        if words.next()? != b"huge" {
            return None;
        }
        let mut number = || parse_decimal(words.next()?);
        let huge = Huge {
            log2: number()?.try_into().ok()?,
            pages: number()?,
            number: number()?,
        };
        let fits = (12..48).contains(&huge.log2) && huge.pages < 1 << 50;
        (fits && words.next().is_none()).then_some(huge)
    }

    fn text(&self) -> Result<Text> {
        Text::of(&[
            b"huge.",
            Digits::decimal(u64::from(self.log2)).as_bytes(),
            b".",
            Digits::decimal(self.pages).as_bytes(),
            b".",
            Digits::decimal(self.number).as_bytes(),
        ])
    }

    /// The segment's size in pages of 4 KiB, as asked for.
    pub fn pages(&self) -> u64 {
        self.pages
    }

    /// Bytes of its whole pages.
    fn len(&self) -> u64 {
        (self.pages * PAGE as u64).next_multiple_of(1 << self.log2)
    }

    /// Makes the link and the file. EEXIST: the link is there; ENOMEM: no hugetlbfs, or not enough
    /// free pages, of which the segment's are reserved here, as the kernel does.
    pub fn create(&self, link: &Path<'_>, reserve: bool, owned: &Owned) -> Result<()> {
        files::symlink(&self.text()?, link)?;
        crashpoint!("create.huge.linked");
        let made = self.make_file(reserve, owned);
        if made.is_err() {
            // A name that stays is nobody's, and swept by the next creation at this index.
            let _ = files::unlink(link);
        }
        made.map_err(|_| Errno::ENOMEM)
    }

    fn make_file(&self, reserve: bool, owned: &Owned) -> Result<()> {
        let how = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL;
        let made = self.on_each_mount(|path| {
            let fd = files::open(path, how, 0o600).ok()?;
            crashpoint!("create.huge.made");
            let done = self.fill(&fd, reserve, owned);
            if done.is_err() {
                let _ = files::unlink(path);
            }
            done.ok()
        });
        made?.ok_or(Errno::ENOMEM)
    }

    fn fill(&self, fd: &Fd, reserve: bool, owned: &Owned) -> Result<()> {
        sys::ftruncate(fd, self.len())?;
        if reserve {
            // A mapping reserves its pages for the file, which keeps them.
            let len = usize::try_from(self.len()).map_err(|_| Errno::ENOMEM)?;
            let at = sys::map_shared(fd, len, true)?;
            sys::unmap(at, len);
        }
        sys::fchmod(fd, owned.mode & 0o666)
    }

    /// Calls `f` with the file that a link names: its path, and what it was when looked at. ENOENT: it
    /// is gone, or not to be reached from here; EIO: it is not of the user who made the link.
    #[inline(never)]
    pub fn find<T>(
        &self,
        link: &Path<'_>,
        mut f: impl FnMut(&Path<'_>, &libc::stat) -> Result<T>,
    ) -> Result<T> {
        let owner = files::lstat(link)?.st_uid;
        let found = self.on_each_mount(|path| {
            let st = path.with_c(sys::lstat).ok()?;
            let is_ours = st.st_mode & libc::S_IFMT == libc::S_IFREG && st.st_uid == owner;
            Some(if is_ours {
                f(path, &st)
            } else {
                Err(Errno::EIO)
            })
        });
        found?.ok_or(Errno::ENOENT)?
    }

    /// Opens the file that a link names, and tells its page size. Errors are those of `find`.
    pub fn open(&self, link: &Path<'_>, how: i32) -> Result<(Fd, usize)> {
        self.find(link, |path, found| {
            let fd = files::open_file(path, how, 0)?;
            let st = sys::fstat(&fd)?;
            let is_it = [st.st_dev, st.st_ino] == [found.st_dev, found.st_ino];
            let page = 1 << self.log2;
            is_it.then_some((fd, page)).ok_or(Errno::EIO)
        })
    }

    /// Takes the file away that a link names, and then the link.
    pub fn remove(link: &Path<'_>) -> Result<()> {
        files::within(link, |directory, name| {
            let mut text = [0; 64];
            let huge = sys::readlink_in(directory, name, &mut text)
                .ok()
                .and_then(|len| Huge::parse(text.get(..len)?));
            if let Some(huge) = huge {
                huge.remove_file(link)?;
            }
            sys::unlink(directory, name, 0)
        })
    }

    /// Takes the file away, if it is to be found.
    fn remove_file(&self, link: &Path<'_>) -> Result<()> {
        let mut gone = Ok(());
        let _ = self.find(link, |path, _| {
            gone = files::unlink(path);
            if gone.is_ok() {
                crashpoint!("remove.huge");
            }
            Ok(())
        });
        gone
    }

    /// Calls `visit` with the file's path on each hugetlbfs with pages of this size.
    fn on_each_mount<T>(&self, mut visit: impl FnMut(&Path<'_>) -> Option<T>) -> Result<Option<T>> {
        find_line(c"/proc/thread-self/mounts", &mut false, |line| {
            let mut words = line.split(|&c| c == b' ');
            let dir = words.nth(1)?;
            if words.next()? != b"hugetlbfs" {
                return None;
            }
            let mut path = Long::empty();
            unescape(dir, &mut path)?;
            if sys::huge_page_size(path.as_c()) != Some(1 << self.log2) {
                return None;
            }
            let number = Digits::decimal(self.number);
            let mut path = path.path();
            path.push(b"/usysv.").ok()?;
            path.push(number.as_bytes()).ok()?;
            visit(&path)
        })
    }
}

/// A path as /proc writes it: blanks and a few others as `\ooo`.
fn unescape(text: &[u8], path: &mut Long) -> Option<()> {
    let mut rest = text;
    while let Some((&c, after)) = rest.split_first() {
        rest = after;
        let mut byte = c;
        if c == b'\\' {
            let (digits, after) = rest.split_at_checked(3)?;
            rest = after;
            let octal = |n: u32, &c: &u8| Some(n * 8 + char::from(c).to_digit(8)?);
            byte = digits.iter().try_fold(0, octal)?.try_into().ok()?;
        }
        path.push(&[byte]).ok()?;
    }
    Some(())
}

fn is_page_size(log2: u32) -> bool {
    let kib = 1u64.checked_shl(log2).unwrap_or(0) / 1024;
    let path = Text::of(&[
        b"/sys/kernel/mm/hugepages/hugepages-",
        Digits::decimal(kib).as_bytes(),
        b"kB",
    ]);
    path.and_then(|path| sys::lstat(path.as_c())).is_ok()
}

/// The page size that no flag asks for. `None`: a kernel without huge pages.
fn default_log2() -> Option<u32> {
    let kib = find_line(c"/proc/meminfo", &mut false, |line| {
        let value = line.strip_prefix(b"Hugepagesize:")?.strip_suffix(b" kB")?;
        parse_decimal(value.trim_ascii())
    });
    kib.ok()??.checked_mul(1024)?.checked_ilog2()
}

/// The group whose members may have huge pages.
fn shm_group() -> Option<u64> {
    find_line(c"/proc/sys/vm/hugetlb_shm_group", &mut false, |line| {
        parse_decimal(line.trim_ascii())
    })
    .ok()?
}
