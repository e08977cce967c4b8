//! Shared memory: the calls.

use super::{Asked, Engine};
use crate::abi::{SHM_HUGETLB, SHM_NORESERVE, ShmLimits, ShmUsage, ShmidDs};
use crate::backend::SharedMemory;
use crate::crash::crashpoint;
use crate::creds::Creds;
use crate::errno::{Errno, Result};
use crate::files;
use crate::lock::impatiently;
use crate::namespace::Limits;
use crate::object::{self, Kind};
use crate::path::Path;
use crate::registry::Plan;
use crate::shm::{self, Change, Huge, Locked, PAGE, ShmAttacher, whole_pages};
use crate::sys;

impl Engine {
    /// Looks after segments that may have gone with their last attacher.
    #[inline(never)]
    fn sweep_segments(&self) {
        if self.ns.limits().shm_rmid_forced != 0 {
            // A directory that cannot be listed has nothing to be looked at.
            let _ = self.ns.each_index(Kind::Shm, |index| self.look_at(index));
        } else {
            self.ns
                .each_lingering(Kind::Shm, |index| self.look_at(index));
        }
    }

    fn look_at(&self, index: u32) {
        let looked = self.pin_index(Kind::Shm, index as i32).and_then(|pin| {
            self.on_pinned(&pin, |segment| {
                segment.look()?;
                if !segment.is_dest() {
                    self.ns.set_lingering(Kind::Shm, index, false);
                }
                Ok(())
            })
        });
        if looked == Err(Errno::EINVAL) {
            // A place that cannot be looked at is looked at again.
            crashpoint!("shm.lingering.gone");
            let _ = self.ns.forget_lingering(Kind::Shm, index);
        }
    }

    /// Calls `visit` with every segment's id, status, and bytes that are really there, in order
    /// of index, as far as the files let the caller look.
    pub fn each_segment(&self, visit: &mut dyn FnMut(i32, &ShmidDs, u64)) -> Result<()> {
        self.ns.each_index(Kind::Shm, |index| {
            if let Ok((shmid, ds)) = self.shm_stat_index(index as i32, true) {
                visit(shmid, &ds, shm::resident(&self.ns, index));
            }
        })
    }

    /// Calls `visit`, which must not call the engine, with every attachment of a segment. Needs
    /// read permission.
    pub fn each_attacher(&self, shmid: i32, visit: &mut dyn FnMut(&ShmAttacher)) -> Result<()> {
        self.know_own()?;
        self.on_segment(shmid, |segment| {
            may_read(segment)?;
            segment.each_attacher(visit)
        })
        .map_err(gone)
    }

    /// Makes the file of a segment's bytes.
    fn make_data(&self, path: &Path<'_>, size: usize, owned: &crate::creds::Owned) -> Result<()> {
        let how = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL;
        let fd = files::open(path, how, 0o600)?;
        crashpoint!("create.data_made");
        let sized = whole_pages(size)
            .ok_or(Errno::EINVAL)
            .and_then(|len| sys::ftruncate(&fd, len as u64))
            .and_then(|()| sys::fchmod(&fd, owned.mode & 0o666));
        sized.map_err(|e| {
            // It is nobody's yet; what stays is swept by the next creation at this index.
            let _ = files::unlink(path);
            match e {
                Errno::EFBIG => Errno::ENOMEM,
                other => other,
            }
        })
    }

    /// What a new segment must be, in the kernel's order, and how it is one of huge pages.
    fn check_new(&self, size: usize, flags: i32, limits: &Limits) -> Result<Option<Huge>> {
        if size == 0 || size as u64 > limits.shmmax {
            return Err(Errno::EINVAL);
        }
        let pages = size.div_ceil(PAGE) as u64;
        if size > usize::MAX - PAGE || pages > limits.shmall {
            return Err(Errno::ENOSPC);
        }
        if flags & SHM_HUGETLB != 0 {
            return Huge::plan(size, flags).map(Some);
        }
        if size > i64::MAX as usize {
            return Err(Errno::EINVAL);
        }
        let room = sys::free_bytes(self.ns.path()).unwrap_or(u64::MAX);
        if flags & SHM_NORESERVE == 0 && size as u64 > room {
            return Err(Errno::ENOMEM);
        }
        Ok(None)
    }

    /// The bytes that a user's locked segments have.
    fn locked_bytes(&self, uid: u32, but: i32) -> u64 {
        let mut sum = 0u64;
        let listed = self.ns.each_index(Kind::Shm, |index| {
            let bytes = self.pin_index(Kind::Shm, index as i32).and_then(|pin| {
                self.on_pinned(&pin, |segment| {
                    let counts = segment.id() != but && segment.locker() == Some(uid);
                    Ok(if counts { segment.bytes() } else { 0 })
                })
            });
            sum = sum.saturating_add(bytes.unwrap_or(0) as u64);
        });
        listed.map_or(0, |()| sum)
    }
}

impl SharedMemory for Engine {
    fn shmget(&self, key: i32, size: usize, shmflg: i32) -> Result<i32> {
        self.know_own()?;
        self.get(&Asked {
            kind: Kind::Shm,
            key,
            flags: shmflg,
            fits: &|pin| {
                self.on_pinned(pin, |segment| match segment.size() < size {
                    true => Err(Errno::EINVAL),
                    false => Ok(()),
                })
            },
            make: &|owned| {
                let limits = self.ns.limits();
                self.sweep_segments();
                let huge = self.check_new(size, shmflg, &limits)?;
                let reserve = shmflg & SHM_NORESERVE == 0;
                self.ns.find_or_create(&Plan {
                    kind: Kind::Shm,
                    key,
                    owned,
                    len: shm::FILE_LEN,
                    backed: shm::FILE_LEN,
                    most: limits.shmmni,
                    units: size.div_ceil(PAGE) as u64,
                    most_units: limits.shmall,
                    fill: &|map| shm::fill(map, size),
                    beside: Some(&|path| match &huge {
                        None => self.make_data(path, size, &owned),
                        Some(huge) => huge.create(path, reserve, &owned),
                    }),
                })
            },
        })
    }

