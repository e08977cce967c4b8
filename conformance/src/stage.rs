//! The stage on which one scenario plays: who is who, and the transcript of what could be seen.
//!
//! A transcript holds nothing that differs from run to run: ids, pids and times are told by role.
//! The main player's lines go to standard output at once; those of its children and threads are
//! kept on their boards and follow when the main player joins them, so that their order is fixed.

use crate::board::Board;
use crate::errno::Errno;
use crate::process;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

/// One player's view of the stage.
pub struct Stage {
    pub(crate) board: &'static Board,
    /// The main player speaks aloud, the others write on their boards.
    pub(crate) main: bool,
    pub(crate) roles: Arc<Mutex<Roles>>,
    started: i64,
}

/// Who the numbers stand for.
#[derive(Clone, Default)]
pub(crate) struct Roles {
    /// Ids in the order in which they were first seen.
    ids: Vec<i32>,
    /// Pids and names.
    pub(crate) cast: Vec<(i32, String)>,
}

/// What a call gave, for the scenario to say what it must be.
#[must_use = "say what the call must give: must(), fails(E...) or result()"]
pub struct Outcome<T> {
    result: Result<T, Errno>,
    line: String,
}

impl<T> Outcome<T> {
    /// The call must succeed.
    #[track_caller]
    pub fn must(self) -> T {
        match self.result {
            Ok(value) => value,
            Err(_) => panic!("must succeed: {}", self.line),
        }
    }

    /// The call must fail with this `errno`.
    #[track_caller]
    pub fn fails(self, errno: i32) {
        let got = self.result.err();
        assert!(
            got == Some(Errno(errno)),
            "must fail with {}: {}",
            Errno(errno),
            self.line
        );
    }

    /// Either will do.
    pub fn result(self) -> Result<T, Errno> {
        self.result
    }
}

impl Stage {
    /// The main player's stage.
    pub fn open() -> Stage {
        let roles = Roles {
            ids: Vec::new(),
            cast: vec![(process::own_pid(), "main".to_owned())],
        };
        let stage = Stage {
            board: Board::new(),
            main: true,
            roles: Arc::new(Mutex::new(roles)),
            started: seconds_now(),
        };
        stage
            .board
            .tid
            .store(process::own_tid(), std::sync::atomic::Ordering::Relaxed);
        stage
    }

    /// The stage as a new player sees it, who keeps its lines on `board`.
    pub(crate) fn for_player(&self, board: &'static Board) -> Stage {
        Stage {
            board,
            main: false,
            roles: self.roles.clone(),
            started: self.started,
        }
    }

    /// Ends the scenario: nobody may be left behind.
    pub fn close(&self) {
        match process::wait(-1, libc::WNOHANG) {
            Err(Errno(libc::ECHILD)) => {}
            other => panic!("the scenario left a child behind: {other:?}"),
        }
    }

    /// Adds a line to the transcript.
    pub fn say(&self, line: impl fmt::Display) {
        if self.main {
            println!("{line}");
        } else {
            self.board.write(&line.to_string());
        }
    }

    /// Makes one call, with its beginning and end on the board, and records it.
    pub(crate) fn call<T>(
        &self,
        what: fmt::Arguments<'_>,
        call: impl FnOnce() -> Result<T, Errno>,
        show: impl FnOnce(&T) -> String,
    ) -> Outcome<T> {
        use std::sync::atomic::Ordering::SeqCst;
        self.board.entered.fetch_add(1, SeqCst);
        let result = call();
        self.board.returned.fetch_add(1, SeqCst);
        let line = match &result {
            Ok(value) => format!("{what} = {}", show(value)),
            Err(errno) => format!("{what} = -1 {errno}"),
        };
        self.say(&line);
        Outcome { result, line }
    }

    /// A name for an object's id: by order of appearance.
    pub(crate) fn id_role(&self, id: i32) -> String {
        if id < 0 {
            return format!("id {id}");
        }
        let mut roles = self
            .roles
            .lock()
            .expect("no player panics with the roles in hand");
        let place = roles
            .ids
            .iter()
            .position(|&known| known == id)
            .unwrap_or_else(|| {
                roles.ids.push(id);
                roles.ids.len() - 1
            });
        format!("id#{place}")
    }

    /// A name for a process.
    pub(crate) fn pid_role(&self, pid: i32) -> String {
        let roles = self
            .roles
            .lock()
            .expect("no player panics with the roles in hand");
        match roles.cast.iter().find(|(known, _)| *known == pid) {
            _ if pid == 0 => "nobody".to_owned(),
            Some((_, name)) => name.clone(),
            None => "a stranger".to_owned(),
        }
    }

    /// A word for a time in seconds.
    pub(crate) fn time_role(&self, time: i64) -> String {
        match time {
            0 => "never".to_owned(),
            // The kernel's stamps are those of its last tick, and lag behind the clock a little.
            _ if (self.started - 1..=seconds_now()).contains(&time) => "recent".to_owned(),
            _ => format!("not recent ({time})"),
        }
    }

    /// Waits until stamps taken from now on differ from those taken before.
    pub fn next_second(&self) {
        let now = seconds_now();
        while seconds_now() == now {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        // Let the kernel's tick, which its stamps are taken from, catch up.
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// Seconds since the epoch.
pub fn seconds_now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |since| since.as_secs() as i64)
}

/// Bytes as a transcript shows them: short text as it is, the rest by length and checksum.
pub(crate) fn show_bytes(bytes: &[u8]) -> String {
    if bytes.len() <= 40 {
        return format!("\"{}\"", bytes.escape_ascii());
    }
    let sum = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, &byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{} bytes, sum {:08x}", bytes.len(), sum as u32)
}

/// Flags as a transcript shows them: the given names, then what remains.
pub fn show_flags(flags: i32, names: &[(i32, &str)]) -> String {
    let mut rest = flags;
    let mut parts = Vec::new();
    for &(bit, name) in names {
        if rest & bit == bit {
            rest &= !bit;
            parts.push(name.to_owned());
        }
    }
    if rest & !0o777 != 0 {
        parts.push(format!("{:#x}", rest & !0o777));
    }
    if rest & 0o777 != 0 || parts.is_empty() {
        parts.push(format!("0{:o}", rest & 0o777));
    }
    parts.join("|")
}
