//! Traces: what became of spans.

use std::sync::atomic::Ordering::Relaxed;

use weir_wire::exposition::{Exposition, Labels};

use crate::metrics::Source;
use crate::spans::{EXPORTED, FAILURES, Lost};

pub(super) fn collect(_: &Source, out: &mut Exposition) {
    out.counter("weir_otel_spans_exported_total", "Spans that the collector has taken.")
        .sample(Labels::NONE, EXPORTED.load(Relaxed));
    let about = "Spans that were lost: no place was left, the collector did not want them, or it \
                 did not take them in time.";
    let mut lost = out.counter("weir_otel_spans_dropped_total", about);
    for (reason, name) in Lost::ALL {
        lost.sample(&Labels::of(&[("reason", name)]), reason.count());
    }
    let about = "Requests to the collector of spans that failed, repetitions included.";
    out.counter("weir_otel_export_failures_total", about)
        .sample(Labels::NONE, FAILURES.load(Relaxed));
}
