//! Zones of resolvers: `resolver … status_zone=`.

use weir_upstream::resolver_zones;
use weir_wire::exposition::{Exposition, Labels};

use crate::metrics::Source;

pub(super) fn collect(_: &Source, out: &mut Exposition) {
    let zones = resolver_zones();
    let about = "Questions that name servers were asked, by kind: of addresses, or of services.";
    let mut requests = out.counter("weir_resolver_requests_total", about);
    for (zone, counts) in &zones {
        for (kind, count) in &counts.requests {
            requests.sample(&Labels::of(&[("zone", zone), ("kind", kind)]), *count);
        }
    }
    let about = "What has come of them: an answer, a failure, or nothing in time.";
    let mut responses = out.counter("weir_resolver_responses_total", about);
    for (zone, counts) in &zones {
        for (result, count) in &counts.responses {
            responses.sample(&Labels::of(&[("zone", zone), ("result", result)]), *count);
        }
    }
}
