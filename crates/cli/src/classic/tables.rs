//! The tables of `ipcs`: columns, widths and words as util-linux prints them.

use super::ipcs::{Format, Unit};
use super::number::human;
use super::{Exit, Shell};
use crate::sys;
use usysv::Key;
use usysv::abi::MsqidDs;

/// The message queues.
pub fn queues(shell: &mut Shell, format: Format, unit: Unit) -> Result<(), Exit> {
    match format {
        Format::Limits => return queue_limits(shell, unit),
        Format::Summary => return queue_summary(shell, unit),
        _ => {}
    }
    shell.print(match format {
        Format::Creator => {
            "------ Message Queues Creators/Owners --------\n\
             msqid      perms      cuid       cgid       uid        gid       \n"
        }
        Format::Time => {
            "------ Message Queues Send/Recv/Change Times --------\n\
             msqid    owner      send                 recv                 change              \n"
        }
        Format::Pid => {
            "------ Message Queues PIDs --------\n\
             msqid      owner      lspid      lrpid     \n"
        }
        _ if unit == Unit::Human => {
            "------ Message Queues --------\n\
             key        msqid      owner      perms      size         messages    \n"
        }
        _ => {
            "------ Message Queues --------\n\
             key        msqid      owner      perms      used-bytes   messages    \n"
        }
    });
    let listed = listed(shell)?;
    for (id, ds) in &listed {
        queue_row(shell, *id, ds, format, unit);
    }
    Ok(())
}

