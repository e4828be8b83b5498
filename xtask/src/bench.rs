//! Weir, nginx and HAProxy in front of the same backend, one after the other, round after round.
//!
//! Each is started afresh in every round with one worker, the same job and no access log.
//! Measured are CPU time per request over all its processes (from /proc, so the load
//! generator does not count), requests per second, and memory per idle keepalive connection. The
//! medians are what counts.

mod load;
mod side;

use side::Side;

use crate::{Failure, cargo, packages};

/// How often each side is measured.
const ROUNDS: usize = 5;

/// What one round of one side gave.
#[derive(Clone, Copy, Debug)]
struct Figures {
    /// CPU time per request in microseconds.
    cpu: f64,
    /// Requests per second.
    rate: f64,
    /// Memory per idle connection in bytes.
    idle: f64,
}

/// Measures, and prints a table of medians.
pub(crate) fn run(arguments: &[&str]) -> Result<(), Failure> {
    packages::install(packages::BENCH)?;
    let rounds = match arguments {
        [] => ROUNDS,
        [rounds, ..] => rounds.parse().map_err(|_| format!("{rounds} is no number of rounds"))?,
    };
    let binary = match std::env::var_os("WEIR_BINARY") {
        Some(binary) => binary.into(),
        None => cargo::build(true)?,
    };
    let sides = Side::all(binary);
    let backend = side::backend()?;
    let mut figures: Vec<Vec<Figures>> = vec![Vec::new(); sides.len()];
    for round in 1..=rounds {
        for (side, figures) in sides.iter().zip(&mut figures) {
            let measured = measure(side, backend.port)?;
            println!("round {round}: {:<8} {measured:?}", side.name);
            figures.push(measured);
        }
    }
    println!("\n{:<10} {:>12} {:>12} {:>18}", "", "CPU us/req", "req/s", "bytes/idle conn");
    for (side, figures) in sides.iter().zip(&figures) {
        let median = |of: fn(&Figures) -> f64| median(figures.iter().map(of).collect());
        println!(
            "{:<10} {:>12.2} {:>12.0} {:>18.0}",
            side.name,
            median(|figures| figures.cpu),
            median(|figures| figures.rate),
            median(|figures| figures.idle),
        );
    }
    Ok(())
}

fn measure(side: &Side, backend: u16) -> Result<Figures, Failure> {
    let running = side.start(backend)?;
    let idle = load::idle(&running)?;
    load::wrk(running.port, load::WARM_UP)?;
    let before = running.cpu();
    let load = load::wrk(running.port, load::SECONDS)?;
    let cpu = (running.cpu() - before) as f64 / 1000.0;
    Ok(Figures { cpu: cpu / load.requests as f64, rate: load.rate, idle })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
