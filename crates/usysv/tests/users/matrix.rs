//! Owner, creator, groups, other and root, times every read and write bit, times every call: the
//! engine answers as the kernel.
//!
//! The differences that the README names are listed here, and must show: one that has gone fails.

use crate::calls::{Caller, Cell, Ids, SIZE};
use crate::rig::{Child, End, shared};
use crate::{CALLERS, CREATOR, OTHER, OWNER, User, is_root};
use std::collections::BTreeMap;
use usysv::abi::{IPC_CREAT, IPC_EXCL, IPC_NOWAIT, MsqidDs, SemidDs, ShmidDs};
use usysv::{Backend, Engine, Errno, Kernel, Namespace, Semaphores, SharedMemory};

/// How an object came to its owner and its mode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Made {
    /// The owner made it so.
    ByOwner,
    /// The creator made it, and root gave it to the owner with this mode.
    Given,
    /// As `Given` without any permission; then the owner set the mode.
    Changed,
}

/// A text in memory that a child shares.
struct Slate(*mut u8);

const SLATE: usize = 1 << 16;

impl Slate {
    fn new() -> Slate {
        Slate(shared(SLATE))
    }

    fn write(&self, text: &str) {
        assert!(text.len() + 8 <= SLATE, "a slate too small");
        // SAFETY: room for both, and one process writes at a time.
        unsafe {
            self.0.cast::<usize>().write(text.len());
            self.0.add(8).copy_from(text.as_ptr(), text.len());
        }
    }

    fn read(&self) -> String {
        // SAFETY: what `write` left, by a process that has ended.
        let bytes = unsafe {
            let len = self.0.cast::<usize>().read();
            std::slice::from_raw_parts(self.0.add(8), len.min(SLATE - 8))
        };
        String::from_utf8(bytes.to_vec()).expect("text")
    }
}

/// Runs `f` in a process of its own, which has no object mapped, and gives the lines it says.
fn in_child(slate: &Slate, f: impl FnOnce() -> Vec<String>) -> Vec<String> {
    let child = Child::fork(|| slate.write(&f().join("\n")));
    assert_eq!(child.wait(), End::Exit(0));
    slate.read().lines().map(str::to_owned).collect()
}

fn make(b: &dyn Backend, key: i32, made: Made, mode: u16) -> Ids {
    let how = IPC_CREAT | IPC_EXCL;
    let (maker, first) = match made {
        Made::ByOwner => (OWNER, i32::from(mode)),
        Made::Given | Made::Changed => (CREATOR, 0o600),
    };
    let ids = maker.act(|| Ids {
        key,
        msg: b.msgget(key, how | first).expect("msgget"),
        sem: b.semget(key, 1, how | first).expect("semget"),
        shm: b.shmget(key, SIZE, how | first).expect("shmget"),
    });
    for _ in 0..3 {
        b.msgsnd(ids.msg, 1, b"there", IPC_NOWAIT).expect("msgsnd");
    }
    b.sem_put(ids.sem, 0, 3).expect("SETVAL");
    match made {
        Made::ByOwner => {}
        Made::Given => set(b, &ids, mode),
        Made::Changed => {
            set(b, &ids, 0);
            OWNER.act(|| set(b, &ids, mode));
        }
    }
    ids
}

/// Gives the objects to the owner, with this mode.
fn set(b: &dyn Backend, ids: &Ids, mode: u16) {
    let mut ds: MsqidDs = b.msg_stat_index(ids.msg % 32768, true).map_or_else(
        // The owner may not look, but may set.
        |_| MsqidDs {
            msg_qbytes: 16384,
            ..Default::default()
        },
        |(_, ds)| ds,
    );
    (ds.msg_perm.uid, ds.msg_perm.gid, ds.msg_perm.mode) = (OWNER.1, OWNER.2, mode);
    b.msg_set(ids.msg, &ds).expect("IPC_SET");
    let perm = ds.msg_perm;
    let ds = SemidDs {
        sem_perm: perm,
        ..Default::default()
    };
    b.sem_set(ids.sem, &ds).expect("IPC_SET");
    let ds = ShmidDs {
        shm_perm: perm,
        ..Default::default()
    };
    b.shm_set(ids.shm, &ds).expect("IPC_SET");
}

fn line(ids: &Ids) -> String {
    format!("{} {} {} {}", ids.key, ids.msg, ids.sem, ids.shm)
}

fn parse(line: &str) -> Ids {
    let n: Vec<i32> = line
        .split(' ')
        .map(|n| n.parse().expect("a number"))
        .collect();
    Ids {
        key: n[0],
        msg: n[1],
        sem: n[2],
        shm: n[3],
    }
}

