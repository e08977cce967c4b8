//! The hostile suite: somebody who may write a namespace's files does his worst.
//!
//! `truncated` cuts files off under live mappings, `bytes` writes nonsense into every file, at rest
//! and while calls run, `names` puts links, pipes and other people's files where the namespace's own
//! should be. Victims are processes under an alarm: they get errors, or stop using the object; none
//! dies, none waits longer than a second, nothing else is touched.

mod bytes;
mod dice;
mod found;
mod names;
#[allow(dead_code)]
#[path = "../crash/rig.rs"]
mod rig;
#[cfg(debug_assertions)]
mod sums;
mod truncated;
mod victim;
