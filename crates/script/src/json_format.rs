//! Lines of access logs that are JSON objects, whatever the values of variables.

use crate::escape::Escape;
use crate::{Host, VarId, Variables};

/// The type of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A string.
    Text,
    /// A number.
    Number,
    /// Strings, one for each attempt at an upstream. nginx separates attempts by commas, and those
    /// of different groups by colons.
    Texts,
    /// Numbers likewise; an attempt that has none is `null`.
    Numbers,
    /// `true` if the variable has a value, and otherwise `false`.
    Flag,
}

/// An object with a member for each variable that has a value.
#[derive(Clone, Debug, Default)]
pub struct JsonFormat {
    members: Box<[Member]>,
}

#[derive(Clone, Debug)]
struct Member {
    /// `"name":`
    name: Box<[u8]>,
    id: VarId,
    kind: Kind,
}

impl JsonFormat {
    /// An object of these members, each with its variable. Names need no escapes.
    pub fn new(members: &[(&str, Kind, &str)], vars: &mut Variables) -> Self {
        let member = |&(name, kind, variable): &(&str, Kind, &str)| Member {
            name: format!("\"{name}\":").into_bytes().into(),
            id: vars.reference(variable),
            kind,
        };
        Self { members: members.iter().map(member).collect() }
    }

    /// Appends the object, without a line feed. A member whose variable has no value is left out.
    pub fn eval<H: Host + ?Sized>(&self, host: &mut H, out: &mut Vec<u8>) {
        out.push(b'{');
        let begin = out.len();
        for member in &self.members {
            let start = out.len();
            if start > begin {
                out.push(b',');
            }
            out.extend_from_slice(&member.name);
            let value = out.len();
            let found = host.variable(member.id, out);
            if !found {
                out.truncate(value);
            }
            if !member.kind.write(out, value) {
                out.truncate(start);
            }
        }
        out.push(b'}');
    }
}

impl Kind {
    /// Replaces the text from `start` on by the value; false if there is none.
    fn write(self, out: &mut Vec<u8>, start: usize) -> bool {
        match self {
            Self::Flag => {
                let value: &[u8] = if out.len() > start { b"true" } else { b"false" };
                out.truncate(start);
                out.extend_from_slice(value);
                true
            }
            _ if out.len() == start => false,
            Self::Text => {
                quote(out, start);
                true
            }
            Self::Number => match number(&out[start..]) {
                Some(skipped) => {
                    out.drain(start..start + skipped);
                    true
                }
                None => false,
            },
            Self::Texts | Self::Numbers => {
                let text = out.split_off(start);
                out.push(b'[');
                for attempt in attempts(&text) {
                    if out.len() > start + 1 {
                        out.push(b',');
                    }
                    let item = out.len();
                    out.extend_from_slice(attempt);
                    self.write_item(out, item);
                }
                out.push(b']');
                true
            }
        }
    }

    fn write_item(self, out: &mut Vec<u8>, start: usize) {
        let single = if self == Self::Texts { Self::Text } else { Self::Number };
        if &out[start..] == b"-" || !single.write(out, start) {
            out.truncate(start);
            out.extend_from_slice(b"null");
        }
    }
}

fn quote(out: &mut Vec<u8>, start: usize) {
    out.insert(start, b'"');
    Escape::Json.apply(out, start + 1);
    if out[start..].iter().any(|byte| SPLITTING.contains(byte)) {
        escape_splitting(out, start);
    }
    out.push(b'"');
}

/// The first bytes of what [`escape_splitting`] escapes, and of some other characters.
const SPLITTING: [u8; 3] = [0x7f, 0xc2, 0xe2];

/// Escapes what is no special character of JSON, but where some programs split lines, or what
/// terminals obey, as the error log does.
#[cold]
fn escape_splitting(out: &mut Vec<u8>, start: usize) {
    let tail = out.split_off(start);
    let mut rest = &tail[..];
    while let Some(&byte) = rest.first() {
        let (escape, length): (&[u8], _) = match rest {
            [0x7f, ..] => (b"\\u007F", 1),
            [0xc2, 0x85, ..] => (b"\\u0085", 2),
            [0xe2, 0x80, 0xa8, ..] => (b"\\u2028", 3),
            [0xe2, 0x80, 0xa9, ..] => (b"\\u2029", 3),
            _ => {
                out.push(byte);
                rest = &rest[1..];
                continue;
            }
        };
        out.extend_from_slice(escape);
        rest = &rest[length..];
    }
}

