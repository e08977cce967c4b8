//! A worker: one process that measures one row on one side, sample by sample, as the parent asks.
//!
//! The protocol is lines. The worker opens with `ready`, `skip WHY` or `fail WHY`; then every
//! `OPERATIONS` on its standard input is answered by `TOTAL clean`, `TOTAL disturbed` or
//! `fail WHY`, and every `each OPERATIONS` by `p99 NANOSECONDS` of single operations (`p99 -` if the
//! row has none) or `fail WHY`. It ends when its input does.

use crate::case::{Case, Sample};
use crate::cases;
use crate::row::Row;
use crate::side::Side;
use crate::stats::Summary;
use crate::sys::{self, Message};
use std::io::{self, BufRead, Error, ErrorKind, Result, Write};

/// Serves the parent until it closes our input.
pub fn serve(side: Side, row: &Row) -> Result<()> {
    let mut case = match prepare(side, row) {
        Ok(case) => case,
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            return say(&format!("skip {error}"));
        }
        Err(error) => return say(&format!("fail {error}")),
    };
    say("ready")?;
    for line in io::stdin().lock().lines() {
        match answer(&line?, &mut *case) {
            Ok(answer) => say(&answer)?,
            Err(error) => return say(&format!("fail {error}")),
        }
    }
    Ok(())
}

fn answer(order: &str, case: &mut dyn Case) -> Result<String> {
    let (each, count) = match order.strip_prefix("each ") {
        Some(count) => (true, count),
        None => (false, order),
    };
    let operations = count
        .parse()
        .map_err(|_| Error::new(ErrorKind::InvalidInput, "not a count"))?;
    if each {
        let took: Vec<_> = case.each(operations)?.iter().map(|ns| *ns as f64).collect();
        let p99 = Summary::of(&took).map_or("-".into(), |summary| summary.p99.to_string());
        return Ok(format!("p99 {p99}"));
    }
    let Sample { total, clean } = case.sample(operations)?;
    Ok(format!(
        "{total} {}",
        if clean { "clean" } else { "disturbed" }
    ))
}

/// Reads what [`serve`] says about single operations.
pub fn parse_p99(line: &str) -> std::result::Result<Option<f64>, String> {
    match line.strip_prefix("p99 ") {
        Some("-") => Ok(None),
        Some(ns) => ns
            .parse()
            .map(Some)
            .map_err(|_| format!("the worker said {line:?}")),
        None => Err(line.strip_prefix("fail ").unwrap_or(line).into()),
    }
}

/// Reads what [`serve`] says about a sample.
pub fn parse_sample(line: &str) -> std::result::Result<Sample, String> {
    if let Some(why) = line.strip_prefix("fail ") {
        return Err(why.into());
    }
    let sample = line.split_once(' ').and_then(|(total, state)| {
        let clean = match state {
            "clean" => true,
            "disturbed" => false,
            _ => return None,
        };
        Some(Sample {
            total: total.parse().ok()?,
            clean,
        })
    });
    sample.ok_or_else(|| format!("the worker said {line:?}"))
}

fn say(line: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

fn prepare(side: Side, row: &Row) -> Result<Box<dyn Case>> {
    sys::die_with_parent()?;
    let sysv = side.is_sysv() && row.work.uses_ipc();
    match (side, sys::unshare_ipc()) {
        (Side::Kernel, Err(error)) if sysv => {
            let why = format!("an IPC namespace of its own takes root: {error}");
            return Err(Error::new(ErrorKind::Unsupported, why));
        }
        // On the other sides it only keeps mistakes away from the machine's own queues and limits.
        _ => {}
    }
    if sysv {
        match (side, served_by_kernel()?) {
            (Side::Usysv, true) => {
                let why = "libusysv.so did not take over: msgget reached the kernel";
                return Err(Error::other(why));
            }
            (Side::Kernel, false) => {
                return Err(Error::other(
                    "something answered msgget before the kernel could",
                ));
            }
            _ => {}
        }
    }
    cases::prepare(side, row)
}

/// Whether the C library's queues are Linux's: whether the kernel's own list has one that this
/// process was the last to send to.
fn served_by_kernel() -> Result<bool> {
    let queue = sys::msgget(libc::IPC_PRIVATE, 0o600)?;
    let sent = sys::msgsnd(queue, &Message::new(1), 1, libc::IPC_NOWAIT);
    let list = sys::read_past_preload(c"/proc/sysvipc/msg", 8 << 20);
    sys::remove_queue(queue)?;
    sent?;
    match list {
        Ok(list) => Ok(lists_sender(
            &String::from_utf8_lossy(&list),
            std::process::id(),
        )),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether a `/proc/sysvipc/msg` has a queue whose `lspid` is `pid`.
fn lists_sender(list: &str, pid: u32) -> bool {
    const LSPID: usize = 5;
    let pid = pid.to_string();
    list.lines()
        .skip(1)
        .any(|line| line.split_whitespace().nth(LSPID) == Some(&pid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_list_tells_who_sent() {
        let list = "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  \
                    cuid  cgid      stime      rtime      ctime\n         \
                    0          7   600           1          1   412     0     0     0     0     0\n";
        assert!(lists_sender(list, 412));
        assert!(!lists_sender(list, 600));
        assert!(!lists_sender("", 412));
    }

    #[test]
    fn samples_are_read_as_they_are_said() {
        assert_eq!(
            parse_sample("17 clean"),
            Ok(Sample {
                total: 17,
                clean: true
            })
        );
        assert_eq!(
            parse_sample("17 disturbed"),
            Ok(Sample {
                total: 17,
                clean: false
            })
        );
        assert_eq!(parse_sample("fail no queue"), Err("no queue".into()));
        assert!(parse_sample("17").is_err());
        assert_eq!(parse_p99("p99 120.5"), Ok(Some(120.5)));
        assert_eq!(parse_p99("p99 -"), Ok(None));
        assert_eq!(parse_p99("fail no queue"), Err("no queue".into()));
    }
}
