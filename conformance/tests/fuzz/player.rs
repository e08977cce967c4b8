//! The processes and threads of a side: the house, which looks and begets players, and the players.
//! Each follows the orders in its slot, in plain C calls: what answers them is the libc, or what stands before it.

use crate::hands::Hands;
use crate::mail::{Field, Mail, Order};
use crate::{limits, msg, sem, shm};
use std::ffi::CString;

/// What a program begins with, as its arguments say: in which slot, and how many orders that has had.
struct Place {
    fd: i32,
    slot: usize,
    done: u32,
    of_house: bool,
}

/// The house, or a player that begins afresh: `FD SLOT DONE OF_HOUSE`.
pub fn begin(arguments: &[String]) -> ! {
    let number = |at: usize| -> u32 { arguments[at].parse().expect("a number") };
    let place = Place {
        fd: number(0) as i32,
        slot: number(1) as usize,
        done: number(2),
        of_house: number(3) != 0,
    };
    let mail = Mail::of(place.fd);
    let handler = handle as extern "C" fn(i32) as libc::sighandler_t;
    // SAFETY: a handler that does nothing.
    unsafe { libc::signal(libc::SIGUSR1, handler) };
    let hands = Hands::new(place.of_house);
    hands.keep_dying();
    match place.slot {
        // SAFETY: no handlers; players end by themselves, and need not be waited for.
        0 => unsafe {
            libc::signal(libc::SIGCHLD, libc::SIG_IGN);
            libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1);
            libc::setgroups(0, std::ptr::null());
            libc::umask(0);
        },
        slot => mail.answer(slot, place.done, &hands.reply),
    }
    follow(mail, &place, hands);
    unreachable!("the first thread ends by itself")
}

extern "C" fn handle(_: i32) {}

/// Follows orders until this thread is to end.
fn follow(mail: Mail, place: &Place, mut hands: Hands) {
    let Place {
        fd,
        mut slot,
        mut done,
        ..
    } = *place;
    loop {
        let order = mail.next(slot, done);
        done += 1;
        hands.reply.clear();
        match order {
            Order::Call(call) => call.perform(&mut hands),
            // SAFETY: ends this process.
            Order::Exit => unsafe { libc::_exit(0) },
            Order::Leave => return leave(),
            Order::Fork(child) => {
                // SAFETY: the child goes on as the thread that forks does, and needs no other.
                let pid = unsafe { libc::fork() };
                if pid == 0 {
                    hands.of_house = slot == 0;
                    hands.keep_dying();
                    (slot, done) = (child, 0);
                    continue;
                }
                hands.reply.ret = pid.into();
            }
            Order::Thread(slot) => hands.reply.ret = begin_thread(mail, fd, slot, hands.of_house),
            Order::Exec => {
                let of_house = hands.of_house;
                hands.reply.ret = begin_afresh(&Place {
                    fd,
                    slot,
                    done,
                    of_house,
                });
            }
            Order::Limit(limit) => limits::write(limit, &mut hands),
            Order::Look(ids) => look(&ids, &mut hands),
            Order::Clear(mechanism, id) => {
                let remove = [msg::Call::remove, sem::Call::remove, shm::Call::remove];
                remove[mechanism](id).perform(&mut hands);
            }
        }
        mail.answer(slot, done, &hands.reply);
    }
}

/// The first thread of a process ends behind the C library's back; its stack is not to be unwound.
fn leave() {
    // SAFETY: no pointers; ends this thread alone.
    unsafe {
        if libc::gettid() == libc::getpid() {
            libc::syscall(libc::SYS_exit, 0);
        }
    }
}

/// A thread that follows the orders in a slot; its id.
fn begin_thread(mail: Mail, fd: i32, slot: usize, of_house: bool) -> i64 {
    let (tell, hear) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        // SAFETY: no pointers.
        let tid = unsafe { libc::gettid() };
        let place = Place {
            fd,
            slot,
            done: 0,
            of_house,
        };
        if tell.send(tid).is_ok() {
            drop(tell);
            follow(mail, &place, Hands::new(of_house));
        }
    });
    hear.recv().map_or(-1, i64::from)
}

/// Comes back only when there is an error.
fn begin_afresh(place: &Place) -> i64 {
    let Place {
        fd,
        slot,
        done,
        of_house,
    } = place;
    let of_house = u8::from(*of_house);
    let words = format!("fuzz house {fd} {slot} {done} {of_house}");
    let words: Vec<CString> = words.split(' ').flat_map(CString::new).collect();
    let mut pointers: Vec<_> = words.iter().map(|word| word.as_ptr()).collect();
    pointers.push(std::ptr::null());
    // That of the process shows nothing once its first thread is gone.
    let program = c"/proc/thread-self/exe";
    // SAFETY: NUL-terminated strings in a null-terminated list.
    unsafe { libc::execv(program.as_ptr(), pointers.as_ptr()).into() }
}

fn look(ids: &[[i32; crate::mail::LOOKS]; 3], hands: &mut Hands) {
    let looks: [fn(i32, &mut Hands); 3] = [msg::look, sem::look, shm::look];
    for (mechanism, ids) in ids.iter().enumerate() {
        for id in ids.iter().filter(|id| **id != -1) {
            hands.reply.push(Field::Object, mechanism as i64);
            looks[mechanism](*id, hands);
        }
    }
    hands.reply.ret = 0;
    hands.reply.errno = 0;
}

/// Tells of a `struct ipc_perm`.
pub fn tell_perm(perm: &libc::ipc_perm, hands: &mut Hands) {
    let reply = &mut hands.reply;
    reply.push(Field::Key, perm.__key);
    reply.push(Field::Uid, perm.uid);
    reply.push(Field::Gid, perm.gid);
    reply.push(Field::Cuid, perm.cuid);
    reply.push(Field::Cgid, perm.cgid);
    reply.push(Field::Mode, perm.mode);
}

/// Tells of a look's single call.
pub fn tell_result(hands: &mut Hands) {
    let (ret, errno) = (hands.reply.ret, hands.reply.errno);
    hands.reply.push(Field::Result, ret);
    hands.reply.push(Field::Errno, errno);
}
