//! Ids of segments: which come, and which stay away.

use crate::mapping::PAGE;
use crate::scenarios::{Scenario, table};
use crate::shm::{ANYWHERE, Segment};
use crate::stage::Stage;
use libc::{EINVAL, IPC_CREAT};

pub(super) const ALL: &[Scenario] = table![
    first_segment_has_id_zero,
    segment_indexes_come_in_turn,
    segment_sequence_begins_anew_with_the_indexes,
    segment_id_of_a_removed_one_is_einval,
    segment_id_is_not_used_again_at_once,
    segment_ids_out_of_range_are_einval,
    segment_id_with_the_wrong_sequence_is_einval,
    segment_id_counts_while_it_waits_for_its_last_detach,
    segment_stat_tells_the_sequence,
];

fn first_segment_has_id_zero(t: &Stage) {
    assert_eq!(t.segment(PAGE), Segment(0));
    assert_eq!(t.segment(PAGE), Segment(1));
}

fn segment_indexes_come_in_turn(t: &Stage) {
    for index in 0..10 {
        let segment = t.segment(1);
        assert_eq!(segment, Segment(index));
        t.shm_remove(segment).must();
    }
}

fn segment_sequence_begins_anew_with_the_indexes(t: &Stage) {
    let kept = t.segment(1);
    let mut last = kept;
    let mut count = 0;
    while last.sequence() == 0 {
        last = t.segment(1);
        t.shm_remove(last).must();
        count += 1;
        assert!(count < 200, "the sequence never grows");
    }
    t.say(format_args!(
        "after {count} the sequence is {} and the index {}",
        last.sequence(),
        last.index()
    ));
}

fn segment_id_of_a_removed_one_is_einval(t: &Stage) {
    let segment = t.segment(PAGE);
    t.shm_remove(segment).must();
    t.is_gone(segment);
    t.shm_remove(segment).fails(EINVAL);
    t.shm_lock(segment).fails(EINVAL);
}

fn segment_id_is_not_used_again_at_once(t: &Stage) {
    let mut seen = Vec::new();
    for _ in 0..100 {
        let segment = t.shmget(0x51, 1, IPC_CREAT | 0o600).must();
        assert!(!seen.contains(&segment.0));
        seen.push(segment.0);
        t.shm_remove(segment).must();
    }
}

fn segment_ids_out_of_range_are_einval(t: &Stage) {
    t.segment(PAGE);
    for id in [-1, i32::MIN, i32::MAX, 1, 5000, 32768] {
        t.shmat(Segment(id), ANYWHERE, 0).fails(EINVAL);
        t.shm_stat(Segment(id)).fails(EINVAL);
        t.shm_remove(Segment(id)).fails(EINVAL);
    }
}

fn segment_id_with_the_wrong_sequence_is_einval(t: &Stage) {
    let segment = t.segment(PAGE);
    let wrong = Segment(segment.0 + crate::msg::IPCMNI);
    t.shmat(wrong, ANYWHERE, 0).fails(EINVAL);
    t.shm_stat(wrong).fails(EINVAL);
    t.shm_remove(wrong).fails(EINVAL);
    t.shm_stat(segment).must();
}

fn segment_id_counts_while_it_waits_for_its_last_detach(t: &Stage) {
    let segment = t.segment(PAGE);
    let at = t.attach(segment);
    t.shm_remove(segment).must();
    assert_eq!(t.segment(PAGE).index(), segment.index() + 1);
    assert_eq!(t.shm_usage(0).must().1.used_ids, 2);
    t.detach(at);
    assert_eq!(t.shm_usage(0).must().1.used_ids, 1);
}

fn segment_stat_tells_the_sequence(t: &Stage) {
    for _ in 0..70 {
        let segment = t.segment(1);
        let stat = t.shm_stat(segment).must();
        assert_eq!(stat.sequence as i32, segment.sequence());
        t.shm_remove(segment).must();
    }
}
