//! All scenarios. Those of one mechanism live in its folder, one file per question.

mod huge;
mod msg;
mod sem;
mod shm;

use crate::runner::PRELOADED;
use crate::stage::Stage;

pub use huge::ALL as HUGE;

/// One scenario: its name says what it shows.
pub struct Scenario {
    /// The name, unique in the suite.
    pub name: &'static str,
    /// Whether it changes users, or what only root may.
    pub root: bool,
    /// Plays it.
    pub play: fn(&Stage),
}

/// Somebody without rights, and somebody else.
const ANN: u32 = 1000;
const BOB: u32 = 1001;
/// A group of which neither is a member by default.
const STAFF: u32 = 5000;

/// The scenarios of one file: a name each, with `needs_root` behind some.
macro_rules! table {
    (@root needs_root) => { true };
    (@root) => { false };
    ($($name:ident $($root:ident)?),* $(,)?) => {
        &[$($crate::scenarios::Scenario {
            name: stringify!($name),
            root: $crate::scenarios::table!(@root $($root)?),
            play: $name,
        }),*]
    };
}
pub(crate) use table;

/// Every scenario, in the order of the files.
pub fn all() -> impl Iterator<Item = &'static Scenario> {
    msg::ALL
        .iter()
        .chain(sem::ALL)
        .copied()
        .flatten()
        .chain(shm())
}

/// Those of shared memory.
pub fn shm() -> impl Iterator<Item = &'static Scenario> {
    shm::ALL.iter().copied().flatten()
}

/// The scenario of this name.
pub fn find(name: &str) -> Option<&'static Scenario> {
    all().chain(HUGE).find(|scenario| scenario.name == name)
}

/// Plays a scenario in this process and this world; a failed assertion ends the process.
pub fn play(scenario: &Scenario) {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        report(info);
        // Whoever fails, a child or a thread too, ends at once: no unwinding through the others.
        crate::process::exit_now(101);
    }));
    if std::env::var_os(PRELOADED).is_some() {
        let maps = std::fs::read_to_string("/proc/self/maps").expect("reading /proc/self/maps");
        let library = std::env::var("LD_PRELOAD").expect("LD_PRELOAD is set with it");
        assert!(
            maps.contains(&library),
            "{library} was not loaded into the player"
        );
    }
    let stage = Stage::open();
    (scenario.play)(&stage);
    stage.close();
}
