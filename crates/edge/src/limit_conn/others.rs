//! The connections of other nodes, for zones with `sync`.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use weir_upstream::shared_zone::{Changed, Form, SharedZone, Untold};

use super::{Connections, NODE_HEAD};
use crate::zone::node_size;

/// The counts of other nodes, and the keys whose own counts they have not been told.
#[derive(Debug, Default)]
pub(super) struct Others {
    counts: Mutex<Counts>,
    untold: Untold,
}

#[derive(Debug, Default)]
struct Counts {
    /// By node and key.
    levels: HashMap<String, HashMap<Vec<u8>, u32>>,
    /// The sums by key.
    sums: HashMap<Vec<u8>, u64>,
    /// The memory in use, in bytes, as of own counts. The size of the zone limits it.
    used: u64,
}

impl Others {
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn set(&mut self, node: &str, key: &[u8], level: u32, size: u64) {
        let levels = self.levels.entry(node.to_owned()).or_default();
        let before = levels.remove(key);
        let cost = node_size(NODE_HEAD + key.len());
        self.used -= if before.is_some() { cost } else { 0 };
        let has_room = self.used + cost <= size;
        let level = if has_room { level } else { 0 };
        if level > 0 {
            levels.insert(key.to_vec(), level);
            self.used += cost;
        }
        let sum = self.sums.entry(key.to_vec()).or_default();
        *sum = *sum + u64::from(level) - u64::from(before.unwrap_or(0));
        if *sum == 0 {
            self.sums.remove(key);
        }
    }
}

impl Connections {
    /// The connections of a key on other nodes.
    pub(super) fn elsewhere(&self, key: &[u8]) -> u64 {
        let counts = self.others.get().map(Others::lock);
        counts.and_then(|counts| counts.sums.get(key).copied()).unwrap_or(0)
    }

    /// Notes that the count of a key has changed, if the zone is shared.
    pub(super) fn note(&self, key: &[u8]) {
        if let Some(others) = self.others.get() {
            others.untold.add(key);
        }
    }
}

impl SharedZone for Connections {
    fn form(&self) -> Form {
        Form::Levels
    }

    fn take_untold(&self) -> Changed {
        let mut changed = self.others.get().map(|others| others.untold.take()).unwrap_or_default();
        let counts = self.lock();
        for (key, level) in &mut changed.by_key {
            *level = counts.level(key);
        }
        changed
    }

    fn level(&self, key: &[u8]) -> u32 {
        self.lock().level(key)
    }

    fn set_level(&self, node: &str, key: &[u8], level: u32) {
        if let Some(others) = self.others.get() {
            others.lock().set(node, key, level, self.size);
        }
    }

    fn forget(&self, node: &str) {
        let Some(others) = self.others.get() else { return };
        let mut counts = others.lock();
        let levels = counts.levels.get(node).cloned().unwrap_or_default();
        levels.keys().for_each(|key| counts.set(node, key, 0, self.size));
        counts.levels.remove(node);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::Refusal;
    use super::*;
    use crate::zone::Contents;

    fn shared() -> Arc<Connections> {
        let zone = Arc::new(Connections::new(64 * 1024));
        let _ = Arc::clone(&zone).shared(0, 0);
        zone
    }

    #[test]
    fn connections_elsewhere_count() {
        let zone = shared();
        zone.set_level("b", b"key", 2);
        zone.set_level("c", b"key", 1);
        let first = zone.take(b"key", 4, true).unwrap();
        assert_eq!(zone.take(b"key", 4, true).err(), Some(Refusal::TooMany));
        assert_eq!(zone.take_untold().by_key, HashMap::from([(b"key".to_vec(), 1)]));
        drop(first);
        assert_eq!(zone.take_untold().by_key, HashMap::from([(b"key".to_vec(), 0)]));
        zone.set_level("b", b"key", 3);
        assert_eq!(zone.take(b"key", 4, true).err(), Some(Refusal::TooMany));
        // A node that is away does not count.
        zone.forget("b");
        let all: Vec<_> = (0..3).map(|_| zone.take(b"key", 4, true).unwrap()).collect();
        assert_eq!(zone.take(b"key", 4, true).err(), Some(Refusal::TooMany));
        // Nor does any in a zone without `sync`.
        zone.set_level("b", b"other", 9);
        zone.take(b"other", 1, false).unwrap();
        drop(all);
    }

    #[test]
    fn the_size_of_the_zone_limits_what_others_tell() {
        let zone = shared();
        for key in 0..10_000_u32 {
            zone.set_level("b", &key.to_be_bytes(), 1);
            zone.set_level("b", &key.to_be_bytes(), 2);
        }
        let counts = zone.others.get().unwrap().lock();
        assert!(counts.used <= zone.size && counts.sums.len() < 1200, "{}", counts.sums.len());
        drop(counts);
        zone.forget("b");
        let counts = zone.others.get().unwrap().lock();
        assert_eq!((counts.used, counts.sums.len(), counts.levels.len()), (0, 0, 0));
    }
}
