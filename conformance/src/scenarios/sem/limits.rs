//! `/proc/sys/kernel/sem`: read, written, and obeyed.

use crate::files::{WAYS, Way};
use crate::process::become_user;
use crate::scenarios::{ANN, Scenario, table};
use crate::sem::{Op, op};
use crate::stage::Stage;
use libc::{
    E2BIG, EACCES, EEXIST, EINVAL, ENOENT, ENOSPC, ERANGE, IPC_CREAT, IPC_EXCL, IPC_PRIVATE,
};

pub(super) const ALL: &[Scenario] = table![
    sem_limits_read_as_four_numbers,
    sem_limits_read_in_small_pieces_end_after_the_first,
    sem_limits_are_seen_by_other_programs,
    sem_limits_written_in_any_way_are_read_back needs_root,
    sem_limits_written_by_a_shell_are_obeyed needs_root,
    sem_limits_may_be_written_in_part needs_root,
    sem_limits_beyond_four_are_ignored needs_root,
    sem_limits_refuse_nonsense needs_root,
    sem_limits_refuse_a_wrong_semmni needs_root,
    sem_limits_are_not_for_everybody_to_write needs_root,
    semmsl_lowered_refuses_larger_sets needs_root,
    semmsl_raised_allows_larger_sets needs_root,
    semmsl_lowered_leaves_existing_sets needs_root,
    semmns_reached_is_enospc needs_root,
    semmns_counts_semaphores_of_all_sets needs_root,
    semmns_counts_sets_that_one_may_not_read needs_root,
    semmns_has_room_again_after_removal needs_root,
    semmni_reached_is_enospc_for_sets needs_root,
    semmni_reached_still_finds_existing_sets needs_root,
    semmni_zero_allows_no_set needs_root,
    semopm_lowered_refuses_longer_arrays needs_root,
    semopm_raised_allows_longer_arrays needs_root,
    size_is_checked_before_semmns needs_root,
    seminfo_follows_changed_limits needs_root,
    changed_sem_limits_are_seen_by_running_processes needs_root,
    many_sets_up_to_the_limit needs_root,
];

const SEM: &str = "/proc/sys/kernel/sem";
const DEFAULTS: &str = "32000\t1024000000\t500\t32000\n";

/// Sets all four limits: semmsl, semmns, semopm, semmni.
#[track_caller]
fn limit(t: &Stage, limits: [i32; 4]) {
    let [msl, mns, opm, mni] = limits;
    let text = format!("{msl} {mns} {opm} {mni}\n");
    t.write_file(Way::Open, SEM, &text).must();
}

fn sem_limits_read_as_four_numbers(t: &Stage) {
    for way in WAYS {
        assert_eq!(t.read_file(way, SEM).must(), DEFAULTS);
    }
}

fn sem_limits_read_in_small_pieces_end_after_the_first(t: &Stage) {
    for way in [Way::Open, Way::Open64, Way::OpenAt] {
        assert_eq!(crate::files::read(way, SEM, 8), Ok("32000\t10".to_owned()));
        t.say(format_args!("{way:?}: eight bytes"));
    }
    // Streams ask for a whole block, whatever their reader asks for.
    for way in [Way::Fopen, Way::Fopen64] {
        assert_eq!(crate::files::read(way, SEM, 8), Ok(DEFAULTS.to_owned()));
        t.say(format_args!("{way:?}: all"));
    }
}

fn sem_limits_are_seen_by_other_programs(t: &Stage) {
    assert_eq!(t.shell(&format!("cat {SEM}")), DEFAULTS);
    let script = format!("set -- $(cat {SEM}); echo $4 $3");
    assert_eq!(t.shell(&script), "32000 500\n");
}

fn sem_limits_written_in_any_way_are_read_back(t: &Stage) {
    for (number, way) in WAYS.into_iter().enumerate() {
        let text = format!("250 {} 100 128\n", 1000 + number);
        t.write_file(way, SEM, &text).must();
        assert_eq!(t.read_file(way, SEM).must(), text.replace(' ', "\t"));
    }
}

fn sem_limits_written_by_a_shell_are_obeyed(t: &Stage) {
    t.shell(&format!("echo 3 100 2 1 > {SEM}"));
    t.semget(IPC_PRIVATE, 4, 0o600).fails(EINVAL);
    let set = t.set_of(&[0; 3]);
    t.semget(IPC_PRIVATE, 1, 0o600).fails(ENOSPC);
    t.semop(set, &[op(0, 1); 2]).must();
    t.semop(set, &[op(0, 1); 3]).fails(E2BIG);
}

