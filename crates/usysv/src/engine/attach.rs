//! Attaching and detaching, and what else changes the attachments of this process.
#![allow(unsafe_code)]

use super::Engine;
use crate::abi::{SHM_EXEC, SHM_RDONLY, SHM_REMAP, SHM_RND};
use crate::crash::crashpoint;
use crate::creds::Creds;
use crate::errno::{Errno, Result};
use crate::object::{Kind, index_of};
use crate::process;
use crate::shm::owner;
use crate::shm::pieces::{Guard, HUGE_PAGES, NO_SLOT, Part};
use crate::shm::{self, Held, Locked, PAGE};
use crate::sys;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// So many times this process and those that it was forked by have attached.
static ATTACHES: AtomicU32 = AtomicU32::new(0);

/// Where `shmat` is to attach.
struct Place {
    addr: usize,
    /// `MAP_*` besides `MAP_SHARED`.
    how: i32,
}

impl Place {
    /// Checks the address as the kernel does.
    fn of(addr: usize, flags: i32) -> Result<Place> {
        let remap = flags & SHM_REMAP != 0;
        if addr == 0 {
            let how = 0;
            return if remap {
                Err(Errno::EINVAL)
            } else {
                Ok(Place { addr, how })
            };
        }
        let mut addr = addr;
        if !addr.is_multiple_of(PAGE) {
            if flags & SHM_RND == 0 {
                return Err(Errno::EINVAL);
            }
            addr &= !(PAGE - 1);
            if addr == 0 && remap {
                return Err(Errno::EINVAL);
            }
        }
        let how = if remap {
            libc::MAP_FIXED
        } else {
            libc::MAP_FIXED_NOREPLACE
        };
        Ok(Place { addr, how })
    }
}

/// A segment's bytes, mapped.
struct Mapped {
    start: usize,
    len: usize,
    file: [u64; 2],
    /// For a piece's flags.
    kind: u32,
}

fn prot_of(flags: i32) -> i32 {
    let mut prot = libc::PROT_READ;
    if flags & SHM_RDONLY == 0 {
        prot |= libc::PROT_WRITE;
    }
    if flags & SHM_EXEC != 0 {
        prot |= libc::PROT_EXEC;
    }
    prot
}

impl Engine {
    /// `shmat`: see the trait.
    pub(super) fn attach_segment(&self, shmid: i32, addr: usize, flags: i32) -> Result<usize> {
        if shmid < 0 {
            return Err(Errno::EINVAL);
        }
        let place = Place::of(addr, flags)?;
        let kept_free = self.keep_free(shmid, &place);
        let attached = self.attach_at(shmid, &place, kept_free, flags);
        if attached.is_err() && kept_free != 0 {
            sys::unmap(place.addr as *mut u8, kept_free);
        }
        attached.map_err(super::shm::gone)
    }

    /// Keeps the place of a segment free of the engine's own mappings. Bytes kept: 0 if the place
    /// is taken, or the system's to choose.
    fn keep_free(&self, shmid: i32, place: &Place) -> usize {
        if place.how != libc::MAP_FIXED_NOREPLACE {
            return 0;
        }
        let data = self.ns.stat_data_of(index_of(shmid));
        let len = data.map_or(0, |st| st.st_size as usize);
        match sys::keep_free(place.addr, len) {
            Ok(at) if at == place.addr => len,
            // A kernel that does not know the flag took it elsewhere.
            Ok(at) => {
                sys::unmap(at as *mut u8, len);
                0
            }
            Err(_) => 0,
        }
    }

