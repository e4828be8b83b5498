//! The table of streams: a slab, and an index by number.

use super::stream::{NO_SLOT, Slot, State, Stream, StreamId};

/// Streams that are not forgotten.
///
/// Invariants: `index` has a power of two of places, at least twice as many as there are streams,
/// or none; it has the slot of each stream where a search for its number from [`home`] on finds it.
#[derive(Debug)]
pub(crate) struct Streams {
    slots: Vec<Stream>,
    index: Vec<Slot>,
    /// The first free slot.
    free: Slot,
    /// The number of streams.
    len: usize,
    /// The number of streams that are not closed.
    open: usize,
    /// The slot that was found last: frames of a stream often follow each other.
    recent: Slot,
}

impl Streams {
    pub(crate) fn new() -> Self {
        Self { slots: Vec::new(), index: Vec::new(), free: NO_SLOT, len: 0, open: 0, recent: 0 }
    }

    /// The number of streams.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The number of streams that are not closed.
    pub(crate) fn open(&self) -> usize {
        self.open
    }

    /// The slot of a stream.
    #[inline]
    pub(crate) fn find(&mut self, id: u32) -> Option<Slot> {
        if let Some(stream) = self.slots.get(self.recent as usize)
            && stream.id == id
        {
            return Some(self.recent);
        }
        let slot = self.search(id)?;
        self.recent = slot;
        Some(slot)
    }

    /// The slot of a stream that a user names.
    #[inline]
    pub(crate) fn get(&self, stream: StreamId) -> Option<Slot> {
        let found = self.slots.get(stream.slot as usize)?;
        (found.id == stream.id && stream.id != 0).then_some(stream.slot)
    }

    /// The name of a stream for users.
    #[inline]
    pub(crate) fn name(&self, slot: Slot) -> StreamId {
        StreamId { id: self[slot].id, slot }
    }

    fn search(&self, id: u32) -> Option<Slot> {
        if self.index.is_empty() {
            return None;
        }
        let mask = self.index.len() - 1;
        let mut place = home(id, mask);
        loop {
            let slot = self.index[place];
            if slot == NO_SLOT {
                return None;
            }
            if self.slots[slot as usize].id == id {
                return Some(slot);
            }
            place = (place + 1) & mask;
        }
    }

    /// Adds a stream, which must not be closed.
    pub(crate) fn insert(&mut self, stream: Stream) -> Slot {
        debug_assert!(!stream.state.is_closed() && self.search(stream.id).is_none());
        if 2 * (self.len + 1) > self.index.len() {
            self.grow();
        }
        let slot = if self.free == NO_SLOT {
            self.slots.push(stream);
            self.slots.len() as Slot - 1
        } else {
            let slot = self.free;
            self.free = self.slots[slot as usize].next;
            self.slots[slot as usize] = stream;
            slot
        };
        self.place(stream.id, slot);
        self.len += 1;
        self.open += 1;
        self.recent = slot;
        slot
    }

    fn place(&mut self, id: u32, slot: Slot) {
        let mask = self.index.len() - 1;
        let mut place = home(id, mask);
        while self.index[place] != NO_SLOT {
            place = (place + 1) & mask;
        }
        self.index[place] = slot;
    }

    fn grow(&mut self) {
        let places = (4 * (self.len + 1)).next_power_of_two().max(LEAST_PLACES);
        self.index.clear();
        self.index.resize(places, NO_SLOT);
        for slot in 0..self.slots.len() {
            let id = self.slots[slot].id;
            if id != 0 {
                self.place(id, slot as Slot);
            }
        }
    }

    /// Removes a stream.
    pub(crate) fn remove(&mut self, slot: Slot) {
        let stream = self.slots[slot as usize];
        self.unplace(stream.id);
        self.len -= 1;
        self.open -= usize::from(!stream.state.is_closed());
        let place = &mut self.slots[slot as usize];
        place.id = 0;
        place.next = self.free;
        self.free = slot;
    }

