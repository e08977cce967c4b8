//! The back end that is this crate's reason: everything in the files of a namespace.
//!
//! Here is what all mechanisms share: keys and ids, opening, permissions. Each has a file of its own.

mod attach;
mod fork;
mod memory;
mod msg;
mod sem;
mod shm;

pub use fork::Fork;
pub use memory::{Changing, Flags};
pub use msg::KnownQueue;

use crate::abi::{IPC_CREAT, IPC_EXCL, IPC_PRIVATE};
use crate::bell;
use crate::creds::{Creds, Owned};
use crate::errno::{Errno, Result};
use crate::handle::{Pin, Table};
use crate::keys::Keys;
use crate::map::Map;
use crate::namespace::{Fault, Namespace};
use crate::object::{self, Identity, Kind, index_of};
use crate::process;
use crate::registry::Got;
use crate::sys::Fd;
use crate::ticket::Tickets;
use core::mem::MaybeUninit;
use core::sync::atomic::Ordering::Relaxed;

/// System V IPC in a namespace.
///
/// Its calls may be made from any thread and after fork. They hold a lock in shared memory for
/// short times: without the preload library a signal handler must not call them, or `longjmp` out
/// of them, while the interrupted code is inside one.
pub struct Engine {
    ns: Namespace,
    tables: [Table; Kind::ALL.len()],
    keys: [Keys; Kind::ALL.len()],
    /// Of message queues.
    tickets: Tickets,
    /// This process's attachments.
    pieces: crate::shm::pieces::Pieces,
}

/// What the `get` call of a mechanism adds to what all have in common.
struct Asked<'a> {
    kind: Kind,
    key: i32,
    flags: i32,
    /// An object with the key is looked at: EINVAL, say, when it is too small.
    fits: &'a dyn Fn(&Pin<'_>) -> Result<()>,
    /// The size to make a new one with, if that is possible.
    make: &'a dyn Fn(Owned) -> Result<Got>,
}

impl Engine {
    /// The engine of this namespace.
    pub fn new(ns: Namespace) -> core::result::Result<Engine, Fault> {
        Engine::begin()?;
        Ok(Engine {
            ns,
            tables: [const { Table::new() }; Kind::ALL.len()],
            keys: [const { Keys::new() }; Kind::ALL.len()],
            tickets: Tickets::new(),
            pieces: crate::shm::pieces::Pieces::new(),
        })
    }

    /// Makes this thread known to the engine, which may ask the loader, and take its lock. Returns this process's number,
    /// which none of its ancestors had.
    #[doc(hidden)]
    pub fn begin() -> core::result::Result<u64, Fault> {
        match crate::process::thread() {
            Ok(_) => Ok(crate::process::generation()),
            Err(errno) => Err(Fault {
                what: "cannot set this process up",
                errno,
            }),
        }
    }

    /// [`Engine::new`] in the place where it stays, after [`Engine::begin`]: it is large for the stack of a small
    /// thread.
    #[doc(hidden)]
    pub fn new_in(place: &mut MaybeUninit<Engine>, ns: Namespace) -> &mut Engine {
        let engine = place.as_mut_ptr();
        // SAFETY: all fields are written, into memory that is ours to write.
        #[allow(unsafe_code)]
        unsafe {
            (&raw mut (*engine).ns).write(ns);
            (&raw mut (*engine).tables).write([const { Table::new() }; Kind::ALL.len()]);
            (&raw mut (*engine).keys).write([const { Keys::new() }; Kind::ALL.len()]);
            (&raw mut (*engine).tickets).write(Tickets::new());
            (&raw mut (*engine).pieces).write(crate::shm::pieces::Pieces::new());
            &mut *engine
        }
    }

    /// Its namespace.
    pub fn namespace(&self) -> &Namespace {
        &self.ns
    }

    #[inline]
    fn table(&self, kind: Kind) -> &Table {
        &self.tables[kind as usize]
    }

