//! The command line of `usysv shm`.

use crate::key;
use crate::shm;
use clap::{Args, Subcommand};
use usysv::Key;

/// Show and change the bytes of shared memory, and show who has it attached
#[derive(Debug, Subcommand)]
pub enum Shm {
    Cat(ShmCat),
    Write(ShmWrite),
    Attachers(ShmAttachers),
}

/// A segment.
#[derive(Clone, Copy, Debug, Args)]
#[group(required = true, multiple = false)]
pub struct ShmSegment {
    /// The segment with this key (decimal, 0x hexadecimal, 0 octal)
    #[arg(long, short, value_parser = key::parse, allow_hyphen_values = true)]
    pub key: Option<Key>,
    /// The segment with this id
    #[arg(long, short)]
    pub id: Option<i32>,
}

/// Print a segment's bytes and nothing else
///
/// Attaches the segment to read only meanwhile, which its status shows as any program's attachment.
/// Bytes that others write meanwhile may be old or new. Pages that nobody has touched yet take
/// memory once they are read.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  usysv shm cat --key 42 | hexdump -C
  usysv shm cat --id 3 --offset 0x1000 --length 16 >header")]
pub struct ShmCat {
    #[command(flatten)]
    pub segment: ShmSegment,
    /// Start at this byte (decimal, 0x hexadecimal)
    #[arg(long, short, value_name = "N", default_value = "0", value_parser = shm::bytes)]
    pub offset: usize,
    /// So many bytes, an error if there are fewer [default: all to the segment's end]
    #[arg(long, short, value_name = "N", value_parser = shm::bytes)]
    pub length: Option<usize>,
}

/// Write standard input into a segment
///
/// Reads all of it first: if it does not fit between the offset and the segment's end, nothing is
/// written. The segment stays attached meanwhile. Others may see some bytes before the rest.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  printf 'hello\\0' | usysv shm write --key 42
  usysv shm write --id 3 --offset 0x1000 <header")]
pub struct ShmWrite {
    #[command(flatten)]
    pub segment: ShmSegment,
    /// Start at this byte (decimal, 0x hexadecimal)
    #[arg(long, short, value_name = "N", default_value = "0", value_parser = shm::bytes)]
    pub offset: usize,
}

/// List who has a segment attached (in a namespace: the kernel has no such list)
///
/// A line for each attachment: the process, where it is in that process's memory, how many bytes,
/// whether they can be written there now (rw) or only read (ro), and the command's name. A `?`
/// stands for what /proc does not let you see.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  usysv shm attachers --key 42")]
pub struct ShmAttachers {
    #[command(flatten)]
    pub segment: ShmSegment,
}
