//! A part of an index: its entries in the order of their last use.

use std::collections::HashMap;
use std::sync::Arc;

use slab::Slab;

use super::{Kept, Now, Times};
use crate::cache::key::Digest;
use crate::cache::lock::Turn;

/// The maximum number of variants of a key besides the first.
const MOST_VARIANTS: usize = 256;

/// The time for which an entry keeps its place in the order of use, in milliseconds.
const PLACE_HOLDS: u64 = 1000;

/// A version of a response in a file.
#[derive(Debug)]
pub(super) struct File {
    pub(super) version: u64,
    pub(super) kept: Kept,
    /// The last valid millisecond of the monotonic clock.
    until: u64,
}

impl File {
    fn new(kept: Kept, version: u64, now: Now) -> Self {
        let until = until(kept.times, now);
        Self { version, kept, until }
    }

    pub(super) fn renew(&mut self, times: Times, now: Now) {
        self.until = until(times, now);
        self.kept.times = times;
    }

    /// The milliseconds since the end of validity, by the clock that has gone further; None before.
    pub(super) fn late(&self, now: Now) -> Option<u64> {
        let by_wall = now.wall.saturating_sub(self.kept.times.valid).max(0).unsigned_abs();
        let late = by_wall.saturating_mul(1000).max(now.mono.saturating_sub(self.until));
        (late > 0).then_some(late)
    }
}

/// The end of validity by the monotonic clock. A response that was stored in the future, before
/// the wall clock was set back, is not valid for longer than it was then.
fn until(times: Times, now: Now) -> u64 {
    let left = times.valid.saturating_sub(now.wall.max(times.date));
    let millis = left.max(-1).saturating_add(1).unsigned_abs().saturating_mul(1000);
    now.mono.saturating_add(millis)
}

/// An entry of the index.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) digest: Digest,
    pub(super) file: Option<File>,
    /// The status of a failed fetch, and the time in milliseconds until which it is the answer.
    pub(super) error: Option<(u16, u64)>,
    pub(super) uses: u32,
    /// The turn of the one who fetches the response, and its start in milliseconds.
    pub(super) turn: Option<(Arc<Turn>, u64)>,
    /// The other variants of this main key.
    pub(super) variants: Vec<Digest>,
    /// The last use, in milliseconds.
    used: u64,
    newer: Option<usize>,
    older: Option<usize>,
}

impl Entry {
    /// The size of the file.
    pub(super) fn size(&self) -> u64 {
        self.file.as_ref().map_or(0, |file| file.kept.size)
    }

    /// Puts a version in place of the previous one. Returns the size of that.
    pub(super) fn put(&mut self, kept: Kept, version: u64, now: Now) -> u64 {
        self.error = None;
        let before = self.file.replace(File::new(kept, version, now));
        before.map_or(0, |file| file.kept.size)
    }
}

/// A part of an index.
///
/// Invariant: `places` has every entry, and the links form one list of all entries.
#[derive(Debug)]
pub(super) struct Shard {
    entries: Slab<Entry>,
    places: HashMap<Digest, usize>,
    newest: Option<usize>,
    oldest: Option<usize>,
    most: usize,
}

impl Shard {
    /// A part for at most this many entries.
    pub(super) fn new(most: u64) -> Self {
        let (entries, places) = (Slab::new(), HashMap::new());
        let mut shard = Self { entries, places, newest: None, oldest: None, most: 1 };
        shard.set_most(most);
        shard
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// Sets the maximum number of entries.
    pub(super) fn set_most(&mut self, most: u64) {
        self.most = usize::try_from(most).unwrap_or(usize::MAX).max(1);
    }

    pub(super) fn get_mut(&mut self, digest: &Digest) -> Option<&mut Entry> {
        let place = *self.places.get(digest)?;
        self.entries.get_mut(place)
    }

    /// An entry, which becomes the one used last.
    pub(super) fn touch(&mut self, digest: &Digest, now: Now) -> Option<&mut Entry> {
        let place = *self.places.get(digest)?;
        // Of an entry that is used all the time, the place is good enough.
        if now.mono.saturating_sub(self.entries[place].used) >= PLACE_HOLDS {
            self.unlink(place);
            self.link_newest(place);
            self.entries[place].used = now.mono;
        }
        self.entries.get_mut(place)
    }

    /// Adds an entry. If there is no room, the one used least recently is pushed out and returned.
    pub(super) fn add(&mut self, digest: Digest, now: Now) -> (&mut Entry, Option<Entry>) {
        let oldest = self.oldest.filter(|_| self.entries.len() >= self.most);
        let out = oldest.and_then(|oldest| {
            let digest = self.entries[oldest].digest;
            self.remove(&digest)
        });
        let place = self.entries.insert(Entry {
            digest,
            file: None,
            error: None,
            uses: 0,
            turn: None,
            variants: Vec::new(),
            used: now.mono,
            newer: None,
            older: None,
        });
        self.places.insert(digest, place);
        self.link_newest(place);
        (&mut self.entries[place], out)
    }

    pub(super) fn remove(&mut self, digest: &Digest) -> Option<Entry> {
        let place = self.places.remove(digest)?;
        self.unlink(place);
        Some(self.entries.remove(place))
    }

    /// The last use and the digest of the entry used least recently.
    pub(super) fn oldest(&self) -> Option<(u64, Digest)> {
        let entry = self.entries.get(self.oldest?)?;
        Some((entry.used, entry.digest))
    }

    /// Notes a variant of a main key, which may not have been found yet. Returns a variant that is
    /// one too many, and an entry that was pushed out.
    pub(super) fn relate(
        &mut self,
        main: Digest,
        variant: Digest,
        now: Now,
    ) -> (Option<Digest>, Option<Entry>) {
        let out = if self.places.contains_key(&main) { None } else { self.add(main, now).1 };
        let Some(entry) = self.get_mut(&main) else { return (Some(variant), out) };
        if entry.variants.contains(&variant) {
            return (None, out);
        }
        entry.variants.push(variant);
        let excess = (entry.variants.len() > MOST_VARIANTS).then(|| entry.variants.remove(0));
        (excess, out)
    }

    fn link_newest(&mut self, place: usize) {
        let before = self.newest.replace(place);
        self.entries[place].older = before;
        self.entries[place].newer = None;
        match before {
            Some(before) => self.entries[before].newer = Some(place),
            None => self.oldest = Some(place),
        }
    }

    fn unlink(&mut self, place: usize) {
        let Entry { newer, older, .. } = self.entries[place];
        match newer {
            Some(newer) => self.entries[newer].older = older,
            None => self.newest = older,
        }
        match older {
            Some(older) => self.entries[older].newer = newer,
            None => self.oldest = newer,
        }
    }
}
