//! Decoding of blocks.

use super::static_table::{self, FIELDS};
use super::table::{Field, Table};
use super::{HpackError, TABLE_MAX, huffman, integer};
use crate::field_block::{BlockLimits, FieldBlock};
use crate::header::Known;

/// The decoder of a connection's header blocks, with its dynamic table.
///
/// The work for a block is bounded by its length and the limits of its fields: beyond these,
/// indexed fields cost no copy.
#[derive(Debug)]
pub struct Decoder {
    table: Table,
    /// The most that the peer may make of the table (SETTINGS_HEADER_TABLE_SIZE).
    allowed: usize,
    /// Whether the next block must begin with another size, since the table exceeded a lower
    /// setting.
    size_due: bool,
    /// The maximum number of bits behind a string in Huffman codes.
    most_padding: u32,
}

/// The representations of literal fields (RFC 7541 section 6.2).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Literal {
    /// It goes into the table.
    Inserted,
    Plain,
    /// It may go into no table, here or on the way.
    NeverIndexed,
}

impl Decoder {
    /// A decoder whose table holds at most `size` bytes (up to [`TABLE_MAX`]), as announced
    /// (SETTINGS_HEADER_TABLE_SIZE).
    pub fn new(size: u32) -> Self {
        debug_assert!(size <= TABLE_MAX);
        let allowed = size.min(TABLE_MAX) as usize;
        let most_padding = huffman::SHORT_PADDING;
        Self { table: Table::new(allowed), allowed, size_due: false, most_padding }
    }

    /// Allows whole bytes of padding behind strings in Huffman codes, against RFC 7541 section 5.2:
    /// up to 29 bits, one less than the code that must not occur.
    pub fn allow_long_padding(&mut self) {
        self.most_padding = huffman::LONG_PADDING;
    }

    /// Heeds another setting of our side (up to [`TABLE_MAX`]), once the peer has acknowledged it.
    /// If it is below the table's size, the next block must begin with a size update (RFC 7541
    /// section 4.2).
    pub fn set_size(&mut self, size: u32) {
        debug_assert!(size <= TABLE_MAX);
        self.allowed = size.min(TABLE_MAX) as usize;
        self.size_due |= self.allowed < self.table.limit();
    }

    /// Appends the fields of a complete block to `fields`. Fields beyond the limits are decoded, so
    /// that the table stays right, but not stored: [`FieldBlock::overflowed`].
    ///
    /// # Errors
    /// The block is broken.
    pub fn decode(
        &mut self,
        block: &[u8],
        limits: &BlockLimits,
        fields: &mut FieldBlock,
    ) -> Result<(), HpackError> {
        let mut input = block;
        while let Some(0x20..=0x3f) = input.first() {
            self.size_update(&mut input)?;
        }
        if self.size_due && !block.is_empty() {
            return Err(HpackError("no size update, though the table's size was lowered"));
        }
        while let Some(&first) = input.first() {
            if first >= 0x80 {
                let index = integer::read(&mut input, 7)?;
                self.indexed(index, limits, fields)?;
            } else if first >= 0x40 {
                let index = integer::read(&mut input, 6)?;
                self.literal(index, &mut input, limits, fields, Literal::Inserted)?;
            } else if first >= 0x20 {
                return Err(HpackError("a size update after a field"));
            } else {
                let index = integer::read(&mut input, 4)?;
                let sort = if first >= 0x10 { Literal::NeverIndexed } else { Literal::Plain };
                self.literal(index, &mut input, limits, fields, sort)?;
            }
        }
        Ok(())
    }

    /// Checks the promises of the table, for tests.
    pub(super) fn check(&self) {
        assert!(self.table.limit() <= self.allowed || self.size_due);
        self.table.check();
    }

    fn size_update(&mut self, input: &mut &[u8]) -> Result<(), HpackError> {
        let size = integer::read(input, 5)?;
        if size > self.allowed {
            return Err(HpackError("a size update beyond the setting"));
        }
        self.table.set_limit(size);
        self.size_due = false;
        Ok(())
    }

