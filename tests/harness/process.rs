//! Processes: the binary under test, signals, and information from /proc.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::LazyLock;

use rustix::process::Pid;
pub(crate) use rustix::process::Signal;

use super::{Directory, until, until_some};

/// The binary under test.
pub(crate) fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("WEIR_BINARY") {
        return path.into();
    }
    // This test is TARGET/PROFILE/deps/weir-HASH, the binary is TARGET/PROFILE/weir.
    let me = std::env::current_exe().unwrap();
    let path = me.parent().unwrap().parent().unwrap().join("weir");
    assert!(path.exists(), "{} is not built: run cargo xtask test", path.display());
    path
}

/// Whether the binary under test is nginx, which is spared the few expectations beyond its
/// behaviour.
pub(crate) fn is_nginx() -> bool {
    static ANSWER: LazyLock<bool> = LazyLock::new(|| {
        let output = Command::new(binary()).arg("-V").output().unwrap();
        String::from_utf8_lossy(&output.stderr).contains("built by gcc")
    });
    *ANSWER
}

/// Whether this process may bind low ports, make network namespaces and change users.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Sends a signal to one process.
pub(crate) fn send_signal(process: u32, signal: Signal) {
    let pid = Pid::from_raw(process as i32).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

/// The child processes of `process`.
pub(crate) fn children(process: u32) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").unwrap();
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    numbers.filter(|&child: &u32| parent(child) == Some(process)).collect()
}

fn parent(process: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name in parentheses may contain spaces; state and parent follow it.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// A daemonised process; killed if the test fails before its end.
#[derive(Debug)]
pub(crate) struct Daemon {
    /// Its process id.
    pub(crate) pid: u32,
}

impl Daemon {
    /// Reads the process ID from a file, waiting for it to be written.
    #[track_caller]
    pub(crate) fn of(directory: &Directory, file: &str) -> Self {
        until_some(&format!("a process id in {file}"), || Self::try_of(directory, file))
    }

    /// Reads the process ID from a file if there is one.
    pub(crate) fn try_of(directory: &Directory, file: &str) -> Option<Self> {
        let pid = directory.read(file).strip_suffix('\n')?.trim().parse().ok()?;
        Some(Self { pid })
    }

    fn runs(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim().chars().next());
        state.is_some_and(|state| state != 'Z')
    }

    /// Waits until the process has ended.
    #[track_caller]
    pub(crate) fn wait(&self) {
        until("the end of a daemon", || !self.runs());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() && self.runs() {
            send_signal(self.pid, Signal::TERM);
        }
    }
}

/// Resident memory of a process in KiB.
pub(crate) fn memory(process: u32) -> u64 {
    kibibytes(process, "VmRSS:")
}

/// Resident memory of a process that is no file's, in KiB: without its code.
pub(crate) fn own_memory(process: u32) -> u64 {
    kibibytes(process, "RssAnon:")
}

/// The most resident memory that a process has had so far, in KiB.
pub(crate) fn peak_memory(process: u32) -> u64 {
    kibibytes(process, "VmHWM:")
}

fn kibibytes(process: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("0");
    line.split_whitespace().next().unwrap_or("0").parse().unwrap()
}

/// Runs a command to completion.
#[track_caller]
pub(crate) fn run(program: &str, arguments: &[&str]) -> Output {
    match Command::new(program).args(arguments).output() {
        Ok(output) => output,
        Err(error) => panic!("{program}: {error}"),
    }
}
