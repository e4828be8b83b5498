//! A list of fields that a decoder of HPACK or QPACK has found, in one allocation of bytes.

use crate::header::{Entry, Known};

/// Fields in order, with pseudo-fields where they stood.
///
/// Invariant: every span of `entries` lies inside `bytes`.
#[derive(Clone, Debug, Default)]
pub struct FieldBlock {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    /// Whether a limit was exceeded, so that fields are missing.
    overflowed: bool,
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
        self.overflowed
    }

    /// Removes all fields, and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
        self.overflowed = false;
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
