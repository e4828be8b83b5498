//! Latency histograms: times in buckets with fixed bounds, counted by a [family](super::Family).

use crate::clock::Micros;

/// The upper bounds of the buckets, in microseconds; one more bucket is unbounded. They include
/// those of NGINX Plus's API, and of Prometheus's clients.
pub const ENDS: [u64; 19] = [
    500, 1_000, 2_000, 5_000, 10_000, 25_000, 50_000, 75_000, 100_000, 250_000, 500_000, 750_000,
    1_000_000, 2_500_000, 5_000_000, 7_500_000, 10_000_000, 30_000_000, 60_000_000,
];

/// The number of buckets.
pub const BUCKETS: usize = ENDS.len() + 1;

/// The number of counters of a histogram: the buckets, and the sum behind them, in microseconds.
pub const COUNTERS: usize = BUCKETS + 1;

/// The first bucket for times with this number of bits.
const FIRST: [u8; 65] = {
    let mut first = [0; 65];
    let mut bits = 1;
    while bits < first.len() {
        let least = 1 << (bits - 1);
        while (first[bits] as usize) < ENDS.len() && ENDS[first[bits] as usize] < least {
            first[bits] += 1;
        }
        bits += 1;
    }
    first
};

/// No more bounds than these lie between two powers of two, so a time is compared with them only.
const WITHIN: usize = 2;

/// The bounds, and beyond them some that no time exceeds.
const PADDED: [u64; BUCKETS + WITHIN] = {
    let mut padded = [u64::MAX; BUCKETS + WITHIN];
    let mut end = 0;
    while end < ENDS.len() {
        padded[end] = ENDS[end];
        end += 1;
    }
    padded
};

/// The bucket of a time in microseconds.
#[inline]
pub fn bucket(Micros(micros): Micros) -> usize {
    let bits = u64::BITS - micros.leading_zeros();
    let first = usize::from(FIRST[bits as usize]);
    first + usize::from(micros > PADDED[first]) + usize::from(micros > PADDED[first + 1])
}

/// One of the times of a bucket, with the request that took it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exemplar {
    /// The id of the request.
    pub id: String,
    /// Microseconds.
    pub micros: u64,
    /// When it ended, in milliseconds since 1970.
    pub ended: u64,
}

impl Exemplar {
    /// A request that ends now.
    pub fn now(id: &str, Micros(micros): Micros) -> Self {
        Self { id: id.to_owned(), micros, ended: crate::clock::msec() }
    }
}

/// The counts of a histogram.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// The number of times in each bucket.
    pub buckets: [u64; BUCKETS],
    /// The sum of all times, in microseconds.
    pub sum: u64,
}

impl Latency {
    /// The histogram in [`COUNTERS`] counters; missing ones are zero.
    pub fn of(counters: &[u64]) -> Self {
        let mut latency = Self::default();
        for (bucket, count) in latency.buckets.iter_mut().zip(counters) {
            *bucket = *count;
        }
        latency.sum = counters.get(BUCKETS).copied().unwrap_or_default();
        latency
    }

    /// The number of times.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The counts in wider buckets, with these bounds in microseconds. A bound that is not one of
    /// [`ENDS`] counts what lies below the next smaller one.
    pub fn within(&self, ends: &[u64]) -> Vec<u64> {
        let mut counts = vec![0; ends.len() + 1];
        for (bucket, count) in self.buckets.iter().enumerate() {
            let end = ENDS.get(bucket).copied().unwrap_or(u64::MAX);
            counts[ends.partition_point(|&wider| wider < end)] += count;
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_is_in_the_first_bucket_that_reaches_it() {
        let near = ENDS.iter().flat_map(|&end| [end - 1, end, end + 1]);
        let powers = (0..64).flat_map(|bits| [(1 << bits) - 1, 1 << bits, (1 << bits) + 1]);
        for micros in near.chain(powers).chain([u64::MAX]) {
            let expected = ENDS.partition_point(|&end| end < micros);
            assert_eq!(bucket(Micros(micros)), expected, "{micros}");
        }
    }

    #[test]
    fn buckets_can_be_joined() {
        let mut counters = vec![0; COUNTERS];
        for micros in [1, 500, 501, 5_000, 60_000, 70_000_000] {
            counters[bucket(Micros(micros))] += 1;
            counters[BUCKETS] += micros;
        }
        let latency = Latency::of(&counters);
        assert_eq!((latency.count(), latency.sum), (6, 70_066_002));
        assert_eq!(latency.within(&[5_000, 100_000]), [4, 1, 1]);
        assert_eq!(latency.within(&[]), [6]);
        assert_eq!(Latency::of(&[]), Latency::default());
    }
}
