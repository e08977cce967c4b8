//! What a player can be told to call, whatever the mechanism.

use crate::dice::Dice;
use crate::hands::{Buffer, Hands};
use crate::{msg, sem, shm};
use std::fmt;
use usysv_conformance::stage::show_flags;

#[derive(Clone, Copy, Debug)]
pub enum Call {
    Msg(msg::Call),
    Sem(sem::Call),
    Shm(shm::Call),
    /// Changes the effective user and group; group 0 stays supplementary to nobody.
    Become {
        uid: u32,
        gid: u32,
    },
}

/// The object that a call is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Counted back from the newest one, removed ones too.
    Last(u8),
    /// An id or index.
    Raw(i32),
}

/// What a call's result means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gives {
    Number,
    Id,
    Pid,
}

impl Which {
    /// The id that the driver has put in its place.
    pub fn raw(self) -> i32 {
        match self {
            Which::Raw(id) => id,
            Which::Last(_) => -1,
        }
    }
}

impl Call {
    pub fn perform(&self, hands: &mut Hands) {
        match self {
            Call::Msg(call) => call.perform(hands),
            Call::Sem(call) => call.perform(hands),
            Call::Shm(call) => call.perform(hands),
            Call::Become { uid, gid } => become_user(*uid, *gid, hands),
        }
    }

    pub fn mechanism(&self) -> Option<usize> {
        match self {
            Call::Msg(_) => Some(0),
            Call::Sem(_) => Some(1),
            Call::Shm(_) => Some(2),
            Call::Become { .. } => None,
        }
    }

    /// Its object, and whether the call wants an index in place of an id.
    pub fn which(&mut self) -> Option<(&mut Which, bool)> {
        match self {
            Call::Msg(call) => call.which(),
            Call::Sem(call) => call.which(),
            Call::Shm(call) => call.which(),
            Call::Become { .. } => None,
        }
    }

    pub fn gives(&self) -> Gives {
        match self {
            Call::Msg(call) => call.gives(),
            Call::Sem(call) => call.gives(),
            Call::Shm(call) => call.gives(),
            Call::Become { .. } => Gives::Number,
        }
    }

    /// The object that is gone if the call succeeds.
    pub fn removes(&self) -> Option<i32> {
        match self {
            Call::Msg(msg::Call::Remove { queue: id })
            | Call::Sem(sem::Call::Remove { set: id })
            | Call::Shm(shm::Call::Remove { segment: id }) => Some(id.raw()),
            _ => None,
        }
    }

    pub fn may_sleep(&self) -> bool {
        match self {
            Call::Msg(call) => call.may_sleep(),
            Call::Sem(call) => call.may_sleep(),
            Call::Shm(_) | Call::Become { .. } => false,
        }
    }

    /// Simpler calls, that may show a difference as well.
    pub fn simpler(&self) -> Vec<Call> {
        match self {
            Call::Msg(call) => call.simpler().into_iter().map(Call::Msg).collect(),
            Call::Sem(call) => call.simpler().into_iter().map(Call::Sem).collect(),
            Call::Shm(call) => call.simpler().into_iter().map(Call::Shm).collect(),
            Call::Become { .. } => Vec::new(),
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Call::Msg(call) => write!(f, "{call:?}"),
            Call::Sem(call) => write!(f, "{call:?}"),
            Call::Shm(call) => write!(f, "{call:?}"),
            Call::Become { uid, gid } => write!(f, "become uid {uid}, gid {gid}"),
        }
    }
}

/// Bits of a flags argument, shown by name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Flags<const MECHANISM: usize>(pub i32);

impl<const MECHANISM: usize> fmt::Debug for Flags<MECHANISM> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [msg::FLAGS, sem::FLAGS, shm::FLAGS][MECHANISM];
        f.write_str(&show_flags(self.0, names))
    }
}

/// The flags of `msgget` and its sisters, and their mode.
pub fn get_flags(dice: &mut Dice) -> i32 {
    let create = dice.of(&[
        0,
        libc::IPC_CREAT,
        libc::IPC_CREAT,
        libc::IPC_CREAT | libc::IPC_EXCL,
    ]);
    create | mode(dice)
}

pub fn mode(dice: &mut Dice) -> i32 {
    dice.of(&[
        0o600, 0o600, 0o600, 0o644, 0o660, 0o666, 0o666, 0o400, 0o200, 0o640, 0o606, 0o777,
    ])
}

/// One of few keys, now and then IPC_PRIVATE.
pub fn key(dice: &mut Dice) -> i32 {
    dice.of(&[1, 1, 1, 2, 2, 0])
}

/// Mostly a good one.
pub fn buffer(dice: &mut Dice) -> Buffer {
    match dice.roll(60) {
        0 => Buffer::Null,
        1 => Buffer::Short(dice.of(&[0, 1, 7, 8, 9, 40, 100])),
        2 => Buffer::ReadOnly,
        _ => Buffer::Fits,
    }
}

/// Mostly the newest object; seldom none at all.
pub fn which(dice: &mut Dice) -> Which {
    match dice.roll(80) {
        0 => Which::Raw(dice.of(&[-1, i32::MIN, i32::MAX, 0x7000_0000])),
        1..16 => Which::Last(dice.roll(4) as u8),
        n => Which::Last((n % 4 == 3).into()),
    }
}

/// For the commands that are asked by index: rarely one that there is not.
pub fn by_index(dice: &mut Dice) -> Which {
    match dice.roll(20) {
        0 => Which::Raw(dice.of(&[-1, i32::MAX, 32767, 32768, 30000])),
        _ => which(dice),
    }
}

/// The users among the players: root, and two who share a group.
pub fn user(dice: &mut Dice) -> (u32, u32) {
    dice.of(&[(0, 0), (1001, 2001), (1002, 2001), (1003, 2003)])
}

fn become_user(uid: u32, gid: u32, hands: &mut Hands) {
    hands.call(|| {
        // SAFETY: no pointers. Back to root first, which alone may become anybody.
        let set = unsafe { libc::seteuid(0) | libc::setegid(gid) | libc::seteuid(uid) };
        set.into()
    });
    hands.keep_dying();
}
