//! The dynamic table of either side (RFC 7541 section 2.3.2): a queue of fields over a ring of
//! bytes.

use std::collections::VecDeque;

use crate::header::Known;
use crate::words;

/// What a field counts besides its bytes (RFC 7541 section 4.1).
const OVERHEAD: usize = 32;

/// The first size of the ring, in bytes.
const FIRST: usize = 256;

/// What a field's line has besides name and value: less than [`OVERHEAD`], so that the bytes of a
/// table never exceed its size.
const PUNCTUATION: usize = 4;

/// A dynamic table. Fields are kept as lines of HTTP/1 (`name: value` and CRLF), as blocks have
/// them.
///
/// Invariants: `bytes` has a power of two of bytes or none, and the fields' bytes lie in it one
/// after another, the oldest first, up to `end`. `size` is at most `limit`.
#[derive(Debug, Default)]
pub(super) struct Table {
    bytes: Vec<u8>,
    /// The fields, the newest first.
    fields: VecDeque<Field>,
    /// The place after the newest field, which counts on at the end of the ring.
    end: u32,
    size: usize,
    limit: usize,
}

/// A field of a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    /// The place of the line.
    start: u32,
    name_len: u16,
    value_len: u16,
    /// The id of the name.
    pub(super) known: Known,
    /// Whether name and value are ordinary (see `FieldBlock`).
    pub(super) plain: bool,
}

impl Field {
    /// The length of name and value.
    #[inline]
    pub(super) fn len(self) -> usize {
        self.name_len() + usize::from(self.value_len)
    }

    /// The length of the name.
    #[inline]
    pub(super) fn name_len(self) -> usize {
        usize::from(self.name_len)
    }
}

impl Table {
    /// A table that may take this many bytes as RFC 7541 counts them.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, ..Self::default() }
    }

    /// The number of fields.
    pub(super) fn len(&self) -> usize {
        self.fields.len()
    }

    /// The field with this age; the newest has age 0.
    #[inline]
    pub(super) fn get(&self, age: usize) -> Option<Field> {
        self.fields.get(age).copied()
    }

    /// The most that the table may take.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// Sets another limit; drops fields beyond it. Their memory stays, unless the limit is 0.
    pub(super) fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
        self.make_room(0);
        if limit == 0 {
            // Nothing will come.
            *self = Self::default();
        }
    }

    /// Adds a field, given as its line in pieces, and the length of its name. One that exceeds the
    /// whole table empties it (RFC 7541 section 4.4). Returns whether it is in.
    pub(super) fn insert<const N: usize>(
        &mut self,
        line: [&[u8]; N],
        name_len: usize,
        known: Known,
        plain: bool,
    ) -> bool {
        let line_len: usize = line.iter().map(|piece| piece.len()).sum();
        let len = line_len - PUNCTUATION;
        self.make_room(len + OVERHEAD);
        if len + OVERHEAD > self.limit {
            return false;
        }
        let (Ok(name_len), Ok(value_len)) = (name_len.try_into(), (len - name_len).try_into())
        else {
            debug_assert!(false, "the limit is below the range of lengths");
            return false;
        };
        self.grow(self.live() + line_len);
        let start = self.end;
        for piece in line {
            self.append(piece);
        }
        self.fields.push_front(Field { start, name_len, value_len, known, plain });
        self.size += len + OVERHEAD;
        true
    }

    /// The line of a field, in two pieces as it may go round the ring.
    #[inline]
    pub(super) fn line(&self, field: Field) -> [&[u8]; 2] {
        self.pieces(field.start, field.len() + PUNCTUATION)
    }

    /// The name of a field, in two pieces.
    #[inline]
    pub(super) fn name(&self, field: Field) -> [&[u8]; 2] {
        self.pieces(field.start, field.name_len())
    }

    /// The value of a field, in two pieces.
    #[inline]
    pub(super) fn value(&self, field: Field) -> [&[u8]; 2] {
        let start = field.start.wrapping_add(u32::from(field.name_len) + 2);
        self.pieces(start, usize::from(field.value_len))
    }

    /// Checks the invariants, for tests.
    pub(super) fn check(&self) {
        let size: usize = self.fields.iter().map(|field| field.len() + OVERHEAD).sum();
        assert!(self.size == size && size <= self.limit);
        assert!(self.live() <= self.bytes.len());
        assert!(self.bytes.is_empty() || self.bytes.len().is_power_of_two());
    }

    /// The bytes that fields take.
    fn live(&self) -> usize {
        self.size - (OVERHEAD - PUNCTUATION) * self.fields.len()
    }

    /// Drops the oldest fields until this size fits, or all.
    fn make_room(&mut self, size: usize) {
        while self.size + size > self.limit {
            let Some(oldest) = self.fields.pop_back() else { return };
            self.size -= oldest.len() + OVERHEAD;
        }
    }

    /// Makes the ring hold this many bytes.
    fn grow(&mut self, needed: usize) {
        if needed <= self.bytes.len() {
            return;
        }
        let mut bytes = vec![0; needed.next_power_of_two().max(FIRST)];
        let (old, new) = (self.bytes.len(), bytes.len());
        let first = self.end.wrapping_sub(self.live() as u32);
        for offset in 0..self.live() as u32 {
            let place = first.wrapping_add(offset) as usize;
            bytes[place & (new - 1)] = self.bytes[place & (old - 1)];
        }
        self.bytes = bytes;
    }

    /// Appends to the ring, which has room.
    fn append(&mut self, text: &[u8]) {
        let at = self.end as usize & self.bytes.len().wrapping_sub(1);
        let straight = text.len().min(self.bytes.len() - at);
        let (head, tail) = text.split_at(straight);
        self.bytes[at..at + straight].copy_from_slice(head);
        if !tail.is_empty() {
            self.bytes[..tail.len()].copy_from_slice(tail);
        }
        self.end = self.end.wrapping_add(text.len() as u32);
    }

    #[inline]
    fn pieces(&self, start: u32, len: usize) -> [&[u8]; 2] {
        let at = start as usize & self.bytes.len().wrapping_sub(1);
        match self.bytes.get(at..at + len) {
            Some(whole) => [whole, &[]],
            None => {
                let head = self.bytes.get(at..).unwrap_or_default();
                [head, self.bytes.get(..len - head.len()).unwrap_or_default()]
            }
        }
    }
}

