//! The traditional scheme of crypt(3): 25 iterations of DES (FIPS 46-3) with an expansion that the
//! salt modifies. Only the first eight characters of a password count.

use super::{ALPHABET, encode};

const TIMES: usize = 25;
const ROUNDS: usize = 16;

/// The rotation of the key halves before each round.
const TURNS: [u32; ROUNDS] = [1, 1, 2, 2, 2, 2, 2, 2, 1, 2, 2, 2, 2, 2, 2, 1];

/// Permuted choice 1, which drops the parity bits of the key.
#[rustfmt::skip]
const CHOICE_1: [u8; 56] = [
    57, 49, 41, 33, 25, 17,  9,  1, 58, 50, 42, 34, 26, 18,
    10,  2, 59, 51, 43, 35, 27, 19, 11,  3, 60, 52, 44, 36,
    63, 55, 47, 39, 31, 23, 15,  7, 62, 54, 46, 38, 30, 22,
    14,  6, 61, 53, 45, 37, 29, 21, 13,  5, 28, 20, 12,  4,
];

/// Permuted choice 2, which selects a round key from the rotated halves.
#[rustfmt::skip]
const CHOICE_2: [u8; 48] = [
    14, 17, 11, 24,  1,  5,  3, 28, 15,  6, 21, 10, 23, 19, 12,  4,
    26,  8, 16,  7, 27, 20, 13,  2, 41, 52, 31, 37, 47, 55, 30, 40,
    51, 45, 33, 48, 44, 49, 39, 56, 34, 53, 46, 42, 50, 36, 29, 32,
];

/// The permutation after the S-boxes.
#[rustfmt::skip]
const AFTER_BOXES: [u8; 32] = [
    16,  7, 20, 21, 29, 12, 28, 17,  1, 15, 23, 26,  5, 18, 31, 10,
     2,  8, 24, 14, 32, 27,  3,  9, 19, 13, 30,  6, 22, 11,  4, 25,
];

/// The S-boxes, four rows each.
#[rustfmt::skip]
const BOXES: [[u8; 64]; 8] = [
    [14,4,13,1,2,15,11,8,3,10,6,12,5,9,0,7, 0,15,7,4,14,2,13,1,10,6,12,11,9,5,3,8,
     4,1,14,8,13,6,2,11,15,12,9,7,3,10,5,0, 15,12,8,2,4,9,1,7,5,11,3,14,10,0,6,13],
    [15,1,8,14,6,11,3,4,9,7,2,13,12,0,5,10, 3,13,4,7,15,2,8,14,12,0,1,10,6,9,11,5,
     0,14,7,11,10,4,13,1,5,8,12,6,9,3,2,15, 13,8,10,1,3,15,4,2,11,6,7,12,0,5,14,9],
    [10,0,9,14,6,3,15,5,1,13,12,7,11,4,2,8, 13,7,0,9,3,4,6,10,2,8,5,14,12,11,15,1,
     13,6,4,9,8,15,3,0,11,1,2,12,5,10,14,7, 1,10,13,0,6,9,8,7,4,15,14,3,11,5,2,12],
    [7,13,14,3,0,6,9,10,1,2,8,5,11,12,4,15, 13,8,11,5,6,15,0,3,4,7,2,12,1,10,14,9,
     10,6,9,0,12,11,7,13,15,1,3,14,5,2,8,4, 3,15,0,6,10,1,13,8,9,4,5,11,12,7,2,14],
    [2,12,4,1,7,10,11,6,8,5,3,15,13,0,14,9, 14,11,2,12,4,7,13,1,5,0,15,10,3,9,8,6,
     4,2,1,11,10,13,7,8,15,9,12,5,6,3,0,14, 11,8,12,7,1,14,2,13,6,15,0,9,10,4,5,3],
    [12,1,10,15,9,2,6,8,0,13,3,4,14,7,5,11, 10,15,4,2,7,12,9,5,6,1,13,14,0,11,3,8,
     9,14,15,5,2,8,12,3,7,0,4,10,1,13,11,6, 4,3,2,12,9,5,15,10,11,14,1,7,6,0,8,13],
    [4,11,2,14,15,0,8,13,3,12,9,7,5,10,6,1, 13,0,11,7,4,9,1,10,14,3,5,12,2,15,8,6,
     1,4,11,13,12,3,7,14,10,15,6,8,0,5,9,2, 6,11,13,8,1,4,10,7,9,5,0,15,14,2,3,12],
    [13,2,8,4,6,15,11,1,10,9,3,14,5,0,12,7, 1,15,13,8,10,3,7,4,12,5,6,11,0,14,9,2,
     7,11,4,1,9,12,14,2,0,6,10,13,15,3,5,8, 2,1,14,7,4,10,8,13,15,12,9,0,3,5,6,11],
];

