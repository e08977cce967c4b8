//! Models of a queue's sleepers: `crates/usysv/src/msg/{send,receive,wait,recover}.rs`.
//!
//! Loom sees the lock and what sleepers sleep on; the rest of a queue is under the lock. A message
//! is its type, without text.

use crate::abi::IPC_NOWAIT;
use crate::chair::InLine;
use crate::errno::{Errno, Result};
use crate::lock::DIED;
use crate::msg::{self, Room, Source, Want, places};
use crate::object::Kind;
use crate::scene::{ID, LOCK, Scene, chairs, long, word};
use crate::world::{Event, World, at_each_step, explore, unless_left, world};
use crate::{finds, with_clocks};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::Ordering;

const BEAT_NS: u64 = 500_000_000;

/// A queue, and what became of messages.
struct Queue {
    scene: Rc<Scene>,
    /// By thread: what its calls gave.
    got: RefCell<Vec<(usize, i64)>>,
}

impl Queue {
    fn new(w: &World, room: u64) -> Rc<Queue> {
        // The first slots' `news` and `asleep`.
        let watched = [0, 1, 2, 3].map(|slot| 4096 + slot * 128 + 56);
        let watched = watched.into_iter().chain(chairs(places::CHAIRS as usize));
        let watched: Vec<usize> = watched.flat_map(|at| [at, at + 4]).collect();
        let fill = |map: &_| msg::fill(map, room);
        let scene = Scene::new(w, Kind::Msg, msg::FILE_LEN, fill, &watched);
        scene.watch_occupants(places::CHAIRS as usize);
        Rc::new(Queue {
            scene,
            got: RefCell::default(),
        })
    }

    fn send(&self, mtype: i64, flags: i32) -> Result<()> {
        let source = Source {
            mtype,
            text: b"".as_ptr(),
            len: 0,
        };
        // SAFETY: no bytes can be read from anywhere.
        unsafe { msg::send(&self.scene.ns, &self.scene.pin(), ID, source, flags) }
    }

    fn receive(&self, flags: i32) -> Result<i64> {
        let want = Want::new(0, 0, flags, 0);
        let mut sink = Room {
            mtype: 0,
            at: std::ptr::NonNull::dangling().as_ptr(),
        };
        // SAFETY: no bytes are written.
        unsafe { msg::receive(&self.scene.ns, &self.scene.pin(), ID, want, &mut sink) }?;
        let me = crate::process::identity()?.pid as usize - 100;
        self.got.borrow_mut().push((me, sink.mtype));
        Ok(sink.mtype)
    }

    fn remove(&self) {
        let pin = self.scene.pin();
        msg::lock(&self.scene.ns, &pin, ID)
            .expect("the queue")
            .remove();
    }

    /// Who waits, as far as the queue knows.
    fn in_line(&self) -> u32 {
        let count = |at| word(&self.scene.map, at as usize).newest() ^ InLine::NONE;
        count(places::RECEIVERS) + count(places::SENDERS)
    }

    /// What is left, and that the queue still works.
    fn drain(&self) {
        // So long a message may lie in a dead one's hands.
        let world = world();
        world.now_ns.set(world.now_ns.get() + 21_000_000);
        while self.receive(IPC_NOWAIT).is_ok() {}
        self.send(99, IPC_NOWAIT).expect("room");
        assert_eq!(self.receive(IPC_NOWAIT), Ok(99), "sent and not seen");
        self.got.borrow_mut().pop();
    }

    fn all(&self) -> Vec<i64> {
        let mut all: Vec<i64> = self.got.borrow().iter().map(|(_, mtype)| *mtype).collect();
        all.sort_unstable();
        all
    }
}

/// Senders and receivers, nobody dies: no time passes, and each message comes once.
fn orders(receivers: usize, senders: usize, each: i64, room: u64, preemptions: usize) -> usize {
    explore(preemptions, move |w| {
        let q = Queue::new(w, room);
        let all = senders as i64 * each;
        for _ in 0..receivers {
            let (q, count) = (q.clone(), all / receivers as i64);
            w.spawn(None, move || {
                let mut last = 0;
                for _ in 0..count {
                    let mtype = q.receive(0).expect("a message");
                    assert!(senders > 1 || last < mtype, "out of order");
                    last = mtype;
                }
            });
        }
        for sender in 0..senders as i64 {
            let q = q.clone();
            w.spawn(None, move || {
                for n in 0..each {
                    q.send(sender * each + n + 1, 0).expect("a queue");
                }
            });
        }
        w.join();
        q.drain();
        assert_eq!(q.all(), (1..=all).collect::<Vec<i64>>(), "lost or doubled");
    })
}

