//! The scenarios' words for `msgctl`. Each makes one C call and records it.

use crate::call;
use crate::errno::Errno;
use crate::ids::show_key;
use crate::memory::Area;
use crate::msg::Queue;
use crate::stage::{Outcome, Stage};
use libc::{IPC_INFO, IPC_RMID, IPC_SET, IPC_STAT, MSG_INFO, MSG_STAT};

/// `msgctl`: as `MSG_STAT`, without the permission check. The libc crate has no name for it.
pub const MSG_STAT_ANY: i32 = 13;

/// What `IPC_STAT` tells.
#[allow(missing_docs)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    pub key: i32,
    pub uid: u32,
    pub gid: u32,
    pub cuid: u32,
    pub cgid: u32,
    pub mode: u32,
    pub sequence: u32,
    pub stime: i64,
    pub rtime: i64,
    pub ctime: i64,
    pub cbytes: u64,
    pub qnum: u64,
    pub qbytes: u64,
    pub lspid: i32,
    pub lrpid: i32,
}

impl Stat {
    fn from_ds(ds: &libc::msqid_ds) -> Stat {
        Stat {
            key: ds.msg_perm.__key,
            uid: ds.msg_perm.uid,
            gid: ds.msg_perm.gid,
            cuid: ds.msg_perm.cuid,
            cgid: ds.msg_perm.cgid,
            mode: ds.msg_perm.mode.into(),
            sequence: ds.msg_perm.__seq.into(),
            stime: ds.msg_stime,
            rtime: ds.msg_rtime,
            ctime: ds.msg_ctime,
            cbytes: ds.__msg_cbytes,
            qnum: ds.msg_qnum,
            qbytes: ds.msg_qbytes,
            lspid: ds.msg_lspid,
            lrpid: ds.msg_lrpid,
        }
    }

    fn to_ds(&self) -> libc::msqid_ds {
        let mut ds = call::blank_ds();
        ds.msg_perm.__key = self.key;
        ds.msg_perm.uid = self.uid;
        ds.msg_perm.gid = self.gid;
        ds.msg_perm.cuid = self.cuid;
        ds.msg_perm.cgid = self.cgid;
        ds.msg_perm.mode = self.mode as u16;
        ds.msg_perm.__seq = self.sequence as u16;
        ds.msg_stime = self.stime;
        ds.msg_rtime = self.rtime;
        ds.msg_ctime = self.ctime;
        ds.__msg_cbytes = self.cbytes;
        ds.msg_qnum = self.qnum;
        ds.msg_qbytes = self.qbytes;
        ds.msg_lspid = self.lspid;
        ds.msg_lrpid = self.lrpid;
        ds
    }
}

impl Stage {
    /// `msgctl(queue, IPC_RMID)`
    pub fn remove(&self, queue: Queue) -> Outcome<()> {
        self.call(
            format_args!("msgctl({}, IPC_RMID)", self.id_role(queue.0)),
            || call::msgctl(queue.0, IPC_RMID, &mut call::blank_ds()).map(drop),
            |()| "0".to_owned(),
        )
    }

    /// `msgctl(queue, IPC_STAT)`
    pub fn stat(&self, queue: Queue) -> Outcome<Stat> {
        self.call(
            format_args!("msgctl({}, IPC_STAT)", self.id_role(queue.0)),
            || stat(queue.0, IPC_STAT).map(|(_, stat)| stat),
            |stat| self.show_stat(stat),
        )
    }

    /// `msgctl(index, MSG_STAT)`: the id of the queue at this place, and its state.
    pub fn stat_at(&self, index: i32) -> Outcome<(Queue, Stat)> {
        self.stat_by_index(index, MSG_STAT, "MSG_STAT")
    }

    /// `msgctl(index, MSG_STAT_ANY)`
    pub fn stat_any_at(&self, index: i32) -> Outcome<(Queue, Stat)> {
        self.stat_by_index(index, MSG_STAT_ANY, "MSG_STAT_ANY")
    }

