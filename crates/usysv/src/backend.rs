//! The trait that every implementation of System V IPC stands behind.

use crate::abi::{MsgInfo, MsqidDs};
use crate::errno::Result;

/// The message-queue calls, in the kernel's terms.
///
/// Flags are the C API's bits ([`crate::abi`]). [`Queue`](crate::Queue) is the typed face of this.
pub trait Backend {
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
