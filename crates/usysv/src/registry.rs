//! Names: from keys and indexes to files; making and unmaking objects.
//!
//! The directory is the truth: an object exists while `msg/INDEX` names a file that is not marked
//! as removed, and has its key while the link `key/msg.KEY` holds its id (a link, so that the id can be read
//! without permission on the object, as `msgget(key, 0)` needs none). The file `counters` holds
//! what the directory cannot: the sequence number, where the next index is looked for, and a map
//! of indexes in use, a hint that is checked against the directory.
//!
//! One lock (in `counters`) is held while names change. If its holder is killed: the next one reads
//! `intent` and undoes a creation that had not got its key, or ends a removal, and makes the hints
//! anew from the directory. Looking a key up takes no lock.

mod places;

use crate::abi::{IPC_PRIVATE, IPCMNI};
use crate::crash::crashpoint;
use crate::creds::Owned;
use crate::errno::{Errno, Result};
use crate::files;
use crate::lock::{Left, Lock};
use crate::map::{Map, Shared};
use crate::namespace::Namespace;
use crate::object::{Identity, Kind, OBJECT_LEN, Object, index_of};
use crate::path::{Digits, Path, Text, parse_decimal};
use crate::shm::Huge;
use crate::sys::{self, Fd};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::*};
use places::{PLACES, Places};

const NOTHING: u32 = 0;
const CREATING: u32 = 1;
const REMOVING: u32 = 2;

/// The file `counters`.
#[repr(C)]
pub(crate) struct Counters {
    lock: Lock,
    intent: AtomicU32,
    intent_index: AtomicU32,
    intent_key: AtomicU32,
    intent_kind: AtomicU32,
    reserved: [AtomicU64; 6],
    kinds: [Places; Kind::ALL.len()],
}

// SAFETY: repr(C) and atomics only.
#[allow(unsafe_code)]
unsafe impl Shared for Counters {}

/// A new object: its id, which file it is, and its whole mapping.
pub(crate) struct Created {
    pub id: i32,
    /// Device and inode.
    pub file: [u64; 2],
    pub map: Map,
}

/// What `get` found or made.
pub(crate) enum Got {
    Existing(i32),
    New(Created),
}

/// Makes a file at a path.
pub(crate) type Beside<'a> = &'a dyn Fn(&Path<'_>) -> Result<()>;

/// How to make an object.
pub(crate) struct Plan<'a> {
    pub kind: Kind,
    pub key: i32,
    pub owned: Owned,
    /// Size of the file, and how much of it from the start is really there.
    pub len: usize,
    pub backed: usize,
    /// Most objects of the kind.
    pub most: u64,
    /// What it counts for in the limit on all objects, and that limit.
    pub units: u64,
    pub most_units: u64,
    pub fill: &'a dyn Fn(&Map) -> Result<()>,
    /// Makes a file beside the object's, before that has its name. EEXIST: there is one.
    pub beside: Option<Beside<'a>>,
}

/// The name lock, held.
struct Names<'a> {
    ns: &'a Namespace,
    counters: &'a Counters,
}

impl Drop for Names<'_> {
    fn drop(&mut self) {
        self.counters.lock.unlock();
    }
}

impl Namespace {
    /// The file of the object at an index. EINVAL: none there. The names of a removed object, whose
    /// remover was killed, are swept away on the way.
    pub(crate) fn open_index(&self, kind: Kind, index: u32) -> Result<(Identity, Fd)> {
        match self.look_at_index(kind, index) {
            Ok((identity, _)) if identity.removed => {
                if let Ok(names) = self.lock_names() {
                    let _ = names.unlink(kind, &identity, None);
                }
                Err(Errno::EINVAL)
            }
            // Closed to the caller, and a removed object's.
            Err(Errno::EACCES) if self.is_left(kind, index) => Err(Errno::EINVAL),
            other => other,
        }
    }

