//! Semaphore sets: the scenarios, by the question that they ask.

use super::Scenario;

mod errors;
mod get;
mod ops;

/// All of them.
pub(super) const ALL: &[&[Scenario]] = &[get::ALL, ops::ALL, errors::ALL];
