//! Files that are cut off under a live mapping: SIGBUS, which killed whoever touched them next.

use crate::rig::*;
use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI32, AtomicU8, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};
use usysv::abi::{IPC_CREAT, IPC_NOWAIT, IPC_PRIVATE, Sembuf};
use usysv::{Engine, Errno, Messages, Namespace, SemField, Semaphores, SharedMemory};

const DIED: End = End::Signal(libc::SIGBUS);
const SIZE: usize = 5 * 4096;

fn path(world: &World, file: &str) -> PathBuf {
    let root = world.0.namespace().path().to_str().expect("a plain path");
    PathBuf::from(root).join(file)
}

fn cut(world: &World, file: &str, len: u64) {
    let file = File::options().write(true).open(path(world, file));
    file.expect("the file")
        .set_len(len)
        .expect("a shorter file");
}

/// Messages that fill more than one page, and a queue that nobody harms.
fn queues(world: &World) -> (i32, i32) {
    let [queue, other] = [(); 2].map(|()| {
        let msqid = world
            .0
            .msgget(IPC_PRIVATE, IPC_CREAT | 0o600)
            .expect("msgget");
        for mtype in 1..=8 {
            send(&world.0, msqid, &text(mtype, 1500));
        }
        msqid
    });
    (queue, other)
}

fn check_other(world: &World, msqid: i32) {
    let expected: Vec<_> = (1..=8).map(|mtype| text(mtype, 1500)).collect();
    survivor("a truncation of another queue", || {
        check_queue(&world.0, msqid, &expected)
    });
}

/// Calls until one says that the object is lost.
fn until_lost<T>(mut f: impl FnMut() -> Result<T, Errno>) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while let Some(last) = ask(&mut f) {
        assert!(Instant::now() < deadline, "no call noticed, but {last:?}");
    }
}

/// Calls a hundred times, or until one says that the object is lost: `None`.
fn ask<T>(mut f: impl FnMut() -> Result<T, Errno>) -> Option<Result<(), Errno>> {
    let mut last = None;
    for _ in 0..100 {
        match call(&mut f) {
            Err(Errno::EIO | Errno::EIDRM | Errno::EINVAL) => return None,
            other => last = Some(other.map(drop)),
        }
    }
    last
}

/// What is left of a file may look like an object, if an emptied one: then any answer will do.
fn check_lost<T>(len: u64, f: impl FnMut() -> Result<T, Errno>) {
    match len {
        0 => until_lost(f),
        _ => drop(ask(f)),
    }
}

#[test]
fn a_queue_that_is_cut_off_is_an_error() {
    let world = World::new();
    for len in [0, 100, 4096, 8192, 20480] {
        let (queue, other) = queues(&world);
        let engine = &world.0;
        let end = Child::fork(|| {
            engine.msg_stat(queue).expect("mapped");
            cut(&world, &format!("msg/{}", queue % 32768), len);
            check_lost(len, || engine.msgrcv(queue, &mut [0; 2000], 0, IPC_NOWAIT));
            check_lost(len, || engine.msgsnd(queue, 1, &[1; 1500], IPC_NOWAIT));
            check_lost(len, || engine.msg_stat(queue));
        });
        assert_eq!(end.wait(), End::Exit(0), "cut to {len}");
        check_other(&world, other);
    }
}

#[test]
fn a_set_that_is_cut_off_is_an_error() {
    let world = World::new();
    for len in [0, 64, 4096] {
        let engine = &world.0;
        let [set, other] = [(); 2].map(|()| {
            let semid = engine
                .semget(IPC_PRIVATE, 2000, IPC_CREAT | 0o600)
                .expect("semget");
            engine.sem_put(semid, 1999, 7).expect("SETVAL");
            semid
        });
        let end = Child::fork(|| {
            engine.sem_stat(set).expect("mapped");
            cut(&world, &format!("sem/{}", set % 32768), len);
            let up = [Sembuf {
                sem_num: 1999,
                sem_op: 1,
                sem_flg: IPC_NOWAIT as i16,
            }];
            check_lost(len, || engine.semop(set, &up, None));
            check_lost(len, || engine.sem_put(set, 1999, 1));
            check_lost(len, || engine.sem_stat(set));
            assert_eq!(engine.sem_get(other, 1999, SemField::Value), Ok(7));
        });
        assert_eq!(end.wait(), End::Exit(0), "cut to {len}");
    }
}

