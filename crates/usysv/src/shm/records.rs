//! The records of attachments, under the segment's lock. Model: `models/segment.rs`.

use super::layout::{self, FREE, HELD, Record};
use super::owner;
use super::{Locked, PAGE};
use crate::crash::crashpoint;
use crate::errno::{Errno, Result};
use crate::liveness::{is_foreign, process_lives};
use crate::object::{Kind, REMOVED, index_of};
use crate::process::{self, Identity};
use crate::sys;
use core::sync::atomic::{Ordering::*, compiler_fence};

/// What a record says.
#[derive(Clone, Copy)]
pub(crate) struct Held {
    pub owner: Identity,
    pub bell: u64,
    pub addr: usize,
    pub len: usize,
    pub piece: u32,
}

fn owner_of(record: &Record) -> Identity {
    Identity {
        pid: record.pid.load(Relaxed),
        start: record.start.load(Relaxed),
    }
}

impl Locked<'_> {
    pub(super) fn record(&self, slot: u32) -> Result<&Record> {
        layout::record(&self.map, slot)
    }

    /// Adds an attachment, in the name of `pid`; its record.
    pub fn add(&mut self, held: Held, pid: u32) -> Result<u32> {
        let slot = self.free_slot()?;
        let record = self.record(slot)?;
        record.pid.store(held.owner.pid, Relaxed);
        record.start.store(held.owner.start, Relaxed);
        record.bell.store(held.bell, Relaxed);
        record.addr.store(held.addr as u64, Relaxed);
        record.len.store(held.len as u64, Relaxed);
        record.piece.store(held.piece, Relaxed);
        crashpoint!("shm.add.before_stamp");
        self.h.lpid.store(pid, Relaxed);
        self.h.atime.store(sys::time() as u64, Relaxed);
        crashpoint!("shm.add.before_commit");
        compiler_fence(SeqCst);
        record.state.store(HELD, Release);
        compiler_fence(SeqCst);
        crashpoint!("shm.add.after_commit");
        self.h.first.store(slot + 1, Relaxed);
        crashpoint!("shm.add.stored");
        Ok(slot)
    }

    /// A record that is free; the file grows when there is none.
    fn free_slot(&mut self) -> Result<u32> {
        let used = self.h.used.load(Relaxed);
        let mut slot = self.h.first.load(Relaxed);
        while slot < used {
            if self.record(slot)?.state.load(Relaxed) == FREE {
                return Ok(slot);
            }
            slot += 1;
        }
        // What the dead left is as good as free.
        if used >= self.h.backed.load(Relaxed) {
            self.grow()?;
        }
        self.h.used.store(used + 1, Relaxed);
        crashpoint!("shm.add.used");
        Ok(used)
    }

    #[cold]
    fn grow(&mut self) -> Result<()> {
        self.sweep()?;
        let len = self.map.len().checked_mul(2).ok_or(Errno::ENOMEM)?;
        let fd = self.open()?;
        if (sys::fstat(&fd)?.st_size as u64) < len as u64 {
            sys::ftruncate(&fd, len as u64).map_err(|_| Errno::ENOMEM)?;
        }
        crashpoint!("shm.grow.longer");
        self.pin.remap(&fd, len)?;
        let half = self.map.len();
        self.map = self.pin.map();
        if !self.map.populate(half, len - half)? {
            sys::fallocate(&fd, len as u64).map_err(|_| Errno::ENOMEM)?;
        }
        crashpoint!("shm.grow.before_commit");
        self.h.backed.store(layout::room(len), Relaxed);
        crashpoint!("shm.grow.after_commit");
        Ok(())
    }

    /// Ends an attachment, in the name of `pid`.
    pub fn free(&mut self, slot: u32, pid: u32) -> Result<()> {
        let record = self.record(slot)?;
        self.h.lpid.store(pid, Relaxed);
        crashpoint!("shm.free.half_stamped");
        self.h.dtime.store(sys::time() as u64, Relaxed);
        crashpoint!("shm.free.before_commit");
        compiler_fence(SeqCst);
        record.state.store(FREE, Release);
        compiler_fence(SeqCst);
        crashpoint!("shm.free.after_commit");
        if slot < self.h.first.load(Relaxed) {
            self.h.first.store(slot, Relaxed);
        }
        while let Some(last) = self.h.used.load(Relaxed).checked_sub(1) {
            if self.record(last)?.state.load(Relaxed) != FREE {
                break;
            }
            self.h.used.store(last, Relaxed);
            crashpoint!("shm.free.unused");
        }
        Ok(())
    }

    /// The record of an attachment of this process moved, or is another length.
    pub fn change(&mut self, slot: u32, addr: usize, len: usize) -> Result<()> {
        let record = self.record(slot)?;
        record.addr.store(addr as u64, Relaxed);
        crashpoint!("shm.change.half");
        record.len.store(len as u64, Relaxed);
        crashpoint!("shm.change.stored");
        Ok(())
    }

    /// To the kernel a move is an attach and a detach.
    pub fn stamp_moved(&mut self, pid: u32) {
        self.h.lpid.store(pid, Relaxed);
        self.h.atime.store(sys::time() as u64, Relaxed);
        crashpoint!("shm.moved.half_stamped");
        self.h.dtime.store(sys::time() as u64, Relaxed);
    }

    /// The record of this owner's piece.
    pub fn find(&self, owner: Identity, piece: u32) -> Result<Option<u32>> {
        for slot in 0..self.h.used.load(Relaxed) {
            let record = self.record(slot)?;
            if record.state.load(Relaxed) == HELD
                && record.pid.load(Relaxed) == owner.pid
                && record.start.load(Relaxed) == owner.start
                && record.piece.load(Relaxed) == piece
            {
                return Ok(Some(slot));
            }
        }
        Ok(None)
    }

    pub fn set_bell(&mut self, slot: u32, bell: u64) -> Result<()> {
        self.record(slot)?.bell.store(bell, Relaxed);
        Ok(())
    }

    /// Frees the records of the dead; how many attachments are left.
    pub fn sweep(&mut self) -> Result<u32> {
        self.count(u32::MAX)
    }

    /// Whether anybody has it attached. Frees the records of the dead that it meets.
    pub fn is_attached(&mut self) -> Result<bool> {
        self.count(1).map(|count| count != 0)
    }

    fn count(&mut self, enough: u32) -> Result<u32> {
        let me = process::identity()?;
        // Under the lock nobody adds to them; `bury` only takes from their end.
        let records = layout::records(&self.map, self.h.used.load(Relaxed))?;
        let (mut slot, mut count) = (0, 0);
        // The owner looked at last: attachments of one process often lie together.
        let mut known = None;
        while count < enough
            && let Some(record) = records.get(slot)
        {
            if owner_of(record) != me {
                let (passed, held) = self.pass_silent(&records[slot..], me, enough - count);
                if passed != 0 {
                    (slot, count) = (slot + passed, count + held);
                    continue;
                }
            }
            if record.state.load(Relaxed) != FREE {
                match self.is_held(slot as u32, record, me, &mut known)? {
                    true => count += 1,
                    false => self.bury(slot as u32)?,
                }
            }
            slot += 1;
        }
        Ok(count)
    }

    /// How many records from the first on need no closer look, and how many of them are held, up to
    /// `enough`: others', as their bells are silent. Calls nothing, as most are of that kind.
    #[inline(never)] // All in registers.
    fn pass_silent(&self, records: &[Record], me: Identity, enough: u32) -> (usize, u32) {
        let mut held = 0;
        for (passed, record) in records.iter().enumerate() {
            if record.state.load(Relaxed) == FREE {
                continue;
            }
            let silent = owner::is_silent(self.ns, record.bell.load(Relaxed));
            if held == enough || !silent || owner_of(record) == me {
                return (passed, held);
            }
            held += 1;
        }
        (records.len(), held)
    }

    /// Frees a dead one's record, in its name.
    fn bury(&mut self, slot: u32) -> Result<()> {
        crashpoint!("shm.bury");
        let pid = self.record(slot)?.pid.load(Relaxed);
        self.free(slot, pid)
    }

    /// Whether a record is an attachment still.
    fn is_held(
        &self,
        slot: u32,
        record: &Record,
        me: Identity,
        known: &mut Option<(Identity, bool)>,
    ) -> Result<bool> {
        let owner = owner_of(record);
        if owner == me {
            // Its own that it knows nothing of are those of the image before an exec.
            let has = self.pieces.has(self.id, slot, record.piece.load(Relaxed));
            if has && owner::rings(self.ns, record.bell.load(Relaxed)) {
                // The thread that attached is gone: this one's was claimed before the lock.
                record.bell.store(owner::bell(self.ns), Relaxed);
                crashpoint!("shm.bell.hung");
            }
            return Ok(has);
        }
        if !owner::rings(self.ns, record.bell.load(Relaxed)) {
            return Ok(true);
        }
        let lives = match *known {
            Some((same, lives)) if same == owner => lives,
            _ => process_lives(self.ns, owner),
        };
        *known = Some((owner, lives));
        let has = || owner::maps(owner.pid, self.data_inode(), record.addr.load(Relaxed));
        Ok(lives && (is_foreign(owner) || has()))
    }

    /// The inode of the bytes, as maps show it; 0: unknown.
    pub(super) fn data_inode(&self) -> u64 {
        let data = self.ns.stat_data_of(index_of(self.id));
        data.map_or(0, |st| st.st_ino)
    }

    /// Whether it is to go now that nobody has it attached (`shm_may_destroy`).
    pub fn is_over(&mut self) -> Result<bool> {
        let forced = self.ns.limits().shm_rmid_forced != 0;
        if !self.is_dest() && !forced {
            return Ok(false);
        }
        Ok(!self.is_attached()?)
    }

    /// Whether it is to go by `shm_rmid_forced`, with its creator.
    pub fn is_orphan(&mut self) -> Result<bool> {
        let creator = Identity {
            pid: self.h.cpid.load(Relaxed),
            start: self.h.cstart.load(Relaxed),
        };
        Ok(self.ns.limits().shm_rmid_forced != 0
            && !process_lives(self.ns, creator)
            && !self.is_attached()?)
    }

    /// Looks for the dead, and whether the segment went with them. The number of attachments.
    pub fn look(&mut self) -> Result<u32> {
        let before = self.h.used.load(Relaxed);
        let count = self.sweep()?;
        let forced = self.ns.limits().shm_rmid_forced != 0;
        let detached = before != 0 && forced;
        if count == 0 && (self.is_dest() || detached || forced && self.is_orphan()?) {
            self.destroy();
            return Err(Errno::EIDRM);
        }
        Ok(count)
    }

    /// The end of the segment; its names and memory go when the lock is given back.
    pub fn destroy(&mut self) {
        // Should this process be killed before the names are gone, the next sweep finds them.
        self.ns.set_lingering(Kind::Shm, index_of(self.id), true);
        crashpoint!("shm.destroy.before_commit");
        self.h.object.state.store(REMOVED, Release);
        crashpoint!("shm.destroy.after_commit");
    }

    /// Bytes of whole pages, as far as the file can be believed.
    pub fn bytes(&self) -> usize {
        self.size().div_ceil(PAGE).saturating_mul(PAGE)
    }
}
