//! The steps and the attempts of a request.

use serde_json::{Map, Value, json};
use weir_conf::Places;

use crate::recorder::attempt_note::{AttemptNote, Next, RivalNote};
use crate::recorder::notes::{Step, Text, Texts};
use weir_engine::clock::Micros;

/// What steps and attempts refer to.
#[derive(Clone, Copy)]
pub(super) struct Told<'a> {
    pub(super) texts: &'a Texts,
    pub(super) rivals: &'a [RivalNote],
    pub(super) places: Option<&'a Places>,
}

/// Bytes as text.
pub(super) fn shown(text: &[u8]) -> Value {
    String::from_utf8_lossy(text).into()
}

/// A step. Fields that do not apply are absent.
pub(super) fn step(told: Told<'_>, step: &Step) -> Value {
    let mut value = json!({ "at": step.at, "step": step.kind.name() });
    if step.took > 0 {
        value["took"] = step.took.into();
    }
    if step.of > 0 {
        value["subrequest"] = step.of.into();
    }
    if !step.name.is_empty() {
        value["name"] = step.name.into();
    }
    if let Some(place) = step.span.and_then(|span| told.places?.of(span)) {
        value["place"] = place.into();
    }
    let mut text = |name: &str, text: Text| {
        let text = told.texts.get(text);
        if !text.is_empty() {
            value[name] = shown(text);
        }
    };
    text("from", step.from);
    text("to", step.to);
    if step.status > 0 {
        value["status"] = step.status.into();
    }
    value
}

/// An attempt. Fields that do not apply are absent; times are in microseconds since the start of
/// the request.
pub(super) fn attempt(told: Told<'_>, attempt: &AttemptNote) -> Value {
    let text = |text| told.texts.get(text);
    let mut value = json!({
        "at": attempt.at,
        "upstream": shown(text(attempt.group)),
        "sent": attempt.figures.sent,
        "received": attempt.figures.received,
        "body": attempt.figures.body,
    });
    if !attempt.nobody {
        value["server"] = shown(text(attempt.name));
        value["reused"] = attempt.reused.into();
    }
    if attempt.of > 0 {
        value["subrequest"] = attempt.of.into();
    }
    let times =
        [("connected", attempt.connected), ("header", attempt.headed), ("ended", attempt.ended)];
    for (name, time) in times.into_iter().filter(|(_, time)| *time > 0) {
        value[name] = time.into();
    }
    if let Some(Micros(queued)) = attempt.figures.queue {
        value["queued"] = queued.into();
    }
    if attempt.figures.status > 0 {
        value["status"] = attempt.figures.status.into();
    }
    if !text(attempt.error).is_empty() {
        value["error"] = shown(text(attempt.error));
    }
    match attempt.next {
        Next::Nothing => {}
        Next::Retry => value["next"] = "another server is tried".into(),
        Next::GivenUp(why) => value["next"] = why.into(),
    }
    if !attempt.method.is_empty() {
        value["choice"] = choice(told, attempt);
    }
    value
}

/// The choice of an attempt's server.
fn choice(told: Told<'_>, attempt: &AttemptNote) -> Value {
    let (start, end) = attempt.rivals;
    let rivals = told.rivals.get(usize::from(start)..usize::from(end)).unwrap_or_default();
    let rivals: Vec<Value> = rivals.iter().map(|rival| of_rival(told, rival)).collect();
    let mut value = json!({
        "method": attempt.method,
        "backup": attempt.backup,
        "servers": attempt.servers,
        "looked_at": attempt.looked_at,
        "rivals": rivals,
    });
    if !attempt.compared.is_empty() {
        value["score"] = attempt.compared.into();
    }
    value
}

fn of_rival(told: Told<'_>, rival: &RivalNote) -> Value {
    let mut value = Map::new();
    let mut put = |name: &str, it: Value| value.insert(name.to_owned(), it);
    put("server", shown(told.texts.get(rival.name)));
    put("weight", rival.weight.into());
    put("active", rival.active.into());
    if let Some(score) = rival.score {
        put("score", score.into());
    }
    if !rival.excluded.is_empty() {
        put("excluded", rival.excluded.into());
    }
    put("chosen", rival.chosen.into());
    Value::Object(value)
}
