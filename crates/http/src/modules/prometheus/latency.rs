//! Latency histograms, in seconds.

use weir_engine::stats::latency::{self as counted, Latency};
use weir_wire::exposition::{Distribution, Exemplar, Exposition, Labels};

/// The upper bounds of the buckets, in microseconds: some of those that are counted, because each
/// is a series for each zone and server.
pub(super) const ENDS: [u64; 14] = [
    500, 1_000, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000, 60_000_000,
];

/// The exemplars of a histogram, by bucket of [`counted::ENDS`].
pub(super) type Exemplars = [(usize, counted::Exemplar)];

/// Writes a family of histograms without exemplars.
pub(super) fn write<'a>(
    out: &mut Exposition,
    names: (&'static str, &'static str),
    all: impl Iterator<Item = (&'a Labels, &'a Latency)>,
) {
    let none: &Exemplars = &[];
    write_with(out, names, all.map(|(labels, latency)| (labels, latency, none)));
}

/// Writes a family of histograms.
pub(super) fn write_with<'a>(
    out: &mut Exposition,
    (name, help): (&'static str, &'static str),
    all: impl Iterator<Item = (&'a Labels, &'a Latency, &'a Exemplars)>,
) {
    let ends = ENDS.map(|micros| micros as f64 / 1e6);
    let mut family = out.histogram(name, help);
    for (labels, latency, kept) in all {
        let exemplars = exemplars(kept);
        let values = Distribution {
            ends: &ends,
            counts: &latency.within(&ENDS),
            sum: latency.sum as f64 / 1e6,
            exemplars: &exemplars,
        };
        family.distribution(labels, &values);
    }
}

/// The exemplars in the buckets of [`ENDS`], the slowest of each.
fn exemplars(kept: &Exemplars) -> Vec<Option<Exemplar>> {
    if kept.is_empty() {
        return Vec::new();
    }
    let mut found = vec![None; ENDS.len() + 1];
    // Those of slower buckets come later.
    for (_, counted::Exemplar { id, micros, ended }) in kept {
        let bucket = ENDS.partition_point(|end| end < micros);
        found[bucket] = Some(Exemplar {
            labels: Labels::of(&[("request_id", id)]),
            value: *micros as f64 / 1e6,
            time: *ended as f64 / 1e3,
        });
    }
    found
}