    /// What has this index, removed or not. Takes no lock. EINVAL: none; EIO: it passes for what
    /// has another index.
    #[inline(never)]
    fn look_at_index(&self, kind: Kind, index: u32) -> Result<(Identity, Fd)> {
        match open_object(kind, &self.index_path(kind, index)?) {
            Err(Errno::ENOENT) => Err(Errno::EINVAL),
            Ok((identity, _)) if index_of(identity.id) != index => Err(Errno::EIO),
            other => other,
        }
    }

    /// The id that has this key, if one has. Needs no permission on the object.
    pub(crate) fn find(&self, kind: Kind, key: i32) -> Result<Option<i32>> {
        let mut text = [0; 16];
        match self
            .key_path(kind, key)?
            .with_c(|path| sys::readlink(path, &mut text))
        {
            Ok(len) => {
                let id = parse_decimal(text.get(..len).unwrap_or(&[])).ok_or(Errno::EIO)?;
                i32::try_from(id).map(Some).map_err(|_| Errno::EIO)
            }
            Err(Errno::ENOENT) => Ok(None),
            Err(Errno::EINVAL) => Err(Errno::EIO),
            Err(e) => Err(e),
        }
    }

    /// The object with the plan's key, or a new one.
    pub(crate) fn find_or_create(&self, plan: &Plan<'_>) -> Result<Got> {
        let names = self.lock_names()?;
        if plan.key != IPC_PRIVATE
            && let Some(id) = self.find(plan.kind, plan.key)?
        {
            match self.look_at_index(plan.kind, index_of(id)) {
                Ok((it, _)) if it.id == id && !it.removed && !it.keyless => {
                    return Ok(Got::Existing(id));
                }
                Err(Errno::EACCES) => return Ok(Got::Existing(id)),
                // What a killed remover left.
                Ok(_) | Err(Errno::EINVAL) => {
                    files::unlink(&self.key_path(plan.kind, plan.key)?)?;
                    crashpoint!("create.stale_key");
                    names.retire_place(plan.kind, index_of(id));
                }
                Err(e) => return Err(e),
            }
        }
        names.create(plan).map(Got::New)
    }

    /// Takes away the names of an object that is marked as removed.
    pub(crate) fn unlink_removed(
        &self,
        kind: Kind,
        object: &Identity,
        file: [u64; 2],
    ) -> Result<()> {
        self.lock_names()?.unlink(kind, object, Some(file))
    }

    /// The key of a segment that waits for its last attachment to end is free again.
    pub(crate) fn unlink_key(&self, kind: Kind, object: &Identity) -> Result<()> {
        let _names = self.lock_names()?;
        if object.key != IPC_PRIVATE && self.find(kind, object.key)? == Some(object.id) {
            files::unlink(&self.key_path(kind, object.key)?)?;
            crashpoint!("shm.remove.key_freed");
        }
        Ok(())
    }

    /// Notes that the object at an index is to be looked at (see `Places`), or not any more.
    pub(crate) fn set_lingering(&self, kind: Kind, index: u32, lingering: bool) {
        let counters = self.counters();
        if let Some(word) = counters
            .ok()
            .and_then(|c| c.kinds[kind as usize].lingering.get(index as usize / 64))
        {
            let bit = 1 << (index % 64);
            if lingering {
                word.fetch_or(bit, Relaxed);
            } else {
                word.fetch_and(!bit, Relaxed);
            }
        }
    }

    /// What was to be looked at is gone.
    pub(crate) fn forget_lingering(&self, kind: Kind, index: u32) -> Result<()> {
        let _names = self.lock_names()?;
        if self.index_path(kind, index)?.with_c(sys::lstat).err() == Some(Errno::ENOENT) {
            self.set_lingering(kind, index, false);
            crashpoint!("shm.lingering.forgotten");
        }
        Ok(())
    }

    /// Calls `visit` with every index that is to be looked at.
    pub(crate) fn each_lingering(&self, kind: Kind, mut visit: impl FnMut(u32)) {
        let Ok(counters) = self.counters() else {
            return;
        };
        for (i, word) in counters.kinds[kind as usize].lingering.iter().enumerate() {
            let mut rest = word.load(Relaxed);
            while rest != 0 {
                visit(i as u32 * 64 + rest.trailing_zeros());
                rest &= rest - 1;
            }
        }
    }

