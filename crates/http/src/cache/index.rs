//! The index of a cache: what is kept, how long it may be used, and who fetches it. In memory,
//! shared by all threads, and never locked across I/O.
//!
//! ```text
//!            look_up                       stored
//!  (absent) ────────▶ counted, or claimed ────────▶ has a file ──┐ stored, renewed
//!      ▲                   │ failed            ▲      │   ▲──────┘
//!      │                   ▼                   │      │
//!      └─────────────── has an error ──────────┘      │ inactive, evicted, purged, broken
//!      └──────────────────────────────────────────────┘
//! ```
//!
//! The time comes as an argument ([`Now`]). A response ends by the wall clock, which its file also
//! knows, and by the monotonic one, so that a jump of the wall clock cannot keep it longer.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use weir_edge::zone::{PAGE, room};

use super::file::Times;
use super::key::Digest;
use super::lock::Turn;

mod claim;
mod nodes;
mod outside;
mod record;
mod shard;

pub(crate) use claim::Claim;
use nodes::Place;
pub(crate) use record::{Clocks, Confirmed, Mark};
use shard::{Gone, Shard};

/// The memory of an entry, by which the size of `keys_zone` limits their number: "one megabyte can
/// store about 8 thousand keys".
const ENTRY: u64 = 128;

/// The maximum number of shards, a power of two. Smaller zones have fewer.
const MOST_SHARDS: u64 = 16;

/// The least number of entries of a shard.
const LEAST_ENTRIES: u64 = 256;

/// The number of the first version; smaller ones have a meaning of their own.
pub(crate) const FIRST_VERSION: u64 = 3;

/// The time of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Now {
    /// Milliseconds of the monotonic clock.
    pub(crate) mono: u64,
    /// Seconds since 1970.
    pub(crate) wall: i64,
}

impl Now {
    /// The time of the loop's turn.
    pub(crate) fn of_turn() -> Self {
        Self { mono: weir_engine::clock::now().millis(), wall: weir_engine::clock::wall_secs() }
    }
}

/// A response with `Vary`: the field's value, and the digest of the variant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Varied {
    /// The value of `Vary`.
    pub(crate) vary: Arc<[u8]>,
    /// The variant.
    pub(crate) variant: Digest,
}

/// A response as it is in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    /// How long it may be used.
    pub(crate) times: Times,
    /// The size of the file in bytes, as counted for `max_size`.
    pub(crate) size: u64,
    /// The digest of its main key.
    pub(crate) main: Digest,
    /// Its variant, if it has `Vary`.
    pub(crate) varied: Option<Varied>,
}

/// What a look-up asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// The number of requests from which a response is kept (`min_uses`).
    pub(crate) min_uses: u32,
    /// Whether the request counts as a use. Not if it has been counted.
    pub(crate) counts: bool,
    /// Whether the variant has been chosen.
    pub(crate) chosen: bool,
    /// `lock`: the time after which another request may fetch.
    pub(crate) lock: Option<Duration>,
}

/// The result of a look-up.
#[derive(Debug)]
pub(crate) enum Looked {
    /// The response has `Vary`: the variant is to be chosen.
    Varied(Varied),
    /// A response that may be used.
    Fresh(u64),
    /// A response whose time is over.
    Stale(Stale),
    /// The fetch failed not long ago with this status.
    Failed(u16),
    /// There is no response.
    Absent(Whose),
    /// There is no response, and too few requests for one.
    Scarce,
}

/// A response whose time is over.
#[derive(Debug)]
pub(crate) struct Stale {
    /// The number of the version.
    pub(crate) version: u64,
    /// Whose turn it is to update it.
    pub(crate) whose: Whose,
    /// Whether the response allows its use while it is updated.
    pub(crate) updating: bool,
    /// Whether the response allows its use if the upstream fails.
    pub(crate) error: bool,
}

/// Whose turn it is to fetch a response.
#[derive(Debug)]
pub(crate) enum Whose {
    /// That of the one who asks.
    Mine(Claim),
    /// Another's. It can be taken over after this time.
    Theirs(Arc<Turn>, Duration),
    /// Everyone's: there is no lock.
    Free,
}

