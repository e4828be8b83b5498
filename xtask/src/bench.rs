//! Weir, nginx, HAProxy and Pingora in front of the same backend, in alternating rounds.
//!
//! Each is restarted in every round, on the same core. Measured are CPU time per request over all
//! its threads and processes (without the load generator), the share of user space, requests per
//! second, latency at half load, and memory per idle connection. `bench/README.md` explains the
//! table.

mod account;
mod cache;
mod dashboard;
mod load;
mod machine;
mod reload;
mod report;
mod request;
mod side;
mod slow_disk;
mod training;
mod upgrade;
mod workload;

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::time::Duration;

use load::Pace;
pub(crate) use load::h2load::ask as ask_by_h2;
use machine::Cores;
use report::Measured;
pub(crate) use request::request;
pub(crate) use side::beside;
use side::{Side, Stage};
pub(crate) use training::{plan as training_plan, train};
pub(crate) use workload::Fields;
use workload::{Load, WORKLOADS, Workload};

use crate::server::Server;
use crate::{Failure, cargo, packages, release};

/// The default number of rounds.
const ROUNDS: usize = 5;

/// The number of attempts to find nginx's maximum; other load on the machine can only lower it.
const ATTEMPTS: usize = 3;

/// The values of one side in one round, by column.
type Round = Vec<f64>;

/// The command line.
#[derive(Debug)]
struct Order {
    rounds: usize,
    workloads: Vec<&'static Workload>,
    /// Prefixes of the names of the sides that take part; empty for all.
    sides: Vec<String>,
    pace: Pace,
    save: bool,
}

impl Order {
    /// The sides that take part; each given name must match one.
    fn choose(&self, all: impl IntoIterator<Item = Side>) -> Result<Vec<Side>, Failure> {
        let is_it = |side: &Side, wanted: &str| side.name.to_lowercase().starts_with(wanted);
        let all: Vec<Side> = all.into_iter().collect();
        if let Some(nobody) = self.sides.iter().find(|name| !all.iter().any(|s| is_it(s, name))) {
            return Err(format!("--only=: {nobody} matches no side of the table"));
        }
        let wanted = |side: &Side| self.sides.iter().any(|name| is_it(side, name));
        Ok(all.into_iter().filter(|side| self.sides.is_empty() || wanted(side)).collect())
    }
}

/// Runs the measurements and prints tables of medians.
pub(crate) fn run(arguments: &[&str]) -> Result<(), Failure> {
    if arguments.contains(&"--list") {
        for workload in WORKLOADS {
            println!("{:<18} {}", workload.name, workload.about);
        }
        return Ok(());
    }
    if arguments == ["picks"] {
        // The benchmark of a crate, without other servers.
        let bench = ["bench", "--quiet", "--package", "weir-upstream", "--bench", "picks"];
        return cargo::succeed(&mut cargo::cargo(&bench));
    }
    if let ["cache", arguments @ ..] = arguments {
        let binary = match std::env::var_os("WEIR_BINARY") {
            Some(binary) => binary.into(),
            None => release::build()?,
        };
        return cache::run(&binary, side::NGINX.as_ref(), arguments);
    }
    if arguments == ["dashboard"] {
        let binary = match std::env::var_os("WEIR_BINARY") {
            Some(binary) => binary.into(),
            None => release::build()?,
        };
        return dashboard::run(&binary);
    }
    let mut order = order(arguments)?;
    if cfg!(debug_assertions) {
        return optimised(arguments);
    }
    packages::install(&[packages::LOAD, packages::BENCH].concat())?;
    let binary = match std::env::var_os("WEIR_BINARY") {
        Some(binary) => binary.into(),
        None => release::build()?,
    };
    let mut sides = order.choose(Side::all(binary))?;
    sides.iter_mut().for_each(Side::build);
    let head = report::head(&sides, order.rounds, &order.pace);
    machine::raise_limits();
    let cores = Cores::of_this_machine();
    cores.pin_this_program()?;
    let mut stage = Stage::set(cores)?;
    stage.answer_cheaply()?;
    let mut measured = Vec::new();
    let mut nginx_most = None;
    for workload in &order.workloads {
        if let (Load::SlowDisk, Err(reason)) = (&workload.load, slow_disk::mount(&stage)) {
            eprintln!("{} skipped: {reason}", workload.name);
            continue;
        }
        if let Load::Paced { percent } = workload.load {
            let most = match nginx_most {
                Some(most) => most,
                None => most_of_nginx(&stage, &sides, &order.pace)?,
            };
            nginx_most = Some(most);
            order.pace.paced_rate = Some((most * f64::from(percent) / 100.0).round());
        }
        measured.extend(compare(&stage, &sides, workload, &order));
    }
    let text = head + &report::tables(&measured);
    println!("{text}");
    if order.save {
        save(&text)?;
    }
    let failed = measured.iter().filter_map(|row| {
        let failure = row.rounds.as_ref().err()?;
        Some(format!("{}, {}: {failure}\n", row.workload.name, row.side.name))
    });
    let failed: String = failed.collect();
    if failed.is_empty() { Ok(()) } else { Err(format!("not measured:\n{failed}")) }
}

