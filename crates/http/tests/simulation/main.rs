//! Whole requests in virtual time: clients, the proxy's own code and two upstreams over a
//! simulated network, whose faults and whose time follow from a seed (`weir_engine::sim`).
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
mod message;
mod model;
mod proxy;
mod scenario;
mod upstream;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use weir_engine::sim::Sabotage;

/// The number of seeds in a run.
const SEEDS: u64 = 2000;

/// The number of threads that run them.
const THREADS: u64 = 2;

/// The number of lines to which a trace is cut, from its end.
const TRACE: usize = 2000;

/// Held by a test: two runs of one seed at a time would share its zones, as configurations of one
/// process do.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs one seed on a thread of its own, so that no thread-local remains from another one. Returns
/// the trace, if wanted, and the fault.
fn run(seed: u64, traced: bool, sabotage: Option<Sabotage>) -> (Vec<String>, Option<String>) {
    let thread = std::thread::spawn(move || {
        let outcome = catch_unwind(AssertUnwindSafe(|| scenario::run(seed, traced, sabotage)));
        let fault = outcome.err().map(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
                .unwrap_or_else(|| "a panic".to_owned())
        });
        (weir_engine::sim::take_trace(), fault)
    });
    thread.join().expect("a thread that catches its panics")
}

/// The trace of a seed that has failed, and its fault.
fn tell(seed: u64) -> String {
    let (trace, fault) = run(seed, true, None);
    let cut = trace.len().saturating_sub(TRACE);
    let trace = trace[cut..].join("\n");
    format!("{trace}\nseed {seed}: {}", fault.as_deref().unwrap_or("nothing is wrong with it"))
}

#[test]
fn every_seed_keeps_the_promises() {
    let _alone = alone();
    proxy::silence_the_process_log();
    if let Some(seed) = number("WEIR_SIM_SEED") {
        let told = tell(seed);
        eprintln!("{told}");
        assert!(told.ends_with("nothing is wrong with it"), "seed {seed} fails");
        return;
    }
    let first = number("WEIR_SIM_FIRST").unwrap_or(0);
    let end = first + number("WEIR_SIM_SEEDS").unwrap_or(SEEDS);
    let next = AtomicU64::new(first);
    let tried = || {
        let mut failed = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end || failed.len() >= 5 {
                return failed;
            }
            if let (_, Some(fault)) = run(seed, false, None) {
                failed.push((seed, fault));
            }
        }
    };
    let mut failed: Vec<(u64, String)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(tried)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("it catches panics")).collect()
    });
    failed.sort_unstable();
    let Some((seed, _)) = failed.first() else { return };
    let all: Vec<String> =
        failed.iter().map(|(seed, fault)| format!("seed {seed}: {fault}")).collect();
    panic!("{}\n\n{}", tell(*seed), all.join("\n"));
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
