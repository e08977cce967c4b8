//! Models of handles and pins: `crates/usysv/src/handle.rs`. Loom sees all of the table.

use crate::finds;
use crate::handle::Table;
use crate::map::Map;
use crate::world::{World, explore, step_here, world};
use std::rc::Rc;

const OLD: i32 = 5;
/// The next object at the same index.
const NEW: i32 = OLD + crate::abi::IPCMNI;

fn mapping(w: &World) -> Map {
    // SAFETY: memory that lasts as long as the execution.
    unsafe { Map::from_parts(w.memory(64, false), 64, 0) }
}

/// Uses an object if it is there.
fn visit(table: &'static Table, id: i32) {
    let Some(pin) = table.pin(id) else { return };
    let at = pin.map().parts().0 as usize;
    step_here("use");
    assert!(!world().unmapped(at), "used after it was unmapped");
    step_here("use");
    assert!(!world().unmapped(at), "unmapped while it is used");
}

fn table(w: &World) -> (&'static Table, [Map; 2]) {
    w.watches_private.set(true);
    // SAFETY: zeroes are a table, in memory that lasts.
    let table: &'static Table = unsafe { &*w.memory(size_of::<Table>(), true).cast() };
    let maps = [mapping(w), mapping(w)];
    drop(table.insert(OLD, [0, 0], maps[0]).expect("a handle"));
    (table, maps)
}

fn is_unmapped(map: Map) -> bool {
    world().unmapped(map.parts().0 as usize)
}

/// The object is found removed by one, used by another; a third maps its successor, in its place.
fn removed(readers: usize, successor: bool, preemptions: usize) -> usize {
    explore(preemptions, move |w: &Rc<World>| {
        let (table, [old, new]) = table(w);
        for _ in 0..readers {
            w.spawn(None, move || visit(table, OLD));
        }
        w.spawn(None, move || {
            if let Some(pin) = table.pin(OLD) {
                pin.retire();
            }
            if !successor {
                visit(table, OLD);
            }
        });
        if successor {
            w.spawn(None, move || {
                drop(table.insert(NEW, [0, 0], new).expect("a handle"));
                visit(table, NEW);
            });
        }
        w.join();
        assert!(is_unmapped(old), "nobody unmapped it");
        assert!(!is_unmapped(new), "unmapped while it was there");
        assert!(table.pin(OLD).is_none(), "found after its end");
    })
}

#[test]
fn an_object_goes() {
    println!("an_object_goes: {} executions", removed(2, false, 1));
    println!("an_object_is_replaced: {} executions", removed(1, true, 1));
}

#[test]
fn mistakes_in_pins_are_found() {
    let goes = || removed(2, false, 1);
    finds("pins what is gone", "unmapped", goes);
    finds("unmaps under a pin", "unmapped while it is used", || {
        removed(1, true, 1)
    });
    finds("the last pin leaves it", "nobody unmapped it", goes);
    finds("unmaps twice", "unmapped while it was there", || {
        removed(1, true, 1)
    });
}