/// Whether a text is a number of JSON without its first bytes, zeros, whose count is returned:
/// statuses have three digits.
fn number(text: &[u8]) -> Option<usize> {
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let whole = digits(text);
    let rest = match text.get(whole..)? {
        [b'.', rest @ ..] if digits(rest) > 0 => &rest[digits(rest)..],
        rest => rest,
    };
    if whole == 0 || !rest.is_empty() {
        return None;
    }
    let zeros = text.iter().take_while(|&&byte| byte == b'0').count();
    Some(zeros.min(whole - 1))
}

/// The attempts of a variable: `a, b : c`.
fn attempts(mut text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut ended = false;
    std::iter::from_fn(move || {
        if ended {
            return None;
        }
        let comma = find(text, b", ");
        let colon = find(text, b" : ");
        let (at, length) = match (comma, colon) {
            (Some(comma), Some(colon)) if colon < comma => (colon, 3),
            (Some(comma), _) => (comma, 2),
            (None, Some(colon)) => (colon, 3),
            (None, None) => {
                ended = true;
                return Some(text);
            }
        };
        let attempt = &text[..at];
        text = &text[at + length..];
        Some(attempt)
    })
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::fake::Fake;

    fn line(kind: Kind, value: Option<&[u8]>) -> String {
        let mut vars = Variables::default();
        let format = JsonFormat::new(&[("a", kind, "x"), ("b", Kind::Text, "y")], &mut vars);
        let mut host = Fake::default();
        if let Some(value) = value {
            host.values.insert(vars.reference("x"), value.to_vec());
        }
        host.values.insert(vars.reference("y"), b"z".to_vec());
        let mut out = Vec::new();
        format.eval(&mut host, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn members_have_their_types() {
        for (kind, value, expected) in [
            (Kind::Text, &b"q\"\\\n\xff\xc3\xa9"[..], r#""q\"\\\n\u00FFé""#),
            (
                Kind::Text,
                "\u{7f}\u{85}\u{2028}\u{2029}\u{2030}\u{e9}".as_bytes(),
                "\"\\u007F\\u0085\\u2028\\u2029\u{2030}\u{e9}\"",
            ),
            (Kind::Number, b"200", "200"),
            (Kind::Number, b"009", "9"),
            (Kind::Number, b"000", "0"),
            (Kind::Number, b"0.004", "0.004"),
            (Kind::Number, b"00.004", "0.004"),
            (
                Kind::Texts,
                b"192.0.2.1:80, unix:/x : 192.0.2.2:80",
                r#"["192.0.2.1:80","unix:/x","192.0.2.2:80"]"#,
            ),
            (Kind::Texts, b"a\x80, \"", r#"["a\u0080","\""]"#),
            (Kind::Numbers, b"502, - : 0.200, ", "[502,null,0.200,null]"),
            (Kind::Numbers, b"5", "[5]"),
            (Kind::Flag, b"OK", "true"),
            (Kind::Flag, b"", "false"),
        ] {
            let expected = format!("{{\"a\":{expected},\"b\":\"z\"}}");
            assert_eq!(line(kind, Some(value)), expected, "{kind:?} {value:?}");
        }
    }

    #[test]
    fn what_has_no_value_is_left_out() {
        for kind in [Kind::Text, Kind::Number, Kind::Texts, Kind::Numbers] {
            assert_eq!(line(kind, None), r#"{"b":"z"}"#);
            assert_eq!(line(kind, Some(b"")), r#"{"b":"z"}"#);
        }
        for odd in ["-", "-1", "1.", ".5", "1e5", "0x5", "1.5.5", " 1", "NaN", "1 2"] {
            assert_eq!(line(Kind::Number, Some(odd.as_bytes())), r#"{"b":"z"}"#, "{odd}");
        }
        assert_eq!(line(Kind::Flag, None), r#"{"a":false,"b":"z"}"#);
    }
}
