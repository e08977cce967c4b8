//! Endurance: crowds, scarcity, odd places, storms, and hand-overs without end.
//!
//! Each case says what it expects and why; one that this machine does not permit says that it was
//! not run. `cargo test` plays each once; `make soak` plays all of them in turn for
//! `USYSV_SOAK_SECONDS` (an hour without it) and prints counts.

mod crowds;
mod handovers;
mod idle;
mod places;
#[path = "../crash/rig.rs"]
#[allow(dead_code)]
mod rig;
mod scarcity;
mod storms;
mod strangers;

use std::sync::Mutex;
use std::time::{Duration, Instant};

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
    strangers::a_stopped_holder_of_another_pid_namespace,
    storms::stop_and_continue,
    handovers::no_hand_over_stalls,
    idle::idle_sleepers_use_no_cpu,
    idle::who_sleeps_alone_does_not_run,
    idle::a_sleeper_whose_watches_are_all_killed,
];

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{name}: not a number")))
}

#[test]
#[ignore = "started by the hand-overs"]
fn the_hand_overs_of_a_process() {
    let ms = number("USYSV_HAND_OVERS_MS").expect("how long");
    handovers::play(Duration::from_millis(ms));
}

#[test]
#[ignore = "make soak: for an hour"]
fn soak() {
    let seconds = number("USYSV_SOAK_SECONDS").unwrap_or(3600);
    let begun = Instant::now();
    let (mut rounds, mut hand_overs) = (0, 0);
    while begun.elapsed().as_secs() < seconds {
        for (name, case) in CASES {
            let begun = Instant::now();
            case();
            eprintln!("soak: {name}: {:.1} s", begun.elapsed().as_secs_f64());
        }
        rounds += 1;
        let left = Duration::from_secs(seconds).saturating_sub(begun.elapsed());
        hand_overs += handovers::in_processes(left.min(Duration::from_secs(60)));
        eprintln!(
            "soak: {rounds} rounds of {} cases, {hand_overs} hand-overs, in {:.0} s: no failure",
            CASES.len(),
            begun.elapsed().as_secs_f64()
        );
    }
}
