//! `msgrcv`: which message a type, a bound or an exception selects.

use crate::msg::Queue;
use crate::scenarios::{Scenario, table};
use crate::stage::Stage;
use libc::{ENOMSG, IPC_NOWAIT, MSG_EXCEPT};

pub(super) const ALL: &[Scenario] = table![
    type_zero_takes_in_order_of_sending,
    positive_type_takes_the_first_of_that_type,
    positive_type_that_is_absent_is_enomsg,
    positive_type_leaves_the_others_in_order,
    negative_type_takes_lowest_type_first_then_fifo,
    negative_type_is_an_upper_bound,
    negative_type_includes_the_bound,
    minus_one_takes_only_type_one,
    long_min_takes_the_lowest_type_of_all,
    long_min_plus_one_reaches_long_max,
    except_takes_the_first_of_another_type,
    except_skips_any_number_of_that_type,
    except_with_nothing_else_is_enomsg,
    except_with_type_zero_means_any,
    except_with_a_negative_type_is_still_a_bound,
    except_of_an_absent_type_takes_the_first,
    selections_mix_on_one_queue,
    priorities_come_out_in_order,
    deep_queue_is_searched_to_its_end,
    many_types_each_keep_their_order,
    types_that_agree_in_32_bits_differ,
];

const FOUR: [(i64, &str); 6] = [
    (5, "five"),
    (2, "two"),
    (9, "nine"),
    (2, "two again"),
    (5, "five again"),
    (1, "one"),
];

/// A queue that holds `FOUR`.
fn filled(t: &Stage) -> Queue {
    let queue = t.private();
    for (mtype, text) in FOUR {
        t.put(queue, mtype, text);
    }
    queue
}

/// The texts that come out for these types, in turn.
fn taken(t: &Stage, queue: Queue, mtypes: &[i64]) -> Vec<String> {
    mtypes.iter().map(|&mtype| t.take(queue, mtype)).collect()
}

fn except(t: &Stage, queue: Queue, mtype: i64) -> String {
    let message = t.recv(queue, 100, mtype, IPC_NOWAIT | MSG_EXCEPT).must();
    String::from_utf8_lossy(&message.text).into_owned()
}

fn type_zero_takes_in_order_of_sending(t: &Stage) {
    let queue = filled(t);
    let all: Vec<(i64, String)> = FOUR.map(|(mtype, text)| (mtype, text.to_owned())).into();
    assert_eq!(t.drain(queue), all);
}

fn positive_type_takes_the_first_of_that_type(t: &Stage) {
    let queue = filled(t);
    assert_eq!(
        taken(t, queue, &[2, 2, 9, 5]),
        ["two", "two again", "nine", "five"]
    );
}

fn positive_type_that_is_absent_is_enomsg(t: &Stage) {
    let queue = filled(t);
    for mtype in [3, 4, 10, i64::MAX] {
        t.recv(queue, 100, mtype, IPC_NOWAIT).fails(ENOMSG);
    }
    assert_eq!(t.stat(queue).must().qnum, 6);
}

fn positive_type_leaves_the_others_in_order(t: &Stage) {
    let queue = filled(t);
    taken(t, queue, &[9, 2]);
    let rest: Vec<String> = t.drain(queue).into_iter().map(|(_, text)| text).collect();
    assert_eq!(rest, ["five", "two again", "five again", "one"]);
}

fn negative_type_takes_lowest_type_first_then_fifo(t: &Stage) {
    let queue = filled(t);
    let got = taken(t, queue, &[-100; 6]);
    assert_eq!(
        got,
        ["one", "two", "two again", "five", "five again", "nine"]
    );
}

fn negative_type_is_an_upper_bound(t: &Stage) {
    let queue = filled(t);
    assert_eq!(taken(t, queue, &[-4; 3]), ["one", "two", "two again"]);
    t.recv(queue, 100, -4, IPC_NOWAIT).fails(ENOMSG);
    assert_eq!(t.stat(queue).must().qnum, 3);
}

fn negative_type_includes_the_bound(t: &Stage) {
    let queue = t.private();
    t.put(queue, 4, "four");
    t.recv(queue, 100, -3, IPC_NOWAIT).fails(ENOMSG);
    assert_eq!(t.take(queue, -4), "four");
}

fn minus_one_takes_only_type_one(t: &Stage) {
    let queue = filled(t);
    assert_eq!(t.take(queue, -1), "one");
    t.recv(queue, 100, -1, IPC_NOWAIT).fails(ENOMSG);
}

fn long_min_takes_the_lowest_type_of_all(t: &Stage) {
    let queue = filled(t);
    t.put(queue, i64::MAX, "last");
    let got = taken(t, queue, &[i64::MIN; 7]);
    assert_eq!(
        got,
        [
            "one",
            "two",
            "two again",
            "five",
            "five again",
            "nine",
            "last"
        ]
    );
}

fn long_min_plus_one_reaches_long_max(t: &Stage) {
    let queue = t.private();
    t.put(queue, i64::MAX, "last");
    t.recv(queue, 100, i64::MIN + 2, IPC_NOWAIT).fails(ENOMSG);
    assert_eq!(t.take(queue, i64::MIN + 1), "last");
}

