//! The tables of `ipcs -s`.

use super::ipcs::Format;
use super::tables::{self, creators, find, listed, long_time, object, owner};
use super::{Exit, Shell};
use crate::sys;
use crate::world::World;
use usysv::SemField;
use usysv::abi::SemidDs;

/// The semaphore arrays.
pub fn arrays(shell: &mut Shell, format: Format) -> Result<(), Exit> {
    shell.print(match format {
        Format::Limits => return limits(shell),
        Format::Summary => return summary(shell),
        // An array does not know which processes used it; util-linux prints nothing at all.
        Format::Pid => return Ok(()),
        Format::Creator => {
            "------ Semaphore Arrays Creators/Owners --------\n\
             semid      perms      cuid       cgid       uid        gid       \n"
        }
        Format::Time => {
            "------ Semaphore Operation/Change Times --------\n\
             semid    owner      last-op                    last-changed              \n"
        }
        Format::Objects => {
            "------ Semaphore Arrays --------\n\
             key        semid      owner      perms      nsems     \n"
        }
    });
    for (id, ds) in &listed(shell, World::sets)? {
        row(shell, *id, ds, format);
    }
    Ok(())
}

fn row(shell: &mut Shell, id: i32, ds: &SemidDs, format: Format) {
    let perm = &ds.sem_perm;
    match format {
        Format::Creator => creators(shell, id, perm),
        Format::Time => {
            shell.print(format!("{id:<8} "));
            shell.print(owner(perm.uid));
            let [operation, change] = [ds.sem_otime, ds.sem_ctime].map(long_time);
            shell.print(format!("  {operation} {change}"));
        }
        _ => {
            object(shell, id, perm);
            shell.print(format!("{:<10}", ds.sem_nsems));
        }
    }
    shell.print("\n");
}

fn limits(shell: &mut Shell) -> Result<(), Exit> {
    let limits = shell.world()?.backend().sem_limits();
    let (limits, _) = limits.map_err(|e| shell.fail(e.to_string()))?;
    shell.print(format!(
        "------ Semaphore Limits --------\nmax number of arrays = {}\n\
         max semaphores per array = {}\nmax semaphores system wide = {}\n\
         max ops per semop call = {}\nsemaphore max value = {}\n",
        limits.semmni, limits.semmsl, limits.semmns, limits.semopm, limits.semvmx
    ));
    Ok(())
}

fn summary(shell: &mut Shell) -> Result<(), Exit> {
    let usage = shell.world()?.backend().sem_usage();
    let (usage, _) = usage.map_err(|e| shell.fail(e.to_string()))?;
    shell.print(format!(
        "------ Semaphore Status --------\nused arrays = {}\nallocated semaphores = {}\n",
        usage.semusz, usage.semaem
    ));
    Ok(())
}

/// `ipcs -s -i ID`.
pub fn details(shell: &mut Shell, id: i32) -> Result<Exit, Exit> {
    let Some(ds) = find(shell, World::sets, id)? else {
        return Ok(0);
    };
    let mut semaphores = String::new();
    for num in 0..ds.sem_nsems as i32 {
        semaphores.push_str(&semaphore(shell, id, num)?);
    }
    let (perm, mode) = (&ds.sem_perm, tables::octal(tables::mode(&ds.sem_perm)));
    let [operation, change] = [ds.sem_otime, ds.sem_ctime].map(long_time);
    shell.print(format!(
        "\nSemaphore Array semid={id}\n\
         uid={}\t gid={}\t cuid={}\t cgid={}\n\
         mode={mode}, access_perms={mode}\n\
         nsems = {}\notime = {operation}\nctime = {change}\n\
         semnum     value      ncount     zcount     pid       \n{semaphores}\n",
        perm.uid, perm.gid, perm.cuid, perm.cgid, ds.sem_nsems
    ));
    Ok(0)
}

/// One semaphore's line. Listing needs no permission, but this does.
fn semaphore(shell: &mut Shell, id: i32, num: i32) -> Result<String, Exit> {
    let mut line = format!("{num:<10}");
    for (field, call) in [
        (SemField::Value, "GETVAL"),
        (SemField::Ncnt, "GETNCNT"),
        (SemField::Zcnt, "GETZCNT"),
        (SemField::Pid, "GETPID"),
    ] {
        let got = shell.world()?.backend().sem_get(id, num, field);
        let got = got.map_err(|errno| {
            let why = sys::strerror(errno.raw());
            shell.fail(format!("semctl({call}) failed: {why}"))
        })?;
        line.push_str(&format!(" {got:<10}"));
    }
    line.push('\n');
    Ok(line)
}
