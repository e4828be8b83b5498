//! Caches of responses: `…_cache_path`.
#![expect(clippy::unnecessary_wraps, reason = "the shape of all actions")]

use serde_json::{Map, Value, json};

use super::call::{Answer, Call};
use super::failure::Failure;
use crate::cache::counters::{CacheView, StateCounts, caches, reset as start_over};
use crate::cache::shown::Status;

/// The name in the last segment of a path.
const NAME: usize = 2;

/// The states in the order of the API.
const STATES: [Status; 7] = [
    Status::Hit,
    Status::Stale,
    Status::Updating,
    Status::Revalidated,
    Status::Miss,
    Status::Expired,
    Status::Bypass,
];

pub(super) fn all(_: &Call) -> Result<Answer, Failure> {
    let shown = caches().into_iter().map(|(name, cache)| (name, show(&cache)));
    Ok(Answer::Found(Value::Object(shown.collect())))
}

pub(super) fn one(call: &Call) -> Result<Answer, Failure> {
    let found = caches().into_iter().find(|(name, _)| name == call.segment(NAME));
    found.map(|(_, cache)| Answer::Found(show(&cache))).ok_or_else(no_cache)
}

pub(super) fn reset(call: &Call) -> Result<Answer, Failure> {
    start_over(call.segment(NAME)).then_some(Answer::Done).ok_or_else(no_cache)
}

fn no_cache() -> Failure {
    Failure::new(404, "CacheNotFound", "cache not found")
}

fn show(cache: &CacheView) -> Value {
    let mut shown = Map::new();
    shown.insert("size".to_owned(), json!(cache.size));
    if let Some(max_size) = cache.max_size {
        shown.insert("max_size".to_owned(), json!(max_size));
    }
    shown.insert("cold".to_owned(), json!(cache.is_cold));
    for status in STATES {
        let found = cache.states.iter().find(|(known, _)| *known == status);
        let counts = found.map(|(_, counts)| *counts).unwrap_or_default();
        shown.insert(status.name().to_ascii_lowercase(), state(status, counts));
    }
    Value::Object(shown)
}

fn state(status: Status, counts: StateCounts) -> Value {
    let mut shown = json!({ "responses": counts.responses, "bytes": counts.bytes });
    if status.is_fetched() {
        shown["responses_written"] = json!(counts.responses_written);
        shown["bytes_written"] = json!(counts.bytes_written);
    }
    shown
}
