//! `/proc/sysvipc/shm`, and the system's own tools that read it and make segments.

use crate::files::{WAYS, Way, read};
use crate::mapping::{PAGE, poke};
use crate::process::become_user;
use crate::scenarios::{Scenario, table};
use crate::shm::Segment;
use crate::stage::Stage;
use libc::{EACCES, IPC_CREAT};

pub(super) const ALL: &[Scenario] = table![
    shm_table_without_segments_is_a_header,
    shm_table_has_a_line_for_each_segment,
    shm_table_shows_what_stat_shows,
    shm_table_shows_the_key_in_decimal,
    shm_table_shows_dest_and_locked_in_octal needs_root,
    shm_table_shows_the_size_as_asked,
    shm_table_shows_memory_in_bytes,
    shm_table_loses_the_line_of_a_removed_segment,
    shm_table_keeps_the_line_of_an_attached_one,
    shm_table_is_in_order_of_index,
    shm_table_reads_the_same_in_any_way,
    shm_table_read_by_other_programs_is_the_same,
    shm_table_shows_everybodys_segments needs_root,
    shm_table_cannot_be_written,
    shm_table_forgets_the_dead,
    ipcs_lists_the_segments,
    ipcmk_makes_a_segment,
    ipcrm_removes_segments_by_key_and_by_id,
];

const TABLE: &str = "/proc/sysvipc/shm";

const HEADER: &str = "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  \
                      cgid      atime      dtime      ctime                   rss                  swap";

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

/// The kernel's line for a segment with `rss` bytes in memory, from what IPC_STAT says.
fn line_of(t: &Stage, segment: Segment, rss: usize) -> String {
    let stat = t.shm_stat(segment).must();
    format!(
        "{:10} {:10}  {:4o} {:21} {:5} {:5}  {:5} {:5} {:5} {:5} {:5} {:10} {:10} {:10} {:21} {:21}",
        stat.key,
        segment.0,
        stat.mode,
        stat.segsz,
        stat.cpid,
        stat.lpid,
        stat.nattch,
        stat.uid,
        stat.gid,
        stat.cuid,
        stat.cgid,
        stat.atime,
        stat.dtime,
        stat.ctime,
        rss,
        0
    )
}

fn shm_table_without_segments_is_a_header(t: &Stage) {
    assert_eq!(t.read_file(Way::Open, TABLE).must(), format!("{HEADER}\n"));
}

fn shm_table_has_a_line_for_each_segment(t: &Stage) {
    for count in 1..5 {
        t.segment(PAGE);
        assert_eq!(lines(t).len(), count);
    }
}

fn shm_table_shows_what_stat_shows(t: &Stage) {
    let segment = t.shmget(0x1234, PAGE, IPC_CREAT | 0o640).must();
    assert_eq!(lines(t), [line_of(t, segment, 0)]);
    let (one, _two) = (t.attach(segment), t.attach(segment));
    assert_eq!(lines(t), [line_of(t, segment, 0)]);
    t.detach(one);
    assert_eq!(lines(t), [line_of(t, segment, 0)]);
}

fn shm_table_shows_the_key_in_decimal(t: &Stage) {
    let segment = t.shmget(-2, PAGE, IPC_CREAT | 0o600).must();
    assert_eq!(lines(t), [line_of(t, segment, 0)]);
    assert!(lines(t)[0].starts_with("        -2 "));
}

fn shm_table_shows_dest_and_locked_in_octal(t: &Stage) {
    let segment = t.segment(PAGE);
    t.attach(segment);
    t.shm_remove(segment).must();
    assert!(lines(t)[0].contains(" 1600 "));
    t.shm_lock(segment).must();
    assert!(lines(t)[0].contains(" 3600 "));
}

fn shm_table_shows_the_size_as_asked(t: &Stage) {
    let segment = t.segment(12345);
    assert!(lines(t)[0].contains(" 12345 "));
    assert_eq!(lines(t), [line_of(t, segment, 0)]);
}

fn shm_table_shows_memory_in_bytes(t: &Stage) {
    let segment = t.segment(10 * PAGE);
    let at = t.attach(segment);
    poke(at, 1);
    poke(at + 7 * PAGE, 1);
    assert_eq!(lines(t), [line_of(t, segment, 2 * PAGE)]);
}

fn shm_table_loses_the_line_of_a_removed_segment(t: &Stage) {
    let (one, two) = (t.segment(PAGE), t.segment(PAGE));
    t.shm_remove(one).must();
    assert_eq!(lines(t), [line_of(t, two, 0)]);
}

