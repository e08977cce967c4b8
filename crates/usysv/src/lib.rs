//! System V IPC for Linux, implemented in user space.
//!
//! The same calls run on two back ends behind one [`Backend`] trait: [`Kernel`] makes the
//! system calls, [`Engine`] keeps everything in the files of a *namespace*
//! directory, with no daemon and no kernel support.
#![no_std]
#![deny(unsafe_code)]

pub mod abi;
mod backend;
mod bell;
#[doc(hidden)]
pub mod bus;
mod cancelling;
mod chair;
mod clock;
mod crash;
mod creds;
#[doc(hidden)]
pub mod critical;
mod dir;
#[doc(hidden)]
pub mod endless;
mod engine;
#[doc(hidden)]
pub mod environment;
mod errno;
mod files;
mod handle;
mod kernel;
mod key;
mod keys;
mod lines;
mod liveness;
mod lock;
mod look;
mod map;
mod maps;
mod msg;
mod namespace;
mod object;
mod path;
mod pidns;
mod posix;
mod process;
mod queue;
mod ranges;
mod registry;
mod segment;
mod sem;
mod set;
mod shm;
mod sleeping;
#[doc(hidden)]
pub mod sys;
mod ticket;
#[doc(hidden)]
pub mod tls;

pub use backend::{Backend, Messages, SemField, Semaphores, SharedMemory};
#[doc(hidden)]
pub use cancelling::{Cancelling, tell_of_cancelling, wake_for_cancelling};
#[cfg(debug_assertions)]
pub use crash::watch as watch_crashpoints;
pub use creds::changed as creds_changed;
pub use engine::Engine;
#[doc(hidden)]
pub use engine::{Changing, Flags, Fork, KnownQueue};
pub use errno::{Errno, Result};
pub use kernel::Kernel;
pub use key::Key;
#[doc(hidden)]
pub use lock::{Interrupted, handler_begins, handler_over};
pub use msg::Sink;
#[doc(hidden)]
pub use msg::places as places_in_queue;
pub use namespace::{Fault, Limits, Namespace};
pub use posix::PosixShm;
#[doc(hidden)]
pub use process::{begin_epoch, is_single_threaded};
pub use queue::{Message, Queue, Select};
pub use segment::{Attached, Segment};
#[doc(hidden)]
pub use sem::places as places_in_set;
pub use sem::{SemUndo, SemWaiter};
pub use set::{Guard, Op, SemaphoreSet};
pub use shm::ShmAttacher;
#[doc(hidden)]
pub use sleeping::{interrupted, tell_of_handlers};
