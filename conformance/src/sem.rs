//! The scenarios' words for semaphore sets: `semget`, `semop`, `semtimedop`. Each makes one C call
//! and records it.

use crate::ids::{index_of, sequence_of, show_get_flags, show_key};
use crate::memory::Area;
use crate::semcall;
use crate::stage::{Outcome, Stage, show_flags};
use libc::{IPC_NOWAIT, IPC_PRIVATE, SEM_UNDO};
use std::time::Duration;

pub use crate::ids::IPCMNI;
pub use crate::semcall::{Op, op, zero};
pub use crate::semctl::SetStat;

/// The highest value of a semaphore.
pub const SEMVMX: i16 = 32767;

/// A semaphore set's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Set(pub i32);

impl Set {
    /// Its place in the table of sets.
    pub fn index(self) -> i32 {
        index_of(self.0)
    }

    /// How often places were begun anew before it.
    pub fn sequence(self) -> i32 {
        sequence_of(self.0)
    }
}

/// Operations shown in full; longer arrays by their ends.
const SHOWN: usize = 8;

fn show_op(op: &Op) -> String {
    let names = [(IPC_NOWAIT, "IPC_NOWAIT"), (SEM_UNDO, "SEM_UNDO")];
    match op.flags {
        0 => format!("{} {:+}", op.num, op.op),
        flags => format!(
            "{} {:+} {}",
            op.num,
            op.op,
            show_flags(flags.into(), &names)
        ),
    }
}

fn show_ops(ops: &[Op]) -> String {
    let list = |ops: &[Op]| ops.iter().map(show_op).collect::<Vec<_>>().join(", ");
    match ops {
        [first, .., last] if ops.len() > SHOWN => {
            let (first, last) = (show_op(first), show_op(last));
            format!("[{first}, ... {last}], {}", ops.len())
        }
        _ => format!("[{}], {}", list(ops), ops.len()),
    }
}

impl Stage {
    /// `semget(key, nsems, flags)`
    pub fn semget(&self, key: i32, nsems: i32, flags: i32) -> Outcome<Set> {
        self.call(
            format_args!(
                "semget({}, {nsems}, {})",
                show_key(key),
                show_get_flags(flags)
            ),
            || semcall::semget(key, nsems, flags).map(Set),
            |set| self.id_role(set.0),
        )
    }

    /// `semget(IPC_PRIVATE, values.len(), 0600)` and `SETALL`: a set to begin with.
    #[track_caller]
    pub fn set_of(&self, values: &[u16]) -> Set {
        let set = self.semget(IPC_PRIVATE, values.len() as i32, 0o600).must();
        if values.iter().any(|&value| value != 0) {
            self.setall(set, values).must();
        }
        set
    }

    /// `semop(set, ops, ops.len())`
    pub fn semop(&self, set: Set, ops: &[Op]) -> Outcome<()> {
        self.call(
            format_args!("semop({}, {})", self.id_role(set.0), show_ops(ops)),
            || semcall::semop(set.0, ops),
            |()| "0".to_owned(),
        )
    }

    /// `semtimedop(set, ops, ops.len(), timeout)`
    pub fn semtimedop(&self, set: Set, ops: &[Op], timeout: Option<Duration>) -> Outcome<()> {
        self.call(
            format_args!(
                "semtimedop({}, {}, {timeout:?})",
                self.id_role(set.0),
                show_ops(ops)
            ),
            || semcall::semtimedop(set.0, ops, timeout),
            |()| "0".to_owned(),
        )
    }

    /// `semop(set, area, nsops)`
    pub fn semop_from(&self, set: Set, area: &Area, nsops: usize) -> Outcome<()> {
        self.call(
            format_args!("semop({}, area, {nsops})", self.id_role(set.0)),
            || semcall::semop_from(set.0, area, nsops),
            |()| "0".to_owned(),
        )
    }

    /// `semtimedop(set, area, nsops, timeout)`, whatever both areas hold.
    pub fn semtimedop_from(
        &self,
        set: Set,
        area: &Area,
        nsops: usize,
        timeout: &Area,
    ) -> Outcome<()> {
        self.call(
            format_args!("semtimedop({}, area, {nsops}, area)", self.id_role(set.0)),
            || semcall::semtimedop_from(set.0, area, nsops, timeout),
            |()| "0".to_owned(),
        )
    }
}

/// An area that holds these operations, directly before inaccessible memory.
pub fn area_of(ops: &[Op]) -> Area {
    let bytes: Vec<u8> = ops.iter().flat_map(|op| op.bytes()).collect();
    let area = Area::new(bytes.len());
    area.write(0, &bytes);
    area
}
