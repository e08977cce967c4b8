//! What a worker does for a row: setting the scene, then timing operations in it.
//!
//! Nothing here knows who serves the calls. Queue limits, too, are raised on both sides alike, by
//! writing `/proc/sys/kernel/msgmnb`: Linux serves that file of the worker's own IPC namespace,
//! the preload library that of the usysv namespace.

use crate::machine;
use crate::peer::{Cost, Peer};
use crate::rows::{Row, Select, Watch, Work};
use crate::sem_cases;
use crate::shm_cases;
use crate::sys::{self, Message, RobustMutex, TEXT};
use std::collections::HashSet;
use std::fmt::Display;
use std::fs;
use std::hint::black_box;
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// One timed sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Nanoseconds (or bytes) that all its operations took together.
    pub total: u64,
    /// Whether no foreign load was noticed.
    pub clean: bool,
}

/// A row made ready to be timed in this process.
pub trait Case {
    /// Does the work `operations` times.
    fn sample(&mut self, operations: u64) -> Result<Sample>;
}

/// Sets the scene for a row.
pub fn prepare(row: &Row) -> Result<Box<dyn Case>> {
    let watch = row.watch;
    Ok(match row.work {
        Work::SendReceive {
            len,
            select,
            backlog,
            types,
        } => send_receive(watch, len, select, backlog, types)?,
        Work::Stream { len } => stream(watch, len)?,
        Work::PingPong { one_cpu } => ping_pong(watch, one_cpu)?,
        Work::SemPair { len, undo } => sem_cases::pair(watch, len, undo)?,
        Work::SemSleepers(sleepers) => sem_cases::past_sleepers(watch, sleepers)?,
        Work::SemMutex(processes) => sem_cases::mutex(watch, processes)?,
        Work::SemPingPong { one_cpu } => sem_cases::ping_pong(watch, one_cpu)?,
        Work::SemCreateRemove => sem_cases::create_remove(watch),
        Work::ShmAttach => shm_cases::attach(watch)?,
        Work::ShmFill => shm_cases::fill(watch)?,
        Work::ShmStat(attachers) => shm_cases::stat(watch, attachers)?,
        Work::CreateRemove => repeat(watch, || {
            let queue = sys::msgget(libc::IPC_PRIVATE, 0o600)?;
            sys::remove_queue(queue)
        }),
        Work::OpenExisting => {
            let queue = Queue(sys::msgget(KEY, libc::IPC_CREAT | libc::IPC_EXCL | 0o600)?);
            repeat(watch, move || match sys::msgget(KEY, 0)? {
                id if id == queue.id() => Ok(()),
                id => Err(wrong(format!("msgget found {id}, not {}", queue.id()))),
            })
        }
        Work::CreateMany(count) => once(move || Ok(create_and_remove(watch, count)?.0)),
        Work::RemoveMany(count) => once(move || Ok(create_and_remove(watch, count)?.1)),
        Work::EmptyMemory => once(empty_memory),
        Work::DrainedMemory => once(drained_memory),
        Work::Spawn => repeat(watch, spawn),
        Work::CopyTwice(len) => copy_twice(watch, len),
        Work::NullSyscall => repeat(watch, || {
            black_box(sys::null_syscall());
            Ok(())
        }),
        Work::RobustMutex => {
            let mutex = RobustMutex::new();
            repeat(watch, move || match mutex.lock_and_unlock() {
                true => Ok(()),
                false => Err(wrong("the mutex failed".into())),
            })
        }
    })
}

const KEY: i32 = 0x7573_7376;

pub fn wrong(what: String) -> Error {
    Error::new(ErrorKind::InvalidData, what)
}

pub fn during(what: impl Display) -> impl FnOnce(Error) -> Error {
    move |error| Error::new(error.kind(), format!("{what}: {error}"))
}

/// A queue that is removed when it goes out of scope.
struct Queue(i32);