/// The index of a cache.
#[derive(Debug)]
pub(crate) struct Index {
    shards: Box<[Mutex<Shard>]>,
    /// The size of the zone in bytes.
    size: AtomicU64,
    /// The bytes of all files.
    bytes: AtomicU64,
    /// The number of the next version of a response.
    next_version: AtomicU64,
    /// The files of entries that are gone. The manager deletes them.
    doomed: Mutex<Vec<Digest>>,
    /// Whether files of earlier processes may be missing in the index.
    cold: AtomicBool,
}

impl Index {
    /// An empty index for a `keys_zone` of this size in bytes.
    pub(crate) fn new(size: u64) -> Arc<Self> {
        let entries = entries(size);
        let shards = (entries / LEAST_ENTRIES).clamp(1, MOST_SHARDS);
        let shards = 1 << shards.ilog2();
        let shard = |_| Mutex::new(Shard::new(entries / shards));
        Arc::new(Self {
            shards: (0..shards).map(shard).collect(),
            size: AtomicU64::new(size),
            bytes: AtomicU64::new(0),
            next_version: AtomicU64::new(FIRST_VERSION),
            doomed: Mutex::default(),
            cold: AtomicBool::new(true),
        })
    }

    /// The shard of a digest. It has no secret: whoever fills one shard with chosen keys pushes out
    /// the entries of that shard alone, with a 16th of the keys that it takes for all of them.
    fn shard(&self, digest: &Digest) -> MutexGuard<'_, Shard> {
        self.part(usize::from(digest.0[0]) & (self.shards.len() - 1))
    }

    fn part(&self, at: usize) -> MutexGuard<'_, Shard> {
        self.shards[at].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn each(&self) -> impl Iterator<Item = MutexGuard<'_, Shard>> {
        (0..self.shards.len()).map(|at| self.part(at))
    }

    /// Looks a digest up.
    pub(crate) fn look_up(self: &Arc<Self>, digest: &Digest, now: Now, terms: &Terms) -> Looked {
        let mut shard = self.shard(digest);
        let (place, dropped) = shard.enter(digest, now);
        let looked = match place {
            Some(place) => self.look_at(&mut shard, place, digest, now, terms),
            None => Looked::Scarce,
        };
        drop(shard);
        self.push_out(dropped);
        looked
    }

    fn look_at(
        self: &Arc<Self>,
        shard: &mut Shard,
        place: Place,
        digest: &Digest,
        now: Now,
        terms: &Terms,
    ) -> Looked {
        if let (Some(varied), false) = (shard.varied(place), terms.chosen) {
            return Looked::Varied(varied);
        }
        let node = shard.node_mut(place);
        node.uses = node.uses.saturating_add(u16::from(terms.counts)).max(1);
        let is_scarce = u32::from(node.uses) < terms.min_uses.min(u32::from(u16::MAX));
        if let Some((status, until)) = shard.rare(place).and_then(|rare| rare.error) {
            if now.mono <= until {
                return Looked::Failed(status);
            }
            shard.set_error(place, None);
        }
        let node = shard.node(place);
        if !node.has_file() {
            if is_scarce {
                return Looked::Scarce;
            }
            return Looked::Absent(match terms.lock {
                Some(age) => self.claim(shard, place, digest, now, Some(age)),
                None => Whose::Free,
            });
        }
        let version = node.version;
        let Some(late) = node.late(now) else { return Looked::Fresh(version) };
        let within = |window: u32| late <= u64::from(window) * 1000;
        let (updating, error) = (within(node.updating), within(node.error));
        let whose = self.claim(shard, place, digest, now, None);
        Looked::Stale(Stale { version, whose, updating, error })
    }

    /// Takes the turn, unless another has it that is not older than `age`.
    fn claim(
        self: &Arc<Self>,
        shard: &mut Shard,
        place: Place,
        digest: &Digest,
        now: Now,
        age: Option<Duration>,
    ) -> Whose {
        if let Some((turn, since)) = shard.rare(place).and_then(|rare| rare.turn.as_ref()) {
            let passed = Duration::from_millis(now.mono.saturating_sub(*since));
            let left = age.unwrap_or(Duration::MAX).saturating_sub(passed);
            if !left.is_zero() {
                return Whose::Theirs(Arc::clone(turn), left);
            }
        }
        let turn = Arc::new(Turn::default());
        shard.set_turn(place, Some((Arc::clone(&turn), now.mono)));
        Whose::Mine(Claim::new(Arc::clone(self), *digest, turn))
    }

    /// Where a response to a request with this variant is stored: under the main key, or, if that
    /// has another variant by the same `Vary`, under the variant.
    pub(crate) fn place(&self, main: &Digest, vary: &[u8], variant: &Digest) -> Digest {
        let shard = self.shard(main);
        match shard.find(main).and_then(|place| shard.varied(place)) {
            Some(other) if *other.vary == *vary && other.variant != *variant => *variant,
            _ => *main,
        }
    }

    /// Notes that a response is in the file of `digest`, and returns the number of its version.
    pub(crate) fn stored(&self, digest: &Digest, kept: Kept, now: Now) -> u64 {
        let version = self.next_version.fetch_add(1, Relaxed);
        self.set(digest, &kept, version, now);
        version
    }

    fn set(&self, digest: &Digest, kept: &Kept, version: u64, now: Now) {
        let mut shard = self.shard(digest);
        let (place, dropped) = shard.enter(digest, now);
        if let Some(place) = place {
            self.account(shard.put(place, kept, version, now));
        }
        drop(shard);
        self.push_out(dropped);
        self.relate(&kept.main, digest, now);
    }

    /// Notes a variant of a main key, which may not have been found yet.
    fn relate(&self, main: &Digest, digest: &Digest, now: Now) {
        if main == digest {
            return;
        }
        let mut shard = self.shard(main);
        let (place, dropped) = match shard.find(main) {
            None => shard.enter(main, now),
            found => (found, None),
        };
        self.tie(shard, place, digest);
        self.push_out(dropped);
    }

    /// Notes a variant in the entry of its main key, if that could be made.
    fn tie(&self, mut shard: MutexGuard<'_, Shard>, main: Option<Place>, variant: &Digest) {
        let excess = match main {
            Some(place) => shard.relate(place, *variant),
            None => Some(*variant),
        };
        drop(shard);
        self.abandon(excess);
    }

    /// Adds to the bytes of all files.
    fn account(&self, difference: i64) {
        self.bytes.fetch_add(difference.cast_unsigned(), Relaxed);
    }

    /// Notes a response that was found in a file, unless the index has one. Returns whether it has
    /// been added.
    pub(crate) fn found(&self, digest: &Digest, kept: Kept, now: Now) -> bool {
        if self.has_file(digest) {
            return false;
        }
        self.set(digest, &kept, record::SEEN, now);
        true
    }

    /// Notes that a response has been revalidated.
    pub(crate) fn renewed(&self, digest: &Digest, version: u64, times: Times, now: Now) {
        let mut shard = self.shard(digest);
        if let Some(place) = shard.find(digest)
            && shard.node(place).version == version
        {
            shard.renew(place, times, now);
        }
    }

    /// Notes that a fetch has failed with this status, which is the answer for some time.
    pub(crate) fn failed(&self, digest: &Digest, status: u16, seconds: i64, now: Now) {
        let until = now.mono.saturating_add(seconds.unsigned_abs().saturating_mul(1000));
        let mut shard = self.shard(digest);
        if let Some(place) = shard.find(digest) {
            shard.set_error(place, Some((status, until)));
        }
    }

    /// Forgets a version whose file is missing or broken.
    pub(crate) fn lost(&self, digest: &Digest, version: u64) {
        let mut shard = self.shard(digest);
        if let Some(place) = shard.find(digest)
            && shard.node(place).version == version
        {
            self.bytes.fetch_sub(shard.take_file(place), Relaxed);
        }
    }

    /// The number that the next version of a response gets, or a smaller one.
    pub(crate) fn coming_version(&self) -> u64 {
        self.next_version.load(Relaxed)
    }

    /// Removes a response with all its variants, and returns the digests of their files.
    pub(crate) fn purge(&self, main: &Digest) -> Vec<Digest> {
        let mut gone = Vec::new();
        if let Some(entry) = self.remove(main) {
            gone.extend(entry.size.map(|_| *main));
            let had_file = |digest: &Digest| self.remove(digest).is_some_and(|e| e.size.is_some());
            gone.extend(entry.variants.into_iter().filter(had_file));
        }
        gone
    }

    /// Removes an entry, and takes its file off the account.
    fn remove(&self, digest: &Digest) -> Option<Gone> {
        let mut shard = self.shard(digest);
        let place = shard.find(digest)?;
        let gone = shard.remove(place);
        self.bytes.fetch_sub(gone.size.unwrap_or(0), Relaxed);
        Some(gone)
    }

    /// Removes the entry that was used least recently, if it was not used for `inactive`. Returns
    /// whether there was one. Its files are among those to be deleted.
    pub(crate) fn expire(&self, inactive: Duration, now: Now) -> bool {
        limit(inactive, now).is_some_and(|limit| self.evict_before(limit))
    }

    /// Whether [`Self::expire`] would remove an entry.
    pub(crate) fn is_due(&self, inactive: Duration, now: Now) -> bool {
        let Some(limit) = limit(inactive, now) else { return false };
        self.each().filter_map(|shard| shard.oldest()).any(|(used, _)| used <= limit)
    }

    /// Removes the entry that was used least recently, as [`Self::expire`] does.
    pub(crate) fn evict(&self) -> bool {
        self.evict_before(u64::MAX)
    }

    fn evict_before(&self, limit: u64) -> bool {
        let oldest = self.each().filter_map(|shard| shard.oldest()).min();
        let Some((_, digest)) = oldest.filter(|(used, _)| *used <= limit) else { return false };
        let entry = self.remove(&digest);
        if let Some(entry) = entry {
            self.doom(&entry);
            self.abandon(entry.variants);
        }
        true
    }

    /// Settles the account of an entry that was pushed out of a full zone.
    fn push_out(&self, entry: Option<Gone>) {
        let Some(entry) = entry else { return };
        self.bytes.fetch_sub(entry.size.unwrap_or(0), Relaxed);
        self.doom(&entry);
        self.abandon(entry.variants);
    }

    /// Removes variants whose main entry is gone, since they cannot be found any more.
    fn abandon(&self, variants: impl IntoIterator<Item = Digest>) {
        for variant in variants {
            if let Some(entry) = self.remove(&variant) {
                self.doom(&entry);
            }
        }
    }

    fn doom(&self, entry: &Gone) {
        self.doom_files(entry.size.is_some().then_some(entry.digest));
    }

    /// Whether there are files without an entry.
    pub(crate) fn has_doomed(&self) -> bool {
        !self.doomed.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// The files without an entry, to be deleted.
    pub(crate) fn take_doomed(&self) -> Vec<Digest> {
        std::mem::take(&mut self.doomed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether a file with this digest is in use.
    pub(crate) fn has_file(&self, digest: &Digest) -> bool {
        let shard = self.shard(digest);
        shard.find(digest).is_some_and(|place| shard.node(place).has_file())
    }

    /// The bytes of all files.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// The number of entries.
    pub(crate) fn len(&self) -> u64 {
        self.each().map(|shard| shard.len() as u64).sum()
    }

    /// The memory of the entries in bytes, as counted for the size of the zone.
    pub(crate) fn memory(&self) -> u64 {
        self.len() * ENTRY
    }

    /// The number of entries from which the manager makes room: 7 of 8.
    pub(crate) fn watermark(&self) -> u64 {
        self.each().map(|shard| shard.most() as u64).sum::<u64>() / 8 * 7
    }

    /// Whether files of earlier processes may be missing in the index.
    pub(crate) fn is_cold(&self) -> bool {
        self.cold.load(Relaxed)
    }

    /// Notes that all files are in the index.
    pub(crate) fn warmed(&self) {
        self.cold.store(false, Relaxed);
    }
}

/// The number of entries of a zone of this size in bytes.
fn entries(size: u64) -> u64 {
    room(size).max(PAGE) / ENTRY
}

/// The last use, in milliseconds, up to which an entry has been inactive for this long.
fn limit(inactive: Duration, now: Now) -> Option<u64> {
    now.mono.checked_sub(u64::try_from(inactive.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
