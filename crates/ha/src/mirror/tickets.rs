//! Keys of session tickets: the same on all nodes, and changed in time.
//!
//! A key is a record. The first by name of the nodes that see each other makes the next one when
//! the newest has served for its lifetime. Each node tells, in a record of its own, the keys it
//! can decrypt with. A key encrypts when every node in sight has it, so that no client holds a
//! ticket that a node cannot read. The newest four are kept. Nodes that were apart have each made
//! keys; they keep the newest of both sides.

use std::time::Duration;

use super::config::Effects;
use super::effect::Effect;
use super::name::Name;
use super::record::{Key, Kind};
use super::records::Records;

/// The bytes of a key: name, and secrets of AES and HMAC, as in `ssl_session_ticket_key`.
pub const TICKET_KEY: usize = 80;

/// The number of keys that decrypt.
const KEPT: usize = 4;

/// The time after which random bytes that have not come are asked for again.
const PATIENCE: Duration = Duration::from_secs(10);

/// A key of session tickets.
#[derive(Clone, PartialEq, Eq)]
pub struct TicketKey(pub [u8; TICKET_KEY]);

impl std::fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TicketKey")
    }
}

/// The schedule of ticket keys.
#[derive(Debug)]
pub(super) struct Tickets {
    me: Name,
    /// How long a key encrypts.
    lifetime: Duration,
    /// The newest key, and when it was first seen.
    newest: Option<(Key, Duration)>,
    /// When random bytes were asked for.
    asked: Option<Duration>,
    told: Option<(usize, Vec<TicketKey>)>,
}

impl Tickets {
    pub(super) fn new(me: Name, lifetime: Duration) -> Self {
        Self { me, lifetime, newest: None, asked: None, told: None }
    }

    /// Goes on: `in_sight` are the connected nodes.
    pub(super) fn handle_tick<'a>(
        &mut self,
        now: Duration,
        records: &mut Records,
        in_sight: impl Iterator<Item = &'a Name> + Clone,
        out: &mut Effects,
    ) {
        let mut keys: Vec<Key> = records.tickets(Kind::TicketKey).rev().cloned().collect();
        if self.newest.as_ref().map(|(key, _)| key) != keys.first() {
            self.newest = keys.first().map(|key| (key.clone(), now));
        }
        if in_sight.clone().all(|node| self.me < *node) {
            for old in keys.drain(KEPT.min(keys.len())..) {
                // A removal needs no room.
                let _ = records.put(old, None);
            }
            self.rotate(now, out);
        }
        let held: Vec<u8> = keys.iter().flat_map(name_of).collect();
        let own = Key::owned(Kind::TicketsHeld, &self.me, b"");
        // Without room for it, the others keep to the keys that they know this node to have.
        let _ = records.put(own, Some(held));
        self.tell(&keys, records, in_sight, out);
    }

    fn rotate(&mut self, now: Duration, out: &mut Effects) {
        let is_fresh = self
            .newest
            .as_ref()
            .is_some_and(|(_, since)| now.saturating_sub(*since) < self.lifetime);
        let is_asked = self.asked.is_some_and(|asked| now.saturating_sub(asked) < PATIENCE);
        if !is_fresh && !is_asked {
            self.asked = Some(now);
            out.push_back(Effect::MakeTicketKey);
        }
    }

    /// Adds a new key.
    pub(super) fn add(&mut self, key: &[u8; TICKET_KEY], records: &mut Records) {
        if self.asked.take().is_none() {
            return;
        }
        let newest = records.tickets(Kind::TicketKey).next_back();
        let number = newest.map_or(0, number_of).saturating_add(1);
        let name = [&number.to_be_bytes()[..], self.me.as_str().as_bytes()].concat();
        // Without room, the next tick asks again.
        let _ = records.put(Key { kind: Kind::TicketKey, key: name }, Some(key.to_vec()));
    }

    /// Tells the node its keys if they have changed.
    fn tell<'a>(
        &mut self,
        keys: &[Key],
        records: &Records,
        in_sight: impl Iterator<Item = &'a Name> + Clone,
        out: &mut Effects,
    ) {
        let has = |node: &Name, key: &Key| {
            let held = records.value(&Key::owned(Kind::TicketsHeld, node, b""));
            let name = name_of(key);
            held.is_some_and(|held| held.chunks(name.len()).any(|held| held == name))
        };
        let all_have = |key: &Key| in_sight.clone().all(|node| has(node, key));
        let known = keys.iter().filter_map(|key| {
            let bytes = records.value(key)?.first_chunk()?;
            Some((key, TicketKey(*bytes)))
        });
        let (keys, secrets): (Vec<&Key>, Vec<TicketKey>) = known.unzip();
        if keys.is_empty() {
            return;
        }
        let encrypts = keys.iter().position(|key| all_have(key)).unwrap_or(0);
        let news = Some((encrypts, secrets));
        if news != self.told {
            self.told.clone_from(&news);
            if let Some((encrypts, keys)) = news {
                out.push_back(Effect::Tickets { encrypts, keys });
            }
        }
    }
}

fn number_of(key: &Key) -> u64 {
    key.key.first_chunk().map_or(0, |number| u64::from_be_bytes(*number))
}

/// The name of a key in the lists of keys that nodes have: its number, and a hash of its maker.
fn name_of(key: &Key) -> [u8; 12] {
    let mut name = [0; 12];
    name[..8].copy_from_slice(&number_of(key).to_be_bytes());
    name[8..].copy_from_slice(&crc32fast::hash(&key.key).to_be_bytes());
    name
}

#[cfg(test)]
mod tests;
