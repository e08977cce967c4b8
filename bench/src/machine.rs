//! What the measurements were taken on, and how busy others kept it meanwhile.

use crate::sys;
use std::fs::{self, File};
use std::io::{Error, ErrorKind, Result, Write};
use std::time::Instant;

/// The machine, as a report names it.
pub struct Machine {
    /// The processor's model.
    pub model: String,
    /// How many CPUs this process may use.
    pub cpus: usize,
    /// The kernel's release.
    pub kernel: String,
}

impl Machine {
    /// Asks the running kernel.
    pub fn here() -> Machine {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpuinfo
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(field, _)| field.trim() == "model name")
            .map_or(std::env::consts::ARCH, |(_, model)| model.trim());
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Machine {
            model: model.into(),
            cpus: sys::allowed_cpus().map_or(1, |cpus| cpus.len()),
            kernel: kernel.trim().into(),
        }
    }
}

/// Keeps the CPUs out of their idle states for as long as it is open: a virtual machine that goes
/// idle is left and entered again at every sleep, which measures the hypervisor.
pub struct Awake {
    _request: File,
}

impl Awake {
    /// Asks for a latency of 0.
    pub fn ask() -> Result<Awake> {
        const DEVICE: &str = "/dev/cpu_dma_latency";
        const DRIVER: &str = "/sys/devices/system/cpu/cpuidle/current_driver";
        // Without a driver the kernel halts at once, whatever is asked.
        let driver = fs::read_to_string(DRIVER).unwrap_or_default();
        if matches!(driver.trim(), "" | "none") {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "there is no cpuidle driver",
            ));
        }
        let asked = File::options()
            .write(true)
            .open(DEVICE)
            .and_then(|mut request| {
                request.write_all(&0i32.to_ne_bytes())?;
                Ok(Awake { _request: request })
            });
        asked.map_err(|error| Error::new(error.kind(), format!("{DEVICE}: {error}")))
    }
}

/// The first CPU that we may use.
pub fn first_cpu() -> Result<usize> {
    let cpus = sys::allowed_cpus()?;
    cpus.first()
        .copied()
        .ok_or_else(|| Error::new(ErrorKind::NotFound, "no CPU"))
}

/// Two CPUs that we may use, on different cores if possible; `None` if there is only one.
pub fn two_cpus() -> Result<Option<(usize, usize)>> {
    let cpus = sys::allowed_cpus()?;
    let first = first_cpu()?;
    let path = format!("/sys/devices/system/cpu/cpu{first}/topology/thread_siblings_list");
    let siblings = cpu_list(&fs::read_to_string(path).unwrap_or_default());
    let others = || cpus.iter().copied().filter(|&cpu| cpu != first);
    let second = others()
        .find(|cpu| !siblings.contains(cpu))
        .or_else(|| others().next());
    Ok(second.map(|second| (first, second)))
}

/// Reads a list like `0-2,7`.
fn cpu_list(text: &str) -> Vec<usize> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse::<usize>().ok()?..=last.parse::<usize>().ok()?)
    };
    text.trim().split(',').filter_map(range).flatten().collect()
}

/// A reading of how much CPU time the machine and we have used so far.
pub struct Load {
    at: Instant,
    machine_ticks: u64,
    cpus: usize,
    own_us: u64,
}

impl Load {
    /// Reads the counters.
    pub fn now() -> Load {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        Load {
            at: Instant::now(),
            machine_ticks: busy_ticks(&stat),
            cpus: stat
                .lines()
                .filter(|line| line.starts_with("cpu") && !line.starts_with("cpu "))
                .count()
                .max(1),
            own_us: sys::family_cpu_us(),
        }
    }

    /// The share of the machine's capacity since `self` that others took: processes that are not
    /// ours, interrupts, and the hypervisor.
    pub fn foreign_share_since(&self) -> f64 {
        let now = Load::now();
        let seconds = (now.at - self.at).as_secs_f64();
        let ticks = now.machine_ticks.saturating_sub(self.machine_ticks);
        let busy = ticks as f64 / sys::ticks_per_second() as f64;
        let own = (now.own_us - self.own_us) as f64 / 1e6;
        // The counter moves in ticks, on each CPU for itself: below that it proves nothing.
        let blur = (self.cpus + 1) as f64 / sys::ticks_per_second() as f64;
        ((busy - own - blur) / (seconds * self.cpus as f64)).clamp(0.0, 1.0)
    }
}

/// The sum of `/proc/stat`'s user, nice, system, irq, softirq and steal.
fn busy_ticks(stat: &str) -> u64 {
    let fields = stat
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1);
    let ticks: Vec<u64> = fields.map(|field| field.parse().unwrap_or(0)).collect();
    [0, 1, 2, 5, 6, 7]
        .iter()
        .filter_map(|&index| ticks.get(index))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_lists_have_ranges_and_singles() {
        assert_eq!(cpu_list("0-2,7\n"), [0, 1, 2, 7]);
        assert_eq!(cpu_list("3"), [3]);
        assert!(cpu_list("").is_empty());
    }

    #[test]
    fn idle_and_iowait_are_not_busy() {
        assert_eq!(
            busy_ticks("cpu  1 20 300 9999 8888 4000 50000 600000 7 7\ncpu0 1"),
            654_321
        );
        assert_eq!(busy_ticks(""), 0);
    }
}
