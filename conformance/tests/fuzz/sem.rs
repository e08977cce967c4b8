//! The calls on semaphore sets.

use crate::calls::{self, Flags, Gives, Which};
use crate::dice::Dice;
use crate::hands::{Buffer, Hands};
use crate::mail::Field;
use crate::player::{tell_perm, tell_result};
use libc::{
    GETALL, GETNCNT, GETPID, GETVAL, GETZCNT, IPC_CREAT, IPC_EXCL, IPC_INFO, IPC_NOWAIT, IPC_RMID,
    IPC_SET, IPC_STAT, SEM_INFO, SEM_STAT, SEM_UNDO, SETALL, SETVAL, sembuf, semid_ds, timespec,
};
use std::fmt;
use std::mem::offset_of;

unsafe extern "C" {
    fn semtimedop(id: i32, ops: *mut sembuf, count: usize, timeout: *const timespec) -> i32;
}

const SEM_STAT_ANY: i32 = 20;
/// Most operations that differ from each other.
const OPS: usize = 12;
/// Most semaphores in a set.
const NSEMS: usize = 6;

/// What differs from side to side.
const OWN: &[(usize, usize)] = &[
    (offset_of!(semid_ds, sem_otime), 8),
    (offset_of!(semid_ds, sem_ctime), 8),
];

pub const FLAGS: &[(i32, &str)] = &[
    (IPC_CREAT, "IPC_CREAT"),
    (IPC_EXCL, "IPC_EXCL"),
    (IPC_NOWAIT, "IPC_NOWAIT"),
    (SEM_UNDO, "SEM_UNDO"),
];

/// How long a `semop` waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    Endless,
    /// A timeout of 0.
    None,
    /// 2 ms, in which nobody else acts.
    Short,
    /// Not a time.
    Nonsense(i64, i64),
}

/// `{sem_num, sem_op, sem_flg}`
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Op(u16, i16, i16);

impl fmt::Debug for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{{{}, {}, {:?}}}",
            self.0,
            self.1,
            Flags::<1>(self.2.into())
        )
    }
}

/// An array of operations; more than there are begin anew.
#[derive(Clone, Copy)]
pub struct Ops {
    list: [Op; OPS],
    count: u64,
}

impl Ops {
    pub fn without_undo(&mut self) {
        for Op(_, _, flags) in &mut self.list {
            *flags &= !(SEM_UNDO as i16);
        }
    }
}

impl fmt::Debug for Ops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.list[..OPS.min(self.count as usize)];
        write!(f, "{shown:?} ({})", self.count)
    }
}

#[derive(Clone, Copy, Debug)]
#[rustfmt::skip]
pub enum Call {
    Get { key: i32, nsems: i32, flags: Flags<1> },
    Op { set: Which, ops: Ops, patience: Patience, buffer: Buffer },
    SetVal { set: Which, num: i32, value: i32 },
    SetAll { set: Which, values: [u16; NSEMS], buffer: Buffer },
    GetAll { set: Which, buffer: Buffer },
    Value { set: Which, num: i32, cmd: i32 },
    Set { set: Which, mode: Flags<1>, uid: u32, gid: u32, buffer: Buffer },
    Remove { set: Which },
    Stat { set: Which, cmd: i32, buffer: Buffer },
    Info { set: Which, cmd: i32, buffer: Buffer },
}

impl Call {
    pub fn remove(id: i32) -> crate::calls::Call {
        let set = Which::Raw(id);
        crate::calls::Call::Sem(Call::Remove { set })
    }

    pub fn which(&mut self) -> Option<(&mut Which, bool)> {
        match self {
            Call::Get { .. } | Call::Info { .. } => None,
            Call::Stat { set, cmd, .. } => Some((set, matches!(*cmd, SEM_STAT | SEM_STAT_ANY))),
            Call::Op { set, .. }
            | Call::SetVal { set, .. }
            | Call::SetAll { set, .. }
            | Call::GetAll { set, .. }
            | Call::Value { set, .. }
            | Call::Set { set, .. }
            | Call::Remove { set } => Some((set, false)),
        }
    }

