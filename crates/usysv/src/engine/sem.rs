//! Semaphores: the calls.

use super::{Asked, Engine};
use crate::abi::{SEMVMX, SemInfo, Sembuf, SemidDs};
use crate::backend::{SemField, Semaphores};
use crate::creds::Creds;
use crate::errno::{Errno, Result};
use crate::lock::impatiently;
use crate::object::{self, Kind};
use crate::registry::Plan;
use crate::sem::{self, Locked, SemUndo, SemWaiter};
use core::time::Duration;

const SEMMNS: i32 = 1_024_000_000;
const SEMOPM: i32 = 500;

impl Engine {
    /// What `semtimedop` looks at before it looks at the operations. E2BIG: more than `semopm`;
    /// EINVAL: none.
    pub fn check_semop(&self, nsops: usize) -> Result<()> {
        match nsops {
            0 => Err(Errno::EINVAL),
            n if n as u64 > self.ns.semopm() => Err(Errno::E2BIG),
            _ => Ok(()),
        }
    }

    /// `semtimedop` after [`Engine::check_semop`].
    pub fn semop_checked(
        &self,
        semid: i32,
        sops: &[Sembuf],
        timeout: Option<Duration>,
    ) -> Result<()> {
        self.on_any(Kind::Sem, semid, |pin| {
            sem::semop(&self.ns, pin, semid, sops, timeout)
        })
    }

    /// `semop` of one operation after [`Engine::check_semop`]. To be called from one place.
    #[inline(always)]
    pub fn semop_one(&self, semid: i32, op: Sembuf) -> Result<()> {
        self.on_any(Kind::Sem, semid, |pin| {
            sem::semop(&self.ns, pin, semid, &[op], None)
        })
    }

    /// Calls `visit` with every set's id and status, in order of index, as far as the files let
    /// the caller look.
    pub fn each_set(&self, visit: &mut dyn FnMut(i32, &SemidDs)) -> Result<()> {
        self.ns.each_index(Kind::Sem, |index| {
            if let Ok((semid, ds)) = self.sem_stat_index(index as i32, true) {
                visit(semid, &ds);
            }
        })
    }

    /// Calls `visit`, which must not call the engine, with every sleeper of a set. Needs read permission.
    pub fn each_waiter(&self, semid: i32, visit: &mut dyn FnMut(&SemWaiter)) -> Result<()> {
        self.with_set(semid, 0o444, |q| q.each_sleeper(visit))
    }

    /// Calls `visit`, which must not call the engine, with everything that processes have to be
    /// undone in a set. Needs read permission.
    pub fn each_undo(&self, semid: i32, visit: &mut dyn FnMut(&SemUndo)) -> Result<()> {
        self.with_set(semid, 0o444, |q| q.each_semadj(visit))
    }

    /// `GETALL` to wherever `sink` says, once the number of semaphores is known; see [`Engine::setall_raw`].
    ///
    /// # Safety
    /// Where the sink says to write, as many values as it was told can be written.
    #[allow(unsafe_code)]
    pub unsafe fn getall_raw(
        &self,
        semid: i32,
        sink: &mut dyn FnMut(usize) -> Option<*mut u16>,
    ) -> Result<()> {
        self.with_set(semid, 0o444, |q| {
            let at = sink(q.nsems() as usize).ok_or(Errno::EFAULT)?;
            // SAFETY: the caller's promise; `values` numbers what it was told.
            q.values(|i, value| unsafe { at.add(i).write_unaligned(value) })
        })
    }

    /// `SETALL` from wherever `source` says, once the number of semaphores is known. EFAULT: it
    /// does not say.
    ///
    /// # Safety
    /// Where the source says to read, as many values as it was told can be read.
    #[allow(unsafe_code)]
    pub unsafe fn setall_raw(
        &self,
        semid: i32,
        source: &mut dyn FnMut(usize) -> Option<*const u16>,
    ) -> Result<()> {
        self.with_set(semid, 0o222, |q| {
            let at = source(q.nsems() as usize).ok_or(Errno::EFAULT)?;
            // SAFETY: the caller's promise; `put_values` asks for what it was told.
            q.put_values(|i| unsafe { at.add(i).read_unaligned() })
        })
    }

