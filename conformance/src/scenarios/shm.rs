//! Shared memory: the scenarios, by the question that they ask.

use super::Scenario;

mod attach;
mod detach;
mod get;
mod ids;

/// All of them.
pub(super) const ALL: &[&[Scenario]] = &[get::ALL, ids::ALL, attach::ALL, detach::ALL];
