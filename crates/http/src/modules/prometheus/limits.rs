//! The zones of `limit_req` and `limit_conn`.

use weir_edge::zone;
use weir_wire::exposition::{Exposition, Labels};

use crate::metrics::Source;

/// The families: usage of the zone, name, description.
const FAMILIES: [(&str, &str, &str); 2] = [
    (
        "limit_req",
        "weir_http_limit_req_requests_total",
        "Requests that were compared with a limit of requests, by the outcome.",
    ),
    (
        "limit_conn",
        "weir_http_limit_conn_requests_total",
        "Requests that were compared with a limit of connections, by the outcome.",
    ),
];

pub(super) fn collect(_: &Source, out: &mut Exposition) {
    for (usage, name, help) in FAMILIES {
        let mut family = out.counter(name, help);
        for (zone, counts) in zone::in_use(usage) {
            for (result, count) in counts.counts() {
                family.sample(&Labels::of(&[("zone", &zone), ("result", result)]), count);
            }
        }
    }
}
