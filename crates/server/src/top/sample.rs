//! What the API said at one moment, and the rates between two of them.

use std::time::Instant;

use serde_json::{Map, Value};

use super::Reason;
use super::api::Api;

/// The paths that are asked; a server without one has nothing to show of it.
const PATHS: [&str; 20] = [
    "nginx",
    "processes",
    "connections",
    "ssl",
    "http/requests",
    "http/server_zones",
    "http/location_zones",
    "http/upstreams",
    "http/caches",
    "http/limit_reqs",
    "http/limit_conns",
    "errors",
    "http/requests_under_way",
    "http/request_records",
    "certificates",
    "http/acme_certificates",
    "reloads",
    "loops",
    "memory",
    "ha",
];

/// What the API said.
#[derive(Debug)]
pub(super) struct Sample {
    at: Instant,
    /// The answers by path.
    said: Map<String, Value>,
}

impl Sample {
    /// The requests that one sample takes.
    pub(super) const QUESTIONS: usize = PATHS.len();

    /// Asks for everything.
    ///
    /// # Errors
    /// The API does not answer.
    pub(super) fn take(api: &Api) -> Result<Self, Reason> {
        let mut said = Map::new();
        for path in PATHS {
            if let Some(value) = api.get(path)? {
                said.insert(path.to_owned(), value);
            }
        }
        match said.is_empty() {
            true => Err(Reason(format!("{} is no API", api.shown()))),
            false => Ok(Self { at: Instant::now(), said }),
        }
    }

    /// A sample with these answers.
    #[cfg(test)]
    pub(super) fn of(at: Instant, said: Value) -> Self {
        let Value::Object(said) = said else { panic!("answers by path") };
        Self { at, said }
    }

    /// The answer of a path.
    pub(super) fn get(&self, path: &str) -> &Value {
        self.said.get(path).unwrap_or(&Value::Null)
    }

    /// The entries of a path whose answer is a map by name.
    pub(super) fn entries(&self, path: &str) -> impl Iterator<Item = (&String, &Value)> {
        self.get(path).as_object().into_iter().flatten()
    }

    /// The seconds since another sample; at least a little.
    pub(super) fn seconds_since(&self, before: &Self) -> f64 {
        self.at.saturating_duration_since(before.at).as_secs_f64().max(0.001)
    }
}

/// A number below a value, by a JSON pointer; 0 if there is none.
pub(super) fn number(value: &Value, pointer: &str) -> f64 {
    value.pointer(pointer).and_then(Value::as_f64).unwrap_or_default()
}

/// A text below a value; empty if there is none.
pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The growth of a counter a second; none below zero, as after a reset.
pub(super) fn rate(now: &Value, before: &Value, pointer: &str, seconds: f64) -> f64 {
    ((number(now, pointer) - number(before, pointer)) / seconds).max(0.0)
}
