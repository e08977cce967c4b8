//! Segments: attachments and their records, also when cut and moved, fork, removal, sweeping.

use super::Scenario;
use crate::rig::*;
use usysv::abi::{IPC_CREAT, SHM_LOCKED};
use usysv::{Engine, Errno, SharedMemory};

const PAGE: usize = 4096;
const SIZE: usize = 3 * PAGE;
const KEY: i32 = 0x1234;

fn segment(engine: &Engine, key: i32) -> i32 {
    call(|| engine.shmget(key, SIZE, IPC_CREAT | 0o600)).expect("shmget")
}

fn attach(engine: &Engine, shmid: i32) -> usize {
    // SAFETY: anywhere, so nothing is replaced.
    call(|| unsafe { engine.shmat(shmid, 0, 0) }).expect("shmat")
}

fn detach(engine: &Engine, at: usize) {
    // SAFETY: an attachment of this test's, which nobody uses any more.
    call(|| unsafe { engine.shmdt(at) }).expect("shmdt");
}

/// The first word of an attachment.
fn word(at: usize) -> &'static std::sync::atomic::AtomicU64 {
    // SAFETY: an attachment, aligned; used only while it is attached.
    unsafe { &*(at as *const std::sync::atomic::AtomicU64) }
}

const LET_GO: u64 = 0x1e70;

