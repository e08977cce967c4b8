//! `semget`: keys, flags, sizes, and what a fresh set looks like.

use crate::players::Gate;
use crate::process::{become_user, own_pid};
use crate::scenarios::{ANN, BOB, Scenario, table};
use crate::stage::Stage;
use crate::world::TRAP_KEY;
use libc::{EACCES, EEXIST, EINVAL, ENOENT, IPC_CREAT, IPC_EXCL, IPC_NOWAIT, IPC_PRIVATE};

pub(super) const ALL: &[Scenario] = table![
    private_makes_a_new_set_each_time,
    private_set_needs_no_creat,
    private_set_has_key_zero_and_cannot_be_found,
    missing_set_without_creat_is_enoent,
    creat_makes_a_set_that_its_key_finds,
    creat_on_an_existing_set_leaves_its_mode_and_values,
    excl_on_an_existing_set_is_eexist,
    excl_without_creat_finds_an_existing_set,
    negative_keys_name_sets_too,
    a_queue_and_a_set_may_share_a_key,
    new_set_of_zero_semaphores_is_einval,
    zero_semaphores_find_an_existing_set,
    fewer_semaphores_find_an_existing_set,
    more_semaphores_than_an_existing_set_has_is_einval,
    negative_size_is_einval_before_all_else,
    size_above_semmsl_is_einval_before_all_else,
    size_of_semmsl_is_the_largest,
    size_above_semmsl_is_einval_for_an_existing_set,
    exclusion_is_checked_before_the_size,
    size_is_checked_before_permission needs_root,
    exclusion_is_checked_before_permission_for_sets needs_root,
    set_lookup_asks_for_the_bits_it_names needs_root,
    set_lookup_asks_in_any_class needs_root,
    set_lookup_by_others_asks_for_their_bits needs_root,
    fresh_set_is_blank,
    set_mode_keeps_nine_bits,
    umask_does_not_apply_to_sets,
    unknown_bits_in_semget_are_ignored,
    set_key_is_free_again_after_removal,
    set_key_that_another_made_anew_is_the_new_set,
    set_outlives_its_maker,
    racing_exclusive_set_makers_have_one_winner,
    racing_set_makers_get_one_set,
    set_belongs_to_the_effective_ids needs_root,
];

const KEY: i32 = 0x5ee5;

fn private_makes_a_new_set_each_time(t: &Stage) {
    let one = t.semget(IPC_PRIVATE, 1, 0o600).must();
    let two = t.semget(IPC_PRIVATE, 1, 0o600).must();
    let three = t
        .semget(IPC_PRIVATE, 1, IPC_CREAT | IPC_EXCL | 0o600)
        .must();
    assert!(one != two && two != three && one != three);
}

fn private_set_needs_no_creat(t: &Stage) {
    let set = t.semget(IPC_PRIVATE, 3, 0).must();
    assert_eq!(t.semstat_any_at(set.index()).must().1.mode, 0);
}

fn private_set_has_key_zero_and_cannot_be_found(t: &Stage) {
    let set = t.set_of(&[0]);
    assert_eq!(t.semstat(set).must().key, 0);
    assert_ne!(t.semget(0, 1, 0o600).must(), set);
}

fn missing_set_without_creat_is_enoent(t: &Stage) {
    t.semget(TRAP_KEY, 1, 0o600).fails(ENOENT);
    t.semget(TRAP_KEY, 0, 0).fails(ENOENT);
    t.semget(TRAP_KEY, 1, IPC_EXCL | 0o600).fails(ENOENT);
}

fn creat_makes_a_set_that_its_key_finds(t: &Stage) {
    let set = t.semget(KEY, 2, IPC_CREAT | 0o600).must();
    assert_eq!(t.semget(KEY, 2, 0).must(), set);
    assert_eq!(t.semget(KEY, 2, IPC_CREAT | 0o600).must(), set);
    assert_eq!(t.semstat(set).must().key, KEY);
}

fn creat_on_an_existing_set_leaves_its_mode_and_values(t: &Stage) {
    let set = t.semget(KEY, 2, IPC_CREAT | 0o640).must();
    t.setall(set, &[3, 4]).must();
    t.semget(KEY, 2, IPC_CREAT | 0o600).must();
    assert_eq!(t.semstat(set).must().mode, 0o640);
    t.holds(set, &[3, 4]);
}

