//! A part of an index: its entries in the order of their last use.

use std::collections::HashMap;
use std::sync::Arc;

use slab::Slab;

use super::nodes::{Node, Nodes, Place, UNIT};
use super::{Kept, Now, Times, Varied};
use crate::cache::key::Digest;
use crate::cache::lock::Turn;

/// The maximum number of variants of a key besides the first.
const MOST_VARIANTS: usize = 256;

/// The time for which an entry keeps its place in the order of use, in milliseconds.
const PLACE_HOLDS: u64 = 1000;

/// The maximum number of noted changes. Beyond it, all that is known is that there are some.
const MOST_CHANGES: usize = 16 * 1024;

/// The end of validity by the monotonic clock. A response that was stored in the future, before
/// the wall clock was set back, is not valid for longer than it was then.
fn until(times: Times, now: Now) -> u64 {
    let left = times.valid.saturating_sub(now.wall.max(times.date));
    let millis = left.max(-1).saturating_add(1).unsigned_abs().saturating_mul(1000);
    now.mono.saturating_add(millis)
}

/// What few entries have.
#[derive(Debug, Default)]
pub(super) struct Rare {
    /// The status of a failed fetch, and the time in milliseconds until which it is the answer.
    pub(super) error: Option<(u16, u64)>,
    /// The turn of the one who fetches the response, and its start in milliseconds.
    pub(super) turn: Option<(Arc<Turn>, u64)>,
}

/// An entry that has been removed.
#[derive(Debug)]
pub(super) struct Gone {
    pub(super) digest: Digest,
    /// The size of its file; None if there was none.
    pub(super) size: Option<u64>,
    /// The other variants of this main key.
    pub(super) variants: Vec<Digest>,
}

/// One of the other variants of a main key.
#[derive(Debug)]
struct Variant {
    digest: Digest,
    next: Option<Place>,
}

/// The values of `Vary`, each of which is there once.
#[derive(Debug, Default)]
struct Varies {
    values: Slab<(Arc<[u8]>, usize)>,
    places: HashMap<Arc<[u8]>, usize>,
}

impl Varies {
    fn take(&mut self, value: &Arc<[u8]>) -> Option<Place> {
        if let Some(&place) = self.places.get(value) {
            self.values[place].1 += 1;
            return Place::new(place);
        }
        let place = self.values.insert((Arc::clone(value), 1));
        self.places.insert(Arc::clone(value), place);
        Place::new(place)
    }

    fn give_back(&mut self, place: Place) {
        let (value, uses) = &mut self.values[place.index()];
        *uses -= 1;
        if *uses == 0 {
            self.places.remove(value);
            self.values.remove(place.index());
        }
    }
}

/// The changes of a part since they were last taken, for the index file.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Whether they are noted.
    pub(super) is_wanted: bool,
    pub(super) digests: Vec<Digest>,
    /// Whether there were more.
    pub(super) too_many: bool,
}

impl Changes {
    fn note(&mut self, digest: &Digest) {
        if !self.is_wanted {
            return;
        }
        match self.digests.len() < MOST_CHANGES {
            true => self.digests.push(*digest),
            false => self.too_many = true,
        }
    }
}

/// A part of an index.
///
/// Invariant: the links form one list of all entries.
#[derive(Debug)]
pub(super) struct Shard {
    nodes: Nodes,
    rare: Slab<Rare>,
    variants: Slab<Variant>,
    varies: Varies,
    newest: Option<Place>,
    oldest: Option<Place>,
    most: usize,
    pub(super) changes: Changes,
}

