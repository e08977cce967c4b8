//! `ipcs`: what exists, in util-linux's tables.

use super::number::{self, Bad};
use super::{Exit, Shell, arrays, queues, segments};
use crate::getopt::Takes::{Nothing, Value};
use crate::getopt::{Opt, opt};
use crate::sys;
use std::os::unix::ffi::OsStrExt;

/// In util-linux's order, which the message about ambiguous abbreviations shows.
const OPTIONS: [Opt; 14] = [
    opt(b'i', "id", Value),
    opt(b'q', "queues", Nothing),
    opt(b'm', "shmems", Nothing),
    opt(b's', "semaphores", Nothing),
    opt(b'a', "all", Nothing),
    opt(b't', "time", Nothing),
    opt(b'p', "pid", Nothing),
    opt(b'c', "creator", Nothing),
    opt(b'l', "limits", Nothing),
    opt(b'u', "summary", Nothing),
    Opt {
        letter: HUMAN,
        long: "human",
        takes: Nothing,
        long_only: true,
    },
    opt(b'b', "bytes", Nothing),
    opt(b'V', "version", Nothing),
    opt(b'h', "help", Nothing),
];
const HUMAN: u8 = b'H';

const HELP: &str = "\
ipcs: show what System V IPC there is in a usysv namespace (options as util-linux's ipcs)

Usage: ipcs [-q|-m|-s|-a] [-t|-p|-c|-l|-u] [--human|-b]
       ipcs -q|-m|-s -i ID

What:
 -q, --queues      message queues
 -m, --shmems      shared memory segments
 -s, --semaphores  semaphore arrays
 -a, --all         all three (default)
 -i, --id ID       everything about one object

How:
 -t, --time        times of the last operations
 -p, --pid         processes of the last operations
 -c, --creator     creators and owners
 -l, --limits      limits
 -u, --summary     totals
     --human       sizes with a unit
 -b, --bytes       sizes in bytes

 -h, --help        this text
 -V, --version     the version

The namespace is $USYSV_NS, or the default one; `usysv --kernel ipcs` shows the kernel's objects.
";

/// Which of the tables.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Keys, ids, sizes.
    Objects,
    /// `-t`
    Time,
    /// `-p`
    Pid,
    /// `-c`
    Creator,
    /// `-l`
    Limits,
    /// `-u`
    Summary,
}

/// How sizes look.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// As each table's habit is.
    Default,
    /// `--human`
    Human,
    /// `-b`
    Bytes,
}

/// The tool.
pub fn run(shell: &mut Shell) -> Result<Exit, Exit> {
    let (mut queues, mut segments, mut arrays) = (false, false, false);
    let (mut format, mut unit, mut id) = (Format::Objects, Unit::Default, None);
    let mut options = shell.getopt(&OPTIONS);
    while let Some(option) = options.next() {
        let (letter, value) = option.map_err(|bad| shell.wrong_option(&bad))?;
        match letter {
            b'i' => id = Some(parse_id(shell, value.unwrap_or_default().as_bytes())?),
            b'q' => queues = true,
            b'm' => segments = true,
            b's' => arrays = true,
            b'a' => (queues, segments, arrays) = (true, true, true),
            b't' => format = Format::Time,
            b'p' => format = Format::Pid,
            b'c' => format = Format::Creator,
            b'l' => format = Format::Limits,
            b'u' => format = Format::Summary,
            HUMAN => unit = Unit::Human,
            b'b' => unit = Unit::Bytes,
            b'V' => return Ok(shell.version()),
            _ => {
                shell.print(HELP);
                return Ok(0);
            }
        }
    }
    if let Some(id) = id {
        return match (queues, segments, arrays) {
            (true, false, false) => queues::details(shell, id, unit),
            (false, true, false) => segments::details(shell, id, unit),
            (false, false, true) => arrays::details(shell, id),
            _ => Err(shell.fail("when using an ID, a single resource must be specified")),
        };
    }
    if !queues && !segments && !arrays {
        (queues, segments, arrays) = (true, true, true);
    }
    shell.print("\n");
    if queues {
        queues::queues(shell, format, unit)?;
        shell.print("\n");
    }
    if segments {
        segments::segments(shell, format, unit)?;
        shell.print("\n");
    }
    if arrays {
        arrays::arrays(shell, format)?;
        shell.print("\n");
    }
    Ok(0)
}

fn parse_id(shell: &Shell, text: &[u8]) -> Result<i32, Exit> {
    number::strtos32(text).map_err(|bad| {
        let quoted = [b"failed to parse id argument: '", text, b"'"].concat();
        match bad {
            Bad::Syntax => shell.fail(quoted),
            Bad::Range => {
                let why = format!(": {}", sys::strerror(libc::ERANGE));
                shell.fail([&quoted, why.as_bytes()].concat())
            }
        }
    })
}
