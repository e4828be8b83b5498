//! Keys of session tickets: the same on all nodes, and changed in time.
//!
//! A key is a record. The first by name of the nodes that see each other makes the next one when
//! the newest has served for its lifetime. Each node tells, in a record of its own, the keys it
//! can decrypt with, and the age of the newest. A key encrypts when every node in sight has it, so
//! that no client holds a ticket that a node cannot read. Nodes that were apart have each made
//! keys; they keep the newest of both sides.
//!
//! ```text
//!  key 7 encrypts            key 8 encrypts            key 9 …
//!  ├─ lifetime ──────────────┼─ lifetime ──────────────┼────────────
//!  7 decrypts ─────────────────────────────────────────────── … until 11 is there
//! ```
//!
//! With a lifetime of at least `ssl_session_timeout`, no rotation ends a session early: a key
//! decrypts for three lifetimes after its last ticket.

use std::time::Duration;

use super::config::Effects;
use super::effect::Effect;
use super::name::Name;
use super::record::{Key, Kind};
use super::records::Records;

/// The bytes of a key: name, and secrets of AES and HMAC, as in `ssl_session_ticket_key`.
pub const TICKET_KEY: usize = 80;

/// The generations of keys that decrypt. Nodes that were apart have several of each.
const KEPT: u64 = 4;

/// The last number of a key: one every ten seconds for 1,300 years. Only a node that tells nonsense
/// gets there, and its key must not stay for ever.
const LAST: u64 = 1 << 32;

/// The time after a start, or after a new key, in which no key is made: what other nodes have comes
/// first, and a node that tells nonsense about the age of keys cannot use them up at once.
const SETTLING: Duration = Duration::from_secs(3);

/// The parts of a lifetime by which a node tells the age of the newest key: fewer records than by
/// seconds, and a node that starts again is off by one part.
const PARTS: u32 = 8;

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
    /// The time of the first tick.
    begun: Option<Duration>,
    newest: Option<Newest>,
    /// When random bytes were asked for.
    asked: Option<Duration>,
    told: Option<(usize, Vec<TicketKey>)>,
}

/// The newest key.
#[derive(Debug)]
struct Newest {
    key: Key,
    /// When it was first seen here.
    seen: Duration,
    /// Its age then, as far as nodes tell.
    before: Duration,
}

impl Newest {
    fn age(&self, now: Duration) -> Duration {
        self.before.saturating_add(now.saturating_sub(self.seen))
    }
}

impl Tickets {
    pub(super) fn new(me: Name, lifetime: Duration) -> Self {
        Self { me, lifetime, begun: None, newest: None, asked: None, told: None }
    }

    pub(super) fn set_lifetime(&mut self, lifetime: Duration) {
        self.lifetime = lifetime;
    }

    /// Goes on: `in_sight` are the connected nodes.
    pub(super) fn handle_tick<'a>(
        &mut self,
        now: Duration,
        records: &mut Records,
        in_sight: impl Iterator<Item = &'a Name> + Clone,
        out: &mut Effects,
    ) {
        self.begun.get_or_insert(now);
        let known = records.tickets(Kind::TicketKey).rev();
        let mut keys: Vec<Key> = known.filter(|key| number_of(key) <= LAST).cloned().collect();
        self.follow(now, keys.first(), records);
        if in_sight.clone().all(|node| self.me < *node) {
            self.rotate(now, out);
            let newest = keys.first().map_or(0, number_of);
            // The next number would be none.
            let is_end = newest == LAST && self.asked == Some(now);
            keys.retain(|key| !is_end && number_of(key) + KEPT > newest);
            let outdated = records.tickets(Kind::TicketKey).filter(|key| !keys.contains(key));
            for old in outdated.cloned().collect::<Vec<_>>() {
                // A removal needs no room.
                let _ = records.put(old, None);
            }
        }
        let own = Key::owned(Kind::TicketsHeld, &self.me, b"");
        // Without room for it, the others keep to the keys that they know this node to have.
        let _ = records.put(own, Some(self.held(now, &keys)));
        self.tell(&keys, records, in_sight, out);
    }

    /// Follows the newest key. Its age is at least what any node has told.
    fn follow(&mut self, now: Duration, newest: Option<&Key>, records: &Records) {
        if self.newest.as_ref().map(|newest| &newest.key) != newest {
            let before = Duration::ZERO;
            self.newest = newest.map(|key| Newest { key: key.clone(), seen: now, before });
        }
        let Some(newest) = &mut self.newest else { return };
        for held in records.tickets(Kind::TicketsHeld).filter_map(|key| records.value(key)) {
            let Some((age, names)) = held.split_first_chunk() else { continue };
            if names.starts_with(&name_of(&newest.key)) {
                let age = Duration::from_secs(u32::from_be_bytes(*age).into());
                let before = age.saturating_sub(now.saturating_sub(newest.seen));
                newest.before = newest.before.max(before);
            }
        }
    }

    /// What this node tells of its keys, newest first: the age of the newest in seconds, four
    /// bytes, and their names.
    fn held(&self, now: Duration, keys: &[Key]) -> Vec<u8> {
        let age = self.newest.as_ref().map_or(Duration::ZERO, |newest| newest.age(now));
        let age = age.min(self.lifetime).as_secs();
        let part = (self.lifetime / PARTS).as_secs().max(1);
        let age = u32::try_from(age - age % part).unwrap_or(u32::MAX);
        let names = keys.iter().flat_map(name_of);
        age.to_be_bytes().into_iter().chain(names).collect()
    }

    fn rotate(&mut self, now: Duration, out: &mut Effects) {
        let last = self.newest.as_ref().map(|newest| newest.seen).or(self.begun).unwrap_or(now);
        let is_settled = now.saturating_sub(last) >= SETTLING;
        let is_fresh = self.newest.as_ref().is_some_and(|newest| newest.age(now) < self.lifetime);
        let is_asked = self.asked.is_some_and(|asked| now.saturating_sub(asked) < PATIENCE);
        if is_settled && !is_fresh && !is_asked {
            self.asked = Some(now);
            out.push_back(Effect::MakeTicketKey);
        }
    }

    /// Adds a new key.
    pub(super) fn add(&mut self, key: &[u8; TICKET_KEY], records: &mut Records) {
        if self.asked.take().is_none() {
            return;
        }
        let numbers = records.tickets(Kind::TicketKey).map(number_of);
        let number = numbers.filter(|number| *number < LAST).max().unwrap_or(0) + 1;
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
            let names = held.and_then(|held| held.get(size_of::<u32>()..)).unwrap_or_default();
            names.chunks(name.len()).any(|known| known == name)
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