/// Who sleeps in an object that other users may cut off wakes up with an error; in another, where it has no
/// clock, a signal still ends the wait.
#[test]
fn sleepers_of_a_lost_object_are_let_go() {
    let begun = Instant::now();
    sleepers_of_a_lost_object(0o666, || {});
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
    sleepers_of_a_lost_object(0o600, || {
        extern "C" fn heard(_: libc::c_int) {}
        // SAFETY: a handler that does nothing, in a process of one thread.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = heard as *const () as usize;
            libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut());
        }
    });
}

fn sleepers_of_a_lost_object(mode: i32, prepare: fn()) {
    let world = World::new();
    let engine = &world.0;
    let queue = engine
        .msgget(IPC_PRIVATE, IPC_CREAT | mode)
        .expect("msgget");
    let set = engine
        .semget(IPC_PRIVATE, 1, IPC_CREAT | mode)
        .expect("semget");
    let gone = |e| {
        let gone = [Errno::EIO, Errno::EIDRM, Errno::EINVAL, Errno::EINTR];
        assert!(gone.map(Err).contains(&e), "{e:?}");
    };
    let receiver = Child::fork(|| {
        prepare();
        gone(engine.msgrcv(queue, &mut [0; 8], 0, 0).map(drop));
    });
    let down = [Sembuf {
        sem_num: 0,
        sem_op: -1,
        sem_flg: 0,
    }];
    let sleeper = Child::fork(|| {
        prepare();
        gone(engine.semop(set, &down, None));
    });
    receiver.until_asleep();
    sleeper.until_asleep();
    cut(&world, &format!("msg/{}", queue % 32768), 0);
    cut(&world, &format!("sem/{}", set % 32768), 0);
    for child in [receiver, sleeper] {
        if mode == 0o600 {
            child.signal(libc::SIGUSR1);
        }
        assert_eq!(child.wait(), End::Exit(0));
    }
}

#[test]
fn a_namespace_whose_own_files_are_cut_off_makes_nothing() {
    for file in ["ns", "counters", "bells"] {
        let world = World::new();
        let engine = &world.0;
        let queue = engine.msgget(1, IPC_CREAT | 0o600).expect("msgget");
        send(engine, queue, &text(1, 10));
        let end = Child::fork(|| {
            cut(&world, file, 0);
            let made = call(|| engine.msgget(2, IPC_CREAT | 0o600));
            if file == "counters" {
                assert_eq!(made, Err(Errno::EIO));
                assert_eq!(
                    call(|| engine.semget(3, 1, IPC_CREAT | 0o600)),
                    Err(Errno::EIO)
                );
            }
            // What is there can be used.
            assert_eq!(call(|| engine.msgget(1, 0)), Ok(queue));
            assert!(receive(engine, queue, 0, 0).is_some());
            let _ = call(|| engine.msg_usage());
            let path = engine.namespace().path();
            assert!(
                Namespace::open(path).is_err(),
                "{file} is no namespace's any more"
            );
        });
        assert_eq!(end.wait(), End::Exit(0), "{file}");
    }
}

fn byte(addr: usize, offset: usize) -> &'static AtomicU8 {
    // SAFETY: an attachment of SIZE bytes, which stays until the process ends.
    unsafe { &*((addr + offset) as *const AtomicU8) }
}

