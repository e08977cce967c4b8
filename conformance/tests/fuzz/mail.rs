//! What the driver and a side's processes share: a slot for each process, and an order and its
//! reply in each slot. Both ends are the same program, so that Rust values may lie there.

use crate::calls::Call;
use crate::limits::Limit;
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

/// Most players of a side; the house has slot 0.
pub const PLAYERS: usize = 10;
const SLOTS: usize = PLAYERS + 1;
/// Objects of each mechanism that a look covers: the newest.
pub const LOOKS: usize = 5;
const MOST: usize = 400;
/// How `eventually` waits.
const YIELDS: u32 = 8;
const NAP: Duration = Duration::from_micros(20);

/// What a process is told.
#[derive(Clone, Copy, Debug)]
pub enum Order {
    Call(Call),
    /// Fork; the child is the player in this slot.
    Fork(usize),
    /// Begin a thread, which is the player in this slot.
    Thread(usize),
    Exit,
    /// End this thread alone.
    Leave,
    /// Begin the same program afresh, which answers.
    Exec,
    /// Write a limit of the namespace; none: those that it began with.
    Limit(Option<(Limit, u32)>),
    /// Say what these objects show, by mechanism.
    Look([[i32; LOOKS]; 3]),
    /// Remove an object of a mechanism.
    Clear(usize, i32),
}

/// What a number in a reply is, and how it is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[rustfmt::skip]
pub enum Field {
    // An object in a look, and a semaphore or message in it, begins.
    Object, Result, Errno, Semaphore, Message,
    Key, Uid, Gid, Cuid, Cgid, Mode, Nsems, Qnum, Cbytes, Qbytes, Size, Nattch,
    Value, Ncnt, Zcnt, Type, Text, Info,
    // Pids: by the order of birth.
    Pid, Lspid, Lrpid, Cpid, Lpid,
    // Seconds.
    Stime, Rtime, Ctime, Otime, Atime, Dtime,
}

impl Field {
    pub fn is_pid(self) -> bool {
        use Field::*;
        matches!(self, Pid | Lspid | Lrpid | Cpid | Lpid)
    }

    pub fn is_time(self) -> bool {
        use Field::*;
        matches!(self, Stime | Rtime | Ctime | Otime | Atime | Dtime)
    }
}

/// What a process answers.
#[repr(C)]
pub struct Reply {
    pub ret: i64,
    pub errno: i32,
    len: usize,
    seen: [(Field, i64); MOST],
}

impl Reply {
    pub fn new() -> Reply {
        Reply {
            ret: 0,
            errno: 0,
            len: 0,
            seen: [(Field::Object, 0); MOST],
        }
    }

    pub fn clear(&mut self) {
        (self.ret, self.errno, self.len) = (0, 0, 0);
    }

    /// Says something more.
    pub fn push(&mut self, field: Field, value: impl Into<i64>) {
        if self.len < MOST {
            self.seen[self.len] = (field, value.into());
            self.len += 1;
        }
    }

    pub fn seen(&self) -> &[(Field, i64)] {
        &self.seen[..self.len]
    }
}

#[repr(C, align(64))]
struct Slot {
    /// The order that is to be followed, was begun, was answered.
    told: AtomicU32,
    entered: AtomicU32,
    returned: AtomicU32,
    order: UnsafeCell<Order>,
    reply: UnsafeCell<Reply>,
}

// SAFETY: threads and processes alike touch the cells by turns only, which the words tell.
unsafe impl Sync for Slot {}

/// The slots of a side.
#[derive(Clone, Copy)]
pub struct Mail(&'static [Slot; SLOTS]);

/// An order in a slot, from its beginning to its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    Told,
    Entered,
    Returned,
}

impl Mail {
    /// A file descriptor for `open`, here and in the programs that we execute.
    pub fn create() -> i32 {
        // SAFETY: a NUL-terminated name.
        let fd = unsafe { libc::memfd_create(c"mail".as_ptr(), 0) };
        assert!(fd >= 0, "memfd: {}", std::io::Error::last_os_error());
        // SAFETY: no pointers.
        let sized = unsafe { libc::ftruncate(fd, size_of::<[Slot; SLOTS]>() as i64) };
        assert_eq!(sized, 0, "memfd: {}", std::io::Error::last_os_error());
        fd
    }

