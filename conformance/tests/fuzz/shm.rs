//! The calls on shared memory, and what is done with it.
//!
//! Attachments at given addresses lie in a window that nothing else uses, the same on both sides.
//! Memory is read and written by system calls, which fail where a plain access would be a signal.

use crate::calls::{self, Flags, Gives, Which};
use crate::dice::Dice;
use crate::hands::{Buffer, Hands, hash};
use crate::mail::Field;
use crate::player::{tell_perm, tell_result};
use libc::{
    IPC_CREAT, IPC_EXCL, IPC_INFO, IPC_RMID, IPC_SET, IPC_STAT, MADV_DOFORK, MADV_DONTFORK,
    MADV_NORMAL, MADV_RANDOM, PROT_NONE, PROT_READ, PROT_WRITE, SHM_EXEC, SHM_LOCK, SHM_RDONLY,
    SHM_REMAP, SHM_RND, SHM_UNLOCK, shmid_ds,
};
use std::mem::offset_of;

const SHM_STAT: i32 = 13;
const SHM_INFO: i32 = 14;
const SHM_STAT_ANY: i32 = 15;
const PAGE: usize = 4096;
const WINDOW: usize = 0x2000_0000_0000;
/// Pages of it.
const PAGES: u64 = 8;

/// What differs from side to side.
const OWN: &[(usize, usize)] = &[
    (offset_of!(shmid_ds, shm_atime), 8),
    (offset_of!(shmid_ds, shm_dtime), 8),
    (offset_of!(shmid_ds, shm_ctime), 8),
    (offset_of!(shmid_ds, shm_cpid), 4),
    (offset_of!(shmid_ds, shm_lpid), 4),
];

pub const FLAGS: &[(i32, &str)] = &[
    (IPC_CREAT, "IPC_CREAT"),
    (IPC_EXCL, "IPC_EXCL"),
    (SHM_RDONLY, "SHM_RDONLY"),
    (SHM_RND, "SHM_RND"),
    (SHM_REMAP, "SHM_REMAP"),
    (SHM_EXEC, "SHM_EXEC"),
];

/// An address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[rustfmt::skip]
pub enum At {
    Null,
    Window { page: u8, offset: u16 },
    /// The start of one of the player's attachments outside of the window.
    Spot(u8),
}

#[derive(Clone, Copy, Debug)]
#[rustfmt::skip]
pub enum Call {
    Get { key: i32, size: u64, flags: Flags<2> },
    Attach { segment: Which, at: At, flags: Flags<2> },
    Detach { at: At },
    Write { at: At, offset: u32, byte: u8, len: u32 },
    Read { at: At, offset: u32, len: u32 },
    Unmap { page: u8, pages: u8 },
    Protect { page: u8, pages: u8, prot: i32 },
    Advise { page: u8, pages: u8, advice: i32 },
    Set { segment: Which, mode: Flags<2>, uid: u32, gid: u32, buffer: Buffer },
    Remove { segment: Which },
    Lock { segment: Which, cmd: i32 },
    Stat { segment: Which, cmd: i32, buffer: Buffer },
    Info { segment: Which, cmd: i32, buffer: Buffer },
}

impl Call {
    pub fn remove(id: i32) -> crate::calls::Call {
        let segment = Which::Raw(id);
        crate::calls::Call::Shm(Call::Remove { segment })
    }

    pub fn which(&mut self) -> Option<(&mut Which, bool)> {
        match self {
            Call::Stat { segment, cmd, .. } => {
                Some((segment, matches!(*cmd, SHM_STAT | SHM_STAT_ANY)))
            }
            Call::Attach { segment, .. }
            | Call::Set { segment, .. }
            | Call::Lock { segment, .. }
            | Call::Remove { segment } => Some((segment, false)),
            _ => None,
        }
    }

    pub fn gives(&self) -> Gives {
        match self {
            Call::Get { .. }
            | Call::Stat {
                cmd: SHM_STAT | SHM_STAT_ANY,
                ..
            } => Gives::Id,
            _ => Gives::Number,
        }
    }

    /// Whether it tells of objects that the caller has no permission for; of one's size, too.
    pub fn asks_all(&self) -> bool {
        matches!(
            self,
            Call::Get {
                key: 1..,
                size: 2..,
                ..
            } | Call::Stat {
                cmd: SHM_STAT_ANY,
                ..
            } | Call::Info { cmd: SHM_INFO, .. }
        )
    }

