//! The key of an address.

use std::{
    hash::{BuildHasher, RandomState},
    sync::LazyLock,
};

use weir_engine::Addr;

/// A keyed hash of an address: cheaper to keep and to compare, for each request, than the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressKey(u64);

/// The random key of the hashes, against provoked collisions.
static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);

impl AddressKey {
    /// The key of an address, for the life of the process.
    pub(crate) fn of(address: &Addr) -> Self {
        Self(KEY.hash_one(address))
    }
}
