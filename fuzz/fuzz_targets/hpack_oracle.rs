//! What our decoder of header blocks accepts, another one reads alike.
#![no_main]

use weir_wire::field_block::{BlockLimits, FieldBlock};
use weir_wire::h2::hpack::Decoder;

const WIDE: BlockLimits = BlockLimits { bytes: usize::MAX, fields: usize::MAX };

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let (mut ours, mut fields) = (Decoder::new(4096), FieldBlock::default());
    let mut theirs = httlib_hpack::Decoder::with_dynamic_size(4096);
    // Two blocks, for what is left in the table.
    let (first, second) = data.split_at(data.len() / 2);
    for block in [first, second] {
        fields.clear();
        if ours.decode(block, &WIDE, &mut fields).is_err() {
            return;
        }
        let mut found = Vec::new();
        theirs.decode(&mut block.to_vec(), &mut found).expect("they accept it, too");
        let found = found.iter().map(|(name, value, _)| (&name[..], &value[..]));
        assert!(found.eq(fields.iter().map(|(name, value, _)| (name, value))));
    }
});
