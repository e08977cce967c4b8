//! An object in a namespace, as the models use it.

use crate::CLOCKS;
use crate::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use crate::bell;
use crate::creds::Owned;
use crate::errno::Result;
use crate::handle::{Pin, Table};
use crate::map::Map;
use crate::namespace::Namespace;
use crate::object::{Kind, Object};
use crate::registry::Plan;
use crate::world::{World, tid_of};
use std::marker::PhantomData;
use std::rc::Rc;

pub const ID: i32 = 5;
/// The word of the lock, in each object's head.
pub const LOCK: usize = 64;

pub struct Scene {
    pub ns: Namespace,
    table: &'static Table,
    pub map: Map,
}

impl Scene {
    /// An object of this length, filled in; loom sees its lock and the words at `watched`.
    pub fn new(
        w: &World,
        kind: Kind,
        len: usize,
        fill: impl Fn(&Map) -> Result<()>,
        watched: &[usize],
    ) -> Rc<Scene> {
        crate::sleeping::tell_of_handlers(true);
        let map = map(w, len);
        let owned = Owned {
            uid: 0,
            gid: 0,
            cuid: 0,
            cgid: 0,
            mode: 0o600,
        };
        let plan = Plan {
            kind,
            key: 0,
            owned,
            units: 0,
            lasts: PhantomData,
        };
        fill(&map).expect("an object");
        map.at::<Object>(0).expect("a head").form(&plan, ID, 0);
        for at in watched.iter().chain([&LOCK]) {
            word(&map, *at).watch();
        }
        let bells = map_of_bells(w);
        // SAFETY: zeroes are a table, in memory that lasts.
        let table: &'static Table = unsafe { &*w.memory(size_of::<Table>(), false).cast() };
        drop(table.insert(ID, [0, 0], map).expect("a handle"));
        Rc::new(Scene {
            ns: Namespace { bells },
            table,
            map,
        })
    }

    /// Has loom see who sits in the chairs that begin here.
    pub fn watch_occupants(&self, chairs_at: usize) {
        for chair in chairs(chairs_at) {
            let occupant = long(&self.map, chair + 40);
            if CLOCKS.get() {
                let me = bell::mine(&self.ns).expect("a bell");
                occupant.store(me.word() + 1, Relaxed);
            }
            occupant.watch();
        }
    }

    pub fn pin(&self) -> Pin<'_> {
        self.table.pin(ID).expect("the object")
    }
}

/// Where the `word` of each chair is, and behind it `asleep`.
pub fn chairs(at: usize) -> [usize; 2] {
    [at, at + 64]
}

fn map(w: &World, len: usize) -> Map {
    // SAFETY: memory that lasts as long as the execution.
    unsafe { Map::from_parts(w.memory(len, false), len, 0) }
}

/// Each thread of a model has a cell of its own.
fn map_of_bells(w: &World) -> Map {
    let bells = map(w, bell::FILE_LEN);
    for cell in (0..5).map(|thread| tid_of(thread) as usize * 64) {
        word(&bells, cell).watch();
        word(&bells, cell + 4).watch();
    }
    bells
}

/// A long word of an object.
pub fn long(map: &Map, at: usize) -> &AtomicU64 {
    // SAFETY: as in `word`.
    unsafe { &*map.parts().0.add(at).cast() }
}

/// A word of an object.
pub fn word(map: &Map, at: usize) -> &AtomicU32 {
    // SAFETY: the models pass offsets of words in the mapping.
    unsafe { &*map.parts().0.add(at).cast() }
}
