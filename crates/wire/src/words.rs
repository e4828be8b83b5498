//! SIMD within a register: eight bytes at a time in one `u64`.
//!
//! Loops over heads are short, a line or less, so that calling a routine for long input costs more
//! than it saves. A mask has the top bit of each byte found; only its lowest bit is always right,
//! since borrows run upwards.

const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
const TOPS: u64 = u64::from_ne_bytes([0x80; 8]);

/// A word of eight equal bytes.
pub(crate) const fn each(byte: u8) -> u64 {
    ONES * byte as u64
}

/// The mask of the bytes equal to `byte`.
#[inline]
pub(crate) fn equal(word: u64, byte: u8) -> u64 {
    let other = word ^ each(byte);
    other.wrapping_sub(ONES) & !other & TOPS
}

/// The mask of control bytes, including tabs.
#[inline]
pub(crate) fn control(word: u64) -> u64 {
    let delete = (word & !TOPS) + ONES;
    (word.wrapping_sub(each(b' ')) | delete) & !word & TOPS
}

/// The mask of control bytes and non-ASCII bytes.
#[inline]
pub(crate) fn not_text(word: u64) -> u64 {
    (word.wrapping_sub(each(b' ')) | word.wrapping_add(ONES)) & TOPS
}

/// The index of a mask's lowest byte; 8 if there is none.
#[inline]
pub(crate) fn lowest(mask: u64) -> usize {
    (mask.trailing_zeros() / 8) as usize
}

/// The offset of the first byte at or after `from` that `mask` finds or, with fewer than eight
/// bytes left, `byte`. The length if there is none.
#[inline(always)]
pub(crate) fn find(
    bytes: &[u8],
    from: usize,
    mask: impl Fn(u64) -> u64,
    byte: impl Fn(u8) -> bool,
) -> usize {
    let mut at = from;
    let (words, rest) = bytes.get(from..).unwrap_or_default().as_chunks::<8>();
    for word in words {
        let found = mask(u64::from_le_bytes(*word));
        if found != 0 {
            return at + lowest(found);
        }
        at += 8;
    }
    for &candidate in rest {
        if byte(candidate) {
            return at;
        }
        at += 1;
    }
    at
}

/// The offset of the first control byte except tabs at or after `from`.
pub(crate) fn find_control(bytes: &[u8], mut from: usize) -> usize {
    loop {
        let at = find(bytes, from, control, |byte| byte.is_ascii_control());
        if bytes.get(at) != Some(&b'\t') {
            return at;
        }
        from = at + 1;
    }
}

/// Whether the bytes are non-empty and all letters, digits or `-`.
#[inline(never)]
pub(crate) fn is_name(bytes: &[u8]) -> bool {
    // The last piece overlaps the one before it.
    if let Some(last) = bytes.last_chunk::<16>() {
        let (pieces, _) = bytes.as_chunks::<16>();
        return pieces.iter().chain([last]).all(is_name_piece);
    }
    match (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        (Some(first), Some(last)) => {
            not_name(u64::from_le_bytes(*first)) | not_name(u64::from_le_bytes(*last)) == 0
        }
        _ => {
            !bytes.is_empty()
                && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
        }
    }
}

/// Without an early exit the compiler vectorises this loop.
#[inline]
fn is_name_piece(piece: &[u8; 16]) -> bool {
    let mut odd = false;
    for &byte in piece {
        odd |= ((byte | 0x20).wrapping_sub(b'a') >= 26)
            & (byte.wrapping_sub(b'0') >= 10)
            & (byte != b'-');
    }
    !odd
}

/// Likewise for the lowest bytes of a word, selected by `mask`.
#[inline]
pub(crate) fn is_name_word(word: u64, mask: u64) -> bool {
    not_name(word & mask | each(b'a') & !mask) == 0
}

/// The mask of the bytes that are no letter, digit or `-`. All its bits are right.
#[inline]
fn not_name(word: u64) -> u64 {
    not_alphanumeric_or(word, b'-', b'-')
}

/// The mask of the bytes that are no letter, digit, `-` or `.`. All its bits are right.
#[inline]
pub(crate) fn not_host(word: u64) -> u64 {
    not_alphanumeric_or(word, b'-', b'.')
}

#[inline(always)]
fn not_alphanumeric_or(word: u64, first: u8, last: u8) -> u64 {
    // With the top bits cleared no carry crosses bytes: an addition sets the top bit of the bytes
    // that reach the bound.
    let low = word & !TOPS;
    let folded = low | each(0x20);
    let within =
        |word: u64, first: u8, last: u8| (word + each(0x80 - first)) & !(word + each(0x7f - last));
    let taken = within(folded, b'a', b'z') | within(low, b'0', b'9') | within(low, first, last);
    (!taken | word) & TOPS
}

