//! The namespaces that this process has open, for what has to be done in each of them when a fork
//! child turns out to be of another pid namespace, and for who doubts whether a lock is held (`lock`).
//!
//! No lock: a place is taken by compare-and-swap. What it points to stays, as bells are never
//! unmapped. A fork child has a copy.
#![allow(unsafe_code)]

use crate::pidns::Word;
use crate::process;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::*};

/// More than a program has open; one that has more is taken to be of several pid namespaces.
const MOST: usize = 256;

static WORDS: [AtomicPtr<Word>; MOST] = [const { AtomicPtr::new(core::ptr::null_mut()) }; MOST];
/// Places that were used at some time; more than there are: some namespace found none.
static USED: AtomicUsize = AtomicUsize::new(0);

fn words() -> impl Iterator<Item = &'static Word> {
    let places = WORDS.iter().take(USED.load(Acquire));
    // SAFETY: null, or in a mapping that stays.
    places.filter_map(|place| unsafe { place.load(Acquire).as_ref() })
}

/// This process opens a namespace.
pub(super) fn add(word: &'static Word) {
    let (none, new) = (core::ptr::null_mut(), core::ptr::from_ref(word).cast_mut());
    let takes = |place: &AtomicPtr<Word>| {
        let taken = place.compare_exchange(none, new, AcqRel, Relaxed);
        taken.is_ok()
    };
    let place = WORDS.iter().position(takes);
    USED.fetch_max(place.unwrap_or(MOST) + 1, AcqRel);
    // Without a place its children would not be noticed.
    word.enter(place.map_or(0, |_| process::pid_namespace()));
}

/// This process takes no lock there any more.
pub(super) fn remove(word: &'static Word) {
    let (none, old) = (core::ptr::null_mut(), core::ptr::from_ref(word).cast_mut());
    let gives = |place: &AtomicPtr<Word>| {
        let given = place.compare_exchange(old, none, AcqRel, Relaxed);
        given.is_ok()
    };
    WORDS.iter().any(gives);
}

/// This process is new.
pub(crate) fn enter_all() {
    words().for_each(|word| word.enter(process::pid_namespace()));
}

/// Whether somebody of another pid namespace may hold a lock of ours.
pub(crate) fn are_mixed() -> bool {
    USED.load(Relaxed) > MOST || words().any(Word::is_mixed)
}
