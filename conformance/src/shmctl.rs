//! The scenarios' words for `shmctl`. Each makes one C call and records it.

use crate::errno::Errno;
use crate::ids::show_key;
use crate::memory::Area;
use crate::shm::Segment;
use crate::shmcall::{self, ShmInfo, ShmUsage};
use crate::stage::{Outcome, Stage};
use libc::{IPC_RMID, IPC_SET, IPC_STAT};

/// `shmctl`: keep the segment in memory.
pub const SHM_LOCK: i32 = 11;
/// `shmctl`: let it be swapped out again.
pub const SHM_UNLOCK: i32 = 12;
/// `shmctl`: `IPC_STAT` by index.
pub const SHM_STAT: i32 = 13;
/// `shmctl`: what is used.
pub const SHM_INFO: i32 = 14;
/// `shmctl`: as `SHM_STAT`, without the permission check.
pub const SHM_STAT_ANY: i32 = 15;

/// In the mode: removed, and goes with its last attachment.
pub const SHM_DEST: u32 = 0o1000;
/// In the mode: `SHM_LOCK` was done.
pub const SHM_LOCKED: u32 = 0o2000;

/// What `IPC_STAT` tells.
#[allow(missing_docs)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShmStat {
    pub key: i32,
    pub uid: u32,
    pub gid: u32,
    pub cuid: u32,
    pub cgid: u32,
    pub mode: u32,
    pub sequence: u32,
    pub segsz: usize,
    pub atime: i64,
    pub dtime: i64,
    pub ctime: i64,
    pub cpid: i32,
    pub lpid: i32,
    pub nattch: u64,
}

impl ShmStat {
    fn from_ds(ds: &libc::shmid_ds) -> ShmStat {
        ShmStat {
            key: ds.shm_perm.__key,
            uid: ds.shm_perm.uid,
            gid: ds.shm_perm.gid,
            cuid: ds.shm_perm.cuid,
            cgid: ds.shm_perm.cgid,
            mode: ds.shm_perm.mode.into(),
            sequence: ds.shm_perm.__seq.into(),
            segsz: ds.shm_segsz,
            atime: ds.shm_atime,
            dtime: ds.shm_dtime,
            ctime: ds.shm_ctime,
            cpid: ds.shm_cpid,
            lpid: ds.shm_lpid,
            nattch: ds.shm_nattch,
        }
    }

    fn to_ds(&self) -> libc::shmid_ds {
        let mut ds = shmcall::blank_ds();
        ds.shm_perm.__key = self.key;
        ds.shm_perm.uid = self.uid;
        ds.shm_perm.gid = self.gid;
        ds.shm_perm.cuid = self.cuid;
        ds.shm_perm.cgid = self.cgid;
        ds.shm_perm.mode = self.mode as u16;
        ds.shm_perm.__seq = self.sequence as u16;
        ds.shm_segsz = self.segsz;
        ds.shm_atime = self.atime;
        ds.shm_dtime = self.dtime;
        ds.shm_ctime = self.ctime;
        ds.shm_cpid = self.cpid;
        ds.shm_lpid = self.lpid;
        ds.shm_nattch = self.nattch;
        ds
    }
}

impl Stage {
    /// `shmctl(segment, IPC_RMID)`
    pub fn shm_remove(&self, segment: Segment) -> Outcome<()> {
        self.shm_command(segment, IPC_RMID, "IPC_RMID")
    }

    /// `shmctl(segment, SHM_LOCK)`
    pub fn shm_lock(&self, segment: Segment) -> Outcome<()> {
        self.shm_command(segment, SHM_LOCK, "SHM_LOCK")
    }

    /// `shmctl(segment, SHM_UNLOCK)`
    pub fn shm_unlock(&self, segment: Segment) -> Outcome<()> {
        self.shm_command(segment, SHM_UNLOCK, "SHM_UNLOCK")
    }

    fn shm_command(&self, segment: Segment, cmd: i32, name: &str) -> Outcome<()> {
        self.call(
            format_args!("shmctl({}, {name})", self.id_role(segment.0)),
            || shmcall::shmctl(segment.0, cmd, &mut shmcall::blank_ds()).map(drop),
            |()| "0".to_owned(),
        )
    }

    /// `shmctl(segment, IPC_STAT)`
    pub fn shm_stat(&self, segment: Segment) -> Outcome<ShmStat> {
        self.call(
            format_args!("shmctl({}, IPC_STAT)", self.id_role(segment.0)),
            || stat(segment.0, IPC_STAT).map(|(_, stat)| stat),
            |stat| self.show_shm_stat(stat),
        )
    }

