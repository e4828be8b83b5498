//! The leaky buckets of a zone, one for each key, in the order of their last use.

use std::collections::HashMap;
use std::sync::Arc;

use slab::Slab;

use weir_edge::zone::{node_size, room};

/// The size of nginx's node without the key, in bytes.
const NODE_HEAD: usize = 80;

/// The idle time after which a drained bucket may be removed, in milliseconds.
const QUIET: i64 = 60_000;

/// The result of counting a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counted {
    /// Admitted and charged. The excess, in thousandths of a request.
    Now(u64),
    /// Admitted; to be charged when all other limits have admitted the request.
    Later,
    /// Over the burst; not charged. The excess, in thousandths of a request.
    Refused(u64),
    /// The zone has no memory for another key.
    Full,
}

/// The buckets of a zone.
pub(super) struct Table {
    buckets: Slab<Bucket>,
    places: HashMap<Arc<[u8]>, usize>,
    newest: Option<usize>,
    oldest: Option<usize>,
    /// The memory left for nodes, in bytes.
    room: u64,
}

struct Bucket {
    key: Arc<[u8]>,
    /// The time of the last charge, in milliseconds.
    last: u64,
    /// The excess over the rate, in thousandths of a request.
    excess: u64,
    /// The number of requests that may still be charged here. They keep the bucket in the table.
    pending: u32,
    newer: Option<usize>,
    older: Option<usize>,
}

impl Bucket {
    /// The milliseconds since the last charge.
    fn passed(&self, now: u64) -> i64 {
        match now.wrapping_sub(self.last).cast_signed() {
            // Slightly negative: another thread's clock is ahead. Far below zero: the clock has
            // wrapped.
            ..-60_000 => 1,
            passed => passed.max(0),
        }
    }

    /// The excess with one more request at `now`, and the milliseconds since the last charge.
    fn with_one_more(&self, now: u64, rate: u64) -> (u64, i64) {
        let passed = self.passed(now);
        let excess = self.excess.cast_signed() - drained(rate, passed) + 1000;
        (excess.max(0).cast_unsigned(), passed)
    }
}

fn drained(rate: u64, passed: i64) -> i64 {
    rate.cast_signed().saturating_mul(passed) / 1000
}

impl Table {
    pub(super) fn new(size: u64) -> Self {
        Self {
            buckets: Slab::new(),
            places: HashMap::new(),
            newest: None,
            oldest: None,
            room: room(size),
        }
    }

    /// The memory left for nodes, in bytes.
    pub(super) fn room(&self) -> u64 {
        self.room
    }

    /// Charges a request of `key`, or checks that it can be charged. Of several limits, only the
    /// `last` charges at once.
    pub(super) fn count(
        &mut self,
        key: &[u8],
        now: u64,
        rate: u64,
        burst: u64,
        last: bool,
    ) -> Counted {
        if let Some(&place) = self.places.get(key) {
            self.unlink(place);
            self.link_newest(place);
            let bucket = &mut self.buckets[place];
            let (excess, passed) = bucket.with_one_more(now, rate);
            if excess > burst {
                return Counted::Refused(excess);
            }
            if !last {
                bucket.pending += 1;
                return Counted::Later;
            }
            bucket.excess = excess;
            if passed > 0 {
                bucket.last = now;
            }
            return Counted::Now(excess);
        }
        if !self.make_room(key.len(), now, rate) {
            return Counted::Full;
        }
        self.add(key, if last { now } else { 0 }, u32::from(!last));
        if last { Counted::Now(0) } else { Counted::Later }
    }

    /// Charges a request that [`Table::count`] admitted with `Later`, and returns the excess.
    pub(super) fn settle(&mut self, key: &[u8], now: u64, rate: u64) -> u64 {
        let Some(&place) = self.places.get(key) else { return 0 };
        let bucket = &mut self.buckets[place];
        let (excess, passed) = bucket.with_one_more(now, rate);
        if passed > 0 {
            bucket.last = now;
        }
        bucket.excess = excess;
        bucket.pending = bucket.pending.saturating_sub(1);
        excess
    }

