//! `usysv shm attachers`.

use super::Chosen;
use crate::failure::Failure;
use std::fmt::Write;
use usysv::ShmAttacher;

/// Lists the attachments of a segment, as the engine's records have them.
pub fn attachers(chosen: &Chosen<'_>) -> Result<(), Failure> {
    let Some(engine) = chosen.world.engine() else {
        return Err(chosen.failure(format!(
            "the kernel has no list of a segment's attachers: each has a line with /SYSV and inode \
             {} in its /proc/PID/maps ('usysv --kernel ipcs -m' tells how many there are)",
            chosen.segment.shmid()
        )));
    };
    let mut all = Vec::new();
    // /proc is looked at when the segment is unlocked again.
    let listed = engine.each_attacher(chosen.segment.shmid(), &mut |a| all.push(*a));
    listed.map_err(|errno| chosen.explain(errno))?;
    let mut table = format!(
        "{:<10} {:<18} {:<12} {:<6} command\n",
        "pid", "address", "bytes", "access"
    );
    for attacher in &all {
        let _ = writeln!(
            table,
            "{:<10} {:<#18x} {:<12} {:<6} {}",
            attacher.pid,
            attacher.addr,
            attacher.len,
            access(attacher),
            command(attacher.pid)
        );
    }
    crate::write_stdout(table.as_bytes())
}

fn access(attacher: &ShmAttacher) -> &'static str {
    match attacher.writable() {
        Some(true) => "rw",
        Some(false) => "ro",
        None => "?",
    }
}

/// A process's name, which it may have given itself: what would move a terminal's cursor is `?`.
fn command(pid: i32) -> String {
    let Ok(name) = std::fs::read(format!("/proc/{pid}/comm")) else {
        return "?".to_owned();
    };
    let name = String::from_utf8_lossy(name.strip_suffix(b"\n").unwrap_or(&name)).into_owned();
    name.replace(char::is_control, "?")
}
