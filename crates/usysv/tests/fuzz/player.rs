//! A player: a process that makes the calls it is told to, one after another.

use crate::steps::{MOST_OPS, Patience};
use std::cell::RefCell;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering::SeqCst};
use std::time::Duration;
use usysv::Semaphores;
use usysv::abi::Sembuf;

const SHORT: Duration = Duration::from_millis(2);
const EXIT: u32 = 0;

/// What driver and player share.
#[repr(C)]
struct Mail {
    /// The step that is to be made, was begun, has returned.
    told: AtomicU32,
    entered: AtomicU32,
    returned: AtomicU32,
    /// 0 or an errno.
    result: AtomicI32,
    semid: AtomicI32,
    patience: AtomicU32,
    /// Number of operations, or EXIT.
    nsops: AtomicU32,
    ops: [AtomicU64; MOST_OPS],
}

/// A process; killed when dropped.
pub struct Player {
    pub pid: i32,
    mail: &'static Mail,
    stat: File,
    /// A call that the driver has not seen return.
    pub busy: bool,
}

impl Player {
    pub fn start(backend: &dyn Semaphores) -> Player {
        let mail = new_mail();
        let handler = handle as extern "C" fn(i32) as libc::sighandler_t;
        // SAFETY: a handler that may run anywhere, there before the player is, which inherits it.
        unsafe { libc::signal(libc::SIGUSR1, handler) };
        // SAFETY: the child uses the back end, its mail and the stack, and leaves by _exit.
        match unsafe { libc::fork() } {
            -1 => panic!("fork: {}", std::io::Error::last_os_error()),
            0 => play(backend, mail),
            pid => Player {
                pid,
                mail,
                stat: File::open(format!("/proc/{pid}/stat")).expect("the player's stat"),
                busy: false,
            },
        }
    }

    /// Begins a `semop`.
    pub fn begin(&mut self, semid: i32, ops: &[Sembuf], patience: Patience) {
        let mail = self.mail;
        mail.semid.store(semid, SeqCst);
        mail.patience.store(patience as u32, SeqCst);
        mail.nsops.store(ops.len() as u32, SeqCst);
        for (word, op) in mail.ops.iter().zip(ops) {
            let op = u64::from(op.sem_num)
                | u64::from(op.sem_op as u16) << 16
                | u64::from(op.sem_flg as u16) << 32;
            word.store(op, SeqCst);
        }
        self.busy = true;
        self.tell();
    }

    fn tell(&self) {
        self.mail.told.fetch_add(1, SeqCst);
        futex(&self.mail.told, libc::FUTEX_WAKE, 1);
    }

    /// Waits until its call has returned, and gives the errno, or until it sleeps in it.
    pub fn settle(&mut self) -> Option<i32> {
        let told = self.mail.told.load(SeqCst);
        loop {
            let begun = self.mail.entered.load(SeqCst) == told;
            let asleep = begun && self.sleeps();
            if self.mail.returned.load(SeqCst) == told {
                self.busy = false;
                return Some(self.mail.result.load(SeqCst));
            }
            if asleep {
                return None;
            }
            std::thread::yield_now();
        }
    }

    fn sleeps(&self) -> bool {
        thread_local!(static TEXT: RefCell<[u8; 64]> = const { RefCell::new([0; 64]) });
        TEXT.with_borrow_mut(|text| {
            let len = self.stat.read_at(text, 0).expect("the player's stat");
            let end = text[..len].iter().rposition(|&c| c == b')');
            end.and_then(|end| text.get(end + 2)) == Some(&b'S')
        })
    }

    pub fn signal(&self, signal: i32) {
        // SAFETY: a child of ours that nobody has waited for.
        unsafe { libc::kill(self.pid, signal) };
    }

    /// Has it exit, and waits for that.
    pub fn exit(self) {
        self.mail.nsops.store(EXIT, SeqCst);
        self.tell();
        let flags = libc::WEXITED | libc::WNOWAIT;
        let pid = self.pid as libc::id_t;
        // SAFETY: no information is asked for.
        let ended = unsafe { libc::waitid(libc::P_PID, pid, std::ptr::null_mut(), flags) };
        assert_eq!(ended, 0, "waiting for a player to exit");
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        self.signal(libc::SIGKILL);
        reap(self.pid);
        free(self.mail);
    }
}

fn reap(pid: i32) {
    // SAFETY: no status is asked for.
    let found = unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
    assert_eq!(found, pid, "waiting for a player");
}

fn new_mail() -> &'static Mail {
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping at an address of the kernel's choice.
    let at = unsafe { libc::mmap(std::ptr::null_mut(), size_of::<Mail>(), prot, flags, -1, 0) };
    assert_ne!(at, libc::MAP_FAILED);
    // SAFETY: zeroed memory, made of atomics, unmapped in `free` only.
    unsafe { &*at.cast::<Mail>() }
}

fn free(mail: &'static Mail) {
    let at = std::ptr::from_ref(mail).cast_mut().cast();
    // SAFETY: what `new_mail` mapped; the player is no more.
    unsafe { libc::munmap(at, size_of::<Mail>()) };
}

fn futex(word: &AtomicU32, op: i32, value: u32) {
    // SAFETY: a word of ours; no timeout.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            op,
            value,
            std::ptr::null::<libc::timespec>(),
        )
    };
}

/// What the preload library does around a program's handler.
extern "C" fn handle(_: i32) {
    usysv::tls::block().handled.fetch_add(1, SeqCst);
    usysv::interrupted();
}

fn play(backend: &dyn Semaphores, mail: &Mail) -> ! {
    // SAFETY: no pointers; the driver's death is this process's.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    let mut done = 0;
    loop {
        while mail.told.load(SeqCst) == done {
            futex(&mail.told, libc::FUTEX_WAIT, done);
        }
        done += 1;
        let nsops = mail.nsops.load(SeqCst);
        if nsops == EXIT {
            // SAFETY: ends this process.
            unsafe { libc::_exit(0) };
        }
        let mut ops = [Sembuf::default(); MOST_OPS];
        for (op, word) in ops.iter_mut().zip(&mail.ops) {
            let word = word.load(SeqCst);
            (op.sem_num, op.sem_op, op.sem_flg) =
                (word as u16, (word >> 16) as i16, (word >> 32) as i16);
        }
        let timeout = match mail.patience.load(SeqCst) {
            p if p == Patience::Endless as u32 => None,
            p if p == Patience::None as u32 => Some(Duration::ZERO),
            _ => Some(SHORT),
        };
        let semid = mail.semid.load(SeqCst);
        mail.entered.store(done, SeqCst);
        let result = backend.semop(semid, &ops[..nsops as usize], timeout);
        mail.result
            .store(result.err().map_or(0, |e| e.raw()), SeqCst);
        mail.returned.store(done, SeqCst);
    }
}
