//! Zones whose counts add up over nodes (`sync`): the seam between limits, which count, and the
//! mirror, which carries counts between nodes. Neither knows the other.
//!
//! A request leaves a note under a lock of its zone and waits for nothing. The mirror takes the
//! notes, every 20 ms while there are any, and hands in those of other nodes.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::shared_news;

/// Keys that wait in a zone to be told. Further ones count here alone.
pub const UNTOLD_KEYS: usize = 8192;

/// A registry of the assembly: whether the configuration has other nodes. The block that names them
/// sets it, wherever it stands.
#[derive(Clone, Copy, Debug, Default)]
pub struct HasNodes(pub bool);

/// Why `sync` is refused without other nodes.
pub const NO_NODES: &str = "parameter \"sync\" needs the nodes to share with: an \"ha\" block with \
                            two nodes or more";

/// A zone that is shared.
pub trait SharedZone: Send + Sync {
    /// What it counts.
    fn form(&self) -> Form;

    /// Takes what has changed here: admitted requests since the last time, or the connections as
    /// they are, by key.
    fn take_untold(&self) -> Changed;

    /// The connections of a key.
    fn level(&self, _key: &[u8]) -> u32 {
        0
    }

    /// Counts requests that another node has admitted.
    fn charge(&self, _key: &[u8], _amount: u32) {}

    /// Sets the connections that another node has of a key.
    fn set_level(&self, _node: &str, _key: &[u8], _level: u32) {}

    /// Forgets the connections of a node.
    fn forget(&self, _node: &str) {}
}

/// The form of counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Admitted requests: sums.
    Amounts,
    /// Connections: as many as there are.
    Levels,
}

/// The shared zones by usage and name, of all configurations.
type InUse = BTreeMap<(&'static str, Arc<str>), Weak<dyn SharedZone>>;

static IN_USE: Mutex<InUse> = Mutex::new(BTreeMap::new());

fn zones() -> MutexGuard<'static, InUse> {
    IN_USE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Shares a zone, under its name.
pub fn share(usage: &'static str, name: &str, zone: Weak<dyn SharedZone>) {
    zones().insert((usage, name.into()), zone);
    // It may have counted before.
    shared_news::tell();
}

/// Shares a zone no longer.
pub fn keep_apart(usage: &'static str, name: &str) {
    zones().remove(&(usage, Arc::from(name)));
}

/// The shared zones, by name. Names are unique among usages.
pub fn in_use() -> Vec<(Arc<str>, Arc<dyn SharedZone>)> {
    let mut zones = zones();
    zones.retain(|_, zone| zone.strong_count() > 0);
    let living = |((_, name), zone): (&(_, Arc<str>), &Weak<dyn SharedZone>)| {
        Some((Arc::clone(name), zone.upgrade()?))
    };
    zones.iter().filter_map(living).collect()
}

/// Changes by key.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// Requests, or connections.
    pub by_key: HashMap<Vec<u8>, u32>,
    /// Whether there were more than [`UNTOLD_KEYS`], so that connections told before have to be
    /// looked at again.
    pub is_cut: bool,
}

/// Changes that wait to be told.
#[derive(Debug, Default)]
pub struct Untold(Mutex<Changed>);

impl Untold {
    /// Adds a request of a key, or a change of its connections.
    pub fn add(&self, key: &[u8]) {
        let mut changed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = changed.by_key.get_mut(key) {
            *count = count.saturating_add(1);
        } else if changed.by_key.len() < UNTOLD_KEYS {
            if changed.by_key.is_empty() {
                shared_news::tell();
            }
            changed.by_key.insert(key.to_vec(), 1);
        } else {
            changed.is_cut = true;
        }
    }

    /// Takes all.
    pub fn take(&self) -> Changed {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