    fn stat_by_index(&self, index: i32, cmd: i32, name: &str) -> Outcome<(Queue, Stat)> {
        self.call(
            format_args!("msgctl({index}, {name})"),
            || stat(index, cmd).map(|(ret, stat)| (Queue(ret), stat)),
            |(queue, stat)| format!("{}, {}", self.id_role(queue.0), self.show_stat(stat)),
        )
    }

    /// `msgctl(queue, IPC_SET, wanted)`: uid, gid, mode and qbytes count, the rest is there to be
    /// ignored.
    pub fn set(&self, queue: Queue, wanted: &Stat) -> Outcome<()> {
        self.call(
            format_args!(
                "msgctl({}, IPC_SET, {{uid {}, gid {}, mode 0{:o}, qbytes {}}})",
                self.id_role(queue.0),
                wanted.uid as i32,
                wanted.gid as i32,
                wanted.mode,
                wanted.qbytes
            ),
            || call::msgctl(queue.0, IPC_SET, &mut wanted.to_ds()).map(drop),
            |()| "0".to_owned(),
        )
    }

    /// `IPC_STAT`, a change, `IPC_SET`.
    pub fn change(&self, queue: Queue, change: impl FnOnce(&mut Stat)) -> Outcome<()> {
        let mut wanted = self.stat(queue).must();
        change(&mut wanted);
        self.set(queue, &wanted)
    }

    /// `msgctl(0, IPC_INFO)`: the highest index in use, and the limits.
    pub fn info(&self) -> Outcome<(i32, libc::msginfo)> {
        self.msginfo(0, IPC_INFO, "IPC_INFO")
    }

    /// `msgctl(0, MSG_INFO)`: the highest index in use, and what is used.
    pub fn usage(&self) -> Outcome<(i32, libc::msginfo)> {
        self.msginfo(0, MSG_INFO, "MSG_INFO")
    }

    /// `msgctl(id, IPC_INFO or MSG_INFO)` with an id that should not matter.
    pub fn msginfo(&self, id: i32, cmd: i32, name: &str) -> Outcome<(i32, libc::msginfo)> {
        self.call(
            format_args!("msgctl({id}, {name})"),
            || {
                let (ret, info) = call::msginfo(id, cmd);
                ret.map(|ret| (ret, info))
            },
            |(highest, info)| {
                format!(
                    "{highest}, {{pool {}, map {}, max {}, mnb {}, mni {}, ssz {}, tql {}, seg {}}}",
                    info.msgpool,
                    info.msgmap,
                    info.msgmax,
                    info.msgmnb,
                    info.msgmni,
                    info.msgssz,
                    info.msgtql,
                    info.msgseg
                )
            },
        )
    }

    /// `msgctl(id, cmd, area)`, whatever all three are.
    pub fn ctl(&self, id: i32, cmd: i32, area: &Area) -> Outcome<i32> {
        self.call(
            format_args!("msgctl({}, cmd {cmd}, area)", self.id_role(id)),
            || call::msgctl_at(id, cmd, area),
            ToString::to_string,
        )
    }

    fn show_stat(&self, stat: &Stat) -> String {
        format!(
            "{{key {}, owner {}:{}, creator {}:{}, mode 0{:o}, qnum {}, cbytes {}, qbytes {}, sent by {} \
             {}, received by {} {}, changed {}}}",
            show_key(stat.key),
            stat.uid,
            stat.gid,
            stat.cuid,
            stat.cgid,
            stat.mode,
            stat.qnum,
            stat.cbytes,
            stat.qbytes,
            self.pid_role(stat.lspid),
            self.time_role(stat.stime),
            self.pid_role(stat.lrpid),
            self.time_role(stat.rtime),
            self.time_role(stat.ctime)
        )
    }
}

fn stat(id: i32, cmd: i32) -> Result<(i32, Stat), Errno> {
    let mut ds = call::blank_ds();
    call::msgctl(id, cmd, &mut ds).map(|ret| (ret, Stat::from_ds(&ds)))
}
