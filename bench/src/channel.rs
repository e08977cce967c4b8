//! Whatever passes messages from one process to another, behind one trait.

use crate::case::{during, impossible, wrong};
use crate::plugin::Plugin;
use crate::posix;
use crate::sys::{self, Message, TEXT};
use std::io::{PipeReader, PipeWriter, Read, Result, Write, pipe};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;

/// What a process does with a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Send = 1,
    Receive = 2,
    Both = 3,
}

/// A channel for messages of one length, made before the processes fork that use it.
pub trait Channel: 'static {
    /// Called in each process before anybody sends.
    fn attach(&self, _end: End) -> Result<()> {
        Ok(())
    }
    /// Sends `len` bytes, and waits for room.
    fn send(&self, message: &Message, len: usize) -> Result<()>;
    /// Waits for a message of `len` bytes.
    fn receive(&self, message: &mut Message, len: usize) -> Result<usize>;
    /// Looks for one; false if there is none.
    fn poll(&self, _message: &mut Message, _len: usize) -> Result<bool> {
        Err(impossible("nobody polls this"))
    }
}

/// How many messages a channel should hold: what 16 KiB do, which are Linux's default for a queue.
pub const fn depth(len: usize) -> usize {
    16384 / len
}

/// A System V queue that is removed when it goes out of scope.
pub struct Queue(i32);

impl Queue {
    /// A new one.
    pub fn private() -> Result<Queue> {
        sys::msgget(libc::IPC_PRIVATE, 0o600)
            .map(Queue)
            .map_err(during("msgget"))
    }

    /// A new one with this key.
    pub fn keyed(key: i32) -> Result<Queue> {
        sys::msgget(key, libc::IPC_CREAT | libc::IPC_EXCL | 0o600).map(Queue)
    }

    /// The queue's id. A closure must ask here: one that names the field would capture a copy of
    /// the id and leave the queue behind, to be removed.
    #[inline]
    pub fn id(&self) -> i32 {
        self.0
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        if let Err(error) = sys::remove_queue(self.0) {
            eprintln!("usysv-bench: cannot remove queue {}: {error}", self.0);
        }
    }
}

impl Channel for Queue {
    #[inline]
    fn send(&self, message: &Message, len: usize) -> Result<()> {
        sys::msgsnd(self.0, message, len, 0)
    }

    #[inline]
    fn receive(&self, message: &mut Message, _len: usize) -> Result<usize> {
        sys::msgrcv(self.0, message, TEXT, 0, 0)
    }

    #[inline]
    fn poll(&self, message: &mut Message, _len: usize) -> Result<bool> {
        match sys::msgrcv(self.0, message, TEXT, 0, libc::IPC_NOWAIT) {
            Ok(_) => Ok(true),
            Err(error) if error.raw_os_error() == Some(libc::ENOMSG) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Channel for posix::Mq {
    fn send(&self, message: &Message, len: usize) -> Result<()> {
        posix::Mq::send(self, message.bytes(len))
    }

    fn receive(&self, message: &mut Message, len: usize) -> Result<usize> {
        posix::Mq::receive(self, message.bytes_mut(len))
    }

    fn poll(&self, message: &mut Message, len: usize) -> Result<bool> {
        self.receive_now(message.bytes_mut(len))
            .map(|got| got.is_some())
    }
}

/// A pipe whose messages all have one length.
pub struct Pipe(PipeReader, PipeWriter);

impl Pipe {
    /// A new one.
    pub fn new(_len: usize) -> Result<Pipe> {
        let (reader, writer) = pipe()?;
        posix::set_pipe_size(&writer, 16384)?;
        Ok(Pipe(reader, writer))
    }
}

impl Channel for Pipe {
    fn send(&self, message: &Message, len: usize) -> Result<()> {
        (&self.1).write_all(message.bytes(len))
    }

    fn receive(&self, message: &mut Message, len: usize) -> Result<usize> {
        (&self.0).read_exact(message.bytes_mut(len)).map(|()| len)
    }
}

/// A pair of `AF_UNIX` sockets that keep messages apart: the first receives what the second sends.
pub struct Sockets(UnixDatagram, UnixDatagram);

impl Sockets {
    /// Datagram sockets.
    pub fn datagram(_len: usize) -> Result<Sockets> {
        let (receiver, sender) = UnixDatagram::pair()?;
        Ok(Sockets(receiver, sender))
    }

    /// Sequenced-packet sockets.
    pub fn seqpacket(_len: usize) -> Result<Sockets> {
        let (receiver, sender) = posix::seqpacket_pair()?;
        Ok(Sockets(receiver.into(), sender.into()))
    }
}

impl Channel for Sockets {
    fn send(&self, message: &Message, len: usize) -> Result<()> {
        match self.1.send(message.bytes(len))? {
            sent if sent == len => Ok(()),
            sent => Err(wrong(format!("{sent} of {len} bytes were sent"))),
        }
    }

    fn receive(&self, message: &mut Message, len: usize) -> Result<usize> {
        self.0.recv(message.bytes_mut(len))
    }

    fn poll(&self, message: &mut Message, len: usize) -> Result<bool> {
        posix::receive_now(self.0.as_raw_fd(), message.bytes_mut(len)).map(|got| got.is_some())
    }
}

impl Channel for Plugin {
    fn attach(&self, end: End) -> Result<()> {
        Plugin::attach(self, end as i32)
    }

    fn send(&self, message: &Message, len: usize) -> Result<()> {
        Plugin::send(self, message.bytes(len))
    }

    fn receive(&self, message: &mut Message, len: usize) -> Result<usize> {
        let got = Plugin::receive(self, message.bytes_mut(len), true)?;
        got.ok_or_else(|| wrong("a receive that waits came back with nothing"))
    }

    fn poll(&self, message: &mut Message, len: usize) -> Result<bool> {
        Plugin::receive(self, message.bytes_mut(len), false).map(|got| got.is_some())
    }
}
