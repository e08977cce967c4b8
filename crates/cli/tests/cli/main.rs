//! The `usysv` command as its callers see it: standard streams, exit statuses, signals.

mod definition;
mod golden;
mod golden_objects;
mod messages;
mod namespace;
mod program;
mod run;
mod segments;
mod semaphores;
mod signals;
