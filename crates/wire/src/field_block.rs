//! A list of fields that a decoder of HPACK or QPACK has found, in one allocation of bytes.

use crate::header::{AFTER, BETWEEN, Entry, Known, Span, is_clean_value};

/// Fields in order, with pseudo-fields where they stood.
///
/// The bytes are lines in the form of HTTP/1 (`name: value` and CRLF), so that a request's head can
/// be made of them where they are.
///
/// Invariants: every span of `entries` lies inside `bytes`; `size` is the sum of their lengths; and
/// a block that has overflowed takes no further field.
#[derive(Clone, Debug, Default)]
pub struct FieldBlock {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    size: usize,
    overflow: Option<Overflow>,
    /// Whether a name or value is not plain.
    odd: bool,
}

impl FieldBlock {
    /// The bytes that the spans point into.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The fields. The id of a pseudo-field is [`Known::Other`].
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Names, values and ids in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8], Known)> {
        self.entries.iter().map(|e| (e.name.of(&self.bytes), e.value.of(&self.bytes), e.known))
    }

    /// The value of the first field with this name, in lower case.
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.iter().find(|(own, ..)| *own == name).map(|(_, value, _)| value)
    }

    /// Whether a limit was exceeded, so that fields are missing.
    pub fn overflowed(&self) -> bool {
        self.overflow.is_some()
    }

    /// The limit that was exceeded first.
    pub fn overflow(&self) -> Option<Overflow> {
        self.overflow
    }

    /// The sum of the lengths of names and values, in bytes.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Exchanges the bytes and entries with empty ones, whose memory the block takes over.
    pub(crate) fn swap(&mut self, bytes: &mut Vec<u8>, entries: &mut Vec<Entry>) {
        std::mem::swap(&mut self.bytes, bytes);
        std::mem::swap(&mut self.entries, entries);
        self.clear();
    }

    /// Exchanges the bytes with those of `text`, where the spans of the entries then point to.
    pub(crate) fn swap_bytes(&mut self, text: &mut Vec<u8>) {
        std::mem::swap(&mut self.bytes, text);
    }

    /// Removes all fields, and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
        self.size = 0;
        self.overflow = None;
        self.odd = false;
    }

    /// Appends a field, without limits.
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        let mark = self.begin();
        self.bytes.extend_from_slice(name);
        let mark = self.end_name(mark);
        self.bytes.extend_from_slice(value);
        self.end_value(mark, Known::from_name(name), Self::is_plain(name, value));
    }
}

/// A limit that a block has exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// [`BlockLimits::bytes`].
    Bytes,
    /// [`BlockLimits::fields`].
    Fields,
}

/// Building, for decoders: bytes of a name between `begin` and `end_name`, then those of the value
/// up to `end_value`.
impl FieldBlock {
    /// Whether every name is lower-case letters, digits and `-`, after a colon in pseudo-fields,
    /// and every value is without control bytes and surrounding spaces. Otherwise each is to be
    /// looked at.
    pub(crate) fn is_plain_throughout(&self) -> bool {
        !self.odd
    }

    /// Whether the name and the value of a field are plain.
    pub(crate) fn is_plain(name: &[u8], value: &[u8]) -> bool {
        Self::is_plain_name(name) && Self::is_plain_value(value, false)
    }

    /// Whether the name of a field is plain.
    pub(crate) fn is_plain_name(name: &[u8]) -> bool {
        Name::of(name.strip_prefix(b":").unwrap_or(name)) == Name::Plain
    }

    /// Whether a value is without control bytes and surrounding spaces (RFC 9113 section 8.2.1);
    /// `clean` means that the former is known.
    #[inline]
    pub(crate) fn is_plain_value(value: &[u8], clean: bool) -> bool {
        let space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
        (clean || is_clean_value(value)) && !space(value.first()) && !space(value.last())
    }

    /// Whether another field with this length of name and value is within the limits. If not, the
    /// block has overflowed.
    #[inline]
    pub(crate) fn has_room(&mut self, len: usize, limits: &BlockLimits) -> bool {
        let fits = self.size + len <= limits.bytes && self.entries.len() < limits.fields;
        if !fits {
            self.note_overflow(len, limits);
        }
        self.overflow.is_none()
    }

    #[cold]
    fn note_overflow(&mut self, len: usize, limits: &BlockLimits) {
        let bytes = self.size + len > limits.bytes;
        self.overflow.get_or_insert(if bytes { Overflow::Bytes } else { Overflow::Fields });
    }