fn excl_on_an_existing_set_is_eexist(t: &Stage) {
    t.semget(KEY, 1, IPC_CREAT | IPC_EXCL | 0o600).must();
    t.semget(KEY, 1, IPC_CREAT | IPC_EXCL | 0o600).fails(EEXIST);
    t.semget(KEY, 1, IPC_CREAT | IPC_EXCL).fails(EEXIST);
}

fn excl_without_creat_finds_an_existing_set(t: &Stage) {
    let set = t.semget(KEY, 1, IPC_CREAT | 0o600).must();
    assert_eq!(t.semget(KEY, 1, IPC_EXCL).must(), set);
}

fn negative_keys_name_sets_too(t: &Stage) {
    for key in [i32::MIN, -1, -2, i32::MAX] {
        t.semget(key, 1, 0).fails(ENOENT);
        let set = t.semget(key, 1, IPC_CREAT | 0o600).must();
        assert_eq!(t.semget(key, 1, 0).must(), set);
        assert_eq!(t.semstat(set).must().key, key);
    }
}

fn a_queue_and_a_set_may_share_a_key(t: &Stage) {
    let queue = t.get(KEY, IPC_CREAT | IPC_EXCL | 0o600).must();
    let set = t.semget(KEY, 1, IPC_CREAT | IPC_EXCL | 0o600).must();
    assert_eq!((queue.0, set.0), (0, 0));
    t.semrm(set).must();
    t.put(queue, 1, "still there");
    t.semget(KEY, 1, 0).fails(ENOENT);
}

fn new_set_of_zero_semaphores_is_einval(t: &Stage) {
    t.semget(IPC_PRIVATE, 0, 0o600).fails(EINVAL);
    t.semget(KEY, 0, IPC_CREAT | 0o600).fails(EINVAL);
    t.semget(KEY, 0, IPC_CREAT | IPC_EXCL | 0o600).fails(EINVAL);
    t.semget(KEY, 0, 0).fails(ENOENT);
}

fn zero_semaphores_find_an_existing_set(t: &Stage) {
    let set = t.semget(KEY, 5, IPC_CREAT | 0o600).must();
    assert_eq!(t.semget(KEY, 0, 0).must(), set);
    assert_eq!(t.semget(KEY, 0, IPC_CREAT | 0o600).must(), set);
    assert_eq!(t.semstat(set).must().nsems, 5);
}

fn fewer_semaphores_find_an_existing_set(t: &Stage) {
    let set = t.semget(KEY, 5, IPC_CREAT | 0o600).must();
    for nsems in 1..=5 {
        assert_eq!(t.semget(KEY, nsems, 0).must(), set);
    }
    assert_eq!(t.semstat(set).must().nsems, 5);
}

fn more_semaphores_than_an_existing_set_has_is_einval(t: &Stage) {
    t.semget(KEY, 5, IPC_CREAT | 0o600).must();
    t.semget(KEY, 6, 0).fails(EINVAL);
    t.semget(KEY, 6, IPC_CREAT | 0o600).fails(EINVAL);
    t.semget(KEY, 32000, IPC_CREAT | 0o600).fails(EINVAL);
}

fn negative_size_is_einval_before_all_else(t: &Stage) {
    t.semget(IPC_PRIVATE, -1, 0o600).fails(EINVAL);
    t.semget(TRAP_KEY, -1, 0).fails(EINVAL);
    t.semget(KEY, 1, IPC_CREAT | 0o600).must();
    t.semget(KEY, -1, 0).fails(EINVAL);
    t.semget(KEY, i32::MIN, IPC_CREAT | IPC_EXCL).fails(EINVAL);
}

fn size_above_semmsl_is_einval_before_all_else(t: &Stage) {
    t.semget(IPC_PRIVATE, 32001, 0o600).fails(EINVAL);
    t.semget(IPC_PRIVATE, i32::MAX, 0o600).fails(EINVAL);
    t.semget(TRAP_KEY, 32001, 0).fails(EINVAL);
    t.semget(KEY, 32001, IPC_CREAT | 0o600).fails(EINVAL);
}

