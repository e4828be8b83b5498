//! What an index has in common with its file: entries as records, entries from records, and what
//! the files of responses say about them.

use super::nodes::{Node, Place, UNIT};
use super::shard::Shard;
use super::{Index, Kept, Now, Times, Varied};
use crate::cache::index_codec::{Noted, NotedVariant, Record};
use crate::cache::key::Digest;

/// The version of an entry whose file no one has looked at.
pub(super) const UNSEEN: u64 = 1;

/// The version of an entry whose file was there before the process, or comes from another one.
pub(super) const SEEN: u64 = 2;

/// Where an entry of a record goes in the order of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// Behind all others: records of a snapshot come in the order of use.
    Snapshot,
    /// Before all others: records of a journal come in the order of time.
    Journal,
}

/// The clocks of the reader and the writer of records.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clocks {
    /// The reader's.
    pub(crate) now: Now,
    /// The last time that the writer has written, in milliseconds of its monotonic clock. The time
    /// since then does not count, as no one could use the cache.
    pub(crate) end: u64,
}

impl Clocks {
    /// A time of the writer's clock in the past.
    fn past(&self, time: u64) -> u64 {
        self.now.mono.saturating_sub(self.end.saturating_sub(time))
    }

    /// A time of the writer's clock that may be in the future.
    fn future(&self, time: u64) -> u64 {
        match time.checked_sub(self.end) {
            Some(left) => self.now.mono.saturating_add(left),
            None => self.past(time),
        }
    }
}

/// What an open file says about its entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Confirmed {
    /// What the index knows. The number is that of the version.
    Same(u64),
    /// Something else, which the index knows now.
    Corrected,
}

impl Index {
    /// Takes an entry from a record, unless more is known of it. Returns false if there is no room
    /// for it; its file is then to be deleted.
    pub(crate) fn restore(&self, noted: &Noted, mark: Mark, clocks: Clocks) -> bool {
        let digest = &noted.digest;
        let used = clocks.past(noted.used);
        let mut shard = self.shard(digest);
        let (place, dropped) = match (shard.find(digest), mark) {
            (Some(place), Mark::Snapshot) => {
                if shard.node(place).has_file() {
                    return true;
                }
                (Some(place), None)
            }
            (None, Mark::Snapshot) => (shard.enter_last(digest, used), None),
            (Some(place), Mark::Journal) if shard.node(place).version > SEEN => return true,
            (_, Mark::Journal) => shard.enter(digest, Now { mono: used, ..clocks.now }),
        };
        if let Some(place) = place {
            self.put_noted(&mut shard, place, noted, clocks);
        }
        drop(shard);
        self.push_out(dropped);
        if place.is_none() {
            self.doom_files([*digest]);
            return false;
        }
        if let Some(NotedVariant { is_variant: true, other: main, .. }) = &noted.varied {
            self.tie_restored(main, digest, used);
        }
        true
    }

    fn put_noted(&self, shard: &mut Shard, place: Place, noted: &Noted, clocks: Clocks) {
        let Noted { digest, valid, updating, error, units, .. } = *noted;
        let date = clocks.now.wall;
        let (main, varied) = match &noted.varied {
            None => (digest, None),
            Some(NotedVariant { other, is_variant, vary }) => {
                let (main, variant) = if *is_variant { (*other, digest) } else { (digest, *other) };
                (main, Some(Varied { vary: vary.clone(), variant }))
            }
        };
        let size = u64::from(units) * UNIT;
        let times = Times { valid, updating, error, date };
        let kept = Kept { times, size, main, varied };
        self.account(shard.put(place, &kept, UNSEEN, clocks.now));
        let node = shard.node_mut(place);
        node.until = node.until.min(clocks.future(noted.until));
    }

    fn tie_restored(&self, main: &Digest, digest: &Digest, used: u64) {
        let mut shard = self.shard(main);
        let place = shard.find(main).or_else(|| shard.enter_last(main, used));
        self.tie(shard, place, digest);
    }

    /// Forgets an entry of a record that a later one says is gone.
    pub(crate) fn unrestore(&self, digest: &Digest) {
        self.lost(digest, UNSEEN);
    }

    /// Notes what an open file says. The index may have it from a record, or another process may
    /// have replaced the file.
    pub(crate) fn confirm(&self, digest: &Digest, version: u64, kept: Kept, now: Now) -> Confirmed {
        let mut shard = self.shard(digest);
        let Some(place) = shard.find(digest).filter(|&at| shard.node(at).version == version) else {
            return Confirmed::Corrected;
        };
        let is_same = {
            let node = shard.node(place);
            let Times { valid, updating, error, .. } = kept.times;
            let is_main = kept.main == *digest;
            (node.valid, node.updating, node.error) == (valid, updating, error)
                && u64::from(node.units) == kept.size.div_ceil(UNIT)
                && shard.vary(place) == kept.varied.as_ref().map(|varied| &varied.vary)
                && (is_main || node.other == kept.main)
                && kept.varied.as_ref().is_none_or(|it| !is_main || it.variant == node.other)
        };
        if is_same {
            let version = version.max(SEEN);
            shard.node_mut(place).version = version;
            return Confirmed::Same(version);
        }
        self.account(shard.put(place, &kept, SEEN, now));
        drop(shard);
        self.relate(&kept.main, digest, now);
        Confirmed::Corrected
    }

