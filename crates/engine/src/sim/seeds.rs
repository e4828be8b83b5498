//! Trying the seeds of a simulation, on several threads. The environment chooses which:
//!
//! ```text
//! WEIR_SIM_SEED=4711                        one, with all that happens
//! WEIR_SIM_SEEDS=1000000 WEIR_SIM_FIRST=1   others, and how many
//! ```

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The number of threads.
const THREADS: usize = 2;

/// The number of failures after which no more seeds are tried: some show as much as all.
const ENOUGH: usize = 5;

/// Tries the usual number of seeds, or those that the environment names; `try_one` returns what
/// happened, or the fault. Returns the reports of all seeds; none if the environment names a single
/// seed, of which `tell` gives the story, good or bad.
///
/// # Panics
/// If a seed fails, with the story of the first one.
pub fn try_all<T: Send>(
    usual: u64,
    try_one: impl Fn(u64) -> Result<T, String> + Sync,
    tell: impl Fn(u64) -> Result<String, String>,
) -> Vec<T> {
    if let Some(seed) = number("WEIR_SIM_SEED") {
        let story = tell(seed).unwrap_or_else(|story| panic!("{story}\nseed {seed} fails"));
        eprintln!("{story}\nnothing is wrong with seed {seed}");
        return Vec::new();
    }
    let first = number("WEIR_SIM_FIRST").unwrap_or(0);
    let end = first + number("WEIR_SIM_SEEDS").unwrap_or(usual);
    let next = AtomicU64::new(first);
    let (reports, faults) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    let is_enough = || faults.lock().is_ok_and(|faults| faults.len() >= ENOUGH);
    let work = || {
        while let Some(seed) = Some(next.fetch_add(1, Relaxed)).filter(|seed| *seed < end)
            && !is_enough()
        {
            match try_one(seed) {
                Ok(report) => reports.lock().expect("no holder panics").push(report),
                Err(fault) => faults.lock().expect("no holder panics").push((seed, fault)),
            }
        }
    };
    std::thread::scope(|scope| (0..THREADS).for_each(|_| drop(scope.spawn(work))));
    let mut faults = faults.into_inner().expect("no holder panics");
    faults.sort_unstable();
    if let Some((seed, _)) = faults.first() {
        let (Ok(story) | Err(story)) = tell(*seed);
        let all: Vec<_> =
            faults.iter().map(|(seed, fault)| format!("seed {seed}: {fault}")).collect();
        let all = all.join("\n");
        panic!("{story}\n\n{all}\n\nWEIR_SIM_SEED={seed} before the command replays the first");
    }
    reports.into_inner().expect("no holder panics")
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// The text of a panic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Panicked(pub String);

/// Runs a simulation; its panic is a fault.
///
/// # Errors
/// The panic's text.
pub fn caught<T>(run: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| Panicked(text_of(&*panic)))
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    text.unwrap_or_else(|| "a panic".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_fault_is_told() {
        let run = |seed| if seed % 40 == 39 { Err("odd".to_owned()) } else { Ok(seed) };
        let tell = |seed| Err(format!("the story of {seed}"));
        assert_eq!(try_all(30, run, tell).len(), 30);
        let Panicked(said) = caught(|| try_all(100, run, tell)).unwrap_err();
        assert!(said.starts_with("the story of 39\n\nseed 39: odd"), "{said}");
    }
}
