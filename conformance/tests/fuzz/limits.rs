//! The limits of an IPC namespace, as files of `/proc/sys/kernel`: small enough to be met.

use crate::dice::Dice;
use crate::hands::Hands;
use std::ffi::CStr;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[rustfmt::skip]
pub enum Limit { Msgmni, Msgmax, Msgmnb, Semmsl, Semmns, Semopm, Semmni, Shmmni, Shmmax, Shmall }

use Limit::*;

/// A low value.
pub fn random(dice: &mut Dice) -> (Limit, u32) {
    let limit = dice.of(&[
        Msgmni, Msgmax, Msgmnb, Semmsl, Semmns, Semopm, Semmni, Shmmni, Shmmax, Shmall,
    ]);
    let value = match limit {
        Msgmni | Semmni | Shmmni => 1 + dice.roll(4) as u32,
        Msgmax => dice.of(&[0, 5, 10, 30, 8192]),
        Msgmnb => dice.of(&[1, 10, 100, 1000, 16384, 70000]),
        Semmsl => dice.of(&[1, 3, 6]),
        Semmns => dice.of(&[1, 6, 10, 20]),
        Semopm => dice.of(&[1, 2, 4, 12, 64]),
        Shmmax => dice.of(&[1, 4096, 8191, 8192]),
        Shmall => dice.of(&[1, 2, 5]),
    };
    (limit, value)
}

/// The file, and which of its numbers: those of semaphores share one.
fn file(limit: Limit) -> (&'static CStr, Option<usize>) {
    match limit {
        Msgmni => (c"/proc/sys/kernel/msgmni", None),
        Msgmax => (c"/proc/sys/kernel/msgmax", None),
        Msgmnb => (c"/proc/sys/kernel/msgmnb", None),
        Semmsl => (c"/proc/sys/kernel/sem", Some(0)),
        Semmns => (c"/proc/sys/kernel/sem", Some(1)),
        Semopm => (c"/proc/sys/kernel/sem", Some(2)),
        Semmni => (c"/proc/sys/kernel/sem", Some(3)),
        Shmmni => (c"/proc/sys/kernel/shmmni", None),
        Shmmax => (c"/proc/sys/kernel/shmmax", None),
        Shmall => (c"/proc/sys/kernel/shmall", None),
    }
}

/// What a namespace begins with.
const FIRST: [(&CStr, &str); 7] = [
    (c"/proc/sys/kernel/msgmni", "32000"),
    (c"/proc/sys/kernel/msgmax", "8192"),
    (c"/proc/sys/kernel/msgmnb", "16384"),
    (c"/proc/sys/kernel/sem", "32000 1024000000 500 32000"),
    (c"/proc/sys/kernel/shmmni", "4096"),
    (c"/proc/sys/kernel/shmmax", "18446744073692774399"),
    (c"/proc/sys/kernel/shmall", "18446744073692774399"),
];

/// Writes a limit; without one, all as they were at first.
pub fn write(limit: Option<(Limit, u32)>, hands: &mut Hands) {
    let Some((limit, value)) = limit else {
        for (file, text) in FIRST {
            hands.call(|| write_file(file, text));
            assert!(hands.reply.ret > 0, "{file:?}");
        }
        return;
    };
    let (file, place) = file(limit);
    hands.call(|| match place {
        None => write_file(file, &value.to_string()),
        Some(place) => {
            let text = read_file(file);
            let mut numbers: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
            if let Some(number) = numbers.get_mut(place) {
                *number = value.to_string();
            }
            write_file(file, &numbers.join(" "))
        }
    });
}

fn write_file(name: &CStr, text: &str) -> i64 {
    // SAFETY: a NUL-terminated name; bytes that outlive the call.
    unsafe {
        let fd = libc::open(name.as_ptr(), libc::O_WRONLY);
        let written = libc::write(fd, text.as_ptr().cast(), text.len());
        libc::close(fd);
        written as i64
    }
}

fn read_file(name: &CStr) -> String {
    let mut text = [0u8; 200];
    // SAFETY: a NUL-terminated name; room for as many bytes.
    let len = unsafe {
        let fd = libc::open(name.as_ptr(), libc::O_RDONLY);
        let len = libc::read(fd, text.as_mut_ptr().cast(), text.len());
        libc::close(fd);
        len
    };
    String::from_utf8_lossy(&text[..len.max(0) as usize]).into_owned()
}
