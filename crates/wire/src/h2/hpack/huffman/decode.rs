//! Decoding by a table of the next bits, whose rows hold one or two symbols.

use super::super::HpackError;
use super::{CODES, Code, END, LIMITS, LONGEST, OFFSETS, SYMBOLS};
use crate::words;

/// The number of bits that a row stands for: two of the usual codes (5 to 8 bits) mostly fit, and
/// the table is 8 KiB.
const WIDTH: u32 = 11;

/// The symbols at the start of some bits.
#[derive(Clone, Copy)]
struct Row {
    symbols: [u8; 2],
    /// The number of symbols; 0 if the code is longer than a row.
    count: u8,
    /// The length of their codes together, in bits.
    bits: u8,
}

static ROWS: [Row; 1 << WIDTH] = rows();

const fn rows() -> [Row; 1 << WIDTH] {
    let single = single_rows();
    let mut rows = single;
    let mut at = 0;
    while at < 1 << WIDTH {
        let first = single[at];
        let second = single[at << first.bits & ((1 << WIDTH) - 1)];
        let bits = first.bits + second.bits;
        if first.count == 1 && second.count == 1 && bits as u32 <= WIDTH {
            rows[at] = Row { symbols: [first.symbols[0], second.symbols[0]], count: 2, bits };
        }
        at += 1;
    }
    rows
}

const fn single_rows() -> [Row; 1 << WIDTH] {
    let mut rows = [Row { symbols: [0; 2], count: 0, bits: 0 }; 1 << WIDTH];
    let mut symbol = 0;
    while symbol < 256 {
        let Code { bits, length } = CODES[symbol];
        if length <= WIDTH {
            let free = WIDTH - length;
            let mut more = 0;
            while more < 1 << free {
                let row = Row { symbols: [symbol as u8, 0], count: 1, bits: length as u8 };
                rows[(bits as usize) << free | more] = row;
                more += 1;
            }
        }
        symbol += 1;
    }
    rows
}

/// The bits that are to be decoded.
struct Bits<'a> {
    input: &'a [u8],
    /// The next bits, at the high end. Those after `held` are right, or 0 behind the last byte.
    window: u64,
    held: u32,
}

impl Bits<'_> {
    /// Fills the window to at least 56 bits, or with all that is left.
    #[inline]
    fn fill(&mut self) {
        let word = match self.input.first_chunk::<8>() {
            Some(word) => u64::from_be_bytes(*word),
            None => words::load(self.input).swap_bytes(),
        };
        // The first bits of a byte that does not fit come again at the next time.
        let bytes = ((63 - self.held) as usize / 8).min(self.input.len());
        self.window |= word >> self.held;
        self.held += 8 * bytes as u32;
        self.input = self.input.get(bytes..).unwrap_or_default();
    }

    #[inline]
    fn row(&self) -> Row {
        ROWS[(self.window >> (u64::BITS - WIDTH)) as usize]
    }

    #[inline]
    fn skip(&mut self, bits: u32) {
        self.window <<= bits;
        self.held -= bits;
    }
}

/// The number of rows that are taken from a full window at once, whose symbols are written at once.
const AT_ONCE: u32 = 4;

/// The number of bytes behind the text that are written to.
const SLACK: usize = 8;

/// The padding of a string, in bits, that RFC 7541 section 5.2 allows: what is left of a byte.
pub(in super::super) const SHORT_PADDING: u32 = 7;

/// The padding that cannot be mistaken for anything else: one bit less than the code of the end.
pub(in super::super) const LONG_PADDING: u32 = LONGEST as u32 - 1;

/// Appends the text of a coded string with at most `most_padding` bits behind it. Returns whether
/// it surely has no control bytes.
pub(in super::super) fn decode(
    coded: &[u8],
    most_padding: u32,
    out: &mut Vec<u8>,
) -> Result<bool, HpackError> {
    let start = out.len();
    // The shortest codes have five bits.
    out.resize(start + coded.len() * 8 / 5 + SLACK, 0);
    let result = decode_into(coded, most_padding, &mut out[start..]);
    out.truncate(start + result.as_ref().map_or(0, |(length, _)| *length));
    result.map(|(_, clean)| clean)
}

/// Decodes into room for all symbols and [`SLACK`]; returns their number, and whether all of them
/// have short codes, as no control byte has.
fn decode_into(
    coded: &[u8],
    most_padding: u32,
    room: &mut [u8],
) -> Result<(usize, bool), HpackError> {
    let mut bits = Bits { input: coded, window: 0, held: 0 };
    let (mut at, mut clean) = (0, true);
    loop {
        bits.fill();
        while bits.held >= AT_ONCE * WIDTH {
            let (mut text, mut count) = (0, 0);
            let mut row = bits.row();
            for _ in 0..AT_ONCE {
                // Behind a long code nothing changes any more.
                text |= u64::from(u16::from_le_bytes(row.symbols)) << (8 * count);
                count += u32::from(row.count);
                bits.skip(u32::from(row.bits));
                row = bits.row();
            }
            room[at..at + SLACK].copy_from_slice(&text.to_le_bytes());
            at += count as usize;
            bits.fill();
            if row.count == 0 {
                break;
            }
        }
        // A long code, or the end.
        let row = bits.row();
        if row.count > 0 && bits.held >= WIDTH {
            room[at..at + 2].copy_from_slice(&row.symbols);
            at += usize::from(row.count);
            bits.skip(u32::from(row.bits));
            continue;
        }
        match one(&mut bits, most_padding)? {
            Some(symbol) => {
                room[at] = symbol;
                clean &= row.count > 0;
            }
            None => return Ok((at, clean)),
        }
        at += 1;
    }
}

