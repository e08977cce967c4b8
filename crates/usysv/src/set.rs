//! Semaphore sets as Rust values.

use crate::abi::{IPC_CREAT, IPC_EXCL, IPC_NOWAIT, SEM_UNDO, SEMVMX, SemidDs};
use crate::backend::{Backend, SemField};
use crate::errno::Result;
use crate::key::Key;
use core::time::Duration;

/// One operation on one semaphore: what `semop` takes an array of.
pub use crate::abi::Sembuf as Op;

/// A set on some back end. Dropping it leaves the set, as closing a program does.
///
/// ```
/// use usysv::{Engine, Errno, Key, Namespace, Op, SemaphoreSet};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let engine = Engine::new(Namespace::create_private(None)?)?;
///
/// let set = SemaphoreSet::create(&engine, Key(42), 2, 0o600)?;
/// set.put_all(&[1, 0])?;
///
/// // Both operations at once, or neither.
/// set.perform(&[Op::take(0, 1), Op::add(1, 3)])?;
/// assert_eq!((set.value(0)?, set.value(1)?), (0, 3));
/// assert_eq!(set.try_perform(&[Op::take(1, 1), Op::take(0, 1)]), Err(Errno::EAGAIN));
/// set.put(0, 1)?;
///
/// // A mutex that even `kill -9` gives back.
/// let guard = set.lock(0)?;
/// assert_eq!(set.try_lock(0).err(), Some(Errno::EAGAIN));
/// drop(guard);
/// assert_eq!(set.value(0)?, 1);
///
/// set.remove()?;
/// engine.namespace().destroy()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy)]
pub struct SemaphoreSet<'a> {
    backend: &'a dyn Backend,
    semid: i32,
}

/// One taken from a semaphore, given back when dropped, or by the system when the process ends.
///
/// It is the process's, not a thread's; a child made by `fork` has taken nothing, and must
/// `mem::forget` its copy.
#[must_use = "what was taken is given back at once when the guard is not kept"]
pub struct Guard<'a> {
    set: SemaphoreSet<'a>,
    num: u16,
}

impl Op {
    /// Adds `n`.
    ///
    /// # Panics
    /// When `n` is not in 1..=32767: adding 0 would wait for zero.
    pub const fn add(num: u16, n: u16) -> Op {
        Op::new(num, amount(n))
    }

    /// Takes `n`, and waits until the semaphore has that many.
    ///
    /// # Panics
    /// When `n` is not in 1..=32767.
    pub const fn take(num: u16, n: u16) -> Op {
        Op::new(num, -amount(n))
    }

    /// Waits until the semaphore is 0.
    pub const fn wait_zero(num: u16) -> Op {
        Op::new(num, 0)
    }

    /// `SEM_UNDO`: the system takes it back when the process ends.
    pub const fn undo(mut self) -> Op {
        self.sem_flg |= SEM_UNDO as i16;
        self
    }

    /// `IPC_NOWAIT`: EAGAIN where this operation would have to wait.
    pub const fn no_wait(mut self) -> Op {
        self.sem_flg |= IPC_NOWAIT as i16;
        self
    }

    const fn new(sem_num: u16, sem_op: i16) -> Op {
        Op {
            sem_num,
            sem_op,
            sem_flg: 0,
        }
    }
}

const fn amount(n: u16) -> i16 {
    assert!(n >= 1 && n as i32 <= SEMVMX, "an amount is in 1..=32767");
    n as i16
}

impl<'a> SemaphoreSet<'a> {
    /// `semget(key, 0, 0)`: the set with this key. ENOENT: there is none.
    pub fn open(backend: &'a dyn Backend, key: Key) -> Result<SemaphoreSet<'a>> {
        let semid = backend.semget(key.0, 0, 0)?;
        Ok(SemaphoreSet { backend, semid })
    }

    /// `semget(key, nsems, IPC_CREAT | mode)`: the set with this key, made if there is none, all
    /// zero. EINVAL: there is one with fewer semaphores.
    pub fn open_or_create(
        backend: &'a dyn Backend,
        key: Key,
        nsems: u16,
        mode: u16,
    ) -> Result<SemaphoreSet<'a>> {
        let semflg = IPC_CREAT | i32::from(mode & 0o777);
        let semid = backend.semget(key.0, i32::from(nsems), semflg)?;
        Ok(SemaphoreSet { backend, semid })
    }

