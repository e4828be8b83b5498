//! The entries of a part of an index, and how they are found by their digests. An entry takes 104
//! bytes and a place in the table 4, so that a key takes less memory than in nginx (128 bytes and
//! the account of its page).

use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU32;

use super::Now;
use crate::cache::key::Digest;

/// The number of entries that are allocated at once, which fill 16 KiB. They never move, so growth
/// copies nothing.
const CHUNK: usize = 157;

/// The unit in which sizes of files are counted, in bytes.
pub(super) const UNIT: u64 = 4096;

/// The place of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(NonZeroU32);

impl Place {
    pub(super) fn new(index: usize) -> Option<Self> {
        NonZeroU32::new(u32::try_from(index).ok()?.checked_add(1)?).map(Self)
    }

    pub(super) fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// An entry of the index.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) digest: Digest,
    /// The variant in the entry of a main key, the main key in the entry of another variant.
    pub(super) other: Digest,
    /// The last second in which the response is valid, since 1970.
    pub(super) valid: i64,
    /// The last millisecond of the monotonic clock in which it is.
    pub(super) until: u64,
    /// The last use, in milliseconds.
    pub(super) used: u64,
    /// The version of the response in the file; 0 if there is none.
    pub(super) version: u64,
    /// `Times::updating`.
    pub(super) updating: u32,
    /// `Times::error`.
    pub(super) error: u32,
    pub(super) uses: u16,
    /// Whether the digest is that of a variant besides the first.
    pub(super) is_variant: bool,
    /// The size of the file in [`UNIT`]s.
    pub(super) units: u32,
    /// The value of `Vary`, if the response has one.
    pub(super) vary: Option<Place>,
    /// The first of the other variants of this main key.
    pub(super) variants: Option<Place>,
    /// What few entries have.
    pub(super) rare: Option<Place>,
    pub(super) newer: Option<Place>,
    pub(super) older: Option<Place>,
    /// The next entry in the bucket, or the next free place.
    next: Option<Place>,
}

impl Node {
    fn new(digest: Digest, next: Option<Place>) -> Self {
        Self {
            digest,
            other: Digest::default(),
            valid: 0,
            until: 0,
            used: 0,
            version: 0,
            updating: 0,
            error: 0,
            uses: 0,
            is_variant: false,
            units: 0,
            vary: None,
            variants: None,
            rare: None,
            newer: None,
            older: None,
            next,
        }
    }

    /// Whether there is a file.
    pub(super) fn has_file(&self) -> bool {
        self.version != 0
    }

    /// The size of the file in bytes, 0 without one.
    pub(super) fn size(&self) -> u64 {
        u64::from(self.units) * UNIT
    }

    /// The milliseconds since the end of validity, by the clock that has gone further; None before.
    pub(super) fn late(&self, now: Now) -> Option<u64> {
        let by_wall = now.wall.saturating_sub(self.valid).max(0).unsigned_abs();
        let late = by_wall.saturating_mul(1000).max(now.mono.saturating_sub(self.until));
        (late > 0).then_some(late)
    }
}

/// Entries by their places and by their digests: linear hashing, which grows by one bucket for each
/// entry, so that no insertion takes long.
///
/// Invariant: each entry in use is in the bucket of its digest, all others are in the list of free
/// places.
#[derive(Debug)]
pub(super) struct Nodes {
    chunks: Vec<Box<[Node]>>,
    free: Option<Place>,
    buckets: Vec<Option<Place>>,
    len: usize,
    secret: Secret,
}

/// A keyed hash of digests, since whoever chooses the keys must not know which ones share a bucket.
///
/// One multiplication by secret numbers is enough: the input is no key but its MD5, of whose 128
/// bits an attacker can choose some forty, by trying keys. The rest is as if drawn, and both halves
/// are hidden by a secret before they are multiplied and folded. Keys with the same MD5, which can
/// be made, share an entry, not a bucket (the file tells them apart, as in nginx).
#[derive(Debug)]
struct Secret([u64; 2]);

impl Secret {
    fn new() -> Self {
        let random = RandomState::new();
        Self([0, 1].map(|number: u64| random.hash_one(number)))
    }

    fn hash(&self, digest: &Digest) -> u64 {
        let [one, two] = self.0;
        let both = u128::from_le_bytes(digest.0);
        let product = u128::from(both as u64 ^ one) * u128::from((both >> 64) as u64 ^ two);
        product as u64 ^ (product >> 64) as u64
    }
}