    /// Cancels the charge of a request that [`Table::count`] admitted with `Later`.
    pub(super) fn give_up(&mut self, key: &[u8]) {
        if let Some(&place) = self.places.get(key) {
            let bucket = &mut self.buckets[place];
            bucket.pending = bucket.pending.saturating_sub(1);
        }
    }

    /// Charges requests that another node has admitted. They count in full, although they are
    /// late, so that no request is admitted twice. An amount beyond `most`, in thousandths of a
    /// request, is no amount that limits let pass, and does not lock a key out for longer.
    pub(super) fn charge(&mut self, key: &[u8], amount: u32, now: u64, rate: u64, most: u64) {
        let charge = u64::from(amount) * 1000;
        if let Some(&place) = self.places.get(key) {
            self.unlink(place);
            self.link_newest(place);
            let bucket = &mut self.buckets[place];
            let passed = bucket.passed(now);
            let left = bucket.excess.cast_signed() - drained(rate, passed);
            let left = left.max(0).cast_unsigned();
            bucket.excess = left.saturating_add(charge).min(most.max(left));
            if passed > 0 {
                bucket.last = now;
            }
        } else if amount > 0 && self.make_room(key.len(), now, rate) {
            self.add(key, now, 0);
            if let Some(bucket) = self.newest.and_then(|place| self.buckets.get_mut(place)) {
                // The first request of a bucket is no excess.
                bucket.excess = (charge - 1000).min(most);
            }
        }
    }

    fn add(&mut self, key: &[u8], last: u64, pending: u32) {
        let key: Arc<[u8]> = key.into();
        self.room -= node_size(NODE_HEAD + key.len());
        let bucket =
            Bucket { key: Arc::clone(&key), last, excess: 0, pending, newer: None, older: None };
        let place = self.buckets.insert(bucket);
        self.places.insert(key, place);
        self.link_newest(place);
    }

    /// Removes up to two drained buckets. If that is not enough, the oldest one follows.
    fn make_room(&mut self, key: usize, now: u64, rate: u64) -> bool {
        let need = node_size(NODE_HEAD + key);
        self.forget_quiet(2, now, rate);
        if self.room < need && self.forget_oldest(|_| true) {
            self.forget_quiet(2, now, rate);
        }
        self.room >= need
    }

    fn forget_quiet(&mut self, count: usize, now: u64, rate: u64) {
        for _ in 0..count {
            let is_quiet = |bucket: &Bucket| {
                let passed = now.wrapping_sub(bucket.last).cast_signed().saturating_abs();
                passed >= QUIET && bucket.excess.cast_signed() <= drained(rate, passed)
            };
            if !self.forget_oldest(is_quiet) {
                return;
            }
        }
    }

    /// Removes the oldest bucket, unless requests may still be charged to it or `may` objects.
    fn forget_oldest(&mut self, may: impl Fn(&Bucket) -> bool) -> bool {
        let Some(place) = self.oldest else { return false };
        let bucket = &self.buckets[place];
        if bucket.pending > 0 || !may(bucket) {
            return false;
        }
        self.unlink(place);
        let bucket = self.buckets.remove(place);
        self.places.remove(&bucket.key);
        self.room += node_size(NODE_HEAD + bucket.key.len());
        true
    }

    fn unlink(&mut self, place: usize) {
        let Bucket { newer, older, .. } = self.buckets[place];
        match newer {
            Some(newer) => self.buckets[newer].older = older,
            None => self.newest = older,
        }
        match older {
            Some(older) => self.buckets[older].newer = newer,
            None => self.oldest = newer,
        }
    }

    fn link_newest(&mut self, place: usize) {
        let older = self.newest.replace(place);
        match older {
            Some(older) => self.buckets[older].newer = Some(place),
            None => self.oldest = Some(place),
        }
        let bucket = &mut self.buckets[place];
        (bucket.newer, bucket.older) = (None, older);
    }
}

#[cfg(test)]
mod shared_tests;
#[cfg(test)]
mod tests;
