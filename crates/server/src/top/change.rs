//! Changes of servers by the API. Each rests on what the server was when it was asked about: what
//! another has changed meanwhile is not overwritten.

use serde_json::{Map, Value, json};

use super::api::{Api, Refusal, segment};
use super::reason::Reason;
use super::sample::text;
use super::state::State;

/// The number of changes that can be taken back.
const MOST_DONE: usize = 32;

/// A change of one server.
#[derive(Clone)]
pub(super) struct Change {
    path: String,
    /// What the server has to be, with the parameters that the change touches.
    expected: Value,
    /// The change in words, before the name of the server.
    pub(super) what: &'static str,
    body: Value,
}

impl Change {
    /// The address of the server.
    pub(super) fn server(&self) -> &str {
        text(&self.expected, "/server")
    }

    /// The value of a parameter before the change.
    pub(super) fn before(&self, name: &str) -> &Value {
        &self.expected[name]
    }

    /// The same change with another weight.
    pub(super) fn with_weight(self, weight: u32) -> Self {
        Self { body: json!({ "weight": weight }), ..self }
    }

    /// The change of a server that is as it was `known`.
    fn new(path: &str, known: &Value, what: &'static str, body: Value) -> Self {
        let touched = body.as_object().into_iter().flatten().map(|(name, _)| name.as_str());
        let expected = ["server"].into_iter().chain(touched);
        let expected = expected.map(|name| (name.to_owned(), known[name].clone()));
        let expected = Value::Object(expected.collect());
        Self { path: path.to_owned(), expected, what, body }
    }

    /// The way back from a change, after which the server is as it is `now`.
    fn back(&self, now: &Value) -> Self {
        let mut body = self.expected.as_object().cloned().unwrap_or_default();
        body.remove("server");
        Self::new(&self.path, now, self.what, Value::Object(body))
    }

    /// What is sent.
    fn body(&self) -> Value {
        let mut body = Map::from_iter([("if".to_owned(), self.expected.clone())]);
        body.extend(self.body.as_object().cloned().unwrap_or_default());
        Value::Object(body)
    }
}

/// The change of a server that a letter stands for: `d`, `x` or `w`. It rests on what the server is
/// now, as the page may be some seconds old.
///
/// # Errors
/// The server is another one, or there is none any more.
pub(super) fn wanted(
    api: &Api,
    (upstream, peer): (&str, &Value),
    letter: char,
) -> Result<Change, Reason> {
    let server = text(peer, "/server");
    let path = format!("http/upstreams/{}/servers/{}", segment(upstream), peer["id"]);
    let known = match api.get(&path) {
        Ok(Some(known)) => known,
        Ok(None) => return Err(Reason::new(format!("there is no server {server} any more"))),
        Err(reason) => return Err(reason),
    };
    if text(&known, "/server") != server {
        let now = text(&known, "/server");
        return Err(Reason::new(format!("{server} is unchanged: it is {now} now")));
    }
    let is_down = known["down"] == true;
    // A server that is down may be set to drain behind that.
    let set = |down: bool, drain: bool| json!({ "down": down, "drain": drain });
    let (what, body) = match letter {
        'd' if known["drain"] == true && !is_down => ("end the draining of", set(false, false)),
        'd' => ("drain", set(false, true)),
        'x' if is_down => ("bring up", set(false, false)),
        'x' => ("take down", json!({ "down": true })),
        _ => ("change the weight of", json!({ "weight": known["weight"] })),
    };
    Ok(Change::new(&path, &known, what, body))
}

/// Makes a change, which can be taken back.
pub(super) fn make(state: &mut State, api: &Api, change: Change) {
    state.is_old = true;
    match api.patch(&change.path, &change.body()) {
        Ok(now) => {
            state.told = format!("{} {}: done. u takes it back", change.what, change.server());
            state.done.push(change.back(&now));
            let excess = state.done.len().saturating_sub(MOST_DONE);
            state.done.drain(..excess);
        }
        Err(refusal) => state.told = unchanged(&change, refusal),
    }
}

/// Takes the last change back that has not been taken back.
pub(super) fn undo(state: &mut State, api: &Api) {
    let Some(back) = state.done.pop() else {
        state.told = "there is nothing to take back".to_owned();
        return;
    };
    state.is_old = true;
    match api.patch(&back.path, &back.body()) {
        Ok(_) => state.told = format!("{} {}: taken back", back.what, back.server()),
        Err(refusal) => {
            state.told = unchanged(&back, refusal.clone());
            if let Refusal::Failed(_) = refusal {
                // The API may be away for a moment.
                state.done.push(back);
            }
        }
    }
}

fn unchanged(change: &Change, refusal: Refusal) -> String {
    let why = match refusal {
        Refusal::Differs(told) => format!("it has been changed meanwhile; {told}"),
        Refusal::Gone => "there is no such server any more".to_owned(),
        Refusal::Failed(reason) => reason.to_string(),
    };
    format!("{} is unchanged: {why}", change.server())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_and_ways_back_rest_on_what_was_seen() {
        let known = json!({"server": "a", "down": false, "drain": true, "weight": 2, "x": 1});
        let change = Change::new("p", &known, "take down", json!({"down": true}));
        let expected = json!({"if": {"server": "a", "down": false}, "down": true});
        assert_eq!(change.body(), expected);
        let now = json!({"server": "a", "down": true, "drain": true, "weight": 9});
        let expected = json!({"if": {"server": "a", "down": true}, "down": false});
        assert_eq!(change.back(&now).body(), expected);
        let weight = Change::new("p", &known, "", json!({"weight": 2})).with_weight(7);
        let expected = json!({"if": {"server": "a", "weight": 2}, "weight": 7});
        assert_eq!(weight.body(), expected);
    }
}