    pub fn perform(&self, hands: &mut Hands) {
        match *self {
            Call::Get { key, size, flags } => {
                // SAFETY: no pointers.
                hands.call(|| unsafe { libc::shmget(key, size as usize, flags.0) }.into());
            }
            Call::Attach { segment, at, flags } => attach(segment.raw(), at, flags.0, hands),
            Call::Detach { at } => {
                let address = at.address(hands);
                // SAFETY: nobody refers to memory in the window, or in an attachment.
                hands.call(|| unsafe { libc::shmdt(address as *const _) }.into());
                if hands.reply.ret == 0 {
                    hands.spots.retain(|spot| *spot != address);
                }
            }
            Call::Write {
                at,
                offset,
                byte,
                len,
            } => {
                let address = at.address(hands) + offset as usize;
                let from = hands.buffer(Buffer::Fits, len as usize);
                hands.bytes().fill(byte);
                hands.call(|| copy(true, from, address, len));
            }
            Call::Read { at, offset, len } => {
                let address = at.address(hands) + offset as usize;
                let to = hands.buffer(Buffer::Fits, len as usize);
                hands.call(|| copy(false, to, address, len));
                let read = hands.reply.ret.max(0) as usize;
                let text = hash(&hands.bytes()[..read]);
                hands.reply.push(Field::Text, text);
            }
            Call::Unmap { page, pages } => {
                let (at, len) = pages_of(page, pages);
                // SAFETY: nobody refers to memory in the window.
                hands.call(|| unsafe { libc::munmap(at as *mut _, len) }.into());
            }
            Call::Protect { page, pages, prot } => {
                let (at, len) = pages_of(page, pages);
                // SAFETY: as above.
                hands.call(|| unsafe { libc::mprotect(at as *mut _, len, prot) }.into());
            }
            Call::Advise {
                page,
                pages,
                advice,
            } => {
                let (at, len) = pages_of(page, pages);
                // SAFETY: as above; the advice does not touch what is there.
                hands.call(|| unsafe { libc::madvise(at as *mut _, len, advice) }.into());
            }
            Call::Set {
                segment,
                mode,
                uid,
                gid,
                buffer,
            } => {
                // SAFETY: numbers only.
                let mut ds: shmid_ds = unsafe { std::mem::zeroed() };
                (ds.shm_perm.mode, ds.shm_perm.uid, ds.shm_perm.gid) = (mode.0 as u16, uid, gid);
                let at = hands.buffer(buffer, size_of::<shmid_ds>());
                hands.put(&ds);
                hands.call(|| control(segment.raw(), IPC_SET, at));
            }
            Call::Remove { segment } => {
                hands.call(|| control(segment.raw(), IPC_RMID, std::ptr::null_mut()));
            }
            Call::Lock { segment, cmd } => {
                hands.call(|| control(segment.raw(), cmd, std::ptr::null_mut()));
            }
            Call::Stat {
                segment,
                cmd,
                buffer,
            } => stat(segment.raw(), cmd, buffer, hands),
            Call::Info {
                segment,
                cmd,
                buffer,
            } => {
                let room = if cmd == IPC_INFO { 72 } else { 48 };
                let at = hands.buffer(buffer, room);
                hands.call(|| control(segment.raw(), cmd, at));
                hands.tell_words();
            }
        }
    }

    pub fn simpler(&self) -> Vec<Call> {
        let mut list = Vec::new();
        match *self {
            Call::Attach { segment, at, flags } => {
                for bit in [SHM_RDONLY, SHM_RND, SHM_REMAP, SHM_EXEC] {
                    list.push(Call::Attach {
                        segment,
                        at,
                        flags: Flags(flags.0 & !bit),
                    });
                }
                list.push(Call::Attach {
                    segment,
                    at: At::Null,
                    flags,
                });
            }
            Call::Get { key, flags, .. } => list.push(Call::Get {
                key,
                size: 1,
                flags,
            }),
            _ => {}
        }
        list
    }

    pub fn random(dice: &mut Dice, careful: bool) -> Call {
        let segment = calls::which(dice);
        let buffer = match careful {
            true => Buffer::Fits,
            false => calls::buffer(dice),
        };
        let (offset, len) = (dice.of(&[0, 0, 1, 100, 4000]), dice.of(&[1, 4, 90]));
        let (page, pages) = (dice.roll(PAGES) as u8, 1 + dice.roll(3) as u8);
        match dice.roll(100) {
            0..10 => Call::get(dice),
            10..36 => Call::Attach {
                segment,
                at: at(dice),
                flags: Flags(
                    dice.of(&[0, 0, 0, SHM_RDONLY, SHM_RDONLY])
                        | dice.of(&[0, 0, SHM_RND])
                        | dice.of(&[0, 0, 0, SHM_REMAP])
                        | if dice.one_in(15) { SHM_EXEC } else { 0 },
                ),
            },
            36..46 => Call::Detach { at: at(dice) },
            46..60 => Call::Write {
                at: at(dice),
                offset,
                byte: dice.roll(255) as u8,
                len,
            },
            60..74 => Call::Read {
                at: at(dice),
                offset,
                len,
            },
            74..78 => Call::Unmap { page, pages },
            78..81 => Call::Protect {
                page,
                pages,
                prot: dice.of(&[PROT_NONE, PROT_READ, PROT_READ, PROT_READ | PROT_WRITE]),
            },
            81 => Call::Advise {
                page,
                pages,
                advice: dice.of(&[MADV_DONTFORK, MADV_DOFORK, MADV_RANDOM, MADV_NORMAL]),
            },
            82..84 => Call::Set {
                segment,
                mode: Flags(calls::mode(dice)),
                uid: calls::user(dice).0,
                gid: calls::user(dice).1,
                buffer,
            },
            84..86 => Call::Remove { segment },
            86..90 => Call::Lock {
                segment,
                cmd: dice.of(&[SHM_LOCK, SHM_UNLOCK]),
            },
            90..97 => Call::Stat {
                segment: calls::by_index(dice),
                cmd: match dice.one_in(20) {
                    true => dice.of(&[-1, 4, 10, 99]),
                    false => dice.of(&[IPC_STAT, SHM_STAT, SHM_STAT_ANY]),
                },
                buffer,
            },
            _ => Call::Info {
                segment: Which::Raw(dice.of(&[0, 0, 1, 77, -1])),
                cmd: dice.of(&[IPC_INFO, SHM_INFO]),
                buffer,
            },
        }
    }

