//! The tables of `ipcs -m`.

use super::ipcs::{Format, Unit};
use super::number::human;
use super::tables::{self, creators, find, listed, long_time, object, owner, short_time};
use super::{Exit, Shell};
use crate::sys;
use crate::world::World;
use usysv::abi::{SHM_DEST, SHM_LOCKED, ShmidDs};

/// The shared memory segments.
pub fn segments(shell: &mut Shell, format: Format, unit: Unit) -> Result<(), Exit> {
    shell.print(match format {
        Format::Limits => return limits(shell, unit),
        Format::Summary => return summary(shell),
        Format::Creator => {
            "------ Shared Memory Segment Creators/Owners --------\n\
             shmid      perms      cuid       cgid       uid        gid       \n"
        }
        Format::Time => {
            "------ Shared Memory Attach/Detach/Change Times --------\n\
             shmid      owner      attached             detached             changed             \n"
        }
        Format::Pid => {
            "------ Shared Memory Creator/Last-op PIDs --------\n\
             shmid      owner      cpid       lpid      \n"
        }
        Format::Objects if unit == Unit::Human => {
            "------ Shared Memory Segments --------\n\
             key        shmid      owner      perms      size       nattch     status      \n"
        }
        Format::Objects => {
            "------ Shared Memory Segments --------\n\
             key        shmid      owner      perms      bytes      nattch     status      \n"
        }
    });
    for (id, ds) in &listed(shell, World::segments)? {
        row(shell, *id, ds, format, unit);
    }
    Ok(())
}

fn row(shell: &mut Shell, id: i32, ds: &ShmidDs, format: Format, unit: Unit) {
    let perm = &ds.shm_perm;
    match format {
        Format::Creator => creators(shell, id, perm),
        Format::Time => {
            shell.print(format!("{id:<10} "));
            shell.print(owner(perm.uid));
            shell.print(
                [ds.shm_atime, ds.shm_dtime, ds.shm_ctime]
                    .map(short_time)
                    .concat(),
            );
        }
        Format::Pid => {
            shell.print(format!("{id:<10} "));
            shell.print(owner(perm.uid));
            shell.print(format!(" {:<10} {:<10}", ds.shm_cpid, ds.shm_lpid));
        }
        _ => {
            object(shell, id, perm);
            shell.print(match unit {
                Unit::Human => format!("{:>6}    ", human(ds.shm_segsz)),
                _ => format!("{:<10}", ds.shm_segsz),
            });
            let flag = |bit, word| if perm.mode & bit == 0 { "" } else { word };
            shell.print(format!(
                " {:<10} {:<6} {:<6}",
                ds.shm_nattch,
                flag(SHM_DEST, "dest"),
                flag(SHM_LOCKED, "locked")
            ));
        }
    }
    shell.print("\n");
}

fn limits(shell: &mut Shell, unit: Unit) -> Result<(), Exit> {
    let limits = shell.world()?.backend().shm_limits();
    let (limits, _) = limits.map_err(|e| shell.fail(e.to_string()))?;
    let (most, pages, page) = (limits.shmmax, limits.shmall, sys::page_size());
    // What does not fit is shown as the largest multiple that does.
    let all = |unit: u64| {
        pages
            .checked_mul(unit)
            .unwrap_or(u64::MAX - u64::MAX % unit)
    };
    let sizes = match unit {
        Unit::Default => format!(
            "max seg size (kbytes) = {}\nmax total shared memory (kbytes) = {}\n\
             min seg size (bytes) = {}\n",
            most / 1024,
            all(page / 1024),
            limits.shmmin
        ),
        Unit::Human => format!(
            "max seg size = {}\nmax total shared memory = {}\nmin seg size = {}\n",
            human(most),
            human(all(page)),
            human(limits.shmmin)
        ),
        Unit::Bytes => format!(
            "max seg size (bytes) = {most}\nmax total shared memory (bytes) = {}\n\
             min seg size (bytes) = {}\n",
            all(page),
            limits.shmmin
        ),
    };
    shell.print(format!(
        "------ Shared Memory Limits --------\nmax number of segments = {}\n{sizes}",
        limits.shmmni
    ));
    Ok(())
}

fn summary(shell: &mut Shell) -> Result<(), Exit> {
    let usage = shell.world()?.backend().shm_usage();
    let (usage, _) = usage.map_err(|e| shell.fail(e.to_string()))?;
    shell.print(format!(
        "------ Shared Memory Status --------\nsegments allocated {}\npages allocated {}\n\
         pages resident  {}\npages swapped   {}\n\
         Swap performance: {} attempts\t {} successes\n",
        usage.used_ids,
        usage.shm_tot,
        usage.shm_rss,
        usage.shm_swp,
        usage.swap_attempts,
        usage.swap_successes
    ));
    Ok(())
}

/// `ipcs -m -i ID`.
pub fn details(shell: &mut Shell, id: i32, unit: Unit) -> Result<Exit, Exit> {
    let Some(ds) = find(shell, World::segments, id)? else {
        return Ok(0);
    };
    let perm = &ds.shm_perm;
    let size = match unit {
        Unit::Human => format!("size={}", human(ds.shm_segsz)),
        _ => format!("bytes={}", ds.shm_segsz),
    };
    let [attach, detach, change] = [ds.shm_atime, ds.shm_dtime, ds.shm_ctime].map(long_time);
    shell.print(format!(
        "\nShared memory Segment shmid={id}\n\
         uid={}\tgid={}\tcuid={}\tcgid={}\n\
         mode={}\taccess_perms={}\n\
         {size}\tlpid={}\tcpid={}\tnattch={}\n\
         att_time={attach}\ndet_time={detach}\nchange_time={change}\n\n",
        perm.uid,
        perm.gid,
        perm.cuid,
        perm.cgid,
        tables::octal(perm.mode),
        tables::octal(tables::mode(perm)),
        ds.shm_lpid,
        ds.shm_cpid,
        ds.shm_nattch
    ));
    Ok(0)
}