    /// Forgets the file of a response, unless it is of this version or newer. Returns false then.
    pub(crate) fn forget_before(&self, digest: &Digest, before: u64) -> bool {
        let mut shard = self.shard(digest);
        let Some(place) = shard.find(digest) else { return true };
        let is_older = shard.node(place).version < before;
        if is_older {
            let size = shard.take_file(place);
            self.account(-size.cast_signed());
        }
        is_older
    }

    /// Forgets the files of a response and its variants that are older than this version, and
    /// returns their digests.
    pub(crate) fn purge_before(&self, main: &Digest, before: u64) -> Vec<Digest> {
        let mut all = vec![*main];
        let shard = self.shard(main);
        if let Some(place) = shard.find(main) {
            all.extend(shard.variants(place));
        }
        drop(shard);
        all.retain(|digest| self.has_file(digest) && self.forget_before(digest, before));
        all
    }

    /// Whether there is an entry for a file that has been seen.
    pub(crate) fn sees(&self, digest: &Digest) -> bool {
        let mut shard = self.shard(digest);
        let Some(place) = shard.find(digest) else { return false };
        let node = shard.node_mut(place);
        if node.version == UNSEEN {
            node.version = SEEN;
        }
        node.has_file()
    }

    /// Calls `each` with entries whose files have not been seen, and forgets those for which it
    /// returns false. No lock is held meanwhile.
    pub(crate) fn forget_unseen(&self, mut each: impl FnMut(&Digest) -> bool) {
        for part in 0..self.shards.len() {
            let mut unseen = Vec::new();
            self.walk(part, |_, node| {
                if node.version == UNSEEN {
                    unseen.push(node.digest);
                }
            });
            for digest in unseen.iter().filter(|digest| !each(digest)) {
                self.lost(digest, UNSEEN);
            }
        }
    }

    /// Begins to note changes, without those so far.
    pub(crate) fn begin_changes(&self) {
        for mut shard in self.each() {
            shard.changes.is_wanted = true;
            shard.changes.too_many = false;
            shard.changes.digests.clear();
        }
    }

    /// Ends noting changes.
    pub(crate) fn end_changes(&self) {
        self.each().for_each(|mut shard| shard.changes = Default::default());
    }

    /// Whether there are changes since they were last taken.
    pub(crate) fn has_changes(&self) -> bool {
        self.each().any(|shard| !shard.changes.digests.is_empty())
    }

    /// Calls `each` with what has changed. Returns false if there was too much.
    pub(crate) fn take_changes(&self, mut each: impl FnMut(Record)) -> bool {
        for part in 0..self.shards.len() {
            let mut shard = self.part(part);
            if shard.changes.too_many {
                return false;
            }
            let mut changed = std::mem::take(&mut shard.changes.digests);
            drop(shard);
            changed.sort_unstable();
            changed.dedup();
            for digest in &changed {
                let shard = self.shard(digest);
                let noted = shard.find(digest).and_then(|place| noted(&shard, place));
                drop(shard);
                each(noted.map_or(Record::Gone(*digest), Record::Kept));
            }
        }
        true
    }

    /// Calls `each` with all entries that have files, those used last first. An entry that changes
    /// meanwhile is among the changes. Stops with the first error.
    ///
    /// # Errors
    /// That of `each`.
    pub(crate) fn record<E>(&self, mut each: impl FnMut(Record) -> Result<(), E>) -> Result<(), E> {
        let mut order = Vec::new();
        for part in 0..self.shards.len() {
            self.walk(part, |place, node| {
                if node.has_file() {
                    order.push((node.used, part as u32, place));
                }
            });
        }
        order.sort_unstable_by_key(|(used, ..)| std::cmp::Reverse(*used));
        for (_, part, place) in order {
            let noted = noted(&self.part(part as usize), place);
            noted.map_or(Ok(()), |noted| each(Record::Kept(noted)))?;
        }
        Ok(())
    }

    /// Calls `each` with the places of a part, of which the lock is held for a few at a time.
    fn walk(&self, part: usize, mut each: impl FnMut(Place, &Node)) {
        let mut from = 0;
        loop {
            let shard = self.part(part);
            let end = shard.places().min(from + SLICE);
            for place in (from..end).filter_map(Place::new) {
                each(place, shard.node(place));
            }
            if end == shard.places() {
                return;
            }
            from = end;
        }
    }
}

/// The number of entries that are looked at under one lock.
const SLICE: usize = 256;

/// The record of an entry; None if it has no file.
fn noted(shard: &Shard, place: Place) -> Option<Noted> {
    let node = shard.node(place);
    if !node.has_file() {
        return None;
    }
    let varied = shard.vary(place).map(|vary| NotedVariant {
        other: node.other,
        is_variant: node.is_variant,
        vary: vary.clone(),
    });
    Some(Noted {
        digest: node.digest,
        valid: node.valid,
        until: node.until,
        used: node.used,
        units: node.units,
        updating: node.updating,
        error: node.error,
        varied,
    })
}
