//! The command line: every flag's name, help, man page entry and completion come from here.

mod shm;

use crate::key;
use crate::sem;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::time::Duration;
use usysv::{Key, Op};

pub use shm::{Shm, ShmCat, ShmSegment, ShmWrite};

/// System V IPC in user space: run unmodified programs on it, and see inside.
///
/// Programs that use System V IPC run under `usysv run` without change: their message queues,
/// semaphores and shared memory then live in the files of a namespace directory, not in the kernel.
/// The other commands show and change them. `usysv` called by the name `ipcs`, `ipcrm` or `ipcmk` (a link)
/// acts as that command.
#[derive(Debug, Parser)]
#[command(
    name = "usysv",
    version,
    propagate_version = true,
    max_term_width = 100
)]
#[command(subcommand_required = true, arg_required_else_help = true)]
#[command(after_help = EXAMPLES)]
pub struct Cli {
    #[command(flatten)]
    pub place: Place,
    #[command(subcommand)]
    pub command: Command,
}

/// Where the objects are.
#[derive(Clone, Debug, Args)]
pub struct Place {
    /// The namespace, by name or absolute path [default: $USYSV_NS, else this machine's or user's]
    #[arg(long, value_name = "NAME|PATH", global = true)]
    pub ns: Option<OsString>,
    /// Work on the kernel's own objects (ipcs, ipcrm, ipcmk, send, recv, peek, sem, shm, limits)
    #[arg(long, global = true, conflicts_with = "ns")]
    pub kernel: bool,
}

const EXAMPLES: &str = "\
Examples:
  usysv run -- ./server               run a program on user-space IPC
  usysv run --private -- make check   ...on a fresh namespace, which goes away at the end
  usysv ipcs -q                       list the queues
  usysv send --key 42 --create hi     put a message into a queue
  usysv recv --key 42                 take it out again
  usysv sem get --key 42              show semaphores, who waits, and who holds what
  usysv shm cat --key 42 | hexdump -C show a segment's bytes
  usysv --kernel ipcs                 the same tools on the kernel's objects

Exit status: 0 on success, 1 on error, 2 on wrong usage, 3 when --nowait would have waited, or --timeout ended a wait;
'usysv run' ends as its command does (125, 126, 127: see 'usysv run --help').";

#[derive(Debug, Subcommand)]
pub enum Command {
    Run(Run),
    Send(Send),
    Recv(Recv),
    Peek(Peek),
    #[command(subcommand)]
    Sem(Sem),
    #[command(subcommand)]
    Shm(Shm),
    Limits(Limits),
    /// Show what exists: util-linux's ipcs on a namespace
    ///
    /// Options, tables and messages are those of ipcs(1). Options before the command's name are
    /// usysv's, after it the tool's: `usysv --ns test ipcs -q -t`.
    #[command(disable_help_flag = true, disable_version_flag = true)]
    Ipcs(Classic),
    /// Remove objects: util-linux's ipcrm on a namespace
    ///
    /// Options and messages are those of ipcrm(1).
    #[command(disable_help_flag = true, disable_version_flag = true)]
    Ipcrm(Classic),
    /// Make objects with random keys: util-linux's ipcmk on a namespace
    ///
    /// Options and messages are those of ipcmk(1).
    #[command(disable_help_flag = true, disable_version_flag = true)]
    Ipcmk(Classic),
    /// Print a shell's completion script
    #[command(hide = true)]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page in roff
    #[command(hide = true)]
    Man,
}

impl Command {
    /// For messages.
    pub fn name(&self) -> &'static str {
        match self {
            Command::Run(_) => "run",
            Command::Send(_) => "send",
            Command::Recv(_) => "recv",
            Command::Peek(_) => "peek",
            Command::Sem(Sem::Get(_)) => "sem get",
            Command::Sem(Sem::Set(_)) => "sem set",
            Command::Sem(Sem::Op(_)) => "sem op",
            Command::Shm(Shm::Cat(_)) => "shm cat",
            Command::Shm(Shm::Write(_)) => "shm write",
            Command::Shm(Shm::Attachers(_)) => "shm attachers",
            Command::Limits(_) => "limits",
            Command::Ipcs(_) => "ipcs",
            Command::Ipcrm(_) => "ipcrm",
            Command::Ipcmk(_) => "ipcmk",
            Command::Completions { .. } => "completions",
            Command::Man => "man",
        }
    }
}

