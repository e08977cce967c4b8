//! Odd places: pid namespaces, containers, numbers that are used again, clocks that differ.

use crate::crowds::{op, until, words};
use crate::rig::*;
use crate::scarcity::{may_mount, mount};
use std::ffi::CString;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::{Duration, Instant};
use usysv::abi::{IPC_NOWAIT, IPC_PRIVATE, SEM_UNDO};
use usysv::{Engine, Errno, Messages, Namespace, SemField, Semaphores, SharedMemory};

const ROUNDS: i64 = 2000;

/// A process that is the first one of its own pid namespace, with a /proc of its own.
pub struct Container {
    outer: Child,
    /// The first process's pid as we see it, once it runs.
    first: &'static AtomicU32,
}

impl Container {
    pub fn run(flags: i32, f: impl FnOnce()) -> Container {
        let first = &words(1)[0];
        let outer = Child::fork(|| {
            let ids = user_map();
            // SAFETY: no pointers; a process with one thread.
            let left = unsafe { libc::unshare(flags | libc::CLONE_NEWPID | libc::CLONE_NEWNS) };
            assert_eq!(left, 0, "unshare: {}", std::io::Error::last_os_error());
            if flags & libc::CLONE_NEWUSER != 0 {
                ids();
            }
            let rest = libc::MS_REC | libc::MS_PRIVATE;
            mount(Path::new("none"), Path::new("/"), rest, "").expect("a mount namespace");
            let inner = Child::fork(|| {
                mount_proc();
                f();
            });
            first.store(inner.pid() as u32, SeqCst);
            let end = inner.wait();
            assert!(matches!(end, End::Exit(0) | KILLED), "{end:?}");
        });
        Container { outer, first }
    }

    pub fn kill(&self) {
        self.signal(libc::SIGKILL);
    }

    /// Sends a signal to its first process, from outside.
    pub fn signal(&self, signal: i32) {
        until("a container starts", 5, || self.first.load(SeqCst) != 0);
        // SAFETY: the child of our child, which waits for it.
        unsafe { libc::kill(self.first.load(SeqCst) as i32, signal) };
    }

    /// Waits until its first process stands still.
    pub fn until_stopped(&self) {
        let stat = format!("/proc/{}/stat", self.first.load(SeqCst));
        until("a container's first process stops", 5, || {
            std::fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") T "))
        });
    }

    pub fn ends_well(self) {
        assert_eq!(self.outer.wait(), End::Exit(0));
    }
}

/// Root inside is who we are outside.
fn user_map() -> impl FnOnce() {
    // SAFETY: no pointers.
    let (uid, gid) = unsafe { (libc::geteuid(), libc::getegid()) };
    move || {
        let write = |name: &str, text: &str| {
            std::fs::write(format!("/proc/self/{name}"), text).expect("a map of users");
        };
        write("setgroups", "deny");
        write("uid_map", &format!("0 {uid} 1"));
        write("gid_map", &format!("0 {gid} 1"));
    }
}

fn mount_proc() {
    // SAFETY: strings that end.
    let mounted = unsafe {
        let (proc, at) = (c"proc".as_ptr(), c"/proc".as_ptr());
        libc::mount(proc, at, proc, 0, std::ptr::null())
    };
    assert_eq!(mounted, 0, "/proc: {}", std::io::Error::last_os_error());
}

pub fn may_contain(case: &str, flags: i32) -> bool {
    if !may_mount(case) {
        return false;
    }
    let tried = Child::fork(|| Container::run(flags, || ()).ends_well());
    let may = tried.wait() == End::Exit(0);
    if !may {
        eprintln!("endurance: {case}: NOT RUN: no pid and user namespaces here");
    }
    may
}

/// Throws a ball there and back, blocking each time.
fn play(engine: &Engine, queue: i32, me: i64) {
    let mut buffer = [0; 8];
    for round in 0..ROUNDS {
        if me == 1 {
            engine
                .msgsnd(queue, 2, &round.to_ne_bytes(), 0)
                .expect("msgsnd");
        }
        let got = engine.msgrcv(queue, &mut buffer, me, 0);
        assert_eq!(got, Ok((me, 8)));
        assert_eq!(i64::from_ne_bytes(buffer), round, "a lost or doubled ball");
        if me == 2 {
            engine
                .msgsnd(queue, 1, &round.to_ne_bytes(), 0)
                .expect("msgsnd");
        }
    }
}

