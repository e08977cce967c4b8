//! `usysv-bench`: the same System V calls, served by Linux and by usysv, side by side in one run.
//!
//! The measured code is plain C library calls ([`sys`]). Each row runs in one worker process per
//! side ([`worker`]): one in a kernel IPC namespace of its own, one with `libusysv.so` preloaded
//! and a private usysv namespace. The parent asks them for short samples in turn ([`drive`]). A
//! worker whose calls reach the wrong side refuses to measure.
//!
//! This is a measurement and never a test: a missed target does not fail the run. What does is a
//! column that should be there and is not.
#![deny(unsafe_code)]

mod args;
mod cases;
mod drive;
mod json;
mod machine;
mod peer;
mod place;
mod report;
mod rows;
mod sem_cases;
mod shm_cases;
mod stats;
mod sys;
mod worker;

use args::{Args, Command};
use drive::{Outcome, Plan, Setting, Stop};
use rows::{ROWS, Row, Shown, Target};
use std::fs::File;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

const TABLE: Plan = Plan {
    rounds: 3,
    samples: 13,
    sample_time: Duration::from_millis(20),
    round_time: Duration::from_secs(3),
};

const DEMO: Plan = Plan {
    rounds: 3,
    samples: 5,
    sample_time: Duration::from_millis(15),
    round_time: Duration::from_millis(500),
};

fn main() -> ExitCode {
    let args = match args::parse(std::env::args_os().skip(1)) {
        Ok(args) => args,
        Err(why) => {
            eprintln!("usysv-bench: {why}\n\n{}", args::usage());
            return ExitCode::from(2);
        }
    };
    let done = match args.command {
        Command::Help => io::stdout()
            .write_all(args::usage().as_bytes())
            .map(|()| true),
        Command::Worker(side, row) => worker::serve(side, row).map(|()| true),
        Command::Table => run(rows_shown_in(Shown::Table), &TABLE, &args),
        Command::Demo => run(rows_shown_in(Shown::Demo), &DEMO, &args),
        Command::Row(row) => run(with_its_base(row), &TABLE, &args),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) if sys::interrupted() => ExitCode::from(130),
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("usysv-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn rows_shown_in(command: Shown) -> Vec<&'static Row> {
    ROWS.iter()
        .filter(|row| row.shown == command || row.shown == Shown::Both)
        .collect()
}

/// A row, after the one that its target compares it with.
fn with_its_base(row: &'static Row) -> Vec<&'static Row> {
    let base = match row.target {
        Some(Target::Within(_, base)) => rows::named(base),
        _ => None,
    };
    base.into_iter().chain([row]).collect()
}

/// Measures and reports; true if every column that should be there is.
fn run(rows: Vec<&'static Row>, plan: &Plan, args: &Args) -> io::Result<bool> {
    sys::note_interrupts();
    // Opened first: a run of minutes must not end in a path that cannot be written.
    let json = args.json.as_ref().map(File::create).transpose()?;
    let out = &mut io::stdout().lock();
    let mut setting = Setting {
        library: place::library().map_err(|error| Stop::Failed(error.to_string())),
        kernel: Ok(()),
        scratch: place::Scratch::new()?,
    };
    drive::preflight(&ROWS[0], &mut setting);
    let machine = machine::Machine::here();
    report::head(out, &machine, plan, &setting)?;

    let table = report::Table::new(&rows);
    let (limits, compared): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.is_limit());
    let mut outcomes: Vec<Outcome> = Vec::new();
    if !compared.is_empty() {
        table.heads(out)?;
    }
    for row in compared {
        let outcome = drive::measure(row, plan, &setting);
        if sys::interrupted() {
            return Ok(false);
        }
        table.row(out, &outcome, &outcomes)?;
        outcomes.push(outcome);
    }
    let limits: Vec<_> = limits
        .into_iter()
        .map(|row| drive::measure(row, plan, &setting))
        .collect();
    table.limits(out, &limits)?;
    outcomes.extend(limits);

    if let Some(mut json) = json {
        json.write_all(json::run(&machine, plan, &outcomes).as_bytes())?;
    }
    let failed = |stop: &Stop| matches!(stop, Stop::Failed(_));
    let sides = setting
        .kernel
        .err()
        .into_iter()
        .chain(setting.library.err());
    let columns = outcomes.iter().flat_map(|outcome| &outcome.columns);
    let missing = sides.chain(columns.filter_map(|(_, column)| column.clone().err()));
    Ok(!sys::interrupted() && !missing.into_iter().any(|stop| failed(&stop)))
}
