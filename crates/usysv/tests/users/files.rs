//! Past the calls: what a user can do to the files of a namespace and to processes of others.
//!
//! docs/reliability.md says what somebody with permission can do; this shows that it is all.

use crate::rig::{Child, End, shared};
use crate::{OTHER, OWNER, ROOT, User, is_root};
use std::collections::BTreeSet;
use std::ffi::CString;
use std::io::Error;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use usysv::abi::{IPC_CREAT, IPC_EXCL, IPC_NOWAIT};
use usysv::{Engine, Messages, Namespace, SemField, Semaphores, SharedMemory};

const HOW: i32 = IPC_CREAT | IPC_EXCL;

struct World {
    engine: Engine,
    root: PathBuf,
}

impl World {
    /// A namespace in which the owner has objects of these modes, with the modes as keys.
    fn new(modes: &[i32]) -> World {
        let namespace = Namespace::create_private(None).expect("a namespace");
        let root = PathBuf::from(namespace.path().to_str().expect("a path"));
        let world = World {
            engine: Engine::new(namespace).expect("an engine"),
            root,
        };
        world.by(OWNER, |engine| {
            for mode in modes {
                let id = engine.msgget(*mode + 1, HOW | mode).expect("msgget");
                engine.msgsnd(id, 1, b"there", IPC_NOWAIT).expect("msgsnd");
                let id = engine.semget(*mode + 1, 1, HOW | mode).expect("semget");
                engine.sem_put(id, 0, 7).expect("SETVAL");
                engine.shmget(*mode + 1, 4096, HOW | mode).expect("shmget");
            }
        });
        world
    }

    /// Runs `f` in a process of this user, which has nothing mapped before.
    fn by(&self, user: User, f: impl FnOnce(&Engine)) {
        let child = Child::fork(|| {
            user.become_them();
            f(&self.engine);
        });
        assert_eq!(child.wait(), End::Exit(0), "as {}", user.0);
    }

    /// Everything in the namespace, itself included.
    fn entries(&self) -> Vec<PathBuf> {
        let mut found = vec![self.root.clone()];
        let mut at = 0;
        while at < found.len() {
            if found[at].is_dir() && !found[at].is_symlink() {
                let names = std::fs::read_dir(&found[at]).expect("a directory");
                found.extend(names.map(|name| name.expect("a name").path()));
            }
            at += 1;
        }
        found
    }

    fn check_objects(&self, modes: &[i32]) {
        self.by(OWNER, |engine| {
            for mode in modes {
                let id = engine.msgget(*mode + 1, 0).expect("msgget");
                let got = engine.msgrcv(id, &mut [0; 64], 0, IPC_NOWAIT);
                assert_eq!(got, Ok((1, 5)), "the queue of mode {mode:o}");
                engine.msgsnd(id, 1, b"there", IPC_NOWAIT).expect("msgsnd");
                let id = engine.semget(*mode + 1, 1, 0).expect("semget");
                assert_eq!(engine.sem_get(id, 0, SemField::Value), Ok(7));
                engine.shmget(*mode + 1, 4096, 0).expect("shmget");
            }
        });
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.root);
    }
}

fn c(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).expect("a path")
}

/// The errno of a call that must fail, 0 if it did not.
fn errno(returned: i32) -> i32 {
    match returned {
        -1 => Error::last_os_error().raw_os_error().unwrap_or(-1),
        _ => 0,
    }
}

fn opens(path: &Path, how: i32) -> i32 {
    // SAFETY: a string that ends.
    let fd = unsafe { libc::open(c(path).as_ptr(), how | libc::O_NONBLOCK, 0o600) };
    let failed = errno(fd);
    // SAFETY: opened above, or -1.
    unsafe { libc::close(fd) };
    failed
}

const REFUSED: [i32; 3] = [libc::EACCES, libc::EPERM, libc::EISDIR];

