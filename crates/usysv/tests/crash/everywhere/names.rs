//! Names: making and removing objects, sweeping what the dead left; limits, and new namespaces.

use super::Scenario;
use crate::huge::{MOUNTED, can_mount, mount_hugetlbfs};
use crate::rig::*;
use std::ffi::CString;
use usysv::abi::{IPC_CREAT, IPC_EXCL, IPC_PRIVATE, SHM_HUGETLB, SHM_NORESERVE};
use usysv::{Engine, Errno, Messages, Namespace, Semaphores, SharedMemory};

const KEY: i32 = 0x1234;
const OTHER_KEY: i32 = 0x5678;
const COMPANYS_KEY: i32 = 0x9abc;

fn queue(engine: &Engine, key: i32) -> i32 {
    call(|| engine.msgget(key, IPC_CREAT | 0o600)).expect("msgget")
}

/// A queue with this key can be made, is the only one with it, works, and goes.
fn use_key(engine: &Engine, key: i32) {
    let msqid = queue(engine, key);
    if key != IPC_PRIVATE {
        assert_eq!(call(|| engine.msgget(key, 0)), Ok(msqid));
        let again = call(|| engine.msgget(key, IPC_CREAT | IPC_EXCL | 0o600));
        assert_eq!(again, Err(Errno::EEXIST));
    }
    check_queue(engine, msqid, &[]);
    call(|| engine.msg_remove(msqid)).expect("msg_remove");
    assert_eq!(call(|| engine.msg_stat(msqid)).err(), Some(Errno::EINVAL));
    if key != IPC_PRIVATE {
        assert_eq!(call(|| engine.msgget(key, 0)), Err(Errno::ENOENT));
    }
}

fn names(world: &World, dir: &str) -> Vec<String> {
    let root = world.0.namespace().path().to_str().expect("a plain path");
    let names = std::fs::read_dir(format!("{root}/{dir}")).expect("the directory");
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.expect("an entry").file_name();
    names
        .map(|entry| name(entry).into_string().expect("a plain name"))
        .collect()
}

/// After all queues were removed: keys can be used, and nothing is left.
fn check(world: &World) {
    let engine = &world.0;
    for index in 0..64 {
        if let Ok((msqid, _)) = call(|| engine.msg_stat_index(index, true)) {
            call(|| engine.msg_remove(msqid)).expect("msg_remove");
        }
    }
    for key in [KEY, OTHER_KEY, IPC_PRIVATE] {
        use_key(engine, key);
    }
    let left = [names(world, "msg"), names(world, "key")].concat();
    assert!(left.is_empty(), "{left:?} are left");
}

fn look(engine: &Engine, _: i32) {
    let msqid = queue(engine, OTHER_KEY);
    call(|| engine.msg_remove(msqid)).expect("msg_remove");
}

fn work(engine: &Engine, _: i32) {
    let msqid = queue(engine, COMPANYS_KEY);
    assert_eq!(call(|| engine.msgget(COMPANYS_KEY, 0)), Ok(msqid));
    call(|| engine.msg_remove(msqid)).expect("msg_remove");
}

const PLAIN: Scenario = Scenario {
    name: "",
    make: |_| (0, vec![]),
    act: |_, _| (),
    meanwhile: None,
    next: look,
    seen: |_, _| 0,
    release: |_, _| (),
    check: |world, _| {
        check(world);
        0
    },
    company: Some(work),
    exact: true,
    slow: false,
};

pub fn scenarios() -> Vec<Scenario> {
    let huge = if can_mount() { vec![HUGE] } else { vec![] };
    [making(), clearing_up(), settings(), huge].concat()
}

const HUGE: Scenario = Scenario {
    name: "a segment of huge pages is made and removed",
    // In this scenario's own process, and whom it forks.
    make: |_| {
        mount_hugetlbfs().expect("a hugetlbfs");
        (0, vec![])
    },
    act: |engine, _| {
        let shmid = huge_segment(engine).expect("shmget");
        call(|| engine.shm_remove(shmid)).expect("IPC_RMID");
    },
    check: |world, _| {
        if let Ok(shmid) = huge_segment(&world.0) {
            call(|| world.0.shm_remove(shmid)).expect("IPC_RMID");
        }
        world.assert_no_segments();
        let left = std::fs::read_dir(MOUNTED).expect("the hugetlbfs").count();
        assert_eq!(left, 0, "files of huge pages");
        0
    },
    company: None,
    ..PLAIN
};

