//! Kills while segments are made, attached, forked with, detached, removed.
//!
//! A killed process has no attachments, so after each kill the counts are those of the living, and
//! of a removed segment that nobody has, nothing is left once anybody did anything.

use crate::points::Happened::{No, Yes};
use crate::points::Points;
use crate::rig::*;
use std::collections::BTreeSet;
use usysv::abi::{IPC_CREAT, IPC_EXCL, IPC_PRIVATE, SHM_DEST, ShmidDs};
use usysv::{Engine, Errno, SharedMemory};

const CREATE: Points = &[
    ("create.formed", No),
    ("create.intended", No),
    ("create.beside", No),
    // It has its index, but not its key: taken back.
    ("create.indexed", No),
    ("create.keyed", Yes),
];
const ATTACH: Points = &[
    ("shm.add.before_stamp", No),
    ("shm.add.before_commit", No),
    ("shm.add.after_commit", Yes),
];
const DETACH: Points = &[
    ("shm.free.before_commit", No),
    ("shm.free.after_commit", Yes),
];
const SET: Points = &[
    ("shm.set.before_commit", No),
    ("shm.set.after_commit", Yes),
    ("shm.set.stored", Yes),
];
const DESTROY: Points = &[
    ("shm.destroy.before_commit", No),
    ("shm.destroy.after_commit", Yes),
    ("remove.intended", Yes),
    ("remove.unkeyed", Yes),
    ("remove.alone", Yes),
    ("remove.unlinked", Yes),
];
const REMOVE_ATTACHED: Points = &[
    ("shm.remove.before_commit", No),
    ("shm.remove.after_commit", Yes),
];
/// Kills of the parent, then kills of the child.
const FORK_PARENT: [&str; 3] = [
    "shm.fork.returned",
    "shm.fork.adopted_one",
    "shm.fork.adopted",
];

const KEY: i32 = 0x1234;
const OTHER_KEY: i32 = 0x5678;
const SIZE: usize = 3 * 4096;

fn get(engine: &Engine, key: i32, shmflg: i32) -> Result<i32, Errno> {
    call(|| engine.shmget(key, SIZE, shmflg | 0o600))
}

fn attach(engine: &Engine, shmid: i32) -> usize {
    // SAFETY: anywhere, so nothing is replaced.
    call(|| unsafe { engine.shmat(shmid, 0, 0) }).expect("shmat")
}

fn detach(engine: &Engine, at: usize) {
    // SAFETY: an attachment of this test's, which nobody uses any more.
    call(|| unsafe { engine.shmdt(at) }).expect("shmdt");
}

fn stat(engine: &Engine, shmid: i32) -> ShmidDs {
    call(|| engine.shm_stat(shmid)).expect("shm_stat")
}

fn remove(engine: &Engine, shmid: i32) {
    call(|| engine.shm_remove(shmid)).expect("shm_remove");
}

fn names(world: &World, dir: &str) -> BTreeSet<String> {
    let root = world.0.namespace().path().to_str().expect("a plain path");
    let entries = std::fs::read_dir(format!("{root}/{dir}")).expect("the directory");
    let name = |entry: std::fs::DirEntry| entry.file_name().into_string().expect("a plain name");
    entries.map(|e| name(e.expect("an entry"))).collect()
}

/// A segment works: others see what one writes, and every attachment counts.
fn use_segment(engine: &Engine, shmid: i32) {
    let before = stat(engine, shmid).shm_nattch;
    let (one, two) = (attach(engine, shmid), attach(engine, shmid));
    // SAFETY: both are SIZE bytes, page-aligned.
    unsafe {
        let (one, two) = (one as *mut u64, two as *mut u64);
        one.add(7).write_volatile(0x5eed);
        assert_eq!(two.add(7).read_volatile(), 0x5eed);
    }
    assert_eq!(stat(engine, shmid).shm_nattch, before + 2);
    detach(engine, one);
    detach(engine, two);
    assert_eq!(stat(engine, shmid).shm_nattch, before);
}

