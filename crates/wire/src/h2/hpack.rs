//! Header compression (RFC 7541).

use crate::field_block::{BlockLimits, FieldBlock};
use crate::header::Known;

/// The decoder of a connection's header blocks, with its dynamic table.
#[derive(Debug)]
pub struct Decoder {}

/// A block cannot be decoded, after which the tables of both sides may differ
/// (COMPRESSION_ERROR).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HpackError(pub &'static str);

impl Decoder {
    /// A decoder whose table holds at most `size` bytes, as announced (SETTINGS_HEADER_TABLE_SIZE).
    pub fn new(_size: u32) -> Self {
        todo!()
    }

    /// Appends the fields of a complete block to `fields`. Fields beyond the limits are decoded, so
    /// that the table stays right, but not stored: [`FieldBlock::overflowed`].
    ///
    /// # Errors
    /// The block is broken.
    pub fn decode(
        &mut self,
        _block: &[u8],
        _limits: &BlockLimits,
        _fields: &mut FieldBlock,
    ) -> Result<(), HpackError> {
        todo!()
    }
}

/// The encoder of a connection's header blocks, with its dynamic table.
#[derive(Debug)]
pub struct Encoder {}

impl Encoder {
    /// An encoder whose table holds at most `size` bytes, which is also what the peer's settings
    /// allow at first (4,096).
    pub fn new(_size: u32) -> Self {
        todo!()
    }

    /// Heeds the size that the peer allows (SETTINGS_HEADER_TABLE_SIZE).
    pub fn set_peer_limit(&mut self, _size: u32) {
        todo!()
    }

    /// Begins a block at the end of `out`.
    pub fn block<'a>(&'a mut self, _out: &'a mut Vec<u8>) -> BlockWriter<'a> {
        todo!()
    }
}

/// Writes the fields of one block. Names may be in any case; they are sent in lower case.
pub struct BlockWriter<'a> {
    _encoder: &'a mut Encoder,
}

impl BlockWriter<'_> {
    /// Writes `:status`.
    pub fn status(&mut self, _status: u16) {
        todo!()
    }

    /// Writes a field, or a pseudo-field with its colon.
    pub fn field(&mut self, _name: &[u8], _value: &[u8]) {
        todo!()
    }

    /// Writes a field whose name is known.
    pub fn known(&mut self, _known: Known, _value: &[u8]) {
        todo!()
    }

    /// Writes a field that no table on the way may keep (RFC 7541 section 7.1.3).
    pub fn sensitive(&mut self, _name: &[u8], _value: &[u8]) {
        todo!()
    }
}
