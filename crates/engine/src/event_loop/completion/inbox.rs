//! Data received from a socket by the kernel and not yet read.

use std::collections::VecDeque;
use std::io;

use rustix::io::Errno;
use weir_sys::ring::{BUFFER_SIZE, Received, Ring};

/// Received bytes in order, and their continuation.
#[derive(Default)]
pub(super) struct Inbox {
    /// The current buffer and the offset of its unread bytes.
    first: Option<(Received, u16)>,
    /// The following buffers, usually none, limited by [`super::ask::MOST_HELD`].
    #[expect(clippy::box_collection, reason = "every idle connection has one")]
    others: Option<Box<VecDeque<Received>>>,
    then: Then,
}

/// The known continuation of the bytes.
#[derive(Clone, Copy, Default)]
pub(super) enum Then {
    /// Unknown yet; the next completion tells.
    #[default]
    Nothing,
    /// The socket may hold more.
    Unknown,
    /// The end of the stream.
    End,
    Failed(Errno),
}

/// The rest after a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Left {
    /// More held data.
    Held,
    /// The socket may hold more.
    Unknown,
    /// Nothing.
    Nothing,
}

impl Inbox {
    /// Appends a buffer.
    pub(super) fn push(&mut self, received: Received) {
        if self.first.is_none() {
            self.first = Some((received, 0));
        } else {
            self.others.get_or_insert_default().push_back(received);
        }
    }

    /// Sets the continuation of the bytes.
    pub(super) fn end(&mut self, then: Then) {
        self.then = then;
    }

    /// The number of buffers.
    pub(super) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.others.as_ref().map_or(0, |others| others.len())
    }

    /// Takes at most `max` bytes, or the end, or an error. The second value is the rest, if no
    /// receive is in progress.
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

    /// Returns all buffers.
    pub(super) fn clear(mut self, ring: &mut Ring) {
        while let Some((received, _)) = self.first.take() {
            ring.give_back(received);
            self.next();
        }
    }
}
