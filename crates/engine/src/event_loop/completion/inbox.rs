//! What the kernel has received from one socket and nobody has taken.

use std::collections::VecDeque;
use std::io;

use rustix::io::Errno;
use weir_sys::ring::{BUFFER_SIZE, Received, Ring};

/// Bytes in their order, and what follows them.
#[derive(Default)]
pub(super) struct Inbox {
    /// The buffer whose turn it is, from this byte on.
    first: Option<(Received, u16)>,
    /// Those behind it, mostly none. [`super::MOST_HELD`] says when no more are wanted.
    #[expect(clippy::box_collection, reason = "there is one for each idle connection")]
    others: Option<Box<VecDeque<Received>>>,
    then: Then,
}

/// What is known to follow the bytes.
#[derive(Clone, Copy, Default)]
pub(super) enum Then {
    /// What comes next.
    #[default]
    Nothing,
    /// Perhaps more, in the socket.
    Unknown,
    /// The end of the stream.
    End,
    Failed(Errno),
}

/// What there is to read behind what was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Left {
    /// More that is held.
    Held,
    /// Perhaps more in the socket.
    Unknown,
    /// Nothing.
    Nothing,
}

impl Inbox {
    /// Puts a buffer behind the others.
    pub(super) fn push(&mut self, received: Received) {
        if self.first.is_none() {
            self.first = Some((received, 0));
        } else {
            self.others.get_or_insert_default().push_back(received);
        }
    }

    /// Says what follows the bytes.
    pub(super) fn end(&mut self, then: Then) {
        self.then = then;
    }

    /// How many buffers there are.
    pub(super) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.others.as_ref().map_or(0, |others| others.len())
    }

    /// Takes at most `max` bytes, or the end, or an error; the second of the pair is what is left
    /// if nothing is under way.
    pub(super) fn take(
        &mut self,
        ring: &mut Ring,
        into: &mut Vec<u8>,
        max: usize,
    ) -> (io::Result<usize>, Left) {
        let (mut count, mut filled) = (0, false);
        while let Some((received, from)) = self.first.take() {
            let bytes = &ring.bytes(&received)[usize::from(from)..];
            let step = bytes.len().min(max - count);
            into.extend_from_slice(&bytes[..step]);
            count += step;
            if step < bytes.len() {
                self.first = Some((received, from + step as u16));
                return (Ok(count), Left::Held);
            }
            filled = received.len() == BUFFER_SIZE;
            ring.give_back(received);
            self.next();
        }
        match self.then {
            Then::End | Then::Failed(_) if count > 0 => (Ok(count), Left::Held),
            Then::Nothing if count > 0 && !filled => (Ok(count), Left::Nothing),
            Then::Nothing | Then::Unknown if count > 0 => {
                self.then = Then::Nothing;
                (Ok(count), Left::Unknown)
            }
            _ => (self.take_end(), Left::Unknown),
        }
    }

    fn take_end(&mut self) -> io::Result<usize> {
        match std::mem::take(&mut self.then) {
            Then::End => Ok(0),
            Then::Failed(error) => Err(error.into()),
            Then::Nothing | Then::Unknown => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }

    fn next(&mut self) {
        let Some(others) = &mut self.others else { return };
        self.first = others.pop_front().map(|received| (received, 0));
        if others.is_empty() {
            self.others = None;
        }
    }

    /// The first byte; `None` at the end.
    pub(super) fn first(&self, ring: &Ring) -> io::Result<Option<u8>> {
        match (&self.first, self.then) {
            (Some((received, from)), _) => {
                Ok(ring.bytes(received).get(usize::from(*from)).copied())
            }
            (None, Then::End) => Ok(None),
            (None, Then::Failed(error)) => Err(error.into()),
            (None, _) => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }

    /// Gives all buffers back.
    pub(super) fn clear(mut self, ring: &mut Ring) {
        while let Some((received, _)) = self.first.take() {
            ring.give_back(received);
            self.next();
        }
    }
}
