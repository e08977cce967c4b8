//! The atomics of the engine's copies: the engine's words, of their size and at their address.
//!
//! A word in memory that a model *watches* is loom's: it switches threads there, and a load may be
//! of any value that the memory model allows. The others are under a lock, or one thread's own;
//! they are plain. Each word keeps its newest value in place, too: what the kernel would see.

use crate::world::{self, world};
use std::marker::PhantomData;
use std::rc::Rc;
pub use std::sync::atomic::Ordering;

pub fn compiler_fence(_: Ordering) {}

pub fn fence(order: Ordering) {
    if world::step_at_fence() {
        loom::sync::atomic::fence(order);
    }
}

/// Loom takes SeqCst for AcqRel; between fences it is what it says, and no weaker than any CPU's.
fn strictly<T>(order: Ordering, access: impl FnOnce() -> T) -> T {
    if order != Ordering::SeqCst {
        return access();
    }
    loom::sync::atomic::fence(order);
    let result = access();
    loom::sync::atomic::fence(order);
    result
}

macro_rules! atomic {
    ($name:ident $int:ty) => {
        #[repr(transparent)]
        pub struct $name(std::sync::atomic::$name);

        #[allow(dead_code)] // Not every width needs all of them.
        impl $name {
            pub const fn new(value: $int) -> Self {
                Self(std::sync::atomic::$name::new(value))
            }

            /// Has loom see this word from now on.
            pub fn watch(&self) {
                let word = loom::sync::atomic::$name::new(self.newest());
                world().watch(std::ptr::from_ref(self) as usize, Rc::new(word));
            }

            /// Loom's word for this one, if it is watched.
            fn watched(&self) -> Option<Rc<loom::sync::atomic::$name>> {
                let at = std::ptr::from_ref(self) as usize;
                let word = world::step_at(at, || self.watch())?;
                Some(word.downcast().expect("a word of its type"))
            }

            /// The newest value, as the kernel sees it, or whoever looks when all is over.
            pub fn newest(&self) -> $int {
                self.0.load(Ordering::SeqCst)
            }

            pub fn load(&self, order: Ordering) -> $int {
                match self.watched() {
                    Some(word) => strictly(order, || word.load(order)),
                    None => self.newest(),
                }
            }

            pub fn store(&self, value: $int, order: Ordering) {
                if let Some(word) = self.watched() {
                    strictly(order, || word.store(value, order));
                }
                self.0.store(value, Ordering::SeqCst);
            }

            pub fn swap(&self, value: $int, order: Ordering) -> $int {
                let old = match self.watched() {
                    Some(word) => strictly(order, || word.swap(value, order)),
                    None => self.newest(),
                };
                self.0.store(value, Ordering::SeqCst);
                old
            }

            pub fn compare_exchange(
                &self,
                old: $int,
                new: $int,
                order: Ordering,
                failed: Ordering,
            ) -> Result<$int, $int> {
                let was = match self.watched() {
                    Some(word) => {
                        strictly(order, || word.compare_exchange(old, new, order, failed))
                    }
                    None if self.newest() == old => Ok(old),
                    None => Err(self.newest()),
                };
                if was.is_ok() {
                    self.0.store(new, Ordering::SeqCst);
                }
                was
            }

            fn change(
                &self,
                order: Ordering,
                in_loom: impl FnOnce(&loom::sync::atomic::$name) -> $int,
                new: impl FnOnce($int) -> $int,
            ) -> $int {
                let old = match self.watched() {
                    Some(word) => strictly(order, || in_loom(&word)),
                    None => self.newest(),
                };
                self.0.store(new(old), Ordering::SeqCst);
                old
            }

            pub fn fetch_add(&self, with: $int, order: Ordering) -> $int {
                self.change(
                    order,
                    |word| word.fetch_add(with, order),
                    |old| old.wrapping_add(with),
                )
            }

            pub fn fetch_sub(&self, with: $int, order: Ordering) -> $int {
                self.change(
                    order,
                    |word| word.fetch_sub(with, order),
                    |old| old.wrapping_sub(with),
                )
            }

            pub fn fetch_or(&self, with: $int, order: Ordering) -> $int {
                self.change(order, |word| word.fetch_or(with, order), |old| old | with)
            }

            pub fn fetch_and(&self, with: $int, order: Ordering) -> $int {
                self.change(order, |word| word.fetch_and(with, order), |old| old & with)
            }

            pub fn fetch_max(&self, with: $int, order: Ordering) -> $int {
                self.change(
                    order,
                    |word| word.fetch_max(with, order),
                    |old| old.max(with),
                )
            }

            pub fn fetch_min(&self, with: $int, order: Ordering) -> $int {
                self.change(
                    order,
                    |word| word.fetch_min(with, order),
                    |old| old.min(with),
                )
            }
        }
    };
}

atomic!(AtomicU16 u16);
atomic!(AtomicU32 u32);
atomic!(AtomicI32 i32);
atomic!(AtomicU64 u64);
atomic!(AtomicUsize usize);

#[repr(transparent)]
pub struct AtomicPtr<T>(AtomicUsize, PhantomData<*mut T>);

// SAFETY: a number; whoever makes a reference of it says why that is sound.
unsafe impl<T> Sync for AtomicPtr<T> {}
// SAFETY: as above.
unsafe impl<T> Send for AtomicPtr<T> {}

impl<T> AtomicPtr<T> {
    pub const fn new(_null: *mut T) -> Self {
        Self(AtomicUsize::new(0), PhantomData)
    }

    pub fn load(&self, order: Ordering) -> *mut T {
        self.0.load(order) as *mut T
    }

    pub fn store(&self, value: *mut T, order: Ordering) {
        self.0.store(value as usize, order);
    }

    pub fn swap(&self, value: *mut T, order: Ordering) -> *mut T {
        self.0.swap(value as usize, order) as *mut T
    }

    pub fn compare_exchange(
        &self,
        old: *mut T,
        new: *mut T,
        order: Ordering,
        failed: Ordering,
    ) -> Result<*mut T, *mut T> {
        let was = self
            .0
            .compare_exchange(old as usize, new as usize, order, failed);
        was.map(|p| p as *mut T).map_err(|p| p as *mut T)
    }
}
