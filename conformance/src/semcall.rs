//! The semaphore calls of the C library, made callable from safe code; as for queues ([`call`]),
//! each asserts that success leaves `errno` alone, and that nothing is written beyond the answer.
//!
//! [`call`]: crate::call
#![allow(unsafe_code)]

use crate::call::checked;
use crate::errno::Errno;
use crate::memory::Area;
use libc::{IPC_NOWAIT, SEM_UNDO, c_ulong, timespec};
use std::ffi::c_int;
use std::time::Duration;

/// Fills buffers for values, to notice stray writes. No semaphore has this value.
const FILL: u16 = 0xEEEE;

/// Cells behind a buffer for values that must stay as they are.
const MARGIN: usize = 16;

unsafe extern "C" {
    // The libc crate has no declaration of it for Linux.
    #[link_name = "semtimedop"]
    fn c_semtimedop(
        semid: c_int,
        sops: *mut libc::sembuf,
        nsops: usize,
        timeout: *const timespec,
    ) -> c_int;
}

/// `struct sembuf`: one operation of an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Op {
    /// Which semaphore of the set.
    pub num: u16,
    /// What to add; 0 waits for zero.
    pub op: i16,
    /// `IPC_NOWAIT`, `SEM_UNDO`.
    pub flags: i16,
}

const _: () = assert!(size_of::<Op>() == size_of::<libc::sembuf>());

/// Adds `op` to semaphore `num`.
pub const fn op(num: u16, op: i16) -> Op {
    Op { num, op, flags: 0 }
}

/// Waits until semaphore `num` is zero.
pub const fn zero(num: u16) -> Op {
    op(num, 0)
}

impl Op {
    /// With `IPC_NOWAIT`.
    pub const fn nowait(mut self) -> Op {
        self.flags |= IPC_NOWAIT as i16;
        self
    }

    /// With `SEM_UNDO`.
    pub const fn undo(mut self) -> Op {
        self.flags |= SEM_UNDO as i16;
        self
    }

    /// The bytes of `struct sembuf`.
    pub fn bytes(self) -> [u8; 6] {
        let [a, b] = self.num.to_ne_bytes();
        let [c, d] = self.op.to_ne_bytes();
        let [e, f] = self.flags.to_ne_bytes();
        [a, b, c, d, e, f]
    }
}

/// `semget(key, nsems, flags)`
pub fn semget(key: i32, nsems: c_int, flags: c_int) -> Result<i32, Errno> {
    // SAFETY: takes no pointers.
    checked(|| unsafe { libc::semget(key, nsems, flags) }.into()).map(|id| id as i32)
}

/// `semop(id, ops, ops.len())`: allocates nothing, fit for a signal handler or a hot loop.
pub fn semop(id: i32, ops: &[Op]) -> Result<(), Errno> {
    let at = ops.as_ptr().cast_mut().cast();
    // SAFETY: an `Op` is laid out as a sembuf; the call only reads the array, which outlives it.
    checked(|| unsafe { libc::semop(id, at, ops.len()) }.into()).map(drop)
}

/// `semop` on an array that may be too short, or nothing.
pub fn semop_from(id: i32, area: &Area, nsops: usize) -> Result<(), Errno> {
    // SAFETY: semop only reads, and what lies behind an area's bytes is not accessible, so that
    // an attempt to read there is EFAULT (or a crash, which is what the scenario is to find).
    checked(|| unsafe { libc::semop(id, area.address().cast(), nsops) }.into()).map(drop)
}

/// `semtimedop(id, ops, ops.len(), timeout)`
pub fn semtimedop(id: i32, ops: &[Op], timeout: Option<Duration>) -> Result<(), Errno> {
    let timeout = timeout.map(|timeout| timespec {
        tv_sec: timeout.as_secs() as i64,
        tv_nsec: timeout.subsec_nanos().into(),
    });
    let at = ops.as_ptr().cast_mut().cast();
    let timeout = timeout
        .as_ref()
        .map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: as for `semop`; the timespec outlives the call.
    checked(|| unsafe { c_semtimedop(id, at, ops.len(), timeout) }.into()).map(drop)
}