/// A word of the header page that the engine has no use for.
const SENT: usize = 4000;

/// Lets loom see what a poll relies on without the lock: its mark, and the header's `qnum`. (All that it
/// reads would be too much.)
fn watch_heads(q: &Queue) {
    const MARK: usize = LOCK + 40;
    const QNUM: usize = 256;
    let map = &q.scene.map;
    word(map, SENT).watch();
    for at in [MARK, QNUM] {
        long(map, at).watch();
    }
    q.send(1, IPC_NOWAIT).expect("room");
    assert_eq!(long(map, QNUM).newest(), 1, "where is it now?");
    q.drain();
    q.got.borrow_mut().clear();
}

/// One polls while another sends: whose send has returned is seen.
fn polls(messages: i64, looks: usize, preemptions: usize) -> usize {
    explore(preemptions, move |w| {
        let q = Queue::new(w, 10);
        watch_heads(&q);
        let sends = q.clone();
        w.spawn(None, move || {
            for n in 1..=messages {
                sends.send(n, 0).expect("a queue");
                word(&sends.scene.map, SENT).store(n as u32, Ordering::Release);
            }
        });
        let polls = q.clone();
        w.spawn(None, move || {
            let mut last = 0;
            for _ in 0..looks {
                let sent = word(&polls.scene.map, SENT).load(Ordering::Acquire);
                match polls.receive(IPC_NOWAIT) {
                    Ok(mtype) => {
                        assert_eq!(mtype, last + 1, "out of order");
                        last = mtype;
                    }
                    Err(e) => {
                        assert_eq!(e, Errno::ENOMSG);
                        assert!(i64::from(sent) <= last, "sent and not seen");
                    }
                }
            }
        });
        w.join();
        q.drain();
        assert_eq!(
            q.all(),
            (1..=messages).collect::<Vec<i64>>(),
            "lost or doubled"
        );
    })
}

/// A sender dies at some step: who polled before and after sees what it sent.
fn polls_after_a_death(preemptions: usize) -> (usize, usize) {
    at_each_step(Event::Death, false, preemptions, |w, fate| {
        let q = Queue::new(w, 10);
        watch_heads(&q);
        assert_eq!(q.receive(IPC_NOWAIT), Err(Errno::ENOMSG));
        let dies = q.clone();
        let victim = w.spawn(Some(fate), move || dies.send(1, 0));
        w.wait_for(victim);
        let received = q.receive(IPC_NOWAIT);
        let victim = w.thread(victim);
        let sent = !victim.died() || victim.passed("msg.send.after_commit");
        let expected = if sent { Ok(1) } else { Err(Errno::ENOMSG) };
        assert_eq!(received, expected, "sent and not seen");
        q.drain();
        w.join();
    })
}

#[test]
fn polls_see_what_was_sent() {
    println!("polls: {} executions", polls(1, 2, 1));
    let (executions, steps) = polls_after_a_death(1);
    println!("polls_after_a_death: {executions} executions, {steps} steps");
    finds("a send leaves no mark", "sent and not seen", || {
        polls(1, 2, 2)
    });
    finds(
        "the mark is read behind the look",
        "sent and not seen",
        || polls(1, 2, 1),
    );
    finds(
        "a dead sender's lock is no news",
        "sent and not seen",
        || polls_after_a_death(1),
    );
}

#[test]
fn sent_is_received() {
    let executions = orders(1, 1, 2, 10, 2) + orders(2, 1, 2, 10, 2) + orders(1, 2, 1, 10, 2);
    println!("sent_is_received: {executions} executions");
    println!("a_full_queue: {} executions", orders(1, 1, 3, 1, 2));
    let executions = with_clocks(|| orders(1, 1, 2, 10, 2) + orders(1, 1, 3, 1, 2));
    println!("the same with clocks: {executions} executions");
}

