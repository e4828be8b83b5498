//! Slots: the index of a table's values in every block's settings.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicU32, Ordering};

const UNSET: u32 = u32::MAX;

/// The slot of a table's values. Each use of a table has one, as a `static`.
#[derive(Debug)]
pub struct Slot<T> {
    /// Assigned on first use, then constant for the life of the process.
    index: AtomicU32,
    holds: PhantomData<fn() -> T>,
}

impl<T> Slot<T> {
    /// A slot without an index yet.
    #[expect(clippy::new_without_default, reason = "a slot is a static, not a value")]
    pub const fn new() -> Self {
        Self { index: AtomicU32::new(UNSET), holds: PhantomData }
    }

    /// Its index, assigned on first use.
    pub fn index(&self) -> usize {
        match self.index.load(Ordering::Relaxed) {
            UNSET => self.assign(),
            index => index as usize,
        }
    }

    #[cold]
    fn assign(&self) -> usize {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let fresh = NEXT.fetch_add(1, Ordering::Relaxed);
        // Of two threads the first wins; the loser's number stays unused.
        let won = self.index.compare_exchange(UNSET, fresh, Ordering::Relaxed, Ordering::Relaxed);
        won.map_or_else(|index| index as usize, |_| fresh as usize)
    }
}

/// A slot with its type erased.
pub trait AnySlot: Sync {
    /// Its index.
    fn index(&self) -> usize;
}

impl<T: 'static> AnySlot for Slot<T> {
    fn index(&self) -> usize {
        Self::index(self)
    }
}
