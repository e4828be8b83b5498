//! The counters of each peer of a group with a `zone`: those of nginx's API, and more.

use weir_engine::clock::Micros;
use weir_engine::stats::latency::{self, Exemplar, Latency};
use weir_engine::stats::{Family, Key};
use weir_engine::tls::counters::{Counters as Handshakes, Counts, Ended};
use weir_wire::status::{self, Responses};

use crate::{outlier::siblings::Reason, retry::Causes};

/// The indices of a peer's counters.
const SENT: usize = 0;
const RECEIVED: usize = 1;
const RESPONSE: usize = 2;
const RESPONSE_TIME: usize = RESPONSE + status::PLACES;
const HEADER_TIME: usize = RESPONSE_TIME + latency::COUNTERS;
const CONNECT_TIME: usize = HEADER_TIME + latency::COUNTERS;
const FAILURE: usize = CONNECT_TIME + latency::COUNTERS;
const RETRY: usize = FAILURE + REASONS.len();
const EJECTION: usize = RETRY + REASONS.len();
const COUNTERS: usize = EJECTION + EJECTIONS.len();

/// Why attempts fail: the words of `…_next_upstream`, and kept connections that turn out to be
/// closed.
const REASONS: [(&str, Causes); 11] = [
    ("error", Causes::ERROR),
    ("timeout", Causes::TIMEOUT),
    ("invalid_header", Causes::INVALID_HEADER),
    ("http_500", Causes::HTTP_500),
    ("http_502", Causes::HTTP_502),
    ("http_503", Causes::HTTP_503),
    ("http_504", Causes::HTTP_504),
    ("http_403", Causes::HTTP_403),
    ("http_404", Causes::HTTP_404),
    ("http_429", Causes::HTTP_429),
    ("kept_closed", Causes::OFF),
];

/// Why servers are ejected.
const EJECTIONS: [&str; 3] = ["failures", "success_rate", "response_time"];

static PEERS: Family = Family::new(COUNTERS);

/// The counters of one peer. Clones share them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Counters(Key, Handshakes);

/// The result of an attempt at a peer. Times are since its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exchanged {
    /// Bytes sent to the peer.
    pub sent: u64,
    /// Bytes received from it.
    pub received: u64,
    /// The response, if there was one.
    pub response: Option<Answered>,
    /// The time until there was a connection, if one was opened for the attempt.
    pub connect: Option<Micros>,
}

/// A response of a peer. Times are since the beginning of the attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answered {
    /// Its status.
    pub status: u16,
    /// The time until its head was complete.
    pub header: Micros,
    /// The time until its last byte.
    pub time: Micros,
}

/// Counts by reason, those above zero.
pub type ByReason = Vec<(&'static str, u64)>;

/// The counts of a peer since it joined its group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerCounts {
    /// Bytes sent to it.
    pub sent: u64,
    /// Bytes received from it.
    pub received: u64,
    /// Its responses.
    pub responses: Responses,
    /// The times to the last byte.
    pub response_time: Latency,
    /// Attempts that stand for others of their bucket of `response_time`, by bucket.
    pub exemplars: Vec<(usize, Exemplar)>,
    /// The times to the end of the head.
    pub header_time: Latency,
    /// The times to connect, TLS included.
    pub connect_time: Latency,
    /// The failed attempts, by reason.
    pub failures: ByReason,
    /// Those that were followed by another attempt.
    pub retries: ByReason,
    /// Its ejections as an outlier, by reason.
    pub ejections: ByReason,
    /// Handshakes with it.
    pub handshakes: Counts,
}

impl Counters {
    pub(crate) fn new() -> Self {
        Self(PEERS.own(), Handshakes::of_peer())
    }

    #[inline]
    pub(crate) fn count(&self, exchanged: Exchanged) -> bool {
        let Exchanged { sent, received, response, connect } = exchanged;
        if let Some(time) = connect {
            self.count_connection(time);
        }
        let (sent, received) = ((SENT, sent), (RECEIVED, received));
        let Some(Answered { status, header, time }) = response else {
            self.0.add([sent, received]);
            return false;
        };
        let bucket = latency::bucket(time);
        let amounts = [
            sent,
            received,
            (RESPONSE + status::place(status), 1),
            (RESPONSE_TIME + bucket, 1),
            (RESPONSE_TIME + latency::BUCKETS, time.0),
            (HEADER_TIME + latency::bucket(header), 1),
            (HEADER_TIME + latency::BUCKETS, header.0),
        ];
        self.0.add_marked::<COUNTERS, _>(amounts, 1 << bucket)
    }

