//! The servers of upstreams with a `zone`.

use std::collections::BTreeMap;

use weir_upstream::{ByReason, PeerView, STATES};
use weir_wire::exposition::{Exposition, Labels, Value};

use super::upstreams::Upstream;
use super::{latency, responses};

/// A server, with its labels.
type Server<'a> = (Labels, &'a PeerView);

/// A family with one number for each server; none for those to which it does not apply.
struct Number {
    name: &'static str,
    help: &'static str,
    value: fn(&PeerView) -> Option<Value>,
}

const fn number(
    name: &'static str,
    help: &'static str,
    value: fn(&PeerView) -> Option<Value>,
) -> Number {
    Number { name, help, value }
}

const GAUGES: &[Number] = &[
    number("weir_http_upstream_server_active", "Requests that a server is processing.", |it| {
        Some(it.active.into())
    }),
    number(
        "weir_http_upstream_server_max_conns",
        "The limit of requests at once of a server that has one.",
        |it| (it.max_conns > 0).then_some(it.max_conns.into()),
    ),
    number("weir_http_upstream_server_weight", "The weight of a server, as set.", |it| {
        Some(u64::from(it.weight).into())
    }),
    number(
        "weir_http_upstream_server_effective_weight",
        "The weight of a server as its agent and its load reports make it.",
        |it| it.effective_weight.map(|thousandths| Value::Real(thousandths as f64 / 1000.0)),
    ),
    number(
        "weir_http_upstream_server_slow_start_ratio",
        "The share of its weight that slow_start grants a server.",
        |it| it.slow_start.map(|thousandths| Value::Real(thousandths as f64 / 1000.0)),
    ),
    number("weir_http_upstream_server_backup", "Whether a server is a backup.", |it| {
        Some(it.backup.into())
    }),
];

const COUNTERS: &[Number] = &[
    number(
        "weir_http_upstream_server_requests_total",
        "Requests for which a server was chosen.",
        |it| Some(it.requests.into()),
    ),
    number("weir_http_upstream_server_sent_bytes_total", "Bytes sent to a server.", |it| {
        Some(it.counts.sent.into())
    }),
    number(
        "weir_http_upstream_server_received_bytes_total",
        "Bytes received from a server.",
        |it| Some(it.counts.received.into()),
    ),
    number(
        "weir_http_upstream_server_fails_total",
        "Failed attempts that count towards max_fails.",
        |it| Some(it.fails.into()),
    ),
    number(
        "weir_http_upstream_server_unavailable_total",
        "How often failures or an ejection made a server unavailable.",
        |it| Some(it.unavail.into()),
    ),
    number("weir_http_upstream_server_health_checks_total", "Health checks of a server.", |it| {
        (it.checks.checks > 0).then_some(it.checks.checks.into())
    }),
    number(
        "weir_http_upstream_server_health_checks_failed_total",
        "Health checks that failed.",
        |it| (it.checks.checks > 0).then_some(it.checks.fails.into()),
    ),
    number(
        "weir_http_upstream_server_health_checks_unhealthy_total",
        "How often health checks found a server unhealthy.",
        |it| (it.checks.checks > 0).then_some(it.checks.unhealthy.into()),
    ),
    number(
        "weir_http_upstream_server_downtime_seconds_total",
        "How long a server was unavailable, being checked or unhealthy.",
        |it| Some(Value::millis(it.downtime)),
    ),
];

pub(super) fn collect(upstreams: &[Upstream], out: &mut Exposition) {
    let servers: Vec<Server<'_>> = upstreams.iter().flat_map(labelled).collect();
    states(&servers, out);
    for Number { name, help, value } in GAUGES {
        let mut family = out.gauge(name, help);
        for (labels, server) in &servers {
            value(server).into_iter().for_each(|it| _ = family.sample(labels, it));
        }
    }
    for Number { name, help, value } in COUNTERS {
        let mut family = out.counter(name, help);
        for (labels, server) in &servers {
            value(server).into_iter().for_each(|it| _ = family.sample(labels, it));
        }
    }
    all_responses(&servers, out);
    reasons(&servers, out);
    times(&servers, out);
}

/// The servers of a group. An address that occurs again has its number among its equals, too.
fn labelled(upstream: &Upstream) -> impl Iterator<Item = Server<'_>> {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    upstream.view.peers.iter().map(move |peer| {
        let number = seen.entry(&peer.server).or_default();
        *number += 1;
        let labels = upstream.labels.with("server", &peer.server);
        match *number {
            1 => (labels, peer),
            twin => (labels.with("twin", &twin.to_string()), peer),
        }
    })
}

fn states(servers: &[Server<'_>], out: &mut Exposition) {
    let mut family = out.gauge(
        "weir_http_upstream_server_state",
        "The state of a server: 1 for the one that it is in, 0 for the others.",
    );
    for (labels, server) in servers {
        for state in STATES {
            family.sample(&labels.with("state", state.text()), server.state == state);
        }
    }
    let mut family = out.gauge(
        "weir_http_upstream_server_kept_out",
        "Why a server takes no requests, or not all: 1 for each reason that holds.",
    );
    for (labels, server) in servers {
        for reason in &server.reasons {
            family.sample(&labels.with("reason", reason), true);
        }
    }
}

fn all_responses(servers: &[Server<'_>], out: &mut Exposition) {
    let of_servers = || servers.iter().map(|(labels, server)| (labels, &server.counts.responses));
    let family = ("weir_http_upstream_server_responses_total", "Responses of a server by class.");
    responses::by_class(out, family, of_servers());
    let family = (
        "weir_http_upstream_server_responses_by_status_total",
        "Responses of a server by status, those that have occurred.",
    );
    responses::by_status(out, family, of_servers());
}

fn reasons(servers: &[Server<'_>], out: &mut Exposition) {
    type Pick = fn(&PeerView) -> &ByReason;
    let families: [(&str, &str, Pick); 3] = [
        (
            "weir_http_upstream_server_failures_total",
            "Failed attempts by reason, those that have occurred.",
            |it| &it.counts.failures,
        ),
        (
            "weir_http_upstream_server_retries_total",
            "Failed attempts after which another server was asked, by reason.",
            |it| &it.counts.retries,
        ),
        (
            "weir_http_upstream_server_ejections_total",
            "Ejections of a server as an outlier, by reason.",
            |it| &it.counts.ejections,
        ),
    ];
    for (name, help, pick) in families {
        let mut family = out.counter(name, help);
        for (labels, server) in servers {
            for (reason, count) in pick(server) {
                family.sample(&labels.with("reason", reason), *count);
            }
        }
    }
}

fn times(servers: &[Server<'_>], out: &mut Exposition) {
    let response = servers
        .iter()
        .map(|(labels, it)| (labels, &it.counts.response_time, it.counts.exemplars.as_slice()));
    let header = servers.iter().map(|(labels, it)| (labels, &it.counts.header_time));
    let connect = servers.iter().map(|(labels, it)| (labels, &it.counts.connect_time));
    let family = (
        "weir_http_upstream_server_response_duration_seconds",
        "The time from the beginning of an attempt to the last byte of the response.",
    );
    latency::write_with(out, family, response);
    let family = (
        "weir_http_upstream_server_header_duration_seconds",
        "The time from the beginning of an attempt to the end of the response's head.",
    );
    latency::write(out, family, header);
    let family = (
        "weir_http_upstream_server_connect_duration_seconds",
        "The time to open a connection to a server, TLS included.",
    );
    latency::write(out, family, connect);
}
