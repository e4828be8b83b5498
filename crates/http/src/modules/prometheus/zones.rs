//! Server zones and location zones (`status_zone`).

use weir_wire::exposition::{Exposition, Format, Labels};

use super::{latency, responses};
use crate::counters::{ZoneCounts, ask_for_exemplars, location_zones, server_zones};
use crate::metrics::Source;

/// A family: its name and its description.
type Family = (&'static str, &'static str);

/// The families of one kind of zones.
struct Families {
    requests: Family,
    classes: Family,
    statuses: Family,
    discarded: Family,
    received: Family,
    sent: Family,
    time: Family,
}

const SERVER: Families = Families {
    requests: ("weir_http_server_zone_requests_total", "Requests of a server zone."),
    classes: ("weir_http_server_zone_responses_total", "Responses of a server zone by class."),
    statuses: (
        "weir_http_server_zone_responses_by_status_total",
        "Responses of a server zone by status, those that have occurred.",
    ),
    discarded: (
        "weir_http_server_zone_discarded_total",
        "Requests of a server zone that ended without a response.",
    ),
    received: (
        "weir_http_server_zone_received_bytes_total",
        "Bytes received from clients of a server zone.",
    ),
    sent: ("weir_http_server_zone_sent_bytes_total", "Bytes sent to clients of a server zone."),
    time: (
        "weir_http_server_zone_request_duration_seconds",
        "The time from the first byte of a request to the last one of its response.",
    ),
};

const LOCATION: Families = Families {
    requests: ("weir_http_location_zone_requests_total", "Requests of a location zone."),
    classes: ("weir_http_location_zone_responses_total", "Responses of a location zone by class."),
    statuses: (
        "weir_http_location_zone_responses_by_status_total",
        "Responses of a location zone by status, those that have occurred.",
    ),
    discarded: (
        "weir_http_location_zone_discarded_total",
        "Requests of a location zone that ended without a response.",
    ),
    received: (
        "weir_http_location_zone_received_bytes_total",
        "Bytes received from clients of a location zone.",
    ),
    sent: ("weir_http_location_zone_sent_bytes_total", "Bytes sent to clients of a location zone."),
    time: (
        "weir_http_location_zone_request_duration_seconds",
        "The time from the first byte of a request to the last one of its response.",
    ),
};

pub(super) fn collect(_: &Source, out: &mut Exposition) {
    let servers = labelled(server_zones());
    let mut processing = out.gauge(
        "weir_http_server_zone_requests_processing",
        "Requests of a server zone that are being processed.",
    );
    for (labels, counts) in &servers {
        processing.sample(labels, counts.processing);
    }
    write(out, &SERVER, &servers);
    write(out, &LOCATION, &labelled(location_zones()));
    if out.format() == Format::OpenMetrics {
        ask_for_exemplars();
    }
}

fn labelled(zones: Vec<(String, ZoneCounts)>) -> Vec<(Labels, ZoneCounts)> {
    let zones = zones.into_iter();
    zones.map(|(name, counts)| (Labels::of(&[("zone", &name)]), counts)).collect()
}

fn write(out: &mut Exposition, families: &Families, zones: &[(Labels, ZoneCounts)]) {
    type Pick = fn(&ZoneCounts) -> u64;
    let numbers: [(Family, Pick); 4] = [
        (families.requests, |zone| zone.requests),
        (families.discarded, |zone| zone.discarded),
        (families.received, |zone| zone.received),
        (families.sent, |zone| zone.sent),
    ];
    for ((name, help), pick) in numbers {
        let mut family = out.counter(name, help);
        for (labels, counts) in zones {
            family.sample(labels, pick(counts));
        }
    }
    let of_zones = || zones.iter().map(|(labels, counts)| (labels, &counts.responses));
    responses::by_class(out, families.classes, of_zones());
    responses::by_status(out, families.statuses, of_zones());
    let times = zones
        .iter()
        .map(|(labels, counts)| (labels, &counts.request_time, counts.exemplars.as_slice()));
    latency::write_with(out, families.time, times);
}
