//! Who serves a measured process.

/// Who serves a measured process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Linux, in an IPC namespace of the worker's own.
    Kernel,
    /// `libusysv.so`, preloaded, in a fresh private namespace.
    Usysv,
    /// Nobody: work that needs no System V IPC.
    Plain,
    /// A POSIX message queue of Linux.
    PosixMq,
    /// A pipe.
    Pipe,
    /// A pair of `AF_UNIX` datagram sockets.
    UnixDgram,
    /// A pair of `AF_UNIX` sequenced-packet sockets.
    UnixSeqpacket,
    /// Process-shared POSIX semaphores.
    PosixSem,
    /// `boost::interprocess::message_queue`.
    Boost,
    /// An iceoryx2 publish-subscribe service.
    Iceoryx2,
    /// An ipmpsc ring buffer.
    Ipmpsc,
    /// A crossbeam channel, which cannot leave its process: a bound, and not a rival.
    Crossbeam,
}

const NAMES: [(Side, &str); 12] = [
    (Side::Kernel, "kernel"),
    (Side::Usysv, "usysv"),
    (Side::Plain, "plain"),
    (Side::PosixMq, "posix-mq"),
    (Side::Pipe, "pipe"),
    (Side::UnixDgram, "unix-dgram"),
    (Side::UnixSeqpacket, "unix-seqpacket"),
    (Side::PosixSem, "posix-sem"),
    (Side::Boost, "boost"),
    (Side::Iceoryx2, "iceoryx2"),
    (Side::Ipmpsc, "ipmpsc"),
    (Side::Crossbeam, "crossbeam"),
];

impl Side {
    /// The side's name, in the table and on a worker's command line.
    pub fn name(self) -> &'static str {
        let found = NAMES.iter().find(|(side, _)| *side == self);
        found.map_or("?", |(_, name)| name)
    }

    /// The side with this name.
    pub fn named(name: &str) -> Option<Side> {
        let found = NAMES.iter().find(|(_, known)| *known == name);
        found.map(|(side, _)| *side)
    }

    /// Whether System V calls are what this side is about.
    pub fn is_sysv(self) -> bool {
        matches!(self, Side::Kernel | Side::Usysv)
    }

    /// The library that has to be loaded for it, if any.
    pub fn library(self) -> Option<&'static str> {
        match self {
            Side::Boost => Some("libusysv_bench_boost.so"),
            Side::Iceoryx2 | Side::Ipmpsc | Side::Crossbeam => Some("libusysv_bench_contenders.so"),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_are_found_by_their_names() {
        for (side, name) in NAMES {
            assert_eq!((Side::named(name), side.name()), (Some(side), name));
        }
        assert_eq!(Side::named("mach"), None);
    }
}
