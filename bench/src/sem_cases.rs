//! Semaphores: what a worker does for their rows.

use crate::case::{Case, Partnered, cpus, during, impossible, repeat, together, wrong};
use crate::peer::Peer;
use crate::posix;
use crate::row::{Place, Watch};
use crate::side::Side;
use crate::sleepers::Sleepers;
use crate::sys::{self, sem_op};
use std::io::Result;
use std::rc::Rc;
use std::time::Duration;

/// Semaphores that processes share, one operation at a time.
trait Semaphores: 'static {
    /// Adds `by`, which is 1 or -1, and waits until that can be done.
    fn change(&self, num: u16, by: i16) -> Result<()>;
}

impl Semaphores for Set {
    #[inline]
    fn change(&self, num: u16, by: i16) -> Result<()> {
        Set::change(self, num, by)
    }
}

impl Semaphores for posix::Semaphores {
    #[inline]
    fn change(&self, num: u16, by: i16) -> Result<()> {
        posix::Semaphores::change(self, num, by)
    }
}

/// A set that is removed when it goes out of scope.
pub struct Set(i32);

impl Set {
    /// A set with these values.
    pub fn of(values: &[u16]) -> Result<Set> {
        let set = Set(sys::semget(values.len()).map_err(during("semget"))?);
        for (num, value) in values.iter().enumerate() {
            sys::set_value(set.0, num, *value).map_err(during("SETVAL"))?;
        }
        Ok(set)
    }

    /// `semop` of one operation.
    #[inline]
    pub fn change(&self, num: u16, by: i16) -> Result<()> {
        sys::semop(self.0, &[sem_op(num, by, false)])
    }
}

impl Drop for Set {
    fn drop(&mut self) {
        if let Err(error) = sys::remove_set(self.0) {
            eprintln!("usysv-bench: cannot remove set {}: {error}", self.0);
        }
    }
}

/// `semget(IPC_PRIVATE)` and `IPC_RMID`.
pub fn create_remove(watch: Watch) -> Box<dyn Case> {
    repeat(watch, || sys::semget(1).and_then(sys::remove_set))
}

/// One process takes one of each of `len` semaphores by one call, and gives them back by another.
pub fn pair(side: Side, watch: Watch, len: u16, undo: bool) -> Result<Box<dyn Case>> {
    if side == Side::PosixSem {
        let semaphores = posix::Semaphores::of(&[1])?;
        return match (len, undo) {
            (1, false) => Ok(repeat(watch, move || {
                semaphores.change(0, -1)?;
                semaphores.change(0, 1)
            })),
            _ => Err(impossible("POSIX has no arrays and no undo")),
        };
    }
    let set = Set::of(&vec![1; len.into()])?;
    let take: Vec<_> = (0..len).map(|num| sem_op(num, -1, undo)).collect();
    let give: Vec<_> = (0..len).map(|num| sem_op(num, 1, undo)).collect();
    Ok(repeat(watch, move || {
        let set = &set;
        sys::semop(set.0, &take)?;
        sys::semop(set.0, &give)
    }))
}

/// The same with one semaphore, while others sleep that it never satisfies: half of them on another
/// semaphore, half on the same one for more than there is.
pub fn past_sleepers(watch: Watch, count: usize) -> Result<Box<dyn Case>> {
    let set = Set::of(&[1, 0])?;
    let sleepers = Sleepers::start(count, |index| match index % 2 {
        0 => sys::semop(set.0, &[sem_op(0, -2, false)]),
        _ => set.change(1, -1),
    })?;
    for _ in 0..1000 {
        if sys::waiting(set.0, 0)? + sys::waiting(set.0, 1)? == count {
            return Ok(repeat(watch, move || {
                let _kept = &sleepers;
                set.change(0, -1)?;
                set.change(0, 1)
            }));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Err(wrong(format!("{count} processes do not all sleep")))
}

/// So many processes, on the CPUs in turn, share a semaphore as a mutex; an operation is one pair of
/// one of them.
pub fn mutex(side: Side, watch: Watch, processes: u64) -> Result<Box<dyn Case>> {
    match side {
        Side::PosixSem => mutex_of(posix::Semaphores::of(&[1])?, watch, processes),
        _ => mutex_of(Set::of(&[1])?, watch, processes),
    }
}

fn mutex_of<S: Semaphores>(set: S, watch: Watch, processes: u64) -> Result<Box<dyn Case>> {
    let (here, there) = cpus(Place::TwoCpus)?;
    let set = Rc::new(set);
    let pairs = |set: Rc<S>| {
        move |operations: u64| {
            for _ in 0..operations {
                set.change(0, -1)?;
                set.change(0, 1)?;
            }
            Ok(())
        }
    };
    let peers = (1..processes)
        .map(|n| Peer::start(if n % 2 == 0 { here } else { there }, pairs(set.clone())))
        .collect::<Result<Vec<_>>>()?;
    sys::pin(here)?;
    Ok(Box::new(Partnered {
        watch,
        share: processes,
        work: pairs(set.clone()),
        peers,
        _kept: set,
    }))
}

/// Two processes wake each other in turn, after each has computed for so long; an operation is one round trip.
pub fn ping_pong(side: Side, watch: Watch, place: Place, busy_us: u64) -> Result<Box<dyn Case>> {
    match side {
        Side::PosixSem => ping_pong_of(posix::Semaphores::of(&[0, 0])?, watch, place, busy_us),
        _ => ping_pong_of(Set::of(&[0, 0])?, watch, place, busy_us),
    }
}

/// Computes for so long.
fn compute(us: u64) {
    let until = sys::monotonic_ns() + 1000 * us;
    while us > 0 && sys::monotonic_ns() < until {
        std::hint::spin_loop();
    }
}

fn ping_pong_of<S: Semaphores>(
    set: S,
    watch: Watch,
    place: Place,
    busy_us: u64,
) -> Result<Box<dyn Case>> {
    let set = Rc::new(set);
    let (theirs, ours) = (set.clone(), set.clone());
    let answer = move || {
        theirs.change(0, -1)?;
        compute(busy_us);
        theirs.change(1, 1)
    };
    let ask = move || {
        compute(busy_us);
        ours.change(0, 1)?;
        ours.change(1, -1)
    };
    together(watch, place, answer, ask, set)
}