fn attach(engine: &Engine, shmid: i32, flags: i32) -> usize {
    // SAFETY: at an address of the system's choice.
    unsafe { engine.shmat(shmid, 0, flags) }.expect("shmat")
}

/// The bytes are gone, the memory is not: all who have the segment attached go on sharing it.
#[test]
fn an_attached_segment_gets_its_length_back() {
    let world = World::new();
    let engine = &world.0;
    for len in [0, 4096, 5000] {
        let shmid = engine
            .shmget(IPC_PRIVATE, SIZE, IPC_CREAT | 0o600)
            .expect("shmget");
        let file = format!("shm/{}.data", shmid % 32768);
        let end = Child::fork(|| {
            let addr = attach(engine, shmid, 0);
            byte(addr, 10).store(1, SeqCst);
            byte(addr, 3 * 4096).store(2, SeqCst);
            cut(&world, &file, len);
            assert_eq!(byte(addr, 10).load(SeqCst), u8::from(len > 10));
            assert_eq!(byte(addr, 3 * 4096).load(SeqCst), 0);
            byte(addr, 2 * 4096).store(3, SeqCst);
            byte(addr, SIZE - 1).store(4, SeqCst);
            let other = Child::fork(|| {
                let addr = attach(engine, shmid, 0);
                assert_eq!(byte(addr, 2 * 4096).load(SeqCst), 3);
                assert_eq!(byte(addr, SIZE - 1).load(SeqCst), 4);
                cut(&world, &file, len);
                byte(addr, 2 * 4096).store(5, SeqCst);
            });
            assert_eq!(other.wait(), End::Exit(0));
            assert_eq!(byte(addr, 2 * 4096).load(SeqCst), 5);
            assert_eq!(engine.shm_stat(shmid).expect("IPC_STAT").shm_nattch, 1);
        });
        assert_eq!(end.wait(), End::Exit(0), "cut to {len}");
        let whole = std::fs::metadata(path(&world, &file))
            .expect("the file")
            .len();
        assert_eq!(whole, SIZE as u64);
    }
}

/// Who may not write to the file, or does not find it, has zeroes of its own.
#[test]
fn a_segment_that_cannot_be_mended_is_zeroes() {
    let world = World::new();
    let engine = &world.0;
    let shmid = engine
        .shmget(IPC_PRIVATE, SIZE, IPC_CREAT | 0o600)
        .expect("shmget");
    let file = path(&world, &format!("shm/{}.data", shmid % 32768));
    let end = Child::fork(|| {
        let addr = attach(engine, shmid, 0);
        byte(addr, 0).store(1, SeqCst);
        let open = File::options().write(true).open(&file).expect("the file");
        std::fs::remove_file(&file).expect("unlinked");
        let decoy = path(&world, "decoy");
        std::fs::write(&decoy, b"decoy").expect("a file");
        std::fs::hard_link(&decoy, &file).expect("another file in its place");
        open.set_len(0).expect("cut");
        assert_eq!(byte(addr, 0).load(SeqCst), 0);
        byte(addr, SIZE - 1).store(9, SeqCst);
        assert_eq!(byte(addr, SIZE - 1).load(SeqCst), 9);
        assert_eq!(std::fs::read(&decoy).expect("the decoy"), b"decoy");
    });
    assert_eq!(end.wait(), End::Exit(0));
    let _ = std::fs::remove_file(path(&world, "decoy"));
}

/// Threads that fault in the same object at the same time, and in a fork child.
#[test]
fn many_threads_lose_an_object_at_once() {
    let world = World::new();
    for _ in 0..20 {
        let (queue, other) = queues(&world);
        let engine = &world.0;
        let end = Child::fork(|| {
            engine.msg_stat(queue).expect("mapped");
            let workers = |count: usize| {
                thread::scope(|scope| {
                    for n in 0..count {
                        scope.spawn(move || match n % 2 {
                            0 => until_lost(|| engine.msgsnd(queue, 1, &[1; 1500], IPC_NOWAIT)),
                            _ => until_lost(|| engine.msgrcv(queue, &mut [0; 2000], 0, IPC_NOWAIT)),
                        });
                    }
                    cut(&world, &format!("msg/{}", queue % 32768), 0);
                });
            };
            let child = Child::fork(|| workers(4));
            workers(4);
            assert_eq!(child.wait(), End::Exit(0));
        });
        assert_eq!(end.wait(), End::Exit(0));
        check_other(&world, other);
    }
}

