//! The crash suite: kills processes inside the engine and looks at what they leave.
//!
//! `everywhere` kills each operation at each named point that lies on it, and then whoever comes
//! next. `points` (queues), `names`, `segments` and `sets` are about single stories, and know for each
//! point whether the operation happened. `random` kills anywhere, under load. After each kill either
//! nothing of the operation happened or all of it did, and the object goes on working.
//!
//! The points exist in debug builds only; a release build runs `random` alone, and says so.

#[cfg(debug_assertions)]
mod everywhere;
#[cfg(debug_assertions)]
mod huge;
#[cfg(debug_assertions)]
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
