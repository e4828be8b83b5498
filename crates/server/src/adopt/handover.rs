//! The running master hands its sockets to the program that has taken its place, as in an upgrade
//! of the binary, and ends.

use crate::console::say_line;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use weir_sys::process;

use super::Reason;
use super::nginx::{Nginx, read_pid};
use super::program::is_weir;
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

/// What is to be done with the running master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Handover {
    NotRunning,
    /// The right program serves already.
    Done,
    /// The master hands over to the program.
    Whole(u32),
    /// The program serves beside the old master since a handover that was interrupted.
    Rest {
        old: u32,
        new: u32,
    },
    /// The old master is the right program, and serves again after a handover that was interrupted.
    Return {
        old: u32,
        new: u32,
    },
}

impl Handover {
    /// What is left, if the wanted program is Weir, or nginx.
    pub(super) fn wanted(nginx: &Nginx, weir: &Path, wants_weir: bool) -> Result<Self, Reason> {
        let is_right = |pid: u32| {
            let file = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
            is_weir(&file, weir) == wants_weir
        };
        let Some(new) = nginx.master()? else { return Ok(Self::NotRunning) };
        let old = predecessor(nginx, new);
        Ok(match (is_right(new), old, old.is_some_and(is_right)) {
            (true, Some(old), false) => Self::Rest { old, new },
            (true, ..) => Self::Done,
            (false, Some(old), true) if can_return(old, new) => Self::Return { old, new },
            (false, ..) => Self::Whole(new),
        })
    }

    /// Whether anything is left to do.
    pub(super) fn is_open(self) -> bool {
        !matches!(self, Self::NotRunning | Self::Done)
    }

    /// Does it with the program that has its path by now.
    pub(super) fn run(self, nginx: &Nginx, new: &Path, wait: Duration) -> Result<(), Reason> {
        match self {
            Self::NotRunning | Self::Done => Ok(()),
            Self::Whole(old) => {
                let new = begin(nginx, old, new)?;
                finish(old, new, wait)
            }
            Self::Rest { old, new } => finish(old, new, wait),
            Self::Return { old, new } => take_back(old, new, wait),
        }
    }
}

/// Whether an old master serves, or will on HUP: one that has been told to quit does not, and keeps
/// only workers that finish their requests.
fn can_return(old: u32, new: u32) -> bool {
    serves(old, new) || children(old).iter().all(|child| *child == new)
}

/// Whether a master has a worker that accepts connections.
fn serves(master: u32, successor: u32) -> bool {
    children(master).iter().filter(|child| **child != successor).any(|child| {
        let title = fs::read_to_string(format!("/proc/{child}/cmdline")).unwrap_or_default();
        title.contains("worker process") && !title.contains("shutting down")
    })
}

/// Has the old master serve again, and ends the new one.
fn take_back(old: u32, new: u32, wait: Duration) -> Result<(), Reason> {
    if !serves(old, new) {
        signal(old, HUP)?;
        until(START, || serves(old, new).then_some(()))
            .ok_or("the old program did not serve again; the error log says why")?;
    }
    say_line(format_args!("  process {old} serves"));
    signal(new, QUIT)?;
    if until(wait, || (!is_alive(new)).then_some(())).is_some() {
        say_line(format_args!("  process {new} has ended"));
    }
    Ok(())
}

/// Waits for the end of the process whose place the master has taken before.
pub(super) fn wait_for_predecessor(
    nginx: &Nginx,
    handover: Handover,
    wait: Duration,
) -> Result<(), Reason> {
    let Handover::Whole(master) = handover else { return Ok(()) };
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

/// Has the master start the program that now has its path, and returns the new master. On failure
/// the old one serves on.
fn begin(nginx: &Nginx, old: u32, new: &Path) -> Result<u32, Reason> {
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
    Ok(pid)
}

/// Ends the old master, which the new one serves beside.
fn finish(old: u32, new: u32, wait: Duration) -> Result<(), Reason> {
    signal(old, WINCH)?;
    // The new master is a child of the old one.
    let is_idle = || children(old).iter().all(|child| *child == new).then_some(());
    if until(wait, is_idle).is_none() {
        say_line(format_args!("  requests of process {old} go on; it ends after them"));
    }
    if !is_alive(new) {
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
