//! Blocking hand-overs without end, on queues and semaphores, between pairs and in crowds, with
//! signals and kills at random times. A lost wake-up shows as a player that makes no progress.
//!
//! Each player counts its own hand-overs: in a crowd the others would hide who was forgotten. What
//! a killed player had in hand is put back by the engine (SEM_UNDO), or never was in its hands alone
//! (one array of operations takes and gives); only a pair on a queue is begun anew.
//!
//! Played in a process of its own, once with the look before the sleep and once without (`USYSV_SPIN`
//! is asked once), which makes each hand-over that has to wait a sleep and a wake.

use crate::Dice;
use crate::crowds::op;
use crate::rig::*;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use usysv::abi::{IPC_PRIVATE, SEM_UNDO, Sembuf};
use usysv::{Engine, Errno, Messages, Result, Semaphores};

/// No progress for so long is a stall.
const STALL: Duration = Duration::from_secs(2);
/// The referee's own hiccups do not count as the players': on a busy machine a fork can take seconds,
/// and meanwhile nobody takes the place of who was killed.
const TICK: Duration = Duration::from_millis(50);
/// One in so many of the referee's blows kills; the others are signals.
const KILLS: u64 = 8;

/// What a player does for one hand-over. An EINTR is tried again, from where it was.
type Play = fn(&Engine, &Group, usize) -> Result<()>;

struct Group {
    name: &'static str,
    players: usize,
    play: Play,
    queue: i32,
    set: i32,
    /// A killed player takes the ball with it: all begin anew.
    fragile: bool,
}

/// What a player tells; zeroes at first.
#[derive(Default)]
struct Tally {
    done: AtomicU64,
    interrupted: AtomicU64,
    /// The longest of its hand-overs.
    longest_ns: AtomicU64,
}

struct Player {
    child: Child,
    seen: u64,
    still: Duration,
}

fn numbered(sem_num: usize, sem_op: i16, flags: i32) -> Sembuf {
    Sembuf {
        sem_num: sem_num as u16,
        ..op(sem_op, flags)
    }
}

/// Tries again what a signal interrupted.
fn again<T>(tally: &Tally, mut f: impl FnMut() -> Result<T>) -> Result<T> {
    loop {
        match f() {
            Err(Errno::EINTR) => tally.interrupted.fetch_add(1, Relaxed),
            other => return other,
        };
    }
}

/// One ball on a queue: player 0 sends type 2 and waits for type 1.
fn queue_pair(engine: &Engine, group: &Group, me: usize) -> Result<()> {
    let (mine, theirs) = (me as i64 + 1, 2 - me as i64);
    engine.msgrcv(group.queue, &mut [0; 64], mine, 0)?;
    // A signal here loses nothing: the queue is never full.
    again(&Tally::default(), || {
        engine.msgsnd(group.queue, theirs, &[7; 64], 0)
    })
}

/// Half send and half receive, on a queue that holds four messages: both have to wait.
fn queue_crowd(engine: &Engine, group: &Group, me: usize) -> Result<()> {
    match me % 2 {
        0 => engine.msgsnd(group.queue, 1 + me as i64 % 4, &[7; 100], 0),
        _ => engine.msgrcv(group.queue, &mut [0; 100], 0, 0).map(drop),
    }
}

/// One ball in a ring: taken from this player's semaphore and given to the next one's, at once.
fn ring(engine: &Engine, group: &Group, me: usize) -> Result<()> {
    let next = (me + 1) % group.players;
    engine.semop(
        group.set,
        &[numbered(me, -1, 0), numbered(next, 1, 0)],
        None,
    )
}

/// One semaphore for all; what is held is undone at a death.
fn mutex(engine: &Engine, group: &Group, _: usize) -> Result<()> {
    engine.semop(group.set, &[op(-1, SEM_UNDO)], None)?;
    engine.semop(group.set, &[op(1, SEM_UNDO)], None)
}

/// Odd ones post, even ones wait; a post waits until the last one was taken.
fn posts(engine: &Engine, group: &Group, me: usize) -> Result<()> {
    match me % 2 {
        0 => engine.semop(group.set, &[op(-1, 0)], None),
        _ => engine.semop(group.set, &[op(0, 0), op(1, 0)], None),
    }
}

impl Group {
    fn new(engine: &Engine, name: &'static str, players: usize, play: Play) -> Group {
        let queue = engine.msgget(IPC_PRIVATE, 0o600).expect("msgget");
        let mut ds = engine.msg_stat(queue).expect("IPC_STAT");
        ds.msg_qbytes = 400;
        engine.msg_set(queue, &ds).expect("IPC_SET");
        let set = engine
            .semget(IPC_PRIVATE, players as i32, 0o600)
            .expect("semget");
        let group = Group {
            name,
            players,
            play,
            queue,
            set,
            fragile: name == "queue pair",
        };
        group.serve(engine);
        group
    }

