//! The instance, and connections and requests of all clients.

use weir_engine::clock::Wall;
use weir_engine::stats::{self, Totals};
use weir_wire::exposition::{Exposition, Labels, Value};

use crate::instance;
use crate::metrics::Source;
use crate::server_name::NGINX_VERSION;

pub(super) fn collect(_: &Source, out: &mut Exposition) {
    let build = [("version", env!("CARGO_PKG_VERSION")), ("nginx_version", NGINX_VERSION)];
    out.info("weir_build_info", "The version of Weir, and of nginx that it follows.")
        .sample(&Labels::of(&build), 1_u64);
    of_instance(out);
    let totals = stats::totals();
    connections(&totals, out);
    out.counter("weir_http_requests_total", "Requests of clients.")
        .sample(Labels::NONE, totals.requests);
    out.gauge("weir_http_requests_current", "Requests of clients that are being processed.")
        .sample(Labels::NONE, totals.reading + totals.writing);
}

fn of_instance(out: &mut Exposition) {
    let instance = instance::current();
    let Wall { secs, millis } = instance.loaded;
    let loaded = secs as f64 + f64::from(millis) / 1000.0;
    out.gauge("weir_config_generation", "The number of configurations loaded since the start.")
        .sample(Labels::NONE, instance.generation);
    out.gauge("weir_config_load_timestamp_seconds", "When the configuration in force was loaded.")
        .sample(Labels::NONE, Value::Real(loaded));
    out.counter("weir_workers_respawned_total", "Workers that died and were replaced.")
        .sample(Labels::NONE, instance.respawned);
}

fn connections(totals: &Totals, out: &mut Exposition) {
    let Totals { accepted, handled, active, reading, writing, waiting, .. } = *totals;
    out.counter("weir_connections_accepted_total", "Accepted connections of clients.")
        .sample(Labels::NONE, accepted);
    out.counter(
        "weir_connections_dropped_total",
        "Accepted connections of clients that were closed for lack of worker_connections.",
    )
    .sample(Labels::NONE, accepted.saturating_sub(handled));
    out.gauge("weir_connections_active", "Open connections of clients.")
        .sample(Labels::NONE, active);
    let mut states = out.gauge("weir_connections", "Open connections of clients by state.");
    for (state, count) in [("reading", reading), ("writing", writing), ("waiting", waiting)] {
        states.sample(&Labels::of(&[("state", state)]), count);
    }
}
