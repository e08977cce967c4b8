//! Queues: what a worker does for the rows that only System V queues can do.
//!
//! Nothing here knows who serves the calls. Queue limits, too, are raised on both sides alike, by
//! writing `/proc/sys/kernel/msgmnb`: Linux serves that file of the worker's own IPC namespace,
//! the preload library that of the usysv namespace.

use crate::case::{Case, Meter, Sample, during, repeat, together, wrong};
use crate::channel::Queue;
use crate::row::{Place, Select, Watch};
use crate::sleepers::Sleepers;
use crate::sys::{self, Message, TEXT};
use std::collections::HashSet;
use std::fs;
use std::io::Result;

const LEN: usize = 64;

/// Lets queues that are created from now on hold `bytes`.
pub fn deepen(bytes: u64) -> Result<()> {
    const LIMIT: &str = "/proc/sys/kernel/msgmnb";
    // With its newline, or usysv reads the text at each call for a while, as more of it may come.
    fs::write(LIMIT, format!("{bytes}\n")).map_err(during("raising msgmnb"))?;
    let now = fs::read_to_string(LIMIT).map_err(during("reading msgmnb"))?;
    match now.trim() == bytes.to_string() {
        true => Ok(()),
        false => Err(wrong(format!("msgmnb stayed at {}", now.trim()))),
    }
}

/// A pair whose receive does not match a backlog.
pub fn send_receive(
    watch: Watch,
    select: Select,
    backlog: usize,
    types: usize,
) -> Result<Box<dyn Case>> {
    if backlog > 0 {
        deepen(64 << 20)?;
    }
    let queue = Queue::private()?;
    let foreign = |index: usize| match select {
        Select::Except => 1,
        Select::Typed if types == 1 => 1,
        _ => 3 + (index % types) as i64,
    };
    for index in 0..backlog {
        let message = Message::new(foreign(index));
        sys::msgsnd(queue.id(), &message, LEN, libc::IPC_NOWAIT)
            .map_err(during(format_args!("filling the queue, message {index}")))?;
    }
    let depth = sys::queue_depth(queue.id()).map_err(during("IPC_STAT"))?;
    if depth != backlog as u64 {
        return Err(wrong(format!("the backlog is {depth}, not {backlog}")));
    }
    let (mtype, flags) = match select {
        Select::Typed => (2, 0),
        Select::Lowest => (-2, 0),
        Select::Except => (1, libc::MSG_EXCEPT),
    };
    let sent = Message::new(2);
    let mut received = Message::new(1);
    Ok(repeat(watch, move || {
        sys::msgsnd(queue.id(), &sent, LEN, 0).map_err(during("msgsnd"))?;
        let got =
            sys::msgrcv(queue.id(), &mut received, TEXT, mtype, flags).map_err(during("msgrcv"))?;
        match (got, received.mtype) == (LEN, 2) {
            true => Ok(()),
            false => Err(wrong(format!("got {got} B of type {}", received.mtype))),
        }
    }))
}

/// A pair of type 2, while so many other processes wait for types of their own.
pub fn past_receivers(watch: Watch, receivers: usize) -> Result<Box<dyn Case>> {
    let queue = Queue::private()?;
    let id = queue.id();
    let sleepers = Sleepers::start(receivers, |index| {
        let mut received = Message::new(1);
        sys::msgrcv(id, &mut received, TEXT, 3 + index as i64, 0).map(drop)
    })?;
    sleepers.fall_asleep()?;
    let (sent, mut received) = (Message::new(2), Message::new(1));
    Ok(repeat(watch, move || {
        let _kept = &sleepers;
        sys::msgsnd(queue.id(), &sent, LEN, 0)?;
        match sys::msgrcv(queue.id(), &mut received, TEXT, 2, 0)? {
            LEN => Ok(()),
            got => Err(wrong(format!("got {got} B"))),
        }
    }))
}

/// Two processes answer each other in one queue, each by the other's type.
pub fn answers(watch: Watch, place: Place) -> Result<Box<dyn Case>> {
    let queue = Queue::private()?;
    let id = queue.id();
    let (mut asked, mut answered) = (Message::new(1), Message::new(1));
    let theirs = move || {
        sys::msgrcv(id, &mut asked, LEN, 1, 0)?;
        asked.mtype = 2;
        sys::msgsnd(id, &asked, LEN, 0)
    };
    let ours = move || {
        answered.mtype = 1;
        sys::msgsnd(id, &answered, LEN, 0)?;
        sys::msgrcv(id, &mut answered, LEN, 2, 0).map(drop)
    };
    together(watch, place, theirs, ours, queue)
}

/// Samples of creating and of removing `count` queues that all exist at once.
pub fn create_and_remove(watch: Watch, count: usize) -> Result<(Sample, Sample)> {
    let mut queues = Vec::with_capacity(count);
    let meter = Meter::start(watch);
    for index in 0..count {
        let queue = sys::msgget(libc::IPC_PRIVATE, 0o600)
            .map_err(during(format_args!("creating queue {index} of {count}")))?;
        queues.push(queue);
    }
    let created = meter.stop();
    let distinct: HashSet<_> = queues.iter().collect();
    if distinct.len() != count {
        return Err(wrong(format!(
            "{count} queues share {} ids",
            distinct.len()
        )));
    }
    let meter = Meter::start(watch);
    for &queue in &queues {
        sys::remove_queue(queue).map_err(during("removing a queue"))?;
    }
    Ok((created, meter.stop()))
}
