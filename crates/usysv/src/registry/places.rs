//! The hints of one kind in `counters`: which indexes are in use, and which one is next.
//!
//! They change under the name lock, but for a bit of `lingering`; whoever holds it after a death makes
//! them anew from the directory. What they say is checked there.

use super::Plan;
use crate::abi::IPCMNI;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::*};

pub(super) const PLACES: usize = IPCMNI as usize;
/// `ids->seq` wraps here, so that ids stay positive.
const SEQUENCES: u32 = 65536;
/// The kernel reuses no index before it gave out this many (`ipc_min_cycle`).
const MIN_CYCLE: u32 = 64;

#[repr(C)]
pub(super) struct Places {
    /// The index given out last, plus one; 0: none yet.
    pub(super) last: AtomicU32,
    pub(super) sequence: AtomicU32,
    /// Units of all objects: semaphores, or pages. A hint, like the map.
    pub(super) units: AtomicU64,
    /// How many bits are set in `used`.
    pub(super) in_use: AtomicU32,
    reserved2: AtomicU32,
    reserved: [AtomicU64; 5],
    pub(super) used: [AtomicU64; PLACES / 64],
    /// Removed segments that were attached when somebody last looked. The bit is set before the
    /// removal's commit, under the object's lock, and cleared under the name lock, when the names
    /// are gone, or under the object's, when it is not removed.
    ///
    /// A place that lingers and is not used: the name of a removed object that belongs to a user
    /// who has not come by yet. It counts for nothing, and goes with the next look that may.
    pub(super) lingering: [AtomicU64; PLACES / 64],
}

impl Places {
    pub(super) fn set_used(&self, index: u32, used: bool) {
        if let Some(word) = self.used.get(index as usize / 64) {
            let bit = 1 << (index % 64);
            let old = word.load(Relaxed);
            let new = if used { old | bit } else { old & !bit };
            word.store(new, Relaxed);
            let in_use = self.in_use.load(Relaxed).wrapping_add(new.count_ones());
            self.in_use
                .store(in_use.wrapping_sub(old.count_ones()), Relaxed);
        }
    }

    pub(super) fn is_used(&self, index: u32) -> bool {
        let word = self.used.get(index as usize / 64);
        word.is_some_and(|word| word.load(Relaxed) >> (index % 64) & 1 != 0)
    }

    /// Whether only the name of a removed object is here.
    pub(super) fn is_left(&self, index: u32) -> bool {
        let word = self.lingering.get(index as usize / 64);
        let lingers = word.is_some_and(|word| word.load(Relaxed) >> (index % 64) & 1 != 0);
        lingers && !self.is_used(index)
    }

    /// How many objects there are, if the limits allow another.
    pub(super) fn room(&self, plan: &Plan<'_>) -> Option<u32> {
        let units = self.units.load(Relaxed).checked_add(plan.units)?;
        let in_use = self.in_use.load(Relaxed);
        (u64::from(in_use) < plan.most && units <= plan.most_units).then_some(in_use)
    }

    /// The first free index from `start` on, below `end`.
    fn free_from(&self, start: u32, end: u32) -> Option<u32> {
        let mut index = start;
        while index < end {
            let word = self.used.get(index as usize / 64)?.load(Relaxed) >> (index % 64);
            if word & 1 == 0 {
                return Some(index);
            }
            index += (!word).trailing_zeros().min(64 - index % 64);
        }
        None
    }

    /// The index and sequence number of the next object, as the kernel's cyclic allocation; what
    /// lies before `from` comes last.
    pub(super) fn next(&self, in_use: u32, from: u32) -> Option<(u32, u32)> {
        let end = (in_use.saturating_mul(3) / 2).clamp(MIN_CYCLE, IPCMNI as u32);
        let last = self.last.load(Relaxed).min(IPCMNI as u32);
        let index = self
            .free_from(from, end)
            .or_else(|| self.free_from(0, end))?;
        let sequence = self.sequence.load(Relaxed) % SEQUENCES;
        Some((
            index,
            if index < last {
                (sequence + 1) % SEQUENCES
            } else {
                sequence
            },
        ))
    }
}
