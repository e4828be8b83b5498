//! The counters of resolvers, by the name in `status_zone=`: they outlive reloads.
//!
//! A request is a question that was asked of name servers, for the IPv4 and IPv6 addresses of a
//! name or for a service, however often it was sent; a response is what has come of it. What the
//! cache answers is not counted, nor what nobody waits for any more as its thread ends.

use weir_engine::stats::{Family, Key};

use super::{Reason, cache};

/// The kinds of requests: of addresses, and of services.
const KINDS: [&str; 2] = ["name", "srv"];

/// What can become of a request: the results of NGINX Plus.
const RESULTS: [&str; 8] =
    ["noerror", "formerr", "servfail", "nxdomain", "notimp", "refused", "timedout", "unknown"];

/// The indices of a zone's counters.
const REQUESTS: usize = 0;
const RESPONSES: usize = REQUESTS + KINDS.len();
const COUNTERS: usize = RESPONSES + RESULTS.len();

static ZONES: Family = Family::new(COUNTERS);

/// The counters of one zone.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Counters(Key);

impl Eq for Counters {}

/// The counts of a zone since it was first configured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResolverCounts {
    /// Requests by kind: `name`, `srv`.
    pub requests: Vec<(&'static str, u64)>,
    /// Responses by result: `noerror`, `formerr`, `servfail`, `nxdomain`, `notimp`, `refused`,
    /// `timedout`, `unknown`.
    pub responses: Vec<(&'static str, u64)>,
}

/// The zones of all configurations in use, by name.
pub fn resolver_zones() -> Vec<(String, ResolverCounts)> {
    let counts = |(name, counts): (String, Vec<u64>)| (name, ResolverCounts::of(&counts));
    ZONES.read().into_iter().map(counts).collect()
}

/// Starts the counts of a zone over. `false` if there is no such zone.
pub fn reset_resolver_zone(name: &str) -> bool {
    ZONES.find(name).inspect(|zone| zone.reset(0..COUNTERS)).is_some()
}

impl Counters {
    pub(super) fn of(zone: &str) -> Self {
        Self(ZONES.key(zone))
    }

    /// Counts a question that name servers are asked.
    pub(super) fn count_request(&self, key: &cache::Key) {
        let kind = match key {
            cache::Key::Name(_) => 0,
            cache::Key::Service(_) => 1,
        };
        self.0.add([(REQUESTS + kind, 1)]);
    }

    /// Counts what has come of one.
    pub(super) fn count_response<T>(&self, answer: &Result<T, Reason>) {
        let result = match answer {
            Ok(_) => 0,
            Err(Reason::TIMED_OUT) => 6,
            Err(Reason(code @ 1..=5)) => usize::from(*code),
            Err(_) => 7,
        };
        self.0.add([(RESPONSES + result, 1)]);
    }
}

impl ResolverCounts {
    fn of(counts: &[u64]) -> Self {
        let named = |names: &[&'static str], counts: &[u64]| {
            names.iter().copied().zip(counts.iter().copied()).collect()
        };
        Self {
            requests: named(&KINDS, &counts[REQUESTS..]),
            responses: named(&RESULTS, &counts[RESPONSES..]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_result() {
        let zone = Counters::of("resolver::counters");
        zone.count_request(&cache::Key::Service("s".to_owned()));
        zone.count_response(&Ok(()));
        let numbers = [1, 2, 3, 4, 5, 110, 9, 6];
        numbers.iter().for_each(|&number| zone.count_response::<()>(&Err(Reason(number))));
        let find = || resolver_zones().into_iter().find(|(name, _)| name == "resolver::counters");
        let (_, counts) = find().unwrap();
        assert_eq!(counts.requests, [("name", 0), ("srv", 1)]);
        let results: Vec<_> = counts.responses.iter().map(|(_, count)| *count).collect();
        assert_eq!(results, [1, 1, 1, 1, 1, 1, 1, 2]);
        assert!(reset_resolver_zone("resolver::counters") && !reset_resolver_zone("other"));
        assert!(find().unwrap().1.responses.iter().all(|(_, count)| *count == 0));
        drop(zone);
        assert!(find().is_none());
    }
}