fn shm_table_keeps_the_line_of_an_attached_one(t: &Stage) {
    let segment = t.shmget(0x1234, PAGE, IPC_CREAT | 0o600).must();
    let at = t.attach(segment);
    t.shm_remove(segment).must();
    assert_eq!(lines(t), [line_of(t, segment, 0)]);
    assert!(lines(t)[0].starts_with("         0 "));
    t.detach(at);
    assert_eq!(lines(t).len(), 0);
}

fn shm_table_is_in_order_of_index(t: &Stage) {
    let segments: Vec<Segment> = (0..64).map(|_| t.segment(1)).collect();
    for segment in &segments[3..60] {
        t.shm_remove(*segment).must();
    }
    let newest: Vec<Segment> = (0..5).map(|_| t.segment(1)).collect();
    let ids = [&segments[..3], &newest[..], &segments[60..]].concat();
    let id_of = |line: &String| line.split_whitespace().nth(1)?.parse().ok().map(Segment);
    let listed: Vec<Segment> = lines(t).iter().filter_map(id_of).collect();
    assert_eq!(listed, ids);
}

fn shm_table_reads_the_same_in_any_way(t: &Stage) {
    let (one, two) = (t.segment(PAGE), t.segment(5));
    let (one, two) = (line_of(t, one, 0), line_of(t, two, 0));
    let whole = format!("{HEADER}\n{one}\n{two}\n");
    for way in WAYS {
        for chunk in [1, 7, 120, 4096] {
            assert_eq!(read(way, TABLE, chunk).as_deref(), Ok(&*whole));
        }
    }
}

fn shm_table_read_by_other_programs_is_the_same(t: &Stage) {
    let segment = t.segment(PAGE);
    t.attach(segment);
    let whole = format!("{HEADER}\n{}\n", line_of(t, segment, 0));
    assert_eq!(t.shell(&format!("cat {TABLE}")), whole);
}

fn shm_table_shows_everybodys_segments(t: &Stage) {
    let segment = t.segment(PAGE);
    let line = line_of(t, segment, 0);
    become_user(1000, 1000, &[]);
    t.shm_stat(segment).fails(EACCES);
    assert_eq!(lines(t), [line]);
}

fn shm_table_cannot_be_written(t: &Stage) {
    let written = t.write_file(Way::Open, TABLE, "x\n").result();
    assert!(written.is_err());
}

fn shm_table_forgets_the_dead(t: &Stage) {
    let child = t.spawn("child", |t| {
        let segment = t.segment(PAGE);
        t.attach(segment);
        t.shm_remove(segment).must();
        t.tell(0);
        crate::players::Gate::new().pass();
    });
    t.hear(&child, 1);
    assert_eq!(lines(t).len(), 1);
    t.kill(child);
    // The first to look is the table's reader.
    assert_eq!(lines(t).len(), 0);
}

fn ipcs_lists_the_segments(t: &Stage) {
    let segment = t.shmget(0x1234, 12345, IPC_CREAT | 0o640).must();
    t.attach(segment);
    let listed = t.shell("ipcs -m");
    let mut lines = listed.lines();
    let line = lines.find(|line| line.starts_with("0x00001234"));
    let words: Vec<&str> = line.expect("its line").split_whitespace().collect();
    assert_eq!(words[1..2], [segment.0.to_string()]);
    assert_eq!(words[3..], ["640", "12345", "1"]);
    t.shm_remove(segment).must();
    assert!(t.shell("ipcs -m").contains(" dest"));
}

fn ipcmk_makes_a_segment(t: &Stage) {
    let made = t.shell("ipcmk -M 10000 -p 0640");
    let id = made
        .trim()
        .rsplit(' ')
        .next()
        .and_then(|id| id.parse().ok());
    let segment = Segment(id.expect("an id"));
    // Its key is random, which no transcript may show.
    let mut ds = crate::shmcall::blank_ds();
    let found = crate::shmcall::shmctl(segment.0, libc::IPC_STAT, &mut ds);
    assert_eq!(found, Ok(0));
    assert_eq!((ds.shm_segsz, ds.shm_perm.mode), (10000, 0o640));
    t.shm_remove(segment).must();
}

fn ipcrm_removes_segments_by_key_and_by_id(t: &Stage) {
    let one = t.shmget(0x1234, PAGE, IPC_CREAT | 0o600).must();
    let two = t.segment(PAGE);
    t.shell("ipcrm -M 0x1234");
    t.is_gone(one);
    t.shell(&format!("ipcrm -m {}", two.0));
    t.is_gone(two);
    assert_ne!(t.try_shell("ipcrm -M 0x1234").0, 0);
}
