//! Channels of other people, in libraries that are loaded if they are there: the C interface that
//! `bench/contenders` describes.
//!
//! They leave files behind wherever they like, so each worker that loads one is given a `/dev/shm` and
//! a `/tmp` of its own, which go with it.
#![allow(unsafe_code)]

use crate::case::{impossible, wrong};
use crate::side::Side;
use std::cell::Cell;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io::{Error, Result};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicUsize, Ordering};

type Create = unsafe extern "C" fn(*const c_char, *const c_char, usize, usize) -> c_int;
type Attach =
    unsafe extern "C" fn(*const c_char, *const c_char, usize, usize, c_int) -> *mut c_void;
type Send = unsafe extern "C" fn(*mut c_void, *const u8, usize) -> c_int;
type Receive = unsafe extern "C" fn(*mut c_void, *mut u8, usize, c_int) -> isize;

/// A channel.
pub struct Plugin {
    kind: CString,
    name: CString,
    depth: usize,
    len: usize,
    attach: Attach,
    send: Send,
    receive: Receive,
    /// This process's end; null before it attaches.
    end: Cell<*mut c_void>,
}

impl Plugin {
    /// Makes a channel of this side's kind; no process is attached to it yet.
    pub fn new(side: Side, depth: usize, len: usize) -> Result<Plugin> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let library = load(side)?;
        if count == 0 {
            private_directories()?;
        }
        // SAFETY: the symbols' types are the interface's.
        let (create, attach, send, receive) = unsafe {
            (
                std::mem::transmute::<*mut c_void, Create>(symbol(library, c"contender_create")?),
                std::mem::transmute::<*mut c_void, Attach>(symbol(library, c"contender_attach")?),
                std::mem::transmute::<*mut c_void, Send>(symbol(library, c"contender_send")?),
                std::mem::transmute::<*mut c_void, Receive>(symbol(library, c"contender_receive")?),
            )
        };
        let kind = CString::new(side.name())?;
        let name = CString::new(format!("usysv-bench.{}.{count}", std::process::id()))?;
        // SAFETY: C strings, which are only read.
        match unsafe { create(kind.as_ptr(), name.as_ptr(), depth, len) } {
            0 => Ok(Plugin {
                kind,
                name,
                depth,
                len,
                attach,
                send,
                receive,
                end: Cell::new(null_mut()),
            }),
            _ => Err(wrong("it cannot create a channel")),
        }
    }

    /// Attaches this process, once.
    pub fn attach(&self, end: i32) -> Result<()> {
        let (kind, name) = (self.kind.as_ptr(), self.name.as_ptr());
        // SAFETY: C strings, which are only read.
        let attached = unsafe { (self.attach)(kind, name, self.depth, self.len, end) };
        self.end.set(attached);
        match attached.is_null() {
            false => Ok(()),
            true => Err(wrong("it cannot attach to its channel")),
        }
    }

    fn end(&self) -> Result<*mut c_void> {
        match self.end.get() {
            end if end.is_null() => Err(wrong("this process is not attached")),
            end => Ok(end),
        }
    }

    /// Sends.
    pub fn send(&self, bytes: &[u8]) -> Result<()> {
        // SAFETY: attached in this process, which has one thread; a slice that is only read.
        match unsafe { (self.send)(self.end()?, bytes.as_ptr(), bytes.len()) } {
            0 => Ok(()),
            _ => Err(wrong("it cannot send")),
        }
    }

    /// Receives, or finds that nothing is there.
    pub fn receive(&self, buffer: &mut [u8], wait: bool) -> Result<Option<usize>> {
        let (at, room) = (buffer.as_mut_ptr(), buffer.len());
        // SAFETY: attached in this process, which has one thread; a slice borrowed exclusively.
        match unsafe { (self.receive)(self.end()?, at, room, wait.into()) } {
            -2 => Ok(None),
            got => usize::try_from(got)
                .map(Some)
                .map_err(|_| wrong("it cannot receive")),
        }
    }
}

/// Loads the side's library from beside this program.
fn load(side: Side) -> Result<*mut c_void> {
    let file = side.library().ok_or_else(|| wrong("it has no library"))?;
    let path = std::env::current_exe()?.with_file_name(file);
    let name = CString::new(path.as_os_str().as_encoded_bytes())?;
    // SAFETY: a C string; the library's initialisers are those of a plain C++ or Rust library.
    let library = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW) };
    match library.is_null() {
        false => Ok(library),
        true if path.exists() => Err(wrong(loader_error())),
        true => Err(impossible(format!(
            "{file} is not built (make bench builds it)"
        ))),
    }
}

fn symbol(library: *mut c_void, name: &CStr) -> Result<*mut c_void> {
    // SAFETY: a handle from dlopen that is never closed, and a C string.
    let found = unsafe { libc::dlsym(library, name.as_ptr()) };
    match found.is_null() {
        false => Ok(found),
        true => Err(wrong(loader_error())),
    }
}

fn loader_error() -> String {
    // SAFETY: no arguments.
    let text = unsafe { libc::dlerror() };
    match text.is_null() {
        true => "unknown".into(),
        // SAFETY: a C string that stays until the next call of the loader.
        false => unsafe { CStr::from_ptr(text) }
            .to_string_lossy()
            .into_owned(),
    }
}

/// Gives this process, and its later children, an empty `/dev/shm` and `/tmp`.
fn private_directories() -> Result<()> {
    // SAFETY: an integer.
    if unsafe { libc::unshare(libc::CLONE_NEWNS) } < 0 {
        let error = Error::last_os_error();
        return Err(impossible(format!("a mount namespace takes root: {error}")));
    }
    let mount = |source: &CStr, target: &CStr, kind: &CStr, flags| {
        // SAFETY: C strings, which are only read, and no data.
        match unsafe {
            libc::mount(
                source.as_ptr(),
                target.as_ptr(),
                kind.as_ptr(),
                flags,
                std::ptr::null(),
            )
        } {
            0 => Ok(()),
            _ => Err(Error::last_os_error()),
        }
    };
    mount(c"none", c"/", c"none", libc::MS_REC | libc::MS_PRIVATE)?;
    mount(c"tmpfs", c"/dev/shm", c"tmpfs", 0)?;
    mount(c"tmpfs", c"/tmp", c"tmpfs", 0)
}
