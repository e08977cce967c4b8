//! The traits that every implementation of System V IPC stands behind: one for each mechanism, and
//! [`Backend`] for all of them. In the kernel's terms; flags are the C API's bits ([`crate::abi`]).

use crate::abi::{MsgInfo, MsqidDs, SemInfo, Sembuf, SemidDs, ShmLimits, ShmUsage, ShmidDs};
use crate::errno::Result;
use core::time::Duration;

/// All of System V IPC.
pub trait Backend: Messages + Semaphores + SharedMemory {}

impl<T: Messages + Semaphores + SharedMemory> Backend for T {}

/// The message-queue calls. [`Queue`](crate::Queue) is the typed face of this.
pub trait Messages {
    /// `msgget(key, msgflg)`: the id of the queue with this key, created if the flags say so.
    fn msgget(&self, key: i32, msgflg: i32) -> Result<i32>;

    /// `msgsnd(msqid, {mtype, mtext}, mtext.len(), msgflg)`.
    fn msgsnd(&self, msqid: i32, mtype: i64, mtext: &[u8], msgflg: i32) -> Result<()>;

    /// `msgrcv(msqid, _, mtext.len(), msgtyp, msgflg)`: the message's type and the bytes copied.
    fn msgrcv(
        &self,
        msqid: i32,
        mtext: &mut [u8],
        msgtyp: i64,
        msgflg: i32,
    ) -> Result<(i64, usize)>;

    /// `msgctl(msqid, IPC_STAT)`.
    fn msg_stat(&self, msqid: i32) -> Result<MsqidDs>;

    /// `msgctl(msqid, IPC_SET)`: takes `msg_qbytes` and the uid, gid and low nine mode bits of
    /// `msg_perm` from `ds`; every other field is ignored.
    fn msg_set(&self, msqid: i32, ds: &MsqidDs) -> Result<()>;

    /// `msgctl(msqid, IPC_RMID)`.
    fn msg_remove(&self, msqid: i32) -> Result<()>;

    /// `msgctl(0, IPC_INFO)`: the limits, and the highest index in use (0 if none).
    fn msg_limits(&self) -> Result<(MsgInfo, i32)>;

    /// `msgctl(0, MSG_INFO)`: what is in use, and the highest index in use (0 if none).
    fn msg_usage(&self) -> Result<(MsgInfo, i32)>;

    /// `msgctl(index, MSG_STAT)`, or `MSG_STAT_ANY` if `any`: the id and the status of the queue
    /// at this index (not id).
    fn msg_stat_index(&self, index: i32, any: bool) -> Result<(i32, MsqidDs)>;
}

/// What `semctl` tells about one semaphore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SemField {
    /// `GETVAL`: its value.
    Value,
    /// `GETPID`: the process that changed it last.
    Pid,
    /// `GETNCNT`: how many wait for it to grow.
    Ncnt,
    /// `GETZCNT`: how many wait for it to be zero.
    Zcnt,
}

/// The semaphore calls. [`SemaphoreSet`](crate::SemaphoreSet) is the typed face of this.
pub trait Semaphores {
    /// `semget(key, nsems, semflg)`: the id of the set with this key, created if the flags say so.
    fn semget(&self, key: i32, nsems: i32, semflg: i32) -> Result<i32>;

    /// `semtimedop(semid, sops, sops.len(), timeout)`, or `semop` without a timeout.
    fn semop(&self, semid: i32, sops: &[Sembuf], timeout: Option<Duration>) -> Result<()>;

    /// `semctl(semid, 0, IPC_STAT)`.
    fn sem_stat(&self, semid: i32) -> Result<SemidDs>;

    /// `semctl(semid, 0, IPC_SET)`: takes the uid, gid and low nine mode bits of `sem_perm` from
    /// `ds`; every other field is ignored.
    fn sem_set(&self, semid: i32, ds: &SemidDs) -> Result<()>;

    /// `semctl(semid, 0, IPC_RMID)`.
    fn sem_remove(&self, semid: i32) -> Result<()>;

    /// `semctl(semid, semnum, GETVAL)`, or another field.
    fn sem_get(&self, semid: i32, semnum: i32, field: SemField) -> Result<i32>;

    /// `semctl(semid, semnum, SETVAL, value)`.
    fn sem_put(&self, semid: i32, semnum: i32, value: i32) -> Result<()>;

    /// `semctl(semid, 0, GETALL)`. EINVAL: not as many as the set has.
    fn sem_get_all(&self, semid: i32, values: &mut [u16]) -> Result<()>;

    /// `semctl(semid, 0, SETALL)`. EINVAL: not as many as the set has.
    fn sem_put_all(&self, semid: i32, values: &[u16]) -> Result<()>;

    /// `semctl(0, 0, IPC_INFO)`: the limits, and the highest index in use (0 if none).
    fn sem_limits(&self) -> Result<(SemInfo, i32)>;

    /// `semctl(0, 0, SEM_INFO)`: what is in use, and the highest index in use (0 if none).
    fn sem_usage(&self) -> Result<(SemInfo, i32)>;

    /// `semctl(index, 0, SEM_STAT)`, or `SEM_STAT_ANY` if `any`: the id and the status of the set
    /// at this index (not id).
    fn sem_stat_index(&self, index: i32, any: bool) -> Result<(i32, SemidDs)>;
}

/// The shared-memory calls. [`Segment`](crate::Segment) is the typed face of this.
pub trait SharedMemory {
    /// `shmget(key, size, shmflg)`: the id of the segment with this key, created if the flags say
    /// so.
    fn shmget(&self, key: i32, size: usize, shmflg: i32) -> Result<i32>;

    /// `shmat(shmid, addr, shmflg)`: where the segment is attached; 0 lets the system choose.
    ///
    /// # Safety
    /// With `SHM_REMAP`, nobody uses the memory that is replaced.
    #[allow(unsafe_code)]
    unsafe fn shmat(&self, shmid: i32, addr: usize, shmflg: i32) -> Result<usize>;

    /// `shmdt(addr)`.
    ///
    /// # Safety
    /// Nobody uses the attachment any more.
    #[allow(unsafe_code)]
    unsafe fn shmdt(&self, addr: usize) -> Result<()>;

    /// `shmctl(shmid, IPC_STAT)`.
    fn shm_stat(&self, shmid: i32) -> Result<ShmidDs>;

    /// `shmctl(shmid, IPC_SET)`: takes the uid, gid and low nine mode bits of `shm_perm` from
    /// `ds`; every other field is ignored.
    fn shm_set(&self, shmid: i32, ds: &ShmidDs) -> Result<()>;

    /// `shmctl(shmid, IPC_RMID)`: the key goes at once, the segment with its last attachment.
    fn shm_remove(&self, shmid: i32) -> Result<()>;

    /// `shmctl(shmid, SHM_LOCK)`, or `SHM_UNLOCK`.
    fn shm_lock(&self, shmid: i32, lock: bool) -> Result<()>;

    /// `shmctl(0, IPC_INFO)`: the limits, and the highest index in use (0 if none).
    fn shm_limits(&self) -> Result<(ShmLimits, i32)>;

    /// `shmctl(0, SHM_INFO)`: what is in use, and the highest index in use (0 if none).
    fn shm_usage(&self) -> Result<(ShmUsage, i32)>;

    /// `shmctl(index, SHM_STAT)`, or `SHM_STAT_ANY` if `any`: the id and the status of the segment
    /// at this index (not id).
    fn shm_stat_index(&self, index: i32, any: bool) -> Result<(i32, ShmidDs)>;
}