impl Queue {
    fn private() -> Result<Queue> {
        sys::msgget(libc::IPC_PRIVATE, 0o600)
            .map(Queue)
            .map_err(during("msgget"))
    }

    /// The queue's id. A closure must ask here: one that names the field would capture a copy of
    /// the id and leave the queue behind, to be removed.
    fn id(&self) -> i32 {
        self.0
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        if let Err(error) = sys::remove_queue(self.0) {
            eprintln!("usysv-bench: cannot remove queue {}: {error}", self.0);
        }
    }
}

/// Counts what a sample costs, and judges from it whether the sample was disturbed.
struct Meter {
    watch: Watch,
    start_ns: u64,
    start: Cost,
}

impl Meter {
    fn start(watch: Watch) -> Meter {
        let start = Cost::start();
        Meter {
            watch,
            start_ns: sys::monotonic_ns(),
            start,
        }
    }

    fn stop(self, end_ns: u64, partner: Cost) -> Sample {
        let own = Cost::finish(self.start);
        let total = end_ns.max(partner.end_ns) - self.start_ns;
        let clean = match self.watch {
            Watch::Busy => (own.cpu_ns + partner.cpu_ns) as f64 >= 0.95 * total as f64,
            // A kernel thread's short visit is part of every run.
            Watch::Preempted => own.preemptions + partner.preemptions <= 2,
            Watch::Nothing => true,
        };
        Sample { total, clean }
    }
}

struct Repeat<F> {
    watch: Watch,
    operation: F,
}

pub fn repeat(watch: Watch, operation: impl FnMut() -> Result<()> + 'static) -> Box<dyn Case> {
    Box::new(Repeat { watch, operation })
}

impl<F: FnMut() -> Result<()>> Case for Repeat<F> {
    fn sample(&mut self, operations: u64) -> Result<Sample> {
        let meter = Meter::start(self.watch);
        for _ in 0..operations {
            (self.operation)()?;
        }
        Ok(meter.stop(sys::monotonic_ns(), Cost::default()))
    }
}

struct Once<F>(F);

/// Work that times itself and is done once per sample, whatever it is asked.
fn once(work: impl FnMut() -> Result<Sample> + 'static) -> Box<dyn Case> {
    Box::new(Once(work))
}

impl<F: FnMut() -> Result<Sample>> Case for Once<F> {
    fn sample(&mut self, _operations: u64) -> Result<Sample> {
        (self.0)()
    }
}

/// Work that other processes do a part of.
pub struct Partnered<F, T> {
    pub watch: Watch,
    /// This process's part of so many operations.
    pub work: F,
    pub peers: Vec<Peer>,
    /// What they work on.
    pub _kept: T,
}

impl<F: FnMut(u64) -> Result<()>, T> Case for Partnered<F, T> {
    fn sample(&mut self, operations: u64) -> Result<Sample> {
        for peer in &mut self.peers {
            peer.go(operations)?;
        }
        let meter = Meter::start(self.watch);
        (self.work)(operations)?;
        let end_ns = sys::monotonic_ns();
        let mut partners = Cost::default();
        for peer in &mut self.peers {
            let cost = peer.done().map_err(during("another process"))?;
            partners.end_ns = partners.end_ns.max(cost.end_ns);
            partners.cpu_ns += cost.cpu_ns;
            partners.preemptions += cost.preemptions;
        }
        Ok(meter.stop(end_ns, partners))
    }
}

/// Lets queues that are created from now on hold `bytes`.
fn deepen(bytes: u64) -> Result<()> {
    const LIMIT: &str = "/proc/sys/kernel/msgmnb";
    fs::write(LIMIT, bytes.to_string()).map_err(during("raising msgmnb"))?;
    let now = fs::read_to_string(LIMIT).map_err(during("reading msgmnb"))?;
    match now.trim() == bytes.to_string() {
        true => Ok(()),
        false => Err(wrong(format!("msgmnb stayed at {}", now.trim()))),
    }
}

