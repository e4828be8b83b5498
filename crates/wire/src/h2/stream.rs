//! Streams (RFC 9113 section 5.1).

use super::config::Millis;
use super::priority::Priority;
use super::window::{ReceiveWindow, SendWindow};

/// A stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamId {
    /// The number (RFC 9113 section 5.1.1); never 0.
    pub id: u32,
    /// The place in the connection's table, which no other stream has until this one is forgotten.
    /// Callers can have a table of their own with the same places. Below twice
    /// [`super::Config::max_streams`].
    pub slot: u32,
}

/// The state of a stream. An idle one has no entry in the table.
///
/// ```text
///                  HEADERS of the client
///                           │
///                           ▼
///      END_STREAM of ┌─────────────┐ END_STREAM of
///        the peer    │    Open     │   this side
///         ┌──────────┤             ├──────────┐
///         ▼          └──────┬──────┘          ▼
///  HalfClosedRemote         │          HalfClosedLocal
///         │ END_STREAM of   │ RST_STREAM      │ END_STREAM of
///         │   this side     │ of either,      │   the peer
///         │                 │ in any state    │
///         │                 ▼                 │
///         │          ┌─────────────┐          │
///         └─────────▶│   Closed    │◀─────────┘
///                    └─────────────┘
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Open,
    HalfClosedRemote,
    HalfClosedLocal,
    Closed(Cause),
}

/// How a stream was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Both sides have ended it.
    Complete,
    /// The peer has reset it, or will not process it.
    ByPeer,
    /// This side has reset it.
    ByThisSide,
}

impl State {
    /// Whether this side can send.
    #[inline]
    pub(crate) fn can_send(self) -> bool {
        matches!(self, Self::Open | Self::HalfClosedRemote)
    }

    /// Whether the peer can send.
    #[inline]
    pub(crate) fn can_receive(self) -> bool {
        matches!(self, Self::Open | Self::HalfClosedLocal)
    }

    pub(crate) fn is_closed(self) -> bool {
        matches!(self, Self::Closed(_))
    }

    /// The state after END_STREAM of this side.
    #[inline]
    pub(crate) fn end_local(self) -> Self {
        match self {
            Self::Open => Self::HalfClosedLocal,
            Self::HalfClosedRemote => Self::Closed(Cause::Complete),
            other => other,
        }
    }

    /// The state after END_STREAM of the peer.
    #[inline]
    pub(crate) fn end_remote(self) -> Self {
        match self {
            Self::Open => Self::HalfClosedRemote,
            Self::HalfClosedLocal => Self::Closed(Cause::Complete),
            other => other,
        }
    }
}

/// Whether a stream waits for room to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Nobody has asked, or has been told since.
    No,
    /// For an increment of its own window.
    Window,
    /// For the connection's window or the output: it stands in the queue.
    Queue,
    /// It was told that there is room, and has not asked yet how much.
    Turn,
}

/// The place of a stream in the table; stable while it is not forgotten.
pub(crate) type Slot = u32;

/// No place.
pub(crate) const NO_SLOT: Slot = u32::MAX;

/// A stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stream {
    /// The number; 0 for a free place of the table.
    pub id: u32,
    pub state: State,
    pub wait: Wait,
    pub priority: Priority,
    /// Whether the final head of the peer's message was received.
    pub has_head: bool,
    pub send: SendWindow,
    pub receive: ReceiveWindow,
    /// When it was opened.
    pub opened: Millis,
    /// Its neighbours in the queue of its urgency; `next` also links free places.
    pub previous: Slot,
    pub next: Slot,
}

impl Stream {
    pub(crate) fn new(id: u32, send: SendWindow, receive: ReceiveWindow, opened: Millis) -> Self {
        Self {
            id,
            state: State::Open,
            wait: Wait::No,
            priority: Priority::UNKNOWN,
            has_head: false,
            send,
            receive,
            opened,
            previous: NO_SLOT,
            next: NO_SLOT,
        }
    }
}
