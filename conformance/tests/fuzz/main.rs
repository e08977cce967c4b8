//! The differential fuzz: one random sequence of steps on the kernel and on usysv, in lockstep.
//!
//! Each side has a house and its players: processes that make C calls, in a fresh IPC namespace of
//! the kernel's, or with `libusysv.so` preloaded. After each step both sides show the same: what
//! returned, with which result, errno, structure and bytes, who sleeps, and what the house sees of
//! every object. Pids are compared by birth; ids, times and all else as they are. A sequence that
//! shows a difference is shrunk and printed with its seed.
//!
//! `USYSV_FUZZ_OPS` says for how many steps, without it five seconds; `USYSV_FUZZ_SEED` with which
//! seed to begin. The kernel's side needs an IPC namespace of its own, and so root.

mod calls;
mod dice;
mod hands;
mod limits;
mod mail;
mod msg;
mod player;
mod rules;
mod sem;
mod shm;
mod side;
mod stage;
mod steps;

use dice::Dice;
use libtest_mimic::{Arguments, Failed, Trial};
use stage::Stage;
use std::time::{Duration, Instant};
use steps::Step;

const SLICE: Duration = Duration::from_secs(5);
const LENGTH: usize = 60;
/// How often a long run tells how far it is.
const SPEAKS: Duration = Duration::from_secs(30);
/// How long the sides may take to show the same: the engine's sleepers notice a death at a beat,
/// and the machine may have much else to do.
const PATIENCE: Duration = Duration::from_secs(5);
/// And while a difference is shrunk.
const HASTE: Duration = Duration::from_secs(1);
/// How long a difference is shrunk at most.
const SHRINKING: Duration = Duration::from_secs(120);

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, house, place @ ..] = &arguments[..]
        && house == "house"
    {
        player::begin(place);
    }
    let trial = Trial::test("kernel_and_engine_agree", agree);
    libtest_mimic::run(&Arguments::from_args(), vec![trial]).exit();
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}: not a number")),
    )
}

fn agree() -> Result<(), Failed> {
    // SAFETY: no pointers.
    if unsafe { libc::geteuid() } != 0 {
        eprintln!("fuzz: NOT RUN: an IPC namespace of its own and other users need root");
        return Ok(());
    }
    let wanted = number("USYSV_FUZZ_OPS");
    let clock = || {
        std::time::UNIX_EPOCH
            .elapsed()
            .map_or(0, |now| now.as_micros() as u64)
    };
    let first = number("USYSV_FUZZ_SEED").unwrap_or_else(clock);
    eprintln!("fuzz: from seed {first}");
    let (begun, mut done) = (Instant::now(), 0u64);
    let mut spoken = begun;
    let mut stage = Stage::new(PATIENCE)?;
    for seed in first.. {
        let steps = steps::sequence(&mut Dice::new(seed), LENGTH);
        match stage.play(&steps) {
            Ok(played) => done += played,
            Err(reason) => {
                drop(stage);
                return Err(complain(seed, steps, reason));
            }
        }
        if spoken.elapsed() > SPEAKS {
            spoken = Instant::now();
            eprintln!("fuzz: {done} steps, {:?}, seed {seed}", begun.elapsed());
        }
        if wanted.map_or(begun.elapsed() >= SLICE, |wanted| done >= wanted) {
            break;
        }
    }
    eprintln!("fuzz: {done} steps in {:?}, no difference", begun.elapsed());
    Ok(())
}

fn alone(steps: &[Step]) -> Result<u64, String> {
    Stage::new(HASTE)?.play(steps)
}

fn complain(seed: u64, steps: Vec<Step>, reason: String) -> Failed {
    eprintln!("fuzz: seed {seed} differs: {reason}");
    let (steps, reason) = match alone(&steps) {
        Err(again) => shrink(steps, again),
        // It takes what earlier sequences left, or chance: all that can be shown is the whole.
        Ok(_) => (steps, format!("{reason} (not when played alone)")),
    };
    for step in &steps {
        eprintln!("  {step}");
    }
    format!("kernel and engine differ, seed {seed}: {reason}").into()
}

/// Leaves out what the difference does not need, and makes the rest simpler.
fn shrink(mut steps: Vec<Step>, mut reason: String) -> (Vec<Step>, String) {
    let deadline = Instant::now() + SHRINKING;
    let mut still = |steps: &mut Vec<Step>, candidate: Vec<Step>| {
        if Instant::now() > deadline {
            return false;
        }
        let shown = alone(&candidate);
        if let Err(why) = &shown {
            (*steps, reason) = (candidate, why.clone());
        }
        shown.is_err()
    };
    let mut len = steps.len() / 2;
    while len > 0 {
        let mut at = 0;
        while at < steps.len() {
            let mut fewer = steps.clone();
            fewer.drain(at..(at + len).min(steps.len()));
            if !still(&mut steps, fewer) {
                at += len;
            }
        }
        len /= 2;
    }
    for at in 0..steps.len() {
        let mut simplify = |steps: &mut Vec<Step>| {
            let shown = steps[at].to_string();
            steps[at].simpler().into_iter().any(|simpler| {
                let mut candidate = steps.clone();
                candidate[at] = simpler;
                simpler.to_string() != shown && still(steps, candidate)
            })
        };
        while simplify(&mut steps) {}
    }
    (steps, reason)
}
