//! Recorded requests that are under way: what each does now, and since when.

use serde_json::{Value, json};
use weir_engine::clock::{self, Wall};

use super::super::call::{Answer, Call};
use super::super::failure::Failure;
use super::parts::{self, Told, shown};
use super::{MOST, USUAL};
use crate::instance::timestamp;
use crate::recorder::notes::{Notes, Step};
use crate::recorder::under_way::{UnderWay, list};
use crate::request;

/// Those that have been under way for the longest time first. Arguments choose: `server`,
/// `location` and `upstream` (all of them).
pub(in crate::modules::api) fn all(call: &Call) -> Result<Answer, Failure> {
    let limit = match call.arg("limit") {
        None => USUAL,
        Some(text) => text.parse().map_err(|_| Failure::argument("limit", &text))?,
    };
    let [server, location, upstream] = ["server", "location", "upstream"].map(|it| call.arg(it));
    let wanted = |notes: &Notes| {
        let is = |wanted: &Option<String>, name: &[u8]| {
            wanted.as_ref().is_none_or(|wanted| wanted.as_bytes() == name)
        };
        // The question is no news.
        notes.place() != call.place
            && is(&server, notes.server())
            && (location.is_none()
                || notes.locations().any(|step| is(&location, notes.texts.get(step.to))))
            && (upstream.is_none()
                || notes.attempts.iter().any(|it| is(&upstream, notes.texts.get(it.group))))
    };
    Ok(Answer::Found(list(limit.min(MOST), wanted).iter().map(summary).collect()))
}

/// The request with an id.
pub(in crate::modules::api) fn one(call: &Call) -> Result<Answer, Failure> {
    let id = call.segment(2);
    let found = list(1, |notes| id_of(notes) == id);
    match found.first() {
        Some(request) => Ok(Answer::Found(whole(request))),
        None => {
            let why = "no recorded request with this id is under way";
            Err(Failure::new(404, "RequestNotFound", why))
        }
    }
}

/// `$request_id`.
fn id_of(notes: &Notes) -> String {
    let (connection, number) = notes.place();
    request::id::of(connection, number, notes.opened())
}

/// What a list has of a request.
fn summary(request: &UnderWay) -> Value {
    let notes = &request.notes;
    let began = clock::msec().saturating_sub(request.age / 1000);
    let began = Wall { secs: (began / 1000) as i64, millis: (began % 1000) as u16 };
    let (doing, since) = notes.doing();
    let mut value = json!({
        "id": id_of(notes),
        "began": timestamp(began),
        "age": request.age,
        "doing": doing.name(),
        "doing_for": request.age.saturating_sub(since),
        "client": notes.client(),
        "request": shown(notes.line()),
        "host": shown(notes.host()),
        "server": shown(notes.server()),
        "attempts_begun": notes.attempts.len(),
    });
    if !doing.what().is_empty() {
        value["what"] = doing.what().into();
    }
    if let Some(location) = notes.locations().next_back() {
        value["location"] = part(notes, location);
    }
    if let Some(last) = notes.attempts.last() {
        value["upstream"] = shown(notes.texts.get(last.group));
        if !last.nobody {
            value["upstream_server"] = shown(notes.texts.get(last.name));
        }
    }
    value
}

/// A location that a request has entered.
fn part(notes: &Notes, step: &Step) -> Value {
    let mut value = json!({ "name": shown(notes.texts.get(step.to)) });
    if let Some(place) = step.span.and_then(|span| notes.places()?.of(span)) {
        value["place"] = place.into();
    }
    value
}

/// A request with all that is noted.
fn whole(request: &UnderWay) -> Value {
    let notes = &request.notes;
    let mut value = summary(request);
    let (connection, number) = notes.place();
    value["connection"] = connection.into();
    value["connection_request"] = number.into();
    let Notes { texts, rivals, .. } = notes;
    let told = Told { texts, rivals, places: notes.places() };
    value["steps"] = notes.steps.iter().map(|step| parts::step(told, step)).collect();
    value["attempts"] = notes.attempts.iter().map(|it| parts::attempt(told, it)).collect();
    value["dropped_notes"] = notes.dropped.into();
    value
}
