//! `usysv sem set`.

use super::{Chosen, Setting};
use crate::args;
use crate::failure::Failure;
use usysv::Errno;

/// Sets one after the other, or all at once.
pub fn set(chosen: &Chosen<'_>, args: &args::SemPut) -> Result<(), Failure> {
    let backend = chosen.world.backend();
    if !args.all.is_empty() {
        let put = backend.sem_put_all(chosen.semid, &args.all);
        return put.map_err(|errno| explain_all(chosen, args.all.len(), errno));
    }
    // Those that are not there are found before the first is set, if we may look.
    if let (Ok(nsems), Some(last)) = (chosen.nsems(), args.settings.iter().map(|s| s.num).max())
        && last >= nsems
    {
        return Err(chosen.explain_at(last, Errno::EINVAL));
    }
    for Setting { num, value } in &args.settings {
        let put = backend.sem_put(chosen.semid, i32::from(*num), i32::from(*value));
        put.map_err(|errno| chosen.explain_at(*num, errno))?;
    }
    Ok(())
}

fn explain_all(chosen: &Chosen<'_>, values: usize, errno: Errno) -> Failure {
    match (errno, chosen.nsems()) {
        (Errno::EINVAL, Ok(nsems)) if usize::from(nsems) != values => chosen.failure(format!(
            "--all needs a value for each semaphore: the set has {nsems}, and {values} were given"
        )),
        _ => chosen.explain(errno),
    }
}
