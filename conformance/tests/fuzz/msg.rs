//! The calls on message queues.

use crate::calls::{self, Flags, Gives, Which};
use crate::dice::Dice;
use crate::hands::{AREA, Buffer, Hands, hash};
use crate::mail::Field;
use crate::player::{tell_perm, tell_result};
use libc::{
    IPC_CREAT, IPC_EXCL, IPC_INFO, IPC_NOWAIT, IPC_RMID, IPC_SET, IPC_STAT, MSG_COPY, MSG_EXCEPT,
    MSG_INFO, MSG_NOERROR, MSG_STAT, msqid_ds,
};
use std::mem::offset_of;

const MSG_STAT_ANY: i32 = 13;
const HEADER: usize = size_of::<i64>();
/// Messages of a queue that a look copies, and how much of them.
const PEEKS: i64 = 5;
const PEEK: usize = 64;

/// What differs from side to side.
const OWN: &[(usize, usize)] = &[
    (offset_of!(msqid_ds, msg_stime), 8),
    (offset_of!(msqid_ds, msg_rtime), 8),
    (offset_of!(msqid_ds, msg_ctime), 8),
    (offset_of!(msqid_ds, msg_lspid), 4),
    (offset_of!(msqid_ds, msg_lrpid), 4),
];

pub const FLAGS: &[(i32, &str)] = &[
    (IPC_CREAT, "IPC_CREAT"),
    (IPC_EXCL, "IPC_EXCL"),
    (IPC_NOWAIT, "IPC_NOWAIT"),
    (MSG_NOERROR, "MSG_NOERROR"),
    (MSG_EXCEPT, "MSG_EXCEPT"),
    (MSG_COPY, "MSG_COPY"),
];

#[derive(Clone, Copy, Debug)]
#[rustfmt::skip]
pub enum Call {
    Get { key: i32, flags: Flags<0> },
    Send { queue: Which, mtype: i64, size: i64, text: u8, flags: Flags<0>, buffer: Buffer },
    /// Sends without waiting, until there are so many or one fails; the result is how many went.
    Flood { queue: Which, mtype: i64, size: i64, count: u32 },
    Receive { queue: Which, size: i64, mtype: i64, flags: Flags<0>, buffer: Buffer },
    Set { queue: Which, qbytes: u64, mode: Flags<0>, uid: u32, gid: u32, buffer: Buffer },
    Remove { queue: Which },
    Stat { queue: Which, cmd: i32, buffer: Buffer },
    Info { queue: Which, cmd: i32, buffer: Buffer },
}

impl Call {
    pub fn remove(id: i32) -> crate::calls::Call {
        let queue = Which::Raw(id);
        crate::calls::Call::Msg(Call::Remove { queue })
    }

    pub fn which(&mut self) -> Option<(&mut Which, bool)> {
        match self {
            Call::Get { .. } | Call::Info { .. } => None,
            Call::Stat { queue, cmd, .. } => Some((queue, matches!(*cmd, MSG_STAT | MSG_STAT_ANY))),
            Call::Send { queue, .. }
            | Call::Flood { queue, .. }
            | Call::Receive { queue, .. }
            | Call::Set { queue, .. }
            | Call::Remove { queue } => Some((queue, false)),
        }
    }

    pub fn gives(&self) -> Gives {
        match self {
            Call::Get { .. }
            | Call::Stat {
                cmd: MSG_STAT | MSG_STAT_ANY,
                ..
            } => Gives::Id,
            _ => Gives::Number,
        }
    }

    pub fn may_sleep(&self) -> bool {
        let (Call::Send { flags, .. } | Call::Receive { flags, .. }) = self else {
            return false;
        };
        flags.0 & IPC_NOWAIT == 0
    }

    /// Whether it tells of objects that the caller has no permission for.
    pub fn asks_all(&self) -> bool {
        matches!(
            self,
            Call::Stat {
                cmd: MSG_STAT_ANY,
                ..
            } | Call::Info { cmd: MSG_INFO, .. }
        )
    }

