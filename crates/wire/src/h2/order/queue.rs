//! The streams that wait to send, in the order of RFC 9218 section 10.

use crate::h2::priority::{Priority, URGENCIES};
use crate::h2::stream::{NO_SLOT, Slot, Wait};
use crate::h2::streams::Streams;

/// A list for each urgency, linked through the streams. In each, streams that are not
/// incremental come first, by their numbers; the others follow in turn.
///
/// Invariant: it has exactly the streams with [`Wait::Queue`], each in the list of its urgency.
#[derive(Debug)]
pub(crate) struct Queue {
    lists: [List; URGENCIES],
    /// Bit i: whether the list of urgency i has a stream.
    filled: u8,
}

#[derive(Clone, Copy, Debug)]
struct List {
    first: Slot,
    last: Slot,
}

impl Queue {
    pub(crate) fn new() -> Self {
        Self { lists: [List { first: NO_SLOT, last: NO_SLOT }; URGENCIES], filled: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// Whether a stream waits that is not less urgent than another one of this priority.
    #[inline]
    pub(crate) fn is_before(&self, priority: Priority) -> bool {
        self.filled & (2u8 << priority.urgency).wrapping_sub(1) != 0
    }

    /// Adds a stream that is not in it.
    pub(crate) fn push(&mut self, streams: &mut Streams, slot: Slot) {
        debug_assert!(streams[slot].wait != Wait::Queue);
        let urgency = usize::from(streams[slot].priority.urgency) % URGENCIES;
        let list = &mut self.lists[urgency];
        let before = place(streams, *list, slot);
        let after = if before == NO_SLOT { list.first } else { streams[before].next };
        match before {
            NO_SLOT => list.first = slot,
            before => streams[before].next = slot,
        }
        match after {
            NO_SLOT => list.last = slot,
            after => streams[after].previous = slot,
        }
        let stream = &mut streams[slot];
        (stream.previous, stream.next, stream.wait) = (before, after, Wait::Queue);
        self.filled |= 1 << urgency;
    }

    /// Removes a stream if it is in it.
    pub(crate) fn remove(&mut self, streams: &mut Streams, slot: Slot) {
        let stream = streams[slot];
        if stream.wait != Wait::Queue {
            return;
        }
        let urgency = usize::from(stream.priority.urgency) % URGENCIES;
        let list = &mut self.lists[urgency];
        match stream.previous {
            NO_SLOT => list.first = stream.next,
            previous => streams[previous].next = stream.next,
        }
        match stream.next {
            NO_SLOT => list.last = stream.previous,
            next => streams[next].previous = stream.previous,
        }
        if list.first == NO_SLOT {
            self.filled &= !(1 << urgency);
        }
        streams[slot].wait = Wait::No;
    }

    /// Takes the stream that is to send first.
    pub(crate) fn pop(&mut self, streams: &mut Streams) -> Option<Slot> {
        let urgency = self.filled.trailing_zeros() as usize;
        let first = self.lists.get(urgency)?.first;
        self.remove(streams, first);
        Some(first)
    }
}

/// The stream behind which another one belongs; `NO_SLOT` for the start of the list.
fn place(streams: &Streams, list: List, slot: Slot) -> Slot {
    let stream = &streams[slot];
    if stream.priority.incremental {
        return list.last;
    }
    let is_before = |other: Slot| {
        let other = &streams[other];
        !other.priority.incremental && other.id < stream.id
    };
    // The one that has just sent is mostly the first again.
    if list.first == NO_SLOT || !is_before(list.first) {
        return NO_SLOT;
    }
    let mut at = list.last;
    while !is_before(at) {
        at = streams[at].previous;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h2::stream::Stream;
    use crate::h2::window::{ReceiveWindow, SendWindow};

    struct World {
        streams: Streams,
        queue: Queue,
    }

    impl World {
        fn new() -> Self {
            Self { streams: Streams::new(), queue: Queue::new() }
        }

        fn push(&mut self, id: u32, priority: &str) {
            let mut stream = Stream::new(id, SendWindow::new(0), ReceiveWindow::new(0, 0), 0);
            stream.priority = Priority::parse(priority.as_bytes());
            let slot = self.streams.find(id).unwrap_or_else(|| self.streams.insert(stream));
            self.queue.push(&mut self.streams, slot);
        }

        fn pop(&mut self) -> Option<u32> {
            self.queue.pop(&mut self.streams).map(|slot| self.streams[slot].id)
        }
    }

    #[test]
    fn urgency_then_order_then_turns() {
        let mut world = World::new();
        let waiting =
            [(9, "i"), (7, ""), (11, "u=0"), (3, ""), (1, "i"), (5, ""), (13, "u=7"), (15, "")];
        for (id, priority) in waiting {
            world.push(id, priority);
        }
        let order: Vec<_> = std::iter::from_fn(|| world.pop()).collect();
        assert_eq!(order, [11, 3, 5, 7, 15, 9, 1, 13]);
        assert!(world.queue.is_empty());
    }

    #[test]
    fn one_that_waits_again_comes_first_or_last() {
        let mut world = World::new();
        for (id, priority) in [(1, ""), (3, ""), (5, "i"), (7, "i")] {
            world.push(id, priority);
        }
        assert_eq!(world.pop(), Some(1));
        world.push(1, "");
        assert_eq!(world.pop(), Some(1));
        assert_eq!(world.pop(), Some(3));
        assert_eq!(world.pop(), Some(5));
        world.push(5, "i");
        assert_eq!(world.pop(), Some(7));
        assert_eq!(world.pop(), Some(5));
        assert_eq!(world.pop(), None);
    }

    #[test]
    fn removal_from_the_middle_keeps_the_rest() {
        let mut world = World::new();
        for id in [1, 3, 5] {
            world.push(id, "i");
        }
        for (id, left) in [(3, vec![1, 5]), (1, vec![5]), (5, vec![])] {
            let slot = world.streams.find(id).unwrap();
            world.queue.remove(&mut world.streams, slot);
            world.queue.remove(&mut world.streams, slot);
            let order: Vec<_> = std::iter::from_fn(|| world.pop()).collect();
            assert_eq!(order, left);
            for id in left {
                world.push(id, "i");
            }
        }
    }
}
