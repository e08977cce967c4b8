//! Message queues: sending, handing over, receiving, waiting, growing and shrinking.

use super::Scenario;
use crate::rig::*;
use std::time::Duration;
use usysv::abi::{IPC_CREAT, IPC_NOWAIT, IPC_PRIVATE, MSG_EXCEPT};
use usysv::{Engine, Errno, Messages};

/// The type that waiting receivers ask for, and nobody else sends.
const HANDED: i64 = 9;
/// The type of whoever comes next.
const LOOK: i64 = 50;
/// The type of those who work on the queue meanwhile.
const COMPANY: i64 = 60;

fn queue(engine: &Engine, texts: &[Text]) -> i32 {
    let msqid = engine.msgget(IPC_PRIVATE, IPC_CREAT | 0o600);
    let msqid = msqid.expect("msgget");
    texts.iter().for_each(|text| send(engine, msqid, text));
    msqid
}

fn mixed() -> Vec<Text> {
    [(1, 10), (2, 5000), (1, 100), (3, 0), (2, 72)]
        .map(|(mtype, len)| text(mtype, len))
        .to_vec()
}

fn types(range: std::ops::RangeInclusive<i64>) -> Vec<Text> {
    range.map(|mtype| text(1000 + mtype, 0)).collect()
}

fn but(mut texts: Vec<Text>, change: impl FnOnce(&mut Vec<Text>)) -> Vec<Text> {
    change(&mut texts);
    texts
}

/// The queue holds what it does after so many steps, and works.
fn step(world: &World, msqid: i32, states: &[Vec<Text>]) -> usize {
    // Who came next may have been killed over its own.
    let left = receive(&world.0, msqid, LOOK, 0);
    assert!(left.is_none() || left == Some(text(LOOK, 100)));
    let found = content(&world.0, msqid);
    let step = states.iter().position(|state| *state == found);
    let outline: Vec<_> = found.iter().map(|(t, bytes)| (t, bytes.len())).collect();
    let step = step.unwrap_or_else(|| panic!("the queue holds {outline:?}"));
    check_queue(&world.0, msqid, &found);
    step
}

/// As [`step`], for a queue that is too long to be copied message by message.
fn drained(world: &World, msqid: i32, states: &[Vec<Text>]) -> usize {
    let left = receive(&world.0, msqid, LOOK, 0);
    assert!(left.is_none() || left == Some(text(LOOK, 100)));
    use_queue(&world.0, msqid);
    let count = call(|| world.0.msg_stat(msqid)).expect("msg_stat").msg_qnum;
    let found: Vec<Text> = std::iter::from_fn(|| receive(&world.0, msqid, 0, 0)).collect();
    assert_eq!(found.len() as u64, count);
    use_queue(&world.0, msqid);
    let step = states.iter().position(|state| *state == found);
    step.unwrap_or_else(|| panic!("the queue held {count} messages"))
}

/// Looks, finds nothing to receive, sends and receives.
fn look(engine: &Engine, msqid: i32) {
    call(|| engine.msg_stat(msqid)).expect("msg_stat");
    assert_eq!(receive(engine, msqid, 77, 0), None);
    send(engine, msqid, &text(LOOK, 100));
    assert_eq!(receive(engine, msqid, LOOK, 0), Some(text(LOOK, 100)));
}

fn work(engine: &Engine, msqid: i32) {
    let bytes = text(COMPANY, 90).1;
    match call(|| engine.msgsnd(msqid, COMPANY, &bytes, IPC_NOWAIT)) {
        Ok(()) => assert_eq!(
            receive(engine, msqid, COMPANY, 0),
            Some((COMPANY, bytes)),
            "the company's own message"
        ),
        Err(e) => assert_eq!(e, Errno::EAGAIN),
    }
}

/// Waits for a message, and takes it or is told that it is too long.
fn receiver(engine: &Engine, msqid: i32, size: usize) -> Child {
    let receiver = Child::fork(|| {
        let mut buffer = [0; 8192];
        match engine.msgrcv(msqid, &mut buffer[..size], HANDED, 0) {
            Ok((mtype, len)) => assert_eq!(text(HANDED, len), (mtype, buffer[..len].to_vec())),
            Err(e) => assert!(
                e == Errno::E2BIG && size < 100 || e == Errno::EIDRM,
                "{e:?}"
            ),
        }
    });
    receiver.until_asleep();
    receiver
}

/// A message in the hands of a receiver that was killed before it woke, some time ago.
fn handed_to_the_dead(engine: &Engine) -> i32 {
    let msqid = queue(engine, &mixed());
    let dead = receiver(engine, msqid, 8192);
    dead.signal(libc::SIGSTOP);
    dead.until_state("T");
    send(engine, msqid, &text(HANDED, 10));
    dead.kill();
    assert_eq!(dead.wait(), KILLED);
    looked_after();
    msqid
}

