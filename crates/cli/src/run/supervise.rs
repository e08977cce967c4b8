//! A parent that behaves as if it were its child.
//!
//! All signals are blocked and taken with `sigwaitinfo`, one at a time:
//! - From the terminal (`^C`, `^\`, hang-up): the child is in the same process group and has it
//!   already. Sent to us by a process: sent on to the child.
//! - Stop signals: we stop when the child has stopped, so that a child that ignores `^Z`, or
//!   tidies the screen first, decides; the shell then sees the job stop. When we are continued,
//!   the child is.
//! - `SIGCHLD`: the child stopped or ended. When it was killed, so are we, after cleaning up.
//!
//! SIGKILL cannot be sent on: it leaves the child running and the namespace in place.
#![allow(unsafe_code)]

use super::{Program, os, status};
use crate::failure::{Failure, complain, reason};
use std::io::Error;
use std::mem::MaybeUninit;

/// How the child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With this exit status.
    Exited(u8),
    /// By this signal.
    Killed(i32),
}

/// `si_code` of a signal that the kernel sent of itself.
const SI_KERNEL: i32 = 0x80;

/// Faults of our own must not wait.
const FAULTS: [i32; 6] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGFPE,
    libc::SIGILL,
    libc::SIGTRAP,
    libc::SIGSYS,
];

/// Runs the program as a child and waits for its end. Signals stay blocked afterwards, so that
/// nothing interrupts the cleaning up.
pub fn run(program: &Program) -> Result<Ended, Failure> {
    let ours = Signals::take();
    // SAFETY: this process has one thread, so the child may do whatever we may.
    match unsafe { libc::fork() } {
        -1 => Err(Failure::with_status(
            status::OURS,
            format!("fork: {}", reason(&Error::last_os_error())),
        )),
        0 => {
            ours.give_back();
            let failure = os::exec(program);
            complain!("usysv: run: {failure}");
            // SAFETY: ends the child without flushing what it shares with the parent.
            unsafe { libc::_exit(i32::from(failure.status())) }
        }
        pid => Ok(Child {
            pid,
            stopped: false,
            stop_wanted: false,
        }
        .watch(&ours.blocked)),
    }
}

/// Dies of the signal that killed the child; if it does not kill, answers the shell's 128 + n.
pub fn die_of(signal: i32) -> u8 {
    // SAFETY: plain numbers, and sets that are initialised before use. The child has dumped its
    // core; ours would only overwrite it.
    unsafe {
        libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0);
        libc::signal(signal, libc::SIG_DFL);
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), signal);
        libc::kill(libc::getpid(), signal);
        libc::sigprocmask(libc::SIG_UNBLOCK, set.as_ptr(), std::ptr::null_mut());
    }
    128u8.wrapping_add(signal as u8)
}

/// Our signal state before we took the signals, which the child gets back.
struct Signals {
    blocked: libc::sigset_t,
    mask: libc::sigset_t,
    on_child: libc::sigaction,
}

impl Signals {
    fn take() -> Signals {
        // SAFETY: all three are plain structures for which zeroes are valid, and each call gets
        // pointers to them alone. SIGCHLD's default keeps the child's status for waitpid.
        unsafe {
            let mut signals: Signals = MaybeUninit::zeroed().assume_init();
            libc::sigfillset(&mut signals.blocked);
            for fault in FAULTS {
                libc::sigdelset(&mut signals.blocked, fault);
            }
            libc::sigprocmask(libc::SIG_BLOCK, &signals.blocked, &mut signals.mask);
            let mut default: libc::sigaction = MaybeUninit::zeroed().assume_init();
            default.sa_sigaction = libc::SIG_DFL;
            libc::sigaction(libc::SIGCHLD, &default, &mut signals.on_child);
            signals
        }
    }

    fn give_back(&self) {
        // SAFETY: both were filled by `take`.
        unsafe {
            libc::sigaction(libc::SIGCHLD, &self.on_child, std::ptr::null_mut());
            libc::sigprocmask(libc::SIG_SETMASK, &self.mask, std::ptr::null_mut());
        }
    }
}

struct Child {
    pid: libc::pid_t,
    /// The child is stopped as far as we know.
    stopped: bool,
    /// We were told to stop, and wait for the child to do so first.
    stop_wanted: bool,
}

impl Child {
    fn watch(mut self, blocked: &libc::sigset_t) -> Ended {
        loop {
            let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
            // SAFETY: an initialised set, and room for one siginfo.
            let signal = unsafe { libc::sigwaitinfo(blocked, info.as_mut_ptr()) };
            // SAFETY: zeroed at first, so initialised whatever the call did.
            let from_kernel = unsafe { info.assume_init() }.si_code == SI_KERNEL;
            match signal {
                // EINTR: we were stopped and continued.
                -1 => {}
                libc::SIGCHLD => {
                    if let Some(ended) = self.reap() {
                        return ended;
                    }
                }
                libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU => {
                    self.stop_wanted = true;
                    if !from_kernel {
                        self.send(signal);
                    }
                }
                libc::SIGCONT => {
                    self.stop_wanted = false;
                    self.send(libc::SIGCONT);
                }
                libc::SIGINT | libc::SIGQUIT | libc::SIGHUP | libc::SIGWINCH if from_kernel => {}
                other => self.send(other),
            }
            if self.stopped && self.stop_wanted {
                self.stop_with_it();
            }
        }
    }

    /// Takes all news of the child; the last is how it ended.
    fn reap(&mut self) -> Option<Ended> {
        loop {
            let mut status = 0;
            let flags = libc::WNOHANG | libc::WUNTRACED | libc::WCONTINUED;
            // SAFETY: room for one status.
            if unsafe { libc::waitpid(self.pid, &mut status, flags) } <= 0 {
                return None;
            }
            if libc::WIFEXITED(status) {
                return Some(Ended::Exited(libc::WEXITSTATUS(status) as u8));
            }
            if libc::WIFSIGNALED(status) {
                return Some(Ended::Killed(libc::WTERMSIG(status)));
            }
            self.stopped = libc::WIFSTOPPED(status);
        }
    }

    fn stop_with_it(&mut self) {
        self.stop_wanted = false;
        // SAFETY: plain numbers; SIGSTOP to ourselves returns when we are continued.
        unsafe { libc::kill(libc::getpid(), libc::SIGSTOP) };
        self.send(libc::SIGCONT);
        self.stopped = false;
    }

    fn send(&self, signal: i32) {
        // SAFETY: plain numbers; the child is not reaped yet, so its id is still its own.
        unsafe { libc::kill(self.pid, signal) };
    }
}
