//! What the other files here found, each on its own.

use crate::rig::*;
use crate::victim;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use usysv::abi::{IPC_CREAT, IPC_NOWAIT, IPC_PRIVATE, Sembuf};
use usysv::places_in_queue as in_queue;
use usysv::places_in_set as in_set;
use usysv::{Engine, Errno, Messages, Namespace, SemField, Semaphores, SharedMemory};

/// Where an object's file has these.
const ID: u64 = 16;
const KEY: u64 = 20;
const STATE: u64 = 24;
pub const LOCK: u64 = 64;
const SEGMENT_SIZE: u64 = 192;

pub fn root(world: &World) -> PathBuf {
    PathBuf::from(world.0.namespace().path().to_str().expect("a plain path"))
}

fn scribble(world: &World, file: &str, at: u64, bytes: &[u8]) {
    let file = File::options().write(true).open(root(world).join(file));
    file.expect("the file")
        .write_all_at(bytes, at)
        .expect("written");
}

pub fn word(world: &World, file: &str, at: u64, value: u32) {
    scribble(world, file, at, &value.to_ne_bytes());
}

/// Calls on a set whose lock's word names this thread end within a second, and work.
fn check_lock_that_names(who: &str, tid: impl FnOnce() -> u32) {
    let world = World::new();
    let engine = &world.0;
    let semid = engine
        .semget(IPC_PRIVATE, 1, IPC_CREAT | 0o600)
        .expect("semget");
    engine.sem_put(semid, 0, 3).expect("SETVAL");
    survivor(who, || {
        word(&world, "sem/0", LOCK, tid());
        let value = call(|| engine.sem_get(semid, 0, SemField::Value));
        assert_eq!(value, Ok(3), "{who}");
        call(|| engine.sem_put(semid, 0, 4)).expect("SETVAL");
    });
}

/// What broke: a lock's word was believed for two seconds if the thread slept, and for ever if it
/// did anything else: a zombie, a kernel's thread, a busy program that has never heard of us.
#[test]
fn a_lock_is_not_held_by_who_cannot_hold_it() {
    check_lock_that_names("nobody", || 0x3fff_fffe);
    // SAFETY: no arguments.
    check_lock_that_names("oneself", || unsafe { libc::gettid() } as u32);
    check_lock_that_names("init, which sleeps", || 1);
    let zombie = Command::new("true").spawn().expect("a process");
    let id = zombie.id();
    let ended = || fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|s| s.contains(") Z"));
    while !ended() {
        std::thread::yield_now();
    }
    check_lock_that_names("a zombie", || id);
    let mut busy = Command::new("sh")
        .args(["-c", "while :; do :; done"])
        .stdin(Stdio::null())
        .spawn()
        .expect("a process");
    let id = busy.id();
    check_lock_that_names("a busy stranger", || id);
    busy.kill().expect("killed");
    busy.wait().expect("waited for");
    let idle = (2..200).find(|tid| {
        let stat = fs::read_to_string(format!("/proc/{tid}/stat"));
        stat.is_ok_and(|stat| stat.contains(") I "))
    });
    match idle {
        Some(tid) => check_lock_that_names("a kernel's thread", || tid),
        None => eprintln!("hostile: NOT RUN: no kernel's thread can be seen here"),
    }
    drop(zombie);
}

/// What broke: a queue's file that claimed another's id was put in the other's place by whoever
/// listed the queues: its calls went to the wrong file.
#[test]
fn a_file_that_claims_anothers_id_does_not_take_its_place() {
    let world = World::new();
    let made = || {
        world
            .0
            .msgget(IPC_PRIVATE, IPC_CREAT | 0o600)
            .expect("msgget")
    };
    let (victim, liar) = (made(), made());
    send(&world.0, victim, &text(1, 10));
    word(&world, &format!("msg/{liar}"), ID, victim as u32);
    survivor("a lie", || {
        let fresh = Namespace::open(world.0.namespace().path()).and_then(Engine::new);
        let fresh = fresh.expect("an engine");
        let _ = fresh.each_queue(&mut |_, _| ());
        let _ = fresh.msg_stat_index(liar, true);
        assert!(receive(&fresh, victim, 0, 0) == Some(text(1, 10)));
    });
}

