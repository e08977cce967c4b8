//! `ipcmk`: makes a queue with a random key and prints its id.

use super::number::{self, Bad};
use super::{Exit, Shell};
use crate::getopt::Takes::{Nothing, Value};
use crate::getopt::{Opt, opt};
use crate::sys;
use std::os::unix::ffi::OsStrExt;
use usysv::abi::{IPC_CREAT, IPC_EXCL};
use usysv::{Errno, Key};

const OPTIONS: [Opt; 6] = [
    opt(b'M', "shmem", Value),
    opt(b'S', "semaphore", Value),
    opt(b'Q', "queue", Nothing),
    opt(b'p', "mode", Value),
    opt(b'V', "version", Nothing),
    opt(b'h', "help", Nothing),
];

const HELP: &str = "\
ipcmk: make a System V IPC object in a usysv namespace (options as util-linux's ipcmk)

Usage: ipcmk -Q [-p MODE]

 -Q, --queue             make a message queue
 -M, --shmem SIZE        make a shared memory segment (not yet)
 -S, --semaphore NUMBER  make a semaphore array (not yet)
 -p, --mode MODE         its permissions, octal (default 0644)

 -h, --help              this text
 -V, --version           the version

The key is random: `ipcs -q` shows it. To choose one: `usysv send --create --key KEY`.
The namespace is $USYSV_NS, or the default one; `usysv --kernel ipcmk` makes a kernel's queue.
";

/// The tool.
pub fn run(shell: &mut Shell) -> Result<Exit, Exit> {
    let (mut queue, mut not_yet, mut mode) = (false, None, 0o644);
    let mut options = shell.getopt(&OPTIONS);
    while let Some(option) = options.next() {
        let (letter, value) = option.map_err(|bad| shell.wrong_option(&bad))?;
        match letter {
            b'Q' => queue = true,
            b'M' => not_yet = Some("shared memory segments"),
            b'S' => not_yet = Some("semaphore arrays"),
            b'p' => mode = parse_mode(shell, value.unwrap_or_default().as_bytes())?,
            b'V' => return Ok(shell.version()),
            _ => {
                shell.print(HELP);
                return Ok(0);
            }
        }
    }
    if let Some(what) = not_yet {
        return Err(shell.fail(format!(
            "{what}: not yet in usysv (message queues only); nothing was made"
        )));
    }
    if !queue {
        shell.warn("bad usage");
        return Err(shell.try_help());
    }
    let made = make_queue(shell, mode)?;
    let id = made.map_err(|e| {
        let why = sys::strerror(e.raw());
        shell.fail(format!("create message queue failed: {why}"))
    })?;
    shell.print(format!("Message queue id: {id}\n"));
    Ok(0)
}

/// Draws keys until one is free: a random one may be somebody's, and two of them mean something.
fn make_queue(shell: &mut Shell, mode: i32) -> Result<usysv::Result<i32>, Exit> {
    let backend = shell.world()?.backend();
    loop {
        let key = Key(sys::random_u32() as i32);
        if key == Key::PRIVATE || key == Key::FTOK_FAILED {
            continue;
        }
        match backend.msgget(key.0, mode | IPC_CREAT | IPC_EXCL) {
            Err(Errno::EEXIST) => {}
            made => return Ok(made),
        }
    }
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
