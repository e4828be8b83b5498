//! Responses by class and by status.

use weir_wire::exposition::{Exposition, Labels};
use weir_wire::status::Responses;

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Writes the responses by class: all classes, so that a rate is known from the first response on.
pub(super) fn by_class<'a>(
    out: &mut Exposition,
    (name, help): (&'static str, &'static str),
    all: impl Iterator<Item = (&'a Labels, &'a Responses)>,
) {
    let mut family = out.counter(name, help);
    for (labels, responses) in all {
        for (class, count) in CLASSES.iter().zip(responses.classes) {
            family.sample(&labels.with("class", class), count);
        }
    }
}

/// Writes the responses by status: those that have occurred.
pub(super) fn by_status<'a>(
    out: &mut Exposition,
    (name, help): (&'static str, &'static str),
    all: impl Iterator<Item = (&'a Labels, &'a Responses)>,
) {
    let mut family = out.counter(name, help);
    for (labels, responses) in all {
        for (status, count) in &responses.codes {
            family.sample(&labels.with("status", &status.to_string()), *count);
        }
    }
}
