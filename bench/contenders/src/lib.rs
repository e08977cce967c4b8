//! Other people's channels behind the C interface that `usysv-bench` loads at run time; `boost.cc`
//! beside this crate is another library with the same interface.
//!
//! - `contender_create(kind, name, depth, len)`: once, before any process attaches. 0 or -1.
//! - `contender_attach(kind, name, depth, len, end)`: in each process; end 1 sends, 2 receives, 3 both.
//! - `contender_send(end, bytes, len)`: waits for room. 0 or -1.
//! - `contender_receive(end, buffer, room, wait)`: the length; -1 failed; -2 nothing is there.
//!
//! Errors are told on standard error. What is created is never removed: the worker's mount namespace,
//! which holds all of it, goes with the worker.

mod channels;

use channels::{Bounded, Iceoryx2, Ipmpsc};
use std::error::Error;
use std::ffi::{CStr, c_char, c_int, c_void};

/// What a channel is made for.
#[derive(Clone, Copy)]
pub struct Shape {
    depth: usize,
    len: usize,
}

pub type Outcome<T> = Result<T, Box<dyn Error>>;

/// A process's end of a channel.
pub trait End {
    /// Sends, and waits for room if there is none.
    fn send(&mut self, bytes: &[u8]) -> Outcome<()>;
    /// Receives; `None` if nothing is there and `wait` is false.
    fn receive(&mut self, buffer: &mut [u8], wait: bool) -> Outcome<Option<usize>>;
}

fn told<T>(outcome: Outcome<T>) -> Option<T> {
    outcome
        .inspect_err(|error| eprintln!("usysv-bench: {error}"))
        .ok()
}

/// # Safety
/// `kind` and `name` are C strings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn contender_create(
    kind: *const c_char,
    name: *const c_char,
    depth: usize,
    len: usize,
) -> c_int {
    // SAFETY: the caller passes C strings.
    let (kind, name) = unsafe { (CStr::from_ptr(kind), CStr::from_ptr(name)) };
    let (kind, name) = (kind.to_string_lossy(), name.to_string_lossy());
    let made = match &*kind {
        "ipmpsc" => Ipmpsc::create(&name, Shape { depth, len }),
        "iceoryx2" | "crossbeam" => Ok(()),
        _ => Err(format!("there is no {kind}").into()),
    };
    told(made).map_or(-1, |()| 0)
}

/// # Safety
/// `kind` and `name` are C strings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn contender_attach(
    kind: *const c_char,
    name: *const c_char,
    depth: usize,
    len: usize,
    end: c_int,
) -> *mut c_void {
    // SAFETY: the caller passes C strings.
    let (kind, name) = unsafe { (CStr::from_ptr(kind), CStr::from_ptr(name)) };
    let (kind, name) = (kind.to_string_lossy(), name.to_string_lossy());
    let shape = Shape { depth, len };
    let (sends, receives) = (end & 1 != 0, end & 2 != 0);
    fn boxed<T: End + 'static>(end: T) -> Box<dyn End> {
        Box::new(end)
    }
    let attached = match &*kind {
        "iceoryx2" => Iceoryx2::attach(&name, shape, sends, receives).map(boxed),
        "ipmpsc" => Ipmpsc::attach(&name, sends, receives).map(boxed),
        "crossbeam" => match len {
            8 => Ok(boxed(Bounded::<8>::new(depth))),
            64 => Ok(boxed(Bounded::<64>::new(depth))),
            1024 => Ok(boxed(Bounded::<1024>::new(depth))),
            8192 => Ok(boxed(Bounded::<8192>::new(depth))),
            _ => Err(format!("no crossbeam channel of {len} B is prepared").into()),
        },
        _ => Err(format!("there is no {kind}").into()),
    };
    told(attached).map_or(std::ptr::null_mut(), |end| {
        Box::into_raw(Box::new(end)).cast()
    })
}

/// # Safety
/// `end` comes from [`contender_attach`] in this process and is used by one thread; `bytes` has `len`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn contender_send(end: *mut c_void, bytes: *const u8, len: usize) -> c_int {
    // SAFETY: the caller's promise.
    let (end, bytes) = unsafe {
        (
            &mut *end.cast::<Box<dyn End>>(),
            std::slice::from_raw_parts(bytes, len),
        )
    };
    told(end.send(bytes)).map_or(-1, |()| 0)
}

/// # Safety
/// `end` comes from [`contender_attach`] in this process and is used by one thread; `buffer` has `room`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn contender_receive(
    end: *mut c_void,
    buffer: *mut u8,
    room: usize,
    wait: c_int,
) -> isize {
    // SAFETY: the caller's promise.
    let (end, buffer) = unsafe {
        (
            &mut *end.cast::<Box<dyn End>>(),
            std::slice::from_raw_parts_mut(buffer, room),
        )
    };
    match told(end.receive(buffer, wait != 0)) {
        Some(Some(len)) => len as isize,
        Some(None) => -2,
        None => -1,
    }
}