/// What broke: a receive that had taken its message, and then met nonsense, took the next one over it.
#[test]
fn a_message_is_not_received_over_another() {
    for len in [10, 100] {
        let world = World::new();
        let engine = &world.0;
        let msqid = engine
            .msgget(IPC_PRIVATE, IPC_CREAT | 0o600)
            .expect("msgget");
        for mtype in [1, 2, 3] {
            send(engine, msqid, &text(mtype, len));
        }
        word(&world, "msg/0", in_queue::QNUM, 0);
        survivor("a count of none", || {
            let mut got = vec![0; 200];
            match call(|| engine.msgrcv(msqid, &mut got, 0, 0)) {
                Ok((mtype, _)) => assert_eq!(mtype, 1, "over another"),
                Err(errno) => assert_eq!(errno, Errno::EIO),
            }
            for mtype in [2, 3] {
                assert!(receive(engine, msqid, 0, 0) == Some(text(mtype, len)));
            }
        });
    }
}

/// What broke: when a removed object's names were swept, its file said which: another's key.
#[test]
fn a_removed_file_that_claims_anothers_id_does_not_take_its_key() {
    let world = World::new();
    let engine = &world.0;
    let victim = engine.msgget(7, IPC_CREAT | 0o600).expect("msgget");
    for mapped in [false, true] {
        let liar = engine
            .msgget(IPC_PRIVATE, IPC_CREAT | 0o600)
            .expect("msgget");
        let file = format!("msg/{}", liar % 32768);
        survivor("a lie", || {
            let fresh = Namespace::open(engine.namespace().path()).and_then(Engine::new);
            let fresh = fresh.expect("an engine");
            if mapped {
                fresh.msg_stat(liar).expect("mapped");
            }
            word(&world, &file, ID, victim as u32);
            word(&world, &file, KEY, 7);
            if !mapped {
                word(&world, &file, STATE, 2);
            }
            let _ = fresh.msg_stat(liar);
            let _ = fresh.msg_remove(liar);
            let _ = fresh.msgget(IPC_PRIVATE, IPC_CREAT | 0o600);
            assert_eq!(fresh.msgget(7, 0), Ok(victim), "mapped: {mapped}");
        });
    }
}

/// What broke: whoever could write `counters` could have the next caller end a segment that waits
/// for its last detach, as the creation that somebody was killed over.
#[test]
fn a_made_up_death_ends_no_segment_that_is_attached() {
    let world = World::new();
    let engine = &world.0;
    let shmid = engine.shmget(9, 4096, IPC_CREAT | 0o600).expect("shmget");
    // SAFETY: at an address of the system's choice.
    unsafe { engine.shmat(shmid, 0, 0) }.expect("shmat");
    engine.shm_remove(shmid).expect("IPC_RMID");
    let died = 1u32 << 30;
    // Intent, index, key, kind: a segment was being made.
    for (at, value) in [(64, 1), (68, shmid as u32), (72, 9), (76, 2), (0, died)] {
        word(&world, "counters", at, value);
    }
    survivor("a made-up death", || {
        engine
            .msgget(IPC_PRIVATE, IPC_CREAT | 0o600)
            .expect("msgget");
        // The test's process, and this one, its fork.
        assert_eq!(engine.shm_stat(shmid).map(|ds| ds.shm_nattch), Ok(2));
    });
    assert!(root(&world).join(format!("shm/{shmid}.data")).exists());
}

/// What broke: sums over what a segment's file says of its size, and an attachment that was shorter
/// than the segment had ever been: SIGSEGV for whoever knew its size.
#[test]
fn a_segments_size_is_what_its_bytes_are() {
    let world = World::new();
    let engine = &world.0;
    let shmid = engine
        .shmget(IPC_PRIVATE, 8192, IPC_CREAT | 0o600)
        .expect("shmget");
    for size in [u64::MAX, u64::MAX - 4096, 8, 0, 1 << 40] {
        scribble(
            &world,
            &format!("shm/{shmid}"),
            SEGMENT_SIZE,
            &size.to_ne_bytes(),
        );
        survivor("a size", || {
            let _ = call(|| engine.shm_lock(shmid, true));
            let _ = call(|| engine.shm_lock(shmid, false));
            let _ = call(|| engine.shm_stat(shmid));
            // SAFETY: at an address of the system's choice.
            let attached = call(|| unsafe { engine.shmat(shmid, 0, 0) });
            assert!(
                matches!(attached, Err(Errno::EIO | Errno::EINVAL | Errno::ENOMEM)),
                "{attached:?}"
            );
        });
    }
}

