//! Ids: places are used in turn, and an old id never means a new queue.

use crate::memory::Area;
use crate::msg::{IPCMNI, Queue};
use crate::scenarios::{Scenario, table};
use crate::stage::Stage;
use libc::{EINVAL, IPC_CREAT, IPC_NOWAIT, IPC_PRIVATE, IPC_RMID, IPC_SET, IPC_STAT, MSG_STAT};

pub(super) const ALL: &[Scenario] = table![
    first_ids_are_zero_one_two,
    removed_place_is_not_used_again_at_once,
    places_go_round_after_sixty_four,
    sequence_grows_by_one_each_round,
    many_queues_widen_the_round,
    gap_is_filled_in_the_next_round,
    removed_id_is_einval,
    id_of_a_place_used_again_is_einval,
    id_of_a_wrong_sequence_is_einval,
    id_beyond_every_queue_is_einval,
    huge_id_is_einval,
    negative_ids_are_einval,
    key_finds_the_new_id_after_many_rounds,
];

/// Makes a queue and removes it, `count` times: the last one's id.
fn churn(t: &Stage, count: usize) -> Queue {
    let mut last = Queue(-1);
    for _ in 0..count {
        last = t.private();
        t.remove(last).must();
    }
    last
}

fn first_ids_are_zero_one_two(t: &Stage) {
    let ids: Vec<i32> = (0..3).map(|_| t.private().0).collect();
    assert_eq!(ids, [0, 1, 2]);
}

fn removed_place_is_not_used_again_at_once(t: &Stage) {
    let ids: Vec<i32> = (0..4).map(|_| churn(t, 1).0).collect();
    assert_eq!(ids, [0, 1, 2, 3]);
}

fn places_go_round_after_sixty_four(t: &Stage) {
    assert_eq!(churn(t, 64).0, 63);
    assert_eq!(churn(t, 1).0, IPCMNI);
    assert_eq!(churn(t, 1).0, IPCMNI + 1);
}

fn sequence_grows_by_one_each_round(t: &Stage) {
    let firsts: Vec<i32> = (0..4)
        .map(|_| {
            let first = churn(t, 1);
            churn(t, 63);
            first.0
        })
        .collect();
    assert_eq!(firsts, [0, IPCMNI, 2 * IPCMNI, 3 * IPCMNI]);
}

fn many_queues_widen_the_round(t: &Stage) {
    let queues: Vec<Queue> = (0..100).map(|_| t.private()).collect();
    assert_eq!(queues[99].0, 99);
    let ids: Vec<i32> = (0..60).map(|_| churn(t, 1).0).collect();
    t.say(format_args!("{ids:?}"));
    assert_eq!(ids[..50], (100..150).collect::<Vec<_>>()[..]);
    assert_eq!(
        ids[50..],
        (100..110).map(|index| IPCMNI + index).collect::<Vec<_>>()[..]
    );
}

fn gap_is_filled_in_the_next_round(t: &Stage) {
    let queues: Vec<Queue> = (0..10).map(|_| t.private()).collect();
    t.remove(queues[4]).must();
    assert_eq!(churn(t, 54).0, 63);
    assert_eq!(t.private().0, IPCMNI + 4);
    assert_eq!(t.private().0, IPCMNI + 10);
}

fn every_call_fails(t: &Stage, queue: Queue, errno: i32) {
    t.send(queue, 1, "x", IPC_NOWAIT).fails(errno);
    t.recv(queue, 10, 0, IPC_NOWAIT).fails(errno);
    t.stat(queue).fails(errno);
    let area = Area::new(size_of::<libc::msqid_ds>());
    t.ctl(queue.0, IPC_SET, &area).fails(errno);
    t.remove(queue).fails(errno);
}

fn removed_id_is_einval(t: &Stage) {
    let queue = t.private();
    t.remove(queue).must();
    every_call_fails(t, queue, EINVAL);
}

fn id_of_a_place_used_again_is_einval(t: &Stage) {
    let old = churn(t, 1);
    churn(t, 63);
    let new = t.private();
    assert_eq!(new.index(), old.index());
    every_call_fails(t, old, EINVAL);
    t.put(new, 1, "still there");
}

fn id_of_a_wrong_sequence_is_einval(t: &Stage) {
    let queue = t.private();
    every_call_fails(t, Queue(queue.0 + IPCMNI), EINVAL);
    every_call_fails(t, Queue(queue.0 + 7 * IPCMNI), EINVAL);
}

fn id_beyond_every_queue_is_einval(t: &Stage) {
    t.private();
    every_call_fails(t, Queue(1), EINVAL);
    every_call_fails(t, Queue(1000), EINVAL);
    every_call_fails(t, Queue(32767), EINVAL);
    every_call_fails(t, Queue(3 * IPCMNI + 5), EINVAL);
}

fn huge_id_is_einval(t: &Stage) {
    every_call_fails(t, Queue(i32::MAX), EINVAL);
    every_call_fails(t, Queue(i32::MAX - 32767), EINVAL);
}

fn negative_ids_are_einval(t: &Stage) {
    t.private();
    for id in [-1, -2, -32768, i32::MIN, i32::MIN + 32768] {
        every_call_fails(t, Queue(id), EINVAL);
        for cmd in [IPC_RMID, IPC_STAT, MSG_STAT] {
            t.ctl(id, cmd, &Area::new(size_of::<libc::msqid_ds>()))
                .fails(EINVAL);
        }
    }
}

fn key_finds_the_new_id_after_many_rounds(t: &Stage) {
    churn(t, 130);
    let queue = t.get(0x77, IPC_CREAT | 0o600).must();
    assert_eq!(queue.0, 2 * IPCMNI + 2);
    assert_eq!(t.get(0x77, 0).must(), queue);
    assert_eq!(t.stat(queue).must().sequence, 2);
    assert_ne!(t.get(IPC_PRIVATE, 0o600).must(), queue);
}
