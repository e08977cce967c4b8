//! `usysv recv`.

use super::{target, text};
use crate::args::{self, Format};
use crate::failure::{Failure, WOULD_WAIT};
use crate::key::Target;
use crate::sys;
use crate::world::World;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use usysv::Errno;
use usysv::abi::{IPC_NOWAIT, MSG_COPY, MSG_EXCEPT, MSG_NOERROR};

/// Takes messages and prints each as it comes. One that cannot be printed goes back.
pub fn recv(world: &World, args: &args::Recv) -> Result<(), Failure> {
    let target = target(args.queue);
    let mut reader = Reader::new(world, target)?;
    if let Some(max) = args.max {
        reader.limit_to(max as usize);
    }
    let mut flags = 0;
    for (on, flag) in [
        (args.nowait, IPC_NOWAIT),
        (args.except, MSG_EXCEPT),
        (args.noerror, MSG_NOERROR),
    ] {
        flags |= if on { flag } else { 0 };
    }
    // std would take a closed standard output for one that swallows all.
    let out = io::stdout().as_fd().try_clone_to_owned();
    let mut out = File::from(out.map_err(Failure::stdout)?);
    sys::ignore_broken_pipes();
    let mut left = if args.follow { u64::MAX } else { args.count };
    while left > 0 {
        let (mtype, text) = match reader.receive(args.r#type, flags) {
            Ok(message) => message,
            Err(Errno::EIDRM) if args.follow => return Ok(()),
            Err(Errno::ENOMSG) => {
                let text = format!("{target}: no such message in the queue");
                return Err(Failure::with_status(WOULD_WAIT, text));
            }
            Err(Errno::E2BIG) => {
                return Err(Failure::new(format!(
                    "{target}: the message is longer than --max and stays in the queue (--noerror \
                     cuts it)"
                )));
            }
            Err(errno) => return Err(target.explain(world, errno)),
        };
        let shown = match args.format {
            Format::Raw => text.to_vec(),
            Format::Json => format!("{}\n", text::json(&format!("\"type\":{mtype}"), text)).into(),
            Format::Text => as_line(text),
        };
        if let Err(error) = out.write_all(&shown) {
            let text = text.to_vec();
            return Err(reader.give_back(mtype, &text, error));
        }
        left -= 1;
    }
    Ok(())
}

/// The text without the NULs that C programs send along, ended by one newline.
fn as_line(text: &[u8]) -> Vec<u8> {
    let nuls = text.iter().rev().take_while(|&&b| b == 0).count();
    let mut line = text[..text.len() - nuls].to_vec();
    if !line.ends_with(b"\n") {
        line.push(b'\n');
    }
    line
}

/// Receives into a buffer that fits whatever comes, unless it was told a limit.
pub struct Reader<'a> {
    world: &'a World,
    id: i32,
    buffer: Vec<u8>,
    grows: bool,
}

impl<'a> Reader<'a> {
    /// For this queue.
    pub fn new(world: &'a World, target: Target) -> Result<Reader<'a>, Failure> {
        let id = target.resolve(world, None)?;
        let limits = world.backend().msg_limits();
        let msgmax = limits.map_or(8192, |(limits, _)| limits.msgmax.max(0) as usize);
        Ok(Reader {
            world,
            id,
            // More than a megabyte is taken when such a message is there.
            buffer: vec![0; msgmax.min(1 << 20)],
            grows: true,
        })
    }

    fn limit_to(&mut self, bytes: usize) {
        self.buffer = vec![0; bytes];
        self.grows = false;
    }

    /// The message at this place in the queue, without taking it.
    pub fn copy(&mut self, ordinal: i64) -> usysv::Result<(i64, &[u8])> {
        self.receive(ordinal, MSG_COPY | IPC_NOWAIT)
    }

    /// The queue's id.
    pub fn id(&self) -> i32 {
        self.id
    }

    /// What to say of a message that was taken and could not be printed.
    fn give_back(&self, mtype: i64, text: &[u8], error: io::Error) -> Failure {
        let sent = self
            .world
            .backend()
            .msgsnd(self.id, mtype, text, IPC_NOWAIT);
        let what = match sent {
            Ok(()) => "the message is back in the queue, now as its last".to_owned(),
            Err(errno) => format!("the message is lost, as it cannot go back: {errno}"),
        };
        Failure::new(format!("{}; {what}", Failure::stdout(error)))
    }

    fn receive(&mut self, msgtyp: i64, flags: i32) -> usysv::Result<(i64, &[u8])> {
        loop {
            let backend = self.world.backend();
            match backend.msgrcv(self.id, &mut self.buffer, msgtyp, flags) {
                Ok((mtype, length)) => return Ok((mtype, &self.buffer[..length])),
                // Stopped and continued.
                Err(Errno::EINTR) => {}
                Err(Errno::E2BIG) if self.grows && self.buffer.len() < i32::MAX as usize => {
                    let doubled = (self.buffer.len().max(4096) * 2).min(i32::MAX as usize);
                    self.buffer = vec![0; doubled];
                }
                Err(errno) => return Err(errno),
            }
        }
    }
}
