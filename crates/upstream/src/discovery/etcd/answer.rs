//! The answers of etcd's JSON gateway (<https://etcd.io/docs/v3.4/dev-guide/api_grpc_gateway/>):
//! 64-bit numbers are strings, and bytes are in Base64.

use crate::discovery::SourceError;
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

/// The cluster and its revision at the time of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) cluster: u64,
    pub(super) revision: i64,
}

/// A key with its value; of a removed one only the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
    /// The revision of its last change.
    pub(super) modified: i64,
}

/// The answer to a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) header: Header,
    /// The pairs asked for.
    pub(super) pairs: Vec<Pair>,
    /// The number of all keys, whether asked for or not.
    pub(super) count: u64,
}

/// A change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Put(Pair),
    Deleted(Vec<u8>),
}

/// A message of a watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Watched {
    /// Changes, or none: the watch has begun, or the revision has moved.
    Events(Header, Vec<Event>),
    /// The end, and the reason.
    Ended(String),
}

/// Reads the answer to a query.
///
/// # Errors
/// What is wrong with it.
pub(super) fn range(bytes: &[u8]) -> Result<Range, SourceError> {
    let value = parse(bytes)?;
    let header = header(&value)?;
    let pairs = list(&value, "kvs")?.iter().map(pair).collect::<Result<_, _>>()?;
    let count = u64::try_from(number(&value, "count")?).map_err(|_| odd("count"))?;
    Ok(Range { header, pairs, count })
}

/// Reads a message of a watch.
///
/// # Errors
/// What is wrong with it.
pub(super) fn watched(bytes: &[u8]) -> Result<Watched, SourceError> {
    let value = parse(bytes)?;
    if let Some(error) = value.get("error") {
        return Ok(Watched::Ended(message(error)));
    }
    let result = value.get("result").ok_or_else(|| odd("result"))?;
    let compacted = number(result, "compact_revision")?;
    if compacted > 0 {
        return Ok(Watched::Ended(format!("changes before revision {compacted} are compacted")));
    }
    if result.get("canceled").and_then(Value::as_bool) == Some(true) {
        let reason = result.get("cancel_reason").and_then(Value::as_str);
        return Ok(Watched::Ended(reason.unwrap_or("the watch was canceled").to_owned()));
    }
    let event = |value: &Value| {
        let pair = pair(value.get("kv").ok_or_else(|| odd("kv"))?)?;
        Ok(match value.get("type").and_then(Value::as_str) {
            Some("DELETE") => Event::Deleted(pair.key),
            _ => Event::Put(pair),
        })
    };
    let events = list(result, "events")?.iter().map(event).collect::<Result<_, SourceError>>()?;
    Ok(Watched::Events(header(result)?, events))
}

/// The token in the answer to a login.
///
/// # Errors
/// There is none that can be sent in a header field.
pub(super) fn token(bytes: &[u8]) -> Result<String, SourceError> {
    let value = parse(bytes)?;
    let token = value.get("token").and_then(Value::as_str).ok_or_else(|| odd("token"))?;
    match !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(token.to_owned()),
        false => Err(odd("token")),
    }
}

/// The reason in a refusal.
pub(super) fn refusal(status: u16, body: &[u8]) -> SourceError {
    match serde_json::from_slice::<Value>(body) {
        Ok(value) => message(&value).into(),
        Err(_) => format!("the status is {status}").into(),
    }
}

/// A query for the keys of a range.
pub(super) fn list_query(range: (&[u8], &[u8]), limit: usize) -> String {
    let (key, end) = (STANDARD.encode(range.0), STANDARD.encode(range.1));
    json!({ "key": key, "range_end": end, "limit": limit.to_string() }).to_string()
}

/// A query for the last change in a range, and the number of its keys.
pub(super) fn newest_query(range: (&[u8], &[u8])) -> String {
    let (key, end) = (STANDARD.encode(range.0), STANDARD.encode(range.1));
    let order = ("DESCEND", "MOD");
    json!({
        "key": key, "range_end": end, "limit": "1", "keys_only": true,
        "sort_order": order.0, "sort_target": order.1,
    })
    .to_string()
}

/// The beginning of a watch of a range.
pub(super) fn watch_query(range: (&[u8], &[u8]), from: i64) -> String {
    let (key, end) = (STANDARD.encode(range.0), STANDARD.encode(range.1));
    json!({ "create_request": {
        "key": key, "range_end": end, "start_revision": from.to_string(),
        "progress_notify": true,
    }})
    .to_string()
}

/// A login.
pub(super) fn login_query(user: &str, password: &str) -> String {
    json!({ "name": user, "password": password }).to_string()
}

fn parse(bytes: &[u8]) -> Result<Value, SourceError> {
    Ok(serde_json::from_slice(bytes).map_err(|error| format!("the answer is no JSON: {error}"))?)
}

fn odd(name: &str) -> SourceError {
    format!("the answer has an invalid \"{name}\"").into()
}

fn message(value: &Value) -> String {
    let texts = ["error", "message"].map(|name| value.get(name).and_then(Value::as_str));
    texts.into_iter().flatten().next().unwrap_or("the request was refused").to_owned()
}