/// Long enough for a dead receiver's message to be taken from it.
fn looked_after() {
    std::thread::sleep(Duration::from_millis(25));
}

/// `msgrcv` with a handler's start in the midst of it.
fn interrupted(engine: &Engine, msqid: i32) {
    extern "C" fn handler(_: i32) {}
    // SAFETY: a handler that does nothing, and a timer of this process's own.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        libc::sigaction(libc::SIGALRM, &raw const action, std::ptr::null_mut());
        let mut timer: libc::itimerval = std::mem::zeroed();
        timer.it_value.tv_usec = 5000;
        timer.it_interval.tv_usec = 100_000;
        libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut());
    }
    let result = engine.msgrcv(msqid, &mut [0; 100], HANDED, 0);
    assert_eq!(result, Err(Errno::EINTR));
}

const PLAIN: Scenario = Scenario {
    name: "",
    make: |engine| (queue(engine, &mixed()), vec![]),
    act: |_, _| (),
    meanwhile: None,
    next: look,
    seen: |_, _| 0,
    release: |_, _| (),
    check: |_, _| 0,
    company: Some(work),
    exact: true,
    slow: false,
};

pub fn scenarios() -> Vec<Scenario> {
    [sending(), receiving(), waiting(), growing()].concat()
}

fn sending() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "send, into a slot that was used before",
            make: |engine| {
                let msqid = queue(engine, &mixed());
                send(engine, msqid, &text(7, 10));
                assert!(receive(engine, msqid, 7, 0).is_some());
                (msqid, vec![])
            },
            act: |engine, msqid| send(engine, msqid, &text(4, 10)),
            check: |world, msqid| {
                let after = but(mixed(), |texts| texts.push(text(4, 10)));
                step(world, msqid, &[mixed(), after])
            },
            ..PLAIN
        },
        Scenario {
            name: "send the first, a long one",
            make: |engine| (queue(engine, &[]), vec![]),
            act: |engine, msqid| send(engine, msqid, &text(1, 5000)),
            check: |world, msqid| step(world, msqid, &[vec![], vec![text(1, 5000)]]),
            ..PLAIN
        },
        Scenario {
            name: "send a second type",
            make: |engine| (queue(engine, &[text(1, 10), text(1, 20)]), vec![]),
            act: |engine, msqid| send(engine, msqid, &text(2, 10)),
            check: |world, msqid| {
                let before = vec![text(1, 10), text(1, 20)];
                let after = but(before.clone(), |texts| texts.push(text(2, 10)));
                step(world, msqid, &[before, after])
            },
            ..PLAIN
        },
        Scenario {
            name: "hand over",
            make: |engine| {
                let msqid = queue(engine, &mixed());
                (msqid, vec![receiver(engine, msqid, 8192)])
            },
            act: |engine, msqid| send(engine, msqid, &text(HANDED, 5000)),
            // Who waits gets the victim's message, or else this one.
            release: |engine, msqid| send(engine, msqid, &text(HANDED, 33)),
            check: |world, msqid| {
                let after = but(mixed(), |texts| texts.push(text(HANDED, 33)));
                step(world, msqid, &[mixed(), after])
            },
            exact: false,
            ..PLAIN
        },
        Scenario {
            name: "hand over, to the second: it is too long for the first",
            make: |engine| {
                let msqid = queue(engine, &mixed());
                let receivers = [50, 8192].map(|size| receiver(engine, msqid, size));
                (msqid, receivers.into())
            },
            act: |engine, msqid| send(engine, msqid, &text(HANDED, 5000)),
            release: |engine, msqid| {
                for _ in 0..2 {
                    send(engine, msqid, &text(HANDED, 33));
                }
            },
            // Nothing was sent, and the probes are gone; or one of the two was told, and the other
            // has the victim's message.
            check: |world, msqid| {
                let probes = vec![text(HANDED, 33); 2];
                let after = but(mixed(), |texts| texts.extend(probes));
                step(world, msqid, &[mixed(), after])
            },
            exact: false,
            ..PLAIN
        },
        Scenario {
            name: "send what is too long for who waits",
            make: |engine| {
                let msqid = queue(engine, &mixed());
                // With a clock, or the death wakes it, and it repairs before who comes next.
                let mut ds = engine.msg_stat(msqid).expect("msg_stat");
                ds.msg_perm.mode |= 0o666;
                engine.msg_set(msqid, &ds).expect("msg_set");
                (msqid, vec![receiver(engine, msqid, 50)])
            },
            act: |engine, msqid| send(engine, msqid, &text(HANDED, 5000)),
            release: |engine, msqid| send(engine, msqid, &text(HANDED, 33)),
            check: |world, msqid| {
                let sent = [5000, 33].map(|len| text(HANDED, len));
                let after = but(mixed(), |texts| texts.extend(sent));
                step(world, msqid, &[mixed(), after])
            },
            exact: false,
            ..PLAIN
        },
        Scenario {
            name: "send and receive long ones, in blocks that lie here and there",
            make: |engine| {
                let msqid = queue(engine, &scattered());
                for mtype in [12, 17, 11, 15, 13, 18, 14, 16] {
                    assert!(receive(engine, msqid, mtype, 0).is_some());
                }
                (msqid, vec![])
            },
            // The second one finds the blocks of what was received between, and needs more.
            act: |engine, msqid| {
                send(engine, msqid, &text(4, 5000));
                assert_eq!(receive(engine, msqid, 1, 0), Some(text(1, 300)));
                send(engine, msqid, &text(5, 3000));
            },
            check: |world, msqid| {
                let states = [&[][..], &[(4, 5000)], &[(4, 5000)], &[(4, 5000), (5, 3000)]];
                let mut states = states.map(|sent| {
                    let kept = [(1, 300), (2, 3000)].iter().chain(sent);
                    kept.map(|(mtype, len)| text(*mtype, *len))
                        .collect::<Vec<_>>()
                });
                states[2..]
                    .iter_mut()
                    .for_each(|state| drop(state.remove(0)));
                step(world, msqid, &states)
            },
            ..PLAIN
        },
        Scenario {
            name: "IPC_SET",
            act: |engine, msqid| {
                let mut ds = engine.msg_stat(msqid).expect("msg_stat");
                ds.msg_qbytes = 15000;
                ds.msg_perm.mode = 0o640;
                engine.msg_set(msqid, &ds).expect("msg_set");
            },
            check: |world, msqid| {
                let ds = call(|| world.0.msg_stat(msqid)).expect("msg_stat");
                step(world, msqid, &[mixed()]);
                match (ds.msg_qbytes, ds.msg_perm.mode) {
                    (16384, 0o600) => 0,
                    (15000, 0o640) => 1,
                    odd => panic!("half set: {odd:?}"),
                }
            },
            ..PLAIN
        },
    ]
}

