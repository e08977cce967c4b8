//! `semtimedop`: when a wait ends by itself.

use crate::scenarios::{Scenario, table};
use crate::sem::{Op, Set, op, zero};
use crate::stage::Stage;
use libc::{EAGAIN, EIDRM, ERANGE};
use std::time::{Duration, Instant};

pub(super) const ALL: &[Scenario] = table![
    semtimedop_that_need_not_wait_is_a_semop,
    zero_timeout_does_not_wait,
    timeout_ends_a_wait_with_eagain,
    timeout_ends_a_wait_for_zero,
    tiny_timeouts_end_too,
    timeout_is_not_begun_anew_by_wakes_in_vain,
    timed_out_sleeper_leaves_no_trace,
    timed_out_sleeper_keeps_earlier_undo,
    timed_sleeper_goes_on_in_time,
    timed_sleeper_hears_of_removal,
    timed_sleeper_is_in_line_with_the_others,
    timed_out_sleeper_lets_the_next_go_on,
    longest_timeouts_wait,
    nowait_comes_before_the_timeout,
    errors_come_before_the_timeout,
];

const SHORT: Duration = Duration::from_millis(80);
const LONG: Duration = Duration::from_secs(1000);

/// The wait must time out, not before `timeout` and not long after.
#[track_caller]
fn times_out(t: &Stage, set: Set, ops: &[Op], timeout: Duration) {
    let begun = Instant::now();
    t.semtimedop(set, ops, Some(timeout)).fails(EAGAIN);
    let took = begun.elapsed();
    assert!(took >= timeout, "a timeout of {timeout:?} after {took:?}");
    let late = timeout + Duration::from_secs(5);
    assert!(took < late, "a timeout of {timeout:?} after {took:?}");
}

fn semtimedop_that_need_not_wait_is_a_semop(t: &Stage) {
    let set = t.set_of(&[0]);
    t.semtimedop(set, &[op(0, 2)], Some(LONG)).must();
    t.semtimedop(set, &[op(0, -1)], Some(Duration::ZERO)).must();
    t.semtimedop(set, &[op(0, -1), zero(0)], None).must();
    t.holds(set, &[0]);
}

fn zero_timeout_does_not_wait(t: &Stage) {
    let set = t.set_of(&[0, 1]);
    times_out(t, set, &[op(0, -1)], Duration::ZERO);
    times_out(t, set, &[zero(1)], Duration::ZERO);
    t.holds(set, &[0, 1]);
}

fn timeout_ends_a_wait_with_eagain(t: &Stage) {
    let set = t.set_of(&[0]);
    times_out(t, set, &[op(0, -1)], SHORT);
    times_out(t, set, &[op(0, 1), op(0, -2)], SHORT);
    t.holds(set, &[0]);
}

fn timeout_ends_a_wait_for_zero(t: &Stage) {
    let set = t.set_of(&[1]);
    times_out(t, set, &[zero(0)], SHORT);
    times_out(t, set, &[op(0, 1), zero(0)], SHORT);
}

fn tiny_timeouts_end_too(t: &Stage) {
    let set = t.set_of(&[0]);
    for nanos in [1, 999, 1_000_000] {
        times_out(t, set, &[op(0, -1)], Duration::from_nanos(nanos));
    }
}