    /// The ball.
    fn serve(&self, engine: &Engine) {
        while receive(engine, self.queue, 0, 0).is_some() {}
        if self.fragile {
            engine.msgsnd(self.queue, 1, b"ball", 0).expect("msgsnd");
        }
        let ball = !self.name.contains("posts");
        engine
            .sem_put(self.set, 0, i32::from(ball))
            .expect("SETVAL");
    }

    fn start(&self, engine: &Engine, tally: &'static Tally, me: usize) -> Player {
        let child = Child::fork(|| {
            // SAFETY: no pointers; who plays for longer than the alarm is not stuck.
            unsafe { libc::alarm(0) };
            loop {
                let begun = Instant::now();
                match (self.play)(engine, self, me) {
                    Ok(()) => {
                        tally.done.fetch_add(1, Relaxed);
                    }
                    Err(Errno::EINTR) => {
                        tally.interrupted.fetch_add(1, Relaxed);
                    }
                    Err(e) => panic!("{}: {e:?}", self.name),
                }
                let took = begun.elapsed().as_nanos() as u64;
                tally.longest_ns.fetch_max(took, Relaxed);
            }
        });
        Player {
            child,
            seen: tally.done.load(Relaxed),
            still: Duration::ZERO,
        }
    }
}

extern "C" fn heard(_: i32) {}

/// A handler, without SA_RESTART, that the players inherit.
fn hear_signals() {
    // SAFETY: an action of zeroes and a handler that does nothing.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = heard as *const () as usize;
        libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut());
    }
}

fn tallies(count: usize) -> &'static [Tally] {
    // SAFETY: zeroed memory of that size, of atomics, never unmapped.
    unsafe { std::slice::from_raw_parts(shared(count * size_of::<Tally>()).cast(), count) }
}

/// Sleeps of all players that have ended.
fn sleeps() -> i64 {
    // SAFETY: plain memory that getrusage fills.
    unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage);
        usage.ru_nvcsw
    }
}

/// The players, and the referee's watch.
struct Game<'a> {
    engine: &'a Engine,
    groups: &'a [Group],
    /// Group and place in it of each player.
    seats: Vec<(usize, usize)>,
    tallies: &'static [Tally],
    players: Vec<Player>,
    last: Instant,
    /// The longest that the referee itself was held up.
    pause: Duration,
    kills: usize,
    signals: usize,
}

impl<'a> Game<'a> {
    fn begin(engine: &'a Engine, groups: &'a [Group]) -> Game<'a> {
        let all = groups.iter().enumerate();
        let seats: Vec<_> = all
            .flat_map(|(g, group)| (0..group.players).map(move |me| (g, me)))
            .collect();
        let mut game = Game {
            engine,
            groups,
            tallies: tallies(seats.len()),
            seats,
            players: Vec::new(),
            last: Instant::now(),
            pause: Duration::ZERO,
            kills: 0,
            signals: 0,
        };
        game.players = (0..game.seats.len()).map(|seat| game.start(seat)).collect();
        game
    }

    fn start(&self, seat: usize) -> Player {
        let (g, me) = self.seats[seat];
        self.groups[g].start(self.engine, &self.tallies[seat], me)
    }

    /// Everybody plays, and nobody has stalled.
    fn watch(&mut self) {
        self.pause = self.pause.max(self.last.elapsed());
        let passed = self.last.elapsed().min(TICK);
        self.last = Instant::now();
        for (seat, player) in self.players.iter_mut().enumerate() {
            let (g, me) = self.seats[seat];
            let (group, done) = (&self.groups[g], self.tallies[seat].done.load(Relaxed));
            player.still = match done == player.seen {
                true => player.still + passed,
                false => Duration::ZERO,
            };
            player.seen = done;
            assert!(!player.child.has_ended(), "{} {me} ended", group.name);
            let stalls = player.still >= STALL;
            assert!(
                !stalls,
                "{} {me} stalls after {done}\n{}",
                group.name,
                look(self.engine, group)
            );
        }
    }

    /// Kills somebody, or signals.
    fn strike(&mut self, dice: &mut Dice) {
        let victim = dice.roll(self.seats.len() as u64) as usize;
        if dice.roll(KILLS) != 0 {
            // SAFETY: a child that has not been waited for.
            unsafe { libc::kill(self.players[victim].child.pid(), libc::SIGUSR1) };
            self.signals += 1;
            return;
        }
        let group = self.seats[victim].0;
        let fragile = self.groups[group].fragile;
        let mates: Vec<usize> = (0..self.seats.len())
            .filter(|seat| *seat == victim || fragile && self.seats[*seat].0 == group)
            .collect();
        for seat in &mates {
            self.players[*seat].child.kill();
        }
        self.kills += mates.len();
        if fragile {
            // What a dead one was handed comes back after 20 ms.
            std::thread::sleep(Duration::from_millis(25));
            self.groups[group].serve(self.engine);
        }
        for seat in mates {
            let fresh = self.start(seat);
            let dead = std::mem::replace(&mut self.players[seat], fresh);
            assert_eq!(dead.child.wait(), KILLED);
        }
    }

    /// Undisturbed, each makes one more: whoever was forgotten is found, however short the game.
    fn last_lap(&mut self) {
        let done = |game: &Game<'_>| -> Vec<u64> {
            let tallies = game.tallies.iter();
            tallies.map(|tally| tally.done.load(Relaxed)).collect()
        };
        let before = done(self);
        while done(self)
            .iter()
            .zip(&before)
            .any(|(now, before)| now == before)
        {
            std::thread::sleep(Duration::from_millis(1));
            self.watch();
        }
    }

    /// Prints the figures; gives the hand-overs.
    fn tell(&self, took: Duration) -> u64 {
        let mut all = 0;
        for (g, group) in self.groups.iter().enumerate() {
            let its = || {
                let both = self.seats.iter().zip(self.tallies);
                both.filter(|(seat, _)| seat.0 == g).map(|(_, tally)| tally)
            };
            let done: u64 = its().map(|tally| tally.done.load(Relaxed)).sum();
            let interrupted: u64 = its().map(|tally| tally.interrupted.load(Relaxed)).sum();
            let longest = its().map(|tally| tally.longest_ns.load(Relaxed)).max();
            eprintln!(
                "  {}: {done} hand-overs, {interrupted} interrupted, the longest took {} ms",
                group.name,
                longest.unwrap_or(0) / 1_000_000
            );
            all += done;
        }
        eprintln!(
            "hand-overs: {all} in {:.1} s, {} sleeps, {} kills, {} signals, 0 stalls of over {STALL:?} (the referee paused {:?} at most)",
            took.as_secs_f64(),
            sleeps(),
            self.kills,
            self.signals,
            self.pause,
        );
        all
    }
}

