//! Shared memory: the scenarios, by the question that they ask.

use super::Scenario;

mod access;
mod again;
mod attach;
mod ctl_set;
mod ctl_stat;
mod deaths;
mod detach;
mod forks;
mod get;
mod ids;
mod info;
mod limits;
mod lock;
mod permissions;
mod pieces;
mod posix;
mod remove;
mod sharing;
mod tables;

/// All of them.
pub(super) const ALL: &[&[Scenario]] = &[
    get::ALL,
    ids::ALL,
    attach::ALL,
    again::ALL,
    detach::ALL,
    access::ALL,
    pieces::ALL,
    forks::ALL,
    deaths::ALL,
    remove::ALL,
    limits::ALL,
    ctl_stat::ALL,
    ctl_set::ALL,
    lock::ALL,
    info::ALL,
    permissions::ALL,
    tables::ALL,
    sharing::ALL,
    posix::ALL,
];
