//! A process that makes every call, on objects that are not what they were.

use crate::dice::Dice;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use usysv::abi::{
    IPC_CREAT, IPC_NOWAIT, IPC_PRIVATE, MSG_COPY, MSG_EXCEPT, MSG_NOERROR, SEM_UNDO, Sembuf,
};
use usysv::{Engine, Errno, Messages, SemField, Semaphores, SharedMemory};

/// After this a call counts as one that never ends.
const STUCK_SECONDS: u32 = 20;
/// Kinds of calls.
pub const KINDS: u64 = 34;
/// Calls of a victim.
const CALLS: usize = 60;
/// What a call may take at most, on files that keep still; a thread that waits for a lock whose word
/// is nonsense waits for a part of this.
pub const MOST: Duration = Duration::from_secs(1);
/// The same while somebody scribbles: a call takes up to four locks, one after the other.
pub const MOST_LIVE: Duration = Duration::from_secs(4);

#[derive(Clone, Copy)]
pub struct Objects {
    pub key: i32,
    pub msqid: i32,
    pub semid: i32,
    pub shmid: i32,
}

/// A victim that takes more memory or time than any call has use for is stopped, and says where it was:
/// a call that never ends has been on a CPU or asleep, and a machine that stands still has not.
pub fn limit() {
    // SAFETY: sets this process's alarm, limits and handler, which makes system calls only.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = say_where as *const () as usize;
        action.sa_flags = libc::SA_RESETHAND;
        libc::sigaction(libc::SIGALRM, &raw const action, std::ptr::null_mut());
        libc::alarm(STUCK_SECONDS);
        let most = libc::rlimit {
            rlim_cur: 64 << 30,
            rlim_max: 64 << 30,
        };
        libc::setrlimit(libc::RLIMIT_AS, &most);
    }
}

/// The call in which the alarm came: a kind, its time on a CPU, its time without one that it wanted, both
/// in ns since the process began, and what the kernel knows of it.
extern "C" fn say_where(signal: i32) {
    let write = |text: &[u8]| {
        // SAFETY: readable bytes.
        unsafe { libc::write(2, text.as_ptr().cast(), text.len()) };
    };
    write(b"hostile: a call is stuck; kind, then /proc/self's schedstat, stat, syscall:\n");
    let mut kind = *b"   \n";
    let now = KIND.load(Relaxed);
    (kind[0], kind[1]) = (b'0' + (now / 10 % 10) as u8, b'0' + (now % 10) as u8);
    write(&kind);
    for name in [c"schedstat", c"stat", c"syscall"] {
        let mut text = [0u8; 512];
        // SAFETY: strings that end, room for as many bytes.
        let len = unsafe {
            let directory = libc::open(c"/proc/self".as_ptr(), libc::O_PATH);
            let file = libc::openat(directory, name.as_ptr(), libc::O_RDONLY);
            libc::read(file, text.as_mut_ptr().cast(), text.len())
        };
        write(&text[..len.max(0) as usize]);
    }
    // SAFETY: ends this process, as the alarm would have.
    unsafe { libc::raise(signal) };
}

/// The kind of call that is under way.
static KIND: AtomicU64 = AtomicU64::new(99);

/// Time that this thread waited for a CPU, which is nobody's fault here.
fn waited() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let ns = text.split(' ').nth(1).and_then(|ns| ns.parse().ok());
    Duration::from_nanos(ns.unwrap_or(0))
}

pub fn play(engine: &Engine, objects: &Objects, mut dice: Dice, most: Duration) {
    for _ in 0..CALLS {
        let choice = dice.roll(KINDS);
        // SAFETY: a call that never ends is ended.
        unsafe { libc::alarm(STUCK_SECONDS) };
        KIND.store(choice, Relaxed);
        in_time(most, || one(engine, objects, &mut dice, choice));
    }
}

/// Runs calls that must not take longer than this, but for the time without a CPU.
pub fn in_time<T>(most: Duration, f: impl FnOnce() -> T) -> T {
    let (begun, idle) = (Instant::now(), waited());
    let result = f();
    let took = begun.elapsed().saturating_sub(waited() - idle);
    assert!(took < most, "a call took {took:?}");
    result
}

