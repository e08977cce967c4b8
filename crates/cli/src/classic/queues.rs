//! The tables of `ipcs -q`.

use super::ipcs::{Format, Unit};
use super::number::human;
use super::tables::{self, creators, find, listed, long_time, object, owner, short_time};
use super::{Exit, Shell};
use crate::world::World;
use usysv::abi::MsqidDs;

/// The message queues.
pub fn queues(shell: &mut Shell, format: Format, unit: Unit) -> Result<(), Exit> {
    match format {
        Format::Limits => return limits(shell, unit),
        Format::Summary => return summary(shell, unit),
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
    for (id, ds) in &listed(shell, World::queues)? {
        row(shell, *id, ds, format, unit);
    }
    Ok(())
}

fn row(shell: &mut Shell, id: i32, ds: &MsqidDs, format: Format, unit: Unit) {
    let perm = &ds.msg_perm;
    match format {
        Format::Creator => creators(shell, id, perm),
        Format::Time => {
            shell.print(format!("{id:<8} "));
            shell.print(owner(perm.uid));
            shell.print(
                [ds.msg_stime, ds.msg_rtime, ds.msg_ctime]
                    .map(short_time)
                    .concat(),
            );
        }
        Format::Pid => {
            shell.print(format!("{id:<8} "));
            shell.print(owner(perm.uid));
            let (sender, receiver) = (ds.msg_lspid, ds.msg_lrpid);
            shell.print(format!("  {sender:>5}     {receiver:>5}"));
        }
        _ => {
            object(shell, id, perm);
            let (bytes, messages) = (ds.msg_cbytes, ds.msg_qnum);
            shell.print(match unit {
                Unit::Human => format!("{:>6}       {messages:<12}", human(bytes)),
                _ => format!("{bytes:<12} {messages:<12}"),
            });
        }
    }
    shell.print("\n");
}

fn limits(shell: &mut Shell, unit: Unit) -> Result<(), Exit> {
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

fn summary(shell: &mut Shell, unit: Unit) -> Result<(), Exit> {
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
pub fn details(shell: &mut Shell, id: i32, unit: Unit) -> Result<Exit, Exit> {
    let Some(ds) = find(shell, World::queues, id)? else {
        return Ok(0);
    };
    // Listing needs no permission, but this field does; 0 stands for unknown.
    let stat = shell.world()?.backend().msg_stat(id);
    let qbytes = stat.map_or(0, |ds| ds.msg_qbytes);
    let perm = &ds.msg_perm;
    let mode = tables::octal(tables::mode(perm));
    let sizes = match unit {
        Unit::Human => format!("csize={}\tqsize={}", human(ds.msg_cbytes), human(qbytes)),
        _ => format!("cbytes={}\tqbytes={qbytes}", ds.msg_cbytes),
    };
    let [send, receive, change] = [ds.msg_stime, ds.msg_rtime, ds.msg_ctime].map(long_time);
    shell.print(format!(
        "\nMessage Queue msqid={id}\n\
         uid={}\tgid={}\tcuid={}\tcgid={}\tmode={mode}\n\
         {sizes}\tqnum={}\tlspid={}\tlrpid={}\n\
         send_time={send}\nrcv_time={receive}\nchange_time={change}\n\n",
        perm.uid, perm.gid, perm.cuid, perm.cgid, ds.msg_qnum, ds.msg_lspid, ds.msg_lrpid
    ));
    Ok(0)
}
