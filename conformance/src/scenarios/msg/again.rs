//! `msgget` of the same key, again and again: what changed in between counts.

use crate::process::set_effective_uid;
use crate::scenarios::{ANN, Scenario, table};
use crate::stage::Stage;
use libc::{EACCES, EEXIST, ENOENT, IPC_CREAT, IPC_EXCL};

pub(super) const ALL: &[Scenario] = table![
    key_asked_again_is_the_same_queue,
    key_asked_again_exclusively_is_eexist,
    key_asked_again_after_removal_is_enoent,
    key_asked_again_after_anothers_removal_is_enoent,
    key_that_another_made_anew_is_the_new_queue,
    key_asked_again_in_a_fork_child,
    keys_asked_in_turns_are_their_own_queues,
    key_asked_again_asks_who_calls_each_time needs_root,
    key_asked_again_asks_for_the_mode_each_time needs_root,
];

const KEY: i32 = 0x5ee6;

fn key_asked_again_is_the_same_queue(t: &Stage) {
    let queue = t.get(KEY, IPC_CREAT | 0o600).must();
    for flags in [0o600, 0, IPC_CREAT | 0o600, IPC_EXCL | 0o600] {
        assert_eq!(t.get(KEY, flags).must(), queue);
    }
}

fn key_asked_again_exclusively_is_eexist(t: &Stage) {
    let queue = t.get(KEY, IPC_CREAT | 0o600).must();
    for _ in 0..3 {
        assert_eq!(t.get(KEY, 0).must(), queue);
        t.get(KEY, IPC_CREAT | IPC_EXCL | 0o600).fails(EEXIST);
    }
}

fn key_asked_again_after_removal_is_enoent(t: &Stage) {
    for _ in 0..3 {
        let queue = t.get(KEY, IPC_CREAT | 0o600).must();
        assert_eq!(t.get(KEY, 0).must(), queue);
        t.remove(queue).must();
        t.get(KEY, 0).fails(ENOENT);
    }
}

fn key_asked_again_after_anothers_removal_is_enoent(t: &Stage) {
    let queue = t.get(KEY, IPC_CREAT | 0o600).must();
    assert_eq!(t.get(KEY, 0).must(), queue);
    let child = t.spawn("child", |t| t.remove(queue).must());
    t.join(child);
    t.get(KEY, 0).fails(ENOENT);
    t.get(KEY, 0o600).fails(ENOENT);
}

fn key_that_another_made_anew_is_the_new_queue(t: &Stage) {
    let mut last = t.get(KEY, IPC_CREAT | 0o600).must();
    for round in 0..3 {
        assert_eq!(t.get(KEY, 0o600).must(), last);
        let child = t.spawn("child", |t| {
            t.remove(last).must();
            let anew = t.get(KEY, IPC_CREAT | 0o600).must();
            t.put(anew, 1, &format!("round {round}"));
        });
        t.join(child);
        let anew = t.get(KEY, 0o600).must();
        assert_ne!(anew, last);
        assert_eq!(t.take(anew, 1), format!("round {round}"));
        last = anew;
    }
}

fn key_asked_again_in_a_fork_child(t: &Stage) {
    let queue = t.get(KEY, IPC_CREAT | 0o600).must();
    assert_eq!(t.get(KEY, 0).must(), queue);
    let child = t.spawn("child", |t| {
        assert_eq!(t.get(KEY, 0).must(), queue);
        t.remove(queue).must();
        t.get(KEY, 0).fails(ENOENT);
    });
    t.join(child);
    t.get(KEY, 0).fails(ENOENT);
}

fn keys_asked_in_turns_are_their_own_queues(t: &Stage) {
    // More keys than could be remembered, and such as differ in a few bits.
    let keys: Vec<i32> = (0..100)
        .chain((0..50).map(|n| n << 16))
        .chain((0..50).map(|n| -n << 24))
        .map(|n| n ^ KEY)
        .collect();
    let mut queues = Vec::new();
    for &key in &keys {
        queues.push(t.get(key, IPC_CREAT | 0o600).must());
    }
    for _ in 0..2 {
        for (&key, &queue) in keys.iter().zip(&queues) {
            assert_eq!(t.get(key, 0).must(), queue);
            assert_eq!(t.stat(queue).must().key, key);
        }
    }
}

fn key_asked_again_asks_who_calls_each_time(t: &Stage) {
    let queue = t.get(KEY, IPC_CREAT | 0o640).must();
    for _ in 0..2 {
        assert_eq!(t.get(KEY, 0o600).must(), queue);
        set_effective_uid(ANN);
        t.get(KEY, 0o600).fails(EACCES);
        assert_eq!(t.get(KEY, 0).must(), queue);
        set_effective_uid(0);
    }
}

fn key_asked_again_asks_for_the_mode_each_time(t: &Stage) {
    let queue = t.get(KEY, IPC_CREAT | 0o666).must();
    for (mode, reads) in [(0o666, true), (0o622, false), (0o644, true), (0o600, false)] {
        t.change(queue, |stat| stat.mode = mode).must();
        set_effective_uid(ANN);
        if reads {
            assert_eq!(t.get(KEY, 0o400).must(), queue);
        } else {
            t.get(KEY, 0o400).fails(EACCES);
        }
        set_effective_uid(0);
    }
}
