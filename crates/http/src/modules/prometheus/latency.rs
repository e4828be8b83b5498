//! Latency histograms, in seconds.

use weir_engine::stats::latency::Latency;
use weir_wire::exposition::{Distribution, Exposition, Labels};

/// The upper bounds of the buckets, in microseconds: some of those that are counted, because each
/// is a series for each zone and server.
pub(super) const ENDS: [u64; 14] = [
    500, 1_000, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000, 60_000_000,
];

/// Writes a family of histograms.
pub(super) fn write<'a>(
    out: &mut Exposition,
    (name, help): (&'static str, &'static str),
    all: impl Iterator<Item = (&'a Labels, &'a Latency)>,
) {
    let ends = ENDS.map(|micros| micros as f64 / 1e6);
    let mut family = out.histogram(name, help);
    for (labels, latency) in all {
        let values = Distribution {
            ends: &ends,
            counts: &latency.within(&ENDS),
            sum: latency.sum as f64 / 1e6,
            exemplars: &[],
        };
        family.distribution(labels, &values);
    }
}
