//! The running instance, for the API: set by the server's process, and inherited by workers.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock, PoisonError};

use serde_json::Value;
use weir_engine::clock::{self, Wall};
use weir_wire::date::Civil;

static RESPAWNED: AtomicU64 = AtomicU64::new(0);
static GENERATION: AtomicU64 = AtomicU64::new(0);
/// The time of the last load, in milliseconds since 1970.
static LOADED: AtomicU64 = AtomicU64::new(0);
static MASTER: AtomicU32 = AtomicU32::new(0);

/// The instance at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Instance {
    /// The number of loaded configurations.
    pub(crate) generation: u64,
    /// The time of the last load.
    pub(crate) loaded: Wall,
    /// The process id of the master.
    pub(crate) master: u32,
    /// The number of workers that were replaced because they had died.
    pub(crate) respawned: u64,
}

/// Notes, in the master, that a worker has died and is replaced. Workers forked from now on know.
pub fn note_respawn() {
    RESPAWNED.fetch_add(1, Relaxed);
}

/// Notes that the configuration of this number is in force.
pub fn note_load(generation: u64, master: u32) {
    GENERATION.store(generation, Relaxed);
    MASTER.store(master, Relaxed);
    LOADED.store(clock::msec(), Relaxed);
}

/// What became of reloads since the start, which the master knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reloads {
    /// When the master started, in milliseconds since 1970.
    pub started: u64,
    /// The reloads that came into force.
    pub good: u64,
    /// Those that did not.
    pub failed: u64,
    /// When the last one came into force, in milliseconds since 1970; 0 if none has.
    pub last_good: u64,
    /// When the last one failed; 0 if none has.
    pub last_failed: u64,
    /// The milliseconds that the last good one took from the signal.
    pub took: u64,
    /// Why the last one failed, cut to [`LONGEST_FAULT`].
    pub fault: String,
}

/// The longest reason that is kept, in bytes.
pub const LONGEST_FAULT: usize = 1024;

/// The text of a time in milliseconds since 1970, as [`timestamp`] has it.
pub fn iso(millis: u64) -> String {
    let wall = u16::try_from(millis % 1000).unwrap_or_default();
    timestamp(Wall { secs: (millis / 1000).cast_signed(), millis: wall })
}

/// A time in the format of ISO 8601, in UTC with milliseconds.
pub(crate) fn timestamp(time: Wall) -> String {
    let Civil { year, month, day, hour, minute, second, .. } = Civil::from_unix(time.secs);
    let millis = time.millis;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// Tells the state of the pair, `None` without one. It may block for a second.
pub type PairState = fn() -> Option<Value>;

static PAIR: OnceLock<PairState> = OnceLock::new();

/// Shows the state of the pair, which a crate above this one knows. The first call counts.
pub fn show_pair(state: PairState) {
    let _ = PAIR.set(state);
}

/// The state of the pair.
pub(crate) fn pair() -> Option<Value> {
    PAIR.get().and_then(|state| state())
}

static RELOADS: Mutex<Option<Reloads>> = Mutex::new(None);

/// Notes what became of reloads.
pub fn note_reloads(reloads: Reloads) {
    *RELOADS.lock().unwrap_or_else(PoisonError::into_inner) = Some(reloads);
}

/// What became of reloads.
pub fn reloads() -> Reloads {
    RELOADS.lock().unwrap_or_else(PoisonError::into_inner).clone().unwrap_or_default()
}

/// The configurations that something serves with.
static HELD: AtomicU64 = AtomicU64::new(0);

/// Counts a configuration that begins to serve.
pub fn note_generation() {
    HELD.fetch_add(1, Relaxed);
}

/// Counts a configuration whose last request has ended.
pub fn note_drained() {
    HELD.fetch_sub(1, Relaxed);
}

/// The replaced configurations that requests still hold.
pub(crate) fn held() -> u64 {
    HELD.load(Relaxed).saturating_sub(1)
}

/// Starts the count of replaced workers over.
pub(crate) fn reset() {
    RESPAWNED.store(0, Relaxed);
}

/// The instance now.
pub(crate) fn current() -> Instance {
    let loaded = LOADED.load(Relaxed);
    let millis = u16::try_from(loaded % 1000).unwrap_or_default();
    Instance {
        generation: GENERATION.load(Relaxed),
        loaded: Wall { secs: (loaded / 1000).cast_signed(), millis },
        master: MASTER.load(Relaxed),
        respawned: RESPAWNED.load(Relaxed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_of_utc() {
        let time = Wall { secs: 1_656_415_524, millis: 7 };
        assert_eq!(timestamp(time), "2022-06-28T11:25:24.007Z");
    }
}