    /// `semget(key, nsems, IPC_CREAT | IPC_EXCL | mode)`: a new set, all zero. EEXIST: the key is
    /// taken.
    pub fn create(
        backend: &'a dyn Backend,
        key: Key,
        nsems: u16,
        mode: u16,
    ) -> Result<SemaphoreSet<'a>> {
        let semflg = IPC_CREAT | IPC_EXCL | i32::from(mode & 0o777);
        let semid = backend.semget(key.0, i32::from(nsems), semflg)?;
        Ok(SemaphoreSet { backend, semid })
    }

    /// The set with this id, which is not looked at yet.
    pub fn from_id(backend: &'a dyn Backend, semid: i32) -> SemaphoreSet<'a> {
        SemaphoreSet { backend, semid }
    }

    /// Its id.
    pub fn semid(&self) -> i32 {
        self.semid
    }

    /// `semop(semid, ops)`: all of it or nothing, and waits until it can be done. EINTR: a signal
    /// handler ran; EIDRM: the set was removed meanwhile; EFBIG: no such semaphore.
    pub fn perform(&self, ops: &[Op]) -> Result<()> {
        self.backend.semop(self.semid, ops, None)
    }

    /// As [`SemaphoreSet::perform`] with every operation [`Op::no_wait`]. EAGAIN: it would wait.
    pub fn try_perform<const N: usize>(&self, ops: &[Op; N]) -> Result<()> {
        self.perform(&ops.map(Op::no_wait))
    }

    /// `semtimedop(semid, ops, timeout)`. EAGAIN: time is up, and nothing was done.
    pub fn perform_within(&self, ops: &[Op], timeout: Duration) -> Result<()> {
        self.backend.semop(self.semid, ops, Some(timeout))
    }

    /// Takes one, undone at the end of the process, and waits for it. EINTR: a signal handler ran,
    /// and nothing was taken.
    pub fn lock(&self, num: u16) -> Result<Guard<'a>> {
        self.perform(&[Op::take(num, 1).undo()])?;
        Ok(Guard { set: *self, num })
    }

    /// As [`SemaphoreSet::lock`], without waiting. EAGAIN: there is none to take.
    pub fn try_lock(&self, num: u16) -> Result<Guard<'a>> {
        self.try_perform(&[Op::take(num, 1).undo()])?;
        Ok(Guard { set: *self, num })
    }

    /// `semctl(semid, num, GETVAL)`.
    pub fn value(&self, num: u16) -> Result<u16> {
        self.field(num, SemField::Value).map(|value| value as u16)
    }

    /// `semctl(semid, 0, GETALL)`, at one moment. EINVAL: not as many as the set has.
    pub fn values(&self, values: &mut [u16]) -> Result<()> {
        self.backend.sem_get_all(self.semid, values)
    }

    /// `semctl(semid, num, SETVAL, value)`: what processes have to be undone there is forgotten.
    /// ERANGE: above 32767.
    pub fn put(&self, num: u16, value: u16) -> Result<()> {
        let (num, value) = (i32::from(num), i32::from(value));
        self.backend.sem_put(self.semid, num, value)
    }

    /// `semctl(semid, 0, SETALL)`. EINVAL: not as many as the set has; ERANGE: one above 32767.
    pub fn put_all(&self, values: &[u16]) -> Result<()> {
        self.backend.sem_put_all(self.semid, values)
    }

    /// `semctl(semid, num, GETPID)`: the process that changed it last, 0 if none did.
    pub fn pid(&self, num: u16) -> Result<i32> {
        self.field(num, SemField::Pid)
    }

    /// `semctl(semid, num, GETNCNT)`: how many wait for it to grow.
    pub fn waiting_to_take(&self, num: u16) -> Result<i32> {
        self.field(num, SemField::Ncnt)
    }

    /// `semctl(semid, num, GETZCNT)`: how many wait for it to be zero.
    pub fn waiting_for_zero(&self, num: u16) -> Result<i32> {
        self.field(num, SemField::Zcnt)
    }

    fn field(&self, num: u16, field: SemField) -> Result<i32> {
        self.backend.sem_get(self.semid, i32::from(num), field)
    }

    /// `semctl(semid, 0, IPC_STAT)`; `sem_nsems` is how many semaphores there are.
    pub fn stat(&self) -> Result<SemidDs> {
        self.backend.sem_stat(self.semid)
    }

    /// `semctl(semid, 0, IPC_SET)`: owner, group and mode from `ds`.
    pub fn set(&self, ds: &SemidDs) -> Result<()> {
        self.backend.sem_set(self.semid, ds)
    }

    /// `semctl(semid, 0, IPC_RMID)`: sleepers get EIDRM.
    pub fn remove(self) -> Result<()> {
        self.backend.sem_remove(self.semid)
    }
}

impl Guard<'_> {
    /// Gives it back, and tells of a failure, which a drop cannot. EINVAL, EIDRM: the set is gone;
    /// ERANGE: others added so much that there is no room.
    pub fn unlock(self) -> Result<()> {
        let given = self.give_back();
        core::mem::forget(self);
        given
    }

    fn give_back(&self) -> Result<()> {
        self.set.perform(&[Op::add(self.num, 1).undo()])
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        // A set that is gone has nothing to give back to.
        let _ = self.give_back();
    }
}