/// Has it attached until [`let_go`].
fn holder(engine: &Engine, shmid: i32) -> Child {
    let holder = Child::fork(|| {
        let at = attach(engine, shmid);
        while word(at).load(super::SeqCst) != LET_GO {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    });
    while call(|| engine.shm_stat(shmid))
        .expect("IPC_STAT")
        .shm_nattch
        == 0
    {
        std::thread::yield_now();
    }
    holder
}

fn let_go(engine: &Engine, shmid: i32) {
    // Removed and gone: then nobody holds it.
    // SAFETY: anywhere, so nothing is replaced.
    if let Ok(at) = unsafe { engine.shmat(shmid, 0, 0) } {
        word(at).store(LET_GO, super::SeqCst);
        detach(engine, at);
    }
}

/// It is there, nobody has it, and it works.
fn check(world: &World, shmid: i32) -> usize {
    let engine = &world.0;
    let nattch = || {
        call(|| engine.shm_stat(shmid))
            .expect("IPC_STAT")
            .shm_nattch
    };
    // A fork child of the victim may be about to end.
    until("nobody has it attached", || nattch() == 0);
    let (one, two) = (attach(engine, shmid), attach(engine, shmid));
    word(one).store(0x5eed, super::SeqCst);
    assert_eq!(word(two).load(super::SeqCst), 0x5eed);
    assert_eq!(nattch(), 2);
    detach(engine, one);
    detach(engine, two);
    assert_eq!(nattch(), 0);
    call(|| engine.shm_remove(shmid)).expect("IPC_RMID");
    world.assert_no_segments();
    0
}

/// A removed segment is gone, or is removed now.
fn check_removed(world: &World, shmid: i32) -> usize {
    let engine = &world.0;
    let there = call(|| engine.shm_stat(shmid)).is_ok();
    if there {
        call(|| engine.shm_remove(shmid)).expect("IPC_RMID");
    }
    assert_eq!(call(|| engine.shm_stat(shmid)).err(), Some(Errno::EINVAL));
    let found = call(|| engine.shmget(KEY, SIZE, 0));
    assert_eq!(found, Err(Errno::ENOENT));
    world.assert_no_segments();
    usize::from(!there)
}

fn look(engine: &Engine, shmid: i32) {
    let _ = call(|| engine.shm_stat(shmid));
    call(|| engine.shm_usage()).expect("SHM_INFO");
}

fn work(engine: &Engine, shmid: i32) {
    // SAFETY: anywhere, so nothing is replaced.
    match call(|| unsafe { engine.shmat(shmid, 0, 0) }) {
        Ok(at) => {
            let nattch = call(|| engine.shm_stat(shmid))
                .expect("IPC_STAT")
                .shm_nattch;
            assert!(nattch >= 1);
            detach(engine, at);
        }
        Err(e) => assert_eq!(e, Errno::EINVAL, "shmat"),
    }
}

/// `fork` as the preload library makes it; the child's end, which is this process's if it is killed.
fn fork(engine: &Engine) {
    let fork = engine.before_fork().expect("something to inherit");
    // SAFETY: this process has one thread; the child leaves by _exit.
    let pid = match unsafe { libc::fork() } {
        0 => {
            engine.in_child();
            // SAFETY: ends this process.
            unsafe { libc::_exit(0) }
        }
        pid => pid,
    };
    engine.after_fork(&fork, u32::try_from(pid).ok());
    let mut status = 0;
    // SAFETY: `status` can be written.
    unsafe { libc::waitpid(pid, &raw mut status, 0) };
    if libc::WIFSIGNALED(status) {
        kill_self();
    }
}

/// What the preload library tells of `mprotect`.
fn protect(engine: &Engine, at: usize, len: usize, prot: i32) {
    let changing = engine.changing(at, len).expect("an attachment");
    // SAFETY: pages of our own attachment, which nobody uses.
    unsafe { libc::mprotect(at as *mut libc::c_void, len, prot) };
    changing.flagged(at, len, usysv::Flags::protection(prot));
}

/// What it tells of `munmap` and `mremap`.
fn cut_and_move(engine: &Engine, shmid: i32) {
    let at = attach(engine, shmid);
    let middle = at + PAGE;
    let changing = engine.changing(middle, PAGE).expect("an attachment");
    // SAFETY: a page of our own attachment, which nobody uses.
    unsafe { libc::munmap(middle as *mut libc::c_void, PAGE) };
    changing.taken(middle, PAGE);
    drop(changing);
    let place = crate::rig::shared(PAGE) as usize;
    let changing = engine.changing(at, PAGE).expect("an attachment");
    let how = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
    // SAFETY: the first page of our own attachment, and a page of our own to put it over.
    let moved = unsafe { libc::mremap(at as *mut libc::c_void, PAGE, PAGE, how, place) } as usize;
    assert_eq!(moved, place);
    changing.moved((at, PAGE), (moved, PAGE), false);
    drop(changing);
    let changing = engine.changing(moved, PAGE).expect("an attachment");
    // SAFETY: an old size of 0 maps the page a second time.
    let twice = unsafe { libc::mremap(moved as *mut libc::c_void, 0, PAGE, libc::MREMAP_MAYMOVE) };
    changing.moved((moved, 0), (twice as usize, PAGE), false);
    drop(changing);
    assert_eq!(engine.shm_stat(shmid).expect("IPC_STAT").shm_nattch, 3);
}

const PLAIN: Scenario = Scenario {
    name: "",
    make: |engine| (segment(engine, KEY), vec![]),
    act: |_, _| (),
    meanwhile: None,
    next: look,
    seen: |_, _| 0,
    release: |_, _| (),
    check,
    company: Some(work),
    exact: true,
    slow: false,
};

pub fn scenarios() -> Vec<Scenario> {
    let mut all = [attaching(), removing(), sweeping()].concat();
    // SAFETY: no pointers.
    if unsafe { libc::geteuid() } == 0 {
        all.push(leaving_to_root());
    }
    all
}

fn attaching() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "attach and detach",
            act: |engine, shmid| {
                let at = attach(engine, shmid);
                detach(engine, at);
            },
            ..PLAIN
        },
        Scenario {
            name: "attach more often than there is room for",
            act: |engine, shmid| {
                for _ in 0..59 {
                    attach(engine, shmid);
                }
            },
            exact: false,
            ..PLAIN
        },
        Scenario {
            name: "move the border of two pieces",
            act: |engine, shmid| {
                let at = attach(engine, shmid);
                protect(engine, at, PAGE, libc::PROT_READ);
                protect(engine, at + PAGE, PAGE, libc::PROT_READ);
                assert_eq!(engine.shm_stat(shmid).expect("IPC_STAT").shm_nattch, 2);
            },
            company: None,
            ..PLAIN
        },
        Scenario {
            name: "cut, move and double an attachment",
            act: cut_and_move,
            company: None,
            ..PLAIN
        },
        Scenario {
            name: "look, after the thread that attached has ended",
            act: |engine, shmid| {
                std::thread::scope(|scope| {
                    // Until the thread is gone, not only its work done.
                    let thread = scope.spawn(|| attach(engine, shmid));
                    thread.join().expect("the thread");
                });
                assert!(engine.shm_stat(shmid).expect("IPC_STAT").shm_nattch >= 1);
            },
            exact: false,
            ..PLAIN
        },
        Scenario {
            name: "fork",
            act: |engine, shmid| {
                attach(engine, shmid);
                attach(engine, shmid);
                fork(engine);
            },
            exact: false,
            ..PLAIN
        },
        Scenario {
            name: "IPC_SET",
            act: |engine, shmid| {
                let mut ds = engine.shm_stat(shmid).expect("IPC_STAT");
                (ds.shm_perm.uid, ds.shm_perm.mode) = (7, 0o640);
                engine.shm_set(shmid, &ds).expect("IPC_SET");
            },
            seen: |world, shmid| {
                let perm = world.0.shm_stat(shmid).expect("IPC_STAT").shm_perm;
                match (perm.uid, perm.mode) {
                    (0, 0o600) => 0,
                    (7, 0o640) => 1,
                    odd => panic!("half set: {odd:?}"),
                }
            },
            ..PLAIN
        },
        Scenario {
            name: "SHM_LOCK, SHM_UNLOCK",
            act: |engine, shmid| {
                engine.shm_lock(shmid, true).expect("SHM_LOCK");
                engine.shm_lock(shmid, false).expect("SHM_UNLOCK");
            },
            seen: |world, shmid| {
                let mode = world.0.shm_stat(shmid).expect("IPC_STAT").shm_perm.mode;
                assert_eq!(mode & !SHM_LOCKED, 0o600);
                0
            },
            ..PLAIN
        },
    ]
}

