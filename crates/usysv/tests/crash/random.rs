//! Processes under load, killed anywhere; afterwards everything is accounted for.
//!
//! How many are killed is `USYSV_CRASH_KILLS` for each of the suites, or a slice that takes seconds.

mod queues;
mod segments;
mod sets;

use crate::rig::*;
use std::time::Duration;

/// Numbers that need not be good ones.
struct Dice(u64);

impl Dice {
    /// Others in each process.
    fn new() -> Dice {
        Dice(u64::from(std::process::id()) << 20 | 0x9e37)
    }

    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// Processes that are killed by and by, each replaced by another.
struct Victims<S> {
    start: S,
    running: Vec<Child>,
    dice: Dice,
}

impl<S: FnMut(usize) -> Child> Victims<S> {
    fn start(count: usize, mut start: S) -> Victims<S> {
        Victims {
            running: (0..count).map(&mut start).collect(),
            start,
            dice: Dice::new(),
        }
    }

    /// Lets them run for a moment, kills one of them, and starts another in its place. `dead` is
    /// called in between, with its number.
    fn kill_one(&mut self, dead: impl FnOnce(usize)) {
        let who = self.wait_and_choose();
        self.kill(who, dead);
    }

    /// Lets them run for a moment, and says who is to be killed.
    fn wait_and_choose(&mut self) -> usize {
        let moment = Duration::from_micros(300 + self.dice.roll(4000));
        std::thread::sleep(moment);
        self.dice.roll(self.running.len() as u64) as usize
    }

    fn kill(&mut self, who: usize, dead: impl FnOnce(usize)) {
        let victim = self.running.swap_remove(who);
        victim.kill();
        assert_eq!(victim.wait(), KILLED, "process {who}");
        dead(who);
        self.running.push((self.start)(who));
        let last = self.running.len() - 1;
        self.running.swap(who, last);
    }

    /// Kills all. `dead` is called with the number of each.
    fn kill_all(self, mut dead: impl FnMut(usize)) {
        for (who, victim) in self.running.into_iter().enumerate() {
            victim.kill();
            assert_eq!(victim.wait(), KILLED, "process {who}");
            dead(who);
        }
    }
}

/// A number with commas.
fn commas(number: usize) -> String {
    let digits = number.to_string();
    let threes: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|three| std::str::from_utf8(three).expect("digits"))
        .collect();
    threes.join(",")
}
