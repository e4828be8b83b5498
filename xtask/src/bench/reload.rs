//! The cost of many sites: checking, starting, reloading, memory, and recovery after a crash.

mod client;
mod sites;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use super::account;
use super::side::{Side, Stage};
use super::workload::Workload;
use super::{Round, report};
use crate::Failure;
use crate::server::Server;
pub(super) use sites::Sites;

/// The number of reloads of a round, after which memory is measured.
const RELOADS: u64 = 10;

/// The time for background work of a reload, whose CPU time counts.
const AFTERMATH: Duration = Duration::from_secs(1);

/// The time that a server is idle before its memory is measured.
const SETTLE: Duration = Duration::from_secs(3);

/// The polling interval for a process's peak memory.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// The measured values, in the order of [`measure`].
pub(super) const COLUMNS: &[&str] = &[
    "worst request ms",
    "CPU s of a reload",
    "s until in force",
    "MiB after ten reloads",
    "`-t` CPU s",
    "`-t` peak MiB",
    "s to the first answer",
    "ms from a killed worker to an answer",
];

/// One round of one side.
pub(super) fn measure(stage: &Stage, side: &Side, workload: &Workload) -> Result<Round, Failure> {
    let server = side.start(stage, workload)?;
    let first_answer = client::first_answer(server.port, server.started)?;
    let check = check(&server)?;
    let mut reloads = Vec::new();
    for generation in 1..=RELOADS {
        reloads.push(reload(&server, generation)?);
    }
    std::thread::sleep(SETTLE);
    let memory = account::memory(server.process()) as f64 / f64::from(1 << 20);
    let respawn = respawn(&server)?;
    let mut values = report::medians(&reloads);
    let mebibytes = |kibibytes: u64| kibibytes as f64 / 1024.0;
    values.extend([memory, check.cpu, mebibytes(check.peak), first_answer.as_secs_f64(), respawn]);
    Ok(values)
}

/// The worst request in milliseconds, the CPU time in seconds, and the seconds until in force.
fn reload(server: &Server, generation: u64) -> Result<Round, Failure> {
    let path = server.folder.join("generation.conf");
    std::fs::write(path, client::location(generation)).map_err(|error| error.to_string())?;
    let before = account::ticks(server.process());
    kill(server.process(), Signal::HUP)?;
    let seen = client::watch(server.port, generation, AFTERMATH)?;
    let ticks = account::ticks(server.process()).saturating_sub(before);
    let cpu = ticks as f64 / account::TICKS_PER_SECOND;
    Ok(vec![seen.worst.as_secs_f64() * 1000.0, cpu, seen.in_force.as_secs_f64()])
}

/// Kills all workers; returns the milliseconds until the next response.
fn respawn(server: &Server) -> Result<f64, Failure> {
    let killed = Instant::now();
    for worker in account::children(server.process()) {
        kill(worker, Signal::KILL)?;
    }
    Ok(client::first_answer(server.port, killed)?.as_secs_f64() * 1000.0)
}

/// Sends a signal to a process.
pub(super) fn kill(process: u32, signal: Signal) -> Result<(), Failure> {
    let pid = i32::try_from(process).ok().and_then(Pid::from_raw).ok_or("no such process")?;
    kill_process(pid, signal).map_err(|error| format!("kill: {error}"))
}

/// The cost of `-t`.
struct Check {
    /// Seconds.
    cpu: f64,
    /// Kibibytes.
    peak: u64,
}

fn check(server: &Server) -> Result<Check, Failure> {
    let (program, arguments) = server.line.split_first().ok_or("there is no program")?;
    let mut command = Command::new(program);
    command.args(arguments).arg("-t").stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or("no such process")?;
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    let mut peak = 0;
    // The accounts of a process exist until it is reaped.
    while waitid(WaitId::Pid(pid), options).is_ok_and(|status| status.is_none()) {
        peak = peak.max(account::peak(child.id()));
        std::thread::sleep(LOOK_EVERY);
    }
    let cpu = account::ticks(child.id()) as f64 / account::TICKS_PER_SECOND;
    match child.wait() {
        Ok(status) if status.success() => Ok(Check { cpu, peak }),
        _ => Err("-t failed".to_owned()),
    }
}

/// Writes the files included by `many.conf`.
pub(super) fn write(
    sites: Sites,
    stage: &Stage,
    folder: &std::path::Path,
    port: u16,
    backend: u16,
) -> Result<(), Failure> {
    let certificates = sites.certificates(&stage.scratch)?;
    let write = |name: &str, text: String| {
        std::fs::write(folder.join(name), text).map_err(|error| error.to_string())
    };
    write("generation.conf", client::location(0))?;
    write("sites.conf", sites.text(port, backend, &certificates))
}
