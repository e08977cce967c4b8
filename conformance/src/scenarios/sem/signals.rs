//! Signals and timeouts: what ends a wait, and what does not.

use super::blocking::sleeper;
use crate::errno::Errno;
use crate::players::Gate;
use crate::process::{self, Ending};
use crate::scenarios::{Scenario, table};
use crate::sem::{Op, Set, op, zero};
use crate::semcall;
use crate::signals;
use crate::stage::Stage;
use libc::{
    EAGAIN, EIDRM, EINTR, EINVAL, SA_RESTART, SIG_BLOCK, SIG_UNBLOCK, SIGALRM, SIGCHLD, SIGCONT,
    SIGTERM, SIGURG, SIGUSR1, SIGWINCH,
};
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering::SeqCst};
use std::time::{Duration, Instant};

pub(super) const ALL: &[Scenario] = table![
    handler_interrupts_a_waiting_semop,
    sa_restart_does_not_restart_a_semop,
    sa_restart_does_not_restart_a_semtimedop,
    handler_interrupts_a_wait_for_zero,
    interrupted_semop_changes_nothing,
    interrupted_semop_keeps_earlier_undo,
    interrupted_sleeper_gave_up_its_place_in_line,
    interrupted_semop_can_wait_again,
    alarm_interrupts_a_semop,
    ignored_signals_do_not_interrupt_a_semop,
    signal_blocked_during_a_semop_comes_afterwards,
    handler_in_another_thread_does_not_interrupt_a_semop,
    change_of_user_by_another_thread_interrupts_a_semop,
    change_of_user_interrupts_a_semop_that_a_holder_keeps_waiting,
    deadly_signal_ends_a_waiting_semop,
    stop_and_continue_interrupt_a_semop,
    stopped_sleeper_waits_for_nothing,
    continue_with_a_handler_interrupts_a_semop,
    semop_that_need_not_wait_ignores_pending_signals,
    handler_that_ups_leaves_the_waiting_call_interrupted,
    handler_that_removes_the_set_still_means_eintr,
    handler_makes_semops_in_the_midst_of_semops,
    set_is_usable_after_jumping_out_of_a_semop,
    jumped_out_sleeper_is_no_longer_counted,
    handler_may_take_with_undo,
    copy_made_by_a_handler_ends_its_semop_alone,
];

/// The set that handlers use.
static SET: AtomicI32 = AtomicI32::new(-1);

fn is_interrupted(t: &Stage, set: Set, ops: &[Op], timeout: Option<Duration>, flags: i32) {
    let child = t.spawn("sleeper", |t| {
        signals::count(SIGUSR1, flags);
        match timeout {
            None => t.semop(set, ops).fails(EINTR),
            Some(_) => t.semtimedop(set, ops, timeout).fails(EINTR),
        }
        assert_eq!(signals::seen(), 1);
    });
    t.wait_blocked(&child);
    t.signal(&child, SIGUSR1);
    t.join(child);
    t.awaited(set, 0, 0, 0);
}

fn handler_interrupts_a_waiting_semop(t: &Stage) {
    let set = t.set_of(&[0]);
    is_interrupted(t, set, &[op(0, -1)], None, 0);
}

fn sa_restart_does_not_restart_a_semop(t: &Stage) {
    let set = t.set_of(&[0]);
    is_interrupted(t, set, &[op(0, -1)], None, SA_RESTART);
}

fn sa_restart_does_not_restart_a_semtimedop(t: &Stage) {
    let set = t.set_of(&[0]);
    let long = Some(Duration::from_secs(1000));
    is_interrupted(t, set, &[op(0, -1)], long, SA_RESTART);
    is_interrupted(t, set, &[op(0, -1)], long, 0);
}

fn handler_interrupts_a_wait_for_zero(t: &Stage) {
    let set = t.set_of(&[1, 1]);
    is_interrupted(t, set, &[zero(0)], None, 0);
    is_interrupted(t, set, &[zero(0), zero(1)], None, SA_RESTART);
}

fn interrupted_semop_changes_nothing(t: &Stage) {
    let set = t.set_of(&[3, 0]);
    is_interrupted(t, set, &[op(0, -1).undo(), op(1, -1)], None, 0);
    t.holds(set, &[3, 0]);
}

