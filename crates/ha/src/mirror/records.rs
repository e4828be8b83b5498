//! Records by kind and key: the last writer wins, and all nodes end with the same ones.
//!
//! A change goes to the connected nodes at once. What a node missed is found when it connects: the
//! records lie in 64 groups of 64 buckets, each with a digest. Nodes exchange the digests of
//! groups, those of the buckets in differing groups, and the records in differing buckets. Equal
//! nodes are done after one message of half a kilobyte each.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use super::codec::Writer;
use super::config::Effects;
use super::effect::{Effect, PutError, Weight};
use super::limits;
use super::message::{Digests, FAN, Message};
use super::name::Name;
use super::record::{Key, Kind, Record, Stamp, bucket_of};

/// A record without its key.
#[derive(Clone, Debug)]
struct Entry {
    stamp: Stamp,
    value: Option<Vec<u8>>,
}

type Bucket = BTreeMap<Key, Entry>;

/// What a connected node may lack. Every part has a limit: if too much waits, the digests find it.
#[derive(Debug, Default)]
struct Link {
    /// Records that have changed.
    changes: BTreeSet<Key>,
    /// Whether the digests of groups are to be sent.
    groups: bool,
    /// The groups whose buckets differ in the node's eyes, or may.
    digests: BTreeSet<u8>,
    /// The buckets whose records are to be sent.
    buckets: BTreeSet<u16>,
    /// The last record that was sent of the first bucket.
    after: Option<Key>,
    /// The node's digests have come since it connected.
    has_compared: bool,
}

/// The records of a node.
#[derive(Debug)]
pub(super) struct Records {
    me: Name,
    clock: u64,
    buckets: Vec<Bucket>,
    digests: Vec<u64>,
    groups: Digests,
    /// By age.
    tombstones: BTreeSet<(u64, Key)>,
    /// The keys of the kinds that have to do with session tickets, which are looked through.
    tickets: BTreeSet<Key>,
    /// The number of records, without tombstones.
    count: usize,
    /// The bytes of keys and values.
    bytes: u64,
    /// Received records that had no room.
    left_out: u64,
    links: BTreeMap<Name, Link>,
}

impl Records {
    pub(super) fn new(me: Name) -> Self {
        Self {
            me,
            clock: 0,
            buckets: vec![BTreeMap::new(); FAN * FAN],
            digests: vec![0; FAN * FAN],
            groups: [0; FAN],
            tombstones: BTreeSet::new(),
            tickets: BTreeSet::new(),
            count: 0,
            bytes: 0,
            left_out: 0,
            links: BTreeMap::new(),
        }
    }

    pub(super) fn handle_connected(&mut self, node: Name) {
        self.links.insert(node, Link { groups: true, ..Link::default() });
    }

    pub(super) fn handle_disconnected(&mut self, node: &Name) {
        self.links.remove(node);
    }

    pub(super) fn value(&self, key: &Key) -> Option<&[u8]> {
        self.entry(key)?.value.as_deref()
    }

    fn entry(&self, key: &Key) -> Option<&Entry> {
        self.buckets[bucket_of(key)].get(key)
    }

    /// The ticket keys, or what nodes have of them.
    pub(super) fn tickets(&self, kind: Kind) -> impl DoubleEndedIterator<Item = &Key> {
        self.tickets.iter().filter(move |key| key.kind == kind)
    }

