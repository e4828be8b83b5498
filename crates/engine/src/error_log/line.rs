//! The two forms of a line: nginx's, and one JSON object (RFC 8259).

use std::borrow::Cow;
use std::fmt::Display;
use std::io::Write;

use super::{Level, MAX_LINE};
use crate::clock;

/// The form of the lines of a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// nginx's line.
    #[default]
    Plain,
    /// A JSON object.
    Json,
}

/// Something known about the event of a message, such as the client. In nginx's line it follows the
/// message as `, client: …`; in JSON it is a member.
#[derive(Clone, Debug)]
pub struct Part<'a> {
    name: &'static str,
    value: Value<'a>,
    style: Style,
}

#[derive(Clone, Debug)]
enum Value<'a> {
    Text(Cow<'a, str>),
    Number(usize),
}

/// The look of a part in nginx's line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Bare,
    Quoted,
    /// Only in JSON.
    Absent,
}

impl<'a> Part<'a> {
    /// A part that is `name: value` in nginx's line.
    pub fn bare(name: &'static str, value: impl Into<Cow<'a, str>>) -> Self {
        Self { name, value: Value::Text(value.into()), style: Style::Bare }
    }

    /// A part that is `name: "value"` in nginx's line.
    pub fn quoted(name: &'static str, value: impl Into<Cow<'a, str>>) -> Self {
        Self { name, value: Value::Text(value.into()), style: Style::Quoted }
    }

    /// A part that nginx's line lacks, or has within the message.
    pub fn json(name: &'static str, value: impl Into<Cow<'a, str>>) -> Self {
        Self { name, value: Value::Text(value.into()), style: Style::Absent }
    }

    /// As [`Part::json`], a number.
    pub fn number(name: &'static str, value: usize) -> Self {
        Self { name, value: Value::Number(value), style: Style::Absent }
    }
}

/// What a line says.
#[derive(Clone, Copy)]
pub(super) struct Said<'a> {
    pub(super) level: Level,
    /// The process and the thread.
    pub(super) ids: (u32, u32),
    /// The number of the connection, or 0.
    pub(super) connection: u64,
    pub(super) message: &'a dyn Display,
    pub(super) parts: &'a [Part<'a>],
}

impl Said<'_> {
    /// Writes a line of at most [`MAX_LINE`] bytes.
    pub(super) fn write(&self, form: Form, line: &mut Vec<u8>) {
        line.clear();
        match form {
            Form::Plain => self.plain(line),
            Form::Json => self.json(line),
        }
    }

    // Writing to a vector cannot fail.
    fn plain(&self, line: &mut Vec<u8>) {
        line.extend_from_slice(&clock::error_log_time());
        let Self { level, ids: (process, thread), connection, message, parts } = self;
        let _ = write!(line, " [{level}] {process}#{thread}: ");
        if *connection != 0 {
            let _ = write!(line, "*{connection} ");
        }
        let _ = write!(line, "{message}");
        for Part { name, value, style } in *parts {
            let Value::Text(value) = value else { continue };
            let _ = match style {
                Style::Bare => write!(line, ", {name}: {value}"),
                Style::Quoted => write!(line, ", {name}: \"{value}\""),
                Style::Absent => Ok(()),
            };
        }
        line.truncate(MAX_LINE - 1);
        line.push(b'\n');
    }

    fn json(&self, line: &mut Vec<u8>) {
        let Self { level, ids: (process, thread), connection, message, parts } = self;
        line.extend_from_slice(b"{\"time\":\"");
        line.extend_from_slice(&clock::rfc3339());
        let _ = write!(line, "\",\"level\":\"{level}\",\"pid\":{process},\"tid\":{thread}");
        if *connection != 0 {
            let _ = write!(line, ",\"connection\":{connection}");
        }
        let kept = if parts.is_empty() { 0 } else { KEPT_FOR_PARTS };
        push_text(line, "message", &message.to_string(), MAX_OPEN - kept);
        for Part { name, value, .. } in *parts {
            match value {
                Value::Text(value) => push_text(line, name, value, MAX_OPEN),
                Value::Number(value) if line.len() + MAX_NUMBER + name.len() < MAX_OPEN => {
                    let _ = write!(line, ",\"{name}\":{value}");
                }
                Value::Number(_) => {}
            }
        }
        line.extend_from_slice(END);
    }
}

const END: &[u8] = b"}\n";

/// The length of a line in JSON without its end.
const MAX_OPEN: usize = MAX_LINE - END.len();