/// After somebody made and removed a segment: the files and keys of `live` segments, and no more.
fn check_names(world: &World, live: usize) {
    let engine = &world.0;
    let other = get(engine, OTHER_KEY, IPC_CREAT | IPC_EXCL).expect("another segment");
    use_segment(engine, other);
    remove(engine, other);
    assert_eq!(get(engine, OTHER_KEY, 0), Err(Errno::ENOENT));
    let (usage, _) = call(|| engine.shm_usage()).expect("shm_usage");
    assert_eq!(usage.used_ids as usize, live, "segments in use");
    let files = names(world, "shm");
    assert_eq!(files.len(), 2 * live, "{files:?}");
    assert!(names(world, "key").len() <= live);
}

#[test]
fn create() {
    for (point, happened) in CREATE {
        let world = World::new();
        let engine = &world.0;
        killed_at(point, || {
            let _ = get(engine, KEY, IPC_CREAT);
        });
        survivor(point, || {
            let found = get(engine, KEY, 0);
            assert_eq!(found.is_ok(), *happened == Yes, "{found:?}");
            check_names(&world, usize::from(*happened == Yes));
            let shmid = get(engine, KEY, IPC_CREAT).expect("shmget");
            use_segment(engine, shmid);
            remove(engine, shmid);
            check_names(&world, 0);
        });
    }
}

#[test]
fn killed_creators_lose_no_place_and_no_pages() {
    for (point, _) in CREATE {
        for key in [KEY, IPC_PRIVATE] {
            let world = World::new();
            let engine = &world.0;
            let set = |name, value| engine.namespace().set_limit(name, value).expect("limit");
            set("shmmni", 2);
            set("shmall", 2 * SIZE as u64 / 4096);
            for cycle in 0..50 {
                killed_at(point, || {
                    let _ = get(engine, key, IPC_CREAT);
                });
                for index in 0..64 {
                    if let Ok((shmid, _)) = engine.shm_stat_index(index, true) {
                        remove(engine, shmid);
                    }
                }
                let shmid = get(engine, OTHER_KEY, IPC_CREAT | IPC_EXCL);
                let shmid = shmid.unwrap_or_else(|e| panic!("{point}, cycle {cycle}: {e:?}"));
                remove(engine, shmid);
            }
            check_names(&world, 0);
        }
    }
}

#[test]
fn attach_and_detach() {
    for (point, _) in ATTACH.iter().chain(DETACH) {
        for removed in [false, true] {
            let world = World::new();
            let engine = &world.0;
            let shmid = get(engine, KEY, IPC_CREAT).expect("shmget");
            let watch = attach(engine, shmid);
            if removed {
                remove(engine, shmid);
            }
            let pid = killed_at(point, || {
                let at = attach(engine, shmid);
                detach(engine, at);
            });
            survivor(point, || {
                // The watcher, and this child of its, which inherited its attachment.
                let ds = stat(engine, shmid);
                assert_eq!(ds.shm_nattch, 2, "{point}");
                assert_eq!(ds.shm_perm.mode & SHM_DEST != 0, removed);
                use_segment(engine, shmid);
            });
            let ds = stat(engine, shmid);
            assert_eq!(ds.shm_nattch, 1, "{point}");
            assert_ne!(pid, 0);
            detach(engine, watch);
            if removed {
                check_names(&world, 0);
            } else {
                assert_eq!(stat(engine, shmid).shm_nattch, 0);
                remove(engine, shmid);
                check_names(&world, 0);
            }
        }
    }
}

#[test]
fn the_last_attacher_of_a_removed_segment_is_killed() {
    for (point, _) in DETACH.iter().chain(DESTROY) {
        let world = World::new();
        let engine = &world.0;
        let shmid = get(engine, KEY, IPC_CREAT).expect("shmget");
        killed_at(point, || {
            let at = attach(engine, shmid);
            if !matches!(*point, "shm.remove.before_commit") {
                remove(engine, shmid);
            }
            detach(engine, at);
        });
        // Whoever comes first sweeps: by making a segment, by looking, by counting.
        survivor(point, || check_names(&world, 0));
        assert_eq!(call(|| engine.shm_stat(shmid)).err(), Some(Errno::EINVAL));
        assert_eq!(get(engine, KEY, 0), Err(Errno::ENOENT), "{point}");
        assert!(names(&world, "shm").is_empty(), "{point}");
    }
}

