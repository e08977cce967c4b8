//! The rows of the table, as data. A new row is a new entry here, and a new [`Work`] when it does
//! something new.

use crate::row::Place::{OneCpu, TwoCpus};
use crate::row::Wait::{Polling, Sleeping};
use crate::row::{Row, Select, Shown, Target, Unit, Watch, Work};
use crate::side::Side;

/// A receiver may poll for a while before it sleeps; this makes it sleep at once.
const NO_SPIN: &[(&str, &str)] = &[("USYSV_SPIN", "0")];

/// What memory and another CPU take has two values on a virtual machine, and goes from one to the other every
/// few seconds (a wake on CPUs kept awake: 2.5 us, 3.7 us): the sides take turns more often.
const DRIFTING: usize = 9;

/// Whoever can pass a message to itself.
const PAIR: &[Side] = &[
    Side::PosixMq,
    Side::Pipe,
    Side::UnixDgram,
    Side::UnixSeqpacket,
    Side::Boost,
    Side::Iceoryx2,
    Side::Ipmpsc,
    Side::Crossbeam,
];
/// Whoever can pass a message to another process.
const STREAM: &[Side] = &[
    Side::PosixMq,
    Side::Pipe,
    Side::UnixDgram,
    Side::UnixSeqpacket,
    Side::Boost,
    Side::Iceoryx2,
    Side::Ipmpsc,
];
/// Whose receivers can sleep.
const SLEEP: &[Side] = &[
    Side::PosixMq,
    Side::Pipe,
    Side::UnixDgram,
    Side::UnixSeqpacket,
    Side::Boost,
    Side::Ipmpsc,
];
/// Whose receivers can look without sleeping.
const POLL: &[Side] = &[
    Side::PosixMq,
    Side::UnixSeqpacket,
    Side::Boost,
    Side::Iceoryx2,
    Side::Ipmpsc,
];
/// Where several may send and several receive.
const CROWD: &[Side] = &[
    Side::PosixMq,
    Side::Pipe,
    Side::UnixDgram,
    Side::UnixSeqpacket,
    Side::Boost,
];
const SEM: &[Side] = &[Side::PosixSem];

