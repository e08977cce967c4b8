//! The C ABI of System V IPC: structures and constants exactly as Linux and the libc lay them out.
//!
//! Source: `msgctl(2)`, `msgop(2)`, `semctl(2)`, `semop(2)`, `shmctl(2)`, `shmop(2)`, `sysvipc(7)` and
//! `<sys/msg.h>`, `<sys/sem.h>`, `<sys/shm.h>` for 64-bit Linux.

use core::mem::{offset_of, size_of};

pub use libc::{
    GETALL, GETNCNT, GETPID, GETVAL, GETZCNT, IPC_CREAT, IPC_EXCL, IPC_INFO, IPC_NOWAIT,
    IPC_PRIVATE, IPC_RMID, IPC_SET, IPC_STAT, MSG_COPY, MSG_EXCEPT, MSG_INFO, MSG_NOERROR,
    MSG_STAT, SEM_INFO, SEM_STAT, SEM_UNDO, SETALL, SETVAL, SHM_EXEC, SHM_HUGETLB, SHM_LOCK,
    SHM_NORESERVE, SHM_RDONLY, SHM_REMAP, SHM_RND, SHM_UNLOCK,
};

/// `shmctl`: the status of the segment at an index.
pub const SHM_STAT: i32 = 13;

/// `shmctl`: what is in use.
pub const SHM_INFO: i32 = 14;

/// `shmctl`: as `SHM_STAT`, without the read-permission check (Linux 4.17).
pub const SHM_STAT_ANY: i32 = 15;

/// In `shm_perm.mode`: the segment goes with its last attachment.
pub const SHM_DEST: u16 = 0o1000;

/// In `shm_perm.mode`: the segment is locked in memory.
pub const SHM_LOCKED: u16 = 0o2000;

/// `msgctl`: as `MSG_STAT`, without the read-permission check (Linux 4.17).
pub const MSG_STAT_ANY: i32 = 13;

/// `semctl`: as `SEM_STAT`, without the read-permission check (Linux 4.17).
pub const SEM_STAT_ANY: i32 = 20;

/// Largest value of a semaphore.
pub const SEMVMX: i32 = 32767;

/// Ids are `index + sequence * IPCMNI`, as Linux's.
pub const IPCMNI: i32 = 32768;

/// `struct ipc_perm`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IpcPerm {
    /// The key that `msgget` was called with, 0 for `IPC_PRIVATE` or after removal.
    pub key: i32,
    /// Effective user id of the owner.
    pub uid: u32,
    /// Effective group id of the owner.
    pub gid: u32,
    /// Effective user id of the creator.
    pub cuid: u32,
    /// Effective group id of the creator.
    pub cgid: u32,
    /// Permission bits (nine lowest) and, for segments, state flags.
    pub mode: u16,
    pad1: u16,
    /// Sequence number: `id / 32768`.
    pub seq: u16,
    pad2: u16,
    hole: u32,
    unused: [u64; 2],
}

/// `struct msqid_ds`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MsqidDs {
    /// Ownership and permissions.
    pub msg_perm: IpcPerm,
    /// Time of the last `msgsnd`, in seconds since the epoch, 0 if none.
    pub msg_stime: i64,
    /// Time of the last `msgrcv`, in seconds since the epoch, 0 if none.
    pub msg_rtime: i64,
    /// Time of creation or last `IPC_SET`, in seconds since the epoch.
    pub msg_ctime: i64,
    /// Bytes of message text in the queue.
    pub msg_cbytes: u64,
    /// Number of messages in the queue.
    pub msg_qnum: u64,
    /// Most bytes of message text allowed in the queue; also the most messages.
    pub msg_qbytes: u64,
    /// Process id of the last `msgsnd`.
    pub msg_lspid: i32,
    /// Process id of the last `msgrcv`.
    pub msg_lrpid: i32,
    #[doc(hidden)]
    pub reserved: [u64; 2],
}

/// `struct msginfo`, as `IPC_INFO` and `MSG_INFO` fill it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MsgInfo {
    /// Size of the message pool in KiB (`IPC_INFO`), or number of queues (`MSG_INFO`).
    pub msgpool: i32,
    /// Entries in the message map (`IPC_INFO`), or messages in all queues (`MSG_INFO`).
    pub msgmap: i32,
    /// Largest message text, in bytes.
    pub msgmax: i32,
    /// Default bytes in a queue.
    pub msgmnb: i32,
    /// Most queues.
    pub msgmni: i32,
    /// Message segment size, unused by Linux.
    pub msgssz: i32,
    /// Message headers (`IPC_INFO`), or bytes of text in all queues (`MSG_INFO`).
    pub msgtql: i32,
    /// Message segments, unused by Linux.
    pub msgseg: u16,
    #[doc(hidden)]
    pub hole: u16,
}

/// `struct sembuf`: one operation on one semaphore.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sembuf {
    /// The semaphore's number in its set.
    pub sem_num: u16,
    /// What is added; 0 waits for zero.
    pub sem_op: i16,
    /// `IPC_NOWAIT`, `SEM_UNDO`.
    pub sem_flg: i16,
}

/// `struct semid_ds`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SemidDs {
    /// Ownership and permissions.
    pub sem_perm: IpcPerm,
    /// Time of the last `semop`, in seconds since the epoch, 0 if none.
    pub sem_otime: i64,
    #[doc(hidden)]
    pub reserved: u64,
    /// Time of creation or of the last change by `semctl`, in seconds since the epoch.
    pub sem_ctime: i64,
    #[doc(hidden)]
    pub reserved2: u64,
    /// Number of semaphores in the set.
    pub sem_nsems: u64,
    #[doc(hidden)]
    pub reserved3: [u64; 2],
}