impl Nodes {
    pub(super) fn new() -> Self {
        let (chunks, buckets) = (Vec::new(), vec![None]);
        Self { chunks, free: None, buckets, len: 0, secret: Secret::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The number of places, used and free.
    pub(super) fn places(&self) -> usize {
        self.chunks.len() * CHUNK
    }

    pub(super) fn at(&self, place: Place) -> &Node {
        &self.chunks[place.index() / CHUNK][place.index() % CHUNK]
    }

    pub(super) fn at_mut(&mut self, place: Place) -> &mut Node {
        &mut self.chunks[place.index() / CHUNK][place.index() % CHUNK]
    }

    pub(super) fn find(&self, digest: &Digest) -> Option<Place> {
        let mut next = self.buckets[self.bucket(digest)];
        while let Some(place) = next {
            let node = self.at(place);
            if node.digest == *digest {
                return next;
            }
            next = node.next;
        }
        None
    }

    /// Adds an entry, which must not be there. None if there are more than places have numbers.
    pub(super) fn insert(&mut self, digest: Digest) -> Option<Place> {
        if self.free.is_none() {
            self.add_chunk()?;
        }
        let place = self.free?;
        self.free = self.at(place).next;
        let bucket = self.bucket(&digest);
        *self.at_mut(place) = Node::new(digest, self.buckets[bucket]);
        self.buckets[bucket] = Some(place);
        self.len += 1;
        if self.len > self.buckets.len() {
            self.split();
        }
        Some(place)
    }

    pub(super) fn remove(&mut self, place: Place) -> Node {
        let digest = self.at(place).digest;
        let bucket = self.bucket(&digest);
        let next = self.at(place).next;
        if self.buckets[bucket] == Some(place) {
            self.buckets[bucket] = next;
        } else if let Some(before) = self.before(bucket, place) {
            self.at_mut(before).next = next;
        }
        let free = Node::new(Digest::default(), self.free);
        self.free = Some(place);
        self.len -= 1;
        std::mem::replace(self.at_mut(place), free)
    }

    /// The entry before another one in a bucket.
    fn before(&self, bucket: usize, place: Place) -> Option<Place> {
        let mut at = self.buckets[bucket];
        while let Some(before) = at {
            let next = self.at(before).next;
            if next == Some(place) {
                return at;
            }
            at = next;
        }
        None
    }

    fn add_chunk(&mut self) -> Option<()> {
        let first = self.places();
        Place::new(first + CHUNK)?;
        let node = |at| Node::new(Digest::default(), Place::new(first + at + 1));
        let mut chunk: Box<[Node]> = (0..CHUNK).map(node).collect();
        chunk[CHUNK - 1].next = None;
        self.chunks.push(chunk);
        self.free = Place::new(first);
        Some(())
    }

    fn bucket(&self, digest: &Digest) -> usize {
        let mask = self.buckets.len().next_power_of_two() - 1;
        let hash = self.secret.hash(digest) as usize;
        let bucket = hash & mask;
        if bucket < self.buckets.len() { bucket } else { bucket & (mask >> 1) }
    }

    /// Adds a bucket, and moves the entries there that belong there now.
    fn split(&mut self) {
        let new = self.buckets.len();
        self.buckets.push(None);
        let mask = self.buckets.len().next_power_of_two() - 1;
        let mut next = self.buckets[new & (mask >> 1)].take();
        while let Some(place) = next {
            let digest = self.at(place).digest;
            let bucket = self.bucket(&digest);
            let head = self.buckets[bucket].replace(place);
            next = std::mem::replace(&mut self.at_mut(place).next, head);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The memory of an entry, which `cargo xtask bench cache` compares with nginx's.
    #[test]
    fn entries_are_small() {
        assert!(size_of::<Node>() <= 104, "{}", size_of::<Node>());
        assert_eq!(size_of::<Option<Place>>(), 4);
    }

    /// Digests that differ in one half only, as a client could look for them, share no bucket more
    /// often than others.
    #[test]
    fn similar_digests_are_spread() {
        for shift in [0, 40, 64, 104] {
            let (secret, mut filled) = (Secret::new(), [0_u32; 256]);
            for number in 0..256 * 16_u128 {
                let digest = Digest((number << shift | 1 << 127).to_le_bytes());
                filled[secret.hash(&digest) as usize & 255] += 1;
            }
            assert!(filled.iter().all(|&count| count < 16 * 5), "{shift}: {filled:?}");
        }
    }

    #[test]
    fn entries_are_found_until_they_are_removed() {
        let mut nodes = Nodes::new();
        let digest = |number: u32| Digest::of(&number.to_le_bytes());
        let places: Vec<_> =
            (0..1000).map(|number| nodes.insert(digest(number)).unwrap()).collect();
        for number in 0..1000 {
            assert_eq!(nodes.find(&digest(number)), Some(places[number as usize]));
        }
        for number in (0..1000).step_by(3) {
            assert_eq!(nodes.remove(places[number as usize]).digest, digest(number));
        }
        for number in 0..2000 {
            let stays = number < 1000 && number % 3 != 0;
            assert_eq!(nodes.find(&digest(number)).is_some(), stays, "{number}");
        }
        let before = nodes.places();
        for number in (0..1000).step_by(3) {
            nodes.insert(digest(number)).unwrap();
        }
        assert_eq!((nodes.len(), nodes.places()), (1000, before));
        assert!((0..1000).all(|number| nodes.find(&digest(number)).is_some()));
    }
}
