//! Upstreams with a `zone`: the group as a whole. Its servers are in [`servers`].

use weir_upstream::GroupView;
use weir_wire::exposition::{Exposition, Format, Labels, Value};

use super::{latency, servers};
use crate::metrics::Source;

/// A group at the moment of the scrape.
pub(super) struct Upstream {
    pub(super) labels: Labels,
    pub(super) view: GroupView,
    /// Its idle connections.
    pub(super) kept: u64,
}

/// A family with one number for each group; none for those to which it does not apply.
struct Number {
    name: &'static str,
    help: &'static str,
    value: fn(&Upstream) -> Option<Value>,
}

const GAUGES: &[Number] = &[
    Number {
        name: "weir_http_upstream_keepalive_connections",
        help: "Idle connections to the servers of an upstream.",
        value: |it| Some(it.kept.into()),
    },
    Number {
        name: "weir_http_upstream_zombies",
        help: "Servers that were removed from an upstream and still have requests.",
        value: |it| Some(it.view.zombies.into()),
    },
    Number {
        name: "weir_http_upstream_queue_length",
        help: "Requests that wait for a server.",
        value: |it| it.view.queue.map(|queue| queue.size.into()),
    },
    Number {
        name: "weir_http_upstream_queue_limit",
        help: "The limit of requests that wait for a server.",
        value: |it| it.view.queue.map(|queue| queue.max_size.into()),
    },
];

const COUNTERS: &[Number] = &[
    Number {
        name: "weir_http_upstream_no_live_total",
        help: "Requests for which no server was available.",
        value: |it| Some(it.view.counts.no_live.into()),
    },
    Number {
        name: "weir_http_upstream_retries_refused_total",
        help: "Retries for which the budget was used up.",
        value: |it| Some(it.view.counts.retries_refused.into()),
    },
    Number {
        name: "weir_http_upstream_queue_overflows_total",
        help: "Requests that found the queue full.",
        value: |it| it.view.queue.map(|queue| queue.overflows.into()),
    },
    Number {
        name: "weir_http_upstream_queue_timeouts_total",
        help: "Requests whose wait for a server took too long.",
        value: |it| it.view.queue.map(|_| it.view.counts.queue_timeouts.into()),
    },
];

pub(super) fn collect(source: &Source, out: &mut Exposition) {
    let groups = source.groups.iter().filter(|group| group.zone().is_some());
    let upstreams: Vec<_> = groups
        .map(|group| Upstream {
            labels: Labels::of(&[("upstream", group.name())]),
            view: group.view(source.now),
            kept: group.kept(),
        })
        .collect();
    for Number { name, help, value } in GAUGES {
        let mut family = out.gauge(name, help);
        for upstream in &upstreams {
            value(upstream).into_iter().for_each(|it| _ = family.sample(&upstream.labels, it));
        }
    }
    for Number { name, help, value } in COUNTERS {
        let mut family = out.counter(name, help);
        for upstream in &upstreams {
            value(upstream).into_iter().for_each(|it| _ = family.sample(&upstream.labels, it));
        }
    }
    let queues = upstreams.iter().filter(|upstream| upstream.view.queue.is_some());
    latency::write(
        out,
        (
            "weir_http_upstream_queue_duration_seconds",
            "The time that requests waited for a server.",
        ),
        queues.map(|upstream| (&upstream.labels, &upstream.view.counts.queue_time)),
    );
    servers::collect(&upstreams, out);
    if out.format() == Format::OpenMetrics {
        source.groups.iter().for_each(|group| group.ask_for_exemplars());
    }
}
