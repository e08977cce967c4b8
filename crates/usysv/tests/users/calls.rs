//! Every call on one queue, set and segment, as whoever this process is.

use usysv::abi::{
    IPC_CREAT, IPC_EXCL, IPC_NOWAIT, MSG_COPY, SEM_UNDO, SHM_EXEC, SHM_RDONLY, Sembuf,
};
use usysv::{Backend, Errno, SemField};

pub const SIZE: usize = 4096;
/// What a `get` call asks for.
const ASKED: [i32; 8] = [0, 0o400, 0o200, 0o600, 0o040, 0o006, 0o644, 0o777];

/// A queue, a set and a segment with the same key.
#[derive(Clone, Copy, Default, Debug)]
pub struct Ids {
    pub key: i32,
    pub msg: i32,
    pub sem: i32,
    pub shm: i32,
}

/// A call and its answer: what it returned, or minus the errno.
pub type Cell = (String, i64);

/// Makes the calls and notes the answers.
pub struct Caller<'a> {
    backend: &'a dyn Backend,
    ids: Ids,
    pub cells: Vec<Cell>,
}

fn index_of(id: i32) -> i32 {
    id % usysv::abi::IPCMNI
}

impl<'a> Caller<'a> {
    pub fn new(backend: &'a dyn Backend, ids: Ids) -> Caller<'a> {
        Caller {
            backend,
            ids,
            cells: Vec::new(),
        }
    }

    fn note(&mut self, call: impl Into<String>, answer: Result<i64, Errno>) {
        let answer = answer.unwrap_or_else(|e| -i64::from(e.raw()));
        self.cells.push((call.into(), answer));
    }

    /// A `get` call with every mode asked, and with the flags that may make or must.
    fn get(&mut self, name: &str, id: i32, get: impl Fn(i32, i32) -> Result<i32, Errno>) {
        for flags in [0, IPC_CREAT, IPC_CREAT | IPC_EXCL] {
            for asked in ASKED {
                let got = get(self.ids.key, flags | asked);
                let right = got.map(|got| i64::from(got == id));
                self.note(format!("{name} flags {flags:o} mode {asked:o}"), right);
            }
        }
    }

    pub fn all(&mut self) {
        self.messages();
        self.semaphores();
        self.memory();
        self.makes();
    }

    fn messages(&mut self) {
        let (b, id) = (self.backend, self.ids.msg);
        self.get("msgget", id, |key, flags| b.msgget(key, flags));
        self.note("msgsnd", b.msgsnd(id, 3, b"text", IPC_NOWAIT).map(|()| 0));
        let mut text = [0; 64];
        let answer = |got: Result<(i64, usize), Errno>| got.map(|(t, len)| t * 100 + len as i64);
        let copied = b.msgrcv(id, &mut text, 0, MSG_COPY | IPC_NOWAIT);
        self.note("msgrcv MSG_COPY", answer(copied));
        let received = b.msgrcv(id, &mut text, 0, IPC_NOWAIT);
        self.note("msgrcv", answer(received));
        let none = b.msgrcv(id, &mut text, 77, IPC_NOWAIT);
        self.note("msgrcv of no message", answer(none));
        let stat = b.msg_stat(id);
        self.note(
            "msgctl IPC_STAT",
            stat.map(|ds| i64::from(ds.msg_perm.mode)),
        );
        for any in [false, true] {
            let stat = b.msg_stat_index(index_of(id), any);
            let name = if any { "MSG_STAT_ANY" } else { "MSG_STAT" };
            let answer = stat.map(|(its, ds)| i64::from(ds.msg_perm.mode) + i64::from(its == id));
            self.note(format!("msgctl {name}"), answer);
        }
        self.note(
            "msgctl IPC_INFO",
            b.msg_limits().map(|(info, _)| info.msgmnb.into()),
        );
        self.note(
            "msgctl MSG_INFO",
            b.msg_usage().map(|(info, _)| info.msgpool.into()),
        );
    }

    fn semaphores(&mut self) {
        let (b, id) = (self.backend, self.ids.sem);
        self.get("semget", id, |key, flags| b.semget(key, 1, flags));
        let ops = [
            ("alter", 1, IPC_NOWAIT),
            ("alter with undo", -1, IPC_NOWAIT | SEM_UNDO),
            ("zero", 0, IPC_NOWAIT),
        ];
        for (name, sem_op, flags) in ops {
            let sem_flg = flags as i16;
            let op = Sembuf {
                sem_num: 0,
                sem_op,
                sem_flg,
            };
            self.note(
                format!("semop {name}"),
                b.semop(id, &[op], None).map(|()| 0),
            );
        }
        let far = Sembuf {
            sem_num: 9,
            sem_op: 1,
            sem_flg: 0,
        };
        self.note("semop of none", b.semop(id, &[far], None).map(|()| 0));
        self.note(
            "semctl IPC_STAT",
            b.sem_stat(id).map(|ds| ds.sem_perm.mode.into()),
        );
        for any in [false, true] {
            let stat = b.sem_stat_index(index_of(id), any);
            let name = if any { "SEM_STAT_ANY" } else { "SEM_STAT" };
            let answer = stat.map(|(its, ds)| i64::from(ds.sem_perm.mode) + i64::from(its == id));
            self.note(format!("semctl {name}"), answer);
        }
        // Not GETPID's number: it is the caller's.
        for (name, field) in [
            ("GETVAL", SemField::Value),
            ("GETNCNT", SemField::Ncnt),
            ("GETZCNT", SemField::Zcnt),
        ] {
            self.note(
                format!("semctl {name}"),
                b.sem_get(id, 0, field).map(i64::from),
            );
        }
        self.note("semctl GETPID", b.sem_get(id, 0, SemField::Pid).map(|_| 0));
        let mut values = [0];
        self.note(
            "semctl GETALL",
            b.sem_get_all(id, &mut values).map(|()| values[0].into()),
        );
        self.note("semctl SETVAL", b.sem_put(id, 0, 5).map(|()| 0));
        self.note("semctl SETVAL of none", b.sem_put(id, 9, 5).map(|()| 0));
        self.note("semctl SETALL", b.sem_put_all(id, &[6]).map(|()| 0));
        self.note(
            "semctl IPC_INFO",
            b.sem_limits().map(|(info, _)| info.semmsl.into()),
        );
        self.note(
            "semctl SEM_INFO",
            b.sem_usage().map(|(info, _)| info.semusz.into()),
        );
    }

    fn memory(&mut self) {
        let (b, id) = (self.backend, self.ids.shm);
        self.get("shmget", id, |key, flags| b.shmget(key, SIZE, flags));
        for (name, flags) in [
            ("", 0),
            (" SHM_RDONLY", SHM_RDONLY),
            (" SHM_EXEC", SHM_EXEC),
            (" SHM_RDONLY|SHM_EXEC", SHM_RDONLY | SHM_EXEC),
        ] {
            // SAFETY: nothing is replaced, and nobody uses the attachment.
            let at = unsafe { b.shmat(id, 0, flags) };
            self.note(format!("shmat{name}"), at.map(|_| 0));
            if let Ok(at) = at {
                // SAFETY: as above.
                let off = unsafe { b.shmdt(at) };
                self.note(format!("shmdt{name}"), off.map(|()| 0));
            }
        }
        self.note(
            "shmctl IPC_STAT",
            b.shm_stat(id).map(|ds| ds.shm_perm.mode.into()),
        );
        for any in [false, true] {
            let stat = b.shm_stat_index(index_of(id), any);
            let name = if any { "SHM_STAT_ANY" } else { "SHM_STAT" };
            let answer = stat.map(|(its, ds)| i64::from(ds.shm_perm.mode) + i64::from(its == id));
            self.note(format!("shmctl {name}"), answer);
        }
        self.note("shmctl SHM_LOCK", b.shm_lock(id, true).map(|()| 0));
        self.note("shmctl SHM_UNLOCK", b.shm_lock(id, false).map(|()| 0));
        self.note(
            "shmctl IPC_INFO",
            b.shm_limits().map(|(info, _)| info.shmmni as i64),
        );
        self.note(
            "shmctl SHM_INFO",
            b.shm_usage().map(|(info, _)| info.used_ids.into()),
        );
    }

    /// Objects of the caller's own.
    fn makes(&mut self) {
        let (b, key) = (self.backend, self.ids.key + 1000);
        let how = IPC_CREAT | IPC_EXCL | 0o640;
        // SAFETY: no pointers.
        let uid = unsafe { libc::geteuid() };
        let made = b.msgget(key, how).and_then(|id| {
            let perm = b.msg_stat(id)?.msg_perm;
            b.msg_remove(id)?;
            Ok(perm)
        });
        let mine = |perm: usysv::abi::IpcPerm| i64::from(perm.uid == uid && perm.cuid == uid);
        self.note("msgget of a new key", made.map(mine));
        let made = b.semget(key, 2, how).and_then(|id| {
            let perm = b.sem_stat(id)?.sem_perm;
            b.sem_remove(id)?;
            Ok(perm)
        });
        self.note("semget of a new key", made.map(mine));
        let made = b.shmget(key, SIZE, how).and_then(|id| {
            let perm = b.shm_stat(id)?.shm_perm;
            b.shm_remove(id)?;
            Ok(perm)
        });
        self.note("shmget of a new key", made.map(mine));
    }

    /// What only owner and creator may do; the objects are gone afterwards, if they may.
    pub fn own(&mut self, (uid, gid, mode): (u32, u32, u16)) {
        let (b, ids) = (self.backend, self.ids);
        let mut perm = usysv::abi::IpcPerm::default();
        (perm.uid, perm.gid, perm.mode) = (uid, gid, mode);
        for qbytes in [16384, 16385] {
            let ds = usysv::abi::MsqidDs {
                msg_perm: perm,
                msg_qbytes: qbytes,
                ..Default::default()
            };
            let set = b.msg_set(ids.msg, &ds).map(|()| 0);
            self.note(format!("msgctl IPC_SET of {qbytes} bytes"), set);
        }
        let ds = usysv::abi::SemidDs {
            sem_perm: perm,
            ..Default::default()
        };
        self.note("semctl IPC_SET", b.sem_set(ids.sem, &ds).map(|()| 0));
        let ds = usysv::abi::ShmidDs {
            shm_perm: perm,
            ..Default::default()
        };
        self.note("shmctl IPC_SET", b.shm_set(ids.shm, &ds).map(|()| 0));
        self.note("msgctl IPC_RMID", b.msg_remove(ids.msg).map(|()| 0));
        self.note("semctl IPC_RMID", b.sem_remove(ids.sem).map(|()| 0));
        self.note("shmctl IPC_RMID", b.shm_remove(ids.shm).map(|()| 0));
        self.note(
            "msgctl IPC_STAT of the removed",
            b.msg_stat(ids.msg).map(|_| 0),
        );
        self.note(
            "semctl GETVAL of the removed",
            b.sem_get(ids.sem, 0, SemField::Value).map(|_| 0),
        );
        self.note(
            "shmctl IPC_STAT of the removed",
            b.shm_stat(ids.shm).map(|_| 0),
        );
    }
}
