//! Models of the engine's protocols: its own code, in every order that threads and memory allow.
//!
//! `build.rs` copies the engine's files and gives them other atomics (`atomic.rs`); the system
//! around them is `world.rs` and `around.rs`. Loom plays every execution with at most as many
//! preemptions as a model says. A thread's death, or a signal, is tried at each of its steps.
//!
//! Each model has mutants (`mutants.rs`): mistakes in the engine that it has to find, for the
//! reason that the test names.
#![cfg(test)]

mod around;
mod atomic;
mod world;

use around::{
    backend, bus, cancelling, crash, files, liveness, maps, namespace, process, ranges, registry,
    sys, tls,
};

include!(concat!(env!("OUT_DIR"), "/engine.rs"));
include!("mutants.rs");

#[path = "again.rs"]
mod again_model;
#[path = "lock.rs"]
mod lock_model;
#[path = "pins.rs"]
mod pins_model;
#[path = "queue.rs"]
mod queue_model;
#[path = "segment.rs"]
mod segment_model;
#[path = "set.rs"]
mod set_model;

/// A namespace and an object in it.
mod scene;

thread_local! {
    static MUTANT: std::cell::Cell<usize> = const { std::cell::Cell::new(usize::MAX) };
    static CLOCKS: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Plays a model in which the chairs are taken, as by who left by `longjmp`: all sleepers have clocks.
fn with_clocks<T>(model: impl FnOnce() -> T) -> T {
    CLOCKS.set(true);
    let result = model();
    CLOCKS.set(false);
    result
}

/// Whether this mistake is made.
fn mutant(number: usize) -> bool {
    MUTANT.get() == number
}

/// Plays a model with a mistake in the engine: it fails, and says this.
fn finds<T>(name: &'static str, says: &str, model: impl FnOnce() -> T + Send + 'static) {
    let number = MUTANTS.iter().position(|m| m.name == name);
    let number = number.expect("a mutant of this name");
    let played = std::thread::spawn(move || {
        MUTANT.set(number);
        model();
    });
    let message = match played.join() {
        Ok(()) => panic!("not found: {name}"),
        Err(end) => match end.downcast::<String>() {
            Ok(message) => *message,
            Err(end) => end.downcast_ref::<&str>().unwrap_or(&"?").to_string(),
        },
    };
    let first = message.lines().next().unwrap_or_default();
    println!("mutant {name:?}: {first}");
    assert!(
        message.contains(says),
        "{name}: {says:?} expected, but: {message}"
    );
}