    pub fn gives(&self) -> Gives {
        match self {
            Call::Get { .. }
            | Call::Stat {
                cmd: SEM_STAT | SEM_STAT_ANY,
                ..
            } => Gives::Id,
            Call::Value { cmd: GETPID, .. } => Gives::Pid,
            _ => Gives::Number,
        }
    }

    pub fn may_sleep(&self) -> bool {
        matches!(
            self,
            Call::Op {
                patience: Patience::Endless,
                ..
            }
        )
    }

    /// Whether it tells of objects that the caller has no permission for; of one's size, too.
    pub fn asks_all(&self) -> bool {
        matches!(
            self,
            Call::Get {
                key: 1..,
                nsems: 2..,
                ..
            } | Call::Stat {
                cmd: SEM_STAT_ANY,
                ..
            } | Call::Info { cmd: SEM_INFO, .. }
        )
    }

    pub fn perform(&self, hands: &mut Hands) {
        match *self {
            Call::Get { key, nsems, flags } => {
                // SAFETY: no pointers.
                hands.call(|| unsafe { libc::semget(key, nsems, flags.0) }.into());
            }
            Call::Op {
                set,
                ops,
                patience,
                buffer,
            } => operate(set.raw(), &ops, patience, buffer, hands),
            Call::SetVal { set, num, value } => {
                hands.call(|| control(set.raw(), num, SETVAL, value as *mut u8));
            }
            Call::SetAll {
                set,
                values,
                buffer,
            } => {
                let at = hands.buffer(buffer, size_of_val(&values));
                hands.put(&values);
                hands.call(|| control(set.raw(), 0, SETALL, at));
            }
            Call::GetAll { set, buffer } => {
                let at = hands.buffer(buffer, 2 * NSEMS);
                hands.call(|| control(set.raw(), 0, GETALL, at));
                hands.tell_bytes();
            }
            Call::Value { set, num, cmd } => {
                hands.call(|| control(set.raw(), num, cmd, std::ptr::null_mut()));
            }
            Call::Set {
                set,
                mode,
                uid,
                gid,
                buffer,
            } => {
                // SAFETY: numbers only.
                let mut ds: semid_ds = unsafe { std::mem::zeroed() };
                (ds.sem_perm.mode, ds.sem_perm.uid, ds.sem_perm.gid) = (mode.0 as u16, uid, gid);
                let at = hands.buffer(buffer, size_of::<semid_ds>());
                hands.put(&ds);
                hands.call(|| control(set.raw(), 0, IPC_SET, at));
            }
            Call::Remove { set } => {
                hands.call(|| control(set.raw(), 0, IPC_RMID, std::ptr::null_mut()));
            }
            Call::Stat { set, cmd, buffer } => stat(set.raw(), cmd, buffer, hands),
            Call::Info { set, cmd, buffer } => {
                let at = hands.buffer(buffer, size_of::<libc::seminfo>());
                hands.call(|| control(set.raw(), 0, cmd, at));
                hands.tell_words();
            }
        }
    }

    pub fn simpler(&self) -> Vec<Call> {
        let mut list = Vec::new();
        if let Call::Op {
            set,
            ops,
            patience,
            buffer,
        } = *self
        {
            let count = OPS.min(ops.count as usize);
            let with = |ops| Call::Op {
                set,
                ops,
                patience,
                buffer,
            };
            for left_out in 0..if count > 1 { count } else { 0 } {
                let mut fewer = ops;
                fewer.list.copy_within(left_out + 1.., left_out);
                fewer.count = count as u64 - 1;
                list.push(with(fewer));
            }
            for i in 0..count {
                for bit in [SEM_UNDO as i16, IPC_NOWAIT as i16] {
                    let mut plainer = ops;
                    plainer.list[i].2 &= !bit;
                    list.push(with(plainer));
                }
            }
        }
        list
    }

