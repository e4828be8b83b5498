//! Zones of resolvers: `resolver … status_zone=`.
#![expect(clippy::unnecessary_wraps, reason = "the shape of all actions")]

use serde_json::{Map, Value, json};
use weir_upstream::{ResolverCounts, reset_resolver_zone, resolver_zones};

use super::call::{Answer, Call};
use super::failure::Failure;

/// The name in the last segment of a path.
const NAME: usize = 1;

pub(super) fn all(_: &Call) -> Result<Answer, Failure> {
    let shown = resolver_zones().into_iter().map(|(name, counts)| (name, show(&counts)));
    Ok(Answer::Found(Value::Object(shown.collect())))
}

pub(super) fn one(call: &Call) -> Result<Answer, Failure> {
    let found = resolver_zones().into_iter().find(|(name, _)| name == call.segment(NAME));
    found.map(|(_, counts)| Answer::Found(show(&counts))).ok_or_else(no_zone)
}

pub(super) fn reset(call: &Call) -> Result<Answer, Failure> {
    reset_resolver_zone(call.segment(NAME)).then_some(Answer::Done).ok_or_else(no_zone)
}

fn no_zone() -> Failure {
    Failure::new(404, "ResolverZoneNotFound", "resolver zone not found")
}

/// No name is looked for by its address, so there are no requests for one.
fn show(counts: &ResolverCounts) -> Value {
    let named = |counts: &[(&'static str, u64)]| {
        let fields = counts.iter().map(|(name, count)| ((*name).to_owned(), json!(count)));
        fields.collect::<Map<_, _>>()
    };
    let mut requests = named(&counts.requests);
    requests.insert("addr".to_owned(), json!(0));
    json!({ "requests": requests, "responses": named(&counts.responses) })
}
