//! Plays a scenario in a fresh process in a fresh world, within a time limit.
#![allow(unsafe_code)]

use crate::process;
use crate::scenarios::Scenario;
use crate::world::{Trap, WorldDirectory, enter_fresh_world, fresh_user_world};
use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::FromRawFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long a scenario may play.
const LIMIT: Duration = Duration::from_secs(20);

/// Tells the player's process that it must find the library in itself.
pub const PRELOADED: &str = "USYSV_CONFORMANCE_PRELOADED";

/// Who answers the calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Linux.
    Kernel,
    /// `libusysv.so`.
    Usysv,
}

/// How a scenario went.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// What it showed.
    pub transcript: Vec<String>,
    /// Why it failed, if it did.
    pub failure: Option<String>,
}

impl Run {
    fn failed(reason: String) -> Run {
        Run {
            transcript: Vec::new(),
            failure: Some(reason),
        }
    }
}

/// What this process may do to make worlds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// Everything.
    Root,
    /// Worlds of its own, inside user namespaces; no scenario that needs several users.
    UserNamespaces,
    /// No fresh kernel worlds.
    None,
}

impl Power {
    /// Finds out.
    pub fn probe() -> Power {
        if process::effective_uid() == 0 {
            return Power::Root;
        }
        let mut trial = Command::new("true");
        fresh_user_world(&mut trial);
        match trial.status() {
            Ok(status) if status.success() => Power::UserNamespaces,
            _ => Power::None,
        }
    }

    /// Why this scenario cannot be played, if so.
    pub fn lacks(self, scenario: &Scenario) -> Option<&'static str> {
        match self {
            Power::Root => None,
            Power::UserNamespaces => scenario.root.then_some("it needs root"),
            Power::None => Some("neither root nor user namespaces are to be had"),
        }
    }
}

/// Where the library is: `$USYSV_LIB`, else beside the program.
pub fn library(program: &Path) -> Result<PathBuf, String> {
    let library = match std::env::var_os("USYSV_LIB") {
        Some(path) => PathBuf::from(path),
        None => program.with_file_name("libusysv.so"),
    };
    if library.exists() {
        return Ok(library);
    }
    let library = library.display();
    Err(format!(
        "{library} is missing: run `cargo build -p usysv-preload`, or set USYSV_LIB"
    ))
}

/// Plays a scenario with `program run NAME`.
pub fn run(program: &Path, scenario: &Scenario, side: Side, power: Power) -> Run {
    // A thread of its own can enter a namespace of its own, which its children inherit.
    std::thread::scope(|scope| {
        let play = || play(program, scenario, side, power).unwrap_or_else(Run::failed);
        scope
            .spawn(play)
            .join()
            .unwrap_or_else(|_| Run::failed("the runner panicked".to_owned()))
    })
}

fn play(program: &Path, scenario: &Scenario, side: Side, power: Power) -> Result<Run, String> {
    let mut command = Command::new(program);
    command
        .args(["run", scenario.name])
        .env_remove("LD_PRELOAD")
        .env_remove(PRELOADED);
    // An assertion says where it stands; who wants more uses gdb.
    command.env("RUST_BACKTRACE", "0");
    let directory = match side {
        Side::Kernel => None,
        Side::Usysv => {
            let directory = WorldDirectory::new()?;
            command.env("LD_PRELOAD", library(program)?);
            command.env(PRELOADED, "1");
            command.env("USYSV_NS", directory.namespace(&library(program)?)?);
            Some(directory)
        }
    };
    match power {
        Power::Root => enter_fresh_world()?,
        Power::UserNamespaces => fresh_user_world(&mut command),
        Power::None => return Err("no fresh world to play in".to_owned()),
    }
    let trap = if side == Side::Usysv && power == Power::Root {
        Some(Trap::lay()?)
    } else {
        None
    };
    let mut run = watch(command)?;
    if let Some(reason) = trap.and_then(Trap::sprung) {
        run.failure.get_or_insert_default().push_str(&reason);
    }
    drop(directory);
    Ok(run)
}

/// Starts the player, waits for its end or the limit's, and leaves none of its processes behind.
fn watch(mut command: Command) -> Result<Run, String> {
    let mut spoken = scratch_file()?;
    let mut complaints = scratch_file()?;
    let clone = |file: &File| file.try_clone().map_err(|error| error.to_string());
    command
        .stdin(Stdio::null())
        .stdout(clone(&spoken)?)
        .stderr(clone(&complaints)?)
        .process_group(0);
    let player = command
        .spawn()
        .map_err(|error| format!("cannot start the player: {error}"))?;
    let pid = player.id() as i32;
    let deadline = Instant::now() + LIMIT;
    let mut failure = loop {
        if has_ended(pid) {
            break None;
        }
        if Instant::now() > deadline {
            let tasks = tasks_of_group(pid);
            break Some(format!(
                "still playing after {} s:\n{tasks}",
                LIMIT.as_secs()
            ));
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    // The leader is not reaped yet, so that its group's number cannot mean anybody else.
    let _nobody_left = process::kill(-pid, libc::SIGKILL);
    let ending = process::wait(pid, 0);
    if failure.is_none() && ending != Ok(Some((pid, process::Ending::Exited(0)))) {
        failure = Some(format!("the player ended with {ending:?}\n"));
    }
    if let Some(failure) = &mut failure {
        failure.push_str(&contents(&mut complaints)?);
    }
    let transcript = contents(&mut spoken)?.lines().map(str::to_owned).collect();
    Ok(Run {
        transcript,
        failure,
    })
}

/// Whether a child has ended; leaves it to be reaped.
fn has_ended(pid: i32) -> bool {
    // SAFETY: a plain C struct, for which zeros are a value.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: `info` lives on this stack.
    let ret = unsafe { libc::waitid(libc::P_PID, pid as u32, &mut info, flags) };
    // SAFETY: waitid filled `info`, or left its zeros.
    ret == -1 || unsafe { info.si_pid() } == pid
}

/// Names and states of a process group's members, for whoever wants to know who hangs where.
fn tasks_of_group(group: i32) -> String {
    let mut tasks = String::new();
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return tasks;
    };
    for entry in processes.flatten() {
        let read =
            |name: &str| std::fs::read_to_string(entry.path().join(name)).unwrap_or_default();
        let stat = read("stat");
        let after_name = stat.rsplit(") ").next().unwrap_or_default();
        let mut fields = after_name.split(' ');
        let state = fields.next().unwrap_or_default();
        if fields.nth(1) == Some(&group.to_string()) {
            let pid = entry.file_name();
            let (wchan, call) = (read("wchan"), read("syscall"));
            let call = call.trim();
            tasks.push_str(&format!(
                "  {} state {state} in {wchan}, syscall {call}\n",
                pid.display()
            ));
        }
    }
    tasks
}

fn scratch_file() -> Result<File, String> {
    // SAFETY: a NUL-terminated name; a new descriptor is nobody else's.
    let fd = unsafe { libc::memfd_create(c"conformance".as_ptr(), libc::MFD_CLOEXEC) };
    if fd < 0 {
        return Err(format!("memfd_create: {}", process::last_errno()));
    }
    // SAFETY: the descriptor was just made and is owned by this file alone.
    Ok(unsafe { File::from_raw_fd(fd) })
}

fn contents(file: &mut File) -> Result<String, String> {
    let mut bytes = Vec::new();
    let read = file.rewind().and_then(|()| file.read_to_end(&mut bytes));
    read.map_err(|error| format!("reading the player's words: {error}"))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