    /// Removes a number from the index, and moves those up that were placed behind it for its sake.
    fn unplace(&mut self, id: u32) {
        let mask = self.index.len() - 1;
        let mut gap = home(id, mask);
        while self.slots[self.index[gap] as usize].id != id {
            gap = (gap + 1) & mask;
        }
        let mut place = gap;
        loop {
            place = (place + 1) & mask;
            let slot = self.index[place];
            if slot == NO_SLOT {
                break;
            }
            let from_home = place.wrapping_sub(home(self.slots[slot as usize].id, mask)) & mask;
            if from_home >= (place.wrapping_sub(gap) & mask) {
                self.index[gap] = slot;
                gap = place;
            }
        }
        self.index[gap] = NO_SLOT;
    }

    /// Sets the state of a stream, which never leaves `Closed`.
    #[inline]
    pub(crate) fn set_state(&mut self, slot: Slot, state: State) {
        let stream = &mut self.slots[slot as usize];
        debug_assert!(!stream.state.is_closed() || state.is_closed());
        self.open -= usize::from(!stream.state.is_closed() && state.is_closed());
        stream.state = state;
    }

    /// All slots, of which free ones have the number 0.
    pub(crate) fn slots(&self) -> std::ops::Range<Slot> {
        0..self.slots.len() as Slot
    }

    /// All streams with their slots.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Slot, &Stream)> {
        let slots = self.slots.iter().enumerate().filter(|(_, stream)| stream.id != 0);
        slots.map(|(slot, stream)| (slot as Slot, stream))
    }

    /// Frees the memory if there is no stream.
    pub(crate) fn trim(&mut self) {
        if self.len == 0 {
            *self = Self::new();
        }
    }
}

impl std::ops::Index<Slot> for Streams {
    type Output = Stream;

    #[inline]
    fn index(&self, slot: Slot) -> &Stream {
        &self.slots[slot as usize]
    }
}

impl std::ops::IndexMut<Slot> for Streams {
    #[inline]
    fn index_mut(&mut self, slot: Slot) -> &mut Stream {
        &mut self.slots[slot as usize]
    }
}

/// The least number of places of an index.
const LEAST_PLACES: usize = 8;

/// Where the search for a number begins. Multiples of this odd number, which is 2^32 by the golden
/// ratio, leave gaps of like sizes between those of successive numbers, so that searches and
/// removals end soon.
#[inline]
fn home(id: u32, mask: usize) -> usize {
    (id.wrapping_mul(0x9e37_79b1) >> (mask as u32).leading_zeros()) as usize
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::h2::window::{ReceiveWindow, SendWindow};

    fn stream(id: u32) -> Stream {
        Stream::new(id, SendWindow::new(0), ReceiveWindow::new(0, 0), 0)
    }

    #[test]
    fn it_agrees_with_a_map() {
        let mut streams = Streams::new();
        let mut model = HashMap::new();
        let mut state = 1u32;
        for step in 0..20_000 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let id = ((state >> 24) % 64) * 16 + 1;
            match model.get(&id) {
                None if model.len() < 40 || step % 3 == 0 => {
                    model.insert(id, streams.insert(stream(id)));
                }
                Some(&slot) => {
                    streams.remove(slot);
                    model.remove(&id);
                }
                None => {}
            }
            assert_eq!(streams.len(), model.len());
            assert_eq!(streams.find(id), model.get(&id).copied());
            if step % 100 == 0 {
                for id in (0..64).map(|i| i * 16 + 1) {
                    assert_eq!(streams.find(id), model.get(&id).copied());
                }
            }
        }
        assert_eq!(streams.iter().count(), model.len());
    }

    #[test]
    fn open_streams_are_counted() {
        use crate::h2::stream::Cause;
        let mut streams = Streams::new();
        let slots = [1, 3, 5].map(|id| streams.insert(stream(id)));
        streams.set_state(slots[0], State::HalfClosedLocal);
        streams.set_state(slots[1], State::Closed(Cause::Complete));
        streams.set_state(slots[1], State::Closed(Cause::Complete));
        assert_eq!((streams.len(), streams.open()), (3, 2));
        streams.remove(slots[1]);
        streams.remove(slots[0]);
        assert_eq!((streams.len(), streams.open()), (1, 1));
        streams.remove(slots[2]);
        streams.trim();
        assert_eq!(streams.find(1), None);
    }
}
