//! `usysv sem get`.

use super::{Chosen, words};
use crate::args;
use crate::failure::{Failure, complain};
use crate::sys;
use std::fmt::Write;
use usysv::{Engine, Op, Result, SemField};

/// Prints the semaphores, who waits, and what is to be undone.
pub fn get(chosen: &Chosen<'_>, args: &args::SemGet) -> std::result::Result<(), Failure> {
    let mut shown = match args.num {
        Some(num) => one(chosen, num).map_err(|errno| chosen.explain_at(num, errno))?,
        None => all(chosen).map_err(|errno| chosen.explain(errno))?,
    };
    match chosen.world.engine() {
        Some(engine) => {
            let people = people(engine, chosen.semid, args.num);
            shown.push_str(&people.map_err(|errno| chosen.explain(errno))?);
        }
        None => complain!(
            "usysv: note: the kernel does not tell who waits and whose operations are to be undone"
        ),
    }
    crate::write_stdout(shown.as_bytes())
}

fn one(chosen: &Chosen<'_>, num: u16) -> Result<String> {
    let value = field(chosen, num, SemField::Value)?;
    Ok(header() + &row(chosen, num, value)?)
}

/// The values are those of one moment.
fn all(chosen: &Chosen<'_>) -> Result<String> {
    let mut values = vec![0; usize::from(chosen.nsems()?)];
    chosen
        .world
        .backend()
        .sem_get_all(chosen.semid, &mut values)?;
    let mut table = header();
    for (num, value) in (0..).zip(values) {
        table.push_str(&row(chosen, num, i32::from(value))?);
    }
    Ok(table)
}

fn header() -> String {
    format!(
        "{:<6} {:<6} {:<10} {:<6} zcnt\n",
        "num", "value", "pid", "ncnt"
    )
}

fn row(chosen: &Chosen<'_>, num: u16, value: i32) -> Result<String> {
    let pid = field(chosen, num, SemField::Pid)?;
    let ncnt = field(chosen, num, SemField::Ncnt)?;
    let zcnt = field(chosen, num, SemField::Zcnt)?;
    Ok(format!("{num:<6} {value:<6} {pid:<10} {ncnt:<6} {zcnt}\n"))
}

fn field(chosen: &Chosen<'_>, num: u16, field: SemField) -> Result<i32> {
    let backend = chosen.world.backend();
    backend.sem_get(chosen.semid, i32::from(num), field)
}

/// Who waits and who is to be undone, each a table if there is anybody; of all semaphores, or one.
fn people(engine: &Engine, semid: i32, only: Option<u16>) -> Result<String> {
    let wanted = |num: u16| only.is_none_or(|only| only == num);
    let mut waiting = String::new();
    engine.each_waiter(semid, &mut |w| {
        if wanted(w.blocking.sem_num) {
            let (op, since) = (words::shown(&w.blocking), sys::ctime(w.since));
            let _ = writeln!(
                waiting,
                "{op:<13} {:<10} {:<10} {since:<24} {}",
                w.pid, w.tid, w.nsops
            );
        }
    })?;
    let mut undone = String::new();
    engine.each_undo(semid, &mut |u| {
        if wanted(u.sem_num) {
            let op = Op {
                sem_num: u.sem_num,
                sem_op: u.semadj,
                sem_flg: 0,
            };
            let _ = writeln!(undone, "{:<13} {}", words::shown(&op), u.pid);
        }
    })?;
    let waiting_header = format!(
        "{:<13} {:<10} {:<10} {:<24} operations\n",
        "waits for", "pid", "tid", "since"
    );
    let undone_header = format!("{:<13} pid\n", "at exit");
    Ok(titled(&waiting_header, &waiting) + &titled(&undone_header, &undone))
}

fn titled(header: &str, rows: &str) -> String {
    match rows {
        "" => String::new(),
        rows => format!("\n{header}{rows}"),
    }
}
