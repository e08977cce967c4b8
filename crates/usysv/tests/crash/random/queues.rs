//! Producers and consumers of numbered messages.
//!
//! Consumers receive into memory that outlives them, so that it is known what a killed one had in
//! its hands. Then each message was delivered once, or is still in the queue, or is in the hands of
//! a consumer that was killed before it could note it, or was never sent, as its producer was killed
//! over it.

use super::{Victims, commas};
use crate::rig::*;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::SeqCst};
use std::time::Duration;
use usysv::abi::{IPC_CREAT, IPC_PRIVATE};
use usysv::{Engine, Messages};

const PRODUCERS: usize = 2;
const CONSUMERS: usize = 2;
/// Most messages of a producer in a round, and most kills.
const MOST: usize = 8_000_000;
const ROUND: usize = 500;
/// Longest text.
const LONGEST: usize = 2000;

/// What the processes tell each other besides the queue; zeroes are a fresh one.
#[repr(C)]
struct Board {
    /// For each producer the number that it sends next.
    next: [AtomicU32; PRODUCERS],
    /// Set once `msgsnd` has returned.
    sent: [[AtomicU8; MOST]; PRODUCERS],
    /// How often it was received.
    received: [[AtomicU8; MOST]; PRODUCERS],
    /// For each consumer where it receives.
    hands: [Hand; CONSUMERS],
}

/// A received text; it begins with the [`name`] of its message.
#[repr(C)]
struct Hand {
    name: AtomicU64,
    rest: [AtomicU8; LONGEST],
}

/// A message, as one number: of the producer and its own, never 0.
fn name(producer: usize, number: usize) -> u64 {
    (producer as u64 + 1) << 32 | number as u64
}

/// Lengths around the ends of slot and blocks.
fn length(number: usize) -> usize {
    [8, 72, 73, 400, 9, LONGEST][number % 6]
}

fn produce(engine: &Engine, msqid: i32, board: &Board, who: usize) {
    loop {
        let number = board.next[who].fetch_add(1, SeqCst) as usize;
        if number >= MOST {
            board.next[who].store(MOST as u32, SeqCst);
            std::thread::sleep(Duration::from_secs(1));
            continue;
        }
        let mut bytes = text(1, length(number)).1;
        bytes[..8].copy_from_slice(&name(who, number).to_ne_bytes());
        engine
            .msgsnd(msqid, who as i64 + 1, &bytes, 0)
            .expect("msgsnd");
        board.sent[who][number].store(1, SeqCst);
    }
}

fn note(board: &Board, mtype: i64, bytes: &[u8]) {
    let name = u64::from_ne_bytes(bytes[..8].try_into().expect("eight bytes"));
    let (producer, number) = ((name >> 32) as usize - 1, name as u32 as usize);
    assert_eq!(mtype, producer as i64 + 1, "the type of {number}");
    assert_eq!(bytes.len(), length(number), "the length of {number}");
    let sent = text(1, length(number)).1;
    assert_eq!(bytes[8..], sent[8..], "the text of {number}");
    board.received[producer][number].fetch_add(1, SeqCst);
}

/// Each consumer selects in its own way: any type, and the lowest.
fn consume(engine: &Engine, msqid: i32, board: &Board, who: usize) {
    let hand = std::ptr::from_ref(&board.hands[who]).cast_mut();
    // SAFETY: shared memory of plain bytes that only this process uses, as long as it lives.
    let hand = unsafe { std::slice::from_raw_parts_mut(hand.cast::<u8>(), size_of::<Hand>()) };
    loop {
        let msgtyp = [0, -9][who % 2];
        let (mtype, len) = engine.msgrcv(msqid, hand, msgtyp, 0).expect("msgrcv");
        note(board, mtype, &hand[..len]);
    }
}

/// What became of the messages.
#[derive(Default)]
struct Account {
    kills: usize,
    delivered: usize,
    queued: usize,
    in_hands: usize,
    unsent: usize,
}