/// A receiver dies at some step, another lives; two messages are sent.
fn receiver_dies(preemptions: usize, fine: bool) -> (usize, usize) {
    at_each_step(Event::Death, fine, preemptions, move |w, fate| {
        // The other sleeps until its next beat, if the message was in the dead one's hands.
        w.patience_ns.set(BEAT_NS);
        let q = Queue::new(w, 10);
        let dies = q.clone();
        let victim = w.spawn(Some(fate), move || dies.receive(0));
        let lives = q.clone();
        w.spawn(None, move || lives.receive(0).expect("a message"));
        let sends = q.clone();
        w.spawn(None, move || {
            sends.send(1, 0).expect("a queue");
            sends.send(2, 0).expect("a queue");
        });
        w.join();
        q.drain();
        let victim = w.thread(victim);
        let all = q.all();
        // Its message went with it, if it had it; else it did not.
        let took = [
            "msg.first.after_commit",
            "msg.receive.after_commit",
            "msg.fetch.after_commit",
        ];
        if victim.died() && took.iter().any(|point| victim.passed(point)) {
            assert_eq!(all.len(), 1, "received twice: {all:?}");
        } else if !(fine && victim.died() && all.len() == 1) {
            // Killed between the commit and its kill point it had it, too.
            assert_eq!(all, [1, 2], "lost or doubled");
        }
    })
}

/// A sender dies at some step, another lives; a receiver wants one of their messages.
fn sender_dies(preemptions: usize, fine: bool) -> (usize, usize) {
    at_each_step(Event::Death, fine, preemptions, move |w, fate| {
        w.patience_ns.set(BEAT_NS);
        let q = Queue::new(w, 10);
        let dies = q.clone();
        let victim = w.spawn(Some(fate), move || dies.send(1, 0));
        let lives = q.clone();
        w.spawn(None, move || lives.send(2, 0).expect("a queue"));
        let gets = q.clone();
        w.spawn(None, move || gets.receive(0).expect("a message"));
        w.join();
        q.drain();
        let victim = w.thread(victim);
        let sent = ["msg.send.after_commit", "msg.hand.after_commit"];
        let sent = !victim.died() || sent.iter().any(|point| victim.passed(point));
        let all = if sent { vec![1, 2] } else { vec![2] };
        // Killed between the commit and its kill point it had sent it, too.
        let unknown = fine && victim.died();
        assert!(
            q.all() == all || unknown && q.all() == [1, 2],
            "lost, doubled, or of nobody"
        );
    })
}

/// A sender dies at some step, and then another sends: if the first held the lock, it repairs all,
/// and wakes whom the first should have woken.
fn next_repairs(preemptions: usize) -> (usize, usize) {
    at_each_step(Event::Death, false, preemptions, |w, fate| {
        let q = Queue::new(w, 10);
        let dies = q.clone();
        let victim = w.spawn(Some(fate), move || dies.send(1, 0));
        let gets = q.clone();
        w.spawn(None, move || gets.receive(0).expect("a message"));
        w.wait_for(victim);
        if word(&q.scene.map, LOCK).newest() & DIED == 0 {
            w.patience_ns.set(BEAT_NS);
        }
        q.send(2, 0).expect("a queue");
        w.join();
        q.drain();
        assert!(q.all().ends_with(&[2]), "lost or doubled");
    })
}

/// A sender, or who removes the queue, dies at some step; of the only receiver, which sleeps without a
/// clock. What happened it is told at once.
fn only_sleeper(removes: bool, preemptions: usize, fine: bool) -> (usize, usize) {
    at_each_step(Event::Death, fine, preemptions, move |w, fate| {
        let q = Queue::new(w, 10);
        let gets = q.clone();
        w.spawn(None, move || {
            let received = gets.receive(0);
            let gone = [Errno::EIDRM, Errno::EINVAL].map(Err).contains(&received);
            assert!(received.is_ok() || removes && gone, "{received:?}");
        });
        let dies = q.clone();
        let victim = w.spawn(Some(fate), move || match removes {
            true => dies.remove(),
            false => drop(dies.send(1, 0)),
        });
        w.wait_for(victim);
        let victim = w.thread(victim);
        let sent = [
            "msg.send.after_commit",
            "msg.hand.after_commit",
            "msg.remove.after_commit",
        ];
        let happened = !victim.died() || sent.iter().any(|point| victim.passed(point));
        if !happened {
            // It may have happened even so, just before the kill point: then this is one more.
            let _ = q.send(2, 0);
        }
        w.join();
    })
}

