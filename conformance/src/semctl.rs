//! The scenarios' words for `semctl`. Each makes one C call and records it.

use crate::errno::Errno;
use crate::ids::show_key;
use crate::memory::Area;
use crate::sem::Set;
use crate::semcall;
use crate::stage::{Outcome, Stage};
use libc::{
    GETNCNT, GETPID, GETVAL, GETZCNT, IPC_INFO, IPC_RMID, IPC_SET, IPC_STAT, SEM_INFO, SEM_STAT,
    SEM_STAT_ANY, SETVAL,
};

/// What `IPC_STAT` tells.
#[allow(missing_docs)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetStat {
    pub key: i32,
    pub uid: u32,
    pub gid: u32,
    pub cuid: u32,
    pub cgid: u32,
    pub mode: u32,
    pub sequence: u32,
    pub otime: i64,
    pub ctime: i64,
    pub nsems: u64,
}

impl SetStat {
    fn from_ds(ds: &libc::semid_ds) -> SetStat {
        SetStat {
            key: ds.sem_perm.__key,
            uid: ds.sem_perm.uid,
            gid: ds.sem_perm.gid,
            cuid: ds.sem_perm.cuid,
            cgid: ds.sem_perm.cgid,
            mode: ds.sem_perm.mode.into(),
            sequence: ds.sem_perm.__seq.into(),
            otime: ds.sem_otime,
            ctime: ds.sem_ctime,
            nsems: ds.sem_nsems,
        }
    }

    fn to_ds(&self) -> libc::semid_ds {
        let mut ds = semcall::blank_ds();
        ds.sem_perm.__key = self.key;
        ds.sem_perm.uid = self.uid;
        ds.sem_perm.gid = self.gid;
        ds.sem_perm.cuid = self.cuid;
        ds.sem_perm.cgid = self.cgid;
        ds.sem_perm.mode = self.mode as u16;
        ds.sem_perm.__seq = self.sequence as u16;
        ds.sem_otime = self.otime;
        ds.sem_ctime = self.ctime;
        ds.sem_nsems = self.nsems;
        ds
    }
}

impl Stage {
    /// `semctl(set, num, cmd, value)` for a command that takes a number or nothing.
    pub fn semctl(&self, id: i32, num: i32, cmd: (i32, &str), value: i32) -> Outcome<i32> {
        self.call(
            format_args!("semctl({}, {num}, {}, {value})", self.id_role(id), cmd.1),
            || semcall::semctl(id, num, cmd.0, value),
            ToString::to_string,
        )
    }

    /// `semctl(id, num, cmd, area)`, whatever all four are.
    pub fn semctl_at(&self, id: i32, num: i32, cmd: i32, area: &Area) -> Outcome<i32> {
        self.call(
            format_args!("semctl({}, {num}, cmd {cmd}, area)", self.id_role(id)),
            || semcall::semctl_at(id, num, cmd, area),
            ToString::to_string,
        )
    }

    /// `semctl(set, num, GETVAL)`
    pub fn getval(&self, set: Set, num: i32) -> Outcome<i32> {
        self.semctl(set.0, num, (GETVAL, "GETVAL"), 0)
    }

    /// `semctl(set, num, SETVAL, value)`
    pub fn setval(&self, set: Set, num: i32, value: i32) -> Outcome<i32> {
        self.semctl(set.0, num, (SETVAL, "SETVAL"), value)
    }

    /// `semctl(set, num, GETNCNT)`
    pub fn getncnt(&self, set: Set, num: i32) -> Outcome<i32> {
        self.semctl(set.0, num, (GETNCNT, "GETNCNT"), 0)
    }

    /// `semctl(set, num, GETZCNT)`
    pub fn getzcnt(&self, set: Set, num: i32) -> Outcome<i32> {
        self.semctl(set.0, num, (GETZCNT, "GETZCNT"), 0)
    }

    /// `semctl(set, num, GETPID)`
    pub fn getpid(&self, set: Set, num: i32) -> Outcome<i32> {
        self.call(
            format_args!("semctl({}, {num}, GETPID)", self.id_role(set.0)),
            || semcall::semctl(set.0, num, GETPID, 0),
            |&pid| self.pid_role(pid),
        )
    }

    /// `semctl(set, 0, GETALL)` of a set of `nsems`.
    pub fn getall(&self, set: Set, nsems: usize) -> Outcome<Vec<u16>> {
        self.call(
            format_args!("semctl({}, 0, GETALL)", self.id_role(set.0)),
            || semcall::getall(set.0, 0, nsems),
            |values| show_values(values),
        )
    }

    /// `semctl(set, 0, SETALL, values)`, as many as the set has.
    pub fn setall(&self, set: Set, values: &[u16]) -> Outcome<i32> {
        self.call(
            format_args!(
                "semctl({}, 0, SETALL, {})",
                self.id_role(set.0),
                show_values(values)
            ),
            || semcall::setall(set.0, 0, values),
            ToString::to_string,
        )
    }

    /// Asserts what `GETALL` says.
    #[track_caller]
    pub fn holds(&self, set: Set, values: &[u16]) {
        assert_eq!(self.getall(set, values.len()).must(), values);
    }