    pub fn perform(&self, hands: &mut Hands) {
        match *self {
            // SAFETY: no pointers.
            Call::Get { key, flags } => hands.call(|| unsafe { libc::msgget(key, flags.0) }.into()),
            Call::Send {
                queue,
                mtype,
                size,
                text,
                flags,
                buffer,
            } => {
                send(queue.raw(), (mtype, size, text), flags.0, buffer, hands);
            }
            Call::Flood {
                queue,
                mtype,
                size,
                count,
            } => {
                let mut sent = 0;
                while sent < count {
                    send(
                        queue.raw(),
                        (mtype, size, sent as u8),
                        IPC_NOWAIT,
                        Buffer::Fits,
                        hands,
                    );
                    if hands.reply.ret != 0 {
                        break;
                    }
                    sent += 1;
                }
                hands.reply.ret = sent.into();
            }
            Call::Receive {
                queue,
                size,
                mtype,
                flags,
                buffer,
            } => {
                let room = usize::try_from(size).unwrap_or(AREA).saturating_add(HEADER);
                let at = hands.buffer(buffer, room);
                hands.call(|| {
                    // SAFETY: beyond the room there is nothing that could be written.
                    let got = unsafe {
                        libc::msgrcv(queue.raw(), at.cast(), size as usize, mtype, flags.0)
                    };
                    got as i64
                });
                if let Some(mtype) = hands.got::<i64>() {
                    hands.reply.push(Field::Type, mtype);
                }
                hands.tell_bytes();
            }
            Call::Set {
                queue,
                qbytes,
                mode,
                uid,
                gid,
                buffer,
            } => {
                let mut ds = blank();
                ds.msg_qbytes = qbytes;
                (ds.msg_perm.mode, ds.msg_perm.uid, ds.msg_perm.gid) = (mode.0 as u16, uid, gid);
                let at = hands.buffer(buffer, size_of::<msqid_ds>());
                hands.put(&ds);
                hands.call(|| control(queue.raw(), IPC_SET, at));
            }
            Call::Remove { queue } => {
                hands.call(|| control(queue.raw(), IPC_RMID, std::ptr::null_mut()));
            }
            Call::Stat { queue, cmd, buffer } => stat(queue.raw(), cmd, buffer, hands),
            Call::Info { queue, cmd, buffer } => {
                let at = hands.buffer(buffer, size_of::<libc::msginfo>());
                hands.call(|| control(queue.raw(), cmd, at));
                hands.tell_words();
            }
        }
    }

    pub fn simpler(&self) -> Vec<Call> {
        let mut list = Vec::new();
        match *self {
            Call::Send {
                queue,
                mtype,
                size,
                text,
                flags,
                buffer,
            } => {
                let with = |mtype, size, text, buffer| Call::Send {
                    queue,
                    mtype,
                    size,
                    text,
                    flags,
                    buffer,
                };
                list.push(with(1, size, text, buffer));
                list.push(with(mtype, 1, text, buffer));
                list.push(with(mtype, size, 0, buffer));
                list.push(with(mtype, size, text, Buffer::Fits));
            }
            Call::Receive {
                queue,
                size,
                mtype,
                flags,
                buffer,
            } => {
                let with = |size, mtype, flags, buffer| Call::Receive {
                    queue,
                    size,
                    mtype,
                    flags: Flags(flags),
                    buffer,
                };
                list.push(with(100, mtype, flags.0, buffer));
                list.push(with(size, 0, flags.0, buffer));
                for bit in [MSG_NOERROR, MSG_EXCEPT, MSG_COPY] {
                    list.push(with(size, mtype, flags.0 & !bit, buffer));
                }
                list.push(with(size, mtype, flags.0, Buffer::Fits));
            }
            Call::Flood {
                queue,
                mtype,
                size,
                count,
            } if count > 1 => {
                list.push(Call::Flood {
                    queue,
                    mtype,
                    size,
                    count: count / 2,
                });
                list.push(Call::Flood {
                    queue,
                    mtype,
                    size,
                    count: count - 1,
                });
            }
            _ => {}
        }
        list
    }

    pub fn random(dice: &mut Dice, careful: bool) -> Call {
        let queue = calls::which(dice);
        let buffer = match careful {
            true => Buffer::Fits,
            false => calls::buffer(dice),
        };
        match dice.roll(100) {
            0..6 => Call::Get {
                key: calls::key(dice),
                flags: Flags(calls::get_flags(dice)),
            },
            6..46 => Call::Send {
                queue,
                mtype: match dice.one_in(30) {
                    true => dice.of(&[0, -1, i64::MIN, i64::MAX, 1 << 32, i64::MAX - 1]),
                    false => 1 + dice.roll(4) as i64,
                },
                size: size(dice),
                text: dice.roll(8) as u8,
                flags: Flags(dice.of(&[0, 0, IPC_NOWAIT, IPC_NOWAIT, IPC_NOWAIT | MSG_NOERROR])),
                buffer,
            },
            46..82 => Call::Receive {
                queue,
                size: match dice.one_in(3) {
                    true => size(dice),
                    false => 8192,
                },
                mtype: match dice.one_in(30) {
                    true => dice.of(&[i64::MIN, i64::MAX, 1 << 32, -(1 << 32)]),
                    false => dice.of(&[0, 0, 0, 1, 2, 3, 4, -1, -2, -3, -4]),
                },
                flags: Flags(receive_flags(dice)),
                buffer,
            },
            82..86 => Call::Set {
                queue,
                qbytes: dice.of(&[0, 1, 10, 10, 100, 100, 1000, 16384, 16384, 16385, 1 << 33]),
                mode: Flags(calls::mode(dice)),
                uid: calls::user(dice).0,
                gid: calls::user(dice).1,
                buffer,
            },
            86 => Call::Remove { queue },
            87..96 => Call::Stat {
                cmd: match dice.one_in(20) {
                    true => dice.of(&[-1, 4, 5, 10, 99, 0x100]),
                    false => dice.of(&[IPC_STAT, IPC_STAT, MSG_STAT, MSG_STAT_ANY]),
                },
                queue: calls::by_index(dice),
                buffer,
            },
            96..98 => Call::Info {
                queue: Which::Raw(dice.of(&[0, 0, 1, 77, -1])),
                cmd: dice.of(&[IPC_INFO, MSG_INFO]),
                buffer,
            },
            _ => Call::Flood {
                queue,
                mtype: 1 + dice.roll(4) as i64,
                size: dice.of(&[0, 1, 10, 200]),
                count: dice.of(&[3, 20, 150]),
            },
        }
    }
}

