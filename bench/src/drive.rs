//! The parent's side of a measurement: starts a worker per side and asks them for samples in turn.
//!
//! Turns are short, so that whatever the machine does meanwhile, heat or foreign load, meets
//! every side alike. Samples that a worker calls disturbed are redone, up to as many again.

use crate::machine::Load;
use crate::place::{Namespace, Scratch};
use crate::rows::{Row, Side, Unit};
use crate::stats::{Series, Summary};
use crate::{sys, worker};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
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

    /// How many times faster (or smaller) usysv is than the row's base.
    pub fn ratio(&self) -> Option<f64> {
        let base = self.summary(self.row.base?)?.median;
        let usysv = self.summary(Side::Usysv)?.median;
        (usysv > 0.0).then(|| base / usysv)
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
        None => (plan.rounds, plan.samples),
    };
    let mut columns: Vec<_> = row
        .sides()
        .map(|side| (side, Ok(Series::default())))
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
            Ok(series) => Lane::open(*side, row, plan, setting, series.operations),
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
}

impl Lane {
    /// Starts a worker and warms it up; `operations` is 0 if nobody knows yet how many fill a sample.
    fn open(
        side: Side,
        row: &Row,
        plan: &Plan,
        setting: &Setting,
        operations: u64,
    ) -> Result<Lane, Stop> {
        let mut worker = Worker::start(side, row, setting)?;
        let operations = match (row.single_shots, operations) {
            (Some(_), _) => Ok(1),
            (None, 0) => calibrate(&mut worker, plan.sample_time),
            (None, known) => worker.sample(known).map(|_warm_up| known),
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
}

/// How many operations fill a sample; what it takes to find out is also the warm-up.
fn calibrate(worker: &mut Worker, sample_time: Duration) -> Result<u64, String> {
    let wanted = sample_time.as_nanos() as f64;
    let mut operations = 1u64;
    loop {
        let took = worker.sample(operations)?.total.max(1) as f64;
        if took > wanted / 2.0 || operations > 1 << 40 {
            return Ok(((operations as f64 * wanted / took) as u64).max(1));
        }
        operations *= 4;
    }
}

/// How long a worker may be silent: a stuck one must not stop the run.
const PATIENCE: Duration = Duration::from_secs(20);

struct Worker {
    child: Child,
    orders: Option<ChildStdin>,
    answers: Receiver<String>,
    _namespace: Option<Namespace>,
}

impl Worker {
    fn start(side: Side, row: &Row, setting: &Setting) -> Result<Worker, Stop> {
        let failed = |error: std::io::Error| Stop::Failed(error.to_string());
        let absent = |stop: &Stop| Stop::Absent(stop.why().into());
        let program = std::env::current_exe().map_err(failed)?;
        let mut command = Command::new(program);
        command.args(["worker", side.name(), row.name]);
        command.env_remove("LD_PRELOAD").env_remove("USYSV_NS");
        let mut namespace = None;
        match side {
            Side::Plain => {}
            Side::Kernel => setting.kernel.as_ref().map_err(absent).map(drop)?,
            Side::Usysv => {
                let library = setting.library.as_ref().map_err(absent)?;
                let fresh = setting.scratch.namespace().map_err(failed)?;
                command
                    .env("LD_PRELOAD", library)
                    .env("USYSV_NS", fresh.path());
                command.envs(row.env.iter().copied());
                namespace = Some(fresh);
            }
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let orders = child.stdin.take();
        let output = child.stdout.take();
        let (sender, answers) = channel();
        thread::spawn(move || {
            for line in output
                .into_iter()
                .flat_map(|output| BufReader::new(output).lines())
            {
                // Either end gone is how a worker's story normally ends.
                let Ok(line) = line else { return };
                let Ok(()) = sender.send(line) else { return };
            }
        });
        let mut worker = Worker {
            child,
            orders,
            answers,
            _namespace: namespace,
        };
        let greeting = worker.answer().map_err(Stop::Failed)?;
        match greeting.split_once(' ').unwrap_or((&greeting, "")) {
            ("ready", _) => Ok(worker),
            ("skip", why) => Err(Stop::Skipped(why.into())),
            ("fail", why) => Err(Stop::Failed(why.into())),
            _ => Err(Stop::Failed(format!("the worker said {greeting:?}"))),
        }
    }

    fn sample(&mut self, operations: u64) -> Result<crate::cases::Sample, String> {
        if let Some(orders) = &mut self.orders {
            writeln!(orders, "{operations}")
                .map_err(|error| format!("the worker is gone: {error}"))?;
        }
        worker::parse_sample(&self.answer()?)
    }

    fn answer(&mut self) -> Result<String, String> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline && !sys::interrupted() {
            match self.answers.recv_timeout(Duration::from_millis(100)) {
                Ok(line) => return Ok(line),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(match self.child.wait() {
                        Ok(status) => format!("the worker ended: {status}"),
                        Err(error) => format!("the worker is lost: {error}"),
                    });
                }
            }
        }
        match sys::interrupted() {
            true => Err("interrupted".into()),
            false => Err(format!(
                "the worker is stuck: no answer in {} s",
                PATIENCE.as_secs()
            )),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.orders = None;
        let grace = Instant::now() + Duration::from_secs(5);
        while Instant::now() < grace {
            match self.child.try_wait() {
                Ok(None) => thread::sleep(Duration::from_millis(1)),
                Ok(Some(_)) => return,
                Err(_) => break,
            }
        }
        let ended = self.child.kill().and_then(|()| self.child.wait());
        if let Err(error) = ended {
            eprintln!(
                "usysv-bench: cannot end worker {}: {error}",
                self.child.id()
            );
        }
    }
}
