//! What a player makes its calls with: buffers that end where memory ends, and an errno that a
//! successful call leaves alone.

use crate::mail::{Field, Reply};
use std::ptr::null_mut;

const PAGE: usize = 4096;
/// Bytes of the area; behind it is nothing.
pub const AREA: usize = 4 * PAGE;
const FILL: u8 = 0x55;
const UNTOUCHED: i32 = 77;

/// The pointer that a call is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Buffer {
    /// To as many bytes as it needs.
    Fits,
    Null,
    /// To so many bytes, behind which there is nothing.
    Short(u16),
    /// To bytes that can only be read.
    ReadOnly,
}

pub struct Hands {
    area: *mut u8,
    read_only: *mut u8,
    at: *mut u8,
    len: usize,
    pub reply: Reply,
    /// Begotten by the house, or it.
    pub of_house: bool,
    /// Attachments at addresses that the system chose, of this thread's own making.
    pub spots: Vec<usize>,
}

impl Hands {
    pub fn new(of_house: bool) -> Hands {
        Hands {
            area: map(AREA, libc::PROT_READ | libc::PROT_WRITE),
            read_only: map(PAGE, libc::PROT_READ),
            at: null_mut(),
            len: 0,
            reply: Reply::new(),
            of_house,
            spots: Vec::new(),
        }
    }

    /// Has the house's death, or the driver's, be this process's: to be said again after a change
    /// of user. A player's child outlives its parent.
    pub fn keep_dying(&self) {
        if self.of_house {
            // SAFETY: no pointers.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
        }
    }

    /// Prepares the pointer of the next call, which needs `room`.
    pub fn buffer(&mut self, buffer: Buffer, room: usize) -> *mut u8 {
        let room = room.min(AREA);
        (self.at, self.len) = match buffer {
            Buffer::Null => (null_mut(), 0),
            Buffer::ReadOnly => (self.read_only, 0),
            Buffer::Fits => (self.area.wrapping_add(AREA - room), room),
            Buffer::Short(len) => {
                let len = room.min(len as usize);
                (self.area.wrapping_add(AREA - len), len)
            }
        };
        self.bytes().fill(FILL);
        self.at
    }

    /// What of the buffer can be written.
    pub fn bytes(&mut self) -> &mut [u8] {
        match self.len {
            0 => &mut [],
            // SAFETY: `buffer` took the end of the area, which is ours, and nobody else's.
            len => unsafe { std::slice::from_raw_parts_mut(self.at, len) },
        }
    }

    /// Writes a structure to the buffer, or as much of it as there is room for.
    pub fn put<T: Copy>(&mut self, value: &T) {
        let from = std::ptr::from_ref(value).cast::<u8>();
        let len = size_of::<T>().min(self.len);
        // SAFETY: `bytes` are at least as many, and not `value`.
        unsafe {
            self.bytes()
                .as_mut_ptr()
                .copy_from_nonoverlapping(from, len)
        };
    }

    /// The structure in the buffer, if all of it is there and the call has succeeded.
    pub fn got<T: Copy>(&mut self) -> Option<T> {
        let there = self.reply.ret >= 0 && self.len >= size_of::<T>();
        // SAFETY: as many bytes, and the callers ask for C structures of numbers.
        there.then(|| unsafe { self.at.cast::<T>().read_unaligned() })
    }

    /// Tells of all bytes of a structure in the buffer but these, by offset and length.
    pub fn tell_all_but(&mut self, apart: &[(usize, usize)]) {
        for &(at, len) in apart {
            self.bytes()[at..at + len].fill(0);
        }
        self.tell_bytes();
    }

    /// Tells of all bytes of the buffer, used or not.
    pub fn tell_bytes(&mut self) {
        if self.broken_off() {
            return;
        }
        let hash = hash(self.bytes());
        self.reply.push(Field::Text, hash);
    }

    /// Tells of the buffer, number by number.
    pub fn tell_words(&mut self) {
        if self.broken_off() {
            return;
        }
        for i in 0..self.bytes().len() / 4 {
            let word = std::array::from_fn(|byte| self.bytes()[4 * i + byte]);
            self.reply.push(Field::Info, i32::from_ne_bytes(word));
        }
    }

    /// How much of what did not fit was written is nobody's business.
    fn broken_off(&self) -> bool {
        self.reply.ret < 0 && self.reply.errno == libc::EFAULT
    }

    /// Makes a call.
    pub fn call(&mut self, call: impl FnOnce() -> i64) {
        // SAFETY: this thread's own errno.
        let errno = unsafe { libc::__errno_location() };
        // SAFETY: as above.
        unsafe { *errno = UNTOUCHED };
        self.reply.ret = call();
        // SAFETY: as above.
        self.reply.errno = unsafe { *errno };
    }
}

/// FNV-1a, in 32 bits for people's eyes.
pub fn hash(bytes: &[u8]) -> i64 {
    let all = bytes.iter().fold(0x811c_9dc5u32, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    });
    i64::from(all)
}

/// Pages, and behind them one that is not there.
fn map(len: usize, prot: i32) -> *mut u8 {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping at an address of the kernel's choice.
    let at = unsafe { libc::mmap(null_mut(), len + PAGE, libc::PROT_NONE, flags, -1, 0) };
    assert_ne!(at, libc::MAP_FAILED);
    // SAFETY: the mapping just made.
    assert_eq!(unsafe { libc::mprotect(at, len, prot) }, 0);
    at.cast()
}
