//! The processes of a side: the house, which looks and begets players, and the players. Each follows
//! the orders in its slot, in plain C calls: what answers them is the libc, or what stands before it.

use crate::hands::Hands;
use crate::mail::{Field, Mail, Order};
use crate::{msg, sem, shm};

/// The house: begins alone.
pub fn house(mail: Mail) -> ! {
    let handler = handle as extern "C" fn(i32) as libc::sighandler_t;
    // SAFETY: a handler that does nothing; players end by themselves, and need not be waited for.
    unsafe {
        libc::signal(libc::SIGUSR1, handler);
        libc::signal(libc::SIGCHLD, libc::SIG_IGN);
        libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1);
        libc::setgroups(0, std::ptr::null());
        libc::umask(0);
    }
    follow(mail)
}

extern "C" fn handle(_: i32) {}

fn follow(mail: Mail) -> ! {
    let mut hands = Hands::new();
    hands.keep_dying();
    let (mut slot, mut done) = (0, 0);
    loop {
        let order = mail.next(slot, done);
        done += 1;
        hands.reply.clear();
        match order {
            Order::Call(call) => call.perform(&mut hands),
            // SAFETY: ends this process.
            Order::Exit => unsafe { libc::_exit(0) },
            Order::Fork(child) => {
                // SAFETY: one thread; the child goes on as its parent does.
                let pid = unsafe { libc::fork() };
                if pid == 0 {
                    hands.of_house = slot == 0;
                    hands.keep_dying();
                    (slot, done) = (child, 0);
                    continue;
                }
                hands.reply.ret = pid.into();
            }
            Order::Look(ids) => look(&ids, &mut hands),
            Order::Clear(mechanism, id) => {
                let remove = [msg::Call::remove, sem::Call::remove, shm::Call::remove];
                remove[mechanism](id).perform(&mut hands);
            }
        }
        mail.answer(slot, done, &hands.reply);
    }
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