fn send_receive(
    watch: Watch,
    len: usize,
    select: Select,
    backlog: usize,
    types: usize,
) -> Result<Box<dyn Case>> {
    if backlog > 0 {
        deepen(64 << 20)?;
    }
    let queue = Queue::private()?;
    let foreign = |index: usize| match select {
        Select::Except => 1,
        Select::Typed if types == 1 => 1,
        _ => 3 + (index % types) as i64,
    };
    for index in 0..backlog {
        let message = Message::new(foreign(index));
        sys::msgsnd(queue.id(), &message, len, libc::IPC_NOWAIT)
            .map_err(during(format_args!("filling the queue, message {index}")))?;
    }
    let depth = sys::queue_depth(queue.id()).map_err(during("IPC_STAT"))?;
    if depth != backlog as u64 {
        return Err(wrong(format!("the backlog is {depth}, not {backlog}")));
    }
    let (mtype, flags) = match select {
        Select::Any => (0, 0),
        Select::Typed => (2, 0),
        Select::Lowest => (-2, 0),
        Select::Except => (1, libc::MSG_EXCEPT),
    };
    let sent = Message::new(2);
    let mut received = Message::new(1);
    Ok(repeat(watch, move || {
        sys::msgsnd(queue.id(), &sent, len, 0).map_err(during("msgsnd"))?;
        let got =
            sys::msgrcv(queue.id(), &mut received, TEXT, mtype, flags).map_err(during("msgrcv"))?;
        match (got, received.mtype) == (len, 2) {
            true => Ok(()),
            false => Err(wrong(format!("got {got} B of type {}", received.mtype))),
        }
    }))
}

pub fn two_cpus() -> Result<(usize, usize)> {
    machine::two_cpus()?.ok_or_else(|| {
        Error::new(
            ErrorKind::Unsupported,
            "this needs two CPUs, and there is one",
        )
    })
}

fn stream(watch: Watch, len: usize) -> Result<Box<dyn Case>> {
    let (here, there) = two_cpus()?;
    let queue = Queue::private()?;
    let id = queue.id();
    let mut received = Message::new(1);
    let peer = Peer::start(there, move |operations| {
        for _ in 0..operations {
            sys::msgrcv(id, &mut received, TEXT, 0, 0)?;
        }
        Ok(())
    })?;
    sys::pin(here)?;
    let sent = Message::new(1);
    let work = move |operations| {
        for _ in 0..operations {
            sys::msgsnd(id, &sent, len, 0)?;
        }
        Ok(())
    };
    Ok(Box::new(Partnered {
        watch,
        work,
        peers: vec![peer],
        _kept: queue,
    }))
}

fn ping_pong(watch: Watch, one_cpu: bool) -> Result<Box<dyn Case>> {
    const LEN: usize = 64;
    let (here, there) = match one_cpu {
        true => machine::first_cpu().map(|cpu| (cpu, cpu))?,
        false => two_cpus()?,
    };
    let queues = vec![Queue::private()?, Queue::private()?];
    let (ping, pong) = (queues[0].id(), queues[1].id());
    let mut ball = Message::new(1);
    let peer = Peer::start(there, move |operations| {
        for _ in 0..operations {
            sys::msgrcv(ping, &mut ball, TEXT, 0, 0)?;
            sys::msgsnd(pong, &ball, LEN, 0)?;
        }
        Ok(())
    })?;
    sys::pin(here)?;
    let mut ball = Message::new(1);
    let work = move |operations| {
        for _ in 0..operations {
            sys::msgsnd(ping, &ball, LEN, 0)?;
            sys::msgrcv(pong, &mut ball, TEXT, 0, 0)?;
        }
        Ok(())
    };
    Ok(Box::new(Partnered {
        watch,
        work,
        peers: vec![peer],
        _kept: queues,
    }))
}

