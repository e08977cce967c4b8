//! The parent's side of a measurement: starts a worker per side and asks them for samples in turn.
//!
//! Turns are short, so that whatever the machine does meanwhile, heat or foreign load, meets
//! every side alike. Samples that a worker calls disturbed are redone, up to as many again.

use crate::handle::Worker;
use crate::machine::{Awake, Load};
use crate::place::Scratch;
use crate::row::{Row, Unit};
use crate::side::Side;
use crate::stats::{Series, Summary};
use crate::sys;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Why a column has no figure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It cannot be measured here, and that is nobody's fault.
    Skipped(String),
    /// It should have worked.
    Failed(String),
    /// The whole side is missing, for a reason that [`Setting`] knows.
    Absent(String),
}

impl Stop {
    /// The reason.
    pub fn why(&self) -> &str {
        match self {
            Stop::Skipped(why) | Stop::Failed(why) | Stop::Absent(why) => why,
        }
    }
}

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How often a row is measured in fresh processes: where memory happens to lie in one is as
    /// much luck as anything, and must not become the row's figure.
    pub rounds: usize,
    /// Clean samples wanted per round and side.
    pub samples: usize,
    /// About how long a sample takes.
    pub sample_time: Duration,
    /// When a round stops asking for more samples than it has.
    pub round_time: Duration,
    /// Whether others than the kernel and usysv are measured as well.
    pub others: bool,
}

/// Where the workers run, and which sides there are at all.
pub struct Setting {
    /// The preload library, unless there is a reason not to use it.
    pub library: Result<PathBuf, Stop>,
    /// Why there is no kernel side, if there is none.
    pub kernel: Result<(), Stop>,
    /// Where namespaces go.
    pub scratch: Scratch,
}

/// What was measured of one row.
pub struct Outcome {
    /// The row.
    pub row: &'static Row,
    /// A series, or the reason why there is none, for each of the row's sides.
    pub columns: Vec<(Side, Result<Series, Stop>)>,
    /// The share of the machine that others used meanwhile.
    pub foreign_share: f64,
    /// Whether samples had to be accepted although they were disturbed, or are missing.
    pub noisy: bool,
}

impl Outcome {
    /// The summary of one side, if it was measured.
    pub fn summary(&self, side: Side) -> Option<Summary> {
        let (_, column) = self.columns.iter().find(|(of, _)| *of == side)?;
        column.as_ref().ok()?.summary()
    }

    /// What one in a hundred operations of one side takes longer than, if it was measured.
    pub fn p99(&self, side: Side) -> Option<f64> {
        let (_, column) = self.columns.iter().find(|(of, _)| *of == side)?;
        column.as_ref().ok()?.p99()
    }

    /// The others' medians.
    pub fn others(&self) -> impl Iterator<Item = (Side, f64)> {
        let others = self.row.others.iter();
        others.filter_map(|side| Some((*side, self.summary(*side)?.median)))
    }

    /// The fastest of the others that reach another process.
    pub fn best_other(&self) -> Option<(Side, f64)> {
        let rivals = self.others().filter(|(side, _)| *side != Side::Crossbeam);
        rivals.min_by(|(_, one), (_, other)| one.total_cmp(other))
    }

    /// How many times faster (or smaller) usysv is than the row's base.
    pub fn ratio(&self) -> Option<f64> {
        self.times(self.summary(self.row.base?)?.median)
    }

    /// How many times faster usysv is than a figure.
    pub fn times(&self, base: f64) -> Option<f64> {
        let usysv = self.summary(Side::Usysv)?.median;
        (usysv > 0.0 && base > 0.0).then(|| base / usysv)
    }
}

/// A side of a row that is being measured.
struct Lane {
    worker: Worker,
    operations: u64,
    clean: usize,
}

/// Finds out which sides work at all, by starting a worker on each.
pub fn preflight(row: &'static Row, setting: &mut Setting) {
    if let Err(stop) = Worker::start(Side::Kernel, row, setting) {
        setting.kernel = Err(stop);
    }
    if setting.library.is_ok()
        && let Err(stop) = Worker::start(Side::Usysv, row, setting)
    {
        setting.library = Err(stop);
    }
}