/// The answers that each caller gets on one side, and (on the engine's) which files it can open.
fn side(b: &dyn Backend, slate: &Slate, made: Made, mode: u16, opens: Opens<'_>) -> Vec<Vec<Cell>> {
    let keys = (1..).take(CALLERS.len());
    let ids = in_child(slate, || {
        keys.map(|key| line(&make(b, key, made, mode))).collect()
    });
    let mut answers = Vec::new();
    for (user, ids) in CALLERS.iter().zip(ids.iter().map(|ids| parse(ids))) {
        let said = in_child(slate, || {
            user.become_them();
            let files = opens(&ids);
            let mut caller = Caller::new(b, ids);
            caller.cells.extend(files);
            caller.all();
            caller.own((OWNER.1, OWNER.2, mode));
            let cells = caller.cells.iter();
            cells
                .map(|(call, answer)| format!("{call}\t{answer}"))
                .collect()
        });
        let cell = |line: String| {
            let (call, answer) = line.split_once('\t').expect("a cell");
            (call.to_owned(), answer.parse().expect("a number"))
        };
        answers.push(said.into_iter().map(cell).collect());
    }
    in_child(slate, || {
        for ids in ids.iter().map(|ids| parse(ids)) {
            // Gone, where the caller was allowed to.
            let _ = b.msg_remove(ids.msg);
            let _ = b.sem_remove(ids.sem);
            let _ = b.shm_remove(ids.shm);
        }
        Vec::new()
    });
    answers
}

type Opens<'a> = &'a dyn Fn(&Ids) -> Vec<Cell>;

const FILE: &str = "open of ";

/// Tries to open the files of the objects.
fn open_files(root: &str, ids: &Ids) -> Vec<Cell> {
    let mut cells = Vec::new();
    let files = [
        ("msg", format!("{root}/msg/{}", ids.msg % 32768)),
        ("sem", format!("{root}/sem/{}", ids.sem % 32768)),
        ("shm", format!("{root}/shm/{}", ids.shm % 32768)),
        ("data", format!("{root}/shm/{}.data", ids.shm % 32768)),
    ];
    for (what, path) in files {
        let path = std::ffi::CString::new(path).expect("a path");
        for (name, how) in [
            ("r", libc::O_RDONLY),
            ("w", libc::O_WRONLY),
            ("rw", libc::O_RDWR),
        ] {
            // SAFETY: a string that ends.
            let fd = unsafe { libc::open(path.as_ptr(), how) };
            let errno = std::io::Error::last_os_error().raw_os_error().unwrap_or(0);
            // SAFETY: opened above, or -1.
            unsafe { libc::close(fd) };
            let answer = if fd < 0 { -i64::from(errno) } else { 0 };
            cells.push((format!("{FILE}{what} {name}"), answer));
        }
    }
    cells
}

/// Why a cell may differ: as the README says.
fn excuse(
    made: Made,
    user: &User,
    shut_out: bool,
    cell: &str,
    pair: (i64, i64),
) -> Option<&'static str> {
    const EACCES: i64 = -libc::EACCES as i64;
    let kept_out = shut_out && pair.0 >= 0;
    if kept_out && cell.ends_with("STAT_ANY") && pair.1 == EACCES {
        return Some("whom the mode shuts out cannot even look");
    }
    if shut_out && cell.starts_with("sem") && cell.ends_with("of none") && pair.1 == EACCES {
        return Some("whom the mode shuts out is not told that there is no such semaphore");
    }
    if made == Made::Changed && user.1 != 0 && pair.1 == EACCES {
        return Some("a mode that an owner widens who is not the creator lets nobody in");
    }
    None
}

/// What the opens of one caller must give, judged by the kernel's answers.
fn check_opens(
    what: &str,
    made: Made,
    kernel: &BTreeMap<String, i64>,
    files: &BTreeMap<String, i64>,
) {
    let refused = |call: &str| kernel[call] == -i64::from(libc::EACCES);
    // The mode gives nothing: neither to read nor to write.
    let shut = ["msg", "sem", "shm"].map(|kind| {
        let asks = |mode| refused(&format!("{kind}get flags 0 mode {mode}"));
        (kind, asks("400") && asks("200"))
    });
    // Who may change the mode may also let themselves in.
    let by_owner = made == Made::Changed;
    let owns = kernel["msgctl IPC_RMID"] == 0;
    for (name, answer) in files {
        let (object, how) = name[FILE.len()..].split_once(' ').expect("object and way");
        let fails = *answer == -i64::from(libc::EACCES);
        assert!(fails || *answer == 0, "{what}: {name}: {answer}");
        if object == "data" {
            let attach = if how == "r" {
                "shmat SHM_RDONLY"
            } else {
                "shmat"
            };
            // To write without reading, which no call lets one do.
            let write = how == "w" && !refused("shmget flags 0 mode 200");
            let more = fails || write || !refused(attach) || by_owner;
            assert!(more, "{what}: {name} goes, but {attach} is refused");
            let less = !fails || refused(attach);
            assert!(less || by_owner, "{what}: {name} fails, but {attach} goes");
            continue;
        }
        let (_, out) = shut
            .iter()
            .find(|(kind, _)| *kind == object)
            .expect("a kind");
        assert!(
            !out || owns || fails || by_owner,
            "{what}: {name} goes, and the mode gives nothing"
        );
    }
}

