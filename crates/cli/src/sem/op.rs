//! `usysv sem op`.

use super::{Chosen, words};
use crate::args;
use crate::failure::{Failure, WOULD_WAIT};
use std::time::Instant;
use usysv::{Errno, Op};

/// Performs the operations, all of them at once or none.
pub fn op(chosen: &Chosen<'_>, args: &args::SemOp) -> Result<(), Failure> {
    let with_flags = |op: &Op| {
        let op = if args.undo { op.undo() } else { *op };
        if args.nowait { op.no_wait() } else { op }
    };
    let ops: Vec<Op> = args.ops.iter().map(with_flags).collect();
    let start = Instant::now();
    loop {
        let left = args.timeout.map(|t| t.saturating_sub(start.elapsed()));
        match chosen.world.backend().semop(chosen.semid, &ops, left) {
            Ok(()) => return Ok(()),
            // Stopped and continued.
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(explain(chosen, args, errno)),
        }
    }
}

fn explain(chosen: &Chosen<'_>, args: &args::SemOp, errno: Errno) -> Failure {
    let ops = &args.ops;
    let (place, usysv) = (chosen.world.name(), chosen.world.command());
    match errno {
        Errno::EAGAIN => {
            let shown: Vec<_> = ops.iter().map(words::shown).collect();
            let when = match args.timeout.filter(|_| !args.nowait) {
                Some(timeout) => format!("within {} s", timeout.as_secs_f64()),
                None => "without waiting".to_owned(),
            };
            let failure = chosen.failure(format!(
                "{} cannot be done {when}, and nothing was done",
                shown.join(" ")
            ));
            failure.status_to(WOULD_WAIT)
        }
        Errno::E2BIG => chosen.failure(format!(
            "{0} operations are more than semopm in {place} allows ('{usysv} limits semopm={0}' \
             changes it)",
            ops.len()
        )),
        Errno::ERANGE => chosen.failure(
            "a semaphore would grow beyond 32767, or what is to be undone would; nothing was done",
        ),
        Errno::ENOSPC => chosen.failure(format!(
            "no room in {place} to note what is to be undone; nothing was done"
        )),
        // The largest number tells whether one is beyond the set.
        other => chosen.explain_at(ops.iter().map(|op| op.sem_num).max().unwrap_or(0), other),
    }
}