    /// For the driver, who passes the descriptor on before.
    pub fn open(fd: i32) -> Mail {
        let mail = Mail::of(fd);
        // SAFETY: no further use of the descriptor is made through this number.
        unsafe { libc::close(fd) };
        mail
    }

    /// For the processes, who keep the descriptor: they may begin afresh.
    pub fn of(fd: i32) -> Mail {
        let len = size_of::<[Slot; SLOTS]>();
        let prot = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), len, prot, libc::MAP_SHARED, fd, 0) };
        assert_ne!(at, libc::MAP_FAILED);
        // SAFETY: zeros are values of the atomics; the cells are read only after `tell` and
        // `answer` wrote them. Unmapped in `close` only.
        Mail(unsafe { &*at.cast() })
    }

    /// For the driver, whose stages come and go.
    pub fn close(self) {
        let at = std::ptr::from_ref(self.0).cast_mut().cast();
        // SAFETY: what `open` mapped; the side that holds this is being dropped.
        unsafe { libc::munmap(at, size_of::<[Slot; SLOTS]>()) };
    }

    /// For a new process in a slot whose last one is no more.
    pub fn reset(self, slot: usize) {
        let slot = &self.0[slot];
        for word in [&slot.told, &slot.entered, &slot.returned] {
            word.store(0, SeqCst);
        }
    }

    pub fn tell(self, slot: usize, order: Order) {
        let slot = &self.0[slot];
        // SAFETY: the process in the slot reads it only after `told` has changed, and has answered
        // what it was told before.
        unsafe { *slot.order.get() = order };
        slot.told.fetch_add(1, SeqCst);
        futex(&slot.told, libc::FUTEX_WAKE, 1);
    }

    pub fn progress(self, slot: usize) -> Progress {
        let slot = &self.0[slot];
        let told = slot.told.load(SeqCst);
        match () {
            () if slot.returned.load(SeqCst) == told => Progress::Returned,
            () if slot.entered.load(SeqCst) == told => Progress::Entered,
            () => Progress::Told,
        }
    }

    /// What was answered; there once the order has `Returned`.
    pub fn reply(&self, slot: usize) -> &Reply {
        // SAFETY: `progress` has said so, and until the next `tell` nobody writes there.
        unsafe { &*self.0[slot].reply.get() }
    }

    /// Waits for the order after the one with number `done`.
    pub fn next(self, slot: usize, done: u32) -> Order {
        let slot = &self.0[slot];
        while slot.told.load(SeqCst) == done {
            futex(&slot.told, libc::FUTEX_WAIT, done);
        }
        // SAFETY: `told` has changed: the order is there, and stays until it is answered.
        let order = unsafe { *slot.order.get() };
        slot.entered.store(done.wrapping_add(1), SeqCst);
        order
    }

    pub fn answer(self, slot: usize, done: u32, reply: &Reply) {
        let slot = &self.0[slot];
        // SAFETY: the driver reads it only after `returned` has changed. What lies behind `len`
        // is not read.
        unsafe {
            let to = slot.reply.get();
            (*to).ret = reply.ret;
            (*to).errno = reply.errno;
            (*to).len = reply.len;
            let from = reply.seen.as_ptr();
            (&raw mut (*to).seen)
                .cast::<(Field, i64)>()
                .copy_from_nonoverlapping(from, reply.len);
        }
        slot.returned.store(done, SeqCst);
    }
}

fn futex(word: &AtomicU32, op: i32, value: u32) {
    let second = libc::timespec {
        tv_sec: 1,
        tv_nsec: 0,
    };
    // SAFETY: a word of ours, and a timeout that outlives the call.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), op, value, &raw const second) };
}

/// Waits until something is so, or for too long: at first by letting others run, then asleep, for
/// who sleeps is soon let on when a machine is busy.
pub fn eventually(patience: Duration, mut so: impl FnMut() -> bool) -> bool {
    for _ in 0..YIELDS {
        if so() {
            return true;
        }
        std::thread::yield_now();
    }
    let begun = std::time::Instant::now();
    while !so() {
        if begun.elapsed() > patience {
            return false;
        }
        std::thread::sleep(NAP);
    }
    true
}
