//! One kill at each named point of each operation on a queue.

use crate::rig::*;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;
use usysv::abi::{IPC_CREAT, IPC_PRIVATE};
use usysv::{Engine, Messages};

/// Whether an operation killed at a point has happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Happened {
    No,
    Yes,
}
use Happened::{No, Yes};

pub type Points = &'static [(&'static str, Happened)];

const SEND: Points = &[
    ("msg.send.filled", No),
    ("msg.send.before_commit", No),
    ("msg.send.after_commit", Yes),
    ("msg.send.stamped", Yes),
    ("msg.send.appended", Yes),
];
const RECEIVE: Points = &[
    ("msg.receive.before_commit", No),
    ("msg.receive.after_commit", Yes),
    ("msg.receive.stamped", Yes),
    ("msg.receive.unlinked", Yes),
];
const HAND_OVER: Points = &[
    ("msg.send.filled", No),
    ("msg.hand.before_commit", No),
    ("msg.hand.after_commit", Yes),
    ("msg.hand.stamped", Yes),
    ("msg.hand.told", Yes),
];
const FETCH: Points = &[
    ("msg.fetch.before_commit", No),
    ("msg.fetch.after_commit", Yes),
];
const SET: Points = &[
    ("msg.set.before_commit", No),
    ("msg.set.after_commit", Yes),
    ("msg.set.stored", Yes),
];
const TAKE_BACK: Points = &[("msg.take_back.restored", No), ("msg.take_back.told", No)];
const RECOVER: [&str; 2] = ["msg.recover.redone", "msg.recover.rebuilt"];

/// A type that nobody else sends or asks for.
const HANDED: i64 = 9;
/// A dead receiver's message is looked after when it was handed over longer ago than this.
const FETCH_TIME: Duration = Duration::from_millis(40);

fn make(engine: &Engine, texts: &[Text]) -> i32 {
    let msqid = engine
        .msgget(IPC_PRIVATE, IPC_CREAT | 0o600)
        .expect("msgget");
    for text in texts {
        send(engine, msqid, text);
    }
    msqid
}

fn remove(engine: &Engine, msqid: i32) {
    engine.msg_remove(msqid).expect("msg_remove");
}

fn mixed() -> Vec<Text> {
    vec![
        text(1, 10),
        text(2, 5000),
        text(1, 100),
        text(3, 0),
        text(2, 72),
    ]
}

/// Who stands in `msg_lspid` and `msg_lrpid`.
fn pids(engine: &Engine, msqid: i32) -> (i32, i32) {
    let ds = call(|| engine.msg_stat(msqid)).expect("msg_stat");
    (ds.msg_lspid, ds.msg_lrpid)
}

