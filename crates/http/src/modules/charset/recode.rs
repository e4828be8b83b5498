//! Conversion tables between charsets, and the body filter that applies them.

use std::io;
use std::sync::Arc;

use weir_engine::buffer::{self, Buf};

use crate::filter::BodyFilter;
use crate::piece::Piece;
use crate::request::Request;

/// The longest character of a table, in bytes.
pub(super) const LONGEST: usize = 4;

/// A conversion table.
#[derive(Clone, Debug)]
pub(super) enum Table {
    /// Single byte to single byte.
    Bytes(Box<[u8; 256]>),
    /// Single byte to UTF-8.
    ToUtf8(Box<[Character; 256]>),
    /// UTF-8 to single byte, by the upper and the lower byte of the code point; 0 if there is none.
    FromUtf8(Box<[Option<Box<[u8; 256]>>; 256]>),
}

/// A UTF-8 character.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Character {
    pub(super) length: u8,
    pub(super) bytes: [u8; LONGEST],
}

impl Character {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

/// The result of decoding UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decoded {
    /// A code point.
    Point(u32),
    /// The text ends within a character.
    Incomplete,
    /// An invalid sequence.
    Invalid,
}

/// Decodes the first character of `text`, which is not empty, and returns its length. As in
/// `ngx_utf8_decode`, overlong forms are invalid and surrogates are accepted.
pub(super) fn decode(text: &[u8]) -> (Decoded, usize) {
    let (bits, largest_shorter, more) = match text[0] {
        first @ 0xf0..=0xf7 => (first & 0x07, 0xffff, 3),
        first @ 0xe0..=0xef => (first & 0x0f, 0x7ff, 2),
        first @ 0xc2..=0xdf => (first & 0x1f, 0x7f, 1),
        _ => return (Decoded::Invalid, 1),
    };
    if text.len() <= more {
        return (Decoded::Incomplete, 0);
    }
    let mut point = u32::from(bits);
    for (at, &byte) in text[1..=more].iter().enumerate() {
        if byte < 0x80 {
            return (Decoded::Invalid, at + 2);
        }
        point = point << 6 | u32::from(byte & 0x3f);
    }
    match point > largest_shorter && point <= 0x10_ffff {
        true => (Decoded::Point(point), more + 1),
        false => (Decoded::Invalid, more + 1),
    }
}

/// The conversion of one body.
pub(super) struct Recode {
    table: Arc<Table>,
    /// The beginning of a character that is split between pieces.
    held: Vec<u8>,
}

impl Recode {
    pub(super) fn new(table: Arc<Table>) -> Self {
        Self { table, held: Vec::new() }
    }
}

impl BodyFilter for Recode {
    fn push(&mut self, _: &mut Request, input: Piece, out: &mut Vec<Piece>) -> io::Result<()> {
        let mut rest = Some(input);
        while let Some(piece) = rest.take() {
            let (piece, more) = piece.load()?;
            rest = more;
            let Some(text) = piece.bytes() else { continue };
            match self.recode(text) {
                Some(recoded) if recoded.is_empty() => {}
                Some(recoded) => out.push(recoded.into()),
                None => out.push(piece),
            }
        }
        Ok(())
    }
}

impl Recode {
    /// Converts a text; None if nothing changes.
    fn recode(&mut self, text: &[u8]) -> Option<Buf> {
        match &*self.table {
            Table::Bytes(table) => {
                if text.iter().all(|&byte| table[usize::from(byte)] == byte) {
                    return None;
                }
                let mut out = buffer::take(text.len());
                out.extend(text.iter().map(|&byte| table[usize::from(byte)]));
                Some(out)
            }
            Table::ToUtf8(table) => {
                let same = |byte: &u8| table[usize::from(*byte)].bytes() == [*byte];
                if text.iter().all(same) {
                    return None;
                }
                let mut out = buffer::take(text.len() * 2);
                for &byte in text {
                    out.extend_from_slice(table[usize::from(byte)].bytes());
                }
                Some(out)
            }
            Table::FromUtf8(table) => {
                if self.held.is_empty() && text.is_ascii() {
                    return None;
                }
                let mut out = buffer::take(text.len());
                from_utf8(table, &mut self.held, text, &mut out);
                Some(out)
            }
        }
    }
}

/// Converts UTF-8 to a single-byte charset. Unmapped characters become HTML references.
fn from_utf8(
    table: &[Option<Box<[u8; 256]>>; 256],
    held: &mut Vec<u8>,
    mut text: &[u8],
    out: &mut Buf,
) {
    // A split character is completed byte by byte.
    while let (false, Some((&byte, rest))) = (held.is_empty(), text.split_first()) {
        held.push(byte);
        text = rest;
        match decode(held) {
            (Decoded::Incomplete, _) => {}
            (decoded, used) => {
                write(table, decoded, out);
                // The byte that reveals an invalid sequence is part of it, as in nginx.
                debug_assert!(used <= held.len());
                held.clear();
            }
        }
    }
    while let Some(&first) = text.first() {
        if first < 0x80 {
            out.push(first);
            text = &text[1..];
            continue;
        }
        match decode(text) {
            (Decoded::Incomplete, _) => return held.extend_from_slice(text),
            (decoded, used) => {
                write(table, decoded, out);
                text = &text[used..];
            }
        }
    }
}

fn write(table: &[Option<Box<[u8; 256]>>; 256], decoded: Decoded, out: &mut Buf) {
    let Decoded::Point(point) = decoded else { return out.push(b'?') };
    let row = table.get((point >> 8) as usize).and_then(Option::as_ref);
    match row.map(|row| row[(point & 0xff) as usize]) {
        Some(byte) if byte != 0 => out.push(byte),
        _ => out.extend_from_slice(format!("&#{point};").as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 0xE0 is CYRILLIC SMALL LETTER A.
    fn from() -> Recode {
        let mut table = Box::new([const { None }; 256]);
        let mut row = Box::new([0; 256]);
        row[0x30] = 0xe0;
        table[4] = Some(row);
        Recode::new(Arc::new(Table::FromUtf8(table)))
    }

    #[test]
    fn characters_in_two_pieces() {
        let text = "x\u{430}y\u{431}\u{1f600}z".as_bytes();
        for cut in 0..text.len() {
            let mut recode = from();
            let mut whole = Vec::new();
            for part in [&text[..cut], &text[cut..]] {
                match recode.recode(part) {
                    Some(out) => whole.extend_from_slice(&out),
                    None => whole.extend_from_slice(part),
                }
            }
            assert_eq!(whole, b"x\xe0y&#1073;&#128512;z", "{cut}");
        }
    }

    #[test]
    fn invalid_characters() {
        assert!(from().recode(b"\xff\xc0z").is_some_and(|out| *out == b"??z"));
        assert!(from().recode(b"ascii").is_none());
        assert_eq!(decode(b"\xe0\x80\x80").0, Decoded::Invalid);
        assert_eq!(decode(b"\xf4\x90\x80\x80").0, Decoded::Invalid);
    }
}
