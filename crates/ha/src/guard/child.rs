//! keepalived as the guard's child: started, told to read its configuration again, watched, ended.
//!
//! ```text
//!          start             parent ended       both ended
//!  Away ──────▶ Running ──────────────────▶ Leaving ──────────▶ Away
//!                  │ frozen, told to end      ▲
//!                  └──────────────────────────┘
//! Addresses are removed whenever both have ended.
//! ```

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use weir_sys::process;

use super::program::{PROGRAM, program};
use crate::keepalived::CONF_FILE;

/// The file with the id of keepalived's first process.
const PID_FILE: &str = "keepalived.pid";

/// The file with the id of its second process, which holds the addresses.
const VRRP_PID_FILE: &str = "vrrp.pid";

/// The time in milliseconds that keepalived has to give the addresses up and end.
const TO_LEAVE: u64 = 3000;

/// The real-time priority of keepalived's second process, above ordinary work, below the kernel's
/// own.
const REAL_TIME: i32 = 50;

/// The first and the longest pause before another start.
const PAUSES: [u64; 2] = [100, 5000];

/// A run of this length was none of a series of failures.
const LONG_RUN: u64 = 30_000;

const TERM: i32 = 15;
const KILL: i32 = 9;
const HUP: i32 = 1;

/// The process's state.
#[derive(Debug, Clone, Copy)]
enum Stage {
    Away,
    /// Its first process runs, since this time.
    Running {
        first: i32,
        started: u64,
    },
    /// Killed at this time.
    Leaving {
        first: i32,
        until: u64,
    },
}

/// keepalived with its files in a folder.
#[derive(Debug)]
pub(super) struct Keepalived {
    folder: PathBuf,
    stage: Stage,
    log: Option<File>,
    /// The time of the next start, and the pause after the next failure.
    next: u64,
    pause: u64,
    /// The parent has been waited for.
    parent_ended: bool,
    /// The second process that has its priority.
    hurried: Option<i32>,
}

impl Keepalived {
    pub(super) fn new(folder: &Path) -> Self {
        let (stage, pause) = (Stage::Away, PAUSES[0]);
        Self {
            folder: folder.to_owned(),
            stage,
            log: None,
            next: 0,
            pause,
            parent_ended: false,
            hurried: None,
        }
    }

    /// Whether it may be started at `now`.
    pub(super) fn is_due(&self, now: u64) -> bool {
        matches!(self.stage, Stage::Away) && now >= self.next
    }

    pub(super) fn is_away(&self) -> bool {
        matches!(self.stage, Stage::Away)
    }

