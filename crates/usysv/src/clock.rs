//! What time is it, whatever the program's libc says?
//!
//! Stamps are the kernel's time, and times in shared memory are compared with those of other processes.
//! So they do not come from the libc's functions, which others interpose (libfaketime), but from where
//! those have them: the vDSO, code that the kernel maps into each process, which answers without a
//! system call. Where there is none, or it is not understood, from the system call.
//!
//! No lock: whoever comes first looks the functions up; all find the same.
#![allow(unsafe_code)]

use crate::sys;
use core::ffi::CStr;
use core::mem::{MaybeUninit, transmute};
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::Relaxed};
use libc::{Elf64_Ehdr, Elf64_Phdr, Elf64_Sym, clockid_t, timespec};

/// A function of the vDSO.
struct Function {
    name: &'static CStr,
    /// Its address. 0: not looked for yet; `ABSENT`: there is none.
    at: AtomicUsize,
}

const ABSENT: usize = usize::MAX;

// Of an image's dynamic section, as `elf.h` has them.
const DT_NULL: u64 = 0;
const DT_STRTAB: u64 = 5;
const DT_SYMTAB: u64 = 6;
const DT_STRSZ: u64 = 10;

impl Function {
    const fn named(name: &'static CStr) -> Function {
        Function {
            name,
            at: AtomicUsize::new(0),
        }
    }

    #[inline]
    fn get(&self) -> Option<usize> {
        let at = match self.at.load(Relaxed) {
            0 => self.look_up(),
            at => at,
        };
        (at != ABSENT).then_some(at)
    }

    #[cold]
    #[inline(never)]
    fn look_up(&self) -> usize {
        let kept = sys::errno().get();
        // SAFETY: the kernel's word, that an ELF image of its own is mapped there; 0: none.
        let base = unsafe { libc::getauxval(libc::AT_SYSINFO_EHDR) } as usize;
        sys::errno().set(kept);
        let found = match base {
            0 => None,
            // SAFETY: as above.
            base => unsafe { find(base, self.name) },
        };
        let at = found.unwrap_or(ABSENT);
        self.at.store(at, Relaxed);
        at
    }
}

#[cfg(target_arch = "x86_64")]
static CLOCK_GETTIME: Function = Function::named(c"__vdso_clock_gettime");
#[cfg(not(target_arch = "x86_64"))]
static CLOCK_GETTIME: Function = Function::named(c"__kernel_clock_gettime");
/// `time`: the vDSO's, or how it is found.
#[cfg(target_arch = "x86_64")]
static TIME: AtomicPtr<()> = AtomicPtr::new(first_time as *mut ());
#[cfg(target_arch = "x86_64")]
type Time = unsafe extern "C" fn(*mut i64) -> i64;

#[cfg(target_arch = "x86_64")]
unsafe extern "C" fn first_time(_: *mut i64) -> i64 {
    static IN_VDSO: Function = Function::named(c"__vdso_time");
    let found = IN_VDSO.get().unwrap_or(coarse_time as *const () as usize);
    TIME.store(found as *mut (), Relaxed);
    now(libc::CLOCK_REALTIME_COARSE).tv_sec
}

/// Where the vDSO has no such function.
#[cfg(target_arch = "x86_64")]
unsafe extern "C" fn coarse_time(_: *mut i64) -> i64 {
    now(libc::CLOCK_REALTIME_COARSE).tv_sec
}

/// Seconds since the epoch, as the kernel stamps.
#[inline]
pub(crate) fn time() -> i64 {
    // SAFETY: a function of ours, or found under the name of one of this type, which the kernel keeps mapped.
    #[cfg(target_arch = "x86_64")]
    return unsafe { transmute::<*mut (), Time>(TIME.load(Relaxed))(core::ptr::null_mut()) };
    #[cfg(not(target_arch = "x86_64"))]
    now(libc::CLOCK_REALTIME_COARSE).tv_sec
}

