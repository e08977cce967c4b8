//! What a row is: what it does, who does it, how its numbers read, what is asked of it.

use crate::side::Side;

/// How a receive selects its message.
#[derive(Clone, Copy, Debug)]
pub enum Select {
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
    /// One process sends a message of 64 B and receives it, past a backlog that its receive does not
    /// match: `backlog` messages of `types` distinct types.
    SendReceive {
        select: Select,
        backlog: usize,
        types: usize,
    },
    /// One process sends a message of `len` bytes and receives it.
    Pair { len: usize },
    /// One process sends, another receives; an operation is one message.
    Stream { len: usize },
    /// Two processes answer each other; an operation is one round trip of 64 B.
    PingPong(Place, Wait),
    /// Two processes answer each other in one queue, by types; an operation is one round trip of 64 B.
    Answers(Place),
    /// So many processes send 64 B each and as many receive; an operation is one message.
    Crowd(u64),
    /// A pair of a type that nobody waits for, past so many receivers that wait for others.
    Receivers(usize),
    /// CPU time that a process takes during a second of waiting for a message, or for a semaphore.
    Idle { semaphore: bool },
    /// One process takes one of each of `len` semaphores, and gives them back.
    SemPair { len: u16, undo: bool },
    /// The same with one semaphore, while so many sleep that it never satisfies.
    SemSleepers(usize),
    /// So many processes share a semaphore as a mutex; an operation is one pair.
    SemMutex(u64),
    /// Two processes wake each other by semaphores, after each has computed for so long; an operation is one
    /// round trip, all of it.
    SemPingPong { place: Place, busy_us: u64 },
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
    /// Bytes that one of many queued messages of 64 B takes.
    MessageMemory,
    /// Bytes beyond its own that a segment takes in the namespace's directory.
    SegmentMemory,
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
    /// Maps and unmaps 64 KiB.
    Map,
    /// Two processes answer each other through two cache lines that they watch.
    CacheLine,
    /// Two processes answer each other through two futexes that they sleep on.
    Futex(Place),
}

/// Where the two processes of a row are bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Both to one CPU.
    OneCpu,
    /// Each to its own.
    TwoCpus,
}

/// How a receiver waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// In a call that blocks.
    Sleeping,
    /// In a loop of calls with `IPC_NOWAIT`.
    Polling,
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
    /// Who else does it.
    pub others: &'static [Side],
    /// The row of what no user-space implementation can be faster than, for this one's column.
    pub limit: Option<&'static str>,
    /// In how many fresh processes it is measured, if not in as many as the other rows.
    pub rounds: Option<usize>,
    /// Whether the CPUs are kept from falling asleep meanwhile.
    pub awake: bool,
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
    /// A row that compares usysv's time with the kernel's.
    pub const fn new(name: &'static str, title: &'static str, work: Work) -> Row {
        Row {
            name,
            title,
            work,
            unit: Unit::Time,
            watch: Watch::Busy,
            base: Some(Side::Kernel),
            usysv: true,
            others: &[],
            limit: None,
            rounds: None,
            awake: false,
            single_shots: None,
            target: None,
            env: &[],
            shown: Shown::Table,
        }
    }

    /// A pair past a backlog.
    pub const fn select(
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
                select,
                backlog,
                types,
            },
        )
    }

    /// A pair of messages of `len` bytes.
    pub const fn pair(name: &'static str, title: &'static str, len: usize) -> Row {
        Row::new(name, title, Work::Pair { len })
    }

    /// A row that counts bytes, which usysv's processes alone can tell.
    pub const fn bytes(name: &'static str, title: &'static str, work: Work) -> Row {
        Row {
            unit: Unit::Bytes,
            watch: Watch::Nothing,
            base: None,
            single_shots: Some(1),
            ..Row::new(name, title, work)
        }
    }

    /// A row of what the machine takes.
    pub const fn limit(name: &'static str, title: &'static str, work: Work) -> Row {
        Row {
            base: Some(Side::Plain),
            usysv: false,
            ..Row::new(name, title, work)
        }
    }

    /// Sets what is asked for.
    pub const fn asks(self, target: Target) -> Row {
        Row {
            target: Some(target),
            ..self
        }
    }

    /// Sets how disturbance is noticed.
    pub const fn watched(self, watch: Watch) -> Row {
        Row { watch, ..self }
    }

    /// Sets how the numbers read.
    pub const fn in_unit(self, unit: Unit) -> Row {
        Row { unit, ..self }
    }

    /// Sets the side to compare with.
    pub const fn against(self, base: Option<Side>) -> Row {
        Row { base, ..self }
    }

    /// Takes so many samples of one operation each.
    pub const fn shot(self, samples: usize) -> Row {
        Row {
            single_shots: Some(samples),
            ..self
        }
    }

    /// Sets which commands show it.
    pub const fn shown_in(self, shown: Shown) -> Row {
        Row { shown, ..self }
    }

    /// Adds others who do it.
    pub const fn and(self, others: &'static [Side]) -> Row {
        Row { others, ..self }
    }

    /// Names the row that is its limit.
    pub const fn bounded(self, limit: &'static str) -> Row {
        Row {
            limit: Some(limit),
            ..self
        }
    }

    /// Sets in how many processes it is measured.
    pub const fn rounds(self, rounds: usize) -> Row {
        Row {
            rounds: Some(rounds),
            ..self
        }
    }

    /// Keeps the CPUs awake meanwhile.
    pub const fn awake(self) -> Row {
        Row {
            awake: true,
            ..self
        }
    }

    /// Sets the usysv worker's environment.
    pub const fn with_env(self, env: &'static [(&'static str, &'static str)]) -> Row {
        Row { env, ..self }
    }

    /// The sides that the row measures, base first.
    pub fn sides(&self) -> impl Iterator<Item = Side> + use<> {
        self.base
            .into_iter()
            .chain(self.usysv.then_some(Side::Usysv))
            .chain(self.others.iter().copied())
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
            Work::Spawn
                | Work::CopyTwice(_)
                | Work::NullSyscall
                | Work::RobustMutex
                | Work::Map
                | Work::CacheLine
                | Work::Futex(_)
        )
    }
}
