//! Which id a key had when this process last asked: so that `get` calls need not ask the directory.
//!
//! A hint and no more: the caller looks whether the object with that id, which it has mapped, still
//! lives and has this key, and asks the directory if not. An object that lives has its key's link:
//! that goes only after the object was marked. But whoever removes a namespace's files by hand marks
//! nothing, so an answer is good for [`GOOD_MS`] only.
//!
//! A place is two words that are not written together: the second says at most that another key of
//! this place was asked for later than this one.

use crate::sys;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

const PLACES: usize = 64;
const GOOD_MS: u64 = 10;

/// The keys of one kind of objects.
pub(crate) struct Keys([Place; PLACES]);

struct Place {
    /// The key, and below it the id plus one; 0: nothing.
    known: AtomicU64,
    /// When the directory was asked, in monotonic milliseconds.
    asked: AtomicU64,
}

impl Keys {
    pub const fn new() -> Keys {
        let places = [const {
            Place {
                known: AtomicU64::new(0),
                asked: AtomicU64::new(0),
            }
        }; PLACES];
        Keys(places)
    }

    fn place(&self, key: i32) -> &Place {
        // Keys of `ftok` differ in the bits of inode and project, those of programs in the lowest.
        let mixed = (key as u32).wrapping_mul(0x9e37_79b9) >> 26;
        &self.0[mixed as usize % PLACES]
    }

    /// The id that a key had a moment ago, if that is known.
    pub fn get(&self, key: i32) -> Option<i32> {
        let place = self.place(key);
        let known = place.known.load(Relaxed);
        let id = (known as u32).checked_sub(1)?;
        let is_it = (known >> 32) as u32 == key as u32;
        let good = || sys::monotonic_ms().wrapping_sub(place.asked.load(Relaxed)) < GOOD_MS;
        (is_it && good()).then_some(id as i32)
    }

    /// The directory was asked: the id of this key.
    pub fn keep(&self, key: i32, id: i32) {
        let place = self.place(key);
        place.asked.store(sys::monotonic_ms(), Relaxed);
        let known = u64::from(key as u32) << 32 | u64::from(id as u32 + 1);
        place.known.store(known, Relaxed);
    }
}
