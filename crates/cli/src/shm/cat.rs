//! `usysv shm cat`.

use super::{CHUNK, Chosen};
use crate::args;
use crate::failure::Failure;
use std::io::Write;

/// Prints a segment's bytes, from an offset to the end or as many as were asked for.
pub fn cat(chosen: &Chosen<'_>, args: &args::ShmCat) -> Result<(), Failure> {
    let attached = chosen.segment.attach_read_only();
    let attached = attached.map_err(|errno| chosen.explain(errno))?;
    let room = chosen.room(&attached, args.offset)?;
    let length = args.length.unwrap_or(room);
    if length > room {
        return Err(chosen.failure(format!(
            "there are no {length} bytes from byte {} on: the segment ends after {room}",
            args.offset
        )));
    }
    let mut out = std::io::stdout().lock();
    let mut buffer = vec![0; CHUNK.min(length)];
    let mut done = 0;
    while done < length {
        let len = CHUNK.min(length - done);
        let chunk = &mut buffer[..len];
        let read = attached.read(args.offset + done, chunk);
        read.map_err(|errno| chosen.explain(errno))?;
        out.write_all(chunk).map_err(Failure::stdout)?;
        done += len;
    }
    out.flush().map_err(Failure::stdout)
}
