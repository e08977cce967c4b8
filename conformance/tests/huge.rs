//! The scenarios of huge pages, which need some: reserved here for the run, one scenario after the
//! other, in a mount namespace of this program's own with a hugetlbfs in it.
#![allow(unsafe_code)]

use libtest_mimic::{Arguments, Failed, Trial};
use std::ffi::CStr;
use std::path::Path;
use std::time::{Duration, Instant};
use usysv_conformance::compare::difference;
use usysv_conformance::runner::{self, Power, Run, Side};
use usysv_conformance::scenarios::{self, Scenario};

const PROGRAM: &str = env!("CARGO_BIN_EXE_usysv-conformance");
const COUNT: &str = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";
const FREE: &str = "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages";
const PROMISED: &str = "/sys/kernel/mm/hugepages/hugepages-2048kB/resv_hugepages";
const GROUP: &str = "/proc/sys/vm/hugetlb_shm_group";
/// As `scenarios/huge.rs` expects them.
const PAGES: u32 = 8;
const STAFF: u32 = 5000;

/// Where usysv is known to differ, and why; each is shown to differ still.
const DIFFERS: &[(&str, &str)] = &[(
    "huge_segment_given_away_opens_to_the_new_owner",
    "a hugetlbfs has no access lists: an owner who is not the creator gets in by the mode only",
)];

/// What was changed for all programs of this machine, to be set back.
struct World {
    set_back: Vec<(&'static str, String)>,
}

impl World {
    fn make(power: Power) -> Result<World, String> {
        if power != Power::Root {
            return Err("huge pages are root's to reserve".to_owned());
        }
        let mut world = World { set_back: vec![] };
        if read(COUNT)? != read(FREE)? {
            return Err("somebody uses huge pages: they are left alone".to_owned());
        }
        world.set(COUNT, PAGES)?;
        if read(COUNT)? != PAGES.to_string() {
            return Err(format!("the kernel has no {PAGES} huge pages to give"));
        }
        world.set(GROUP, STAFF)?;
        mount_hugetlbfs()?;
        Ok(world)
    }

    fn set(&mut self, path: &'static str, value: u32) -> Result<(), String> {
        self.set_back.push((path, read(path)?));
        std::fs::write(path, value.to_string()).map_err(|e| format!("{path}: {e}"))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for (path, value) in self.set_back.drain(..) {
            if let Err(error) = std::fs::write(path, &value) {
                eprintln!("{path} stays changed, was {value}: {error}");
            }
        }
    }
}

fn read(path: &str) -> Result<String, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{path}: {e}"))?;
    Ok(text.trim().to_owned())
}

/// Over /mnt, for this process and its children only.
fn mount_hugetlbfs() -> Result<(), String> {
    let done = |what: &str, ret: i32| match ret {
        0 => Ok(()),
        _ => Err(format!("{what}: {}", std::io::Error::last_os_error())),
    };
    let (none, data): (_, &CStr) = (std::ptr::null(), c"pagesize=2M,mode=1777");
    // SAFETY: changes which mounts this process sees; the strings are constants.
    unsafe {
        done("unshare", libc::unshare(libc::CLONE_NEWNS))?;
        let private = libc::MS_REC | libc::MS_PRIVATE;
        done(
            "mount",
            libc::mount(none, c"/".as_ptr(), none, private, none.cast()),
        )?;
        let kind = c"hugetlbfs".as_ptr();
        let mounted = libc::mount(kind, c"/mnt".as_ptr(), kind, 0, data.as_ptr().cast());
        done("mounting a hugetlbfs", mounted)
    }
}

/// Plays a scenario, and gives back what its world left: the kernel frees an IPC namespace some
/// time after its last process, and a namespace's directory was removed by hand.
fn run(scenario: &Scenario, side: Side, power: Power) -> Result<Run, String> {
    let run = runner::run(Path::new(PROGRAM), scenario, side, power);
    let left = std::fs::read_dir("/mnt").map_err(|e| format!("/mnt: {e}"))?;
    for file in left.flatten() {
        std::fs::remove_file(file.path()).map_err(|e| format!("{:?}: {e}", file.path()))?;
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    while read(FREE)? != PAGES.to_string() || read(PROMISED)? != "0" {
        if Instant::now() > deadline {
            return Err(format!("{} huge pages are free, not {PAGES}", read(FREE)?));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(run)
}

fn play(scenario: &'static Scenario, power: Power) -> Result<(), Failed> {
    runner::library(Path::new(PROGRAM))?;
    let kernel = run(scenario, Side::Kernel, power)?;
    if let Some(failure) = kernel.failure {
        return Err(format!("kernel: {failure}\n{}", kernel.transcript.join("\n")).into());
    }
    let usysv = run(scenario, Side::Usysv, power)?;
    let differs = difference(&kernel.transcript, &usysv.transcript);
    let complaints: Vec<String> = usysv.failure.into_iter().chain(differs).collect();
    let known = DIFFERS.iter().find(|(name, _)| *name == scenario.name);
    match (complaints.is_empty(), known) {
        (true, None) | (false, Some(_)) => Ok(()),
        (true, Some((_, why))) => Err(format!("no difference any more: {why}").into()),
        (false, None) => Err(complaints.join("\n").into()),
    }
}

fn main() {
    let mut arguments = Arguments::from_args();
    // They count the machine's huge pages.
    arguments.test_threads = Some(1);
    let power = Power::probe();
    let world = match World::make(power) {
        Ok(world) => Some(world),
        Err(why) => {
            eprintln!("SKIPPED: all scenarios of huge pages, because {why}");
            None
        }
    };
    for (name, why) in DIFFERS {
        eprintln!("KNOWN TO DIFFER: {name}: {why}");
    }
    let trial = |scenario: &'static Scenario| {
        let trial = Trial::test(scenario.name, move || play(scenario, power));
        trial.with_ignored_flag(world.is_none())
    };
    let trials = scenarios::HUGE.iter().map(trial).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    drop(world);
    conclusion.exit();
}
