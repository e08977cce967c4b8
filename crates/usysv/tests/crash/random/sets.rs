//! A semaphore with SEM_UNDO as the lock of a record, which its holder changes field by field.
//!
//! A holder that is killed leaves the record torn, perhaps, and its mark in it. The next holder must
//! find either no mark and the record whole, or the mark of a process that is dead. Anything else
//! would be two holders. And there must be a next one.

use super::{Victims, commas};
use crate::rig::*;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::SeqCst};
use usysv::abi::{IPC_PRIVATE, SEM_UNDO, Sembuf};
use usysv::{Engine, SemField, Semaphores};

const WORKERS: usize = 4;
/// So many that most kills are in the midst of them.
const FIELDS: usize = 1000;

/// In a file that all map.
#[repr(C)]
struct Record {
    /// The pid of who is about to change it; 0: nobody.
    holder: AtomicU32,
    reserved: AtomicU32,
    fields: [AtomicU64; FIELDS],
    sum: AtomicU64,
}

impl Record {
    fn sum(&self) -> u64 {
        let fields = self.fields.iter().enumerate();
        fields.fold(17, |sum: u64, (i, field)| {
            sum.wrapping_mul(31)
                .wrapping_add(field.load(SeqCst) ^ i as u64)
        })
    }

    fn is_whole(&self) -> bool {
        self.sum.load(SeqCst) == self.sum()
    }

    fn change(&self) {
        for field in &self.fields {
            field.fetch_add(1, SeqCst);
        }
        self.sum.store(self.sum(), SeqCst);
    }
}

/// Maps a new file with a record in it, which has no name.
fn map_record() -> *const Record {
    let path = std::env::temp_dir().join(format!("usysv-crash.{}", std::process::id()));
    let file = std::fs::File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)
        .expect("the record's file");
    std::fs::remove_file(&path).expect("the record's file");
    file.set_len(size_of::<Record>() as u64).expect("its size");
    let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
    let (len, fd) = (size_of::<Record>(), file.as_raw_fd());
    // SAFETY: a new mapping at an address of the kernel's choice.
    let at = unsafe { libc::mmap(std::ptr::null_mut(), len, prot, flags, fd, 0) };
    assert_ne!(at, libc::MAP_FAILED);
    let record = at.cast::<Record>();
    // SAFETY: zeroes are a record, but for the sum.
    unsafe { (*record).sum.store((*record).sum(), SeqCst) };
    record
}

/// What the holders found.
#[repr(C)]
struct Found {
    /// Sections that were entered.
    entered: AtomicUsize,
    /// The record whole, with a dead one's mark.
    marked: AtomicUsize,
    /// The record torn, by a dead one.
    torn: AtomicUsize,
}

fn step(engine: &Engine, semid: i32, sem_op: i16) {
    let op = Sembuf {
        sem_num: 0,
        sem_op,
        sem_flg: SEM_UNDO as i16,
    };
    engine.semop(semid, &[op], None).expect("semop");
}

/// Whether a process is dead or cannot run any more: by proc(5), as a zombie still has its pid.
fn is_dead(pid: u32) -> bool {
    const PF_EXITING: u64 = 4;
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return true;
    };
    let mut fields = stat.rsplit(") ").next().unwrap_or("").split(' ');
    let state = fields.next().unwrap_or("?");
    let flags = fields.nth(5).and_then(|flags| flags.parse().ok());
    "ZX".contains(state) || flags.is_some_and(|flags: u64| flags & PF_EXITING != 0)
}

/// One section.
fn hold(engine: &Engine, semid: i32, record: &Record, found: &Found) {
    step(engine, semid, -1);
    let value = engine.sem_get(semid, 0, SemField::Value);
    assert_eq!(value, Ok(0), "the semaphore of who holds it");
    match record.holder.load(SeqCst) {
        0 => assert!(record.is_whole(), "torn, and nobody died"),
        holder => {
            assert!(is_dead(holder), "{holder} holds it as well");
            let what = match record.is_whole() {
                true => &found.marked,
                false => &found.torn,
            };
            what.fetch_add(1, SeqCst);
        }
    }
    record.holder.store(std::process::id(), SeqCst);
    record.change();
    record.holder.store(0, SeqCst);
    found.entered.fetch_add(1, SeqCst);
    step(engine, semid, 1);
}

#[test]
fn sets_have_one_holder_and_no_stuck_one() {
    let world = World::new();
    let engine = &world.0;
    let semid = engine.semget(IPC_PRIVATE, 1, 0o600).expect("semget");
    engine.sem_put(semid, 0, 1).expect("SETVAL");
    // SAFETY: mapped for good, and made of atomics.
    let record = unsafe { &*map_record() };
    // SAFETY: atomics, for which zeroes are good.
    let found: Shared<Found> = unsafe { Shared::new() };
    let mut victims = Victims::start(WORKERS, |_| {
        Child::fork(|| {
            loop {
                hold(engine, semid, record, &found);
            }
        })
    });
    let kills = kills(300);
    let entered = || found.entered.load(SeqCst);
    for kill in 0..kills {
        let before = entered();
        let chosen = victims.wait_and_choose();
        // Every other time who holds it now, if it is not too fast.
        let holder = record.holder.load(SeqCst) as i32;
        let holder = victims.running.iter().position(|v| v.pid() == holder);
        let victim = holder.filter(|_| kill % 2 == 0).unwrap_or(chosen);
        victims.kill(victim, |_| ());
        until("another section was entered", || entered() != before);
    }
    victims.kill_all(|_| ());
    survivor("random kills", || {
        hold(engine, semid, record, &found);
        assert_eq!(engine.sem_get(semid, 0, SemField::Value), Ok(1));
        let mut undos = 0;
        let listed = engine.each_undo(semid, &mut |_| undos += 1);
        assert_eq!((listed, undos), (Ok(()), 0));
    });
    eprintln!(
        "sets: {} kills, {} sections: all accounted for ({} found the record torn and {} marked, by \
         a killed holder; never two holders, never a stuck one)",
        commas(kills + WORKERS),
        commas(entered()),
        found.torn.load(SeqCst),
        found.marked.load(SeqCst)
    );
    assert!(entered() > 100, "only {} sections were entered", entered());
}
