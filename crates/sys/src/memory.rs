//! The memory of the process.

unsafe extern "C" {
    /// Of mimalloc; libmimalloc-sys declares it only with its feature `extended`.
    fn mi_process_info(
        elapsed_msecs: *mut usize,
        user_msecs: *mut usize,
        system_msecs: *mut usize,
        current_rss: *mut usize,
        peak_rss: *mut usize,
        current_commit: *mut usize,
        peak_commit: *mut usize,
        page_faults: *mut usize,
    );
}

/// The memory of the process, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// The resident set, by the kernel.
    pub resident: u64,
    /// The largest resident set so far.
    pub peak: u64,
    /// What the allocator has committed, used or not.
    pub committed: u64,
}

impl Memory {
    /// The memory now. Takes microseconds.
    pub fn now() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        Self {
            resident: field(&status, "VmRSS:"),
            peak: field(&status, "VmHWM:"),
            committed: committed() as u64,
        }
    }
}

/// A field of `/proc/PID/status` in bytes (proc_pid_status(5)); 0 if it is not there.
fn field(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
    kibibytes.unwrap_or(0) * 1024
}

fn committed() -> usize {
    let mut numbers = [0_usize; 8];
    let [elapsed, user, system, rss, peak, commit, peak_commit, faults] = &mut numbers;
    // SAFETY: each pointer is to a number of its own, which lives during the call.
    unsafe {
        mi_process_info(elapsed, user, system, rss, peak, commit, peak_commit, faults);
    }
    numbers[5]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_in_bytes() {
        let status = "Name:\tweir\nVmHWM:\t  2048 kB\nVmRSS:\t    12 kB\n";
        assert_eq!((field(status, "VmRSS:"), field(status, "VmHWM:")), (12 * 1024, 2048 * 1024));
        assert_eq!(field(status, "VmSwap:"), 0);
        let now = Memory::now();
        assert!(now.resident > 0 && now.peak >= now.resident, "{now:?}");
    }
}
