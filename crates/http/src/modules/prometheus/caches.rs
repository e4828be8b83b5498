//! Caches of responses.

use weir_wire::exposition::{Exposition, Labels};

use crate::cache::counters::{CacheView, StateCounts, caches};
use crate::metrics::Source;

/// A family of counters by cache and state.
struct Counter {
    name: &'static str,
    help: &'static str,
    value: fn(&StateCounts) -> u64,
    /// Whether only states in which the upstream is asked have it.
    fetched: bool,
}

const COUNTERS: [Counter; 4] = [
    Counter {
        name: "weir_http_cache_responses_total",
        help: "Responses by the state of the cache: a hit, a miss and so on.",
        value: |counts| counts.responses,
        fetched: false,
    },
    Counter {
        name: "weir_http_cache_sent_bytes_total",
        help: "Bytes of these responses.",
        value: |counts| counts.bytes,
        fetched: false,
    },
    Counter {
        name: "weir_http_cache_responses_written_total",
        help: "Responses that were written to the cache.",
        value: |counts| counts.responses_written,
        fetched: true,
    },
    Counter {
        name: "weir_http_cache_written_bytes_total",
        help: "Bytes of responses that were written to the cache.",
        value: |counts| counts.bytes_written,
        fetched: true,
    },
];

pub(super) fn collect(_: &Source, out: &mut Exposition) {
    let all = caches().into_iter().map(|(name, view)| (Labels::of(&[("cache", &name)]), view));
    let all: Vec<(Labels, CacheView)> = all.collect();
    let mut size = out.gauge("weir_http_cache_size_bytes", "The bytes of all files of a cache.");
    for (labels, cache) in &all {
        size.sample(labels, cache.size);
    }
    let about = "The limit of the bytes of all files of a cache.";
    let mut limit = out.gauge("weir_http_cache_size_limit_bytes", about);
    for (labels, cache) in &all {
        cache.max_size.into_iter().for_each(|most| _ = limit.sample(labels, most));
    }
    let about = "Whether the files that a cache began with are still being loaded.";
    let mut cold = out.gauge("weir_http_cache_cold", about);
    for (labels, cache) in &all {
        cold.sample(labels, cache.is_cold);
    }
    for Counter { name, help, value, fetched } in COUNTERS {
        let mut family = out.counter(name, help);
        for (labels, cache) in &all {
            for (status, counts) in &cache.states {
                if !fetched || status.is_fetched() {
                    let state = status.name().to_ascii_lowercase();
                    family.sample(&labels.with("state", &state), value(counts));
                }
            }
        }
    }
}