/// `struct seminfo`, as `IPC_INFO` and `SEM_INFO` fill it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SemInfo {
    /// Unused by Linux.
    pub semmap: i32,
    /// Most sets.
    pub semmni: i32,
    /// Most semaphores in all sets.
    pub semmns: i32,
    /// Unused by Linux.
    pub semmnu: i32,
    /// Most semaphores in a set.
    pub semmsl: i32,
    /// Most operations in a `semop`.
    pub semopm: i32,
    /// Unused by Linux.
    pub semume: i32,
    /// Unused by Linux (`IPC_INFO`), or number of sets (`SEM_INFO`).
    pub semusz: i32,
    /// Largest value of a semaphore.
    pub semvmx: i32,
    /// Largest `semadj` (`IPC_INFO`), or semaphores in all sets (`SEM_INFO`).
    pub semaem: i32,
}

/// `struct shmid_ds`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShmidDs {
    /// Ownership, permissions, and the flags [`SHM_DEST`] and [`SHM_LOCKED`] in the mode.
    pub shm_perm: IpcPerm,
    /// Size in bytes, as asked for.
    pub shm_segsz: u64,
    /// Time of the last attach, in seconds since the epoch, 0 if none.
    pub shm_atime: i64,
    /// Time of the last detach, in seconds since the epoch, 0 if none.
    pub shm_dtime: i64,
    /// Time of creation or last `IPC_SET`, in seconds since the epoch.
    pub shm_ctime: i64,
    /// Process id of the creator.
    pub shm_cpid: i32,
    /// Process id of the last attach or detach.
    pub shm_lpid: i32,
    /// Number of attachments.
    pub shm_nattch: u64,
    #[doc(hidden)]
    pub reserved: [u64; 2],
}

/// `struct shminfo`, as `IPC_INFO` fills it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShmLimits {
    /// Most bytes in a segment.
    pub shmmax: u64,
    /// Fewest bytes in a segment: 1.
    pub shmmin: u64,
    /// Most segments.
    pub shmmni: u64,
    /// Most segments in a process: as `shmmni`, unused by Linux.
    pub shmseg: u64,
    /// Most pages in all segments.
    pub shmall: u64,
    #[doc(hidden)]
    pub reserved: [u64; 4],
}

/// `struct shm_info`, as `SHM_INFO` fills it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShmUsage {
    /// Segments.
    pub used_ids: i32,
    // Written out, that the kernel's zeros reach the program: a hole would keep what was there.
    #[doc(hidden)]
    pub hole: u32,
    /// Pages in all segments, there or not.
    pub shm_tot: u64,
    /// Pages that are really there.
    pub shm_rss: u64,
    /// Pages that were swapped out.
    pub shm_swp: u64,
    /// Unused by Linux.
    pub swap_attempts: u64,
    /// Unused by Linux.
    pub swap_successes: u64,
}

impl IpcPerm {
    /// A record with these values and zeroed padding.
    #[allow(clippy::too_many_arguments)]
    pub fn new(key: i32, uid: u32, gid: u32, cuid: u32, cgid: u32, mode: u16, seq: u16) -> IpcPerm {
        IpcPerm {
            key,
            uid,
            gid,
            cuid,
            cgid,
            mode,
            seq,
            ..IpcPerm::default()
        }
    }
}

const _: () = assert!(size_of::<IpcPerm>() == size_of::<libc::ipc_perm>());
const _: () = assert!(size_of::<MsqidDs>() == size_of::<libc::msqid_ds>());
const _: () = assert!(offset_of!(MsqidDs, msg_stime) == offset_of!(libc::msqid_ds, msg_stime));
const _: () = assert!(offset_of!(MsqidDs, msg_qbytes) == offset_of!(libc::msqid_ds, msg_qbytes));
const _: () = assert!(offset_of!(MsqidDs, msg_lrpid) == offset_of!(libc::msqid_ds, msg_lrpid));
const _: () = assert!(size_of::<MsgInfo>() == size_of::<libc::msginfo>());
const _: () = assert!(size_of::<Sembuf>() == size_of::<libc::sembuf>());
const _: () = assert!(size_of::<SemidDs>() == size_of::<libc::semid_ds>());
const _: () = assert!(offset_of!(SemidDs, sem_otime) == offset_of!(libc::semid_ds, sem_otime));
const _: () = assert!(offset_of!(SemidDs, sem_ctime) == offset_of!(libc::semid_ds, sem_ctime));
const _: () = assert!(offset_of!(SemidDs, sem_nsems) == offset_of!(libc::semid_ds, sem_nsems));
const _: () = assert!(size_of::<SemInfo>() == size_of::<libc::seminfo>());
const _: () = assert!(size_of::<ShmidDs>() == size_of::<libc::shmid_ds>());
const _: () = assert!(offset_of!(ShmidDs, shm_segsz) == offset_of!(libc::shmid_ds, shm_segsz));
const _: () = assert!(offset_of!(ShmidDs, shm_atime) == offset_of!(libc::shmid_ds, shm_atime));
const _: () = assert!(offset_of!(ShmidDs, shm_cpid) == offset_of!(libc::shmid_ds, shm_cpid));
const _: () = assert!(offset_of!(ShmidDs, shm_nattch) == offset_of!(libc::shmid_ds, shm_nattch));
const _: () = assert!(size_of::<ShmLimits>() == 72 && size_of::<ShmUsage>() == 48);
