//! Semaphore sets: the scenarios, by the question that they ask.

use super::Scenario;

mod blocking;
mod control;
mod counts;
mod crowds;
mod errors;
mod get;
mod limits;
mod ops;
mod permissions;
mod sharing;
mod signals;
mod tables;
mod timeouts;
mod undo;
mod values;
mod zero;

/// All of them.
pub(super) const ALL: &[&[Scenario]] = &[
    get::ALL,
    ops::ALL,
    errors::ALL,
    blocking::ALL,
    zero::ALL,
    counts::ALL,
    undo::ALL,
    sharing::ALL,
    signals::ALL,
    timeouts::ALL,
    values::ALL,
    control::ALL,
    permissions::ALL,
    limits::ALL,
    tables::ALL,
    crowds::ALL,
];