/// Every row, in the table's order; a row comes after the ones that its target and its limit name.
#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    Row::limit("limit-copy", "memcpy of 64 B, twice", Work::CopyTwice(64)),
    Row::limit("limit-copy-8k", "memcpy of 8 KiB, twice", Work::CopyTwice(8192)),
    Row::limit("limit-mutex", "robust mutex pair", Work::RobustMutex),
    Row::limit("limit-syscall", "null syscall", Work::NullSyscall),
    Row::limit("limit-map", "mmap+munmap of 64 KiB", Work::Map),
    Row::limit("limit-line", "cache line there and back", Work::CacheLine),
    Row::limit("limit-futex", "futex there and back, 2 CPUs", Work::Futex(TwoCpus))
        .watched(Watch::Preempted),
    Row::limit("limit-futex-awake", "futex there and back, CPUs kept awake", Work::Futex(TwoCpus))
        .watched(Watch::Preempted).awake(),
    Row::limit("limit-futex-1cpu", "futex there and back, 1 CPU", Work::Futex(OneCpu)),

    Row::pair("pair-8", "send+receive 8 B", 8).and(PAIR).bounded("limit-mutex"),
    Row::pair("pair-64", "send+receive 64 B", 64).and(PAIR).bounded("limit-mutex")
        .asks(Target::AtLeast(12.0)).shown_in(Shown::Both),
    Row::pair("pair-1k", "send+receive 1 KiB", 1024).and(PAIR),
    Row::pair("pair-8k", "send+receive 8 KiB", 8192).and(PAIR).bounded("limit-copy-8k")
        .asks(Target::AtLeast(6.0)).shown_in(Shown::Both),

    Row::select("typed-0", "typed, no backlog", Select::Typed, 0, 1).bounded("limit-mutex"),
    Row::select("typed-1k", "typed behind 1k", Select::Typed, 1000, 1),
    Row::select("typed-10k", "typed behind 10k", Select::Typed, 10_000, 1).shown_in(Shown::Demo),
    Row::select("typed-100k", "typed behind 100k", Select::Typed, 100_000, 1)
        .asks(Target::AtLeast(10_000.0)),
    Row::select("typed-100k-1k", "typed behind 100k of 1k types", Select::Typed, 100_000, 1000)
        .asks(Target::AtLeast(10_000.0)),
    Row::select("typed-100k-100k", "typed behind 100k of 100k types", Select::Typed, 100_000, 100_000)
        .asks(Target::AtLeast(10_000.0)),
    Row::select("typed-1m", "typed behind 1M", Select::Typed, 1_000_000, 1).rounds(1)
        .asks(Target::Within(2.0, "typed-100k")),
    Row::select("typed-1m-100k", "typed behind 1M of 100k types", Select::Typed, 1_000_000, 100_000).rounds(1)
        .asks(Target::Within(2.0, "typed-100k-100k")),
    Row::select("negative-0", "negative type, no backlog", Select::Lowest, 0, 1).bounded("limit-mutex"),
    Row::select("negative-100k", "negative behind 100k", Select::Lowest, 100_000, 1)
        .asks(Target::AtLeast(10_000.0)),
    Row::select("negative-100k-1k", "negative behind 100k of 1k types", Select::Lowest, 100_000, 1000)
        .asks(Target::AtLeast(10_000.0)),
    Row::select("negative-100k-100k", "negative behind 100k of 100k types", Select::Lowest, 100_000, 100_000)
        .asks(Target::AtLeast(10_000.0)),
    Row::select("negative-1m-100k", "negative behind 1M of 100k types", Select::Lowest, 1_000_000, 100_000).rounds(1)
        .asks(Target::Within(2.0, "negative-100k-100k")),
    Row::select("except-0", "MSG_EXCEPT, no backlog", Select::Except, 0, 1).bounded("limit-mutex"),
    Row::select("except-100k", "MSG_EXCEPT behind 100k", Select::Except, 100_000, 1)
        .asks(Target::AtLeast(10_000.0)),
    Row::select("except-1m", "MSG_EXCEPT behind 1M", Select::Except, 1_000_000, 1).rounds(1)
        .asks(Target::Within(2.0, "except-100k")),
    Row::new("receivers-1", "pair past 1 receiver of another type", Work::Receivers(1)),
    Row::new("receivers-1000", "pair past 1,000 receivers of other types", Work::Receivers(1000)).rounds(1)
        .asks(Target::Within(2.0, "receivers-1")),

    Row::new("stream-8", "stream 8 B, 2 CPUs", Work::Stream { len: 8 }).and(STREAM)
        .in_unit(Unit::Rate).watched(Watch::Preempted).asks(Target::NotWorse),
    Row::new("stream-64", "stream 64 B, 2 CPUs", Work::Stream { len: 64 }).and(STREAM)
        .in_unit(Unit::Rate).watched(Watch::Preempted).asks(Target::AtLeast(3.0)),
    Row::new("stream-1k", "stream 1 KiB, 2 CPUs", Work::Stream { len: 1024 }).and(STREAM)
        .in_unit(Unit::Rate).watched(Watch::Preempted).asks(Target::NotWorse),
    Row::new("stream-8k", "stream 8 KiB, 2 CPUs", Work::Stream { len: 8192 }).and(STREAM)
        .in_unit(Unit::Rate).watched(Watch::Preempted).asks(Target::AtLeast(3.5)),
    Row::new("crowd-2", "2 senders, 2 receivers, 2 CPUs", Work::Crowd(2)).and(CROWD)
        .in_unit(Unit::Rate).watched(Watch::Nothing)
        .asks(Target::AtLeast(4.0)),
    Row::new("crowd-4", "4 senders, 4 receivers, 2 CPUs", Work::Crowd(4)).and(CROWD)
        .in_unit(Unit::Rate).watched(Watch::Nothing)
        .asks(Target::AtLeast(4.0)),

    Row::new("pingpong-poll", "ping-pong polling, 2 CPUs", Work::PingPong(TwoCpus, Polling)).and(POLL)
        .bounded("limit-line")
        .asks(Target::AtLeast(3.0)),
    Row::new("pingpong", "ping-pong as it comes, 2 CPUs", Work::PingPong(TwoCpus, Sleeping))
        .watched(Watch::Preempted).asks(Target::AtLeast(3.0)),
    Row::new("pingpong-awake-look", "ping-pong as it comes, kept awake", Work::PingPong(TwoCpus, Sleeping))
        .watched(Watch::Preempted).awake().asks(Target::AtLeast(3.0)),
    Row::new("answers", "request and reply in one queue, 2 CPUs", Work::Answers(TwoCpus))
        .watched(Watch::Preempted).asks(Target::AtLeast(3.0)),
    Row::new("answers-1cpu", "request and reply in one queue, 1 CPU", Work::Answers(OneCpu))
        .asks(Target::NotWorse),
    Row::new("pingpong-2cpu", "ping-pong sleeping (spin off), 2 CPUs", Work::PingPong(TwoCpus, Sleeping)).and(SLEEP)
        .bounded("limit-futex").watched(Watch::Preempted).with_env(NO_SPIN).asks(Target::NotWorse),
    Row::new("pingpong-awake", "ping-pong sleeping (spin off), kept awake", Work::PingPong(TwoCpus, Sleeping)).and(SLEEP)
        .bounded("limit-futex-awake").watched(Watch::Preempted).with_env(NO_SPIN).awake().rounds(DRIFTING)
        .asks(Target::NotWorse),
    Row::new("pingpong-1cpu", "ping-pong, 1 CPU", Work::PingPong(OneCpu, Sleeping)).and(SLEEP)
        .bounded("limit-futex-1cpu").asks(Target::NotWorse),

    Row::new("sem-pair", "semaphore taken and given", Work::SemPair { len: 1, undo: false }).and(SEM)
        .bounded("limit-mutex").asks(Target::AtLeast(12.0)).shown_in(Shown::Both),
    Row::new("sem-pair-undo", "semaphore taken and given, SEM_UNDO", Work::SemPair { len: 1, undo: true })
        .bounded("limit-mutex").asks(Target::AtLeast(12.0)),
    Row::new("sem-array-2", "arrays of 2 semaphores", Work::SemPair { len: 2, undo: false }).bounded("limit-mutex")
        .asks(Target::NotWorse),
    Row::new("sem-array-8", "arrays of 8 semaphores", Work::SemPair { len: 8, undo: false }).bounded("limit-mutex")
        .asks(Target::NotWorse),
    Row::new("sem-sleepers", "taken and given past 1,000 sleepers", Work::SemSleepers(1000)).rounds(1)
        .asks(Target::Within(2.0, "sem-pair")),
    Row::new("sem-mutex-2", "mutex of 2 processes, 2 CPUs", Work::SemMutex(2)).and(SEM)
        .watched(Watch::Nothing).asks(Target::AtLeast(50.0)),
    Row::new("sem-mutex-4", "mutex of 4 processes, 2 CPUs", Work::SemMutex(4)).and(SEM)
        .watched(Watch::Nothing).asks(Target::AtLeast(50.0)),
    Row::new("sem-mutex-8", "mutex of 8 processes, 2 CPUs", Work::SemMutex(8)).and(SEM)
        .watched(Watch::Nothing).asks(Target::AtLeast(50.0)),
    Row::new("sem-mutex-16", "mutex of 16 processes, 2 CPUs", Work::SemMutex(16)).and(SEM)
        .watched(Watch::Nothing).asks(Target::AtLeast(50.0)),
    Row::new("sem-pingpong", "semaphore ping-pong as it comes, 2 CPUs", Work::SemPingPong { place: TwoCpus, busy_us: 0 }).and(SEM)
        .watched(Watch::Preempted).asks(Target::AtLeast(3.0)),
    Row::new("sem-pingpong-awake-look", "semaphore ping-pong as it comes, kept awake", Work::SemPingPong { place: TwoCpus, busy_us: 0 })
        .and(SEM).watched(Watch::Preempted).awake().asks(Target::AtLeast(3.0)),
    Row::new("sem-pingpong-busy", "semaphore ping-pong, computing for 50 us", Work::SemPingPong { place: TwoCpus, busy_us: 50 })
        .watched(Watch::Preempted).asks(Target::NotWorse),
    Row::new("sem-pingpong-busy-awake", "semaphore ping-pong, computing for 50 us, kept awake", Work::SemPingPong { place: TwoCpus, busy_us: 50 })
        .watched(Watch::Preempted).awake().asks(Target::NotWorse),
    Row::new("sem-pingpong-2cpu", "semaphore ping-pong sleeping (spin off), 2 CPUs", Work::SemPingPong { place: TwoCpus, busy_us: 0 }).and(SEM)
        .bounded("limit-futex").watched(Watch::Preempted).with_env(NO_SPIN).asks(Target::NotWorse),
    Row::new("sem-pingpong-awake", "semaphore ping-pong sleeping (spin off), kept awake", Work::SemPingPong { place: TwoCpus, busy_us: 0 }).and(SEM)
        .bounded("limit-futex-awake").watched(Watch::Preempted).with_env(NO_SPIN).awake().rounds(DRIFTING)
        .asks(Target::NotWorse),
    Row::new("sem-pingpong-1cpu", "semaphore ping-pong, 1 CPU", Work::SemPingPong { place: OneCpu, busy_us: 0 }).and(SEM)
        .bounded("limit-futex-1cpu").asks(Target::NotWorse),
    Row::new("sem-create-remove", "semget(IPC_PRIVATE)+IPC_RMID", Work::SemCreateRemove),

    Row::new("shm-attach", "shmat+shmdt", Work::ShmAttach).bounded("limit-map")
        .asks(Target::AtLeast(1.0 / 1.2)),
    Row::new("shm-fill", "fill 1 MiB of a segment", Work::ShmFill).rounds(DRIFTING)
        .asks(Target::NotWorse),
    Row::new("shm-stat-100", "IPC_STAT, 100 attachers", Work::ShmStat(100))
        .asks(Target::AtMost(100_000.0)),

    Row::new("create-remove", "msgget(IPC_PRIVATE)+IPC_RMID", Work::CreateRemove)
        .asks(Target::AtMost(30_000.0)).shown_in(Shown::Both),
    Row::new("open", "msgget of an existing key", Work::OpenExisting).bounded("limit-syscall")
        .asks(Target::NotWorse),
    Row::new("create-32k", "create 32,000 queues", Work::CreateMany(32_000))
        .shot(1).asks(Target::Works),
    Row::new("remove-32k", "remove 32,000 queues", Work::RemoveMany(32_000))
        .shot(1).asks(Target::Works),
    Row::bytes("memory-empty", "memory of an empty queue", Work::EmptyMemory)
        .asks(Target::AtMost(8192.0)),
    Row::bytes("memory-message", "memory of a queued message of 64 B", Work::MessageMemory),
    // The memory is to be given back: 1/256 of it may stay.
    Row::bytes("memory-drained", "memory of a queue drained of 16 MiB", Work::DrainedMemory)
        .asks(Target::AtMost(65_536.0)),
    Row::bytes("memory-segment", "memory of a segment beyond its own", Work::SegmentMemory)
        .asks(Target::AtMost(8192.0)),
    Row::new("start-up", "start-up of /bin/true", Work::Spawn)
        .watched(Watch::Nothing).against(Some(Side::Plain)),
    Row::new("idle-receiver", "CPU time of a second's wait for a message", Work::Idle { semaphore: false })
        .watched(Watch::Nothing).shot(1),
    Row::new("idle-semaphore", "CPU time of a second's wait for a semaphore", Work::Idle { semaphore: true })
        .watched(Watch::Nothing).shot(1),
];

/// The row with this name.
pub fn named(name: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_rows_refer_to_earlier_ones() {
        for (index, row) in ROWS.iter().enumerate() {
            let earlier = |name| ROWS[..index].iter().any(|row| row.name == name);
            assert!(!earlier(row.name), "{} occurs twice", row.name);
            let base = match row.target {
                Some(Target::Within(_, base)) => Some(base),
                _ => None,
            };
            for other in base.into_iter().chain(row.limit) {
                assert!(earlier(other), "{} is compared with {other}", row.name);
            }
        }
    }

    #[test]
    fn the_demo_has_five_rows() {
        assert_eq!(
            ROWS.iter().filter(|row| row.shown != Shown::Table).count(),
            5
        );
    }
}