/// A receiver is interrupted at some step; what it was handed goes to the next in line, at once.
/// Who receives sends one for the other.
fn receiver_is_interrupted(preemptions: usize) -> (usize, usize) {
    at_each_step(Event::Signal, false, preemptions, |w, fate| {
        let q = Queue::new(w, 10);
        let first = q.clone();
        w.spawn(Some(fate), move || match first.receive(0) {
            Err(e) => assert_eq!(e, Errno::EINTR),
            Ok(_) => first.send(2, 0).expect("a queue"),
        });
        let second = q.clone();
        w.spawn(None, move || {
            second.receive(0).expect("a message");
            second.send(2, 0).expect("a queue");
        });
        let sends = q.clone();
        w.spawn(None, move || sends.send(1, 0).expect("a queue"));
        w.join();
        q.drain();
        let interrupted = q.got.borrow().iter().all(|(thread, _)| *thread != 1);
        let all = if interrupted {
            vec![1, 2]
        } else {
            vec![1, 2, 2]
        };
        assert_eq!(q.all(), all, "lost or doubled");
    })
}

/// A handler leaves a call that waits, at some step: then it does not wait any more, and what is sent is
/// anybody's at once.
fn handler_leaves(sends: bool, preemptions: usize) -> (usize, usize) {
    at_each_step(Event::Leave, false, preemptions, move |w, fate| {
        let q = Queue::new(w, if sends { 1 } else { 10 });
        if sends {
            q.send(1, IPC_NOWAIT).expect("room");
        }
        let leaves = q.clone();
        w.spawn(Some(fate), move || {
            let call = || match sends {
                true => leaves.send(2, 0),
                false => leaves.receive(0).map(drop),
            };
            match unless_left(call) {
                Some(ended) => ended.expect("a queue"),
                None => assert_eq!(leaves.in_line(), 0, "stays in line"),
            }
        });
        let other = q.clone();
        w.spawn(None, move || match sends {
            true => drop(other.receive(0).expect("a message")),
            false => other.send(1, 0).expect("a queue"),
        });
        w.join();
        q.drain();
        assert_eq!(q.in_line(), 0, "stays in line");
    })
}

/// A handler leaves a send at some step: if that has happened, who waits is woken, and at once.
fn waker_leaves(preemptions: usize) -> (usize, usize) {
    at_each_step(Event::Leave, false, preemptions, move |w, fate| {
        let q = Queue::new(w, 10);
        let gets = q.clone();
        w.spawn(None, move || gets.receive(0).expect("a message"));
        let leaves = q.clone();
        w.spawn(Some(fate), move || {
            let left = unless_left(|| leaves.send(1, 0)).is_none();
            let me = world().me();
            let commits = ["msg.send.after_commit", "msg.hand.after_commit"];
            if left && !commits.iter().any(|point| me.passed(point)) {
                leaves.send(1, 0).expect("a queue");
            }
        });
        w.join();
        q.drain();
        assert_eq!(q.all(), [1], "lost or doubled");
    })
}

/// The only receiver is interrupted, another comes, and a message: it wakes who is in line now.
fn interrupted_and_another(preemptions: usize) -> usize {
    explore(preemptions, |w| {
        // As long as it takes until the first sleeps.
        w.patience_ns.set(1);
        let q = Queue::new(w, 10);
        let first = q.clone();
        let interrupted = w.spawn(None, move || match first.receive(0) {
            Ok(_) => first.send(2, 0).expect("a queue"),
            Err(e) => assert_eq!(e, Errno::EINTR),
        });
        // Until it sleeps.
        w.sleep(1);
        let second = q.clone();
        w.spawn(None, move || second.receive(0).expect("a message"));
        let sends = q.clone();
        w.spawn(None, move || sends.send(1, 0).expect("a queue"));
        w.signal(interrupted);
        w.join();
    })
}

/// A signal from outside, and a message: one of them ends the wait, and the message is not lost.
fn a_signal_and_a_message(preemptions: usize) -> usize {
    explore(preemptions, |w| {
        let q = Queue::new(w, 10);
        let gets = q.clone();
        let number = w.spawn(None, move || match gets.receive(0) {
            Ok(1) | Err(Errno::EINTR) => {}
            other => panic!("{other:?}"),
        });
        let sends = q.clone();
        w.spawn(None, move || sends.send(1, 0).expect("a queue"));
        w.spawn(None, move || world().signal(number));
        w.join();
        q.drain();
        assert_eq!(q.all(), [1], "lost or doubled");
    })
}

