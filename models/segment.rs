//! Models of a segment's records: `crates/usysv/src/shm/records.rs`. Loom sees the lock and the
//! bells; the records are under the lock.

use crate::errno::Errno;
use crate::finds;
use crate::object::Kind;
use crate::process;
use crate::scene::{ID, Scene};
use crate::shm::{self, Held, owner, pieces::Part, pieces::Pieces};
use crate::world::{Event, World, at_each_step};
use std::rc::Rc;

/// A process that attaches.
struct Process {
    scene: Rc<Scene>,
    pieces: &'static Pieces,
}

impl Process {
    fn new(w: &World, scene: &Rc<Scene>) -> Process {
        let memory = w.memory(size_of::<Pieces>(), false);
        Process {
            scene: scene.clone(),
            // SAFETY: zeroes are an empty table, in memory that lasts.
            pieces: unsafe { &*memory.cast() },
        }
    }

    fn locked<T>(&self, f: impl FnOnce(&mut shm::Locked<'_>) -> T) -> Result<T, Errno> {
        let pin = self.scene.pin();
        shm::lock(&self.scene.ns, self.pieces, &pin).map(|mut segment| f(&mut segment))
    }

    /// As `engine/attach.rs`: its table first, then the record.
    fn attach(&self) -> Result<u32, Errno> {
        let bell = owner::bell(&self.scene.ns);
        let me = process::identity()?;
        let pieces = self.pieces.lock()?;
        let at = pieces.reserve(&self.scene.ns)?;
        let held = Held {
            owner: me,
            bell,
            addr: 4096,
            len: 4096,
            piece: at as u32,
        };
        self.locked(|segment| {
            let slot = segment.add(held, me.pid)?;
            let part = Part {
                id: ID,
                slot,
                attach: 0,
                flags: 0,
                start: 4096,
                len: 4096,
                base: 4096,
                size: 4096,
                file: [0, 0],
            };
            pieces.keep(at, &part);
            Ok(slot)
        })?
    }

    /// As `engine/shm.rs`: who ends the last attachment of a removed segment ends it.
    fn detach(&self, slot: u32) -> Result<(), Errno> {
        let me = process::identity()?;
        self.locked(|segment| {
            segment.free(slot, me.pid)?;
            if segment.is_over()? {
                segment.destroy();
            }
            Ok(())
        })?
    }

    fn look(&self) -> Result<u32, Errno> {
        owner::bell(&self.scene.ns);
        self.locked(|segment| segment.look())?
    }
}

/// One of two that attach and detach dies at some step. The other is always counted, and whoever
/// looks in the end finds nobody: `removed`, then the segment is over.
fn attacher_dies(removed: bool, preemptions: usize) -> (usize, usize) {
    at_each_step(Event::Death, false, preemptions, move |w, fate| {
        w.patience_ns.set(0);
        let fill = |map: &_| shm::fill(map, 4096);
        let scene = Scene::new(w, Kind::Shm, shm::FILE_LEN, fill, &[]);
        // Somebody has it attached from the start, so that it is not over before they come.
        let first = Process::new(w, &scene);
        let slot = first.attach().expect("room");
        if removed {
            let over = first.locked(|segment| segment.remove());
            assert_eq!(over, Ok(Ok(false)), "removed while it was attached");
        }
        let dies = Process::new(w, &scene);
        w.spawn(Some(fate), move || {
            let slot = dies.attach().expect("room");
            dies.detach(slot).expect("a segment");
        });
        let lives = Process::new(w, &scene);
        w.spawn(None, move || {
            let slot = lives.attach().expect("room");
            let count = lives.look().expect("a segment that is attached");
            assert!((2..=3).contains(&count), "miscounted: {count}");
            lives.detach(slot).expect("a segment");
        });
        w.join();
        assert_eq!(first.look(), Ok(1), "miscounted in the end");
        first.detach(slot).expect("a segment");
        let end = if removed { Err(Errno::EIDRM) } else { Ok(0) };
        assert_eq!(first.look(), end, "miscounted without any");
    })
}

#[test]
fn somebody_dies() {
    let (executions, steps) = attacher_dies(false, 2);
    println!("attacher_dies: {executions} executions, {steps} steps");
    let (executions, steps) = attacher_dies(true, 2);
    println!("attacher_dies, removed: {executions} executions, {steps} steps");
}

#[test]
fn mistakes_in_records_are_found() {
    let dies = || attacher_dies(false, 1);
    finds("the dead are counted", "miscounted", dies);
    finds("no bell rings", "miscounted", dies);
    finds("a record before it is held", "miscounted", dies);
}
