//! The file of a zone: a JSON object. A value is a string, or an object with the time of its expiry
//! (`until`, in milliseconds since 1970) or the time until then (`expire`).

use std::fmt;

use serde_json::{Map, Value, json};

use super::table::Entry;

/// The content of the file.
pub(crate) fn write(pairs: &[(String, Entry)]) -> String {
    let value = |entry: &Entry| match entry.until {
        u64::MAX => json!(entry.value),
        until => json!({ "value": entry.value, "until": until }),
    };
    let pairs = pairs.iter().map(|(key, entry)| (key.clone(), value(entry)));
    Value::Object(pairs.collect::<Map<_, _>>()).to_string()
}

/// The fault of a file. It quotes nothing: the file may be a link that the worker's user has made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StateError {
    /// There is no valid JSON here.
    Json { line: usize, column: usize },
    /// The JSON is no object.
    NotAnObject,
    /// The value with this number, counted from one, is no string and no object with one.
    Value(usize),
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json { line, column } => write!(f, "invalid JSON at line {line} column {column}"),
            Self::NotAnObject => f.write_str("not a JSON object"),
            Self::Value(number) => write!(f, "invalid value {number}"),
        }
    }
}

/// The pairs of a file; expired ones are left out.
///
/// # Errors
/// The fault of the file.
pub(crate) fn read(text: &[u8], now: u64) -> Result<Vec<(String, Entry)>, StateError> {
    if text.trim_ascii().is_empty() {
        return Ok(Vec::new());
    }
    let value: Value = serde_json::from_slice(text)
        .map_err(|error| StateError::Json { line: error.line(), column: error.column() })?;
    let Value::Object(pairs) = value else { return Err(StateError::NotAnObject) };
    let mut entries = Vec::with_capacity(pairs.len());
    for (number, (key, value)) in pairs.into_iter().enumerate() {
        let entry = entry(value, now).ok_or(StateError::Value(number + 1))?;
        if entry.lives(now) {
            entries.push((key, entry));
        }
    }
    Ok(entries)
}

fn entry(value: Value, now: u64) -> Option<Entry> {
    match value {
        Value::String(value) => Some(Entry { value, until: u64::MAX }),
        Value::Object(mut fields) => {
            let Some(Value::String(value)) = fields.remove("value") else { return None };
            let until = match (fields.get("until"), fields.get("expire")) {
                (Some(until), _) => until.as_u64()?,
                (None, Some(expire)) => now.saturating_add(expire.as_u64()?),
                (None, None) => u64::MAX,
            };
            Some(Entry { value, until })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let pair = |key: &str, value: &str, until| {
            (key.to_owned(), Entry { value: value.to_owned(), until })
        };
        let pairs = [pair("a", "1", u64::MAX), pair("\"é\n", "", 500)];
        let text = write(&pairs);
        assert_eq!(text, r#"{"a":"1","\"é\n":{"value":"","until":500}}"#);
        assert_eq!(read(text.as_bytes(), 499), Ok(pairs.to_vec()));
        assert_eq!(read(text.as_bytes(), 500), Ok(pairs[..1].to_vec()));
        assert_eq!(read(b" \n", 0), Ok(Vec::new()));
        let relative = br#"{"a": {"value": "1", "expire": 7}}"#;
        assert_eq!(read(relative, 100), Ok(vec![pair("a", "1", 107)]));
    }

    #[test]
    fn faults_do_not_quote_the_file() {
        for (text, fault) in [
            ("root:secret", "invalid JSON at line 1 column 1"),
            ("[]", "not a JSON object"),
            (r#"{"a":"1","secret":2}"#, "invalid value 2"),
            (r#"{"a":{"value":"1","until":-1}}"#, "invalid value 1"),
        ] {
            assert_eq!(read(text.as_bytes(), 0).unwrap_err().to_string(), fault);
        }
    }
}
