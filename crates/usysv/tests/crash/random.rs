//! Producers and consumers, killed anywhere.

use crate::rig::*;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering::SeqCst};
use std::time::{Duration, Instant};
use usysv::abi::{IPC_CREAT, IPC_PRIVATE};
use usysv::{Engine, Messages};

const PRODUCERS: usize = 2;
const CONSUMERS: usize = 2;
/// Most messages of a producer in a round.
const MOST: usize = 8_000_000;
const ROUND: Duration = Duration::from_secs(5);

/// What the processes tell each other besides the queue; zeroes are a fresh one.
#[repr(C)]
struct Board {
    /// For each producer the number that it sends next.
    next: [AtomicU32; PRODUCERS],
    /// Set once `msgsnd` has returned.
    sent: [[AtomicU8; MOST]; PRODUCERS],
    /// How often it was received.
    received: [[AtomicU8; MOST]; PRODUCERS],
}

impl Board {
    fn new() -> &'static Board {
        // SAFETY: zeroed memory of that size, made of atomics, unmapped in `free` only.
        unsafe { &*shared(size_of::<Board>()).cast::<Board>() }
    }

    fn free(&'static self) {
        let at = std::ptr::from_ref(self).cast_mut().cast();
        // SAFETY: `new` mapped it, and this is the last use.
        unsafe { libc::munmap(at, size_of::<Board>()) };
    }
}

/// Lengths around the ends of slot and blocks.
fn length(number: usize) -> usize {
    [8, 72, 73, 400, 9, 2000][number % 6]
}

fn produce(engine: &Engine, msqid: i32, board: &Board, who: usize) {
    loop {
        let number = board.next[who].fetch_add(1, SeqCst) as usize;
        if number >= MOST {
            board.next[who].store(MOST as u32, SeqCst);
            std::thread::sleep(ROUND);
            continue;
        }
        let mut bytes = text(1, length(number)).1;
        bytes[..8].copy_from_slice(&(number as u64).to_ne_bytes());
        engine
            .msgsnd(msqid, who as i64 + 1, &bytes, 0)
            .expect("msgsnd");
        board.sent[who][number].store(1, SeqCst);
    }
}

fn note(board: &Board, mtype: i64, bytes: &[u8]) {
    let number = bytes[..8].try_into().expect("eight bytes");
    let number = u64::from_ne_bytes(number) as usize;
    assert_eq!(bytes.len(), length(number), "the length of {number}");
    assert_eq!(
        bytes[8..],
        text(1, length(number)).1[8..],
        "the text of {number}"
    );
    board.received[mtype as usize - 1][number].fetch_add(1, SeqCst);
}

/// Each consumer selects in its own way: any type, and the lowest.
fn consume(engine: &Engine, msqid: i32, board: &Board, who: usize) {
    let mut buffer = [0; 8192];
    loop {
        let msgtyp = [0, -9][who % 2];
        let (mtype, len) = engine
            .msgrcv(msqid, &mut buffer, msgtyp, 0)
            .expect("msgrcv");
        note(board, mtype, &buffer[..len]);
    }
}

/// Numbers that need not be good ones.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

fn start(engine: &Engine, msqid: i32, board: &'static Board, who: usize) -> Child {
    Child::fork(|| match who.checked_sub(PRODUCERS) {
        None => produce(engine, msqid, board, who),
        Some(consumer) => consume(engine, msqid, board, consumer),
    })
}

/// Kills and starts again, until the time is over; then kills all. Returns the consumers killed.
fn kill_for(engine: &Engine, msqid: i32, board: &'static Board, time: Duration) -> usize {
    let mut dice = Dice(u64::from(std::process::id()) << 20 | 0x9e37);
    let deadline = Instant::now() + time;
    let mut children: Vec<_> = (0..PRODUCERS + CONSUMERS)
        .map(|who| start(engine, msqid, board, who))
        .collect();
    let mut killed = CONSUMERS;
    while Instant::now() < deadline {
        std::thread::sleep(Duration::from_micros(500 + dice.roll(6000)));
        let who = dice.roll(children.len() as u64) as usize;
        children[who].kill();
        let fresh = start(engine, msqid, board, who);
        let dead = std::mem::replace(&mut children[who], fresh);
        assert_eq!(dead.wait(), KILLED, "process {who}");
        killed += usize::from(who >= PRODUCERS);
    }
    for child in children {
        child.kill();
        assert_eq!(child.wait(), KILLED);
    }
    killed
}

/// Takes what is left; messages that dead receivers were handed come back after a moment.
fn drain(engine: &Engine, msqid: i32, board: &Board) {
    for _ in 0..2 {
        std::thread::sleep(Duration::from_millis(50));
        while let Some((mtype, bytes)) = receive(engine, msqid, 0, 0) {
            note(board, mtype, &bytes);
        }
    }
}

fn round(world: &World, time: Duration) {
    let engine = &world.0;
    let msqid = engine
        .msgget(IPC_PRIVATE, IPC_CREAT | 0o600)
        .expect("msgget");
    let board = Board::new();
    let killed = kill_for(engine, msqid, board, time);
    survivor("random kills", || {
        drain(engine, msqid, board);
        check_queue(engine, msqid, &[]);
    });
    let (mut sent, mut lost) = (0, 0);
    for who in 0..PRODUCERS {
        let most = (board.next[who].load(SeqCst) as usize).min(MOST);
        for number in 0..most {
            let received = board.received[who][number].load(SeqCst);
            assert!(
                received <= 1,
                "message {number} of {who} came {received} times"
            );
            let acknowledged = board.sent[who][number].load(SeqCst) != 0;
            sent += usize::from(acknowledged);
            lost += usize::from(acknowledged && received == 0);
        }
    }
    eprintln!("random: {sent} sent, {lost} lost, {killed} consumers killed");
    assert!(sent > 100, "only {sent} messages went through");
    assert!(lost <= killed, "{lost} lost with {killed} consumers");
    engine.msg_remove(msqid).expect("msg_remove");
    board.free();
}

/// `USYSV_CRASH_SECONDS` says for how long; 5 without it.
#[test]
fn random_kills() {
    let seconds = std::env::var("USYSV_CRASH_SECONDS").ok();
    let seconds = seconds.map_or(5, |text| {
        text.parse().expect("USYSV_CRASH_SECONDS: a number")
    });
    let deadline = Instant::now() + Duration::from_secs(seconds);
    let world = World::new();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        round(&world, left.min(ROUND));
        if Instant::now() >= deadline {
            break;
        }
    }
}