/// Milliseconds of the coarse monotonic clock: the same in every process of this boot.
pub(crate) fn monotonic_ms() -> u64 {
    let now = now(libc::CLOCK_MONOTONIC_COARSE);
    now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000
}

/// Nanoseconds of the monotonic clock.
pub(crate) fn monotonic_ns() -> u64 {
    let now = now(libc::CLOCK_MONOTONIC);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

fn now(clock: clockid_t) -> timespec {
    let mut now = MaybeUninit::<timespec>::zeroed();
    match CLOCK_GETTIME.get() {
        None => sys::clock_gettime(clock, now.as_mut_ptr()),
        Some(at) => {
            type GetTime = unsafe extern "C" fn(clockid_t, *mut timespec) -> i32;
            // SAFETY: as in `time`; there is room for one timespec.
            unsafe { transmute::<usize, GetTime>(at)(clock, now.as_mut_ptr()) };
        }
    }
    // SAFETY: zeroes are a timespec, and so is what was written.
    unsafe { now.assume_init() }
}

/// The address of a function in a mapped image. `None`: not there, or an image of another kind.
///
/// # Safety
/// A whole 64-bit ELF image is mapped at `base`.
unsafe fn find(base: usize, name: &CStr) -> Option<usize> {
    // SAFETY: the caller's promise, here and below: what the image's tables name lies in it.
    unsafe {
        let head = &*(base as *const Elf64_Ehdr);
        let headers = (base + head.e_phoff as usize) as *const Elf64_Phdr;
        let headers = core::slice::from_raw_parts(headers, head.e_phnum.into());
        let of = |kind| headers.iter().find(|header| header.p_type == kind);
        let load = of(libc::PT_LOAD)?;
        let to = |addr: u64| base + (addr - load.p_vaddr + load.p_offset) as usize;
        let mut dynamic = to(of(libc::PT_DYNAMIC)?.p_vaddr) as *const [u64; 2];
        let (mut strings, mut room, mut symbols) = (0, 0, 0);
        loop {
            match *dynamic {
                [DT_NULL, _] => break,
                [DT_STRTAB, addr] => strings = to(addr),
                [DT_SYMTAB, addr] => symbols = to(addr),
                [DT_STRSZ, size] => room = size as usize,
                _ => {}
            }
            dynamic = dynamic.add(1);
        }
        // Linkers lay the strings out behind the symbols; that is how many there are.
        if symbols == 0 || strings <= symbols {
            return None;
        }
        let count = (strings - symbols) / size_of::<Elf64_Sym>();
        let symbols = core::slice::from_raw_parts(symbols as *const Elf64_Sym, count);
        let strings = core::slice::from_raw_parts(strings as *const u8, room);
        let has_name = |symbol: &&Elf64_Sym| {
            let text = strings.get(symbol.st_name as usize..);
            text.is_some_and(|text| text.starts_with(name.to_bytes_with_nul()))
        };
        let symbol = symbols.iter().find(has_name)?;
        (symbol.st_shndx != 0).then(|| to(symbol.st_value))
    }
}

#[cfg(test)]
mod tests {
    use super::{ABSENT, CLOCK_GETTIME, monotonic_ms, monotonic_ns, now, time};
    use crate::sys;

    #[test]
    fn the_clocks_are_the_kernels() {
        assert_ne!(CLOCK_GETTIME.look_up(), ABSENT, "there is a vDSO");
        let mut asked = now(libc::CLOCK_REALTIME);
        sys::clock_gettime(libc::CLOCK_REALTIME_COARSE, &raw mut asked);
        assert!((asked.tv_sec..asked.tv_sec + 5).contains(&time()));
        sys::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut asked);
        let before = asked.tv_sec as u64 * 1_000_000_000 + asked.tv_nsec as u64;
        let (ns, ms) = (monotonic_ns(), monotonic_ms());
        assert!(ns >= before && ns < before + 5_000_000_000);
        assert!((ns / 1_000_000).abs_diff(ms) < 1000);
    }
}