/// The next symbol, by comparing with the limits of all lengths; None at the end.
#[inline(never)]
fn one(bits: &mut Bits<'_>, most_padding: u32) -> Result<Option<u8>, HpackError> {
    let next = (bits.window >> 32) as u32;
    let length = (5..LONGEST).find(|&length| next < LIMITS[length]).unwrap_or(LONGEST);
    if length as u32 > bits.held {
        return end(bits, most_padding);
    }
    let place = i64::from(next >> (32 - length)) + OFFSETS[length];
    match SYMBOLS.get(place as usize) {
        None | Some(&END) => Err(HpackError("a string has the code of its end")),
        Some(&symbol) => {
            bits.skip(length as u32);
            Ok(Some(symbol as u8))
        }
    }
}

/// Checks the padding.
fn end(bits: &Bits<'_>, most_padding: u32) -> Result<Option<u8>, HpackError> {
    if bits.held > most_padding {
        return Err(HpackError("a string has too many bits of padding, or is cut"));
    }
    if bits.held > 0 && bits.window != u64::MAX << (64 - bits.held) {
        return Err(HpackError("a string's padding is not all ones"));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(coded: &[u8]) -> Result<Vec<u8>, &'static str> {
        run_with(SHORT_PADDING, coded)
    }

    fn run_with(most_padding: u32, coded: &[u8]) -> Result<Vec<u8>, &'static str> {
        let mut out = Vec::new();
        let result = decode(coded, most_padding, &mut out);
        assert!(result.is_ok() || out.is_empty(), "nothing is left of a broken string");
        result.map(|_| out).map_err(|error| error.0)
    }

    #[test]
    fn padding() {
        assert_eq!(run(&[]), Ok(vec![]));
        assert_eq!(run(&[0b0000_0111]), Ok(b"0".to_vec()));
        assert_eq!(run(&[0b0000_0011]), Err("a string's padding is not all ones"));
        assert_eq!(run(&[0b0000_0000]), Err("a string's padding is not all ones"));
        let long = Err("a string has too many bits of padding, or is cut");
        assert_eq!(run(&[0b0000_0111, 0xff]), long);
        assert_eq!(run(&[0xff]), long);
        assert_eq!(run(&[0xff, 0xff, 0xff]), long);
        // A code of 28 bits (2), cut.
        assert_eq!(run(&[0xff, 0xff, 0xfe, 0x2f]), Ok(vec![2]));
        assert_eq!(run(&[0xff, 0xff, 0xfe]), long);
    }

    /// Whole bytes of padding, up to what would be the code of the end.
    #[test]
    fn long_padding() {
        let run = |coded: &[u8]| run_with(LONG_PADDING, coded);
        let end = Err("a string has the code of its end");
        for (text, coded) in [(&b""[..], &[][..]), (b"0", &[0b0000_0111]), (b"&", &[0xf8])] {
            for bytes in 0..=3 {
                let padded = [coded, &[0xff; 3][..bytes]].concat();
                assert_eq!(run(&padded), Ok(text.to_vec()), "{padded:x?}");
            }
            let padded = [coded, &[0xff; 4]].concat();
            assert_eq!(run(&padded), end, "{padded:x?}");
        }
        for cut in [&[0xff, 0xff, 0xfe][..], &[0b0000_0111, 0xfe]] {
            assert_eq!(run(cut), Err("a string's padding is not all ones"), "{cut:x?}");
        }
    }

    #[test]
    fn the_end_is_no_symbol() {
        let end = Err("a string has the code of its end");
        assert_eq!(run(&[0xff; 4]), end);
        assert_eq!(run(&[0xff; 9]), end);
        assert_eq!(run(&[0x1f, 0xff, 0xff, 0xff, 0xff]), end);
    }

    /// The coded form, however long.
    fn coded_form(text: &[u8], out: &mut Vec<u8>) {
        out.resize(4 * text.len() + 4, 0);
        super::super::encode_into(text, out);
        out.truncate(super::super::encoded_len(text));
    }

    /// What is called clean has no control bytes, whatever the table of rows holds.
    #[test]
    fn control_bytes_are_noticed() {
        for byte in 0..=u8::MAX {
            for text in [vec![byte], [b"abcdefgh", &[byte][..], b"abcdefgh"].concat()] {
                let (mut coded, mut out) = (Vec::new(), Vec::new());
                coded_form(&text, &mut coded);
                let clean = decode(&coded, SHORT_PADDING, &mut out).expect("valid");
                assert!(!clean || crate::header::is_clean_value(&text), "{byte}");
                assert!(clean || !byte.is_ascii_alphanumeric(), "{byte}");
            }
        }
    }

    /// Strings of every length pass all boundaries of the window.
    #[test]
    fn all_lengths_of_short_and_long_codes() {
        for unit in [&b"a"[..], b"0Z", b"a{~", b"\x02", b"e\xff", b"~\x16"] {
            for count in 0..70 {
                let text = unit.repeat(count);
                let mut coded = Vec::new();
                coded_form(&text, &mut coded);
                assert_eq!(run(&coded), Ok(text));
            }
        }
    }
}
