//! `usysv peek`.

use super::recv::Reader;
use super::{target, text};
use crate::args;
use crate::failure::Failure;
use crate::world::World;
use std::io::Write;
use usysv::Errno;

/// Columns for a message's text.
const PREVIEW: usize = 50;

/// Prints every message with its number, type, length and start.
pub fn peek(world: &World, args: &args::Peek) -> Result<(), Failure> {
    let target = target(args.queue);
    let mut reader = Reader::new(world, target)?;
    let id = reader.id();
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for number in 0.. {
        let (mtype, body) = match reader.copy(number) {
            Ok(message) => message,
            Err(Errno::ENOMSG) => break,
            Err(Errno::ENOSYS) => {
                return Err(Failure::new(format!(
                    "{} has no MSG_COPY (it needs CONFIG_CHECKPOINT_RESTORE)",
                    world.name()
                )));
            }
            // The kernel cannot copy what is longer than msgmax is now.
            Err(Errno::EINVAL) if world.backend().msg_stat(id).is_ok() => {
                return Err(Failure::new(format!(
                    "{target}: message {number} cannot be copied: it is longer than msgmax ('{} \
                     limits' shows and raises it)",
                    world.command()
                )));
            }
            Err(errno) => return Err(target.explain(world, errno)),
        };
        let line = if args.json {
            text::json(&format!("\"number\":{number},\"type\":{mtype}"), body)
        } else {
            let shown = text::preview(body, PREVIEW);
            format!("{number:<8} {mtype:<20} {:<10} {shown}", body.len())
        };
        if number == 0 && !args.json {
            writeln!(out, "{:<8} {:<20} {:<10} text", "number", "type", "length")
                .map_err(Failure::stdout)?;
        }
        writeln!(out, "{line}").map_err(Failure::stdout)?;
    }
    out.flush().map_err(Failure::stdout)
}
