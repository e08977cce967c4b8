//! `/proc/sysvipc/msg`, and the system's own tools that read it and make queues.

use crate::files::{WAYS, Way, read};
use crate::msg::Queue;
use crate::process::{become_user, own_pid};
use crate::scenarios::{Scenario, table};
use crate::stage::Stage;
use libc::{EACCES, IPC_CREAT};

pub(super) const ALL: &[Scenario] = table![
    table_without_queues_is_a_header,
    table_has_a_line_for_each_queue,
    table_shows_what_stat_shows,
    table_shows_the_key_in_decimal,
    table_shows_the_whole_id,
    table_shows_counts_and_stamps,
    table_loses_the_line_of_a_removed_queue,
    table_is_in_order_of_index,
    table_reads_the_same_in_any_way,
    table_reads_the_same_in_small_pieces,
    table_read_by_other_programs_is_the_same,
    table_shows_everybodys_queues needs_root,
    table_cannot_be_written,
    table_of_many_queues_is_whole,
    ipcs_lists_the_queues,
    ipcmk_makes_a_queue,
    ipcrm_removes_by_key_and_by_id,
    ftok_gives_the_key_of_an_inode,
];

const TABLE: &str = "/proc/sysvipc/msg";

const HEADER: &str = "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid      \
                      stime      rtime      ctime";

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

/// The kernel's line for a queue, from what IPC_STAT says.
fn line_of(t: &Stage, queue: Queue) -> String {
    let stat = t.stat(queue).must();
    format!(
        "{:10} {:10}  {:4o}  {:10} {:10} {:5} {:5} {:5} {:5} {:5} {:5} {:10} {:10} {:10}",
        stat.key,
        queue.0,
        stat.mode,
        stat.cbytes,
        stat.qnum,
        stat.lspid,
        stat.lrpid,
        stat.uid,
        stat.gid,
        stat.cuid,
        stat.cgid,
        stat.stime,
        stat.rtime,
        stat.ctime
    )
}

fn table_without_queues_is_a_header(t: &Stage) {
    assert_eq!(t.read_file(Way::Open, TABLE).must(), format!("{HEADER}\n"));
}

fn table_has_a_line_for_each_queue(t: &Stage) {
    for count in 1..5 {
        t.private();
        assert_eq!(lines(t).len(), count);
    }
}

fn table_shows_what_stat_shows(t: &Stage) {
    let queue = t.get(0x1234, IPC_CREAT | 0o640).must();
    assert_eq!(lines(t), [line_of(t, queue)]);
}

fn table_shows_the_key_in_decimal(t: &Stage) {
    let queue = t.get(-2, IPC_CREAT | 0o600).must();
    assert_eq!(lines(t), [line_of(t, queue)]);
    assert!(lines(t)[0].starts_with("        -2 "));
}

fn table_shows_the_whole_id(t: &Stage) {
    for _ in 0..64 {
        let queue = t.private();
        t.remove(queue).must();
    }
    let queue = t.private();
    assert_eq!(lines(t), [line_of(t, queue)]);
    assert!(lines(t)[0].contains(" 32768 "));
}

fn table_shows_counts_and_stamps(t: &Stage) {
    let queue = t.private();
    t.put(queue, 1, "12345");
    t.put(queue, 1, "123");
    let child = t.spawn("receiver", |t| drop(t.take(queue, 0)));
    let pid = child.pid;
    t.join(child);
    let line = line_of(t, queue);
    assert!(line.contains(&format!(" {:5} {:5} ", own_pid(), pid)));
    assert_eq!(lines(t), [line]);
}

fn table_loses_the_line_of_a_removed_queue(t: &Stage) {
    let (one, two) = (t.private(), t.private());
    t.remove(one).must();
    assert_eq!(lines(t), [line_of(t, two)]);
    t.remove(two).must();
    assert_eq!(lines(t).len(), 0);
}

fn table_is_in_order_of_index(t: &Stage) {
    let queues: Vec<Queue> = (0..64).map(|_| t.private()).collect();
    for queue in &queues[3..60] {
        t.remove(*queue).must();
    }
    // The next round fills the gap: higher ids, lower places.
    let newest: Vec<Queue> = (0..5).map(|_| t.private()).collect();
    let ids = [&queues[..3], &newest[..], &queues[60..]].concat();
    let id_of = |line: &String| line.split_whitespace().nth(1)?.parse().ok().map(Queue);
    let listed: Vec<Queue> = lines(t).iter().filter_map(id_of).collect();
    assert_eq!(listed, ids);
}

