//! A namespace whose names are traps: whoever may write to its directory put links, pipes, other
//! people's files or nothing under them, before a victim came or while it had everything mapped.
//!
//! A victim makes every call, lists, makes, removes, sweeps, and lays the namespace out anew. What
//! lies outside is afterwards as it was: bytes, modes, times, names. No call waits.

use crate::bytes;
use crate::dice::Dice;
use crate::rig::*;
use crate::victim::{self, Objects};
use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};
use usysv::abi::{IPC_CREAT, IPC_PRIVATE};
use usysv::{Engine, Messages, Namespace, PosixShm, Semaphores, SharedMemory};

/// What is put in a name's place.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Trap {
    LinkToFile,
    LinkToDirectory,
    LinkToNothing,
    LinkUp,
    HardLink,
    Pipe,
    Socket,
    Device,
    Directory,
    Foreign,
    OddMode,
    Huge,
    Nothing,
}

const TRAPS: [Trap; 13] = [
    Trap::LinkToFile,
    Trap::LinkToDirectory,
    Trap::LinkToNothing,
    Trap::LinkUp,
    Trap::HardLink,
    Trap::Pipe,
    Trap::Socket,
    Trap::Device,
    Trap::Directory,
    Trap::Foreign,
    Trap::OddMode,
    Trap::Huge,
    Trap::Nothing,
];

/// Every name that the engine uses; the objects' index is 0.
const NAMES: [&str; 22] = [
    "",
    "ns",
    "counters",
    "bells",
    ".part",
    "msg",
    "sem",
    "shm",
    "key",
    "limits",
    "posix",
    "msg/0",
    "sem/0",
    "shm/0",
    "shm/0.data",
    "msg/.part.0",
    "msg/1",
    "shm/1.data",
    "key/msg.00000001",
    "limits/msgmax",
    "limits/sem",
    "posix/name",
];

/// A directory with the namespace, and beside it what must not be touched.
struct Yard(PathBuf);