/// Samples of creating and of removing `count` queues that all exist at once.
fn create_and_remove(watch: Watch, count: usize) -> Result<(Sample, Sample)> {
    let mut queues = Vec::with_capacity(count);
    let meter = Meter::start(watch);
    for index in 0..count {
        let queue = sys::msgget(libc::IPC_PRIVATE, 0o600)
            .map_err(during(format_args!("creating queue {index} of {count}")))?;
        queues.push(queue);
    }
    let created = meter.stop(sys::monotonic_ns(), Cost::default());
    let distinct: HashSet<_> = queues.iter().collect();
    if distinct.len() != count {
        return Err(wrong(format!(
            "{count} queues share {} ids",
            distinct.len()
        )));
    }
    let meter = Meter::start(watch);
    for &queue in &queues {
        sys::remove_queue(queue).map_err(during("removing a queue"))?;
    }
    Ok((created, meter.stop(sys::monotonic_ns(), Cost::default())))
}

/// Bytes that the namespace's files take on their file system, each file counted once.
fn namespace_bytes() -> Result<u64> {
    let directory = std::env::var_os("USYSV_NS").ok_or_else(|| wrong("no USYSV_NS".into()))?;
    let mut seen = HashSet::new();
    bytes_below(Path::new(&directory), &mut seen).map_err(during("walking the namespace"))
}

fn bytes_below(directory: &Path, seen: &mut HashSet<u64>) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let status = entry.metadata()?;
        if seen.insert(status.ino()) {
            bytes += status.blocks() * 512;
        }
        if status.is_dir() {
            bytes += bytes_below(&entry.path(), seen)?;
        }
    }
    Ok(bytes)
}

fn empty_memory() -> Result<Sample> {
    const COUNT: u64 = 256;
    // What only the first queue of a namespace brings about is not a queue's cost.
    drop(Queue::private()?);
    let before = namespace_bytes()?;
    let queues = (0..COUNT)
        .map(|_| Queue::private())
        .collect::<Result<Vec<_>>>()?;
    let grown = namespace_bytes()?.saturating_sub(before);
    drop(queues);
    match grown {
        0 => Err(wrong("no file of the namespace grew".into())),
        grown => Ok(Sample {
            total: grown / COUNT,
            clean: true,
        }),
    }
}

fn drained_memory() -> Result<Sample> {
    const LEN: usize = 1024;
    const BYTES: u64 = 16 << 20;
    deepen(BYTES)?;
    let before = namespace_bytes()?;
    let queue = Queue::private()?;
    let sent = Message::new(1);
    for index in 0..BYTES / LEN as u64 {
        sys::msgsnd(queue.id(), &sent, LEN, libc::IPC_NOWAIT)
            .map_err(during(format_args!("filling the queue, message {index}")))?;
    }
    let full = namespace_bytes()?.saturating_sub(before);
    if full < BYTES {
        return Err(wrong(format!(
            "{BYTES} bytes went in, but the namespace grew by {full}"
        )));
    }
    let mut received = Message::new(1);
    for _ in 0..BYTES / LEN as u64 {
        sys::msgrcv(queue.id(), &mut received, TEXT, 0, libc::IPC_NOWAIT)
            .map_err(during("draining the queue"))?;
    }
    Ok(Sample {
        total: namespace_bytes()?.saturating_sub(before),
        clean: true,
    })
}

fn spawn() -> Result<()> {
    let status = Command::new("/bin/true")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .map_err(during("starting /bin/true"))?;
    match status.success() {
        true => Ok(()),
        false => Err(wrong(format!("/bin/true ended with {status}"))),
    }
}

fn copy_twice(watch: Watch, len: usize) -> Box<dyn Case> {
    let sent = vec![1; len];
    let mut shared = vec![0; len];
    let mut received = vec![0; len];
    repeat(watch, move || {
        // A queue learns the length at run time, so the compiler must not know it here either.
        let len = black_box(len);
        shared[..len].copy_from_slice(&sent[..len]);
        black_box(&mut shared);
        received[..len].copy_from_slice(&shared[..len]);
        black_box(&mut received);
        Ok(())
    })
}
