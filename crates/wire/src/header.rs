//! Header fields: ids of known names, and an ordered store of fields.

pub mod fuzz;
mod known;
mod list;
mod names;

pub use known::{Known, Seen};
pub use list::{has_item, param};
pub use names::NameSet;

use std::ops::Range;

use crate::field_block::FieldBlock;

/// Whether a value has no control byte except tabs. Others are refused from any source: no
/// application needs them, and parsers disagree about them.
#[inline]
pub(crate) fn is_clean_value(value: &[u8]) -> bool {
    // Without an early exit the compiler vectorises this loop.
    value.iter().fold(0, |bad, &byte| bad | u8::from(is_control(byte))) == 0
}

#[inline]
pub(crate) fn is_control(byte: u8) -> bool {
    ((byte < b' ') & (byte != b'\t')) | (byte == 0x7f)
}

/// A half-open range of byte offsets into a buffer; `Copy`, unlike `Range`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Offset of the first byte.
    pub start: u32,
    /// Offset after the last byte.
    pub end: u32,
}

impl Span {
    /// A span from offsets. Heads are limited far below 4 GiB, so the offsets fit.
    pub fn new(start: usize, end: usize) -> Self {
        debug_assert!(start <= end && u32::try_from(end).is_ok());
        Self { start: start as u32, end: end as u32 }
    }

    /// The bytes of `buf` in the span; empty if it exceeds `buf`.
    #[inline]
    pub fn of(self, buf: &[u8]) -> &[u8] {
        buf.get(self.range()).unwrap_or_default()
    }

    /// The span as a range.
    #[inline]
    pub fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// The number of bytes.
    pub fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether the span is empty.
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// A header line: the spans of its name and value, and the id of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name as sent.
    pub name: Span,
    /// The value without surrounding spaces.
    pub value: Span,
    /// The id of the name.
    pub known: Known,
    /// Whether no table on the way may keep the field (RFC 7541 section 7.1.3).
    pub never_indexed: bool,
}

/// The bytes between a name and its value, and after the value.
pub(crate) const BETWEEN: &[u8; 2] = b": ";
pub(crate) const AFTER: &[u8; 2] = b"\r\n";

/// An ordered list of header lines over one arena of bytes. Order, case and duplicates are kept.
///
/// Invariant: every span of `entries` lies inside `arena`, and `seen` holds at least the ids of the
/// entries (a removed id leaves it).
#[derive(Clone, Debug, Default)]
pub struct Headers {
    arena: Vec<u8>,
    entries: Vec<Entry>,
    seen: Seen,
}

impl Headers {
    /// An empty list, without an allocation.
    pub fn new() -> Self {
        Self::default()
    }

