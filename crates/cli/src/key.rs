//! Which object a command means: `--key` or `--id`; and what failed calls on queues mean.

use crate::failure::{Failure, complain};
use crate::world::World;
use std::fmt;
use usysv::abi::IPC_CREAT;
use usysv::{Errno, Key};

/// What sharing key −1 means, for whoever sees one.
pub const FTOK_FAILED_NOTE: &str = "note: key 0xffffffff is what ftok returns when it fails \
     (missing file?): programs that don't check share that object";

/// Reads a key as `ipcrm` does (decimal, `0x` hexadecimal, `0` octal), but refuses what does not
/// fit instead of cutting it, and the key that every private queue has.
pub fn parse(text: &str) -> Result<Key, String> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let hex = digits.strip_prefix("0x").or(digits.strip_prefix("0X"));
    let (base, digits) = match hex {
        Some(digits) => (16, digits),
        None if digits.len() > 1 && digits.starts_with('0') => (8, digits),
        None => (10, digits),
    };
    if digits.starts_with('+') || digits.starts_with('-') {
        return Err("not a number".to_owned());
    }
    let value = i64::from_str_radix(digits, base)
        .map_err(|_| "a key is a decimal, 0x hexadecimal or 0 octal number".to_owned())?;
    let value = if negative { -value } else { value };
    let key = match (i32::try_from(value), u32::try_from(value)) {
        (Ok(key), _) => Key(key),
        (_, Ok(key)) => Key(key as i32),
        _ => return Err("a key has 32 bits".to_owned()),
    };
    match key {
        Key::PRIVATE => Err("0 is IPC_PRIVATE, no object's key: use --id".to_owned()),
        key => Ok(key),
    }
}

/// A queue, a set or a segment, by its key or its id.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    /// `--key`
    Key(Key),
    /// `--id`
    Id(i32),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Key(key) => write!(f, "key {:#x}", key.0),
            Target::Id(id) => write!(f, "id {id}"),
        }
    }
}

impl Target {
    /// The queue's id; with `create`, makes the queue with this mode when it is missing.
    pub fn resolve(self, world: &World, create: Option<u32>) -> Result<i32, Failure> {
        let key = match self {
            Target::Id(id) => return Ok(id),
            Target::Key(key) => key,
        };
        if key == Key::FTOK_FAILED {
            complain!("usysv: {FTOK_FAILED_NOTE}");
        }
        let flags = create.map_or(0, |mode| mode as i32 | IPC_CREAT);
        let found = world.backend().msgget(key.0, flags);
        found.map_err(|e| self.explain(world, e))
    }

    /// What a failed call on this queue means and what to do about it.
    pub fn explain(self, world: &World, errno: Errno) -> Failure {
        let (place, usysv) = (world.name(), world.command());
        let text = match errno {
            Errno::ENOENT | Errno::EINVAL => match self {
                Target::Id(_) => format!("no such queue in {place} ('{usysv} ipcs -q' lists them)"),
                Target::Key(key) => format!(
                    "no such queue in {place} (create it with '{usysv} send --create --key {:#x}' \
                     or start the program that does)",
                    key.0
                ),
            },
            Errno::EACCES => format!(
                "permission denied in {place} ('{usysv} ipcs -q' shows root and the queue's owner its mode)"
            ),
            Errno::EIDRM => "the queue was removed meanwhile".to_owned(),
            Errno::ENOSPC if world.is_kernel() => format!(
                "{place} has as many queues as its limit msgmni allows ('{usysv} limits' shows it)"
            ),
            Errno::ENOSPC => format!(
                "no room in {place}: as many queues as its limit msgmni allows ('{usysv} limits' \
                 shows it), or its file system is full"
            ),
            other => format!("{other} in {place}"),
        };
        Failure::new(format!("{self}: {text}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_in_three_bases_and_two_signs() {
        for (text, want) in [
            ("42", 42),
            ("0x2a", 42),
            ("052", 42),
            ("-1", -1),
            ("4294967295", -1),
            ("0xffffffff", -1),
            ("-2147483648", i32::MIN),
        ] {
            assert_eq!(parse(text), Ok(Key(want)), "{text}");
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for text in [
            "",
            "0",
            "0x0",
            "-",
            "+1",
            "0x-1",
            "08",
            "k",
            "4294967296",
            "1 ",
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }
}
