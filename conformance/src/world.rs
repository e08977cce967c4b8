//! Fresh worlds for scenarios to play in.
//!
//! The kernel's world is a new IPC namespace. usysv's is a new `USYSV_NS` directory under
//! `LD_PRELOAD`, and around it again a new IPC namespace, a trap: its limits are odd and a queue is
//! there, so that a call or a file that reaches the kernel shows something else than usysv would;
//! and afterwards the kernel must hold exactly what it held. Linux hands out indexes in turn, so
//! that even a queue that came and went is noticed.
#![allow(unsafe_code)]

use crate::process;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// In the kernel's table while a scenario plays on usysv, where nobody makes it: who finds it has
/// asked the wrong one.
pub const TRAP_KEY: i32 = 0x0bad_cafe;

/// Moves this thread into a new IPC namespace.
pub fn enter_fresh_world() -> Result<(), String> {
    // SAFETY: changes the namespace of the calling thread alone, which is the runner's own.
    match unsafe { libc::unshare(libc::CLONE_NEWIPC) } {
        0 => Ok(()),
        _ => Err(format!("unshare(CLONE_NEWIPC): {}", process::last_errno())),
    }
}

/// Lets a command start in new user and IPC namespaces, as the same user.
pub(crate) fn fresh_user_world(command: &mut Command) {
    let (uid, gid) = (process::effective_uid(), process::effective_gid());
    let maps = [
        (c"/proc/self/setgroups", "deny".to_owned()),
        (c"/proc/self/uid_map", format!("{uid} {uid} 1")),
        (c"/proc/self/gid_map", format!("{gid} {gid} 1")),
    ];
    let enter = move || {
        // SAFETY: the child has one thread; unshare takes no pointers.
        if unsafe { libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWIPC) } != 0 {
            return Err(std::io::Error::last_os_error());
        }
        for (path, text) in &maps {
            // SAFETY: NUL-terminated path, and a buffer of the length passed; nothing allocates.
            let written = unsafe {
                let fd = libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
                libc::write(fd, text.as_ptr().cast(), text.len())
            };
            if written < 0 {
                return Err(std::io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: the closure makes system calls only, on values made before the fork.
    unsafe { command.pre_exec(enter) };
}

/// What a namespace of the kernel's held before anybody who should not use it had the chance.
pub(crate) struct Trap {
    state: String,
    next_id: i32,
}

impl Trap {
    /// Puts a queue and odd limits into this thread's IPC namespace.
    pub(crate) fn lay() -> Result<Trap, String> {
        for (name, value) in [("msgmax", "1111"), ("msgmnb", "2222"), ("msgmni", "3333")] {
            let path = format!("/proc/sys/kernel/{name}");
            std::fs::write(&path, value).map_err(|error| format!("{path}: {error}"))?;
        }
        let queue = crate::call::msgget(TRAP_KEY, libc::IPC_CREAT | 0o666)
            .map_err(|errno| format!("laying a trap: {errno}"))?;
        Ok(Trap {
            state: kernel_state()?,
            next_id: queue + 1,
        })
    }

    /// How it was sprung, if it was.
    pub(crate) fn sprung(self) -> Option<String> {
        match kernel_state() {
            Ok(state) if state == self.state => {}
            Ok(state) => {
                return Some(format!(
                    "the kernel's own IPC was used, it holds now:\n{state}"
                ));
            }
            Err(error) => return Some(error),
        }
        let next = crate::call::msgget(libc::IPC_PRIVATE, 0o600);
        let expected = self.next_id;
        (next != Ok(expected)).then(|| {
            format!("the kernel's own queues were used: the next id is {next:?}, not {expected}\n")
        })
    }
}

/// The tables and limits of this thread's IPC namespace.
fn kernel_state() -> Result<String, String> {
    let tables = ["msg", "sem", "shm"].map(|name| format!("/proc/sysvipc/{name}"));
    let limits = [
        "msgmax", "msgmnb", "msgmni", "sem", "shmmax", "shmall", "shmmni",
    ];
    let limits = limits.map(|name| format!("/proc/sys/kernel/{name}"));
    let mut state = String::new();
    for path in tables.iter().chain(&limits) {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
        state.push_str(&format!("{path}: {text}"));
    }
    Ok(state)
}

/// A directory of its own for one usysv namespace, removed with all it holds.
pub struct WorldDirectory(pub PathBuf);

impl WorldDirectory {
    /// A fresh one.
    pub fn new() -> Result<WorldDirectory, String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let shm = Path::new("/dev/shm");
        let base = if shm.is_dir() {
            shm.to_owned()
        } else {
            std::env::temp_dir()
        };
        let path = base.join(format!("usysv-conformance-{}-{count}", std::process::id()));
        let fail = |error| format!("{}: {error}", path.display());
        std::fs::DirBuilder::new()
            .mode(0o777)
            .create(&path)
            .map_err(fail)?;
        // Players of other uids make their files here, whatever our umask.
        let open_to_all = std::fs::Permissions::from_mode(0o777);
        std::fs::set_permissions(&path, open_to_all).map_err(fail)?;
        Ok(WorldDirectory(path))
    }

    /// A namespace in it for all users, laid out by us, so that its limits are ours.
    pub fn namespace(&self, library: &Path) -> Result<PathBuf, String> {
        let path = self.0.join("ns");
        let fail = |error| format!("{}: {error}", path.display());
        std::fs::create_dir(&path).map_err(fail)?;
        let open_to_all = std::fs::Permissions::from_mode(0o1777);
        std::fs::set_permissions(&path, open_to_all).map_err(fail)?;
        std::process::Command::new("cat")
            .arg("/proc/sys/kernel/msgmax")
            .env("LD_PRELOAD", library)
            .env("USYSV_NS", &path)
            .stdout(std::process::Stdio::null())
            .status()
            .map_err(fail)?;
        Ok(path)
    }
}

impl Drop for WorldDirectory {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("left behind: {}: {error}", self.0.display());
        }
    }
}
