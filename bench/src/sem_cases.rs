//! Semaphores: what a worker does for their rows.

use crate::cases::{Case, Partnered, during, repeat, two_cpus, wrong};
use crate::machine;
use crate::peer::Peer;
use crate::rows::Watch;
use crate::sys::{self, sem_op};
use std::io::Result;
use std::time::Duration;

/// A set that is removed when it goes out of scope.
pub struct Set(i32);

impl Set {
    fn of(values: &[u16]) -> Result<Set> {
        let set = Set(sys::semget(values.len()).map_err(during("semget"))?);
        for (num, value) in values.iter().enumerate() {
            sys::set_value(set.0, num, *value).map_err(during("SETVAL"))?;
        }
        Ok(set)
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
pub fn pair(watch: Watch, len: u16, undo: bool) -> Result<Box<dyn Case>> {
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
pub fn past_sleepers(watch: Watch, sleepers: usize) -> Result<Box<dyn Case>> {
    let set = Set::of(&[1, 0])?;
    for index in 0..sleepers {
        let op = match index % 2 {
            0 => sem_op(0, -2, false),
            _ => sem_op(1, -1, false),
        };
        if let sys::Fork::Child = sys::fork()? {
            let slept = sys::die_with_parent().and_then(|()| sys::semop(set.0, &[op]));
            sys::exit_now(i32::from(slept.is_err()));
        }
    }
    for _ in 0..1000 {
        if sys::waiting(set.0, 0)? + sys::waiting(set.0, 1)? == sleepers {
            return Ok(repeat(watch, move || {
                let set = &set;
                sys::semop(set.0, &[sem_op(0, -1, false)])?;
                sys::semop(set.0, &[sem_op(0, 1, false)])
            }));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Err(wrong(format!("{sleepers} processes do not all sleep")))
}

/// So many processes, on the CPUs in turn, share a semaphore as a mutex; an operation is one pair of
/// one of them.
pub fn mutex(watch: Watch, processes: u64) -> Result<Box<dyn Case>> {
    let (here, there) = two_cpus()?;
    let set = Set::of(&[1])?;
    let id = set.0;
    let work = move |operations: u64| {
        for _ in 0..operations / processes {
            sys::semop(id, &[sem_op(0, -1, false)])?;
            sys::semop(id, &[sem_op(0, 1, false)])?;
        }
        Ok(())
    };
    let peers = (1..processes)
        .map(|n| Peer::start(if n % 2 == 0 { here } else { there }, work))
        .collect::<Result<Vec<_>>>()?;
    sys::pin(here)?;
    Ok(Box::new(Partnered {
        watch,
        work,
        peers,
        _kept: set,
    }))
}

/// Two processes wake each other in turn; an operation is one round trip.
pub fn ping_pong(watch: Watch, one_cpu: bool) -> Result<Box<dyn Case>> {
    let (here, there) = match one_cpu {
        true => machine::first_cpu().map(|cpu| (cpu, cpu))?,
        false => two_cpus()?,
    };
    let set = Set::of(&[0, 0])?;
    let id = set.0;
    let peer = Peer::start(there, move |operations| {
        for _ in 0..operations {
            sys::semop(id, &[sem_op(0, -1, false)])?;
            sys::semop(id, &[sem_op(1, 1, false)])?;
        }
        Ok(())
    })?;
    sys::pin(here)?;
    let work = move |operations| {
        for _ in 0..operations {
            sys::semop(id, &[sem_op(0, 1, false)])?;
            sys::semop(id, &[sem_op(1, -1, false)])?;
        }
        Ok(())
    };
    Ok(Box::new(Partnered {
        watch,
        work,
        peers: vec![peer],
        _kept: set,
    }))
}
