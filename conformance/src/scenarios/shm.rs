//! Shared memory: the scenarios, by the question that they ask.

use super::Scenario;

mod access;
mod attach;
mod deaths;
mod detach;
mod forks;
mod get;
mod ids;
mod pieces;
mod remove;

/// All of them.
pub(super) const ALL: &[&[Scenario]] = &[
    get::ALL,
    ids::ALL,
    attach::ALL,
    detach::ALL,
    access::ALL,
    pieces::ALL,
    forks::ALL,
    deaths::ALL,
    remove::ALL,
];
