//! `ipcmk`: makes objects with random keys, one of each kind at most, and prints their ids.

use super::number::{self, Bad};
use super::{Exit, Shell};
use crate::getopt::Takes::{Nothing, Value};
use crate::getopt::{Opt, opt};
use crate::sys;
use std::os::unix::ffi::OsStrExt;
use usysv::abi::{IPC_CREAT, IPC_EXCL};
use usysv::{Backend, Errno, Key};

const OPTIONS: [Opt; 6] = [
    opt(b'M', "shmem", Value),
    opt(b'S', "semaphore", Value),
    opt(b'Q', "queue", Nothing),
    opt(b'p', "mode", Value),
    opt(b'V', "version", Nothing),
    opt(b'h', "help", Nothing),
];

const HELP: &str = "\
ipcmk: make System V IPC objects in a usysv namespace (options as util-linux's ipcmk)

Usage: ipcmk [-Q] [-M SIZE] [-S NUMBER] [-p MODE]

 -M, --shmem SIZE        make a shared memory segment of this size, in bytes or with a unit:
                         K (or KiB) is 1024, KB is 1000; also M, G, T, P, E
 -S, --semaphore NUMBER  make an array of this many semaphores
 -Q, --queue             make a message queue
 -p, --mode MODE         its permissions, octal (default 0644)

 -h, --help              this text
 -V, --version           the version

Each gets a random key: `ipcs` shows it. To choose a queue's: `usysv send --create --key KEY`.
The namespace is $USYSV_NS, or the default one; `usysv --kernel ipcmk` makes the kernel's objects.
";

/// What the options ask for.
struct Wanted {
    segment: Option<usize>,
    queue: bool,
    array: Option<i32>,
    mode: i32,
}

/// The tool.
pub fn run(shell: &mut Shell) -> Result<Exit, Exit> {
    let mut wanted = Wanted {
        segment: None,
        queue: false,
        array: None,
        mode: 0o644,
    };
    let mut options = shell.getopt(&OPTIONS);
    while let Some(option) = options.next() {
        let (letter, value) = option.map_err(|bad| shell.wrong_option(&bad))?;
        let text = value.unwrap_or_default().as_bytes();
        match letter {
            b'M' => wanted.segment = Some(parse_size(shell, text)?),
            b'Q' => wanted.queue = true,
            b'S' => wanted.array = Some(parse_elements(shell, text)?),
            b'p' => wanted.mode = parse_mode(shell, text)?,
            b'V' => return Ok(shell.version()),
            _ => {
                shell.print(HELP);
                return Ok(0);
            }
        }
    }
    if wanted.segment.is_none() && wanted.array.is_none() && !wanted.queue {
        shell.warn("bad usage");
        return Err(shell.try_help());
    }
    make(shell, &wanted)?;
    Ok(0)
}

/// Makes one after the other, until one fails.
fn make(shell: &mut Shell, wanted: &Wanted) -> Result<(), Exit> {
    let flags = wanted.mode | IPC_CREAT | IPC_EXCL;
    if let Some(size) = wanted.segment {
        let made = with_free_key(shell, |on, key| on.shmget(key, size, flags))?;
        report(shell, made, "share memory", "Shared memory")?;
    }
    if wanted.queue {
        let made = with_free_key(shell, |on, key| on.msgget(key, flags))?;
        report(shell, made, "message queue", "Message queue")?;
    }
    if let Some(nsems) = wanted.array {
        let made = with_free_key(shell, |on, key| on.semget(key, nsems, flags))?;
        report(shell, made, "semaphore", "Semaphore")?;
    }
    Ok(())
}

/// Draws keys until one is free: a random one may be somebody's, and two of them mean something.
fn with_free_key(
    shell: &mut Shell,
    get: impl Fn(&dyn Backend, i32) -> usysv::Result<i32>,
) -> Result<usysv::Result<i32>, Exit> {
    let backend = shell.world()?.backend();
    loop {
        let key = Key(sys::random_u32() as i32);
        if key == Key::PRIVATE || key == Key::FTOK_FAILED {
            continue;
        }
        match get(backend, key.0) {
            Err(Errno::EEXIST) => {}
            made => return Ok(made),
        }
    }
}

fn report(
    shell: &mut Shell,
    made: usysv::Result<i32>,
    failing: &str,
    name: &str,
) -> Result<(), Exit> {
    let id = made.map_err(|e| {
        let why = sys::strerror(e.raw());
        shell.fail(format!("create {failing} failed: {why}"))
    })?;
    shell.print(format!("{name} id: {id}\n"));
    Ok(())
}

fn parse_size(shell: &Shell, text: &[u8]) -> Result<usize, Exit> {
    let errno = match number::size(text) {
        Ok(size) => return Ok(size as usize),
        Err(Bad::Syntax) => libc::EINVAL,
        Err(Bad::Range) => libc::ERANGE,
    };
    let why = format!("': {}", sys::strerror(errno));
    Err(shell.fail([b"failed to parse size: '", text, why.as_bytes()].concat()))
}

fn parse_elements(shell: &Shell, text: &[u8]) -> Result<i32, Exit> {
    number::strtos32(text).map_err(|bad| {
        let why = match bad {
            Bad::Syntax => "'".to_owned(),
            Bad::Range => format!("': {}", sys::strerror(libc::ERANGE)),
        };
        shell.fail([b"failed to parse elements: '", text, why.as_bytes()].concat())
    })
}

fn parse_mode(shell: &Shell, text: &[u8]) -> Result<i32, Exit> {
    let errno = match number::strtoul(text, 8) {
        Ok(mode) => return Ok(mode as i32),
        Err(Bad::Syntax) => 0,
        Err(Bad::Range) => libc::ERANGE,
    };
    let why = sys::strerror(errno);
    Err(shell.fail(format!("failed to parse mode: {why}")))
}
