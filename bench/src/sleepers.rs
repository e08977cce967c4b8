//! Many processes that do nothing but wait.

use crate::case::wrong;
use crate::posix;
use crate::sys;
use std::fs;
use std::io::Result;
use std::thread::sleep;
use std::time::Duration;

/// Forks that wait in a call; they are killed when this goes out of scope.
pub struct Sleepers(Vec<i32>);

impl Sleepers {
    /// Starts so many; none of their waits may ever end.
    pub fn start(count: usize, wait: impl Fn(usize) -> Result<()>) -> Result<Sleepers> {
        let mut sleepers = Sleepers(Vec::with_capacity(count));
        for index in 0..count {
            match sys::fork()? {
                sys::Fork::Parent(pid) => sleepers.0.push(pid),
                sys::Fork::Child => {
                    let waited = sys::die_with_parent().and_then(|()| wait(index));
                    sys::exit_now(i32::from(waited.is_err()));
                }
            }
        }
        Ok(sleepers)
    }

    /// Returns when all of them have been found asleep a few times. (They may look up now and then.)
    pub fn fall_asleep(&self) -> Result<()> {
        const TIMES: usize = 5;
        let mut found = 0;
        for _ in 0..1000 {
            sleep(Duration::from_millis(10));
            match self.0.iter().all(|pid| sleeps(*pid)) {
                true => found += 1,
                false => found = 0,
            }
            if found == TIMES {
                return Ok(());
            }
        }
        Err(wrong(format!(
            "{} processes do not all sleep",
            self.0.len()
        )))
    }

    /// CPU time that they have used together.
    pub fn cpu_ns(&self) -> Result<u64> {
        self.0.iter().map(|pid| posix::cpu_ns_of(*pid)).sum()
    }
}

impl Drop for Sleepers {
    fn drop(&mut self) {
        self.0.iter().for_each(|pid| sys::reap(*pid));
    }
}

/// Whether the process's state in `/proc` is S.
fn sleeps(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| rest.starts_with('S'))
}
