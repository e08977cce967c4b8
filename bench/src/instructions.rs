//! How many instructions the hot paths take: a figure that no load disturbs, kept in a table, so that
//! a change that costs some is noticed where a clock would see noise.
//!
//! A worker runs under valgrind's callgrind twice, with more operations the second time: what it
//! takes to start falls out of the difference. Valgrind runs one thread on a processor of its own
//! making, without restartable sequences, so the counts are near what a processor executes, not equal.

use crate::place::{self, Scratch};
use crate::row::Row;
use crate::rows;
use crate::side::Side;
use std::fmt::Write as _;
use std::fs;
use std::io::{Error, ErrorKind, Result, Write};
use std::path::Path;
use std::process::{Command, Stdio};

/// The rows whose operations are counted.
const COUNTED: &[&str] = &[
    "pair-8",
    "pair-64",
    "pair-8k",
    "typed-1k",
    "negative-0",
    "except-0",
    "sem-pair",
    "sem-pair-undo",
    "sem-array-8",
    "shm-attach",
    "open",
];

/// What a count may differ by, up or down, before the table has to be looked at.
const TOLERANCE: f64 = 0.03;

/// Counts; compares with the table, or writes it. False if a count is out of bounds.
pub fn run(out: &mut dyn Write, table: &Path, renew: bool) -> Result<bool> {
    let library = place::library()?;
    let scratch = Scratch::new()?;
    let mut counts = Vec::new();
    for name in COUNTED {
        let row = rows::named(name).ok_or(Error::other(format!("there is no row {name}")))?;
        counts.push((row, per_operation(row, &library, &scratch)?));
    }
    if renew {
        let mut text = String::from(
            "# Instructions of one operation of usysv-bench's rows under callgrind, by usysv.\n\
             # Compared by `make instructions`; written anew by `make instructions RENEW=renew`.\n",
        );
        for (row, count) in &counts {
            let _infallible = writeln!(text, "{:16} {count}", row.name);
        }
        fs::write(table, text)?;
        writeln!(out, "wrote {}", table.display())?;
        return Ok(true);
    }
    let text = fs::read_to_string(table)
        .map_err(|error| Error::new(error.kind(), format!("{}: {error}", table.display())))?;
    let mut kept = true;
    for (row, count) in counts {
        let (line, within) = compare(row, count, known(&text, row.name));
        writeln!(out, "{line}")?;
        kept &= within;
    }
    if !kept {
        writeln!(
            out,
            "\nThese paths take more or fewer instructions than {} says. If that is meant (or the \
             compiler or the C library is another one),\n\
             run `make instructions RENEW=renew` and commit the table with the change that explains it.",
            table.display()
        )?;
    }
    Ok(kept)
}

fn compare(row: &Row, count: u64, known: Option<u64>) -> (String, bool) {
    let Some(known) = known.filter(|known| *known > 0) else {
        return (
            format!("{:16} {count:7}  NOT IN THE TABLE", row.name),
            false,
        );
    };
    let change = count as f64 / known as f64 - 1.0;
    let verdict = match change.abs() <= TOLERANCE {
        true => "ok",
        false if change > 0.0 => "MORE",
        false => "FEWER",
    };
    let line = format!(
        "{:16} {count:7}  was {known:7}  {:+6.2} %  {verdict}",
        row.name,
        100.0 * change
    );
    (line, verdict == "ok")
}

/// The count that a table has for a row.
fn known(table: &str, name: &str) -> Option<u64> {
    let mut lines = table.lines().filter_map(|line| line.split_once(' '));
    let (_, count) = lines.find(|(known, _)| *known == name)?;
    count.trim().parse().ok()
}

fn per_operation(row: &Row, library: &Path, scratch: &Scratch) -> Result<u64> {
    const FEW: u64 = 1000;
    const MANY: u64 = 21_000;
    // What a start takes varies a little, and load makes it more.
    let least = |operations| {
        let one = total(row, operations, library, scratch)?;
        total(row, operations, library, scratch).map(|other| one.min(other))
    };
    let (few, many): (u64, u64) = (least(FEW)?, least(MANY)?);
    match many.checked_sub(few) {
        Some(more @ 1..) => Ok(more / (MANY - FEW)),
        _ => Err(Error::other(format!(
            "{}: {few}, then {many} instructions",
            row.name
        ))),
    }
}

/// All that a worker executes that does so many operations.
fn total(row: &Row, operations: u64, library: &Path, scratch: &Scratch) -> Result<u64> {
    let namespace = scratch.namespace()?;
    let mut valgrind = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .args(["worker", Side::Usysv.name(), row.name])
        .env("LD_PRELOAD", library)
        .env("USYSV_NS", namespace.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| match error.kind() {
            ErrorKind::NotFound => Error::new(error.kind(), "valgrind is not installed"),
            _ => error,
        })?;
    if let Some(mut orders) = valgrind.stdin.take() {
        writeln!(orders, "{operations}")?;
    }
    let ended = valgrind.wait_with_output()?;
    let answers = String::from_utf8_lossy(&ended.stdout);
    let told = String::from_utf8_lossy(&ended.stderr);
    let mut answers = answers.lines();
    let sampled = answers.next() == Some("ready")
        && answers.next().is_some_and(|line| !line.starts_with("fail"));
    let collected = collected(&told).filter(|_| sampled && ended.status.success());
    collected.ok_or_else(|| {
        let said = String::from_utf8_lossy(&ended.stdout);
        Error::other(format!("{}: the worker said {said:?}\n{told}", row.name))
    })
}

/// The total in what callgrind tells.
fn collected(told: &str) -> Option<u64> {
    let line = told.lines().find_map(|line| line.split_once("Collected :"));
    line?.1.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callgrinds_total_is_read() {
        assert_eq!(
            collected("==1== \n==1== Collected : 2636738\n==1==\n"),
            Some(2_636_738)
        );
        assert_eq!(collected("ready"), None);
    }

    #[test]
    fn counts_are_held_against_the_table() {
        let table = "# comment\npair-8           2000\npair-64          2063\n";
        assert_eq!(known(table, "pair-64"), Some(2063));
        let row = rows::named("pair-64").unwrap();
        let within = |count| compare(row, count, known(table, row.name)).1;
        assert!(within(2063) && within(2002) && within(2124));
        assert!(!within(2000) && !within(2126));
        assert!(!compare(row, 2063, None).1);
    }

    #[test]
    fn the_counted_rows_exist() {
        assert!(COUNTED.iter().all(|name| rows::named(name).is_some()));
    }
}
