//! The parent's end of a worker: a process on one side that measures one row.

use crate::case::Sample;
use crate::drive::{Setting, Stop};
use crate::place::Namespace;
use crate::row::Row;
use crate::side::Side;
use crate::{sys, worker};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How long a worker may be silent: a stuck one must not stop the run.
const PATIENCE: Duration = Duration::from_secs(30);

/// A worker process. It ends when this goes out of scope.
pub struct Worker {
    child: Child,
    orders: Option<ChildStdin>,
    answers: Receiver<String>,
    _namespace: Option<Namespace>,
}

impl Worker {
    /// Starts one, and waits until it is ready.
    pub fn start(side: Side, row: &Row, setting: &Setting) -> Result<Worker, Stop> {
        let failed = |error: std::io::Error| Stop::Failed(error.to_string());
        let absent = |stop: &Stop| Stop::Absent(stop.why().into());
        let program = std::env::current_exe().map_err(failed)?;
        let mut command = Command::new(program);
        command.args(["worker", side.name(), row.name]);
        command.env_remove("LD_PRELOAD").env_remove("USYSV_NS");
        let mut namespace = None;
        match side {
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
            _ => {}
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

    /// Asks for a sample.
    pub fn sample(&mut self, operations: u64) -> Result<Sample, String> {
        worker::parse_sample(&self.ask(&operations.to_string())?)
    }

    /// Asks for the 99th percentile of single operations.
    pub fn p99(&mut self, operations: u64) -> Result<Option<f64>, String> {
        worker::parse_p99(&self.ask(&format!("each {operations}"))?)
    }

    fn ask(&mut self, order: &str) -> Result<String, String> {
        if let Some(orders) = &mut self.orders {
            writeln!(orders, "{order}").map_err(|error| format!("the worker is gone: {error}"))?;
        }
        self.answer()
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
