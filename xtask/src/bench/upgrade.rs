//! Upgrades of the binary under load, forth and back: what clients lose, and how long it takes.

mod clients;

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::account;
use super::reload::kill;
use super::side::{Side, Stage};
use super::workload::Workload;
use super::{Round, report};
use crate::Failure;
use crate::server::Server;
use clients::Clients;

/// The number of upgrades of a round, and then of upgrades that are taken back.
const TURNS: usize = 10;

/// The time limit for each step.
const PATIENCE: Duration = Duration::from_secs(60);

/// The time after which an upgrade is asked for again: nginx now and then overlooks one. A second
/// signal changes nothing while a new binary runs.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// The interval at which processes and files are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// The measured values, in the order of [`measure`].
pub(super) const COLUMNS: &[&str] = &[
    "ms until the new binary answers",
    "worst request ms",
    "connections refused",
    "requests lost on new connections",
    "on kept connections",
    "requests",
];

/// One round of one side.
pub(super) fn measure(stage: &Stage, side: &Side, workload: &Workload) -> Result<Round, Failure> {
    let server = side.start(stage, workload)?;
    let mut masters = Masters::of(&server)?;
    let clients = Clients::start(server.port);
    let mut times = Vec::new();
    for _ in 0..TURNS {
        times.push(vec![masters.forth()?]);
    }
    for _ in 0..TURNS {
        times.push(vec![masters.forth_and_back()?]);
    }
    let seen = clients.finish()?;
    let mut values = report::medians(&times);
    values.extend([milliseconds(seen.worst), seen.refused as f64, seen.lost_on_new as f64]);
    values.extend([seen.lost_on_kept as f64, seen.requests as f64]);
    Ok(values)
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// The master processes of a server, which are daemons.
struct Masters<'a> {
    server: &'a Server,
    /// The master that serves between turns.
    newest: u32,
}

impl<'a> Masters<'a> {
    fn of(server: &'a Server) -> Result<Self, Failure> {
        let mut masters = Self { server, newest: 0 };
        // nginx ignores an upgrade before.
        wait("the launcher does not end", || has_ended(server.process()))?;
        wait("there is no pid file", || {
            masters.newest = masters.pid().unwrap_or_default();
            masters.newest != 0
        })?;
        Ok(masters)
    }

    /// An upgrade: the old binary ends. Returns the milliseconds until the new one answered.
    fn forth(&mut self) -> Result<f64, Failure> {
        let old = self.newest;
        let time = self.start_new()?;
        kill(old, Signal::QUIT)?;
        wait("the old binary does not end", || has_ended(old))?;
        wait("the old pid file stays", || !self.file(OLD_PID_FILE).exists())?;
        Ok(time)
    }

    /// An upgrade that is taken back when the old workers have ended.
    fn forth_and_back(&mut self) -> Result<f64, Failure> {
        let old = self.newest;
        let time = self.start_new()?;
        let new = self.newest;
        kill(old, Signal::WINCH)?;
        wait("the old workers do not end", || account::children(old) == [new])?;
        kill(old, Signal::HUP)?;
        self.wait_for_answer_of(old)?;
        kill(new, Signal::QUIT)?;
        wait("the new binary does not end", || has_ended(new))?;
        self.newest = old;
        wait("the pid file does not return", || {
            self.pid() == Some(old) && !self.file(OLD_PID_FILE).exists()
        })?;
        Ok(time)
    }

    /// Starts the new binary; returns the milliseconds until it answered.
    fn start_new(&mut self) -> Result<f64, Failure> {
        let old = self.newest;
        let started = Instant::now();
        let mut next_try = started;
        wait("there is no new binary", || {
            if next_try <= Instant::now() {
                next_try += ASK_AGAIN;
                // Without the process, there is no new binary either.
                let _ = kill(old, Signal::USR2);
            }
            self.newest = self.pid().unwrap_or(old);
            self.newest != old
        })?;
        self.wait_for_answer_of(self.newest)?;
        Ok(milliseconds(started.elapsed()))
    }

    fn wait_for_answer_of(&self, master: u32) -> Result<(), Failure> {
        let is_from = |pid: u32| account::children(master).contains(&pid);
        wait("a binary does not answer", || clients::ask(self.server.port).is_ok_and(is_from))
    }

    fn pid(&self) -> Option<u32> {
        fs::read_to_string(self.file(PID_FILE)).ok()?.strip_suffix('\n')?.parse().ok()
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.server.folder.join(name)
    }
}

/// No master is a child of this program, so each is stopped here.
impl Drop for Masters<'_> {
    fn drop(&mut self) {
        let mut found = vec![self.newest];
        let old = fs::read_to_string(self.file(OLD_PID_FILE)).unwrap_or_default();
        found.extend(old.trim().parse::<u32>());
        for master in found {
            if kill(master, Signal::TERM).is_ok() {
                let _ = wait("a binary does not end", || has_ended(master));
            }
        }
    }
}

const PID_FILE: &str = "proxy.pid";
const OLD_PID_FILE: &str = "proxy.pid.oldbin";

/// Whether a process has ended, reaped or not.
fn has_ended(process: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('Z'))
}

fn wait(failure: &str, mut is_so: impl FnMut() -> bool) -> Result<(), Failure> {
    let started = Instant::now();
    while !is_so() {
        if started.elapsed() > PATIENCE {
            return Err(failure.to_owned());
        }
        std::thread::park_timeout(LOOK_EVERY);
    }
    Ok(())
}
