//! The machine: its cores, its limits, and what is said about it above a table.

use std::process::Command;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::Failure;

/// Open files that the largest workload needs on either side of the proxy, with room.
const FILES: u64 = 65_536;

/// Which core does what. The proxy has its cores for itself where there are enough.
#[derive(Debug)]
pub(super) struct Cores {
    count: usize,
}

impl Cores {
    /// The cores of this machine.
    pub(super) fn of_this_machine() -> Self {
        let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let count = text.lines().filter(|line| line.starts_with("processor")).count();
        Self { count: count.max(1) }
    }

    /// The proxy's, as taskset takes them.
    pub(super) fn of_proxy(&self, threads: usize) -> String {
        format!("0-{}", threads.min(self.count) - 1)
    }

    /// The first and the last of the generator's and the backend's.
    fn of_the_rest(&self) -> (usize, usize) {
        let first = if self.count > 2 { 2 } else { self.count - 1 };
        (first, self.count - 1)
    }

    /// The generator's and the backend's, as taskset takes them.
    pub(super) fn of_load(&self) -> String {
        let (first, last) = self.of_the_rest();
        format!("{first}-{last}")
    }

    /// Moves this program, and what it starts from now on, away from the proxy's cores.
    pub(super) fn pin_this_program(&self) -> Result<(), Failure> {
        let (first, last) = self.of_the_rest();
        let mut set = CpuSet::new();
        (first..=last).for_each(|core| set.set(core));
        sched_setaffinity(None, &set).map_err(|error| format!("pinning: {error}"))
    }
}

/// Raises the limit of open files of this program and of what it starts, as far as it may.
pub(super) fn raise_limits() {
    let most = Rlimit { current: Some(FILES), maximum: Some(FILES) };
    let enough = |limit: Option<u64>| limit.is_none_or(|limit| limit >= FILES);
    let now = getrlimit(Resource::Nofile);
    if enough(now.current) || setrlimit(Resource::Nofile, most).is_ok() {
        return;
    }
    let _ = setrlimit(Resource::Nofile, Rlimit { current: now.maximum, ..now });
}

/// One sentence about the processor, the kernel and what else runs.
pub(super) fn description() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find(|line| line.starts_with("model name"));
    let model = model.and_then(|line| line.split_once(": ")).map_or("unknown", |(_, name)| name);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().next().unwrap_or("?");
    let cores = Cores::of_this_machine().count;
    let kernel = kernel.split(['-', '\n']).next().unwrap_or_default();
    format!("{cores} cores ({model}), Linux {kernel}, load average {load} at the start")
}

/// Today, as in 2026-01-31, in UTC.
pub(super) fn today() -> String {
    first_line("date", &["-u", "+%F"]).unwrap_or_else(|| "undated".to_owned())
}

/// The first line that a program prints, on either of its outputs.
pub(super) fn first_line(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    text.lines().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned)
}