/// As on Linux, where an IPC namespace knows nothing of pid namespaces: two that share a namespace
/// work as one, also where a process has the number of one in the other.
pub fn two_pid_namespaces() {
    if !may_contain("two_pid_namespaces", 0) {
        return;
    }
    let world = World::new();
    let engine = &world.0;
    let queue = engine.msgget(IPC_PRIVATE, 0o600).expect("msgget");
    let [a, b] = [1, 2].map(|me| Container::run(0, || play(engine, queue, me)));
    a.ends_well();
    b.ends_well();
    check_queue(engine, queue, &[]);
    crowds_in_two(engine, queue);
    for _ in 0..5 {
        undo_across(engine);
    }
    who_lives_without_a_thread(engine, |look| Container::run(0, look).ends_well());
    #[cfg(debug_assertions)]
    for point in [
        "chair.claimed",
        "chair.linked",
        "chair.unlocked",
        "chair.unlinked",
        "chair.freed",
    ] {
        debt_across(engine, queue, point);
    }
}

/// Who sleeps without a clock in one is woken by the death of who owed it a wake in the other, in which
/// the two may have the same number.
#[cfg(debug_assertions)]
fn debt_across(engine: &Engine, queue: i32, point: &'static str) {
    let sleeper = Child::fork(|| {
        let received = engine.msgrcv(queue, &mut [0; 8], 1, 0);
        assert_eq!(received, Ok((1, 8)), "{point}");
    });
    sleeper.until_asleep();
    let waker = Container::run(0, || {
        killed_at(point, || {
            engine.msgsnd(queue, 1, &[7; 8], 0).expect("msgsnd");
        });
    });
    waker.ends_well();
    let sent = !["chair.claimed", "chair.linked"].contains(&point);
    if !sent {
        engine.msgsnd(queue, 1, &[7; 8], 0).expect("msgsnd");
    }
    until(point, 5, || sleeper.has_ended());
    assert_eq!(sleeper.wait(), End::Exit(0), "{point}");
    check_queue(engine, queue, &[]);
}

/// Sleepers of both, more than a queue has without looking for dead ones among them: nobody is
/// taken for dead, each message comes to who waits for it, once.
fn crowds_in_two(engine: &Engine, queue: i32) {
    const EACH: i64 = 30;
    let crowd = |first: i64| {
        let children: Vec<Child> = (first..first + EACH)
            .map(|i| {
                Child::fork(|| {
                    let mut buffer = [0; 8];
                    assert_eq!(engine.msgrcv(queue, &mut buffer, i, 0), Ok((i, 8)));
                    assert_eq!(i64::from_ne_bytes(buffer), i);
                })
            })
            .collect();
        for child in children {
            assert_eq!(child.wait(), End::Exit(0));
        }
    };
    let containers = [1, 1 + EACH].map(|first| Container::run(0, || crowd(first)));
    std::thread::sleep(Duration::from_millis(200));
    for i in (1..=2 * EACH).rev() {
        engine
            .msgsnd(queue, i, &i.to_ne_bytes(), 0)
            .expect("msgsnd");
    }
    containers.into_iter().for_each(Container::ends_well);
    check_queue(engine, queue, &[]);
}

/// Two first processes, pid 1 both and begun in the same moment: each has its own undo. They had one
/// together, as a process was known by its number and start alone: what the dead one took never came
/// back. Now a start tells the pid namespace, too.
fn undo_across(engine: &Engine) {
    let set = engine.semget(IPC_PRIVATE, 2, 0o600).expect("semget");
    engine.sem_put_all(set, &[1, 5]).expect("SETALL");
    let step = words(2);
    let victim = Container::run(0, || {
        engine.semop(set, &[op(-1, SEM_UNDO)], None).expect("semop");
        step[0].store(1, SeqCst);
        std::thread::sleep(Duration::from_secs(50));
    });
    let heir = Container::run(0, || {
        let mut second = op(-2, SEM_UNDO);
        second.sem_num = 1;
        engine.semop(set, &[second], None).expect("semop");
        step[1].store(1, SeqCst);
        let begun = Instant::now();
        let time = Some(Duration::from_secs(5));
        let got = engine.semop(set, &[op(-1, SEM_UNDO)], time);
        assert_eq!(got, Ok(()), "what the dead one took never came back");
        assert!(
            begun.elapsed() < Duration::from_secs(3),
            "{:?}",
            begun.elapsed()
        );
        assert_eq!(
            engine.sem_get(set, 1, SemField::Value),
            Ok(3),
            "the heir's own undo was done"
        );
    });
    until("both have taken", 5, || {
        step.iter().all(|step| step.load(SeqCst) == 1)
    });
    std::thread::sleep(Duration::from_millis(50));
    victim.kill();
    heir.ends_well();
    victim.ends_well();
    assert_eq!(engine.sem_get(set, 0, SemField::Value), Ok(1));
    assert_eq!(engine.sem_get(set, 1, SemField::Value), Ok(5));
    engine.sem_remove(set).expect("IPC_RMID");
}

