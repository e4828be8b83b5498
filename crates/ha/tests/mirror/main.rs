//! The mirror in virtual time: two or three nodes, their connections and disks.
//!
//! Each seed gives proposals, records, counters, and what goes wrong: cuts in both directions or
//! one, slow links, crashes that lose what was not durable, restored backups, jumps of clocks,
//! refusals, failures, bytes that are no message. Then everything is put in order. These promises
//! must hold:
//!
//! * Each proposal gets one answer, unless its node dies.
//! * What a node refused, and what was answered as such, was in force nowhere.
//! * No node goes back to an older version. In the end, all have the same one, durably.
//! * An acknowledged change is in it.
//! * In the end all nodes have the same records and ticket keys, and know each other's connections.
//! * No requests are told twice, and none is lost while no connection ends.
//! * Memory stays within the limits.
//!
//! ```text
//! cargo test -p weir-ha --test mirror                      the usual seeds
//! WEIR_SIM_SEED=4711 cargo test -p weir-ha --test mirror   one, with all that happens
//! WEIR_SIM_SEEDS=100000 WEIR_SIM_FIRST=10000 cargo test …  others, and how many
//! ```
#![allow(clippy::unwrap_used, reason = "a failure of a test is a panic")]

mod judge;
mod network;
mod node;
mod plan;
mod world;

use plan::Plan;
use weir_engine::sim::seeds;
use world::{Report, Sabotage};

/// The number of seeds in a run.
const SEEDS: u64 = 5_000;

/// The outcome of a plan; a panic is a fault.
fn run(plan: &Plan, sabotage: Option<Sabotage>, traces: bool) -> Result<Report, (String, Report)> {
    let outcome = seeds::caught(|| world::run(plan, sabotage, traces));
    outcome.unwrap_or_else(|panic| Err((panic.0, Report::default())))
}

/// The world of a seed, what happens in it, and its fault.
fn tell(seed: u64) -> Result<String, String> {
    let plan = plan::of_seed(seed);
    match run(&plan, None, true) {
        Ok(report) => Ok(format!("{plan:#?}\n{report:#?}")),
        Err((fault, report)) => Err(format!("{plan:#?}\n{report:#?}\nseed {seed}: {fault}")),
    }
}

fn add(sum: &mut Report, report: &Report) {
    sum.events += report.events;
    sum.acknowledged += report.acknowledged;
    sum.applied += report.applied;
    sum.replaced += report.replaced;
    sum.refused += report.refused;
    sum.concurrent += report.concurrent;
    sum.other += report.other;
    sum.aside += report.aside;
}

#[test]
fn every_seed_keeps_the_promises() {
    let try_one = |seed| run(&plan::of_seed(seed), None, false).map_err(|(fault, _)| fault);
    let reports = seeds::try_all(SEEDS, try_one, tell);
    let mut sum = Report::default();
    reports.iter().for_each(|report| add(&mut sum, report));
    eprintln!("{sum:?}");
    // The worlds are not too quiet to show anything.
    let least = reports.len() as u32 / 10;
    assert!(reports.len() < 100 || sum.acknowledged > least && sum.aside > least / 10);
}

#[test]
fn a_seed_is_always_the_same() {
    for seed in 0..20 {
        let plan = plan::of_seed(seed);
        let (once, again) = (run(&plan, None, true), run(&plan, None, true));
        assert_eq!(once, again, "seed {seed}");
    }
}

/// The number of seeds within which a fault must be noticed.
const TO_NOTICE: u64 = 300;

#[test]
fn faults_are_noticed() {
    for (sabotage, words) in [
        (Sabotage::ForgetsSets, "lacks it"),
        (Sabotage::TellsOnce, "does not know that all have"),
        (Sabotage::AgreesAlways, "a refused set"),
        (Sabotage::LosesRecords, "differ"),
        (Sabotage::CountsTwice, "was told of"),
        (Sabotage::LosesLevels, "believes in connections"),
        (Sabotage::StartsOlder, "replaces"),
        (Sabotage::SwallowsAnswers, "has no answer"),
    ] {
        let faults = (0..TO_NOTICE)
            .filter_map(|seed| run(&plan::of_seed(seed), Some(sabotage), false).err());
        let faults: Vec<String> = faults.map(|(fault, _)| fault).take(40).collect();
        let noticed = faults.iter().any(|fault| fault.contains(words));
        assert!(noticed, "{sabotage:?} is not noticed: {:?}", faults.first());
    }
}
