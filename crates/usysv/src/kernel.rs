//! The back end that asks Linux: the oracle of the conformance suite and the baseline of the
//! benchmarks.
//!
//! It makes the system calls through `syscall(2)`, not the libc's functions, so that it reaches
//! the kernel even in a process where the preload library stands in front of those functions.
#![allow(unsafe_code)]

mod msg;
mod sem;
mod shm;

use crate::errno::{Errno, Result};

/// Linux's own System V IPC.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kernel;

fn check(ret: libc::c_long) -> Result<i32> {
    if ret >= 0 {
        return Ok(ret as i32);
    }
    Err(Errno::last())
}
