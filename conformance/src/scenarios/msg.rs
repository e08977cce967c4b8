//! Message queues: the scenarios, by the question that they ask.

use super::Scenario;

mod again;
mod blocking;
mod capabilities;
mod commands;
mod copy;
mod credentials;
mod ctl_set;
mod ctl_stat;
mod forks;
mod get;
mod handlers;
mod ids;
mod info;
mod known;
mod limits;
mod permissions;
mod pointers;
mod receive;
mod remove;
mod select;
mod send;
mod senders;
mod signals;
mod tables;
mod threads;

/// All of them.
pub(super) const ALL: &[&[Scenario]] = &[
    get::ALL,
    again::ALL,
    ids::ALL,
    send::ALL,
    select::ALL,
    receive::ALL,
    copy::ALL,
    blocking::ALL,
    senders::ALL,
    signals::ALL,
    handlers::ALL,
    forks::ALL,
    threads::ALL,
    ctl_stat::ALL,
    ctl_set::ALL,
    remove::ALL,
    info::ALL,
    permissions::ALL,
    credentials::ALL,
    capabilities::ALL,
    limits::ALL,
    tables::ALL,
    pointers::ALL,
    known::ALL,
    commands::ALL,
];
