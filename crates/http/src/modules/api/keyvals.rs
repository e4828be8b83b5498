//! The pairs of key-value zones.

use std::sync::Arc;

use serde_json::{Map, Value};
use weir_engine::clock;

use super::call::{Answer, Call, escaped};
use super::failure::Failure;
use crate::keyval::{ChangeError, Keyval, NewValue, in_use};

/// The name of the zone in a path.
const NAME: usize = 2;

#[expect(clippy::unnecessary_wraps, reason = "the shape of all actions")]
pub(super) fn all(_: &Call) -> Result<Answer, Failure> {
    let zones = in_use().into_iter().map(|(name, zone)| (name, show(&zone)));
    Ok(Answer::Found(Value::Object(zones.collect::<Map<_, _>>())))
}

pub(super) fn one(call: &Call) -> Result<Answer, Failure> {
    let zone = named(call)?;
    let Some(key) = call.arg("key") else { return Ok(Answer::Found(show(&zone))) };
    let value =
        zone.get(&key, clock::msec()).ok_or_else(|| refusal(&zone, ChangeError::NotFound))?;
    Ok(Answer::Found(Value::Object(Map::from_iter([(key, Value::String(value))]))))
}

pub(super) fn add(call: &Call) -> Result<Answer, Failure> {
    let zone = named(call)?;
    let mut pairs = Vec::new();
    for (key, value) in pairs_of(&call.body)? {
        let wanted = Wanted::read(value, &zone)?;
        let value = wanted.value.ok_or_else(|| format_error("value required"))?;
        pairs.push((key, NewValue { value, expire: wanted.expire }));
    }
    if pairs.is_empty() {
        return Err(format_error("key required"));
    }
    zone.add(pairs, clock::msec()).map_err(|error| match error {
        ChangeError::NotEmpty => format_error("only one key can be added"),
        other => refusal(&zone, other),
    })?;
    Ok(Answer::Created(format!("http/keyvals/{}", escaped(&zone.config.name)), None))
}

pub(super) fn change(call: &Call) -> Result<Answer, Failure> {
    let zone = named(call)?;
    let mut pairs = pairs_of(&call.body)?.into_iter();
    let (key, value) = pairs.next().ok_or_else(|| format_error("key required"))?;
    if pairs.next().is_some() {
        return Err(format_error("only one key can be updated"));
    }
    let now = clock::msec();
    let changed = match value {
        Value::Null => zone.remove(&key, now),
        value => {
            let Wanted { value, expire } = Wanted::read(value, &zone)?;
            zone.change(&key, value, expire, now)
        }
    };
    changed.map(|()| Answer::Done).map_err(|error| refusal(&zone, error))
}

pub(super) fn clear(call: &Call) -> Result<Answer, Failure> {
    let zone = named(call)?;
    zone.clear(clock::msec()).map(|()| Answer::Done).map_err(|error| refusal(&zone, error))
}

fn named(call: &Call) -> Result<Arc<Keyval>, Failure> {
    let name = call.segment(NAME);
    let zone = in_use().into_iter().find(|(known, _)| known == name);
    zone.map(|(_, zone)| zone)
        .ok_or_else(|| Failure::new(404, "KeyvalNotFound", "keyval not found"))
}

fn show(zone: &Keyval) -> Value {
    let pairs = zone.pairs(clock::msec()).into_iter();
    let shown = pairs.map(|(key, entry)| (key, Value::String(entry.value)));
    Value::Object(shown.collect::<Map<_, _>>())
}

fn format_error(text: &str) -> Failure {
    Failure::bad("KeyvalFormatError", text)
}

fn refusal(zone: &Keyval, error: ChangeError) -> Failure {
    match error {
        ChangeError::Exists => Failure::new(409, "KeyvalKeyExists", "key already exists"),
        ChangeError::NotFound => Failure::new(404, "KeyvalKeyNotFound", "keyval key not found"),
        ChangeError::BadKey => format_error("invalid key format"),
        ChangeError::NotEmpty => format_error("zone is not empty"),
        ChangeError::Full => {
            let text = format!("keyval zone \"{}\" memory exhausted", zone.config.name);
            Failure::bad("KeyvalOutOfMemory", text)
        }
        ChangeError::NotSaved(reason) => {
            let text = format!("in force, but not saved: {reason}");
            Failure::new(500, "KeyvalStateError", text)
        }
    }
}

/// The pairs of a body, in its order.
fn pairs_of(body: &[u8]) -> Result<Map<String, Value>, Failure> {
    match serde_json::from_slice(body).map_err(|error| Failure::not_json(&error))? {
        Value::Object(pairs) => Ok(pairs),
        _ => Err(format_error("object expected")),
    }
}

/// A value in a body: a string, or an object with `value` and `expire`.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    value: Option<String>,
    /// In milliseconds.
    expire: Option<u64>,
}

impl Wanted {
    fn read(value: Value, zone: &Keyval) -> Result<Self, Failure> {
        let wanted = Self::parse(value)?;
        match wanted.expire {
            Some(_) if zone.config.timeout.is_none() => {
                Err(format_error("keyval timeout is not enabled"))
            }
            _ => Ok(wanted),
        }
    }

    fn parse(value: Value) -> Result<Self, Failure> {
        match value {
            Value::String(value) => Ok(Self { value: Some(value), expire: None }),
            Value::Object(fields) => {
                let mut wanted = Self { value: None, expire: None };
                for (name, field) in fields {
                    match (name.as_str(), field) {
                        ("value", Value::String(value)) => wanted.value = Some(value),
                        ("expire", Value::Number(time)) => {
                            let millis = time.as_u64().filter(|&millis| millis > 0);
                            let millis = millis.ok_or_else(|| format_error("invalid expire"))?;
                            wanted.expire = Some(millis);
                        }
                        _ => return Err(format_error("invalid value")),
                    }
                }
                let has_any = wanted.value.is_some() || wanted.expire.is_some();
                has_any.then_some(wanted).ok_or_else(|| format_error("value required"))
            }
            _ => Err(format_error("invalid value")),
        }
    }
}

/// Reads a body as pairs.
#[cfg(any(test, fuzzing))]
pub(super) fn fuzz(body: &[u8]) {
    for (_, value) in pairs_of(body).into_iter().flatten() {
        let _ = Wanted::parse(value);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_is_a_string_or_has_fields() {
        let parse = |value| Wanted::parse(value).map_err(|failure| failure.text);
        let wanted =
            |value: Option<&str>, expire| Ok(Wanted { value: value.map(str::to_owned), expire });
        assert_eq!(parse(json!("v")), wanted(Some("v"), None));
        assert_eq!(parse(json!({"value": "v", "expire": 5})), wanted(Some("v"), Some(5)));
        assert_eq!(parse(json!({"expire": 5})), wanted(None, Some(5)));
        for (bad, text) in [
            (json!(1), "invalid value"),
            (json!(null), "invalid value"),
            (json!(["v"]), "invalid value"),
            (json!({}), "value required"),
            (json!({"value": null}), "invalid value"),
            (json!({"other": "v"}), "invalid value"),
            (json!({"value": "v", "expire": 0}), "invalid expire"),
            (json!({"value": "v", "expire": -5}), "invalid expire"),
            (json!({"value": "v", "expire": "5"}), "invalid value"),
        ] {
            assert_eq!(parse(bad.clone()), Err(text.to_owned()), "{bad}");
        }
    }
}
