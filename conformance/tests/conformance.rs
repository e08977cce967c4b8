//! Every scenario as two trials: `kernel::NAME`, and `usysv::NAME`, which must show the same.

use libtest_mimic::{Arguments, Failed, Trial};
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use usysv_conformance::compare::difference;
use usysv_conformance::runner::{self, Power, Run, Side};
use usysv_conformance::scenarios::{self, Scenario};

const PROGRAM: &str = env!("CARGO_BIN_EXE_usysv-conformance");

/// The kernel's runs, made when first asked for: both trials of a scenario use the same one.
struct Oracle {
    power: Power,
    runs: HashMap<&'static str, OnceLock<Run>>,
}

impl Oracle {
    fn run(&self, scenario: &'static Scenario) -> &Run {
        let play = || runner::run(Path::new(PROGRAM), scenario, Side::Kernel, self.power);
        self.runs[scenario.name].get_or_init(play)
    }

    fn kernel_trial(&self, scenario: &'static Scenario) -> Result<(), Failed> {
        judge(self.run(scenario), None)
    }

    fn usysv_trial(&self, scenario: &'static Scenario) -> Result<(), Failed> {
        let shown = self.same_on_usysv(scenario);
        match (differs(scenario.name), shown) {
            (None, shown) => shown,
            (Some(_), Err(_)) => Ok(()),
            (Some(why), Ok(())) => Err(format!(
                "the same as the kernel's now, though listed as different ({why}): off the list"
            )
            .into()),
        }
    }

    fn same_on_usysv(&self, scenario: &'static Scenario) -> Result<(), Failed> {
        runner::library(Path::new(PROGRAM))?;
        let kernel = self.run(scenario);
        if kernel.failure.is_some() {
            return Err(format!(
                "kernel::{} failed: there is nothing to compare with",
                scenario.name
            )
            .into());
        }
        let usysv = runner::run(Path::new(PROGRAM), scenario, Side::Usysv, self.power);
        judge(&usysv, difference(&kernel.transcript, &usysv.transcript))
    }
}

/// Where usysv is known to differ from the kernel, and why. Each is shown to differ still: a trial
/// that shows no difference any more fails.
const DIFFERS: &[(&str, &[&str])] = &[
    (
        "a namespace is a path: after chroot only queues that are already open work",
        &["changing_root_changes_nothing"],
    ),
    (
        "a limit is a text file: a write is judged when it is next used, and is read as a file",
        &[
            "limits_have_bounds",
            "limits_read_in_small_pieces_end_after_the_first",
            "limits_refuse_nonsense",
            "sem_limits_beyond_four_are_ignored",
            "sem_limits_read_in_small_pieces_end_after_the_first",
            "sem_limits_refuse_a_wrong_semmni",
            "sem_limits_refuse_nonsense",
        ],
    ),
    (
        "a segment is two files: it needs a descriptor for a moment, and obeys RLIMIT_FSIZE",
        &[
            "segment_is_no_file_for_the_file_size_limit",
            "segment_needs_no_descriptors",
        ],
    ),
    (
        "a segment's bytes are a file: CAP_IPC_OWNER alone does not open it (CAP_DAC_OVERRIDE does)",
        &["user_with_cap_ipc_owner_attaches_anything"],
    ),
    (
        "a stopped process keeps its place in line (a receiver for a second), and its wait goes on",
        &[
            "stop_and_continue_interrupt_a_semop",
            "stopped_sleeper_waits_for_nothing",
            "stopped_and_continued_receiver_goes_to_the_end_of_the_line",
            "stopped_receiver_holds_nothing_back",
        ],
    ),
    (
        "a vfork child that calls before its exec passes for its parent",
        &[
            "vforked_child_has_undo_of_its_own",
            "vforked_child_operates_under_its_own_pid",
            "vforked_child_sends_under_its_own_pid",
            "vforked_child_that_execs_keeps_its_undo",
        ],
    ),
    (
        "only absolute paths below /proc are recognised",
        &["sem_table_read_by_other_programs_is_the_same"],
    ),
    (
        "a process has one undo list: neither clone(2) nor unshare(2) with CLONE_SYSVSEM is seen",
        &[
            "clone_that_shares_undo_keeps_it_until_both_end",
            "clone_that_shares_undo_outlives_its_parent",
            "unshare_of_undo_applies_it_at_once",
            "unshare_of_undo_by_a_thread_leaves_the_others",
        ],
    ),
];

fn differs(name: &str) -> Option<&'static str> {
    let list = DIFFERS.iter().find(|(_, names)| names.contains(&name))?;
    Some(list.0)
}

/// Lines of a failed run's transcript that are shown: what came last.
const LAST: usize = 30;

fn judge(run: &Run, differs: Option<String>) -> Result<(), Failed> {
    let complaints: Vec<&str> = run
        .failure
        .iter()
        .chain(&differs)
        .map(String::as_str)
        .collect();
    if complaints.is_empty() {
        return Ok(());
    }
    let mut report = complaints.join("\n");
    if differs.is_none() {
        let skipped = run.transcript.len().saturating_sub(LAST);
        let last = run.transcript[skipped..].join("\n");
        report.push_str(&format!("\nso far ({skipped} lines before these):\n{last}"));
    }
    Err(report.into())
}

fn main() {
    let arguments = Arguments::from_args();
    let power = Power::probe();
    let runs = scenarios::all()
        .map(|scenario| (scenario.name, OnceLock::new()))
        .collect();
    let oracle = Arc::new(Oracle { power, runs });
    let mut trials = Vec::new();
    let mut skipped: HashMap<&str, Vec<&str>> = HashMap::new();
    for scenario in scenarios::all() {
        let lacking = power.lacks(scenario);
        if let Some(reason) = lacking {
            skipped.entry(reason).or_default().push(scenario.name);
        }
        let mut add = |side: &str, play: fn(&Oracle, &'static Scenario) -> Result<(), Failed>| {
            let oracle = Arc::clone(&oracle);
            let trial = Trial::test(format!("{side}::{}", scenario.name), move || {
                play(&oracle, scenario)
            });
            trials.push(trial.with_ignored_flag(lacking.is_some()));
        };
        add("kernel", Oracle::kernel_trial);
        add("usysv", Oracle::usysv_trial);
    }
    for (reason, names) in skipped {
        eprintln!(
            "SKIPPED: {} scenarios, because {reason}: {}",
            names.len(),
            names.join(", ")
        );
    }
    for (why, names) in DIFFERS {
        eprintln!("KNOWN TO DIFFER: {}: {why}", names.join(", "));
    }
    libtest_mimic::run(&arguments, trials).exit();
}
