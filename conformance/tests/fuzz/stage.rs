//! Both sides, a step at a time.

use crate::mail::Field;
use crate::rules::shut_out;
use crate::side::{Shown, Side};
use crate::steps::Step;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};
use usysv_conformance::errno::Errno;
use usysv_conformance::world;

/// No step begins in the last milliseconds of a second, so that both sides make it in the same.
const EDGE_NS: i64 = 20_000_000;

pub struct Stage {
    patience: Duration,
    kernel: Side,
    engine: Side,
}

impl Stage {
    /// `patience`: how long the sides may take to show the same.
    pub fn new(patience: Duration) -> Result<Stage, String> {
        world::enter_fresh_world()?;
        let beside = Path::new(env!("CARGO_BIN_EXE_usysv-conformance"));
        Ok(Stage {
            patience,
            kernel: Side::new(None)?,
            engine: Side::new(Some(beside))?,
        })
    }

    fn sides(&mut self) -> [&mut Side; 2] {
        [&mut self.kernel, &mut self.engine]
    }

    /// Plays a sequence; gives its length, or what differed.
    pub fn play(&mut self, steps: &[Step]) -> Result<u64, String> {
        let origin = clock().tv_sec;
        for side in self.sides() {
            side.begin(origin);
        }
        for (number, step) in steps.iter().enumerate() {
            self.step(step)
                .map_err(|why| format!("step {number}, {step}: {why}"))?;
        }
        for side in self.sides() {
            side.clear().map_err(|why| format!("at the end: {why}"))?;
        }
        Ok(steps.len() as u64)
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        let second = quiet_second();
        let [kernel, engine] = [&mut self.kernel, &mut self.engine];
        kernel.start(step).map_err(|why| format!("kernel: {why}"))?;
        engine.start(step).map_err(|why| format!("engine: {why}"))?;
        let mut returned = [BTreeMap::new(), BTreeMap::new()];
        let deadline = Instant::now() + self.patience;
        loop {
            kernel
                .settle(&mut returned[0])
                .map_err(|why| format!("kernel: {why}"))?;
            engine
                .settle(&mut returned[1])
                .map_err(|why| format!("engine: {why}"))?;
            let both = returned[0].keys().eq(returned[1].keys());
            if both || Instant::now() > deadline {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let [theirs, ours] = returned;
        if !theirs.keys().eq(ours.keys()) {
            return Err(format!(
                "who returned\n  kernel {theirs:?}\n  engine {ours:?}"
            ));
        }
        if clock().tv_sec != second {
            (kernel.origin, engine.origin) = (None, None);
        }
        kernel.tell_look();
        engine.tell_look();
        let looks = (kernel.looked()?, engine.looked()?);
        if clock().tv_sec != second {
            // What has returned was shown with its times before.
            return Ok(());
        }
        for (player, theirs) in &theirs {
            if !(kernel.is_user(*player) && shut_out(theirs, &ours[player])) {
                same(&format!("player {player}'s call"), theirs, &ours[player])?;
            }
        }
        same("what the house sees", &looks.0, &looks.1)
    }
}

fn clock() -> libc::timespec {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: room for the answer. Coarse as the stamps are.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME_COARSE, &mut now) };
    now
}

fn quiet_second() -> i64 {
    loop {
        let now = clock();
        let left = 1_000_000_000 - now.tv_nsec;
        if left > EDGE_NS {
            return now.tv_sec;
        }
        std::thread::sleep(Duration::from_nanos(left as u64));
    }
}

fn same(what: &str, kernel: &Shown, engine: &Shown) -> Result<(), String> {
    if kernel == engine {
        return Ok(());
    }
    let at = kernel
        .seen
        .iter()
        .zip(&engine.seen)
        .position(|(k, e)| k != e);
    let at = at.unwrap_or(kernel.seen.len().min(engine.seen.len()));
    Err(format!(
        "{what}\n  kernel {}\n  engine {}",
        describe(kernel, at),
        describe(engine, at)
    ))
}

/// The result, and what was seen from a place on; before that, to which object it belongs.
fn describe(shown: &Shown, at: usize) -> String {
    let Shown { ret, errno, seen } = shown;
    let mut text = format!("{ret} {}", Errno(*errno));
    let begins = |field: &Field| matches!(field, Field::Object | Field::Semaphore | Field::Message);
    let context = seen[..at.min(seen.len())]
        .iter()
        .rev()
        .find(|(field, _)| begins(field));
    let object = seen[..at.min(seen.len())]
        .iter()
        .filter(|(field, _)| *field == Field::Object);
    text.push_str(&format!(", object {}", object.count()));
    for (field, value) in context.into_iter().chain(seen.iter().skip(at).take(14)) {
        text.push_str(&format!(", {field:?} {value}"));
    }
    text
}