    /// Removes all lines and keeps the memory.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.entries.clear();
        self.seen = Seen::default();
    }

    /// Takes over the result of a parser: `entries` point into `head`. Copies the bytes once, as a
    /// whole.
    pub fn adopt(&mut self, head: &[u8], entries: &[Entry]) {
        self.arena.clear();
        self.arena.extend_from_slice(head);
        self.entries.clear();
        self.entries.extend_from_slice(entries);
        self.seen = Seen::default();
        for entry in entries {
            self.seen.insert(entry.known);
        }
    }

    /// As [`Self::adopt`], where `seen` has the ids of the entries: swaps `entries` with an empty
    /// list that has memory.
    pub(crate) fn exchange(&mut self, head: &[u8], entries: &mut Vec<Entry>, seen: Seen) {
        self.arena.clear();
        self.arena.extend_from_slice(head);
        self.entries.clear();
        std::mem::swap(&mut self.entries, entries);
        self.seen = seen;
    }

    /// Takes over the lines of a block, whose memory is exchanged for this list's.
    pub(crate) fn take_lines(&mut self, block: &mut FieldBlock) {
        self.clear();
        block.swap(&mut self.arena, &mut self.entries);
        for entry in &self.entries {
            self.seen.insert(entry.known);
        }
    }

    /// Keeps the lines for which `keep(entry, arena)` holds.
    pub(crate) fn sift(&mut self, mut keep: impl FnMut(&Entry, &[u8]) -> bool) {
        let arena = &self.arena;
        self.entries.retain(|entry| keep(entry, arena));
    }

    /// Appends a line.
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        self.push_known(Known::from_name(name), name, value);
    }

    /// Appends a line whose id the caller knows.
    pub fn push_known(&mut self, known: Known, name: &[u8], value: &[u8]) {
        // In the form in which it is most likely to be written.
        self.arena.reserve(name.len() + value.len() + 4);
        let name = self.store(name);
        self.arena.extend_from_slice(BETWEEN);
        let value = self.store(value);
        self.arena.extend_from_slice(AFTER);
        self.seen.insert(known);
        self.entries.push(Entry { name, value, known, never_indexed: false });
    }

    /// Marks the last line: no table on the way may keep it (RFC 7541 section 7.1.3).
    #[cold]
    pub fn mark_last(&mut self) {
        if let Some(entry) = self.entries.last_mut() {
            entry.never_indexed = true;
        }
    }

    /// Sets the value of `known`: the first line is changed in place and others are removed; a
    /// missing line is added, spelled as [`Known::name`]. `known` is not [`Known::Other`].
    pub fn set(&mut self, known: Known, value: &[u8]) {
        debug_assert!(known != Known::Other);
        if !self.contains(known) {
            return self.push_known(known, known.name().as_bytes(), value);
        }
        let value = self.store(value);
        let mut first = true;
        self.entries.retain_mut(|entry| {
            if entry.known != known {
                return true;
            }
            entry.value = value;
            std::mem::take(&mut first)
        });
    }

    /// As [`Self::set`], for any name.
    pub fn set_name(&mut self, name: &[u8], value: &[u8]) {
        match Known::from_name(name) {
            Known::Other => {
                self.remove_name(name);
                self.push_known(Known::Other, name, value);
            }
            known => self.set(known, value),
        }
    }

    /// Sets the value of the lines for which `is_meant(name, id)` holds: the first is changed in
    /// place, and the others are removed; `None` removes all. Returns whether there was one.
    pub fn set_where(
        &mut self,
        value: Option<&[u8]>,
        is_meant: impl Fn(&[u8], Known) -> bool,
    ) -> bool {
        let mut value = value.map(|value| self.store(value));
        let (arena, mut found) = (&self.arena, false);
        self.entries.retain_mut(|entry| {
            if !is_meant(entry.name.of(arena), entry.known) {
                return true;
            }
            found = true;
            value.take().is_some_and(|value| {
                entry.value = value;
                true
            })
        });
        found
    }

    /// Removes all lines of this id. [`Known::Other`] removes all unknown ones.
    pub fn remove(&mut self, known: Known) {
        if self.contains(known) {
            self.entries.retain(|entry| entry.known != known);
            self.seen.remove(known);
        }
    }

    /// Removes all lines of this name, ignoring case.
    pub fn remove_name(&mut self, name: &[u8]) {
        match Known::from_name(name) {
            Known::Other => {
                let arena = &self.arena;
                self.entries.retain(|entry| {
                    entry.known != Known::Other || !entry.name.of(arena).eq_ignore_ascii_case(name)
                });
            }
            known => self.remove(known),
        }
    }

    /// Keeps the lines for which `keep(name, value, id)` holds.
    pub fn retain(&mut self, mut keep: impl FnMut(&[u8], &[u8], Known) -> bool) {
        let arena = &self.arena;
        self.entries.retain(|e| keep(e.name.of(arena), e.value.of(arena), e.known));
    }

    /// Whether there is a line of this id.
    #[inline]
    pub fn contains(&self, known: Known) -> bool {
        self.seen.contains(known) && self.entries.iter().any(|entry| entry.known == known)
    }

    /// The value of the first line with this id.
    #[inline]
    pub fn get(&self, known: Known) -> Option<&[u8]> {
        if !self.seen.contains(known) {
            return None;
        }
        let entry = self.entries.iter().find(|entry| entry.known == known)?;
        Some(entry.value.of(&self.arena))
    }

    /// The values of all lines with this id, in order.
    pub fn get_all(&self, known: Known) -> impl Iterator<Item = &[u8]> {
        let entries = if self.seen.contains(known) { &self.entries[..] } else { &[] };
        entries.iter().filter(move |e| e.known == known).map(|e| e.value.of(&self.arena))
    }

    /// The value of the first line with this name, ignoring case.
    pub fn get_name(&self, name: &[u8]) -> Option<&[u8]> {
        self.get_all_name(name).next()
    }

    /// The values of all lines with this name, in order, ignoring case.
    pub fn get_all_name<'a>(&'a self, name: &[u8]) -> impl Iterator<Item = &'a [u8]> {
        let known = Known::from_name(name);
        self.entries.iter().filter(move |e| e.known == known).filter_map(move |e| {
            let same = known != Known::Other || e.name.of(&self.arena).eq_ignore_ascii_case(name);
            same.then(|| e.value.of(&self.arena))
        })
    }

    /// All lines, in order: name, value, id.
    pub fn iter(
        &self,
    ) -> impl DoubleEndedIterator<Item = (&[u8], &[u8], Known)> + ExactSizeIterator {
        self.entries.iter().map(|e| (e.name.of(&self.arena), e.value.of(&self.arena), e.known))
    }

    /// Appends all lines in HTTP/1 form, without the final blank line.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        out.reserve(self.arena.len() + 4 * self.entries.len());
        for entry in &self.entries {
            if let Some(line) = self.whole_line(entry) {
                out.extend_from_slice(line);
                continue;
            }
            out.extend_from_slice(entry.name.of(&self.arena));
            out.extend_from_slice(BETWEEN);
            out.extend_from_slice(entry.value.of(&self.arena));
            out.extend_from_slice(AFTER);
        }
    }

    /// The bytes of a line, if they are in the arena in HTTP/1 form.
    #[inline]
    fn whole_line(&self, entry: &Entry) -> Option<&[u8]> {
        let (start, end) = (entry.name.start as usize, entry.value.end as usize + AFTER.len());
        let colon = (entry.name.end - entry.name.start) as usize;
        let line = self.arena.get(start..end)?;
        let whole = entry.value.start == entry.name.end + BETWEEN.len() as u32
            && line.ends_with(AFTER)
            && line.get(colon..)?.starts_with(BETWEEN);
        whole.then_some(line)
    }

    /// The lines as spans into [`Self::arena`].
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The bytes that the spans of [`Self::entries`] point into.
    pub fn arena(&self) -> &[u8] {
        &self.arena
    }

    /// The number of lines.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no lines.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn store(&mut self, bytes: &[u8]) -> Span {
        let start = self.arena.len();
        self.arena.extend_from_slice(bytes);
        Span::new(start, self.arena.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_order_case_and_duplicates() {
        let mut headers = Headers::new();
        headers.push(b"hOsT", b"a");
        headers.push(b"X-One", b"1");
        headers.push(b"x-one", b"2");
        assert_eq!(headers.get(Known::Host), Some(&b"a"[..]));
        assert_eq!(headers.get_name(b"HOST"), Some(&b"a"[..]));
        assert_eq!(headers.get_all_name(b"X-ONE").collect::<Vec<_>>(), [b"1", b"2"]);
        headers.set(Known::Host, b"b");
        headers.set(Known::Via, b"1.1 x");
        let lines: Vec<_> = headers.iter().map(|(name, value, _)| (name, value)).collect();
        let expected: [(&[u8], &[u8]); 4] =
            [(b"hOsT", b"b"), (b"X-One", b"1"), (b"x-one", b"2"), (b"Via", b"1.1 x")];
        assert_eq!(lines, expected);
        let mut out = Vec::new();
        headers.write_to(&mut out);
        assert_eq!(out, b"hOsT: b\r\nX-One: 1\r\nx-one: 2\r\nVia: 1.1 x\r\n");
        let is_x = |name: &[u8], _| name.eq_ignore_ascii_case(b"X-One");
        assert!(headers.clone().set_where(None, is_x));
        assert!(!headers.set_where(Some(b"3"), |name, _| name == b"x"));
        assert!(headers.set_where(Some(b"3"), is_x));
        assert_eq!(headers.get_all_name(b"X-ONE").collect::<Vec<_>>(), [b"3"]);
        headers.remove_name(b"x-oNe");
        headers.remove(Known::Via);
        assert_eq!(headers.len(), 1);
        assert!(!headers.contains(Known::Via));
    }

    #[test]
    fn set_leaves_one_line() {
        let mut headers = Headers::new();
        headers.push(b"Vary", b"a");
        headers.push(b"Server", b"s");
        headers.push(b"Vary", b"b");
        headers.set(Known::Vary, b"c");
        assert_eq!(headers.get_all(Known::Vary).collect::<Vec<_>>(), [b"c"]);
        assert_eq!(headers.len(), 2);
    }
}
