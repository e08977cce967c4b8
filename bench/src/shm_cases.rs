//! Shared memory: what a worker does for its rows.

use crate::case::{Case, during, repeat, wrong};
use crate::row::Watch;
use crate::sleepers::Sleepers;
use crate::sys::{self, Attached};
use std::io::Result;
use std::time::Duration;

/// A segment that is removed when it goes out of scope.
pub struct Segment(i32);

impl Segment {
    /// A new one of so many bytes.
    pub fn of(size: usize) -> Result<Segment> {
        sys::shmget(size).map(Segment).map_err(during("shmget"))
    }

    /// The segment's id. A closure must ask here, or it captures a copy and leaves the segment.
    pub fn id(&self) -> i32 {
        self.0
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        if let Err(error) = sys::remove_segment(self.0) {
            eprintln!("usysv-bench: cannot remove segment {}: {error}", self.0);
        }
    }
}

/// `shmat` and `shmdt` of 64 KiB.
pub fn attach(watch: Watch) -> Result<Box<dyn Case>> {
    let segment = Segment::of(64 << 10)?;
    Ok(repeat(watch, move || {
        Attached::to(segment.id(), 64 << 10).map(drop)
    }))
}

/// Fills a megabyte of an attached segment.
pub fn fill(watch: Watch) -> Result<Box<dyn Case>> {
    const LEN: usize = 1 << 20;
    let segment = Segment::of(LEN)?;
    let mut attached = Attached::to(segment.id(), LEN)?;
    let mut byte = 0u8;
    Ok(repeat(watch, move || {
        let _kept = &segment;
        byte = byte.wrapping_add(1);
        attached.fill(byte);
        Ok(())
    }))
}

/// `IPC_STAT` of a segment that so many other processes have attached.
pub fn stat(watch: Watch, attachers: usize) -> Result<Box<dyn Case>> {
    let segment = Segment::of(4096)?;
    let sleepers = Sleepers::start(attachers, |_| {
        let _kept = Attached::to(segment.id(), 4096)?;
        std::thread::sleep(Duration::MAX);
        Ok(())
    })?;
    for _ in 0..1000 {
        if sys::attachers(segment.id())? == attachers {
            return Ok(repeat(watch, move || {
                let _kept = &sleepers;
                match sys::attachers(segment.id())? == attachers {
                    true => Ok(()),
                    false => Err(wrong("an attacher is gone")),
                }
            }));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Err(wrong(format!("{attachers} processes do not all attach")))
}