/// What broke: with as many mappings as a process may have, nothing could be put in the place of one,
/// and the fault was taken for the program's.
#[test]
fn a_process_without_a_mapping_to_spare_survives() {
    let world = World::new();
    let (queue, other) = queues(&world);
    let engine = &world.0;
    let end = Child::fork(|| {
        engine.msg_stat(queue).expect("mapped");
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        for n in 0.. {
            // Neighbours that differ are not made one.
            let prot = [libc::PROT_READ, libc::PROT_NONE][n % 2];
            // SAFETY: new memory, at an address of the kernel's choice.
            let at = unsafe { libc::mmap(std::ptr::null_mut(), 4096, prot, flags, -1, 0) };
            if at == libc::MAP_FAILED {
                break;
            }
        }
        cut(&world, &format!("msg/{}", queue % 32768), 0);
        until_lost(|| engine.msgsnd(queue, 1, &[1; 1500], IPC_NOWAIT));
    });
    assert_eq!(end.wait(), End::Exit(0));
    check_other(&world, other);
}

static SEEN_CODE: AtomicI32 = AtomicI32::new(0);
static SEEN_ADDR: AtomicUsize = AtomicUsize::new(0);

extern "C" fn note(_: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: installed with SA_SIGINFO.
    unsafe {
        SEEN_CODE.store((*info).si_code, SeqCst);
        SEEN_ADDR.store((*info).si_addr() as usize, SeqCst);
        if (*info).si_code > 0 {
            // The fault, not the signal that `send_bus` sends.
            libc::_exit(7);
        }
    }
}

fn set_action(handler: usize, flags: i32) {
    // SAFETY: a whole action; `note` touches atomics only.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler;
        action.sa_flags = flags;
        libc::sigaction(libc::SIGBUS, &action, std::ptr::null_mut());
    }
}

/// A page of a file that has none, which is nobody's fault but the program's.
fn foreign_page() -> *mut u8 {
    // SAFETY: an empty file, mapped at an address of the kernel's choice.
    unsafe {
        let fd = libc::memfd_create(c"foreign".as_ptr(), 0);
        let prot = libc::PROT_READ | libc::PROT_WRITE;
        let at = libc::mmap(std::ptr::null_mut(), 4096, prot, libc::MAP_SHARED, fd, 0);
        assert_ne!(at, libc::MAP_FAILED);
        at.cast()
    }
}

fn touch_foreign_page() {
    let page = foreign_page();
    // SAFETY: mapped; whether the touch succeeds is what is asked.
    unsafe { page.write_volatile(1) };
}

/// SIGBUS as `raise` sends it.
fn send_bus() {
    // SAFETY: a signal to this thread.
    unsafe {
        libc::syscall(
            libc::SYS_tgkill,
            libc::getpid(),
            libc::gettid(),
            libc::SIGBUS,
        )
    };
}

/// Runs a role of [`fresh_process`].
fn fresh(role: &str) -> End {
    let program = std::env::current_exe().expect("this program");
    let status = std::process::Command::new(program)
        .args([
            "--exact",
            "truncated::fresh_process",
            "--ignored",
            "--nocapture",
        ])
        .env("USYSV_HOSTILE_ROLE", role)
        .status()
        .expect("a process");
    match status.signal() {
        Some(signal) => End::Signal(signal),
        None => End::Exit(status.code().unwrap_or(-1)),
    }
}

