//! Whether those who use a namespace are of one pid namespace, or of several: the number in a lock's
//! word may then be of a thread that cannot be seen from here.
//!
//! A word of the namespace's says so. A process stores its own before it takes its first lock there:
//! when it opens the namespace, and, as a fork child may be of another pid namespace than its parent,
//! when it first asks who it is (`process`). Nobody takes it back: a process that ended may have
//! children.
//!
//! | word | meaning | leaves it by |
//! |---|---|---|
//! | 0, or nonsense | nobody came so far | `enter` -> MARK, inode |
//! | MARK, inode | all are of this pid namespace | `enter` of another -> MIXED |
//! | MARK, 0 (MIXED) | they are of several, or do not know | never |
//!
//! Whoever can write the word can make it MIXED, or nonsense: locks that name nobody are then waited
//! for, or those that name a stranger taken. Its value alone is hard to hit by chance.
//!
//! Model: `models/lock.rs`.

use core::sync::atomic::{AtomicU64, Ordering::*, fence};

/// In the upper half.
const MARK: u64 = (u32::from_le_bytes(*b"pids") as u64) << 32;
const MIXED: u64 = MARK;

/// The word, in shared memory.
#[repr(transparent)]
pub(crate) struct Word(AtomicU64);

impl Word {
    /// A process of the pid namespace with this inode comes; 0: it does not know. Before its first
    /// lock.
    pub fn enter(&self, inode: u64) {
        let mine = MARK | inode & u64::from(u32::MAX);
        let mut seen = self.0.load(Relaxed);
        while seen != mine && seen != MIXED {
            let is_others = seen & !u64::from(u32::MAX) == MARK;
            let next = if is_others { MIXED } else { mine };
            match self.0.compare_exchange(seen, next, Relaxed, Relaxed) {
                Ok(_) => break,
                Err(other) => seen = other,
            }
        }
        // Pairs with the one in `is_mixed`: who sees a lock that was taken behind this sees the word.
        fence(Release);
    }

    /// Whether they are of several. After a look at a lock's word.
    pub fn is_mixed(&self) -> bool {
        fence(Acquire);
        self.0.load(Relaxed) == MIXED
    }
}
