//! `msgget`: keys, flags, and what a fresh queue looks like.

use crate::players::Gate;
use crate::process;
use crate::scenarios::{Scenario, table};
use crate::stage::Stage;
use crate::world::TRAP_KEY;
use libc::{EACCES, EEXIST, ENOENT, IPC_CREAT, IPC_EXCL, IPC_NOWAIT, IPC_PRIVATE};

pub(super) const ALL: &[Scenario] = table![
    private_makes_a_new_queue_each_time,
    private_needs_no_creat,
    private_with_creat_and_excl_is_still_new,
    private_queue_has_key_zero_and_cannot_be_found,
    missing_key_without_creat_is_enoent,
    creat_makes_a_queue_that_its_key_finds,
    creat_on_an_existing_key_finds_it,
    creat_on_an_existing_key_leaves_its_mode,
    excl_on_an_existing_key_is_eexist,
    excl_without_creat_finds_an_existing_key,
    excl_without_creat_on_a_missing_key_is_enoent,
    negative_keys_are_ordinary,
    key_minus_one_is_ordinary,
    keys_differ_by_one_bit,
    fresh_queue_is_blank,
    mode_keeps_nine_bits,
    umask_does_not_apply,
    unknown_flag_bits_are_ignored,
    nowait_bit_in_get_is_ignored,
    key_is_free_again_after_removal,
    key_of_a_removed_queue_makes_another_queue,
    queue_outlives_its_maker,
    racing_exclusive_makers_have_one_winner,
    racing_makers_get_one_queue,
    excl_is_checked_before_permission needs_root,
    lookup_without_wanted_bits_needs_no_permission needs_root,
];

const KEY: i32 = 0x5ee5;

fn private_makes_a_new_queue_each_time(t: &Stage) {
    let one = t.get(IPC_PRIVATE, 0o600).must();
    let two = t.get(IPC_PRIVATE, 0o600).must();
    assert_ne!(one, two);
}

fn private_needs_no_creat(t: &Stage) {
    let queue = t.get(IPC_PRIVATE, 0).must();
    assert_eq!(t.stat_any_at(queue.index()).must().1.mode, 0);
}

fn private_with_creat_and_excl_is_still_new(t: &Stage) {
    let one = t.get(IPC_PRIVATE, IPC_CREAT | IPC_EXCL | 0o600).must();
    let two = t.get(IPC_PRIVATE, IPC_CREAT | IPC_EXCL | 0o600).must();
    assert_ne!(one, two);
}

fn private_queue_has_key_zero_and_cannot_be_found(t: &Stage) {
    let queue = t.private();
    assert_eq!(t.stat(queue).must().key, 0);
    assert_ne!(t.get(0, 0o600).must(), queue);
}

fn missing_key_without_creat_is_enoent(t: &Stage) {
    t.get(TRAP_KEY, 0o600).fails(ENOENT);
    t.get(TRAP_KEY, 0).fails(ENOENT);
}

fn creat_makes_a_queue_that_its_key_finds(t: &Stage) {
    let queue = t.get(KEY, IPC_CREAT | 0o600).must();
    assert_eq!(t.get(KEY, 0).must(), queue);
    assert_eq!(t.stat(queue).must().key, KEY);
}

fn creat_on_an_existing_key_finds_it(t: &Stage) {
    let queue = t.get(KEY, IPC_CREAT | 0o600).must();
    assert_eq!(t.get(KEY, IPC_CREAT | 0o600).must(), queue);
}

fn creat_on_an_existing_key_leaves_its_mode(t: &Stage) {
    let queue = t.get(KEY, IPC_CREAT | 0o640).must();
    t.get(KEY, IPC_CREAT | 0o600).must();
    assert_eq!(t.stat(queue).must().mode, 0o640);
}

fn excl_on_an_existing_key_is_eexist(t: &Stage) {
    t.get(KEY, IPC_CREAT | IPC_EXCL | 0o600).must();
    t.get(KEY, IPC_CREAT | IPC_EXCL | 0o600).fails(EEXIST);
    t.get(KEY, IPC_CREAT | IPC_EXCL).fails(EEXIST);
}

fn excl_without_creat_finds_an_existing_key(t: &Stage) {
    let queue = t.get(KEY, IPC_CREAT | 0o600).must();
    assert_eq!(t.get(KEY, IPC_EXCL).must(), queue);
}

fn excl_without_creat_on_a_missing_key_is_enoent(t: &Stage) {
    t.get(TRAP_KEY, IPC_EXCL | 0o600).fails(ENOENT);
}

fn negative_keys_are_ordinary(t: &Stage) {
    for key in [i32::MIN, -2, -0x1234_5678] {
        t.get(key, 0).fails(ENOENT);
        let queue = t.get(key, IPC_CREAT | 0o600).must();
        assert_eq!(t.get(key, 0).must(), queue);
        assert_eq!(t.stat(queue).must().key, key);
    }
}

fn key_minus_one_is_ordinary(t: &Stage) {
    let queue = t.get(-1, IPC_CREAT | IPC_EXCL | 0o600).must();
    assert_eq!(t.get(-1, 0).must(), queue);
    t.get(-1, IPC_CREAT | IPC_EXCL | 0o600).fails(EEXIST);
}

fn keys_differ_by_one_bit(t: &Stage) {
    let base = t.get(0x4000_0001, IPC_CREAT | 0o600).must();
    for bit in [1, 15, 16, 29, 31] {
        let key = 0x4000_0001 ^ (1_u32 << bit) as i32;
        assert_ne!(t.get(key, IPC_CREAT | 0o600).must(), base);
    }
}

