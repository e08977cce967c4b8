//! Kills while segments of huge pages are made and removed: their bytes are files outside of the
//! namespace, of which none may stay behind. No page is ever touched, so none is needed.

use crate::points::Happened::{No, Yes};
use crate::points::Points;
use crate::rig::*;
use std::io::Write;
use usysv::abi::{IPC_CREAT, SHM_HUGETLB, SHM_NORESERVE};
use usysv::{Engine, Errno, SharedMemory};

const POINTS: Points = &[
    ("create.huge.linked", No),
    ("create.huge.made", No),
    ("remove.huge", Yes),
];

const KEY: i32 = 0x1234;
pub const MOUNTED: &str = "/mnt";

/// Mounts a hugetlbfs for this thread and the children that it forks.
pub fn mount_hugetlbfs() -> Result<(), std::io::Error> {
    let done = |ret| match ret {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    };
    let kind = c"hugetlbfs".as_ptr();
    let none = std::ptr::null();
    // SAFETY: changes which mounts this thread sees; the strings are constants.
    unsafe {
        done(libc::unshare(libc::CLONE_NEWNS))?;
        let private = libc::MS_REC | libc::MS_PRIVATE;
        done(libc::mount(none, c"/".as_ptr(), none, private, none.cast()))?;
        done(libc::mount(kind, c"/mnt".as_ptr(), kind, 0, none.cast()))
    }
}

fn get(engine: &Engine, flags: i32) -> Result<i32, Errno> {
    let flags = flags | SHM_HUGETLB | SHM_NORESERVE | 0o600;
    call(|| engine.shmget(KEY, 1, flags))
}

fn files() -> usize {
    std::fs::read_dir(MOUNTED).expect("the hugetlbfs").count()
}

/// Whether a process like this one may mount a hugetlbfs; says so if it may not.
pub fn can_mount() -> bool {
    let child = Child::fork(|| mount_hugetlbfs().expect("a hugetlbfs"));
    let can = child.wait() == End::Exit(0);
    if !can {
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: segments of huge pages, everywhere"
        );
    }
    can
}

#[test]
fn killed_makers_and_removers_of_huge_segments_leave_no_file() {
    if let Err(error) = mount_hugetlbfs() {
        let name = "killed_makers_and_removers_of_huge_segments_leave_no_file";
        let _ = writeln!(std::io::stderr(), "SKIPPED: {name}: no hugetlbfs: {error}");
        return;
    }
    let world = World::new();
    let engine = &world.0;
    for (point, happened) in POINTS {
        if *happened == No {
            killed_at(point, || _ = get(engine, IPC_CREAT));
        } else {
            let shmid = get(engine, IPC_CREAT).expect("a segment");
            assert_eq!(files(), 1);
            killed_at(point, || _ = engine.shm_remove(shmid));
        }
        survivor(point, || {
            assert_eq!(get(engine, 0), Err(Errno::ENOENT), "{happened:?}");
            let shmid = get(engine, IPC_CREAT).expect("a segment");
            assert_eq!(files(), 1);
            engine.shm_remove(shmid).expect("to remove it");
            assert_eq!(files(), 0);
        });
    }
}