fn interrupted_semop_keeps_earlier_undo(t: &Stage) {
    let set = t.set_of(&[3]);
    let child = t.spawn("sleeper", |t| {
        signals::count(SIGUSR1, 0);
        t.semop(set, &[op(0, -3).undo()]).must();
        t.semop(set, &[op(0, -1).undo()]).fails(EINTR);
        t.holds(set, &[0]);
    });
    t.wait_returned(&child, 1);
    t.wait_blocked(&child);
    t.signal(&child, SIGUSR1);
    t.join(child);
    t.holds(set, &[3]);
}

fn interrupted_sleeper_gave_up_its_place_in_line(t: &Stage) {
    let set = t.set_of(&[0]);
    let first = t.spawn("first", |t| {
        signals::count(SIGUSR1, 0);
        t.semop(set, &[op(0, -1)]).fails(EINTR);
        t.semop(set, &[op(0, -1)]).must();
    });
    t.wait_blocked(&first);
    let second = sleeper(t, "second", set, &[op(0, -1)]);
    t.signal(&first, SIGUSR1);
    t.wait_returned(&first, 1);
    t.wait_blocked(&first);
    t.semop(set, &[op(0, 1)]).must();
    t.join(second);
    t.semop(set, &[op(0, 1)]).must();
    t.join(first);
}

fn interrupted_semop_can_wait_again(t: &Stage) {
    let set = t.set_of(&[0]);
    let child = t.spawn("sleeper", |t| {
        signals::count(SIGUSR1, SA_RESTART);
        for _ in 0..3 {
            t.semop(set, &[op(0, -1)]).fails(EINTR);
        }
        t.semop(set, &[op(0, -1)]).must();
    });
    for interrupted in 1..=3 {
        t.wait_blocked(&child);
        t.signal(&child, SIGUSR1);
        t.wait_returned(&child, interrupted);
    }
    t.wait_blocked(&child);
    t.semop(set, &[op(0, 1)]).must();
    t.join(child);
}

fn alarm_interrupts_a_semop(t: &Stage) {
    let set = t.set_of(&[0]);
    signals::count(SIGALRM, SA_RESTART);
    signals::alarm(1);
    t.semop(set, &[op(0, -1)]).fails(EINTR);
    assert_eq!(signals::seen(), 1);
}

fn ignored_signals_do_not_interrupt_a_semop(t: &Stage) {
    let set = t.set_of(&[0]);
    let child = t.spawn("sleeper", |t| {
        signals::ignore(SIGUSR1);
        signals::ignore(SIGTERM);
        t.semop(set, &[op(0, -1)]).must();
    });
    t.wait_blocked(&child);
    for signal in [SIGUSR1, SIGTERM, SIGCHLD, SIGWINCH, SIGURG, SIGCONT] {
        t.signal(&child, signal);
        t.wait_blocked(&child);
    }
    t.semop(set, &[op(0, 1)]).must();
    t.join(child);
}

fn signal_blocked_during_a_semop_comes_afterwards(t: &Stage) {
    let set = t.set_of(&[0]);
    let child = t.spawn("sleeper", |t| {
        signals::count(SIGUSR1, 0);
        signals::mask(SIG_BLOCK, SIGUSR1);
        t.semop(set, &[op(0, -1)]).must();
        assert_eq!(signals::seen(), 0);
        signals::mask(SIG_UNBLOCK, SIGUSR1);
        assert_eq!(signals::seen(), 1);
    });
    t.wait_blocked(&child);
    t.signal(&child, SIGUSR1);
    t.wait_blocked(&child);
    t.semop(set, &[op(0, 1)]).must();
    t.join(child);
}

fn handler_in_another_thread_does_not_interrupt_a_semop(t: &Stage) {
    let set = t.set_of(&[0]);
    signals::count(SIGUSR1, 0);
    let thread = t.thread("sleeper", move |t| t.semop(set, &[op(0, -1)]).must());
    t.wait_blocked(&thread);
    process::kill_thread(process::own_tid(), SIGUSR1);
    assert_eq!(signals::seen(), 1);
    t.wait_blocked(&thread);
    t.semop(set, &[op(0, 1)]).must();
    t.join_thread(thread);
}

/// glibc has all threads change, by a signal whose handler has SA_RESTART.
fn is_ended_by_a_change_of_user(t: &Stage, set: Set) {
    let thread = t.thread("sleeper", move |t| {
        for round in 1..=3 {
            t.semop(set, &[op(0, -1)]).fails(EINTR);
            t.tell(round);
        }
    });
    for round in 1..=3 {
        t.wait_blocked(&thread);
        process::set_effective_uid(process::effective_uid());
        t.hear(&thread, round);
    }
    t.join_thread(thread);
    t.awaited(set, 0, 0, 0);
}