/// The program had its action before the engine came: it loses an object, then has a fault, or a
/// signal, of its own.
#[test]
#[ignore = "the process that `fresh` starts"]
fn fresh_process() {
    let own = note as *const () as usize;
    let role = std::env::var("USYSV_HOSTILE_ROLE").expect("a role");
    let (action, then) = role.split_once(", ").expect("two words");
    match action {
        "default" => set_action(libc::SIG_DFL, 0),
        "ignored" => set_action(libc::SIG_IGN, 0),
        "handled" => set_action(own, libc::SA_SIGINFO),
        "once" => set_action(own, libc::SA_SIGINFO | libc::SA_RESETHAND),
        _ => {}
    }
    let world = World::new();
    let engine = &world.0;
    let queue = engine
        .msgget(IPC_PRIVATE, IPC_CREAT | 0o600)
        .expect("msgget");
    cut(&world, &format!("msg/{}", queue % 32768), 0);
    until_lost(|| engine.msgsnd(queue, 1, b"x", IPC_NOWAIT));
    drop(world);
    match then {
        "touch" => touch_foreign_page(),
        "send" => send_bus(),
        _ => {}
    }
    assert_eq!(
        SEEN_CODE.load(SeqCst),
        if action == "handled" || action == "once" {
            libc::SI_TKILL
        } else {
            0
        }
    );
    if action == "once" {
        send_bus();
    }
}

#[test]
fn other_faults_are_the_programs_own() {
    assert_eq!(fresh("default, touch"), DIED);
    assert_eq!(fresh("default, send"), DIED);
    // The kernel kills whoever ignores a fault; a signal that is sent is ignored.
    assert_eq!(fresh("ignored, touch"), DIED);
    assert_eq!(fresh("ignored, send"), End::Exit(0));
    assert_eq!(fresh("handled, touch"), End::Exit(7));
    assert_eq!(fresh("handled, send"), End::Exit(0));
    // The Rust library's own handler for stacks that overflow.
    assert_eq!(fresh("none, touch"), DIED);
    // A handler that its first signal takes away is not taken away by one that is not its own.
    assert_eq!(fresh("once, send"), DIED);
}

/// A full file system is not a truncation: the program learns of it as it always did.
#[test]
fn a_segment_without_room_is_the_programs_fault() {
    let end = Child::fork(|| {
        let root = "/tmp/usysv-hostile-full";
        let _ = std::fs::create_dir(root);
        let (target, kind) = (c"/tmp/usysv-hostile-full", c"tmpfs");
        // SAFETY: a mount in a namespace of this process.
        let mounted = unsafe {
            libc::unshare(libc::CLONE_NEWNS) == 0
                && libc::mount(
                    kind.as_ptr(),
                    c"/".as_ptr(),
                    std::ptr::null(),
                    libc::MS_REC | libc::MS_PRIVATE,
                    std::ptr::null(),
                ) == 0
                && libc::mount(
                    kind.as_ptr(),
                    target.as_ptr(),
                    kind.as_ptr(),
                    0,
                    c"size=4m".as_ptr().cast(),
                ) == 0
        };
        if !mounted {
            eprintln!("NOT RUN: no file system of its own to fill; run it as root");
            // SAFETY: ends this process.
            unsafe { libc::_exit(8) };
        }
        set_action(libc::SIG_DFL, 0);
        let engine = Engine::new(Namespace::create_private(Some(target)).expect("a namespace"));
        let engine = engine.expect("an engine");
        let no_reserve = 0o10000;
        let shmid = engine
            .shmget(IPC_PRIVATE, 16 << 20, IPC_CREAT | 0o600 | no_reserve)
            .expect("shmget");
        let addr = attach(&engine, shmid, 0);
        for page in 0..4096 {
            byte(addr, page * 4096).store(1, SeqCst);
        }
    })
    .wait();
    assert!(matches!(end, DIED | End::Exit(8)), "{end:?}");
}
