//! What objects take of a namespace's file system.

use crate::case::{during, wrong};
use crate::channel::Queue;
use crate::msg_cases::deepen;
use crate::shm_cases::Segment;
use crate::sys::{self, Attached, Message, TEXT};
use std::collections::HashSet;
use std::fs;
use std::io::Result;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Bytes that the namespace's files take on their file system, each file counted once.
fn namespace_bytes() -> Result<u64> {
    let directory = std::env::var_os("USYSV_NS").ok_or_else(|| wrong("no USYSV_NS"))?;
    let mut seen = HashSet::new();
    bytes_below(Path::new(&directory), &mut seen).map_err(during("walking the namespace"))
}

fn bytes_below(directory: &Path, seen: &mut HashSet<u64>) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let status = entry.metadata()?;
        if seen.insert(status.ino()) {
            bytes += status.blocks() * 512;
        }
        if status.is_dir() {
            bytes += bytes_below(&entry.path(), seen)?;
        }
    }
    Ok(bytes)
}

/// Bytes of an empty queue, of many.
pub fn of_empty_queue() -> Result<u64> {
    const COUNT: u64 = 256;
    // What only the first queue of a namespace brings about is not a queue's cost.
    drop(Queue::private()?);
    let before = namespace_bytes()?;
    let queues = (0..COUNT)
        .map(|_| Queue::private())
        .collect::<Result<Vec<_>>>()?;
    let grown = namespace_bytes()?.saturating_sub(before);
    drop(queues);
    match grown {
        0 => Err(wrong("no file of the namespace grew")),
        grown => Ok(grown / COUNT),
    }
}

/// Bytes of a queue that held 16 MiB and was drained.
pub fn of_drained_queue() -> Result<u64> {
    const LEN: usize = 1024;
    const BYTES: u64 = 16 << 20;
    deepen(BYTES)?;
    let before = namespace_bytes()?;
    let queue = Queue::private()?;
    let sent = Message::new(1);
    for index in 0..BYTES / LEN as u64 {
        sys::msgsnd(queue.id(), &sent, LEN, libc::IPC_NOWAIT)
            .map_err(during(format_args!("filling the queue, message {index}")))?;
    }
    let full = namespace_bytes()?.saturating_sub(before);
    if full < BYTES {
        return Err(wrong(format!(
            "{BYTES} bytes went in, but the namespace grew by {full}"
        )));
    }
    let mut received = Message::new(1);
    for _ in 0..BYTES / LEN as u64 {
        sys::msgrcv(queue.id(), &mut received, TEXT, 0, libc::IPC_NOWAIT)
            .map_err(during("draining the queue"))?;
    }
    Ok(namespace_bytes()?.saturating_sub(before))
}

/// Bytes of one of many queued messages of 64 B.
pub fn of_message() -> Result<u64> {
    const COUNT: u64 = 100_000;
    deepen(16 << 20)?;
    let queue = Queue::private()?;
    let before = namespace_bytes()?;
    let sent = Message::new(1);
    for _ in 0..COUNT {
        sys::msgsnd(queue.id(), &sent, 64, libc::IPC_NOWAIT)
            .map_err(during("filling the queue"))?;
    }
    match namespace_bytes()?.saturating_sub(before) / COUNT {
        0..64 => Err(wrong("the messages are not in the namespace")),
        each => Ok(each),
    }
}

/// Bytes that a segment takes beyond its own, all of which are written: the mean of many.
pub fn of_segment() -> Result<u64> {
    const COUNT: u64 = 256;
    const LEN: usize = 64 << 10;
    let written = || {
        let segment = Segment::of(LEN)?;
        Attached::to(segment.id(), LEN)?.fill(1);
        Ok(segment)
    };
    // What only the first segment of a namespace brings about is not a segment's cost.
    drop(written()?);
    let before = namespace_bytes()?;
    let segments = (0..COUNT).map(|_| written()).collect::<Result<Vec<_>>>()?;
    let grown = namespace_bytes()?.saturating_sub(before);
    drop(segments);
    match grown.checked_sub(COUNT * LEN as u64) {
        None => Err(wrong("the segments' bytes are not in the namespace")),
        Some(beyond) => Ok(beyond / COUNT),
    }
}
