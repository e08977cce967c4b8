//! What the tables of `ipcs` have in common: columns, widths and words as util-linux prints them.

use super::{Exit, Shell};
use crate::sys;
use crate::world::{Listed, Which, World};
use usysv::Key;
use usysv::abi::{IpcPerm, MsqidDs, SemidDs, ShmidDs};

/// The status of any object.
pub trait Status {
    /// Its key, owners and mode.
    fn perm(&self) -> &IpcPerm;
}

impl Status for MsqidDs {
    fn perm(&self) -> &IpcPerm {
        &self.msg_perm
    }
}

impl Status for SemidDs {
    fn perm(&self) -> &IpcPerm {
        &self.sem_perm
    }
}

impl Status for ShmidDs {
    fn perm(&self) -> &IpcPerm {
        &self.shm_perm
    }
}

/// One of the lists of a world, such as `World::queues`.
type List<T> = fn(&World, Which) -> usysv::Result<Vec<Listed<T>>>;

/// Every object of a kind, by index; says on a terminal when one has the key that failed ftoks
/// share.
pub fn listed<T: Status>(shell: &mut Shell, list: List<T>) -> Result<Vec<Listed<T>>, Exit> {
    let all = list(shell.world()?, Which::All);
    let all = all.map_err(|e| shell.fail(e.to_string()))?;
    let failed = Key::FTOK_FAILED.0;
    if all.iter().any(|(_, ds)| ds.perm().key == failed)
        && std::io::IsTerminal::is_terminal(&std::io::stderr())
    {
        shell.warn(crate::key::FTOK_FAILED_NOTE);
    }
    Ok(all)
}

/// The object with this id, or a line that says that there is none.
pub fn find<T: Status>(shell: &mut Shell, list: List<T>, id: i32) -> Result<Option<T>, Exit> {
    let found = listed(shell, list)?.into_iter().find(|it| it.0 == id);
    if found.is_none() {
        shell.warn(format!("id {id} not found"));
    }
    Ok(found.map(|(_, ds)| ds))
}

/// A line of `-c`.
pub fn creators(shell: &mut Shell, id: i32, perm: &IpcPerm) {
    shell.print(format!("{id:<10} {:<10o}", mode(perm)));
    for (name, number) in [
        (sys::user_name(perm.cuid), perm.cuid),
        (sys::group_name(perm.cgid), perm.cgid),
        (sys::user_name(perm.uid), perm.uid),
        (sys::group_name(perm.gid), perm.gid),
    ] {
        shell.print(" ");
        shell.print(column(name, number, usize::MAX));
    }
}

/// How a line of the plain tables starts: key, id, owner, mode.
pub fn object(shell: &mut Shell, id: i32, perm: &IpcPerm) {
    shell.print(format!("0x{:08x} {id:<10} ", perm.key));
    shell.print(owner(perm.uid));
    shell.print(format!(" {:<10o} ", mode(perm)));
}

/// The permission bits alone.
pub fn mode(perm: &IpcPerm) -> u16 {
    perm.mode & 0o777
}

/// `%#o`
pub fn octal(mode: u16) -> String {
    match mode {
        0 => "0".to_owned(),
        mode => format!("0{mode:o}"),
    }
}

/// `%-10.10s` of the user's name, or `%-10u` of the number without one.
pub fn owner(uid: u32) -> Vec<u8> {
    column(sys::user_name(uid), uid, 10)
}

fn column(name: Option<Vec<u8>>, number: u32, most: usize) -> Vec<u8> {
    let mut text = name.unwrap_or_else(|| number.to_string().into_bytes());
    text.truncate(most);
    let width = text.len().max(10);
    text.resize(width, b' ');
    text
}

/// ` Nov 24 17:37`: a column of the tables that have no room for day and year.
pub fn short_time(time: i64) -> String {
    format!(" {:<20.16}", time_or(time, |t| t[4..].to_owned()))
}

/// `Tue Nov 24 17:37:56 2026  `
pub fn long_time(time: i64) -> String {
    format!("{:<26}", time_or(time, str::to_owned))
}

fn time_or(time: i64, show: impl Fn(&str) -> String) -> String {
    match time {
        0 => "Not set".to_owned(),
        time => show(&sys::ctime(time)),
    }
}