    /// All records, without tombstones.
    pub(super) fn all(&self) -> impl Iterator<Item = (&Key, &[u8])> {
        let entries = self.buckets.iter().flatten();
        entries.filter_map(|(key, entry)| Some((key, entry.value.as_deref()?)))
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// What still has to go to a connected node: changed records, and parts of the comparison.
    pub(super) fn waiting_for(&self, node: &Name) -> Option<usize> {
        let link = self.links.get(node)?;
        let compared = link.digests.len() + link.buckets.len();
        Some(link.changes.len() + compared + usize::from(link.groups || !link.has_compared))
    }

    pub(super) fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Sets or removes a record here.
    pub(super) fn put(&mut self, key: Key, value: Option<Vec<u8>>) -> Result<(), PutError> {
        let is_long = value.as_ref().is_some_and(|value| value.len() > limits::VALUE);
        if is_long || key.key.len() > limits::KEY {
            return Err(PutError::TooLong);
        }
        let known = self.entry(&key).and_then(|entry| entry.value.as_ref());
        if known == value.as_ref() {
            return Ok(());
        }
        if !self.has_room(&key, value.as_ref()) {
            return Err(PutError::Full(key.kind));
        }
        self.put_stamped(key, value);
        Ok(())
    }

    fn put_stamped(&mut self, key: Key, value: Option<Vec<u8>>) {
        self.clock = self.clock.saturating_add(1);
        let stamp = Stamp { clock: self.clock, node: self.me.clone() };
        self.set(Record { key, stamp, value }, None);
    }

    fn has_room(&self, key: &Key, value: Option<&Vec<u8>>) -> bool {
        let Some(value) = value else { return true };
        let is_other = is_about_tickets(key) && !self.tickets.contains(key);
        if is_other && self.tickets.len() >= limits::TICKETS {
            return false;
        }
        let known = self.entry(key).and_then(|entry| entry.value.as_ref());
        let more = (value.len() + key.key.len()) as u64;
        let less = known.map_or(0, |known| known.len() + key.key.len()) as u64;
        let count = self.count + usize::from(known.is_none());
        count <= limits::RECORDS && self.bytes + more <= limits::RECORD_BYTES + less
    }

    /// Replaces a record, and notes it for the nodes that may lack it.
    fn set(&mut self, record: Record, from: Option<&Name>) {
        let place = bucket_of(&record.key);
        self.forget(place, &record.key);
        self.mix(place, record.hash());
        self.bytes += record.size();
        match record.value {
            Some(_) => self.count += 1,
            None => {
                self.tombstones.insert((record.stamp.clock, record.key.clone()));
            }
        }
        if is_about_tickets(&record.key) && record.value.is_some() {
            self.tickets.insert(record.key.clone());
        }
        for (node, link) in &mut self.links {
            if Some(node) != from {
                link.note(&record.key);
            }
        }
        let Record { key, stamp, value } = record;
        self.buckets[place].insert(key, Entry { stamp, value });
        self.forget_old_tombstones();
    }

    /// Removes what is known under a key.
    fn forget(&mut self, place: usize, key: &Key) {
        let Some(Entry { stamp, value }) = self.buckets[place].remove(key) else { return };
        let record = Record { key: key.clone(), stamp, value };
        self.mix(place, record.hash());
        self.bytes -= record.size();
        match record.value {
            Some(_) => self.count -= 1,
            None => {
                self.tombstones.remove(&(record.stamp.clock, record.key));
            }
        }
        self.tickets.remove(key);
    }

    /// Adds a hash to its digests, or takes it away.
    fn mix(&mut self, place: usize, hash: u64) {
        self.digests[place] ^= hash;
        self.groups[place / FAN] ^= hash;
    }

    fn forget_old_tombstones(&mut self) {
        while let Some((clock, key)) = self.tombstones.first() {
            let is_old = clock.saturating_add(limits::TOMBSTONE_AGE) < self.clock;
            if !is_old && self.tombstones.len() <= limits::TOMBSTONES {
                return;
            }
            let key = key.clone();
            self.forget(bucket_of(&key), &key);
        }
    }

    pub(super) fn handle_message(&mut self, node: &Name, message: Message, out: &mut Effects) {
        match message {
            Message::Groups(theirs) => {
                let Some(link) = self.links.get_mut(node) else { return };
                link.has_compared = true;
                let differing = (0..FAN).filter(|&group| theirs[group] != self.groups[group]);
                link.digests.extend(differing.map(|group| group as u8));
            }
            Message::Buckets(group, theirs) => {
                let Some(link) = self.links.get_mut(node) else { return };
                let first = usize::from(group) * FAN;
                let differing = (0..FAN).filter(|&at| theirs[at] != self.digests[first + at]);
                link.buckets.extend(differing.map(|at| (first + at) as u16));
            }
            Message::Records(records) => {
                for record in records {
                    self.receive(node, record, out);
                }
            }
            _ => {}
        }
    }

    /// Takes over a record if it is newer.
    fn receive(&mut self, node: &Name, record: Record, out: &mut Effects) {
        let clock = record.stamp.clock;
        if clock > self.clock.saturating_add(limits::CLOCK_LEAP) {
            self.leave_out(&record.key, out);
            return;
        }
        let is_old = clock.saturating_add(limits::TOMBSTONE_AGE) < self.clock;
        self.clock = self.clock.max(clock);
        let known = self.entry(&record.key);
        let known = known.map(|Entry { stamp, value }| (stamp.clone(), value.clone()));
        let Some((stamp, value)) = known else {
            if record.value.is_none() && is_old {
                return;
            }
            return self.accept(node, record, None, out);
        };
        let known = Record { key: record.key.clone(), stamp, value };
        if record.replaces(&known) {
            self.accept(node, record, known.value, out);
        }
    }

    fn accept(&mut self, node: &Name, record: Record, known: Option<Vec<u8>>, out: &mut Effects) {
        let is_own = record.key.kind.is_owned() && record.key.owner().as_ref() == Some(&self.me);
        if is_own {
            // It is from an earlier life of this node, which alone knows the value.
            return self.put_stamped(record.key, known);
        }
        if !self.has_room(&record.key, record.value.as_ref()) {
            return self.leave_out(&record.key, out);
        }
        if record.value != known {
            let (key, value) = (record.key.clone(), record.value.clone());
            out.push_back(Effect::Record { key, value });
        }
        self.set(record, Some(node));
    }

    fn leave_out(&mut self, key: &Key, out: &mut Effects) {
        if self.left_out == 0 {
            let text = format!(
                "a record of another node has no room here ({:?}); some records are not mirrored",
                key.kind
            );
            out.push_back(Effect::Log(Weight::Warning, text));
        }
        self.left_out += 1;
    }

    /// The next message for a node.
    pub(super) fn poll_message(&mut self, node: &Name) -> Option<Message> {
        let link = self.links.get_mut(node)?;
        if !link.changes.is_empty() {
            let mut packing = Packing::default();
            while let Some(key) = link.changes.pop_first() {
                // A tombstone may be gone by now.
                let Some(entry) = self.buckets[bucket_of(&key)].get(&key) else { continue };
                if !packing.add(&key, entry) {
                    link.changes.insert(key);
                    break;
                }
            }
            if !packing.records.is_empty() {
                return Some(Message::Records(packing.records));
            }
        }
        if std::mem::take(&mut link.groups) {
            return Some(Message::Groups(Box::new(self.groups)));
        }
        if let Some(group) = link.digests.pop_first() {
            let first = usize::from(group) * FAN;
            let mut digests = Box::new([0; FAN]);
            digests.copy_from_slice(&self.digests[first..first + FAN]);
            return Some(Message::Buckets(group, digests));
        }
        while let Some(&place) = link.buckets.first() {
            let mut packing = Packing::default();
            let from = link.after.take().map_or(Bound::Unbounded, Bound::Excluded);
            let rest = self.buckets[usize::from(place)].range((from, Bound::Unbounded));
            let mut is_whole = true;
            for (key, entry) in rest {
                if !packing.add(key, entry) {
                    is_whole = false;
                    break;
                }
                link.after = Some(key.clone());
            }
            if is_whole {
                link.buckets.pop_first();
                link.after = None;
            }
            if !packing.records.is_empty() {
                return Some(Message::Records(packing.records));
            }
        }
        None
    }

    /// The bytes of records, the tombstones and the largest number of changes that wait for a node.
    pub(super) fn usage(&self) -> (u64, usize, usize) {
        let waiting = self.links.values().map(|link| link.changes.len()).max().unwrap_or(0);
        (self.bytes, self.tombstones.len(), waiting)
    }

    /// Checks sums that are kept beside the records.
    #[doc(hidden)]
    pub(super) fn is_consistent(&self) -> bool {
        let mut digests = vec![0; FAN * FAN];
        let (mut count, mut bytes) = (0, 0);
        for (place, bucket) in self.buckets.iter().enumerate() {
            for (key, Entry { stamp, value }) in bucket {
                let (stamp, value) = (stamp.clone(), value.clone());
                let record = Record { key: key.clone(), stamp, value };
                digests[place] ^= record.hash();
                count += usize::from(record.value.is_some());
                bytes += record.size();
            }
        }
        digests == self.digests && (count, bytes) == (self.count, self.bytes)
    }
}

fn is_about_tickets(key: &Key) -> bool {
    matches!(key.kind, Kind::TicketKey | Kind::TicketsHeld)
}

impl Link {
    fn note(&mut self, key: &Key) {
        if self.groups {
            // The digests find it, and are not sent yet.
            return;
        }
        self.changes.insert(key.clone());
        if self.changes.len() > limits::CHANGES {
            self.changes.clear();
            self.groups = true;
        }
    }
}

/// Records that become a message.
#[derive(Default)]
struct Packing {
    records: Vec<Record>,
    size: usize,
}

impl Packing {
    /// Adds a record. `false` if the message is full.
    fn add(&mut self, key: &Key, entry: &Entry) -> bool {
        let Entry { stamp, value } = entry.clone();
        let record = Record { key: key.clone(), stamp, value };
        let mut writer = Writer::default();
        record.write(&mut writer);
        let is_fit =
            self.records.is_empty() || self.size + writer.0.len() <= limits::RECORDS_MESSAGE;
        if is_fit {
            self.size += writer.0.len();
            self.records.push(record);
        }
        is_fit
    }
}

#[cfg(test)]
mod tests;