    /// Starts it.
    ///
    /// # Errors
    /// Those of fork(2) and execve(2); it is tried again later.
    pub(super) fn start(&mut self, now: u64) -> io::Result<i32> {
        let program = program().unwrap_or_else(|| PROGRAM.into());
        let mut command = Command::new(program);
        command.args(["--dont-fork", "--vrrp", "--log-console", "--no-syslog"]);
        // By their names alone, in its working directory: so the folder may get another name.
        command.current_dir(&self.folder).args(["--use-file", CONF_FILE]);
        command.args(["--pid", PID_FILE, "--vrrp_pid", VRRP_PID_FILE]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        process::end_with_parent(&mut command);
        let started = command.spawn();
        let mut child = match started {
            Ok(child) => child,
            Err(error) => {
                self.put_off(now);
                return Err(error);
            }
        };
        let first = child.id().cast_signed();
        self.log = child.stderr.take().map(|log| File::from(OwnedFd::from(log)));
        if let Some(log) = &self.log {
            rustix::io::ioctl_fionbio(log, true)?;
        }
        self.parent_ended = false;
        self.stage = Stage::Running { first, started: now };
        Ok(first)
    }

    /// Its folder has got another name.
    pub(super) fn follow(&mut self, folder: &Path) {
        self.folder = folder.to_owned();
    }

    /// What another program needs to know to go on, besides [`Keepalived::log_fd`]; `None` while
    /// it is ending.
    pub(super) fn to_json(&self) -> Option<Value> {
        let (first, started) = match self.stage {
            Stage::Away => (None, None),
            Stage::Running { first, started } if !self.parent_ended => (Some(first), Some(started)),
            Stage::Running { .. } | Stage::Leaving { .. } => return None,
        };
        Some(json!({
            "first": first,
            "started": started,
            "next": self.next,
            "pause": self.pause,
            "hurried": self.hurried,
        }))
    }

    /// Goes on with what an earlier program of this process has started.
    pub(super) fn from_json(folder: &Path, known: &Value, log: Option<OwnedFd>) -> Self {
        let mut this = Self::new(folder);
        let number = |value: &Value| value.as_i64().and_then(|pid| i32::try_from(pid).ok());
        if let (Some(first), Some(started)) = (number(&known["first"]), known["started"].as_u64()) {
            this.stage = Stage::Running { first, started };
        }
        this.next = known["next"].as_u64().unwrap_or(0);
        this.pause = known["pause"].as_u64().unwrap_or(PAUSES[0]).clamp(PAUSES[0], PAUSES[1]);
        this.hurried = number(&known["hurried"]);
        this.log = log.map(File::from);
        this
    }

    fn put_off(&mut self, now: u64) {
        self.next = now + self.pause;
        self.pause = (self.pause * 2).min(PAUSES[1]);
    }

    /// Has it read its configuration again.
    pub(super) fn reload(&self) {
        if let Stage::Running { first, .. } = self.stage {
            let _ = process::kill(first, HUP);
        }
    }

    /// Tells it to give the addresses up and end.
    pub(super) fn end(&mut self, now: u64) {
        self.leave(now, TERM);
    }

    fn leave(&mut self, now: u64, signal: i32) {
        let Stage::Running { first, .. } = self.stage else { return };
        for pid in self.processes(first) {
            if signal == KILL || pid == first {
                let _ = process::kill(pid, signal);
            }
        }
        self.stage = Stage::Leaving { first, until: now + TO_LEAVE };
    }

    /// Both of its processes, as far as they are known.
    fn processes(&self, first: i32) -> Vec<i32> {
        let first = Some(first).filter(|_| !self.parent_ended);
        first.into_iter().chain(self.second()).collect()
    }

    /// Its second process, if it lives.
    fn second(&self) -> Option<i32> {
        recorded(&self.folder.join(VRRP_PID_FILE))
    }

    /// Takes note of an ended process. Returns how the first one ended, if it is that.
    pub(super) fn note(&mut self, pid: i32, now: u64) -> bool {
        let is_first = match self.stage {
            Stage::Running { first, .. } | Stage::Leaving { first, .. } => first == pid,
            Stage::Away => false,
        };
        if !is_first {
            return false;
        }
        self.parent_ended = true;
        if let Stage::Running { first, started } = self.stage {
            if now.saturating_sub(started) > LONG_RUN {
                self.pause = PAUSES[0];
            }
            // The second process notices, gives the addresses up and ends.
            self.stage = Stage::Leaving { first, until: now + TO_LEAVE };
        }
        true
    }

    /// Looks after processes that should have ended. Returns whether both have just ended, and the
    /// addresses are to be removed.
    pub(super) fn step(&mut self, now: u64) -> bool {
        let Stage::Leaving { first, until } = self.stage else { return false };
        let second = self.second();
        if self.parent_ended && second.is_none() {
            self.stage = Stage::Away;
            self.log = None;
            self.put_off(now);
            return true;
        }
        if now >= until {
            for pid in self.processes(first) {
                let _ = process::kill(pid, KILL);
            }
        }
        false
    }

    /// Gives its second process a real-time priority, since adverts that are late lose the
    /// addresses. keepalived's own `vrrp_rt_priority` comes with a limit of processor time that
    /// kills the process after a reload (2.2.7). Not every container allows it; keepalived works
    /// without.
    pub(super) fn hurry(&mut self) {
        let second = self.second();
        if second != self.hurried
            && let Some(pid) = second
        {
            let _ = process::set_real_time(pid, REAL_TIME);
        }
        self.hurried = second;
    }

    /// Kills it if one of its processes is stopped (SIGSTOP, a debugger): it would keep the
    /// addresses and send no adverts. Returns whether it did.
    pub(super) fn kill_if_frozen(&mut self, now: u64) -> bool {
        let Stage::Running { first, .. } = self.stage else { return false };
        let frozen =
            self.processes(first).into_iter().any(|pid| matches!(state_of(pid), Some('T' | 't')));
        if frozen {
            self.leave(now, KILL);
        }
        frozen
    }

    /// Its messages.
    pub(super) fn log(&mut self) -> Option<&mut File> {
        self.log.as_mut()
    }

    pub(super) fn log_fd(&self) -> Option<BorrowedFd<'_>> {
        self.log.as_ref().map(AsFd::as_fd)
    }

    /// Ends what a guard before this one has left, which was killed. Returns whether there was
    /// anything.
    pub(super) fn end_strays(&self) -> bool {
        let files = [PID_FILE, VRRP_PID_FILE].map(|name| self.folder.join(name));
        let living = || files.iter().filter_map(|file| recorded(file)).collect::<Vec<_>>();
        if living().is_empty() {
            return false;
        }
        for (signal, tries) in [(TERM, 100), (KILL, 100)] {
            for pid in living() {
                let _ = process::kill(pid, signal);
            }
            for _ in 0..tries {
                if living().is_empty() {
                    return true;
                }
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
        }
        true
    }
}

/// The process of a pid file, if it lives and is keepalived.
fn recorded(file: &Path) -> Option<i32> {
    let pid: i32 = std::fs::read_to_string(file).ok()?.trim().parse().ok()?;
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    let is_it = name.trim_end() == PROGRAM && state_of(pid) != Some('Z');
    is_it.then_some(pid)
}

/// The state letter of a process, proc(5).
fn state_of(pid: i32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}
