//! The load generators.

mod handshakes;
mod idle;
mod paced;
mod tls;
mod wrk;

use std::time::Duration;

use super::account::{self, Cpu};
use super::side::Stage;
use super::workload::{Conf, Load, Workload};
use crate::Failure;
use crate::server::Server;

/// How long things take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Seconds before a measurement, in which pools fill.
    pub(super) warm_up: f64,
    /// How often the sides take turns in a round.
    pub(super) turns: usize,
    /// Seconds of a turn.
    pub(super) turn: f64,
    /// How long connections are left alone before their memory is measured.
    pub(super) settle: Duration,
    /// Requests in a second of the paced workload.
    pub(super) paced_rate: Option<f64>,
}

impl Pace {
    /// How often the sides take turns in a round of this workload, and for how many seconds. What
    /// is left alone or watched for stragglers has all its time at once.
    pub(super) fn of(&self, workload: &Workload) -> (usize, f64) {
        match workload.load {
            Load::Idle { .. } | Load::Paced { .. } | Load::Reloads => {
                (1, self.turn * self.turns as f64)
            }
            Load::Requests { .. } | Load::Handshakes { .. } => (self.turns, self.turn),
        }
    }
}

/// What a load generator counted.
#[derive(Clone, Debug, Default)]
pub(super) struct Count {
    /// Requests answered, or connections served.
    answered: u64,
    /// The same in a second.
    rate: f64,
    /// Microseconds of the median request and of the 99th percentile, where they are taken.
    latency: Vec<f64>,
}

/// Has a server's pools fill.
pub(super) fn warm_up(
    stage: &Stage,
    server: &Server,
    workload: &Workload,
    pace: &Pace,
) -> Result<(), Failure> {
    generate(stage, server, workload, pace, pace.warm_up).map(|_| ())
}

/// Puts the load on a server for one turn; gives the values for the columns of the workload.
pub(super) fn measure(
    stage: &Stage,
    server: &Server,
    workload: &Workload,
    pace: &Pace,
) -> Result<Vec<f64>, Failure> {
    if let Load::Idle { connections } = workload.load {
        let tls = matches!(workload.conf, Conf::Tls(_));
        let cost = || account::memory(server.process());
        let idle = idle::measure(server.port, tls, connections, pace.settle, &cost)?;
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
        Load::Idle { .. } | Load::Reloads => Ok(Count::default()),
        Load::Paced { .. } => {
            let rate = pace.paced_rate.ok_or("nginx's most is not known")?;
            paced::run(server.port, rate, seconds)
        }
        _ => flat_out(stage, server, workload, seconds),
    }
}

/// As many requests or handshakes as the server can take, for so many seconds.
pub(super) fn flat_out(
    stage: &Stage,
    server: &Server,
    workload: &Workload,
    seconds: f64,
) -> Result<Count, Failure> {
    let tls = matches!(workload.conf, Conf::Tls(_));
    match workload.load {
        Load::Handshakes { resumed } => handshakes::run(server.port, resumed, seconds),
        _ => wrk::run(&stage.scratch, server.port, tls, &workload.load, seconds),
    }
}