/// The mask of the bytes equal to `byte`, which is below 0x80. All its bits are right.
#[inline]
pub(crate) fn exactly(word: u64, byte: u8) -> u64 {
    let other = word ^ each(byte);
    !(((other & !TOPS) + !TOPS) | other) & TOPS
}

/// Whether two texts are equal. The C library's `memcmp` compares by masked loads, which some
/// processors do a hundred times more slowly if masked bytes lie in an unmapped page.
#[inline]
pub(crate) fn same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let ((words, rest), (others, other_rest)) = (one.as_chunks::<8>(), other.as_chunks::<8>());
    words.iter().zip(others).all(|(a, b)| u64::from_ne_bytes(*a) == u64::from_ne_bytes(*b))
        && load(rest) == load(other_rest)
}

/// At most eight bytes as a word, padded with zeros.
#[inline]
pub(crate) const fn load(bytes: &[u8]) -> u64 {
    let len = bytes.len();
    if let (Some(low), Some(high)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        let (low, high) = (u32::from_le_bytes(*low), u32::from_le_bytes(*high));
        // The two halves overlap in equal bytes.
        return low as u64 | (high as u64) << (8 * (len - 4) % 64);
    }
    match bytes {
        [] => 0,
        [only] => *only as u64,
        [first, second] => *first as u64 | (*second as u64) << 8,
        [first, second, third, ..] => *first as u64 | (*second as u64) << 8 | (*third as u64) << 16,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words with every byte in every position, among bytes that carry and borrow.
    fn words() -> impl Iterator<Item = [u8; 8]> {
        let around = [b'a', 0, 0xff, 0x7f, 0x80, b' ', b'-', b'9'];
        (0..=255).flat_map(move |byte| {
            around.into_iter().flat_map(move |other| {
                (0..8).map(move |place| {
                    let mut bytes = [other; 8];
                    bytes[place] = byte;
                    bytes
                })
            })
        })
    }

    #[test]
    fn masks_know_the_lowest() {
        for bytes in words() {
            let word = u64::from_le_bytes(bytes);
            let first = |is: &dyn Fn(u8) -> bool| bytes.iter().position(|&b| is(b)).unwrap_or(8);
            assert_eq!(lowest(control(word)), first(&|b| b.is_ascii_control()), "{bytes:?}");
            let text = |b: u8| b.is_ascii() && !b.is_ascii_control();
            assert_eq!(lowest(not_text(word)), first(&|b| !text(b)), "{bytes:?}");
            assert_eq!(lowest(equal(word, b':')), first(&|b| b == b':'), "{bytes:?}");
            assert_eq!(lowest(equal(word, 0x80)), first(&|b| b == 0x80), "{bytes:?}");
            let mask = |is: &dyn Fn(u8) -> bool| {
                u64::from_le_bytes(bytes.map(|byte| if is(byte) { 0x80 } else { 0 }))
            };
            assert_eq!(exactly(word, b'-'), mask(&|b| b == b'-'), "{bytes:?}");
            let host = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
            assert_eq!(not_host(word), mask(&|b| !host(b)), "{bytes:?}");
            let name = |b: &u8| b.is_ascii_alphanumeric() || *b == b'-';
            assert_eq!(is_name(&bytes), bytes.iter().all(name), "{bytes:?}");
            assert_eq!(is_name(&bytes[..5]), bytes[..5].iter().all(name), "{bytes:?}");
            for more in [&b"Abc09"[..], b"Abcdefghi-09", b"Abcdefghijklmnopqrst"] {
                for long in [[&bytes, more].concat(), [more, &bytes].concat()] {
                    assert_eq!(is_name(&long), bytes.iter().all(name), "{bytes:?}");
                }
            }
        }
        assert!(!is_name(b""));
    }

    #[test]
    fn loads_what_there_is() {
        let bytes = b"abcdefgh";
        for len in 0..=8 {
            let mut expected = [0; 8];
            expected[..len].copy_from_slice(&bytes[..len]);
            assert_eq!(load(&bytes[..len]).to_le_bytes(), expected);
        }
    }

    #[test]
    fn equal_texts() {
        let text = b"abcdefghijklmnopqrstuvwxyz";
        for len in 0..text.len() {
            assert!(same(&text[..len], &text.to_vec()[..len]));
            assert!(!same(&text[..len], &text[..len + 1]) && !same(&text[..=len], &text[..len]));
            for at in 0..len {
                let mut other = *text;
                other[at] ^= 0x80;
                assert!(!same(&text[..len], &other[..len]));
            }
        }
    }

    #[test]
    fn finds_control_bytes_but_tabs() {
        let text = b"\tabcdefgh\tijklmnopq\rrs";
        for from in 0..text.len() {
            let expected = if from <= 19 { 19 } else { text.len() };
            assert_eq!(find_control(text, from), expected);
        }
        assert_eq!(find_control(b"", 0), 0);
    }
}
