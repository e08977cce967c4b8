//! Processes to kill, queues to look at.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
#[cfg(debug_assertions)]
use std::sync::OnceLock;
#[cfg(debug_assertions)]
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::{Duration, Instant};
use usysv::abi::{IPC_CREAT, IPC_NOWAIT, IPC_PRIVATE, MSG_COPY};
use usysv::{Engine, Errno, Messages, Namespace, SharedMemory};

/// Seconds that a child may take for everything; then it counts as stuck.
const CHILD_SECONDS: u32 = 60;

/// How many kills each random suite makes, from `USYSV_CRASH_KILLS`; without it a slice of this many.
/// `make crash` sets it.
pub fn kills(slice: usize) -> usize {
    let asked = std::env::var("USYSV_CRASH_KILLS").ok();
    asked.map_or(slice, |text| {
        text.parse().expect("USYSV_CRASH_KILLS: a number")
    })
}

/// Whether all is to be done that a suite can do, for which `USYSV_CRASH_KILLS` stands as well.
pub fn whole() -> bool {
    std::env::var_os("USYSV_CRASH_KILLS").is_some()
}

/// How a child ended.
#[derive(PartialEq, Eq, Debug)]
pub enum End {
    Exit(i32),
    Signal(i32),
}

pub const KILLED: End = End::Signal(libc::SIGKILL);

/// A child process; killed if nobody waits for it.
pub struct Child(libc::pid_t);

impl Child {
    /// Forks. The child runs `f` and exits with 0, or with 101 and a message if it panics.
    pub fn fork(f: impl FnOnce()) -> Child {
        panic_aloud();
        // SAFETY: glibc makes malloc usable in the child; it runs `f`, which uses no other lock
        // that a thread of the test harness may have held, and leaves by _exit.
        match unsafe { libc::fork() } {
            -1 => panic!("fork: {}", std::io::Error::last_os_error()),
            0 => be_child(f),
            pid => Child(pid),
        }
    }

    pub fn pid(&self) -> i32 {
        self.0
    }

    pub fn kill(&self) {
        self.signal(libc::SIGKILL);
    }

    pub fn signal(&self, signal: i32) {
        // SAFETY: our own child, which has not been waited for.
        unsafe { libc::kill(self.0, signal) };
    }

    pub fn wait(self) -> End {
        let end = wait(self.0);
        std::mem::forget(self);
        end
    }

    /// Whether it ended, without waiting for it.
    pub fn has_ended(&self) -> bool {
        // SAFETY: plain memory that waitid fills.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        // SAFETY: `info` can be written.
        unsafe { libc::waitid(libc::P_PID, self.0 as libc::id_t, &raw mut info, flags) };
        // SAFETY: waitid filled the child's part, or left zeroes.
        unsafe { info.si_pid() != 0 }
    }

    /// Waits until it sleeps in the kernel.
    pub fn until_asleep(&self) {
        self.until_state("S");
    }

    /// Waits until it is in one of these states of proc(5).
    pub fn until_state(&self, states: &str) {
        let deadline = Instant::now() + Duration::from_secs(30);
        let path = format!("/proc/{}/stat", self.0);
        let mut seen = 0;
        while seen < 2 {
            let stat = std::fs::read_to_string(&path).expect("the child's stat");
            let state = stat.rsplit(") ").next().unwrap_or("?");
            let good = state.starts_with(|state| states.contains(state));
            seen = if good { seen + 1 } else { 0 };
            assert!(Instant::now() < deadline, "the child never slept: {stat}");
            std::thread::sleep(Duration::from_micros(500));
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
        wait(self.0);
    }
}

/// Lets panics of children be seen: the harness would keep their text in the child's memory. Set
/// before any fork, since another thread may hold the hook's lock at a fork.
fn panic_aloud() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let harness = std::process::id();
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| match std::process::id() == harness {
            true => usual(info),
            false => drop(writeln!(std::io::stderr(), "child: {info}")),
        }));
    });
}

fn be_child(f: impl FnOnce()) -> ! {
    // SAFETY: sets this process's alarm.
    unsafe { libc::alarm(CHILD_SECONDS) };
    let code = if catch_unwind(AssertUnwindSafe(f)).is_ok() {
        0
    } else {
        101
    };
    // SAFETY: ends this process.
    unsafe { libc::_exit(code) }
}

fn wait(pid: libc::pid_t) -> End {
    let mut status = 0;
    loop {
        // SAFETY: `status` can be written.
        if unsafe { libc::waitpid(pid, &raw mut status, 0) } == pid {
            break;
        }
        assert_eq!(
            std::io::Error::last_os_error().kind(),
            std::io::ErrorKind::Interrupted
        );
    }
    match libc::WIFSIGNALED(status) {
        true => End::Signal(libc::WTERMSIG(status)),
        false => End::Exit(libc::WEXITSTATUS(status)),
    }
}

