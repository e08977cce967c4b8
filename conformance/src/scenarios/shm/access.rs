//! What may be done with attached memory: reading, writing, executing, and changing that.

use crate::mapping::{Access, PAGE, RET, access, peek, poke, run_code};
use crate::process::Ending;
use crate::scenarios::{Scenario, table};
use crate::shm::{ANYWHERE, SHM_EXEC, SHM_RDONLY, SHM_REMAP};
use crate::stage::Stage;
use libc::{PROT_EXEC, PROT_NONE, PROT_READ, PROT_WRITE, SIGSEGV};

pub(super) const ALL: &[Scenario] = table![
    read_only_attachment_faults_on_write,
    read_only_attachment_kills_the_writer,
    read_only_attachment_faults_at_each_page,
    read_only_attachment_can_be_made_writable,
    read_only_attachment_of_a_read_only_segment_cannot_be_made_writable needs_root,
    read_only_attachment_refuses_the_kernels_writes,
    read_only_attachment_by_remap_takes_writing_away,
    writable_attachment_can_be_made_read_only_and_back,
    attachment_made_inaccessible_faults,
    attachment_is_not_executable,
    attachment_with_shm_exec_is_executable,
    attachment_can_be_made_executable,
    write_only_segment_cannot_be_attached needs_root,
];

/// `SEGV_ACCERR`
const REFUSED: i32 = 2;

fn read_only_attachment_faults_on_write(t: &Stage) {
    let segment = t.segment(PAGE);
    let at = t.shmat(segment, ANYWHERE, SHM_RDONLY).must();
    assert_eq!(peek(at), 0);
    assert_eq!(t.faults(at, |_| poke(at + 24, 1)), (REFUSED, 24));
    assert_eq!(peek(at + 24), 0);
}

fn read_only_attachment_kills_the_writer(t: &Stage) {
    let segment = t.segment(PAGE);
    let child = t.spawn("writer", |t| {
        let at = t.shmat(segment, ANYWHERE, SHM_RDONLY).must();
        poke(at, 1);
    });
    t.reap(child, Ending::Killed(SIGSEGV));
    t.everybody_sees(segment, 0);
}

fn read_only_attachment_faults_at_each_page(t: &Stage) {
    let segment = t.segment(3 * PAGE);
    let at = t.shmat(segment, ANYWHERE, SHM_RDONLY).must();
    for offset in [0, PAGE + 1, 3 * PAGE - 1] {
        assert_eq!(access(at + offset), Access::Read);
        let fault = t.faults(at, |_| poke(at + offset, 1));
        assert_eq!(fault, (REFUSED, offset as i64));
    }
}

fn read_only_attachment_can_be_made_writable(t: &Stage) {
    let segment = t.segment(PAGE);
    let at = t.shmat(segment, ANYWHERE, SHM_RDONLY).must();
    t.mprotect(at, PAGE, PROT_READ | PROT_WRITE)
        .fails(libc::EACCES);
    assert_eq!(access(at), Access::Read);
    // Another attachment makes no difference.
    let other = t.attach(segment);
    poke(other, 1);
    t.mprotect(at, PAGE, PROT_READ | PROT_WRITE)
        .fails(libc::EACCES);
}

fn read_only_attachment_of_a_read_only_segment_cannot_be_made_writable(t: &Stage) {
    let segment = t.shmget(libc::IPC_PRIVATE, PAGE, 0o644).must();
    let child = t.spawn("user", |t| {
        crate::process::become_user(1000, 1000, &[]);
        let at = t.shmat(segment, ANYWHERE, SHM_RDONLY).must();
        t.mprotect(at, PAGE, PROT_READ | PROT_WRITE)
            .fails(libc::EACCES);
        assert_eq!(access(at), Access::Read);
    });
    t.join(child);
}

fn read_only_attachment_refuses_the_kernels_writes(t: &Stage) {
    let segment = t.segment(PAGE);
    let reader = t.shmat(segment, ANYWHERE, SHM_RDONLY).must();
    let writer = t.attach(segment);
    assert_eq!(access(reader), Access::Read);
    assert_eq!(access(writer), Access::Write);
    t.detach(writer);
    assert_eq!(access(reader), Access::Read);
}

fn read_only_attachment_by_remap_takes_writing_away(t: &Stage) {
    let segment = t.segment(PAGE);
    let at = t.attach(segment);
    poke(at, 3);
    t.shmat(segment, at, SHM_REMAP | SHM_RDONLY).must();
    assert_eq!((access(at), peek(at)), (Access::Read, 3));
    t.shmat(segment, at, SHM_REMAP).must();
    assert_eq!(access(at), Access::Write);
    t.attached(segment, 1);
}

fn writable_attachment_can_be_made_read_only_and_back(t: &Stage) {
    let segment = t.segment(2 * PAGE);
    let at = t.attach(segment);
    t.mprotect(at, 2 * PAGE, PROT_READ).must();
    assert_eq!(access(at), Access::Read);
    t.mprotect(at, 2 * PAGE, PROT_READ | PROT_WRITE).must();
    assert_eq!(access(at), Access::Write);
    t.attached(segment, 1);
    t.detach(at);
}

fn attachment_made_inaccessible_faults(t: &Stage) {
    let segment = t.segment(PAGE);
    let at = t.attach(segment);
    t.mprotect(at, PAGE, PROT_NONE).must();
    assert_eq!(access(at), Access::None);
    assert_eq!(t.faults(at, |_| assert_eq!(peek(at + 3), 0)), (REFUSED, 3));
    t.attached(segment, 1);
    t.detach(at);
    t.attached(segment, 0);
}

fn attachment_is_not_executable(t: &Stage) {
    let segment = t.shmget(libc::IPC_PRIVATE, PAGE, 0o700).must();
    let at = t.attach(segment);
    poke(at, RET);
    assert_eq!(t.faults(at, |_| run_code(at)), (REFUSED, 0));
}

fn attachment_with_shm_exec_is_executable(t: &Stage) {
    let segment = t.shmget(libc::IPC_PRIVATE, PAGE, 0o700).must();
    let at = t.shmat(segment, ANYWHERE, SHM_EXEC).must();
    poke(at, RET);
    run_code(at);
    let reader = t.shmat(segment, ANYWHERE, SHM_EXEC | SHM_RDONLY).must();
    run_code(reader);
    assert_eq!(access(reader), Access::Read);
}

fn attachment_can_be_made_executable(t: &Stage) {
    let segment = t.segment(PAGE);
    let at = t.attach(segment);
    poke(at, RET);
    t.mprotect(at, PAGE, PROT_READ | PROT_EXEC).must();
    run_code(at);
}

fn write_only_segment_cannot_be_attached(t: &Stage) {
    let segment = t.shmget(libc::IPC_PRIVATE, PAGE, 0o622).must();
    let child = t.spawn("user", |t| {
        crate::process::become_user(1000, 1000, &[]);
        t.shmat(segment, ANYWHERE, SHM_RDONLY).fails(libc::EACCES);
        // Writing alone is nothing that shmat can ask for.
        t.shmat(segment, ANYWHERE, 0).fails(libc::EACCES);
    });
    t.join(child);
}