impl Yard {
    fn new() -> Yard {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "usysv-yard.{}.{}",
            std::process::id(),
            COUNT.fetch_add(1, Relaxed)
        );
        let yard = Yard(Path::new("/dev/shm").join(name));
        fs::create_dir(&yard.0).expect("a directory");
        fs::create_dir(yard.outside()).expect("a directory");
        // A queue's file, so that whoever opens it by a trap finds what it looks for.
        let twin = Namespace::create_private(c_path(&yard.0).as_deref()).and_then(Engine::new);
        let twin = twin.expect("a namespace");
        let objects = make(&twin, 1);
        let root = PathBuf::from(twin.namespace().path().to_str().expect("a plain path"));
        for (from, to) in [
            ("msg/0", "0"),
            ("shm/0.data", "0.data"),
            ("shm/0.data", "1.data"),
            ("counters", "file"),
        ] {
            fs::copy(root.join(from), yard.outside().join(to)).expect("a copy");
        }
        assert_eq!(objects.msqid, 0, "the first object has index 0");
        twin.namespace().destroy().expect("destroy");
        fs::write(yard.outside().join(".part.0"), b"part").expect("a file");
        fs::write(yard.outside().join("name"), b"name").expect("a file");
        fs::write(yard.outside().join("msgmax"), b"7\n").expect("a file");
        symlink("17", yard.outside().join("msg.00000001")).expect("a link");
        yard
    }

    fn outside(&self) -> PathBuf {
        self.0.join("outside")
    }

    fn root(&self) -> PathBuf {
        self.0.join("ns")
    }

    /// Names, kinds, modes, owners, links, lengths, times and bytes.
    fn state(&self) -> BTreeMap<PathBuf, String> {
        let mut all = BTreeMap::new();
        let listed = fs::read_dir(self.outside()).expect("a directory");
        let paths = listed.map(|entry| entry.expect("an entry").path());
        for path in paths.chain([self.outside()]) {
            let st = fs::symlink_metadata(&path).expect("its status");
            let bytes = match st.is_file() {
                true => fs::read(&path).expect("its bytes"),
                false => Vec::new(),
            };
            let sum = bytes
                .iter()
                .fold(7u64, |n, b| n.wrapping_mul(31) + u64::from(*b));
            let what = format!(
                "{:o} {}:{} {} bytes, {}.{}, {sum:x}",
                st.mode(),
                st.uid(),
                st.gid(),
                st.len(),
                st.mtime(),
                st.mtime_nsec()
            );
            all.insert(path, what);
        }
        all
    }

    fn set(&self, name: &str, trap: Trap) {
        let at = match name {
            "" => self.root(),
            name => self.root().join(name),
        };
        let taken = fs::symlink_metadata(&at).ok();
        if taken.is_some() && !matches!(trap, Trap::Foreign | Trap::OddMode) {
            fs::rename(&at, self.0.join("away")).expect("moved away");
        }
        let outside = self.outside();
        let path = c_path(&at).expect("a path");
        match trap {
            Trap::LinkToFile => symlink(outside.join("file"), &at).expect("a link"),
            Trap::LinkToDirectory => symlink(&outside, &at).expect("a link"),
            Trap::LinkToNothing => symlink(outside.join("new"), &at).expect("a link"),
            Trap::LinkUp => symlink("../outside", &at).expect("a link"),
            Trap::HardLink => {
                let like = if name.ends_with(".data") {
                    "0.data"
                } else {
                    "0"
                };
                fs::hard_link(outside.join(like), &at).expect("a link");
            }
            // SAFETY: C strings.
            Trap::Pipe => assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o666) }, 0),
            Trap::Socket => drop(UnixListener::bind(&at).expect("a socket")),
            Trap::Device => {
                let null = libc::makedev(1, 3);
                // SAFETY: a C string.
                let made = unsafe { libc::mknod(path.as_ptr(), libc::S_IFCHR | 0o666, null) };
                assert_eq!(made, 0);
            }
            Trap::Directory => fs::create_dir(&at).expect("a directory"),
            Trap::Foreign => {
                if taken.is_none() {
                    fs::write(&at, b"foreign").expect("a file");
                }
                std::os::unix::fs::lchown(&at, Some(4242), Some(4242)).expect("another's");
            }
            Trap::OddMode => {
                if taken.is_none() {
                    fs::write(&at, b"odd").expect("a file");
                }
                if !at.is_symlink() {
                    fs::set_permissions(&at, fs::Permissions::from_mode(0o7000)).expect("a mode");
                }
            }
            Trap::Huge => {
                let file = fs::File::create(&at).expect("a file");
                file.set_len(1 << 40).expect("a terabyte of nothing");
            }
            Trap::Nothing => {}
        }
    }
}

impl Drop for Yard {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn c_path(path: &Path) -> Option<CString> {
    CString::new(path.as_os_str().as_bytes()).ok()
}

fn make(engine: &Engine, key: i32) -> Objects {
    let msqid = engine.msgget(key, IPC_CREAT | 0o600).expect("msgget");
    send(engine, msqid, &text(1, 3000));
    let semid = engine.semget(key, 3, IPC_CREAT | 0o600).expect("semget");
    let shmid = engine
        .shmget(key, 3 * 4096, IPC_CREAT | 0o600)
        .expect("shmget");
    Objects {
        key,
        msqid,
        semid,
        shmid,
    }
}

/// What only whoever lists and tidies does.
fn tidy(engine: &Engine, objects: &Objects) {
    let _ = call(|| engine.each_queue(&mut |_, _| ()));
    let _ = call(|| engine.each_set(&mut |_, _| ()));
    let _ = call(|| engine.each_segment(&mut |_, _, _| ()));
    for flags in [libc::O_RDWR, libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC] {
        if let Ok(shm) = call(|| PosixShm::open(engine.namespace(), c"name", flags, 0o600)) {
            let _ = shm.set_len(100);
        }
    }
    let _ = call(|| PosixShm::unlink(engine.namespace(), c"name"));
    let _ = call(|| engine.namespace().set_limit("msgmax", 9000));
    engine.namespace().limit_edited("msgmax");
    let _ = call(|| {
        engine
            .namespace()
            .open_limit("msgmax", libc::O_WRONLY | libc::O_TRUNC)
            .map(close)
    });
    for len in [3000, 3000, 3000, 3000] {
        let _ = call(|| engine.msgsnd(objects.msqid, 1, &text(1, len).1, libc::IPC_NOWAIT));
    }
    if let Ok(mut ds) = call(|| engine.msg_stat(objects.msqid)) {
        ds.msg_perm.mode = 0o666;
        let _ = call(|| engine.msg_set(objects.msqid, &ds));
        ds.msg_perm.uid = 4242;
        let _ = call(|| engine.msg_set(objects.msqid, &ds));
    }
    let made = [
        call(|| engine.shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0o600)),
        call(|| engine.shmget(5, 4096, IPC_CREAT | 0o600)),
    ];
    for shmid in made.into_iter().flatten() {
        let _ = call(|| engine.shm_remove(shmid));
    }
    let _ = call(|| engine.msg_remove(objects.msqid));
    let _ = call(|| engine.sem_remove(objects.semid));
    let _ = call(|| engine.shm_remove(objects.shmid));
    let _ = call(|| engine.msgget(1, IPC_CREAT | 0o600));
}

