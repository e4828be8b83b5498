//! Latency histograms, in the shape of NGINX Plus's `response_time_hist`: milliseconds, with the
//! number of times in each bucket by its upper bound.

use serde_json::{Map, Value, json};
use weir_engine::stats::latency::{ENDS, Latency};

/// The bounds of NGINX Plus's histograms, in milliseconds.
const PLUS: [u64; 14] = [5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10_000];

/// A histogram with the bounds of NGINX Plus.
pub(super) fn with_plus_bounds(times: &Latency) -> Value {
    let mut shown = shape(times, &PLUS.map(|millis| millis * 1000));
    shown["sum"] = json!(times.sum / 1000);
    shown
}

/// A histogram with all bounds.
pub(super) fn show(times: &Latency) -> Value {
    shape(times, &ENDS)
}

fn shape(times: &Latency, ends: &[u64]) -> Value {
    let names = ends.iter().map(|&micros| millis(micros).to_string()).chain(["inf".to_owned()]);
    let counts = times.within(ends).into_iter().map(|count| json!(count));
    let buckets: Map<_, _> = names.zip(counts).collect();
    json!({ "count": times.count(), "sum": millis(times.sum), "buckets": buckets })
}

/// Microseconds as milliseconds: a whole number, if they are that.
fn millis(micros: u64) -> Value {
    match micros % 1000 {
        0 => json!(micros / 1000),
        _ => json!(micros as f64 / 1000.0),
    }
}

#[cfg(test)]
mod tests {
    use weir_engine::clock::Micros;
    use weir_engine::stats::latency::{BUCKETS, COUNTERS, bucket};

    use super::*;

    #[test]
    fn both_shapes_count_the_same_times() {
        let mut counters = [0; COUNTERS];
        for micros in [400, 4_000, 70_000_000] {
            counters[bucket(Micros(micros))] += 1;
            counters[BUCKETS] += micros;
        }
        let times = Latency::of(&counters);
        let plus = with_plus_bounds(&times);
        assert_eq!(plus["buckets"].as_object().unwrap().len(), 15);
        assert_eq!((&plus["count"], &plus["sum"]), (&json!(3), &json!(70_004)));
        assert_eq!((&plus["buckets"]["5"], &plus["buckets"]["inf"]), (&json!(2), &json!(1)));
        let shown = show(&times);
        assert_eq!(shown["sum"], json!(70_004.4));
        assert_eq!((&shown["buckets"]["0.5"], &shown["buckets"]["5"]), (&json!(1), &json!(1)));
        assert_eq!(show(&Latency::default())["sum"], json!(0));
    }
}
