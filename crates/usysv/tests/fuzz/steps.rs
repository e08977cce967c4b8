//! What is played: random steps from a seed.

use usysv::abi::{IPC_CREAT, IPC_EXCL, IPC_NOWAIT, SEM_UNDO, Sembuf};

pub const PLAYERS: usize = 4;
/// Most operations in an array: more than a sleeper's slot holds.
pub const MOST_OPS: usize = 12;

/// How long a `semop` waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    Endless,
    /// A timeout of 0.
    None,
    /// The driver lets nobody else act meanwhile.
    Short,
}

/// One step. `set` counts the sets in the order in which they were made.
#[derive(Clone, Debug)]
pub enum Step {
    Get {
        key: i32,
        nsems: i32,
        flags: i32,
    },
    Op {
        player: usize,
        set: usize,
        ops: Vec<Sembuf>,
        patience: Patience,
    },
    SetVal {
        set: usize,
        num: i32,
        value: i32,
    },
    SetAll {
        set: usize,
        values: Vec<u16>,
    },
    Own {
        set: usize,
    },
    Remove {
        set: usize,
    },
    /// A handler runs in a player.
    Signal {
        player: usize,
    },
    /// `look`: the driver looks before it expects sleepers to have noticed.
    Exit {
        player: usize,
        look: bool,
    },
    Kill {
        player: usize,
        look: bool,
    },
}

/// Numbers that need not be good ones.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for _ in 0..8 {
            dice.roll(2);
        }
        dice
    }

    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }

    fn one_in(&mut self, sides: u64) -> bool {
        self.roll(sides) == 0
    }

    fn of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.roll(list.len() as u64) as usize]
    }
}

/// A sequence that begins with a set.
pub fn sequence(dice: &mut Dice, length: usize) -> Vec<Step> {
    let nsems = 1 + dice.roll(4) as i32;
    let first = Step::Get {
        key: 1,
        nsems,
        flags: IPC_CREAT | 0o600,
    };
    // Some sequences are about few things, which meet more often.
    let mood = Mood {
        nsems: nsems as u64,
        undo: dice.of(&[0, 2, 5, 10]),
        arrays: dice.of(&[0, 3, 8]),
        sets: 1 + u64::from(dice.one_in(4)),
    };
    std::iter::once(first)
        .chain((1..length).map(|_| mood.step(dice)))
        .collect()
}

struct Mood {
    nsems: u64,
    /// Tenths of operations with SEM_UNDO, and of arrays with several operations.
    undo: u64,
    arrays: u64,
    sets: u64,
}

impl Mood {
    fn step(&self, dice: &mut Dice) -> Step {
        let player = dice.roll(PLAYERS as u64) as usize;
        let set = dice.roll(self.sets) as usize;
        let look = !dice.one_in(32);
        match dice.roll(100) {
            0..75 => Step::Op {
                player,
                set,
                ops: self.ops(dice),
                patience: match dice.roll(40) {
                    0 => Patience::Short,
                    1..4 => Patience::None,
                    _ => Patience::Endless,
                },
            },
            75..82 => Step::SetVal {
                set,
                num: self.num(dice),
                value: dice.of(&[0, 0, 1, 1, 2, 3, 5, 32767, 32768, -1]),
            },
            82..85 => Step::SetAll {
                set,
                values: (0..16)
                    .map(|_| dice.of(&[0, 0, 0, 1, 1, 2, 3, 32767]))
                    .collect(),
            },
            85..88 => Step::Signal { player },
            88..91 => Step::Exit { player, look },
            91..97 => Step::Kill { player, look },
            97 => Step::Own { set },
            98 => Step::Remove { set },
            _ => Step::Get {
                key: 1 + dice.roll(2) as i32,
                nsems: dice.roll(6) as i32 - 1,
                flags: dice.of(&[0, IPC_CREAT, IPC_CREAT, IPC_CREAT | IPC_EXCL]) | 0o600,
            },
        }
    }

    /// A semaphore's number; seldom one that there is not.
    fn num(&self, dice: &mut Dice) -> i32 {
        match dice.one_in(60) {
            true => dice.of(&[-1, self.nsems as i32, 40000]),
            false => dice.roll(self.nsems) as i32,
        }
    }

    fn ops(&self, dice: &mut Dice) -> Vec<Sembuf> {
        let count = match dice.roll(10) < self.arrays {
            true if dice.one_in(12) => 1 + dice.roll(MOST_OPS as u64),
            true => 2 + dice.roll(3),
            false => 1,
        };
        (0..count).map(|_| self.op(dice)).collect()
    }

    fn op(&self, dice: &mut Dice) -> Sembuf {
        let sem_op = match dice.one_in(25) {
            true => dice.of(&[32767, -32767, -32768, 100, -100]),
            false => dice.of(&[0, 0, 1, 1, 1, 2, 2, 3, -1, -1, -1, -1, -2, -2, -3]),
        };
        let mut flags = 0;
        if dice.roll(10) < self.undo {
            flags |= SEM_UNDO;
        }
        if dice.one_in(6) {
            flags |= IPC_NOWAIT;
        }
        Sembuf {
            sem_num: self.num(dice) as u16,
            sem_op,
            sem_flg: flags as i16,
        }
    }
}