/// The hash of `password` with the salt at the start of `stored`; None if it is no salt.
pub(super) fn crypt(password: &[u8], stored: &[u8]) -> Option<Vec<u8>> {
    let salt = stored.get(..2)?;
    let digit = |byte: u8| ALPHABET.iter().position(|&known| known == byte);
    let swaps = digit(salt[0])? | digit(salt[1])? << 6;
    let keys = schedule(password);
    let mut block = 0;
    for _ in 0..TIMES {
        block = encipher(block, &keys, swaps as u64);
    }
    let mut out = salt.to_vec();
    for place in 0..11 {
        // Eleven digits take 66 bits: two zeros follow the block.
        let digit = if place < 10 { block >> (58 - 6 * place) } else { block << 2 };
        encode(digit as u32 & 0x3f, 1, &mut out);
    }
    Some(out)
}

/// Selects bits of a `width`-bit number; bit 1 is the highest.
fn pick(from: u64, width: u32, bits: impl IntoIterator<Item = u8>) -> u64 {
    bits.into_iter().fold(0, |out, bit| out << 1 | from >> (width - u32::from(bit)) & 1)
}

fn schedule(password: &[u8]) -> [u64; ROUNDS] {
    const HALF: u64 = (1 << 28) - 1;
    let mut key = [0; 8];
    for (place, byte) in key.iter_mut().zip(password) {
        *place = byte << 1;
    }
    let chosen = pick(u64::from_be_bytes(key), 64, CHOICE_1);
    let (mut left, mut right) = (chosen >> 28, chosen & HALF);
    TURNS.map(|turn| {
        left = (left << turn | left >> (28 - turn)) & HALF;
        right = (right << turn | right >> (28 - turn)) & HALF;
        pick(left << 28 | right, 56, CHOICE_2)
    })
}

/// The initial permutation: columns of the block read from the bottom up, the even ones first.
fn initial() -> impl Iterator<Item = u8> {
    [58, 60, 62, 64, 57, 59, 61, 63]
        .into_iter()
        .flat_map(|first| (0..8).map(move |row| first - 8 * row))
}

fn encipher(block: u64, keys: &[u64; ROUNDS], swaps: u64) -> u64 {
    let block = pick(block, 64, initial());
    let (mut left, mut right) = (block >> 32, block & 0xffff_ffff);
    for key in keys {
        (left, right) = (right, left ^ mangle(right, *key, swaps));
    }
    let swapped = right << 32 | left;
    // The inverse of the initial permutation puts each bit back in its place.
    initial()
        .zip((0..64).rev())
        .fold(0, |out, (to, from)| out | (swapped >> from & 1) << (64 - u32::from(to)))
}

fn mangle(half: u64, key: u64, swaps: u64) -> u64 {
    let expanded = (0..48).fold(0, |out, bit: u64| {
        let from = (bit / 6 * 4 + bit % 6 + 31) % 32;
        out << 1 | half >> (31 - from) & 1
    });
    // Bit n of the salt exchanges bits n and n + 24 of the expansion, counted from its start.
    let (upper, lower) = (expanded >> 24, expanded & 0xff_ffff);
    let mask = (0..12).fold(0, |mask, bit| mask | (swaps >> bit & 1) << (23 - bit));
    let differing = (upper ^ lower) & mask;
    let mixed = ((upper ^ differing) << 24 | (lower ^ differing)) ^ key;
    let boxed = BOXES.iter().enumerate().fold(0, |out, (at, table)| {
        let six = mixed >> (42 - 6 * at) & 0x3f;
        let (row, column) = (six >> 4 & 2 | six & 1, six >> 1 & 0xf);
        out << 4 | u64::from(table[(row * 16 + column) as usize])
    });
    pick(boxed, 32, AFTER_BOXES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_of_crypt_3() {
        for (password, stored) in [
            (&b"password"[..], &b"sa3tHJ3/KuYvI"[..]),
            (b"password", b"./xZjzHv5vzVE"),
            (b"password", b"zZDDIZ0NOlPzw"),
            (b"a longer password", b"abkcfEndDLESY"),
            (b"", b"abmF1QH4PEr.E"),
            (b"\xe4\xf6\xfc", b"abg83M0NyuUvQ"),
        ] {
            let computed = crypt(password, stored).unwrap();
            assert_eq!(String::from_utf8_lossy(&computed), String::from_utf8_lossy(stored));
        }
        assert_eq!(crypt(b"x", b"!x"), None);
        assert_eq!(crypt(b"x", b"a"), None);
    }
}
