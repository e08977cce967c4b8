//! What this program does with shared memory when a scenario starts it afresh.

use crate::errno::Errno;
use crate::mapping::{text, word};
use crate::shm::ANYWHERE;
use crate::shmcall;
use std::sync::atomic::Ordering::SeqCst;

/// Plays one part; fails when the segment disagrees.
pub fn play(name: &str, arguments: &[&str]) -> Result<(), String> {
    match (name, arguments) {
        ("nattch", [segment, count]) => nattch_is(number(segment)?, number(count)? as u64),
        ("attach", [segment, expected]) => attach(number(segment)?, expected).map(drop),
        ("attach-detach", [segment, expected]) => {
            let address = attach(number(segment)?, expected)?;
            shmcall::shmdt(address).map_err(said("shmdt"))
        }
        ("detach", [address, errno]) => {
            let address = address.parse().map_err(|error| format!("{error}"))?;
            let got = shmcall::shmdt(address);
            let same = got == Err(Errno(number(errno)?));
            same.then_some(()).ok_or_else(|| format!("shmdt: {got:?}"))
        }
        ("hold", [segment]) => hold(number(segment)?),
        _ => Err(format!("no such part: {name} {arguments:?}")),
    }
}

fn number(text: &str) -> Result<i32, String> {
    text.parse().map_err(|error| format!("{text}: {error}"))
}

fn said(call: &str) -> impl Fn(Errno) -> String {
    move |errno| format!("{call}: {errno}")
}

fn nattch_is(segment: i32, count: u64) -> Result<(), String> {
    let mut ds = shmcall::blank_ds();
    shmcall::shmctl(segment, libc::IPC_STAT, &mut ds).map_err(said("IPC_STAT"))?;
    let got = ds.shm_nattch;
    (got == count)
        .then_some(())
        .ok_or_else(|| format!("nattch: expected {count}, got {got}"))
}

fn attach(segment: i32, expected: &str) -> Result<usize, String> {
    let address = shmcall::shmat(segment, ANYWHERE, 0).map_err(said("shmat"))?;
    let got = text(address, expected.len());
    (got == expected)
        .then_some(address)
        .ok_or_else(|| format!("expected {expected:?}, got {got:?}"))
}

/// Attaches, says so in the first word, and stays until the second says to go.
fn hold(segment: i32) -> Result<(), String> {
    let address = shmcall::shmat(segment, ANYWHERE, 0).map_err(said("shmat"))?;
    word(address).store(1, SeqCst);
    crate::board::poll("the second word says to go", || {
        (word(address + 4).load(SeqCst) != 0).then_some(())
    });
    Ok(())
}