    /// Whether an index that has a name counts for nothing: see `Places`. What shared memory says
    /// is believed of a file that is closed to the caller; others are looked at.
    pub(crate) fn is_left(&self, kind: Kind, index: u32) -> bool {
        let noted = self
            .counters()
            .is_ok_and(|c| c.kinds[kind as usize].is_left(index));
        noted
            && match self.look_at_index(kind, index) {
                Ok((identity, _)) => identity.removed,
                Err(e) => e == Errno::EACCES,
            }
    }

    /// Calls `visit` with every index that has a name, in order.
    pub(crate) fn each_index(&self, kind: Kind, mut visit: impl FnMut(u32)) -> Result<()> {
        let mut used = self.used_places(kind)?;
        for (i, word) in used.as_mut().iter().enumerate() {
            let mut rest = *word;
            while rest != 0 {
                visit(i as u32 * 64 + rest.trailing_zeros());
                rest &= rest - 1;
            }
        }
        Ok(())
    }

    /// The indexes that the directory names, a bit for each.
    #[inline(never)]
    fn used_places(&self, kind: Kind) -> Result<sys::Words> {
        let mut used = sys::Words::new(PLACES / 64)?;
        crate::dir::each_name(&self.file(&[kind.name()])?, |name| {
            let index = parse_decimal(name).unwrap_or(u64::MAX) as usize;
            if let Some(word) = used.as_mut().get_mut(index / 64) {
                *word |= 1 << (index % 64);
            }
        })?;
        Ok(used)
    }

    /// The units of the object at an index: a segment's pages, or what its file says. `None`: that cannot be opened.
    fn units_of(&self, kind: Kind, index: u32) -> Option<u64> {
        if kind == Kind::Shm {
            return Some(self.pages_of(index));
        }
        let (object, _) = self.look_at_index(kind, index).ok()?;
        Some(object.units)
    }

    /// Lets the mode's classes into the object's file, as far as the caller may change that.
    pub(crate) fn admit(&self, kind: Kind, id: i32, owned: &Owned) -> Result<()> {
        admit(
            &self.index_path(kind, index_of(id))?,
            owned,
            vfs_mode(owned.mode),
        )?;
        crashpoint!("names.admit.one");
        if kind == Kind::Shm {
            self.on_data_of(index_of(id), |path, _| {
                admit(path, owned, owned.mode & 0o666)
            })?;
            crashpoint!("names.admit.both");
        }
        Ok(())
    }

    /// The directory of the objects of a kind, open.
    fn directory(&self, kind: Kind) -> Result<Fd> {
        files::open_directory(&self.file(&[kind.name()])?)
    }

    pub(crate) fn index_path(&self, kind: Kind, index: u32) -> Result<Path<'_>> {
        self.file(&[kind.name(), Digits::decimal(u64::from(index)).as_bytes()])
    }

    /// The file beside an object's: a segment's bytes.
    pub(crate) fn beside_path(&self, kind: Kind, index: u32) -> Result<Path<'_>> {
        let mut path = self.index_path(kind, index)?;
        path.push(b".data")?;
        Ok(path)
    }

    fn key_path(&self, kind: Kind, key: i32) -> Result<Path<'_>> {
        let mut path = self.file(&[b"key", kind.name()])?;
        path.push(b".")?;
        path.push(Digits::hex(key as u32).as_bytes())?;
        Ok(path)
    }

    fn lock_names(&self) -> Result<Names<'_>> {
        let counters = self.counters()?;
        let left = counters.lock.lock()?;
        let names = Names { ns: self, counters };
        // A lock in memory of our own keeps nobody out.
        if self.counters_are_lost() {
            return Err(Errno::EIO);
        }
        if left == Left::Ruins {
            names.recover();
        }
        Ok(names)
    }
}