/// Whether two pieces make up this text.
#[inline]
pub(super) fn is([head, tail]: [&[u8]; 2], text: &[u8]) -> bool {
    if tail.is_empty() {
        return words::same(head, text);
    }
    text.split_at_checked(head.len()).is_some_and(|(a, b)| a == head && b == tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(table: &Table) -> Vec<(String, String)> {
        let text = |pieces: [&[u8]; 2]| String::from_utf8(pieces.concat()).expect("ASCII");
        let fields = (0..table.len()).filter_map(|age| table.get(age));
        fields.map(|field| (text(table.name(field)), text(table.value(field)))).collect()
    }

    /// Against a plain list, through growth and many rounds of the ring.
    #[test]
    fn a_queue_with_a_size() {
        for limit in [0, 31, 32, 40, 100, 1000, 4096] {
            let mut table = Table::new(limit);
            let mut model: Vec<(String, String)> = Vec::new();
            for n in 0..2000 {
                let pair = ("n".repeat(n * 7 % 23), "v".repeat(n * 13 % 61) + &n.to_string());
                let size = |(name, value): &(String, String)| name.len() + value.len() + 32;
                let fits = size(&pair) <= limit;
                let known = Known::Other;
                let (name, value) = (pair.0.as_bytes(), pair.1.as_bytes());
                let line = [name, b": ", value, b"\r\n"];
                assert_eq!(table.insert(line, name.len(), known, true), fits);
                model.insert(0, pair);
                while model.iter().map(size).sum::<usize>() > limit {
                    model.pop();
                }
                assert_eq!(shown(&table), model);
            }
            assert!(table.bytes.len() <= limit.next_power_of_two().max(FIRST));
        }
    }

    #[test]
    fn another_limit() {
        let mut table = Table::new(200);
        for value in [b"1" as &[u8], b"2", b"3"] {
            table.insert([b"a: ", value, b"\r\n"], 1, Known::Other, true);
        }
        table.set_limit(70);
        assert_eq!(shown(&table), [("a".to_owned(), "3".to_owned()), ("a".into(), "2".into())]);
        table.set_limit(0);
        assert_eq!((table.len(), table.bytes.capacity()), (0, 0));
        table.set_limit(100);
        assert!(table.insert([b"b: 4\r\n"], 1, Known::Other, true));
        assert_eq!(shown(&table), [("b".to_owned(), "4".to_owned())]);
    }
}