/// The classic tools parse for themselves: `main` takes them out before clap sees them.
#[derive(Debug, Args)]
pub struct Classic {
    /// As the tool of util-linux takes them
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "OPTION"
    )]
    pub args: Vec<OsString>,
}

/// Run a program on user-space IPC
///
/// Puts libusysv.so in front of the program's libc (LD_PRELOAD) and names the namespace to it
/// (USYSV_NS); its children inherit both. The library is $USYSV_LIB, or lies beside the usysv
/// executable, or in ../lib/usysv or ../lib from there.
///
/// A preload cannot reach static, setuid, setgid or capability-carrying executables, nor those of
/// another architecture: such a command is refused with the reason.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit status: the command's own; 125 when usysv itself failed, 126 when the command cannot be run
or cannot be reached by a preload, 127 when it was not found. With --private, usysv dies of the
signal that killed the command.

Examples:
  usysv run -- ./server --port 80
  usysv run --ns test -- sh -c './writer & ./reader'
  usysv run --private -- make check")]
pub struct Run {
    /// Use a fresh namespace, removed at the end with a report of what was left in it
    #[arg(long, conflicts_with_all = ["ns", "kernel"])]
    pub private: bool,
    /// Leave the private namespace there, and say where
    #[arg(long, requires = "private")]
    pub keep: bool,
    /// Do not report what was left behind
    #[arg(long, short, requires = "private")]
    pub quiet: bool,
    /// Keep POSIX shared memory (shm_open) in the namespace, too: sets USYSV_POSIX_SHM=1
    #[arg(long)]
    pub posix_shm: bool,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// A queue.
#[derive(Clone, Copy, Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Queue {
    /// The queue with this key (decimal, 0x hexadecimal, 0 octal)
    #[arg(long, short, value_parser = key::parse, allow_hyphen_values = true)]
    pub key: Option<Key>,
    /// The queue with this id
    #[arg(long, short)]
    pub id: Option<i32>,
}

/// Put a message into a queue
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  usysv send --key 42 --create hello
  date | usysv send --key 42 --type 7
  usysv send --key 0x2a --lines <names.txt")]
pub struct Send {
    #[command(flatten)]
    pub queue: Queue,
    /// The message's type
    #[arg(long, short, default_value_t = 1, value_parser = clap::value_parser!(i64).range(1..))]
    pub r#type: i64,
    /// Fail at once (exit status 3) when the queue is full
    #[arg(long, short)]
    pub nowait: bool,
    /// Create the queue when it is missing, with this mode (octal)
    #[arg(long, value_name = "MODE", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "600", value_parser = octal, requires = "key")]
    pub create: Option<u32>,
    /// One message for each line of standard input, without its newline
    #[arg(long, short, conflicts_with = "message")]
    pub lines: bool,
    /// The text; standard input when it is missing or `-`
    pub message: Option<OsString>,
}

/// Take messages out of a queue and print them
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  usysv recv --key 42
  usysv recv --key 42 --type -5 --nowait      the lowest type up to 5, if there is one
  usysv recv --key 42 --follow --format json  one JSON object for each message, until interrupted")]
pub struct Recv {
    #[command(flatten)]
    pub queue: Queue,
    /// 0: the first; N: the first of type N; -N: the first of the lowest type up to N
    #[arg(long, short, default_value_t = 0, allow_negative_numbers = true)]
    pub r#type: i64,
    /// The first whose type is not N
    #[arg(long, requires = "type")]
    pub except: bool,
    /// Fail at once (exit status 3) when there is no such message
    #[arg(long, short)]
    pub nowait: bool,
    /// How many messages
    #[arg(long, short, default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..), conflicts_with = "follow")]
    pub count: u64,
    /// Go on until the queue is removed (exit status 0) or a signal ends it
    #[arg(long, short, conflicts_with = "nowait")]
    pub follow: bool,
    /// Refuse messages longer than this (they stay in the queue)
    #[arg(long, value_name = "BYTES")]
    #[arg(value_parser = clap::value_parser!(u32).range(..=0x7fff_ffff))]
    pub max: Option<u32>,
    /// Cut messages to --max instead
    #[arg(long, requires = "max")]
    pub noerror: bool,
    /// How to print a message
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// How a received message is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Its text on a line of its own, without the NULs that C programs send at the end
    Text,
    /// Its bytes and nothing else
    Raw,
    /// {"type":…,"length":…,"text":…}; "hex" instead of "text" when that is not UTF-8
    Json,
}

