//! Endurance: crowds, scarcity, odd places, storms, and hand-overs without end.
//!
//! Each case says what it expects and why; one that this machine does not permit says that it was
//! not run. `cargo test` plays each once; `make soak` plays all of them in turn for
//! `USYSV_SOAK_SECONDS` (an hour without it) and prints counts.

mod crowds;
mod idle;
mod places;
#[path = "../crash/rig.rs"]
#[allow(dead_code)]
mod rig;
mod scarcity;
mod storms;

use std::sync::Mutex;

/// Cases have the machine for themselves: they measure and count on time.
static ALONE: Mutex<()> = Mutex::new(());

/// Numbers that need not be good ones.
struct Dice(u64);

impl Dice {
    fn new() -> Dice {
        let now = std::time::UNIX_EPOCH.elapsed().expect("a clock");
        Dice(now.as_nanos() as u64 | 1)
    }

    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

macro_rules! cases {
    ($($module:ident::$case:ident,)*) => {
        const CASES: &[(&str, fn())] = &[$((stringify!($case), $module::$case),)*];
        $(#[test]
        fn $case() {
            let _alone = ALONE.lock().unwrap_or_else(|failed| failed.into_inner());
            $module::$case();
        })*
    };
}

cases![
    crowds::a_thousand_processes_on_one_queue,
    crowds::a_thousand_processes_on_one_semaphore,
    crowds::ten_thousand_queues,
    crowds::fork_bombs_leave_nothing_held,
    scarcity::descriptors_run_out,
    scarcity::nobody_is_dead_for_lack_of_a_descriptor,
    scarcity::a_full_file_system,
    scarcity::address_space_runs_out,
    scarcity::files_may_not_grow,
    scarcity::recovery_where_files_may_not_grow,
    scarcity::a_read_only_namespace,
    places::two_pid_namespaces,
    places::two_containers_with_a_bind_mount,
    places::a_pid_that_is_used_again,
    places::clocks_that_differ,
    storms::stop_and_continue,
    idle::idle_sleepers_use_no_cpu,
    idle::a_sleeper_whose_watches_are_all_killed,
];

#[test]
#[ignore = "make soak: for an hour"]
fn soak() {
    let _ = CASES;
}