fn fresh_queue_is_blank(t: &Stage) {
    let queue = t.get(KEY, IPC_CREAT | 0o640).must();
    let stat = t.stat(queue).must();
    let (uid, gid) = (process::effective_uid(), process::effective_gid());
    assert_eq!(
        (stat.uid, stat.gid, stat.cuid, stat.cgid),
        (uid, gid, uid, gid)
    );
    assert_eq!((stat.qnum, stat.cbytes, stat.qbytes), (0, 0, 16384));
    assert_eq!(
        (stat.stime, stat.rtime, stat.lspid, stat.lrpid),
        (0, 0, 0, 0)
    );
    assert_eq!(stat.mode, 0o640);
    assert_eq!(stat.sequence as i32, queue.sequence());
    assert_ne!(stat.ctime, 0);
}

fn mode_keeps_nine_bits(t: &Stage) {
    let queue = t.get(IPC_PRIVATE, 0o777).must();
    assert_eq!(t.stat(queue).must().mode, 0o777);
    let queue = t.get(IPC_PRIVATE, 0o123_604).must();
    assert_eq!(t.stat(queue).must().mode, 0o604);
}

fn umask_does_not_apply(t: &Stage) {
    process::set_umask(0o777);
    let queue = t.get(KEY, IPC_CREAT | 0o666).must();
    assert_eq!(t.stat(queue).must().mode, 0o666);
    assert_eq!(t.get(KEY, 0o666).must(), queue);
}

fn unknown_flag_bits_are_ignored(t: &Stage) {
    let queue = t.get(KEY, IPC_CREAT | 0x7fff_0000 | 0o600).must();
    assert_eq!(t.get(KEY, 0x4000_0000).must(), queue);
    assert_eq!(t.stat(queue).must().mode, 0o600);
}

fn nowait_bit_in_get_is_ignored(t: &Stage) {
    t.get(KEY, IPC_NOWAIT).fails(ENOENT);
    let queue = t.get(KEY, IPC_CREAT | IPC_NOWAIT | 0o600).must();
    assert_eq!(t.get(KEY, IPC_NOWAIT).must(), queue);
}

fn key_is_free_again_after_removal(t: &Stage) {
    let queue = t.get(KEY, IPC_CREAT | 0o600).must();
    t.remove(queue).must();
    t.get(KEY, 0).fails(ENOENT);
}

fn key_of_a_removed_queue_makes_another_queue(t: &Stage) {
    let old = t.get(KEY, IPC_CREAT | IPC_EXCL | 0o600).must();
    t.put(old, 1, "forgotten");
    t.remove(old).must();
    let new = t.get(KEY, IPC_CREAT | IPC_EXCL | 0o600).must();
    assert_ne!(old, new);
    t.is_empty(new);
}

fn queue_outlives_its_maker(t: &Stage) {
    let child = t.spawn("maker", |t| {
        let queue = t.get(KEY, IPC_CREAT | 0o600).must();
        t.put(queue, 1, "legacy");
    });
    t.join(child);
    let queue = t.get(KEY, 0).must();
    assert_eq!(t.take(queue, 0), "legacy");
}

fn racing_exclusive_makers_have_one_winner(t: &Stage) {
    for round in 0..10 {
        let gate = Gate::new();
        let makers: Vec<_> = (0..6)
            .map(|_| {
                t.spawn("maker", |t| {
                    gate.pass();
                    t.tell(
                        crate::call::msgget(KEY + round, IPC_CREAT | IPC_EXCL | 0o600)
                            .is_ok()
                            .into(),
                    );
                })
            })
            .collect();
        gate.open();
        let winners: i64 = makers.iter().map(|maker| t.hear(maker, 1)).sum();
        makers.into_iter().for_each(|maker| t.join(maker));
        assert_eq!(winners, 1);
    }
}

fn racing_makers_get_one_queue(t: &Stage) {
    for round in 0..10 {
        let gate = Gate::new();
        let makers: Vec<_> = (0..6)
            .map(|_| {
                t.spawn("maker", |t| {
                    gate.pass();
                    let id = crate::call::msgget(KEY + round, IPC_CREAT | 0o600);
                    t.tell(id.map_or(-1, i64::from));
                })
            })
            .collect();
        gate.open();
        let ids: Vec<i64> = makers.iter().map(|maker| t.hear(maker, 1)).collect();
        makers.into_iter().for_each(|maker| t.join(maker));
        assert!(ids[0] >= 0 && ids.iter().all(|&id| id == ids[0]), "{ids:?}");
    }
}

fn excl_is_checked_before_permission(t: &Stage) {
    t.get(KEY, IPC_CREAT | 0o600).must();
    process::become_user(1000, 1000, &[]);
    t.get(KEY, 0o600).fails(EACCES);
    t.get(KEY, IPC_CREAT | 0o600).fails(EACCES);
    t.get(KEY, IPC_CREAT | IPC_EXCL | 0o600).fails(EEXIST);
}

fn lookup_without_wanted_bits_needs_no_permission(t: &Stage) {
    let queue = t.get(KEY, IPC_CREAT | 0o600).must();
    process::become_user(1000, 1000, &[]);
    assert_eq!(t.get(KEY, 0).must(), queue);
    t.stat(queue).fails(EACCES);
}
