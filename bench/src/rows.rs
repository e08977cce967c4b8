//! The rows of the table, as data: what each one does, what it is compared with, what is asked
//! of it. A new row is a new entry here, and a new [`Work`] when it does something new.

/// Who serves a measured process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Linux, in an IPC namespace of the worker's own.
    Kernel,
    /// `libusysv.so`, preloaded, in a fresh private namespace.
    Usysv,
    /// Nobody: work that needs no System V IPC.
    Plain,
}

impl Side {
    /// The side's name, in the table and on a worker's command line.
    pub const fn name(self) -> &'static str {
        match self {
            Side::Kernel => "kernel",
            Side::Usysv => "usysv",
            Side::Plain => "plain",
        }
    }

    /// The side with this name.
    pub fn named(name: &str) -> Option<Side> {
        [Side::Kernel, Side::Usysv, Side::Plain]
            .into_iter()
            .find(|side| side.name() == name)
    }
}

/// How a receive selects its message.
#[derive(Clone, Copy, Debug)]
pub enum Select {
    /// Type 0: the oldest message.
    Any,
    /// A positive type: ours is 2, the backlog's are 1 or others above 2.
    Typed,
    /// A negative type, -2: ours is 2, the backlog's are above it.
    Lowest,
    /// `MSG_EXCEPT`: anything but 1; ours is 2, the backlog's all 1.
    Except,
}

/// What a row does for each counted operation.
#[derive(Clone, Copy, Debug)]
pub enum Work {
    /// One process sends a message of `len` bytes and receives it, past a backlog that its receive
    /// does not match: `backlog` messages of `types` distinct types.
    SendReceive {
        len: usize,
        select: Select,
        backlog: usize,
        types: usize,
    },
    /// One process sends, another receives; an operation is one message.
    Stream { len: usize },
    /// Two processes answer each other; an operation is one round trip of 64 B.
    PingPong { one_cpu: bool },
    /// One process takes one of each of `len` semaphores, and gives them back.
    SemPair { len: u16, undo: bool },
    /// The same with one semaphore, while so many sleep that it never satisfies.
    SemSleepers(usize),
    /// So many processes share a semaphore as a mutex; an operation is one pair.
    SemMutex(u64),
    /// Two processes wake each other by semaphores; an operation is one round trip.
    SemPingPong { one_cpu: bool },
    /// `semget(IPC_PRIVATE)` and `IPC_RMID`.
    SemCreateRemove,
    /// `shmat` and `shmdt`.
    ShmAttach,
    /// Fills a megabyte of an attached segment.
    ShmFill,
    /// `IPC_STAT` of a segment that so many processes have attached.
    ShmStat(usize),
    /// `msgget(IPC_PRIVATE)` and `IPC_RMID`.
    CreateRemove,
    /// `msgget` of a key that exists.
    OpenExisting,
    /// Creates this many queues (and removes them off the clock).
    CreateMany(usize),
    /// Removes this many queues (created off the clock).
    RemoveMany(usize),
    /// Bytes that an empty queue takes in the namespace's directory.
    EmptyMemory,
    /// Bytes that a queue still takes after it held 16 MiB and was drained.
    DrainedMemory,
    /// Starts `/bin/true` and waits for it.
    Spawn,
    /// Copies this many bytes twice, as a message passed through shared memory must be.
    CopyTwice(usize),
    /// `getppid()`.
    NullSyscall,
    /// Locks and unlocks a robust process-shared pthread mutex.
    RobustMutex,
}

/// How a row's numbers read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Nanoseconds per operation.
    Time,
    /// Nanoseconds per operation, shown as operations per second.
    Rate,
    /// Bytes.
    Bytes,
}

/// What tells that somebody else's load disturbed a sample of this row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// The row keeps one CPU busy all the time, so time without CPU time is somebody else's.
    Busy,
    /// The row sleeps, but has its CPUs to itself unless it is preempted.
    Preempted,
    /// Nothing per sample; only the machine's foreign load over the whole row.
    Nothing,
}

/// What is asked of a row's usysv column.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    /// At least this many times faster than the base column.
    AtLeast(f64),
    /// Not slower than the base column (by more than the 5 % that noise may cost).
    NotWorse,
    /// At most this many of the row's unit.
    AtMost(f64),
    /// At most this many times the usysv column of the named row.
    Within(f64, &'static str),
    /// It can be done at all.
    Works,
}

/// One line of the table.
#[derive(Debug)]
pub struct Row {
    /// What `usysv-bench row NAME` calls it.
    pub name: &'static str,
    /// What the table calls it.
    pub title: &'static str,
    /// What is done.
    pub work: Work,
    /// How the numbers read.
    pub unit: Unit,
    /// How disturbance is noticed.
    pub watch: Watch,
    /// The side that the row compares with, if any.
    pub base: Option<Side>,
    /// Whether usysv has a column.
    pub usysv: bool,
    /// Samples that take one operation each, for work that cannot be repeated in a loop.
    pub single_shots: Option<usize>,
    /// What is asked for.
    pub target: Option<Target>,
    /// Settings of the usysv worker.
    pub env: &'static [(&'static str, &'static str)],
    /// Which commands show it.
    pub shown: Shown,
}