/// What broke: a segment that was made shorter in both its files was attached at that length by
/// whoever had known it longer: SIGSEGV.
#[test]
fn a_segment_stays_as_long_as_it_was() {
    let world = World::new();
    let engine = &world.0;
    let made = engine.shmget(3, 3 * 4096, IPC_CREAT | 0o600);
    let shmid = made.expect("shmget");
    for (size, is) in [(6u64, 4096), (5000, 8192), (1 << 20, 1 << 20)] {
        scribble(&world, "shm/0", SEGMENT_SIZE, &size.to_ne_bytes());
        let data = File::options()
            .write(true)
            .open(root(&world).join("shm/0.data"));
        data.expect("the bytes")
            .set_len(is)
            .expect("another length");
        // SAFETY: at an address of the system's choice.
        let attached = call(|| unsafe { engine.shmat(shmid, 0, 0) });
        assert_eq!(attached, Err(Errno::EIO), "{size}");
    }
}

/// What broke: a queue that grows made the file longer that lay under its name, whosever it was.
#[test]
fn a_queue_grows_in_its_own_file() {
    let world = World::new();
    let engine = &world.0;
    engine
        .namespace()
        .set_limit("msgmnb", 64 << 20)
        .expect("the namespace's owner");
    let msqid = engine
        .msgget(IPC_PRIVATE, IPC_CREAT | 0o600)
        .expect("msgget");
    let path = root(&world).join(format!("msg/{msqid}"));
    fs::rename(&path, root(&world).join("away")).expect("moved away");
    fs::write(&path, b"another's").expect("a file");
    survivor("a queue's growth", || {
        let full = |_| engine.msgsnd(msqid, 1, &[7; 8000], IPC_NOWAIT).is_err();
        assert!((0..4000).any(full), "it could not grow");
    });
    assert_eq!(fs::read(&path).expect("the file"), b"another's");
    fs::remove_file(&path).expect("unlinked");
    fs::rename(root(&world).join("away"), &path).expect("moved back");
}

/// What broke: a set or a queue with more sleepers than there are threads, all made up, took its next
/// caller through each of them, over and over.
#[test]
fn a_crowd_of_made_up_sleepers_holds_nobody_up() {
    let world = World::new();
    let engine = &world.0;
    let semid = engine
        .semget(IPC_PRIVATE, 1, IPC_CREAT | 0o600)
        .expect("semget");
    let down = [Sembuf {
        sem_num: 0,
        sem_op: -1,
        sem_flg: 0,
    }];
    let sleeper = Child::fork(|| {
        let _ = engine.semop(semid, &down, None);
    });
    sleeper.until_asleep();
    let path = root(&world).join("sem/0");
    let bytes = fs::read(&path).expect("the set's file");
    let pid = (sleeper.pid() as u32).to_ne_bytes();
    let both = [pid, pid].concat();
    // `tid` is behind `pid`.
    let [seq, pids, bell] = [in_set::SEQ, in_set::PID, in_set::BELL].map(|at| at as usize);
    let slot = bytes
        .windows(8)
        .position(|eight| eight == both)
        .expect("its slot")
        - pids;
    const SLOTS: usize = 65536;
    let mut crowd = Vec::new();
    for n in 0..SLOTS as u32 {
        let mut one = bytes[slot..slot + 128].to_vec();
        one[seq..seq + 8].copy_from_slice(&u64::from(n ^ 0x5a5a).to_ne_bytes());
        one[pids..pids + 8].copy_from_slice(&[1, 0, 0, 0, 1, 0, 0, 0]);
        one[bell..bell + 8].copy_from_slice(&[255, 255, 255, 255, 0, 0, 0, 0]);
        crowd.extend(one);
    }
    scribble(&world, "sem/0", slot as u64, &crowd);
    for at in [in_set::SLOTS, in_set::SLOTS_BACKED] {
        word(&world, "sem/0", at, SLOTS as u32);
    }
    // The lock's holder died.
    word(&world, "sem/0", LOCK, 1 << 30);
    survivor("a crowd", || {
        for _ in 0..3 {
            let _ = victim::in_time(victim::MOST, || engine.sem_get(semid, 0, SemField::Value));
            let _ = victim::in_time(victim::MOST, || engine.sem_get(semid, 0, SemField::Ncnt));
            let _ = victim::in_time(victim::MOST, || {
                engine.semop(
                    semid,
                    &[Sembuf {
                        sem_num: 0,
                        sem_op: 1,
                        sem_flg: IPC_NOWAIT as i16,
                    }],
                    None,
                )
            });
        }
    });
}