fn except_takes_the_first_of_another_type(t: &Stage) {
    let queue = filled(t);
    assert_eq!(except(t, queue, 5), "two");
    assert_eq!(except(t, queue, 2), "five");
    assert_eq!(except(t, queue, 9), "two again");
}

fn except_skips_any_number_of_that_type(t: &Stage) {
    let queue = t.private();
    for _ in 0..50 {
        t.put(queue, 1, "common");
    }
    t.put(queue, 2, "rare");
    assert_eq!(except(t, queue, 1), "rare");
    t.recv(queue, 100, 1, IPC_NOWAIT | MSG_EXCEPT).fails(ENOMSG);
}

fn except_with_nothing_else_is_enomsg(t: &Stage) {
    let queue = t.private();
    t.recv(queue, 100, 1, IPC_NOWAIT | MSG_EXCEPT).fails(ENOMSG);
    t.put(queue, 1, "one");
    t.recv(queue, 100, 1, IPC_NOWAIT | MSG_EXCEPT).fails(ENOMSG);
}

fn except_with_type_zero_means_any(t: &Stage) {
    let queue = filled(t);
    assert_eq!(except(t, queue, 0), "five");
    assert_eq!(except(t, queue, 0), "two");
}

fn except_with_a_negative_type_is_still_a_bound(t: &Stage) {
    let queue = filled(t);
    assert_eq!(except(t, queue, -2), "one");
    assert_eq!(except(t, queue, -2), "two");
    assert_eq!(except(t, queue, -2), "two again");
    t.recv(queue, 100, -2, IPC_NOWAIT | MSG_EXCEPT)
        .fails(ENOMSG);
}

fn except_of_an_absent_type_takes_the_first(t: &Stage) {
    let queue = filled(t);
    assert_eq!(except(t, queue, 77), "five");
    assert_eq!(except(t, queue, i64::MAX), "two");
}

fn selections_mix_on_one_queue(t: &Stage) {
    let queue = filled(t);
    assert_eq!(t.take(queue, -5), "one");
    assert_eq!(except(t, queue, 5), "two");
    assert_eq!(t.take(queue, 5), "five");
    assert_eq!(t.take(queue, 0), "nine");
    assert_eq!(t.take(queue, -5), "two again");
    assert_eq!(except(t, queue, 9), "five again");
    t.is_empty(queue);
}

fn priorities_come_out_in_order(t: &Stage) {
    let queue = t.private();
    let mut state = 12345_u64;
    let mut sent: Vec<(i64, u64)> = (0..200)
        .map(|number| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let priority = (state >> 33) as i64 % 10 + 1;
            assert_eq!(
                crate::call::send_word(queue.0, priority, number, IPC_NOWAIT),
                Ok(())
            );
            (priority, number)
        })
        .collect();
    // Stable: equal priorities stay in order of sending.
    sent.sort_by_key(|&(priority, _)| priority);
    for expected in sent {
        assert_eq!(
            crate::call::receive_word(queue.0, -10, IPC_NOWAIT),
            Ok(expected)
        );
    }
    t.is_empty(queue);
}

fn deep_queue_is_searched_to_its_end(t: &Stage) {
    let queue = t.private();
    for number in 0..2000 {
        assert_eq!(
            crate::call::send_word(queue.0, 3, number, IPC_NOWAIT),
            Ok(())
        );
    }
    t.put(queue, 2, "behind");
    t.put(queue, 4, "last");
    assert_eq!(t.take(queue, 4), "last");
    assert_eq!(t.take(queue, -2), "behind");
    t.recv(queue, 100, 4, IPC_NOWAIT).fails(ENOMSG);
    assert_eq!(t.stat(queue).must().qnum, 2000);
}

fn many_types_each_keep_their_order(t: &Stage) {
    let queue = t.private();
    for number in 0..2000 {
        let mtype = number as i64 * 7919 % 500 + 1;
        assert_eq!(
            crate::call::send_word(queue.0, mtype, number, IPC_NOWAIT),
            Ok(())
        );
    }
    for mtype in 1..=500 {
        let numbers: Vec<u64> = std::iter::from_fn(|| {
            crate::call::receive_word(queue.0, mtype, IPC_NOWAIT)
                .ok()
                .map(|(_, number)| number)
        })
        .collect();
        assert!(
            numbers.len() == 4 && numbers.is_sorted(),
            "type {mtype}: {numbers:?}"
        );
    }
    t.is_empty(queue);
}

fn types_that_agree_in_32_bits_differ(t: &Stage) {
    let queue = t.private();
    t.put(queue, (1 << 32) + 5, "high");
    t.recv(queue, 100, 5, IPC_NOWAIT).fails(ENOMSG);
    t.recv(queue, 100, -5, IPC_NOWAIT).fails(ENOMSG);
    t.put(queue, 5, "low");
    assert_eq!(t.take(queue, (1 << 32) + 5), "high");
    assert_eq!(t.take(queue, 5), "low");
}