/// Which commands show a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// `table` only.
    Table,
    /// `demo` only.
    Demo,
    /// Both.
    Both,
}

impl Row {
    const fn new(name: &'static str, title: &'static str, work: Work) -> Row {
        Row {
            name,
            title,
            work,
            unit: Unit::Time,
            watch: Watch::Busy,
            base: Some(Side::Kernel),
            usysv: true,
            single_shots: None,
            target: None,
            env: &[],
            shown: Shown::Table,
        }
    }

    const fn send_receive(
        name: &'static str,
        title: &'static str,
        select: Select,
        backlog: usize,
        types: usize,
    ) -> Row {
        Row::new(
            name,
            title,
            Work::SendReceive {
                len: 64,
                select,
                backlog,
                types,
            },
        )
    }

    const fn pair(name: &'static str, title: &'static str, len: usize) -> Row {
        Row::new(
            name,
            title,
            Work::SendReceive {
                len,
                select: Select::Any,
                backlog: 0,
                types: 1,
            },
        )
    }

    const fn limit(name: &'static str, title: &'static str, work: Work) -> Row {
        Row {
            base: Some(Side::Plain),
            usysv: false,
            ..Row::new(name, title, work)
        }
    }

    const fn asks(self, target: Target) -> Row {
        Row {
            target: Some(target),
            ..self
        }
    }

    const fn watched(self, watch: Watch) -> Row {
        Row { watch, ..self }
    }

    const fn in_unit(self, unit: Unit) -> Row {
        Row { unit, ..self }
    }

    const fn against(self, base: Option<Side>) -> Row {
        Row { base, ..self }
    }

    const fn shot(self, samples: usize) -> Row {
        Row {
            single_shots: Some(samples),
            ..self
        }
    }

    const fn shown_in(self, shown: Shown) -> Row {
        Row { shown, ..self }
    }

    const fn with_env(self, env: &'static [(&'static str, &'static str)]) -> Row {
        Row { env, ..self }
    }

    /// The sides that the row measures, base first.
    pub fn sides(&self) -> impl Iterator<Item = Side> + use<> {
        self.base
            .into_iter()
            .chain(self.usysv.then_some(Side::Usysv))
    }

    /// Whether the row is context for reading the others, not a comparison.
    pub fn is_limit(&self) -> bool {
        !self.usysv
    }
}

impl Work {
    /// Whether the work makes System V calls.
    pub const fn uses_ipc(self) -> bool {
        !matches!(
            self,
            Work::Spawn | Work::CopyTwice(_) | Work::NullSyscall | Work::RobustMutex
        )
    }
}

/// A receiver may poll for a while before it sleeps; this makes it sleep at once.
const NO_SPIN: &[(&str, &str)] = &[("USYSV_SPIN", "0")];