    /// Appends a field, given as its line in two pieces and the lengths of its name and value,
    /// within the limits.
    #[inline]
    pub(crate) fn push_line(
        &mut self,
        [head, tail]: [&[u8]; 2],
        (name, value): (usize, usize),
        known: Known,
        plain: bool,
        limits: &BlockLimits,
    ) {
        if !self.has_room(name + value, limits) {
            return;
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(head);
        if !tail.is_empty() {
            self.bytes.extend_from_slice(tail);
        }
        let value_start = start + name + BETWEEN.len();
        self.entries.push(Entry {
            name: Span::new(start, start + name),
            value: Span::new(value_start, value_start + value),
            known,
            never_indexed: false,
        });
        self.size += name + value;
        self.odd |= !plain;
    }

    /// Begins a field.
    #[inline]
    pub(crate) fn begin(&mut self) -> usize {
        self.bytes.len()
    }

    /// The end of the bytes, to append to.
    #[inline]
    pub(crate) fn bytes_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// The name is complete, which began at `start`.
    #[inline]
    pub(crate) fn end_name(&mut self, start: usize) -> Mark {
        let name = Span::new(start, self.bytes.len());
        self.bytes.extend_from_slice(BETWEEN);
        Mark { name, value: self.bytes.len() }
    }

    /// The name and value of the field that is being built.
    #[inline]
    pub(crate) fn open(&self, mark: Mark) -> (&[u8], &[u8]) {
        (mark.name.of(&self.bytes), self.bytes.get(mark.value..).unwrap_or_default())
    }

    /// The line of the field that is being built, without its end.
    #[inline]
    pub(crate) fn open_line(&self, mark: Mark) -> &[u8] {
        self.bytes.get(mark.name.start as usize..).unwrap_or_default()
    }

    /// The value is complete: the field becomes part of the block, or its bytes are removed if a
    /// limit is exceeded. `never_indexed`: see [`Entry::never_indexed`].
    #[inline]
    pub(crate) fn end_or_drop(
        &mut self,
        mark: Mark,
        known: Known,
        (plain, never_indexed): (bool, bool),
        limits: &BlockLimits,
    ) {
        if self.has_room(mark.name.len() + (self.bytes.len() - mark.value), limits) {
            self.end_value(mark, known, plain);
            if never_indexed && let Some(entry) = self.entries.last_mut() {
                entry.never_indexed = true;
            }
        } else {
            self.bytes.truncate(mark.name.start as usize);
        }
    }

    /// The value is complete.
    #[inline]
    fn end_value(&mut self, mark: Mark, known: Known, plain: bool) {
        let value = Span::new(mark.value, self.bytes.len());
        self.bytes.extend_from_slice(AFTER);
        self.entries.push(Entry { name: mark.name, value, known, never_indexed: false });
        self.size += mark.name.len() + value.len();
        self.odd |= !plain;
    }
}

/// The place of a field that is being built: its name, and the start of its value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    name: Span,
    value: usize,
}

/// A judgement of a field's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    /// Lower-case letters, digits and `-`.
    Plain,
    /// The same with `_`.
    Underscored,
    /// Bytes that names do not have, but harmless ones.
    Odd,
    /// Forbidden bytes, among them upper case (RFC 9113 section 8.2.1), or none.
    Refused,
}

impl Name {
    pub(crate) fn of(name: &[u8]) -> Self {
        let is_plain = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        match name.iter().fold(true, |plain, &byte| plain & is_plain(byte)) {
            true if name.is_empty() => Self::Refused,
            true => Self::Plain,
            false => Self::of_odd(name),
        }
    }

    #[cold]
    fn of_odd(name: &[u8]) -> Self {
        let mut found = Self::Underscored;
        for &byte in name {
            match byte {
                b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => {}
                0..=b' ' | 0x7f.. | b':' | b'A'..=b'Z' => return Self::Refused,
                _ => found = Self::Odd,
            }
        }
        found
    }
}

impl Mark {
    /// The length of the name.
    pub(crate) fn name_len(self) -> usize {
        self.name.len()
    }
}

/// Limits of a decoded block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockLimits {
    /// The maximum sum of the lengths of names and values, in bytes.
    pub bytes: usize,
    /// The maximum number of fields.
    pub fields: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_fields() {
        for (name, value, plain) in [
            ("a-1", "b c", true),
            (":path", "/", true),
            ("a", "", true),
            ("a", "\u{e9}\tb", true),
            ("", "b", false),
            (":", "b", false),
            ("A", "b", false),
            ("a_b", "b", false),
            ("a:b", "b", false),
            ("a", " b", false),
            ("a", "b\t", false),
            ("a", "b\0c", false),
        ] {
            assert_eq!(FieldBlock::is_plain(name.as_bytes(), value.as_bytes()), plain, "{name}");
        }
    }

    #[test]
    fn limits() {
        let mut block = FieldBlock::default();
        let limits = BlockLimits { bytes: 10, fields: 2 };
        assert!(block.has_room(5, &limits));
        block.push(b"host", b"b");
        assert!(!block.has_room(6, &limits) && !block.has_room(1, &limits), "nothing more");
        assert_eq!(block.overflow(), Some(Overflow::Bytes));
        assert_eq!(block.iter().collect::<Vec<_>>(), [(&b"host"[..], &b"b"[..], Known::Host)]);
        assert_eq!((block.bytes(), block.get(b"host")), (&b"host: b\r\n"[..], Some(&b"b"[..])));
        block.clear();
        for value in [b"1", b"2"] {
            assert!(block.has_room(2, &limits));
            block.push(b"a", value);
        }
        assert!(!block.has_room(2, &limits));
        assert_eq!((block.overflow(), block.size()), (Some(Overflow::Fields), 4));
    }
}