fn size(dice: &mut Dice) -> i64 {
    match dice.one_in(20) {
        true => dice.of(&[
            4000,
            4048,
            4049,
            8191,
            8192,
            8193,
            70000,
            -1,
            i64::MIN,
            1 << 40,
        ]),
        false => dice.of(&[0, 1, 1, 2, 5, 8, 10, 10, 30, 100, 300]),
    }
}

fn receive_flags(dice: &mut Dice) -> i32 {
    let wait = dice.of(&[0, 0, IPC_NOWAIT]);
    let kind = dice.of(&[0, 0, 0, 0, 0, MSG_EXCEPT, MSG_COPY, MSG_COPY | IPC_NOWAIT]);
    let kind = match dice.one_in(40) {
        true => MSG_COPY | MSG_EXCEPT,
        false => kind,
    };
    wait | kind | dice.of(&[0, 0, MSG_NOERROR])
}

/// `message`: type, size, seed of the text.
fn send(id: i32, message: (i64, i64, u8), flags: i32, buffer: Buffer, hands: &mut Hands) {
    let (mtype, size, text) = message;
    let room = usize::try_from(size).unwrap_or(AREA).saturating_add(HEADER);
    let at = hands.buffer(buffer, room);
    for (i, byte) in hands.bytes().iter_mut().enumerate() {
        *byte = text.wrapping_add((i as u8).wrapping_mul(7));
    }
    hands.put(&mtype);
    // SAFETY: beyond the room there is nothing that could be read.
    hands.call(|| unsafe { libc::msgsnd(id, at.cast(), size as usize, flags) }.into());
}

fn control(id: i32, cmd: i32, at: *mut u8) -> i64 {
    // SAFETY: null, or a buffer behind which there is nothing that could be written.
    unsafe { libc::msgctl(id, cmd, at.cast()) }.into()
}

fn blank() -> msqid_ds {
    // SAFETY: numbers only.
    unsafe { std::mem::zeroed() }
}

fn stat(id: i32, cmd: i32, buffer: Buffer, hands: &mut Hands) {
    let at = hands.buffer(buffer, size_of::<msqid_ds>());
    hands.call(|| control(id, cmd, at));
    match hands.got::<msqid_ds>() {
        Some(ds) => tell(&ds, hands),
        None => hands.tell_bytes(),
    }
}

fn tell(ds: &msqid_ds, hands: &mut Hands) {
    tell_perm(&ds.msg_perm, hands);
    let reply = &mut hands.reply;
    reply.push(Field::Stime, ds.msg_stime);
    reply.push(Field::Rtime, ds.msg_rtime);
    reply.push(Field::Ctime, ds.msg_ctime);
    reply.push(Field::Cbytes, ds.__msg_cbytes as i64);
    reply.push(Field::Qnum, ds.msg_qnum as i64);
    reply.push(Field::Qbytes, ds.msg_qbytes as i64);
    reply.push(Field::Lspid, ds.msg_lspid);
    reply.push(Field::Lrpid, ds.msg_lrpid);
    hands.tell_all_but(OWN);
}

/// What the house sees of a queue: its status, and its first messages.
pub fn look(id: i32, hands: &mut Hands) {
    stat(id, IPC_STAT, Buffer::Fits, hands);
    tell_result(hands);
    if hands.reply.ret < 0 {
        return;
    }
    let flags = MSG_COPY | IPC_NOWAIT | MSG_NOERROR;
    for place in 0..PEEKS {
        let at = hands.buffer(Buffer::Fits, HEADER + PEEK);
        hands.call(|| {
            // SAFETY: the buffer has room for as much.
            let got = unsafe { libc::msgrcv(id, at.cast(), PEEK, place, flags) };
            got as i64
        });
        if hands.reply.errno == libc::ENOMSG {
            break;
        }
        hands.reply.push(Field::Message, place);
        tell_result(hands);
        let text = hash(hands.bytes());
        hands.reply.push(Field::Text, text);
    }
}