fn change_of_user_by_another_thread_interrupts_a_semop(t: &Stage) {
    is_ended_by_a_change_of_user(t, t.set_of(&[0]));
}

fn change_of_user_interrupts_a_semop_that_a_holder_keeps_waiting(t: &Stage) {
    let set = t.set_of(&[1]);
    let holder = t.spawn("holder", |t| {
        t.semop(set, &[op(0, -1).undo()]).must();
        t.tell(1);
        loop {
            std::thread::park();
        }
    });
    t.hear(&holder, 1);
    is_ended_by_a_change_of_user(t, set);
    t.kill(holder);
}

fn deadly_signal_ends_a_waiting_semop(t: &Stage) {
    let set = t.set_of(&[0]);
    let child = sleeper(t, "sleeper", set, &[op(0, -1)]);
    t.signal(&child, SIGTERM);
    t.reap(child, Ending::Killed(SIGTERM));
    t.awaited(set, 0, 0, 0);
}

fn stop_and_continue_interrupt_a_semop(t: &Stage) {
    let set = t.set_of(&[0]);
    let child = t.spawn("sleeper", |t| {
        t.semop(set, &[op(0, -1)]).fails(EINTR);
        t.semtimedop(set, &[op(0, -1)], Some(Duration::from_secs(1000)))
            .fails(EINTR);
        t.semop(set, &[op(0, -1)]).must();
    });
    for interrupted in 1..=2 {
        t.wait_blocked(&child);
        t.stop(&child);
        t.signal(&child, SIGCONT);
        t.wait_returned(&child, interrupted);
    }
    t.wait_blocked(&child);
    t.semop(set, &[op(0, 1)]).must();
    t.join(child);
}

fn stopped_sleeper_waits_for_nothing(t: &Stage) {
    let set = t.set_of(&[0]);
    let child = t.spawn("sleeper", |t| t.semop(set, &[op(0, -1)]).fails(EINTR));
    t.wait_blocked(&child);
    t.stop(&child);
    t.awaited(set, 0, 0, 0);
    t.semop(set, &[op(0, 1)]).must();
    t.holds(set, &[1]);
    t.signal(&child, SIGCONT);
    t.join(child);
    t.holds(set, &[1]);
}

fn continue_with_a_handler_interrupts_a_semop(t: &Stage) {
    let set = t.set_of(&[0]);
    let child = t.spawn("sleeper", |t| {
        signals::count(SIGCONT, SA_RESTART);
        t.semop(set, &[op(0, -1)]).fails(EINTR);
        assert_eq!(signals::seen(), 1);
    });
    t.wait_blocked(&child);
    t.stop(&child);
    t.signal(&child, SIGCONT);
    t.join(child);
}

fn semop_that_need_not_wait_ignores_pending_signals(t: &Stage) {
    let set = t.set_of(&[1]);
    signals::count(SIGUSR1, 0);
    signals::mask(SIG_BLOCK, SIGUSR1);
    process::kill_thread(process::own_tid(), SIGUSR1);
    t.semop(set, &[op(0, -1)]).must();
    t.semop(set, &[op(0, -1).nowait()]).fails(EAGAIN);
    t.semtimedop(set, &[op(0, -1)], Some(Duration::ZERO))
        .fails(EAGAIN);
    assert_eq!(signals::seen(), 0);
}

/// A semop waits, a signal comes, and `handler` runs in its midst.
fn handled_in_a_semop(t: &Stage, handler: fn(), afterwards: impl FnOnce(&Stage, Set)) {
    let set = t.set_of(&[0]);
    SET.store(set.0, SeqCst);
    let child = t.spawn("sleeper", |t| {
        signals::handle(SIGUSR1, SA_RESTART, handler);
        t.semop(set, &[op(0, -1)]).fails(EINTR);
        afterwards(t, set);
    });
    t.wait_blocked(&child);
    t.signal(&child, SIGUSR1);
    t.join(child);
}

fn handler_that_ups_leaves_the_waiting_call_interrupted(t: &Stage) {
    let handler = || assert!(semcall::semop(SET.load(SeqCst), &[op(0, 1)]).is_ok());
    handled_in_a_semop(t, handler, |t, set| {
        t.holds(set, &[1]);
        t.semop(set, &[op(0, -1).nowait()]).must();
    });
}

fn handler_that_removes_the_set_still_means_eintr(t: &Stage) {
    let handler = || {
        let removed = semcall::semctl(SET.load(SeqCst), 0, libc::IPC_RMID, 0);
        assert!(removed.is_ok());
    };
    handled_in_a_semop(t, handler, |t, set| t.semstat(set).fails(EINVAL));
}

