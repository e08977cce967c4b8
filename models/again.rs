//! Models of the page of a segment that is attached again and again: `crates/usysv/src/shm/again.rs`.
//! Loom sees all of it.

use crate::finds;
use crate::shm::Data;
use crate::shm::again::{Again, Alike};
use crate::sys::Fd;
use crate::world::{World, explore, world};
use std::cell::RefCell;
use std::rc::Rc;

const ONE: i32 = 1;
const OTHER: i32 = 2;

fn alike(id: i32) -> Alike {
    Alike {
        id,
        segment: [0, id as u64],
        prot: 3,
    }
}

/// Where pages were mapped, to be counted at the end.
type Pages = Rc<RefCell<Vec<usize>>>;

/// Attaches a segment as `shmat` does, by its page or by its name.
fn attach(again: &Again, id: i32, pages: &Pages) {
    match again.attach(&alike(id), 4096) {
        Some((page, file)) => {
            // SAFETY: a page of `map_page`.
            let of = unsafe { *(page as *const u64) };
            assert_eq!((of, file), (id as u64, [9, id as u64]), "another's bytes");
            pages.borrow_mut().push(page);
        }
        None => {
            let data = Data {
                fd: Fd(id as u64),
                len: 4096,
                file: [9, id as u64],
                is_huge: false,
            };
            again.attached(&alike(id), &data);
        }
    }
}

/// One is removed, and so many threads find it out, while another thread attaches the other: again
/// and again. Attaching threads wait for each other, and for who removes what they attach.
fn replaced(finders: usize, preemptions: usize) -> usize {
    explore(preemptions, move |w: &Rc<World>| {
        w.watches_private.set(true);
        // SAFETY: zeroes are an `Again`, in memory that lasts.
        let again: &'static Again = unsafe { &*w.memory(size_of::<Again>(), true).cast() };
        let pages = Pages::default();
        for _ in 0..3 {
            attach(again, ONE, &pages);
        }
        assert_eq!(pages.borrow().len(), 1, "the third time by the page");
        for _ in 0..finders {
            w.spawn(None, move || again.forget(ONE));
        }
        let seen = Rc::clone(&pages);
        w.spawn(None, move || {
            for _ in 0..3 {
                attach(again, OTHER, &seen);
            }
        });
        w.join();
        let ones = pages.borrow()[0];
        assert!(world().unmapped(ones), "a removed one's page stays");
        // Whatever became of the other's page, it is known.
        let before = pages.borrow().len();
        attach(again, OTHER, &pages);
        if before == 2 {
            assert_eq!(pages.borrow().len(), 3, "the other's page was lost");
            again.forget(OTHER);
            assert!(
                world().unmapped(pages.borrow()[1]),
                "it stays after its end"
            );
        }
    })
}

#[test]
fn a_page_is_replaced() {
    println!("a_page_is_replaced: {} executions", replaced(2, 2));
}

#[test]
fn mistakes_with_the_page_are_found() {
    finds("two have the page in hand", "mapped from nowhere", || {
        replaced(2, 2)
    });
    finds(
        "drops what it did not mean",
        "the other's page was lost",
        || replaced(2, 2),
    );
}
