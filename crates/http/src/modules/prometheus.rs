//! `prometheus`: metrics for Prometheus, as text or in OpenMetrics.
//!
//! ```text
//!  request ── Accept ──▶ Exposition ◀── COLLECTORS, on a thread beside the loop
//! ```
//!
//! To add a metric, write it in the collector of its theme, or list another one in [`COLLECTORS`].

use weir_conf::{Contexts, Cx, Fault, Local, Node, Settings, Slot, directives};
use weir_engine::event_loop::{self, on_a_thread};
use weir_upstream::{Now, Side};
use weir_wire::exposition::{Exposition, Format};
use weir_wire::h1::Method;
use weir_wire::header::Known;

use crate::metrics::{self, Collector, Source};
use crate::module::{Handler, Module, Pending, Verdict};
use crate::request::Request;

mod caches;
mod errors;
mod latency;
mod limits;
mod process;
mod records;
mod requests;
mod resolvers;
mod responses;
mod servers;
mod traces;
mod upstreams;
mod zones;

/// The collectors, in the order of their families in the answer.
const COLLECTORS: &[Collector] = &[
    requests::collect,
    errors::collect,
    process::collect,
    zones::collect,
    limits::collect,
    caches::collect,
    resolvers::collect,
    records::collect,
    traces::collect,
    upstreams::collect,
];

pub(crate) const MODULE: Module = Module {
    name: "prometheus",
    tables: &[&Prometheus::table(&PROMETHEUS)],
    content: Some(content),
    ..Module::NONE
};

static PROMETHEUS: Slot<Prometheus> = Slot::new();

directives! {
    /// Metrics for Prometheus.
    pub(crate) struct Prometheus as PrometheusWritten in [location] {
        /// Answers with metrics in Prometheus's text format, or in OpenMetrics if the client
        /// prefers it. Access to the location should be limited.
        "prometheus" [0]: "" => set,
        field on: Local<bool>,
    }
    finish = Prometheus::finish;
}

fn set(own: &mut PrometheusWritten, _: &Node, _: &mut Cx<'_>) -> Result<(), Fault> {
    match own.on.replace(true) {
        None => Ok(()),
        Some(_) => Err(Fault::duplicate()),
    }
}

impl Prometheus {
    fn finish(&mut self, parent: Option<&Self>, cx: &mut Cx<'_>) -> Result<(), Fault> {
        let inner = cx.context().intersects(Contexts::LOCATION_IF.union(Contexts::LIMIT_EXCEPT));
        self.on |= inner && parent.is_some_and(|parent| parent.on);
        Ok(())
    }
}

fn content(settings: &Settings) -> Option<Handler> {
    settings.get(&PROMETHEUS).on.then(|| {
        event_loop::measure_turns();
        Handler::Async(handle)
    })
}

fn handle(request: &mut Request) -> Pending<'_, Verdict> {
    Box::pin(async move {
        if !matches!(request.method, Method::Get | Method::Head) {
            request.response.headers.push(b"Allow", b"GET, HEAD");
            return Verdict::Status(405);
        }
        let format = Format::preferred(request.head.get(Known::Accept).unwrap_or_default());
        let groups = request.snapshot.declared_groups(Side::Http);
        let source = Source { groups, now: Now::current() };
        let again = source.clone();
        // Without another thread, the loop does it.
        let found = on_a_thread(move || text(&source, format)).await;
        let text = found.unwrap_or_else(|_| text(&again, format));
        request.response.headers.set(Known::CacheControl, b"no-cache");
        request.send_all(200, format.media_type().as_bytes(), text.into_bytes()).await
    })
}

/// The whole answer.
fn text(source: &Source, format: Format) -> String {
    let mut out = Exposition::new(format);
    let collectors = COLLECTORS.iter().copied().chain(metrics::added());
    collectors.for_each(|collect| collect(source, &mut out));
    out.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_occurs_once_and_is_named_by_convention() {
        let source = Source { groups: Vec::new(), now: Now::current() };
        for format in [Format::Text, Format::OpenMetrics] {
            let text = text(&source, format);
            let names: Vec<_> = text.lines().filter_map(|it| it.strip_prefix("# TYPE ")).collect();
            assert!(names.len() > 5, "{text}");
            assert!(names.iter().all(|name| name.starts_with("weir_")), "{text}");
        }
    }
}
