//! Limits of the number of connections by a key: `limit_conn_zone` and `limit_conn`.
//! <https://nginx.org/en/docs/http/ngx_http_limit_conn_module.html>

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use weir_conf::value::parse_number;
use weir_conf::{Cx, Fault, Node};
use weir_engine::stats::{Family, Key};
use weir_upstream::shared_zone::SharedZone;

use crate::Session;
use crate::zone::{Contents, Live, Memory, Tally, Zone, node_size, room};

mod others;

use others::Others;

/// The longest key, in bytes. Sessions with a longer one are not counted.
const LONGEST_KEY: usize = 255;

/// The size of nginx's node without the key, in bytes.
const NODE_HEAD: usize = 36;

/// The connection counts by key, for all threads.
pub struct Connections {
    counts: Mutex<Counts>,
    /// Those of other nodes, for zones with `sync`.
    others: OnceLock<Others>,
    /// The memory for nodes, in bytes.
    size: u64,
    outcomes: Key,
}

/// The outcomes of zones.
static OUTCOMES: Family = Family::new(3);

/// The outcome of a request or session, and its counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Within the limit.
    Passed,
    /// Refused.
    Rejected,
    /// Over the limit, which is only tried.
    RejectedDryRun,
}

struct Counts {
    by_key: HashMap<Arc<[u8]>, u64>,
    /// The memory left for nodes, in bytes.
    room: u64,
}

impl Counts {
    fn level(&self, key: &[u8]) -> u32 {
        let count = self.by_key.get(key).copied().unwrap_or(0);
        u32::try_from(count).unwrap_or(u32::MAX)
    }
}

impl Contents for Connections {
    const USAGE: &'static str = "limit_conn";
    const STREAM_USAGE: &'static str = "stream limit_conn";

    fn new(size: u64) -> Self {
        let size = room(size);
        let counts = Mutex::new(Counts { by_key: HashMap::new(), room: size });
        Self { counts, others: OnceLock::new(), size, outcomes: OUTCOMES.own() }
    }

    fn shared(self: Arc<Self>, _rate: u64, _burst: u64) -> Arc<dyn SharedZone> {
        self.others.get_or_init(Others::default);
        self
    }
}

impl Tally for Connections {
    fn counts(&self) -> Vec<(&'static str, u64)> {
        const NAMES: [&str; 3] = ["passed", "rejected", "rejected_dry_run"];
        NAMES.into_iter().zip(self.outcomes.read()).collect()
    }

    fn reset(&self) {
        self.outcomes.reset(0..3);
    }

    fn memory(&self) -> Memory {
        Memory { size: self.size, used: self.size - self.lock().room }
    }
}

/// Why a connection is refused.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The key has reached its limit.
    TooMany,
    /// The zone has no memory for another key.
    Full,
}

impl Connections {
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(
        self: &Arc<Self>,
        key: &[u8],
        most: u64,
        sync: bool,
    ) -> Result<CountedConnection, Refusal> {
        let elsewhere = if sync { self.elsewhere(key) } else { 0 };
        let mut counts = self.lock();
        let known = counts.by_key.get_key_value(key).map(|(key, &count)| (Arc::clone(key), count));
        let (key, count) = match known {
            Some((_, count)) if count + elsewhere >= most => return Err(Refusal::TooMany),
            Some(known) => known,
            None if elsewhere >= most => return Err(Refusal::TooMany),
            None => {
                let need = node_size(NODE_HEAD + key.len());
                counts.room = counts.room.checked_sub(need).ok_or(Refusal::Full)?;
                (key.into(), 0)
            }
        };
        counts.by_key.insert(Arc::clone(&key), count + 1);
        drop(counts);
        if sync {
            self.note(&key);
        }
        Ok(CountedConnection { zone: Arc::clone(self), key })
    }

    fn give_back(&self, key: &[u8]) {
        let mut counts = self.lock();
        let Some(count) = counts.by_key.get_mut(key) else { return };
        *count -= 1;
        if *count == 0 {
            counts.by_key.remove(key);
            counts.room += node_size(NODE_HEAD + key.len());
        }
        drop(counts);
        self.note(key);
    }
}

/// A counted connection; dropping it decrements the count.
pub struct CountedConnection {
    zone: Arc<Connections>,
    key: Arc<[u8]>,
}

impl Drop for CountedConnection {
    fn drop(&mut self) {
        self.zone.give_back(&self.key);
    }
}

/// A `limit_conn` of a level.
#[derive(Clone)]
pub struct Limit {
    /// The zone of its counts.
    pub zone: Arc<Zone<Connections>>,
    most: u64,
}

/// Every zone in use.
pub static ZONES: Live<Connections> = Live::empty();

/// Parses a `limit_conn_zone`.
///
/// # Errors
/// nginx's messages.
pub fn define_zone(node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    Zone::<Connections>::define(node, cx, 2, |word| Err(Fault::parameter(word)))
}

impl Limit {
    /// Parses a `limit_conn`, and adds it to those of its level.
    ///
    /// # Errors
    /// nginx's messages.
    pub fn add(limits: &mut Vec<Self>, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
        const MOST: u64 = 65_535;
        let zone = Zone::<Connections>::refer(&node.args[0].value, cx)?;
        if limits.iter().any(|limit| Arc::ptr_eq(&limit.zone, &zone)) {
            return Err(Fault::duplicate());
        }
        let word = &node.args[1];
        let most = parse_number(&word.value).filter(|&most| most > 0).ok_or_else(|| {
            Fault::new(format!("invalid number of connections \"{}\"", word.shown())).at(word)
        })?;
        if most > MOST {
            return Err(Fault::new("connection limit must be less 65536").at(word));
        }
        limits.push(Self { zone, most });
        Ok(())
    }

    /// Counts the outcome of a session at this limit.
    pub fn count(&self, outcome: Outcome) {
        if let Some(zone) = self.zone.contents() {
            zone.outcomes.add([(outcome as usize, 1)]);
        }
    }

    /// Counts a session. `None` if it has no key in the zone.
    pub fn take<S: Session>(&self, session: &mut S) -> Option<Result<CountedConnection, Refusal>> {
        let (definition, zone) = (self.zone.definition()?, self.zone.contents()?);
        let key = definition.key_of(session, LONGEST_KEY)?;
        Some(zone.take(&key, self.most, definition.sync))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropped_connections_do_not_count() {
        let zone = Arc::new(Connections::new(1 << 20));
        let room = |zone: &Connections| zone.lock().room;
        let before = room(&zone);
        let first = zone.take(b"a", 2, false).unwrap();
        let second = zone.take(b"a", 2, false).unwrap();
        assert_eq!(zone.take(b"a", 2, false).err(), Some(Refusal::TooMany));
        let _other = zone.take(b"b", 1, false).unwrap();
        drop(first);
        let third = zone.take(b"a", 2, false).unwrap();
        drop((second, third, _other));
        assert_eq!(room(&zone), before);
    }

    #[test]
    fn a_full_zone_takes_no_new_keys() {
        let zone = Arc::new(Connections::new(32 * 1024));
        let mut held = Vec::new();
        let refusal = loop {
            match zone.take(&(held.len() as u32).to_be_bytes(), 1, false) {
                Ok(one) => held.push(one),
                Err(refusal) => break refusal,
            }
        };
        assert_eq!(refusal, Refusal::Full);
        assert!(held.len() > 100);
        assert!(zone.take(&0_u32.to_be_bytes(), 2, false).is_ok());
    }
}