    fn attach_at(&self, shmid: i32, place: &Place, kept_free: usize, flags: i32) -> Result<usize> {
        let first = self.pieces.owner() == 0;
        let guard = self.own_pieces()?;
        let at = guard.reserve(&self.ns)?;
        let mut part = None;
        self.on_segment(shmid, |segment| {
            if first {
                // Records of the image before an exec end before this one's begin.
                segment.look()?;
            }
            if segment.is_dest() && segment.is_over()? {
                segment.destroy();
                return Err(Errno::EINVAL);
            }
            let place = match kept_free {
                0 => place,
                _ => &Place {
                    addr: place.addr,
                    how: libc::MAP_FIXED,
                },
            };
            part = Some(self.attach_here(segment, &guard, at, place, flags, kept_free)?);
            Ok(())
        })?;
        let part = part.ok_or(Errno::EIO)?;
        if place.how == libc::MAP_FIXED {
            self.taken(&guard, part.start, part.len, Some(at));
        }
        Ok(part.start)
    }

    fn attach_here(
        &self,
        segment: &mut Locked<'_>,
        guard: &Guard<'_>,
        at: usize,
        place: &Place,
        flags: i32,
        kept_free: usize,
    ) -> Result<Part> {
        let prot = prot_of(flags);
        let mut asked = if flags & SHM_RDONLY != 0 {
            0o444
        } else {
            0o666
        };
        if flags & SHM_EXEC != 0 {
            asked |= 0o111;
        }
        if !Creds::current().may(&segment.owned(), asked) {
            return Err(Errno::EACCES);
        }
        let mapped = match place.how {
            0 => self.map_again(segment, prot),
            _ => None,
        };
        let mapped = match mapped {
            Some(mapped) => mapped,
            None => self.map_by_name(segment, place, flags, kept_free)?,
        };
        let Mapped {
            start,
            len,
            file,
            kind,
        } = mapped;
        crashpoint!("shm.attach.mapped");
        let mut part = Part {
            id: segment.id(),
            slot: NO_SLOT,
            attach: ATTACHES.fetch_add(1, Relaxed),
            flags: prot as u32 | kind,
            start,
            len,
            base: start,
            size: len,
            file,
        };
        match self.count_in(segment, &part, at) {
            Ok(slot) => part.slot = slot,
            Err(e) => {
                sys::unmap(start as *mut u8, len);
                return Err(e);
            }
        }
        crashpoint!("shm.attach.counted");
        guard.keep(at, &part);
        Ok(part)
    }

    /// Maps a segment as it was mapped before, if it was.
    fn map_again(&self, segment: &Locked<'_>, prot: i32) -> Option<Mapped> {
        let len = shm::whole_pages(segment.size())?;
        let (start, file) = self.pieces.again.attach(&segment.alike(prot), len)?;
        Some(Mapped {
            start,
            len,
            file,
            kind: 0,
        })
    }

    fn map_by_name(
        &self,
        segment: &Locked<'_>,
        place: &Place,
        flags: i32,
        kept_free: usize,
    ) -> Result<Mapped> {
        let prot = prot_of(flags);
        let data = segment.open_data(flags & SHM_RDONLY == 0)?;
        if place.addr.checked_add(segment.size()).is_none() && flags & SHM_REMAP == 0 {
            return Err(Errno::EINVAL);
        }
        let len = data.len;
        if kept_free != 0 && kept_free != len {
            return Err(Errno::EIDRM);
        }
        // What `shmget` did not reserve, of huge pages, the kernel's `shmat` does not either.
        let how = place.how | libc::MAP_NORESERVE;
        // SAFETY: without SHM_REMAP nothing is replaced but what was kept free; with it the caller of `shmat` promised
        // that nobody uses what is.
        let start = match unsafe { sys::map_at(place.addr, len, prot, how, &data.fd) } {
            Err(Errno::EEXIST) => return Err(Errno::EINVAL),
            other => other?,
        };
        if place.how != 0 && start != place.addr {
            sys::unmap(start as *mut u8, len);
            return Err(Errno::EINVAL);
        }
        if place.how == 0 && !segment.is_dest() {
            self.pieces.again.attached(&segment.alike(prot), &data);
        }
        Ok(Mapped {
            start,
            len,
            file: data.file,
            kind: if data.is_huge { HUGE_PAGES } else { 0 },
        })
    }

