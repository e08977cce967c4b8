//! Linux's shared memory.
#![allow(unsafe_code)]

use super::{Kernel, check};
use crate::abi::{self, ShmLimits, ShmUsage, ShmidDs};
use crate::backend::SharedMemory;
use crate::errno::Result;

/// `shmctl` with a structure that the kernel reads or fills.
fn shmctl<T>(shmid: i32, cmd: i32, arg: *mut T) -> Result<i32> {
    // SAFETY: `arg` is what `cmd` stands for and exclusively the caller's: the functions below.
    check(unsafe { libc::syscall(libc::SYS_shmctl, shmid, cmd, arg) })
}

impl SharedMemory for Kernel {
    fn shmget(&self, key: i32, size: usize, shmflg: i32) -> Result<i32> {
        // SAFETY: no pointers.
        check(unsafe { libc::syscall(libc::SYS_shmget, key, size, shmflg) })
    }

    unsafe fn shmat(&self, shmid: i32, addr: usize, shmflg: i32) -> Result<usize> {
        // SAFETY: the caller's promise; without SHM_REMAP nothing is replaced.
        let at = unsafe { libc::syscall(libc::SYS_shmat, shmid, addr, shmflg) };
        if at == -1 {
            return Err(crate::errno::Errno::last());
        }
        Ok(at as usize)
    }

    unsafe fn shmdt(&self, addr: usize) -> Result<()> {
        // SAFETY: the caller's promise; what is no attachment is refused.
        check(unsafe { libc::syscall(libc::SYS_shmdt, addr) }).map(drop)
    }

    fn shm_stat(&self, shmid: i32) -> Result<ShmidDs> {
        let mut ds = ShmidDs::default();
        shmctl(shmid, abi::IPC_STAT, &raw mut ds).map(|_| ds)
    }

    fn shm_set(&self, shmid: i32, ds: &ShmidDs) -> Result<()> {
        let mut ds = *ds;
        shmctl(shmid, abi::IPC_SET, &raw mut ds).map(drop)
    }

    fn shm_remove(&self, shmid: i32) -> Result<()> {
        shmctl::<u8>(shmid, abi::IPC_RMID, core::ptr::null_mut()).map(drop)
    }

    fn shm_lock(&self, shmid: i32, lock: bool) -> Result<()> {
        let cmd = if lock { abi::SHM_LOCK } else { abi::SHM_UNLOCK };
        shmctl::<u8>(shmid, cmd, core::ptr::null_mut()).map(drop)
    }

    fn shm_limits(&self) -> Result<(ShmLimits, i32)> {
        let mut info = ShmLimits::default();
        shmctl(0, abi::IPC_INFO, &raw mut info).map(|highest| (info, highest))
    }

    fn shm_usage(&self) -> Result<(ShmUsage, i32)> {
        let mut info = ShmUsage::default();
        shmctl(0, abi::SHM_INFO, &raw mut info).map(|highest| (info, highest))
    }

    fn shm_stat_index(&self, index: i32, any: bool) -> Result<(i32, ShmidDs)> {
        let mut ds = ShmidDs::default();
        let cmd = if any {
            abi::SHM_STAT_ANY
        } else {
            abi::SHM_STAT
        };
        shmctl(index, cmd, &raw mut ds).map(|id| (id, ds))
    }
}
