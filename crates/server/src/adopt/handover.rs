//! The running master hands its sockets to the program that has taken its place, as in an upgrade
//! of the binary, and ends.

use crate::console::say_line;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use weir_sys::process;

use super::Reason;
use super::nginx::{Nginx, read_pid};
use crate::pid_file;
use crate::signals::{HUP, QUIT, USR2, WINCH};

/// The longest wait for the new master; a large configuration takes a second.
const START: Duration = Duration::from_secs(30);

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// How long the new master has to stay before it is trusted.
const TRIAL: Duration = Duration::from_millis(500);

/// The process whose place a master has taken in an upgrade, while it still has requests. Until its
/// end the master ignores USR2: it takes part in one handover at a time.
pub(super) fn predecessor(nginx: &Nginx, master: u32) -> Option<u32> {
    let pid = read_pid(&pid_file::old_name(&nginx.pid_file()))?;
    (pid != master && is_alive(pid) && children(pid).contains(&master)).then_some(pid)
}

/// Waits for the end of the process whose place the master has taken.
pub(super) fn wait_for_predecessor(
    nginx: &Nginx,
    master: u32,
    wait: Duration,
) -> Result<(), Reason> {
    let Some(pid) = predecessor(nginx, master) else { return Ok(()) };
    let ended = until(wait, || predecessor(nginx, master).is_none().then_some(()));
    ended.ok_or_else(|| {
        Reason(format!(
            "process {pid}, whose place process {master} has taken, still runs, and a master takes \
             part in one handover at a time: wait for its end, or end it by \"kill -QUIT {pid}\" \
             (at once by \"kill -TERM {pid}\"). Nothing has changed"
        ))
    })
}

/// Replaces the master by the program that now has its path. On failure the old one serves on.
pub(super) fn run(nginx: &Nginx, old: u32, new: &Path, wait: Duration) -> Result<(), Reason> {
    let file = nginx.pid_file();
    signal(old, USR2)?;
    let Some(pid) = until(START, || begun(&file, old)) else {
        return Err("the new program did not start; the error log says why".into());
    };
    let trial = Instant::now();
    while trial.elapsed() < TRIAL {
        if !is_alive(pid) {
            return Err("the new program ended at once; the error log says why".into());
        }
        std::thread::park_timeout(PAUSE);
    }
    say_line(format_args!("  process {pid} serves with {}", new.display()));
    signal(old, WINCH)?;
    // The new master is a child of the old one.
    let is_idle = || children(old).iter().all(|child| *child == pid).then_some(());
    if until(wait, is_idle).is_none() {
        say_line(format_args!("  requests of process {old} go on; it ends after them"));
    }
    if !is_alive(pid) {
        signal(old, HUP)?;
        return Err("the new program has ended; the old one serves again".into());
    }
    signal(old, QUIT)?;
    if until(wait, || (!is_alive(old)).then_some(())).is_some() {
        say_line(format_args!("  process {old} has ended"));
    }
    Ok(())
}

/// The new master, once it has written the pid file and the old one has moved its own.
fn begun(file: &Path, old: u32) -> Option<u32> {
    let renamed = read_pid(&pid_file::old_name(file))? == old;
    read_pid(file).filter(|pid| renamed && *pid != old && !children(*pid).is_empty())
}

/// The child processes of a process.
fn children(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(PathBuf::from(format!("/proc/{pid}/task"))).into_iter().flatten();
    let lists = tasks.flatten().map(|task| fs::read_to_string(task.path().join("children")));
    let text = lists.filter_map(Result::ok).collect::<String>();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// Whether a process runs, and is not only waiting to be reaped.
fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

fn signal(pid: u32, number: i32) -> Result<(), Reason> {
    let number_of = i32::try_from(pid).unwrap_or_default();
    process::kill(number_of, number).map_err(|error| Reason(format!("process {pid}: {error}")))
}

/// Looks again and again until there is something, or the time is up.
fn until<T>(time: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if start.elapsed() > time {
            return None;
        }
        std::thread::park_timeout(PAUSE);
    }
}
