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

/// The buckets of times between a power of two and the next.
#[derive(Clone, Copy)]
struct Octave {
    first: usize,
    /// The bounds of the first and the second bucket; no octave has parts of more than three.
    ends: [u64; 2],
}

/// By the logarithm of the time.
const OCTAVES: [Octave; 64] = {
    let mut octaves = [Octave { first: 0, ends: [u64::MAX; 2] }; 64];
    let mut log = 0;
    while log < octaves.len() {
        let octave = &mut octaves[log];
        // The time 0 is in the octave of 1.
        while octave.first < ENDS.len() && ENDS[octave.first] < 1 << log {
            octave.first += 1;
        }
        let mut next = 0;
        while next < octave.ends.len() && octave.first + next < ENDS.len() {
            octave.ends[next] = ENDS[octave.first + next];
            next += 1;
        }
        log += 1;
    }
    octaves
};

/// The bucket of a time in microseconds.
#[inline]
pub fn bucket(Micros(micros): Micros) -> usize {
    let Octave { first, ends: [end, next] } = OCTAVES[(micros | 1).ilog2() as usize];
    first + usize::from(micros > end) + usize::from(micros > next)
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
