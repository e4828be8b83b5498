//! Records of requests (`request_records`): how many there were, and what was lost.

use weir_wire::exposition::{Exposition, Labels};

use crate::metrics::Source;
use crate::recorder::record::Class;
use crate::recorder::store::{self, Counts};

pub(super) fn collect(_: &Source, out: &mut Exposition) {
    let all: Vec<(Class, Counts)> = store::counts().collect();
    let about = "Records of requests that were kept, by why: an error, slow, or a sample.";
    let mut kept = out.counter("weir_request_records_total", about);
    for (class, counts) in &all {
        kept.sample(&Labels::of(&[("class", class.name())]), counts.kept);
    }
    let about = "Records of requests that are gone: newer ones needed the room, or it was too \
                 little for one.";
    let mut dropped = out.counter("weir_request_records_dropped_total", about);
    for (class, counts) in &all {
        for (reason, count) in [("pushed_out", counts.pushed_out), ("too_large", counts.too_large)]
        {
            let labels = Labels::of(&[("class", class.name()), ("reason", reason)]);
            dropped.sample(&labels, count);
        }
    }
    let about = "Steps that records lack, because their requests had too many of them.";
    let mut notes = out.counter("weir_request_records_steps_dropped_total", about);
    for (class, counts) in &all {
        notes.sample(&Labels::of(&[("class", class.name())]), counts.notes_dropped);
    }
}
