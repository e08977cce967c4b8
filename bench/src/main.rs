//! `usysv-bench`: the same System V calls, served by Linux and by usysv, side by side in one run.
//!
//! Beside them stand other people's channels, each in the rows that it can do ([`traffic`]).
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
mod case;
mod cases;
mod channel;
mod drive;
mod handle;
mod instructions;
mod json;
mod limit_cases;
mod machine;
mod memory;
mod msg_cases;
mod peer;
mod place;
mod plot;
mod plugin;
mod posix;
mod report;
mod row;
mod rows;
mod sem_cases;
mod shm_cases;
mod side;
mod sleepers;
mod stats;
mod sys;
mod traffic;
mod worker;

use args::{Args, Command};
use drive::{Outcome, Plan, Setting, Stop};
use row::{Row, Shown, Target};
use rows::ROWS;
use std::fs::{self, File};
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

const TABLE: Plan = Plan {
    rounds: 3,
    samples: 9,
    sample_time: Duration::from_millis(15),
    round_time: Duration::from_secs(3),
    others: true,
};

const DEMO: Plan = Plan {
    rounds: 3,
    samples: 5,
    sample_time: Duration::from_millis(15),
    round_time: Duration::from_millis(500),
    others: false,
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
        Command::Instructions { ref table, renew } => {
            instructions::run(&mut io::stdout().lock(), table, renew)
        }
        Command::Table => run(rows_shown_in(Shown::Table), &TABLE, &args),
        Command::Demo => run(rows_shown_in(Shown::Demo), &DEMO, &args),
        Command::Row(row) => run(with_what_it_names(row), &TABLE, &args),
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

/// A row, after the ones that its limit and its target name.
fn with_what_it_names(row: &'static Row) -> Vec<&'static Row> {
    let base = match row.target {
        Some(Target::Within(_, base)) => Some(base),
        _ => None,
    };
    let named = row.limit.into_iter().chain(base).filter_map(rows::named);
    named.chain([row]).collect()
}

/// Standard output, and a file beside it if one is kept.
struct Tee(Option<File>);

impl Write for Tee {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::stdout().write_all(bytes)?;
        if let Some(file) = &mut self.0 {
            file.write_all(bytes)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().flush()
    }
}

/// Measures and reports; true if every column that should be there is.
fn run(rows: Vec<&'static Row>, plan: &Plan, args: &Args) -> io::Result<bool> {
    sys::note_interrupts();
    // Made first: a run of minutes must not end in a directory that cannot be written.
    let kept = |name: &str| {
        args.out
            .as_ref()
            .map(|out| File::create(out.join(name)))
            .transpose()
    };
    args.out.as_ref().map(fs::create_dir_all).transpose()?;
    let out = &mut Tee(kept("table.txt")?);
    let (json, plot) = (kept("results.json")?, kept("ratios.svg")?);
    let mut setting = Setting {
        library: place::library().map_err(|error| Stop::Failed(error.to_string())),
        kernel: Ok(()),
        scratch: place::Scratch::new()?,
    };
    let first = rows::named("pair-64").ok_or(io::Error::other("there is no row to begin with"))?;
    drive::preflight(first, &mut setting);
    let machine = machine::Machine::here();
    report::head(out, &machine, plan, &setting)?;

    let table = report::Table::new(&rows);
    let (limits, compared): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.is_limit());
    let mut outcomes: Vec<Outcome> = Vec::new();
    for row in limits {
        outcomes.push(drive::measure(row, plan, &setting));
    }
    report::limits(out, &outcomes)?;
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

    if let Some(mut json) = json {
        json.write_all(json::run(&machine, plan, &outcomes).as_bytes())?;
    }
    if let Some(mut plot) = plot {
        plot.write_all(plot::ratios(&machine, &outcomes).as_bytes())?;
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
