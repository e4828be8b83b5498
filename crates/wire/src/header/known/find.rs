//! The id of a name, by one perfect hash and one comparison.

use super::{COUNT, IDS, Known, NAMES};
use crate::words;

/// The id of a name, ignoring case.
#[inline]
pub(super) fn find(name: &[u8]) -> Known {
    let (first, last) = ends(name);
    by_ends(first, last, name)
}

/// As [`find`], with the ends of the name given.
#[inline]
pub(super) fn by_ends(first: u64, last: u64, name: &[u8]) -> Known {
    let known = candidate(first, last, name.len());
    if name.len() <= 16 || same_middle(name, known.name().as_bytes()) {
        known
    } else {
        Known::Other
    }
}

/// The only known name with this length and these ends, ignoring case.
#[inline]
pub(super) fn candidate(first: u64, last: u64, len: usize) -> Known {
    let index = usize::from(SLOTS[slot(first, last, SEED)]);
    let entry = &TABLE[index % ENTRIES];
    let other = ((first | entry.first_case) ^ entry.first)
        | ((last | entry.last_case) ^ entry.last)
        | (len ^ entry.len) as u64;
    if other == 0 { entry.known } else { Known::Other }
}

/// Whether two names of the same length are equal between their first and last eight bytes.
#[cold]
fn same_middle(name: &[u8], known: &[u8]) -> bool {
    let middle = 8..name.len() - 8;
    match (name.get(middle.clone()), known.get(middle)) {
        (Some(name), Some(known)) => name.eq_ignore_ascii_case(known),
        _ => false,
    }
}

/// The first and the last eight bytes; a shorter name has only the first.
#[inline]
const fn ends(name: &[u8]) -> (u64, u64) {
    match (name.first_chunk::<8>(), name.last_chunk::<8>()) {
        (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
        _ => (words::load(name), 0),
    }
}

/// A name in lower case, with the case bits (0x20) of its letters. Setting only these in another
/// name folds its case without turning a control byte into a digit or `-`.
#[derive(Clone, Copy)]
struct FoldedName {
    first: u64,
    first_case: u64,
    last: u64,
    last_case: u64,
    /// Its length; an empty entry has a length that no name has.
    len: usize,
    known: Known,
}

const ENTRIES: usize = 128;
static TABLE: [FoldedName; ENTRIES] = table();

const fn table() -> [FoldedName; ENTRIES] {
    let none = FoldedName {
        first: 0,
        first_case: 0,
        last: 0,
        last_case: 0,
        len: usize::MAX,
        known: Known::Other,
    };
    let mut table = [none; ENTRIES];
    let mut i = 0;
    while i < COUNT {
        let name = NAMES[i].as_bytes();
        assert!(name.len() >= 2 && name.len() <= 32);
        let (first, last) = ends(name);
        let (first_case, last_case) = (case_bits(first), case_bits(last));
        table[i] = FoldedName {
            first: first | first_case,
            first_case,
            last: last | last_case,
            last_case,
            len: name.len(),
            known: IDS[i],
        };
        i += 1;
    }
    table
}

/// The bit 0x20 of each byte that is a letter.
const fn case_bits(word: u64) -> u64 {
    let mut bits = [0; 8];
    let mut i = 0;
    while i < 8 {
        if word.to_le_bytes()[i].is_ascii_alphabetic() {
            bits[i] = 0x20;
        }
        i += 1;
    }
    u64::from_le_bytes(bits)
}

/// A perfect hash: at compile time, seeds are tried until no two names share a slot.
const SLOT_BITS: u32 = 10;
const SEED: u64 = seed();
static SLOTS: [u8; 1 << SLOT_BITS] = slots(SEED).0;

#[inline]
const fn slot(first: u64, last: u64, seed: u64) -> usize {
    const CASE: u64 = words::each(0x20);
    let mixed = ((first | CASE) ^ (last | CASE).rotate_left(25)).wrapping_mul(seed);
    (mixed >> (u64::BITS - SLOT_BITS)) as usize
}

const fn seed() -> u64 {
    let mut seed: u64 = 0x9e37_79b9_7f4a_7c15;
    while !slots(seed).1 {
        seed = seed.wrapping_mul(0x5851_f42d_4c95_7f2d) | 1;
    }
    seed
}

/// The index of each slot's name, or [`COUNT`], and whether no two names share a slot.
const fn slots(seed: u64) -> ([u8; 1 << SLOT_BITS], bool) {
    let mut slots = [COUNT as u8; 1 << SLOT_BITS];
    let mut i = 0;
    while i < COUNT {
        let (first, last) = ends(NAMES[i].as_bytes());
        let slot = slot(first, last, seed);
        if slots[slot] != COUNT as u8 {
            return (slots, false);
        }
        slots[slot] = i as u8;
        i += 1;
    }
    (slots, true)
}