/// Two that stay, and eight whose blocks are free when they are received.
fn scattered() -> Vec<Text> {
    let go = (11..=18).map(|mtype| text(mtype, 700));
    [text(1, 300), text(2, 3000)]
        .into_iter()
        .chain(go)
        .collect()
}

fn receiving() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "receive a long one by its type",
            act: |engine, msqid| drop(receive(engine, msqid, 2, 0)),
            check: |world, msqid| {
                let after = but(mixed(), |texts| drop(texts.remove(1)));
                step(world, msqid, &[mixed(), after])
            },
            ..PLAIN
        },
        Scenario {
            name: "receive by heaps",
            make: |engine| (queue(engine, &descending()), vec![]),
            act: |engine, msqid| {
                assert_eq!(receive(engine, msqid, -2, 0), Some(text(1, 10)));
                assert_eq!(receive(engine, msqid, 12, MSG_EXCEPT), Some(text(11, 10)));
                assert_eq!(receive(engine, msqid, -3, 0), Some(text(2, 10)));
            },
            check: |world, msqid| {
                let without = |gone: &[i64]| {
                    but(descending(), |texts| {
                        texts.retain(|(mtype, _)| !gone.contains(mtype))
                    })
                };
                let states = [&[][..], &[1], &[1, 11], &[1, 11, 2]].map(without);
                step(world, msqid, &states)
            },
            company: None,
            ..PLAIN
        },
        Scenario {
            name: "receive the last of many",
            make: |engine| {
                let msqid = queue(engine, &vec![text(1, 0); 600]);
                for _ in 0..599 {
                    assert!(receive(engine, msqid, 1, 0).is_some());
                }
                (msqid, vec![])
            },
            act: |engine, msqid| drop(receive(engine, msqid, 1, 0)),
            check: |world, msqid| step(world, msqid, &[vec![text(1, 0)], vec![]]),
            exact: false,
            slow: true,
            ..PLAIN
        },
        Scenario {
            name: "take a message from a receiver that was killed",
            make: |engine| (handed_to_the_dead(engine), vec![]),
            act: |engine, msqid| assert_eq!(receive(engine, msqid, 77, 0), None),
            check: |world, msqid| {
                looked_after();
                assert_eq!(receive(&world.0, msqid, 77, 0), None);
                let whole = but(mixed(), |texts| texts.push(text(HANDED, 10)));
                step(world, msqid, &[whole])
            },
            company: None,
            slow: true,
            ..PLAIN
        },
    ]
}

