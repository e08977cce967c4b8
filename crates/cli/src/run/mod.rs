//! `usysv run`: starts a program with the library in front of its libc.
//!
//! A plain run becomes the command (`execve`), so exit status, signals and standard streams are the
//! command's own. With `--private`, usysv stays as its parent to remove the namespace.

mod elf;
mod environment;
mod library;
mod os;
mod report;
mod supervise;
mod target;

use crate::args;
use crate::failure::{Failure, complain};
use crate::world::{self, Private};
use std::ffi::{CStr, CString, OsString};
use std::os::unix::ffi::OsStrExt;
use supervise::Ended;

/// The exit statuses of `env(1)` and `timeout(1)`.
pub mod status {
    /// usysv itself failed.
    pub const OURS: u8 = 125;
    /// The command cannot be run, or not reached.
    pub const CANNOT: u8 = 126;
    /// There is no such command.
    pub const NOT_FOUND: u8 = 127;
}

/// What `execve` wants.
pub struct Program {
    path: CString,
    argv: Vec<CString>,
    envp: Vec<CString>,
}

/// Runs the command and answers its exit status; a plain run answers only failures.
pub fn run(args: &args::Run, namespace: Option<OsString>) -> Result<u8, Failure> {
    let ours = |f: Failure| f.status_to(status::OURS);
    let library = library::find().map_err(ours)?;
    let path = target::find(&args.command[0])?;
    target::check_reachable(&path, &library)?;
    let program = |namespace: &CStr| -> Result<Program, Failure> {
        Ok(Program {
            path: c_string(path.as_os_str())?,
            argv: args
                .command
                .iter()
                .map(c_string)
                .collect::<Result<_, _>>()?,
            envp: environment::build(std::env::vars_os(), &library, namespace, args.posix_shm),
        })
    };
    if args.private {
        let private = Private::create().map_err(ours)?;
        let ended = program(private.path()).and_then(|p| supervise::run(&p));
        clean_up(private, args).map_err(ours)?;
        return match ended? {
            Ended::Exited(status) => Ok(status),
            Ended::Killed(signal) => Ok(supervise::die_of(signal)),
        };
    }
    let namespace = world::namespace_path(namespace).map_err(ours)?;
    Err(os::exec(&program(&namespace)?))
}

fn clean_up(private: Private, args: &args::Run) -> Result<(), Failure> {
    if !args.quiet
        && let Ok(world) = private.world()
        && let Ok(lines) = report::left_behind(&world)
    {
        for line in lines {
            complain!("usysv: left behind: {line}");
        }
    }
    if args.keep {
        complain!("usysv: kept: {}", private.path().to_string_lossy());
        return Ok(());
    }
    private.destroy()
}

fn c_string(text: impl AsRef<std::ffi::OsStr>) -> Result<CString, Failure> {
    // Arguments and paths came from the kernel as C strings.
    CString::new(text.as_ref().as_bytes())
        .map_err(|_| Failure::with_status(status::OURS, "an argument has a NUL byte in it"))
}
