//! The readiness of descriptors, and the ways to watch them.

use rustix::event::epoll::EventFlags;

/// The readiness bits of a descriptor.
pub(super) type Ready = u8;
pub(super) const READ: Ready = 1;
pub(super) const WRITE: Ready = 2;
/// The peer has closed its sending direction. Permanent.
pub(super) const CLOSED: Ready = 4;
/// The connection is broken, or closed in both directions. Permanent.
pub(super) const BROKEN: Ready = 8;
/// The ring holds received data, which precedes that in the socket.
pub(super) const HELD: Ready = 16;
/// A read does not block.
pub(super) const READS: Ready = READ | CLOSED | BROKEN;
/// A write does not block.
pub(super) const WRITES: Ready = WRITE | BROKEN;

/// The kind of a watched descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Watch {
    /// A stream in both directions, from which the ring may receive.
    Socket,
    /// A Unix stream in both directions; only its readiness is reported. The kernel forgets the end
    /// behind the last bytes of a Unix stream that the ring receives from, if both come at once
    /// (Linux 6.17 and later: it reads on only while bytes are left, and is not woken again).
    Local,
    /// A datagram socket in both directions; only its readiness is reported.
    Datagrams,
    /// A stream that is not connected: errors are for the connecting task, and nothing is received
    /// before [`Source::connected`].
    Connecting,
    /// A listener that other threads may watch as well: while there is a connection to accept, one
    /// of them is woken.
    Listener,
}

/// The location of reported data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// In the socket.
    Readable,
    /// In the loop, to be taken with [`Source::take`] before anything is read.
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