    pub(crate) fn keep_exemplar(&self, id: &str, took: Micros) {
        self.0.keep_exemplar(latency::bucket(took), Exemplar::now(id, took));
    }

    /// Asks for an exemplar of each bucket, once.
    pub(crate) fn ask_for_exemplars(&self) {
        self.0.mark();
    }

    /// Counts a new connection. Most attempts use a kept one.
    #[cold]
    fn count_connection(&self, time: Micros) {
        let bucket = CONNECT_TIME + latency::bucket(time);
        self.0.add([(bucket, 1), (CONNECT_TIME + latency::BUCKETS, time.0)]);
    }

    /// Counts a failed attempt; `retried` if another one follows.
    #[cold]
    pub(crate) fn count_failure(&self, cause: Causes, retried: bool) {
        let place = REASONS.iter().position(|(_, known)| *known == cause);
        if let Some(place) = place {
            self.0.add([(FAILURE + place, 1), (RETRY + place, u64::from(retried))]);
        }
    }

    /// Counts an ejection.
    #[cold]
    pub(crate) fn count_ejection(&self, reason: Reason) {
        let place = match reason {
            Reason::Failures(_) => 0,
            Reason::Rate(..) => 1,
            Reason::Time(..) => 2,
        };
        self.0.add([(EJECTION + place, 1)]);
    }

    pub(crate) fn count_handshake(&self, ended: Ended<'_>) {
        self.1.count(ended);
    }

    pub(crate) fn reset(&self) {
        self.1.reset();
        self.0.reset(0..COUNTERS);
    }

    pub(crate) fn read(&self) -> PeerCounts {
        let counts = self.0.read();
        PeerCounts {
            sent: counts[SENT],
            received: counts[RECEIVED],
            responses: Responses::from_places(&counts[RESPONSE..RESPONSE_TIME]),
            response_time: Latency::of(&counts[RESPONSE_TIME..]),
            exemplars: self.0.exemplars(),
            header_time: Latency::of(&counts[HEADER_TIME..]),
            connect_time: Latency::of(&counts[CONNECT_TIME..]),
            failures: by_reason(REASONS.map(|(name, _)| name), &counts[FAILURE..]),
            retries: by_reason(REASONS.map(|(name, _)| name), &counts[RETRY..]),
            ejections: by_reason(EJECTIONS, &counts[EJECTION..]),
            handshakes: self.1.read(),
        }
    }
}

fn by_reason<const N: usize>(names: [&'static str; N], counts: &[u64]) -> ByReason {
    let counts = names.into_iter().zip(counts.iter().copied());
    counts.filter(|(_, count)| *count > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_counts_what_it_has_come_to() {
        let counters = Counters::new();
        counters.count(Exchanged { sent: 10, connect: Some(Micros(700)), ..Exchanged::default() });
        for (status, time) in [(200, 5_000), (200, 5_001), (404, 60_000_001), (299, 0)] {
            let response = Some(Answered { status, header: Micros(time / 2), time: Micros(time) });
            counters.count(Exchanged { sent: 1, received: 100, response, connect: None });
        }
        let counts = counters.clone().read();
        assert_eq!((counts.sent, counts.received), (14, 400));
        assert_eq!(counts.responses.classes, [0, 3, 0, 1, 0]);
        assert_eq!(counts.responses.codes, [(200, 2), (404, 1)]);
        let times = counts.response_time;
        assert_eq!(times.sum, 60_010_002);
        assert_eq!(times.within(&[5_000, 10_000]), [2, 1, 1]);
        assert_eq!(counts.header_time.within(&[2_000, 5_000]), [1, 2, 1]);
        assert_eq!((counts.connect_time.sum, counts.connect_time.count()), (700, 1));
        counters.reset();
        assert_eq!(counters.read(), PeerCounts::default());
    }

    #[test]
    fn failures_are_counted_by_reason() {
        let counters = Counters::new();
        counters.count_failure(Causes::TIMEOUT, true);
        counters.count_failure(Causes::TIMEOUT, false);
        counters.count_failure(Causes::OFF, true);
        counters.count_failure(Causes::NO_LIVE, true);
        counters.count_ejection(Reason::Rate(0.5, 0.9));
        let counts = counters.read();
        assert_eq!(counts.failures, [("timeout", 2), ("kept_closed", 1)]);
        assert_eq!(counts.retries, [("timeout", 1), ("kept_closed", 1)]);
        assert_eq!(counts.ejections, [("success_rate", 1)]);
    }
}