fn close(fd: i32) {
    // SAFETY: a descriptor that was just opened, and is nobody else's.
    unsafe { libc::close(fd) };
}

/// A victim with everything mapped, one that comes later, and one that removes it all.
fn try_out(name: &str, trap: Trap, uid: u32) {
    let yard = Yard::new();
    let root = c_path(&yard.root()).expect("a path");
    let engine = Namespace::select(Some(&root))
        .and_then(Engine::new)
        .expect("an engine");
    let objects = make(&engine, 1);
    let before = yard.state();
    yard.set(name, trap);
    let outside = yard.state();
    // A hard link is seen in no field that is compared.
    assert_eq!(before, outside);
    let play = |engine: &Engine, seed| {
        victim::play(engine, &objects, Dice::new(seed), victim::MOST);
        tidy(engine, &objects);
    };
    let runs: [(&str, &dyn Fn()); 3] = [
        ("has it mapped", &|| play(&engine, 1)),
        ("comes later", &|| {
            if let Ok(later) = Namespace::select(Some(&root)).and_then(Engine::new) {
                play(&later, 2);
            }
        }),
        ("destroys it", &|| _ = engine.namespace().destroy()),
    ];
    for (who, run) in runs {
        let end = Child::fork(|| {
            victim::limit();
            if uid != 0 {
                // SAFETY: this process becomes another user.
                unsafe { libc::setresuid(uid, uid, uid) };
                usysv::creds_changed();
            }
            run();
        });
        assert_eq!(
            end.wait(),
            End::Exit(0),
            "{trap:?} at '{name}': who {who}, uid {uid}"
        );
        assert_eq!(
            yard.state(),
            outside,
            "{trap:?} at '{name}': who {who}, uid {uid}"
        );
    }
}

/// Whether this can be tried; root can do all of it.
fn is_root() -> bool {
    // SAFETY: no arguments.
    let root = unsafe { libc::geteuid() } == 0;
    if !root {
        eprintln!("hostile: NOT RUN: devices and other users' files need root");
    }
    root
}

/// Without `USYSV_HOSTILE_ROUNDS` five seconds of them in a random order; with it all, several times
/// for every thousand rounds.
#[test]
fn nothing_outside_is_reached_by_a_trap() {
    if !is_root() {
        return;
    }
    let (begun, first) = (Instant::now(), bytes::first_seed());
    let mut dice = Dice::new(first);
    let each = |name| TRAPS.map(|trap| (name, trap));
    let mut all: Vec<_> = NAMES.into_iter().flat_map(each).collect();
    let wanted = bytes::number("USYSV_HOSTILE_ROUNDS");
    let mut tried = 0;
    for _ in 0..wanted.map_or(1, |rounds| rounds.div_ceil(1000)) {
        for place in 0..all.len() {
            let other = dice.roll(all.len() as u64) as usize;
            all.swap(place, other);
        }
        for (name, trap) in &all {
            let uid = [0, 4242][dice.roll(2) as usize];
            // In a process of its own, which leaves no mapping behind.
            let end = Child::fork(|| try_out(name, *trap, uid)).wait();
            assert_eq!(end, End::Exit(0), "{trap:?} at '{name}'");
            tried += 1;
            if wanted.is_none() && begun.elapsed() > Duration::from_secs(5) {
                break;
            }
        }
    }
    eprintln!(
        "hostile: {tried} traps from seed {first}, three victims each, {:?}",
        begun.elapsed()
    );
}
