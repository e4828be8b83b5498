//! The counters of each peer of a group with a `zone`, as in nginx's API.

use weir_engine::stats::{Family, Key};
use weir_wire::status::{self, Responses};

/// The indices of a peer's counters.
const SENT: usize = 0;
const RECEIVED: usize = 1;
const TIME: usize = 2;
const BUCKET: usize = 3;
const RESPONSE: usize = BUCKET + BUCKETS;
const COUNTERS: usize = RESPONSE + status::PLACES;

/// The upper bounds of the response time buckets, in milliseconds; one more bucket is unbounded.
pub const BUCKET_ENDS: [u64; 14] =
    [5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10_000];

const BUCKETS: usize = BUCKET_ENDS.len() + 1;

static PEERS: Family = Family::new(COUNTERS);

/// The counters of one peer. Clones share them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Counters(Key);

/// The result of an attempt at a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exchanged {
    /// Bytes sent to the peer.
    pub sent: u64,
    /// Bytes received from it.
    pub received: u64,
    /// The status of its response, and the milliseconds to its last byte.
    pub response: Option<(u16, u64)>,
}

/// The counts of a peer since it joined its group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerCounts {
    /// Bytes sent to it.
    pub sent: u64,
    /// Bytes received from it.
    pub received: u64,
    /// Its responses.
    pub responses: Responses,
    /// The response times.
    pub response_time: Histogram,
}

/// Response times in buckets, each up to and including its bound.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// The sum of all times, in milliseconds.
    pub sum: u64,
    /// The number of times in each bucket.
    pub buckets: [u64; BUCKETS],
}

impl Counters {
    pub(crate) fn new() -> Self {
        Self(PEERS.own())
    }

    pub(crate) fn count(&self, exchanged: Exchanged) {
        let Exchanged { sent, received, response } = exchanged;
        let (bytes_sent, bytes_received) = ((SENT, sent), (RECEIVED, received));
        match response {
            None => self.0.add([bytes_sent, bytes_received]),
            Some((code, time)) => {
                let bucket = BUCKET + BUCKET_ENDS.partition_point(|&end| end < time);
                let response = (RESPONSE + status::place(code), 1);
                self.0.add([bytes_sent, bytes_received, response, (TIME, time), (bucket, 1)]);
            }
        }
    }

    pub(crate) fn reset(&self) {
        self.0.reset(0..COUNTERS);
    }

    pub(crate) fn read(&self) -> PeerCounts {
        let counts = self.0.read();
        let mut buckets = [0; BUCKETS];
        buckets.copy_from_slice(&counts[BUCKET..RESPONSE]);
        PeerCounts {
            sent: counts[SENT],
            received: counts[RECEIVED],
            responses: Responses::from_places(&counts[RESPONSE..]),
            response_time: Histogram { sum: counts[TIME], buckets },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_counts_what_it_has_come_to() {
        let counters = Counters::new();
        counters.count(Exchanged { sent: 10, received: 0, response: None });
        for (code, time) in [(200, 5), (200, 6), (404, 10_001), (299, 0)] {
            counters.count(Exchanged { sent: 1, received: 100, response: Some((code, time)) });
        }
        let counts = counters.clone().read();
        assert_eq!((counts.sent, counts.received), (14, 400));
        assert_eq!(counts.responses.classes, [0, 3, 0, 1, 0]);
        assert_eq!(counts.responses.codes, [(200, 2), (404, 1)]);
        let times = counts.response_time;
        assert_eq!(times.sum, 10_012);
        assert_eq!((times.buckets[0], times.buckets[1], times.buckets[14]), (2, 1, 1));
        counters.reset();
        assert_eq!(counters.read(), PeerCounts::default());
    }
}
