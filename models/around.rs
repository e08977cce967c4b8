//! Stand-ins for the engine's modules that a model cannot run: each is named after the one that it
//! stands for, and has of it what the copies use.

/// `sys.rs`: system calls.
pub mod sys {
    use crate::atomic::AtomicU32;
    use crate::errno::{Errno, Result};
    use crate::world::{self, world};
    use std::ffi::CStr;

    pub const ALL: u32 = i32::MAX as u32;
    pub const FOREVER: u64 = u64::MAX;

    /// An open file: which one.
    pub struct Fd(pub u64);

    pub fn futex_wait(word: &AtomicU32, expected: u32, timeout_ns: u64) -> Result<()> {
        world().futex_wait(&[(word, expected)], timeout_ns)
    }

    pub fn futex_wait_any<const N: usize>(words: [(&AtomicU32, u32); N], ns: u64) -> Result<()> {
        world().futex_wait(&words, ns)
    }

    pub fn futex_wake(word: &AtomicU32, count: u32) -> usize {
        match std::thread::panicking() {
            true => 0,
            false => world().futex_wake(word, count as usize),
        }
    }

    pub fn exists(tid: u32) -> bool {
        world().exists(tid)
    }

    pub fn spins() -> bool {
        world().spins.get()
    }

    pub fn pause(_ns: u64) {}

    pub fn sched_yield() {
        loom::thread::yield_now();
    }

    pub fn monotonic_ns() -> u64 {
        world().now_ns.get()
    }

    pub fn monotonic_ms() -> u64 {
        monotonic_ns() / 1_000_000
    }

    pub fn time() -> i64 {
        (monotonic_ns() / 1_000_000_000) as i64
    }

    pub fn cpu() -> u32 {
        0
    }

    pub fn set_signal_mask(_mask: u64) {
        world::unblock_signals();
    }

    pub fn private_memory(len: usize) -> Result<*mut u8> {
        let w = world();
        Ok(w.memory(len, w.watches_private.get()))
    }

    pub fn unmap(at: *mut u8, _len: usize) {
        if !std::thread::panicking() {
            world().unmap(at as usize);
        }
    }

    pub fn madvise(_at: *mut u8, _len: usize, _advice: i32) -> Result<()> {
        Ok(())
    }

    pub fn geteuid() -> u32 {
        0
    }

    pub fn getegid() -> u32 {
        0
    }

    pub fn getgroups(_groups: &mut [u32]) -> Result<usize> {
        Ok(0)
    }

    pub fn capabilities() -> u64 {
        0
    }

    // Nothing grows in a model.

    pub fn map_shared(_fd: &Fd, _len: usize, _writable: bool) -> Result<*mut u8> {
        Err(Errno::ENOMEM)
    }

    pub fn open(_path: &CStr, _flags: i32, _mode: u32) -> Result<Fd> {
        Err(Errno::ENOENT)
    }

    pub fn lstat(_path: &CStr) -> Result<libc::stat> {
        Err(Errno::ENOENT)
    }

    pub fn read(_fd: &Fd, _buf: &mut [u8], _offset: u64) -> Result<usize> {
        Err(Errno::EBADF)
    }

    pub fn fallocate(_fd: &Fd, _len: u64) -> Result<bool> {
        Err(Errno::EBADF)
    }

    pub fn fchmod(_fd: &Fd, _mode: u32) -> Result<()> {
        Err(Errno::EBADF)
    }

    pub fn huge_page_size(_path: &CStr) -> Option<u64> {
        None
    }

    pub fn random() -> Result<u64> {
        Ok(4)
    }

    pub fn getpid() -> u32 {
        100
    }

    pub fn fstat(_fd: &Fd) -> Result<libc::stat> {
        Err(Errno::EBADF)
    }

    pub fn ftruncate(_fd: &Fd, _len: u64) -> Result<()> {
        Err(Errno::EBADF)
    }

    pub fn fallocate_at(_fd: &Fd, _offset: u64, _len: u64) -> Result<bool> {
        Err(Errno::EBADF)
    }

    pub fn may_reach(_end: u64) -> Result<()> {
        Ok(())
    }

    pub fn readlink_in(_directory: &Fd, _name: &CStr, _text: &mut [u8]) -> Result<usize> {
        Err(Errno::ENOENT)
    }

    pub fn unlink(_directory: &Fd, _name: &CStr, _how: i32) -> Result<()> {
        Err(Errno::ENOENT)
    }

    /// A page that says which file it is of.
    pub fn map_page(fd: &Fd, _prot: i32) -> Result<usize> {
        let page: *mut u64 = world().memory(8, false).cast();
        // SAFETY: eight bytes that lie at a page's start and last as long as the execution.
        unsafe { page.write(fd.0) };
        Ok(page as usize)
    }

