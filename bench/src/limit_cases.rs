//! The rows of what the machine itself takes: no message or turn is passed faster than that.

use crate::case::{Case, during, repeat, together, wrong};
use crate::posix::{self, RobustMutex};
use crate::row::{Place, Watch};
use crate::sys;
use std::hint::black_box;
use std::io::Result;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// `getppid()`
pub fn null_syscall(watch: Watch) -> Box<dyn Case> {
    repeat(watch, || {
        black_box(sys::null_syscall());
        Ok(())
    })
}

/// A robust mutex's lock and unlock.
pub fn robust_mutex(watch: Watch) -> Box<dyn Case> {
    let mutex = RobustMutex::new();
    repeat(watch, move || match mutex.lock_and_unlock() {
        true => Ok(()),
        false => Err(wrong("the mutex failed")),
    })
}

/// `mmap` and `munmap`
pub fn map(watch: Watch) -> Box<dyn Case> {
    repeat(watch, posix::map_and_unmap)
}

/// Two processes count two words up in turn, each waiting for the other's.
fn turns(
    watch: Watch,
    place: Place,
    wait: impl Fn(&AtomicU32, u32) + Copy + 'static,
    tell: impl Fn(&AtomicU32) + Copy + 'static,
) -> Result<Box<dyn Case>> {
    let (ping, pong) = posix::shared_words()?;
    let until = move |word: &AtomicU32, turn: u32| loop {
        match word.load(Ordering::Acquire) {
            now if now == turn => break,
            now => wait(word, now),
        }
    };
    let raise = move |word: &AtomicU32, turn: u32| {
        word.store(turn, Ordering::Release);
        tell(word);
    };
    let (mut their_turn, mut our_turn) = (0u32, 0u32);
    let theirs = move || {
        their_turn = their_turn.wrapping_add(1);
        until(ping, their_turn);
        raise(pong, their_turn);
        Ok(())
    };
    let ours = move || {
        our_turn = our_turn.wrapping_add(1);
        raise(ping, our_turn);
        until(pong, our_turn);
        Ok(())
    };
    together(watch, place, theirs, ours, ())
}

/// A cache line that goes there and comes back.
pub fn cache_line(watch: Watch) -> Result<Box<dyn Case>> {
    turns(watch, Place::TwoCpus, |_, _| std::hint::spin_loop(), |_| {})
}

/// A wake there and a wake back.
pub fn futex(watch: Watch, place: Place) -> Result<Box<dyn Case>> {
    turns(watch, place, posix::futex_wait, posix::futex_wake)
}

/// A process that does nothing is started and waited for.
pub fn spawn() -> Result<()> {
    let status = Command::new("/bin/true")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .map_err(during("starting /bin/true"))?;
    match status.success() {
        true => Ok(()),
        false => Err(wrong(format!("/bin/true ended with {status}"))),
    }
}

/// As many bytes are copied as a message's twice.
pub fn copy_twice(watch: Watch, len: usize) -> Box<dyn Case> {
    // Not at the same offset of a page each: a copy between such places is held up by the processor.
    let apart = len + 1024 + 64;
    let mut memory = vec![1u8; 3 * apart];
    repeat(watch, move || {
        // A queue learns the length at run time, so the compiler must not know it here either.
        let len = black_box(len);
        memory.copy_within(..len, apart);
        black_box(&mut memory);
        memory.copy_within(apart..apart + len, 2 * apart);
        black_box(&mut memory);
        Ok(())
    })
}