/// A removal ends every wait.
fn removed(preemptions: usize) -> usize {
    explore(preemptions, |w| {
        let q = Queue::new(w, 1);
        for receives in [true, false] {
            let q = q.clone();
            w.spawn(None, move || {
                let ended = match receives {
                    true => q.receive(0).and_then(|_| q.receive(0)).map(drop),
                    false => q
                        .send(1, 0)
                        .and_then(|()| q.send(2, 0))
                        .and_then(|()| q.send(3, 0)),
                };
                // EINVAL: it began after the removal.
                let gone = [Errno::EIDRM, Errno::EINVAL].map(Err).contains(&ended);
                assert!(ended.is_ok() || gone, "{ended:?}");
            });
        }
        let removes = q.clone();
        w.spawn(None, move || removes.remove());
        w.join();
        assert_eq!(q.receive(0), Err(Errno::EINVAL));
    })
}

#[test]
fn somebody_dies() {
    let (executions, steps) = receiver_dies(1, false);
    println!("receiver_dies: {executions} executions, {steps} steps");
    let (executions, steps) = sender_dies(1, false);
    println!("sender_dies: {executions} executions, {steps} steps");
    let (executions, steps) = receiver_dies(1, true);
    println!("receiver_dies between any two stores: {executions} executions, {steps} steps");
    let (executions, steps) = sender_dies(1, true);
    println!("sender_dies between any two stores: {executions} executions, {steps} steps");
    let (executions, steps) = only_sleeper(false, 2, false);
    println!("only_sleeper: {executions} executions, {steps} steps");
    let (executions, steps) = only_sleeper(false, 1, true);
    println!("only_sleeper between any two stores: {executions} executions, {steps} steps");
    let (executions, steps) = only_sleeper(true, 1, false);
    println!("only_sleeper of a queue that is removed: {executions} executions, {steps} steps");
    let (executions, steps) = next_repairs(2);
    println!("next_repairs: {executions} executions, {steps} steps");
}

#[test]
fn somebody_withdraws() {
    let (executions, steps) = receiver_is_interrupted(1);
    println!("receiver_is_interrupted: {executions} executions, {steps} steps");
    let (executions, steps) = with_clocks(|| receiver_is_interrupted(1));
    println!("the same with clocks: {executions} executions, {steps} steps");
    for sends in [false, true] {
        let (executions, steps) = handler_leaves(sends, 2);
        println!("handler_leaves: {executions} executions, {steps} steps");
    }
    let (executions, steps) = waker_leaves(2);
    println!("waker_leaves: {executions} executions, {steps} steps");
    let (executions, steps) = with_clocks(|| waker_leaves(2));
    println!("the same with clocks: {executions} executions, {steps} steps");
    println!(
        "a_signal_and_a_message: {} executions",
        a_signal_and_a_message(2)
    );
    println!(
        "interrupted_and_another: {} executions",
        interrupted_and_another(2)
    );
    println!("removed: {} executions", removed(1));
}

#[test]
fn mistakes_in_sleeping_are_found() {
    let one = || with_clocks(|| orders(1, 1, 1, 10, 2));
    let full = || orders(1, 1, 3, 1, 2);
    let interrupted = || with_clocks(|| receiver_is_interrupted(1));
    finds("no fence before a wake", "lost wake", one);
    finds("sleeps without a word", "lost wake", one);
    finds("room for nobody", "lost wake", full);
    finds("the removal tells nobody", "lost wake", || removed(1));
    // What the engine did: it woke one that slept on after its wait had ended.
    finds("wakes one of two", "lost wake", interrupted);
    finds("a handler keeps the message", "lost wake", interrupted);
    finds("back for nobody", "lost wake", interrupted);
    finds("sleeps after its wait", "lost wake", || {
        interrupted_and_another(2);
    });
    finds("a handler before the wake", "lost wake", || {
        with_clocks(|| waker_leaves(1))
    });
    for sends in [false, true] {
        finds("not known to sleep yet", "stays in line", move || {
            handler_leaves(sends, 0)
        });
    }
}

#[test]
fn mistakes_about_the_dead_are_found() {
    let sender = || sender_dies(1, false);
    let receiver = || receiver_dies(1, false);
    let alone = || only_sleeper(false, 1, false);
    finds("owes before it can be found", "lost wake", alone);
    finds("pays before it can be found", "lost wake", alone);
    finds("forgives what is due", "lost wake", alone);
    finds("the dead keep their message", "lost or doubled", receiver);
    finds("a receive is not redone", "received twice", receiver);
    finds("a send is not redone", "lost, doubled", sender);
    finds("a hand-over is not redone", "lost, doubled", sender);
    finds("a repair wakes nobody", "lost wake", || {
        with_clocks(|| next_repairs(2))
    });
}
