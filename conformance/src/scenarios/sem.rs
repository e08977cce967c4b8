//! Semaphore sets: the scenarios, by the question that they ask.

use super::Scenario;

mod blocking;
mod counts;
mod crowds;
mod errors;
mod forget;
mod get;
mod info;
mod limits;
mod ops;
mod order;
mod permissions;
mod setting;
mod sharing;
mod signals;
mod stat;
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
    order::ALL,
    zero::ALL,
    counts::ALL,
    undo::ALL,
    forget::ALL,
    sharing::ALL,
    signals::ALL,
    timeouts::ALL,
    values::ALL,
    stat::ALL,
    setting::ALL,
    info::ALL,
    permissions::ALL,
    limits::ALL,
    tables::ALL,
    crowds::ALL,
];
