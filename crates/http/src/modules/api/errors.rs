//! Errors by cause.
#![expect(clippy::unnecessary_wraps, reason = "the shape of all actions")]

use serde_json::{Map, Value, json};

use super::call::{Answer, Call};
use super::failure::Failure;
use crate::errors::{self, Cause, Counts, Errors};
use crate::instance::iso;

pub(super) fn all(_: &Call) -> Result<Answer, Failure> {
    let Errors { outside, zones, last } = errors::read();
    let mut causes = Map::new();
    let mut whole = 0;
    for (place, cause) in Cause::ALL.iter().enumerate() {
        let all = zones.iter().map(|(_, counts)| counts).chain([&outside]);
        let total: u64 = all.map(|counts| counts[place]).sum();
        whole += total;
        // The time precedes the count for no longer than the moment between both.
        if total > 0 {
            causes.insert(
                cause.name().to_owned(),
                json!({
                    "total": total,
                    "side": cause.side().name(),
                    "last": iso(last[place]),
                }),
            );
        }
    }
    let zones = zones.into_iter().map(|(name, counts)| (name, occurred(&counts)));
    Ok(Answer::Found(json!({
        "total": whole,
        "causes": causes,
        "server_zones": zones.collect::<Map<_, _>>(),
    })))
}

/// The counts of causes that have occurred, by name.
fn occurred(counts: &Counts) -> Value {
    let named = Cause::ALL.iter().zip(counts).filter(|(_, count)| **count > 0);
    Value::Object(named.map(|(cause, count)| (cause.name().to_owned(), json!(count))).collect())
}

pub(super) fn reset(_: &Call) -> Result<Answer, Failure> {
    errors::reset();
    Ok(Answer::Done)
}