    /// Adds a piece of this process to a segment's records.
    fn count_in(&self, segment: &mut Locked<'_>, part: &Part, at: usize) -> Result<u32> {
        let held = Held {
            owner: process::identity()?,
            bell: owner::bell(&self.ns),
            addr: part.start,
            len: part.len,
            piece: at as u32,
        };
        // Whoever died before was the last to use it only until now.
        segment.sweep()?;
        // The caller, who may be a vfork child in its parent's memory.
        segment.add(held, sys::getpid())
    }

    /// `shmdt`: see the trait.
    pub(super) fn detach_segment(&self, addr: usize) -> Result<()> {
        if self.pieces.is_empty() || !addr.is_multiple_of(PAGE) {
            return Err(Errno::EINVAL);
        }
        let guard = self.own_pieces()?;
        // The lowest one says which segment: another may have been attached over its beginning.
        let (mut lowest, mut from) = (None::<Part>, 0);
        while let Some((at, part)) = guard.pieces.find(from, |part| part.base == addr) {
            lowest = lowest.filter(|low| low.start < part.start).or(Some(part));
            from = at + 1;
        }
        let first = lowest.ok_or(Errno::EINVAL)?;
        // The first one always, of the others those that end within the segment's size.
        let goes = |part: &Part| {
            let ends_within = part.end().wrapping_sub(addr) <= part.size;
            (part.base, part.attach) == (addr, first.attach)
                && (ends_within || part.start == first.start)
        };
        from = 0;
        while let Some((at, part)) = guard.pieces.find(from, goes) {
            from = at + 1;
            // Nobody uses the attachment any more, says the caller of `shmdt`. What is sealed stays.
            if sys::munmap(part.start as *mut u8, part.len).is_ok() {
                crashpoint!("shm.detach.unmapped");
                self.let_go(&guard, at, &part);
            }
        }
        Ok(())
    }

    /// A piece is not mapped any more.
    fn let_go(&self, guard: &Guard<'_>, at: usize, part: &Part) {
        if part.slot == NO_SLOT {
            guard.drop_piece(at);
            return;
        }
        let done = self.on_segment(part.id, |segment| {
            // As in `count_in`.
            segment.sweep()?;
            guard.drop_piece(at);
            crashpoint!("shm.detach.dropped");
            segment.free(part.slot, sys::getpid())?;
            if segment.is_dest() {
                // Whoever has it last need not tell.
                self.pieces.again.forget(part.id);
            }
            if segment.is_over()? {
                segment.destroy();
            }
            Ok(())
        });
        if done.is_err() {
            // The segment's file is not what it was: whoever looks there finds no record.
            guard.drop_piece(at);
        }
    }

