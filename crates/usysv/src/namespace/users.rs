//! The namespaces that this process has open, for what has to be done in each of them when a fork
//! child turns out to be of another pid namespace, and for who doubts whether a lock is held (`lock`).
//!
//! No lock: places are taken one after the other and never given back, as the bells are never
//! unmapped. A fork child has a copy.
#![allow(unsafe_code)]

use crate::pidns::Word;
use crate::process;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::*};

/// More than a program has; one that has more is taken to be of several pid namespaces.
const MOST: usize = 1024;

static WORDS: [AtomicPtr<Word>; MOST] = [const { AtomicPtr::new(core::ptr::null_mut()) }; MOST];
static USED: AtomicUsize = AtomicUsize::new(0);

fn words() -> impl Iterator<Item = &'static Word> {
    let used = USED.load(Acquire).min(MOST);
    let places = WORDS.iter().take(used);
    // SAFETY: null, or in a mapping that stays.
    places.filter_map(|place| unsafe { place.load(Acquire).as_ref() })
}

/// This process opened a namespace.
pub(crate) fn add(word: &'static Word) {
    match WORDS.get(USED.fetch_add(1, AcqRel)) {
        Some(place) => {
            place.store(core::ptr::from_ref(word).cast_mut(), Release);
            word.enter(process::pid_namespace());
        }
        // 0: its children would not be noticed.
        None => word.enter(0),
    }
}

/// This process is new.
pub(crate) fn enter_all() {
    words().for_each(|word| word.enter(process::pid_namespace()));
}

/// Whether somebody of another pid namespace may hold a lock of ours.
pub(crate) fn are_mixed() -> bool {
    USED.load(Relaxed) > MOST || words().any(Word::is_mixed)
}