/// What broke: the number of semaphores was believed at each call, so GETALL wrote as many values as
/// somebody had put there into the caller's array.
#[test]
fn a_set_has_as_many_semaphores_as_it_had() {
    let world = World::new();
    let engine = &world.0;
    let semid = engine
        .semget(IPC_PRIVATE, 5, IPC_CREAT | 0o600)
        .expect("semget");
    for nsems in [6u32, 16, 70, 1000, 0x0101_0101, 0, u32::MAX] {
        word(&world, "sem/0", in_set::NSEMS, nsems);
        let mut asked = 0;
        let mut values = vec![0u16; 1 << 25];
        let answer = call(|| {
            // SAFETY: room for as many values as it says.
            unsafe {
                engine.getall_raw(semid, &mut |n| {
                    asked = n;
                    (n <= values.len()).then_some(values.as_mut_ptr())
                })
            }
        });
        assert_eq!((answer, asked), (Err(Errno::EIO), 0), "{nsems}");
    }
    word(&world, "sem/0", in_set::NSEMS, 5);
    assert_eq!(engine.sem_get_all(semid, &mut [0; 5]), Ok(()));
}

/// Where a queue and a set have their chairs: looked up by who sits there (see `chair.rs`), as the only
/// line of the file that begins with SAT and 1.
fn chair_in(world: &World, file: &str) -> u64 {
    let bytes = fs::read(root(world).join(file)).expect("the object's file");
    let taken = [1u32 << 31, 1].map(u32::to_ne_bytes).concat();
    let lines = bytes.chunks(64).position(|line| line.starts_with(&taken));
    64 * lines.expect("who sleeps alone sits") as u64
}

/// Scribbles over the chair of who sleeps in a call, which then gets what it waits for within a second.
fn check_scribbled_chair(file: &str, at: u64, len: usize, byte: u8) {
    check_scribbled_under_a_sleeper(file, |chair| chair + at, &vec![byte; len], Ok(()));
}