fn queue_row(shell: &mut Shell, id: i32, ds: &MsqidDs, format: Format, unit: Unit) {
    let perm = &ds.msg_perm;
    let mode = perm.mode & 0o777;
    match format {
        Format::Creator => {
            shell.print(format!("{id:<10} {mode:<10o}"));
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
        Format::Time => {
            shell.print(format!("{id:<8} "));
            shell.print(owner(perm.uid));
            for time in [ds.msg_stime, ds.msg_rtime, ds.msg_ctime] {
                shell.print(format!(" {:<20.16}", time_or(time, |t| t[4..].to_owned())));
            }
        }
        Format::Pid => {
            shell.print(format!("{id:<8} "));
            shell.print(owner(perm.uid));
            let (sender, receiver) = (ds.msg_lspid, ds.msg_lrpid);
            shell.print(format!("  {sender:>5}     {receiver:>5}"));
        }
        _ => {
            shell.print(format!("0x{:08x} {id:<10} ", perm.key));
            shell.print(owner(perm.uid));
            shell.print(format!(" {mode:<10o} "));
            let (bytes, messages) = (ds.msg_cbytes, ds.msg_qnum);
            shell.print(match unit {
                Unit::Human => format!("{:>6}       {messages:<12}", human(bytes)),
                _ => format!("{bytes:<12} {messages:<12}"),
            });
        }
    }
    shell.print("\n");
}

fn queue_limits(shell: &mut Shell, unit: Unit) -> Result<(), Exit> {
    let limits = shell.world()?.backend().msg_limits();
    let (limits, _) = limits.map_err(|e| shell.fail(e.to_string()))?;
    let (message, queue) = (limits.msgmax as u64, limits.msgmnb as u64);
    shell.print("------ Messages Limits --------\n");
    shell.print(format!("max queues system wide = {}\n", limits.msgmni));
    for (what, size) in [
        ("max size of message", message),
        ("default max size of queue", queue),
    ] {
        shell.print(match unit {
            Unit::Human => format!("{what} = {}\n", human(size)),
            _ => format!("{what} (bytes) = {size}\n"),
        });
    }
    Ok(())
}

fn queue_summary(shell: &mut Shell, unit: Unit) -> Result<(), Exit> {
    let usage = shell.world()?.backend().msg_usage();
    let (usage, _) = usage.map_err(|e| shell.fail(e.to_string()))?;
    let bytes = usage.msgtql as u32;
    shell.print(format!(
        "------ Messages Status --------\nallocated queues = {}\nused headers = {}\n",
        usage.msgpool, usage.msgmap
    ));
    shell.print(match unit {
        Unit::Default => format!("used space = {bytes} bytes\n"),
        Unit::Human => format!("used space = {}\n", human(u64::from(bytes))),
        Unit::Bytes => format!("used space (bytes) = {bytes}\n"),
    });
    Ok(())
}

/// `ipcs -q -i ID`.
pub fn queue_details(shell: &mut Shell, id: i32, unit: Unit) -> Result<Exit, Exit> {
    let Some((_, ds)) = listed(shell)?.into_iter().find(|(other, _)| *other == id) else {
        shell.warn(format!("id {id} not found"));
        return Ok(0);
    };
    // Listing needs no permission, but this field does; 0 stands for unknown.
    let stat = shell.world()?.backend().msg_stat(id);
    let qbytes = stat.map_or(0, |ds| ds.msg_qbytes);
    let perm = &ds.msg_perm;
    let mode = match perm.mode & 0o777 {
        0 => "0".to_owned(),
        mode => format!("0{mode:o}"),
    };
    let sizes = match unit {
        Unit::Human => format!("csize={}\tqsize={}", human(ds.msg_cbytes), human(qbytes)),
        _ => format!("cbytes={}\tqbytes={qbytes}", ds.msg_cbytes),
    };
    let [send, receive, change] = [ds.msg_stime, ds.msg_rtime, ds.msg_ctime]
        .map(|time| format!("{:<26}", time_or(time, str::to_owned)));
    shell.print(format!(
        "\nMessage Queue msqid={id}\n\
         uid={}\tgid={}\tcuid={}\tcgid={}\tmode={mode}\n\
         {sizes}\tqnum={}\tlspid={}\tlrpid={}\n\
         send_time={send}\nrcv_time={receive}\nchange_time={change}\n\n",
        perm.uid, perm.gid, perm.cuid, perm.cgid, ds.msg_qnum, ds.msg_lspid, ds.msg_lrpid
    ));
    Ok(0)
}

/// Every queue, by index; says on a terminal when one has the key that failed ftoks share.
fn listed(shell: &mut Shell) -> Result<Vec<(i32, MsqidDs)>, Exit> {
    let all = shell.world()?.queues();
    let all = all.map_err(|e| shell.fail(e.to_string()))?;
    let failed = Key::FTOK_FAILED.0;
    if all.iter().any(|(_, ds)| ds.msg_perm.key == failed)
        && std::io::IsTerminal::is_terminal(&std::io::stderr())
    {
        shell.warn(crate::key::FTOK_FAILED_NOTE);
    }
    Ok(all)
}

/// Says what the kernel has that this tool does not list.
pub fn warn_unlisted(shell: &mut Shell, segments: bool, arrays: bool) -> Result<(), Exit> {
    for (wanted, kind, what) in [
        (segments, "shm", "shared memory segments"),
        (arrays, "sem", "semaphore arrays"),
    ] {
        if wanted && shell.world()?.kernel_has(kind) {
            shell.warn(format!(
                "the kernel's {what} are not listed: not yet in usysv"
            ));
        }
    }
    Ok(())
}

/// The shared memory segments: none.
pub fn segments(shell: &mut Shell, format: Format, unit: Unit) {
    /// `SHMMAX` and `SHMALL` of Linux, the latter in pages.
    const MOST: u64 = u64::MAX - (1 << 24);
    shell.print(match format {
        Format::Limits => {
            let page = sys::page_size();
            let all = |unit: u64| MOST.checked_mul(unit).unwrap_or(u64::MAX - u64::MAX % unit);
            let body = match unit {
                Unit::Default => format!(
                    "max seg size (kbytes) = {}\nmax total shared memory (kbytes) = {}\n\
                     min seg size (bytes) = 1\n",
                    MOST / 1024,
                    all(page / 1024)
                ),
                Unit::Human => format!(
                    "max seg size = {}\nmax total shared memory = {}\nmin seg size = 1B\n",
                    human(MOST),
                    human(all(page))
                ),
                Unit::Bytes => format!(
                    "max seg size (bytes) = {MOST}\nmax total shared memory (bytes) = {}\n\
                     min seg size (bytes) = 1\n",
                    all(page)
                ),
            };
            shell.print("------ Shared Memory Limits --------\nmax number of segments = 4096\n");
            shell.print(body);
            return;
        }
        Format::Summary => {
            "------ Shared Memory Status --------\nsegments allocated 0\npages allocated 0\n\
             pages resident  0\npages swapped   0\nSwap performance: 0 attempts\t 0 successes\n"
        }
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
}

/// The semaphore arrays: none.
pub fn arrays(shell: &mut Shell, format: Format) {
    shell.print(match format {
        Format::Limits => {
            "------ Semaphore Limits --------\nmax number of arrays = 32000\n\
             max semaphores per array = 32000\nmax semaphores system wide = 1024000000\n\
             max ops per semop call = 500\nsemaphore max value = 32767\n"
        }
        Format::Summary => {
            "------ Semaphore Status --------\nused arrays = 0\nallocated semaphores = 0\n"
        }
        Format::Creator => {
            "------ Semaphore Arrays Creators/Owners --------\n\
             semid      perms      cuid       cgid       uid        gid       \n"
        }
        Format::Time => {
            "------ Semaphore Operation/Change Times --------\n\
             semid    owner      last-op                    last-changed              \n"
        }
        Format::Pid => "",
        Format::Objects => {
            "------ Semaphore Arrays --------\n\
             key        semid      owner      perms      nsems     \n"
        }
    });
}

/// `%-10.10s` of the user's name, or `%-10u` of the number without one.
fn owner(uid: u32) -> Vec<u8> {
    column(sys::user_name(uid), uid, 10)
}

fn column(name: Option<Vec<u8>>, number: u32, most: usize) -> Vec<u8> {
    let mut text = name.unwrap_or_else(|| number.to_string().into_bytes());
    text.truncate(most);
    let width = text.len().max(10);
    text.resize(width, b' ');
    text
}

fn time_or(time: i64, show: impl Fn(&str) -> String) -> String {
    match time {
        0 => "Not set".to_owned(),
        time => show(&sys::ctime(time)),
    }
}
