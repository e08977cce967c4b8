//! `usysv shm write`.

use super::Chosen;
use crate::args;
use crate::failure::{Failure, reason};
use std::io::Read;

/// Writes all of standard input into a segment, or nothing.
pub fn write(chosen: &Chosen<'_>, args: &args::ShmWrite) -> Result<(), Failure> {
    // Before the input is read: it may be long, and the segment is not to go meanwhile.
    let attached = chosen.segment.attach();
    let attached = attached.map_err(|errno| chosen.explain(errno))?;
    let room = chosen.room(&attached, args.offset)?;
    let mut input = Vec::new();
    // One byte more tells that there is too much.
    let most = (room as u64).saturating_add(1);
    let read = std::io::stdin().lock().take(most).read_to_end(&mut input);
    read.map_err(|e| Failure::new(format!("standard input: {}", reason(&e))))?;
    if input.len() > room {
        return Err(chosen.failure(format!(
            "standard input is longer than the {room} bytes that fit from byte {} to the \
             segment's end; nothing was written",
            args.offset
        )));
    }
    let written = attached.write(args.offset, &input);
    written.map_err(|errno| chosen.explain(errno))
}
