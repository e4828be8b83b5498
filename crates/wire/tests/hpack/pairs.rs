//! Encoders with decoders: ours with ours, ours with another, another with ours.

use weir_wire::field_block::{BlockLimits, FieldBlock};
use weir_wire::h2::hpack::{Decoder, Encoder, TABLE_MAX};

/// Names and values.
pub(crate) type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// Limits that are never reached here.
const WIDE: BlockLimits = BlockLimits { bytes: 1 << 24, fields: 1 << 16 };

/// Decodes a block with our decoder.
pub(crate) fn decode(decoder: &mut Decoder, block: &[u8]) -> Fields {
    let mut fields = FieldBlock::default();
    decoder.decode(block, &WIDE, &mut fields).expect("a valid block");
    assert!(!fields.overflowed());
    fields.iter().map(|(name, value, _)| (name.to_vec(), value.to_vec())).collect()
}

/// The parties of one connection's direction.
pub(crate) struct Parties {
    ours: (Encoder, Decoder),
    /// Reads what our encoder writes.
    their_decoder: httlib_hpack::Decoder<'static>,
    their_encoder: httlib_hpack::Encoder<'static>,
    /// Reads what their encoder writes.
    our_second: Decoder,
    /// What their encoder is to say of the table first.
    their_sizes: Vec<u32>,
}

impl Parties {
    pub(crate) fn new(own: u32) -> Self {
        Self {
            ours: (Encoder::new(own), Decoder::new(4096)),
            their_decoder: httlib_hpack::Decoder::with_dynamic_size(4096),
            their_encoder: httlib_hpack::Encoder::with_dynamic_size(4096),
            our_second: Decoder::new(4096),
            their_sizes: Vec::new(),
        }
    }

    /// The decoding sides allow another size (SETTINGS_HEADER_TABLE_SIZE).
    pub(crate) fn set_table(&mut self, size: u32) {
        assert!(size <= TABLE_MAX);
        self.ours.0.set_peer_limit(size);
        self.ours.1.set_size(size);
        self.their_decoder.set_max_dynamic_size(size);
        self.our_second.set_size(size);
        self.their_sizes.push(size);
    }

    /// Sends a head from each encoder to each decoder; `draw(bound)` chooses representations.
    /// Returns the length of our block.
    pub(crate) fn send(&mut self, head: &Fields, mut draw: impl FnMut(u32) -> u32) -> usize {
        let mut block = Vec::new();
        let mut writer = self.ours.0.block(&mut block);
        for (name, value) in head {
            match (&name[..], draw(16)) {
                (b":status", _) => {
                    let digits = std::str::from_utf8(value).expect("digits");
                    writer.status(digits.parse().expect("a status"));
                }
                (_, 0) => writer.sensitive(name, value),
                _ => writer.field(name, value),
            }
        }
        assert_eq!(decode(&mut self.ours.1, &block), *head);
        let mut found = Vec::new();
        self.their_decoder.decode(&mut block.clone(), &mut found).expect("they accept it");
        let found: Fields = found.into_iter().map(|(name, value, _)| (name, value)).collect();
        assert_eq!(found, *head);

        let mut theirs = Vec::new();
        // The smallest, and then the one in force (RFC 7541 section 4.2).
        let sizes = [self.their_sizes.iter().min().copied(), self.their_sizes.last().copied()];
        self.their_sizes.clear();
        for size in sizes.into_iter().flatten() {
            self.their_encoder.update_max_dynamic_size(size, &mut theirs).expect("a size");
        }
        for (name, value) in head {
            // Huffman, by halves, or not; in the table, or never, or neither; found or spelled out.
            let form = [0, 4, 8][draw(3) as usize];
            let flags = draw(4) as u8 | form | if draw(4) > 0 { 0x10 } else { 0 };
            let field = (name.clone(), value.clone(), flags);
            self.their_encoder.encode(field, &mut theirs).expect("they write it");
        }
        assert_eq!(decode(&mut self.our_second, &theirs), *head);
        block.len()
    }
}
