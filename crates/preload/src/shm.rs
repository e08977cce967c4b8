//! The shared-memory calls: decode the arguments as the kernel does, ask the engine, set `errno`.
//!
//! Refuses nothing by itself but bad addresses, in the kernel's order of checks. `errno` is
//! untouched on success.

use crate::edge::{answer, apart, give, take};
use crate::efault;
use crate::hooks::engine;
use core::ffi::{c_int, c_void};
use engine::abi::{
    IPC_INFO, IPC_RMID, IPC_SET, IPC_STAT, SHM_INFO, SHM_LOCK, SHM_REMAP, SHM_STAT, SHM_STAT_ANY,
    SHM_UNLOCK, ShmidDs,
};
use engine::{Errno, SharedMemory, sys};
use libc::{key_t, size_t};

#[unsafe(no_mangle)]
extern "C" fn shmget(key: key_t, size: size_t, shmflg: c_int) -> c_int {
    answer(|| engine()?.shmget(key, size, shmflg))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn shmat(shmid: c_int, shmaddr: *const c_void, shmflg: c_int) -> *mut c_void {
    let errno = sys::errno().get();
    let attached = engine().and_then(|engine| {
        // SAFETY: the program's own promise.
        unsafe { engine.shmat(shmid, shmaddr as usize, shmflg) }
    });
    if shmflg & SHM_REMAP != 0 {
        efault::forget();
    }
    match attached {
        Ok(at) => {
            crate::fork::has_something();
            sys::errno().set(errno);
            at as *mut c_void
        }
        Err(e) => {
            sys::errno().set(e.raw());
            usize::MAX as *mut c_void
        }
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn shmdt(shmaddr: *const c_void) -> c_int {
    let ret = answer(|| {
        // SAFETY: the program's own promise.
        unsafe { engine()?.shmdt(shmaddr as usize) }.map(|()| 0)
    });
    efault::forget();
    ret
}

#[unsafe(no_mangle)]
unsafe extern "C" fn shmctl(shmid: c_int, cmd: c_int, buf: *mut c_void) -> c_int {
    answer(|| {
        if shmid < 0 || cmd < 0 {
            return Err(Errno::EINVAL);
        }
        match cmd {
            IPC_RMID => apart(|| engine()?.shm_remove(shmid).map(|()| 0)),
            SHM_LOCK | SHM_UNLOCK => {
                apart(|| engine()?.shm_lock(shmid, cmd == SHM_LOCK).map(|()| 0))
            }
            IPC_SET => {
                let ds: ShmidDs = take(buf)?;
                apart(|| engine()?.shm_set(shmid, &ds).map(|()| 0))
            }
            IPC_STAT => give(buf, apart(|| engine()?.shm_stat(shmid))?, 0),
            SHM_STAT | SHM_STAT_ANY => {
                let (id, ds) = apart(|| engine()?.shm_stat_index(shmid, cmd == SHM_STAT_ANY))?;
                give(buf, ds, id)
            }
            IPC_INFO => {
                let (info, highest) = apart(|| engine()?.shm_limits())?;
                give(buf, info, highest)
            }
            SHM_INFO => {
                let (info, highest) = apart(|| engine()?.shm_usage())?;
                give(buf, info, highest)
            }
            _ => Err(Errno::EINVAL),
        }
    })
}