    /// Calls `f` with a locked set that the caller may use so.
    fn with_set<T>(
        &self,
        semid: i32,
        asked: u32,
        f: impl FnOnce(&mut Locked<'_>) -> Result<T>,
    ) -> Result<T> {
        // Before the lock: see there.
        crate::bell::mine(&self.ns)?;
        self.on(Kind::Sem, semid, |pin| {
            let mut q = sem::lock(&self.ns, pin, semid)?;
            if asked != 0 && !Creds::current().may(&q.owned(), asked) {
                return Err(Errno::EACCES);
            }
            f(&mut q)
        })
    }
}

impl Semaphores for Engine {
    fn semget(&self, key: i32, nsems: i32, semflg: i32) -> Result<i32> {
        let limits = self.ns.limits();
        if nsems < 0 || nsems as u64 > limits.semmsl {
            return Err(Errno::EINVAL);
        }
        let nsems = nsems as u32;
        self.get(&Asked {
            kind: Kind::Sem,
            key,
            flags: semflg,
            fits: &|pin| match object::identity(pin)?.units < u64::from(nsems) {
                true => Err(Errno::EINVAL),
                false => sem::see(pin),
            },
            make: &|owned| {
                if nsems == 0 {
                    return Err(Errno::EINVAL);
                }
                let (len, backed) = sem::file_len(nsems);
                self.ns.find_or_create(&Plan {
                    kind: Kind::Sem,
                    key,
                    owned,
                    len,
                    backed,
                    most: limits.semmni,
                    units: u64::from(nsems),
                    most_units: limits.semmns,
                    beside: None,
                    fill: &|map| sem::fill(map, nsems),
                })
            },
        })
    }

    #[inline]
    fn semop(&self, semid: i32, sops: &[Sembuf], timeout: Option<Duration>) -> Result<()> {
        self.check_semop(sops.len())?;
        self.semop_checked(semid, sops, timeout)
    }

    fn sem_stat(&self, semid: i32) -> Result<SemidDs> {
        self.with_set(semid, 0o444, |q| q.status())
    }

    fn sem_set(&self, semid: i32, ds: &SemidDs) -> Result<()> {
        crate::bell::mine(&self.ns)?;
        self.on_own(Kind::Sem, semid, |pin| {
            let mut q = sem::lock(&self.ns, pin, semid)?;
            let new = self.change_owner(Kind::Sem, semid, q.owned(), &ds.sem_perm)?;
            q.set(&new)
        })
    }

    fn sem_remove(&self, semid: i32) -> Result<()> {
        self.on_own(Kind::Sem, semid, |pin| {
            let mut q = sem::lock(&self.ns, pin, semid)?;
            if !Creds::current().owns(&q.owned()) {
                return Err(Errno::EPERM);
            }
            q.remove();
            drop(q);
            self.forget(Kind::Sem, pin);
            Ok(())
        })
    }

    fn sem_get(&self, semid: i32, semnum: i32, field: SemField) -> Result<i32> {
        self.with_set(semid, 0o444, |q| {
            let num = q.number(semnum)?;
            q.field(num, field)
        })
    }

    fn sem_put(&self, semid: i32, semnum: i32, value: i32) -> Result<()> {
        if semid < 0 {
            return Err(Errno::EINVAL);
        }
        if !(0..=SEMVMX).contains(&value) {
            return Err(Errno::ERANGE);
        }
        self.with_set(semid, 0, |q| {
            let num = q.number(semnum)?;
            if !Creds::current().may(&q.owned(), 0o222) {
                return Err(Errno::EACCES);
            }
            q.put_value(num, value)
        })
    }

    fn sem_get_all(&self, semid: i32, values: &mut [u16]) -> Result<()> {
        self.with_set(semid, 0o444, |q| {
            if values.len() != q.nsems() as usize {
                return Err(Errno::EINVAL);
            }
            q.values(|i, value| values[i] = value)
        })
    }

    fn sem_put_all(&self, semid: i32, values: &[u16]) -> Result<()> {
        self.with_set(semid, 0o222, |q| {
            if values.len() != q.nsems() as usize {
                return Err(Errno::EINVAL);
            }
            q.put_values(|i| values[i])
        })
    }

    fn sem_limits(&self) -> Result<(SemInfo, i32)> {
        let (_, highest) = self.count(Kind::Sem, |_| ())?;
        let limits = self.ns.limits();
        let info = SemInfo {
            semmap: SEMMNS,
            semmni: limits.semmni as i32,
            semmns: limits.semmns as i32,
            semmnu: SEMMNS,
            semmsl: limits.semmsl as i32,
            semopm: limits.semopm as i32,
            semume: SEMOPM,
            semusz: 20,
            semvmx: SEMVMX,
            semaem: SEMVMX,
        };
        Ok((info, highest))
    }

    fn sem_usage(&self) -> Result<(SemInfo, i32)> {
        let (mut info, _) = self.sem_limits()?;
        info.semaem = 0;
        let (count, highest) = self.count(Kind::Sem, |index| {
            if let Ok((_, ds)) = self.sem_stat_index(index, true) {
                info.semaem = info.semaem.saturating_add(ds.sem_nsems as i32);
            }
        })?;
        info.semusz = count as i32;
        Ok((info, highest))
    }

    fn sem_stat_index(&self, index: i32, any: bool) -> Result<(i32, SemidDs)> {
        crate::bell::mine(&self.ns)?;
        let pin = self.pin_index(Kind::Sem, index)?;
        let locked = impatiently(|| sem::lock(&self.ns, &pin, pin.id()));
        let mut q = locked.map_err(|_| Errno::EINVAL)?;
        if !any && !Creds::current().may(&q.owned(), 0o444) {
            return Err(Errno::EACCES);
        }
        Ok((pin.id(), q.status()?))
    }
}
