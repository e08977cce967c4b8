//! Too little of something: descriptors, room in the file system, address space, file size, leave to
//! write. Errors are expected, and named; never a signal, and nothing that was there is lost.

use crate::crowds::{op, until, words};
use crate::rig::*;
use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;
use usysv::abi::{IPC_CREAT, IPC_NOWAIT, IPC_PRIVATE, SEM_UNDO};
use usysv::{Engine, Errno, Messages, Namespace, Result, SemField, Semaphores, SharedMemory};

/// Whether this is root with leave to mount; says why not.
pub fn may_mount(case: &str) -> bool {
    let child = Child::fork(|| {
        let made = Mount::tmpfs("64k");
        assert!(made.is_ok(), "{:?}", made.err());
    });
    let may = child.wait() == End::Exit(0);
    if !may {
        eprintln!("endurance: {case}: NOT RUN: needs a mount namespace of its own, as root has");
    }
    may
}

/// A file system of this process's own, which goes with the process's mount namespace.
pub struct Mount(pub PathBuf);

fn done(returned: i32) -> std::io::Result<()> {
    match returned {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

pub fn mount(from: &Path, to: &Path, flags: u64, data: &str) -> std::io::Result<()> {
    let text = |path: &Path| CString::new(path.to_str().expect("a path")).expect("a path");
    let (from, to) = (text(from), text(to));
    let data = CString::new(data).expect("options");
    // SAFETY: strings that end.
    done(unsafe {
        libc::mount(
            from.as_ptr(),
            to.as_ptr(),
            c"tmpfs".as_ptr(),
            flags,
            data.as_ptr().cast(),
        )
    })
}

impl Mount {
    /// A mount namespace of its own for this process, from which nothing gets out.
    pub fn leave_all() -> std::io::Result<()> {
        // SAFETY: no pointers; a process with one thread.
        done(unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
        let none = Path::new("none");
        mount(none, Path::new("/"), libc::MS_REC | libc::MS_PRIVATE, "")
    }

    /// An empty file system of this size, over /mnt.
    pub fn tmpfs(size: &str) -> std::io::Result<Mount> {
        Mount::leave_all()?;
        let at = PathBuf::from("/mnt");
        mount(Path::new("tmpfs"), &at, 0, &format!("size={size}"))?;
        Ok(Mount(at))
    }

    fn engine(&self) -> Engine {
        let parent = CString::new(self.0.to_str().expect("a path")).expect("a path");
        let namespace = Namespace::create_private(Some(&parent)).expect("a namespace");
        Engine::new(namespace).expect("an engine")
    }

    /// Takes all the room but this; gives it back when dropped.
    fn fill(&self, but: u64) -> Filler {
        use std::io::Write;
        let path = self.0.join("filler");
        let mut file = std::fs::File::create(&path).expect("a file");
        while file.write(&[1; 4096]).is_ok() {}
        let len = file.metadata().expect("a file").len();
        file.set_len(len - but).expect("a shorter file");
        Filler(path)
    }
}

struct Filler(PathBuf);

impl Drop for Filler {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Limits a resource of this process, which can be raised again.
fn limit(resource: libc::__rlimit_resource_t, most: u64) {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: a limit that lives as long as the calls.
    let done = unsafe {
        libc::getrlimit(resource, &raw mut limit);
        limit.rlim_cur = most.min(limit.rlim_max);
        libc::setrlimit(resource, &raw const limit)
    };
    assert_eq!(done, 0, "setrlimit: {}", std::io::Error::last_os_error());
}

/// Sends until that fails; gives what was sent, and why it ended.
fn send_all(engine: &Engine, queue: i32, most: usize) -> (Vec<Text>, Option<Errno>) {
    let mut sent = Vec::new();
    while sent.len() < most {
        let next = text(sent.len() as i64 + 1000, [8, 100, 3000][sent.len() % 3]);
        match engine.msgsnd(queue, next.0, &next.1, IPC_NOWAIT) {
            Ok(()) => sent.push(next),
            Err(e) => return (sent, Some(e)),
        }
    }
    (sent, None)
}

/// What was sent is there, whole and in order, and goes.
fn drains(engine: &Engine, queue: i32, sent: &[Text]) {
    check_counts(engine, queue, sent);
    for text in sent {
        let got = receive(engine, queue, 0, 0);
        assert!(got.as_ref() == Some(text), "message {}", text.0);
    }
    check_counts(engine, queue, &[]);
}

/// A queue, a set and a segment, all of them used once.
struct Objects {
    queue: i32,
    set: i32,
    segment: i32,
}

impl Objects {
    fn new(engine: &Engine) -> Objects {
        let wide = engine.namespace().set_limit("msgmnb", 64 << 20);
        wide.expect("a limit of the namespace's owner");
        let objects = Objects {
            queue: engine.msgget(IPC_PRIVATE, 0o600).expect("msgget"),
            set: engine.semget(IPC_PRIVATE, 2, 0o600).expect("semget"),
            segment: engine.shmget(IPC_PRIVATE, 8192, 0o600).expect("shmget"),
        };
        objects.r#use(engine);
        objects
    }

    /// Calls that need nothing new.
    fn r#use(&self, engine: &Engine) {
        send(engine, self.queue, &text(5, 50));
        assert_eq!(receive(engine, self.queue, 0, 0), Some(text(5, 50)));
        let there = [op(2, SEM_UNDO), op(-1, SEM_UNDO), op(-1, SEM_UNDO)];
        assert_eq!(call(|| engine.semop(self.set, &there, None)), Ok(()));
        let nobody = call(|| engine.semop(self.set, &[op(-1, IPC_NOWAIT)], None));
        assert_eq!(nobody, Err(Errno::EAGAIN));
        let time = Some(Duration::from_millis(5));
        let late = call(|| engine.semop(self.set, &[op(-1, 0)], time));
        assert_eq!(late, Err(Errno::EAGAIN));
        assert_eq!(engine.sem_get(self.set, 0, SemField::Value), Ok(0));
        engine.msg_stat(self.queue).expect("IPC_STAT");
        engine.sem_stat(self.set).expect("IPC_STAT");
        engine.shm_stat(self.segment).expect("IPC_STAT");
    }

    fn remove(&self, engine: &Engine) {
        assert_eq!(engine.msg_remove(self.queue), Ok(()));
        assert_eq!(engine.sem_remove(self.set), Ok(()));
        assert_eq!(engine.shm_remove(self.segment), Ok(()));
    }
}

/// Calls that make new objects, which must fail so; no half of one may stay.
fn make_fails(engine: &Engine, key: i32, allowed: &[Errno]) {
    let made: [(&str, Result<i32>); 3] = [
        ("msgget", engine.msgget(key, IPC_CREAT | 0o600)),
        ("semget", engine.semget(key, 3, IPC_CREAT | 0o600)),
        ("shmget", engine.shmget(key, 1 << 20, IPC_CREAT | 0o600)),
    ];
    for (name, made) in made {
        let e = made.expect_err(name);
        assert!(allowed.contains(&e), "{name}: {e:?}");
    }
}

fn nothing_was_made(engine: &Engine, key: i32) {
    assert_eq!(engine.msgget(key, 0), Err(Errno::ENOENT));
    assert_eq!(engine.semget(key, 0, 0), Err(Errno::ENOENT));
    assert_eq!(engine.shmget(key, 0, 0), Err(Errno::ENOENT));
    let counts = (
        engine.msg_usage().expect("MSG_INFO").0.msgpool,
        engine.sem_usage().expect("SEM_INFO").0.semusz,
        engine.shm_usage().expect("SHM_INFO").0.used_ids,
    );
    assert_eq!(counts, (1, 1, 1), "objects");
}

/// Linux needs no descriptors. Here opening an object takes one for a moment (EMFILE, documented);
/// what is open goes on working, sleeps included. A queue that has to grow says ENOMEM, as Linux
/// does when it has no memory for a message.
pub fn descriptors_run_out() {
    let world = World::new();
    let engine = &world.0;
    let objects = Objects::new(engine);
    survivor("no descriptors", || {
        // A child has the mappings, not the descriptors.
        limit(libc::RLIMIT_NOFILE, 0);
        objects.r#use(engine);
        make_fails(engine, 77, &[Errno::EMFILE]);
        let (sent, why) = send_all(engine, objects.queue, 100_000);
        assert_eq!(why, Some(Errno::ENOMEM), "after {} messages", sent.len());
        drains(engine, objects.queue, &sent);
        let poster = Child::fork(|| {
            std::thread::sleep(Duration::from_millis(50));
            engine.semop(objects.set, &[op(1, 0)], None).expect("semop");
            engine.msgsnd(objects.queue, 9, b"x", 0).expect("msgsnd");
        });
        engine
            .semop(objects.set, &[op(-1, SEM_UNDO)], None)
            .expect("a sleep");
        engine
            .semop(objects.set, &[op(1, SEM_UNDO)], None)
            .expect("back");
        engine.semop(objects.set, &[op(-1, 0)], None).expect("away");
        let got = engine.msgrcv(objects.queue, &mut [0; 8], 9, 0);
        assert_eq!(got, Ok((9, 1)));
        assert_eq!(poster.wait(), End::Exit(0));
        limit(libc::RLIMIT_NOFILE, 1000);
        nothing_was_made(engine, 77);
    });
    objects.remove(engine);
}

/// Who had no descriptor for /proc took a living process for dead: what a thread that has ended left
/// to be undone was undone although its process lived, as the look into /proc failed with EMFILE and
/// counted as "not there". Now only "not there" does.
pub fn nobody_is_dead_for_lack_of_a_descriptor() {
    let world = World::new();
    let engine = &world.0;
    let set = engine.semget(IPC_PRIVATE, 1, 0o600).expect("semget");
    engine.sem_put(set, 0, 1).expect("SETVAL");
    let step = &words(1)[0];
    let owner = Child::fork(|| {
        std::thread::scope(|scope| {
            let taker = scope.spawn(|| engine.semop(set, &[op(-1, SEM_UNDO)], None));
            taker.join().expect("a thread").expect("semop");
        });
        step.store(1, SeqCst);
        until("the look", 20, || step.load(SeqCst) == 2);
    });
    until("the thread's end", 20, || step.load(SeqCst) == 1);
    survivor("a look without descriptors", || {
        limit(libc::RLIMIT_NOFILE, 0);
        assert_eq!(engine.sem_get(set, 0, SemField::Value), Ok(0));
    });
    // Nor for lack of /proc.
    survivor("a look without /proc", || {
        let root = engine.namespace().path();
        // SAFETY: a string that ends.
        if unsafe { libc::chroot(root.as_ptr()) } != 0 {
            eprintln!("endurance: a look without /proc: NOT RUN: only root can leave it");
            return;
        }
        assert_eq!(engine.sem_get(set, 0, SemField::Value), Ok(0));
    });
    step.store(2, SeqCst);
    assert_eq!(owner.wait(), End::Exit(0));
    assert_eq!(engine.sem_get(set, 0, SemField::Value), Ok(1), "by its end");
}

/// As Linux without memory: ENOMEM from msgsnd and semop, ENOSPC or ENOMEM from the calls that make
/// objects; what was there is there, and goes on when there is room again.
pub fn a_full_file_system() {
    if !may_mount("a_full_file_system") {
        return;
    }
    for room in [0, 64 << 10, 500 << 10] {
        survivor("a full file system", || full(room));
    }
}

/// In a file system with so much room.
fn full(room: u64) {
    let mount = Mount::tmpfs("2m").expect("a file system");
    let engine = &mount.engine();
    let objects = Objects::new(engine);
    let filler = mount.fill(room);
    objects.r#use(engine);
    if room == 0 {
        make_fails(engine, 78, &[Errno::ENOSPC, Errno::ENOMEM]);
    }
    let (sent, why) = send_all(engine, objects.queue, 100_000);
    assert_eq!(why, Some(Errno::ENOMEM), "after {} messages", sent.len());
    check_counts(engine, objects.queue, &sent);
    // A crowd that needs places to sleep in, and rows of undo.
    let crowd: Vec<Child> = (0..100)
        .map(|i| Child::fork(|| sleep_or_enomem(engine, &objects, i)))
        .collect();
    std::thread::sleep(Duration::from_millis(300));
    objects_post(engine, &objects, 100);
    let refused = crowd.into_iter().map(Child::wait).filter(|end| match end {
        End::Exit(0) => false,
        End::Exit(12) => true,
        other => panic!("of the crowd: {other:?}"),
    });
    let refused = refused.count();
    drop(filler);
    nothing_was_made(engine, 78);
    check_queue(engine, objects.queue, &sent);
    let (more, why) = send_all(engine, objects.queue, 600);
    assert_eq!((more.len(), why), (600, None), "with room again");
    check_queue(engine, objects.queue, &more);
    engine.sem_put(objects.set, 0, 0).expect("SETVAL");
    objects.r#use(engine);
    objects.remove(engine);
    eprintln!(
        "endurance: room for {room}: {} messages, then ENOMEM; {refused} of 100 sleepers refused",
        sent.len()
    );
}

/// Sleeps for a post; exits with 12 if there is no memory to sleep in.
fn sleep_or_enomem(engine: &Engine, objects: &Objects, i: usize) {
    let flags = if i.is_multiple_of(2) { SEM_UNDO } else { 0 };
    match engine.semop(objects.set, &[op(-1, flags)], Some(Duration::from_secs(20))) {
        Ok(()) => {}
        // SAFETY: ends this process.
        Err(Errno::ENOMEM) => unsafe { libc::_exit(12) },
        Err(e) => panic!("semop: {e:?}"),
    }
}

fn objects_post(engine: &Engine, objects: &Objects, count: i16) {
    let posted = call(|| engine.semop(objects.set, &[op(count, 0)], None));
    assert_eq!(posted, Ok(()));
}

/// Linux counts no address space for queues and sets. Here it is ENOMEM (documented) for what has to
/// be mapped, and what is mapped goes on.
pub fn address_space_runs_out() {
    let world = World::new();
    let engine = &world.0;
    let objects = Objects::new(engine);
    survivor("no address space", || {
        let pages = std::fs::read_to_string("/proc/self/statm").expect("statm");
        let pages: u64 = pages
            .split(' ')
            .next()
            .expect("a size")
            .parse()
            .expect("a number");
        limit(libc::RLIMIT_AS, pages * 4096);
        objects.r#use(engine);
        let (sent, why) = send_all(engine, objects.queue, 100_000);
        assert_eq!(why, Some(Errno::ENOMEM), "after {} messages", sent.len());
        limit(libc::RLIMIT_AS, libc::RLIM_INFINITY);
        drains(engine, objects.queue, &sent);
        limit(libc::RLIMIT_AS, pages * 4096);
        make_fails(engine, 79, &[Errno::ENOMEM]);
        limit(libc::RLIMIT_AS, libc::RLIM_INFINITY);
        nothing_was_made(engine, 79);
    });
    objects.remove(engine);
}

/// Linux counts no file size for its objects. Here making an object fails, a queue that has to grow
/// says ENOMEM; SIGXFSZ, which would kill, never comes.
pub fn files_may_not_grow() {
    let world = World::new();
    let engine = &world.0;
    let objects = Objects::new(engine);
    for most in [0, 4096] {
        survivor("no file size", || {
            limit(libc::RLIMIT_FSIZE, most);
            objects.r#use(engine);
            make_fails(engine, 80, &[Errno::ENOSPC, Errno::ENOMEM]);
            let (sent, why) = send_all(engine, objects.queue, 100_000);
            assert_eq!(why, Some(Errno::ENOMEM), "after {} messages", sent.len());
            drains(engine, objects.queue, &sent);
            nothing_was_made(engine, 80);
        });
    }
    objects.remove(engine);
}

/// Whoever recovered from a killed creation marked its object as removed by a write, which under
/// RLIMIT_FSIZE was SIGXFSZ. Now the write is not tried then, and the name goes all the same.
#[cfg(debug_assertions)]
pub fn recovery_where_files_may_not_grow() {
    let world = World::new();
    let engine = &world.0;
    killed_at("create.indexed", || {
        let _ = engine.msgget(5, IPC_CREAT | 0o600);
    });
    survivor("no file size, and a killed creation", || {
        limit(libc::RLIMIT_FSIZE, 0);
        make_fails(engine, 81, &[Errno::ENOSPC, Errno::ENOMEM]);
    });
    assert_eq!(engine.msgget(5, 0), Err(Errno::ENOENT));
    engine.msgget(5, IPC_CREAT | 0o600).expect("msgget");
}

#[cfg(not(debug_assertions))]
pub fn recovery_where_files_may_not_grow() {
    eprintln!(
        "endurance: recovery_where_files_may_not_grow: NOT RUN: a release has no kill points"
    );
}

/// A namespace on a file system that has become read-only: opening it is refused; who has it open
/// goes on with the objects that it has mapped, and makes no new ones.
pub fn a_read_only_namespace() {
    if !may_mount("a_read_only_namespace") {
        return;
    }
    survivor("a read-only file system", || {
        let mount_at = Mount::tmpfs("8m").expect("a file system");
        let engine = &mount_at.engine();
        let objects = Objects::new(engine);
        let path = engine.namespace().path().to_owned();
        let at = Path::new(path.to_str().expect("a path"));
        // Over itself, as who has a file open for writing keeps a file system from read-only.
        mount(at, at, libc::MS_BIND, "").expect("a bind mount");
        let flags = libc::MS_BIND | libc::MS_REMOUNT | libc::MS_RDONLY;
        mount(Path::new("none"), at, flags, "").expect("read-only");
        objects.r#use(engine);
        make_fails(engine, 82, &[Errno::EROFS]);
        let fault = Namespace::open(&path).err().expect("a fault");
        assert_eq!((fault.errno, fault.for_c()), (Errno::EROFS, Errno::EACCES));
        nothing_was_made(engine, 82);
    });
}
