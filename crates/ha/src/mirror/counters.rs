//! Counters of limits that add up over nodes.
//!
//! * **Amounts** (`limit_req`): the requests that a node has admitted since its last message. The
//!   others charge them to their own buckets, so that each bucket has the requests of all nodes,
//!   later by the interval and the way. An amount that a broken connection loses is not sent
//!   again: by the time of a new connection, its bucket has drained.
//! * **Levels** (`limit_conn`): the connections of a node by key, as they are. They are void when
//!   the connection ends, and are told anew on the next one.
//!
//! While a node is away, each one has the whole limit.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::codec::{Malformed, Reader, Writer};
use super::config::Effects;
use super::effect::Effect;
use super::limits;
use super::message::Message;
use super::name::Name;

/// A counted key: the zone and the key in it.
type Place = (Arc<str>, Vec<u8>);

/// Admitted requests of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Amount {
    place: Place,
    amount: u32,
}

/// Connections of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Level {
    place: Place,
    level: u32,
}

fn write_place(writer: &mut Writer, (zone, key): &Place, number: u32) {
    writer.bytes(zone.as_bytes()).bytes(key).u32(number);
}

fn read_place(reader: &mut Reader<'_>) -> Result<(Place, u32), Malformed> {
    let zone = reader.text(limits::ZONE)?;
    let key = reader.bytes(limits::COUNTED_KEY)?.to_vec();
    Ok(((zone.into(), key), reader.u32()?))
}

impl Amount {
    pub(super) fn write(&self, writer: &mut Writer) {
        write_place(writer, &self.place, self.amount);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let (place, amount) = read_place(reader)?;
        Ok(Self { place, amount: amount.min(limits::AMOUNT) })
    }
}

impl Level {
    pub(super) fn write(&self, writer: &mut Writer) {
        write_place(writer, &self.place, self.level);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let (place, level) = read_place(reader)?;
        Ok(Self { place, level })
    }
}

#[derive(Debug, Default)]
struct Link {
    amounts: BTreeMap<Place, u32>,
    levels: BTreeSet<Place>,
    /// Whether all levels are to be told, in place of those told before.
    anew: bool,
    /// The time of the next message.
    next: Duration,
}

/// What this node counts for the others.
#[derive(Debug, Default)]
pub(super) struct Counters {
    links: BTreeMap<Name, Link>,
    levels: BTreeMap<Place, u32>,
    /// Amounts and levels that had no room, and count here alone.
    untold: u64,
}

impl Counters {
    pub(super) fn handle_connected(&mut self, node: Name) {
        self.links.insert(node, Link { anew: true, ..Link::default() });
    }

    pub(super) fn handle_disconnected(&mut self, node: &Name, out: &mut Effects) {
        if self.links.remove(node).is_some() {
            out.push_back(Effect::Gone(node.clone()));
        }
    }

    pub(super) fn untold(&self) -> u64 {
        self.untold
    }

    /// Adds admitted requests, for the other nodes.
    pub(super) fn count(&mut self, zone: &Arc<str>, key: &[u8], amount: u32) {
        if zone.len() > limits::ZONE || key.len() > limits::COUNTED_KEY {
            self.untold += 1;
            return;
        }
        for link in self.links.values_mut() {
            let place = (Arc::clone(zone), key.to_vec());
            let is_full = link.amounts.len() >= limits::COUNTED;
            match link.amounts.get_mut(&place) {
                Some(sum) => *sum = sum.saturating_add(amount).min(limits::AMOUNT),
                None if is_full => self.untold += 1,
                None => {
                    link.amounts.insert(place, amount.min(limits::AMOUNT));
                }
            }
        }
    }

    /// Sets the connections of a key, for the other nodes.
    pub(super) fn set_level(&mut self, zone: &Arc<str>, key: &[u8], level: u32) {
        let place = (Arc::clone(zone), key.to_vec());
        let is_known = self.levels.contains_key(&place);
        let is_long = zone.len() > limits::ZONE || key.len() > limits::COUNTED_KEY;
        let is_full = !is_known && level > 0 && self.levels.len() >= limits::LEVELS;
        if is_long || is_full {
            self.untold += 1;
            return;
        }
        if level > 0 {
            self.levels.insert(place.clone(), level);
        } else if self.levels.remove(&place).is_none() {
            return;
        }
        for link in self.links.values_mut().filter(|link| !link.anew) {
            link.levels.insert(place.clone());
            if link.levels.len() > limits::LEVELS {
                link.anew = true;
                link.levels.clear();
            }
        }
    }

    /// Sets all levels of a zone anew that were not zero.
    pub(super) fn recheck_levels(&mut self, zone: &Arc<str>, level: impl Fn(&[u8]) -> u32) {
        let known: Vec<Place> = self.levels.keys().filter(|(of, _)| of == zone).cloned().collect();
        for (_, key) in known {
            self.set_level(zone, &key, level(&key));
        }
    }

    /// The next message for a node: one in an interval, or more if one is not enough.
    pub(super) fn poll_message(&mut self, now: Duration, node: &Name) -> Option<Message> {
        let link = self.links.get_mut(node)?;
        if link.anew {
            link.anew = false;
            link.levels = self.levels.keys().cloned().collect();
            return Some(Message::Levels(true, Vec::new()));
        }
        // A clock that jumps back must not stop the counters.
        let is_early = now < link.next && link.next - now <= limits::COUNT_INTERVAL;
        if is_early {
            return None;
        }
        let mut size = 0;
        let mut is_full = |(_, key): &Place| {
            size += key.len() + 16;
            size > limits::COUNTED_MESSAGE
        };
        let mut amounts = Vec::new();
        while let Some((place, amount)) = link.amounts.pop_first() {
            let was_last = is_full(&place);
            amounts.push(Amount { place, amount });
            if was_last {
                return Some(Message::Amounts(amounts));
            }
        }
        if !amounts.is_empty() {
            if link.levels.is_empty() {
                link.next = now + limits::COUNT_INTERVAL;
            }
            return Some(Message::Amounts(amounts));
        }
        let mut levels = Vec::new();
        while let Some(place) = link.levels.pop_first() {
            let was_last = is_full(&place);
            let level = self.levels.get(&place).copied().unwrap_or(0);
            levels.push(Level { place, level });
            if was_last {
                return Some(Message::Levels(false, levels));
            }
        }
        if levels.is_empty() {
            return None;
        }
        link.next = now + limits::COUNT_INTERVAL;
        Some(Message::Levels(false, levels))
    }

    pub(super) fn handle_message(&self, node: &Name, message: Message, out: &mut Effects) {
        if !self.links.contains_key(node) {
            return;
        }
        match message {
            Message::Amounts(amounts) => {
                for Amount { place: (zone, key), amount } in amounts {
                    out.push_back(Effect::Counted { zone, key, amount });
                }
            }
            Message::Levels(anew, levels) => {
                if anew {
                    out.push_back(Effect::Gone(node.clone()));
                }
                for Level { place: (zone, key), level } in levels {
                    out.push_back(Effect::Level { node: node.clone(), zone, key, level });
                }
            }
            _ => {}
        }
    }

    /// The largest number of keys that wait for a node.
    pub(super) fn usage(&self) -> usize {
        self.links.values().map(|link| link.amounts.len() + link.levels.len()).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests;
