//! What the program's own memory calls do to attachments: for the library that stands in front of
//! `munmap`, `mmap`, `mremap`, `mprotect`, `mlock` and `madvise`.

use super::Engine;
use crate::maps;
use crate::shm::pieces::{DONT_FORK, Guard, Part};
use crate::sys;

/// The attachments of this process, held still while a memory call runs.
pub struct Changing<'a> {
    engine: &'a Engine,
    guard: Guard<'a>,
}

/// What a call changes of a mapping without moving it, as bits of our own.
#[derive(Clone, Copy, Debug)]
pub struct Flags {
    /// The bits that it sets, and those that it takes away.
    pub set: u32,
    /// See `set`.
    pub clear: u32,
}

const LOCKED: u32 = 1 << 9;
const ON_FAULT: u32 = 1 << 15;

impl Flags {
    /// `mprotect`.
    pub fn protection(prot: i32) -> Flags {
        let set = prot as u32 & 7;
        Flags {
            set,
            clear: 7 & !set,
        }
    }

    /// `mlock`, `munlock`.
    pub fn locked(locked: bool) -> Flags {
        match locked {
            true => Flags {
                set: LOCKED,
                clear: ON_FAULT,
            },
            false => Flags {
                set: 0,
                clear: LOCKED | ON_FAULT,
            },
        }
    }

    /// `mlock2`.
    pub fn locked_by(flags: u32) -> Flags {
        match flags & libc::MLOCK_ONFAULT {
            0 => Flags::locked(true),
            _ => Flags {
                set: LOCKED | ON_FAULT,
                clear: 0,
            },
        }
    }

    /// `madvise`, where the advice stays with the mapping.
    pub fn advice(advice: i32) -> Option<Flags> {
        const RANDOM: u32 = 1 << 10;
        const SEQUENTIAL: u32 = 1 << 11;
        const DONT_DUMP: u32 = 1 << 12;
        const HUGE: u32 = 1 << 13;
        const NO_HUGE: u32 = 1 << 14;
        let (set, clear) = match advice {
            libc::MADV_NORMAL => (0, RANDOM | SEQUENTIAL),
            libc::MADV_RANDOM => (RANDOM, SEQUENTIAL),
            libc::MADV_SEQUENTIAL => (SEQUENTIAL, RANDOM),
            libc::MADV_DONTFORK => (DONT_FORK, 0),
            libc::MADV_DOFORK => (0, DONT_FORK),
            libc::MADV_DONTDUMP => (DONT_DUMP, 0),
            libc::MADV_DODUMP => (0, DONT_DUMP),
            libc::MADV_HUGEPAGE => (HUGE, NO_HUGE),
            libc::MADV_NOHUGEPAGE => (NO_HUGE, HUGE),
            _ => return None,
        };
        Some(Flags { set, clear })
    }
}

impl Engine {
    /// `None`: no attachment lies in the range. Otherwise the call may be made, and what it did
    /// has to be told.
    #[inline]
    pub fn changing(&self, start: usize, len: usize) -> Option<Changing<'_>> {
        if !self.pieces.touches(start, len) {
            return None;
        }
        let guard = self.own_pieces().ok()?;
        Some(Changing {
            engine: self,
            guard,
        })
    }
}

fn whole(len: usize) -> usize {
    crate::shm::whole_pages(len).unwrap_or(usize::MAX)
}

