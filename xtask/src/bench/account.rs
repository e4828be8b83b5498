//! The cost of a server so far, from the kernel's accounts of all its processes.

use std::path::{Path, PathBuf};

/// The CPU time of all processes and threads of a server.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cpu {
    /// The total in nanoseconds, exact.
    nanoseconds: u64,
    /// Ticks in user space, for the split of the total.
    user: u64,
    /// Ticks in the kernel.
    kernel: u64,
}

impl Cpu {
    /// The time used by a process and its descendants.
    pub(super) fn of(process: u32) -> Self {
        let mut sum = Self::default();
        for process in family(process) {
            sum.nanoseconds += threads(process).iter().map(|thread| on_cpu(thread)).sum::<u64>();
            let fields = stat(process);
            let ticks = |at: usize| fields.get(at).and_then(|field| field.parse().ok());
            sum.user += ticks(USER).unwrap_or(0_u64);
            sum.kernel += ticks(USER + 1).unwrap_or(0_u64);
        }
        sum
    }

    /// The microseconds since an earlier account.
    pub(super) fn microseconds_since(self, earlier: Self) -> f64 {
        self.nanoseconds.saturating_sub(earlier.nanoseconds) as f64 / 1000.0
    }

    /// The percentage of user space since an earlier account.
    pub(super) fn user_share_since(self, earlier: Self) -> f64 {
        let user = self.user.saturating_sub(earlier.user) as f64;
        let kernel = self.kernel.saturating_sub(earlier.kernel) as f64;
        100.0 * user / (user + kernel).max(1.0)
    }
}

/// The memory of a process and its descendants in bytes; shared pages count once.
pub(super) fn memory(process: u32) -> u64 {
    let of = |process: u32| {
        let path = format!("/proc/{process}/smaps_rollup");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap_or("0");
        let kibibytes = line.split_whitespace().next().and_then(|number| number.parse().ok());
        kibibytes.unwrap_or(0_u64)
    };
    family(process).into_iter().map(of).sum::<u64>() * 1024
}

/// The kernel's ticks per second.
pub(super) const TICKS_PER_SECOND: f64 = 100.0;

/// The CPU time of a process and all its past and present children, in ticks.
pub(super) fn ticks(process: u32) -> u64 {
    let of = |fields: &[String], from: usize, to: usize| {
        let fields = fields.get(from..to).unwrap_or_default();
        fields.iter().filter_map(|field| field.parse::<u64>().ok()).sum::<u64>()
    };
    // The times of ended children follow those of the process.
    family(process).into_iter().map(|process| of(&stat(process), USER, USER + 4)).sum()
}

/// The peak resident memory of a process in KiB; 0 if it has ended.
pub(super) fn peak(process: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0");
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// The position of the parent's ID in `/proc/PID/stat`, counted after the program's name.
const PARENT: usize = 1;

/// The position of the ticks in user space; those in the kernel follow.
const USER: usize = 11;

/// The fields of `/proc/PID/stat` after the program's name.
fn stat(process: u32) -> Vec<String> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    rest.split_whitespace().map(str::to_owned).collect()
}

fn family(process: u32) -> Vec<u32> {
    let mut found = vec![process];
    let mut next = 0;
    while let Some(&process) = found.get(next) {
        found.extend(children(process));
        next += 1;
    }
    found
}

/// The running children of a process.
pub(super) fn children(process: u32) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let parent = process.to_string();
    numbers.filter(|&child| stat(child).get(PARENT) == Some(&parent)).collect()
}

fn threads(process: u32) -> Vec<PathBuf> {
    let tasks = Path::new("/proc").join(process.to_string()).join("task");
    let entries = std::fs::read_dir(tasks).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}

fn on_cpu(thread: &Path) -> u64 {
    let text = std::fs::read_to_string(thread.join("schedstat")).unwrap_or_default();
    text.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}
