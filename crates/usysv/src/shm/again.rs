//! A segment that this process attaches again and again: the next time takes one system call.
//!
//! Linux maps a file once more from any page of it that is mapped already (`mremap` of no bytes),
//! with the flags that page was mapped with: no name is looked up and no descriptor opened. So of
//! the segment that was attached twice in a row a page stays mapped, which nobody touches. There is
//! one such page in a process, and only of a small segment ([`MOST`]): the page keeps all of the
//! segment's bytes in memory, should others remove it while this process makes no call.
//!
//! No lock: whoever swaps `base` for IN_HAND owns all that is said here until it is put back, and
//! only who means this segment, or is about to keep another one's page, does. Who uses the page of
//! a segment, or keeps one, has that segment's lock, and a removed one's is dropped
//! ([`Again::forget`]) after that was given back: so none comes back then.
//!
//! | `base` | meaning | leaves it by |
//! |---|---|---|
//! | 0 | there is no page | `attached` -> IN_HAND |
//! | IN_HAND | a thread uses it, or keeps another | that thread -> 0, an address |
//! | an address | the page | any thread -> IN_HAND |
//!
//! A child forked while a thread had it in hand does without.
#![allow(unsafe_code)]

use super::{Data, PAGE};
use crate::sys;
use core::sync::atomic::{AtomicI32, AtomicU64, AtomicUsize, Ordering::*};

/// Bytes of the largest segment of which a page is kept.
const MOST: usize = 1 << 20;

/// Which attachments are alike: the segment's id and its file, and how the bytes are mapped.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Alike {
    pub id: i32,
    pub segment: [u64; 2],
    pub prot: i32,
}

/// The page of one process.
pub(crate) struct Again {
    base: AtomicUsize,
    id: AtomicI32,
    segment: [AtomicU64; 2],
    prot: AtomicI32,
    /// Device and inode of the bytes.
    file: [AtomicU64; 2],
    /// What was last attached by its name: the id plus one, and how; 0: nothing. A hint.
    last: AtomicU64,
}

/// In `base`; addresses are multiples of a page.
const IN_HAND: usize = 1;

/// The page, in hand; 0: there is none. What it is then goes back when this goes out of scope.
struct InHand<'a> {
    again: &'a Again,
    base: usize,
}

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        self.again.base.store(self.base, Release);
    }
}

impl InHand<'_> {
    fn unmap(&mut self) {
        if self.base != 0 {
            sys::unmap(self.base as *mut u8, PAGE);
            self.base = 0;
        }
    }
}

fn pair([first, second]: &[AtomicU64; 2]) -> [u64; 2] {
    [first.load(Relaxed), second.load(Relaxed)]
}

impl Again {
    pub const fn new() -> Again {
        Again {
            base: AtomicUsize::new(0),
            id: AtomicI32::new(0),
            segment: [const { AtomicU64::new(0) }; 2],
            prot: AtomicI32::new(0),
            file: [const { AtomicU64::new(0) }; 2],
            last: AtomicU64::new(0),
        }
    }

    /// `None`: another thread has it.
    fn take(&self) -> Option<InHand<'_>> {
        let base = self.base.load(Relaxed);
        let taken = base != IN_HAND
            && self
                .base
                .compare_exchange(base, IN_HAND, Acquire, Relaxed)
                .is_ok();
        // Not made before it is taken: it would be put back.
        taken.then(|| InHand { again: self, base })
    }

    /// [`Again::take`] if it is this one's, by a look before and one after.
    fn take_if(&self, fits: impl Fn() -> bool) -> Option<InHand<'_>> {
        if self.base.load(Acquire) == 0 || !fits() {
            return None;
        }
        self.take().filter(|page| page.base != 0 && fits())
    }

    fn is_of(&self, alike: &Alike) -> bool {
        self.id.load(Relaxed) == alike.id
            && self.prot.load(Relaxed) == alike.prot
            && pair(&self.segment) == alike.segment
    }

    /// Maps a segment's bytes once more, wherever there is room: the address, and the bytes' file.
    /// `None`: by its name, then. Under the segment's lock.
    pub fn attach(&self, alike: &Alike, len: usize) -> Option<(usize, [u64; 2])> {
        let mut page = self.take_if(|| self.is_of(alike))?;
        match sys::map_again(page.base, len) {
            Ok(start) => Some((start, pair(&self.file))),
            Err(_) => {
                // What the error is, the other way tells.
                page.unmap();
                None
            }
        }
    }

    /// A segment was attached by its name: its page is kept the second time in a row. Under the
    /// segment's lock.
    pub fn attached(&self, alike: &Alike, data: &Data) {
        let now = (alike.id as u64 + 1) << 32 | alike.prot as u64;
        if self.last.swap(now, Relaxed) != now || data.is_huge || data.len > MOST {
            return;
        }
        let Some(mut page) = self.take() else {
            return;
        };
        page.unmap();
        if let Ok(base) = sys::map_page(&data.fd, alike.prot) {
            self.id.store(alike.id, Relaxed);
            self.prot.store(alike.prot, Relaxed);
            for (words, values) in [(&self.segment, alike.segment), (&self.file, data.file)] {
                for (word, value) in words.iter().zip(values) {
                    word.store(value, Relaxed);
                }
            }
            page.base = base;
        }
    }

    /// A segment was removed: no memory of it is to stay here.
    pub fn forget(&self, id: i32) {
        if let Some(mut page) = self.take_if(|| self.id.load(Relaxed) == id) {
            page.unmap();
        }
    }
}
