//! Semaphore sets: the scenarios, by the question that they ask.

use super::Scenario;

mod get;

/// All of them.
pub(super) const ALL: &[&[Scenario]] = &[get::ALL];
