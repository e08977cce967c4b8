//! `ipcs`, `ipcrm` and `ipcmk`, imitating util-linux 2.38 byte for byte: options, tables, messages
//! and exit statuses. Scripts that call those tools call these without noticing.
//!
//! What differs on purpose: `--help` and `--version` speak of usysv; a negative id is never found
//! (util-linux shows the first object instead, or crashes); and a size with two points in it is
//! refused (`1.0.5K`, where util-linux takes the last for the fraction).

mod arrays;
mod ipcmk;
mod ipcrm;
mod ipcs;
mod number;
mod queues;
mod segments;
mod tables;

use crate::failure::complain;
use crate::getopt::{Bad, Getopt, Opt};
use crate::sys;
use crate::world::{Choice, World};
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;

/// What a tool ends with.
type Exit = u8;

/// A tool's body: writes to the shell's buffer and answers the exit status.
type Body = fn(&mut Shell) -> Result<Exit, Exit>;

/// The tool of this name.
pub fn tool(name: &OsStr) -> Option<(&'static str, Body)> {
    Some(match name.as_bytes() {
        b"ipcs" => ("ipcs", ipcs::run),
        b"ipcrm" => ("ipcrm", ipcrm::run),
        b"ipcmk" => ("ipcmk", ipcmk::run),
        _ => return None,
    })
}

/// Runs a tool; `argv0` is what getopt's messages call it.
pub fn run(tool: (&'static str, Body), argv0: &OsStr, args: &[OsString], choice: Choice) -> Exit {
    let (name, body) = tool;
    let mut shell = Shell {
        name,
        argv0,
        args,
        choice,
        world: None,
        out: Vec::new(),
    };
    let status = body(&mut shell).unwrap_or_else(|status| status);
    shell.finish(status)
}

/// What the three tools share: names for messages, the world, buffered standard output.
pub struct Shell<'a> {
    name: &'static str,
    argv0: &'a OsStr,
    args: &'a [OsString],
    choice: Choice,
    world: Option<World>,
    /// Standard output, written at the end as stdio would into a file or pipe.
    out: Vec<u8>,
}

impl<'a> Shell<'a> {
    fn getopt(&self, options: &'a [Opt]) -> Getopt<'a> {
        Getopt::new(self.argv0, self.args, options)
    }

    /// `warnx`: one line on standard error.
    fn warn(&self, text: impl AsRef<[u8]>) {
        let line = [self.name.as_bytes(), b": ", text.as_ref(), b"\n"].concat();
        // A closed standard error leaves nobody to tell.
        let _ = std::io::stderr().write_all(&line);
    }

    /// `errx`: says it and gives the status to end with.
    fn fail(&self, text: impl AsRef<[u8]>) -> Exit {
        self.warn(text);
        1
    }

    /// getopt's complaint, and the status to end with.
    fn wrong_option(&self, bad: &Bad) -> Exit {
        // A closed standard error leaves nobody to tell.
        let _ = std::io::stderr().write_all(&bad.0);
        self.try_help()
    }

    /// The status to end with after a wrong command line, and where to learn the right one.
    fn try_help(&self) -> Exit {
        complain!("Try '{} --help' for more information.", self.name);
        1
    }

    /// The world, opened at first use: `--help` needs none.
    fn world(&mut self) -> Result<&World, Exit> {
        if self.world.is_none() {
            match World::open(&self.choice) {
                Ok(world) => self.world = Some(world),
                Err(fault) => return Err(self.fail(fault.to_string())),
            }
        }
        self.world.as_ref().ok_or(1)
    }

    fn version(&mut self) -> Exit {
        let text = format!("{} from usysv {}\n", self.name, env!("CARGO_PKG_VERSION"));
        self.out.extend_from_slice(text.as_bytes());
        0
    }

    fn print(&mut self, text: impl AsRef<[u8]>) {
        self.out.extend_from_slice(text.as_ref());
    }

    fn finish(&self, status: Exit) -> Exit {
        let mut stdout = std::io::stdout().lock();
        match stdout.write_all(&self.out).and_then(|()| stdout.flush()) {
            Ok(()) => status,
            Err(e) => self.fail(format!(
                "write error: {}",
                sys::strerror(e.raw_os_error().unwrap_or(libc::EIO))
            )),
        }
    }
}
