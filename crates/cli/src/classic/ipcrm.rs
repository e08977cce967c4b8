//! `ipcrm`: removes what its options name, in their order.

use super::number::{self, Bad};
use super::{Exit, Shell};
use crate::getopt::Takes::{MaybeValue, Nothing, Value};
use crate::getopt::{Opt, opt};
use crate::sys;
use crate::world::{Listed, Which};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use usysv::Errno;

const OPTIONS: [Opt; 10] = [
    opt(b'm', "shmem-id", Value),
    opt(b'M', "shmem-key", Value),
    opt(b'q', "queue-id", Value),
    opt(b'Q', "queue-key", Value),
    opt(b's', "semaphore-id", Value),
    opt(b'S', "semaphore-key", Value),
    opt(b'a', "all", MaybeValue),
    opt(b'v', "verbose", Nothing),
    opt(b'V', "version", Nothing),
    opt(b'h', "help", Nothing),
];

const HELP: &str = "\
ipcrm: remove System V IPC objects from a usysv namespace (options as util-linux's ipcrm)

Usage: ipcrm [OPTION]...
       ipcrm msg|shm|sem ID...

 -q, --queue-id ID        remove the message queue with this id
 -Q, --queue-key KEY      remove the message queue with this key
 -m, --shmem-id ID        remove the shared memory segment with this id
 -M, --shmem-key KEY      remove the shared memory segment with this key
 -s, --semaphore-id ID    remove the semaphore array with this id
 -S, --semaphore-key KEY  remove the semaphore array with this key
 -a, --all[=msg|shm|sem]  remove everything, or everything of this kind
 -v, --verbose            say what is being removed

 -h, --help               this text
 -V, --version            the version

The namespace is $USYSV_NS, or the default one; `usysv --kernel ipcrm` removes the kernel's objects.
";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Msg,
    Shm,
    Sem,
}

impl Kind {
    fn named(name: &OsStr) -> Option<Kind> {
        match name.as_bytes() {
            b"msg" => Some(Kind::Msg),
            b"shm" => Some(Kind::Shm),
            b"sem" => Some(Kind::Sem),
            _ => None,
        }
    }
}

/// What a removal was asked by, for the words of its failure.
#[derive(Clone, Copy)]
enum By {
    Id,
    Key,
}

/// The tool.
pub fn run(shell: &mut Shell) -> Result<Exit, Exit> {
    if let Some(kind) = shell.args.first().and_then(|word| Kind::named(word)) {
        return old_syntax(shell, kind);
    }
    let mut errors = 0;
    let (mut all, mut verbose) = (None, false);
    let mut options = shell.getopt(&OPTIONS);
    while let Some(option) = options.next() {
        let (letter, value) = option.map_err(|bad| shell.wrong_option(&bad))?;
        let kind = match letter.to_ascii_lowercase() {
            b'm' => Kind::Shm,
            b's' => Kind::Sem,
            _ => Kind::Msg,
        };
        let text = value.unwrap_or_default().as_bytes();
        match letter {
            b'q' | b'm' | b's' => {
                let id = number::strtos32(text).map_err(|bad| unparsed(shell, text, bad))?;
                errors += remove(shell, kind, By::Id, id, verbose)?;
            }
            b'Q' | b'M' | b'S' => match id_of_key(shell, kind, text)? {
                Some(id) => errors += remove(shell, kind, By::Key, id, verbose)?,
                None => errors += 1,
            },
            b'a' => all = Some(kinds(shell, value)?),
            b'v' => verbose = true,
            b'V' => return Ok(shell.version()),
            _ => {
                shell.print(HELP);
                return Ok(0);
            }
        }
    }
    if let Some(kinds) = all {
        errors += remove_all(shell, kinds, verbose)?;
    }
    if let Some(extra) = options.operands().first() {
        shell.warn([b"unknown argument: ", extra.as_bytes()].concat());
        return Err(shell.try_help());
    }
    Ok(u8::from(errors != 0))
}

/// `ipcrm msg ID...`
fn old_syntax(shell: &mut Shell, kind: Kind) -> Result<Exit, Exit> {
    let ids = &shell.args[1..];
    if ids.is_empty() {
        shell.warn("not enough arguments");
        return Err(shell.try_help());
    }
    let mut errors = 0;
    for text in ids.iter().map(|id| id.as_bytes()) {
        match number::strtoul(text, 10) {
            Ok(id) => errors += remove(shell, kind, By::Id, id as i32, false)?,
            Err(_) if text.is_empty() => errors += remove(shell, kind, By::Id, 0, false)?,
            Err(_) => {
                shell.warn([b"invalid id: ", text].concat());
                errors += 1;
            }
        }
    }
    if errors == 0 {
        shell.print("resource(s) deleted\n");
    }
    Ok(u8::from(errors != 0))
}

