//! Records of single requests (`request_records`).

use std::sync::Arc;

use serde_json::{Value, json};
use weir_engine::clock::Wall;

use super::call::{Answer, Call};
use super::failure::Failure;
use crate::instance::timestamp;
use crate::recorder::notes::Kind;
use crate::recorder::record::{Class, Part, Record};
use crate::recorder::store;

mod parts;
pub(super) mod under_way;

use parts::{Told, shown};

/// The number of records in a list without `limit`.
const USUAL: usize = 50;

/// The maximum number of records in a list.
const MOST: usize = 1000;

/// The newest records first, without their parts. Arguments choose: `errors` and `slow` (either of
/// them), `server`, `location`, `upstream` and `status` (all of them).
pub(super) fn all(call: &Call) -> Result<Answer, Failure> {
    let limit = match call.arg("limit") {
        None => USUAL,
        Some(text) => text.parse().map_err(|_| Failure::argument("limit", &text))?,
    };
    let filter = Filter::of(call)?;
    let mut records = store::all();
    records.retain(|record| filter.takes(record));
    records.sort_by_key(|record| std::cmp::Reverse((record.ended, record.connection)));
    records.truncate(limit.min(MOST));
    Ok(Answer::Found(records.iter().map(|record| summary(record)).collect()))
}

/// The record of the request with an id, or the newest of a trace.
pub(super) fn one(call: &Call) -> Result<Answer, Failure> {
    let id = call.segment(2);
    let of_request = |record: &Arc<Record>| &*record.id == id;
    let of_trace = |record: &&Arc<Record>| !record.trace.is_empty() && &*record.trace == id;
    let records = store::all();
    let found = records.iter().find(|record| of_request(record));
    let found = found.or_else(|| records.iter().filter(of_trace).max_by_key(|record| record.ended));
    match found {
        Some(record) => Ok(Answer::Found(whole(record))),
        None => Err(Failure::new(
            404,
            "RequestNotFound",
            "there is no record of a request that has ended",
        )),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of all actions")]
pub(super) fn clear(_: &Call) -> Result<Answer, Failure> {
    store::clear();
    Ok(Answer::Done)
}

/// Which records are listed.
struct Filter {
    errors: bool,
    slow: bool,
    server: Option<String>,
    location: Option<String>,
    upstream: Option<String>,
    status: Option<u16>,
}

impl Filter {
    fn of(call: &Call) -> Result<Self, Failure> {
        let status = call.arg("status");
        Ok(Self {
            errors: call.has_arg("errors"),
            slow: call.has_arg("slow"),
            server: call.arg("server"),
            location: call.arg("location"),
            upstream: call.arg("upstream"),
            status: match status {
                None => None,
                Some(text) => Some(text.parse().map_err(|_| Failure::argument("status", &text))?),
            },
        })
    }

    fn takes(&self, record: &Record) -> bool {
        let is = |wanted: &Option<String>, part: Option<&Part>| {
            let named = |name: &String| part.is_some_and(|part| *part.name == *name.as_bytes());
            wanted.as_ref().is_none_or(named)
        };
        let any = !self.errors && !self.slow;
        (any || self.errors && record.class == Class::Error || self.slow && record.slow)
            && is(&self.server, Some(&record.server))
            && self.location.as_ref().is_none_or(|name| {
                is(&self.location, record.location.as_ref())
                    || entered(record).any(|entered| entered == name.as_bytes())
            })
            && self.status.is_none_or(|status| record.status == status)
            && self.upstream.as_ref().is_none_or(|name| {
                let group = |text| record.texts.get(text) == name.as_bytes();
                record.attempts.iter().any(|attempt| group(attempt.group))
            })
    }
}

/// The names of the locations that a request has been in.
fn entered(record: &Record) -> impl Iterator<Item = &[u8]> {
    let own = record.steps.iter().filter(|step| step.kind == Kind::Location && step.of == 0);
    own.map(|step| record.texts.get(step.to))
}

/// What a list has of a record.
fn summary(record: &Record) -> Value {
    let millis = record.ended;
    let ended = Wall { secs: (millis / 1000) as i64, millis: (millis % 1000) as u16 };
    let mut value = json!({
        "id": record.id,
        "class": record.class.name(),
        "slow": record.slow,
        "ended": timestamp(ended),
        "took": record.took,
        "client": record.client,
        "request": shown(&record.line),
        "host": shown(&record.host),
        "server": part(record, &record.server),
        "status": record.status,
        "end": record.end.name(),
        "sent": record.sent,
        "received": record.received,
    });
    if !record.trace.is_empty() {
        value["trace"] = (*record.trace).into();
    }
    if let Some(location) = &record.location {
        value["location"] = part(record, location);
    }
    let mut locations: Vec<Value> = entered(record).map(shown).collect();
    locations.dedup();
    value["locations"] = locations.into();
    if let Some(last) = record.attempts.last() {
        value["upstream"] = shown(record.texts.get(last.group));
        value["upstream_server"] = shown(record.texts.get(last.name));
    }
    value
}

/// A part of the configuration.
fn part(record: &Record, part: &Part) -> Value {
    let mut value = json!({ "name": shown(&part.name) });
    if let Some(place) = record.places.of(part.span) {
        value["place"] = place.into();
    }
    value
}

/// A record with all its parts.
fn whole(record: &Record) -> Value {
    let mut value = summary(record);
    value["connection"] = record.connection.into();
    value["connection_request"] = record.number.into();
    value["address"] = (*record.address).into();
    value["protocol"] = shown(&record.protocol);
    if !record.tls.is_empty() {
        value["tls"] = json!({ "protocol": record.tls, "cipher": record.cipher });
    }
    value["uri"] = shown(&record.uri);
    value["sent_status"] = record.sent_status.into();
    value["upgraded"] = record.upgraded.into();
    let fields = record.fields.iter();
    let fields = fields.map(|(name, text)| (name.to_string(), shown(text)));
    value["fields"] = Value::Object(fields.collect());
    if !record.cache.is_empty() {
        value["cache"] = json!({ "status": record.cache, "key": shown(&record.cache_key) });
    }
    let Record { texts, rivals, places, .. } = record;
    let told = Told { texts, rivals, places: Some(places) };
    value["steps"] = record.steps.iter().map(|step| parts::step(told, step)).collect();
    value["attempts"] = record.attempts.iter().map(|it| parts::attempt(told, it)).collect();
    value["dropped_notes"] = record.dropped.into();
    value
}
