//! Entry points of fuzz targets and tests.

use super::{Decoder, Encoder, TABLE_MAX};
use crate::field_block::{BlockLimits, FieldBlock};
use crate::h2::response::{self, FieldsError};
use crate::header::{Headers, Known};
use crate::request::{Limits, RequestFields, Version};

/// Limits that no input here reaches, and some that small ones do.
const WIDE: BlockLimits = BlockLimits { bytes: usize::MAX, fields: usize::MAX };
const NARROW: BlockLimits = BlockLimits { bytes: 100, fields: 4 };

/// Arbitrary blocks, each after a byte with its length; 255 changes the setting to 16 times the
/// next byte. What limits leave out changes nothing else.
///
/// # Panics
/// If limits or the size of the table are not kept, or leaving fields out has an effect on others.
pub fn fuzz_decode(mut data: &[u8]) {
    let (mut wide, mut narrow) = (Decoder::new(4096), Decoder::new(4096));
    let (mut all, mut some) = (FieldBlock::default(), FieldBlock::default());
    while let Some((&length, rest)) = data.split_first() {
        if length == u8::MAX {
            let size = 16 * u32::from(rest.first().copied().unwrap_or_default());
            wide.set_size(size);
            narrow.set_size(size);
            data = rest.get(1..).unwrap_or_default();
            continue;
        }
        let (block, rest) = rest.split_at(rest.len().min(length.into()));
        data = rest;
        all.clear();
        some.clear();
        let result = wide.decode(block, &WIDE, &mut all);
        assert_eq!(narrow.decode(block, &NARROW, &mut some), result);
        wide.check();
        assert_eq!(format!("{wide:?}"), format!("{narrow:?}"), "the tables agree");
        if result.is_err() {
            return;
        }
        check_fields(&all);
        assert!(!all.overflowed() && some.size() <= NARROW.bytes);
        assert!(some.entries().len() <= NARROW.fields);
        assert_eq!(some.overflowed(), some.entries().len() < all.entries().len());
        assert!(all.iter().zip(some.iter()).all(|(a, b)| a == b), "the first fields are there");
        assert!(some.bytes().len() == some.size() + 4 * some.entries().len());
        read(all.clone());
        read(some.clone());
    }
}

fn check_fields(fields: &FieldBlock) {
    for (name, value, known) in fields.iter() {
        assert_eq!(Known::from_name(name), known);
        assert!(!fields.is_plain_throughout() || FieldBlock::is_plain(name, value));
    }
    let size: usize = fields.iter().map(|(name, value, _)| name.len() + value.len()).sum();
    assert_eq!(fields.size(), size);
}

/// Fields as the head of a request, of a response, and as trailers.
fn read(mut fields: FieldBlock) {
    let (mut builder, mut text) = (RequestFields::new(Version::HTTP_2), Vec::new());
    builder.allow_extended_connect();
    let built = builder.build(&mut fields.clone(), &mut text, &Limits::default(), true, |_| None);
    if let Err(error) = built {
        drop(error.message(&text));
    }
    let mut headers = Headers::new();
    let result = response::read_head(&mut fields.clone(), &mut headers);
    check_lines(result.map(drop), &headers);
    let result = response::read_trailers(&mut fields, &mut headers);
    check_lines(result, &headers);
}

fn check_lines(result: Result<(), FieldsError>, headers: &Headers) {
    match result {
        Ok(()) => assert!(headers.iter().all(|(name, _, _)| !name.contains(&b':'))),
        Err(error) => drop(error.message(headers.arena())),
    }
}

