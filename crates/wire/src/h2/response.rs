//! Response heads and trailers as lists of fields (RFC 9113 sections 8.1 to 8.3).

mod error;

pub use error::{FieldsError, FieldsFault};

use crate::field_block::{FieldBlock, Name};
use crate::header::{Entry, Headers, Known, Seen, Span};
use crate::request::parse_length;

/// A response's head besides its fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseFields {
    /// The status, from 100 to 999 without 101, which HTTP/2 does not have.
    pub status: u16,
    /// `Content-Length`; None in an interim response.
    pub content_length: Option<u64>,
    /// Repeated fields of those whose first one counts, for a warning in the log. Their spans point
    /// into the arena of the other fields.
    pub duplicates: Vec<Entry>,
}

impl ResponseFields {
    /// Whether another head follows.
    pub fn is_interim(&self) -> bool {
        self.status < 200
    }
}

/// Moves the head of a response from `block`, which is empty then, to `into`, without copies.
///
/// # Errors
/// The peer's fault; spans point into [`Headers::arena`] of `into`.
pub fn read_head(
    block: &mut FieldBlock,
    into: &mut Headers,
) -> Result<ResponseFields, FieldsError> {
    let plain = block.is_plain_throughout();
    let overflowed = block.overflowed();
    into.take_lines(block);
    if overflowed {
        return Err(FieldsFault::TooLarge.at(Span::default()));
    }
    let mut head = ResponseFields::default();
    let mut result = Ok(());
    let (mut seen, mut length) = (Seen::default(), None);
    into.sift(|entry, arena| {
        if result.is_err() {
            return false;
        }
        if entry.known == Known::Other && entry.name.of(arena).first() == Some(&b':') {
            result = status(entry, arena, seen, &mut head.status);
            return false;
        }
        result = check(entry, arena, plain);
        let new = seen.insert(entry.known);
        match entry.known {
            _ if head.status < 200 => true,
            Known::ContentLength if !new => {
                result = Err(FieldsFault::Duplicate.at(entry.name));
                false
            }
            Known::ContentLength => {
                length = Some(entry.value);
                true
            }
            known if !new && known.first_counts_in_response() => {
                head.duplicates.push(*entry);
                false
            }
            _ => true,
        }
    });
    result?;
    if head.status == 0 {
        return Err(FieldsFault::NoStatus.at(Span::default()));
    }
    if let Some(value) = length {
        let length = parse_length(value.of(into.arena()));
        head.content_length = Some(length.ok_or(FieldsFault::ContentLength.at(value))?);
    }
    Ok(head)
}

/// Moves trailers, of a response or a request, from `block`, which is empty then, to `into`.
///
/// # Errors
/// As [`read_head`].
pub fn read_trailers(block: &mut FieldBlock, into: &mut Headers) -> Result<(), FieldsError> {
    let plain = block.is_plain_throughout();
    let overflowed = block.overflowed();
    into.take_lines(block);
    if overflowed {
        return Err(FieldsFault::TooLarge.at(Span::default()));
    }
    for entry in into.entries() {
        if entry.name.of(into.arena()).first() == Some(&b':') {
            return Err(FieldsFault::Pseudo.at(entry.name));
        }
        check(entry, into.arena(), plain)?;
    }
    Ok(())
}

/// Takes a pseudo-field, of which a response has only `:status`, before all fields, of which there
/// are `seen`.
fn status(entry: &Entry, arena: &[u8], seen: Seen, into: &mut u16) -> Result<(), FieldsError> {
    if entry.name.of(arena) != b":status" || seen != Seen::default() {
        return Err(FieldsFault::Pseudo.at(entry.name));
    }
    if *into != 0 {
        return Err(FieldsFault::Duplicate.at(entry.name));
    }
    let digit = |byte: u8| byte.is_ascii_digit().then_some(u16::from(byte.wrapping_sub(b'0')));
    let number = match entry.value.of(arena) {
        &[a @ b'1'..=b'9', b, c] => {
            digit(b).zip(digit(c)).map(|(b, c)| u16::from(a - b'0') * 100 + b * 10 + c)
        }
        _ => None,
    };
    *into = number.filter(|&status| status != 101).ok_or(FieldsFault::Status.at(entry.value))?;
    Ok(())
}

/// Checks a field that is no pseudo-field.
#[inline]
fn check(entry: &Entry, arena: &[u8], plain: bool) -> Result<(), FieldsError> {
    if Known::CONNECTION_SPECIFIC.contains(entry.known) {
        return Err(FieldsFault::ConnectionSpecific.at(entry.name));
    }
    if plain { Ok(()) } else { check_odd(entry, arena) }
}

#[cold]
fn check_odd(entry: &Entry, arena: &[u8]) -> Result<(), FieldsError> {
    if Name::of(entry.name.of(arena)) == Name::Refused {
        return Err(FieldsFault::Name.at(entry.name));
    }
    if !FieldBlock::is_plain_value(entry.value.of(arena), false) {
        return Err(FieldsFault::Value.at(Span { start: entry.name.start, end: entry.value.end }));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
