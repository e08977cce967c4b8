//! The differential fuzz: one random sequence of steps on the kernel and on the engine, in lockstep.
//!
//! Each side has players, processes that call `semop`; the driver makes the other calls and looks.
//! After each step both sides show the same: what returned and with what, who sleeps, every value,
//! pid and count. A sequence that shows a difference is shrunk and printed with its seed.
//!
//! `USYSV_FUZZ_OPS` says for how many steps, without it five seconds; `USYSV_FUZZ_SEED` with which
//! seed to begin. The kernel's side needs an IPC namespace of its own, and so root.

mod player;
mod stage;
mod steps;

use stage::Stage;
use std::time::{Duration, Instant};
use steps::{Dice, Step};

const SLICE: Duration = Duration::from_secs(5);
const LENGTH: usize = 60;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}: not a number")),
    )
}

/// Leaves out what the difference does not need.
fn shrink(mut steps: Vec<Step>, mut reason: String) -> (Vec<Step>, String) {
    let mut len = steps.len() / 2;
    while len > 0 {
        let mut at = 0;
        while at < steps.len() {
            let mut fewer = steps.clone();
            fewer.drain(at..(at + len).min(steps.len()));
            match Stage::new().play(&fewer) {
                Err(still) => (steps, reason) = (fewer, still),
                Ok(_) => at += len,
            }
        }
        len /= 2;
    }
    (steps, reason)
}

fn complain(seed: u64, steps: Vec<Step>, reason: String) -> ! {
    eprintln!("fuzz: seed {seed} differs: {reason}");
    let again = Stage::new().play(&steps);
    let (steps, reason) = match again {
        Err(again) => shrink(steps, again),
        // It takes what earlier sequences left: all that can be shown is the whole.
        Ok(_) => (steps, format!("{reason} (not when played alone)")),
    };
    for step in &steps {
        eprintln!("  {step:?}");
    }
    panic!("kernel and engine differ, seed {seed}: {reason}");
}

#[test]
fn kernel_and_engine_agree() {
    // SAFETY: changes the namespace of this thread, and of those who are forked by it.
    if unsafe { libc::unshare(libc::CLONE_NEWIPC) } != 0 {
        let error = std::io::Error::last_os_error();
        eprintln!("fuzz: NOT RUN: no IPC namespace of its own: {error}; run it as root");
        return;
    }
    let wanted = number("USYSV_FUZZ_OPS");
    let clock = || {
        std::time::UNIX_EPOCH
            .elapsed()
            .expect("a clock")
            .as_micros() as u64
    };
    let first = number("USYSV_FUZZ_SEED").unwrap_or_else(clock);
    eprintln!("fuzz: from seed {first}");
    let (begun, mut done) = (Instant::now(), 0u64);
    let mut stage = Stage::new();
    for seed in first.. {
        let steps = steps::sequence(&mut Dice::new(seed), LENGTH);
        match stage.play(&steps) {
            Ok(played) => done += played,
            Err(reason) => {
                drop(stage);
                complain(seed, steps, reason)
            }
        }
        if seed % 4096 == 0 {
            eprintln!("fuzz: {done} steps, {:?}, seed {seed}", begun.elapsed());
        }
        if wanted.map_or(begun.elapsed() >= SLICE, |wanted| done >= wanted) {
            break;
        }
    }
    eprintln!("fuzz: {done} steps in {:?}, no difference", begun.elapsed());
}