    /// The object with this id, pinned. EINVAL: there is none.
    #[inline]
    fn pin(&self, kind: Kind, id: i32) -> Result<Pin<'_>> {
        if id < 0 {
            return Err(Errno::EINVAL);
        }
        match self.table(kind).pin(id) {
            Some(pin) => Ok(pin),
            None => self.attach(kind, id),
        }
    }

    #[cold]
    fn attach(&self, kind: Kind, id: i32) -> Result<Pin<'_>> {
        let (identity, fd) = self.ns.open_index(kind, index_of(id))?;
        if identity.id != id {
            return Err(Errno::EINVAL);
        }
        self.keep(kind, &identity, &fd)
    }

    fn keep(&self, kind: Kind, identity: &Identity, fd: &Fd) -> Result<Pin<'_>> {
        let st = crate::sys::fstat(fd)?;
        let there = st.st_size as usize;
        let len = match kind {
            Kind::Msg => crate::msg::FILE_LEN,
            Kind::Sem | Kind::Shm => there,
        };
        if there < len || len < object::OBJECT_LEN {
            return Err(Errno::EIO);
        }
        self.table(kind)
            .insert(identity.id, [st.st_dev, st.st_ino], Map::of(fd, len, true)?)
    }

    /// Whatever is at this index, pinned. EINVAL: nothing is.
    fn pin_index(&self, kind: Kind, index: i32) -> Result<Pin<'_>> {
        if index < 0 {
            return Err(Errno::EINVAL);
        }
        let mapped = self.table(kind).pin_index(index_of(index));
        match mapped.filter(|pin| !object::is_removed(pin)) {
            Some(pin) => Ok(pin),
            None => {
                let (identity, fd) = self.ns.open_index(kind, index_of(index))?;
                self.keep(kind, &identity, &fd)
            }
        }
    }

    /// Calls `f` with a pinned object. One that was removed before is none: EINVAL. (Who slept
    /// when it was removed gets EIDRM: that is what `asleep` tells.)
    #[inline]
    fn on<T>(&self, kind: Kind, id: i32, f: impl FnOnce(&Pin<'_>) -> Result<T>) -> Result<T> {
        self.on_any(kind, id, |pin| match object::is_removed(pin) {
            true => Err(object::why_gone(pin)),
            false => f(pin),
        })
    }

    /// As [`Engine::on`], where `f` itself looks first whether it was removed.
    #[inline(always)]
    fn on_any<T>(&self, kind: Kind, id: i32, f: impl FnOnce(&Pin<'_>) -> Result<T>) -> Result<T> {
        self.on_found(kind, self.pin(kind, id)?, f)
    }

    /// [`Engine::on_any`], of what was found.
    #[inline(always)]
    fn on_found<T>(
        &self,
        kind: Kind,
        pin: Pin<'_>,
        f: impl FnOnce(&Pin<'_>) -> Result<T>,
    ) -> Result<T> {
        let result = f(&pin);
        if result.is_err() && object::is_removed(&pin) {
            self.retire(kind, &pin);
        }
        result
    }

    /// As [`Engine::on`], for what only owner and creator may do: EPERM for who may not even open
    /// the file.
    fn on_own<T>(&self, kind: Kind, id: i32, f: impl FnOnce(&Pin<'_>) -> Result<T>) -> Result<T> {
        self.on(kind, id, f).map_err(|e| match e {
            Errno::EACCES => Errno::EPERM,
            e => e,
        })
    }

    /// An object is gone: what this process has mapped of it goes.
    #[cold]
    fn retire(&self, kind: Kind, pin: &Pin<'_>) {
        pin.retire();
        if kind == Kind::Shm {
            self.pieces.again.forget(pin.id());
        }
    }

    /// The names of an object that was just marked as removed go away. Names that the caller may
    /// not unlink are others' to sweep.
    fn forget(&self, kind: Kind, pin: &Pin<'_>) {
        self.retire(kind, pin);
        if let Ok(identity) = object::identity(pin) {
            let _ = self.ns.unlink_removed(kind, &identity, pin.file());
        }
    }

    /// The answer of a `get` call for a key that this id has. EIDRM: not any more.
    fn existing(&self, id: i32, asked: &Asked<'_>) -> Result<i32> {
        let excl = asked.flags & (IPC_CREAT | IPC_EXCL) == IPC_CREAT | IPC_EXCL;
        let pin = match self.pin(asked.kind, id) {
            Ok(pin) if object::is_removed(&pin) => {
                self.retire(asked.kind, &pin);
                return Err(Errno::EIDRM);
            }
            Ok(pin) if object::is_keyless(&pin) => return Err(Errno::EIDRM),
            Ok(_) if excl => return Err(Errno::EEXIST),
            Ok(pin) => pin,
            Err(Errno::EINVAL) => return Err(Errno::EIDRM),
            // The file keeps out whom the mode gives nothing; who asks for nothing gets the id.
            Err(Errno::EACCES) if excl => return Err(Errno::EEXIST),
            Err(Errno::EACCES) if asked.flags & 0o777 == 0 => return Ok(id),
            Err(e) => return Err(e),
        };
        (asked.fits)(&pin)?;
        if Creds::current().may(&object::owned(&pin)?, asked.flags as u32) {
            Ok(id)
        } else {
            Err(Errno::EACCES)
        }
    }

    /// `ipcget`.
    fn get(&self, asked: &Asked<'_>) -> Result<i32> {
        loop {
            match self.get_once(asked) {
                // Removed between the look-up of its key and the look at it.
                Err(Errno::EIDRM) => {}
                other => return other,
            }
        }
    }

    fn get_once(&self, asked: &Asked<'_>) -> Result<i32> {
        if asked.key != IPC_PRIVATE {
            let found = match self.known(asked.kind, asked.key) {
                None => self.ask(asked.kind, asked.key)?,
                known => known,
            };
            if let Some(id) = found {
                match self.existing(id, asked) {
                    Err(Errno::EIDRM) => {}
                    other => return other,
                }
            }
            if asked.flags & IPC_CREAT == 0 {
                return Err(Errno::ENOENT);
            }
        }
        self.hang_first_bell();
        let creds = Creds::current();
        let made = (asked.make)(Owned {
            uid: creds.euid,
            gid: creds.egid(),
            cuid: creds.euid,
            cgid: creds.egid(),
            mode: asked.flags as u32 & 0o777,
        })?;
        match made {
            Got::Existing(id) => self.existing(id, asked),
            Got::New(new) => {
                if asked.key != IPC_PRIVATE {
                    self.keys[asked.kind as usize].keep(asked.key, new.id);
                }
                let kept = self.table(asked.kind).insert(new.id, new.file, new.map)?;
                // It does; what never changes of it is seen before anybody else could write there.
                (asked.fits)(&kept).map(|()| new.id)
            }
        }
    }

    /// The id of a mapped object that lives and has this key, and had it a moment ago.
    fn known(&self, kind: Kind, key: i32) -> Option<i32> {
        let id = self.keys[kind as usize].get(key)?;
        let pin = self.table(kind).pin(id)?;
        object::has_key(&pin, key).then_some(id)
    }

    /// The first thread's bell hangs early: to other pid namespaces a process lives while that is silent.
    fn hang_first_bell(&self) {
        if let Ok(me) = process::thread()
            && me.tid.load(Relaxed) == me.pid.load(Relaxed)
        {
            let _ = bell::mine_by(me, &self.ns);
        }
    }

    /// The id that has this key, by the directory.
    #[cold]
    fn ask(&self, kind: Kind, key: i32) -> Result<Option<i32>> {
        self.hang_first_bell();
        let found = self.ns.find(kind, key)?;
        if let Some(id) = found {
            self.keys[kind as usize].keep(key, id);
        }
        Ok(found)
    }

    /// How many objects there are, and the highest index.
    fn count(&self, kind: Kind, mut visit: impl FnMut(i32)) -> Result<(u32, i32)> {
        let (mut count, mut highest) = (0, 0);
        self.ns.each_index(kind, |index| {
            if !self.ns.is_left(kind, index) {
                count += 1;
                highest = index as i32;
                visit(highest);
            }
        })?;
        Ok((count, highest))
    }

    /// The owner and mode that an `IPC_SET` leaves, also in the file's own mode. EPERM: not the
    /// owner's call; EINVAL: no such user.
    fn change_owner(
        &self,
        kind: Kind,
        id: i32,
        old: Owned,
        perm: &crate::abi::IpcPerm,
    ) -> Result<Owned> {
        if !Creds::current().owns(&old) {
            return Err(Errno::EPERM);
        }
        if perm.uid == u32::MAX || perm.gid == u32::MAX {
            return Err(Errno::EINVAL);
        }
        let new = Owned {
            uid: perm.uid,
            gid: perm.gid,
            mode: u32::from(perm.mode) & 0o777,
            ..old
        };
        // Who may change the mode but not the file leaves the file as it is: the mode is
        // checked at every call all the same.
        let _ = self.ns.admit(kind, id, &new);
        Ok(new)
    }
}