fn size_of_semmsl_is_the_largest(t: &Stage) {
    let set = t.semget(KEY, 32000, IPC_CREAT | 0o600).must();
    assert_eq!(t.semstat(set).must().nsems, 32000);
    t.getval(set, 31999).must();
    t.getval(set, 32000).fails(EINVAL);
    assert_eq!(t.semget(KEY, 32000, 0).must(), set);
}

fn size_above_semmsl_is_einval_for_an_existing_set(t: &Stage) {
    t.semget(KEY, 5, IPC_CREAT | 0o600).must();
    t.semget(KEY, 32001, 0).fails(EINVAL);
    t.semget(KEY, 32001, IPC_CREAT | IPC_EXCL).fails(EINVAL);
}

fn exclusion_is_checked_before_the_size(t: &Stage) {
    t.semget(KEY, 5, IPC_CREAT | 0o600).must();
    t.semget(KEY, 6, IPC_CREAT | IPC_EXCL | 0o600).fails(EEXIST);
    t.semget(KEY, 0, IPC_CREAT | IPC_EXCL | 0o600).fails(EEXIST);
}

fn size_is_checked_before_permission(t: &Stage) {
    t.semget(KEY, 5, IPC_CREAT | 0o600).must();
    become_user(ANN, ANN, &[]);
    t.semget(KEY, 6, 0o600).fails(EINVAL);
    t.semget(KEY, 5, 0o600).fails(EACCES);
    t.semget(KEY, 0, 0o400).fails(EACCES);
}

fn exclusion_is_checked_before_permission_for_sets(t: &Stage) {
    t.semget(KEY, 5, IPC_CREAT | 0o600).must();
    become_user(ANN, ANN, &[]);
    t.semget(KEY, 5, IPC_CREAT | IPC_EXCL | 0o600).fails(EEXIST);
}

/// What becomes of `semget` with each of these flags, for somebody who is not root.
fn gets(t: &Stage, key: i32, granted: &[i32], refused: &[i32]) {
    for &flags in granted {
        t.semget(key, 1, flags).must();
        t.semget(key, 0, flags | IPC_CREAT).must();
    }
    for &flags in refused {
        t.semget(key, 1, flags).fails(EACCES);
        t.semget(key, 0, flags | IPC_CREAT).fails(EACCES);
    }
}

fn set_lookup_asks_for_the_bits_it_names(t: &Stage) {
    become_user(ANN, ANN, &[]);
    t.semget(1, 1, IPC_CREAT | 0o400).must();
    gets(t, 1, &[0, 0o400], &[0o200, 0o600, 0o100]);
    t.semget(2, 1, IPC_CREAT | 0o200).must();
    gets(t, 2, &[0, 0o200], &[0o400, 0o600]);
    t.semget(3, 1, IPC_CREAT | 0o600).must();
    gets(t, 3, &[0, 0o200, 0o400, 0o600], &[0o700, 0o100]);
    t.semget(4, 1, IPC_CREAT).must();
    gets(t, 4, &[0], &[0o200, 0o400]);
}

fn set_lookup_asks_in_any_class(t: &Stage) {
    become_user(ANN, ANN, &[]);
    t.semget(1, 1, IPC_CREAT | 0o400).must();
    gets(
        t,
        1,
        &[0o040, 0o004, 0o444],
        &[0o020, 0o002, 0o006, 0o420, 0o402, 0o666],
    );
}

fn set_lookup_by_others_asks_for_their_bits(t: &Stage) {
    t.semget(1, 1, IPC_CREAT | 0o604).must();
    t.semget(2, 1, IPC_CREAT | 0o660).must();
    become_user(BOB, BOB, &[]);
    gets(t, 1, &[0, 0o400, 0o444], &[0o200, 0o600, 0o666, 0o606]);
    gets(t, 2, &[0], &[0o400, 0o004, 0o040]);
}

fn fresh_set_is_blank(t: &Stage) {
    let set = t.semget(KEY, 4, IPC_CREAT | 0o640).must();
    let stat = t.semstat(set).must();
    assert_eq!((stat.nsems, stat.otime, stat.mode), (4, 0, 0o640));
    assert_ne!(stat.ctime, 0);
    t.holds(set, &[0; 4]);
    for num in 0..4 {
        assert_eq!(t.getpid(set, num).must(), 0);
        t.awaited(set, num, 0, 0);
    }
}

