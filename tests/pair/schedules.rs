//! What the nodes of a pair promise while the network between them comes and goes: seeded
//! schedules, each with two or three real servers, linked, on hosts of their own.
//!
//! A seed gives cuts (between switches, of a cable, in one direction), slow links, killed workers
//! and whole nodes, changed configurations, written pairs, limited requests. Then the network is
//! whole again, and every node runs. These promises must hold:
//!
//! * All nodes have one configuration in force, and every acknowledged change is in it.
//! * All have the same pairs; a pair is the last one written, and an overwritten one never comes
//!   back, unless the only node that had it has died.
//! * No counter of the API goes backwards while its worker lives.
//! * Two nodes hold the address only while they do not hear each other, and at most as long as a
//!   takeover takes otherwise; while they do, the status of each names the cut.
//!
//! ```text
//! cargo test -p weir-tests -- schedules                              the usual seeds
//! WEIR_SCHEDULE_SEED=17 cargo test -p weir-tests -- schedules        one, with all that happens
//! WEIR_SCHEDULE_SEEDS=500 WEIR_SCHEDULE_FIRST=50 cargo test …        others, and how many
//! ```

mod judge;
mod plan;
mod watch;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use super::*;

/// The number of seeds in a run; each event method has its own.
const SEEDS: u64 = 25;

/// The number of schedules at a time: each waits for clocks most of its time.
const AT_ONCE: usize = 8;

/// What has happened in all schedules.
#[derive(Clone, Copy, Debug, Default)]
struct Report {
    /// Changes of the configuration that were acknowledged, applied here alone, or came to nothing.
    acknowledged: usize,
    applied: usize,
    refused: usize,
    /// Changes whose node died before the answer.
    unanswered: usize,
    /// Written pairs.
    pairs: usize,
    cuts: usize,
    kills: usize,
    /// Schedules in which two nodes held the address at once during a cut.
    both: usize,
}

impl Report {
    fn add(&mut self, other: &Self) {
        self.acknowledged += other.acknowledged;
        self.applied += other.applied;
        self.refused += other.refused;
        self.unanswered += other.unanswered;
        self.pairs += other.pairs;
        self.cuts += other.cuts;
        self.kills += other.kills;
        self.both += other.both;
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs the schedule of a seed.
///
/// # Errors
/// The fault, with the schedule and what happened.
fn run(seed: u64, traced: bool) -> Result<Report, String> {
    let plan = plan::of_seed(seed);
    let started = Instant::now();
    let trace = world::Trace::new(traced);
    let outcome = catch_unwind(AssertUnwindSafe(|| world::run(&plan, &trace)));
    outcome.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let fault = text.unwrap_or_else(|| "a panic".to_owned());
        let took = started.elapsed();
        format!("{plan:#?}\n{}seed {seed}, after {took:.1?}: {fault}", trace.text())
    })
}

#[test]
fn schedules_of_cuts_and_kills_end_with_one_state() {
    if hosts(2).is_none() {
        return;
    }
    if let Some(seed) = number("WEIR_SCHEDULE_SEED") {
        let report = run(seed, true).unwrap_or_else(|fault| panic!("{fault}"));
        println!("{report:?}\nnothing is wrong with seed {seed}");
        return;
    }
    let by_ring = std::env::var("WEIR_TEST_USE").is_ok_and(|method| method == "io_uring");
    let first = number("WEIR_SCHEDULE_FIRST").unwrap_or(if by_ring { SEEDS } else { 0 });
    let end = first + number("WEIR_SCHEDULE_SEEDS").unwrap_or(SEEDS);
    let next = AtomicU64::new(first);
    let (faults, sum) = (Mutex::new(Vec::new()), Mutex::new(Report::default()));
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Relaxed);
                    // Some failures show as much as all of them.
                    if seed >= end || faults.lock().unwrap().len() >= 3 {
                        return;
                    }
                    match run(seed, false) {
                        Ok(report) => sum.lock().unwrap().add(&report),
                        Err(fault) => faults.lock().unwrap().push((seed, fault)),
                    }
                }
            });
        }
    });
    let (mut faults, sum) = (faults.into_inner().unwrap(), sum.into_inner().unwrap());
    println!("{} schedules in {:.1?}: {sum:?}", end - first, started.elapsed());
    faults.sort();
    let Some((seed, _)) = faults.first() else {
        // The schedules are not too quiet to show anything.
        let least = (end - first) as usize / 5;
        let is_lively = sum.acknowledged > least && sum.applied > least && sum.kills > least;
        assert!(end - first < SEEDS || is_lively && sum.both > least / 2, "{sum:?}");
        return;
    };
    let all: Vec<&str> = faults.iter().map(|(_, fault)| fault.as_str()).collect();
    let all = all.join("\n\n");
    panic!("{all}\n\nWEIR_SCHEDULE_SEED={seed} before the command replays the first");
}