    pub fn random(dice: &mut Dice, careful: bool, mood: &Mood) -> Call {
        let set = calls::which(dice);
        let buffer = match careful {
            true => Buffer::Fits,
            false => calls::buffer(dice),
        };
        match dice.roll(100) {
            0..70 => Call::Op {
                set,
                ops: mood.ops(dice),
                patience: match dice.roll(120) {
                    0..2 => Patience::Short,
                    2..8 => Patience::None,
                    8 => dice.of(&[
                        Patience::Nonsense(-1, 0),
                        Patience::Nonsense(0, -1),
                        Patience::Nonsense(0, 1_000_000_000),
                        Patience::Nonsense(i64::MIN, 5),
                    ]),
                    _ => Patience::Endless,
                },
                buffer,
            },
            70..78 => Call::SetVal {
                set,
                num: mood.num(dice),
                value: dice.of(&[0, 0, 1, 1, 2, 3, 5, 32767, 32768, -1]),
            },
            78..81 => Call::SetAll {
                set,
                values: std::array::from_fn(|_| dice.of(&[0, 0, 0, 1, 1, 2, 3, 32767, 32768])),
                buffer,
            },
            81..83 => Call::GetAll { set, buffer },
            83..87 => Call::Value {
                set,
                num: mood.num(dice),
                cmd: dice.of(&[GETVAL, GETPID, GETNCNT, GETZCNT]),
            },
            87..89 => Call::Set {
                set,
                mode: Flags(calls::mode(dice)),
                uid: calls::user(dice).0,
                gid: calls::user(dice).1,
                buffer,
            },
            89 => Call::Remove { set },
            90..94 => Call::Stat {
                set: calls::by_index(dice),
                cmd: match dice.one_in(20) {
                    true => dice.of(&[-1, 4, 10, 99]),
                    false => dice.of(&[IPC_STAT, SEM_STAT, SEM_STAT_ANY]),
                },
                buffer,
            },
            94 => Call::Info {
                set: Which::Raw(dice.of(&[0, 0, 1, 77, -1])),
                cmd: dice.of(&[IPC_INFO, SEM_INFO]),
                buffer,
            },
            _ => mood.get(dice),
        }
    }
}

/// Some sequences are about few things, which meet more often.
pub struct Mood {
    nsems: u64,
    /// Tenths of operations with SEM_UNDO, and of arrays with several operations.
    undo: u64,
    arrays: u64,
}

impl Mood {
    pub fn new(dice: &mut Dice) -> Mood {
        Mood {
            nsems: 1 + dice.roll(4),
            undo: dice.of(&[0, 2, 5, 10]),
            arrays: dice.of(&[0, 3, 8]),
        }
    }

    pub fn first(&self) -> Call {
        Call::Get {
            key: 1,
            nsems: self.nsems as i32,
            flags: Flags(IPC_CREAT | 0o666),
        }
    }

    fn get(&self, dice: &mut Dice) -> Call {
        Call::Get {
            key: calls::key(dice),
            nsems: match dice.one_in(20) {
                true => dice.of(&[i32::MIN, i32::MAX, 32001, -1]),
                false => dice.roll(NSEMS as u64 + 1) as i32,
            },
            flags: Flags(calls::get_flags(dice)),
        }
    }

    /// A semaphore's number; seldom one that there is not.
    fn num(&self, dice: &mut Dice) -> i32 {
        match dice.one_in(60) {
            true => dice.of(&[-1, self.nsems as i32, 40000]),
            false => dice.roll(self.nsems) as i32,
        }
    }

    fn ops(&self, dice: &mut Dice) -> Ops {
        let count = match dice.roll(10) < self.arrays {
            true if dice.one_in(12) => dice.of(&[0, 8, 11, 12, 13, 64, 65, 500, 501, u64::MAX]),
            true => 2 + dice.roll(3),
            false => 1,
        };
        Ops {
            list: std::array::from_fn(|_| self.op(dice)),
            count,
        }
    }

