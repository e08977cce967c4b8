//! The scenarios' words for message queues: `msgget`, `msgsnd`, `msgrcv`. Each makes one C call and
//! records it.

use crate::call;
use crate::ids::{index_of, sequence_of, show_get_flags, show_key};
use crate::memory::Area;
use crate::stage::{Outcome, Stage, show_bytes, show_flags};
use libc::{IPC_NOWAIT, IPC_PRIVATE, MSG_COPY, MSG_EXCEPT, MSG_NOERROR};
use std::ffi::c_long;

pub use crate::call::Message;
pub use crate::ids::IPCMNI;
pub use crate::msgctl::{MSG_STAT_ANY, Stat};

/// A queue's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue(pub i32);

impl Queue {
    /// Its place in the table of queues.
    pub fn index(self) -> i32 {
        index_of(self.0)
    }

    /// How often places were begun anew before it.
    pub fn sequence(self) -> i32 {
        sequence_of(self.0)
    }
}

fn show_msg_flags(flags: i32) -> String {
    let names = [
        (IPC_NOWAIT, "IPC_NOWAIT"),
        (MSG_NOERROR, "MSG_NOERROR"),
        (MSG_EXCEPT, "MSG_EXCEPT"),
        (MSG_COPY, "MSG_COPY"),
    ];
    if flags == 0 {
        "0".to_owned()
    } else {
        show_flags(flags, &names)
    }
}

fn show_type(mtype: c_long) -> String {
    match mtype {
        c_long::MIN => "LONG_MIN".to_owned(),
        c_long::MAX => "LONG_MAX".to_owned(),
        mtype => mtype.to_string(),
    }
}

impl Stage {
    /// `msgget(key, flags)`
    pub fn get(&self, key: i32, flags: i32) -> Outcome<Queue> {
        self.call(
            format_args!("msgget({}, {})", show_key(key), show_get_flags(flags)),
            || call::msgget(key, flags).map(Queue),
            |queue| self.id_role(queue.0),
        )
    }

    /// `msgget(IPC_PRIVATE, 0600)`: a queue to begin with.
    pub fn private(&self) -> Queue {
        self.get(IPC_PRIVATE, 0o600).must()
    }

    /// `msgsnd(queue, {mtype, text}, text.len(), flags)`
    pub fn send(
        &self,
        queue: Queue,
        mtype: c_long,
        text: impl AsRef<[u8]>,
        flags: i32,
    ) -> Outcome<()> {
        let text = text.as_ref();
        self.call(
            format_args!(
                "msgsnd({}, {{{}, {}}}, {}, {})",
                self.id_role(queue.0),
                show_type(mtype),
                show_bytes(text),
                text.len(),
                show_msg_flags(flags)
            ),
            || call::msgsnd(queue.0, mtype, text, flags),
            |()| "0".to_owned(),
        )
    }

    /// `msgsnd(..., IPC_NOWAIT)` that must succeed: for scenes to be set up.
    #[track_caller]
    pub fn put(&self, queue: Queue, mtype: c_long, text: &str) {
        self.send(queue, mtype, text, IPC_NOWAIT).must();
    }

    /// `msgrcv(queue, buffer, size, mtype, flags)`
    pub fn recv(&self, queue: Queue, size: usize, mtype: c_long, flags: i32) -> Outcome<Message> {
        self.call(
            format_args!(
                "msgrcv({}, , {size}, {}, {})",
                self.id_role(queue.0),
                show_type(mtype),
                show_msg_flags(flags)
            ),
            || call::msgrcv(queue.0, size, mtype, flags),
            |message| {
                let text = &message.text;
                format!(
                    "{}, {{{}, {}}}",
                    text.len(),
                    show_type(message.mtype),
                    show_bytes(text)
                )
            },
        )
    }

    /// `msgrcv(..., IPC_NOWAIT)` that must succeed: the text of the next message of this type.
    #[track_caller]
    pub fn take(&self, queue: Queue, mtype: c_long) -> String {
        let message = self.recv(queue, 8192, mtype, IPC_NOWAIT).must();
        String::from_utf8_lossy(&message.text).into_owned()
    }

    /// Takes all messages that there are, in order: their types and texts.
    pub fn drain(&self, queue: Queue) -> Vec<(c_long, String)> {
        let mut all = Vec::new();
        while let Ok(message) = self.recv(queue, 8192, 0, IPC_NOWAIT).result() {
            all.push((
                message.mtype,
                String::from_utf8_lossy(&message.text).into_owned(),
            ));
        }
        all
    }

    /// Asserts that there is no message to receive.
    #[track_caller]
    pub fn is_empty(&self, queue: Queue) {
        self.recv(queue, 8192, 0, IPC_NOWAIT).fails(libc::ENOMSG);
    }

    /// `msgsnd(id, area, size, flags)`
    pub fn send_from(&self, queue: Queue, area: &Area, size: usize, flags: i32) -> Outcome<()> {
        self.call(
            format_args!(
                "msgsnd({}, area, {size}, {})",
                self.id_role(queue.0),
                show_msg_flags(flags)
            ),
            || call::msgsnd_from(queue.0, area, size, flags),
            |()| "0".to_owned(),
        )
    }

    /// `msgrcv(id, area, size, mtype, flags)`
    pub fn recv_into(
        &self,
        queue: Queue,
        area: &Area,
        size: usize,
        mtype: c_long,
        flags: i32,
    ) -> Outcome<usize> {
        self.call(
            format_args!(
                "msgrcv({}, area, {size}, {}, {})",
                self.id_role(queue.0),
                show_type(mtype),
                show_msg_flags(flags)
            ),
            || call::msgrcv_into(queue.0, area, size, mtype, flags),
            ToString::to_string,
        )
    }
}