fn header(value: &Value) -> Result<Header, SourceError> {
    let header = value.get("header").ok_or_else(|| odd("header"))?;
    let cluster = match header.get("cluster_id") {
        Some(Value::String(text)) => text.parse().map_err(|_| odd("cluster_id"))?,
        Some(value) => value.as_u64().ok_or_else(|| odd("cluster_id"))?,
        None => 0,
    };
    Ok(Header { cluster, revision: number(header, "revision")? })
}

fn pair(value: &Value) -> Result<Pair, SourceError> {
    let bytes = |name: &str| match value.get(name) {
        Some(Value::String(text)) => STANDARD.decode(text).map_err(|_| odd(name)),
        Some(_) => Err(odd(name)),
        None => Ok(Vec::new()),
    };
    let (key, value_bytes) = (bytes("key")?, bytes("value")?);
    Ok(Pair { key, value: value_bytes, modified: number(value, "mod_revision")? })
}

fn list<'a>(value: &'a Value, name: &str) -> Result<&'a [Value], SourceError> {
    match value.get(name) {
        Some(Value::Array(items)) => Ok(items),
        Some(Value::Null) | None => Ok(&[]),
        Some(_) => Err(odd(name)),
    }
}

/// A number, 0 if it is absent.
fn number(value: &Value, name: &str) -> Result<i64, SourceError> {
    match value.get(name) {
        Some(Value::String(text)) => text.parse().map_err(|_| odd(name)),
        Some(value) => value.as_i64().ok_or_else(|| odd(name)),
        None => Ok(0),
    }
}

/// Reads bytes as each kind of answer.
pub(super) fn fuzz(bytes: &[u8]) {
    let _ = (range(bytes), watched(bytes), token(bytes), refusal(500, bytes));
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = r#""header":{"cluster_id":"14","member_id":"9","revision":"7"}"#;

    fn event(text: &str) -> Result<Watched, SourceError> {
        watched(format!("{{\"result\":{{{HEADER},{text}}}}}").as_bytes())
    }

    #[test]
    fn answers_are_read() {
        let header = Header { cluster: 14, revision: 7 };
        let empty = Range { header, pairs: Vec::new(), count: 0 };
        assert_eq!(range(format!("{{{HEADER}}}").as_bytes()), Ok(empty));
        let pair = |value: &[u8]| Pair { key: b"/s/a".into(), value: value.into(), modified: 2 };
        let kv = r#"{"key":"L3MvYQ==","mod_revision":"2","value":"MQ=="}"#;
        let full = Range { header, pairs: vec![pair(b"1")], count: 5 };
        let text = format!("{{{HEADER},\"kvs\":[{kv}],\"count\":\"5\"}}");
        assert_eq!(range(text.as_bytes()), Ok(full));
        let put = Watched::Events(header, vec![Event::Put(pair(b"1"))]);
        assert_eq!(event(&format!("\"events\":[{{\"kv\":{kv}}}]")), Ok(put));
        let gone = Watched::Events(header, vec![Event::Deleted(b"/s/a".into())]);
        let text = format!("\"events\":[{{\"type\":\"DELETE\",\"kv\":{kv}}}]");
        assert_eq!(event(&text), Ok(gone));
        assert_eq!(event("\"created\":true"), Ok(Watched::Events(header, Vec::new())));
        let ended = |text: &str| Ok(Watched::Ended(text.into()));
        let compacted = "\"canceled\":true,\"compact_revision\":\"4\"";
        assert_eq!(event(compacted), ended("changes before revision 4 are compacted"));
        assert_eq!(event("\"canceled\":true,\"cancel_reason\":\"x\""), ended("x"));
        assert_eq!(
            watched(br#"{"error":{"grpc_code":14,"message":"etcd is away"}}"#),
            ended("etcd is away")
        );
        assert_eq!(token(br#"{"token":"a.1"}"#), Ok("a.1".into()));
        let refused = br#"{"error":"etcdserver: no","message":"etcdserver: no","code":9}"#;
        assert_eq!(refusal(412, refused).to_string(), "etcdserver: no");
        assert_eq!(refusal(502, b"<html>").to_string(), "the status is 502");
    }

    #[test]
    fn odd_answers_are_refused() {
        for text in [
            "",
            "[]",
            "{}",
            r#"{"header":{"revision":"x"}}"#,
            r#"{"header":{"cluster_id":"-1"}}"#,
            r#"{"header":{},"kvs":{}}"#,
            r#"{"header":{},"kvs":[{"key":"*"}]}"#,
            r#"{"header":{},"kvs":[{"key":5}]}"#,
            r#"{"header":{},"count":"-1"}"#,
        ] {
            assert!(range(text.as_bytes()).is_err(), "{text}");
        }
        for text in ["{}", r#"{"result":{}}"#, r#"{"result":{"header":{},"events":[{}]}}"#] {
            assert!(watched(text.as_bytes()).is_err(), "{text}");
        }
        for text in [r#"{"token":""}"#, r#"{"token":"a\r\nb"}"#, r#"{"token":5}"#] {
            assert!(token(text.as_bytes()).is_err(), "{text}");
        }
    }
}
