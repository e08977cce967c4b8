//! Many at once: sleepers by the thousand, and hammering that must lose nothing.

use crate::board::poll;
use crate::players::Gate;
use crate::scenarios::{Scenario, table};
use crate::sem::{Op, Set, op, zero};
use crate::semcall;
use crate::stage::Stage;
use libc::{EIDRM, GETNCNT, GETZCNT};
use std::time::Duration;

pub(super) const ALL: &[Scenario] = table![
    thousand_sleepers_are_served_by_one_up,
    thousand_sleepers_are_served_one_by_one,
    thousand_sleepers_on_a_semaphore_each,
    thousand_sleepers_wait_for_zero,
    thousand_sleepers_hear_of_removal,
    hundred_processes_sleep_and_go_on,
    many_children_up_and_down_lose_nothing,
    many_children_with_undo_leave_nothing,
    many_threads_share_a_mutex,
    philosophers_take_both_forks_or_none,
    killed_hammerers_leave_the_set_sound,
    two_children_play_ping_pong,
];

const CROWD: usize = 1000;

/// Threads that each make one semop; all of them sleep in it now.
fn crowd(
    set: Set,
    ops: impl Fn(u16) -> Vec<Op>,
    sleeping: impl Fn() -> i32,
) -> Vec<std::thread::JoinHandle<Result<(), crate::errno::Errno>>> {
    let small = || std::thread::Builder::new().stack_size(64 * 1024);
    let threads: Vec<_> = (0..CROWD as u16)
        .map(|number| {
            let ops = ops(number);
            let play = move || semcall::semop(set.0, &ops);
            small().spawn(play).expect("a thread")
        })
        .collect();
    poll("the crowd sleeps", || {
        (sleeping() == CROWD as i32).then_some(())
    });
    threads
}

fn count(set: Set, num: i32, cmd: i32) -> i32 {
    semcall::semctl(set.0, num, cmd, 0).expect("a count")
}

type Sleepers = Vec<std::thread::JoinHandle<Result<(), crate::errno::Errno>>>;

fn all_end_with(threads: Sleepers, expected: Result<(), crate::errno::Errno>) {
    for thread in threads {
        assert_eq!(thread.join().expect("a thread that ends well"), expected);
    }
}

fn thousand_sleepers_are_served_by_one_up(t: &Stage) {
    let set = t.set_of(&[0]);
    let threads = crowd(set, |_| vec![op(0, -1)], || count(set, 0, GETNCNT));
    t.semop(set, &[op(0, CROWD as i16 + 7)]).must();
    t.awaited(set, 0, 0, 0);
    t.holds(set, &[7]);
    all_end_with(threads, Ok(()));
}

fn thousand_sleepers_are_served_one_by_one(t: &Stage) {
    let set = t.set_of(&[0]);
    let threads = crowd(set, |_| vec![op(0, -1)], || count(set, 0, GETNCNT));
    for left in (0..CROWD as i32).rev() {
        assert_eq!(semcall::semop(set.0, &[op(0, 1)]), Ok(()));
        assert_eq!(count(set, 0, GETNCNT), left);
    }
    t.holds(set, &[0]);
    all_end_with(threads, Ok(()));
}

fn thousand_sleepers_on_a_semaphore_each(t: &Stage) {
    let set = t.set_of(&[0; CROWD]);
    let counted = || (0..CROWD as i32).map(|num| count(set, num, GETNCNT)).sum();
    let threads = crowd(set, |num| vec![op(num, -1)], counted);
    for num in (0..CROWD as u16).rev() {
        assert_eq!(semcall::semop(set.0, &[op(num, 1)]), Ok(()));
    }
    assert_eq!(counted(), 0);
    t.holds(set, &[0; CROWD]);
    all_end_with(threads, Ok(()));
}

fn thousand_sleepers_wait_for_zero(t: &Stage) {
    let set = t.set_of(&[2]);
    let threads = crowd(set, |_| vec![zero(0)], || count(set, 0, GETZCNT));
    t.semop(set, &[op(0, -1)]).must();
    t.awaited(set, 0, 0, CROWD as i32);
    t.semop(set, &[op(0, -1)]).must();
    t.awaited(set, 0, 0, 0);
    all_end_with(threads, Ok(()));
}

fn thousand_sleepers_hear_of_removal(t: &Stage) {
    let set = t.set_of(&[0, 1]);
    let ops = |number| {
        if number % 2 == 0 {
            vec![op(0, -1)]
        } else {
            vec![zero(1), op(0, -2)]
        }
    };
    let threads = crowd(set, ops, || count(set, 0, GETNCNT) + count(set, 1, GETZCNT));
    t.semrm(set).must();
    all_end_with(threads, Err(crate::errno::Errno(EIDRM)));
}