#[test]
fn remove_unattached() {
    for (point, happened) in DESTROY {
        let world = World::new();
        let engine = &world.0;
        let shmid = get(engine, KEY, IPC_CREAT).expect("shmget");
        killed_at(point, || {
            let _ = engine.shm_remove(shmid);
        });
        survivor(point, || {
            if *happened == No {
                assert_eq!(get(engine, KEY, 0), Ok(shmid));
                use_segment(engine, shmid);
                remove(engine, shmid);
            }
            assert_eq!(call(|| engine.shm_stat(shmid)).err(), Some(Errno::EINVAL));
            assert_eq!(get(engine, KEY, 0), Err(Errno::ENOENT));
            let fresh = get(engine, KEY, IPC_CREAT | IPC_EXCL).expect("the key is free");
            assert_ne!(fresh, shmid);
            use_segment(engine, fresh);
            remove(engine, fresh);
            check_names(&world, 0);
        });
    }
}

#[test]
fn remove_attached() {
    for (point, happened) in REMOVE_ATTACHED {
        let world = World::new();
        let engine = &world.0;
        let shmid = get(engine, KEY, IPC_CREAT).expect("shmget");
        let watch = attach(engine, shmid);
        killed_at(point, || {
            let _ = engine.shm_remove(shmid);
        });
        let found = get(engine, KEY, 0);
        match happened {
            No => {
                assert_eq!(found, Ok(shmid));
                remove(engine, shmid);
            }
            Yes => assert_eq!(found, Err(Errno::ENOENT)),
        }
        let fresh = get(engine, KEY, IPC_CREAT | IPC_EXCL).expect("the key is free");
        assert_eq!(stat(engine, shmid).shm_perm.key, IPC_PRIVATE);
        use_segment(engine, shmid);
        use_segment(engine, fresh);
        remove(engine, fresh);
        check_names(&world, 1);
        detach(engine, watch);
        check_names(&world, 0);
    }
}

#[test]
fn set() {
    for (point, happened) in SET {
        let world = World::new();
        let engine = &world.0;
        let shmid = get(engine, KEY, IPC_CREAT).expect("shmget");
        let mut ds = stat(engine, shmid);
        ds.shm_perm.mode = 0o640;
        killed_at(point, || {
            let _ = engine.shm_set(shmid, &ds);
        });
        let mode = if *happened == Yes { 0o640 } else { 0o600 };
        assert_eq!(stat(engine, shmid).shm_perm.mode, mode, "{point}");
        survivor(point, || use_segment(engine, shmid));
    }
}

#[test]
fn the_sweeper_is_killed() {
    let world = World::new();
    let engine = &world.0;
    let shmid = get(engine, KEY, IPC_CREAT).expect("shmget");
    for _ in 0..3 {
        killed_at("shm.add.after_commit", || {
            attach(engine, shmid);
        });
    }
    killed_at("shm.bury", || {
        let _ = engine.shm_stat(shmid);
    });
    assert_eq!(stat(engine, shmid).shm_nattch, 0);
    survivor("shm.bury", || use_segment(engine, shmid));
}

#[test]
fn the_table_of_attachments_grows_under_a_kill() {
    const MANY: usize = 200;
    let world = World::new();
    let engine = &world.0;
    let shmid = get(engine, KEY, IPC_CREAT).expect("shmget");
    killed_at("shm.grow.before_commit", || {
        for _ in 0..MANY {
            attach(engine, shmid);
        }
    });
    let all: Vec<usize> = (0..MANY).map(|_| attach(engine, shmid)).collect();
    assert_eq!(stat(engine, shmid).shm_nattch, MANY as u64);
    all.into_iter().for_each(|at| detach(engine, at));
    assert_eq!(stat(engine, shmid).shm_nattch, 0);
}