    /// Asserts how many wait for a semaphore to grow, and how many for zero.
    #[track_caller]
    pub fn awaited(&self, set: Set, num: i32, growth: i32, zero: i32) {
        let counts = (self.getncnt(set, num).must(), self.getzcnt(set, num).must());
        assert_eq!(counts, (growth, zero), "waiting on semaphore {num}");
    }

    /// `semctl(set, 0, IPC_RMID)`
    pub fn semrm(&self, set: Set) -> Outcome<i32> {
        self.semctl(set.0, 0, (IPC_RMID, "IPC_RMID"), 0)
    }

    /// `semctl(set, 0, IPC_STAT)`
    pub fn semstat(&self, set: Set) -> Outcome<SetStat> {
        self.call(
            format_args!("semctl({}, 0, IPC_STAT)", self.id_role(set.0)),
            || stat(set.0, IPC_STAT).map(|(_, stat)| stat),
            |stat| self.show_set_stat(stat),
        )
    }

    /// `semctl(index, 0, SEM_STAT)`: the id of the set at this place, and its state.
    pub fn semstat_at(&self, index: i32) -> Outcome<(Set, SetStat)> {
        self.semstat_by_index(index, SEM_STAT, "SEM_STAT")
    }

    /// `semctl(index, 0, SEM_STAT_ANY)`
    pub fn semstat_any_at(&self, index: i32) -> Outcome<(Set, SetStat)> {
        self.semstat_by_index(index, SEM_STAT_ANY, "SEM_STAT_ANY")
    }

    fn semstat_by_index(&self, index: i32, cmd: i32, name: &str) -> Outcome<(Set, SetStat)> {
        self.call(
            format_args!("semctl({index}, 0, {name})"),
            || stat(index, cmd).map(|(ret, stat)| (Set(ret), stat)),
            |(set, stat)| format!("{}, {}", self.id_role(set.0), self.show_set_stat(stat)),
        )
    }

    /// `semctl(set, 0, IPC_SET, wanted)`: uid, gid and mode count, the rest is there to be ignored.
    pub fn semset(&self, set: Set, wanted: &SetStat) -> Outcome<i32> {
        self.call(
            format_args!(
                "semctl({}, 0, IPC_SET, {{uid {}, gid {}, mode 0{:o}}})",
                self.id_role(set.0),
                wanted.uid as i32,
                wanted.gid as i32,
                wanted.mode
            ),
            || semcall::semctl_ds(set.0, 0, IPC_SET, &mut wanted.to_ds()),
            ToString::to_string,
        )
    }

    /// `IPC_STAT`, a change, `IPC_SET`.
    #[track_caller]
    pub fn semchange(&self, set: Set, change: impl FnOnce(&mut SetStat)) -> Outcome<i32> {
        let mut wanted = self.semstat(set).must();
        change(&mut wanted);
        self.semset(set, &wanted)
    }

    /// `semctl(0, 0, IPC_INFO)`: the highest index in use, and the limits.
    pub fn seminfo(&self) -> Outcome<(i32, libc::seminfo)> {
        self.seminfo_of(0, 0, (IPC_INFO, "IPC_INFO"))
    }

    /// `semctl(0, 0, SEM_INFO)`: the highest index in use, and what is used.
    pub fn semusage(&self) -> Outcome<(i32, libc::seminfo)> {
        self.seminfo_of(0, 0, (SEM_INFO, "SEM_INFO"))
    }

    /// `semctl(id, num, IPC_INFO or SEM_INFO)` with an id and a number that should not matter.
    pub fn seminfo_of(&self, id: i32, num: i32, cmd: (i32, &str)) -> Outcome<(i32, libc::seminfo)> {
        self.call(
            format_args!("semctl({id}, {num}, {})", cmd.1),
            || semcall::seminfo(id, num, cmd.0),
            |(highest, info)| {
                format!(
                    "{highest}, {{map {}, mni {}, mns {}, mnu {}, msl {}, opm {}, ume {}, usz {}, \
                     vmx {}, aem {}}}",
                    info.semmap,
                    info.semmni,
                    info.semmns,
                    info.semmnu,
                    info.semmsl,
                    info.semopm,
                    info.semume,
                    info.semusz,
                    info.semvmx,
                    info.semaem
                )
            },
        )
    }

    fn show_set_stat(&self, stat: &SetStat) -> String {
        format!(
            "{{key {}, owner {}:{}, creator {}:{}, mode 0{:o}, nsems {}, operated {}, changed {}}}",
            show_key(stat.key),
            stat.uid,
            stat.gid,
            stat.cuid,
            stat.cgid,
            stat.mode,
            stat.nsems,
            self.time_role(stat.otime),
            self.time_role(stat.ctime)
        )
    }
}

fn stat(id: i32, cmd: i32) -> Result<(i32, SetStat), Errno> {
    let mut ds = semcall::blank_ds();
    semcall::semctl_ds(id, 0, cmd, &mut ds).map(|ret| (ret, SetStat::from_ds(&ds)))
}

/// Values shown in full; more of them by number and checksum.
const SHOWN: usize = 16;

fn show_values(values: &[u16]) -> String {
    if values.len() <= SHOWN {
        return format!("{values:?}");
    }
    let bytes: Vec<u8> = values
        .iter()
        .flat_map(|value| value.to_ne_bytes())
        .collect();
    format!(
        "{} values: {}",
        values.len(),
        crate::stage::show_bytes(&bytes)
    )
}