impl Shard {
    /// A part for at most this many entries.
    pub(super) fn new(most: u64) -> Self {
        let mut shard = Self {
            nodes: Nodes::new(),
            rare: Slab::new(),
            variants: Slab::new(),
            varies: Varies::default(),
            newest: None,
            oldest: None,
            most: 1,
            changes: Changes::default(),
        };
        shard.set_most(most);
        shard
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// Sets the maximum number of entries. The numbers of places have 32 bits.
    pub(super) fn set_most(&mut self, most: u64) {
        self.most = usize::try_from(most).unwrap_or(usize::MAX).clamp(1, 1 << 31);
    }

    /// The number of places of entries, used and free.
    pub(super) fn places(&self) -> usize {
        self.nodes.places()
    }

    pub(super) fn find(&self, digest: &Digest) -> Option<Place> {
        self.nodes.find(digest)
    }

    pub(super) fn node(&self, place: Place) -> &Node {
        self.nodes.at(place)
    }

    pub(super) fn node_mut(&mut self, place: Place) -> &mut Node {
        self.nodes.at_mut(place)
    }

    /// An entry, which becomes the one used last.
    pub(super) fn touch(&mut self, digest: &Digest, now: Now) -> Option<Place> {
        let place = self.nodes.find(digest)?;
        // Of an entry that is used all the time, the place is good enough, unless others go.
        let is_nearly_full = self.len() >= self.most / 8 * 7;
        if is_nearly_full || now.mono.saturating_sub(self.node(place).used) >= PLACE_HOLDS {
            self.unlink(place);
            self.link_newest(place);
            self.node_mut(place).used = now.mono;
        }
        Some(place)
    }

    /// An entry, which becomes the one used last, and may be new. If there is no room for it, the
    /// one used least recently is pushed out and returned.
    pub(super) fn enter(&mut self, digest: &Digest, now: Now) -> (Option<Place>, Option<Gone>) {
        if let Some(place) = self.touch(digest, now) {
            return (Some(place), None);
        }
        let oldest = self.oldest.filter(|_| self.len() >= self.most);
        let out = oldest.map(|oldest| self.remove(oldest));
        let Some(place) = self.nodes.insert(*digest) else { return (None, out) };
        self.node_mut(place).used = now.mono;
        self.link_newest(place);
        (Some(place), out)
    }

    /// Adds an entry that was used before all others. None if there is no room.
    pub(super) fn enter_last(&mut self, digest: &Digest, used: u64) -> Option<Place> {
        if self.len() >= self.most {
            return None;
        }
        let place = self.nodes.insert(*digest)?;
        let before = self.oldest.replace(place);
        let oldest = before.map_or(u64::MAX, |before| self.node(before).used);
        let node = self.node_mut(place);
        (node.newer, node.used) = (before, used.min(oldest));
        match before {
            Some(before) => self.node_mut(before).older = Some(place),
            None => self.newest = Some(place),
        }
        Some(place)
    }

    pub(super) fn remove(&mut self, place: Place) -> Gone {
        self.unlink(place);
        let node = self.nodes.remove(place);
        if let Some(rare) = node.rare {
            self.rare.remove(rare.index());
        }
        if let Some(vary) = node.vary {
            self.varies.give_back(vary);
        }
        let mut variants = Vec::new();
        let mut next = node.variants;
        while let Some(place) = next {
            let variant = self.variants.remove(place.index());
            variants.push(variant.digest);
            next = variant.next;
        }
        let size = node.has_file().then(|| node.size());
        if size.is_some() {
            self.changes.note(&node.digest);
        }
        Gone { digest: node.digest, size, variants }
    }

    /// Puts a version in place of the previous one. Returns the difference of their sizes.
    pub(super) fn put(&mut self, place: Place, kept: &Kept, version: u64, now: Now) -> i64 {
        let vary = kept.varied.as_ref().and_then(|varied| self.varies.take(&varied.vary));
        let before = self.take_file(place);
        let node = self.node_mut(place);
        node.vary = vary;
        node.is_variant = kept.main != node.digest;
        node.other = match &kept.varied {
            Some(varied) if !node.is_variant => varied.variant,
            _ => kept.main,
        };
        node.units = u32::try_from(kept.size.div_ceil(UNIT)).unwrap_or(u32::MAX);
        node.version = version;
        let size = node.size();
        self.set_error(place, None);
        self.renew(place, kept.times, now);
        size.cast_signed() - before.cast_signed()
    }

    /// Sets the times of the response.
    pub(super) fn renew(&mut self, place: Place, times: Times, now: Now) {
        let node = self.node_mut(place);
        node.valid = times.valid;
        node.until = until(times, now);
        (node.updating, node.error) = (times.updating, times.error);
        let digest = node.digest;
        self.changes.note(&digest);
    }

    /// Forgets the file. Returns its size.
    pub(super) fn take_file(&mut self, place: Place) -> u64 {
        let node = self.node_mut(place);
        let (had_file, size, digest) = (node.has_file(), node.size(), node.digest);
        (node.version, node.units) = (0, 0);
        if let Some(vary) = node.vary.take() {
            self.varies.give_back(vary);
        }
        if had_file {
            self.changes.note(&digest);
        }
        size
    }

    /// The value of `Vary`, if the response has one.
    pub(super) fn vary(&self, place: Place) -> Option<&Arc<[u8]>> {
        let vary = self.node(place).vary?;
        self.varies.values.get(vary.index()).map(|(value, _)| value)
    }

    /// The variant in the entry of a main key.
    pub(super) fn varied(&self, place: Place) -> Option<Varied> {
        let vary = Arc::clone(self.vary(place)?);
        Some(Varied { vary, variant: self.node(place).other })
    }

    /// What few entries have.
    pub(super) fn rare(&self, place: Place) -> Option<&Rare> {
        self.rare.get(self.node(place).rare?.index())
    }

    /// Changes what few entries have.
    fn change_rare(&mut self, place: Place, change: impl FnOnce(&mut Rare)) {
        let at = match self.node(place).rare {
            Some(at) => at.index(),
            None => self.rare.insert(Rare::default()),
        };
        let rare = &mut self.rare[at];
        change(rare);
        let is_needed = rare.error.is_some() || rare.turn.is_some();
        if !is_needed {
            self.rare.remove(at);
        }
        self.node_mut(place).rare = is_needed.then(|| Place::new(at)).flatten();
    }

    pub(super) fn set_error(&mut self, place: Place, error: Option<(u16, u64)>) {
        if error.is_some() || self.rare(place).is_some() {
            self.change_rare(place, |rare| rare.error = error);
        }
    }

    pub(super) fn set_turn(&mut self, place: Place, turn: Option<(Arc<Turn>, u64)>) {
        if turn.is_some() || self.rare(place).is_some() {
            self.change_rare(place, |rare| rare.turn = turn);
        }
    }

    /// The last use and the digest of the entry used least recently.
    pub(super) fn oldest(&self) -> Option<(u64, Digest)> {
        let node = self.node(self.oldest?);
        Some((node.used, node.digest))
    }

    /// Notes a variant of a main key. Returns a variant that is one too many.
    pub(super) fn relate(&mut self, main: Place, variant: Digest) -> Option<Digest> {
        let (mut count, mut last) = (0, None);
        let mut next = self.node(main).variants;
        while let Some(place) = next {
            let known = &self.variants[place.index()];
            if known.digest == variant {
                return None;
            }
            count += 1;
            (last, next) = (Some(place), known.next);
        }
        let added = Place::new(self.variants.insert(Variant { digest: variant, next: None }));
        match last {
            Some(last) => self.variants[last.index()].next = added,
            None => self.node_mut(main).variants = added,
        }
        if count < MOST_VARIANTS {
            return None;
        }
        let first = self.node(main).variants?;
        let first = self.variants.remove(first.index());
        self.node_mut(main).variants = first.next;
        Some(first.digest)
    }

    /// The other variants of a main key.
    pub(super) fn variants(&self, main: Place) -> Vec<Digest> {
        let first = self.node(main).variants;
        let all = std::iter::successors(first, |place| self.variants[place.index()].next);
        all.map(|place| self.variants[place.index()].digest).collect()
    }

    fn link_newest(&mut self, place: Place) {
        let before = self.newest.replace(place);
        let node = self.node_mut(place);
        (node.older, node.newer) = (before, None);
        match before {
            Some(before) => self.node_mut(before).newer = Some(place),
            None => self.oldest = Some(place),
        }
    }

    fn unlink(&mut self, place: Place) {
        let Node { newer, older, .. } = *self.node(place);
        match newer {
            Some(newer) => self.node_mut(newer).older = older,
            None => self.newest = older,
        }
        match older {
            Some(older) => self.node_mut(older).newer = newer,
            None => self.oldest = newer,
        }
    }
}
