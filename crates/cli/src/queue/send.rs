//! `usysv send`.

use super::target;
use crate::args;
use crate::failure::{Failure, WOULD_WAIT, reason};
use crate::key::Target;
use crate::world::World;
use std::io::{BufRead, Read};
use std::os::unix::ffi::OsStrExt;
use usysv::Errno;
use usysv::abi::IPC_NOWAIT;

/// Sends the argument, standard input, or its lines.
pub fn send(world: &World, args: &args::Send) -> Result<(), Failure> {
    let target = target(args.queue);
    let sender = Sender {
        world,
        target,
        id: target.resolve(world, args.create)?,
        mtype: args.r#type,
        flags: if args.nowait { IPC_NOWAIT } else { 0 },
    };
    let stdin = std::io::stdin();
    if args.lines {
        return sender.send_lines(stdin.lock());
    }
    match &args.message {
        Some(text) if text != "-" => sender.send(text.as_bytes()),
        _ => {
            let mut text = Vec::new();
            stdin.lock().read_to_end(&mut text).map_err(stdin_failure)?;
            sender.send(&text)
        }
    }
}

struct Sender<'a> {
    world: &'a World,
    target: Target,
    id: i32,
    mtype: i64,
    flags: i32,
}

impl Sender<'_> {
    fn send_lines(&self, mut input: impl BufRead) -> Result<(), Failure> {
        let mut line = Vec::new();
        for number in 1u64.. {
            line.clear();
            if input.read_until(b'\n', &mut line).map_err(stdin_failure)? == 0 {
                break;
            }
            let text = line.strip_suffix(b"\n").unwrap_or(&line);
            let sent = self.send(text);
            sent.map_err(|f| {
                let status = f.status();
                Failure::with_status(status, format!("line {number}: {f}"))
            })?;
        }
        Ok(())
    }

    fn send(&self, text: &[u8]) -> Result<(), Failure> {
        let backend = self.world.backend();
        self.check_room(text.len())?;
        loop {
            let Err(errno) = backend.msgsnd(self.id, self.mtype, text, self.flags) else {
                return Ok(());
            };
            match errno {
                // Stopped and continued.
                Errno::EINTR => {}
                Errno::EAGAIN => {
                    let text = format!("{}: the queue is full", self.target);
                    return Err(Failure::with_status(WOULD_WAIT, text));
                }
                Errno::EINVAL => return Err(self.too_long_or_absent(text.len())),
                other => return Err(self.target.explain(self.world, other)),
            }
        }
    }

    /// What is longer than all that the queue may hold would wait for ever.
    fn check_room(&self, length: usize) -> Result<(), Failure> {
        let backend = self.world.backend();
        let longest = backend.msg_limits().map_or(0, |(limits, _)| limits.msgmax);
        match backend.msg_stat(self.id) {
            Ok(ds) if length as u64 > ds.msg_qbytes && length as i64 <= i64::from(longest) => {
                Err(Failure::new(format!(
                    "{}: {length} bytes never fit: the queue holds {} at most, its msg_qbytes (one that is made \
                     after '{} limits msgmnb={length}' holds more)",
                    self.target,
                    ds.msg_qbytes,
                    self.world.command()
                )))
            }
            _ => Ok(()),
        }
    }

    /// `msgsnd` has one errno for a message that is too long and for a queue that is not there.
    fn too_long_or_absent(&self, length: usize) -> Failure {
        let limits = self.world.backend().msg_limits();
        match limits {
            Ok((limits, _)) if length as u64 > limits.msgmax as u64 => Failure::new(format!(
                "{}: {length} bytes are more than a message may have: msgmax is {} in {} ('{} \
                 limits msgmax={length}' changes it)",
                self.target,
                limits.msgmax,
                self.world.name(),
                self.world.command()
            )),
            _ => self.target.explain(self.world, Errno::EINVAL),
        }
    }
}

fn stdin_failure(error: std::io::Error) -> Failure {
    Failure::new(format!("standard input: {}", reason(&error)))
}
