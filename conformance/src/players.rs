//! Children and threads of a scenario, and the waits that make their order certain.

use crate::board::{self, Board};
use crate::process::{self, Ending};
use crate::stage::Stage;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::time::Duration;

/// A child process. Join, kill or reap it before the scenario ends.
#[must_use]
pub struct Child {
    /// Its process id.
    pub pid: i32,
    name: &'static str,
    board: &'static Board,
}

/// A thread of the main player. Join it before the scenario ends.
#[must_use]
pub struct Thread {
    name: &'static str,
    board: &'static Board,
    handle: std::thread::JoinHandle<()>,
}

/// Anybody whose board can be read.
pub trait Player {
    /// Its board.
    fn board(&self) -> &'static Board;
    /// Its name.
    fn name(&self) -> &'static str;
}

impl Player for Child {
    fn board(&self) -> &'static Board {
        self.board
    }
    fn name(&self) -> &'static str {
        self.name
    }
}

impl Child {
    /// Whether its call number `count` has returned.
    pub fn is_through(&self, count: u32) -> bool {
        self.board.returned.load(SeqCst) >= count
    }
}

impl Player for Thread {
    fn board(&self) -> &'static Board {
        self.board
    }
    fn name(&self) -> &'static str {
        self.name
    }
}

/// A door that children made after it can wait at.
#[derive(Clone, Copy)]
pub struct Gate(&'static Board);

impl Gate {
    /// A shut one.
    pub fn new() -> Gate {
        Gate(Board::new())
    }

    /// Lets everybody through, now and later.
    pub fn open(self) {
        self.0.open.store(true, SeqCst);
    }

    /// Waits until it is open.
    pub fn pass(self) {
        board::poll("a gate opens", || self.0.open.load(SeqCst).then_some(()));
    }
}

impl Default for Gate {
    fn default() -> Gate {
        Gate::new()
    }
}

impl Stage {
    /// Forks a child that plays `play` and exits with 0.
    pub fn spawn(&self, name: &'static str, play: impl FnOnce(&Stage)) -> Child {
        self.spawn_by(process::fork, name, play)
    }

    /// As `spawn`, with another way to fork.
    pub fn spawn_by(
        &self,
        fork: fn() -> Option<i32>,
        name: &'static str,
        play: impl FnOnce(&Stage),
    ) -> Child {
        let board = Board::new();
        let pid = fork();
        let own = pid.unwrap_or_else(process::own_pid);
        self.enlist(own, name);
        match pid {
            Some(pid) => Child { pid, name, board },
            None => {
                board.tid.store(process::own_tid(), SeqCst);
                play(&self.for_player(board));
                process::exit_now(0)
            }
        }
    }

    /// Names a process in transcripts.
    pub fn enlist(&self, pid: i32, name: &str) {
        let mut roles = self
            .roles
            .lock()
            .expect("no player panics with the roles in hand");
        roles.cast.push((pid, name.to_owned()));
    }

    /// Waits for a child's end, which must be an exit with 0, and takes over what it said.
    #[track_caller]
    pub fn join(&self, child: Child) {
        self.reap(child, Ending::Exited(0));
    }

    /// Kills a child with `SIGKILL`.
    #[track_caller]
    pub fn kill(&self, child: Child) {
        self.signal(&child, libc::SIGKILL);
        self.reap(child, Ending::Killed(libc::SIGKILL));
    }

    /// Waits for a child's end, which must be this one, and takes over what it said.
    #[track_caller]
    pub fn reap(&self, child: Child, expected: Ending) {
        let ending = process::wait(child.pid, 0);
        self.hear_out(&child);
        let name = child.name;
        match ending {
            Ok(Some((_, ending))) => assert_eq!(ending, expected, "how {name} ended"),
            other => panic!("waiting for {name}: {other:?}"),
        }
    }

    fn hear_out(&self, player: &impl Player) {
        for line in player.board().lines() {
            self.say(format_args!("{}: {line}", player.name()));
        }
    }

    /// Sends a signal to a child.
    #[track_caller]
    pub fn signal(&self, child: &Child, signal: i32) {
        let sent = process::kill(child.pid, signal);
        assert!(sent.is_ok(), "signalling {}: {sent:?}", child.name);
    }

    /// Stops a child and waits until it is.
    #[track_caller]
    pub fn stop(&self, child: &Child) {
        self.signal(child, libc::SIGSTOP);
        let ending = process::wait(child.pid, libc::WUNTRACED);
        assert_eq!(
            ending,
            Ok(Some((child.pid, Ending::Stopped))),
            "stopping {}",
            child.name
        );
    }

    /// Starts a thread that plays `play`.
    pub fn thread(&self, name: &'static str, play: impl FnOnce(&Stage) + Send + 'static) -> Thread {
        let board = Board::new();
        let stage = self.for_player(board);
        let handle = std::thread::spawn(move || {
            stage.board.tid.store(process::own_tid(), SeqCst);
            play(&stage);
        });
        board::poll("a thread starts", || {
            (board.tid.load(SeqCst) != 0).then_some(())
        });
        Thread {
            name,
            board,
            handle,
        }
    }

    /// Waits for a thread's end and takes over what it said.
    #[track_caller]
    pub fn join_thread(&self, thread: Thread) {
        let Thread {
            name,
            board,
            handle,
        } = thread;
        assert!(handle.join().is_ok(), "thread {name} panicked");
        for line in board.lines() {
            self.say(format_args!("{name}: {line}"));
        }
    }

    /// Tells a value to whoever listens.
    pub fn tell(&self, value: i64) {
        self.board.value.store(value, Relaxed);
        self.board.told.fetch_add(1, SeqCst);
    }

    /// Waits until a player has told `count` values, and gives the last of them.
    #[track_caller]
    pub fn hear(&self, player: &impl Player, count: u32) -> i64 {
        let board = player.board();
        let what = format!("{} tells value {count}", player.name());
        board::poll(&what, || (board.told.load(SeqCst) >= count).then_some(()));
        board.value.load(Relaxed)
    }

    /// Waits until a player's call number `count` has returned.
    #[track_caller]
    pub fn wait_returned(&self, player: &impl Player, count: u32) {
        let board = player.board();
        let what = format!("{} returns from call {count}", player.name());
        board::poll(&what, || {
            (board.returned.load(SeqCst) >= count).then_some(())
        });
    }

    /// Waits until a player is asleep inside a call: in the kernel's queue, on a futex, wherever.
    ///
    /// It is when its board shows a call begun and not ended, and two looks a little apart find it
    /// sleeping without having run in between.
    #[track_caller]
    pub fn wait_blocked(&self, player: &impl Player) {
        let mut last = None;
        let what = format!("{} blocks", player.name());
        board::poll(&what, || {
            let now = asleep_in_call(player.board());
            let settled = now.is_some() && now == last;
            last = now;
            std::thread::sleep(Duration::from_millis(2));
            settled.then_some(())
        });
    }
}

/// Which call a player sleeps in, and how often it has gone to sleep in its life.
fn asleep_in_call(board: &Board) -> Option<(u32, u64)> {
    let returned = board.returned.load(SeqCst);
    let entered = board.entered.load(SeqCst);
    let tid = board.tid.load(SeqCst);
    let status = std::fs::read_to_string(format!("/proc/{tid}/status")).ok()?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.map(|value| value.trim().to_owned())
    };
    let asleep = entered > returned && field("State:")?.starts_with('S');
    let sleeps = field("voluntary_ctxt_switches:")?.parse().ok()?;
    asleep.then_some((entered, sleeps))
}
