//! What `--private` says of a namespace before it is removed.

use crate::world::{Listed, Which, World};
use usysv::Result;
use usysv::abi::{MsqidDs, SemidDs, ShmidDs};

/// Objects described one by one, of each kind.
const MOST: usize = 8;

/// A line for each kind of which something is there.
pub fn left_behind(world: &World) -> Result<Vec<String>> {
    let lines = [
        line("message queue", &world.queues(Which::All)?, queue),
        line("semaphore set", &world.sets(Which::All)?, set),
        line(
            "shared memory segment",
            &world.segments(Which::All)?,
            segment,
        ),
    ];
    Ok(lines.into_iter().flatten().collect())
}

/// `2 message queues (msqid 0 key 0x0000002a, 3 messages; ...)`
fn line<T>(what: &str, all: &[Listed<T>], describe: fn(&Listed<T>) -> String) -> Option<String> {
    if all.is_empty() {
        return None;
    }
    let mut each: Vec<_> = all.iter().take(MOST).map(describe).collect();
    if all.len() > MOST {
        each.push(format!("and {} more", all.len() - MOST));
    }
    let count = counted(all.len() as u64, what);
    Some(format!("{count} ({})", each.join("; ")))
}

fn queue((id, ds): &Listed<MsqidDs>) -> String {
    let messages = counted(ds.msg_qnum, "message");
    format!("msqid {id} key 0x{:08x}, {messages}", ds.msg_perm.key)
}

fn set((id, ds): &Listed<SemidDs>) -> String {
    let semaphores = counted(ds.sem_nsems, "semaphore");
    format!("semid {id} key 0x{:08x}, {semaphores}", ds.sem_perm.key)
}

fn segment((id, ds): &Listed<ShmidDs>) -> String {
    let bytes = counted(ds.shm_segsz, "byte");
    let attached = match ds.shm_nattch {
        0 => String::new(),
        n => format!(", still attached {}", counted(n, "time")),
    };
    format!(
        "shmid {id} key 0x{:08x}, {bytes}{attached}",
        ds.shm_perm.key
    )
}

/// `1 byte`, `2 bytes`
fn counted(n: u64, what: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{n} {what}{plural}")
}