    /// Where the page is that it was mapped from.
    pub fn map_again(shared: usize, _len: usize) -> Result<usize> {
        world::step_here("map again");
        let page = shared != 0 && shared.is_multiple_of(4096);
        assert!(page, "mapped from nowhere");
        assert!(!world().unmapped(shared), "mapped from what is unmapped");
        Ok(shared)
    }

    pub fn open_in(_directory: &Fd, _name: &CStr, _flags: i32, _mode: u32) -> Result<Fd> {
        Err(Errno::ENOENT)
    }

    /// # Safety
    /// None: nothing happens.
    pub unsafe fn zero_at(_addr: usize, _len: usize, _prot: i32) -> Result<()> {
        Err(Errno::ENOMEM)
    }

    pub fn write(_fd: &Fd, _buf: &[u8], _offset: u64) -> Result<usize> {
        Err(Errno::EBADF)
    }
}

/// `tls.rs`: a thread's block.
pub mod tls {
    use crate::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};
    use crate::world::world;

    pub struct Block {
        pub depth: AtomicU32,
        pub deferred: AtomicU32,
        pub saved_mask: AtomicU64,
        pub handled: AtomicU32,
        pub pid: AtomicU32,
        pub tid: AtomicU32,
        pub name: AtomicU32,
        pub robust: AtomicUsize,
        pub behind: AtomicUsize,
        pub waiting: AtomicUsize,
        pub bell_in: AtomicUsize,
        pub bell_index: AtomicU32,
        pub bell_generation: AtomicU32,
        pub glances: AtomicU32,
        pub sent: AtomicU32,
        pub patience: AtomicU32,
    }

    impl Block {
        pub fn new(tid: u32) -> Block {
            Block {
                depth: AtomicU32::new(0),
                deferred: AtomicU32::new(0),
                saved_mask: AtomicU64::new(0),
                handled: AtomicU32::new(0),
                pid: AtomicU32::new(tid),
                tid: AtomicU32::new(tid),
                name: AtomicU32::new(tid),
                robust: AtomicUsize::new(0),
                behind: AtomicUsize::new(0),
                waiting: AtomicUsize::new(0),
                bell_in: AtomicUsize::new(0),
                bell_index: AtomicU32::new(0),
                bell_generation: AtomicU32::new(0),
                glances: AtomicU32::new(0),
                sent: AtomicU32::new(0),
                patience: AtomicU32::new(0),
            }
        }
    }

    pub fn block() -> &'static Block {
        if std::thread::panicking() {
            // A dead thread's: what it stores is nobody's, and no section of it ends.
            thread_local!(static NOBODY: &'static Block = {
                let block = Block::new(0);
                block.depth.store(1 << 30, Relaxed);
                Box::leak(Box::new(block))
            });
            return NOBODY.with(|block| *block);
        }
        let block = std::ptr::from_ref(&world().me().block);
        // SAFETY: a thread's block stays until the next execution begins.
        unsafe { &*block }
    }
}

/// `process.rs`: who is this thread?
pub mod process {
    use crate::atomic::Ordering::Relaxed;
    use crate::errno::{Errno, Result};
    use crate::tls::{self, Block};

    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Identity {
        pub pid: u32,
        pub start: u64,
    }

    /// A dead thread gets none, and leaves its locks as they are.
    pub fn thread() -> Result<&'static Block> {
        match std::thread::panicking() {
            true => Err(Errno::ESRCH),
            false => Ok(tls::block()),
        }
    }

    pub fn identity() -> Result<Identity> {
        thread().map(identity_by)
    }

    pub fn identity_by(thread: &Block) -> Identity {
        Identity {
            pid: thread.pid.load(Relaxed),
            start: 1,
        }
    }

    pub fn generation() -> u64 {
        1
    }

    pub fn pid_namespace() -> u64 {
        1
    }

    pub fn epoch() -> u64 {
        1
    }

    pub fn begin_epoch() {}

    pub fn is_single_threaded() -> bool {
        false
    }
}

/// `cancelling.rs`: nobody is cancelled in a model.
pub mod cancelling {
    use crate::atomic::AtomicU32;

    pub struct PutOff;

    pub fn put_off() -> PutOff {
        PutOff
    }

    impl PutOff {
        pub fn was_anywhere(&self) -> bool {
            false
        }

        pub fn end(self) {}
    }

    pub fn point() {}

    pub fn may_sleep_on() -> bool {
        true
    }

    pub fn while_known<T>(_word: &AtomicU32, sleep: impl FnOnce() -> T) -> Option<T> {
        Some(sleep())
    }

    pub fn while_noted<T>(_word: &AtomicU32, sleep: impl FnOnce() -> T) -> T {
        sleep()
    }
}

/// `liveness.rs`: whether somebody lives.
pub mod liveness {
    use crate::namespace::Namespace;
    use crate::process::Identity;
    use crate::world::world;

    pub fn process_lives(_ns: &Namespace, who: Identity) -> bool {
        world().exists(who.pid)
    }

