//! The slots of watched descriptors. A source refers to its slot directly, so slots never move.
//! Their memory is reused but never freed: 56 bytes for each descriptor that was watched at the
//! busiest time.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::num::NonZeroU32;
use std::task::Waker;

use crate::event_loop::readiness::{READS, Ready, WRITES};

/// The number of slots allocated at once.
const PIECE: usize = 128;

/// The end of the free list.
const NONE: u32 = u32::MAX;

/// The state of a watched descriptor.
pub(super) struct Slot {
    /// Its number in the loop.
    pub(super) key: u32,
    /// Changes whenever the slot is released, so that events of an earlier descriptor are told
    /// apart.
    pub(super) generation: Cell<u32>,
    /// The next slot of the free list.
    next: Cell<u32>,
    pub(super) ready: Cell<Ready>,
    /// The lot that holds the connection; it gets the events in place of the tasks.
    parked: Cell<Option<Parked>>,
    reader: Cell<Option<Waker>>,
    writer: Cell<Option<Waker>>,
}

/// A connection's place in a lot.
#[derive(Clone, Copy)]
pub(super) struct Parked {
    /// The lot's number plus one, so that `Option<Parked>` needs no more space.
    lot: NonZeroU32,
    pub(super) key: u32,
}

impl Parked {
    pub(super) fn new(lot: u32, key: u32) -> Self {
        Self { lot: NonZeroU32::MIN.saturating_add(lot), key }
    }

    pub(super) fn lot(self) -> u32 {
        self.lot.get() - 1
    }
}

impl Slot {
    /// Registers the task to wake when a read would not block.
    pub(super) fn remember_reader(&self, waker: &Waker) {
        remember(&self.reader, waker);
    }

    /// Registers the task to wake when a write would not block.
    pub(super) fn remember_writer(&self, waker: &Waker) {
        remember(&self.writer, waker);
    }

    pub(super) fn clear(&self, bits: Ready) {
        self.ready.set(self.ready.get() & !bits);
    }

    /// Redirects events to a lot, which has no task to wake.
    pub(super) fn park(&self, parked: Parked) {
        self.unpark();
        self.parked.set(Some(parked));
    }

    /// Redirects events to tasks, of which there is none yet.
    pub(super) fn unpark(&self) {
        self.parked.set(None);
        self.reader.set(None);
        self.writer.set(None);
    }

    /// Adds readiness. Wakes the tasks, or returns the place in the lot.
    #[inline]
    pub(super) fn notify(&self, ready: Ready) -> Option<Parked> {
        self.ready.set(self.ready.get() | ready);
        if self.parked.get().is_some() {
            // Once is enough, and limits the lot's queue.
            return if ready & READS != 0 { self.parked.take() } else { None };
        }
        let reader = if ready & READS != 0 { self.reader.take() } else { None };
        let writer = if ready & WRITES != 0 { self.writer.take() } else { None };
        reader.into_iter().chain(writer).for_each(Waker::wake);
        None
    }
}

/// Registers a task's waker unless it is registered already.
pub(super) fn remember(place: &Cell<Option<Waker>>, waker: &Waker) {
    let known = place.take().filter(|known| known.will_wake(waker));
    place.set(Some(known.unwrap_or_else(|| waker.clone())));
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").field("key", &self.key).finish_non_exhaustive()
    }
}

/// All slots of a loop.
pub(super) struct Slots {
    pieces: RefCell<Vec<&'static [Slot]>>,
    /// The head of the free list.
    free: Cell<u32>,
    /// The number of slots in use.
    used: Cell<usize>,
}

impl Default for Slots {
    fn default() -> Self {
        Self { pieces: RefCell::default(), free: Cell::new(NONE), used: Cell::new(0) }
    }
}

impl Slots {
    /// A slot in use, with this readiness.
    pub(super) fn take(&self, ready: Ready) -> &'static Slot {
        let slot = self.at(self.free.get()).unwrap_or_else(|| self.grow());
        self.free.set(slot.next.get());
        self.used.set(self.used.get() + 1);
        slot.ready.set(ready);
        slot
    }

    /// Releases a slot that [`Slots::take`] has returned.
    pub(super) fn release(&self, slot: &Slot) {
        slot.generation.set(slot.generation.get().wrapping_add(1));
        slot.next.set(self.free.replace(slot.key));
        self.used.set(self.used.get() - 1);
        slot.unpark();
    }

    /// The slot with this number.
    pub(super) fn at(&self, key: u32) -> Option<&'static Slot> {
        self.pieces.borrow().get(key as usize / PIECE)?.get(key as usize % PIECE)
    }

    /// The number of slots in use.
    #[cfg(any(test, feature = "sim"))]
    pub(super) fn used(&self) -> usize {
        self.used.get()
    }

    /// Adds free slots. Returns the first.
    #[cold]
    fn grow(&self) -> &'static Slot {
        let mut pieces = self.pieces.borrow_mut();
        let first = (pieces.len() * PIECE) as u32;
        let last = first + PIECE as u32 - 1;
        let free = |key| Slot {
            key,
            generation: Cell::new(0),
            next: Cell::new(if key == last { NONE } else { key + 1 }),
            ready: Cell::new(0),
            parked: Cell::new(None),
            reader: Cell::new(None),
            writer: Cell::new(None),
        };
        let piece: &'static [Slot] = Vec::leak((first..=last).map(free).collect());
        pieces.push(piece);
        &piece[0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_reused_with_another_generation() {
        let slots = Slots::default();
        let all: Vec<_> = (0..300).map(|_| slots.take(0)).collect();
        assert!(all.iter().map(|slot| slot.key).eq(0..300));
        assert_eq!(size_of::<Slot>(), 56);
        slots.release(all[7]);
        slots.release(all[299]);
        assert_eq!(slots.used(), 298);
        let again = [slots.take(1), slots.take(2), slots.take(3)];
        assert_eq!(again.map(|slot| slot.key), [299, 7, 300]);
        assert_eq!(again.map(|slot| slot.generation.get()), [1, 1, 0]);
        assert_eq!(again.map(|slot| slot.ready.get()), [1, 2, 3]);
        assert!(std::ptr::eq(slots.at(7).unwrap(), all[7]));
        assert!(slots.at(384).is_none());
    }
}
