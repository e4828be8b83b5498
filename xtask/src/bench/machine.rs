//! The machine: its cores, its limits, and its description above a table.

use std::process::Command;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::Failure;

/// The open files needed on either side of the proxy by the largest workload, with a margin.
const FILES: u64 = 65_536;

/// The assignment of cores. The proxy has its own where there are enough.
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

    /// The proxy's cores in taskset's notation.
    pub(super) fn of_proxy(&self, threads: usize) -> String {
        format!("0-{}", threads.min(self.count) - 1)
    }

    /// The first and last core of generator and backend.
    fn of_the_rest(&self) -> (usize, usize) {
        let first = if self.count > 2 { 2 } else { self.count - 1 };
        (first, self.count - 1)
    }

    /// The cores of generator and backend in taskset's notation.
    pub(super) fn of_load(&self) -> String {
        let (first, last) = self.of_the_rest();
        format!("{first}-{last}")
    }

    /// Moves this program and its later children off the proxy's cores.
    pub(super) fn pin_this_program(&self) -> Result<(), Failure> {
        let (first, last) = self.of_the_rest();
        let mut set = CpuSet::new();
        (first..=last).for_each(|core| set.set(core));
        sched_setaffinity(None, &set).map_err(|error| format!("pinning: {error}"))
    }
}

/// Raises the limit of open files of this program and its children as far as permitted.
pub(super) fn raise_limits() {
    let most = Rlimit { current: Some(FILES), maximum: Some(FILES) };
    let enough = |limit: Option<u64>| limit.is_none_or(|limit| limit >= FILES);
    let now = getrlimit(Resource::Nofile);
    if enough(now.current) || setrlimit(Resource::Nofile, most).is_ok() {
        return;
    }
    let _ = setrlimit(Resource::Nofile, Rlimit { current: now.maximum, ..now });
}

/// A sentence about the processor, the kernel, its congestion control and the load.
pub(super) fn description() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find(|line| line.starts_with("model name"));
    let model = model.and_then(|line| line.split_once(": ")).map_or("unknown", |(_, name)| name);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().next().unwrap_or("?");
    let cores = Cores::of_this_machine().count;
    let kernel = kernel.split(['-', '\n']).next().unwrap_or_default();
    let control = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_congestion_control");
    let control = control.unwrap_or_default();
    let control = control.trim();
    format!("{cores} cores ({model}), Linux {kernel} ({control}), load average {load} at the start")
}

/// The date in UTC, such as 2026-01-31.
pub(super) fn today() -> String {
    first_line("date", &["-u", "+%F"]).unwrap_or_else(|| "undated".to_owned())
}

/// The first line of a program's output, on either stream.
pub(super) fn first_line(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    text.lines().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned)
}
