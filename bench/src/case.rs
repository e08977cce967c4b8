//! What a prepared row looks like to the worker that times it, and the three shapes it can have.

use crate::machine;
use crate::peer::{Cost, Peer};
use crate::row::{Place, Watch};
use crate::sys;
use std::fmt::Display;
use std::io::{Error, ErrorKind, Result};

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

    /// The nanoseconds of each of so many operations of this process, with a look at the clock
    /// between them; none if the work is not made of operations.
    fn each(&mut self, _operations: u64) -> Result<Vec<u64>> {
        Ok(Vec::new())
    }
}

/// That the work did not do what it should.
pub fn wrong(what: impl Display) -> Error {
    Error::new(ErrorKind::InvalidData, what.to_string())
}

/// That this cannot be measured here, and that is nobody's fault.
pub fn impossible(why: impl Display) -> Error {
    Error::new(ErrorKind::Unsupported, why.to_string())
}

/// Says what was being done when an error arose.
pub fn during(what: impl Display) -> impl FnOnce(Error) -> Error {
    move |error| Error::new(error.kind(), format!("{what}: {error}"))
}

/// The CPUs of a row's two processes.
pub fn cpus(place: Place) -> Result<(usize, usize)> {
    match place {
        Place::OneCpu => machine::first_cpu().map(|cpu| (cpu, cpu)),
        Place::TwoCpus => {
            machine::two_cpus()?.ok_or_else(|| impossible("this needs two CPUs, and there is one"))
        }
    }
}

/// Counts what a sample costs, and judges from it whether the sample was disturbed.
pub struct Meter {
    watch: Watch,
    start_ns: u64,
    start: Cost,
}

impl Meter {
    /// Starts counting.
    pub fn start(watch: Watch) -> Meter {
        let start = Cost::start();
        Meter {
            watch,
            start_ns: sys::monotonic_ns(),
            start,
        }
    }

    /// The sample that ends now.
    pub fn stop(self) -> Sample {
        self.stop_with(sys::monotonic_ns(), Cost::default())
    }

    fn stop_with(self, end_ns: u64, partner: Cost) -> Sample {
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

fn timed(operations: u64, mut operation: impl FnMut() -> Result<()>) -> Result<Vec<u64>> {
    let mut took = Vec::with_capacity(operations as usize);
    let mut last = sys::monotonic_ns();
    for _ in 0..operations {
        operation()?;
        let now = sys::monotonic_ns();
        took.push(now - last);
        last = now;
    }
    Ok(took)
}

struct Repeat<F> {
    watch: Watch,
    operation: F,
}

/// Work that this process does alone, over and over.
pub fn repeat(watch: Watch, operation: impl FnMut() -> Result<()> + 'static) -> Box<dyn Case> {
    Box::new(Repeat { watch, operation })
}

impl<F: FnMut() -> Result<()>> Case for Repeat<F> {
    fn sample(&mut self, operations: u64) -> Result<Sample> {
        let meter = Meter::start(self.watch);
        for _ in 0..operations {
            (self.operation)()?;
        }
        Ok(meter.stop())
    }

    fn each(&mut self, operations: u64) -> Result<Vec<u64>> {
        timed(operations, &mut self.operation)
    }
}

struct Once<F>(F);

/// Work that times itself and is done once per sample, whatever it is asked.
pub fn once(work: impl FnMut() -> Result<Sample> + 'static) -> Box<dyn Case> {
    Box::new(Once(work))
}

/// The same for work that counts something else than time.
pub fn count(work: impl Fn() -> Result<u64> + 'static) -> Box<dyn Case> {
    once(move || {
        Ok(Sample {
            total: work()?,
            clean: true,
        })
    })
}

impl<F: FnMut() -> Result<Sample>> Case for Once<F> {
    fn sample(&mut self, _operations: u64) -> Result<Sample> {
        (self.0)()
    }
}

/// Work that two processes do together: `theirs` in another one, as often as `ours` here.
pub fn together<T: 'static>(
    watch: Watch,
    place: Place,
    mut theirs: impl FnMut() -> Result<()>,
    mut ours: impl FnMut() -> Result<()> + 'static,
    kept: T,
) -> Result<Box<dyn Case>> {
    let (here, there) = cpus(place)?;
    let peer = Peer::start(there, |operations| {
        (0..operations).try_for_each(|_| theirs())
    })?;
    sys::pin(here)?;
    Ok(Box::new(Partnered {
        watch,
        share: 1,
        work: move |operations| (0..operations).try_for_each(|_| ours()),
        peers: vec![peer],
        _kept: kept,
    }))
}

/// Work that other processes do a part of.
pub struct Partnered<F, T> {
    pub watch: Watch,
    /// This process does one of so many operations.
    pub share: u64,
    /// Its part of the work, so many times.
    pub work: F,
    pub peers: Vec<Peer>,
    /// What they work on.
    pub _kept: T,
}

impl<F: FnMut(u64) -> Result<()>, T> Partnered<F, T> {
    fn told(&mut self, operations: u64) -> Result<()> {
        self.peers
            .iter_mut()
            .try_for_each(|peer| peer.go(operations))
    }

    fn gathered(&mut self) -> Result<Cost> {
        let mut partners = Cost::default();
        for peer in &mut self.peers {
            let cost = peer.done().map_err(during("another process"))?;
            partners.end_ns = partners.end_ns.max(cost.end_ns);
            partners.cpu_ns += cost.cpu_ns;
            partners.preemptions += cost.preemptions;
        }
        Ok(partners)
    }
}

impl<F: FnMut(u64) -> Result<()>, T> Case for Partnered<F, T> {
    fn sample(&mut self, operations: u64) -> Result<Sample> {
        let own = (operations / self.share).max(1);
        // From before they are told: they may be done with much of it before this process runs again.
        let meter = Meter::start(self.watch);
        self.told(own)?;
        (self.work)(own)?;
        let end_ns = sys::monotonic_ns();
        let partners = self.gathered()?;
        Ok(meter.stop_with(end_ns, partners))
    }

    fn each(&mut self, operations: u64) -> Result<Vec<u64>> {
        self.told(operations)?;
        let took = timed(operations, || (self.work)(1));
        self.gathered()?;
        took
    }
}
