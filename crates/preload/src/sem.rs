//! The semaphore calls: decode the arguments as the kernel does, ask the engine, set `errno`.
//!
//! `semctl` is variadic in C, and its fourth argument a `union semun` by value: on the x86-64 and
//! AArch64 Linux ABIs that is passed like a pointer, and garbage where the caller passed none is
//! looked at by no command that needs none.

use crate::edge::{answer, apart, give, take};
use crate::efault::{known_readable, readable, writable};
use crate::hooks::engine;
use core::ffi::{c_int, c_void};
use core::mem::MaybeUninit;
use core::time::Duration;
use engine::abi::{
    GETALL, GETNCNT, GETPID, GETVAL, GETZCNT, IPC_INFO, IPC_RMID, IPC_SET, IPC_STAT, SEM_INFO,
    SEM_STAT, SEM_STAT_ANY, SETALL, SETVAL, Sembuf, SemidDs,
};
use engine::{Engine, Errno, Result, SemField, Semaphores, sys};
use libc::{key_t, size_t, timespec};

/// Operations that are copied to the stack, as the kernel does; more get memory of their own.
const FAST: usize = 64;

#[unsafe(no_mangle)]
extern "C" fn semget(key: key_t, nsems: c_int, semflg: c_int) -> c_int {
    answer(|| engine()?.semget(key, nsems, semflg))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn semop(semid: c_int, sops: *mut Sembuf, nsops: size_t) -> c_int {
    answer(|| {
        if nsops != 1 || !known_readable(sops as usize, size_of::<Sembuf>()) {
            return operate(semid, sops, nsops, None).map(|()| 0);
        }
        let engine = engine()?;
        engine.check_semop(1)?;
        // SAFETY: `known_readable` has just said so; any bytes are a Sembuf, and any alignment is
        // allowed.
        let op = unsafe { sops.read_unaligned() };
        engine.semop_one(semid, op).map(|()| 0)
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn semtimedop(
    semid: c_int,
    sops: *mut Sembuf,
    nsops: size_t,
    timeout: *const timespec,
) -> c_int {
    answer(|| {
        let timeout = match timeout.is_null() {
            true => None,
            false => Some(take::<[i64; 2]>(timeout.cast())?),
        };
        operate(semid, sops, nsops, timeout).map(|()| 0)
    })
}

#[inline(never)]
fn operate(
    semid: c_int,
    sops: *const Sembuf,
    nsops: usize,
    timeout: Option<[i64; 2]>,
) -> Result<()> {
    let engine = engine()?;
    engine.check_semop(nsops)?;
    if !readable(sops as usize, nsops * size_of::<Sembuf>()) {
        return Err(Errno::EFAULT);
    }
    // A copy: the program may change its array while the call sleeps.
    if nsops == 1 {
        // SAFETY: `readable` has just said so, and any bytes are a Sembuf.
        let one = unsafe { sops.read_unaligned() };
        return perform(engine, semid, &[one], timeout);
    }
    with_copy(sops, nsops, |sops| perform(engine, semid, sops, timeout))
}

#[inline]
fn perform(
    engine: &Engine,
    semid: c_int,
    sops: &[Sembuf],
    timeout: Option<[i64; 2]>,
) -> Result<()> {
    if semid < 0 {
        return Err(Errno::EINVAL);
    }
    let timeout = timeout.map(duration).transpose()?;
    engine.semop_checked(semid, sops, timeout)
}

fn duration([seconds, nanoseconds]: [i64; 2]) -> Result<Duration> {
    match (u64::try_from(seconds), u32::try_from(nanoseconds)) {
        (Ok(seconds), Ok(nanoseconds)) if nanoseconds < 1_000_000_000 => {
            Ok(Duration::new(seconds, nanoseconds))
        }
        _ => Err(Errno::EINVAL),
    }
}

/// Calls `f` with a copy of readable operations.
#[inline(never)]
fn with_copy<T>(
    sops: *const Sembuf,
    nsops: usize,
    f: impl FnOnce(&[Sembuf]) -> Result<T>,
) -> Result<T> {
    if nsops <= FAST {
        let mut few = [const { MaybeUninit::<Sembuf>::uninit() }; FAST];
        let to = few.as_mut_ptr().cast::<Sembuf>();
        // SAFETY: `readable` said that the source is; any bytes are a Sembuf; the array has room.
        unsafe {
            to.cast::<u8>()
                .copy_from_nonoverlapping(sops.cast(), size_of::<Sembuf>() * nsops)
        };
        // SAFETY: just written.
        return f(unsafe { core::slice::from_raw_parts(to, nsops) });
    }
    let len = nsops * size_of::<Sembuf>();
    let to = sys::private_memory(len)?;
    // SAFETY: as above, and fresh memory of this length, aligned to a page.
    unsafe { to.copy_from_nonoverlapping(sops.cast(), len) };
    // SAFETY: just written, and nobody else's.
    let result = f(unsafe { core::slice::from_raw_parts(to.cast::<Sembuf>(), nsops) });
    sys::unmap(to, len);
    result
}

#[unsafe(no_mangle)]
unsafe extern "C" fn semctl(semid: c_int, semnum: c_int, cmd: c_int, arg: *mut c_void) -> c_int {
    answer(|| {
        if semid < 0 {
            return Err(Errno::EINVAL);
        }
        match cmd {
            IPC_INFO | SEM_INFO => {
                let (info, highest) = match cmd {
                    IPC_INFO => apart(|| engine()?.sem_limits())?,
                    _ => apart(|| engine()?.sem_usage())?,
                };
                give(arg, info, highest)
            }
            IPC_STAT => give(arg, apart(|| engine()?.sem_stat(semid))?, 0),
            SEM_STAT | SEM_STAT_ANY => {
                let (id, ds) = apart(|| engine()?.sem_stat_index(semid, cmd == SEM_STAT_ANY))?;
                give(arg, ds, id)
            }
            GETVAL => engine()?.sem_get(semid, semnum, SemField::Value),
            GETPID => engine()?.sem_get(semid, semnum, SemField::Pid),
            GETNCNT => engine()?.sem_get(semid, semnum, SemField::Ncnt),
            GETZCNT => engine()?.sem_get(semid, semnum, SemField::Zcnt),
            GETALL => apart(|| get_all(semid, arg)),
            SETALL => apart(|| set_all(semid, arg)),
            // The union's `int val` is the lower half.
            SETVAL => apart(|| engine()?.sem_put(semid, semnum, arg as c_int).map(|()| 0)),
            IPC_SET => {
                let ds: SemidDs = take(arg)?;
                apart(|| engine()?.sem_set(semid, &ds).map(|()| 0))
            }
            IPC_RMID => apart(|| engine()?.sem_remove(semid).map(|()| 0)),
            _ => Err(Errno::EINVAL),
        }
    })
}

fn get_all(semid: c_int, array: *mut c_void) -> Result<c_int> {
    let mut sink = |nsems: usize| {
        let len = nsems * size_of::<u16>();
        writable(array as usize, len).then_some(array.cast::<u16>())
    };
    // SAFETY: the sink names only what `writable` said can be written.
    unsafe { engine()?.getall_raw(semid, &mut sink) }.map(|()| 0)
}

fn set_all(semid: c_int, array: *const c_void) -> Result<c_int> {
    let mut source = |nsems: usize| {
        let len = nsems * size_of::<u16>();
        readable(array as usize, len).then_some(array.cast::<u16>())
    };
    // SAFETY: the source names only what `readable` said can be read.
    unsafe { engine()?.setall_raw(semid, &mut source) }.map(|()| 0)
}