fn kinds(shell: &Shell, value: Option<&OsStr>) -> Result<Option<Kind>, Exit> {
    let Some(name) = value else { return Ok(None) };
    match Kind::named(name) {
        Some(kind) => Ok(Some(kind)),
        None => Err(shell.fail([b"unknown argument: ", name.as_bytes()].concat())),
    }
}

fn unparsed(shell: &Shell, text: &[u8], bad: Bad) -> Exit {
    let quoted = [b"failed to parse argument: '", text, b"'"].concat();
    match bad {
        Bad::Syntax => shell.fail(quoted),
        Bad::Range => {
            let why = format!(": {}", sys::strerror(libc::ERANGE));
            shell.fail([&quoted, why.as_bytes()].concat())
        }
    }
}

/// The id that a key stands for; `None` if that failed in a way that lets the tool go on.
fn id_of_key(shell: &mut Shell, kind: Kind, text: &[u8]) -> Result<Option<i32>, Exit> {
    let key = number::strtoul(text, 0).map_err(|bad| unparsed(shell, text, bad))? as i32;
    if key == usysv::Key::PRIVATE.0 {
        shell.warn([b"illegal key (", text, b")"].concat());
        return Ok(None);
    }
    let backend = shell.world()?.backend();
    let found = match kind {
        Kind::Msg => backend.msgget(key, 0),
        Kind::Shm => backend.shmget(key, 0, 0),
        Kind::Sem => backend.semget(key, 0, 0),
    };
    let why = match found {
        Ok(id) => return Ok(Some(id)),
        Err(Errno::EACCES) => "permission denied for key",
        Err(Errno::EIDRM) => "already removed key",
        Err(Errno::ENOENT) => "invalid key",
        Err(e) => return Err(shell.fail(format!("key failed: {}", sys::strerror(e.raw())))),
    };
    shell.warn([why.as_bytes(), b" (", text, b")"].concat());
    Ok(None)
}

/// Removes one object; answers the number of errors, which is 0 or 1.
fn remove(shell: &mut Shell, kind: Kind, by: By, id: i32, verbose: bool) -> Result<u32, Exit> {
    if verbose {
        let what = match kind {
            Kind::Msg => "message queue",
            Kind::Shm => "shared memory segment",
            Kind::Sem => "semaphore",
        };
        shell.print(format!("removing {what} id `{id}'\n"));
    }
    let backend = shell.world()?.backend();
    let removed = match kind {
        Kind::Msg => backend.msg_remove(id),
        Kind::Shm => backend.shm_remove(id),
        Kind::Sem => backend.sem_remove(id),
    };
    let noun = match by {
        By::Id => "id",
        By::Key => "key",
    };
    let why = match removed {
        Ok(()) => return Ok(0),
        Err(Errno::EACCES | Errno::EPERM) => "permission denied for",
        Err(Errno::EINVAL) => "invalid",
        Err(Errno::EIDRM) => "already removed",
        Err(e) => return Err(shell.fail(format!("{noun} failed: {}", sys::strerror(e.raw())))),
    };
    shell.warn(format!("{why} {noun} ({id})"));
    Ok(1)
}

/// Removes what can be read: everything, or everything of one kind.
fn remove_all(shell: &mut Shell, only: Option<Kind>, verbose: bool) -> Result<u32, Exit> {
    let mut errors = 0;
    for kind in [Kind::Shm, Kind::Sem, Kind::Msg] {
        if only.is_none_or(|only| only == kind) {
            for id in readable(shell, kind)? {
                errors += remove(shell, kind, By::Id, id, verbose)?;
            }
        }
    }
    Ok(errors)
}

fn readable(shell: &mut Shell, kind: Kind) -> Result<Vec<i32>, Exit> {
    let world = shell.world()?;
    let listed = match kind {
        Kind::Msg => world.queues(Which::Readable).map(ids),
        Kind::Shm => world.segments(Which::Readable).map(ids),
        Kind::Sem => world.sets(Which::Readable).map(ids),
    };
    listed.map_err(|e| shell.fail(e.to_string()))
}

fn ids<T>(listed: Vec<Listed<T>>) -> Vec<i32> {
    listed.into_iter().map(|(id, _)| id).collect()
}
