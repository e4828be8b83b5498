//! Writing of blocks.

use super::encoder::{Encoder, Found};
use super::{huffman, integer, static_table};
use crate::header::Known;

/// Writes the fields of one block. Names may be in any case; they are sent in lower case.
#[derive(Debug)]
pub struct BlockWriter<'a> {
    encoder: &'a mut Encoder,
    out: &'a mut Vec<u8>,
}

/// The representations of RFC 7541 section 6, by their first bits.
const INDEXED: u8 = 0x80;
const INSERTED: u8 = 0x40;
const PLAIN: u8 = 0;
const NEVER_INDEXED: u8 = 0x10;

impl<'a> BlockWriter<'a> {
    pub(super) fn new(encoder: &'a mut Encoder, out: &'a mut Vec<u8>) -> Self {
        Self { encoder, out }
    }

    /// Writes `:status`.
    pub fn status(&mut self, status: u16) {
        let index = match status {
            200 => 8,
            204 => 9,
            206 => 10,
            304 => 11,
            400 => 12,
            404 => 13,
            500 => 14,
            _ => {
                let digit = |unit| b'0' + (status / unit % 10) as u8;
                let digits = [digit(100), digit(10), digit(1)];
                return self.write(Known::Other, b":status", &digits);
            }
        };
        self.out.push(INDEXED | index);
    }

    /// Writes a field, or a pseudo-field with its colon.
    pub fn field(&mut self, name: &[u8], value: &[u8]) {
        match Known::from_name(name) {
            Known::Other => self.other(name, value),
            known => self.known(known, value),
        }
    }

    /// Writes a field whose name has no id, or a pseudo-field with its colon.
    pub fn other(&mut self, name: &[u8], value: &[u8]) {
        debug_assert!(Known::from_name(name) == Known::Other);
        in_lower_case(name, |name| self.write(Known::Other, name, value));
    }

    /// Writes a field whose name is known. `known` is not [`Known::Other`].
    pub fn known(&mut self, known: Known, value: &[u8]) {
        debug_assert!(known != Known::Other);
        self.write(known, known.lower_case(), value);
    }

    /// Writes a field that no table on the way may keep (RFC 7541 section 7.1.3).
    pub fn sensitive(&mut self, name: &[u8], value: &[u8]) {
        let known = Known::from_name(name);
        in_lower_case(name, |name| {
            let index = static_table::index_of(known, name);
            self.literal(NEVER_INDEXED, 4, index, name, value);
        });
    }

    /// Writes a field with a name in lower case.
    fn write(&mut self, known: Known, name: &[u8], value: &[u8]) {
        let index = static_table::index_of(known, name);
        if let Some(whole) = static_table::whole(index, value) {
            return self.out.push(INDEXED | whole as u8);
        }
        if is_secret(known) {
            return self.literal(NEVER_INDEXED, 4, index, name, value);
        }
        if known == Known::SetCookie {
            // As secret, but few clients know the form for secrets in responses.
            return self.literal(PLAIN, 4, index, name, value);
        }
        match self.encoder.find(known, name, value, index) {
            Found::Whole(index) => integer::write(self.out, INDEXED, 7, index),
            Found::Insert(index) => self.literal(INSERTED, 6, index, name, value),
            Found::Literal(index) => self.literal(PLAIN, 4, index, name, value),
        }
    }

    fn literal(&mut self, pattern: u8, prefix: u32, index: usize, name: &[u8], value: &[u8]) {
        integer::write(self.out, pattern, prefix, index);
        if index == 0 {
            string(self.out, name);
        }
        string(self.out, value);
    }
}

/// Whether the field carries credentials, which somebody could guess by the size of blocks if they
/// were in the table (RFC 7541 section 7.1).
fn is_secret(known: Known) -> bool {
    matches!(known, Known::Authorization | Known::ProxyAuthorization | Known::Cookie)
}

/// Writes a string in its shorter form.
fn string(out: &mut Vec<u8>, text: &[u8]) {
    let at = out.len();
    if text.len() <= ONE_BYTE {
        // The length follows.
        out.push(0);
        if huffman::encode(text, out) {
            out[at] = 0x80 | (out.len() - at - 1) as u8;
            return;
        }
        out[at] = text.len() as u8;
    } else {
        integer::write(out, 0x80, 7, huffman::encoded_len(text));
        if huffman::encode(text, out) {
            return;
        }
        out.truncate(at);
        integer::write(out, 0, 7, text.len());
    }
    out.extend_from_slice(text);
}

/// The longest length that takes one byte.
const ONE_BYTE: usize = 126;

/// Names up to this length need no allocation to be put into lower case.
const USUAL_NAME: usize = 64;

fn in_lower_case<T>(name: &[u8], act: impl FnOnce(&[u8]) -> T) -> T {
    if !name.iter().any(u8::is_ascii_uppercase) {
        return act(name);
    }
    match [0; USUAL_NAME].get_mut(..name.len()) {
        Some(room) => {
            room.copy_from_slice(name);
            room.make_ascii_lowercase();
            act(room)
        }
        None => act(&name.to_ascii_lowercase()),
    }
}