/// The bytes of a line that a long message leaves to the parts: client, server and ids always fit.
const KEPT_FOR_PARTS: usize = 512;

/// The length of a number as a member, without its name.
const MAX_NUMBER: usize = 24;

/// Appends a member with as much of a text as leaves the line below a length; none if nothing does.
fn push_text(line: &mut Vec<u8>, name: &str, text: &str, limit: usize) {
    let start = line.len();
    let _ = write!(line, ",\"{name}\":\"");
    for char in text.chars() {
        let before = line.len();
        push_char(line, char);
        if line.len() >= limit {
            line.truncate(before);
            break;
        }
    }
    if line.len() >= limit {
        line.truncate(start);
    } else {
        line.push(b'"');
    }
}

fn push_char(line: &mut Vec<u8>, char: char) {
    let _ = match char {
        '"' | '\\' => write!(line, "\\{char}"),
        '\n' => line.write_all(b"\\n"),
        '\r' => line.write_all(b"\\r"),
        '\t' => line.write_all(b"\\t"),
        // Programs that split lines at these characters must not split an object.
        '\0'..='\x1f' | '\x7f' | '\u{85}' | '\u{2028}' | '\u{2029}' => {
            write!(line, "\\u{:04x}", u32::from(char))
        }
        _ => write!(line, "{char}"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(form: Form, message: &str, parts: &[Part<'_>]) -> String {
        let said =
            Said { level: Level::Error, ids: (12, 34), connection: 5, message: &message, parts };
        let mut line = b"an earlier line".to_vec();
        said.write(form, &mut line);
        String::from_utf8(line).unwrap()
    }

    fn parts<'a>(request: &'a str) -> [Part<'a>; 4] {
        [
            Part::bare("client", "192.0.2.1"),
            Part::quoted("request", request),
            Part::json("request_id", "f00"),
            Part::number("line", 7),
        ]
    }

    #[test]
    fn a_plain_line_is_nginxs() {
        let line = line(Form::Plain, "it failed", &parts("GET / HTTP/1.1"));
        let end = "[error] 12#34: *5 it failed, client: 192.0.2.1, request: \"GET / HTTP/1.1\"\n";
        assert_eq!(&line[20..], end);
    }

    #[test]
    fn a_line_in_json_has_the_parts_as_members() {
        let line = line(Form::Json, "it \"failed\"\n", &parts("GET /\u{e9}\u{2028} HTTP/1.1"));
        let (time, rest) = line.split_at(38);
        assert!(time.starts_with("{\"time\":\"2") && time.as_bytes()[28] == b'.', "{line}");
        let expected = "\",\"level\":\"error\",\"pid\":12,\"tid\":34,\"connection\":5,\
            \"message\":\"it \\\"failed\\\"\\n\",\"client\":\"192.0.2.1\",\
            \"request\":\"GET /\u{e9}\\u2028 HTTP/1.1\",\"request_id\":\"f00\",\"line\":7}\n";
        assert_eq!(rest, expected);
    }

    /// A small reader of JSON: a string ends at a quote without a backslash.
    fn is_whole(line: &str) -> bool {
        let Some(body) = line.strip_suffix("}\n") else { return false };
        let (mut inside, mut escaped) = (false, false);
        for byte in body.bytes() {
            assert!(byte >= 0x20, "{line}");
            match byte {
                _ if escaped => escaped = false,
                b'\\' if inside => escaped = true,
                b'"' => inside = !inside,
                _ => {}
            }
        }
        !inside && !escaped
    }

    #[test]
    fn every_length_gives_a_whole_object_within_the_limit() {
        for text in ["x", "\u{1}", "\"", "\u{1f600}", "\u{2029}"] {
            for length in (0..MAX_LINE + 20).step_by(7).chain(MAX_LINE - 300..MAX_LINE + 20) {
                let long = text.repeat(length);
                for line in [
                    line(Form::Json, &long, &[]),
                    line(Form::Json, &long, &parts("GET /")),
                    line(Form::Json, "m", &parts(&long)),
                ] {
                    assert!(line.len() <= MAX_LINE && is_whole(&line), "{length}: {line}");
                }
                let line = line(Form::Json, &long, &parts("GET /"));
                assert!(line.contains("\"request\":\"GET /\"") && line.contains("\"line\":7}"));
            }
        }
        let long = "x".repeat(5000);
        assert_eq!(line(Form::Json, &long, &[]).len(), MAX_LINE);
        assert_eq!(line(Form::Plain, &long, &[]).len(), MAX_LINE);
    }
}