/// `fork` as the preload library makes it.
fn fork_attached(engine: &Engine, child: impl FnOnce()) {
    let fork = engine.before_fork().expect("something to inherit");
    // SAFETY: this process has one thread; the child leaves by _exit.
    match unsafe { libc::fork() } {
        0 => {
            engine.in_child();
            child();
            // SAFETY: ends this process.
            unsafe { libc::_exit(0) }
        }
        pid => engine.after_fork(&fork, u32::try_from(pid).ok()),
    }
}

#[test]
fn a_forking_parent_is_killed() {
    for point in FORK_PARENT {
        let world = World::new();
        let engine = &world.0;
        let (shmid, sign) = (
            get(engine, KEY, IPC_CREAT).expect("shmget"),
            get(engine, IPC_PRIVATE, IPC_CREAT).expect("shmget"),
        );
        killed_at(point, || {
            attach(engine, shmid);
            attach(engine, shmid);
            fork_attached(engine, || {
                let sign = attach(engine, sign) as *mut u64;
                // SAFETY: an attachment of SIZE bytes.
                until(
                    "the test lets the orphan go",
                    || unsafe { sign.read_volatile() } == 1,
                );
            });
        });
        // The orphan counts, for both attachments, and as the only one.
        until(point, || stat(engine, sign).shm_nattch == 1);
        assert_eq!(stat(engine, shmid).shm_nattch, 2, "{point}");
        remove(engine, shmid);
        let at = attach(engine, sign);
        // SAFETY: an attachment of SIZE bytes.
        unsafe { (at as *mut u64).write_volatile(1) };
        until(point, || stat(engine, sign).shm_nattch == 1);
        detach(engine, at);
        remove(engine, sign);
        check_names(&world, 0);
    }
}

#[test]
fn a_forked_child_is_killed() {
    let world = World::new();
    let engine = &world.0;
    let shmid = get(engine, KEY, IPC_CREAT).expect("shmget");
    survivor("shm.fork.inherited_one", || {
        attach(engine, shmid);
        attach(engine, shmid);
        arm("shm.fork.inherited_one", 1);
        fork_attached(engine, || ());
        let mut status = 0;
        // SAFETY: `status` can be written.
        unsafe { libc::wait(&raw mut status) };
        assert!(libc::WIFSIGNALED(status), "the child was killed");
        assert_eq!(stat(engine, shmid).shm_nattch, 2);
    });
    assert_eq!(stat(engine, shmid).shm_nattch, 0);
    remove(engine, shmid);
    check_names(&world, 0);
}

/// Broke: the bit that says "look here" was cleared before the look; a sweeper killed in between
/// left a removed segment that nobody looked for any more.
#[test]
fn the_sweeper_of_a_removed_segment_is_killed() {
    for (point, _) in [("shm.bury", No)].iter().chain(DESTROY) {
        let world = World::new();
        let engine = &world.0;
        let shmid = get(engine, KEY, IPC_CREAT).expect("shmget");
        killed_at("shm.free.before_commit", || {
            let at = attach(engine, shmid);
            remove(engine, shmid);
            detach(engine, at);
        });
        killed_at(point, || {
            let _ = get(engine, OTHER_KEY, IPC_CREAT | IPC_EXCL);
        });
        survivor(point, || check_names(&world, 0));
    }
}

/// What broke: a segment that nobody had attached was not noted before its removal's commit, so that
/// nothing swept it, and its memory, if its remover was killed before its names were gone.
#[test]
fn the_segment_of_a_killed_remover_is_swept() {
    for (point, _) in DESTROY {
        let world = World::new();
        let engine = &world.0;
        killed_at(point, || {
            let shmid = get(engine, IPC_PRIVATE, IPC_CREAT).expect("shmget");
            let _ = engine.shm_remove(shmid);
        });
        survivor(point, || {
            let (usage, _) = call(|| engine.shm_usage()).expect("shm_usage");
            let left = i32::from(*point == "shm.destroy.before_commit");
            assert_eq!(usage.used_ids, left);
            assert_eq!(names(&world, "shm").len(), 2 * left as usize);
        });
    }
}