impl Names<'_> {
    fn places(&self, kind: Kind) -> &Places {
        &self.counters.kinds[kind as usize]
    }

    fn intend(&self, what: u32, kind: Kind, index: u32, key: i32) {
        self.counters.intent_index.store(index, Relaxed);
        self.counters.intent_key.store(key as u32, Relaxed);
        self.counters.intent_kind.store(kind as u32, Relaxed);
        crashpoint!("names.intend");
        self.counters.intent.store(what, Release);
    }

    #[inline(never)]
    fn create(&self, plan: &Plan<'_>) -> Result<Created> {
        let places = self.places(plan.kind);
        let in_use = match places.room(plan) {
            Some(in_use) => in_use,
            None => {
                self.sweep(plan.kind)?;
                places.room(plan).ok_or(Errno::ENOSPC)?
            }
        };
        let directory = self.ns.directory(plan.kind)?;
        let part = part_name(plan)?;
        let new = || {
            let how = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL;
            sys::open_in(&directory, part.as_c(), how, 0o600)
        };
        let fd = match new() {
            Err(Errno::EEXIST) => {
                sys::unlink(&directory, part.as_c(), 0)?;
                new()?
            }
            other => other?,
        };
        crashpoint!("create.opened");
        let made = self.fill(plan, &directory, &part, fd, in_use);
        if made.is_err() {
            let _ = sys::unlink(&directory, part.as_c(), 0);
        }
        made
    }

    fn fill(
        &self,
        plan: &Plan<'_>,
        directory: &Fd,
        part: &Text,
        fd: Fd,
        in_use: u32,
    ) -> Result<Created> {
        let places = self.places(plan.kind);
        sys::ftruncate(&fd, plan.len as u64).map_err(|_| Errno::ENOSPC)?;
        let st = sys::fstat(&fd)?;
        if st.st_mode & 0o7777 != vfs_mode(plan.owned.mode) {
            sys::fchmod(&fd, vfs_mode(plan.owned.mode))?;
        }
        let map = Map::of(&fd, plan.len, true)?;
        let created = (|| {
            // Memory first: where the file system is full, the first touch would be SIGBUS.
            if !sys::fallocate(&fd, plan.backed as u64)? {
                map.populate(0, plan.backed).map_err(|_| Errno::ENOSPC)?;
            }
            (plan.fill)(&map)?;
            let object: &Object = map.at(0)?;
            crashpoint!("create.formed");
            let mut from = places.last.load(Relaxed);
            for taken in 0..PLACES as u32 {
                let next = places.next(in_use.saturating_add(taken), from);
                let (index, sequence) = next.ok_or(Errno::ENOSPC)?;
                let id = index as i32 + sequence as i32 * IPCMNI;
                object.form(plan, id, sys::time());
                self.intend(CREATING, plan.kind, index, plan.key);
                crashpoint!("create.intended");
                let name = index_name(index)?;
                let made = self.make_beside(plan, index);
                let named =
                    made.and_then(|()| sys::rename_new(directory, part.as_c(), name.as_c()));
                match named {
                    Ok(()) => {}
                    Err(e) => {
                        // Only what was made here: the hints may be wrong about the index.
                        if made.is_ok() {
                            self.unlink_beside(plan.kind, index);
                        }
                        if e != Errno::EEXIST {
                            return Err(e);
                        }
                        self.retire_place(plan.kind, index);
                        let free = !places.is_used(index) && !places.is_left(index);
                        from = if free { index } else { index + 1 };
                        continue;
                    }
                }
                crashpoint!("create.indexed");
                if plan.key != IPC_PRIVATE {
                    let key = self.ns.key_path(plan.kind, plan.key)?;
                    if let Err(e) =
                        files::symlink(&Text::of(&[Digits::decimal(id as u64).as_bytes()])?, &key)
                    {
                        let _ = sys::unlink(directory, name.as_c(), 0);
                        self.unlink_beside(plan.kind, index);
                        return Err(e);
                    }
                }
                crashpoint!("create.keyed");
                places.set_used(index, true);
                crashpoint!("create.used");
                places.units.fetch_add(plan.units, Relaxed);
                places.sequence.store(sequence, Relaxed);
                places.last.store(index + 1, Relaxed);
                crashpoint!("create.counted");
                self.counters.intent.store(NOTHING, Release);
                return Ok(id);
            }
            Err(Errno::ENOSPC)
        })();
        match created {
            Ok(id) => Ok(Created {
                id,
                file: [st.st_dev, st.st_ino],
                map,
            }),
            Err(e) => {
                self.counters.intent.store(NOTHING, Release);
                // SAFETY: `object` above was its only user.
                #[allow(unsafe_code)]
                unsafe {
                    map.unmap();
                }
                Err(e)
            }
        }
    }

    /// Makes the file beside the object's. One that lies there without an object is nobody's.
    fn make_beside(&self, plan: &Plan<'_>, index: u32) -> Result<()> {
        let Some(make) = plan.beside else {
            return Ok(());
        };
        let path = self.ns.beside_path(plan.kind, index)?;
        match make(&path) {
            Err(Errno::EEXIST)
                if self
                    .ns
                    .index_path(plan.kind, index)?
                    .with_c(sys::lstat)
                    .is_err() =>
            {
                Huge::remove(&path).map_err(|_| Errno::EEXIST)?;
                make(&path)?;
            }
            other => other?,
        }
        crashpoint!("create.beside");
        Ok(())
    }

    fn unlink_beside(&self, kind: Kind, index: u32) {
        if kind != Kind::Shm {
            return;
        }
        let Ok(path) = self.ns.beside_path(kind, index) else {
            return;
        };
        // Another user's name is not the caller's to unlink, but the memory may be its to give back.
        if Huge::remove(&path).is_err() {
            let _ = self.ns.on_data_of(index, |path, _| {
                sys::ftruncate(&files::open_file(path, libc::O_RDWR, 0)?, 0)
            });
        }
    }

    /// An index that the hints have free but the directory has not: perhaps only a removed object
    /// that somebody was killed over, or one whose name is another user's to take away.
    fn retire_place(&self, kind: Kind, index: u32) {
        let places = self.places(kind);
        let path = self.ns.index_path(kind, index);
        match path.and_then(|path| open_object(kind, &path)) {
            Ok((it, _)) if it.removed && index_of(it.id) == index => {
                let _ = self.unlink(kind, &it, None);
            }
            Err(Errno::EACCES) if places.is_left(index) => {}
            _ => places.set_used(index, true),
        }
    }

    /// Unlinks the names of a removed object, as far as they are still its names.
    #[inline(never)]
    fn unlink(&self, kind: Kind, object: &Identity, file: Option<[u64; 2]>) -> Result<()> {
        let index = index_of(object.id);
        self.intend(REMOVING, kind, index, object.key);
        crashpoint!("remove.intended");
        let result = self.unlink_names(kind, object, file);
        self.counters.intent.store(NOTHING, Release);
        result
    }

    fn unlink_names(&self, kind: Kind, object: &Identity, file: Option<[u64; 2]>) -> Result<()> {
        let mut gone = Ok(());
        if object.key != IPC_PRIVATE && self.ns.find(kind, object.key)? == Some(object.id) {
            gone = files::unlink(&self.ns.key_path(kind, object.key)?);
        }
        crashpoint!("remove.unkeyed");
        let index = index_of(object.id);
        let Ok(directory) = self.ns.directory(kind) else {
            return gone;
        };
        let name = index_name(index)?;
        // A caller that has the file mapped knows its inode, which nobody else can have then.
        let is_it = match file {
            Some(file) => sys::lstat_in(&directory, name.as_c())
                .is_ok_and(|st| [st.st_dev, st.st_ino] == file),
            None => open_object(kind, &self.ns.index_path(kind, index)?)
                .is_ok_and(|(it, _)| it.removed && it.id == object.id),
        };
        if is_it {
            self.unlink_beside(kind, index);
            crashpoint!("remove.alone");
            gone = gone.and_then(|()| sys::unlink(&directory, name.as_c(), 0));
            crashpoint!("remove.unlinked");
            self.ns.set_lingering(kind, index, gone.is_err());
            crashpoint!("remove.remembered");
            self.release(kind, index, object.units);
        }
        gone
    }

    /// What had this index counts no more.
    fn release(&self, kind: Kind, index: u32, units: u64) {
        let places = self.places(kind);
        if places.is_used(index) {
            places.set_used(index, false);
            crashpoint!("remove.unused");
            let units = places.units.load(Relaxed).saturating_sub(units);
            places.units.store(units, Relaxed);
        }
    }

    /// Unlinks removed objects whose removers were killed before they did, and counts anew.
    #[inline(never)]
    fn sweep(&self, kind: Kind) -> Result<()> {
        self.recount(kind)?;
        crashpoint!("names.sweep.counted");
        let (mut units, mut all_seen) = (0u64, true);
        self.ns.each_index(kind, |index| {
            self.retire_place(kind, index);
            if self.places(kind).is_used(index) {
                let known = self.ns.units_of(kind, index);
                all_seen &= known.is_some();
                units = units.saturating_add(known.unwrap_or(0));
            }
        })?;
        // Whom a mode shuts out cannot count: then there are no fewer than was known, if it was.
        let counted = &self.places(kind).units;
        let before = counted.load(Relaxed);
        if !all_seen && before != u64::MAX {
            units = units.max(before);
        }
        counted.store(units, Relaxed);
        crashpoint!("names.sweep.done");
        Ok(())
    }

    /// Makes the hints anew from the directory.
    fn recount(&self, kind: Kind) -> Result<()> {
        let mut named = self.ns.used_places(kind)?;
        let places = self.places(kind);
        let mut in_use = 0;
        for ((used, lingering), named) in places
            .used
            .iter()
            .zip(&places.lingering)
            .zip(named.as_mut())
        {
            // Nothing lingers without a name: what gets that place next would not be counted.
            let left = lingering.fetch_and(*named, Relaxed) & !used.load(Relaxed);
            let truth = *named & !left;
            used.store(truth, Relaxed);
            in_use += truth.count_ones();
        }
        crashpoint!("names.recount.mapped");
        places.in_use.store(in_use, Relaxed);
        Ok(())
    }

    /// The last holder was killed.
    #[inline(never)]
    fn recover(&self) {
        let index = self.counters.intent_index.load(Relaxed);
        let key = self.counters.intent_key.load(Relaxed) as i32;
        let Some(kind) = Kind::at(self.counters.intent_kind.load(Relaxed)) else {
            return;
        };
        match self.counters.intent.load(Acquire) {
            CREATING => self.end_creation(kind, index, key),
            REMOVING => {
                if let Ok((it, _)) = self
                    .ns
                    .index_path(kind, index)
                    .and_then(|path| open_object(kind, &path))
                    && it.removed
                    && index_of(it.id) == index
                {
                    let _ = self.unlink_names(kind, &it, None);
                }
            }
            _ => {}
        }
        crashpoint!("names.recover.ended");
        self.counters.intent.store(NOTHING, Release);
        crashpoint!("names.recover.idle");
        // A directory that cannot be read leaves the hints as they are.
        let _ = self.recount(kind);
        // No room until somebody counted: that is the next creation.
        self.places(kind).units.store(u64::MAX, Relaxed);
    }

    /// Takes back an object that got its index but not its key. Its id is used up all the same:
    /// somebody may have seen it.
    fn end_creation(&self, kind: Kind, index: u32, key: i32) {
        let Ok(path) = self.ns.index_path(kind, index) else {
            return;
        };
        let (it, fd) = match open_object(kind, &path) {
            Ok(opened) => opened,
            Err(Errno::ENOENT) => return self.unlink_beside(kind, index),
            Err(_) => return,
        };
        if it.key != key || index_of(it.id) != index {
            return;
        }
        let places = self.places(kind);
        places.sequence.store((it.id / IPCMNI) as u32, Relaxed);
        places.last.store(index + 1, Relaxed);
        crashpoint!("create.undo.used_up");
        // One that waits for its last attachment to end has no key any more.
        if key != IPC_PRIVATE && !it.keyless && self.ns.find(kind, key) != Ok(Some(it.id)) {
            let _ = Object::mark_removed(&fd);
            crashpoint!("create.undo.marked");
            self.unlink_beside(kind, index);
            crashpoint!("create.undo.alone");
            let _ = files::unlink(&path);
            crashpoint!("create.undo.gone");
        }
    }
}

