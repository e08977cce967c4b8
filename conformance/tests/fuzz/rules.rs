//! What is not played, or not compared: what the kernel leaves to chance, and where usysv is known
//! to differ (see the README).

use crate::calls::{Call, Which};
use crate::side::{Shown, Side};
use crate::{msg, sem, shm};
use libc::{E2BIG, EACCES, EFAULT, EFBIG, EINVAL, EPERM, ERANGE, IPC_NOWAIT};

impl Side {
    /// The call as it is made, with an id in the place of `Which`; nothing if it is not to be made.
    pub fn resolve(&self, mut call: Call, uid: u32) -> Option<Call> {
        let mechanism = call.mechanism();
        if let (Some(mechanism), Some((which, by_index))) = (mechanism, call.which())
            && let Which::Last(back) = *which
        {
            let ids = &self.objects[mechanism];
            let id = match ids.len() {
                0 => -1,
                len => ids[len - 1 - back as usize % len],
            };
            *which = Which::Raw(if by_index { id % 32768 } else { id });
        }
        if uid != 0 && (asks_all(&call) || !self.owns(&mut call, uid)) {
            return None;
        }
        if let Call::Sem(sem::Call::Op {
            set: Which::Raw(id),
            ops,
            ..
        }) = &mut call
            && uid != 0
            && self.makers.get(&(1, *id)) != Some(&uid)
        {
            // To Linux who was refused has undone something when it ends: nothing, but at a time.
            ops.without_undo();
        }
        match &mut call {
            // Senders that room lets go on race for it.
            Call::Msg(msg::Call::Send { queue, flags, .. }) if self.sleepers(true, *queue) > 0 => {
                flags.0 |= IPC_NOWAIT;
            }
            // All receivers are woken, and stand in line again in any order.
            Call::Msg(msg::Call::Set { queue, .. }) if self.sleepers(false, *queue) > 1 => {
                return None;
            }
            // One that is woken stays in Linux's line until it runs. A sender that the new limit lets
            // go on at the same time may get there first, and hands it a message that it may not read.
            Call::Msg(msg::Call::Set { queue, qbytes, .. })
                if self.sleepers(false, *queue) > 0 && self.sleepers(true, *queue) > 0 =>
            {
                *qbytes = 0;
            }
            // usysv notices a dead receiver by the message that it does not come for. Whom that
            // is given to then and who gets the next message may be either way round.
            Call::Msg(msg::Call::Flood { count, .. }) if self.receiver_died => *count = 1,
            _ => {}
        }
        Some(call)
    }

    /// Whether nobody can tell that a player's process was stopped. usysv keeps a sleeper's place in
    /// line; Linux gives it the last one, after it has looked at the message again, or ends a `semop`; and
    /// has a sender begin its call anew, which fails if an IPC_SET has shut it out.
    pub fn may_pause(&self, player: usize) -> bool {
        let members = self.process(player).into_iter();
        let mut members = members.filter_map(|slot| self.members[slot].as_ref());
        members.all(|member| match member.busy {
            Some(Call::Msg(msg::Call::Receive { queue, .. })) => self.sleepers(false, queue) == 1,
            Some(call) => !matches!(call, Call::Sem(_) | Call::Msg(msg::Call::Send { .. })),
            None => true,
        })
    }

    /// Whether a player may change users. glibc has all threads do it, and the first one has to be there.
    pub fn may_become(&self, player: usize) -> bool {
        self.has_first_thread(player)
    }

    fn sleepers(&self, senders: bool, queue: Which) -> usize {
        let members = self.members.iter().flatten();
        let sleepers = members.filter(|member| match member.busy {
            Some(Call::Msg(msg::Call::Send { queue: at, .. })) => senders && at == queue,
            Some(Call::Msg(msg::Call::Receive { queue: at, .. })) => !senders && at == queue,
            _ => false,
        });
        sleepers.count()
    }

    /// Whether the caller made the object that it sets or removes. `IPC_SET` then keeps the owner:
    /// another one would not own the file.
    fn owns(&self, call: &mut Call, own: u32) -> bool {
        match call {
            Call::Msg(msg::Call::Set { uid, .. })
            | Call::Sem(sem::Call::Set { uid, .. })
            | Call::Shm(shm::Call::Set { uid, .. }) => *uid = own,
            Call::Msg(msg::Call::Remove { .. })
            | Call::Sem(sem::Call::Remove { .. })
            | Call::Shm(shm::Call::Remove { .. }) => {}
            _ => return true,
        }
        let mechanism = call.mechanism();
        let (Some(mechanism), Some((Which::Raw(id), _))) = (mechanism, call.which()) else {
            return true;
        };
        self.makers.get(&(mechanism, *id)) == Some(&own)
    }
}

/// Whether a call tells of objects for which the caller needs no permission: usysv cannot look into
/// a file that is closed to it.
fn asks_all(call: &Call) -> bool {
    match call {
        Call::Msg(call) => call.asks_all(),
        Call::Sem(call) => call.asks_all(),
        Call::Shm(call) => call.asks_all(),
        Call::Become { .. } => false,
    }
}

/// An object's file is closed to a user to whom its mode gives nothing, before anything else that
/// is wrong with the call is found.
pub fn shut_out(kernel: &Shown, engine: &Shown) -> bool {
    let wrong = [EINVAL, ERANGE, EFAULT, EFBIG, E2BIG, EPERM];
    let both = (kernel.ret, engine.ret) == (-1, -1);
    both && engine.errno == EACCES && wrong.contains(&kernel.errno)
}