fn set_mode_keeps_nine_bits(t: &Stage) {
    let set = t.semget(KEY, 1, IPC_CREAT | 0o7777).must();
    assert_eq!(t.semstat(set).must().mode, 0o777);
}

fn umask_does_not_apply_to_sets(t: &Stage) {
    crate::process::set_umask(0o077);
    let set = t.semget(KEY, 1, IPC_CREAT | 0o666).must();
    assert_eq!(t.semstat(set).must().mode, 0o666);
}

fn unknown_bits_in_semget_are_ignored(t: &Stage) {
    let flags = IPC_CREAT | IPC_NOWAIT | 0x4000_0000 | 0o600;
    let set = t.semget(KEY, 1, flags).must();
    assert_eq!(t.semstat(set).must().mode, 0o600);
    assert_eq!(t.semget(KEY, 1, IPC_NOWAIT | 0x0010_0000).must(), set);
}

fn set_key_is_free_again_after_removal(t: &Stage) {
    let old = t.semget(KEY, 1, IPC_CREAT | 0o600).must();
    t.setval(old, 0, 7).must();
    t.semrm(old).must();
    t.semget(KEY, 1, 0).fails(ENOENT);
    let new = t.semget(KEY, 3, IPC_CREAT | IPC_EXCL | 0o600).must();
    assert_ne!(old, new);
    t.holds(new, &[0; 3]);
}

fn set_outlives_its_maker(t: &Stage) {
    let child = t.spawn("maker", |t| {
        let set = t.semget(KEY, 1, IPC_CREAT | 0o600).must();
        t.setval(set, 0, 5).must();
    });
    let pid = child.pid;
    t.join(child);
    let set = t.semget(KEY, 1, 0).must();
    t.holds(set, &[5]);
    assert_eq!(t.getpid(set, 0).must(), pid);
    assert_ne!(pid, own_pid());
}

const RACERS: usize = 8;

/// How many of eight racers got a set, and how many different ones.
fn race(t: &Stage, flags: i32) -> (usize, usize) {
    let gate = Gate::new();
    let racers: Vec<_> = (0..RACERS)
        .map(|_| {
            t.spawn("racer", |t| {
                gate.pass();
                let got = crate::semcall::semget(KEY, 2, flags);
                t.tell(got.map_or(-1, i64::from));
            })
        })
        .collect();
    gate.open();
    let mut ids: Vec<i64> = racers.iter().map(|racer| t.hear(racer, 1)).collect();
    racers.into_iter().for_each(|racer| t.join(racer));
    ids.retain(|&id| id >= 0);
    let winners = ids.len();
    ids.sort_unstable();
    ids.dedup();
    (winners, ids.len())
}

fn racing_exclusive_set_makers_have_one_winner(t: &Stage) {
    assert_eq!(race(t, IPC_CREAT | IPC_EXCL | 0o600), (1, 1));
}

fn racing_set_makers_get_one_set(t: &Stage) {
    assert_eq!(race(t, IPC_CREAT | 0o600), (RACERS, 1));
}

fn set_belongs_to_the_effective_ids(t: &Stage) {
    crate::process::set_effective_gid(BOB);
    crate::process::set_effective_uid(ANN);
    let set = t.semget(IPC_PRIVATE, 1, 0o600).must();
    let stat = t.semstat(set).must();
    assert_eq!(
        (stat.uid, stat.gid, stat.cuid, stat.cgid),
        (ANN, BOB, ANN, BOB)
    );
}

fn set_key_that_another_made_anew_is_the_new_set(t: &Stage) {
    let set = t.semget(KEY, 2, IPC_CREAT | 0o600).must();
    for nsems in [2, 1, 0] {
        assert_eq!(t.semget(KEY, nsems, 0o600).must(), set);
        t.semget(KEY, 3, 0o600).fails(EINVAL);
    }
    let child = t.spawn("child", |t| {
        t.semrm(set).must();
        let anew = t.semget(KEY, 3, IPC_CREAT | 0o600).must();
        t.setval(anew, 2, 7).must();
    });
    t.join(child);
    let anew = t.semget(KEY, 3, 0o600).must();
    assert_ne!(anew, set);
    t.holds(anew, &[0, 0, 7]);
}