/// What broke: where a thread with something to be undone had ended, its process was taken for dead, by who sees
/// no numbers or other starts than it: two held the semaphore, and a segment went under who used it.
fn who_lives_without_a_thread(engine: &Engine, elsewhere: impl Fn(&dyn Fn())) {
    let set = engine.semget(IPC_PRIVATE, 1, 0o600).expect("semget");
    let segment = engine.shmget(IPC_PRIVATE, 4096, 0o600).expect("shmget");
    engine.sem_put(set, 0, 1).expect("SETVAL");
    let taken = &words(1)[0];
    let holder = Child::fork(|| {
        // What its first thread asks for is how others know that it lives.
        let queue = engine.msgget(IPC_PRIVATE, 0o600).expect("msgget");
        let take = || {
            engine.semop(set, &[op(-1, SEM_UNDO)], None).expect("semop");
            // SAFETY: nothing is replaced.
            unsafe { engine.shmat(segment, 0, 0) }.expect("shmat");
        };
        std::thread::scope(|threads| threads.spawn(take).join().expect("a thread"));
        engine.msg_remove(queue).expect("IPC_RMID");
        taken.store(1, SeqCst);
        std::thread::sleep(Duration::from_secs(50));
    });
    until("the holder has it", 5, || taken.load(SeqCst) == 1);
    let attached = || engine.shm_stat(segment).expect("IPC_STAT").shm_nattch;
    elsewhere(&|| {
        let too = engine.semop(set, &[op(-1, IPC_NOWAIT)], None);
        assert_eq!((too, attached()), (Err(Errno::EAGAIN), 1), "it lives");
    });
    holder.kill();
    assert_eq!(holder.wait(), KILLED);
    elsewhere(&|| {
        let then = engine.semop(set, &[op(-1, 0)], Some(Duration::from_secs(2)));
        assert_eq!((then, attached()), (Ok(()), 0), "it is dead");
    });
    engine.sem_remove(set).expect("IPC_RMID");
    engine.shm_remove(segment).expect("IPC_RMID");
}

/// Two containers (users, pids and mounts of their own) that see one namespace by a bind mount, each
/// under another path: a namespace is the files, whatever their names.
pub fn two_containers_with_a_bind_mount() {
    let case = "two_containers_with_a_bind_mount";
    if !may_contain(case, libc::CLONE_NEWUSER) {
        return;
    }
    let world = World::new();
    let engine = &world.0;
    let path = engine
        .namespace()
        .path()
        .to_str()
        .expect("a path")
        .to_owned();
    let container = |place: &'static str, me: i64| {
        Container::run(libc::CLONE_NEWUSER, || {
            mount(Path::new("tmpfs"), Path::new("/mnt"), 0, "").expect("a tmpfs");
            let at = format!("/mnt/{place}");
            std::fs::create_dir(&at).expect("a directory");
            mount(Path::new(&path), Path::new(&at), libc::MS_BIND, "").expect("a bind mount");
            let at = CString::new(at).expect("a path");
            let namespace = Namespace::open(&at).expect("the namespace");
            let engine = Engine::new(namespace).expect("an engine");
            let queue = engine
                .msgget(7, usysv::abi::IPC_CREAT | 0o600)
                .expect("msgget");
            play(&engine, queue, me);
        })
    };
    let [a, b] = [container("here", 1), container("there", 2)];
    a.ends_well();
    b.ends_well();
    let queue = engine.msgget(7, 0).expect("the containers' queue");
    check_queue(engine, queue, &[]);
}

/// Forks a child that must get this pid.
fn fork_as(pid: i32, f: impl FnOnce()) -> Child {
    let last = (pid - 1).to_string();
    std::fs::write("/proc/sys/kernel/ns_last_pid", last).expect("root's, in its pid namespace");
    let child = Child::fork(f);
    assert_eq!(child.pid(), pid, "the pid that was asked for");
    child
}

/// A number means a process and its start: who gets a dead one's number is somebody else, to whom
/// nothing of the dead one's belongs, and who keeps nobody from undoing it. As on Linux, where the
/// undo happens before the number is free.
pub fn a_pid_that_is_used_again() {
    if !may_contain("a_pid_that_is_used_again", 0) {
        return;
    }
    let world = World::new();
    let engine = &world.0;
    Container::run(0, || reuse(engine)).ends_well();
}

