//! What a descriptor can be ready for, and what is asked of the kernel about it.

use rustix::event::epoll::EventFlags;

/// Bits of what a descriptor is ready for.
pub(super) type Ready = u8;
pub(super) const READ: Ready = 1;
pub(super) const WRITE: Ready = 2;
/// The peer will send no more. Stays, as it is true for good.
pub(super) const CLOSED: Ready = 4;
/// The connection is broken, or closed in both directions. Stays, too.
pub(super) const BROKEN: Ready = 8;
/// The ring has received something, which comes before what is in the socket.
pub(super) const HELD: Ready = 16;
/// A read does not block.
pub(super) const READS: Ready = READ | CLOSED | BROKEN;
/// A write does not block.
pub(super) const WRITES: Ready = WRITE | BROKEN;

/// What is asked of the kernel about a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Watch {
    /// Both directions of a stream, which may be received from at once when something comes.
    Socket,
    /// The same of a socket whose messages are apart; it is told only that there are some.
    Datagrams,
    /// A stream that is not connected yet: an error is for whoever connects, and until
    /// [`Source::connected`] nothing is received.
    Connecting,
    /// A listener that other threads may watch as well: as long as there is something to accept,
    /// one of them is woken.
    Listener,
}

/// Where what was heard is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// In the socket.
    Readable,
    /// In the loop, to be had with [`Source::take`] before anything is read.
    Held,
}

impl Heard {
    pub(super) fn of(ready: Ready) -> Self {
        if ready & HELD == 0 { Self::Readable } else { Self::Held }
    }
}

/// The readiness that epoll reports, and a poll of the ring.
pub(super) fn bits(flags: EventFlags) -> Ready {
    let mut ready = 0;
    if flags.intersects(EventFlags::IN | EventFlags::PRI) {
        ready |= READ;
    }
    if flags.contains(EventFlags::OUT) {
        ready |= WRITE;
    }
    if flags.contains(EventFlags::RDHUP) {
        ready |= CLOSED;
    }
    if flags.intersects(EventFlags::HUP | EventFlags::ERR) {
        ready |= BROKEN;
    }
    ready
}