/// An object's name in its directory.
fn index_name(index: u32) -> Result<Text> {
    Text::of(&[Digits::decimal(u64::from(index)).as_bytes()])
}

/// A file of the caller's own: leftovers of a killed creator of the same user are its to remove.
fn part_name(plan: &Plan<'_>) -> Result<Text> {
    let creator = Digits::decimal(u64::from(plan.owned.cuid));
    Text::of(&[b".part.", creator.as_bytes()])
}

/// Opens an object's file, after a look at what it is.
fn open_object(kind: Kind, path: &Path<'_>) -> Result<(Identity, Fd)> {
    let fd = files::open_file(path, libc::O_RDWR, 0)?;
    let mut head = [0; OBJECT_LEN];
    if sys::read(&fd, &mut head, 0)? != OBJECT_LEN {
        return Err(Errno::EIO);
    }
    Ok((Object::identity_of(kind, &head)?, fd))
}

/// A class with read or write permission needs both on the file: reading a queue writes to it. The
/// owner has them always, as who may change the mode.
fn vfs_mode(mode: u32) -> u32 {
    0o600
        | [3, 0]
            .iter()
            .map(|shift| vfs_class(mode >> shift) << shift)
            .sum::<u32>()
}

fn vfs_class(bits: u32) -> u32 {
    if bits & 6 != 0 { 6 } else { 0 }
}

