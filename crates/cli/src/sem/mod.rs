//! `usysv sem`: semaphores by hand.

mod get;
mod op;
mod set;
mod words;

pub use words::{Setting, operation, setting, timeout};

use crate::args;
use crate::failure::{Failure, complain};
use crate::key::{FTOK_FAILED_NOTE, Target};
use crate::world::World;
use usysv::{Errno, Key};

/// Does what was asked.
pub fn sem(world: &World, command: &args::Sem) -> Result<(), Failure> {
    match command {
        args::Sem::Get(args) => get::get(&Chosen::find(world, args.set)?, args),
        args::Sem::Set(args) => set::set(&Chosen::find(world, args.set)?, args),
        args::Sem::Op(args) => op::op(&Chosen::find(world, args.set)?, args),
    }
}

/// The set that the arguments name.
struct Chosen<'a> {
    world: &'a World,
    target: Target,
    semid: i32,
}

impl<'a> Chosen<'a> {
    fn find(world: &'a World, set: args::SemSet) -> Result<Chosen<'a>, Failure> {
        let mut chosen = Chosen {
            world,
            // clap has seen to it that there is exactly one.
            target: match set.key {
                Some(key) => Target::Key(key),
                None => Target::Id(set.id.unwrap_or(-1)),
            },
            semid: set.id.unwrap_or(-1),
        };
        if let Some(key) = set.key {
            if key == Key::FTOK_FAILED {
                complain!("usysv: {FTOK_FAILED_NOTE}");
            }
            let found = world.backend().semget(key.0, 0, 0);
            chosen.semid = found.map_err(|errno| chosen.explain(errno))?;
        }
        Ok(chosen)
    }

    /// How many semaphores it has.
    fn nsems(&self) -> usysv::Result<u16> {
        let ds = self.world.backend().sem_stat(self.semid)?;
        u16::try_from(ds.sem_nsems).map_err(|_| Errno::EINVAL)
    }

    /// A failure on this set.
    fn failure(&self, text: impl std::fmt::Display) -> Failure {
        Failure::new(format!("{}: {text}", self.target))
    }

    /// What a failed call on semaphore `num` means: that there is none with this number, or what
    /// [`Chosen::explain`] says.
    fn explain_at(&self, num: u16, errno: Errno) -> Failure {
        match (errno, self.nsems()) {
            (Errno::EINVAL | Errno::EFBIG, Ok(nsems)) if num >= nsems => self.failure(format!(
                "there is no semaphore {num}: the set has {nsems} (0 to {})",
                nsems.saturating_sub(1)
            )),
            _ => self.explain(errno),
        }
    }

    /// What a failed call on this set means and what to do about it.
    fn explain(&self, errno: Errno) -> Failure {
        let (place, usysv) = (self.world.name(), self.world.command());
        self.failure(match errno {
            Errno::ENOENT | Errno::EINVAL => {
                format!("no such semaphore set in {place} ('{usysv} ipcs -s' lists them)")
            }
            Errno::EACCES => format!(
                "permission denied in {place} ('{usysv} ipcs -s' shows root and the set's owner its mode)"
            ),
            Errno::EIDRM => "the set was removed meanwhile".to_owned(),
            other => format!("{other} in {place}"),
        })
    }
}