/// Scribbles over an object in which somebody sleeps without a clock, at the place that depends on its chair's;
/// somebody else gives it what it waits for. That is answered so, and within a second the sleeper is, too.
fn check_scribbled_under_a_sleeper(
    file: &str,
    place: impl Fn(u64) -> u64,
    bytes: &[u8],
    answer: Result<(), Errno>,
) {
    let world = World::new();
    let engine = &world.0;
    let queue = engine
        .msgget(IPC_PRIVATE, IPC_CREAT | 0o600)
        .expect("msgget");
    let set = engine
        .semget(IPC_PRIVATE, 1, IPC_CREAT | 0o600)
        .expect("semget");
    let [other_queue, other_set] = ["msg/0", "sem/0"].map(|file| {
        let whole = fs::read(root(&world).join(file)).expect("an object");
        move || whole.clone()
    });
    let op = |sem_op| Sembuf {
        sem_num: 0,
        sem_op,
        sem_flg: 0,
    };
    let on_queue = file.starts_with("msg");
    let sleeper = Child::fork(|| {
        let ended = match on_queue {
            true => engine.msgrcv(queue, &mut [0; 10], 0, 0).map(drop),
            false => engine.semop(set, &[op(-1)], None),
        };
        assert_eq!(ended, answer);
    });
    sleeper.until_asleep();
    let place = place(chair_in(&world, file));
    let at = format!("{file}: {} bytes {:#x} at {place}", bytes.len(), bytes[0]);
    scribble(&world, file, place, bytes);
    survivor("a scribbled sleeper", || {
        let given = call(|| match on_queue {
            true => engine.msgsnd(queue, 1, b"news", 0),
            false => engine.semop(set, &[op(1)], None),
        });
        assert_eq!(given, answer, "{at}");
    });
    let begun = Instant::now();
    while !sleeper.has_ended() {
        assert!(
            begun.elapsed() < Duration::from_secs(2),
            "sleeps on after {at}"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(sleeper.wait(), End::Exit(0), "{at}");
    let untouched = match on_queue {
        true => other_set() == fs::read(root(&world).join("sem/0")).expect("the set"),
        false => other_queue() == fs::read(root(&world).join("msg/0")).expect("the queue"),
    };
    assert!(untouched, "{file}: another object was written to");
}

/// What broke: who sleeps in a chair has no clock. Whoever had news for it looked for it in the chair
/// alone, and where nonsense lay there, it slept on for ever.
#[test]
fn a_scribbled_chair_keeps_nobody_asleep() {
    // word, asleep, slot, reserved, prev, next, occupant, more; all of it.
    let fields = [0, 4, 8, 12, 24, 32, 40, 48].map(|at| (at, 4 << usize::from(at >= 24)));
    for file in ["msg/0", "sem/0"] {
        for (at, len) in fields.into_iter().chain([(0, 64)]) {
            for byte in [0, 0xff, 0x01, 0x40, 0x80] {
                check_scribbled_chair(file, at, len, byte);
            }
        }
    }
}

/// What broke: where the count of sleepers was 0, those who send owed nobody anything; and where they found no
/// object any more, they told nobody.
#[test]
fn a_scribbled_count_keeps_nobody_asleep() {
    // What is derived, and the counts in it: from one place up to another.
    let queues = [
        (in_queue::QNUM, in_queue::QBYTES),
        (in_queue::RECEIVERS, in_queue::RECEIVERS + 4),
    ];
    let sets = [
        (in_set::WAITING, in_set::WAITING + 4),
        (in_set::FREE_SLOT, in_set::FREE_SLOT + 8),
        (in_set::COMPLEX, in_set::LOOKED),
    ];
    for (file, places) in [("msg/0", &queues[..]), ("sem/0", &sets)] {
        for (at, end) in places {
            let (at, len) = (*at, (end - at) as usize);
            for byte in [0, 0xff, 0x01, 0x40, 0x80] {
                check_scribbled_under_a_sleeper(file, |_| at, &vec![byte; len], Ok(()));
            }
        }
        for gone in [1024, 4096] {
            check_scribbled_under_a_sleeper(file, |_| 0, &vec![0; gone], Err(Errno::EIO));
        }
    }
}

/// What broke: a semop that had been performed found nonsense in line, and was performed again after the repair.
#[test]
fn nonsense_in_line_has_nothing_done_twice() {
    /// None, as counts of sleepers lie.
    const NONE: u32 = 0x4e6f_6e65;
    /// The first semaphore's line of those who alter.
    const ALTERS: [u64; 2] = [in_set::ALTERS, in_set::ALTERS + 4];
    let world = World::new();
    let engine = &world.0;
    let set = engine
        .semget(IPC_PRIVATE, 1, IPC_CREAT | 0o600)
        .expect("semget");
    let op = |sem_op| Sembuf {
        sem_num: 0,
        sem_op,
        sem_flg: 0,
    };
    // Somebody waited once: the first slot was in use.
    let waited = engine.semop(set, &[op(-1)], Some(Duration::from_millis(1)));
    assert_eq!(waited, Err(Errno::EAGAIN));
    for value in 1..5 {
        for (at, scribbled) in [(in_set::WAITING, 1 ^ NONE), (ALTERS[0], 0), (ALTERS[1], 0)] {
            word(&world, "sem/0", at, scribbled);
        }
        assert_eq!(engine.semop(set, &[op(1)], None), Ok(()));
        let seen = engine.sem_get(set, 0, usysv::SemField::Value);
        assert_eq!(seen, Ok(value));
    }
}

/// What broke: a receiver that found nonsense as it lined up did so again, after the repair, and stood in line
/// twice. What was sent went to the place where nobody was.
#[test]
fn who_finds_nonsense_in_line_stands_there_once() {
    const DERIVED: usize = in_queue::SENDER_HEAD as usize;
    let world = World::new();
    let engine = &world.0;
    let queue = engine
        .msgget(IPC_PRIVATE, IPC_CREAT | 0o600)
        .expect("msgget");
    let bytes = fs::read(root(&world).join("msg/0")).expect("the queue's file");
    let words = bytes[..4096].chunks(4).enumerate().skip(DERIVED / 4);
    for (place, _) in words.filter(|(_, word)| *word == [255; 4]) {
        // The ends of lines.
        self::word(&world, "msg/0", 4 * place as u64, 0x00ff_ff00);
    }
    let receiver = Child::fork(|| {
        let received = engine.msgrcv(queue, &mut [0; 10], 0, 0);
        assert_eq!(received, Ok((1, 4)));
    });
    receiver.until_asleep();
    survivor("nonsense in the line", || {
        call(|| engine.msgsnd(queue, 1, b"news", 0)).expect("msgsnd");
    });
    let begun = Instant::now();
    assert_eq!(receiver.wait(), End::Exit(0));
    assert!(begun.elapsed() < Duration::from_millis(900), "late");
}