    /// `shmctl(index, SHM_STAT)`: the id of the segment at this place, and its state.
    pub fn shm_stat_at(&self, index: i32) -> Outcome<(Segment, ShmStat)> {
        self.shm_stat_by_index(index, SHM_STAT, "SHM_STAT")
    }

    /// `shmctl(index, SHM_STAT_ANY)`
    pub fn shm_stat_any_at(&self, index: i32) -> Outcome<(Segment, ShmStat)> {
        self.shm_stat_by_index(index, SHM_STAT_ANY, "SHM_STAT_ANY")
    }

    fn shm_stat_by_index(&self, index: i32, cmd: i32, name: &str) -> Outcome<(Segment, ShmStat)> {
        self.call(
            format_args!("shmctl({index}, {name})"),
            || stat(index, cmd).map(|(ret, stat)| (Segment(ret), stat)),
            |(segment, stat)| format!("{}, {}", self.id_role(segment.0), self.show_shm_stat(stat)),
        )
    }

    /// `shmctl(segment, IPC_SET, wanted)`: uid, gid and mode count, the rest is there to be
    /// ignored.
    pub fn shm_set(&self, segment: Segment, wanted: &ShmStat) -> Outcome<()> {
        self.call(
            format_args!(
                "shmctl({}, IPC_SET, {{uid {}, gid {}, mode 0{:o}}})",
                self.id_role(segment.0),
                wanted.uid as i32,
                wanted.gid as i32,
                wanted.mode
            ),
            || shmcall::shmctl(segment.0, IPC_SET, &mut wanted.to_ds()).map(drop),
            |()| "0".to_owned(),
        )
    }

    /// `IPC_STAT`, a change, `IPC_SET`.
    pub fn shm_change(&self, segment: Segment, change: impl FnOnce(&mut ShmStat)) -> Outcome<()> {
        let mut wanted = self.shm_stat(segment).must();
        change(&mut wanted);
        self.shm_set(segment, &wanted)
    }

    /// `shmctl(id, IPC_INFO)`: the highest index in use, and the limits.
    pub fn shm_limits(&self, id: i32) -> Outcome<(i32, ShmInfo)> {
        self.call(
            format_args!("shmctl({id}, IPC_INFO)"),
            || {
                let (ret, info) = shmcall::shminfo(id);
                ret.map(|ret| (ret, info))
            },
            |(highest, info)| {
                format!(
                    "{highest}, {{max {}, min {}, mni {}, seg {}, all {}}}",
                    info.shmmax, info.shmmin, info.shmmni, info.shmseg, info.shmall
                )
            },
        )
    }

    /// `shmctl(id, SHM_INFO)`: the highest index in use, and what is used.
    pub fn shm_usage(&self, id: i32) -> Outcome<(i32, ShmUsage)> {
        self.call(
            format_args!("shmctl({id}, SHM_INFO)"),
            || {
                let (ret, info) = shmcall::shm_info(id);
                ret.map(|ret| (ret, info))
            },
            |(highest, info)| {
                format!(
                    "{highest}, {{ids {}, pages {}, in memory {}, swapped {}}}",
                    info.used_ids, info.shm_tot, info.shm_rss, info.shm_swp
                )
            },
        )
    }

    /// `shmctl(id, cmd, area)`, whatever all three are.
    pub fn shm_ctl(&self, id: i32, cmd: i32, area: &Area) -> Outcome<i32> {
        self.call(
            format_args!("shmctl({}, cmd {cmd}, area)", self.id_role(id)),
            || shmcall::shmctl_at(id, cmd, area),
            ToString::to_string,
        )
    }

    fn show_shm_stat(&self, stat: &ShmStat) -> String {
        format!(
            "{{key {}, owner {}:{}, creator {}:{}, mode 0{:o}, size {}, nattch {}, made by {}, \
             last used by {}, attached {}, detached {}, changed {}}}",
            show_key(stat.key),
            stat.uid,
            stat.gid,
            stat.cuid,
            stat.cgid,
            stat.mode,
            stat.segsz,
            stat.nattch,
            self.pid_role(stat.cpid),
            self.pid_role(stat.lpid),
            self.time_role(stat.atime),
            self.time_role(stat.dtime),
            self.time_role(stat.ctime)
        )
    }
}

fn stat(id: i32, cmd: i32) -> Result<(i32, ShmStat), Errno> {
    let mut ds = shmcall::blank_ds();
    shmcall::shmctl(id, cmd, &mut ds).map(|ret| (ret, ShmStat::from_ds(&ds)))
}