impl Changing<'_> {
    /// The range was unmapped, or mapped over.
    pub fn taken(&self, start: usize, len: usize) {
        self.engine.taken(&self.guard, start, whole(len), None);
    }

    /// The range's mappings have these flags now; holes in it are passed over.
    pub fn flagged(&self, start: usize, len: usize, flags: Flags) {
        let end = start.saturating_add(whole(len));
        let mut from = start;
        while let Some((at, part)) = self.lowest_within(from, end) {
            let last = part.end().min(end);
            self.flag(at, &part, part.start.max(from), last, flags);
            from = last;
        }
    }

    /// `mprotect` failed, at a hole or at what may not be so: what lies before that is changed.
    pub fn partly_protected(&self, start: usize, len: usize, prot: i32) {
        let end = start.saturating_add(whole(len));
        // The process's own map is empty once its first thread has ended.
        let changed = maps::protected_from(sys::gettid(), start, end, prot);
        self.flagged(start, changed, Flags::protection(prot));
    }

    fn lowest_within(&self, start: usize, end: usize) -> Option<(usize, Part)> {
        let (mut lowest, mut from) = (None::<(usize, Part)>, 0);
        // Of an empty range nothing, also where a piece goes on over its place.
        let within = |part: &Part| start < end && part.start < end && part.end() > start;
        while let Some((at, part)) = self.guard.pieces.find(from, within) {
            lowest = lowest
                .filter(|(_, low)| low.start < part.start)
                .or(Some((at, part)));
            from = at + 1;
        }
        lowest
    }

    /// Changes a piece's flags from `start` to `end`. As Linux does since 6.4 (`vma_modify`): at the
    /// side of a piece of the same attachment that has these flags already, the border between the
    /// two moves; elsewhere pieces are cut. Two never become one.
    fn flag(&self, at: usize, part: &Part, start: usize, end: usize, flags: Flags) {
        let new = part.flags & !flags.clear | flags.set;
        if new == part.flags {
            return;
        }
        let (head, tail) = (start == part.start, end == part.end());
        let alike =
            |other: &Part| (other.flags, other.attach, other.base) == (new, part.attach, part.base);
        let beside = match (head, tail) {
            (true, false) => self.find(|other| other.end() == start && alike(other)),
            (false, true) => self.find(|other| other.start == end && alike(other)),
            _ => None,
        };
        match beside {
            Some((before, lower)) if head => {
                let (lower, upper) = ((before, &lower), (at, part));
                self.engine.move_border(&self.guard, lower, upper, end);
            }
            Some((after, upper)) => {
                let (lower, upper) = ((at, part), (after, &upper));
                self.engine.move_border(&self.guard, lower, upper, start);
            }
            None => {
                self.engine.cut(&self.guard, start, None);
                self.engine.cut(&self.guard, end, None);
                let cut = |part: &Part| (part.start, part.end()) == (start, end);
                if let Some((at, _)) = self.find(cut) {
                    self.guard.set_flags(at, new);
                }
            }
        }
    }

    fn find(&self, fits: impl Fn(&Part) -> bool) -> Option<(usize, Part)> {
        self.guard.pieces.find(0, fits)
    }

    /// `mremap` moved or resized what was at `old`; with `kept` it is there as well.
    pub fn moved(&self, old: (usize, usize), new: (usize, usize), kept: bool) {
        let ((old, old_len), (new, new_len)) = ((old.0, whole(old.1)), (new.0, whole(new.1)));
        if old_len == 0 || kept {
            self.engine.taken(&self.guard, new, new_len, None);
            let found = self
                .guard
                .pieces
                .find(0, |part| part.start <= old && old < part.end());
            if let Some((_, part)) = found {
                self.engine.doubled(&self.guard, &part, old, new, new_len);
            }
            return;
        }
        if new == old && new_len <= old_len {
            let (from, len) = (old + new_len, old_len - new_len);
            self.engine.taken(&self.guard, from, len, None);
            return;
        }
        if new != old {
            // Only what it was moved onto: the two ranges never overlap.
            self.engine.taken(&self.guard, new, new_len, None);
            self.engine.cut(&self.guard, old, None);
            self.engine.cut(&self.guard, old + old_len, None);
        }
        let mut from = 0;
        let end = old + old_len;
        while let Some((at, part)) = self
            .guard
            .pieces
            .find(from, |part| part.start >= old && part.end() <= end)
        {
            from = at + 1;
            let start = part.start - old + new;
            let last = part.end() == end;
            let most = (new + new_len).saturating_sub(start);
            let len = if last { most } else { part.len.min(most) };
            if len == 0 {
                self.engine.taken(&self.guard, part.start, part.len, None);
            } else {
                self.engine.moved(&self.guard, at, &part, start, len);
            }
        }
    }
}