/// One call. Errors are what is to be expected; a crash or a long wait is not.
pub fn one(engine: &Engine, o: &Objects, dice: &mut Dice, choice: u64) {
    let (msqid, semid, shmid) = (o.msqid, o.semid, o.shmid);
    let mut buffer = [0; 5000];
    let len = dice.roll(4000) as usize;
    let mtype = dice.roll(9) as i64 - 3;
    let num = dice.roll(6) as i32;
    let op = |sem_op, flags: i32| Sembuf {
        sem_num: num as u16,
        sem_op,
        sem_flg: flags as i16,
    };
    match choice {
        0..=4 => any(engine.msgsnd(msqid, mtype.max(1), &buffer[..len], IPC_NOWAIT)),
        5..=8 => {
            let flags = [0, MSG_NOERROR, MSG_EXCEPT, MSG_COPY][dice.roll(4) as usize];
            any(engine.msgrcv(msqid, &mut buffer[..len], mtype, flags | IPC_NOWAIT));
        }
        9 => {
            if let Ok(mut ds) = engine.msg_stat(msqid) {
                ds.msg_qbytes = 16384;
                any(engine.msg_set(msqid, &ds));
            }
        }
        10 => any(engine.msgget(o.key, IPC_CREAT | 0o600)),
        11 => any(engine.msg_usage()),
        12 => any(engine.msg_stat_index(msqid % 32768, true)),
        13..=15 => any(engine.semop(semid, &[op(1, IPC_NOWAIT)], None)),
        16 => any(engine.semop(
            semid,
            &[op(-1, IPC_NOWAIT | SEM_UNDO), op(1, SEM_UNDO)],
            None,
        )),
        17 => any(engine.semop(semid, &[op(-9, 0)], Some(Duration::from_millis(4)))),
        18 => any(engine.semop(
            semid,
            &[op(0, SEM_UNDO), op(1, 0)],
            Some(Duration::from_millis(4)),
        )),
        19 => {
            let fields = [
                SemField::Value,
                SemField::Pid,
                SemField::Ncnt,
                SemField::Zcnt,
            ];
            any(engine.sem_get(semid, num, fields[dice.roll(4) as usize]));
        }
        20 => any(engine.sem_put(semid, num, 3)),
        21 => any(engine.sem_get_all(semid, &mut [0; 5])),
        22 => any(engine.sem_put_all(semid, &[1, 2, 3, 0, 1])),
        23 => {
            if let Ok(ds) = engine.sem_stat(semid) {
                any(engine.sem_set(semid, &ds));
            }
        }
        24 => any(engine.sem_usage()),
        25..=27 => touch(engine, o, dice),
        28 => {
            if let Ok(ds) = engine.shm_stat(shmid) {
                any(engine.shm_set(shmid, &ds));
            }
            any(engine.shm_usage());
        }
        29 => any(engine.each_attacher(shmid, &mut |_| ())),
        30 => any(engine.shm_lock(shmid, dice.roll(2) == 0)),
        31 => make_and_remove(engine),
        32 => {
            any(engine.namespace().with_limit_text("sem", |_| ()));
            any(engine.namespace().set_limit("msgmni", 32000));
        }
        _ => {
            // Seldom, as there is nothing to be harmed afterwards.
            match dice.roll(12) {
                0 => any(engine.msg_remove(msqid)),
                1 => any(engine.sem_remove(semid)),
                2 => any(engine.shm_remove(shmid)),
                _ => any(engine.msg_limits()),
            }
        }
    }
}

/// Whatever the answer is.
fn any<T>(_: Result<T, Errno>) {}

/// Attaches a segment, uses it all, detaches it.
fn touch(engine: &Engine, o: &Objects, dice: &mut Dice) {
    // As programs do: who asks for a size is told of a segment that is shorter.
    let Ok(shmid) = engine.shmget(o.key, 2 * 4096, 0) else {
        return;
    };
    // SAFETY: at an address of the system's choice.
    let Ok(addr) = (unsafe { engine.shmat(shmid, 0, 0) }) else {
        return;
    };
    for page in 0..2 {
        // SAFETY: two pages were asked for, whatever the file says now.
        let byte = unsafe { &*((addr + page * 4096 + 7) as *const AtomicU8) };
        byte.store(byte.load(Relaxed).wrapping_add(1), Relaxed);
    }
    if dice.roll(3) != 0 {
        // SAFETY: nobody uses it any more.
        any(unsafe { engine.shmdt(addr) });
    }
}

fn make_and_remove(engine: &Engine) {
    if let Ok(id) = engine.msgget(IPC_PRIVATE, IPC_CREAT | 0o600) {
        any(engine.msg_remove(id));
    }
    if let Ok(id) = engine.semget(IPC_PRIVATE, 2, IPC_CREAT | 0o600) {
        any(engine.sem_remove(id));
    }
    if let Ok(id) = engine.shmget(IPC_PRIVATE, 5000, IPC_CREAT | 0o600) {
        any(engine.shm_remove(id));
    }
}