fn round(world: &World, kills: usize) -> Account {
    let engine = &world.0;
    let msqid = engine.msgget(IPC_PRIVATE, IPC_CREAT | 0o600);
    let msqid = msqid.expect("msgget");
    // SAFETY: atomics, for which zeroes are good.
    let board: Shared<Board> = unsafe { Shared::new() };
    let mut victims = Victims::start(PRODUCERS + CONSUMERS, |who| {
        Child::fork(|| match who.checked_sub(PRODUCERS) {
            None => produce(engine, msqid, &board, who),
            Some(consumer) => consume(engine, msqid, &board, consumer),
        })
    });
    let (mut in_hands, mut killed_producers) = (BTreeSet::new(), 0);
    let mut dead = |who: usize| match who.checked_sub(PRODUCERS) {
        None => killed_producers += 1,
        Some(consumer) => {
            in_hands.insert(board.hands[consumer].name.load(SeqCst));
        }
    };
    for _ in 0..kills {
        victims.kill_one(&mut dead);
    }
    victims.kill_all(&mut dead);
    let queued = drain(world, msqid, &board);
    let mut account = settle(&board, &in_hands, killed_producers);
    account.kills = kills + PRODUCERS + CONSUMERS;
    account.queued = queued;
    account.delivered -= queued;
    engine.msg_remove(msqid).expect("msg_remove");
    account
}

/// Takes what is left; messages that dead receivers were handed come back after a moment.
fn drain(world: &World, msqid: i32, board: &Board) -> usize {
    let taken = || {
        let received = board.received.iter().flatten();
        received
            .map(|count| usize::from(count.load(SeqCst)))
            .sum::<usize>()
    };
    let before = taken();
    survivor("random kills", || {
        let engine = &world.0;
        for _ in 0..2 {
            std::thread::sleep(Duration::from_millis(50));
            while let Some((mtype, bytes)) = receive(engine, msqid, 0, 0) {
                note(board, mtype, &bytes);
            }
        }
        check_queue(engine, msqid, &[]);
    });
    taken() - before
}

fn settle(board: &Board, in_hands: &BTreeSet<u64>, killed_producers: usize) -> Account {
    let mut account = Account::default();
    for who in 0..PRODUCERS {
        let most = (board.next[who].load(SeqCst) as usize).min(MOST);
        for number in 0..most {
            let sent = board.sent[who][number].load(SeqCst) != 0;
            let held = in_hands.contains(&name(who, number));
            match (board.received[who][number].load(SeqCst), sent) {
                (1, _) => account.delivered += 1,
                (0, true) if held => account.in_hands += 1,
                (0, true) => panic!("message {number} of {who} is lost"),
                // Its producer was killed over it, and perhaps a consumer after that.
                (0, false) => account.unsent += 1,
                (count, _) => panic!("message {number} of {who} came {count} times"),
            }
        }
    }
    assert!(
        account.unsent <= killed_producers,
        "{} messages were not sent, with {killed_producers} producers killed",
        account.unsent
    );
    account
}

#[test]
fn queues_account_for_every_message() {
    let world = World::new();
    let mut all = Account::default();
    let mut left = kills(300);
    while left > 0 {
        let account = round(&world, left.min(ROUND));
        left -= left.min(ROUND);
        all.kills += account.kills;
        all.delivered += account.delivered;
        all.queued += account.queued;
        all.in_hands += account.in_hands;
        all.unsent += account.unsent;
    }
    let messages = all.delivered + all.queued + all.in_hands + all.unsent;
    eprintln!(
        "queues: {} kills, {} messages: all accounted for ({} delivered, {} still queued, {} in the \
         hands of a killed process, {} not sent by one)",
        commas(all.kills),
        commas(messages),
        commas(all.delivered),
        all.queued,
        all.in_hands,
        all.unsent
    );
    assert!(all.delivered > 100, "only {} were delivered", all.delivered);
}
