//! The crash suite: kills processes inside the engine and looks at what they leave.
//!
//! `points` kills each operation at each named point that lies on it, `names` does so for making
//! and removing queues, `segments` for shared memory, `sets` for semaphores, `random` kills producers and consumers anywhere. After each kill either
//! nothing of the operation happened or all of it did, and the queue goes on working.
//!
//! The points exist in debug builds only; a release build runs `random` alone, and says so.

#[cfg(debug_assertions)]
mod huge;
mod names;
#[cfg(debug_assertions)]
mod points;
mod random;
#[cfg_attr(not(debug_assertions), allow(dead_code))]
mod rig;
#[cfg(debug_assertions)]
mod segments;
#[cfg(debug_assertions)]
mod sets;

#[cfg(not(debug_assertions))]
#[test]
fn a_release_build_has_no_kill_points() {
    eprintln!("crash: this is a release build, without kill points: only the random kills ran");
}