fn removing() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "remove what nobody has",
            act: |engine, shmid| call(|| engine.shm_remove(shmid)).expect("IPC_RMID"),
            check: check_removed,
            ..PLAIN
        },
        Scenario {
            name: "remove what somebody has",
            make: |engine| {
                let shmid = segment(engine, KEY);
                (shmid, vec![holder(engine, shmid)])
            },
            act: |engine, shmid| call(|| engine.shm_remove(shmid)).expect("IPC_RMID"),
            seen: |world, shmid| {
                let found = call(|| world.0.shmget(KEY, SIZE, 0));
                assert!(
                    found == Ok(shmid) || found == Err(Errno::ENOENT),
                    "{found:?}"
                );
                usize::from(found.is_err())
            },
            release: let_go,
            check: |world, shmid| {
                check_removed(world, shmid);
                0
            },
            ..PLAIN
        },
        Scenario {
            name: "detach what was removed",
            act: |engine, shmid| {
                let at = attach(engine, shmid);
                call(|| engine.shm_remove(shmid)).expect("IPC_RMID");
                detach(engine, at);
            },
            check: check_removed,
            ..PLAIN
        },
    ]
}

/// What the victim ends has names that it may not take away.
fn leaving_to_root() -> Scenario {
    Scenario {
        name: "detach as another user what was removed",
        act: |engine, shmid| {
            let at = attach(engine, shmid);
            call(|| engine.shm_remove(shmid)).expect("IPC_RMID");
            // SAFETY: no pointers; this process is to die.
            assert_eq!(unsafe { libc::setresuid(1000, 1000, 1000) }, 0);
            detach(engine, at);
        },
        check: check_removed,
        ..PLAIN
    }
}

/// A segment that a process had attached, and had removed, when it was killed here.
fn left_at(point: &'static str, engine: &Engine) -> i32 {
    let shmid = segment(engine, KEY);
    killed_at(point, || {
        let at = attach(engine, shmid);
        call(|| engine.shm_remove(shmid)).expect("IPC_RMID");
        detach(engine, at);
    });
    shmid
}

fn sweeping() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "sweep what a killed process had, and had removed",
            make: |engine| (left_at("shm.free.before_commit", engine), vec![]),
            act: |engine, _| {
                call(|| engine.shm_usage()).expect("SHM_INFO");
            },
            check: check_removed,
            ..PLAIN
        },
        Scenario {
            name: "sweep what is gone but noted",
            make: |engine| (left_at("remove.unlinked", engine), vec![]),
            act: |engine, _| {
                call(|| engine.shm_usage()).expect("SHM_INFO");
            },
            check: check_removed,
            ..PLAIN
        },
    ]
}