fn table_reads_the_same_in_any_way(t: &Stage) {
    let (one, two) = (t.private(), t.private());
    t.put(two, 1, "x");
    let whole = format!("{HEADER}\n{}\n{}\n", line_of(t, one), line_of(t, two));
    for way in WAYS {
        assert_eq!(read(way, TABLE, 4096).as_deref(), Ok(&*whole), "{way:?}");
    }
}

fn table_reads_the_same_in_small_pieces(t: &Stage) {
    let _three = [t.private(), t.private(), t.private()];
    let whole = read(Way::Open, TABLE, 65536).expect("the table to be readable");
    for way in WAYS {
        for chunk in [1, 7, 120] {
            assert_eq!(
                read(way, TABLE, chunk).as_deref(),
                Ok(&*whole),
                "{way:?} by {chunk}"
            );
        }
    }
}

fn table_read_by_other_programs_is_the_same(t: &Stage) {
    let queue = t.private();
    let whole = format!("{HEADER}\n{}\n", line_of(t, queue));
    assert_eq!(t.shell(&format!("cat {TABLE}")), whole);
    assert_eq!(
        t.shell(&format!(
            "while read line; do echo $line; done < {TABLE} | wc -l"
        ))
        .trim(),
        "2"
    );
    assert_eq!(
        t.shell("cd /proc; tail -n +2 sysvipc/msg | awk '{print $2}'")
            .trim(),
        "0"
    );
}

fn table_shows_everybodys_queues(t: &Stage) {
    let queue = t.private();
    let line = line_of(t, queue);
    become_user(1000, 1000, &[]);
    t.stat(queue).fails(EACCES);
    assert_eq!(lines(t), [line]);
}

fn table_cannot_be_written(t: &Stage) {
    let written = t.write_file(Way::Open, TABLE, "x\n").result();
    assert!(written.is_err());
}

fn table_of_many_queues_is_whole(t: &Stage) {
    let count = 300;
    for _ in 0..count {
        crate::call::msgget(libc::IPC_PRIVATE, 0o600).expect("a queue");
    }
    assert_eq!(lines(t).len(), count);
    assert_eq!(
        t.shell(&format!("wc -l < {TABLE}")).trim(),
        (count + 1).to_string()
    );
}

fn ipcs_lists_the_queues(t: &Stage) {
    let queue = t.get(0x1234, IPC_CREAT | 0o640).must();
    t.put(queue, 1, "12345");
    for line in t.shell("ipcs -q").lines() {
        t.say(line);
    }
    for line in t.shell("ipcs -q -l; ipcs -q -u").lines() {
        t.say(line);
    }
    assert!(t.shell("ipcs -q").contains("0x00001234 0 "));
}

fn ipcmk_makes_a_queue(t: &Stage) {
    let said = t.shell("ipcmk -Q -p 0620");
    t.say(&said);
    // Its key is random.
    let mode = crate::call::msgctl(0, libc::IPC_STAT, &mut crate::call::blank_ds());
    assert_eq!(mode, Ok(0));
    assert!(lines(t)[0].contains("   620 "));
}

fn ipcrm_removes_by_key_and_by_id(t: &Stage) {
    let one = t.get(0x1234, IPC_CREAT | 0o600).must();
    let two = t.private();
    t.shell("ipcrm -Q 0x1234");
    t.stat(one).fails(libc::EINVAL);
    t.shell(&format!("ipcrm -q {}", two.0));
    t.stat(two).fails(libc::EINVAL);
    assert_eq!(t.try_shell("ipcrm -q 12345").0, 1);
}

fn ftok_gives_the_key_of_an_inode(t: &Stage) {
    let ftok = |path: &str, project| crate::call::ftok(std::path::Path::new(path), project);
    let key = ftok("/proc/sys", i32::from(b'a')).expect("a key");
    assert_eq!(key >> 24, i32::from(b'a'));
    assert_eq!(
        ftok("/proc/sys", 0x100 + i32::from(b'a')),
        Ok(key),
        "eight bits count"
    );
    assert_ne!(ftok("/proc/sys", i32::from(b'b')), Ok(key));
    assert_eq!(
        ftok("/nonexistent", 1),
        Err(crate::errno::Errno(libc::ENOENT))
    );
    let queue = crate::call::msgget(key, IPC_CREAT | 0o600);
    assert_eq!(crate::call::msgget(key, 0), queue);
    t.say("a key of a file found its queue");
}