fn sem_limits_may_be_written_in_part(t: &Stage) {
    t.write_file(Way::Open, SEM, "250\n").must();
    assert_eq!(
        t.read_file(Way::Open, SEM).must(),
        "250\t1024000000\t500\t32000\n"
    );
    t.write_file(Way::Open, SEM, "251 4000").must();
    assert_eq!(
        t.read_file(Way::Open, SEM).must(),
        "251\t4000\t500\t32000\n"
    );
    t.write_file(Way::Open, SEM, "\t252\t4001  7\n").must();
    assert_eq!(t.read_file(Way::Open, SEM).must(), "252\t4001\t7\t32000\n");
}

fn sem_limits_beyond_four_are_ignored(t: &Stage) {
    // The write is cut short before the fifth number.
    assert!(crate::files::write(Way::Open, SEM, "1 2 3 4 5\n").is_err());
    assert_eq!(t.read_file(Way::Open, SEM).must(), "1\t2\t3\t4\n");
}

fn sem_limits_refuse_nonsense(t: &Stage) {
    for text in ["abc\n", "12abc\n", "99999999999999999999\n", "-\n"] {
        t.write_file(Way::Open, SEM, text).fails(EINVAL);
        assert_eq!(t.read_file(Way::Open, SEM).must(), DEFAULTS);
    }
}

fn sem_limits_refuse_a_wrong_semmni(t: &Stage) {
    for semmni in ["32769", "-1", "2147483647"] {
        let text = format!("250 4000 100 {semmni}\n");
        t.write_file(Way::Open, SEM, &text).fails(ERANGE);
        // What stands before the wrong number has been taken.
        let taken = t.read_file(Way::Open, SEM).must();
        assert_eq!(taken, "250\t4000\t100\t32000\n");
    }
    limit(t, [250, 4000, 100, 32768]);
}

fn sem_limits_are_not_for_everybody_to_write(t: &Stage) {
    become_user(ANN, ANN, &[]);
    for way in WAYS {
        t.write_file(way, SEM, "1 2 3 4\n").fails(EACCES);
        assert_eq!(t.read_file(way, SEM).must(), DEFAULTS);
    }
}

fn semmsl_lowered_refuses_larger_sets(t: &Stage) {
    limit(t, [10, 1000, 500, 100]);
    t.semget(IPC_PRIVATE, 11, 0o600).fails(EINVAL);
    t.semget(IPC_PRIVATE, 10, 0o600).must();
}

fn semmsl_raised_allows_larger_sets(t: &Stage) {
    limit(t, [40000, 1_024_000_000, 500, 32000]);
    let set = t.semget(IPC_PRIVATE, 40000, 0o600).must();
    t.semop(set, &[op(39999, 1)]).must();
    assert_eq!(t.getval(set, 39999).must(), 1);
}

fn semmsl_lowered_leaves_existing_sets(t: &Stage) {
    let set = t.semget(0x77, 20, IPC_CREAT | 0o600).must();
    limit(t, [10, 1000, 500, 100]);
    t.semop(set, &[op(19, 1)]).must();
    t.semget(0x77, 20, 0).fails(EINVAL);
    assert_eq!(t.semget(0x77, 10, 0).must(), set);
    assert_eq!(t.semget(0x77, 0, 0).must(), set);
}

fn semmns_reached_is_enospc(t: &Stage) {
    limit(t, [100, 100, 500, 100]);
    t.semget(IPC_PRIVATE, 60, 0o600).must();
    t.semget(IPC_PRIVATE, 41, 0o600).fails(ENOSPC);
    t.semget(0x77, 41, IPC_CREAT).fails(ENOSPC);
    t.semget(IPC_PRIVATE, 40, 0o600).must();
    t.semget(IPC_PRIVATE, 1, 0o600).fails(ENOSPC);
}

fn semmns_counts_semaphores_of_all_sets(t: &Stage) {
    for _ in 0..3 {
        t.set_of(&[0; 10]);
    }
    limit(t, [100, 35, 500, 100]);
    t.semget(IPC_PRIVATE, 6, 0o600).fails(ENOSPC);
    t.semget(IPC_PRIVATE, 5, 0o600).must();
    limit(t, [100, 10, 500, 100]);
    t.semget(IPC_PRIVATE, 1, 0o600).fails(ENOSPC);
}

fn semmns_counts_sets_that_one_may_not_read(t: &Stage) {
    t.semget(IPC_PRIVATE, 2, 0o600).must();
    limit(t, [100, 2, 500, 100]);
    become_user(ANN, ANN, &[]);
    t.semget(IPC_PRIVATE, 1, 0o600).fails(ENOSPC);
}

