//! Errors by cause.

use weir_wire::exposition::{Exposition, Labels};

use crate::errors::{self, Cause, Errors};
use crate::metrics::Source;

pub(super) fn collect(_: &Source, out: &mut Exposition) {
    let Errors { outside, zones, .. } = errors::read();
    let about = "Errors that Weir has answered with, and responses that it has broken off, by \
                 cause: those of requests in a server zone with its name, those that have occurred.";
    let mut family = out.counter("weir_errors_total", about);
    let labels = |cause: Cause, zone: Option<&str>| {
        let labels = Labels::of(&[("cause", cause.name()), ("side", cause.side().name())]);
        zone.map_or(labels.clone(), |name| labels.with("zone", name))
    };
    for (cause, count) in Cause::ALL.iter().zip(outside) {
        family.sample(&labels(*cause, None), count);
    }
    for (name, counts) in &zones {
        for (cause, count) in Cause::ALL.iter().zip(counts).filter(|(_, count)| **count > 0) {
            family.sample(&labels(*cause, Some(name)), *count);
        }
    }
}
