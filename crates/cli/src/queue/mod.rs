//! `send`, `recv` and `peek`: messages by hand.

mod peek;
mod recv;
mod send;
mod text;

pub use peek::peek;
pub use recv::recv;
pub use send::send;

use crate::args;
use crate::key::Target;

/// The queue that the arguments name; clap has seen to it that there is exactly one.
fn target(queue: args::Queue) -> Target {
    match (queue.key, queue.id) {
        (Some(key), _) => Target::Key(key),
        (None, id) => Target::Id(id.unwrap_or(-1)),
    }
}
