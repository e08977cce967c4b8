//! `usysv limits`.

use crate::args;
use crate::failure::Failure;
use crate::world::World;
use usysv::abi::{IPCMNI, MsgInfo, SemInfo, ShmLimits};

struct Limit {
    name: &'static str,
    unit: &'static str,
    meaning: &'static str,
    most: u64,
    get: fn(&All) -> u64,
}

/// What the three mechanisms tell.
struct All {
    msg: MsgInfo,
    sem: SemInfo,
    shm: ShmLimits,
}

const INT: u64 = i32::MAX as u64;

/// The kernel's ranges: see `proc(5)` and `ipc/ipc_sysctl.c`.
const LIMITS: [Limit; 10] = [
    Limit {
        name: "msgmni",
        unit: "queues",
        meaning: "most message queues",
        most: IPCMNI as u64,
        get: |of| of.msg.msgmni as u64,
    },
    Limit {
        name: "msgmax",
        unit: "bytes",
        meaning: "longest message",
        most: INT,
        get: |of| of.msg.msgmax as u64,
    },
    Limit {
        name: "msgmnb",
        unit: "bytes",
        meaning: "most bytes, and most messages, in a new queue (its msg_qbytes)",
        most: INT,
        get: |of| of.msg.msgmnb as u64,
    },
    Limit {
        name: "semmni",
        unit: "sets",
        meaning: "most semaphore sets",
        most: IPCMNI as u64,
        get: |of| of.sem.semmni as u64,
    },
    Limit {
        name: "semmsl",
        unit: "sems",
        meaning: "most semaphores in a new set",
        most: INT,
        get: |of| of.sem.semmsl as u64,
    },
    Limit {
        name: "semmns",
        unit: "sems",
        meaning: "most semaphores in all sets",
        most: INT,
        get: |of| of.sem.semmns as u64,
    },
    Limit {
        name: "semopm",
        unit: "ops",
        meaning: "most operations in a semop",
        most: INT,
        get: |of| of.sem.semopm as u64,
    },
    Limit {
        name: "shmmni",
        unit: "segments",
        meaning: "most shared memory segments",
        most: IPCMNI as u64,
        get: |of| of.shm.shmmni,
    },
    Limit {
        name: "shmmax",
        unit: "bytes",
        meaning: "largest new segment",
        most: u64::MAX,
        get: |of| of.shm.shmmax,
    },
    Limit {
        name: "shmall",
        unit: "pages",
        meaning: "most memory in all segments",
        most: u64::MAX,
        get: |of| of.shm.shmall,
    },
];

/// Sets what was asked, all or nothing as far as the arguments tell; without arguments, shows.
pub fn limits(world: &World, args: &args::Limits) -> Result<(), Failure> {
    if args.set.is_empty() {
        return show(world);
    }
    let settings: Vec<_> = args
        .set
        .iter()
        .map(|s| parse(s))
        .collect::<Result<_, _>>()?;
    for (limit, value) in settings {
        let set = world.set_limit(limit.name, value);
        set.map_err(|f| Failure::new(format!("{}={value}: {f}", limit.name)))?;
    }
    Ok(())
}

fn show(world: &World) -> Result<(), Failure> {
    let all = read(world)
        .map_err(|e| Failure::new(format!("cannot read the limits of {}: {e}", world.name())))?;
    let mut table = format!("{:<6} {:>20}  {:<8} meaning\n", "name", "value", "unit");
    for limit in &LIMITS {
        let value = (limit.get)(&all);
        let (name, unit, meaning) = (limit.name, limit.unit, limit.meaning);
        table.push_str(&format!("{name:<6} {value:>20}  {unit:<8} {meaning}\n"));
    }
    crate::write_stdout(table.as_bytes())
}

fn read(world: &World) -> usysv::Result<All> {
    let backend = world.backend();
    Ok(All {
        msg: backend.msg_limits()?.0,
        sem: backend.sem_limits()?.0,
        shm: backend.shm_limits()?.0,
    })
}

fn parse(setting: &str) -> Result<(&'static Limit, u64), Failure> {
    let refuse = |why: &str| Failure::new(format!("{setting}: {why}"));
    let (name, value) = setting
        .split_once('=')
        .ok_or_else(|| refuse("expected NAME=VALUE"))?;
    let limit = LIMITS
        .iter()
        .find(|limit| limit.name == name)
        .ok_or_else(|| {
            let names: Vec<_> = LIMITS.iter().map(|limit| limit.name).collect();
            refuse(&format!("no such limit; there are {}", names.join(", ")))
        })?;
    match value.parse::<u64>() {
        Ok(value) if value <= limit.most => Ok((limit, value)),
        _ => Err(refuse(&format!("the value must be in 0..{}", limit.most))),
    }
}