    fn get(dice: &mut Dice) -> Call {
        Call::Get {
            key: calls::key(dice),
            size: match dice.one_in(20) {
                true => dice.of(&[0, u64::MAX, 1 << 62, 1 << 20]),
                false => dice.of(&[0, 1, 100, 4096, 4096, 4097, 8192, 12288]),
            },
            flags: Flags(calls::get_flags(dice)),
        }
    }
}

impl At {
    fn address(self, hands: &Hands) -> usize {
        match self {
            At::Null => 0,
            At::Window { page, offset } => WINDOW + PAGE * page as usize + offset as usize,
            At::Spot(n) => match hands.spots.len() {
                // Beyond the window there is nothing.
                0 => WINDOW << 1,
                len => hands.spots[n as usize % len],
            },
        }
    }
}

fn at(dice: &mut Dice) -> At {
    let anywhere = dice.roll(PAGES) as u8;
    let page = dice.of(&[0, 0, 2, 4, anywhere]);
    match dice.roll(20) {
        0 => At::Null,
        1..9 => At::Spot(dice.roll(4) as u8),
        9 => At::Window {
            page,
            offset: dice.of(&[1, 8, 2048, 4095]),
        },
        _ => At::Window { page, offset: 0 },
    }
}

fn pages_of(page: u8, pages: u8) -> (usize, usize) {
    (WINDOW + PAGE * page as usize, PAGE * pages as usize)
}

fn attach(id: i32, at: At, flags: i32, hands: &mut Hands) {
    // Where the system chose, the sides' neighbours differ.
    let address = match at {
        At::Spot(_) => 0,
        at => at.address(hands),
    };
    // SAFETY: what is replaced is in the window, where nobody refers to memory.
    hands.call(|| unsafe { libc::shmat(id, address as *const _, flags) } as i64);
    let got = hands.reply.ret;
    if got != -1 && address == 0 {
        hands.spots.push(got as usize);
        hands.reply.ret = 0;
    }
}

/// `process_vm_readv` or `process_vm_writev` on ourselves.
fn copy(writes: bool, ours: *mut u8, address: usize, len: u32) -> i64 {
    let local = libc::iovec {
        iov_base: ours.cast(),
        iov_len: len as usize,
    };
    let remote = libc::iovec {
        iov_base: address as *mut _,
        iov_len: len as usize,
    };
    let copy = if writes {
        libc::process_vm_writev
    } else {
        libc::process_vm_readv
    };
    // The process's own id finds no memory once its first thread is gone.
    // SAFETY: a buffer of this length, and memory that nobody refers to, or none.
    unsafe { copy(libc::gettid(), &local, 1, &remote, 1, 0) as i64 }
}

fn control(id: i32, cmd: i32, at: *mut u8) -> i64 {
    // SAFETY: null, or a buffer behind which there is nothing that could be written.
    unsafe { libc::shmctl(id, cmd, at.cast()) }.into()
}

fn stat(id: i32, cmd: i32, buffer: Buffer, hands: &mut Hands) {
    let at = hands.buffer(buffer, size_of::<shmid_ds>());
    hands.call(|| control(id, cmd, at));
    let Some(ds) = hands.got::<shmid_ds>() else {
        return hands.tell_bytes();
    };
    tell_perm(&ds.shm_perm, hands);
    let reply = &mut hands.reply;
    reply.push(Field::Size, ds.shm_segsz as i64);
    reply.push(Field::Atime, ds.shm_atime);
    reply.push(Field::Dtime, ds.shm_dtime);
    reply.push(Field::Ctime, ds.shm_ctime);
    reply.push(Field::Cpid, ds.shm_cpid);
    reply.push(Field::Lpid, ds.shm_lpid);
    reply.push(Field::Nattch, ds.shm_nattch as i64);
    hands.tell_all_but(OWN);
}

/// What the house sees of a segment.
pub fn look(id: i32, hands: &mut Hands) {
    stat(id, IPC_STAT, Buffer::Fits, hands);
    tell_result(hands);
}