fn timeout_is_not_begun_anew_by_wakes_in_vain(t: &Stage) {
    let set = t.set_of(&[0, 0]);
    let timeout = Duration::from_millis(400);
    let child = t.spawn("sleeper", |t| {
        let begun = Instant::now();
        t.semtimedop(set, &[op(0, -1), op(1, -1)], Some(timeout))
            .fails(EAGAIN);
        let took = begun.elapsed();
        assert!(took >= timeout, "too early: {took:?}");
        assert!(took < 10 * timeout, "begun anew: {took:?}");
    });
    let begun = Instant::now();
    // Each change lets it look again, and none suffices.
    while begun.elapsed() < 12 * timeout && !child.is_through(1) {
        for change in [1, -1] {
            let changed = crate::semcall::semop(set.0, &[op(0, change)]);
            assert_eq!(changed, Ok(()));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    t.join(child);
    t.holds(set, &[0, 0]);
}

fn timed_out_sleeper_leaves_no_trace(t: &Stage) {
    let set = t.set_of(&[5, 0]);
    let before = t.semstat(set).must();
    let child = t.spawn("sleeper", |t| {
        times_out(t, set, &[op(0, -1), op(1, -1)], SHORT);
    });
    let pid = child.pid;
    t.join(child);
    t.holds(set, &[5, 0]);
    assert_eq!(t.semstat(set).must(), before);
    assert_ne!(t.getpid(set, 0).must(), pid);
    t.awaited(set, 1, 0, 0);
}

fn timed_out_sleeper_keeps_earlier_undo(t: &Stage) {
    let set = t.set_of(&[5]);
    let child = t.spawn("sleeper", |t| {
        t.semop(set, &[op(0, -5).undo()]).must();
        times_out(t, set, &[op(0, -1).undo()], SHORT);
    });
    t.join(child);
    t.holds(set, &[5]);
}

fn timed_sleeper_goes_on_in_time(t: &Stage) {
    let set = t.set_of(&[0]);
    let child = t.spawn("sleeper", |t| {
        t.semtimedop(set, &[op(0, -1)], Some(LONG)).must()
    });
    t.wait_blocked(&child);
    t.semop(set, &[op(0, 1)]).must();
    t.join(child);
}

fn timed_sleeper_hears_of_removal(t: &Stage) {
    let set = t.set_of(&[0]);
    let child = t.spawn("sleeper", |t| {
        t.semtimedop(set, &[op(0, -1)], Some(LONG)).fails(EIDRM);
    });
    t.wait_blocked(&child);
    t.semrm(set).must();
    t.join(child);
}

fn timed_sleeper_is_in_line_with_the_others(t: &Stage) {
    let set = t.set_of(&[0]);
    let timed = t.spawn("timed", |t| {
        t.semtimedop(set, &[op(0, -1)], Some(LONG)).must()
    });
    t.wait_blocked(&timed);
    let other = super::blocking::sleeper(t, "other", set, &[op(0, -1)]);
    t.semop(set, &[op(0, 1)]).must();
    t.join(timed);
    t.semop(set, &[op(0, 1)]).must();
    t.join(other);
}

fn timed_out_sleeper_lets_the_next_go_on(t: &Stage) {
    let set = t.set_of(&[0]);
    let timed = t.spawn("timed", |t| times_out(t, set, &[op(0, -1)], SHORT));
    let other = super::blocking::sleeper(t, "other", set, &[op(0, -1)]);
    t.join(timed);
    t.semop(set, &[op(0, 1)]).must();
    t.join(other);
    t.holds(set, &[0]);
}

fn longest_timeouts_wait(t: &Stage) {
    let set = t.set_of(&[0]);
    let seconds = [i64::MAX as u64, u64::from(u32::MAX), 1 << 40];
    let children = seconds.map(|seconds| {
        let child = t.spawn("sleeper", |t| {
            t.semtimedop(set, &[op(0, -1)], Some(Duration::new(seconds, 999_999_999)))
                .must();
        });
        t.wait_blocked(&child);
        child
    });
    t.semop(set, &[op(0, 3)]).must();
    children.into_iter().for_each(|child| t.join(child));
}

fn nowait_comes_before_the_timeout(t: &Stage) {
    let set = t.set_of(&[0]);
    let begun = Instant::now();
    t.semtimedop(set, &[op(0, -1).nowait()], Some(LONG))
        .fails(EAGAIN);
    assert!(begun.elapsed() < LONG / 10);
}

fn errors_come_before_the_timeout(t: &Stage) {
    let set = t.set_of(&[32767]);
    t.semtimedop(set, &[op(0, 1)], Some(LONG)).fails(ERANGE);
    t.semtimedop(set, &[op(1, 1)], Some(LONG))
        .fails(libc::EFBIG);
    t.semtimedop(set, &[op(0, 1); 501], Some(LONG))
        .fails(libc::E2BIG);
}