#[test]
fn every_call_by_everybody_under_every_mode_answers_as_the_kernel() {
    // SAFETY: changes the namespace of this thread, and of those who are forked by it.
    if !is_root() || unsafe { libc::unshare(libc::CLONE_NEWIPC) } != 0 {
        eprintln!("users: NOT RUN: no IPC namespace of its own; run it as root");
        return;
    }
    let engine = private_engine();
    let root = engine
        .namespace()
        .path()
        .to_str()
        .expect("a path")
        .to_owned();
    let slate = Slate::new();
    let (mut cells, mut opens, mut differ) = (0, 0, Vec::new());
    let mut excused: BTreeMap<&str, usize> = BTreeMap::new();
    for made in [Made::ByOwner, Made::Given, Made::Changed] {
        for bits in 0..64u16 {
            let mode = (bits >> 4 & 3) << 7 | (bits >> 2 & 3) << 4 | (bits & 3) << 1;
            let theirs = side(&Kernel, &slate, made, mode, &|_| Vec::new());
            let ours = side(&engine, &slate, made, mode, &|ids| open_files(&root, ids));
            for ((user, theirs), ours) in CALLERS.iter().zip(theirs).zip(ours) {
                let what = format!("{made:?}, mode {mode:o}, {}", user.0);
                let theirs: BTreeMap<_, _> = theirs.into_iter().collect();
                let (files, ours): (BTreeMap<_, _>, BTreeMap<_, _>) = ours
                    .into_iter()
                    .partition(|(call, _)| call.starts_with(FILE));
                check_opens(&what, made, &theirs, &files);
                opens += files.len();
                let shut_out = theirs["msgctl IPC_STAT"] < 0 && theirs["msgsnd"] < 0;
                for call in theirs
                    .keys()
                    .chain(ours.keys().filter(|call| !theirs.contains_key(*call)))
                {
                    cells += 1;
                    let (kernel, engine) = (theirs.get(call), ours.get(call));
                    if kernel == engine {
                        continue;
                    }
                    let pair = (
                        *kernel.unwrap_or(&0),
                        *engine.unwrap_or(&-i64::from(libc::EACCES)),
                    );
                    match excuse(made, user, shut_out, call, pair) {
                        Some(why) => *excused.entry(why).or_default() += 1,
                        None => differ.push(format!(
                            "{what}: {call}: kernel {kernel:?}, engine {engine:?}"
                        )),
                    }
                }
            }
        }
    }
    eprintln!(
        "users: {cells} cells compared, {opens} opens of files judged, {} differ",
        differ.len()
    );
    for (why, count) in &excused {
        eprintln!("users: {count} cells differ as documented: {why}");
    }
    engine.namespace().destroy().expect("the namespace goes");
    assert_eq!(excused.len(), 3, "a documented difference is gone");
    assert!(
        differ.is_empty(),
        "{} cells differ:\n{}",
        differ.len(),
        differ[..differ.len().min(200)].join("\n")
    );
}

/// `Kernel::sem_put_all` asked IPC_STAT how many semaphores there are, and so failed with EACCES for
/// who may write but not read, which `semctl(SETALL)` does not. Now it asks SEM_STAT_ANY then.
#[test]
fn setall_on_the_kernel_needs_no_permission_to_read() {
    // SAFETY: changes the namespace of this thread, and of those who are forked by it.
    if !is_root() || unsafe { libc::unshare(libc::CLONE_NEWIPC) } != 0 {
        eprintln!("users: NOT RUN: no IPC namespace of its own; run it as root");
        return;
    }
    let child = Child::fork(|| {
        OWNER.become_them();
        let how = IPC_CREAT | IPC_EXCL;
        let id = Kernel.semget(1, 2, how | 0o200).expect("semget");
        assert_eq!(Kernel.sem_put_all(id, &[1, 2]), Ok(()));
        assert_eq!(Kernel.sem_put_all(id, &[1]), Err(Errno::EINVAL));
        assert_eq!(Kernel.sem_put_all(id + 1, &[1]), Err(Errno::EINVAL));
    });
    assert_eq!(child.wait(), End::Exit(0));
}

/// SHM_LOCK by whom the mode shuts out was EACCES, as the segment's file could not be opened; Linux
/// never looks at the mode there, and says EPERM. Now the engine says so, too.
#[test]
fn locking_by_whom_the_mode_shuts_out_is_eperm() {
    if !is_root() {
        return;
    }
    let engine = private_engine();
    let slate = Slate::new();
    let id = in_child(&slate, || {
        let made = OWNER.act(|| engine.shmget(1, SIZE, IPC_CREAT | IPC_EXCL | 0o600));
        vec![made.expect("shmget").to_string()]
    });
    let id = id[0].parse().expect("an id");
    in_child(&slate, || {
        OTHER.become_them();
        assert_eq!(engine.shm_lock(id, true), Err(Errno::EPERM));
        assert_eq!(engine.shm_lock(id, false), Err(Errno::EPERM));
        assert_eq!(engine.shm_lock(id + 1, true), Err(Errno::EINVAL));
        Vec::new()
    });
    engine.namespace().destroy().expect("the namespace goes");
}

fn private_engine() -> Engine {
    let namespace = Namespace::create_private(None).expect("a namespace");
    Engine::new(namespace).expect("an engine")
}
