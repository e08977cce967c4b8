//! What the program's own memory calls do to attachments: for the library that stands in front of
//! `munmap`, `mmap`, `mremap`, `mprotect`, `mlock` and `madvise`.

use super::Engine;
use crate::shm::pieces::{DONT_FORK, Guard};

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
        const LOCKED: u32 = 1 << 9;
        match locked {
            true => Flags {
                set: LOCKED,
                clear: 0,
            },
            false => Flags {
                set: 0,
                clear: LOCKED,
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

    /// The range's mappings have these flags now.
    pub fn flagged(&self, start: usize, len: usize, flags: Flags) {
        let end = start.saturating_add(whole(len));
        let change = |old: u32| old & !flags.clear | flags.set;
        for address in [start, end] {
            let within = |part: &crate::shm::pieces::Part| {
                part.start < address && address < part.end() && change(part.flags) != part.flags
            };
            if self.guard.pieces.find(0, within).is_some() {
                self.engine.cut(&self.guard, address, None);
            }
        }
        let mut from = 0;
        while let Some((at, part)) = self
            .guard
            .pieces
            .find(from, |part| part.start >= start && part.end() <= end)
        {
            self.guard.set_flags(at, change(part.flags));
            from = at + 1;
        }
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
