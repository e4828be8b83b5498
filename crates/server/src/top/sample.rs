//! What the API said at one moment, and the rates between two of them.

use std::collections::HashMap;
use std::time::Instant;

use serde_json::{Map, Value};

use super::api::{Api, segment};
use super::reason::Reason;
use super::servers::{Kinds, Order};

/// The paths that are asked besides [`UPSTREAMS`] and [`RECORDS`]; a server without one has nothing
/// to show of it.
const PATHS: [&str; 19] = [
    "nginx",
    "processes",
    "connections",
    "ssl",
    "http/requests",
    "http/server_zones",
    "http/location_zones",
    "http/caches",
    "http/limit_reqs",
    "http/limit_conns",
    "errors",
    "http/requests_under_way",
    "certificates",
    "http/acme_certificates",
    "reloads",
    "loops",
    "memory",
    "ha",
    "resolvers",
];

/// The path of upstreams, which is asked for a page.
pub(super) const UPSTREAMS: &str = "http/upstreams";

/// The path of the requests that have ended.
pub(super) const RECORDS: &str = "http/request_records";

/// The number of requests that are asked for.
const REQUESTS: usize = 100;

/// What is asked about lists that are too long to be asked for as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Question {
    /// Only this group.
    pub(super) group: Option<String>,
    /// The servers that are left out at the beginning.
    pub(super) start: usize,
    /// The largest number of servers.
    pub(super) limit: usize,
    pub(super) order: Order,
    pub(super) kinds: Kinds,
    /// Only servers with this text.
    pub(super) find: String,
    /// The kind of ended requests, as an argument: `errors` or `slow`.
    pub(super) records: &'static str,
}

impl Question {
    fn upstreams(&self) -> String {
        let Self { group, start, limit, order, kinds, find, .. } = self;
        let group = group.as_deref().map(|name| format!("/{}", segment(name)));
        let find = match find.is_empty() {
            true => String::new(),
            false => format!("&find={}", segment(find)),
        };
        let (order, state) = (order.argument(), kinds.argument());
        let group = group.unwrap_or_default();
        format!("{UPSTREAMS}{group}?limit={limit}&start={start}&order={order}{state}{find}")
    }

    fn records(&self) -> String {
        format!("{RECORDS}?limit={REQUESTS}&{}", self.records)
    }
}

/// What the API said.
#[derive(Debug)]
pub(super) struct Sample {
    at: Instant,
    /// The answers by path.
    said: Map<String, Value>,
    /// The places of servers in the lists of their groups, by the groups' names and their numbers.
    places: HashMap<String, HashMap<u64, usize>>,
}

impl Sample {
    /// The requests that one sample takes.
    pub(super) const QUESTIONS: usize = PATHS.len() + 2;

    /// Asks for everything.
    ///
    /// # Errors
    /// The API does not answer.
    pub(super) fn take(api: &Api, question: &Question) -> Result<Self, Reason> {
        let mut said = Map::new();
        for path in PATHS {
            if let Some(value) = api.get(path)? {
                said.insert(path.to_owned(), value);
            }
        }
        if said.is_empty() {
            return Err(Reason::new(format!("{} is no API", api.shown())));
        }
        if let Some(found) = api.get(&question.records())? {
            said.insert(RECORDS.to_owned(), found);
        }
        if let Some(mut found) = api.get(&question.upstreams())? {
            if let Some(name) = &question.group {
                found = Value::Object(Map::from_iter([(name.clone(), found)]));
            }
            said.insert(UPSTREAMS.to_owned(), found);
        }
        Ok(Self::new(Instant::now(), said))
    }

    fn new(at: Instant, said: Map<String, Value>) -> Self {
        let mut places = HashMap::new();
        for (name, group) in said.get(UPSTREAMS).and_then(Value::as_object).into_iter().flatten() {
            let ids = peers(group).iter().map(|peer| peer["id"].as_u64());
            let ids = ids.enumerate().filter_map(|(at, id)| Some((id?, at)));
            places.insert(name.clone(), ids.collect());
        }
        Self { at, said, places }
    }

    /// A sample with these answers.
    #[cfg(test)]
    pub(super) fn of(at: Instant, said: Value) -> Self {
        let Value::Object(said) = said else { panic!("answers by path") };
        Self::new(at, said)
    }

    /// When it was taken.
    pub(super) fn at(&self) -> Instant {
        self.at
    }

    /// The answer of a path.
    pub(super) fn get(&self, path: &str) -> &Value {
        self.said.get(path).unwrap_or(&Value::Null)
    }

    /// The entries of a path whose answer is a map by name.
    pub(super) fn entries(&self, path: &str) -> impl Iterator<Item = (&String, &Value)> {
        self.get(path).as_object().into_iter().flatten()
    }

    /// The server that another sample has as `peer` of a group. A number that has got another
    /// address is another server.
    pub(super) fn same_server(&self, group: &str, peer: &Value) -> Option<&Value> {
        let at = *self.places.get(group)?.get(&peer["id"].as_u64()?)?;
        let found = peers(&self.get(UPSTREAMS)[group]).get(at)?;
        (found["server"] == peer["server"]).then_some(found)
    }

    /// The seconds since another sample; at least a little.
    pub(super) fn seconds_since(&self, before: &Self) -> f64 {
        self.at.saturating_duration_since(before.at).as_secs_f64().max(0.001)
    }
}

/// The servers of a group that the API tells of.
pub(super) fn peers(group: &Value) -> &[Value] {
    group.get("peers").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
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
