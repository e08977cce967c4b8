//! Linux's semaphores.
#![allow(unsafe_code)]

use super::{Kernel, check};
use crate::abi::{self, SemInfo, Sembuf, SemidDs};
use crate::backend::{SemField, Semaphores};
use crate::errno::{Errno, Result};
use core::time::Duration;

/// `semctl` with a structure or array that the kernel reads or fills.
fn semctl<T>(semid: i32, semnum: i32, cmd: i32, arg: *mut T) -> Result<i32> {
    // SAFETY: `arg` is what `cmd` stands for and exclusively the caller's: the functions below.
    check(unsafe { libc::syscall(libc::SYS_semctl, semid, semnum, cmd, arg) })
}

impl Kernel {
    fn expect_nsems(&self, semid: i32, nsems: usize) -> Result<()> {
        let ds = match self.sem_stat(semid) {
            // SETALL needs no permission to read.
            Err(Errno::EACCES) => match self.sem_stat_index(semid % abi::IPCMNI, true)? {
                (id, ds) if id == semid => ds,
                _ => return Err(Errno::EINVAL),
            },
            other => other?,
        };
        match ds.sem_nsems == nsems as u64 {
            true => Ok(()),
            false => Err(Errno::EINVAL),
        }
    }
}

impl Semaphores for Kernel {
    fn semget(&self, key: i32, nsems: i32, semflg: i32) -> Result<i32> {
        // SAFETY: no pointers.
        check(unsafe { libc::syscall(libc::SYS_semget, key, nsems, semflg) })
    }

    fn semop(&self, semid: i32, sops: &[Sembuf], timeout: Option<Duration>) -> Result<()> {
        let timeout = timeout.map(|timeout| libc::timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(timeout.subsec_nanos()),
        });
        let timeout = timeout
            .as_ref()
            .map_or(core::ptr::null(), core::ptr::from_ref);
        let (at, len) = (sops.as_ptr(), sops.len());
        // SAFETY: a slice and a timespec, alive during the call, that the kernel only reads.
        check(unsafe { libc::syscall(libc::SYS_semtimedop, semid, at, len, timeout) }).map(drop)
    }

    fn sem_stat(&self, semid: i32) -> Result<SemidDs> {
        let mut ds = SemidDs::default();
        semctl(semid, 0, abi::IPC_STAT, &raw mut ds).map(|_| ds)
    }

    fn sem_set(&self, semid: i32, ds: &SemidDs) -> Result<()> {
        let mut ds = *ds;
        semctl(semid, 0, abi::IPC_SET, &raw mut ds).map(drop)
    }

    fn sem_remove(&self, semid: i32) -> Result<()> {
        semctl::<u8>(semid, 0, abi::IPC_RMID, core::ptr::null_mut()).map(drop)
    }

    fn sem_get(&self, semid: i32, semnum: i32, field: SemField) -> Result<i32> {
        let cmd = match field {
            SemField::Value => abi::GETVAL,
            SemField::Pid => abi::GETPID,
            SemField::Ncnt => abi::GETNCNT,
            SemField::Zcnt => abi::GETZCNT,
        };
        semctl::<u8>(semid, semnum, cmd, core::ptr::null_mut())
    }

    fn sem_put(&self, semid: i32, semnum: i32, value: i32) -> Result<()> {
        // `union semun`: the value in place of a pointer.
        let arg = core::ptr::without_provenance_mut::<u8>(value as usize);
        semctl(semid, semnum, abi::SETVAL, arg).map(drop)
    }

    fn sem_get_all(&self, semid: i32, values: &mut [u16]) -> Result<()> {
        self.expect_nsems(semid, values.len())?;
        semctl(semid, 0, abi::GETALL, values.as_mut_ptr()).map(drop)
    }

    fn sem_put_all(&self, semid: i32, values: &[u16]) -> Result<()> {
        self.expect_nsems(semid, values.len())?;
        semctl(semid, 0, abi::SETALL, values.as_ptr().cast_mut()).map(drop)
    }

    fn sem_limits(&self) -> Result<(SemInfo, i32)> {
        let mut info = SemInfo::default();
        semctl(0, 0, abi::IPC_INFO, &raw mut info).map(|highest| (info, highest))
    }

    fn sem_usage(&self) -> Result<(SemInfo, i32)> {
        let mut info = SemInfo::default();
        semctl(0, 0, abi::SEM_INFO, &raw mut info).map(|highest| (info, highest))
    }

    fn sem_stat_index(&self, index: i32, any: bool) -> Result<(i32, SemidDs)> {
        let mut ds = SemidDs::default();
        let cmd = if any {
            abi::SEM_STAT_ANY
        } else {
            abi::SEM_STAT
        };
        semctl(index, 0, cmd, &raw mut ds).map(|id| (id, ds))
    }
}