/// List a queue's messages without taking them
///
/// Reads the first message, the second, ... one call each: while others send and receive, the
/// list may skip or repeat some.
#[derive(Debug, Args)]
pub struct Peek {
    #[command(flatten)]
    pub queue: Queue,
    /// Print one JSON object for each message
    #[arg(long)]
    pub json: bool,
}

/// Show, set and operate on semaphores
#[derive(Debug, Subcommand)]
pub enum Sem {
    Get(SemGet),
    Set(SemPut),
    Op(SemOp),
}

/// A semaphore set.
#[derive(Clone, Copy, Debug, Args)]
#[group(required = true, multiple = false)]
pub struct SemSet {
    /// The set with this key (decimal, 0x hexadecimal, 0 octal)
    #[arg(long, short, value_parser = key::parse, allow_hyphen_values = true)]
    pub key: Option<Key>,
    /// The set with this id
    #[arg(long, short)]
    pub id: Option<i32>,
}

/// Show a set's semaphores, who waits for what, and whose operations are to be undone
///
/// A line for each semaphore: its value, the process that changed it last, how many wait for it to
/// grow and to be zero. Then, in a namespace, who waits, since when, the operation that holds them
/// up and how many they want to perform at once; and what is done when which process ends
/// (SEM_UNDO). The kernel does not tell those two.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  usysv sem get --key 42
  usysv sem get --id 3 0          semaphore 0 only")]
pub struct SemGet {
    #[command(flatten)]
    pub set: SemSet,
    /// Only this semaphore
    pub num: Option<u16>,
}

/// Set semaphores' values, whatever they are
///
/// Whoever waits for such a value goes on. What is to be undone for these semaphores is forgotten.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  usysv sem set --key 42 0=1 3=0
  usysv sem set --key 42 --all 1,0,0,0")]
pub struct SemPut {
    #[command(flatten)]
    pub set: SemSet,
    /// One value for each semaphore of the set, all at once
    #[arg(
        long,
        value_name = "VALUES",
        value_delimiter = ',',
        conflicts_with = "settings"
    )]
    #[arg(value_parser = clap::value_parser!(u16).range(..=32767))]
    pub all: Vec<u16>,
    /// A semaphore's number and its new value (0..32767), one after the other
    #[arg(value_name = "NUM=VALUE", value_parser = sem::setting, required_unless_present = "all")]
    pub settings: Vec<sem::Setting>,
}

/// Perform operations on a set, all at once or none, and wait until that can be done
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  usysv sem op --key 42 0:-1                  take one from semaphore 0
  usysv sem op --key 42 0:0 0:+1 --nowait     take a lock that is 0 when it is free
  usysv sem op --key 42 1:-5 --timeout 2.5

Exit status: 0 when it was done; 3 when --nowait or --timeout ended the wait.")]
pub struct SemOp {
    #[command(flatten)]
    pub set: SemSet,
    /// Undo it when this command ends, which is at once (SEM_UNDO): to see whether it can be done
    #[arg(long)]
    pub undo: bool,
    /// Fail at once (exit status 3) where it would have to wait
    #[arg(long, short)]
    pub nowait: bool,
    /// Give up (exit status 3) after this time
    #[arg(long, short, value_name = "SECONDS", value_parser = sem::timeout)]
    pub timeout: Option<Duration>,
    /// A semaphore's number and what is done: +N adds, -N takes, 0 waits for zero
    #[arg(value_name = "NUM:OP", value_parser = sem::operation, required = true)]
    pub ops: Vec<Op>,
}

/// Show or set the limits
///
/// Without arguments, shows them. The namespace's owner may set them (with --kernel: root).
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  usysv limits
  usysv limits msgmnb=1048576 msgmax=65536
  usysv limits semmsl=64000 shmmax=68719476736")]
pub struct Limits {
    /// msgmni, semmni, shmmni (0..32768), msgmax, msgmnb, semmsl, semmns, semopm (0..2147483647),
    /// shmmax or shmall (64 bits), and the new value
    #[arg(value_name = "NAME=VALUE")]
    pub set: Vec<String>,
}

fn octal(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        _ => Err("a mode is an octal number up to 777".to_owned()),
    }
}