/// A child that must be killed at the `nth` time it comes to `point`. Returns its pid.
#[cfg(debug_assertions)]
pub fn killed_at(point: &'static str, f: impl FnOnce()) -> i32 {
    let victim = victim(point, f);
    let pid = victim.pid();
    assert_eq!(victim.wait(), KILLED, "{point} is not on this operation");
    pid
}

/// A child that is to die at a point.
#[cfg(debug_assertions)]
pub fn victim(point: &'static str, f: impl FnOnce()) -> Child {
    Child::fork(|| {
        arm(point, 1);
        f();
    })
}

/// The point at which this process dies, and how often it may come there before.
#[cfg(debug_assertions)]
static ARMED: OnceLock<(&str, AtomicU32)> = OnceLock::new();

/// Kill this process by SIGKILL the `nth` time (from 1) that it comes to the point `name`.
#[cfg(debug_assertions)]
pub fn arm(name: &'static str, nth: u32) {
    let armed = ARMED.set((name, AtomicU32::new(nth)));
    armed.expect("a process is armed once");
    usysv::watch_crashpoints(|name| {
        let here = ARMED.get().filter(|(point, _)| *point == name);
        if here.is_some_and(|(_, countdown)| countdown.fetch_sub(1, SeqCst) == 1) {
            kill_self();
        }
    });
}

#[cfg(debug_assertions)]
pub fn kill_self() -> ! {
    loop {
        // SAFETY: ends this process.
        unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    }
}

/// A child that looks at things with fresh eyes: it must succeed.
pub fn survivor(what: &str, f: impl FnOnce()) {
    assert_eq!(Child::fork(f).wait(), End::Exit(0), "after {what}");
}

/// Zeroed memory that children share.
pub fn shared(len: usize) -> *mut u8 {
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new mapping at an address of the kernel's choice.
    let at = unsafe { libc::mmap(std::ptr::null_mut(), len, prot, flags, -1, 0) };
    assert_ne!(at, libc::MAP_FAILED);
    at.cast()
}

/// A value of atomics in memory that children share, all zeroes at first; unmapped when dropped.
pub struct Shared<T>(*mut T);

impl<T> Shared<T> {
    /// # Safety
    /// Zeroes are a `T`, and it is made of atomics.
    pub unsafe fn new() -> Shared<T> {
        Shared(shared(size_of::<T>()).cast())
    }
}

impl<T> std::ops::Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: `new` mapped it, its caller promised that zeroes are good, `drop` unmaps it.
        unsafe { &*self.0 }
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        // SAFETY: the mapping that `new` made.
        unsafe { libc::munmap(self.0.cast(), size_of::<T>()) };
    }
}

/// A namespace of the test's own, removed at the end.
pub struct World(pub Engine);

impl World {
    pub fn new() -> World {
        // No handler here has SA_RESTART, and no thread changes users.
        usysv::tell_of_handlers(true);
        let namespace = Namespace::create_private(None).expect("a namespace");
        World(Engine::new(namespace).expect("an engine"))
    }

    /// Memory of a queue's file, in bytes.
    pub fn memory(&self, msqid: i32) -> u64 {
        use std::os::unix::fs::MetadataExt;
        let root = self.0.namespace().path().to_str().expect("a plain path");
        let index = msqid % usysv::abi::IPCMNI;
        let file = std::fs::metadata(format!("{root}/msg/{index}")).expect("the queue's file");
        file.blocks() * 512
    }

    /// Nothing is left of any segment, after somebody made and removed one.
    pub fn assert_no_segments(&self) {
        let engine = &self.0;
        let shmid = engine.shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0o600);
        engine
            .shm_remove(shmid.expect("shmget"))
            .expect("shm_remove");
        let (usage, _) = call(|| engine.shm_usage()).expect("SHM_INFO");
        assert_eq!(usage.used_ids, 0, "segments in use");
        let root = engine.namespace().path().to_str().expect("a plain path");
        for (dir, begin) in [("shm", ""), ("key", "shm.")] {
            let names = std::fs::read_dir(format!("{root}/{dir}")).expect("the directory");
            let names = names.map(|entry| entry.expect("an entry").file_name());
            let left: Vec<_> = names
                .filter(|name| name.to_string_lossy().starts_with(begin))
                .collect();
            assert!(left.is_empty(), "{left:?} are left");
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.0.namespace().destroy();
    }
}