fn reuse(engine: &Engine) {
    let set = engine.semget(IPC_PRIVATE, 1, 0o600).expect("semget");
    let queue = engine.msgget(IPC_PRIVATE, 0o600).expect("msgget");
    engine.sem_put(set, 0, 1).expect("SETVAL");
    let step = &words(1)[0];
    let dead = Child::fork(|| {
        engine.semop(set, &[op(-1, SEM_UNDO)], None).expect("semop");
        step.store(1, SeqCst);
        // Asleep for a message, so that its place in line stays.
        let _ = engine.msgrcv(queue, &mut [0; 8], 3, 0);
    });
    until("the first", 5, || step.load(SeqCst) == 1);
    dead.until_asleep();
    let pid = dead.pid();
    dead.kill();
    assert_eq!(dead.wait(), KILLED);
    // Numbers come back after thousands of forks: never in the same hundredth of a second.
    std::thread::sleep(Duration::from_millis(30));
    let heir = fork_as(pid, || {
        assert_eq!(engine.sem_get(set, 0, SemField::Value), Ok(1), "undone");
        engine.semop(set, &[op(-1, SEM_UNDO)], None).expect("semop");
        let again = engine.semop(set, &[op(-1, IPC_NOWAIT)], None);
        assert_eq!(again, Err(Errno::EAGAIN));
        send(engine, queue, &text(3, 8));
        // The dead one's place in line may hold it for a second.
        until("the message", 3, || receive(engine, queue, 3, 0).is_some());
        step.store(2, SeqCst);
        std::thread::sleep(Duration::from_secs(50));
    });
    until("the heir", 5, || step.load(SeqCst) == 2);
    assert_eq!(
        engine.sem_get(set, 0, SemField::Value),
        Ok(0),
        "the heir lives"
    );
    // A third of that number, while the heir's undo waits for somebody to look.
    heir.kill();
    assert_eq!(heir.wait(), KILLED);
    std::thread::sleep(Duration::from_millis(30));
    let third = fork_as(pid, || {
        let time = Some(Duration::from_secs(2));
        assert_eq!(engine.semop(set, &[op(-1, 0)], time), Ok(()));
    });
    assert_eq!(third.wait(), End::Exit(0));
    assert_eq!(engine.sem_get(set, 0, SemField::Value), Ok(0));
}

/// Times out when it should, whatever the clock says; and players whose clocks are a day apart lose
/// nothing. Only differences of the monotonic clock count, and stamps alone come from the other.
pub fn clocks_that_differ() {
    eprintln!("endurance: CLOCK_REALTIME: NOT RUN: moving it would move the whole machine's");
    if !may_contain("clocks_that_differ", 0) {
        return;
    }
    let world = World::new();
    let engine = &world.0;
    let queue = engine.msgget(IPC_PRIVATE, 0o600).expect("msgget");
    let set = engine.semget(IPC_PRIVATE, 1, 0o600).expect("semget");
    let plays = |me: i64| {
        let begun = Instant::now();
        let time = Some(Duration::from_millis(300));
        let late = engine.semop(set, &[op(-1, 0)], time);
        assert_eq!(late, Err(Errno::EAGAIN));
        let took = begun.elapsed();
        let fine = Duration::from_millis(300)..Duration::from_millis(1500);
        assert!(fine.contains(&took), "a timeout of 300 ms took {took:?}");
        play(engine, queue, me);
    };
    let players = [ahead((86_400, 0), || plays(1)), ahead((0, 0), || plays(2))];
    // Somebody who finds nothing to receive looks after what was handed over and not fetched.
    while !players.iter().all(Child::has_ended) {
        let nothing = engine.msgrcv(queue, &mut [0; 8], 3, IPC_NOWAIT);
        assert_eq!(nothing, Err(Errno::ENOMSG));
        std::thread::sleep(Duration::from_micros(300));
    }
    for player in players {
        assert_eq!(player.wait(), End::Exit(0));
    }
    check_queue(engine, queue, &[]);
    for by in [(7000, 0), (7000, 5_000_000), (-5, 0)] {
        let elsewhere = |look: &dyn Fn()| assert_eq!(ahead(by, look).wait(), End::Exit(0));
        who_lives_without_a_thread(engine, elsewhere);
    }
    // Who began before the clock's zero.
    who_lives_without_a_thread(engine, |look| {
        std::thread::sleep(Duration::from_secs(1));
        let uptime = std::fs::read_to_string("/proc/uptime").expect("/proc/uptime");
        let seconds = uptime.split('.').next().map(str::parse::<i64>);
        let by = (-seconds.expect("a time").expect("seconds"), 0);
        assert_eq!(ahead(by, look).wait(), End::Exit(0));
    });
}

/// Runs `f` in a process whose clocks are so many seconds and nanoseconds ahead, in another time namespace.
fn ahead((seconds, ns): (i64, u32), f: impl FnOnce()) -> Child {
    Child::fork(move || {
        // SAFETY: no pointers; counts for the children of this process.
        let left = unsafe { libc::unshare(libc::CLONE_NEWTIME) };
        assert_eq!(left, 0, "unshare: {}", std::io::Error::last_os_error());
        let offsets = format!("monotonic {seconds} {ns}\nboottime {seconds} {ns}\n");
        std::fs::write("/proc/self/timens_offsets", offsets).expect("a clock of its own");
        survivor("a clock of its own", f);
    })
}
