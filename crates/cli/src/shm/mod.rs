//! `usysv shm`: shared memory by hand.

mod attachers;
mod cat;
mod write;

use crate::args;
use crate::failure::{Failure, complain};
use crate::key::{FTOK_FAILED_NOTE, Target};
use crate::world::World;
use usysv::{Attached, Errno, Key, Segment};

/// Bytes that are copied at once.
const CHUNK: usize = 1 << 16;

/// Does what was asked.
pub fn shm(world: &World, command: &args::Shm) -> Result<(), Failure> {
    match command {
        args::Shm::Cat(args) => cat::cat(&Chosen::find(world, args.segment)?, args),
        args::Shm::Write(args) => write::write(&Chosen::find(world, args.segment)?, args),
        args::Shm::Attachers(args) => attachers::attachers(&Chosen::find(world, args.segment)?),
    }
}

/// Reads a number of bytes.
pub fn bytes(text: &str) -> Result<usize, String> {
    let (base, digits) = match text.strip_prefix("0x").or(text.strip_prefix("0X")) {
        Some(digits) => (16, digits),
        None => (10, text),
    };
    let number = match digits.starts_with('+') {
        true => None,
        false => usize::from_str_radix(digits, base).ok(),
    };
    number.ok_or_else(|| "expected bytes, in decimal or 0x hexadecimal".to_owned())
}

/// The segment that the arguments name.
struct Chosen<'a> {
    world: &'a World,
    target: Target,
    segment: Segment<'a>,
}

impl<'a> Chosen<'a> {
    fn find(world: &'a World, named: args::ShmSegment) -> Result<Chosen<'a>, Failure> {
        // clap has seen to it that there is exactly one.
        let id = named.id.unwrap_or(-1);
        let mut chosen = Chosen {
            world,
            target: named.key.map_or(Target::Id(id), Target::Key),
            segment: Segment::from_id(world.backend(), id),
        };
        if let Some(key) = named.key {
            if key == Key::FTOK_FAILED {
                complain!("usysv: {FTOK_FAILED_NOTE}");
            }
            let found = Segment::open(world.backend(), key);
            chosen.segment = found.map_err(|errno| chosen.explain(errno))?;
        }
        Ok(chosen)
    }

    /// How many bytes there are from an offset on.
    fn room(&self, attached: &Attached<'_>, offset: usize) -> Result<usize, Failure> {
        let len = attached.len();
        len.checked_sub(offset).ok_or_else(|| {
            self.failure(format!("there is no byte {offset}: the segment has {len}"))
        })
    }

    /// A failure on this segment.
    fn failure(&self, text: impl std::fmt::Display) -> Failure {
        Failure::new(format!("{}: {text}", self.target))
    }

    /// What a failed call on this segment means and what to do about it.
    fn explain(&self, errno: Errno) -> Failure {
        let (place, usysv) = (self.world.name(), self.world.command());
        self.failure(match errno {
            Errno::ENOENT | Errno::EINVAL => {
                format!("no such segment in {place} ('{usysv} ipcs -m' lists them)")
            }
            Errno::EACCES => format!(
                "permission denied in {place} ('{usysv} ipcs -m' shows root and the segment's owner \
                 its mode)"
            ),
            Errno::EIDRM => "the segment was removed meanwhile".to_owned(),
            other => format!("{other} in {place}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn bytes_come_in_two_bases() {
        assert_eq!(bytes("0"), Ok(0));
        assert_eq!(bytes("010"), Ok(10));
        assert_eq!(bytes("0x1000"), Ok(4096));
        assert_eq!(bytes("18446744073709551615"), Ok(usize::MAX));
        for text in ["", "0x", "-1", "+1", "0x+1", "1k", "18446744073709551616"] {
            assert!(bytes(text).is_err(), "{text:?}");
        }
    }
}