/// Tries everything that changes a name, a mode or an owner; tells what was possible.
fn attack(path: &Path, own: &Path, linkable: bool) -> Vec<String> {
    let (there, mine) = (c(path), c(own));
    let fresh = |name: &str| c(&own.with_file_name(name));
    let acl = c"system.posix_acl_access";
    // An access list that lets everybody in: version 2, and three entries.
    let mut list = vec![2u8, 0, 0, 0];
    for tag in [1u8, 4, 32] {
        list.extend([tag, 0, 6, 0, 255, 255, 255, 255]);
    }
    // SAFETY: strings that end, and a list that is as long as said; of the calls only the kernel's
    // answer matters.
    let tried = unsafe {
        [
            ("unlink", libc::unlink(there.as_ptr())),
            ("rmdir", libc::rmdir(there.as_ptr())),
            (
                "rename away",
                libc::rename(there.as_ptr(), fresh("stolen").as_ptr()),
            ),
            ("rename over", libc::rename(mine.as_ptr(), there.as_ptr())),
            ("chmod", libc::chmod(there.as_ptr(), 0o777)),
            ("chown", libc::lchown(there.as_ptr(), OTHER.1, OTHER.2)),
            (
                "setxattr",
                libc::setxattr(
                    there.as_ptr(),
                    acl.as_ptr(),
                    list.as_ptr().cast(),
                    list.len(),
                    0,
                ),
            ),
            ("link over", libc::link(mine.as_ptr(), there.as_ptr())),
            ("symlink over", libc::symlink(mine.as_ptr(), there.as_ptr())),
        ]
        .map(|(name, returned)| (name, errno(returned)))
    };
    let mut possible: Vec<String> = tried
        .iter()
        .filter(|(_, errno)| *errno == 0)
        .map(|(name, _)| format!("{name} of {}", path.display()))
        .collect();
    // SAFETY: strings that end.
    let linked = unsafe { libc::link(there.as_ptr(), fresh("linked").as_ptr()) };
    if errno(linked) == 0 && !linkable {
        possible.push(format!("link of {}", path.display()));
    }
    possible
}

/// Whether the system lets users link to files of others that they may write to.
fn links_are_protected() -> bool {
    let text = std::fs::read_to_string("/proc/sys/fs/protected_hardlinks");
    text.is_ok_and(|text| text.trim() == "1")
}

/// The names in a directory of the namespace are their makers' and nobody else's, whatever the
/// mode of the object: the directories are sticky.
#[test]
fn nobody_removes_replaces_or_opens_up_what_is_anothers() {
    if !is_root() {
        return;
    }
    let modes = [0o600, 0o660, 0o666, 0o622];
    let world = World::new(&modes);
    let entries = world.entries();
    assert!(entries.len() > 40, "objects, keys, limits: {entries:?}");
    let protected = links_are_protected();
    if !protected {
        eprintln!("users: fs.protected_hardlinks is off: links are NOT TRIED");
    }
    world.by(OTHER, |engine| {
        // Something of the attacker's own in the same file system, to put in place of others'.
        let own = world.root.join("msg/mine");
        std::fs::write(&own, "mine").expect("everybody may make files");
        let mut possible = Vec::new();
        for entry in &entries {
            // A link to what one may write to is not a way to anything that the file is not.
            let writable = opens(entry, libc::O_RDWR) == 0;
            possible.extend(attack(entry, &own, writable || !protected));
        }
        assert_eq!(possible, [""; 0], "possible for another user");
        for (key, id) in modes.map(|mode| (mode + 1, engine.msgget(mode + 1, 0))) {
            let id = id.expect("whoever asks for nothing gets the id");
            assert_eq!(
                engine.msg_remove(id),
                Err(usysv::Errno::EPERM),
                "key {key:o}"
            );
        }
    });
    let still: BTreeSet<_> = world.entries().into_iter().collect();
    assert!(
        entries.iter().all(|entry| still.contains(entry)),
        "a name is gone"
    );
    world.check_objects(&modes);
}