/// Switches to an optimised build of this program: otherwise the TLS of the generators would be
/// measured.
fn optimised(arguments: &[&str]) -> Result<(), Failure> {
    let mut command = cargo::cargo(&["run", "--quiet", "--release", "--package", "xtask", "--"]);
    // It replaces this process, so that signals reach it.
    let error = command.arg("bench").args(arguments).exec();
    Err(format!("cargo: {error}"))
}

/// Rounds, names of workloads and flags, in any order.
fn order(arguments: &[&str]) -> Result<Order, Failure> {
    let mut order = Order {
        rounds: ROUNDS,
        workloads: Vec::new(),
        sides: Vec::new(),
        pace: Pace {
            warm_up: 1.0,
            turns: 5,
            turn: 1.0,
            settle: Duration::from_secs(3),
            paced_rate: None,
        },
        save: false,
    };
    for &argument in arguments {
        if let Some(names) = argument.strip_prefix("--only=") {
            order.sides = names.to_lowercase().split(',').map(str::to_owned).collect();
            continue;
        }
        if let Some(turns) = argument.strip_prefix("--turns=") {
            let turns = turns.parse().ok().filter(|&turns| turns > 0);
            order.pace.turns = turns.ok_or("--turns= takes a number of seconds")?;
            continue;
        }
        match argument {
            "--quick" => {
                order.rounds = 1;
                order.pace.turns = 1;
            }
            "--save" => order.save = true,
            _ => match (argument.parse(), WORKLOADS.iter().find(|row| row.name == argument)) {
                (Ok(rounds), _) if rounds > 0 => order.rounds = rounds,
                (_, Some(workload)) => order.workloads.push(workload),
                _ => return Err(format!("{argument} is not a workload; see bench --list")),
            },
        }
    }
    if order.workloads.is_empty() {
        order.workloads = WORKLOADS.iter().collect();
    }
    Ok(order)
}

/// Runs all rounds of a workload. A side that fails is skipped from then on.
fn compare<'a>(
    stage: &Stage,
    sides: &'a [Side],
    workload: &'a Workload,
    order: &Order,
) -> Vec<Measured<'a>> {
    let able = sides.iter().filter(|side| side.takes(workload));
    let mut measured: Vec<_> =
        able.map(|side| Measured { workload, side, rounds: Ok(Vec::new()) }).collect();
    for round in 1..=order.rounds {
        if let Load::Reloads | Load::Upgrades | Load::SlowDisk = workload.load {
            one_by_one(stage, &mut measured, round, &order.pace);
            continue;
        }
        let mut servers = Vec::new();
        for row in measured.iter_mut().filter(|row| row.rounds.is_ok()) {
            match ready(stage, row.side, workload, &order.pace) {
                Ok(server) => servers.push((row, server, Vec::new())),
                Err(failure) => row.fail(round, failure),
            }
        }
        // The machine's other load varies within seconds, so turns are short.
        for _ in 0..order.pace.of(workload).0 {
            for (row, server, turns) in &mut servers {
                match load::measure(stage, server, workload, &order.pace) {
                    Ok(values) => turns.push(values),
                    Err(failure) => row.fail(round, failure),
                }
            }
            servers.retain(|(row, ..)| row.rounds.is_ok());
        }
        for (row, _, turns) in servers {
            let values: Round = report::medians(&turns);
            eprintln!("{} {round}: {} {values:.2?}", workload.name, row.side.name);
            if let Ok(rounds) = &mut row.rounds {
                rounds.push(values);
            }
        }
    }
    measured
}

/// Runs a round of a workload whose sides do not alternate.
fn one_by_one(stage: &Stage, measured: &mut [Measured<'_>], round: usize, pace: &Pace) {
    for row in measured {
        let Ok(rounds) = &mut row.rounds else { continue };
        let values = match row.workload.load {
            Load::SlowDisk => slow_disk::measure(stage, row.side, row.workload, pace),
            Load::Upgrades => upgrade::measure(stage, row.side, row.workload),
            _ => reload::measure(stage, row.side, row.workload),
        };
        match values {
            Ok(values) => {
                eprintln!("{} {round}: {} {values:.3?}", row.workload.name, row.side.name);
                rounds.push(values);
            }
            Err(failure) => row.fail(round, failure),
        }
    }
}

/// A server with warm pools.
fn ready(stage: &Stage, side: &Side, workload: &Workload, pace: &Pace) -> Result<Server, Failure> {
    let server = side.start(stage, workload)?;
    load::warm_up(stage, &server, workload, pace)?;
    Ok(server)
}

/// The most small requests that nginx serves here in a second.
fn most_of_nginx(stage: &Stage, sides: &[Side], pace: &Pace) -> Result<f64, Failure> {
    let small = &WORKLOADS[0];
    let nginx = sides.iter().find(|side| side.name == "nginx").ok_or("there is no nginx")?;
    let mut most: f64 = 0.0;
    for _ in 0..ATTEMPTS {
        let server = ready(stage, nginx, small, pace)?;
        let values = load::measure(stage, &server, small, pace)?;
        most = most.max(*values.get(2).ok_or("nginx gave no rate")?);
    }
    Ok(most)
}

/// Appends the report to `bench/RESULTS.md`.
fn save(text: &str) -> Result<(), Failure> {
    let path = cargo::root().join("bench/RESULTS.md");
    let file = std::fs::OpenOptions::new().append(true).open(&path);
    let written = file.and_then(|mut file| write!(file, "\n{text}"));
    written.map_err(|error| format!("{}: {error}", path.display()))
}
