//! The shared-memory calls of the C library, made callable from safe code.
//!
//! As in [`call`](crate::call), a success must leave `errno` alone.
#![allow(unsafe_code)]

use crate::call::checked;
use crate::errno::Errno;
use crate::memory::Area;
use std::ffi::{c_int, c_long, c_ulong};

/// `struct shminfo`: the limits, by `IPC_INFO`.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct ShmInfo {
    pub shmmax: c_ulong,
    pub shmmin: c_ulong,
    pub shmmni: c_ulong,
    pub shmseg: c_ulong,
    pub shmall: c_ulong,
    pub unused: [c_ulong; 4],
}

/// `struct shm_info`: what is used, by `SHM_INFO`.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct ShmUsage {
    pub used_ids: c_int,
    pub shm_tot: c_ulong,
    pub shm_rss: c_ulong,
    pub shm_swp: c_ulong,
    pub swap_attempts: c_ulong,
    pub swap_successes: c_ulong,
}

/// `shmget(key, size, flags)`
pub fn shmget(key: i32, size: usize, flags: c_int) -> Result<i32, Errno> {
    // SAFETY: takes no pointers.
    checked(|| unsafe { libc::shmget(key, size, flags) }.into()).map(|id| id as i32)
}

/// `shmat(id, address, flags)`
pub fn shmat(id: i32, address: usize, flags: c_int) -> Result<usize, Errno> {
    let at = std::ptr::without_provenance(address);
    // SAFETY: without SHM_REMAP nothing that is mapped is touched; with it, scenarios pass only
    // addresses of mappings of their own, which nothing refers to.
    checked(|| unsafe { libc::shmat(id, at, flags) } as c_long).map(|address| address as usize)
}

/// `shmdt(address)`
pub fn shmdt(address: usize) -> Result<(), Errno> {
    let at = std::ptr::without_provenance(address);
    // SAFETY: unmaps attachments only, to which the suite keeps no references.
    checked(|| unsafe { libc::shmdt(at) }.into()).map(drop)
}

/// A `struct shmid_ds` of zeros.
pub fn blank_ds() -> libc::shmid_ds {
    // SAFETY: a plain C struct of integers, for which zeros are a value.
    unsafe { std::mem::zeroed() }
}

/// `shmctl(id, cmd, ds)` for the commands that read or write a `struct shmid_ds`, or take nothing.
pub fn shmctl(id: i32, cmd: c_int, ds: &mut libc::shmid_ds) -> Result<i32, Errno> {
    // SAFETY: the commands that the callers pass use at most a shmid_ds.
    checked(|| unsafe { libc::shmctl(id, cmd, ds) }.into()).map(|ret| ret as i32)
}

/// `shmctl(id, cmd, area)`, whatever the area holds.
pub fn shmctl_at(id: i32, cmd: c_int, area: &Area) -> Result<i32, Errno> {
    // SAFETY: an area owns its bytes, hands out no references to them, and is followed by pages
    // that are not accessible, so that writing can reach nobody else's memory.
    checked(|| unsafe { libc::shmctl(id, cmd, area.address().cast()) }.into()).map(|ret| ret as i32)
}

/// `shmctl(id, IPC_INFO, info)`
pub fn shminfo(id: i32) -> (Result<i32, Errno>, ShmInfo) {
    let mut info = ShmInfo::default();
    let at = (&raw mut info).cast();
    // SAFETY: this command writes a `struct shminfo`, for which there is room.
    let ret = checked(|| unsafe { libc::shmctl(id, libc::IPC_INFO, at) }.into());
    (ret.map(|ret| ret as i32), info)
}

/// `shmctl(id, SHM_INFO, info)`
pub fn shm_info(id: i32) -> (Result<i32, Errno>, ShmUsage) {
    let mut info = ShmUsage::default();
    let at = (&raw mut info).cast();
    // SAFETY: this command writes a `struct shm_info`, for which there is room.
    let ret = checked(|| unsafe { libc::shmctl(id, crate::shmctl::SHM_INFO, at) }.into());
    (ret.map(|ret| ret as i32), info)
}