/// Which files somebody can write who is neither root nor the maker: two that belong to all, and
/// the objects whose mode lets them. The list in docs/reliability.md is this one.
#[test]
fn another_user_can_write_two_files_and_the_objects_that_let_them() {
    if !is_root() {
        return;
    }
    let world = World::new(&[0o600, 0o660, 0o604, 0o602, 0o606]);
    let expected: BTreeSet<String> = [
        // Nobody's and everybody's: liveness of threads; sequence numbers and the lock of names.
        "bells",
        "counters",
        // Directories, for new names only.
        "+",
        "+key",
        "+msg",
        "+posix",
        "+sem",
        "+shm",
        // Objects whose mode gives others anything; bytes of a segment only where it gives writing.
        "msg/2",
        "msg/3",
        "msg/4",
        "sem/2",
        "sem/3",
        "sem/4",
        "shm/2",
        "shm/3",
        "shm/4",
        "shm/3.data",
        "shm/4.data",
    ]
    .map(str::to_owned)
    .into();
    let entries = world.entries();
    world.by(OTHER, |_| {
        let mut writable = BTreeSet::new();
        for entry in entries.iter().filter(|entry| !entry.is_symlink()) {
            let name = entry.strip_prefix(&world.root).expect("inside").display();
            if entry.is_dir() {
                let probe = entry.join("probe");
                if opens(&probe, libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL) == 0 {
                    std::fs::remove_file(probe).expect("one's own file");
                    writable.insert(format!("+{name}"));
                }
            } else if opens(entry, libc::O_WRONLY) == 0 {
                writable.insert(name.to_string());
            }
        }
        assert_eq!(writable, expected);
        let ns = opens(&world.root.join("ns"), libc::O_RDONLY);
        assert_eq!(ns, 0, "everybody reads the limits");
    });
}

/// A process that has an object mapped is no way to it for another user. No descriptor stays open.
#[test]
fn no_way_to_an_object_through_a_process_that_uses_it() {
    if !is_root() {
        return;
    }
    let world = World::new(&[0o600]);
    // SAFETY: fresh zeroed memory that lives as long as the test's process.
    let (asleep, done) = unsafe {
        let words = shared(8).cast::<AtomicU32>();
        (&*words, &*words.add(1))
    };
    let sleeper = Child::fork(|| {
        OWNER.become_them();
        let id = world.engine.msgget(0o601, 0).expect("msgget");
        let shm = world.engine.shmget(0o601, 0, 0).expect("shmget");
        // SAFETY: a new mapping.
        unsafe { world.engine.shmat(shm, 0, 0) }.expect("shmat");
        asleep.store(1, SeqCst);
        while done.load(SeqCst) == 0 {
            let _ = world.engine.msgrcv(id, &mut [0; 8], 99, IPC_NOWAIT);
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    });
    while asleep.load(SeqCst) == 0 {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let proc = PathBuf::from(format!("/proc/{}", sleeper.pid()));
    let names = |dir: &str| -> Vec<PathBuf> {
        let names = std::fs::read_dir(proc.join(dir)).expect("root may list it");
        names.map(|name| name.expect("a name").path()).collect()
    };
    let of_namespace =
        |path: &PathBuf| std::fs::read_link(path).is_ok_and(|to| to.starts_with(&world.root));
    let maps: Vec<PathBuf> = names("map_files")
        .into_iter()
        .filter(of_namespace)
        .collect();
    assert!(
        maps.len() >= 5,
        "ns, counters, bells, queue, segment: {maps:?}"
    );
    let fds = names("fd");
    assert!(
        !fds.iter().any(of_namespace),
        "a descriptor is open: {fds:?}"
    );
    let mut ways: Vec<PathBuf> = [maps.clone(), fds].concat();
    ways.push(proc.join("mem"));
    for link in ["root", "cwd"] {
        ways.push(
            proc.join(link).join(
                world
                    .root
                    .join("msg/0")
                    .strip_prefix("/")
                    .expect("absolute"),
            ),
        );
    }
    world.by(OTHER, |_| {
        for way in &ways {
            for how in [libc::O_RDONLY, libc::O_WRONLY, libc::O_RDWR] {
                let failed = opens(way, how);
                assert!(
                    REFUSED.contains(&failed),
                    "{} opens: {failed}",
                    way.display()
                );
            }
        }
    });
    // The same ways are open to root: they were the right ones.
    world.by(ROOT, |_| {
        assert_eq!(opens(&maps[0], libc::O_RDONLY), 0, "as root")
    });
    eprintln!(
        "users: {} opens through another user's process fail",
        ways.len() * 3
    );
    done.store(1, SeqCst);
    assert_eq!(sleeper.wait(), End::Exit(0));
}