    fn op(&self, dice: &mut Dice) -> Op {
        let sem_op = match dice.one_in(25) {
            true => dice.of(&[32767, -32767, -32768, 100, -100]),
            false => dice.of(&[0, 0, 1, 1, 1, 2, 2, 3, -1, -1, -1, -1, -2, -2, -3]),
        };
        let undo = if dice.roll(10) < self.undo {
            SEM_UNDO
        } else {
            0
        };
        let wait = if dice.one_in(6) { IPC_NOWAIT } else { 0 };
        Op(self.num(dice) as u16, sem_op, (undo | wait) as i16)
    }
}

fn operate(id: i32, ops: &Ops, patience: Patience, buffer: Buffer, hands: &mut Hands) {
    let len = usize::try_from(ops.count).unwrap_or(usize::MAX);
    let at = hands.buffer(buffer, len.saturating_mul(size_of::<sembuf>()));
    for (i, bytes) in hands
        .bytes()
        .chunks_exact_mut(size_of::<sembuf>())
        .enumerate()
    {
        let Op(num, op, flags) = ops.list[i % OPS];
        bytes[..2].copy_from_slice(&num.to_ne_bytes());
        bytes[2..4].copy_from_slice(&op.to_ne_bytes());
        bytes[4..].copy_from_slice(&flags.to_ne_bytes());
    }
    let timeout = match patience {
        Patience::Endless => None,
        Patience::None => Some((0, 0)),
        Patience::Short => Some((0, 2_000_000)),
        Patience::Nonsense(seconds, nanoseconds) => Some((seconds, nanoseconds)),
    };
    let timeout = timeout.map(|(tv_sec, tv_nsec)| timespec { tv_sec, tv_nsec });
    let at = at.cast();
    match timeout {
        // SAFETY: beyond the buffer there is nothing that could be read.
        None => hands.call(|| unsafe { libc::semop(id, at, len) }.into()),
        // SAFETY: as above, and the timeout outlives the call.
        Some(timeout) => hands.call(|| unsafe { semtimedop(id, at, len, &timeout) }.into()),
    }
}

fn control(id: i32, num: i32, cmd: i32, arg: *mut u8) -> i64 {
    // SAFETY: a number, null, or a buffer behind which there is nothing that could be written.
    unsafe { libc::semctl(id, num, cmd, arg) }.into()
}

fn stat(id: i32, cmd: i32, buffer: Buffer, hands: &mut Hands) {
    let at = hands.buffer(buffer, size_of::<semid_ds>());
    hands.call(|| control(id, 0, cmd, at));
    match hands.got::<semid_ds>() {
        Some(ds) => {
            tell_perm(&ds.sem_perm, hands);
            hands.reply.push(Field::Otime, ds.sem_otime);
            hands.reply.push(Field::Ctime, ds.sem_ctime);
            hands.reply.push(Field::Nsems, ds.sem_nsems as i64);
            hands.tell_all_but(OWN);
        }
        None => hands.tell_bytes(),
    }
}

/// What the house sees of a set: its status, and its semaphores.
pub fn look(id: i32, hands: &mut Hands) {
    stat(id, IPC_STAT, Buffer::Fits, hands);
    tell_result(hands);
    if hands.reply.ret < 0 {
        return;
    }
    for num in 0..NSEMS as i32 {
        hands.call(|| control(id, num, GETVAL, std::ptr::null_mut()));
        if hands.reply.ret < 0 {
            break;
        }
        let value = hands.reply.ret;
        hands.reply.push(Field::Semaphore, num);
        hands.reply.push(Field::Value, value);
        for (cmd, field) in [
            (GETPID, Field::Pid),
            (GETNCNT, Field::Ncnt),
            (GETZCNT, Field::Zcnt),
        ] {
            hands.call(|| control(id, num, cmd, std::ptr::null_mut()));
            let value = hands.reply.ret;
            hands.reply.push(field, value);
        }
    }
}
