//! Integers (RFC 7541 section 5.1).

use super::HpackError;

/// The maximum number of bytes after the first one. Larger integers are of no use in a block, whose
/// length is limited far below 2^28.
const MORE_MAX: usize = 4;

/// Reads an integer with a prefix of this many bits; moves `input` behind it.
#[inline]
pub(super) fn read(input: &mut &[u8], prefix: u32) -> Result<usize, HpackError> {
    let Some((&first, rest)) = input.split_first() else { return Err(HpackError::CUT) };
    *input = rest;
    let mask = (1_u8 << prefix) - 1;
    let small = usize::from(first & mask);
    if small < usize::from(mask) { Ok(small) } else { read_more(input, small) }
}

fn read_more(input: &mut &[u8], mut value: usize) -> Result<usize, HpackError> {
    for place in 0..MORE_MAX {
        let Some((&byte, rest)) = input.split_first() else { return Err(HpackError::CUT) };
        *input = rest;
        value += usize::from(byte & 0x7f) << (7 * place);
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(HpackError("too large an integer"))
}

/// Writes an integer with a prefix of this many bits, the other bits of whose byte are `pattern`.
#[inline]
pub(super) fn write(out: &mut Vec<u8>, pattern: u8, prefix: u32, value: usize) {
    let mask = (1_usize << prefix) - 1;
    if value < mask {
        out.push(pattern | value as u8);
        return;
    }
    out.push(pattern | mask as u8);
    let mut rest = value - mask;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7541 appendix C.1.
    #[test]
    fn examples_of_the_standard() {
        for (pattern, prefix, value, bytes) in [
            (0x60, 5, 10, &[0x6a][..]),
            (0xe0, 5, 1337, &[0xff, 0x9a, 0x0a]),
            (0, 8 - 1, 42, &[0x2a]),
            (0x80, 7, 127, &[0xff, 0]),
            (0, 4, 15, &[0x0f, 0]),
        ] {
            let mut out = Vec::new();
            write(&mut out, pattern, prefix, value);
            assert_eq!(out, bytes);
            let mut input = bytes;
            assert_eq!(read(&mut input, prefix), Ok(value));
            assert!(input.is_empty());
        }
    }

    #[test]
    fn every_length_and_its_limit() {
        for prefix in 4..8 {
            for bits in 0..28 {
                for value in [(1_usize << bits) - 1, 1 << bits] {
                    let mut out = Vec::new();
                    write(&mut out, 0, prefix, value);
                    assert_eq!(read(&mut &out[..], prefix), Ok(value));
                    assert_eq!(read(&mut &out[..out.len() - 1], prefix), Err(HpackError::CUT));
                }
            }
        }
        assert_eq!(read(&mut &[0x7f, 0x80, 0x80, 0x80, 0][..], 7), Ok(127), "padded with zeros");
        assert!(read(&mut &[0x7f, 0x80, 0x80, 0x80, 0x80, 0][..], 7).is_err());
        assert!(read(&mut &[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff][..], 7).is_err());
    }
}