    #[allow(unsafe_code)]
    unsafe fn shmat(&self, shmid: i32, addr: usize, shmflg: i32) -> Result<usize> {
        self.attach_segment(shmid, addr, shmflg)
    }

    #[allow(unsafe_code)]
    unsafe fn shmdt(&self, addr: usize) -> Result<()> {
        self.detach_segment(addr)
    }

    fn shm_stat(&self, shmid: i32) -> Result<ShmidDs> {
        self.know_own()?;
        self.on_segment(shmid, |segment| {
            may_read(segment)?;
            segment.status()
        })
        .map_err(gone)
    }

    fn shm_set(&self, shmid: i32, ds: &ShmidDs) -> Result<()> {
        self.know_own()?;
        self.on_segment(shmid, |segment| {
            if segment.is_dest() {
                segment.look()?;
            }
            let owned = self.change_owner(Kind::Shm, shmid, segment.owned(), &ds.shm_perm)?;
            segment.set(&Change {
                uid: owned.uid,
                gid: owned.gid,
                mode: owned.mode,
            });
            Ok(())
        })
        .map_err(|e| {
            if e == Errno::EACCES {
                Errno::EPERM
            } else {
                gone(e)
            }
        })
    }

    fn shm_remove(&self, shmid: i32) -> Result<()> {
        self.know_own()?;
        self.on_own(Kind::Shm, shmid, |pin| {
            let gone = self.on_pinned(pin, |segment| {
                if segment.is_dest() {
                    segment.look()?;
                }
                if !Creds::current().owns(&segment.owned()) {
                    return Err(Errno::EPERM);
                }
                segment.remove()
            })?;
            self.pieces.again.forget(shmid);
            if !gone {
                // A link that the caller may not unlink is found to be stale when it is next used.
                crashpoint!("shm.remove.unlocked");
                let _ = self.ns.unlink_key(Kind::Shm, &object::identity(pin)?);
            }
            Ok(())
        })
        .map_err(gone)
    }

    fn shm_lock(&self, shmid: i32, lock: bool) -> Result<()> {
        self.know_own()?;
        let creds = Creds::current();
        let free = creds.has_ipc_lock();
        let limit = sys::memlock_limit();
        let (mine, size, is_huge) = self
            .on_segment(shmid, |segment| {
                if segment.is_dest() {
                    segment.look()?;
                }
                let owned = segment.owned();
                let mine = creds.euid == owned.uid || creds.euid == owned.cuid;
                Ok((mine, segment.bytes() as u64, segment.is_huge()))
            })
            .map_err(|e| match gone(e) {
                // The file keeps out whom the mode shuts out.
                Errno::EACCES => Errno::EPERM,
                e => e,
            })?;
        if !free && (!mine || lock && limit == 0) {
            return Err(Errno::EPERM);
        }
        if is_huge {
            // Huge pages are never swapped out: the kernel has nothing to do, and says so.
            return Ok(());
        }
        if lock && !free {
            let others = self.locked_bytes(creds.euid, shmid);
            if others.saturating_add(size) > limit {
                return Err(Errno::ENOMEM);
            }
        }
        self.on_segment(shmid, |segment| {
            segment.set_locked(lock.then_some(creds.euid));
            Ok(())
        })
        .map_err(gone)
    }

    fn shm_limits(&self) -> Result<(ShmLimits, i32)> {
        self.know_own()?;
        self.sweep_segments();
        let (_, highest) = self.count(Kind::Shm, |_| ())?;
        let limits = self.ns.limits();
        let info = ShmLimits {
            shmmax: limits.shmmax,
            shmmin: 1,
            shmmni: limits.shmmni,
            shmseg: limits.shmmni,
            shmall: limits.shmall,
            ..ShmLimits::default()
        };
        Ok((info, highest))
    }

    fn shm_usage(&self) -> Result<(ShmUsage, i32)> {
        self.know_own()?;
        self.sweep_segments();
        let mut info = ShmUsage::default();
        let (count, highest) = self.count(Kind::Shm, |index| {
            let pages = self.ns.pages_of(index as u32);
            info.shm_tot = info.shm_tot.saturating_add(pages);
            info.shm_rss += shm::resident(&self.ns, index as u32) / PAGE as u64;
        })?;
        info.used_ids = count as i32;
        Ok((info, highest))
    }

    fn shm_stat_index(&self, index: i32, any: bool) -> Result<(i32, ShmidDs)> {
        self.know_own()?;
        let pin = self.pin_index(Kind::Shm, index)?;
        let ds = impatiently(|| {
            self.on_pinned(&pin, |segment| {
                if !any {
                    may_read(segment)?;
                }
                segment.status()
            })
        });
        Ok((
            pin.id(),
            ds.map_err(|e| if e == Errno::EACCES { e } else { Errno::EINVAL })?,
        ))
    }
}

/// EACCES: the caller may not read it. Gone with its last attacher comes first.
fn may_read(segment: &mut Locked<'_>) -> Result<()> {
    match Creds::current().may(&segment.owned(), 0o444) {
        true => Ok(()),
        false => Err(segment.look().err().unwrap_or(Errno::EACCES)),
    }
}

/// A segment that went with its last attacher before the call began is none.
pub(super) fn gone(e: Errno) -> Errno {
    if e == Errno::EIDRM { Errno::EINVAL } else { e }
}
