//! Whole requests in virtual time: clients of HTTP/1 and HTTP/2, the proxy's own code and two
//! upstreams of either over a simulated network, whose faults and whose time follow from a seed
//! (`weir_engine::sim`).
//!
//! Each seed gives a configuration, some clients, upstreams with their moods, a network and perhaps
//! a reload. These promises must hold, whatever happens:
//!
//! * No byte of a response is invented, lost without a fault, or given to another request; a
//!   truncated response never looks complete.
//! * A request that must not be sent twice is not, and no upstream gets more than was sent.
//! * Every wait ends: a silent peer is not waited for longer than the configuration says.
//! * In the end nothing is left: connections, tasks, timers, counters, old configurations.
//!
//! ```text
//! cargo test -p weir-http --test simulation                     the usual seeds
//! WEIR_SIM_SEED=4711 cargo test -p weir-http --test simulation  one, with its trace
//! WEIR_SIM_SEEDS=100000 WEIR_SIM_FIRST=1000000 cargo test …     others, and how many
//! ```
#![allow(clippy::unwrap_used, reason = "a failure of a test is a panic")]

mod client;
mod configuration;
mod deadlines;
mod frames;
mod message;
mod model;
mod proxy;
mod scenario;
mod stream_client;
mod stream_upstream;
mod upstream;

use std::sync::{Mutex, MutexGuard, PoisonError};

use weir_engine::sim::{Sabotage, seeds};

/// The number of seeds in a run.
const SEEDS: u64 = 2000;

/// The number of lines to which a trace is cut, from its end.
const TRACE: usize = 2000;

/// Held by a test: two runs of one seed at a time would share its zones, as configurations of one
/// process do.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs one seed on a thread of its own, so that no thread-local remains from another one. Returns
/// the trace, if wanted, and the fault.
fn run(seed: u64, traced: bool, sabotage: Option<Sabotage>) -> (Vec<String>, Option<String>) {
    let thread = std::thread::spawn(move || {
        let fault = seeds::caught(|| scenario::run(seed, traced, sabotage)).err();
        let fault = fault.map(|panic| panic.0);
        (weir_engine::sim::take_trace(), fault)
    });
    thread.join().expect("a thread that catches its panics")
}

/// The trace of a seed, and its fault.
fn tell(seed: u64) -> Result<String, String> {
    let (trace, fault) = run(seed, true, None);
    let cut = trace.len().saturating_sub(TRACE);
    let trace = trace[cut..].join("\n");
    match fault {
        None => Ok(trace),
        Some(fault) => Err(format!("{trace}\nseed {seed}: {fault}")),
    }
}

#[test]
fn every_seed_keeps_the_promises() {
    let _alone = alone();
    proxy::silence_the_process_log();
    let try_one = |seed| run(seed, false, None).1.map_or(Ok(()), Err);
    seeds::try_all(SEEDS, try_one, tell);
}

#[test]
fn a_seed_is_always_the_same() {
    let _alone = alone();
    proxy::silence_the_process_log();
    for seed in [3, 77, 1234] {
        let (once, again) = (run(seed, true, None), run(seed, true, None));
        let differs = once.0.iter().zip(&again.0).find(|(one, other)| one != other);
        assert!(once == again, "seed {seed}: {differs:?}");
        assert!(once.0.len() > 20, "seed {seed} has {} lines", once.0.len());
    }
}

/// The number of seeds within which a fault must be noticed.
const TO_NOTICE: u64 = 100;

#[test]
fn faults_are_noticed() {
    let _alone = alone();
    proxy::silence_the_process_log();
    for (sabotage, words) in [
        (Sabotage::LosesBytes(10), "bytes of"),
        (Sabotage::SendsAgain(3), "was sent"),
        (Sabotage::KeepsSockets, "what is left"),
        (Sabotage::ForgetsTimers, "nothing can happen any more"),
    ] {
        let faults = (0..TO_NOTICE).filter_map(|seed| run(seed, false, Some(sabotage)).1);
        let noticed = faults.into_iter().any(|fault| fault.contains(words));
        assert!(noticed, "{sabotage:?} is not noticed");
    }
}
