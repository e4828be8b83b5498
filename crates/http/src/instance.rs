//! The running instance, for the API: set by the server's process, and inherited by workers.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use weir_engine::clock::{self, Wall};

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
