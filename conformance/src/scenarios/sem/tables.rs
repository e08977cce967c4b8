//! `/proc/sysvipc/sem`, and the system's own tools that read it, make sets and remove them.

use crate::files::{WAYS, Way, read};
use crate::process::become_user;
use crate::scenarios::{ANN, Scenario, table};
use crate::sem::{Set, op};
use crate::stage::Stage;
use libc::{EACCES, EINVAL, IPC_CREAT};

pub(super) const ALL: &[Scenario] = table![
    sem_table_without_sets_is_a_header,
    sem_table_shows_what_semstat_shows,
    sem_table_shows_keys_in_decimal_and_whole_ids,
    sem_table_loses_the_line_of_a_removed_set,
    sem_table_is_in_order_of_index,
    sem_table_reads_the_same_in_any_way,
    sem_table_reads_the_same_in_small_pieces,
    sem_table_read_by_other_programs_is_the_same,
    sem_table_shows_everybodys_sets needs_root,
    sem_table_of_many_sets_is_whole,
    ipcs_lists_the_sets,
    ipcmk_makes_a_set,
    ipcrm_removes_sets_by_key_and_by_id,
];

const TABLE: &str = "/proc/sysvipc/sem";

const HEADER: &str =
    "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime";

/// The lines behind the header.
#[track_caller]
fn lines(t: &Stage) -> Vec<String> {
    let table = read(Way::Open, TABLE, 65536).expect("the table to be readable");
    let mut lines = table.lines().map(str::to_owned);
    assert_eq!(lines.next().as_deref(), Some(HEADER));
    let lines: Vec<String> = lines.collect();
    t.say(format_args!("{} lines in the table", lines.len()));
    lines
}

/// The kernel's line for a set, from what IPC_STAT says.
fn line_of(t: &Stage, set: Set) -> String {
    let stat = t.semstat(set).must();
    format!(
        "{:10} {:10}  {:4o} {:10} {:5} {:5} {:5} {:5} {:10} {:10}",
        stat.key,
        set.0,
        stat.mode,
        stat.nsems,
        stat.uid,
        stat.gid,
        stat.cuid,
        stat.cgid,
        stat.otime,
        stat.ctime
    )
}

fn sem_table_without_sets_is_a_header(t: &Stage) {
    assert_eq!(t.read_file(Way::Open, TABLE).must(), format!("{HEADER}\n"));
}

fn sem_table_shows_what_semstat_shows(t: &Stage) {
    let set = t.semget(0x1234, 17, IPC_CREAT | 0o640).must();
    assert_eq!(lines(t), [line_of(t, set)]);
    t.semop(set, &[op(3, 1)]).must();
    assert_eq!(lines(t), [line_of(t, set)]);
    let large = t.semget(0x1235, 32000, IPC_CREAT).must();
    assert_eq!(lines(t).len(), 2);
    t.semrm(large).must();
}

fn sem_table_shows_keys_in_decimal_and_whole_ids(t: &Stage) {
    for _ in 0..64 {
        let set = t.set_of(&[0]);
        t.semrm(set).must();
    }
    let set = t.semget(-2, 1, IPC_CREAT | 0o600).must();
    assert_eq!(lines(t), [line_of(t, set)]);
    assert!(lines(t)[0].starts_with("        -2      32768 "));
}

fn sem_table_loses_the_line_of_a_removed_set(t: &Stage) {
    let (one, two) = (t.set_of(&[0]), t.set_of(&[0]));
    t.semrm(one).must();
    assert_eq!(lines(t), [line_of(t, two)]);
    t.semrm(two).must();
    assert_eq!(lines(t).len(), 0);
}

fn sem_table_is_in_order_of_index(t: &Stage) {
    let sets: Vec<Set> = (0..64).map(|_| t.set_of(&[0])).collect();
    for set in &sets[3..60] {
        t.semrm(*set).must();
    }
    // The next round fills the gap: higher ids, lower places.
    let newest: Vec<Set> = (0..5).map(|_| t.set_of(&[0])).collect();
    let ids = [&sets[..3], &newest[..], &sets[60..]].concat();
    let id_of = |line: &String| line.split_whitespace().nth(1)?.parse().ok().map(Set);
    let listed: Vec<Set> = lines(t).iter().filter_map(id_of).collect();
    assert_eq!(listed, ids);
}

fn sem_table_reads_the_same_in_any_way(t: &Stage) {
    let (one, two) = (t.set_of(&[0]), t.set_of(&[1, 2]));
    let whole = format!("{HEADER}\n{}\n{}\n", line_of(t, one), line_of(t, two));
    for way in WAYS {
        assert_eq!(read(way, TABLE, 4096).as_deref(), Ok(&*whole), "{way:?}");
    }
}

fn sem_table_reads_the_same_in_small_pieces(t: &Stage) {
    let _three = [t.set_of(&[0]), t.set_of(&[0]), t.set_of(&[0])];
    let whole = read(Way::Open, TABLE, 65536).expect("the table to be readable");
    for way in WAYS {
        for chunk in [1, 7, 120] {
            let pieces = read(way, TABLE, chunk);
            assert_eq!(pieces.as_deref(), Ok(&*whole), "{way:?} by {chunk}");
        }
    }
}

fn sem_table_read_by_other_programs_is_the_same(t: &Stage) {
    let set = t.set_of(&[0]);
    let whole = format!("{HEADER}\n{}\n", line_of(t, set));
    assert_eq!(t.shell(&format!("cat {TABLE}")), whole);
    let script = "cd /proc; tail -n +2 sysvipc/sem | awk '{print $2}'";
    assert_eq!(t.shell(script).trim(), "0");
}

fn sem_table_shows_everybodys_sets(t: &Stage) {
    let set = t.set_of(&[0]);
    let line = line_of(t, set);
    become_user(ANN, ANN, &[]);
    t.semstat(set).fails(EACCES);
    assert_eq!(lines(t), [line]);
}

fn sem_table_of_many_sets_is_whole(t: &Stage) {
    let count = 300;
    for _ in 0..count {
        crate::semcall::semget(libc::IPC_PRIVATE, 1, 0o600).expect("a set");
    }
    assert_eq!(lines(t).len(), count);
    let counted = t.shell(&format!("wc -l < {TABLE}"));
    assert_eq!(counted.trim(), (count + 1).to_string());
}

fn ipcs_lists_the_sets(t: &Stage) {
    let set = t.semget(0x1234, 3, IPC_CREAT | 0o640).must();
    t.semop(set, &[op(0, 1)]).must();
    for line in t.shell("ipcs -s; ipcs -s -l; ipcs -s -u").lines() {
        t.say(line);
    }
    assert!(t.shell("ipcs -s").contains("0x00001234 0 "));
    t.shell("ipcs -s -i 0 | tail -n +6 | head -n 2");
}

fn ipcmk_makes_a_set(t: &Stage) {
    let said = t.shell("ipcmk -S 5 -p 0620");
    t.say(&said);
    // Its key is random.
    let line = &lines(t)[0];
    assert!(line.contains("   620          5 "), "{line}");
}

fn ipcrm_removes_sets_by_key_and_by_id(t: &Stage) {
    let one = t.semget(0x1234, 1, IPC_CREAT | 0o600).must();
    let two = t.set_of(&[0]);
    t.shell("ipcrm -S 0x1234");
    t.semstat(one).fails(EINVAL);
    t.shell(&format!("ipcrm -s {}", two.0));
    t.semstat(two).fails(EINVAL);
    assert_eq!(t.try_shell("ipcrm -s 12345").0, 1);
}