fn semmns_has_room_again_after_removal(t: &Stage) {
    limit(t, [100, 100, 500, 100]);
    for _ in 0..3 {
        let set = t.set_of(&[0; 100]);
        t.semget(IPC_PRIVATE, 1, 0o600).fails(ENOSPC);
        t.semrm(set).must();
    }
}

fn semmni_reached_is_enospc_for_sets(t: &Stage) {
    limit(t, [100, 1000, 500, 2]);
    t.set_of(&[0]);
    let set = t.semget(0x77, 1, IPC_CREAT | 0o600).must();
    t.semget(IPC_PRIVATE, 1, 0o600).fails(ENOSPC);
    t.semget(0x78, 1, IPC_CREAT | 0o600).fails(ENOSPC);
    t.semget(0x78, 1, 0).fails(ENOENT);
    t.semrm(set).must();
    t.semget(0x78, 1, IPC_CREAT | 0o600).must();
    assert_eq!(t.semusage().must().1.semaem, 2);
}

fn semmni_reached_still_finds_existing_sets(t: &Stage) {
    limit(t, [100, 1000, 500, 1]);
    let set = t.semget(0x77, 1, IPC_CREAT | 0o600).must();
    assert_eq!(t.semget(0x77, 1, IPC_CREAT | 0o600).must(), set);
    t.semget(0x77, 1, IPC_CREAT | IPC_EXCL | 0o600)
        .fails(EEXIST);
}

fn semmni_zero_allows_no_set(t: &Stage) {
    limit(t, [100, 1000, 500, 0]);
    t.semget(IPC_PRIVATE, 1, 0o600).fails(ENOSPC);
    t.semget(IPC_PRIVATE, 0, 0o600).fails(EINVAL);
}

fn semopm_lowered_refuses_longer_arrays(t: &Stage) {
    let set = t.set_of(&[0]);
    limit(t, [100, 1000, 2, 10]);
    t.semop(set, &[op(0, 1); 3]).fails(E2BIG);
    t.semop(set, &[op(0, 1); 2]).must();
    limit(t, [100, 1000, 0, 10]);
    t.semop(set, &[op(0, 1)]).fails(E2BIG);
}

fn semopm_raised_allows_longer_arrays(t: &Stage) {
    let set = t.set_of(&[0]);
    limit(t, [100, 1000, 3000, 10]);
    let ops: Vec<Op> = vec![op(0, 1); 3000];
    t.semop(set, &ops).must();
    t.holds(set, &[3000]);
}

fn size_is_checked_before_semmns(t: &Stage) {
    limit(t, [100, 0, 500, 0]);
    t.semget(IPC_PRIVATE, 101, 0o600).fails(EINVAL);
    t.semget(IPC_PRIVATE, 0, 0o600).fails(EINVAL);
    t.semget(IPC_PRIVATE, 1, 0o600).fails(ENOSPC);
    t.semget(0x77, 1, 0).fails(ENOENT);
}

fn seminfo_follows_changed_limits(t: &Stage) {
    limit(t, [11, 222, 33, 44]);
    let info = t.seminfo().must().1;
    assert_eq!(
        (info.semmsl, info.semmns, info.semopm, info.semmni),
        (11, 222, 33, 44)
    );
    // These are constants of the kernel, whatever the limits are.
    assert_eq!((info.semvmx, info.semaem, info.semusz), (32767, 32767, 20));
}

fn changed_sem_limits_are_seen_by_running_processes(t: &Stage) {
    let set = t.set_of(&[0]);
    let gate = crate::players::Gate::new();
    let child = t.spawn("running", |t| {
        t.semop(set, &[op(0, 1); 5]).must();
        t.tell(1);
        gate.pass();
        t.semop(set, &[op(0, 1); 5]).fails(E2BIG);
        t.semget(IPC_PRIVATE, 1, 0o600).fails(ENOSPC);
    });
    t.hear(&child, 1);
    limit(t, [100, 1000, 4, 1]);
    gate.open();
    t.join(child);
}

fn many_sets_up_to_the_limit(t: &Stage) {
    limit(t, [100, 100_000, 500, 1500]);
    let make = || crate::semcall::semget(IPC_PRIVATE, 3, 0o600).ok();
    let ids: Vec<i32> = std::iter::from_fn(make).collect();
    assert_eq!(ids, (0..1500).collect::<Vec<i32>>());
    t.semget(IPC_PRIVATE, 1, 0o600).fails(ENOSPC);
    let (highest, usage) = t.semusage().must();
    assert_eq!((highest, usage.semusz, usage.semaem), (1499, 1500, 4500));
    for id in ids {
        assert_eq!(crate::semcall::semctl(id, 0, libc::IPC_RMID, 0), Ok(0));
    }
    assert_eq!(t.semusage().must().1.semaem, 0);
}
