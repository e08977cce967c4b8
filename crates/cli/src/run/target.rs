//! Which file a command is, and whether a preload reaches what it starts.

use super::elf::{self, Elf, Kind};
use super::{os, status};
use crate::failure::{Failure, reason};
use std::ffi::{OsStr, OsString};
use std::io::{Error, ErrorKind};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Interpreters of interpreters that the kernel follows.
const DEPTH: usize = 5;

/// The file that `execvp` would start: as is with a slash in it, else the first in `PATH`.
pub fn find(command: &OsStr) -> Result<PathBuf, Failure> {
    let failure = |error: &Error| {
        let status = match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => status::NOT_FOUND,
            _ => status::CANNOT,
        };
        let name = command.display();
        Failure::with_status(status, format!("{name}: {}", reason(error)))
    };
    if command.as_bytes().contains(&b'/') {
        let path = PathBuf::from(command);
        return os::executable(&path)
            .map(|()| path)
            .map_err(|e| failure(&e));
    }
    if command.is_empty() {
        return Err(failure(&Error::from_raw_os_error(libc::ENOENT)));
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| OsString::from("/bin:/usr/bin"));
    let mut denied = None;
    for directory in path.as_bytes().split(|&b| b == b':') {
        // An empty element is the current directory, and a program found there has no slash.
        let candidate = Path::new(OsStr::from_bytes(directory)).join(command);
        match os::executable(&candidate) {
            Ok(()) => return Ok(candidate),
            Err(e) if e.kind() == ErrorKind::PermissionDenied => denied = Some(e),
            Err(_) => {}
        }
    }
    Err(failure(
        &denied.unwrap_or_else(|| Error::from_raw_os_error(libc::ENOENT)),
    ))
}

/// Refuses what a preload cannot reach, with the reason.
pub fn check_reachable(path: &Path, library: &Path) -> Result<(), Failure> {
    let mut file = path.to_owned();
    for _ in 0..DEPTH {
        let kind = match elf::kind(&file) {
            Ok(kind) => kind,
            // Executable but not readable: nothing to see, and it will work or say why not.
            Err(e) if e.kind() == ErrorKind::PermissionDenied => Kind::Other,
            Err(e) => return Err(no_interpreter(path, &file, &e)),
        };
        match kind {
            Kind::Script(interpreter) => file = PathBuf::from(OsString::from_vec(interpreter)),
            Kind::Elf(program) => {
                let refused = elf_refusal(&program, &file, library).or_else(|| privilege(&file));
                return refused.map_or(Ok(()), |why| Err(unreachable(path, &file, &why)));
            }
            Kind::Other => {
                return privilege(&file).map_or(Ok(()), |why| Err(unreachable(path, &file, &why)));
            }
        }
    }
    // The kernel will refuse it with its own words.
    Ok(())
}

fn elf_refusal(program: &Elf, file: &Path, library: &Path) -> Option<String> {
    let Ok(Kind::Elf(ours)) = elf::kind(library) else {
        return Some(format!("{} is no ELF library", library.display()));
    };
    if !program.same_machine(&ours) {
        let (theirs, ours) = (program.describe(), ours.describe());
        return Some(format!("it is {theirs}, and libusysv.so is {ours}"));
    }
    match &program.interpreter {
        None if is_loader(file) => None,
        None => Some("it is statically linked, so LD_PRELOAD does not act on it".to_owned()),
        Some(loader) => other_libc(loader),
    }
}

/// `/lib64/ld-linux-x86-64.so.2 ./prog` preloads although it has no loader of its own.
fn is_loader(file: &Path) -> bool {
    let file = std::fs::canonicalize(file).unwrap_or_default();
    let name = file.file_name().unwrap_or_default().as_bytes();
    name.starts_with(b"ld-") || name.starts_with(b"ld.so") || name.starts_with(b"ld64.so")
}

/// A program of the other libc would get two of them.
fn other_libc(loader: &[u8]) -> Option<String> {
    let musl = loader.windows(7).any(|w| w == b"ld-musl");
    let (theirs, ours) = match (musl, cfg!(target_env = "musl")) {
        (true, false) => ("musl", "glibc"),
        (false, true) => ("glibc", "musl"),
        _ => return None,
    };
    Some(format!(
        "it is linked with {theirs}, and libusysv.so with {ours}"
    ))
}

/// ld.so ignores `LD_PRELOAD` paths in a program that gains privileges.
fn privilege(file: &Path) -> Option<String> {
    let meta = std::fs::metadata(file).ok()?;
    let ids = os::ids();
    let group_executable = meta.mode() & 0o010 != 0;
    let user = (meta.mode() & libc::S_ISUID != 0).then(|| meta.uid());
    let group = (meta.mode() & libc::S_ISGID != 0 && group_executable).then(|| meta.gid());
    let gains_user = user.is_some_and(|uid| uid != ids.real_uid);
    let gains_group = group.is_some_and(|gid| gid != ids.real_gid);
    let gains_capability = ids.real_uid != 0 && os::has_capabilities(file);
    if !(gains_user || gains_group || gains_capability) || os::gains_nothing(file) {
        return None;
    }
    let what = match (gains_user, gains_group) {
        (true, _) => format!("setuid to user {}", meta.uid()),
        (_, true) => format!("setgid to group {}", meta.gid()),
        _ => "given file capabilities".to_owned(),
    };
    Some(format!(
        "it is {what}, and the dynamic loader preloads nothing into such programs"
    ))
}

fn unreachable(command: &Path, file: &Path, why: &str) -> Failure {
    let which = if command == file {
        String::new()
    } else {
        format!("its interpreter {}: ", file.display())
    };
    Failure::with_status(
        status::CANNOT,
        format!("cannot reach {}: {which}{why}", command.display()),
    )
}

fn no_interpreter(command: &Path, file: &Path, error: &Error) -> Failure {
    let status = match error.kind() {
        ErrorKind::NotFound => status::NOT_FOUND,
        _ => status::CANNOT,
    };
    let which = if command == file {
        String::new()
    } else {
        format!("its interpreter {}: ", file.display())
    };
    let text = format!("{}: {which}{}", command.display(), reason(error));
    Failure::with_status(status, text)
}