/// Plays for a time; panics at a stall. Returns the hand-overs.
pub fn play(time: Duration) -> u64 {
    hear_signals();
    let world = World::new();
    let engine = &world.0;
    let groups = [
        Group::new(engine, "queue pair", 2, queue_pair),
        Group::new(engine, "queue crowd", 8, queue_crowd),
        Group::new(engine, "semaphore pair", 2, ring),
        Group::new(engine, "semaphore ring", 5, ring),
        Group::new(engine, "semaphore crowd", 8, mutex),
        Group::new(engine, "semaphore posts", 6, posts),
    ];
    let begun = Instant::now();
    let mut game = Game::begin(engine, &groups);
    let mut dice = Dice::new();
    while begun.elapsed() < time {
        std::thread::sleep(Duration::from_micros(200 + dice.roll(3000)));
        game.watch();
        game.strike(&mut dice);
    }
    game.last_lap();
    game.players.clear();
    survivor("hand-overs", || {
        groups.iter().for_each(|group| check(engine, group))
    });
    game.tell(begun.elapsed())
}

/// What everybody waits for, for the report of a stall.
fn look(engine: &Engine, group: &Group) -> String {
    let ds = engine.msg_stat(group.queue);
    let mut values = vec![0; group.players];
    let got = engine.sem_get_all(group.set, &mut values);
    let stat = ds.map(|ds| (ds.msg_qnum, ds.msg_cbytes));
    format!("messages and bytes {stat:?}; values {values:?} {got:?}")
}

/// The ball is there, once, and the objects work.
fn check(engine: &Engine, group: &Group) {
    let mut values = vec![0; group.players];
    engine.sem_get_all(group.set, &mut values).expect("GETALL");
    let sum: u16 = values.iter().sum();
    match group.name {
        "semaphore posts" => assert!(sum <= 1, "{}: {values:?}", group.name),
        _ => assert_eq!(sum, 1, "{}: {values:?}", group.name),
    }
    std::thread::sleep(Duration::from_millis(25));
    while receive(engine, group.queue, 0, 0).is_some() {}
    assert_eq!(engine.msg_stat(group.queue).expect("IPC_STAT").msg_qnum, 0);
}

/// Plays in a process of its own, with and without the look before the sleep, half the time each.
pub fn in_processes(time: Duration) -> u64 {
    let mut all = 0;
    for spin in ["1", "0"] {
        let output = std::process::Command::new("/proc/self/exe")
            .args([
                "the_hand_overs_of_a_process",
                "--exact",
                "--ignored",
                "--nocapture",
            ])
            .env("USYSV_SPIN", spin)
            .env("USYSV_HAND_OVERS_MS", (time.as_millis() / 2).to_string())
            .output()
            .expect("this program again");
        let text = String::from_utf8_lossy(&output.stderr);
        eprintln!("endurance: USYSV_SPIN={spin}\n{text}");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stdout)
        );
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("hand-overs: "));
        let count = line.and_then(|line| line.split(' ').next()?.parse::<u64>().ok());
        all += count.expect("the count");
    }
    all
}

/// Nobody is forgotten: the short slice of `make soak`.
pub fn no_hand_over_stalls() {
    let all = in_processes(Duration::from_secs(2));
    assert!(all > 1000, "only {all} hand-overs");
}
