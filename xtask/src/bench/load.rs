//! The load generators.

pub(crate) mod h2load;
mod handshakes;
mod idle;
pub(super) mod paced;
mod tls;
mod wrk;

use std::time::Duration;

use super::account::{self, Cpu};
use super::side::Stage;
use super::workload::{Conf, Load, Workload};
use crate::Failure;
use crate::server::Server;

/// The durations of a measurement.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Seconds of warming up before a measurement.
    pub(super) warm_up: f64,
    /// The number of turns of each side in a round.
    pub(super) turns: usize,
    /// The duration of a turn in seconds.
    pub(super) turn: f64,
    /// The time that connections are idle before memory is measured.
    pub(super) settle: Duration,
    /// The rate of the paced workload in requests per second.
    pub(super) paced_rate: Option<f64>,
}

impl Pace {
    /// The number of turns in a round of this workload, and their duration in seconds. Idle and
    /// latency measurements have a single turn with all the time.
    pub(super) fn of(&self, workload: &Workload) -> (usize, f64) {
        match workload.load {
            Load::Idle { .. }
            | Load::Paced { .. }
            | Load::Reloads
            | Load::Upgrades
            | Load::SlowDisk => (1, self.turn * self.turns as f64),
            Load::Requests { .. } | Load::Streams { .. } | Load::Handshakes { .. } => {
                (self.turns, self.turn)
            }
        }
    }
}

/// The counts of a load generator.
#[derive(Clone, Debug, Default)]
pub(super) struct Count {
    /// Answered requests, or served connections.
    answered: u64,
    /// The rate per second.
    rate: f64,
    /// The latency of the median and the 99th percentile in microseconds, if measured.
    latency: Vec<f64>,
}

/// Warms up a server's pools.
pub(super) fn warm_up(
    stage: &Stage,
    server: &Server,
    workload: &Workload,
    pace: &Pace,
) -> Result<(), Failure> {
    generate(stage, server, workload, pace, pace.warm_up).map(|_| ())
}

/// Puts load on a server for one turn; returns the values of the workload's columns.
pub(super) fn measure(
    stage: &Stage,
    server: &Server,
    workload: &Workload,
    pace: &Pace,
) -> Result<Vec<f64>, Failure> {
    if let Load::Idle { connections } = workload.load {
        let way = match workload.conf {
            Conf::Tls(_) => idle::Way::Tls,
            Conf::H2 => idle::Way::H2,
            _ => idle::Way::Plain,
        };
        let cost = || account::memory(server.process());
        let idle = idle::measure(server.port, way, connections, pace.settle, &cost)?;
        return Ok(vec![idle.each, idle.all / f64::from(1 << 20)]);
    }
    let before = Cpu::of(server.process());
    let count = generate(stage, server, workload, pace, pace.of(workload).1)?;
    let after = Cpu::of(server.process());
    let cpu = after.microseconds_since(before) / (count.answered as f64).max(1.0);
    let mut values = vec![cpu, after.user_share_since(before), count.rate];
    values.extend(count.latency);
    Ok(values)
}

fn generate(
    stage: &Stage,
    server: &Server,
    workload: &Workload,
    pace: &Pace,
    seconds: f64,
) -> Result<Count, Failure> {
    match workload.load {
        Load::Idle { .. } | Load::Reloads | Load::Upgrades | Load::SlowDisk => Ok(Count::default()),
        Load::Paced { .. } => {
            let rate = pace.paced_rate.ok_or("nginx's most is not known")?;
            let times = paced::run(server.port, rate, seconds)?;
            let microseconds = |share| times.within(share).as_secs_f64() * 1e6;
            let latency = vec![microseconds(0.50), microseconds(0.99)];
            Ok(Count { answered: times.answered(), rate: times.rate, latency })
        }
        _ => flat_out(stage, server, workload, seconds),
    }
}

/// Requests or handshakes at the maximum rate, for the given number of seconds.
pub(super) fn flat_out(
    stage: &Stage,
    server: &Server,
    workload: &Workload,
    seconds: f64,
) -> Result<Count, Failure> {
    let tls = matches!(workload.conf, Conf::Tls(_) | Conf::H2Tls);
    match workload.load {
        Load::Streams { .. } => h2load::run(server.port, tls, &workload.load, seconds),
        Load::Handshakes { resumed } => handshakes::run(server.port, resumed, seconds),
        _ => wrk::run(&stage.scratch, server.port, tls, &workload.load, seconds),
    }
}
