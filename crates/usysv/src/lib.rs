//! System V IPC for Linux, implemented in user space.
//!
//! The same calls run on two back ends behind one [`Backend`] trait: [`Kernel`] makes the
//! system calls, `Engine` keeps everything in the files of a *namespace*
//! directory, with no daemon and no kernel support.
#![no_std]
#![deny(unsafe_code)]

pub mod abi;
mod backend;
mod errno;
mod kernel;
mod key;

pub use backend::Backend;
pub use errno::{Errno, Result};
pub use kernel::Kernel;
pub use key::Key;
