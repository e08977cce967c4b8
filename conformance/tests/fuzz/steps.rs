//! What is played: random steps from a seed.

use crate::calls::{Call, Flags, user};
use crate::dice::Dice;
use crate::limits::{self, Limit};
use crate::mail::PLAYERS;
use crate::{msg, sem, shm};
use libc::IPC_CREAT;
use std::fmt;

/// One step. Players are counted from 1; a step of one who sleeps or is not there is made by the
/// next one who can, or by nobody.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    Call {
        player: usize,
        call: Call,
    },
    /// A player begins, begotten by the house.
    Enter {
        player: usize,
    },
    /// A player forks.
    Fork {
        player: usize,
        child: usize,
    },
    /// A player begins a thread, who is a player too.
    Thread {
        player: usize,
        other: usize,
    },
    /// A handler runs in a player.
    Signal {
        player: usize,
    },
    /// A player's process is stopped, and goes on.
    Pause {
        player: usize,
    },
    /// A player's thread ends, and the process does not.
    Leave {
        player: usize,
    },
    /// A player's process begins its program afresh.
    Exec {
        player: usize,
        look: bool,
    },
    Limit {
        limit: Limit,
        value: u32,
    },
    /// With its threads. `look`: the house looks before it expects sleepers to have noticed.
    Exit {
        player: usize,
        look: bool,
    },
    Kill {
        player: usize,
        look: bool,
    },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Call { player, call } => write!(f, "player {player}: {call}"),
            other => write!(f, "{other:?}"),
        }
    }
}

impl Step {
    pub fn simpler(&self) -> Vec<Step> {
        let Step::Call { player, call } = *self else {
            return Vec::new();
        };
        let simpler = call.simpler().into_iter();
        simpler.map(|call| Step::Call { player, call }).collect()
    }
}

/// Some sequences are about few things, which meet more often.
struct Mood {
    /// Of each mechanism, how often it is called.
    shares: [u64; 3],
    /// Whether players change users.
    users: bool,
    /// No wild pointers.
    careful: bool,
    /// Whether players have threads.
    threads: bool,
    /// Whether limits are low.
    limits: bool,
    /// Players that there may be.
    players: u64,
    sem: sem::Mood,
}

/// A sequence that begins with players and an object of each mechanism that it is about.
pub fn sequence(dice: &mut Dice, length: usize) -> Vec<Step> {
    let mood = Mood {
        shares: match dice.roll(10) {
            0..3 => [1, 0, 0],
            3..6 => [0, 1, 0],
            6..9 => [0, 0, 1],
            _ => [1, 1, 1],
        },
        users: dice.one_in(4),
        careful: dice.one_in(2),
        threads: dice.one_in(3),
        limits: dice.one_in(8),
        players: if dice.one_in(12) {
            PLAYERS as u64
        } else {
            2 + dice.roll(3)
        },
        sem: sem::Mood::new(dice),
    };
    let firsts = [
        Call::Msg(msg::Call::Get {
            key: 1,
            flags: Flags(IPC_CREAT | 0o666),
        }),
        Call::Sem(mood.sem.first()),
        Call::Shm(shm::Call::Get {
            key: 1,
            size: 8192,
            flags: Flags(IPC_CREAT | 0o666),
        }),
    ];
    let mut steps = Vec::with_capacity(length);
    steps.extend((1..=mood.players as usize).map(|player| Step::Enter { player }));
    let firsts = firsts
        .into_iter()
        .zip(mood.shares)
        .filter(|(_, share)| *share > 0);
    steps.extend(firsts.map(|(call, _)| Step::Call { player: 1, call }));
    while steps.len() < length {
        steps.push(mood.step(dice));
    }
    steps
}

impl Mood {
    fn step(&self, dice: &mut Dice) -> Step {
        let mut player = || 1 + dice.roll(self.players) as usize;
        let (player, other) = (player(), player());
        let look = !dice.one_in(32);
        match dice.roll(100) {
            0..6 if self.threads => Step::Thread { player, other },
            6..8 if self.threads => Step::Leave { player },
            0..6 if self.limits && dice.one_in(2) => {
                let (limit, value) = limits::random(dice);
                Step::Limit { limit, value }
            }
            _ => self.plain_step(player, other, look, dice),
        }
    }

    fn plain_step(&self, player: usize, other: usize, look: bool, dice: &mut Dice) -> Step {
        match dice.roll(100) {
            0..3 => Step::Signal { player },
            18 => Step::Exec { player, look },
            19..21 => Step::Pause { player },
            3 => Step::Exit { player, look },
            4..7 => Step::Kill { player, look },
            7..11 => Step::Enter { player },
            11..14 => Step::Fork {
                player,
                child: other,
            },
            14..18 if self.users => {
                let (uid, gid) = user(dice);
                let call = Call::Become { uid, gid };
                Step::Call { player, call }
            }
            _ => Step::Call {
                player,
                call: self.call(dice),
            },
        }
    }

    fn call(&self, dice: &mut Dice) -> Call {
        let mut at = dice.roll(self.shares.iter().sum());
        let mechanism = self.shares.iter().position(|share| {
            let here = at < *share;
            at = at.wrapping_sub(*share);
            here
        });
        match mechanism {
            Some(0) => Call::Msg(msg::Call::random(dice, self.careful)),
            Some(1) => Call::Sem(sem::Call::random(dice, self.careful, &self.sem)),
            _ => Call::Shm(shm::Call::random(dice, self.careful)),
        }
    }
}