/// A message: its type and text.
pub type Text = (i64, Vec<u8>);

/// A text that no other of the same length and type has at its place.
pub fn text(mtype: i64, len: usize) -> Text {
    let byte = |i: usize| (i as i64 * 7 + mtype * 31 + len as i64) as u8;
    (mtype, (0..len).map(byte).collect())
}

/// Runs one call, which must not take longer than a second; more where CPUs are short.
pub fn call<T>(f: impl FnOnce() -> Result<T, Errno>) -> Result<T, Errno> {
    let begun = Instant::now();
    let result = f();
    let took = begun.elapsed();
    let allowed = Duration::from_secs(1);
    if took > allowed {
        // Others that it waited for are held up as long as it is, if not longer.
        let wanted_cpu = wanted_cpu();
        assert!(
            took < allowed + 4 * wanted_cpu,
            "a call took {took:?}; this thread waited for a CPU for {wanted_cpu:?}"
        );
    }
    result
}

/// How long this thread could have run, but for others that did.
fn wanted_cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let ns = stat.split(' ').nth(1).and_then(|ns| ns.parse().ok());
    Duration::from_nanos(ns.unwrap_or(0))
}

/// Waits until that is so, for half a minute at most.
pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !done() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

pub fn send(engine: &Engine, msqid: i32, (mtype, bytes): &Text) {
    call(|| engine.msgsnd(msqid, *mtype, bytes, IPC_NOWAIT)).expect("msgsnd");
}

/// `msgrcv` without waiting; `None` for ENOMSG.
pub fn receive(engine: &Engine, msqid: i32, msgtyp: i64, msgflg: i32) -> Option<Text> {
    let mut buffer = vec![0; 8192];
    match call(|| engine.msgrcv(msqid, &mut buffer, msgtyp, msgflg | IPC_NOWAIT)) {
        Ok((mtype, len)) => {
            buffer.truncate(len);
            Some((mtype, buffer))
        }
        Err(Errno::ENOMSG) => None,
        Err(e) => panic!("msgrcv: {e:?}"),
    }
}

/// What is in the queue, by MSG_COPY.
pub fn content(engine: &Engine, msqid: i32) -> Vec<Text> {
    (0..)
        .map_while(|place| receive(engine, msqid, place, MSG_COPY))
        .collect()
}

/// Types and lengths, for messages that say which differ.
fn outline(texts: &[Text]) -> Vec<(i64, usize)> {
    texts.iter().map(|(t, bytes)| (*t, bytes.len())).collect()
}

fn assert_same(found: &[Text], expected: &[Text], how: &str) {
    assert_eq!(outline(found), outline(expected), "{how}");
    assert!(found == expected, "{how}: a text is not what was sent");
}

/// The counts of IPC_STAT against what should be there.
pub fn check_counts(engine: &Engine, msqid: i32, expected: &[Text]) {
    let ds = call(|| engine.msg_stat(msqid)).expect("msg_stat");
    let bytes: usize = expected.iter().map(|(_, bytes)| bytes.len()).sum();
    assert_eq!(
        (ds.msg_qnum, ds.msg_cbytes),
        (expected.len() as u64, bytes as u64)
    );
}

/// The queue holds exactly these, works with them inside, and gives them out in order.
pub fn check_queue(engine: &Engine, msqid: i32, expected: &[Text]) {
    check_counts(engine, msqid, expected);
    assert_same(&content(engine, msqid), expected, "MSG_COPY");
    use_queue(engine, msqid);
    check_counts(engine, msqid, expected);
    let drained: Vec<Text> = std::iter::from_fn(|| receive(engine, msqid, 0, 0)).collect();
    assert_same(&drained, expected, "draining");
    check_counts(engine, msqid, &[]);
    use_queue(engine, msqid);
    check_counts(engine, msqid, &[]);
}

/// Sends and receives of several sizes and types; leaves what was there.
pub fn use_queue(engine: &Engine, msqid: i32) {
    const LENGTHS: [usize; 7] = [0, 1, 72, 73, 328, 329, 2000];
    let texts: Vec<Text> = LENGTHS
        .iter()
        .flat_map(|len| [text(101, *len), text(102, *len)])
        .collect();
    for pair in texts.chunks(2) {
        for text in pair {
            send(engine, msqid, text);
        }
        for mtype in [102, 101] {
            for text in pair.iter().filter(|(t, _)| *t == mtype) {
                let got = receive(engine, msqid, mtype, 0);
                let len = text.1.len();
                assert!(got.as_ref() == Some(text), "use: {len} bytes of {mtype}");
            }
        }
    }
}
