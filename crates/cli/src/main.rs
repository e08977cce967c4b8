//! `usysv`: runs programs on user-space System V IPC, and sees inside it.
//!
//! The C `main` is ours, not std's: std's start-up ignores SIGPIPE and opens closed standard
//! streams, and `usysv run` must hand both on to the command as it found them.
#![cfg_attr(not(test), no_main)]
#![deny(unsafe_code)]

mod args;
mod classic;
mod failure;
mod getopt;
mod key;
mod limits;
mod manual;
mod queue;
mod run;
mod sem;
mod shm;
mod sys;
mod world;

use args::{Cli, Command};
use clap::{CommandFactory, Parser};
use failure::{Failure, complain};
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use world::{Choice, World};

/// Where the C library enters.
#[cfg(not(test))]
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
extern "C" fn main(argc: i32, argv: *const *const std::ffi::c_char) -> i32 {
    let args = (0..argc as usize).map(|n| {
        // SAFETY: the C library passes argc C strings, which live as long as the process.
        let arg = unsafe { std::ffi::CStr::from_ptr(*argv.add(n)) };
        OsStr::from_bytes(arg.to_bytes()).to_owned()
    });
    i32::from(start(&args.collect::<Vec<_>>()))
}

#[cfg_attr(test, allow(dead_code))]
fn start(argv: &[OsString]) -> u8 {
    let empty = OsString::new();
    let argv0 = argv.first().unwrap_or(&empty);
    let name = Path::new(argv0).file_name().unwrap_or_default();
    if let Some(tool) = classic::tool(name) {
        return classic::run(tool, argv0, &argv[1..], Choice::Namespace(None));
    }
    if let Some(at) = subcommand(argv)
        && let Some(tool) = classic::tool(&argv[at])
    {
        // clap sees what stands before the tool's own words.
        return match Cli::try_parse_from(&argv[..=at]) {
            Ok(cli) => classic::run(tool, &argv[at], &argv[at + 1..], choice(cli.place)),
            Err(e) => usage(&e, argv),
        };
    }
    match Cli::try_parse_from(argv) {
        Ok(cli) => {
            let name = cli.command.name();
            dispatch(cli).unwrap_or_else(|failure| {
                complain!("usysv: {name}: {failure}");
                failure.status()
            })
        }
        Err(e) => usage(&e, argv),
    }
}

fn dispatch(cli: Cli) -> Result<u8, Failure> {
    let place = cli.place;
    match cli.command {
        Command::Run(_) if place.kernel => Err(Failure::with_status(
            run::status::OURS,
            "--kernel makes no sense here: a command without 'usysv run' uses the kernel",
        )),
        Command::Run(args) => return run::run(&args, place.ns),
        Command::Send(args) => queue::send(&World::open(&choice(place))?, &args),
        Command::Recv(args) => queue::recv(&World::open(&choice(place))?, &args),
        Command::Peek(args) => queue::peek(&World::open(&choice(place))?, &args),
        Command::Sem(args) => sem::sem(&World::open(&choice(place))?, &args),
        Command::Shm(args) => shm::shm(&World::open(&choice(place))?, &args),
        Command::Limits(args) => limits::limits(&World::open(&choice(place))?, &args),
        Command::Completions { shell } => manual::completions(shell),
        Command::Man => manual::man(),
        Command::Ipcs(_) | Command::Ipcrm(_) | Command::Ipcmk(_) => {
            unreachable!("the classic tools were started before clap saw them")
        }
    }
    .map(|()| 0)
}

fn choice(place: args::Place) -> Choice {
    match place.kernel {
        true => Choice::Kernel,
        false => Choice::Namespace(place.ns),
    }
}

/// Where the subcommand stands: the first word that is neither an option nor an option's value.
fn subcommand(argv: &[OsString]) -> Option<usize> {
    let takes_value = |word: &OsStr| {
        let command = Cli::command();
        let long = |name: &str| format!("--{name}");
        command.get_arguments().any(|arg| {
            arg.get_action().takes_values() && arg.get_long().is_some_and(|l| *word == *long(l))
        })
    };
    let mut at = 1;
    while let Some(word) = argv.get(at) {
        if !word.as_bytes().starts_with(b"-") {
            return Some(at);
        }
        at += if takes_value(word) { 2 } else { 1 };
    }
    None
}

/// clap's own words; `run` has its own status for a command line that was not understood, and for help
/// that cannot be written.
fn usage(error: &clap::Error, argv: &[OsString]) -> u8 {
    let printed = error.print().and_then(|()| std::io::stdout().flush());
    let running = subcommand(argv).is_some_and(|at| argv[at] == "run");
    match (error.exit_code(), printed) {
        (0, Ok(())) => return 0,
        (0, Err(e)) => complain!("usysv: {}", Failure::stdout(e)),
        // Nobody to tell when the stream is closed.
        _ => {}
    }
    match (running, error.exit_code()) {
        (true, _) => run::status::OURS,
        (false, 0) => 1,
        (false, _) => 2,
    }
}

/// Writes a command's whole output.
fn write_stdout(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
    written.map_err(Failure::stdout)
}