    pub fn is_foreign(_who: Identity) -> bool {
        false
    }

    pub fn thread_lives(_pid: u32, tid: u32) -> bool {
        world().exists(tid)
    }

    #[derive(Clone, Copy, PartialEq, Eq)]
    #[allow(dead_code)] // In a model everybody does something else.
    pub enum Doing {
        Sleeps,
        Ended,
        Other,
    }

    pub fn doing(_tid: u32) -> Doing {
        Doing::Other
    }
}

/// `maps.rs`: who has what mapped. In a model, everybody everything.
pub mod maps {
    pub fn shares(_me: u32, _tid: u32, _addr: usize) -> bool {
        true
    }
}

/// `bus.rs`: no file is cut off in a model.
pub mod bus {
    pub fn arm() {}
}

/// `ranges.rs`: nor is a mapping lost.
pub mod ranges {
    use crate::errno::Result;

    pub fn keep(_base: *mut u8, _len: usize) -> Result<usize> {
        Ok(0)
    }

    pub fn forget(_place: usize) {}

    pub fn is_lost(_place: usize) -> bool {
        false
    }
}

/// `files.rs`: names that nobody opens.
pub mod files {
    use crate::errno::{Errno, Result};
    use crate::path::Path;
    use crate::sys::Fd;
    use core::ffi::CStr;

    pub fn open(_path: &Path<'_>, _flags: i32, _mode: u32) -> Result<Fd> {
        Err(Errno::ENOENT)
    }

    pub fn open_file(_path: &Path<'_>, _flags: i32, _mode: u32) -> Result<Fd> {
        Err(Errno::ENOENT)
    }

    pub fn open_again(_path: &Path<'_>, _file: [u64; 2]) -> Result<Fd> {
        Err(Errno::ENOENT)
    }

    pub fn open_directory(_path: &Path<'_>) -> Result<Fd> {
        Err(Errno::ENOENT)
    }

    pub fn check(_st: &libc::stat) -> Result<()> {
        Ok(())
    }

    pub fn lstat(_path: &Path<'_>) -> Result<libc::stat> {
        Err(Errno::ENOENT)
    }

    pub fn readlink(_path: &Path<'_>, _text: &mut [u8]) -> Result<usize> {
        Err(Errno::ENOENT)
    }

    pub fn symlink(_text: &crate::path::Text, _at: &Path) -> Result<()> {
        Err(Errno::EROFS)
    }

    pub fn unlink(_path: &Path<'_>) -> Result<()> {
        Err(Errno::ENOENT)
    }

    pub fn within<T>(_path: &Path<'_>, _f: impl FnOnce(&Fd, &CStr) -> Result<T>) -> Result<T> {
        Err(Errno::ENOENT)
    }
}

/// `crash.rs`: a kill point is a step.
pub mod crash {
    macro_rules! crashpoint {
        ($name:literal) => {
            $crate::world::step_here($name);
        };
    }
    pub(crate) use crashpoint;
}

/// `namespace.rs`: the file of bells, and names of files that nobody opens.
pub mod namespace {
    use crate::errno::Result;
    use crate::map::Map;
    use crate::object::Kind;
    use crate::path::Path;

    pub const LAYOUT: u32 = 0;

    pub fn are_mixed() -> bool {
        let word = crate::world::world().users.get();
        word.is_some_and(crate::pidns::Word::is_mixed)
    }

    pub struct Limits {
        pub shm_rmid_forced: u32,
    }

    pub struct Namespace {
        pub bells: Map,
    }

    impl Namespace {
        pub fn bells(&self) -> &Map {
            &self.bells
        }

        pub fn lets_others_write(&self, _mode: u32) -> bool {
            false
        }

        pub fn limits(&self) -> Limits {
            Limits { shm_rmid_forced: 0 }
        }

        pub fn set_lingering(&self, _kind: Kind, _index: u32, _lingers: bool) {}

        pub fn beside_path(&self, kind: Kind, index: u32) -> Result<Path<'_>> {
            self.index_path(kind, index)
        }

        pub fn path(&self) -> &std::ffi::CStr {
            c"/nowhere"
        }

        pub fn index_path(&self, _kind: Kind, _index: u32) -> Result<Path<'_>> {
            Ok(Path::at(b"nowhere"))
        }
    }
}

/// `registry.rs`: what an object is made from.
pub mod registry {
    use crate::creds::Owned;
    use crate::object::Kind;
    use std::marker::PhantomData;

    pub struct Plan<'a> {
        pub kind: Kind,
        pub key: i32,
        pub owned: Owned,
        pub units: u64,
        pub lasts: PhantomData<&'a ()>,
    }
}

/// `backend.rs`: what can be asked about a semaphore.
pub mod backend {
    #[allow(dead_code)] // No model asks.
    pub enum SemField {
        Value,
        Pid,
        Ncnt,
        Zcnt,
    }
}