/// Sets a file's mode; an owner who is not the creator gets an entry in an access list.
fn admit(path: &Path<'_>, owned: &Owned, mode: u32) -> Result<()> {
    const USER_OBJ: u16 = 1;
    const USER: u16 = 2;
    const GROUP_OBJ: u16 = 4;
    const GROUP: u16 = 8;
    const MASK: u16 = 16;
    const OTHER: u16 = 32;
    const NOBODY: u32 = u32::MAX;
    let file = files::Found::of(path)?;
    let class = |shift: u32| (mode >> shift) as u16 & 6;
    if owned.uid == owned.cuid && owned.gid == owned.cgid {
        // As chmod, but that would leave the entries of an owner whom there was in between.
        let entries = [
            (USER_OBJ, class(6), NOBODY),
            (GROUP_OBJ, class(3), NOBODY),
            (OTHER, class(0), NOBODY),
        ];
        return set_acl(&file, &entries).or_else(|_| file.chmod(mode));
    }
    let entries = [
        (USER_OBJ, class(6), NOBODY),
        (USER, class(6), owned.uid),
        (GROUP_OBJ, class(3), NOBODY),
        (GROUP, class(3), owned.gid),
        (MASK, 6, NOBODY),
        (OTHER, class(0), NOBODY),
    ];
    set_acl(&file, &entries)
}

/// Gives a file an access list: tag, permissions and id of each entry, in the kernel's order.
fn set_acl(file: &files::Found, entries: &[(u16, u16, u32)]) -> Result<()> {
    let mut acl = [0u8; 4 + 6 * 8];
    acl[0] = 2;
    for (entry, (tag, perm, id)) in acl[4..].chunks_exact_mut(8).zip(entries) {
        entry[..2].copy_from_slice(&tag.to_le_bytes());
        entry[2..4].copy_from_slice(&perm.to_le_bytes());
        entry[4..].copy_from_slice(&id.to_le_bytes());
    }
    let len = 4 + entries.len().min(6) * 8;
    file.set_acl(acl.get(..len).unwrap_or(&acl))
}