    /// The field of the dynamic table with this index.
    #[inline]
    fn dynamic(&self, index: usize) -> Result<Field, HpackError> {
        let field = self.table.get(index.wrapping_sub(static_table::COUNT + 1));
        field.ok_or(HpackError(match index {
            0 => "the index 0",
            _ => "an index beyond the table",
        }))
    }

    /// A field with name and value from a table (RFC 7541 section 6.1).
    #[inline]
    fn indexed(
        &self,
        index: usize,
        limits: &BlockLimits,
        out: &mut FieldBlock,
    ) -> Result<(), HpackError> {
        if let Some(field) = FIELDS.get(index.wrapping_sub(1)) {
            let pieces = [field.line.as_bytes(), &[]];
            let lengths = (field.name.len(), field.value.len());
            out.push_line(pieces, lengths, field.known, true, limits);
            return Ok(());
        }
        let field = self.dynamic(index)?;
        let lengths = (field.name_len(), field.len() - field.name_len());
        out.push_line(self.table.line(field), lengths, field.known, field.plain, limits);
        Ok(())
    }

    /// A field whose value, and perhaps name, is in the block (RFC 7541 section 6.2).
    fn literal(
        &mut self,
        index: usize,
        input: &mut &[u8],
        limits: &BlockLimits,
        out: &mut FieldBlock,
        sort: Literal,
    ) -> Result<(), HpackError> {
        let start = out.begin();
        let known = self.name(index, input, out)?;
        let mark = out.end_name(start);
        let clean = string(input, self.most_padding, out.bytes_mut())?;
        let (name, value) = out.open(mark);
        let (known, plain_name) = match known {
            Some((known, plain)) => (known, plain || FieldBlock::is_plain_name(name)),
            None => (Known::from_name(name), FieldBlock::is_plain_name(name)),
        };
        let plain = plain_name && FieldBlock::is_plain_value(value, clean);
        if sort == Literal::Inserted {
            self.table.insert([out.open_line(mark), b"\r\n"], mark.name_len(), known, plain);
        }
        out.end_or_drop(mark, known, (plain, sort == Literal::NeverIndexed), limits);
        Ok(())
    }

    /// Appends the name of a literal field; returns its id, and whether it is surely plain, if it
    /// is that of a table.
    fn name(
        &self,
        index: usize,
        input: &mut &[u8],
        out: &mut FieldBlock,
    ) -> Result<Option<(Known, bool)>, HpackError> {
        if index == 0 {
            string(input, self.most_padding, out.bytes_mut())?;
            return Ok(None);
        }
        if let Some(field) = FIELDS.get(index - 1) {
            out.bytes_mut().extend_from_slice(field.name.as_bytes());
            return Ok(Some((field.known, true)));
        }
        let field = self.dynamic(index)?;
        append(out.bytes_mut(), self.table.name(field));
        Ok(Some((field.known, field.plain)))
    }
}

#[inline]
fn append(out: &mut Vec<u8>, [head, tail]: [&[u8]; 2]) {
    out.extend_from_slice(head);
    out.extend_from_slice(tail);
}

/// Appends the text of a string (RFC 7541 section 5.2). Returns whether it surely has no control
/// bytes.
#[inline]
fn string(input: &mut &[u8], most_padding: u32, out: &mut Vec<u8>) -> Result<bool, HpackError> {
    let Some(&first) = input.first() else {
        return Err(HpackError("the block ends in a field"));
    };
    let length = integer::read(input, 7)?;
    let Some((text, rest)) = input.split_at_checked(length) else {
        return Err(HpackError("a string goes beyond the end of the block"));
    };
    *input = rest;
    if first >= 0x80 {
        return huffman::decode(text, most_padding, out);
    }
    out.extend_from_slice(text);
    Ok(false)
}