/// Every row, in the table's order; a row comes after the one that its target names.
#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    Row::pair("pair-8", "send+receive 8 B", 8),
    Row::pair("pair-64", "send+receive 64 B", 64).asks(Target::AtLeast(6.0)).shown_in(Shown::Both),
    Row::pair("pair-1k", "send+receive 1 KiB", 1024),
    Row::pair("pair-8k", "send+receive 8 KiB", 8192).asks(Target::AtLeast(4.0)).shown_in(Shown::Both),

    Row::send_receive("typed-0", "typed, no backlog", Select::Typed, 0, 1),
    Row::send_receive("typed-10k", "typed behind 10k", Select::Typed, 10_000, 1)
        .shown_in(Shown::Demo),
    Row::send_receive("typed-100k", "typed behind 100k", Select::Typed, 100_000, 1)
        .asks(Target::Within(2.0, "typed-0")),
    Row::send_receive("typed-100k-1k", "typed behind 100k of 1k types", Select::Typed, 100_000, 1000)
        .asks(Target::Within(2.0, "typed-0")),
    Row::send_receive("negative-0", "negative type, no backlog", Select::Lowest, 0, 1),
    Row::send_receive("negative-100k", "negative behind 100k", Select::Lowest, 100_000, 1),
    Row::send_receive("negative-100k-1k", "negative behind 100k of 1k types", Select::Lowest, 100_000, 1000),
    Row::send_receive("except-0", "MSG_EXCEPT, no backlog", Select::Except, 0, 1),
    Row::send_receive("except-100k", "MSG_EXCEPT behind 100k", Select::Except, 100_000, 1),

    Row::new("stream-64", "stream 64 B, 2 CPUs", Work::Stream { len: 64 })
        .in_unit(Unit::Rate).watched(Watch::Preempted).asks(Target::AtLeast(1.5)),
    Row::new("stream-8k", "stream 8 KiB, 2 CPUs", Work::Stream { len: 8192 })
        .in_unit(Unit::Rate).watched(Watch::Preempted).asks(Target::AtLeast(1.5)),
    Row::new("pingpong-2cpu", "ping-pong sleeping (spin off), 2 CPUs", Work::PingPong { one_cpu: false })
        .watched(Watch::Preempted).with_env(NO_SPIN).asks(Target::NotWorse),
    Row::new("pingpong-1cpu", "ping-pong, 1 CPU", Work::PingPong { one_cpu: true })
        .asks(Target::NotWorse),

    Row::new("sem-pair", "semaphore taken and given", Work::SemPair { len: 1, undo: false })
        .asks(Target::AtLeast(8.0)).shown_in(Shown::Both),
    Row::new("sem-pair-undo", "the same with SEM_UNDO", Work::SemPair { len: 1, undo: true })
        .asks(Target::AtLeast(8.0)),
    Row::new("sem-array-2", "arrays of 2 semaphores", Work::SemPair { len: 2, undo: false }),
    Row::new("sem-array-8", "arrays of 8 semaphores", Work::SemPair { len: 8, undo: false }),
    Row::new("sem-sleepers", "taken and given past 1,000 sleepers", Work::SemSleepers(1000))
        .asks(Target::Within(2.0, "sem-pair")),
    Row::new("sem-mutex-2", "mutex of 2 processes, 2 CPUs", Work::SemMutex(2))
        .watched(Watch::Nothing).asks(Target::AtLeast(5.0)),
    Row::new("sem-mutex-4", "mutex of 4 processes, 2 CPUs", Work::SemMutex(4))
        .watched(Watch::Nothing).asks(Target::AtLeast(5.0)),
    Row::new("sem-mutex-8", "mutex of 8 processes, 2 CPUs", Work::SemMutex(8))
        .watched(Watch::Nothing).asks(Target::AtLeast(5.0)),
    Row::new("sem-pingpong-2cpu", "semaphore ping-pong sleeping (spin off), 2 CPUs", Work::SemPingPong { one_cpu: false })
        .watched(Watch::Preempted).with_env(NO_SPIN).asks(Target::NotWorse),
    Row::new("sem-pingpong-1cpu", "semaphore ping-pong, 1 CPU", Work::SemPingPong { one_cpu: true })
        .asks(Target::NotWorse),
    Row::new("sem-create-remove", "semget(IPC_PRIVATE)+IPC_RMID", Work::SemCreateRemove),

    Row::new("shm-attach", "shmat+shmdt", Work::ShmAttach)
        .asks(Target::AtLeast(1.0 / 3.0)),
    Row::new("shm-fill", "fill 1 MiB of a segment", Work::ShmFill)
        .asks(Target::NotWorse),
    Row::new("shm-stat-100", "IPC_STAT, 100 attachers", Work::ShmStat(100))
        .asks(Target::AtMost(100_000.0)),

    Row::new("create-remove", "msgget(IPC_PRIVATE)+IPC_RMID", Work::CreateRemove)
        .asks(Target::AtMost(30_000.0)).shown_in(Shown::Both),
    Row::new("open", "msgget of an existing key", Work::OpenExisting),
    Row::new("create-32k", "create 32,000 queues", Work::CreateMany(32_000))
        .shot(1).asks(Target::Works),
    Row::new("remove-32k", "remove 32,000 queues", Work::RemoveMany(32_000))
        .shot(1).asks(Target::Works),
    Row::new("memory-empty", "memory of an empty queue", Work::EmptyMemory)
        .in_unit(Unit::Bytes).watched(Watch::Nothing).against(None).shot(1)
        .asks(Target::AtMost(8192.0)),
    // The memory is to be given back: 1/256 of it may stay.
    Row::new("memory-drained", "memory of a queue drained of 16 MiB", Work::DrainedMemory)
        .in_unit(Unit::Bytes).watched(Watch::Nothing).against(None).shot(1)
        .asks(Target::AtMost(65_536.0)),
    Row::new("start-up", "start-up of /bin/true", Work::Spawn)
        .watched(Watch::Nothing).against(Some(Side::Plain)),

    Row::limit("limit-copy", "memcpy of 64 B, twice", Work::CopyTwice(64)),
    Row::limit("limit-syscall", "null syscall", Work::NullSyscall),
    Row::limit("limit-mutex", "robust mutex pair", Work::RobustMutex),
];

/// The row with this name.
pub fn named(name: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_targets_name_earlier_rows() {
        for (index, row) in ROWS.iter().enumerate() {
            let earlier = |name| ROWS[..index].iter().any(|row| row.name == name);
            assert!(!earlier(row.name), "{} occurs twice", row.name);
            if let Some(Target::Within(_, base)) = row.target {
                assert!(earlier(base), "{} is compared with {base}", row.name);
            }
        }
    }

    #[test]
    fn sides_are_found_by_their_names() {
        for side in [Side::Kernel, Side::Usysv, Side::Plain] {
            assert_eq!(Side::named(side.name()), Some(side));
        }
        assert_eq!(Side::named("boost"), None);
    }

    #[test]
    fn the_demo_has_five_rows() {
        assert_eq!(
            ROWS.iter().filter(|row| row.shown != Shown::Table).count(),
            5
        );
    }
}