fn huge_segment(engine: &Engine) -> Result<i32, Errno> {
    let flags = IPC_CREAT | SHM_HUGETLB | SHM_NORESERVE | 0o600;
    call(|| engine.shmget(KEY, 1, flags))
}

fn making() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "a queue is made",
            act: |engine, _| {
                queue(engine, KEY);
            },
            seen: |world, _| usize::from(call(|| world.0.msgget(KEY, 0)).is_ok()),
            ..PLAIN
        },
        Scenario {
            name: "a queue without a key is made",
            act: |engine, _| {
                queue(engine, IPC_PRIVATE);
            },
            ..PLAIN
        },
        Scenario {
            name: "a set is made and removed",
            act: |engine, _| {
                let semid = call(|| engine.semget(KEY, 3, IPC_CREAT | 0o600)).expect("semget");
                call(|| engine.sem_remove(semid)).expect("IPC_RMID");
            },
            check: |world, _| {
                if let Ok(semid) = call(|| world.0.semget(KEY, 3, 0)) {
                    call(|| world.0.sem_remove(semid)).expect("IPC_RMID");
                }
                let semid = call(|| world.0.semget(KEY, 3, IPC_CREAT | IPC_EXCL | 0o600));
                call(|| world.0.sem_remove(semid.expect("semget"))).expect("IPC_RMID");
                check(world);
                let left = names(world, "sem");
                assert!(left.is_empty(), "{left:?} are left");
                0
            },
            ..PLAIN
        },
        Scenario {
            name: "a segment is made and removed",
            act: |engine, _| {
                let shmid = call(|| engine.shmget(KEY, 100, IPC_CREAT | 0o600)).expect("shmget");
                call(|| engine.shm_remove(shmid)).expect("IPC_RMID");
            },
            check: |world, _| {
                if let Ok(shmid) = call(|| world.0.shmget(KEY, 100, 0)) {
                    call(|| world.0.shm_remove(shmid)).expect("IPC_RMID");
                }
                world.assert_no_segments();
                check(world);
                0
            },
            ..PLAIN
        },
        Scenario {
            name: "a segment's files let others in",
            make: |engine| {
                let shmid = call(|| engine.shmget(KEY, 100, IPC_CREAT | 0o600));
                (shmid.expect("shmget"), vec![])
            },
            act: |engine, shmid| {
                let mut ds = engine.shm_stat(shmid).expect("IPC_STAT");
                ds.shm_perm.mode = 0o666;
                engine.shm_set(shmid, &ds).expect("IPC_SET");
            },
            check: |world, shmid| {
                call(|| world.0.shm_remove(shmid)).expect("IPC_RMID");
                world.assert_no_segments();
                0
            },
            ..PLAIN
        },
        Scenario {
            name: "a queue is removed",
            make: |engine| (queue(engine, KEY), vec![]),
            act: |engine, msqid| call(|| engine.msg_remove(msqid)).expect("msg_remove"),
            seen: |world, msqid| {
                let found = call(|| world.0.msgget(KEY, 0));
                assert!(
                    found == Ok(msqid) || found == Err(Errno::ENOENT),
                    "{found:?}"
                );
                usize::from(found.is_err())
            },
            ..PLAIN
        },
    ]
}