fn descending() -> Vec<Text> {
    (1..=12).rev().map(|mtype| text(mtype, 10)).collect()
}

fn waiting() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "wait for a message",
            act: |engine, msqid| {
                let mut buffer = [0; 8192];
                let got = engine.msgrcv(msqid, &mut buffer, HANDED, 0);
                assert_eq!(got, Ok((HANDED, 5000)));
            },
            meanwhile: Some(|engine, msqid| {
                survivor("the sender", || send(engine, msqid, &text(HANDED, 5000)));
                vec![]
            }),
            check: |world, msqid| {
                looked_after();
                assert_eq!(receive(&world.0, msqid, 77, 0), None);
                let before = but(mixed(), |texts| texts.push(text(HANDED, 5000)));
                step(world, msqid, &[before, mixed()])
            },
            exact: false,
            slow: true,
            ..PLAIN
        },
        Scenario {
            name: "wait for room",
            make: |engine| (queue(engine, &[text(1, 8000), text(1, 8000)]), vec![]),
            act: |engine, msqid| {
                let (mtype, bytes) = text(2, 4000);
                engine.msgsnd(msqid, mtype, &bytes, 0).expect("msgsnd");
            },
            meanwhile: Some(|engine, msqid| {
                survivor("the receiver", || {
                    assert_eq!(receive(engine, msqid, 1, 0), Some(text(1, 8000)));
                });
                vec![]
            }),
            check: |world, msqid| {
                let after = vec![text(1, 8000), text(2, 4000)];
                step(world, msqid, &[vec![text(1, 8000)], after])
            },
            exact: false,
            ..PLAIN
        },
        Scenario {
            name: "a handler ends the wait",
            act: interrupted,
            check: |world, msqid| step(world, msqid, &[mixed()]),
            exact: false,
            ..PLAIN
        },
        Scenario {
            name: "remove under those who wait",
            make: |engine| {
                let msqid = queue(engine, &mixed());
                let receivers = (0..6).map(|_| receiver(engine, msqid, 8192));
                (msqid, receivers.collect())
            },
            act: |engine, msqid| engine.msg_remove(msqid).expect("msg_remove"),
            next: |engine, msqid| {
                let _ = call(|| engine.msg_stat(msqid));
            },
            seen: |world, msqid| usize::from(call(|| world.0.msg_stat(msqid)).is_err()),
            release: |engine, msqid| {
                let _ = call(|| engine.msg_remove(msqid));
            },
            check: |world, msqid| {
                assert_eq!(call(|| world.0.msg_stat(msqid)).err(), Some(Errno::EINVAL));
                // The first look sweeps.
                call(|| world.0.msg_usage()).expect("msg_usage");
                let (usage, _) = call(|| world.0.msg_usage()).expect("msg_usage");
                assert_eq!(usage.msgpool, 0, "queues");
                0
            },
            company: None,
            exact: false,
            slow: true,
            ..PLAIN
        },
    ]
}

fn growing() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "send one more than the file has room for",
            make: |engine| (queue(engine, &vec![text(1, 0); 512]), vec![]),
            act: |engine, msqid| send(engine, msqid, &text(1, 0)),
            check: |world, msqid| {
                let of = |count| vec![text(1, 0); count];
                drained(world, msqid, &[of(512), of(513)])
            },
            company: None,
            slow: true,
            ..PLAIN
        },
        Scenario {
            name: "send more types than the first buckets are for",
            make: |engine| (queue(engine, &types(1..=128)), vec![]),
            act: |engine, msqid| send(engine, msqid, &text(1129, 0)),
            check: |world, msqid| drained(world, msqid, &[types(1..=128), types(1..=129)]),
            company: None,
            slow: true,
            ..PLAIN
        },
        Scenario {
            name: "send more types than the first heaps have room for",
            make: |engine| {
                let msqid = queue(engine, &types(1..=512));
                assert_eq!(receive(engine, msqid, -1001, 0), Some(text(1001, 0)));
                send(engine, msqid, &text(1001, 0));
                (msqid, vec![])
            },
            act: |engine, msqid| send(engine, msqid, &text(1513, 0)),
            check: |world, msqid| {
                let before = [types(2..=512), types(1..=1)].concat();
                let after = but(before.clone(), |texts| texts.push(text(1513, 0)));
                drained(world, msqid, &[before, after])
            },
            company: None,
            slow: true,
            ..PLAIN
        },
    ]
}
