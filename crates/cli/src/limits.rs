//! `usysv limits`.

use crate::args;
use crate::failure::Failure;
use crate::world::World;
use usysv::abi::{IPCMNI, MsgInfo};

struct Limit {
    name: &'static str,
    unit: &'static str,
    meaning: &'static str,
    most: u64,
    get: fn(&MsgInfo) -> i32,
}

/// The kernel's ranges: see `proc(5)` and `ipc/ipc_sysctl.c`.
const LIMITS: [Limit; 3] = [
    Limit {
        name: "msgmni",
        unit: "queues",
        meaning: "most message queues",
        most: IPCMNI as u64,
        get: |info| info.msgmni,
    },
    Limit {
        name: "msgmax",
        unit: "bytes",
        meaning: "longest message",
        most: i32::MAX as u64,
        get: |info| info.msgmax,
    },
    Limit {
        name: "msgmnb",
        unit: "bytes",
        meaning: "most bytes, and most messages, in a new queue (its msg_qbytes)",
        most: i32::MAX as u64,
        get: |info| info.msgmnb,
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
    let limits = world.backend().msg_limits();
    let (info, _) = limits
        .map_err(|e| Failure::new(format!("cannot read the limits of {}: {e}", world.name())))?;
    let mut table = format!("{:<8} {:>12}  {:<7} meaning\n", "name", "value", "unit");
    for limit in &LIMITS {
        let value = (limit.get)(&info);
        let (name, unit, meaning) = (limit.name, limit.unit, limit.meaning);
        table.push_str(&format!("{name:<8} {value:>12}  {unit:<7} {meaning}\n"));
    }
    crate::write_stdout(table.as_bytes())
}

fn parse(setting: &str) -> Result<(&'static Limit, u64), Failure> {
    let refuse = |why: &str| Failure::new(format!("{setting}: {why}"));
    let (name, value) = setting
        .split_once('=')
        .ok_or_else(|| refuse("expected NAME=VALUE"))?;
    let limit = LIMITS
        .iter()
        .find(|limit| limit.name == name)
        .ok_or_else(|| refuse("no such limit; there are msgmni, msgmax and msgmnb"))?;
    match value.parse::<u64>() {
        Ok(value) if value <= limit.most => Ok((limit, value)),
        _ => Err(refuse(&format!("the value must be in 0..{}", limit.most))),
    }
}
