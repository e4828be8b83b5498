//! Pairs that nodes have in common.

use std::sync::{Arc, PoisonError};

use weir_engine::clock;
use weir_engine::error_log::{Level, process_log};
use weir_upstream::shared_records::{self, Owner, Theme};

use super::table::Entry;
use super::{Keyval, in_use};

struct Keyvals;

/// Begins to take over the pairs of other nodes.
pub(super) fn begin() {
    shared_records::set_owner(Theme::Keyval, &Keyvals);
}

/// Notes a change, for the other nodes.
pub(super) fn note(zone: &str, key: &str, entry: Option<&Entry>) {
    let value = entry.map(Entry::to_bytes);
    shared_records::note(Theme::Keyval, &shared_key(zone, key), value.as_deref());
}

fn shared_key(zone: &str, key: &str) -> Vec<u8> {
    format!("{zone}\0{key}").into_bytes()
}

impl Owner for Keyvals {
    fn all(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let now = clock::msec();
        let of_zone = |(name, zone): (String, Arc<Keyval>)| {
            let pairs = zone.pairs(now).into_iter();
            pairs
                .map(|(key, entry)| (shared_key(&name, &key), entry.to_bytes()))
                .collect::<Vec<_>>()
        };
        in_use().into_iter().flat_map(of_zone).collect()
    }

    fn keeps(&self, key: &[u8]) -> bool {
        find(key).is_some()
    }

    /// A zone that this node does not have (yet) is no fault: nodes get a new configuration one
    /// after the other.
    fn apply(&self, key: &[u8], value: Option<&[u8]>) {
        if let Some((zone, key)) = find(key) {
            zone.take_over(key, value);
        }
    }
}

/// The zone of a shared key, and the key in it.
fn find(key: &[u8]) -> Option<(Arc<Keyval>, &str)> {
    let (wanted, key) = std::str::from_utf8(key).ok()?.split_once('\0')?;
    let (_, zone) = in_use().into_iter().find(|(name, _)| name == wanted)?;
    Some((zone, key))
}

impl Keyval {
    /// Takes over a pair of another node.
    fn take_over(&self, key: &str, value: Option<&[u8]>) {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        if shared_records::is_noted(Theme::Keyval, &shared_key(&self.config.name, key)) {
            // What has changed here meanwhile is later.
            return;
        }
        let entry = value.and_then(Entry::from_bytes);
        match &entry {
            Some(entry) => {
                if let Err(error) = self.write().insert(key, entry.clone()) {
                    let name = &self.config.name;
                    let text = format!(
                        "a pair of another node was not taken over by keyval zone \"{name}\": {error:?}"
                    );
                    process_log().log(Level::Warn, 0, &text);
                    return;
                }
            }
            None => {
                self.write().remove(key);
            }
        }
        self.note_here(key, entry.as_ref());
        // A failure is logged.
        let _ = self.save(clock::msec());
    }
}