fn handler_may_take_with_undo(t: &Stage) {
    let set = t.set_of(&[0, 5]);
    SET.store(set.0, SeqCst);
    let child = t.spawn("sleeper", |t| {
        signals::handle(SIGUSR1, 0, || {
            assert!(semcall::semop(SET.load(SeqCst), &[op(1, -2).undo()]).is_ok());
        });
        t.semop(set, &[op(0, -1).undo()]).fails(EINTR);
        t.holds(set, &[0, 3]);
    });
    t.wait_blocked(&child);
    t.signal(&child, SIGUSR1);
    t.join(child);
    t.holds(set, &[0, 5]);
}

fn handler_makes_semops_in_the_midst_of_semops(t: &Stage) {
    static ROUNDS: AtomicU32 = AtomicU32::new(0);
    let set = t.set_of(&[0, 0]);
    SET.store(set.0, SeqCst);
    signals::handle(SIGALRM, SA_RESTART, || {
        let id = SET.load(SeqCst);
        assert!(semcall::semop(id, &[op(1, 1).undo()]).is_ok());
        assert!(semcall::semop(id, &[op(1, -1).undo()]).is_ok());
        ROUNDS.fetch_add(1, SeqCst);
    });
    signals::alarm_every(150);
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut count = 0;
    while count < 2000 || (ROUNDS.load(SeqCst) < 100 && Instant::now() < deadline) {
        assert_eq!(semcall::semop(set.0, &[op(0, 1).undo()]), Ok(()));
        assert_eq!(semcall::semop(set.0, &[op(0, -1).undo(), zero(0)]), Ok(()));
        count += 1;
    }
    signals::alarm_every(0);
    assert!(ROUNDS.load(SeqCst) >= 100, "the timer ticked");
    t.holds(set, &[0, 0]);
}

fn set_is_usable_after_jumping_out_of_a_semop(t: &Stage) {
    let set = t.set_of(&[0]);
    let child = t.spawn("sleeper", |t| {
        signals::handle(SIGUSR1, 0, signals::jump_out);
        t.abandonable(&mut || t.semop(set, &[op(0, -1)]).fails(EINTR));
        t.say("jumped out");
        t.semop(set, &[op(0, 1)]).must();
        t.semop(set, &[op(0, -1).nowait()]).must();
        t.semop(set, &[op(0, -1)]).must();
    });
    t.wait_blocked(&child);
    t.signal(&child, SIGUSR1);
    t.wait_returned(&child, 3);
    t.wait_blocked(&child);
    t.semop(set, &[op(0, 1)]).must();
    t.join(child);
    t.holds(set, &[0]);
}

fn jumped_out_sleeper_is_no_longer_counted(t: &Stage) {
    let set = t.set_of(&[0]);
    let gate = crate::players::Gate::new();
    let child = t.spawn("sleeper", |t| {
        signals::handle(SIGUSR1, 0, signals::jump_out);
        t.abandonable(&mut || t.semop(set, &[op(0, -1)]).fails(EIDRM));
        t.tell(1);
        gate.pass();
    });
    t.wait_blocked(&child);
    t.signal(&child, SIGUSR1);
    t.hear(&child, 1);
    t.awaited(set, 0, 0, 0);
    t.semop(set, &[op(0, 1)]).must();
    t.holds(set, &[1]);
    assert_eq!(
        semcall::semop(set.0, &[zero(0).nowait()]),
        Err(Errno(EAGAIN))
    );
    gate.open();
    t.join(child);
}

fn copy_made_by_a_handler_ends_its_semop_alone(t: &Stage) {
    let set = t.set_of(&[0]);
    let gates = [Gate::new(), Gate::new()];
    let child = t.spawn("sleeper", |t| {
        t.fork_in_a_call(SIGUSR1, gates, || semcall::semop(set.0, &[op(0, -1)]));
        t.semop(set, &[op(0, -1)]).must();
        signals::reap_the_copy();
    });
    t.wait_blocked(&child);
    t.signal(&child, SIGUSR1);
    t.wait_returned(&child, 1);
    t.wait_blocked(&child);
    let [go, gone] = gates;
    go.open();
    gone.pass();
    t.awaited(set, 0, 1, 0);
    t.semop(set, &[op(0, 1)]).must();
    t.join(child);
    t.awaited(set, 0, 0, 0);
}
