//! The examples of RFC 7541 appendix C, and pairs of an encoder and a decoder.

mod examples;
mod pairs;

use super::*;
use crate::field_block::{BlockLimits, FieldBlock};

/// Limits that are never reached here.
const WIDE: BlockLimits = BlockLimits { bytes: 1 << 20, fields: 10_000 };

type Fields = Vec<(String, String)>;

fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<Fields, HpackError> {
    let mut fields = FieldBlock::default();
    decoder.decode(block, &WIDE, &mut fields)?;
    assert!(!fields.overflowed());
    Ok(shown(&fields))
}

fn shown(fields: &FieldBlock) -> Fields {
    let text = |bytes: &[u8]| bytes.iter().map(|&byte| char::from(byte)).collect();
    fields.iter().map(|(name, value, _)| (text(name), text(value))).collect()
}
