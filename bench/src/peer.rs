//! The second process of a two-process row: a fork of the worker that does its half of the work
//! whenever it is told to, and reports what it cost.

use crate::sys;
use std::io::{Error, ErrorKind, PipeReader, PipeWriter, Read, Result, Write, pipe};

/// What one half of a sample cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// When it was done, on the monotonic clock.
    pub end_ns: u64,
    /// CPU time that it used.
    pub cpu_ns: u64,
    /// How often it lost its CPU against its will.
    pub preemptions: u64,
}

impl Cost {
    const BYTES: usize = 32;

    /// Starts counting; [`Cost::finish`] makes differences of the values.
    pub fn start() -> Cost {
        Cost {
            end_ns: 0,
            cpu_ns: sys::cpu_ns(),
            preemptions: sys::involuntary_switches(),
        }
    }

    /// The cost since `start`, ending now.
    pub fn finish(start: Cost) -> Cost {
        Cost {
            end_ns: sys::monotonic_ns(),
            cpu_ns: sys::cpu_ns() - start.cpu_ns,
            preemptions: sys::involuntary_switches() - start.preemptions,
        }
    }

    fn encode(self, errno: u64) -> [u8; Cost::BYTES] {
        let mut bytes = [0; Cost::BYTES];
        let words = [self.end_ns, self.cpu_ns, self.preemptions, errno];
        for (chunk, word) in bytes.chunks_exact_mut(8).zip(words) {
            chunk.copy_from_slice(&word.to_ne_bytes());
        }
        bytes
    }

    fn decode(bytes: [u8; Cost::BYTES]) -> Result<Cost> {
        let word = |index: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[index * 8..][..8]);
            u64::from_ne_bytes(word)
        };
        match word(3) {
            0 => Ok(Cost {
                end_ns: word(0),
                cpu_ns: word(1),
                preemptions: word(2),
            }),
            errno => Err(Error::from_raw_os_error(errno as i32)),
        }
    }
}

/// A forked partner. Dropping it ends it.
pub struct Peer {
    pid: i32,
    orders: PipeWriter,
    reports: PipeReader,
}

impl Peer {
    /// Forks a process, bound to `cpu`, that runs `work(operations)` at every [`Peer::go`].
    pub fn start(cpu: usize, work: impl FnMut(u64) -> Result<()>) -> Result<Peer> {
        let (orders_out, orders) = pipe()?;
        let (reports, reports_in) = pipe()?;
        match sys::fork()? {
            sys::Fork::Parent(pid) => Ok(Peer {
                pid,
                orders,
                reports,
            }),
            sys::Fork::Child => {
                drop((orders, reports));
                let served = sys::die_with_parent()
                    .and_then(|()| sys::pin(cpu))
                    .and_then(|()| serve(orders_out, reports_in, work));
                sys::exit_now(i32::from(served.is_err()))
            }
        }
    }

    /// Tells the peer to begin.
    pub fn go(&mut self, operations: u64) -> Result<()> {
        self.orders.write_all(&operations.to_ne_bytes())
    }

    /// Waits until the peer is done.
    pub fn done(&mut self) -> Result<Cost> {
        let mut report = [0; Cost::BYTES];
        self.reports
            .read_exact(&mut report)
            .map_err(|error| match error.kind() {
                ErrorKind::UnexpectedEof => Error::new(error.kind(), "it died"),
                _ => error,
            })?;
        Cost::decode(report)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        sys::reap(self.pid);
    }
}

/// The peer's life; it ends with an error when the worker closes the pipe.
fn serve(
    mut orders: PipeReader,
    mut reports: PipeWriter,
    mut work: impl FnMut(u64) -> Result<()>,
) -> Result<()> {
    loop {
        let mut operations = [0; 8];
        orders.read_exact(&mut operations)?;
        let start = Cost::start();
        let errno = match work(u64::from_ne_bytes(operations)) {
            Ok(()) => 0,
            Err(error) => error.raw_os_error().unwrap_or(libc::EIO) as u64,
        };
        reports.write_all(&Cost::finish(start).encode(errno))?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_survives_the_pipe() {
        let cost = Cost {
            end_ns: 1,
            cpu_ns: u64::MAX,
            preemptions: 3,
        };
        assert_eq!(Cost::decode(cost.encode(0)).unwrap(), cost);
        let failed = Cost::decode(cost.encode(libc::EIDRM as u64)).unwrap_err();
        assert_eq!(failed.raw_os_error(), Some(libc::EIDRM));
    }
}