/// Heads for an encoder: a byte for the sort of the next step, and its operands.
///
/// # Panics
/// If a decoder does not find the same fields.
pub fn fuzz_round_trip(data: &[u8]) {
    let (first, mut data) = data.split_first().unwrap_or((&0, &[]));
    let mut encoder = Encoder::new([0, 100, 4096, TABLE_MAX][usize::from(first % 4)]);
    let mut decoder = Decoder::new(4096);
    let (mut block, mut sent) = (Vec::new(), Vec::new());
    while !data.is_empty() {
        while let Some(&step) = data.first()
            && step > 250
        {
            let size = 16 * u32::from(data.get(1).copied().unwrap_or_default());
            let size = if step == 255 { size * 16 } else { size };
            encoder.set_peer_limit(size);
            decoder.set_size(size);
            data = data.get(2..).unwrap_or_default();
        }
        block.clear();
        sent.clear();
        let mut writer = encoder.block(&mut block);
        while let Some((&step, rest)) = data.split_first()
            && (1..=250).contains(&step)
        {
            data = rest;
            let value = take(&mut data, usize::from(step % 16));
            match Known::all().get(usize::from(step / 2)) {
                Some(&known) if step % 2 == 0 => {
                    writer.known(known, value);
                    sent.push((known.lower_case().to_vec(), value.to_vec()));
                }
                _ => {
                    let name = take(&mut data, usize::from(step / 32));
                    match step % 16 {
                        1 => writer.sensitive(name, value),
                        _ => writer.field(name, value),
                    }
                    sent.push((name.to_ascii_lowercase(), value.to_vec()));
                }
            }
        }
        // The end of the block.
        data = data.get(1..).unwrap_or_default();
        let mut fields = FieldBlock::default();
        decoder.decode(&block, &WIDE, &mut fields).expect("what we write is valid");
        decoder.check();
        check_fields(&fields);
        let found = fields.iter().map(|(name, value, _)| (name.to_vec(), value.to_vec()));
        assert_eq!(found.collect::<Vec<_>>(), sent);
    }
}

/// The next bytes.
fn take<'a>(data: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, rest) = data.split_at(data.len().min(count));
    *data = rest;
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small generator, so that a seed names a failing case.
    fn random(seed: u64) -> impl FnMut(usize) -> usize {
        let mut state = seed;
        move |bound| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % bound
        }
    }

    /// Pieces of blocks reach more states than random bytes.
    #[test]
    fn blocks_of_pieces() {
        let pieces: &[&[u8]] = &[
            &[0x82, 0x84, 0x87],
            &[0x88],
            &[0xbe],
            &[0xbf, 0xc0],
            &[0x40, 1, b'a', 1, b'b'],
            &[0x7e, 2, b'c', b'd'],
            &[0x40, 0x82, 0x1c, 0x7f, 3, b'x', b'y', b'z'],
            &[0x0f, 0x2f, 0],
            &[0x10, 0, 0],
            &[0x20],
            &[0x3f, 0x45],
            &[0x41, 0x8c, 0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff],
            &[0x60, 30],
            b"abcdefghijklmnopqrstuvwxyz0123",
        ];
        for seed in 0..3000 {
            let mut random = random(seed);
            let mut data = Vec::new();
            for _ in 0..random(6) {
                if random(4) == 0 {
                    data.extend_from_slice(&[255, random(256) as u8]);
                }
                let mut block = Vec::new();
                for _ in 0..random(10) {
                    block.extend_from_slice(pieces[random(pieces.len())]);
                }
                if random(8) == 0 && !block.is_empty() {
                    let at = random(block.len());
                    block[at] = random(256) as u8;
                }
                block.truncate(254);
                data.push(block.len() as u8);
                data.extend_from_slice(&block);
            }
            fuzz_decode(&data);
        }
    }

    #[test]
    fn random_heads() {
        for seed in 0..2000 {
            let mut random = random(seed);
            let data: Vec<u8> = (0..random(400)).map(|_| random(256) as u8).collect();
            fuzz_round_trip(&data);
            let few: Vec<u8> = (0..random(400)).map(|_| (random(4) * 85) as u8).collect();
            fuzz_round_trip(&few);
        }
    }
}
