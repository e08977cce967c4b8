//! Message queues as Rust values.

use crate::abi::{IPC_CREAT, IPC_EXCL, IPC_NOWAIT, MSG_COPY, MSG_EXCEPT, MSG_NOERROR, MsqidDs};
use crate::backend::Backend;
use crate::errno::{Errno, Result};
use crate::key::Key;

/// A queue on some back end. Dropping it leaves the queue, as closing a program does.
#[derive(Clone, Copy)]
pub struct Queue<'a> {
    backend: &'a dyn Backend,
    msqid: i32,
}

/// Which message to receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Select {
    /// The first.
    First,
    /// The first of this type, which is positive.
    Type(i64),
    /// The first of the lowest type that is at most this.
    UpTo(i64),
    /// The first that is not of this type.
    Except(i64),
}

/// A received message: its type, and how many bytes of the buffer it filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// The type, positive.
    pub mtype: i64,
    /// Bytes of text.
    pub len: usize,
}

impl Select {
    /// `msgtyp` and its flag. EINVAL: a type that is not positive.
    fn words(self) -> Result<(i64, i32)> {
        match self {
            Select::First => Ok((0, 0)),
            Select::Type(t) if t > 0 => Ok((t, 0)),
            Select::UpTo(t) if t > 0 => Ok((-t, 0)),
            Select::Except(t) if t > 0 => Ok((t, MSG_EXCEPT)),
            _ => Err(Errno::EINVAL),
        }
    }
}

impl<'a> Queue<'a> {
    /// `msgget(key, 0)`: the queue with this key. ENOENT: there is none.
    pub fn open(backend: &'a dyn Backend, key: Key) -> Result<Queue<'a>> {
        Ok(Queue {
            backend,
            msqid: backend.msgget(key.0, 0)?,
        })
    }

    /// `msgget(key, IPC_CREAT | mode)`: the queue with this key, made if there is none.
    pub fn open_or_create(backend: &'a dyn Backend, key: Key, mode: u16) -> Result<Queue<'a>> {
        Ok(Queue {
            backend,
            msqid: backend.msgget(key.0, IPC_CREAT | i32::from(mode & 0o777))?,
        })
    }

    /// `msgget(key, IPC_CREAT | IPC_EXCL | mode)`: a new queue. EEXIST: the key is taken.
    pub fn create(backend: &'a dyn Backend, key: Key, mode: u16) -> Result<Queue<'a>> {
        let msgflg = IPC_CREAT | IPC_EXCL | i32::from(mode & 0o777);
        Ok(Queue {
            backend,
            msqid: backend.msgget(key.0, msgflg)?,
        })
    }

    /// The queue with this id, which is not looked at yet.
    pub fn from_id(backend: &'a dyn Backend, msqid: i32) -> Queue<'a> {
        Queue { backend, msqid }
    }

    /// Its id.
    pub fn msqid(&self) -> i32 {
        self.msqid
    }

    /// `msgsnd(msqid, …, 0)`: waits for room. EINTR: a signal handler ran.
    pub fn send(&self, mtype: i64, text: &[u8]) -> Result<()> {
        self.backend.msgsnd(self.msqid, mtype, text, 0)
    }

    /// `msgsnd(msqid, …, IPC_NOWAIT)`. EAGAIN: no room.
    pub fn try_send(&self, mtype: i64, text: &[u8]) -> Result<()> {
        self.backend.msgsnd(self.msqid, mtype, text, IPC_NOWAIT)
    }

    /// `msgrcv(msqid, …, 0)`: waits for a message. E2BIG: it is larger than the buffer, and stays.
    pub fn recv(&self, buf: &mut [u8], select: Select) -> Result<Message> {
        self.recv_with(buf, select, 0)
    }

    /// `msgrcv(msqid, …, IPC_NOWAIT)`. ENOMSG: there is none.
    pub fn try_recv(&self, buf: &mut [u8], select: Select) -> Result<Message> {
        self.recv_with(buf, select, IPC_NOWAIT)
    }

    /// `msgrcv(msqid, …, MSG_NOERROR)`: waits, and cuts what does not fit.
    pub fn recv_truncated(&self, buf: &mut [u8], select: Select) -> Result<Message> {
        self.recv_with(buf, select, MSG_NOERROR)
    }

    /// `msgrcv(msqid, …, n, MSG_COPY | IPC_NOWAIT)`: the n-th message (from 0), which stays.
    pub fn peek(&self, buf: &mut [u8], n: u32) -> Result<Message> {
        let flags = MSG_COPY | IPC_NOWAIT;
        let (mtype, len) = self.backend.msgrcv(self.msqid, buf, i64::from(n), flags)?;
        Ok(Message { mtype, len })
    }

    fn recv_with(&self, buf: &mut [u8], select: Select, flags: i32) -> Result<Message> {
        let (msgtyp, flag) = select.words()?;
        let (mtype, len) = self.backend.msgrcv(self.msqid, buf, msgtyp, flags | flag)?;
        Ok(Message { mtype, len })
    }

    /// `msgctl(msqid, IPC_STAT)`.
    pub fn stat(&self) -> Result<MsqidDs> {
        self.backend.msg_stat(self.msqid)
    }

    /// `msgctl(msqid, IPC_SET)`: owner, group, mode and `msg_qbytes` from `ds`.
    pub fn set(&self, ds: &MsqidDs) -> Result<()> {
        self.backend.msg_set(self.msqid, ds)
    }

    /// `msgctl(msqid, IPC_RMID)`: sleepers get EIDRM.
    pub fn remove(self) -> Result<()> {
        self.backend.msg_remove(self.msqid)
    }
}
