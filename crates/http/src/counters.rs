//! The counters of server zones and location zones, as in nginx's API.

use weir_engine::clock::Micros;
use weir_engine::stats::latency::{self, Exemplar, Latency};
use weir_engine::stats::{Family, Key};
use weir_wire::status::{self, Responses};

use crate::errors;

/// The indices of a zone's counters.
const PROCESSING: usize = 0;
const REQUESTS: usize = 1;
const DISCARDED: usize = 2;
const RECEIVED: usize = 3;
const SENT: usize = 4;
const RESPONSE: usize = 5;
const TIME: usize = RESPONSE + status::PLACES;
const COUNTERS: usize = TIME + latency::COUNTERS;

static SERVER_ZONES: Family = Family::new(COUNTERS);
static LOCATION_ZONES: Family = Family::new(COUNTERS);

/// The counters of one zone. All instances of a name share their counts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ZoneCounters {
    counts: Key,
    /// Those of errors by cause; none for a location.
    errors: Option<Key>,
}

/// The result of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Served {
    /// Bytes of the request.
    pub(crate) received: u64,
    /// Bytes of the response.
    pub(crate) sent: u64,
    /// The status of the response; None if there was none.
    pub(crate) status: Option<u16>,
    /// Microseconds from its beginning to its end.
    pub(crate) took: Micros,
}

/// The counts of a zone since it was first configured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ZoneCounts {
    /// Requests being processed; 0 for locations.
    pub processing: u64,
    /// Requests.
    pub requests: u64,
    /// Responses.
    pub responses: Responses,
    /// Requests that ended without a response.
    pub discarded: u64,
    /// Bytes received from clients.
    pub received: u64,
    /// Bytes sent to clients.
    pub sent: u64,
    /// The times from the first byte of requests to the last one of responses, discarded requests
    /// included.
    pub request_time: Latency,
    /// Requests that stand for others of their bucket, by bucket.
    pub exemplars: Vec<(usize, Exemplar)>,
}

/// The server zones of all configurations in use, by name.
pub fn server_zones() -> Vec<(String, ZoneCounts)> {
    read(&SERVER_ZONES)
}

/// The location zones of all configurations in use, by name.
pub fn location_zones() -> Vec<(String, ZoneCounts)> {
    read(&LOCATION_ZONES)
}

/// Starts the counters of a server zone over, except those of current requests. `false` if there is
/// no such zone.
pub fn reset_server_zone(name: &str) -> bool {
    reset(&SERVER_ZONES, name)
}

/// As [`reset_server_zone`], for a location zone.
pub fn reset_location_zone(name: &str) -> bool {
    reset(&LOCATION_ZONES, name)
}

fn reset(family: &'static Family, name: &str) -> bool {
    let zone = family.find(name);
    zone.inspect(|zone| zone.reset(REQUESTS..COUNTERS)).is_some()
}

fn read(family: &'static Family) -> Vec<(String, ZoneCounts)> {
    let zone = |(name, key): (String, Key)| {
        (name, ZoneCounts { exemplars: key.exemplars(), ..ZoneCounts::of(&key.read()) })
    };
    family.keys().into_iter().map(zone).collect()
}

/// Asks for an exemplar of each bucket of all zones, once.
pub(crate) fn ask_for_exemplars() {
    let keys = SERVER_ZONES.keys().into_iter().chain(LOCATION_ZONES.keys());
    keys.for_each(|(_, key)| key.mark());
}

impl ZoneCounters {
    pub(crate) fn of_server(name: &str) -> Self {
        Self { counts: SERVER_ZONES.key(name), errors: Some(errors::zone(name)) }
    }

    pub(crate) fn of_location(name: &str) -> Self {
        Self { counts: LOCATION_ZONES.key(name), errors: None }
    }

    /// The counters of errors by cause of a server zone.
    pub(crate) fn errors(&self) -> Option<&Key> {
        self.errors.as_ref()
    }

    /// Counts the beginning of a request. [`ZoneCounters::end`] or [`ZoneCounters::abandon`]
    /// follows.
    #[inline]
    pub(crate) fn begin(&self) {
        self.counts.add([(REQUESTS, 1), (PROCESSING, 1)]);
    }

    /// Keeps a request as an exemplar.
    pub(crate) fn keep_exemplar(&self, id: &str, took: Micros) {
        self.counts.keep_exemplar(latency::bucket(took), Exemplar::now(id, took));
    }

    /// Counts a request that is no longer processed, without an end.
    #[cold]
    pub(crate) fn abandon(&self) {
        self.counts.sub(PROCESSING, 1);
    }

    /// Counts the end of a request, for which [`ZoneCounters::begin`] was called if `begun`.
    /// Returns whether an exemplar is asked for.
    #[inline]
    pub(crate) fn end(&self, begun: bool, served: Served) -> bool {
        let first = if begun { (PROCESSING, 1_u64.wrapping_neg()) } else { (REQUESTS, 1) };
        let Served { received, sent, status, took } = served;
        let last = match status {
            Some(code) => RESPONSE + status::place(code),
            None => DISCARDED,
        };
        let bucket = latency::bucket(took);
        let (received, sent) = ((RECEIVED, received), (SENT, sent));
        let time = [(TIME + bucket, 1), (TIME + latency::BUCKETS, took.0)];
        let amounts = [first, received, sent, (last, 1), time[0], time[1]];
        self.counts.add_marked::<COUNTERS, _>(amounts, 1 << bucket)
    }
}

impl ZoneCounts {
    fn of(counts: &[u64]) -> Self {
        Self {
            processing: counts[PROCESSING],
            requests: counts[REQUESTS],
            responses: Responses::from_places(&counts[RESPONSE..TIME]),
            discarded: counts[DISCARDED],
            received: counts[RECEIVED],
            sent: counts[SENT],
            request_time: Latency::of(&counts[TIME..]),
            exemplars: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
