//! What an encoder remembers of earlier fields, by hashes: no search.

use crate::header::Known;
use crate::words;

/// The number of sets of slots.
const SETS: usize = 16;

/// The number of slots in a set, among which a hash has any. Together there are 64, several times
/// what the heads of one site have in common.
const WAYS: usize = 4;

/// Hashes of earlier fields, and the numbers of those in the table.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// None until the first field.
    sets: Option<Box<[[Slot; WAYS]; SETS]>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// The low half of the hash.
    mark: u32,
    /// The number of the field in the table; 0 if it is not there.
    number: u32,
}

/// What is remembered of a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// Nothing.
    Never,
    /// It occurred.
    Before,
    /// It was put into the table, as this field in the order of all.
    Inserted(u32),
}

impl Memory {
    /// What is remembered of a hash, which now has occurred.
    #[inline]
    pub(super) fn look(&mut self, hash: u64) -> Seen {
        let set = self.set(hash);
        for slot in &*set {
            if slot.mark == hash as u32 {
                return if slot.number == 0 { Seen::Before } else { Seen::Inserted(slot.number) };
            }
        }
        add(set, hash as u32);
        Seen::Never
    }

    /// Remembers that the field was put into the table. Its hash has occurred just before.
    #[inline]
    pub(super) fn keep(&mut self, hash: u64, number: u32) {
        if let Some(slot) = self.set(hash).iter_mut().find(|slot| slot.mark == hash as u32) {
            slot.number = number;
        }
    }

    #[inline]
    fn set(&mut self, hash: u64) -> &mut [Slot; WAYS] {
        let sets = self.sets.get_or_insert_with(|| Box::new([[Slot::default(); WAYS]; SETS]));
        &mut sets[(hash >> 60) as usize % SETS]
    }
}

/// Adds a hash in the place of the oldest that is not in the table, or of the oldest.
fn add(set: &mut [Slot; WAYS], mark: u32) {
    let place = set.iter().rposition(|slot| slot.number == 0).unwrap_or(WAYS - 1);
    set[..=place].rotate_right(1);
    set[0] = Slot { mark, number: 0 };
}

/// The hash of a name in lower case.
#[inline]
pub(super) fn of_name(known: Known, name: &[u8]) -> u64 {
    match known {
        Known::Other => mix(SEED, name),
        known => (known as u64 + 1).wrapping_mul(SEED),
    }
}

/// The hash of a field, from that of its name.
#[inline]
pub(super) fn of_value(name: u64, value: &[u8]) -> u64 {
    mix(name, value)
}

const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// Mixes bytes into a hash. Whoever makes hashes collide only loses compression.
#[inline]
fn mix(seed: u64, bytes: &[u8]) -> u64 {
    let mut hash = seed ^ bytes.len() as u64;
    let (chunks, rest) = bytes.as_chunks::<8>();
    for chunk in chunks {
        hash = (hash.rotate_left(23) ^ u64::from_le_bytes(*chunk)).wrapping_mul(SEED);
    }
    hash = (hash.rotate_left(23) ^ words::load(rest)).wrapping_mul(SEED);
    // The slot is taken from the high end, the mark from the low end.
    hash ^ (hash >> 32)
}