/// `semtimedop` on an array and a timeout that may be too short, or nothing.
pub fn semtimedop_from(id: i32, ops: &Area, nsops: usize, timeout: &Area) -> Result<(), Errno> {
    let (at, timeout) = (ops.address().cast(), timeout.address().cast());
    // SAFETY: as for `semop_from`, for both areas.
    checked(|| unsafe { c_semtimedop(id, at, nsops, timeout) }.into()).map(drop)
}

/// `semctl(id, num, cmd, value)` for the commands that take a number, or nothing.
pub fn semctl(id: i32, num: c_int, cmd: c_int, value: c_int) -> Result<i32, Errno> {
    // A `union semun` travels as one word; C programs fill its lower half with `val`.
    let value = c_ulong::from(value as u32);
    // SAFETY: the commands that the callers pass take no pointer.
    checked(|| unsafe { libc::semctl(id, num, cmd, value) }.into()).map(|ret| ret as i32)
}

/// `semctl(id, num, cmd, area)`, whatever the area holds.
pub fn semctl_at(id: i32, num: c_int, cmd: c_int, area: &Area) -> Result<i32, Errno> {
    // SAFETY: an area owns its bytes, hands out no references to them, and is followed by pages
    // that are not accessible, so that writing can reach nobody else's memory.
    checked(|| unsafe { libc::semctl(id, num, cmd, area.address()) }.into()).map(|ret| ret as i32)
}

/// `semctl(id, num, GETALL)` of a set of `nsems`.
pub fn getall(id: i32, num: c_int, nsems: usize) -> Result<Vec<u16>, Errno> {
    let mut values = vec![FILL; nsems + MARGIN];
    let at = values.as_mut_ptr();
    // SAFETY: there is room for `nsems` values and a margin; callers pass the set's own size.
    let ret = checked(|| unsafe { libc::semctl(id, num, libc::GETALL, at) }.into());
    let written = ret.map_or(0, |_| nsems);
    assert!(
        values[written..].iter().all(|&value| value == FILL),
        "GETALL wrote beyond {written} values"
    );
    ret.map(|ret| assert_eq!(ret, 0, "GETALL returns 0"))?;
    values.truncate(nsems);
    Ok(values)
}

/// `semctl(id, num, SETALL, values)`
pub fn setall(id: i32, num: c_int, values: &[u16]) -> Result<i32, Errno> {
    let at = values.as_ptr();
    // SAFETY: SETALL reads as many values as the set has semaphores; callers pass at least those.
    checked(|| unsafe { libc::semctl(id, num, libc::SETALL, at) }.into()).map(|ret| ret as i32)
}

/// `semctl(id, num, cmd, ds)` for the commands that read or write a `struct semid_ds`.
pub fn semctl_ds(id: i32, num: c_int, cmd: c_int, ds: &mut libc::semid_ds) -> Result<i32, Errno> {
    let at = std::ptr::from_mut(ds);
    // SAFETY: the commands that the callers pass use at most a semid_ds.
    checked(|| unsafe { libc::semctl(id, num, cmd, at) }.into()).map(|ret| ret as i32)
}

/// A `struct semid_ds` of zeros.
pub fn blank_ds() -> libc::semid_ds {
    // SAFETY: a plain C struct of integers, for which zeros are a value.
    unsafe { std::mem::zeroed() }
}

/// `semctl(id, num, IPC_INFO or SEM_INFO, info)`
pub fn seminfo(id: i32, num: c_int, cmd: c_int) -> Result<(i32, libc::seminfo), Errno> {
    // SAFETY: a plain C struct of integers, for which zeros are a value.
    let mut info: libc::seminfo = unsafe { std::mem::zeroed() };
    let at = &raw mut info;
    // SAFETY: these commands write a `struct seminfo`, for which there is room.
    let ret = checked(|| unsafe { libc::semctl(id, num, cmd, at) }.into())?;
    Ok((ret as i32, info))
}