/// Deaths of those who clean up, one after another: none, and each point, twice.
fn each_recovery(mut f: impl FnMut(&[&'static str])) {
    f(&[]);
    for point in RECOVER {
        f(&[point]);
        f(&[point, RECOVER[0]]);
        f(&[point, RECOVER[1]]);
    }
}

fn die_recovering(engine: &Engine, msqid: i32, deaths: &[&'static str]) {
    for point in deaths {
        killed_at(point, || {
            let _ = engine.msg_stat(msqid);
        });
    }
}

/// An operation that neither waits nor is waited for.
struct Plain {
    before: Vec<Text>,
    act: fn(&Engine, i32),
    after: Vec<Text>,
    sends: bool,
}

/// Kills it at each point, with each way of dying again in the recovery.
fn kill_everywhere(points: Points, op: &Plain) {
    let world = World::new();
    let engine = &world.0;
    for (point, happened) in points {
        each_recovery(|deaths| {
            let msqid = make(engine, &op.before);
            let mut stamps = pids(engine, msqid);
            let victim = killed_at(point, || (op.act)(engine, msqid));
            die_recovering(engine, msqid, deaths);
            let expected = match happened {
                No => &op.before,
                Yes => &op.after,
            };
            match (happened, op.sends) {
                (Yes, true) => stamps.0 = victim,
                (Yes, false) => stamps.1 = victim,
                (No, _) => {}
            }
            survivor(&format!("{point}, then {deaths:?}"), || {
                assert_eq!(pids(engine, msqid), stamps, "lspid and lrpid");
                check_queue(engine, msqid, expected);
            });
            remove(engine, msqid);
        });
    }
}

/// The mixed queue, after a change.
fn mixed_but(change: impl FnOnce(&mut Vec<Text>)) -> Vec<Text> {
    let mut texts = mixed();
    change(&mut texts);
    texts
}

#[test]
fn send_inline() {
    kill_everywhere(
        SEND,
        &Plain {
            before: mixed(),
            act: |e, id| send(e, id, &text(4, 10)),
            after: mixed_but(|texts| texts.push(text(4, 10))),
            sends: true,
        },
    );
}

#[test]
fn send_large() {
    kill_everywhere(
        SEND,
        &Plain {
            before: mixed(),
            act: |e, id| send(e, id, &text(1, 5000)),
            after: mixed_but(|texts| texts.push(text(1, 5000))),
            sends: true,
        },
    );
}

#[test]
fn send_the_first() {
    kill_everywhere(
        SEND,
        &Plain {
            before: vec![],
            act: |e, id| send(e, id, &text(1, 5000)),
            after: vec![text(1, 5000)],
            sends: true,
        },
    );
}

fn kill_receivers(before: Vec<Text>, place: usize, act: fn(&Engine, i32)) {
    let mut after = before.clone();
    after.remove(place);
    kill_everywhere(
        RECEIVE,
        &Plain {
            before,
            act,
            after,
            sends: false,
        },
    );
}

#[test]
fn receive_small() {
    kill_receivers(mixed(), 0, |e, id| drop(receive(e, id, 0, 0)));
}

#[test]
fn receive_large_by_type() {
    kill_receivers(mixed(), 1, |e, id| drop(receive(e, id, 2, 0)));
}

#[test]
fn receive_by_heaps() {
    let before = || mixed_but(|texts| texts.swap(0, 3));
    // The lowest type, and the first of another type than the queue's first.
    kill_receivers(before(), 2, |e, id| drop(receive(e, id, -2, 0)));
    kill_receivers(before(), 1, |e, id| {
        drop(receive(e, id, 3, usysv::abi::MSG_EXCEPT))
    });
}

#[test]
fn receive_the_only_one() {
    kill_receivers(vec![text(1, 5000)], 0, |e, id| drop(receive(e, id, 0, 0)));
}

fn flag() -> Shared<AtomicBool> {
    // SAFETY: an atomic; zero is false.
    unsafe { Shared::new() }
}

/// Receives a message of the type HANDED, waiting for it; it must be one of these.
fn wait_for(engine: &Engine, msqid: i32, called: &Shared<AtomicBool>, texts: &[Text]) {
    let mut buffer = [0; 8192];
    called.store(true, SeqCst);
    let (mtype, len) = engine
        .msgrcv(msqid, &mut buffer, HANDED, 0)
        .expect("msgrcv");
    let got = (mtype, buffer[..len].to_vec());
    assert!(texts.contains(&got), "received {mtype}, {len} bytes");
}

fn asleep(child: Child, called: &Shared<AtomicBool>) -> Child {
    while !called.load(SeqCst) {
        assert!(!child.has_ended());
        std::thread::yield_now();
    }
    child.until_asleep();
    child
}

/// What a waiting receiver gets if the sender died too early.
fn probe() -> Text {
    text(HANDED, 33)
}

#[test]
fn hand_over() {
    let world = World::new();
    let engine = &world.0;
    for len in [10, 5000] {
        for (point, happened) in HAND_OVER {
            each_recovery(|deaths| {
                let what = format!("{point} with {len} bytes, then {deaths:?}");
                let msqid = make(engine, &mixed());
                let called = flag();
                let expected =
                    [[probe()], [text(HANDED, len)]][usize::from(*happened == Yes)].clone();
                let receiver = Child::fork(|| wait_for(engine, msqid, &called, &expected));
                let receiver = asleep(receiver, &called);
                let receiver_pid = receiver.pid();
                let victim = killed_at(point, || send(engine, msqid, &text(HANDED, len)));
                // The receiver may be there first, at its next beat, and recover.
                for death in deaths {
                    let _ = victim_of_recovery(engine, msqid, death);
                }
                if *happened == No {
                    survivor(&what, || send(engine, msqid, &probe()));
                }
                assert_eq!(receiver.wait(), End::Exit(0), "{what}: the receiver");
                survivor(&what, || {
                    let (lspid, lrpid) = pids(engine, msqid);
                    assert!(lspid == victim || *happened == No, "lspid");
                    assert_eq!(lrpid, receiver_pid, "lrpid");
                    check_queue(engine, msqid, &mixed());
                });
                remove(engine, msqid);
            });
        }
    }
}

/// What broke: a receiver for whom a message was too long was told so before the send's commit. The
/// sender was killed in between: E2BIG for a message that never came. Told after the commit now.
#[test]
fn nobody_is_told_of_a_message_that_never_came() {
    let world = World::new();
    let engine = &world.0;
    let before = ["msg.send.filled", "msg.send.before_commit"];
    let handed = ["msg.send.filled", "msg.hand.before_commit"];
    for (others, points) in [(0, before), (1, handed)] {
        for point in points {
            each_recovery(|deaths| {
                let what = format!("{point}, {others} more in line, then {deaths:?}");
                let msqid = make(engine, &mixed());
                let receiver = |size: usize| {
                    let called = flag();
                    let child = Child::fork(|| {
                        called.store(true, SeqCst);
                        let got = engine.msgrcv(msqid, &mut vec![0; size], HANDED, 0);
                        assert_eq!(got, Ok((HANDED, 33)), "{what}: {size} bytes of room");
                    });
                    asleep(child, &called)
                };
                let receivers: Vec<Child> = [50, 8192]
                    .into_iter()
                    .take(1 + others)
                    .map(receiver)
                    .collect();
                killed_at(point, || send(engine, msqid, &text(HANDED, 5000)));
                for death in deaths {
                    let _ = victim_of_recovery(engine, msqid, death);
                }
                survivor(&what, || {
                    receivers.iter().for_each(|_| send(engine, msqid, &probe()))
                });
                for receiver in receivers {
                    assert_eq!(receiver.wait(), End::Exit(0), "{what}");
                }
                survivor(&what, || check_queue(engine, msqid, &mixed()));
                remove(engine, msqid);
            });
        }
    }
}

fn victim_of_recovery(engine: &Engine, msqid: i32, point: &'static str) -> End {
    victim(point, || {
        let _ = engine.msg_stat(msqid);
    })
    .wait()
}

#[test]
fn fetch() {
    let world = World::new();
    let engine = &world.0;
    for len in [10, 5000] {
        for (point, happened) in FETCH {
            each_recovery(|deaths| {
                let what = format!("{point} with {len} bytes, then {deaths:?}");
                let msqid = make(engine, &mixed());
                let called = flag();
                let receiver = victim(point, || wait_for(engine, msqid, &called, &[]));
                let receiver = asleep(receiver, &called);
                let receiver_pid = receiver.pid();
                send(engine, msqid, &text(HANDED, len));
                assert_eq!(receiver.wait(), KILLED, "{what}");
                die_recovering(engine, msqid, deaths);
                std::thread::sleep(FETCH_TIME);
                survivor(&what, || {
                    let expected = mixed_but(|texts| {
                        if *happened == No {
                            texts.push(text(HANDED, len));
                        }
                    });
                    // Whoever finds nothing to receive looks after what was handed over.
                    assert_eq!(receive(engine, msqid, 77, 0), None);
                    // A hand-over that was taken back never was.
                    let lrpid = if *happened == No { 0 } else { receiver_pid };
                    assert_eq!(pids(engine, msqid).1, lrpid, "lrpid");
                    check_queue(engine, msqid, &expected);
                });
                remove(engine, msqid);
            });
        }
    }
}

#[test]
fn a_receiver_dies_while_a_sender_waits() {
    let world = World::new();
    let engine = &world.0;
    for (point, happened) in RECEIVE {
        let msqid = make(engine, &[text(1, 8000), text(1, 8000)]);
        let called = flag();
        let sender = Child::fork(|| {
            called.store(true, SeqCst);
            let (mtype, bytes) = text(2, 4000);
            engine.msgsnd(msqid, mtype, &bytes, 0).expect("msgsnd");
        });
        let sender = asleep(sender, &called);
        killed_at(point, || drop(receive(engine, msqid, 0, 0)));
        if *happened == No {
            assert_eq!(receive(engine, msqid, 0, 0), Some(text(1, 8000)));
        }
        assert_eq!(sender.wait(), End::Exit(0), "{point}: the sender");
        survivor(point, || {
            check_queue(engine, msqid, &[text(1, 8000), text(2, 4000)])
        });
        remove(engine, msqid);
    }
}

#[test]
fn set() {
    let world = World::new();
    let engine = &world.0;
    for (point, happened) in SET {
        each_recovery(|deaths| {
            let msqid = make(engine, &mixed());
            let before = engine.msg_stat(msqid).expect("msg_stat");
            let mut wanted = before;
            wanted.msg_qbytes = 15000;
            wanted.msg_perm.mode = 0o640;
            killed_at(point, || engine.msg_set(msqid, &wanted).expect("msg_set"));
            die_recovering(engine, msqid, deaths);
            survivor(&format!("{point}, then {deaths:?}"), || {
                let after = call(|| engine.msg_stat(msqid)).expect("msg_stat");
                let expected = if *happened == Yes { wanted } else { before };
                assert_eq!(after.msg_qbytes, expected.msg_qbytes);
                assert_eq!(after.msg_perm.mode, expected.msg_perm.mode);
                check_queue(engine, msqid, &mixed());
            });
            remove(engine, msqid);
        });
    }
}

/// A queue's memory, once it has given back what it does not need: some is kept while the clock shows
/// the second in which it grew.
fn settled_memory(world: &World, msqid: i32) -> u64 {
    std::thread::sleep(Duration::from_millis(1100));
    world.0.msg_stat(msqid).expect("msg_stat");
    world.memory(msqid)
}

/// Kills, repairs and uses a queue 200 times: its file's memory does not grow.
fn assert_no_leak(points: Points, kill: fn(&Engine, i32, &'static str)) {
    const CYCLES: usize = 200;
    const EARLY: usize = 40;
    let world = World::new();
    let engine = &world.0;
    for (point, _) in points {
        let msqid = make(engine, &[]);
        let mut early = 0;
        for cycle in 0..CYCLES {
            kill(engine, msqid, point);
            if cycle % 10 == 0 {
                use_queue(engine, msqid);
            }
            while receive(engine, msqid, 0, 0).is_some() {}
            if cycle == EARLY {
                early = settled_memory(&world, msqid);
            }
        }
        use_queue(engine, msqid);
        let late = settled_memory(&world, msqid);
        assert!(
            late <= early + 8192,
            "{point}: {early} bytes grew to {late}"
        );
        check_queue(engine, msqid, &[]);
        remove(engine, msqid);
    }
}

#[test]
fn killed_senders_leak_nothing() {
    assert_no_leak(SEND, |engine, msqid, point| {
        killed_at(point, || send(engine, msqid, &text(5, 5000)));
    });
}

#[test]
fn killed_receivers_leak_nothing() {
    assert_no_leak(RECEIVE, |engine, msqid, point| {
        send(engine, msqid, &text(5, 5000));
        killed_at(point, || drop(receive(engine, msqid, 0, 0)));
    });
}

#[test]
fn killed_fetchers_leak_nothing() {
    assert_no_leak(FETCH, |engine, msqid, point| {
        let called = flag();
        let receiver = victim(point, || wait_for(engine, msqid, &called, &[]));
        let receiver = asleep(receiver, &called);
        send(engine, msqid, &text(HANDED, 5000));
        assert_eq!(receiver.wait(), KILLED);
        std::thread::sleep(FETCH_TIME);
    });
}

/// What broke: the news of a message that was taken back were stored before `lrpid` was restored, so
/// that a kill in between left the dead receiver's pid.
#[test]
fn a_message_is_taken_back_from_a_dead_receiver() {
    let world = World::new();
    let engine = &world.0;
    for (point, _) in TAKE_BACK {
        each_recovery(|deaths| {
            let what = format!("{point}, then {deaths:?}");
            let msqid = make(engine, &mixed());
            let called = flag();
            let receiver = victim("msg.fetch.before_commit", || {
                wait_for(engine, msqid, &called, &[])
            });
            let receiver = asleep(receiver, &called);
            send(engine, msqid, &text(HANDED, 10));
            assert_eq!(receiver.wait(), KILLED, "{what}");
            killed_at(point, || drop(receive(engine, msqid, 77, 0)));
            die_recovering(engine, msqid, deaths);
            std::thread::sleep(FETCH_TIME);
            survivor(&what, || {
                assert_eq!(receive(engine, msqid, 77, 0), None);
                assert_eq!(pids(engine, msqid).1, 0, "lrpid");
                let expected = mixed_but(|texts| texts.push(text(HANDED, 10)));
                check_queue(engine, msqid, &expected);
            });
            remove(engine, msqid);
        });
    }
}

#[test]
fn killed_sleepers_leak_nothing() {
    assert_no_leak(&[("a sleeping receiver", No)], |engine, msqid, _| {
        let called = flag();
        let receiver = Child::fork(|| wait_for(engine, msqid, &called, &[]));
        drop(asleep(receiver, &called));
    });
}
