//! The Huffman code of strings (RFC 7541 section 5.2 and appendix B).
//!
//! The code is canonical: codes of one length are consecutive numbers in the order of their
//! symbols, and follow those of smaller lengths. So the lengths tell everything.

mod decode;

pub(super) use decode::{LONG_PADDING, SHORT_PADDING, decode};

/// The lengths of the codes of bytes and, last, of the end of a string, in bits.
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, //
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28, //
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, //
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, //
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, //
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, //
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, //
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, //
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, //
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, //
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, //
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, //
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, //
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, //
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, //
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, //
    30,
];

/// The longest code, in bits.
const LONGEST: usize = 30;

/// The symbol that ends a string; only its first bits occur, as padding.
const END: u16 = 256;

/// The code of a symbol: its bits, at the low end, and their number.
#[derive(Clone, Copy, Debug)]
struct Code {
    bits: u32,
    length: u32,
}

/// The codes by symbol.
static CODES: [Code; 257] = code().0;

/// For each length, the number after its last code, as the first bits of 32.
static LIMITS: [u32; LONGEST + 1] = code().1;

/// For each length, the number of symbols with smaller codes minus the first code of this length.
static OFFSETS: [i64; LONGEST + 1] = code().2;

/// The symbols in the order of their codes.
static SYMBOLS: [u16; 257] = code().3;

const fn code() -> ([Code; 257], [u32; LONGEST + 1], [i64; LONGEST + 1], [u16; 257]) {
    let mut codes = [Code { bits: 0, length: 0 }; 257];
    let mut limits = [0; LONGEST + 1];
    let mut offsets = [0; LONGEST + 1];
    let mut symbols = [0; 257];
    let (mut next, mut count, mut length) = (0_u32, 0, 1);
    while length <= LONGEST {
        next <<= 1;
        offsets[length] = count as i64 - next as i64;
        let mut symbol = 0;
        while symbol < 257 {
            if LENGTHS[symbol] as usize == length {
                codes[symbol] = Code { bits: next, length: length as u32 };
                symbols[count] = symbol as u16;
                next += 1;
                count += 1;
            }
            symbol += 1;
        }
        // The last code of all is all ones, whose successor does not fit.
        limits[length] = if length == LONGEST { u32::MAX } else { next << (32 - length) };
        length += 1;
    }
    (codes, limits, offsets, symbols)
}

/// The length of the coded form, in bytes.
pub(super) fn encoded_len(text: &[u8]) -> usize {
    let bits: usize = text.iter().map(|&byte| usize::from(LENGTHS[usize::from(byte)])).sum();
    bits.div_ceil(8)
}

/// Appends the coded form if it is shorter than the text. Returns whether it is.
pub(super) fn encode(text: &[u8], out: &mut Vec<u8>) -> bool {
    let start = out.len();
    // Words are written as a whole.
    out.resize(start + text.len() + WORD, 0);
    let length = encode_into(text, &mut out[start..]);
    out.truncate(start + length.unwrap_or(0));
    length.is_some()
}

/// What is written at once, in bytes.
const WORD: usize = 4;

/// Codes a text into room for it and [`WORD`]; returns the length, if it is shorter than the text.
#[inline]
fn encode_into(text: &[u8], room: &mut [u8]) -> Option<usize> {
    // The last `held` bits of `bits` are not written yet; fewer than 32 before each symbol.
    let (mut bits, mut held, mut at) = (0_u64, 0, 0);
    for &byte in text {
        let code = CODES[usize::from(byte)];
        bits = bits << code.length | u64::from(code.bits);
        held += code.length;
        if held >= 32 {
            held -= 32;
            let word = ((bits >> held) as u32).to_be_bytes();
            room.get_mut(at..)?.first_chunk_mut()?.clone_from(&word);
            at += WORD;
        }
    }
    if held > 0 {
        // Padded with the first bits of the end's code, which are ones.
        let last = (bits << (32 - held)) as u32 | (u32::MAX >> held);
        room.get_mut(at..)?.first_chunk_mut()?.clone_from(&last.to_be_bytes());
        at += held.div_ceil(8) as usize;
    }
    (at < text.len()).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_codes_of_the_standard() {
        for (symbol, bits, length) in [
            (b' ', 0x14, 6),
            (b'0', 0, 5),
            (b'a', 3, 5),
            (b'~', 0x1ffd, 13),
            (b'\\', 0x7_fff0, 19),
            (0, 0x1ff8, 13),
            (22, 0x3fff_fffe, 30),
            (249, 0xfff_fffe, 28),
        ] {
            let code = CODES[usize::from(symbol)];
            assert_eq!((code.bits, code.length), (bits, length), "{symbol}");
        }
        assert_eq!(CODES[256].bits, (1 << 30) - 1);
    }

    #[test]
    fn every_byte_at_every_offset() {
        for before in 0..9 {
            for byte in 0..=255 {
                for after in 0..9 {
                    let text = [&b"01234567"[..before], &[byte], &b"~~~aaaaa"[..after]].concat();
                    let mut coded = vec![0; 4 * text.len() + WORD];
                    // The room is for any length, but what is not shorter is not wanted.
                    let length = encode_into(&text, &mut coded);
                    assert_eq!(length.is_some(), encoded_len(&text) < text.len());
                    coded.truncate(encoded_len(&text));
                    let mut decoded = b"kept".to_vec();
                    decode(&coded, SHORT_PADDING, &mut decoded).expect("valid");
                    assert_eq!(decoded, [b"kept", &text[..]].concat());
                }
            }
        }
    }
}