    /// Calls `f` with a segment, locked, and ends a segment that `f` left as removed.
    pub(super) fn on_segment<T>(
        &self,
        shmid: i32,
        f: impl FnOnce(&mut Locked<'_>) -> Result<T>,
    ) -> Result<T> {
        self.on(Kind::Shm, shmid, |pin| self.on_pinned(pin, f))
    }

    pub(super) fn on_pinned<T>(
        &self,
        pin: &crate::handle::Pin<'_>,
        f: impl FnOnce(&mut Locked<'_>) -> Result<T>,
    ) -> Result<T> {
        let mut segment = shm::lock(&self.ns, &self.pieces, pin)?;
        let result = f(&mut segment);
        drop(segment);
        if crate::object::is_removed(pin) {
            self.forget(Kind::Shm, pin);
        }
        result
    }

    /// The table of this process's attachments, locked, and right after a fork.
    pub(super) fn own_pieces(&self) -> Result<Guard<'_>> {
        // Claimed here, while no segment is locked.
        owner::bell(&self.ns);
        let guard = self.pieces.lock()?;
        if !self.pieces.is_empty() && self.pieces.owner() != process::generation() {
            self.inherit(&guard);
        }
        Ok(guard)
    }

    /// A process that was forked makes itself known before it looks at counts.
    pub(super) fn know_own(&self) -> Result<()> {
        process::thread()?;
        if !self.pieces.is_empty() && self.pieces.owner() != process::generation() {
            drop(self.own_pieces()?);
        }
        Ok(())
    }

    /// A range of memory was unmapped, or something else lies there now.
    pub(super) fn taken(&self, guard: &Guard<'_>, start: usize, len: usize, but: Option<usize>) {
        let end = start.saturating_add(len);
        self.cut(guard, start, but);
        self.cut(guard, end, but);
        let mut from = 0;
        while let Some((at, part)) = guard
            .pieces
            .find(from, |part| part.start >= start && part.end() <= end)
        {
            if Some(at) != but {
                self.let_go(guard, at, &part);
            }
            from = at + 1;
        }
    }

    /// Makes two pieces of one that `address` lies within.
    pub(super) fn cut(&self, guard: &Guard<'_>, address: usize, but: Option<usize>) {
        let mut from = 0;
        while let Some((at, part)) = guard
            .pieces
            .find(from, |part| part.start < address && address < part.end())
        {
            if Some(at) != but {
                self.cut_piece(guard, at, &part, address);
            }
            from = at + 1;
        }
    }

    fn cut_piece(&self, guard: &Guard<'_>, at: usize, part: &Part, address: usize) {
        let Ok(place) = guard.reserve(&self.ns) else {
            return;
        };
        let mut tail = Part {
            start: address,
            len: part.end() - address,
            slot: NO_SLOT,
            ..*part
        };
        let head = address - part.start;
        let counted = self.on_segment(part.id, |segment| {
            tail.slot = self.count_in(segment, &tail, place)?;
            crashpoint!("shm.cut.counted");
            segment.change(part.slot, part.start, head)?;
            guard.keep(place, &tail);
            Ok(())
        });
        if counted.is_err() {
            guard.keep(place, &tail);
        }
        crashpoint!("shm.cut.kept");
        guard.lay(at, part.start, head);
    }

    /// Two pieces that lie side by side meet at another address.
    pub(super) fn move_border(
        &self,
        guard: &Guard<'_>,
        (lower_at, lower): (usize, &Part),
        (upper_at, upper): (usize, &Part),
        border: usize,
    ) {
        let (head, tail) = (border - lower.start, upper.end() - border);
        guard.lay(lower_at, lower.start, head);
        guard.lay(upper_at, border, tail);
        crashpoint!("shm.border.laid");
        for (slot, start, len) in [(lower.slot, lower.start, head), (upper.slot, border, tail)] {
            if slot != NO_SLOT {
                // As in `moved`. Both addresses are the attachment's, the old and the new ones.
                let _ = self.on_segment(lower.id, |segment| segment.change(slot, start, len));
            }
        }
    }

    /// The memory of a piece was moved by `mremap`.
    pub(super) fn moved(
        &self,
        guard: &Guard<'_>,
        at: usize,
        part: &Part,
        start: usize,
        len: usize,
    ) {
        let offset = part.start.wrapping_sub(part.base);
        crashpoint!("shm.moved.mapped");
        guard.lay(at, start, len);
        guard.rebase(at, start.wrapping_sub(offset));
        if part.slot != NO_SLOT {
            // A segment that cannot be reached keeps the old address, which only an exec asks for.
            let _ = self.on_segment(part.id, |segment| {
                segment.stamp_moved(sys::getpid());
                segment.change(part.slot, start, len)
            });
        }
    }

    /// The memory of a piece was mapped a second time by `mremap`.
    pub(super) fn doubled(
        &self,
        guard: &Guard<'_>,
        part: &Part,
        old: usize,
        start: usize,
        len: usize,
    ) {
        let Ok(place) = guard.reserve(&self.ns) else {
            return;
        };
        let offset = old.wrapping_sub(part.base);
        let mut copy = Part {
            start,
            len,
            base: start.wrapping_sub(offset),
            slot: NO_SLOT,
            ..*part
        };
        let counted = self.on_segment(part.id, |segment| {
            copy.slot = self.count_in(segment, &copy, place)?;
            crashpoint!("shm.doubled.counted");
            guard.keep(place, &copy);
            Ok(())
        });
        if counted.is_err() {
            guard.keep(place, &copy);
        }
    }
}
