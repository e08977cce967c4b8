//! `pthread_cancel`: `msgsnd` and `msgrcv` are cancellation points, as in the libc.
//!
//! A thread is cancelled as such a call begins, or in line before a sleep, where it leaves the line first; those that
//! sleep are woken to look. A wait that could be cancelled at any instruction, `semop`'s too, puts that off until it is
//! over, or to the same places.
//!
//! A libc that lacks these functions has no cancellation points of ours.

use crate::next;
use core::ffi::{c_int, c_void};
use core::ptr;
use engine::{Cancelling, critical, interrupted, is_single_threaded};
use libc::pthread_t;

/// As in the libc's `pthread.h`.
const DEFERRED: c_int = 0;
const ASYNCHRONOUS: c_int = 1;

/// The libc's `struct _pthread_cleanup_buffer`.
#[repr(C)]
pub struct Cleanup([usize; 4]);

/// What a cancelled thread calls.
pub type CleanupRoutine = unsafe extern "C" fn(*mut c_void);

/// What the engine is told.
pub static HOW: Cancelling = Cancelling {
    put_off,
    allow,
    act,
};

/// Where a call begins, with nothing in hand.
#[inline(always)]
pub fn point() {
    if !is_single_threaded() {
        point_of_many();
    }
}

#[cold]
#[inline(never)]
fn point_of_many() {
    if let Some(act) = next::CANCEL_POINT.get() {
        // SAFETY: no arguments.
        unsafe { act() };
    }
}

fn set_type(kind: c_int) -> c_int {
    let mut old = DEFERRED;
    if let Some(set) = next::CANCEL_TYPE.get() {
        // SAFETY: the old type is ours to fill.
        unsafe { set(kind, &mut old) };
    }
    old
}

fn put_off() -> bool {
    set_type(DEFERRED) == ASYNCHRONOUS
}

fn allow() {
    set_type(ASYNCHRONOUS);
}

/// `pthread_cancel(thread)`
///
/// # Safety
/// The C contract of `pthread_cancel`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pthread_cancel(thread: pthread_t) -> c_int {
    let Some(cancel) = next::CANCEL.get() else {
        return libc::ENOSYS;
    };
    // SAFETY: the caller's own argument.
    let ret = unsafe { cancel(thread) };
    engine::wake_for_cancelling();
    ret
}

/// The thread ends: the call that it is in does not wait any more.
unsafe extern "C" fn leave(_: *mut c_void) {
    critical::leave();
    interrupted();
}

fn act() {
    let (Some(push), Some(pop), Some(act)) = (
        next::CLEANUP_PUSH.get(),
        next::CLEANUP_POP.get(),
        next::CANCEL_POINT.get(),
    ) else {
        return;
    };
    let mut buffer = Cleanup([0; 4]);
    // In a section: a handler that left from here would leave the libc with the buffer.
    critical::enter();
    // SAFETY: the buffer stays where it is until it is popped, or its frame is unwound.
    unsafe {
        push(&mut buffer, leave, ptr::null_mut());
        act();
        pop(&mut buffer, 0);
    }
    critical::leave();
}