/// Measures one row on all its sides.
pub fn measure(row: &'static Row, plan: &Plan, setting: &Setting) -> Outcome {
    let load = Load::now();
    let (rounds, samples) = match row.single_shots {
        Some(samples) => (1, samples),
        None => (row.rounds.unwrap_or(plan.rounds), plan.samples),
    };
    let awake = row.awake.then(Awake::ask).transpose();
    let ready = awake
        .as_ref()
        .map_err(|error| Stop::Skipped(error.to_string()));
    let mut columns: Vec<_> = row
        .sides()
        .filter(|side| plan.others || !row.others.contains(side))
        .map(|side| (side, ready.clone().map(|_| Series::default())))
        .collect();
    for _ in 0..rounds {
        if !sys::interrupted() {
            round(row, samples, plan, setting, &mut columns);
        }
    }
    let foreign_share = load.foreign_share_since();
    let mut measured = columns.iter().flat_map(|(_, column)| column);
    let short = measured.any(|series| series.clean() < rounds * samples);
    Outcome {
        row,
        columns,
        foreign_share,
        // Load changes times, not sizes.
        noisy: short || (foreign_share > 0.1 && row.unit != Unit::Bytes),
    }
}

/// Takes `wanted` clean samples more of each side, from workers that live for this round.
fn round(
    row: &Row,
    wanted: usize,
    plan: &Plan,
    setting: &Setting,
    columns: &mut [(Side, Result<Series, Stop>)],
) {
    let mut lanes = Vec::new();
    for (side, column) in columns {
        let opened = match column {
            Ok(_) => Lane::open(*side, row, plan, setting),
            Err(_) => continue,
        };
        match opened {
            Ok(lane) => lanes.push((lane, column)),
            Err(stop) => *column = Err(stop),
        }
    }
    let started = Instant::now();
    for _ in 0..2 * wanted {
        lanes.retain_mut(|(lane, column)| match lane.sample(column) {
            Ok(()) => true,
            Err(why) => {
                **column = Err(Stop::Failed(why));
                false
            }
        });
        if lanes.iter().all(|(lane, _)| lane.clean >= wanted)
            || started.elapsed() > plan.round_time
            || sys::interrupted()
        {
            break;
        }
    }
    for (mut lane, column) in lanes {
        if let Err(why) = lane.each(column) {
            *column = Err(Stop::Failed(why));
        }
    }
}

impl Lane {
    /// Starts a worker, finds out how many operations fill a sample, and warms it up by that.
    fn open(side: Side, row: &Row, plan: &Plan, setting: &Setting) -> Result<Lane, Stop> {
        let mut worker = Worker::start(side, row, setting)?;
        let operations = match row.single_shots {
            Some(_) => Ok(1),
            None => calibrate(&mut worker, plan.sample_time),
        };
        Ok(Lane {
            worker,
            operations: operations.map_err(Stop::Failed)?,
            clean: 0,
        })
    }

    fn sample(&mut self, column: &mut Result<Series, Stop>) -> Result<(), String> {
        let sample = self.worker.sample(self.operations)?;
        self.clean += usize::from(sample.clean);
        if let Ok(series) = column {
            series.operations = self.operations;
            series
                .samples
                .push((sample.total as f64 / self.operations as f64, sample.clean));
        }
        Ok(())
    }

    /// Times single operations, about as many as fill a sample.
    fn each(&mut self, column: &mut Result<Series, Stop>) -> Result<(), String> {
        let p99 = self.worker.p99(self.operations.clamp(20, 20_000))?;
        if let Ok(series) = column {
            series.p99s.extend(p99);
        }
        Ok(())
    }
}

/// How many operations fill a sample; what it takes to find out is also the warm-up. A slow sample is
/// taken again: found in a bad moment, the number would make all samples too short to mean anything.
fn calibrate(worker: &mut Worker, sample_time: Duration) -> Result<u64, String> {
    let wanted = sample_time.as_nanos() as f64;
    let mut operations = 1u64;
    loop {
        let mut took = worker.sample(operations)?.total.max(1);
        if took as f64 > wanted / 2.0 {
            took = took.min(worker.sample(operations)?.total.max(1));
        }
        if took as f64 > wanted / 2.0 || operations > 1 << 40 {
            return Ok(((operations as f64 * wanted / took as f64) as u64).max(1));
        }
        operations *= 4;
    }
}
