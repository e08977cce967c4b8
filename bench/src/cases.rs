//! From a row to what a worker does for it.

use crate::case::{Case, count, once, repeat, wrong};
use crate::channel::Queue;
use crate::limit_cases as limit;
use crate::memory;
use crate::msg_cases as msg;
use crate::row::{Row, Work};
use crate::sem_cases as sem;
use crate::shm_cases as shm;
use crate::side::Side;
use crate::sleepers::Sleepers;
use crate::sys::{self, Message, TEXT};
use crate::traffic;
use std::io::Result;
use std::time::Duration;

/// Sets the scene for a row.
pub fn prepare(side: Side, row: &Row) -> Result<Box<dyn Case>> {
    let watch = row.watch;
    Ok(match row.work {
        work @ (Work::Pair { .. } | Work::Stream { .. } | Work::PingPong(..) | Work::Crowd(_)) => {
            traffic::prepare(side, watch, work)?
        }
        Work::SendReceive {
            select,
            backlog,
            types,
        } => msg::send_receive(watch, select, backlog, types)?,
        Work::Answers(place) => msg::answers(watch, place)?,
        Work::Receivers(receivers) => msg::past_receivers(watch, receivers)?,
        Work::SemPair { len, undo } => sem::pair(side, watch, len, undo)?,
        Work::SemSleepers(sleepers) => sem::past_sleepers(watch, sleepers)?,
        Work::SemMutex(processes) => sem::mutex(side, watch, processes)?,
        Work::SemPingPong { place, busy_us } => sem::ping_pong(side, watch, place, busy_us)?,
        Work::SemCreateRemove => sem::create_remove(watch),
        Work::ShmAttach => shm::attach(watch)?,
        Work::ShmFill => shm::fill(watch)?,
        Work::ShmStat(attachers) => shm::stat(watch, attachers)?,
        Work::CreateRemove => repeat(watch, || Queue::private().map(drop)),
        Work::OpenExisting => {
            let queue = Queue::keyed(KEY)?;
            repeat(watch, move || match sys::msgget(KEY, 0)? {
                id if id == queue.id() => Ok(()),
                id => Err(wrong(format!("msgget found {id}, not {}", queue.id()))),
            })
        }
        Work::CreateMany(count) => once(move || Ok(msg::create_and_remove(watch, count)?.0)),
        Work::RemoveMany(count) => once(move || Ok(msg::create_and_remove(watch, count)?.1)),
        Work::EmptyMemory => count(memory::of_empty_queue),
        Work::MessageMemory => count(memory::of_message),
        Work::DrainedMemory => count(memory::of_drained_queue),
        Work::SegmentMemory => count(memory::of_segment),
        Work::Idle { semaphore } => count(move || idle(semaphore)),
        Work::Spawn => repeat(watch, limit::spawn),
        Work::CopyTwice(len) => limit::copy_twice(watch, len),
        Work::NullSyscall => limit::null_syscall(watch),
        Work::RobustMutex => limit::robust_mutex(watch),
        Work::Map => limit::map(watch),
        Work::CacheLine => limit::cache_line(watch)?,
        Work::Futex(place) => limit::futex(watch, place)?,
    })
}

const KEY: i32 = 0x7573_7376;

/// CPU time that a process uses during a second in which it waits: the mean of a few.
fn idle(semaphore: bool) -> Result<u64> {
    const SECONDS: u64 = 3;
    let queue = Queue::private()?;
    let set = sem::Set::of(&[0])?;
    let sleepers = Sleepers::start(1, |_| match semaphore {
        true => set.change(0, -1),
        false => sys::msgrcv(queue.id(), &mut Message::new(1), TEXT, 0, 0).map(drop),
    })?;
    sleepers.fall_asleep()?;
    let before = sleepers.cpu_ns()?;
    std::thread::sleep(Duration::from_secs(SECONDS));
    let used = sleepers.cpu_ns()? - before;
    drop(sleepers);
    Ok(used / SECONDS)
}
