//! Holders of a lock who are of another pid namespace: stopped for long, or killed.

use crate::crowds::{until, words};
use crate::places::{Container, may_contain};
use crate::rig::*;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU8, Ordering::SeqCst};
use std::time::{Duration, Instant};
use usysv::abi::{IPC_CREAT, IPC_NOWAIT, IPC_PRIVATE};
use usysv::{Engine, Messages, Namespace};

/// Where an object's file has its lock's word; the number in it.
const LOCK: u64 = 64;
const TID: u32 = 0x3fff_ffff;
/// Longer than any doubt lasts: those who are there were robbed after 700 ms, those whose number means
/// nothing after 300.
const LONG: Duration = Duration::from_millis(1200);

/// A process that is stopped while it holds a lock keeps it, also when those who wait know its number
/// as nobody's, or as somebody else's: it was taken from it, and two worked on one queue. Now users of
/// several pid namespaces leave it to the kernel to say who died.
pub fn a_stopped_holder_of_another_pid_namespace() {
    if !may_contain("a_stopped_holder_of_another_pid_namespace", 0) {
        return;
    }
    for opens in [true, false] {
        for dies in [false, true] {
            hold_up(opens, dies);
        }
    }
}

/// A namespace that this process has not open; its path.
fn made_elsewhere() -> CString {
    // SAFETY: atomics, for which zeroes are good.
    let path: Shared<[AtomicU8; 256]> = unsafe { Shared::new() };
    survivor("a namespace", || {
        let made = Namespace::create_private(None).expect("a namespace");
        let bytes = made.path().to_bytes();
        (bytes.iter().zip(path.iter())).for_each(|(byte, to)| to.store(*byte, SeqCst));
    });
    let bytes = path.iter().map(|byte| byte.load(SeqCst));
    CString::new(bytes.take_while(|byte| *byte != 0).collect::<Vec<u8>>()).expect("a path")
}

fn open(path: &CStr) -> Engine {
    let opened = Namespace::open(path).and_then(Engine::new);
    opened.expect("an engine")
}

/// The holder has the namespace from its parent, who is of another pid namespace, or opens it itself
/// when it has used another one already.
fn hold_up(opens: bool, dies: bool) {
    let path = made_elsewhere();
    let first = (!opens).then(|| open(&path));
    let holder = Container::run(0, || match &first {
        Some(engine) => work(engine),
        None => {
            // It is killed later, and must leave nothing.
            let before = World::new();
            before.0.msgget(IPC_PRIVATE, 0o600).expect("msgget");
            drop(before);
            work(&open(&path));
        }
    });
    let engine = &first.unwrap_or_else(|| open(&path));
    let queue = queue_of(engine);
    let root = path.to_str().expect("a plain path");
    let file = File::open(format!("{root}/msg/{queue}")).expect("the queue's file");
    stop_inside(&holder, &file);
    let gone_on = words(2);
    let wait = |n: usize| {
        engine.msgsnd(queue, 2, b"after", 0).expect("msgsnd");
        gone_on[n].store(1, SeqCst);
    };
    let here = Child::fork(|| wait(0));
    // Where the holder opened it, nobody else says that there is another pid namespace.
    let elsewhere = (!opens).then(|| Container::run(0, || wait(1)));
    let all = 1 + usize::from(!opens);
    std::thread::sleep(LONG);
    let through = || gone_on.iter().filter(|word| word.load(SeqCst) != 0).count();
    assert_eq!(through(), 0, "a stopped holder was robbed");
    assert_eq!(holder_in(&file), 1, "the word names the container's first");
    match dies {
        true => holder.kill(),
        false => holder.signal(libc::SIGCONT),
    }
    until("those who waited go on", 5, || through() == all);
    assert_eq!(here.wait(), End::Exit(0));
    if let Some(elsewhere) = elsewhere {
        elsewhere.ends_well();
    }
    holder.kill();
    holder.ends_well();
    let got = std::iter::from_fn(|| receive(engine, queue, 2, 0)).count();
    assert_eq!(got, all, "what those who waited sent");
    // What the holder may have left.
    receive(engine, queue, 1, 0);
    check_queue(engine, queue, &[]);
    engine.namespace().destroy().expect("the end");
}

fn queue_of(engine: &Engine) -> i32 {
    engine.msgget(7, IPC_CREAT | 0o600).expect("msgget")
}

/// Mostly inside: the messages are long. Not for ever: a case that failed leaves it behind.
fn work(engine: &Engine) {
    let queue = queue_of(engine);
    let (mut buffer, begun) = ([0; 8192], Instant::now());
    while begun.elapsed() < Duration::from_secs(20) {
        let _ = engine.msgsnd(queue, 1, &[7; 8000], IPC_NOWAIT);
        let _ = engine.msgrcv(queue, &mut buffer, 1, IPC_NOWAIT);
    }
}

fn holder_in(file: &File) -> u32 {
    let mut word = [0; 4];
    file.read_exact_at(&mut word, LOCK)
        .expect("the lock's word");
    u32::from_ne_bytes(word) & TID
}

/// Stops the container's first process while it holds the lock.
fn stop_inside(holder: &Container, file: &File) {
    until("the holder works", 5, || holder_in(file) != 0);
    until("the holder is stopped inside", 20, || {
        holder.signal(libc::SIGSTOP);
        holder.until_stopped();
        let inside = holder_in(file) != 0;
        if !inside {
            holder.signal(libc::SIGCONT);
            std::thread::sleep(Duration::from_micros(300));
        }
        inside
    });
}
