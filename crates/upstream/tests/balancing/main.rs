//! Balancing in virtual time: requests arrive at random, are balanced by the crate's own code, wait
//! at servers and are answered, or not.
//!
//! Each seed gives a method, some servers, their weights, and perhaps a server that is slow, errs,
//! refuses or hangs. These promises must hold, whatever happens ([`judge`]):
//!
//! * A server that is full, failed, unhealthy, draining or down gets no request while another can
//!   take it, and no request tries a server twice. None is refused while a server is left.
//! * `max_conns` is never exceeded, and no more retries begin than the budget allows.
//! * Each method keeps its own promise about choices and the spread of requests ([`methods`]).
//! * `prefer_locality` sends no request away while the preferred locality can take it.
//! * In the end no request and no retry is left.
//!
//! ```text
//! cargo test -p weir-upstream --test balancing                     the usual seeds
//! WEIR_SIM_SEED=4711 cargo test -p weir-upstream --test balancing  one, with its choices
//! WEIR_SIM_SEEDS=1000000 WEIR_SIM_FIRST=10000 cargo test …         others, and how many
//! ```
#![allow(clippy::unwrap_used, reason = "a failure of a test is a panic")]

mod configuration;
mod figures;
mod judge;
mod methods;
mod plan;
mod report;
mod scenario;
mod server;
mod svg;
mod world;

use plan::Plan;
use report::Report;
use weir_engine::sim::seeds;
use world::Sabotage;

/// The number of seeds in a run.
const SEEDS: u64 = 10_000;

/// The process's log would tell of ejections and of used budgets.
fn silence_the_process_log() {
    weir_engine::error_log::set_process_log(weir_engine::ErrorLog::default());
}

/// The outcome of a plan; a panic is a fault.
fn run(plan: &Plan, sabotage: Option<Sabotage>) -> Result<Report, String> {
    seeds::caught(|| world::run(plan, sabotage)).unwrap_or_else(|panic| Err(panic.0))
}

/// The world of a seed, its choices and its fault.
fn tell(seed: u64) -> Result<String, String> {
    let plan = scenario::of_seed(seed);
    match run(&plan, None) {
        Ok(report) => Ok(format!("{plan:#?}\n{report:?}")),
        Err(fault) => Err(format!("{plan:#?}\nseed {seed}: {fault}")),
    }
}

#[test]
fn every_seed_keeps_the_promises() {
    silence_the_process_log();
    let try_one = |seed| run(&scenario::of_seed(seed), None).map(drop);
    seeds::try_all(SEEDS, try_one, tell);
}

#[test]
fn a_seed_is_always_the_same() {
    silence_the_process_log();
    for seed in (0..methods::METHODS.len() as u64).map(|turn| turn * 13) {
        let plan = scenario::of_seed(seed);
        let (once, again) = (run(&plan, None), run(&plan, None));
        assert_eq!(once, again, "seed {seed}");
        assert!(once.is_ok_and(|report| report.choices.len() > 20), "seed {seed}");
    }
}

/// The number of seeds within which a fault must be noticed.
const TO_NOTICE: u64 = 300;

#[test]
fn faults_are_noticed() {
    silence_the_process_log();
    for (sabotage, words) in [
        (Sabotage::RetriesAnyway, "retries of"),
        (Sabotage::ForgetsToFree, "requests are left"),
        (Sabotage::Misreads(" down", " "), "was chosen"),
        (Sabotage::Misreads("max_conns=1 ", " "), "of 1 requests"),
        (Sabotage::Misreads("weight=1", "weight=9"), "requests, and not"),
        (Sabotage::Misreads("least_conn;", ""), "has more than"),
        (Sabotage::Misreads("ip_hash;", ""), "went to"),
        (Sabotage::Misreads("balance=125%", ""), "has no room"),
        (Sabotage::Misreads("prefer_locality a;", ""), "too far away"),
    ] {
        let faults =
            (0..TO_NOTICE).filter_map(|seed| run(&scenario::of_seed(seed), Some(sabotage)).err());
        let faults: Vec<String> = faults.collect();
        let noticed = faults.iter().any(|fault| fault.contains(words));
        assert!(noticed, "{sabotage:?} is not noticed: {:?}", faults.first());
    }
}
