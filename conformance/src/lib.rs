//! One suite of System V IPC scenarios, played on the real kernel and on usysv under `LD_PRELOAD`,
//! and compared: what a program can see of both must be the same.
//!
//! A scenario ([`scenarios`]) is a function that makes plain C calls through a [`stage::Stage`],
//! asserts what its name says, and leaves a transcript of everything observable. The [`runner`]
//! plays it in a fresh process in a fresh world, one [`runner::Side`] at a time; [`compare`] puts
//! the two transcripts side by side.
//!
//! The kernel is the oracle: what a scenario asserts was found there first, and a change of the
//! kernel shows as a failing `kernel::` trial.
//!
//! To add a mechanism: its calls beside [`msg`], its scenarios beside `scenarios::msg`; the stage,
//! the players and the runner know nothing of queues.
#![deny(unsafe_code)]

pub mod board;
pub mod call;
pub mod capabilities;
pub mod compare;
pub mod errno;
pub mod files;
pub mod ids;
pub mod lives;
pub mod mapping;
pub mod memory;
pub mod msg;
pub mod msgctl;
pub mod players;
pub mod posixshm;
pub mod process;
pub mod programs;
pub mod runner;
pub mod scenarios;
pub mod sem;
pub mod semcall;
pub mod semctl;
pub mod shm;
pub mod shmcall;
pub mod shmctl;
pub mod shmparts;
pub mod signals;
pub mod stage;
pub mod world;