fn hundred_processes_sleep_and_go_on(t: &Stage) {
    let set = t.set_of(&[0, 0]);
    let children: Vec<_> = (0..100)
        .map(|_| {
            t.spawn("sleeper", |t| {
                t.semop(set, &[op(0, -1).undo(), op(1, 1)]).must()
            })
        })
        .collect();
    poll("all sleep", || {
        (count(set, 0, GETNCNT) == 100).then_some(())
    });
    t.semop(set, &[op(0, 100)]).must();
    children.into_iter().for_each(|child| t.join(child));
    t.holds(set, &[100, 100]);
}

const PLAYERS: usize = 6;
const ROUNDS: usize = 400;

/// Plays the same in several children at once.
fn in_children(t: &Stage, play: impl Fn(usize)) {
    let gate = Gate::new();
    let children: Vec<_> = (0..PLAYERS)
        .map(|number| {
            t.spawn("player", |_| {
                gate.pass();
                play(number);
            })
        })
        .collect();
    gate.open();
    children.into_iter().for_each(|child| t.join(child));
}

fn done(set: Set, ops: &[Op]) {
    assert_eq!(semcall::semop(set.0, ops), Ok(()));
}

fn many_children_up_and_down_lose_nothing(t: &Stage) {
    let set = t.set_of(&[2, 0]);
    in_children(t, |_| {
        for _ in 0..ROUNDS {
            done(set, &[op(0, -1)]);
            done(set, &[op(1, 1), op(0, 1)]);
        }
    });
    t.holds(set, &[2, (PLAYERS * ROUNDS) as u16]);
}

fn many_children_with_undo_leave_nothing(t: &Stage) {
    let set = t.set_of(&[3, 0]);
    in_children(t, |_| {
        for _ in 0..ROUNDS {
            done(set, &[op(0, -1).undo(), op(1, 1).undo()]);
            done(set, &[op(0, 1).undo()]);
        }
    });
    t.holds(set, &[3, 0]);
}

fn many_threads_share_a_mutex(t: &Stage) {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let set = t.set_of(&[1]);
    let threads: Vec<_> = (0..PLAYERS)
        .map(|_| {
            std::thread::spawn(move || {
                for _ in 0..ROUNDS {
                    done(set, &[op(0, -1).undo()]);
                    // Not one step: only the mutex keeps others from between.
                    COUNTER.store(COUNTER.load(Relaxed) + 1, Relaxed);
                    done(set, &[op(0, 1).undo()]);
                }
            })
        })
        .collect();
    threads
        .into_iter()
        .for_each(|thread| thread.join().expect("a thread to end well"));
    assert_eq!(COUNTER.load(Relaxed), (PLAYERS * ROUNDS) as u64);
    t.holds(set, &[1]);
}

fn philosophers_take_both_forks_or_none(t: &Stage) {
    let set = t.set_of(&[1; PLAYERS]);
    in_children(t, |number| {
        let (left, right) = (number as u16, ((number + 1) % PLAYERS) as u16);
        for _ in 0..ROUNDS {
            done(set, &[op(left, -1), op(right, -1)]);
            done(set, &[op(left, 1), op(right, 1)]);
        }
    });
    t.holds(set, &[1; PLAYERS]);
}

fn killed_hammerers_leave_the_set_sound(t: &Stage) {
    let set = t.set_of(&[4, 0]);
    for round in 0..20 {
        let hammer = t.spawn("hammer", |t| {
            t.tell(0);
            loop {
                done(set, &[op(0, -2).undo(), op(1, 2).undo()]);
                done(set, &[op(0, 2).undo(), op(1, -2).undo()]);
            }
        });
        t.hear(&hammer, 1);
        std::thread::sleep(Duration::from_micros(round * 137));
        t.kill(hammer);
        assert_eq!(semcall::getall(set.0, 0, 2), Ok(vec![4, 0]));
    }
    t.awaited(set, 0, 0, 0);
    t.semop(set, &[op(0, -4)]).must();
}

fn two_children_play_ping_pong(t: &Stage) {
    let set = t.set_of(&[1, 0]);
    let children = [("ping", 0, 1), ("pong", 1, 0)].map(|(name, take, give)| {
        t.spawn(name, |_| {
            for _ in 0..1000 {
                done(set, &[op(take, -1)]);
                done(set, &[op(give, 1)]);
            }
        })
    });
    children.into_iter().for_each(|child| t.join(child));
    t.holds(set, &[1, 0]);
}
