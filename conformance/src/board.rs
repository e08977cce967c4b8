//! What a player (a child process or a thread) shows to the others: memory that outlives its
//! death and needs no file descriptor. The player alone writes; everybody may read.
#![allow(unsafe_code)]

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicU8, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Bytes of transcript that one player can leave.
const ROOM: usize = 256 * 1024;

/// How long a player waits for another's step before it calls the scenario broken.
const PATIENCE: Duration = Duration::from_secs(10);

/// One player's board.
#[repr(C)]
pub struct Board {
    /// Its thread id, once it plays.
    pub tid: AtomicI32,
    /// Calls that it has begun.
    pub entered: AtomicU32,
    /// Calls that have returned.
    pub returned: AtomicU32,
    /// Values that it has told.
    pub told: AtomicU32,
    /// The last of them.
    pub value: AtomicI64,
    /// A door that others wait at.
    pub open: AtomicBool,
    length: AtomicU32,
    text: [AtomicU8; ROOM],
}

impl Board {
    /// A fresh board, shared with the children made from now on; it lives as long as they do.
    pub fn new() -> &'static Board {
        // SAFETY: a fresh anonymous mapping touches no memory that anyone else knows.
        let map = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size_of::<Board>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        assert_ne!(map, libc::MAP_FAILED, "no memory for a board");
        // SAFETY: zeroed, page-aligned, large enough, never unmapped, and all fields are atomics,
        // for which zeros are a value.
        unsafe { &*map.cast::<Board>() }
    }

    /// Adds a line to the player's transcript.
    pub fn write(&self, line: &str) {
        let start = self.length.load(Ordering::Relaxed) as usize;
        let end = start + line.len() + 1;
        assert!(end <= ROOM, "a player says too much");
        for (cell, byte) in self.text[start..].iter().zip(line.bytes().chain([b'\n'])) {
            cell.store(byte, Ordering::Relaxed);
        }
        // Pairs with the load in `lines`.
        self.length.store(end as u32, Ordering::Release);
    }

    /// The player's transcript so far.
    pub fn lines(&self) -> Vec<String> {
        let length = self.length.load(Ordering::Acquire) as usize;
        let bytes: Vec<u8> = self.text[..length]
            .iter()
            .map(|cell| cell.load(Ordering::Relaxed))
            .collect();
        String::from_utf8_lossy(&bytes)
            .lines()
            .map(str::to_owned)
            .collect()
    }
}

/// Polls every millisecond until `answer` has one; panics with `what` when patience ends.
#[track_caller]
pub fn poll<T>(what: &str, mut answer: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = answer() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}
