//! The text protocol of memcached, for reading single values: `get`, its response and the end of a
//! value (<https://docs.memcached.org/protocols/basic/>).
//!
//! ```text
//! get KEY\r\n   ─▶   VALUE KEY FLAGS LENGTH\r\n  LENGTH bytes  \r\nEND\r\n
//!                ─▶   END\r\n                     there is no such key
//! ```

use std::ops::Range;

use crate::shown;
use crate::uri::{Escape, escape};

pub mod fuzz;
#[cfg(test)]
mod tests;

/// Writes a request for the value of `key`, with its blanks and control bytes escaped; returns the
/// range of the escaped key in `out`.
pub fn write_get(key: &[u8], out: &mut Vec<u8>) -> Range<usize> {
    out.extend_from_slice(b"get ");
    let start = out.len();
    escape(Escape::Memcached, key, out);
    let end = out.len();
    out.extend_from_slice(b"\r\n");
    start..end
}

/// The first line of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A value.
    Value {
        /// The flags stored with the value; 0 if they were not asked for.
        flags: u64,
        /// The length in bytes.
        length: u64,
    },
    /// No such key.
    Missing,
}

/// A malformed response, with its first line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerError<'a> {
    /// Neither a value nor the end.
    Response(&'a [u8]),
    /// A value of another key.
    Key(&'a [u8]),
    /// Flags that are not a number.
    Flags(&'a [u8]),
    /// A length that is not a number.
    Length(&'a [u8]),
}

impl AnswerError<'_> {
    /// The message, in nginx's wording.
    pub fn message(self, key: &[u8]) -> String {
        let (what, line) = match self {
            Self::Response(line) => {
                return format!("memcached sent invalid response: \"{}\"", shown(line));
            }
            Self::Key(line) => ("key", line),
            Self::Flags(line) => ("flags", line),
            Self::Length(line) => ("length", line),
        };
        let (line, key) = (shown(line), shown(key));
        format!("memcached sent invalid {what} in response \"{line}\" for key \"{key}\"")
    }
}

/// Reads the response at the start of `input` to a request for `key`, as it was written; returns it
/// with the length of its line. `None` while the line is incomplete. As in nginx, flags are parsed
/// only where they are wanted.
///
/// # Errors
/// A line that is not a response to the request.
pub fn read_answer<'a>(
    input: &'a [u8],
    key: &[u8],
    wants_flags: bool,
) -> Result<Option<(Answer, usize)>, AnswerError<'a>> {
    let Some(end) = input.iter().position(|&byte| byte == b'\n') else { return Ok(None) };
    let Some(line) = input[..end].strip_suffix(b"\r") else {
        return Err(AnswerError::Response(&input[..end]));
    };
    let answer = match line.strip_prefix(b"VALUE ") {
        Some(rest) => read_value(line, rest, key, wants_flags)?,
        None if line == b"END" => Answer::Missing,
        None => return Err(AnswerError::Response(line)),
    };
    Ok(Some((answer, end + 1)))
}

/// Reads a `VALUE` line; `rest` is the line without its first word.
fn read_value<'a>(
    line: &'a [u8],
    rest: &[u8],
    key: &[u8],
    wants_flags: bool,
) -> Result<Answer, AnswerError<'a>> {
    let rest = rest.strip_prefix(key).ok_or(AnswerError::Key(line))?;
    let rest = rest.strip_prefix(b" ").ok_or(AnswerError::Response(line))?;
    let blank = rest.iter().position(|&byte| byte == b' ').ok_or(AnswerError::Response(line))?;
    let flags = match wants_flags {
        true => number(&rest[..blank]).ok_or(AnswerError::Flags(line))?,
        false => 0,
    };
    let length = number(&rest[blank + 1..]).ok_or(AnswerError::Length(line))?;
    Ok(Answer::Value { flags, length })
}

/// Parses decimal digits, up to the maximum of nginx's signed numbers.
fn number(digits: &[u8]) -> Option<u64> {
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| i64::from(byte - b'0'));
    let (first, rest) = digits.split_first()?;
    let number = rest
        .iter()
        .try_fold(digit(first)?, |value, byte| value.checked_mul(10)?.checked_add(digit(byte)?))?;
    u64::try_from(number).ok()
}

/// The bytes after a value.
const END: &[u8] = b"\r\nEND\r\n";

/// A value being received, with the bytes after it.
///
/// ```text
/// left > 0  ──▶  left = 0, some of END has come  ──▶  done
///                              └─ anything else ──▶  broken
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// Bytes of the value still to come.
    left: u64,
    /// The number of bytes of [`END`] received.
    ended: usize,
    /// Whether other bytes came in place of [`END`].
    broken: bool,
}

impl Value {
    /// A value of `length` bytes.
    pub fn new(length: u64) -> Self {
        Self { left: length, ended: 0, broken: false }
    }

    /// Consumes all of `input`; returns how many of its first bytes belong to the value.
    pub fn take(&mut self, input: &[u8]) -> usize {
        let count = usize::try_from(self.left).map_or(input.len(), |left| left.min(input.len()));
        self.left -= count as u64;
        let behind = &input[count..];
        let expected = &END[self.ended..];
        let matched = behind.len().min(expected.len());
        // Bytes after the end belong to no request.
        if behind != &expected[..matched] {
            self.broken = true;
        }
        self.ended += matched;
        count
    }

    /// Bytes of the value still to come.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// Whether exactly the value and its end were received.
    pub fn is_done(&self) -> bool {
        self.left == 0 && self.ended == END.len() && !self.broken
    }

    /// Whether the value was received, but other bytes than its end followed.
    pub fn is_broken(&self) -> bool {
        self.broken
    }
}