fn clearing_up() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "what a killed creator left is taken back",
            make: |engine| {
                killed_at("create.indexed", || {
                    queue(engine, KEY);
                });
                (0, vec![])
            },
            act: |engine, _| {
                queue(engine, OTHER_KEY);
                assert_eq!(call(|| engine.msgget(KEY, 0)), Err(Errno::ENOENT));
            },
            ..PLAIN
        },
        Scenario {
            name: "a key is used that a killed remover left",
            make: |engine| {
                let msqid = queue(engine, KEY);
                killed_at("msg.remove.after_commit", || {
                    let _ = engine.msg_remove(msqid);
                });
                (msqid, vec![])
            },
            act: |engine, msqid| assert_ne!(queue(engine, KEY), msqid),
            ..PLAIN
        },
        Scenario {
            name: "a place is used that a killed remover left",
            make: |engine| {
                let set = |value| engine.namespace().set_limit("msgmni", value);
                set(2).expect("a limit");
                let msqid = queue(engine, IPC_PRIVATE);
                queue(engine, IPC_PRIVATE);
                killed_at("msg.remove.after_commit", || {
                    let _ = engine.msg_remove(msqid);
                });
                (msqid, vec![])
            },
            act: |engine, _| {
                queue(engine, KEY);
            },
            next: |engine, _| {
                // There may be room for one more, or not.
                if let Ok(msqid) = call(|| engine.msgget(OTHER_KEY, IPC_CREAT | 0o600)) {
                    call(|| engine.msg_remove(msqid)).expect("msg_remove");
                }
            },
            company: None,
            ..PLAIN
        },
    ]
}

/// Where [`settings`] has a namespace made.
fn inner(engine: &Engine) -> CString {
    let path = engine.namespace().path().to_str().expect("a plain path");
    CString::new(format!("{path}.inner")).expect("no NUL")
}

fn edit(engine: &Engine) {
    let namespace = engine.namespace();
    namespace.limit_edited("msgmnb");
    let path = namespace.with_limit_path("msgmnb", |path| path.to_owned());
    let path = path.expect("a limit").into_string().expect("a plain path");
    std::fs::write(path, "20000\n").expect("the limit's text");
    assert_eq!(namespace.limits().msgmnb, 20000);
}

/// What a limit's file says.
fn limit_text(engine: &Engine, name: &str) -> String {
    let path = engine
        .namespace()
        .with_limit_path(name, |path| path.to_owned());
    let path = path.expect("a limit").into_string().expect("a plain path");
    std::fs::read_to_string(path).expect("the limit's text")
}

fn settings() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "a limit is set",
            act: |engine, _| {
                let set = engine.namespace().set_limit("msgmnb", 9000);
                set.expect("a limit");
            },
            next: |engine, _| {
                engine.namespace().limits();
            },
            seen: |world, _| {
                let limit = world.0.namespace().limits().msgmnb;
                // Emptied, it does not count, and is written anew later.
                let text = limit_text(&world.0, "msgmnb");
                assert!(text.is_empty() && limit == 16384 || text == format!("{limit}\n"));
                [16384, 9000]
                    .iter()
                    .position(|l| *l == limit)
                    .expect("one of them")
            },
            check: |world, _| {
                world
                    .0
                    .namespace()
                    .set_limit("msgmnb", 16384)
                    .expect("a limit");
                check(world);
                0
            },
            company: None,
            ..PLAIN
        },
        Scenario {
            name: "a limit is written as a file",
            act: |engine, _| edit(engine),
            next: |engine, _| {
                engine.namespace().limits();
            },
            seen: |world, _| {
                let limit = world.0.namespace().limits().msgmnb;
                [16384, 20000]
                    .iter()
                    .position(|l| *l == limit)
                    .expect("one of them")
            },
            check: |world, _| {
                edit(&world.0);
                check(world);
                0
            },
            company: None,
            ..PLAIN
        },
        Scenario {
            name: "a namespace is made",
            act: |engine, _| drop(Namespace::select(Some(&inner(engine))).expect("a namespace")),
            next: |engine, _| drop(Namespace::select(Some(&inner(engine))).expect("a namespace")),
            check: |world, _| {
                let namespace = Namespace::select(Some(&inner(&world.0))).expect("a namespace");
                let inner = World(Engine::new(namespace).expect("an engine"));
                check(&inner);
                inner.assert_no_segments();
                0
            },
            company: None,
            ..PLAIN
        },
    ]
}
