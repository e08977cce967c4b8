//! Message queues: the scenarios, by the question that they ask.

use super::Scenario;

mod copy;
mod get;
mod ids;
mod receive;
mod select;
mod send;

/// All of them.
pub(super) const ALL: &[&[Scenario]] = &[
    get::ALL,
    ids::ALL,
    send::ALL,
    select::ALL,
    receive::ALL,
    copy::ALL,
];
